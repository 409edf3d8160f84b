//! The job on one page: a `Draw` job in, a stored PNG out.

use async_trait::async_trait;
use messages::artifact::{ArtifactKey, MediaType};
use messages::job::Work;
use messages::storyboard::DrawBeat;
use runtime::job_error::JobError;
use runtime::worker::{Handler, Outcome, Task};
use serde_json::{Map, Value, json};

use crate::image_model::{self, ImageModel, Picture};
use crate::prompt;

/// Draws beats. Drawing one twice is safe: the same job gives the same picture.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoryboardHandler;

#[async_trait]
impl Handler for StoryboardHandler {
    async fn handle(&self, task: &Task) -> Result<Outcome, JobError> {
        let Work::Draw(work) = &task.job.work else {
            return Err(JobError::give_up(format!(
                "the storyboard service draws beats; this job is for `{}`",
                task.job.work.service()
            )));
        };
        let model = image_model::of(&work.model)?;
        let prompt = prompt::prompt(work);
        let picture = tokio::select! {
            // A job that is not wanted is not begun.
            biased;
            () = task.cancelled.cancelled() => return Err(JobError::Cancelled),
            picture = model.draw(work, &prompt, prompt::NEGATIVE) => picture?,
        };
        task.progress(0.8);

        let key = ArtifactKey::Beat(work.beat_index);
        let file = task.folder.join(format!("{}.{}", key.stem(), MediaType::Png.extension()));
        tokio::fs::write(&file, &picture.png)
            .await
            .map_err(|error| JobError::retry_later(format!("the picture could not be written: {error}")))?;
        let made = task.store(key, &file, MediaType::Png, metadata(work, &prompt, model.as_ref(), &picture)).await?;
        task.progress(1.0);
        Ok(vec![made].into())
    }
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

#[cfg(test)]
mod tests;
