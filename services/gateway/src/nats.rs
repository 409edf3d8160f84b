//! Commands and queries, as the gateway sends them: publish with a receipt, ask with a reply.
//!
//! A receipt means stored, not decided; what was decided comes back over [`Hub`](crate::hub::Hub). Nothing here waits for
//! a server that is known to be away, because a person waits for the answer.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::connection::State;
use messages::command::{Code, Command, Rejection};
use messages::id::{CommandId, UserId, VideoId};
use messages::query::{AskHistory, History};
use messages::subject::{self, MORE_HEADER};
use messages::trace::{self, Trace};
use runtime::bus::{Bus, PublishError, RequestError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::views;

/// The way to NATS.
#[derive(Debug, Clone)]
pub struct Nats {
    bus: Bus,
    query_timeout: Duration,
}

/// How long a publish may take until its receipt.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(2);

/// The largest message of the command stream, bytes, less subject and headers.
const MAX_COMMAND: usize = 62 * 1024;

impl Nats {
    /// Over an established connection.
    pub fn new(bus: Bus, query_timeout: Duration) -> Self {
        Self { bus, query_timeout }
    }

    /// The connection.
    pub fn client(&self) -> &async_nats::Client {
        self.bus.client()
    }

    /// Whether the server is there, as far as is known.
    pub fn is_connected(&self) -> bool {
        self.client().connection_state() == State::Connected
    }

    /// Stores a command. Without a receipt it may be stored all the same.
    pub async fn publish(
        &self,
        user: &UserId,
        video: VideoId,
        id: &CommandId,
        command: &Command,
        trace: Trace,
    ) -> Result<(), Error> {
        let body = command_body(command)?;
        if body.len() > MAX_COMMAND {
            return Err(Error::TooLarge(MAX_COMMAND));
        }
        let away = |reason: String| Error::NatsAway { reason, command_id: Some(id.clone()) };
        if !self.is_connected() {
            return Err(away("no connection".to_owned()));
        }
        let mut headers = HeaderMap::new();
        headers.insert(subject::COMMAND_ID_HEADER, id.as_str());
        headers.insert(subject::VIA_HEADER, "http");
        headers.insert(trace::HEADER, trace.to_string().as_str());
        let subject = subject::command(user, video, command.verb());
        // No message id: a repeat must reach the coordinator, which answers it with the first outcome.
        match self.bus.publish_within(RECEIPT_TIMEOUT, subject, headers, body.into(), None).await {
            Ok(_) => Ok(()),
            Err(PublishError::TooLarge { .. }) => Err(Error::TooLarge(MAX_COMMAND)),
            Err(error @ (PublishError::Unavailable { .. } | PublishError::Refused { .. })) => {
                Err(away(error.to_string()))
            }
        }
    }

    /// Asks about one video.
    pub async fn ask_video<T: DeserializeOwned>(
        &self,
        user: &UserId,
        video: VideoId,
        name: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        self.ask(subject::video_query(user, video, name), body).await
    }

    /// Every checkpoint of a video, by creation, in as many parts as they come in.
    pub async fn checkpoints(
        &self,
        user: &UserId,
        video: VideoId,
        branch_name: Option<&str>,
    ) -> Result<Vec<views::Checkpoint>, Error> {
        let subject = subject::video_query(user, video, "checkpoints");
        let mut all: Vec<views::Checkpoint> = Vec::new();
        loop {
            let after = all.last().map(|last| &last.checkpoint_id);
            let mut question = serde_json::Map::new();
            question.extend(branch_name.map(|name| ("branch_name".to_owned(), name.into())));
            question.extend(after.map(|after| ("after".to_owned(), after.as_str().into())));
            let reply = self.reply(&subject, &question).await?;
            let part: Vec<views::Checkpoint> = answer_of(&reply)?;
            let more = reply.headers.as_ref().is_some_and(|headers| headers.get(MORE_HEADER).is_some());
            let none = part.is_empty();
            all.extend(part);
            if !more || none {
                return Ok(all);
            }
        }
    }

    /// Asks about a user's videos.
    pub async fn ask_user<T: DeserializeOwned>(
        &self,
        user: &UserId,
        name: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        self.ask(subject::user_query(user, name), body).await
    }

    /// The events that follow `after_seq`: one page of them.
    pub async fn history(&self, user: &UserId, video: VideoId, after_seq: u64) -> Result<History, Error> {
        self.ask_video(user, video, "history", &AskHistory { after_seq }).await
    }

    async fn ask<T: DeserializeOwned>(&self, subject: String, body: &impl Serialize) -> Result<T, Error> {
        answer_of(&self.reply(&subject, body).await?)
    }

    /// The answer as it came, if it is no refusal.
    async fn reply(&self, subject: &str, body: &impl Serialize) -> Result<async_nats::Message, Error> {
        if !self.is_connected() {
            return Err(Error::NatsAway { reason: "no connection".to_owned(), command_id: None });
        }
        let body =
            serde_json::to_vec(body).map_err(|source| Error::BadAnswer { what: "a question of ours", source })?;
        let asking = self.bus.request_message(subject, HeaderMap::new(), body.into(), self.query_timeout);
        let reply = match asking.await {
            Ok(reply) => reply,
            Err(RequestError::NoResponders { .. } | RequestError::TimedOut { .. }) => return Err(Error::NoCoordinator),
            Err(error @ RequestError::Unsendable { .. }) => {
                return Err(Error::NatsAway { reason: error.to_string(), command_id: None });
            }
        };
        if let Some(refusal) = refusal(&reply) {
            return Err(refusal.into());
        }
        Ok(reply)
    }
}

fn answer_of<T: DeserializeOwned>(reply: &async_nats::Message) -> Result<T, Error> {
    serde_json::from_slice(&reply.payload).map_err(|source| Error::BadAnswer { what: "a query's answer", source })
}

/// A reply's refusal, when its headers say that it is one.
fn refusal(reply: &async_nats::Message) -> Option<Rejection> {
    let headers = reply.headers.as_ref()?;
    headers.get("Nats-Service-Error-Code")?;
    Some(serde_json::from_slice(&reply.payload).unwrap_or_else(|_| {
        let said = headers.get("Nats-Service-Error").map(|text| text.as_str()).unwrap_or("no reason was given");
        Rejection::new(Code::Internal, said)
    }))
}

/// A command's JSON.
fn command_body(command: &Command) -> Result<Vec<u8>, Error> {
    let written = match command {
        Command::Create(body) => serde_json::to_vec(body),
        Command::Approve(body) => serde_json::to_vec(body),
        Command::Fork(body) => serde_json::to_vec(body),
        Command::Edit(body) => serde_json::to_vec(body),
        Command::Regenerate(body) => serde_json::to_vec(body),
        Command::Import(body) => serde_json::to_vec(body),
        Command::Select(body) => serde_json::to_vec(body),
        Command::Take(body) => serde_json::to_vec(body),
        Command::Reject(body) => serde_json::to_vec(body),
        Command::Abandon(body) => serde_json::to_vec(body),
        Command::Retry(body) => serde_json::to_vec(body),
        Command::Cancel(body) => serde_json::to_vec(body),
        Command::Settings(body) => serde_json::to_vec(body),
        Command::Pin(body) => serde_json::to_vec(body),
        Command::Resolve(body) => serde_json::to_vec(body),
        Command::Delete(body) => serde_json::to_vec(body),
    };
    written.map_err(|source| Error::BadAnswer { what: "a command of ours", source })
}
