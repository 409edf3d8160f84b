//! The resource video: asked for, looked at, changed as a whole, deleted.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use messages::command::Command;
use messages::id::{JobId, VideoId};
use messages::money::Usd;
use messages::query::{AskHistory, ListVideos, VideoStatus};
use messages::video::{Cancel, ChangeSettings, CreateVideo, Delete, Retry};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::commands::{Stored, send};
use crate::error::{Error, Refusal};
use crate::request::{Body, Key, OfVideo, Params};
use crate::router::Shared;
use crate::views;

/// What a film should be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    /// What happens in it, 10 to 1000 characters.
    prompt: String,
    /// At most 200 characters.
    title: Option<String>,
    /// At most 2000 characters.
    description: Option<String>,
    /// The video model's name, see `/api/models`.
    model: Option<String>,
    /// Whether checkpoints approve themselves.
    #[serde(default)]
    #[schema(value_type = views::AutoContinue)]
    auto_continue: messages::video::AutoContinue,
    /// Not supported yet; must be empty.
    #[serde(default)]
    reference_assets: Vec<Value>,
    /// Seconds, 5 to 180.
    duration: Option<i64>,
    /// `16:9`, `9:16`, `1:1` or `4:5`.
    aspect_ratio: Option<String>,
    /// The archetype, see `/api/templates`.
    template: Option<String>,
    /// 0 to 1.
    creativity: Option<f64>,
    /// The same seed gives the same artifacts.
    seed: Option<u64>,
    /// The most that the video may cost, dollars.
    #[schema(value_type = Option<f64>)]
    budget_usd: Option<Usd>,
    /// The video's id, when the client makes it; else derived from the command's, the `Idempotency-Key` or a new one.
    #[schema(value_type = Option<String>)]
    video_id: Option<VideoId>,
}

/// Ask for a film. Planning starts at once; the film stops at its first checkpoint.
#[utoipa::path(post, path = "/api/generate", tag = "videos", request_body = Generate, params(IdempotencyKey), responses(
    (status = 202, body = views::Created), Refusal))]
pub async fn generate(
    State(app): State<Shared>,
    caller: Caller,
    key: Key,
    Body(body): Body<Generate>,
) -> Result<Response, Error> {
    let id = key.or_new()?;
    // Whoever sends the command again with the id that it was answered with means the same video.
    let video = body.video_id.unwrap_or_else(|| VideoId::derived(&caller.user, id.as_str()));
    let command = Command::Create(CreateVideo {
        prompt: body.prompt,
        title: body.title,
        description: body.description,
        model: body.model,
        auto_continue: body.auto_continue,
        reference_assets: body.reference_assets,
        duration: body.duration,
        aspect_ratio: body.aspect_ratio,
        template: body.template,
        creativity: body.creativity,
        seed: body.seed,
        budget_usd: body.budget_usd,
    });
    send(&app, &caller, video, id, command, StatusCode::ACCEPTED).await
}

/// Which videos to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Listing {
    /// Only those of this status.
    #[param(schema_with = views::video_status)]
    status: Option<String>,
    /// 1 to 100, 20 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Your videos, newest first.
#[utoipa::path(get, path = "/api/videos", tag = "videos", params(Listing), responses(
    (status = 200, body = views::Videos), Refusal))]
pub async fn list(
    State(app): State<Shared>,
    caller: Caller,
    Params(listing): Params<Listing>,
) -> Result<Json<views::Videos>, Error> {
    let unknown_status = || {
        let known = VideoStatus::ALL.map(VideoStatus::name).join(", ");
        Error::field("status", format!("must be one of {known}"))
    };
    let status = listing.status.map(|name| VideoStatus::from_name(&name).ok_or_else(unknown_status)).transpose()?;
    let limit = listing.limit.map(|text| {
        let number = text.parse().ok().filter(|number| (1..=100).contains(number));
        number.ok_or_else(|| Error::field("limit", "must be 1 to 100"))
    });
    let question = ListVideos { status, limit: limit.transpose()?, cursor: listing.cursor };
    Ok(Json(app.nats.ask_user(&caller.user, "videos", &question).await?))
}

/// One video and what it was asked to be.
#[utoipa::path(get, path = "/api/video/{video_id}", tag = "videos", params(OfVideo), responses(
    (status = 200, body = views::Video), Refusal))]
pub async fn show(State(app): State<Shared>, caller: Caller, at: OfVideo) -> Result<Json<views::Video>, Error> {
    Ok(Json(app.nats.ask_video(&caller.user, at.video_id, "video", &json!({})).await?))
}

/// What may change about a video while it lives. A field that is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// At most 200 characters.
    title: Option<String>,
    /// Switching it on approves what already waits.
    #[schema(value_type = Option<views::AutoContinue>)]
    auto_continue: Option<messages::video::AutoContinue>,
    /// The most that the video may cost, dollars.
    #[schema(value_type = Option<f64>)]
    budget_usd: Option<Usd>,
}

/// Change title, auto-continue or budget.
#[utoipa::path(patch, path = "/api/video/{video_id}", tag = "videos", request_body = Change,
    params(OfVideo, IdempotencyKey), responses(
    (status = 200, body = views::Done), (status = 202, body = Stored), Refusal))]
pub async fn change(
    State(app): State<Shared>,
    caller: Caller,
    at: OfVideo,
    key: Key,
    Body(body): Body<Change>,
) -> Result<Response, Error> {
    let settings = ChangeSettings { title: body.title, auto_continue: body.auto_continue, budget_usd: body.budget_usd };
    send(&app, &caller, at.video_id, key.or_new()?, Command::Settings(settings), StatusCode::OK).await
}

