//! The resource checkpoint: what waits for a person, and what the person says.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use messages::artifact::Digest;
use messages::checkpoint::{Abandon, Approve, Fork, Pin, Reject};
use messages::command::{Code, Command, Rejection};
use messages::id::CheckpointId;
use messages::query::{AskCheckpoint, AskCompare};
use serde::Deserialize;
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::commands::{Stored, send};
use crate::error::{Error, Refusal};
use crate::request::{Body, Key, OfCheckpoint, OfVideo, Params};
use crate::router::Shared;
use crate::videos::IdempotencyKey;
use crate::views;

/// Whose checkpoints.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OnBranch {
    /// Only this branch's.
    branch_name: Option<String>,
}

/// All checkpoints, by creation.
#[utoipa::path(get, path = "/api/video/{video_id}/checkpoints", tag = "checkpoints", params(OfVideo, OnBranch),
    responses((status = 200, body = [views::Checkpoint]), Refusal))]
pub async fn list(
    State(app): State<Shared>,
    caller: Caller,
    at: OfVideo,
    Params(on): Params<OnBranch>,
) -> Result<Json<Vec<views::Checkpoint>>, Error> {
    Ok(Json(ask_list(&app, &caller, at, on).await?))
}

/// The newest checkpoint that waits; 404 when none does.
#[utoipa::path(get, path = "/api/video/{video_id}/checkpoints/current", tag = "checkpoints",
    params(OfVideo, OnBranch), responses((status = 200, body = views::Checkpoint), Refusal))]
pub async fn current(
    State(app): State<Shared>,
    caller: Caller,
    at: OfVideo,
    Params(on): Params<OnBranch>,
) -> Result<Json<views::Checkpoint>, Error> {
    let checkpoints = ask_list(&app, &caller, at, on).await?;
    let newest = checkpoints.into_iter().rfind(|checkpoint| checkpoint.status == "pending");
    let none = || Rejection::new(Code::UnknownCheckpoint, "no checkpoint waits for anybody");
    Ok(Json(newest.ok_or_else(none)?))
}

async fn ask_list(app: &Shared, caller: &Caller, at: OfVideo, on: OnBranch) -> Result<Vec<views::Checkpoint>, Error> {
    let mut all = app.nats.checkpoints(&caller.user, at.video_id, on.branch_name.as_deref()).await?;
    all.iter_mut().for_each(|checkpoint| checkpoint.make_links_absolute(&caller.base));
    Ok(all)
}

/// One checkpoint with every version of each artifact.
#[utoipa::path(get, path = "/api/video/{video_id}/checkpoints/{checkpoint_id}", tag = "checkpoints",
    params(OfCheckpoint), responses((status = 200, body = views::Checkpoint), Refusal))]
pub async fn show(
    State(app): State<Shared>,
    caller: Caller,
    at: OfCheckpoint,
) -> Result<Json<views::Checkpoint>, Error> {
    let question = AskCheckpoint { checkpoint_id: at.checkpoint_id };
    let mut checkpoint: views::Checkpoint =
        app.nats.ask_video(&caller.user, at.video_id, "checkpoint", &question).await?;
    checkpoint.make_links_absolute(&caller.base);
    Ok(Json(checkpoint))
}

/// Every checkpoint in its place.
#[utoipa::path(get, path = "/api/video/{video_id}/checkpoint-tree", tag = "checkpoints", params(OfVideo),
    responses((status = 200, body = [views::TreeNode]), Refusal))]
pub async fn tree(State(app): State<Shared>, caller: Caller, at: OfVideo) -> Result<Json<Vec<views::TreeNode>>, Error> {
    Ok(Json(app.nats.ask_video(&caller.user, at.video_id, "tree", &json!({})).await?))
}

/// Every branch and where it stands.
#[utoipa::path(get, path = "/api/video/{video_id}/branches", tag = "checkpoints", params(OfVideo),
    responses((status = 200, body = [views::Branch]), Refusal))]
pub async fn branches(
    State(app): State<Shared>,
    caller: Caller,
    at: OfVideo,
) -> Result<Json<Vec<views::Branch>>, Error> {
    Ok(Json(app.nats.ask_video(&caller.user, at.video_id, "branches", &json!({})).await?))
}

/// The two checkpoints to compare.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Pair {
    /// One checkpoint.
    a: String,
    /// The other.
    b: String,
}

/// What differs between two checkpoints.
#[utoipa::path(get, path = "/api/video/{video_id}/compare", tag = "checkpoints", params(OfVideo, Pair),
    responses((status = 200, body = views::Comparison), Refusal))]
pub async fn compare(
    State(app): State<Shared>,
    caller: Caller,
    at: OfVideo,
    Params(pair): Params<Pair>,
) -> Result<Json<views::Comparison>, Error> {
    let known =
        |text: &str| text.parse::<CheckpointId>().map_err(|e| Rejection::new(Code::UnknownCheckpoint, e.to_string()));
    let question = AskCompare { a: known(&pair.a)?, b: known(&pair.b)? };
    let mut compared: views::Comparison = app.nats.ask_video(&caller.user, at.video_id, "compare", &question).await?;
    compared.make_links_absolute(&caller.base);
    Ok(Json(compared))
}

