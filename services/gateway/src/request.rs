//! What handlers take out of a request: ids from the path, a checked JSON body, the idempotency key.
//!
//! Nothing here can fail in a way that is not `application/problem+json`. A malformed id names nothing that exists, so it
//! is a 404 like any other unknown id.

use axum::body::HttpBody as _;
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures::StreamExt as _;
use messages::command::{Code, Rejection};
use messages::id::{ArtifactId, CheckpointId, CommandId, VideoId};
use serde::de::{DeserializeOwned, IgnoredAny};
use utoipa::IntoParams;

use crate::error::Error;

/// The largest body of a command, bytes: what the stream takes (64 KiB) less subject, headers and what re-encoding adds.
pub const MAX_BODY: usize = 60 * 1024;

/// How much of an oversized body is read and thrown away, bytes, so that its sender gets to read the refusal.
pub const MAX_DRAINED: usize = 32 * 1024 * 1024;

/// `{video_id}` of the path.
#[derive(Debug, Clone, Copy, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OfVideo {
    /// The video, `vid-…`.
    #[param(value_type = String)]
    pub video_id: VideoId,
}

/// `{video_id}` and `{checkpoint_id}` of the path.
#[derive(Debug, Clone, Copy, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OfCheckpoint {
    /// The video, `vid-…`.
    #[param(value_type = String)]
    pub video_id: VideoId,
    /// The checkpoint, `cp-…`.
    #[param(value_type = String)]
    pub checkpoint_id: CheckpointId,
}

/// `{artifact_id}` of the path.
#[derive(Debug, Clone, Copy, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OfArtifact {
    /// The artifact, `art-…`.
    #[param(value_type = String)]
    pub artifact_id: ArtifactId,
}

impl<S: Send + Sync> FromRequestParts<S> for OfVideo {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Ok(Self { video_id: path_id(parts, state, "video_id", Code::UnknownVideo).await? })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OfCheckpoint {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Ok(Self {
            video_id: path_id(parts, state, "video_id", Code::UnknownVideo).await?,
            checkpoint_id: path_id(parts, state, "checkpoint_id", Code::UnknownCheckpoint).await?,
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OfArtifact {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Ok(Self { artifact_id: path_id(parts, state, "artifact_id", Code::UnknownArtifact).await? })
    }
}

async fn path_id<S: Send + Sync, T: std::str::FromStr<Err: std::fmt::Display>>(
    parts: &mut Parts,
    state: &S,
    name: &str,
    unknown: Code,
) -> Result<T, Error> {
    // A path that is not UTF-8 names nothing either.
    let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Error::NoSuchRoute)?;
    let text = params.iter().find(|(key, _)| *key == name).map(|(_, value)| value).unwrap_or_default();
    text.parse().map_err(|error: T::Err| Rejection::new(unknown, error.to_string()).into())
}

/// The query string as `T`, which denies fields that it does not know.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(error) => Err(Error::field("query", error.body_text())),
        }
    }
}

/// The body as `T`; an empty one is an empty object.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        read(&whole(request.into_body()).await?).map(Self)
    }
}

/// Reads a JSON object, naming the field that is wrong.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let not_json = |reason: String| Error::from(Rejection::new(Code::NotJson, reason));
    let text = std::str::from_utf8(body).map_err(|error| not_json(format!("the body is not UTF-8: {error}")))?;
    // Serde would also read a struct from a list of its fields; the contract knows objects only.
    if !text.trim_start().is_empty() && !text.trim_start().starts_with('{') {
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| not_json(format!("the body is not JSON: {error}")))?;
        return Err(Error::field("body", "must be a JSON object"));
    }
    Ok(messages::command::read(body)?)
}

/// The whole body, at most [`MAX_BODY`] bytes of it.
async fn whole(body: axum::body::Body) -> Result<Bytes, Error> {
    let declared = body.size_hint().lower();
    let mut pieces = body.into_data_stream();
    let (mut kept, mut read) = (Vec::new(), 0usize);
    let too_large = |read: usize| read > MAX_BODY || declared > MAX_BODY as u64;
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| {
            Rejection::new(Code::NotJson, format!("the body broke off after {read} bytes: {error}"))
        })?;
        read += piece.len();
        if too_large(read) {
            kept = Vec::new();
            if read > MAX_DRAINED {
                break;
            }
        } else {
            kept.extend_from_slice(&piece);
        }
    }
    if too_large(read) { Err(Error::TooLarge(MAX_BODY)) } else { Ok(kept.into()) }
}

