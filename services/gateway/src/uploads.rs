//! Uploads: a picture, a clip or music that a person brings, from the socket into the object store.
//!
//! Whether the checkpoint takes an upload is asked before a byte is read. The bytes go to a scratch file while they are
//! hashed and counted; what is too large or of a wrong type is refused as soon as that shows. Only then are they stored,
//! under a name that is made of their hash, and the command `import` says what they are for. Whether they are any good is
//! for the service that decodes them.
//!
//! Invariant: nothing stays on the disk here when a request is over, however it ends, and when a killed process starts
//! again; and however many ask, only so many uploads are received at a time, none of them for ever.

mod form;
mod media;

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use messages::artifact::ArtifactKey;
use messages::command::{Command, Rejection};
use messages::id::{CheckpointId, VideoId};
use messages::import::{Import, UploadKind};
use messages::phase::Phase;
use messages::query::{Allowed, AskCheckpoint};
use runtime::artifacts::{ObjectError, ObjectMeta};
use runtime::scratch::Scratch;
use serde::Deserialize;
use serde::de::IgnoredAny;
use utoipa::ToSchema;

use crate::access::Caller;
use crate::commands::send;
use crate::error::{Error, Refusal};
use crate::request::{Key, OfCheckpoint};
use crate::router::Shared;
use crate::uploads::form::{Brought, Form};
use crate::videos::IdempotencyKey;
use crate::views;

/// A picture for a beat.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it documents what `Form` reads")]
pub struct BeatImage {
    /// Counted from 0.
    beat_index: u32,
    /// PNG, JPEG or WebP, at most 20 MB and 40 megapixels.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
}

/// Use a picture of your own for a beat. The new version arrives as an event, or why it is not fit.
#[utoipa::path(post, path = "/api/video/{video_id}/checkpoints/{checkpoint_id}/upload-image", tag = "uploads",
    request_body(content = BeatImage, content_type = "multipart/form-data"),
    params(OfCheckpoint, IdempotencyKey), responses((status = 202, body = views::Changed), Refusal))]
pub async fn image(
    State(app): State<Shared>,
    caller: Caller,
    at: OfCheckpoint,
    key: Key,
    request: Request,
) -> Result<Response, Error> {
    upload(&app, &caller, at, key, request, UploadKind::Picture).await
}

/// A clip for a chunk.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it documents what `Form` reads")]
pub struct ChunkVideo {
    /// Counted from 0 over the whole film.
    chunk_index: u32,
    /// MP4, QuickTime or WebM, at most 500 MB.
    #[schema(value_type = String, format = Binary)]
    video: Vec<u8>,
}

/// Use a clip of your own for a chunk. The new version arrives as an event, or why it is not fit.
#[utoipa::path(post, path = "/api/video/{video_id}/checkpoints/{checkpoint_id}/upload-chunk", tag = "uploads",
    request_body(content = ChunkVideo, content_type = "multipart/form-data"),
    params(OfCheckpoint, IdempotencyKey), responses((status = 202, body = views::Changed), Refusal))]
pub async fn chunk(
    State(app): State<Shared>,
    caller: Caller,
    at: OfCheckpoint,
    key: Key,
    request: Request,
) -> Result<Response, Error> {
    upload(&app, &caller, at, key, request, UploadKind::Clip).await
}

/// Music for the film.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it documents what `Form` reads")]
pub struct Music {
    /// MP3, WAV, FLAC, Ogg or M4A, at most 50 MB.
    #[schema(value_type = String, format = Binary)]
    music: Vec<u8>,
}

/// Use music of your own. The new version arrives as an event, or why it is not fit.
#[utoipa::path(post, path = "/api/video/{video_id}/checkpoints/{checkpoint_id}/upload-music", tag = "uploads",
    request_body(content = Music, content_type = "multipart/form-data"),
    params(OfCheckpoint, IdempotencyKey), responses((status = 202, body = views::Changed), Refusal))]
pub async fn music(
    State(app): State<Shared>,
    caller: Caller,
    at: OfCheckpoint,
    key: Key,
    request: Request,
) -> Result<Response, Error> {
    upload(&app, &caller, at, key, request, UploadKind::Music).await
}

async fn upload(
    app: &Shared,
    caller: &Caller,
    at: OfCheckpoint,
    key: Key,
    request: Request,
    kind: UploadKind,
) -> Result<Response, Error> {
    let mut form = Form::new(request, kind).await?;
    match receive(app, caller, at, &key, &mut form).await {
        Ok(command) => send(app, caller, at.video_id, key.or_new()?, command, StatusCode::ACCEPTED).await,
        Err(error) => {
            form.drain().await;
            Err(error)
        }
    }
}

/// Reads the form, stores what it brings and gives the command that names it.
async fn receive(
    app: &Shared,
    caller: &Caller,
    at: OfCheckpoint,
    key: &Key,
    form: &mut Form,
) -> Result<Command, Error> {
    let OfCheckpoint { video_id, checkpoint_id } = at;
    let place = Place::ask(app, caller, video_id, checkpoint_id).await?;
    // A repeat gets the first answer, also where nothing is taken any more; the coordinator knows it.
    if key.0.is_none() {
        place.takes_uploads()?;
    }
    let turn = tokio::time::timeout(app.settings.upload_wait, app.upload_slots.acquire());
    let Ok(Ok(_slot)) = turn.await else { return Err(Error::TooManyUploads) };
    let scratch = Scratch::within(&app.settings.scratch_folder());
    let scratch = scratch.map_err(|error| Error::ObjectStore(ObjectError::Scratch(error)))?;
    let Brought { artifact_key, upload, file } = form.read(scratch.path()).await?;
    // What will be refused is not stored; the refusal is the coordinator's.
    if place.takes(artifact_key) {
        let object = upload.object(&caller.user, video_id);
        let meta = ObjectMeta {
            media_type: object.media_type,
            sha256: object.sha256,
            size: object.size,
            job: "upload".to_owned(),
        };
        app.objects.put_file(&object.key, file.path(), &meta).await.map_err(Error::ObjectStore)?;
    }
    Ok(Command::Import(Import { checkpoint_id, artifact_key, upload }))
}

/// What of a checkpoint says whether it takes an upload.
#[derive(Debug, Deserialize)]
struct Place {
    phase_number: Phase,
    artifacts: BTreeMap<ArtifactKey, IgnoredAny>,
    allowed: Vec<Allowed>,
}

impl Place {
    async fn ask(app: &Shared, caller: &Caller, video: VideoId, checkpoint_id: CheckpointId) -> Result<Self, Error> {
        app.nats.ask_video(&caller.user, video, "checkpoint", &AskCheckpoint { checkpoint_id }).await
    }

    /// The coordinator's own verdict on changes here.
    fn takes_uploads(&self) -> Result<(), Rejection> {
        let refused = self.allowed.iter().find(|verdict| verdict.command == "import" && !verdict.allowed);
        match refused.and_then(|verdict| verdict.code.map(|code| (code, verdict.reason.clone().unwrap_or_default()))) {
            Some((code, reason)) => Err(Rejection::new(code, reason)),
            None => Ok(()),
        }
    }

    fn takes(&self, key: ArtifactKey) -> bool {
        // Music may be brought to a film that has none.
        let replaceable = self.artifacts.contains_key(&key) || key == ArtifactKey::Background;
        self.takes_uploads().is_ok() && key.phase() == self.phase_number && replaceable
    }
}
