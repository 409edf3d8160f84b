//! Asking and telling: request/reply, and hints that may get lost.

use std::time::Duration;

use async_nats::{HeaderMap, Message, RequestErrorKind};
use bytes::Bytes;

use super::Bus;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Nobody listens on that subject now.
    #[error("nobody answers on `{subject}`")]
    NoResponders {
        /// What was asked.
        subject: String,
    },
    /// Nobody answered in time; the request may have been heard. A subject that we may not use looks the same.
    #[error("no answer on `{subject}` in time")]
    TimedOut {
        /// What was asked.
        subject: String,
    },
    /// It could not be sent at all.
    #[error("`{subject}` cannot be asked")]
    Unsendable {
        /// What was asked.
        subject: String,
        /// Why.
        #[source]
        source: async_nats::RequestError,
    },
}

impl Bus {
    /// Asks and waits for one answer.
    pub async fn request(&self, subject: &str, payload: Bytes, timeout: Duration) -> Result<Bytes, RequestError> {
        self.request_message(subject, HeaderMap::new(), payload, timeout).await.map(|answer| answer.payload)
    }

    /// Asks with headers and gives the whole answer; errors of NATS services stand in its headers.
    pub async fn request_message(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Message, RequestError> {
        let mut request = async_nats::Request::new().payload(payload).timeout(Some(timeout));
        if !headers.is_empty() {
            request = request.headers(headers);
        }
        // While the connection is down the client's queue may be full, and waiting for a place in it is not bounded by
        // the request's own timeout.
        let answer = tokio::time::timeout(timeout, self.client.send_request(subject.to_owned(), request)).await;
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Err(_) => Err(RequestError::TimedOut { subject: subject.to_owned() }),
            Ok(Err(source)) => Err(match source.kind() {
                RequestErrorKind::NoResponders => RequestError::NoResponders { subject: subject.to_owned() },
                RequestErrorKind::TimedOut => RequestError::TimedOut { subject: subject.to_owned() },
                RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::Other => {
                    RequestError::Unsendable { subject: subject.to_owned(), source }
                }
            }),
        }
    }

    /// Tells whoever listens now. Never waits for long and never fails: a hint that is lost was only a hint.
    pub async fn notify(&self, subject: String, payload: Bytes) {
        let sending = self.client.publish(subject.clone(), payload);
        match tokio::time::timeout(Duration::from_secs(1), sending).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(subject, error = %error, "a hint was not sent"),
            Err(_) => tracing::debug!(subject, "a hint was not sent, the connection is busy"),
        }
    }
}
