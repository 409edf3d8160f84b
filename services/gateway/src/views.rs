//! What HTTP shows: the JSON of answers, as clients know it.
//!
//! The coordinator's answers are read into these and written out again, so that a field reaches clients only when it
//! stands here and in the OpenAPI document. Links come as paths and leave with the name that the client used for us.

use std::collections::BTreeMap;

use messages::query::VideoStatus;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

/// The schema of a video's status, from the one list of them (W47).
pub fn video_status() -> Schema {
    let names = VideoStatus::ALL.map(VideoStatus::name);
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
}

/// Everything a page shows of a video.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The video.
    pub video_id: String,
    /// That of the branch that moved last.
    #[schema(schema_with = video_status)]
    pub status: String,
    /// Percent, of that branch.
    pub progress: f64,
    /// The name of that branch's phase.
    pub current_phase: String,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// The selected pictures, in beat order.
    pub storyboard_urls: Vec<String>,
    /// The selected chunks, in order.
    pub chunk_urls: Vec<String>,
    /// The stitched film.
    pub stitched_video_url: Option<String>,
    /// The film.
    pub final_video_url: Option<String>,
    /// How many chunks are made.
    pub current_chunk_index: Option<u32>,
    /// How many chunks the film has.
    pub total_chunks: Option<u32>,
    /// The newest pending checkpoint.
    pub current_checkpoint: Option<Checkpoint>,
    /// Every checkpoint in its place.
    pub checkpoint_tree: Vec<TreeNode>,
    /// The names of branches that run or wait.
    pub active_branches: Vec<String>,
    /// Every branch.
    pub branches: Vec<Branch>,
    /// Money.
    pub cost: CostSummary,
    /// The last event's `seq`.
    pub revision: u64,
}

impl Status {
    /// Puts `base` before every link.
    pub fn make_links_absolute(&mut self, base: &str) {
        let lists = self.storyboard_urls.iter_mut().chain(&mut self.chunk_urls);
        for link in lists.chain(&mut self.stitched_video_url).chain(&mut self.final_video_url) {
            make_absolute(link, base);
        }
        if let Some(checkpoint) = &mut self.current_checkpoint {
            checkpoint.make_links_absolute(base);
        }
    }

    /// Whether no branch runs or waits.
    pub fn is_finished(&self) -> bool {
        self.active_branches.is_empty()
    }
}

fn make_absolute(link: &mut String, base: &str) {
    if link.starts_with('/') {
        link.insert_str(0, base);
    }
}

/// Money at a glance, dollars.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CostSummary {
    /// Spent so far.
    pub spent_usd: f64,
    /// What approving the current checkpoint would cost.
    pub estimate_next_usd: Option<f64>,
    /// What may be spent in all.
    pub budget_usd: Option<f64>,
}

/// What one phase of one branch made, in one version.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Checkpoint {
    /// The checkpoint.
    pub checkpoint_id: String,
    /// Its video.
    pub video_id: String,
    /// Its branch.
    pub branch_name: String,
    /// 1 to 4.
    pub phase_number: u8,
    /// Counted per branch and phase.
    pub version: u32,
    /// The approved checkpoint that fed it.
    pub parent_checkpoint_id: Option<String>,
    /// `pending`, `approved` or `abandoned`.
    pub status: String,
    /// When it began to wait.
    pub created_at: String,
    /// When it was approved.
    pub approved_at: Option<String>,
    /// Which version took its place.
    pub superseded_by: Option<String>,
    /// The digest of its selection.
    pub digest: String,
    /// Whether its selection moved since it was made.
    pub edited: bool,
    /// Whether its approval would be accepted now.
    pub can_continue: bool,
    /// Whether retention passes it over.
    pub pinned: bool,
    /// Whether retention has collected what was made here: that is in neither list of artifacts any more.
    #[serde(default)]
    pub collected: bool,
    /// What a reviewer should know.
    pub warnings: Vec<String>,
    /// What approving it will cost, dollars.
    pub estimate_next_usd: f64,
    /// What making each of its own artifacts again costs, dollars.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub remake_usd: BTreeMap<String, f64>,
    /// The selection: its own artifacts and the inherited ones.
    pub artifacts: BTreeMap<String, Artifact>,
    /// Every version of each artifact, oldest first; only of a checkpoint that was asked for by its id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, Vec<Artifact>>,
    /// Artifacts that no longer fit what they were made from.
    pub stale: Vec<String>,
    /// Artifacts that are being made again.
    pub in_flight: Vec<String>,
    /// What may be done here now, and why not.
    pub allowed: Vec<Allowed>,
}

impl Checkpoint {
    /// Puts `base` before every link.
    pub fn make_links_absolute(&mut self, base: &str) {
        for artifact in self.artifacts.values_mut().chain(self.versions.values_mut().flatten()) {
            make_absolute(&mut artifact.s3_url, base);
        }
    }
}

