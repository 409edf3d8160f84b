//! Changes to what a checkpoint holds: the spec, its sound, single artifacts, and which versions are selected.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use messages::artifact::ArtifactKey;
use messages::checkpoint::{Edit, Regenerate, Select, Take};
use messages::command::Command;
use messages::id::CheckpointId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::access::Caller;
use crate::commands::{Stored, send};
use crate::error::{Error, Refusal};
use crate::request::{Body, Key, OfCheckpoint};
use crate::router::Shared;
use crate::videos::IdempotencyKey;
use crate::views;

/// Change the spec: any of its fields (`beats`, `style`, `product`, `audio`, `transitions`, `template`), as a JSON Merge
/// Patch (RFC 7396). Lists are replaced whole; the coordinator checks the result.
#[utoipa::path(patch, path = "/api/video/{video_id}/checkpoints/{checkpoint_id}/spec", tag = "edits",
    request_body(content((Object = "application/json"), (Object = "application/merge-patch+json"))),
    params(OfCheckpoint, IdempotencyKey), responses(
    (status = 200, body = views::Changed), (status = 202, body = Stored), Refusal))]
pub async fn spec(
    State(app): State<Shared>,
    caller: Caller,
    at: OfCheckpoint,
    key: Key,
    Body(patch): Body<Map<String, Value>>,
) -> Result<Response, Error> {
    edit(&app, &caller, at, key, patch).await
}

/// How the film sounds. A field that is left out stays. Levels apply after the loudness normalisation.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Audio {
    /// Whether there is music at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    music: Option<bool>,
    /// `upbeat`, `cinematic`, `corporate`, `calm`, `energetic` or `advertising`.
    #[serde(skip_serializing_if = "Option::is_none")]
    music_style: Option<String>,
    /// How fast.
    #[serde(skip_serializing_if = "Option::is_none")]
    tempo: Option<String>,
    /// The feeling of the music.
    #[serde(skip_serializing_if = "Option::is_none")]
    mood: Option<String>,
    /// Decibels, -60 to 12.
    #[serde(skip_serializing_if = "Option::is_none")]
    music_gain_db: Option<f64>,
    /// Decibels, -60 to 12, of the clips' own sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    native_gain_db: Option<f64>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    fade_in_s: Option<f64>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    fade_out_s: Option<f64>,
}

/// Change how the film sounds.
#[utoipa::path(patch, path = "/api/video/{video_id}/checkpoints/{checkpoint_id}/audio", tag = "edits",
    request_body = Audio, params(OfCheckpoint, IdempotencyKey), responses(
    (status = 200, body = views::Changed), (status = 202, body = Stored), Refusal))]
pub async fn audio(
    State(app): State<Shared>,
    caller: Caller,
    at: OfCheckpoint,
    key: Key,
    Body(body): Body<Audio>,
) -> Result<Response, Error> {
    let audio = serde_json::to_value(body).map_err(|source| Error::BadAnswer { what: "a command of ours", source })?;
    if audio.as_object().is_some_and(Map::is_empty) {
        return Err(Error::field("body", "names nothing to change"));
    }
    edit(&app, &caller, at, key, Map::from_iter([("audio".to_owned(), audio)])).await
}

async fn edit(
    app: &Shared,
    caller: &Caller,
    at: OfCheckpoint,
    key: Key,
    patch: Map<String, Value>,
) -> Result<Response, Error> {
    let command = Command::Edit(Edit { checkpoint_id: at.checkpoint_id, patch });
    send(app, caller, at.video_id, key.or_new()?, command, StatusCode::OK).await
}

/// Which picture, and what it departs from.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegenerateBeat {
    /// Counted from 0.
    beat_index: u32,
    /// Instead of the beat's own prompt.
    prompt_override: Option<String>,
    /// Instead of the video's model.
    model: Option<String>,
    /// Instead of the derived seed.
    seed: Option<u64>,
}

/// Draw one picture again. The new version arrives as an event.
#[utoipa::path(post, path = "/api/video/{video_id}/checkpoints/{checkpoint_id}/regenerate-beat", tag = "edits",
    request_body = RegenerateBeat, params(OfCheckpoint, IdempotencyKey), responses(
    (status = 202, body = views::Changed), Refusal))]
