//! Image models: who draws, chosen by the job's `model.provider`.
//!
//! The only file of this service that may speak to a generator outside.

use std::fmt;

use async_trait::async_trait;
use messages::catalogue::Model;
use messages::storyboard::DrawBeat;
use runtime::job_error::JobError;

use crate::painter;

/// A finished picture.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// The PNG.
    pub png: Vec<u8>,
    /// What the provider calls the job that made it; none for what is made here.
    pub provider_job: Option<String>,
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({} bytes, provider job {:?})", self.png.len(), self.provider_job)
    }
}

/// Somebody who draws beats.
#[async_trait]
pub trait ImageModel: Send + Sync {
    /// Whether the negative prompt reaches it.
    fn takes_negative_prompt(&self) -> bool;

    /// Draws a beat as a PNG of exactly the job's size.
    async fn draw(&self, work: &DrawBeat, prompt: &str, negative_prompt: &str) -> Result<Picture, JobError>;
}

/// Who draws for that model. A provider without a client is refused, never replaced: nobody should pay for, or approve,
/// a picture of another model than the one that was chosen.
pub fn of(model: &Model) -> Result<Box<dyn ImageModel>, JobError> {
    match model.provider.as_str() {
        "local" => Ok(Box::new(LocalPainter)),
        other => Err(JobError::give_up(format!(
            "image model `{}` is run by `{other}`, and this build has no client for that provider: choose a model of \
             provider `local`",
            model.name
        ))),
    }
}

/// The built-in painter. It composes from the job itself and needs no prompt.
#[derive(Debug)]
struct LocalPainter;

#[async_trait]
impl ImageModel for LocalPainter {
    fn takes_negative_prompt(&self) -> bool {
        false
    }

    async fn draw(&self, work: &DrawBeat, _prompt: &str, _negative_prompt: &str) -> Result<Picture, JobError> {
        let work = work.clone();
        let painted = tokio::task::spawn_blocking(move || painter::paint_png(&work)).await;
        match painted {
            Ok(Ok(png)) => Ok(Picture { png, provider_job: None }),
            Ok(Err(error)) => Err(JobError::give_up(error.to_string())),
            // The runtime is going down, or the painter has a bug that would meet the same job again.
            Err(lost) if lost.is_cancelled() => Err(JobError::Cancelled),
            Err(lost) => Err(JobError::give_up(format!("the painter failed: {lost}"))),
        }
    }
}
