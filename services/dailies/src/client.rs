//! A person's side of NATS: commands with their outcomes, and queries.

use std::time::Duration;

use async_nats::HeaderMap;
use futures::StreamExt as _;
use messages::command::Rejection;
use messages::event::CommandOutcome;
use messages::id::{CommandId, UserId, VideoId};
use messages::query::AskCheckpoints;
use messages::subject;
use messages::trace::{self, Trace};
use runtime::bus::{Bus, PublishError, RequestError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How long the outcome of a command is waited for.
const OUTCOME: Duration = Duration::from_secs(10);
/// How long one try of a query waits.
const ANSWER: Duration = Duration::from_secs(5);
/// How long NATS is given to store a command.
const STORE: Duration = Duration::from_secs(15);

/// A user of a cluster.
#[derive(Debug, Clone)]
pub struct Client {
    /// The connection.
    pub bus: Bus,
    /// Whose videos.
    pub user: UserId,
}

/// Why a cluster did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It refused, and said why.
    #[error("{}", refusal(.0))]
    Rejected(Rejection),
    /// NATS did not store the command.
    #[error("the command was not stored")]
    NotStored(#[source] PublishError),
    /// The command is stored, and will be done by the next coordinator that comes.
    #[error("the command is stored, but no coordinator has answered within {} s: is one running?", OUTCOME.as_secs())]
    Unanswered,
    /// A question was not answered.
    #[error("the cluster does not answer")]
    Silent(#[source] RequestError),
    /// An answer that this version does not understand.
    #[error("the cluster's answer was not understood ({0}): is it of another version?")]
    Strange(String),
    /// The connection cannot be used.
    #[error("the NATS connection cannot be used: {0}")]
    Connection(String),
}

/// A command that was done.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The command that was sent.
    pub command_id: CommandId,
    /// What the coordinator said.
    pub answer: Value,
}

impl Client {
    /// Sends a command and waits for its outcome.
    pub async fn command(&self, video: VideoId, verb: &str, body: &impl Serialize) -> Result<Answered, ClientError> {
        self.command_named(&format!("cli-{}", uuid::Uuid::new_v4()), video, verb, body).await
    }

    /// The same under an id of the caller's: what was done under it before is not done again, its outcome comes again.
    pub async fn command_named(
        &self,
        id: &str,
        video: VideoId,
        verb: &str,
        body: &impl Serialize,
    ) -> Result<Answered, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Strange(error.to_string()))?;
        let command_id: CommandId =
            id.parse().map_err(|error: messages::id::InvalidId| ClientError::Strange(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(subject::COMMAND_ID_HEADER, command_id.as_str());
        headers.insert(subject::VIA_HEADER, "cli");
        headers.insert(trace::HEADER, Trace::of_command(video, &command_id).to_string().as_str());

        // First listen, then speak: the outcome may be faster than the receipt.
        let mut outcomes = self.subscribe(subject::event(&self.user, &video.to_string(), "*")).await?;
        let to = subject::command(&self.user, video, verb);
        self.bus.publish_within(STORE, to, headers, body.into(), None).await.map_err(ClientError::NotStored)?;
        let outcome = async {
            while let Some(message) = outcomes.next().await {
                match serde_json::from_slice::<CommandOutcome>(&message.payload) {
                    Ok(outcome) if *outcome.command_id() == command_id => return Some(outcome),
                    // Another command's outcome, or an event.
                    Ok(_) | Err(_) => {}
                }
            }
            None
        };
        match tokio::time::timeout(OUTCOME, outcome).await {
            Ok(Some(CommandOutcome::CommandAnswered { answer, .. })) => Ok(Answered { command_id, answer }),
            Ok(Some(CommandOutcome::CommandRejected { rejection, .. })) => Err(ClientError::Rejected(rejection)),
            Ok(None) | Err(_) => Err(ClientError::Unanswered),
        }
    }

    /// Asks about one video.
    pub async fn query<T: DeserializeOwned>(
        &self,
        video: VideoId,
        name: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.ask(&subject::video_query(&self.user, video, name), body).await
    }

    /// Every checkpoint of a video, or of one of its branches, oldest first, in as many parts as they come in: an array of
    /// [`CheckpointView`](messages::query::CheckpointView).
    pub async fn checkpoints(&self, video: VideoId, branch_name: Option<String>) -> Result<Value, ClientError> {
        let subject = subject::video_query(&self.user, video, "checkpoints");
        let mut question = AskCheckpoints { branch_name, after: None };
        let mut all = Vec::new();
        loop {
            let reply = self.reply(&subject, &question).await?;
            let part: Vec<Value> = answer_of(&reply)?;
            let more = reply.headers.as_ref().is_some_and(|headers| headers.get(subject::MORE_HEADER).is_some());
            question.after = part.last().and_then(|last| last["checkpoint_id"].as_str()?.parse().ok());
            all.extend(part);
            if !more || question.after.is_none() {
                return Ok(Value::Array(all));
            }
        }
    }

    /// Asks about the user's videos or artifacts.
    pub async fn user_query<T: DeserializeOwned>(&self, name: &str, body: &impl Serialize) -> Result<T, ClientError> {
        self.ask(&subject::user_query(&self.user, name), body).await
    }

    /// Listens to a subject; what is said from now on comes.
    pub async fn subscribe(&self, subject: String) -> Result<async_nats::Subscriber, ClientError> {
        self.bus.client().subscribe(subject).await.map_err(|error| ClientError::Connection(error.to_string()))
    }

    async fn ask<T: DeserializeOwned>(&self, subject: &str, body: &impl Serialize) -> Result<T, ClientError> {
        answer_of(&self.reply(subject, body).await?)
    }

    /// The answer as it came, if it is no refusal.
    async fn reply(&self, subject: &str, body: &impl Serialize) -> Result<async_nats::Message, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Strange(error.to_string()))?;
        // A coordinator that starts or changes hands is silent for a moment.
        let mut tries = 0;
        let answer = loop {
            tries += 1;
            let asking = self.bus.request_message(subject, HeaderMap::new(), body.clone().into(), ANSWER);
            match asking.await {
                Ok(answer) => break answer,
                Err(error) if tries == 3 => return Err(ClientError::Silent(error)),
                Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        };
        let refused = answer.headers.as_ref().is_some_and(|headers| headers.get("Nats-Service-Error-Code").is_some());
        if refused {
            return Err(serde_json::from_slice(&answer.payload)
                .map_or_else(|error| ClientError::Strange(error.to_string()), ClientError::Rejected));
        }
        Ok(answer)
    }
}

