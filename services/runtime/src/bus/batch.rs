//! Many messages to a stream and one answer for all of them.
//!
//! A fast batch of the server (nats-server 2.14, ADR-50): each message's reply subject names its batch, says what becomes of
//! it when one before it is missing, its place, and whether the batch goes on. The last one's answer says how many were
//! stored. Nothing is in the messages themselves, so that readers see no difference.

use std::time::Duration;

use async_nats::{Client, HeaderMap, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use serde::Deserialize;

use super::Bus;

/// The most messages of a batch: more would have to wait for word that the server keeps up.
pub const MOST: usize = 500;
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A message of a batch.
#[derive(Debug, Clone)]
pub struct BatchMessage {
    /// Where to: all of a batch go to one stream, which allows batches.
    pub subject: String,
    /// Its headers, its id among them.
    pub headers: HeaderMap,
    /// Its body.
    pub payload: Bytes,
}

/// Not all of a batch is known to be stored. Sending each message again with the same id is safe.
#[derive(Debug, thiserror::Error)]
#[error("a batch may not be stored: {0}")]
pub struct BatchError(String);

/// The inbox of a connection's batches. One is under way at a time.
#[derive(Debug)]
pub(super) struct Inbox {
    subject: String,
    answers: Subscriber,
    /// Whose batches these are, for the server: a word that nobody else has.
    name: String,
    sent: u64,
}

/// What the server says of a batch, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Answer {
    /// In word of a batch that goes on or breaks off: `ack`, `gap`, `err`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// In the last answer: how many were stored.
    count: Option<usize>,
    error: Option<serde_json::Value>,
}

impl Bus {
    /// Stores messages in their order, at most [`MOST`] of them. After an error some may be stored.
    pub async fn publish_batch(&self, messages: Vec<BatchMessage>) -> Result<(), BatchError> {
        if messages.len() > MOST {
            return Err(BatchError(format!("it has {} messages, more than {MOST}", messages.len())));
        }
        let mut slot = self.batches.lock().await;
        let mut inbox = match slot.take() {
            Some(inbox) => inbox,
            None => Inbox::open(&self.client).await?,
        };
        let stored = tokio::time::timeout(PATIENCE, inbox.send(&self.client, messages));
        let stored = stored.await.unwrap_or_else(|_| Err(BatchError("no answer in time".to_owned())));
        // After an error the next one begins anew.
        *slot = stored.is_ok().then_some(inbox);
        stored
    }
}

impl Inbox {
    async fn open(client: &Client) -> Result<Self, BatchError> {
        let subject = client.new_inbox();
        let answers = client.subscribe(format!("{subject}.>")).await.map_err(|error| BatchError(error.to_string()))?;
        let name = uuid::Uuid::new_v4().simple().to_string();
        Ok(Self { subject, answers, name, sent: 0 })
    }

    async fn send(&mut self, client: &Client, messages: Vec<BatchMessage>) -> Result<(), BatchError> {
        let Some(last) = messages.len().checked_sub(1) else { return Ok(()) };
        self.sent += 1;
        let batch = format!("{}.{}-{}", self.subject, self.name, self.sent);
        for (nth, BatchMessage { subject, headers, payload }) in messages.into_iter().enumerate() {
            let operation = match nth {
                _ if nth == last => Operation::Commit,
                0 => Operation::Start,
                _ => Operation::Append,
            };
            let reply = format!("{batch}.{MOST}.fail.{}.{}.$FI", nth + 1, operation as u8);
            let sent = client.publish_with_reply_and_headers(subject, reply, headers, payload).await;
            sent.map_err(|error| BatchError(error.to_string()))?;
        }
        let sent = last + 1;
        loop {
            let Some(message) = self.answers.next().await else {
                return Err(BatchError("the connection is closed".to_owned()));
            };
            // Late words about the one before.
            if !message.subject.strip_prefix(batch.as_str()).is_some_and(|rest| rest.starts_with('.')) {
                continue;
            }
            match serde_json::from_slice(&message.payload) {
                Ok(Answer { kind: Some(kind), .. }) if kind == "ack" => {}
                Ok(Answer { kind: None, error: None, count: Some(count) }) if count == sent => return Ok(()),
                Ok(Answer { .. }) | Err(_) => {
                    return Err(BatchError(String::from_utf8_lossy(&message.payload).into_owned()));
                }
            }
        }
    }
}

/// What a message does to its batch.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Operation {
    Start = 0,
    Append = 1,
    Commit = 2,
}
