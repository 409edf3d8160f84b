//! Every way a request can fail, and the one place that turns it into a status and an `application/problem+json` body
//! (RFC 9457).
//!
//! Refusals of the coordinator pass through with their own code; only what goes wrong between the socket and the bus is
//! named here. What is our fault is logged once, here.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use messages::artifact::MediaType;
use messages::command::{Code, Rejection};
use messages::id::CommandId;
use messages::violation::Violation;
use runtime::artifacts::ObjectError;
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

/// Why a request is not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Refused in the contract's own words.
    #[error(transparent)]
    Refused(#[from] Rejection),
    /// No route has this path.
    #[error("there is nothing at this path; /api/openapi.json lists what there is")]
    NoSuchRoute,
    /// The path is known, the method is not.
    #[error("this path does not know that method")]
    MethodNotAllowed,
    /// The body is of a type that this route does not read.
    #[error("the body must be sent as {0}")]
    UnsupportedMediaType(&'static str),
    /// An upload is something else, whatever its name and its declared type say.
    #[error("the upload is none of {}, by its first bytes", names(.0))]
    UnfitMedia(&'static [MediaType]),
    /// The body is larger than a command, or a file of its kind, may be.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// A form that cannot be read to its end.
    #[error("the form cannot be read: {0}")]
    BrokenForm(String),
    /// Too many files are being received.
    #[error("too many uploads are being received; try again in a moment")]
    TooManyUploads,
    /// There is no key in the request, or none that opens.
    #[error("{}", .0.detail())]
    Unauthorized(Unlocked),
    /// The request is addressed to a name that is not ours: DNS rebinding, or a proxy that is not configured.
    #[error("the Host `{0}` is not this server's; add it to `public_origins` if it should be")]
    ForbiddenHost(String),
    /// A page of another origin asks.
    #[error("the Origin does not match the Host")]
    ForbiddenOrigin,
    /// NATS is not there, or did not say whether it stored the command.
    #[error("NATS is not there: {reason}; asking again with the same Idempotency-Key is safe")]
    NatsAway {
        /// What was tried.
        reason: String,
        /// The command that may or may not be stored.
        command_id: Option<CommandId>,
    },
    /// Nobody answers queries.
    #[error("no coordinator answers")]
    NoCoordinator,
    /// The object store gives no link, or takes no upload.
    #[error("stored bytes cannot be reached now")]
    ObjectStore(#[source] ObjectError),
    /// An answer on the bus is not what the contract says.
    #[error("{what} is not what the contract says")]
    BadAnswer {
        /// Which answer.
        what: &'static str,
        /// What the reader said.
        #[source]
        source: serde_json::Error,
    },
}

/// Why no key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlocked {
    /// There is none.
    NoKey,
    /// What was sent is no key, or not one of ours, or was revoked: which one is nobody's business.
    BadKey,
}

impl Unlocked {
    const fn detail(self) -> &'static str {
        match self {
            Self::NoKey => "send an API key as `Authorization: Bearer KEY`; `dailies key create` makes one",
            Self::BadKey => "the API key does not open this gateway",
        }
    }

    /// The challenge of RFC 6750.
    const fn challenge(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::NoKey => "Bearer realm=\"dailies\"",
            Self::BadKey => "Bearer realm=\"dailies\", error=\"invalid_token\"",
        })
    }
}

impl Error {
    /// One field is wrong.
    pub fn field(field: &str, reason: impl Into<String>) -> Self {
        Self::Refused(Rejection::invalid(vec![Violation::new(field, reason)]))
    }

