//! Who makes clips: the seam between the job and the models, and the choice by the provider's name.
//!
//! A model makes one silent or sounding clip from a request and a start image; it neither stores nor reports anything.

use std::num::NonZeroUsize;
use std::path::Path;

use async_trait::async_trait;
use messages::catalogue::Model;
use runtime::child::MediaTool;
use runtime::job_error::JobError;
use runtime::worker::Task;

use crate::animatic::Animatic;
use crate::request::ClipRequest;

/// A generator of clips.
#[async_trait]
pub trait VideoModel: Send + Sync {
    /// Makes the file `clip` in the job's folder: MP4, of the request's size and rate, with exactly its frames.
    async fn render(&self, task: &Task, request: &ClipRequest, start_image: &Path, clip: &str) -> Result<(), JobError>;
}

/// Every generator that this build has.
pub struct VideoModels {
    local: Animatic,
}

impl VideoModels {
    /// All of them, sharing the media tool.
    pub fn new(tool: MediaTool, threads: NonZeroUsize) -> Self {
        Self { local: Animatic::new(tool, threads) }
    }

    /// The generator behind a catalogue entry.
    pub fn choose(&self, model: &Model) -> Result<&dyn VideoModel, JobError> {
        match model.provider.as_str() {
            "local" => Ok(&self.local),
            other => Err(JobError::give_up(format!(
                "model `{}` needs the provider `{other}`, which this build cannot reach: choose a model of `local`",
                model.name
            ))),
        }
    }
}