fn answer_of<T: DeserializeOwned>(reply: &async_nats::Message) -> Result<T, ClientError> {
    serde_json::from_slice(&reply.payload).map_err(|error| ClientError::Strange(error.to_string()))
}

/// A refusal in words: every field that is wrong on a line of its own, or the one reason.
fn refusal(rejection: &Rejection) -> String {
    match rejection.errors.as_slice() {
        [] => format!("refused ({}): {}", rejection.code.name(), rejection.reason),
        errors => {
            let lines: Vec<_> = errors.iter().map(|error| format!("  {}: {}", error.field, error.reason)).collect();
            format!("refused ({}):\n{}", rejection.code.name(), lines.join("\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use messages::command::Code;
    use messages::violation::Violation;

    use super::*;

    #[test]
    fn a_refusal_names_every_wrong_field() {
        let fields =
            vec![Violation::new("prompt", "must be 10 to 1000 characters"), Violation::new("seed", "must be 0")];
        let text = ClientError::Rejected(Rejection::invalid(fields)).to_string();
        assert_eq!(text, "refused (invalid):\n  prompt: must be 10 to 1000 characters\n  seed: must be 0");
        let text = ClientError::Rejected(Rejection::new(Code::NotPending, "it is approved already")).to_string();
        assert_eq!(text, "refused (not_pending): it is approved already");
    }
}
