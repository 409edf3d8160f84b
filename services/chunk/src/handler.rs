//! The job on one page: a chunk to render or a film to stitch comes in, stored artifacts go out.
//!
//! It reads what the job names and nothing else, and leaves nothing behind but what it stored, so doing a job again is
//! safe.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use messages::artifact::{ArtifactKey, MediaType};
use messages::chunk::{ChunkWork, RenderChunk, StitchFilm};
use messages::job::Work;
use runtime::child::MediaTool;
use runtime::job_error::JobError;
use runtime::worker::{Handler, Outcome, Task};
use serde_json::{Map, Value, json};

use crate::assembly::Assembly;
use crate::encoder;
use crate::request::ClipRequest;
use crate::video_model::VideoModels;

/// The chunk service's handler.
///
/// `threads` is how many threads the encoder may use. Drawing takes one more, so two of each use a small machine well.
/// It is part of what makes a chunk's bytes: replicas that should make the same bytes need the same number.
pub fn handler(tool: MediaTool, threads: NonZeroUsize) -> impl Handler {
    ChunkHandler {
        models: VideoModels::new(tool.clone(), threads),
        assembly: Assembly::new(tool.clone(), threads),
        tool,
    }
}

struct ChunkHandler {
    models: VideoModels,
    assembly: Assembly,
    tool: MediaTool,
}

#[async_trait]
impl Handler for ChunkHandler {
    async fn handle(&self, task: &Task) -> Result<Outcome, JobError> {
        match &task.job.work {
            Work::Chunk(work) => match work.as_ref() {
                ChunkWork::Render(job) => self.render(task, job).await,
                ChunkWork::Stitch(film) => self.stitch(task, film).await,
            },
            Work::Plan(_) | Work::Draw(_) | Work::Refine(_) | Work::Import(_) => Err(JobError::give_up(format!(
                "a job for the {} service came to the chunk service",
                task.job.work.service()
            ))),
        }
    }
}

impl ChunkHandler {
    async fn render(&self, task: &Task, job: &RenderChunk) -> Result<Outcome, JobError> {
        const CLIP: &str = "clip.mp4";
        const LAST_FRAME: &str = "last-frame.png";
        let request = ClipRequest::of(job).map_err(JobError::give_up)?;
        let model = self.models.choose(&job.model)?;
        let start_image = task.fetch(&job.start_image, "start-image").await?;
        model.render(task, &request, &start_image, CLIP).await?;

        // The last frame is taken from the clip as it was encoded: the next chunk goes on from what people see.
        let frames = request.span.frames();
        let arguments = encoder::last_frame(CLIP, frames, job.fps, LAST_FRAME);
        self.tool.ffmpeg(&task.folder, &arguments, None, &task.cancelled).await?;

        let metadata = about_chunk(job, &request);
        let (clip, last_frame) = (task.folder.join(CLIP), task.folder.join(LAST_FRAME));
        let chunk = task.store(ArtifactKey::Chunk(job.chunk.index), &clip, MediaType::Mp4, metadata.clone()).await?;
        let key = ArtifactKey::ChunkLastFrame(job.chunk.index);
        let last_frame = task.store(key, &last_frame, MediaType::Png, metadata).await?;
        Ok(vec![chunk, last_frame].into())
    }

    async fn stitch(&self, task: &Task, film: &StitchFilm) -> Result<Outcome, JobError> {
        let stitched = self.assembly.stitch(task, film).await?;
        let metadata = map(json!({
            "size": film.size,
            "fps": film.fps,
            "frames": stitched.frames,
            "seconds": f64::from(stitched.frames) / f64::from(film.fps),
            "chunks": film.chunks.len(),
            "transitions": film.transitions,
            "sound": stitched.has_sound,
        }));
        Ok(vec![task.store(ArtifactKey::Stitched, &stitched.file, MediaType::Mp4, metadata).await?].into())
    }
}

/// What a reviewer may want to know of a chunk.
fn about_chunk(job: &RenderChunk, request: &ClipRequest) -> Map<String, Value> {
    map(json!({
        "prompt": request.prompt,
        "model": job.model.name,
        "seed": job.seed,
        "size": job.size,
        "fps": job.fps,
        "frames": request.span.frames(),
        "seconds": request.span.seconds(),
        "beat_index": job.chunk.beat_index,
        "camera_movement": job.beat.camera_movement,
        "chained": job.chunk.chained,
    }))
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}
