//! The planner's jobs.

use serde::{Deserialize, Serialize};

use crate::catalogue::{Catalogue, Model};
use crate::spec::AspectRatio;

/// Coordinator to planner: make a spec. Making it twice gives the same spec, and the first record wins.
///
/// The outcome's [`Made`](crate::artifact::Made) has the spec inline as its content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanSpec {
    /// What the film should be, in the words of its maker.
    pub prompt: String,
    /// Its title, if it has one.
    pub title: Option<String>,
    /// More words.
    pub description: Option<String>,
    /// Seconds, 5 to 180; none means that the prompt may say, else 30.
    pub duration: Option<u32>,
    /// Width to height; none means that the prompt may say, else 16:9.
    pub aspect_ratio: Option<AspectRatio>,
    /// The archetype; none means that the planner chooses.
    pub template: Option<String>,
    /// 0 (plain) to 1 (daring).
    pub creativity: f64,
    /// What reviewers said of rejected versions, oldest first.
    pub notes: Vec<String>,
    /// The same seed gives the same spec.
    pub seed: u64,
    /// The model to plan with.
    pub model: Model,
    /// The model that will make the chunks: one with sound of its own wants no music.
    pub video_model: Model,
    /// The beats and archetypes to choose from. Its models are left out.
    pub library: Catalogue,
}
