//! The job on one page: a beat to draw or an uploaded picture in, a stored PNG out.

use async_trait::async_trait;
use messages::artifact::{ArtifactKey, Made, MediaType};
use messages::import::{ImportPicture, ImportWork};
use messages::job::Work;
use messages::storyboard::DrawBeat;
use runtime::artifacts::ObjectError;
use runtime::job_error::JobError;
use runtime::worker::{Handler, Outcome, Task};
use serde_json::{Map, Value, json};

use crate::image_model::{self, ImageModel, Picture};
use crate::prompt;
use crate::upload::{self, Imported};

/// Draws beats, and brings uploaded pictures into their place. Doing it twice is safe: the same job gives the same picture.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoryboardHandler;

#[async_trait]
impl Handler for StoryboardHandler {
    async fn handle(&self, task: &Task) -> Result<Outcome, JobError> {
        let made = match &task.job.work {
            Work::Draw(work) => draw(task, work).await?,
            Work::Import(work) => match work.as_ref() {
                ImportWork::Picture(work) => import(task, work).await?,
                ImportWork::Clip(_) | ImportWork::Music(_) => return Err(not_ours(task)),
            },
            Work::Plan(_) | Work::Chunk(_) | Work::Refine(_) => return Err(not_ours(task)),
        };
        task.progress(1.0);
        Ok(vec![made].into())
    }
}

fn not_ours(task: &Task) -> JobError {
    JobError::give_up(format!(
        "the storyboard service makes beats' pictures; this job is for `{}`",
        task.job.work.service()
    ))
}

async fn draw(task: &Task, work: &DrawBeat) -> Result<Made, JobError> {
    let model = image_model::of(&work.model)?;
    let prompt = prompt::prompt(work);
    let picture = tokio::select! {
        // A job that is not wanted is not begun.
        biased;
        () = task.cancelled.cancelled() => return Err(JobError::Cancelled),
        picture = model.draw(work, &prompt, prompt::NEGATIVE) => picture?,
    };
    task.progress(0.8);
    store(task, work.beat_index, &picture.png, metadata(work, &prompt, model.as_ref(), &picture)).await
}

async fn import(task: &Task, work: &ImportPicture) -> Result<Made, JobError> {
    let file = task.fetch(&work.upload, "upload").await?;
    task.progress(0.2);
    let size = work.size;
    let importing = tokio::task::spawn_blocking(move || {
        let bytes = std::fs::read(file).map_err(ObjectError::Scratch)?;
        upload::import(&bytes, size).map_err(|error| JobError::give_up(error.to_string()))
    });
    let imported = tokio::select! {
        biased;
        () = task.cancelled.cancelled() => return Err(JobError::Cancelled),
        imported = importing => match imported {
            Ok(imported) => imported?,
            // The runtime is going down, or a decoder has a bug that would meet the same bytes again.
            Err(lost) if lost.is_cancelled() => return Err(JobError::Cancelled),
            Err(lost) => {
                return Err(JobError::give_up(format!("the upload made the decoder fail, export it anew: {lost}")));
            }
        },
    };
    task.progress(0.8);
    store(task, work.beat_index, &imported.png, metadata_of_import(work, &imported)).await
}

async fn store(task: &Task, beat_index: u32, png: &[u8], metadata: Map<String, Value>) -> Result<Made, JobError> {
    let key = ArtifactKey::Beat(beat_index);
    let file = task.folder()?.join(format!("{}.{}", key.stem(), MediaType::Png.extension()));
    tokio::fs::write(&file, png)
        .await
        .map_err(|error| JobError::retry_later(format!("the picture could not be written: {error}")))?;
    task.store(key, &file, MediaType::Png, metadata).await
}

/// What a reviewer may want to know about a picture.
fn metadata(work: &DrawBeat, prompt: &str, model: &dyn ImageModel, picture: &Picture) -> Map<String, Value> {
    let mut metadata = Map::new();
    let mut note = |name: &str, value: Value| metadata.insert(name.to_owned(), value);
    note("beat_id", json!(work.beat.beat_id));
    note("beat_index", json!(work.beat_index));
    note("prompt", json!(prompt));
    if model.takes_negative_prompt() {
        note("negative_prompt", json!(prompt::NEGATIVE));
    }
    note("model", json!(work.model.name));
    note("seed", json!(work.seed));
    note("size", json!(work.size));
    note("price_usd", json!(work.model.price.of_generation(0.0)));
    if let Some(provider_job) = &picture.provider_job {
        note("provider_job", json!(provider_job));
    }
    metadata
}

/// The same of one that somebody brought.
fn metadata_of_import(work: &ImportPicture, imported: &Imported) -> Map<String, Value> {
    let mut metadata = Map::new();
    let mut note = |name: &str, value: Value| metadata.insert(name.to_owned(), value);
    note("imported", json!(true));
    note("beat_index", json!(work.beat_index));
    note("size", json!(work.size));
    note("source_content_type", json!(imported.source_type.content_type()));
    note("source_size", json!(imported.source_size));
    metadata
}

#[cfg(test)]
mod tests;
