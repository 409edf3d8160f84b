//! Who answers a prompt: the seam between the planner and whatever writes specs.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use messages::catalogue::Model;
use messages::planner::PlanSpec;
use runtime::job_error::JobError;

use crate::rules;

/// One question to a language model.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The job itself, for a model that needs no words.
    pub plan: &'a PlanSpec,
    /// The job in words, with what was wrong with the last reply.
    pub prompt: &'a str,
    /// 0.2 to 0.8: how freely to choose words.
    pub temperature: f64,
    /// The same seed asks for the same reply.
    pub seed: u64,
}

/// Something that answers with a spec as JSON.
#[async_trait]
pub trait LanguageModel: Send + Sync + fmt::Debug {
    /// One reply, as it was written; it is checked by the caller.
    async fn reply(&self, ask: &Ask<'_>) -> Result<String, JobError>;
}

/// The language model that a catalogue entry names.
pub fn of(model: &Model) -> Result<Arc<dyn LanguageModel>, JobError> {
    match model.provider.as_str() {
        "local" => Ok(Arc::new(Rules)),
        provider => Err(JobError::give_up(format!(
            "language model `{}` is run by `{provider}`, which this build has no client for; choose a model of provider `local`",
            model.name
        ))),
    }
}

/// The built-in rules.
#[derive(Debug)]
struct Rules;

#[async_trait]
impl LanguageModel for Rules {
    async fn reply(&self, ask: &Ask<'_>) -> Result<String, JobError> {
        let spec = rules::plan(ask.plan).map_err(JobError::give_up)?;
        serde_json::to_string(&spec).map_err(|e| JobError::give_up(format!("the spec cannot be written as JSON: {e}")))
    }
}