    /// The status and the stable code: the whole mapping.
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Refused(rejection) => {
                let status = StatusCode::from_u16(rejection.code.http_status());
                (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), rejection.code.name())
            }
            Self::NoSuchRoute => (StatusCode::NOT_FOUND, "unknown_path"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::UnsupportedMediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::UnfitMedia(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::BrokenForm(_) => (StatusCode::BAD_REQUEST, "broken_form"),
            Self::TooManyUploads => (StatusCode::TOO_MANY_REQUESTS, "too_many_uploads"),
            Self::Unauthorized(_) => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::ForbiddenHost(_) => (StatusCode::FORBIDDEN, "forbidden_host"),
            Self::ForbiddenOrigin => (StatusCode::FORBIDDEN, "forbidden_origin"),
            Self::NatsAway { .. } => (StatusCode::SERVICE_UNAVAILABLE, "nats_unavailable"),
            Self::NoCoordinator => (StatusCode::SERVICE_UNAVAILABLE, "no_coordinator"),
            Self::ObjectStore(ObjectError::NotFound(_)) => (StatusCode::NOT_FOUND, "unknown_artifact"),
            Self::ObjectStore(_) => (StatusCode::SERVICE_UNAVAILABLE, "object_store_unavailable"),
            Self::BadAnswer { .. } => (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal.name()),
        }
    }

    /// Whether the video does not exist for the one who asks.
    pub fn is_unknown_video(&self) -> bool {
        matches!(self, Self::Refused(rejection) if matches!(rejection.code, Code::UnknownVideo | Code::VideoDeleted))
    }
}

/// The body of every refusal.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: `code` says more.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what to do, for people.
    pub detail: String,
    /// Stable, for programs.
    pub code: &'static str,
    /// Every field that is wrong, when fields are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<WrongField>,
    /// The command, when it is not known whether it was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

/// One field that is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct WrongField {
    /// The field's path: `beats[2].duration`.
    pub field: String,
    /// What must be so, in words.
    pub reason: String,
}

/// Every refusal of every route.
#[derive(Debug, IntoResponses)]
#[response(
    status = "default",
    description = "Refused: see `code`, and `errors` for fields.",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "it only documents what `Error` answers")]
pub struct Refusal(#[to_schema] Problem);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            tracing::warn!(code, error = %Chain(&self), "request could not be served");
        } else if status.is_server_error() {
            tracing::error!(code, error = %Chain(&self), "request failed");
        }
        let challenge = match &self {
            Self::Unauthorized(why) => Some(why.challenge()),
            _ => None,
        };
        let detail = match &self {
            Self::Refused(rejection) => rejection.reason.clone(),
            other => other.to_string(),
        };
        let (errors, command_id) = match self {
            Self::Refused(rejection) => (rejection.errors, None),
            Self::NatsAway { command_id, .. } => (Vec::new(), command_id.map(|id| id.to_string())),
            _ => (Vec::new(), None),
        };
        let errors = errors.into_iter().map(|error| WrongField { field: error.field, reason: error.reason }).collect();
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        let body = Problem { kind: "about:blank", title, status: status.as_u16(), detail, code, errors, command_id };

        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(challenge.map(|challenge| (header::WWW_AUTHENTICATE, challenge)));
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn names(known: &[MediaType]) -> String {
    known.iter().map(|known| known.content_type()).collect::<Vec<_>>().join(", ")
}

/// An error with its causes, for the log.
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered(error: Error) -> (StatusCode, String, serde_json::Value) {
        let response = error.into_response();
        let status = response.status();
        let kind = response.headers()[header::CONTENT_TYPE].to_str().expect("text").to_owned();
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.expect("a body");
        (status, kind, serde_json::from_slice(&body).expect("JSON"))
    }

    #[tokio::test]
    async fn a_refusal_of_the_coordinator_keeps_its_code_and_its_fields() {
        let (status, kind, body) = answered(Error::field("prompt", "must be 10 to 1000 characters")).await;
        assert_eq!((status.as_u16(), kind.as_str()), (422, "application/problem+json"));
        assert_eq!(body["code"], "invalid");
        assert_eq!(body["errors"][0]["field"], "prompt");
        assert_eq!(body["status"], 422);
    }

    #[tokio::test]
    async fn every_code_of_the_contract_answers_with_its_own_status() {
        for code in Code::ALL {
            let (status, _, body) = answered(Error::Refused(Rejection::new(*code, "why"))).await;
            assert_eq!((status.as_u16(), body["code"].as_str()), (code.http_status(), Some(code.name())));
        }
    }
}
