//! Publishing to a stream: an answer means stored.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishError as ClientError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::Bus;
use crate::backoff::Backoff;

/// Where a message was stored.
pub type PubAck = async_nats::jetstream::publish::PublishAck;

/// The answer to a message that is on its way.
pub type Receipt = BoxFuture<'static, Result<PubAck, PublishError>>;

/// How long [`Bus::publish`] tries: longer than the stalls of a cluster that lost its leader (12 s measured).
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one try waits for its answer.
const ONE_TRY: Duration = Duration::from_secs(5);

/// Why a message is not known to be stored.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// NATS or the stream is away. The message may be stored or not; sending it again with the same id is safe.
    #[error("`{subject}` cannot be stored now: {reason}")]
    Unavailable {
        /// Where to.
        subject: String,
        /// What happened last.
        reason: String,
    },
    /// The stream does not take it, now or later.
    #[error("`{subject}` was refused: {reason}")]
    Refused {
        /// Where to.
        subject: String,
        /// What the server said.
        reason: String,
    },
    /// The message is larger than the stream takes.
    #[error("`{subject}` was refused: the message is too large")]
    TooLarge {
        /// Where to.
        subject: String,
    },
}

impl Bus {
    /// Stores a message, trying again for up to 30 s; streams that are gone are created again.
    ///
    /// `message_id` makes a repeat recognisable inside the stream's duplicate window. Without one, a try whose answer was
    /// lost may store the message twice.
    pub async fn publish(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
        message_id: Option<&str>,
    ) -> Result<PubAck, PublishError> {
        self.publish_within(PATIENCE, subject, headers, payload, message_id).await
    }

    /// The same, with another limit to how long it is tried.
    pub async fn publish_within(
        &self,
        patience: Duration,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
        message_id: Option<&str>,
    ) -> Result<PubAck, PublishError> {
        let deadline = Instant::now() + patience;
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).min(ONE_TRY);
            let message = message(headers.clone(), payload.clone(), message_id);
            let once = async { self.jetstream.send_publish(subject.clone(), message).await?.await };
            let (gone, reason) = match tokio::time::timeout(left, once).await {
                Ok(Ok(ack)) => return Ok(ack),
                Ok(Err(error)) => match judge(&subject, &error) {
                    PublishError::Unavailable { reason, .. } => {
                        (error.kind() == PublishErrorKind::StreamNotFound, reason)
                    }
                    last => return Err(last),
                },
                Err(_) => (false, "no answer in time".to_owned()),
            };
            let wait = backoff.next_wait();
            if Instant::now() + wait >= deadline {
                return Err(PublishError::Unavailable { subject, reason });
            }
            tracing::debug!(subject, reason, "publishing again");
            if gone {
                // Mostly an election, seldom a wipe: making sure is right for both.
                match tokio::time::timeout_at(deadline, self.restore_streams()).await {
                    Ok(Ok(())) | Err(_) => {}
                    Ok(Err(error)) => tracing::debug!(error = %error, "the streams are not back yet"),
                }
            }
            tokio::time::sleep(wait.min(deadline.saturating_duration_since(Instant::now()))).await;
        }
    }

    /// Sends a message now, once, and gives its answer as a future: many can be on their way in order. Returns when the
    /// message is in the connection's queue.
    pub async fn publish_async(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
        message_id: Option<&str>,
    ) -> Result<Receipt, PublishError> {
        let message = message(headers, payload, message_id);
        let sending = self.jetstream.send_publish(subject.clone(), message);
        let answer = sending.await.map_err(|error| judge(&subject, &error))?;
        Ok(Box::pin(async move { answer.await.map_err(|error| judge(&subject, &error)) }))
    }
}

fn message(headers: HeaderMap, payload: Bytes, message_id: Option<&str>) -> PublishMessage {
    let message = PublishMessage::build().payload(payload).headers(headers);
    match message_id {
        Some(id) => message.message_id(id),
        None => message,
    }
}

/// What an error of the client means for the message.
fn judge(subject: &str, error: &ClientError) -> PublishError {
    let subject = subject.to_owned();
    match error.kind() {
        PublishErrorKind::StreamNotFound
        | PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending => PublishError::Unavailable { subject, reason: error.kind().to_string() },
        PublishErrorKind::MaxPayloadExceeded => PublishError::TooLarge { subject },
        PublishErrorKind::WrongLastMessageId | PublishErrorKind::WrongLastSequence => {
            PublishError::Refused { subject, reason: error.kind().to_string() }
        }
        PublishErrorKind::Other => {
            let cause = std::error::Error::source(error)
                .and_then(|cause| cause.downcast_ref::<async_nats::jetstream::Error>().cloned());
            match cause {
                Some(cause) => judge_code(subject, cause.code(), cause.error_code(), cause.to_string()),
                None => PublishError::Unavailable { subject, reason: error.to_string() },
            }
        }
    }
}

/// The server says whose fault it is, as HTTP does: 400 is the message's, all else is its own and may pass. A missing stream
/// comes back, and a full account is emptied.
fn judge_code(subject: String, status: usize, code: ErrorCode, reason: String) -> PublishError {
    const PASSING: [ErrorCode; 2] = [ErrorCode::STREAM_NOT_FOUND, ErrorCode::ACCOUNT_RESOURCES_EXCEEDED];
    if [ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM, ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM].contains(&code) {
        PublishError::TooLarge { subject }
    } else if status == 400 && !PASSING.contains(&code) {
        PublishError::Refused { subject, reason }
    } else {
        PublishError::Unavailable { subject, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_the_messages_own_fault_is_refused() {
        let judged = |status, code| judge_code("a.b".to_owned(), status, code, "so it says".to_owned());
        for (status, code) in [
            (503, ErrorCode::CLUSTER_NOT_AVAILABLE),
            (503, ErrorCode::STREAM_STORE_FAILED),
            (503, ErrorCode::INSUFFICIENT_RESOURCES),
            (500, ErrorCode::STORAGE_RESOURCES_EXCEEDED),
            (404, ErrorCode::STREAM_NOT_FOUND),
            (400, ErrorCode::ACCOUNT_RESOURCES_EXCEEDED),
        ] {
            assert!(matches!(judged(status, code), PublishError::Unavailable { .. }), "{status} {code:?}");
        }
        let too_large = judged(400, ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM);
        assert!(matches!(too_large, PublishError::TooLarge { .. }), "{too_large:?}");
        assert!(matches!(judged(400, ErrorCode::BAD_REQUEST), PublishError::Refused { .. }));
    }
}
