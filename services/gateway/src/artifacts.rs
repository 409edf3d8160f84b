//! The resource artifact: a stable link to bytes that live elsewhere.
//!
//! A page keeps our link; each use of it is redirected to a signed link that is valid for a while, so that nothing in a
//! page goes stale and no storage address is ever shown (W44, W55).

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use messages::artifact::{Content, ObjectRef};
use messages::query::{ArtifactLocation, AskArtifact};

use crate::access::Caller;
use crate::error::{Error, Refusal};
use crate::request::OfArtifact;
use crate::router::Shared;

/// The bytes of an artifact: a redirect to where they are now, or the JSON of a spec. `HEAD` describes the bytes
/// themselves, because a signed link is signed for reading only.
#[utoipa::path(get, path = "/api/artifacts/{artifact_id}/content", tag = "artifacts", params(OfArtifact), responses(
    (status = 200, description = "A spec.", body = Object),
    (status = 307, description = "Where the bytes are, for a while.", headers(("location" = String))),
    Refusal))]
pub async fn content(
    State(app): State<Shared>,
    caller: Caller,
    method: Method,
    at: OfArtifact,
) -> Result<Response, Error> {
    let question = AskArtifact { artifact_id: at.artifact_id };
    let location: ArtifactLocation = app.nats.ask_user(&caller.user, "artifact", &question).await?;
    let mut response = match location.content {
        Content::Spec(spec) => Json(spec).into_response(),
        Content::Object(object) if method == Method::HEAD => describe(&object),
        Content::Object(object) => {
            let link = app.objects.link(&object.key, app.settings.link_lifetime).await.map_err(Error::ObjectStore)?;
            let link = HeaderValue::from_str(&link).map_err(|_| Error::NoSuchRoute)?;
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, link)]).into_response()
        }
    };
    // The artifact never changes, but the redirect ends.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn describe(object: &ObjectRef) -> Response {
    let headers = [
        (header::CONTENT_TYPE, object.media_type.content_type().to_owned()),
        (header::CONTENT_LENGTH, object.size.to_string()),
        (header::ETAG, format!("\"{}\"", object.sha256)),
    ];
    (headers, axum::body::Body::empty()).into_response()
}
