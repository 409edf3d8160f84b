//! The job on one page: a chunk to render or to import or a film to stitch comes in, stored artifacts go out.
//!
//! It reads what the job names and nothing else, and leaves nothing behind but what it stored, so doing a job again is
//! safe.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use messages::artifact::{ArtifactKey, MediaType};
use messages::chunk::{ChunkWork, RenderChunk, StitchFilm};
use messages::import::{ImportClip, ImportWork};
use messages::job::Work;
use runtime::child::MediaTool;
use runtime::job_error::JobError;
use runtime::worker::{Handler, Outcome, Task};
use serde_json::{Map, Value, json};

use crate::assembly::{Assembly, about};
use crate::encoder;
use crate::probe::{self, Clip};
use crate::request::ClipRequest;
use crate::stitch::Target;
use crate::upload::{self, Import};
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
        threads,
    }
}

struct ChunkHandler {
    models: VideoModels,
    assembly: Assembly,
    tool: MediaTool,
    threads: NonZeroUsize,
}

/// What a chunk and its last frame are called in the job's folder.
const CLIP: &str = "clip.mp4";
const LAST_FRAME: &str = "last-frame.png";

#[async_trait]
impl Handler for ChunkHandler {
    async fn handle(&self, task: &Task) -> Result<Outcome, JobError> {
        match &task.job.work {
            Work::Chunk(work) => match work.as_ref() {
                ChunkWork::Render(job) => self.render(task, job).await,
                ChunkWork::Stitch(film) => self.stitch(task, film).await,
            },
            Work::Import(work) => match work.as_ref() {
                ImportWork::Clip(job) => self.import(task, job).await,
                ImportWork::Picture(_) | ImportWork::Music(_) => Err(not_ours(task)),
            },
            Work::Plan(_) | Work::Draw(_) | Work::Refine(_) => Err(not_ours(task)),
        }
    }
}

fn not_ours(task: &Task) -> JobError {
    JobError::give_up(format!("a job for the {} service came to the chunk service", task.job.work.service()))
}

impl ChunkHandler {
    async fn render(&self, task: &Task, job: &RenderChunk) -> Result<Outcome, JobError> {
        let request = ClipRequest::of(job).map_err(JobError::give_up)?;
        let model = self.models.choose(&job.model)?;
        let start_image = task.fetch(&job.start_image, "start-image").await?;
        model.render(task, &request, &start_image, CLIP).await?;
        self.store(task, job.chunk.index, request.span.frames(), job.fps, about_chunk(job, &request)).await
    }

    async fn import(&self, task: &Task, job: &ImportClip) -> Result<Outcome, JobError> {
        const UPLOAD: &str = "upload";
        const UNUSABLE: &str = "the upload cannot be used as a clip";
        let import = Import::of(job).map_err(JobError::give_up)?;
        task.fetch(&job.upload, UPLOAD).await?;
        let source = self.probe(task, import.first_look(UPLOAD)).await.map_err(|error| about(UNUSABLE, error))?;
        upload::check_size(&source.video).map_err(JobError::give_up)?;
        task.progress(0.1);

        let target = Target { size: job.size, fps: job.fps, threads: self.threads, parameters: None };
        let arguments = import.encode(&target, &source, UPLOAD, CLIP);
        let encoded = self.tool.ffmpeg(task.folder()?, &arguments, None, &task.cancelled).await;
        encoded.map_err(|error| about(UNUSABLE, error))?;
        task.progress(0.9);
        let came_out = self.probe(task, encoder::clip_input(CLIP)).await.map_err(|error| about(UNUSABLE, error))?;
        import.check(&came_out, job.fps).map_err(JobError::give_up)?;
        self.store(task, job.chunk.index, import.frames, job.fps, about_import(job, &import, &source)).await
    }

    async fn probe(&self, task: &Task, input: Vec<String>) -> Result<Clip, JobError> {
        let answer = self.tool.ffprobe(task.folder()?, &probe::question(input), &task.cancelled).await?;
        probe::read(&answer).map_err(JobError::give_up)
    }

    /// Stores a finished chunk of so many frames, and its last frame.
    async fn store(
        &self,
        task: &Task,
        index: u32,
        frames: u32,
        fps: u32,
        metadata: Map<String, Value>,
    ) -> Result<Outcome, JobError> {
        // The last frame is taken from the clip as it was encoded: the next chunk goes on from what people see.
        let arguments = encoder::last_frame(CLIP, frames, fps, LAST_FRAME);
        self.tool.ffmpeg(task.folder()?, &arguments, None, &task.cancelled).await?;
        let (clip, last_frame) = (task.folder()?.join(CLIP), task.folder()?.join(LAST_FRAME));
        let chunk = task.store(ArtifactKey::Chunk(index), &clip, MediaType::Mp4, metadata.clone()).await?;
        let last_frame = task.store(ArtifactKey::ChunkLastFrame(index), &last_frame, MediaType::Png, metadata).await?;
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

/// The same of one that somebody brought.
fn about_import(job: &ImportClip, import: &Import, source: &Clip) -> Map<String, Value> {
    map(json!({
        "imported": true,
        "size": job.size,
        "fps": job.fps,
        "frames": import.frames,
        "seconds": f64::from(import.frames) / f64::from(job.fps),
        "beat_index": job.chunk.beat_index,
        "sound": source.has_sound,
        "source_content_type": job.upload.media_type.content_type(),
        "source_codec": source.video.codec,
        "source_size": source.video.size,
    }))
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}
