//! `dailies dead`: the letters as they are in their stream, and what is done about one.

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use futures::StreamExt as _;
use messages::id::UserId;
use messages::query::BranchView;
use messages::subject;
use messages::video::Retry;
use serde_json::{Value, json};

use super::{Asker, RequestError};
use crate::arguments::{Dead, DeadLetters, OfLetter};
use crate::client::Client;
use crate::columns::clean;
use crate::dead_letters::{Letter, Way, failed_branch, is_given_up};
use crate::retention::size;
use crate::spec_table::labelled;

/// `2026-11-26 08:15:02`
const TIME: &str = "%Y-%m-%d %H:%M:%S";

impl Asker {
    pub(super) async fn dead(&mut self, what: &Dead) -> Result<(), RequestError> {
        match what {
            Dead::List(ask) => self.list_letters(ask).await,
            Dead::Show(of) => self.show_letter(of).await,
            Dead::Retry(of) => self.retry_letter(of).await,
        }
    }

    async fn list_letters(&mut self, ask: &DeadLetters) -> Result<(), RequestError> {
        let letters = self.newest_letters(u64::from(ask.limit)).await?;
        if ask.json {
            for letter in &letters {
                self.screen.print(&letter.to_json().to_string());
            }
            return Ok(());
        }
        if letters.is_empty() {
            self.screen.print("No dead letters.");
            return Ok(());
        }
        let rows = letters.iter().map(|letter| {
            let deliveries = letter.deliveries().map_or_else(String::new, |deliveries| deliveries.to_string());
            let (seq, time) = (letter.seq.to_string(), letter.stored.format(TIME).to_string());
            [seq, time, deliveries, size(letter.size as u64), clean(letter.subject()), clean(&letter.reason())]
        });
        self.table(["number", "when", "deliveries", "size", "subject", "reason"], rows.collect());
        Ok(())
    }

    async fn show_letter(&mut self, of: &OfLetter) -> Result<(), RequestError> {
        let letter = self.letter(of.seq).await?;
        if of.json {
            let mut whole = letter.to_json();
            whole["payload"] = letter.payload();
            self.print_json(&whole);
            return Ok(());
        }
        let again = match letter.way() {
            Ok(_) => format!("{} dead retry {}", crate::program(), letter.seq),
            Err(reason) => format!("no: {reason}"),
        };
        let lines = [
            ("subject", letter.subject().to_owned()),
            ("filed under", letter.filed_under.clone()),
            ("when", letter.stored.format(TIME).to_string()),
            ("deliveries", letter.deliveries().map_or_else(|| "unknown".to_owned(), |number| number.to_string())),
            ("size", size(letter.size as u64)),
            ("reason", letter.reason()),
            ("again", again),
        ];
        let (columns, paint) = (self.screen.width(), self.screen.paint);
        let lines: Vec<_> = lines.iter().flat_map(|(name, text)| labelled(name, text, columns, paint)).collect();
        self.screen.print(&lines.join("\n"));
        let payload = match letter.payload() {
            Value::String(text) => text.lines().map(clean).collect::<Vec<_>>().join("\n"),
            value => serde_json::to_string_pretty(&value).unwrap_or_default(),
        };
        self.screen.print(&payload);
        Ok(())
    }

    async fn retry_letter(&mut self, of: &OfLetter) -> Result<(), RequestError> {
        let letter = self.letter(of.seq).await?;
        let refused = |reason| RequestError::NotAgain { seq: of.seq, reason };
        let answer = match letter.way().map_err(refused)? {
            Way::Retry(job) => {
                let owner = self.of(job.user.clone());
                let branches: Vec<BranchView> = owner.query(job.video, "branches", &json!({})).await?;
                let branch = failed_branch(&job, &branches).map_err(refused)?.branch_name.to_string();
                owner.command(job.video, "retry", &Retry { branch: Some(branch) }).await?.answer
            }
            Way::Command { user, video, verb, body, id } => {
                let owner = self.of(user.unwrap_or_else(|| self.client.user.clone()));
                owner.command_named(&id, video, &verb, &body).await?.answer
            }
            Way::Unblock { stream_seq, consumer } => {
                self.unblock(&letter, stream_seq, &consumer).await?.map_err(refused)?
            }
        };
        self.say(&answer, of.json);
        Ok(())
    }

    /// Asks as somebody whose work was set aside.
    fn of(&self, user: UserId) -> Client {
        Client { bus: self.client.bus.clone(), user }
    }

    /// Takes a message that the server does not deliver any more out of the queue. Its coordinator misses it there, hears
    /// nothing of the job, and sends it again.
    async fn unblock(
        &self,
        letter: &Letter,
        stream_seq: u64,
        consumer: &str,
    ) -> Result<Result<Value, String>, RequestError> {
        let queue = self.stream(subject::JOBS).await?;
        let gone = || format!("message {stream_seq} is not in the queue any more, so its job was done or sent again");
        let message = match queue.get_raw_message(stream_seq).await {
            Ok(message) => message,
            Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => return Ok(Err(gone())),
            Err(error) => return Err(unreadable(error)),
        };
        if !is_given_up(&message, consumer, letter.stored) {
            return Ok(Err(gone()));
        }
        queue.delete_message(stream_seq).await.map_err(unreadable)?;
        let job = message.subject.as_str();
        let sentence = format!("{job} is out of the queue; its coordinator sends it again within a minute.");
        Ok(Ok(json!({ "message": sentence, "job_subject": job })))
    }

    async fn letter(&self, seq: u64) -> Result<Letter, RequestError> {
        match self.stream(subject::DEAD_LETTERS).await?.get_raw_message(seq).await {
            Ok(found) => Ok(Letter::read(seq, runtime::bus::chrono_time(found.time), &found.subject, &found.payload)),
            Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => {
                Err(RequestError::NoLetter { seq })
            }
            Err(error) => Err(unreadable(error)),
        }
    }

    /// Those among the last `most` numbers that are still there, oldest first.
    async fn newest_letters(&self, most: u64) -> Result<Vec<Letter>, RequestError> {
        let stream = self.stream(subject::DEAD_LETTERS).await?;
        let state = &stream.cached_info().state;
        if state.messages == 0 {
            return Ok(Vec::new());
        }
        let start_sequence = state.last_sequence.saturating_sub(most - 1).max(state.first_sequence);
        let reader = stream.create_consumer(pull::OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
            ..pull::OrderedConfig::default()
        });
        let mut messages = reader.await.map_err(unreadable)?.messages().await.map_err(unreadable)?;
        let mut letters = Vec::new();
        while let Some(message) = messages.next().await {
            let message = message.map_err(unreadable)?;
            let info = message.info().map_err(unreadable)?;
            let time = runtime::bus::chrono_time(info.published);
            letters.push(Letter::read(info.stream_sequence, time, &message.subject, &message.payload));
            if info.pending == 0 {
                break;
            }
        }
        Ok(letters)
    }

    async fn stream(&self, name: &str) -> Result<Stream, RequestError> {
        self.client.bus.jetstream().get_stream(name).await.map_err(unreadable)
    }
}

fn unreadable(error: impl ToString) -> RequestError {
    RequestError::Letters(error.to_string())
}