/// Whether a command would be accepted now.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Allowed {
    /// The verb.
    pub command: String,
    /// Whether it would.
    pub allowed: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why not, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One version of an artifact.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Artifact {
    /// Its id.
    pub id: String,
    /// What kind of thing it is.
    pub artifact_type: String,
    /// Which artifact of the checkpoint.
    pub artifact_key: String,
    /// Its stable link.
    pub s3_url: String,
    /// Counted per checkpoint and key.
    pub version: u32,
    /// Model, seed, size and the like; the whole spec under `spec` for a spec.
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// When it was made.
    pub created_at: String,
}

/// A checkpoint and what came of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TreeNode {
    /// The checkpoint, without its artifacts.
    pub checkpoint: TreeCheckpoint,
    /// What came of it, oldest first.
    #[schema(no_recursion)]
    pub children: Vec<TreeNode>,
}

/// A checkpoint in the tree.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TreeCheckpoint {
    /// The checkpoint.
    pub checkpoint_id: String,
    /// Its branch.
    pub branch_name: String,
    /// 1 to 4.
    pub phase_number: u8,
    /// Counted per branch and phase.
    pub version: u32,
    /// The approved checkpoint that fed it.
    pub parent_checkpoint_id: Option<String>,
    /// `pending`, `approved` or `abandoned`.
    pub status: String,
    /// When it began to wait.
    pub created_at: String,
    /// The digest of its selection.
    pub digest: String,
    /// Whether retention has collected what was made here.
    #[serde(default)]
    pub collected: bool,
}

/// A branch and where it stands.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Branch {
    /// Its name.
    pub branch_name: String,
    /// Its newest checkpoint, if it has one yet.
    pub latest_checkpoint_id: Option<String>,
    /// The phase that it is in, 1 to 4.
    pub phase_number: u8,
    /// As a video's.
    #[schema(schema_with = video_status)]
    pub status: String,
    /// `running`, `paused`, `blocked_budget`, `blocked_unknown`, `failed`, `cancelled` or `complete`.
    pub state: String,
    /// Whether its newest checkpoint's approval would be accepted now.
    pub can_continue: bool,
    /// Percent.
    pub progress: f64,
    /// Jobs that run or wait to run.
    pub running_jobs: Vec<Job>,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// Spent on it, the part shared with its parent included, dollars.
    pub spent_usd: f64,
    /// The part shared with its parent, dollars.
    pub shared_usd: f64,
    /// What may be done now, and why not.
    pub allowed: Vec<Allowed>,
}

/// A job that runs or waits to run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// The job.
    pub job: String,
    /// What it makes.
    pub artifact_key: String,
    /// Which attempt.
    pub attempt: u32,
}

/// A video and what it was asked to be.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Video {
    /// The video.
    pub video_id: String,
    /// Its title.
    pub title: Option<String>,
    /// Where it stands.
    #[schema(schema_with = video_status)]
    pub status: String,
    /// Percent.
    pub progress: f64,
    /// What it was asked to be.
    pub request: VideoRequest,
    /// Whether checkpoints approve themselves.
    pub auto_continue: AutoContinue,
    /// The most that it may cost, dollars.
    pub budget_usd: Option<f64>,
    /// Spent so far, dollars.
    pub spent_usd: f64,
    /// When it was asked for.
    pub created_at: String,
    /// When it last moved.
    pub updated_at: String,
    /// The last event's `seq`.
    pub revision: u64,
}

/// What a video was asked to be, with every default filled in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VideoRequest {
    /// What happens in it.
    pub prompt: String,
    /// More words.
    pub description: Option<String>,
    /// Which model makes what.
    pub models: Models,
    /// Seconds.
    pub duration: Option<u32>,
    /// `16:9`, `9:16`, `1:1` or `4:5`.
    pub aspect_ratio: Option<String>,
    /// The archetype.
    pub template: Option<String>,
    /// 0 to 1.
    pub creativity: f64,
    /// Every other seed is derived from this one.
    pub seed: u64,
}

/// Which model makes what.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Models {
    /// Specs.
    pub language: String,
    /// Pictures.
    pub image: String,
    /// Chunks.
    pub video: String,
    /// Music.
    pub music: String,
}

/// Whether checkpoints approve themselves: `false`, `true`, or how far.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum AutoContinue {
    /// Never, or without limits.
    Switch(bool),
    /// Within limits.
    Limits {
        /// Stop at the checkpoint of `planning`, `storyboard`, `chunks` or `refine`.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<String>,
        /// Stop before the video's cost would pass this, dollars.
        #[serde(skip_serializing_if = "Option::is_none")]
        max_cost_usd: Option<f64>,
    },
}

/// A page of videos, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Videos {
    /// The page.
    pub videos: Vec<VideoSummary>,
    /// Where it ended; none on the last.
    pub next_cursor: Option<String>,
}

/// A video in a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VideoSummary {
    /// The video.
    pub video_id: String,
    /// Its title.
    pub title: Option<String>,
    /// What it was asked to be.
    pub prompt: String,
    /// Where it stands.
    #[schema(schema_with = video_status)]
    pub status: String,
    /// Percent.
    pub progress: f64,
    /// When it was asked for.
    pub created_at: String,
    /// When it last moved.
    pub updated_at: String,
}