pub async fn regenerate_beat(
    State(app): State<Shared>,
    caller: Caller,
    at: OfCheckpoint,
    key: Key,
    Body(body): Body<RegenerateBeat>,
) -> Result<Response, Error> {
    let artifact = ArtifactKey::Beat(body.beat_index);
    let command = regenerate(at.checkpoint_id, artifact, body.prompt_override, body.model, body.seed);
    send(&app, &caller, at.video_id, key.or_new()?, command, StatusCode::ACCEPTED).await
}

/// Which chunk, and what it departs from.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegenerateChunk {
    /// Counted from 0 over the whole film.
    chunk_index: u32,
    /// Instead of the video's model.
    model_override: Option<String>,
    /// Instead of the beat's own prompt.
    prompt_override: Option<String>,
    /// Instead of the derived seed.
    seed: Option<u64>,
}

/// Render one chunk again. The new version arrives as an event.
#[utoipa::path(post, path = "/api/video/{video_id}/checkpoints/{checkpoint_id}/regenerate-chunk", tag = "edits",
    request_body = RegenerateChunk, params(OfCheckpoint, IdempotencyKey), responses(
    (status = 202, body = views::Changed), Refusal))]
pub async fn regenerate_chunk(
    State(app): State<Shared>,
    caller: Caller,
    at: OfCheckpoint,
    key: Key,
    Body(body): Body<RegenerateChunk>,
) -> Result<Response, Error> {
    let artifact = ArtifactKey::Chunk(body.chunk_index);
    let command = regenerate(at.checkpoint_id, artifact, body.prompt_override, body.model_override, body.seed);
    send(&app, &caller, at.video_id, key.or_new()?, command, StatusCode::ACCEPTED).await
}

fn regenerate(
    checkpoint_id: CheckpointId,
    artifact_key: ArtifactKey,
    prompt: Option<String>,
    model: Option<String>,
    seed: Option<u64>,
) -> Command {
    let (template, creativity, notes) = (None, None, None);
    Command::Regenerate(Regenerate { checkpoint_id, artifact_key, prompt, model, seed, template, creativity, notes })
}

/// Which version.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Selected {
    /// `spec`, `beat_0`, `chunk_0`, `final`, ...
    #[schema(value_type = String)]
    artifact_key: ArtifactKey,
    /// Which version of it.
    version: u32,
}

/// Put another version of an artifact into the selection: undo.
#[utoipa::path(post, path = "/api/video/{video_id}/checkpoints/{checkpoint_id}/select", tag = "edits",
    request_body = Selected, params(OfCheckpoint, IdempotencyKey), responses(
    (status = 200, body = views::Changed), (status = 202, body = Stored), Refusal))]
pub async fn select(
    State(app): State<Shared>,
    caller: Caller,
    at: OfCheckpoint,
    key: Key,
    Body(body): Body<Selected>,
) -> Result<Response, Error> {
    let Selected { artifact_key, version } = body;
    let command = Command::Select(Select { checkpoint_id: at.checkpoint_id, artifact_key, version });
    send(&app, &caller, at.video_id, key.or_new()?, command, StatusCode::OK).await
}

/// Whose artifact.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    /// The checkpoint that gives.
    #[schema(value_type = String)]
    from_checkpoint: CheckpointId,
    /// `beat_0`, `chunk_0`, ...
    #[schema(value_type = String)]
    artifact_key: ArtifactKey,
}

/// Use another checkpoint's artifact here.
#[utoipa::path(post, path = "/api/video/{video_id}/checkpoints/{checkpoint_id}/take", tag = "edits",
    request_body = Taken, params(OfCheckpoint, IdempotencyKey), responses(
    (status = 200, body = views::Changed), (status = 202, body = Stored), Refusal))]
pub async fn take(
    State(app): State<Shared>,
    caller: Caller,
    at: OfCheckpoint,
    key: Key,
    Body(body): Body<Taken>,
) -> Result<Response, Error> {
    let Taken { from_checkpoint, artifact_key } = body;
    let command = Command::Take(Take { checkpoint_id: at.checkpoint_id, from_checkpoint, artifact_key });
    send(&app, &caller, at.video_id, key.or_new()?, command, StatusCode::OK).await
}