/// `Idempotency-Key`: the command's id when the client names it.
#[derive(Debug)]
pub struct Key(pub Option<CommandId>);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        idempotency_key(&parts.headers).map(Self)
    }
}

impl Key {
    /// The client's id, else a new one.
    pub fn or_new(self) -> Result<CommandId, Error> {
        match self.0 {
            Some(id) => Ok(id),
            None => new_command_id(),
        }
    }
}

fn new_command_id() -> Result<CommandId, Error> {
    let id = uuid::Uuid::now_v7().to_string();
    id.parse().map_err(|_| Error::field("Idempotency-Key", "none could be made"))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<CommandId>, Error> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    if keys.next().is_some() {
        return Err(Error::field("Idempotency-Key", "must be given once"));
    }
    let parsed = key.to_str().ok().and_then(|text| text.parse().ok());
    parsed
        .map(Some)
        .ok_or_else(|| Error::field("Idempotency-Key", "must be 1 to 128 printable ASCII characters without spaces"))
}

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// `Last-Event-ID` of a reconnecting event stream; none when there is none or it is not a number.
pub fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(LAST_EVENT_ID)?.to_str().ok()?;
    // Only the digits that we wrote: `+1` and ` 1` were never an id of ours.
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

const LAST_EVENT_ID: header::HeaderName = header::HeaderName::from_static("last-event-id");

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only whether it can be read matters")]
        title: String,
    }

    fn refused(body: &[u8]) -> Rejection {
        match read::<Sample>(body) {
            Err(Error::Refused(rejection)) => rejection,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn a_body_that_is_not_json_is_not_a_wrong_field() {
        for body in [&b"{"[..], b"title=x", b"{\"title\": \"\xff\"}", b"\xff\xfe", b"[1,"] {
            assert_eq!(refused(body).code, Code::NotJson, "{}", String::from_utf8_lossy(body));
        }
        for body in [&b"[\"x\"]"[..], b"\"x\"", b"null", b"{}", b"", b"{\"title\": 1}"] {
            assert_eq!(refused(body).code, Code::Invalid, "{}", String::from_utf8_lossy(body));
        }
        assert!(refused(b"{\"titel\": \"x\"}").errors[0].reason.contains("titel"));
    }

    #[tokio::test]
    async fn a_body_may_not_be_larger_than_a_command() {
        let fits = axum::body::Body::from(vec![b' '; MAX_BODY]);
        assert_eq!(whole(fits).await.expect("fits").len(), MAX_BODY);
        let large = axum::body::Body::from(vec![b' '; MAX_BODY + 1]);
        assert!(matches!(whole(large).await, Err(Error::TooLarge(_))));
    }

    #[test]
    fn an_unusable_idempotency_key_is_refused() {
        let mut headers = HeaderMap::new();
        assert!(idempotency_key(&headers).expect("none is fine").is_none());
        for bad in ["", "two words", &"x".repeat(129)] {
            headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_str(bad).expect("a header"));
            assert!(idempotency_key(&headers).is_err(), "{bad}");
        }
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static("click-1"));
        assert_eq!(idempotency_key(&headers).expect("fine").expect("given").as_str(), "click-1");
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("click-2"));
        assert!(idempotency_key(&headers).is_err());
    }

    #[test]
    fn an_unreadable_last_event_id_counts_as_none() {
        let id = |text: &'static str| {
            last_event_id(&HeaderMap::from_iter([(LAST_EVENT_ID, HeaderValue::from_static(text))]))
        };
        assert_eq!((id("0"), id("17")), (Some(0), Some(17)));
        for unreadable in ["", "-1", "+1", "x", "1.5", "99999999999999999999"] {
            assert_eq!(id(unreadable), None, "{unreadable}");
        }
    }
}