/// A page of the event log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// Events in order, each with `type`, `id`, `time`, `seq` and fields of its own.
    #[schema(value_type = Vec<Object>)]
    pub events: Vec<Map<String, Value>>,
    /// The last event's `seq`; more pages follow while it is above the last one here.
    pub head: u64,
    /// Whether no branch runs or waits.
    pub finished: bool,
}

/// What a checkpoint made that nothing living refers to any more, and when it goes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Collectible {
    /// The checkpoint.
    pub checkpoint_id: String,
    /// Its branch.
    pub branch_name: String,
    /// 1 to 4.
    pub phase_number: u8,
    /// Counted per branch and phase.
    pub version: u32,
    /// Since when nothing living refers to it.
    pub since: String,
    /// When it goes; none while retention is switched off.
    pub due_at: Option<String>,
    /// The ids of what goes.
    pub artifacts: Vec<String>,
    /// How many bytes that takes.
    pub bytes: u64,
    /// What it cost to make, dollars.
    pub cost_usd: f64,
}

/// What was spent on what.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Cost {
    /// Spent so far, dollars.
    pub spent_usd: f64,
    /// What approving the current checkpoint would cost, dollars.
    pub estimate_next_usd: Option<f64>,
    /// What may be spent in all, dollars.
    pub budget_usd: Option<f64>,
    /// One row per attempt that reached a paid provider.
    pub ledger: Vec<LedgerRow>,
}

/// One submission to a paid provider.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LedgerRow {
    /// The branch that ordered it.
    pub branch: String,
    /// The phase, 1 to 4.
    pub phase: u8,
    /// The job.
    pub job: String,
    /// Which attempt.
    pub attempt: u32,
    /// What it was for.
    pub artifact_key: String,
    /// The model.
    pub model: String,
    /// `generation` or `second`.
    pub unit: String,
    /// How many.
    pub quantity: f64,
    /// What it cost, dollars.
    pub amount_usd: f64,
    /// When it was booked.
    pub time: String,
}

/// How two checkpoints differ.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Comparison {
    /// One checkpoint.
    pub a: String,
    /// The other.
    pub b: String,
    /// Where their specs differ, field by field.
    pub spec: Vec<SpecDifference>,
    /// Their artifacts, pairwise.
    pub artifacts: BTreeMap<String, ArtifactDifference>,
    /// What the artifacts of `a` cost to make, dollars.
    pub cost_a_usd: f64,
    /// What the artifacts of `b` cost to make, dollars.
    pub cost_b_usd: f64,
    /// `b` less `a`, dollars.
    pub cost_difference_usd: f64,
}

impl Comparison {
    /// Puts `base` before every link.
    pub fn make_links_absolute(&mut self, base: &str) {
        for artifact in self.artifacts.values_mut().flat_map(|pair| pair.a.iter_mut().chain(&mut pair.b)) {
            make_absolute(&mut artifact.s3_url, base);
        }
    }
}

/// One field in which two specs differ.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SpecDifference {
    /// The field's path: `beats[2].prompt`.
    pub path: String,
    /// In `a`; null where it has none.
    pub a: Value,
    /// In `b`; null where it has none.
    pub b: Value,
}

/// How an artifact of two checkpoints compares.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ArtifactDifference {
    /// `same`, `changed`, `only_in_a` or `only_in_b`.
    pub verdict: String,
    /// That of `a`.
    pub a: Option<Artifact>,
    /// That of `b`.
    pub b: Option<Artifact>,
}

/// The answer to `generate`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Created {
    /// The video.
    pub video_id: String,
    /// `queued`.
    #[schema(schema_with = video_status)]
    pub status: String,
    /// For people.
    pub message: String,
}

/// The answer to `continue`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Continued {
    /// For people.
    pub message: String,
    /// 1 to 4; none after the last.
    pub next_phase: Option<u8>,
    /// The branch that goes on.
    pub branch_name: String,
    /// Whether it was opened for this.
    pub created_new_branch: bool,
    /// The checkpoint that was approved: the new branch's when one was opened.
    pub checkpoint_id: String,
}

/// The answer to every change of a checkpoint: what changed and where.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Changed {
    /// For people.
    pub message: String,
    /// The checkpoint that took the change: a new sibling when the named one was approved already.
    pub checkpoint_id: String,
    /// Its branch.
    pub branch_name: String,
    /// Whether that branch was opened for this.
    pub created_new_branch: bool,
    /// The artifact, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_id: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Its stable link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3_url: Option<String>,
    /// The job that makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
}

/// The answer to `retry` and `cancel`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Moved {
    /// For people.
    pub message: String,
    /// The branches that moved.
    pub branches: Vec<String>,
    /// The jobs that are sent again or stopped.
    pub jobs: Vec<String>,
}

/// The answer to everything that only needs to be said to be done.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// For people.
    pub message: String,
}

#[cfg(test)]
#[path = "views/tests.rs"]
mod tests;