/// Delete a video with all it made. Nothing brings it back.
#[utoipa::path(delete, path = "/api/video/{video_id}", tag = "videos", params(OfVideo, IdempotencyKey), responses(
    (status = 202, body = views::Done), Refusal))]
pub async fn delete(State(app): State<Shared>, caller: Caller, at: OfVideo, key: Key) -> Result<Response, Error> {
    send(&app, &caller, at.video_id, key.or_new()?, Command::Delete(Delete {}), StatusCode::ACCEPTED).await
}

/// Everything a page shows of a video.
#[utoipa::path(get, path = "/api/status/{video_id}", tag = "videos", params(OfVideo), responses(
    (status = 200, body = views::Status), Refusal))]
pub async fn status(State(app): State<Shared>, caller: Caller, at: OfVideo) -> Result<Json<views::Status>, Error> {
    let mut status: views::Status = app.nats.ask_video(&caller.user, at.video_id, "status", &json!({})).await?;
    status.make_links_absolute(&caller.base);
    Ok(Json(status))
}

/// Which branch.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OnBranch {
    /// Only this one; else every one that it makes sense for.
    branch: Option<String>,
}

/// Run again what failed or was cancelled, and only that.
#[utoipa::path(post, path = "/api/video/{video_id}/retry", tag = "videos", request_body = OnBranch,
    params(OfVideo, IdempotencyKey), responses(
    (status = 200, body = views::Moved), (status = 202, body = Stored), Refusal))]
pub async fn retry(
    State(app): State<Shared>,
    caller: Caller,
    at: OfVideo,
    key: Key,
    Body(body): Body<OnBranch>,
) -> Result<Response, Error> {
    let command = Command::Retry(Retry { branch: body.branch });
    send(&app, &caller, at.video_id, key.or_new()?, command, StatusCode::OK).await
}

/// Stop running work. What is made stays; `retry` goes on.
#[utoipa::path(post, path = "/api/video/{video_id}/cancel", tag = "videos", request_body = OnBranch,
    params(OfVideo, IdempotencyKey), responses(
    (status = 200, body = views::Moved), (status = 202, body = Stored), Refusal))]
pub async fn cancel(
    State(app): State<Shared>,
    caller: Caller,
    at: OfVideo,
    key: Key,
    Body(body): Body<OnBranch>,
) -> Result<Response, Error> {
    let command = Command::Cancel(Cancel { branch: body.branch });
    send(&app, &caller, at.video_id, key.or_new()?, command, StatusCode::OK).await
}

/// What to do about a paid job whose fate is unknown.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resolve {
    /// The job.
    #[schema(value_type = String)]
    job: JobId,
    /// `collect`, `pay_again` or `give_up`.
    #[schema(value_type = String)]
    decision: messages::checkpoint::Decision,
}

/// Decide about a paid job whose fate is unknown.
#[utoipa::path(post, path = "/api/video/{video_id}/resolve", tag = "videos", request_body = Resolve,
    params(OfVideo, IdempotencyKey), responses(
    (status = 200, body = views::Done), (status = 202, body = Stored), Refusal))]
pub async fn resolve(
    State(app): State<Shared>,
    caller: Caller,
    at: OfVideo,
    key: Key,
    Body(body): Body<Resolve>,
) -> Result<Response, Error> {
    let command = Command::Resolve(messages::checkpoint::Resolve { job: body.job, decision: body.decision });
    send(&app, &caller, at.video_id, key.or_new()?, command, StatusCode::OK).await
}

/// From where the event log is read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct After {
    /// Only what came after this `seq`.
    #[serde(default)]
    after_seq: u64,
}

/// The event log, a page at a time.
#[utoipa::path(get, path = "/api/video/{video_id}/history", tag = "videos", params(OfVideo, After), responses(
    (status = 200, body = views::History), Refusal))]
pub async fn history(
    State(app): State<Shared>,
    caller: Caller,
    at: OfVideo,
    Params(after): Params<After>,
) -> Result<Json<views::History>, Error> {
    let question = AskHistory { after_seq: after.after_seq };
    Ok(Json(app.nats.ask_video(&caller.user, at.video_id, "history", &question).await?))
}

/// What was spent on what, and what going on would cost.
#[utoipa::path(get, path = "/api/video/{video_id}/cost", tag = "videos", params(OfVideo), responses(
    (status = 200, body = views::Cost), Refusal))]
pub async fn cost(State(app): State<Shared>, caller: Caller, at: OfVideo) -> Result<Json<views::Cost>, Error> {
    Ok(Json(app.nats.ask_video(&caller.user, at.video_id, "cost", &json!({})).await?))
}

/// What was abandoned and will be collected, when, how much it takes and what it cost: a dry run of retention.
#[utoipa::path(get, path = "/api/video/{video_id}/retention", tag = "videos", params(OfVideo), responses(
    (status = 200, body = Vec<views::Collectible>), Refusal))]
pub async fn retention(
    State(app): State<Shared>,
    caller: Caller,
    at: OfVideo,
) -> Result<Json<Vec<views::Collectible>>, Error> {
    Ok(Json(app.nats.ask_video(&caller.user, at.video_id, "retention", &json!({})).await?))
}

/// The header that makes a repeat recognisable.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it documents what `Key` reads")]
pub struct IdempotencyKey {
    /// The command's id: the same key gets the first answer. 1 to 128 printable ASCII characters.
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
}
