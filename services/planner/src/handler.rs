//! A plan job in, a spec out. What a language model replies is checked by the spec's own rules; a reply that breaks them
//! goes back with the reasons at most twice, then the job fails with them.

use std::sync::Arc;

use async_trait::async_trait;
use messages::artifact::{ArtifactKey, Content, Made};
use messages::catalogue::Model;
use messages::job::Work;
use messages::planner::PlanSpec;
use messages::spec::Spec;
use messages::violation::Violation;
use runtime::job_error::JobError;
use runtime::worker::{Handler, Outcome, Task};
use serde_json::{Map, Value, json};

use crate::language_model::{self, Ask, LanguageModel};
use crate::rules::length::Requested;
use crate::{prompt, reply, rules};

/// How often a reply that breaks the rules is sent back.
const SENT_BACK: u32 = 2;

/// The planner's handler with the language models of this build.
pub fn handler() -> impl Handler {
    Planner { choose: language_model::of }
}

/// Plans with the model that `choose` finds for a job.
struct Planner<C> {
    choose: C,
}

#[async_trait]
impl<C> Handler for Planner<C>
where
    C: Fn(&Model) -> Result<Arc<dyn LanguageModel>, JobError> + Send + Sync + 'static,
{
    async fn handle(&self, task: &Task) -> Result<Outcome, JobError> {
        let Work::Plan(plan) = &task.job.work else {
            return Err(JobError::give_up("the planner was sent a job that is not a plan"));
        };
        let model = (self.choose)(&plan.model)?;
        let requested = rules::requested(plan).map_err(JobError::give_up)?;
        let (spec, replies) = tokio::select! {
            planned = agree(model.as_ref(), plan, &requested) => planned?,
            () = task.cancelled.cancelled() => return Err(JobError::Cancelled),
        };
        tracing::info!(beats = spec.beats.len(), duration_s = spec.duration, replies, "spec planned");
        task.progress(1.0);
        let metadata = metadata(plan, &spec, &requested, replies);
        Ok(vec![Made { key: ArtifactKey::Spec, content: Content::Spec(Box::new(spec)), metadata }].into())
    }
}

/// Asks until a reply keeps the rules, and gives the spec with the number of replies that it took.
async fn agree(model: &dyn LanguageModel, plan: &PlanSpec, requested: &Requested) -> Result<(Spec, u32), JobError> {
    let mut broken: Vec<Violation> = Vec::new();
    for replies in 1..=SENT_BACK + 1 {
        let words = prompt::compose(plan, requested.seconds, &broken);
        let ask = Ask { plan, prompt: &words, temperature: prompt::temperature(plan.creativity), seed: plan.seed };
        let text = model.reply(&ask).await?;
        match reply::read(&text, plan, requested.seconds) {
            Ok(spec) => return Ok((spec, replies)),
            Err(violations) => broken = violations,
        }
        tracing::info!(replies, broken = broken.len(), "reply breaks the rules");
    }
    let reasons: Vec<_> = broken.iter().map(|violation| format!("{}: {}", violation.field, violation.reason)).collect();
    Err(JobError::give_up(format!(
        "model `{}` broke the rules of a spec {} times: {}",
        plan.model.name,
        SENT_BACK + 1,
        reasons.join("; ")
    )))
}

fn metadata(plan: &PlanSpec, spec: &Spec, requested: &Requested, replies: u32) -> Map<String, Value> {
    let warnings: Vec<_> = requested.warning.iter().cloned().chain(spec.warnings()).collect();
    [
        ("model", json!(plan.model.name)),
        ("provider", json!(plan.model.provider)),
        ("seed", json!(plan.seed)),
        ("prompt", json!(plan.prompt)),
        ("requested_s", json!(requested.seconds)),
        ("replies", json!(replies)),
        ("warnings", json!(warnings)),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

#[cfg(test)]
pub(crate) mod tests;