/// A decision to go on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Continue {
    /// The checkpoint that was looked at.
    checkpoint_id: String,
    /// `same` to stay on this branch also after a change, a name to open a branch of that name.
    branch: Option<String>,
    /// The digest of what was looked at; if it moved since, the approval is refused.
    digest: Option<String>,
    /// Kept with the approval.
    note: Option<String>,
    /// Go on although something is stale.
    #[serde(default)]
    accept_stale: bool,
}

/// Approve a checkpoint: its branch goes on.
#[utoipa::path(post, path = "/api/video/{video_id}/continue", tag = "checkpoints", request_body = Continue,
    params(OfVideo, IdempotencyKey), responses(
    (status = 200, body = views::Continued), (status = 202, body = Stored), Refusal))]
pub async fn approve(
    State(app): State<Shared>,
    caller: Caller,
    at: OfVideo,
    key: Key,
    Body(body): Body<Continue>,
) -> Result<Response, Error> {
    // An id that cannot exist is unknown, whether it stands in a path or in a body.
    let unknown = |error: messages::id::InvalidId| Rejection::new(Code::UnknownCheckpoint, error.to_string());
    let digest = body.digest.map(|text| text.parse::<Digest>()).transpose();
    let command = Command::Approve(Approve {
        checkpoint_id: body.checkpoint_id.parse().map_err(unknown)?,
        branch: body.branch,
        digest: digest.map_err(|error| Error::field("digest", error.to_string()))?,
        note: body.note,
        accept_stale: body.accept_stale,
    });
    send(&app, &caller, at.video_id, key.or_new()?, command, StatusCode::OK).await
}

/// Why a phase is to be made again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Notes {
    /// What should be different.
    notes: String,
}

/// Have the phase made again with notes, as the next version.
#[utoipa::path(post, path = "/api/video/{video_id}/checkpoints/{checkpoint_id}/reject", tag = "checkpoints",
    request_body = Notes, params(OfCheckpoint, IdempotencyKey), responses(
    (status = 200, body = views::Changed), (status = 202, body = Stored), Refusal))]
pub async fn reject(
    State(app): State<Shared>,
    caller: Caller,
    at: OfCheckpoint,
    key: Key,
    Body(body): Body<Notes>,
) -> Result<Response, Error> {
    let command = Command::Reject(Reject { checkpoint_id: at.checkpoint_id, notes: body.notes });
    send(&app, &caller, at.video_id, key.or_new()?, command, StatusCode::OK).await
}

/// A body without fields.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Say that a checkpoint leads nowhere.
#[utoipa::path(post, path = "/api/video/{video_id}/checkpoints/{checkpoint_id}/abandon", tag = "checkpoints",
    request_body = Nothing, params(OfCheckpoint, IdempotencyKey), responses(
    (status = 200, body = views::Done), (status = 202, body = Stored), Refusal))]
pub async fn abandon(
    State(app): State<Shared>,
    caller: Caller,
    at: OfCheckpoint,
    key: Key,
    Body(Nothing {}): Body<Nothing>,
) -> Result<Response, Error> {
    let command = Command::Abandon(Abandon { checkpoint_id: at.checkpoint_id });
    send(&app, &caller, at.video_id, key.or_new()?, command, StatusCode::OK).await
}

/// Where to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBranch {
    /// The new branch's name; none means an automatic one.
    branch: Option<String>,
}

/// Open a branch whose first checkpoint has the same selection and waits.
#[utoipa::path(post, path = "/api/video/{video_id}/checkpoints/{checkpoint_id}/fork", tag = "checkpoints",
    request_body = NewBranch, params(OfCheckpoint, IdempotencyKey), responses(
    (status = 200, body = views::Changed), (status = 202, body = Stored), Refusal))]
pub async fn fork(
    State(app): State<Shared>,
    caller: Caller,
    at: OfCheckpoint,
    key: Key,
    Body(body): Body<NewBranch>,
) -> Result<Response, Error> {
    let command = Command::Fork(Fork { checkpoint_id: at.checkpoint_id, branch: body.branch });
    send(&app, &caller, at.video_id, key.or_new()?, command, StatusCode::OK).await
}

/// Whether to keep.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// False lets it go again; true when left out.
    pinned: Option<bool>,
}

/// Keep a checkpoint whatever retention says.
#[utoipa::path(put, path = "/api/video/{video_id}/checkpoints/{checkpoint_id}/pin", tag = "checkpoints",
    request_body = Pinned, params(OfCheckpoint, IdempotencyKey), responses(
    (status = 200, body = views::Done), (status = 202, body = Stored), Refusal))]
pub async fn pin(
    State(app): State<Shared>,
    caller: Caller,
    at: OfCheckpoint,
    key: Key,
    Body(body): Body<Pinned>,
) -> Result<Response, Error> {
    let command = Command::Pin(Pin { checkpoint_id: at.checkpoint_id, pinned: body.pinned.unwrap_or(true) });
    send(&app, &caller, at.video_id, key.or_new()?, command, StatusCode::OK).await
}
