//! What anyone may ask to see, and the answers: request/reply, JSON, any coordinator replica, straight from SQL.
//!
//! `query.{user}.{video}.{name}` with the names of [`VIDEO_QUERIES`]; `query.{user}.videos` and `query.{user}.artifact`.
//! A refusal is a reply with the headers `Nats-Service-Error-Code` (an HTTP status) and `Nats-Service-Error`, and a
//! [`Rejection`](crate::command::Rejection) as its body.
//!
//! Links are paths of the gateway (`/api/artifacts/{id}/content`), which never go stale; storage keys appear only in
//! [`ArtifactLocation`], which the gateway asks for and does not show.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::artifact::{ArtifactKey, Content, Digest};
use crate::command::Code;
use crate::id::{ArtifactId, BranchName, CheckpointId, JobId, UserId, VideoId};
use crate::money::Usd;
use crate::phase::Phase;
use crate::video::{AutoContinue, Request};

/// The queries about one video.
pub const VIDEO_QUERIES: [&str; 10] =
    ["status", "video", "checkpoints", "checkpoint", "tree", "branches", "history", "cost", "compare", "retention"];

/// Where a video or branch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each says what it is")]
pub enum VideoStatus {
    Queued,
    Validating,
    #[serde(rename = "paused_at_phase1")]
    PausedAtPhase1,
    GeneratingStoryboard,
    #[serde(rename = "paused_at_phase2")]
    PausedAtPhase2,
    GeneratingChunks,
    #[serde(rename = "paused_at_phase3")]
    PausedAtPhase3,
    Refining,
    #[serde(rename = "paused_at_phase4")]
    PausedAtPhase4,
    Complete,
    Failed,
    Cancelled,
}

impl VideoStatus {
    /// Every status, in the order of a film's life.
    pub const ALL: [Self; 12] = [
        Self::Queued,
        Self::Validating,
        Self::PausedAtPhase1,
        Self::GeneratingStoryboard,
        Self::PausedAtPhase2,
        Self::GeneratingChunks,
        Self::PausedAtPhase3,
        Self::Refining,
        Self::PausedAtPhase4,
        Self::Complete,
        Self::Failed,
        Self::Cancelled,
    ];

    /// As it is written everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Validating => "validating",
            Self::PausedAtPhase1 => "paused_at_phase1",
            Self::GeneratingStoryboard => "generating_storyboard",
            Self::PausedAtPhase2 => "paused_at_phase2",
            Self::GeneratingChunks => "generating_chunks",
            Self::PausedAtPhase3 => "paused_at_phase3",
            Self::Refining => "refining",
            Self::PausedAtPhase4 => "paused_at_phase4",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status while `phase` runs.
    pub const fn running(phase: Phase) -> Self {
        match phase {
            Phase::Planning => Self::Validating,
            Phase::Storyboard => Self::GeneratingStoryboard,
            Phase::Chunks => Self::GeneratingChunks,
            Phase::Refine => Self::Refining,
        }
    }

    /// The status while the checkpoint of `phase` waits.
    pub const fn paused(phase: Phase) -> Self {
        match phase {
            Phase::Planning => Self::PausedAtPhase1,
            Phase::Storyboard => Self::PausedAtPhase2,
            Phase::Chunks => Self::PausedAtPhase3,
            Phase::Refine => Self::PausedAtPhase4,
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// Where a branch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BranchState {
    /// Jobs run or wait to run.
    Running,
    /// Its checkpoint waits for somebody.
    Paused,
    /// Going on would pass the budget.
    BlockedBudget,
    /// A paid job's fate is unknown; somebody has to resolve it.
    BlockedUnknown,
    /// A phase failed; `retry` goes on.
    Failed,
    /// It was cancelled; `retry` goes on.
    Cancelled,
    /// The film is finished.
    Complete,
}

/// `status`: everything a page shows of a video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The video.
    pub video_id: VideoId,
    /// That of the branch that moved last.
    pub status: VideoStatus,
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
    pub current_checkpoint: Option<CheckpointView>,
    /// Every checkpoint in its place.
    pub checkpoint_tree: Vec<TreeNode>,
    /// The names of branches that run or wait.
    pub active_branches: Vec<BranchName>,
    /// Every branch.
    pub branches: Vec<BranchView>,
    /// Money.
    pub cost: CostSummary,
    /// The last event's `seq`.
    pub revision: u64,
}

/// Money at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostSummary {
    /// Spent so far.
    pub spent_usd: Usd,
    /// What approving the current checkpoint would cost.
    pub estimate_next_usd: Option<Usd>,
    /// What may be spent in all.
    pub budget_usd: Option<Usd>,
}

/// `checkpoint` (body `{"checkpoint_id"}`), and each of `checkpoints` (body `{"branch_name"?}`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointView {
    /// The checkpoint.
    pub checkpoint_id: CheckpointId,
    /// Its video.
    pub video_id: VideoId,
    /// Its branch.
    pub branch_name: BranchName,
    /// 1 to 4.
    pub phase_number: Phase,
    /// Counted per branch and phase.
    pub version: u32,
    /// The approved checkpoint that fed it.
    pub parent_checkpoint_id: Option<CheckpointId>,
    /// `pending`, `approved` or `abandoned`.
    pub status: String,
    /// When it began to wait.
    pub created_at: DateTime<Utc>,
    /// When it was approved.
    pub approved_at: Option<DateTime<Utc>>,
    /// Which version took its place.
    pub superseded_by: Option<CheckpointId>,
    /// The digest of its selection.
    pub digest: Digest,
    /// Whether its selection moved since it was made.
    pub edited: bool,
    /// Whether the coordinator would accept its approval now.
    pub can_continue: bool,
    /// Whether retention passes it over.
    pub pinned: bool,
    /// Whether retention has collected what was made here: that is in neither list of artifacts any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub collected: bool,
    /// What a reviewer should know.
    pub warnings: Vec<String>,
    /// What approving it will cost.
    pub estimate_next_usd: Usd,
    /// What making each of its own artifacts again costs, with the model that the video uses.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub remake_usd: BTreeMap<String, Usd>,
    /// The selection: its own artifacts and the inherited ones.
    pub artifacts: BTreeMap<String, ArtifactView>,
    /// Every version of each artifact, oldest first; only in `checkpoint`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, Vec<ArtifactView>>,
    /// Artifacts that no longer fit what they were made from.
    pub stale: Vec<ArtifactKey>,
    /// Artifacts that are being made again.
    pub in_flight: Vec<ArtifactKey>,
    /// What may be done here now, and why not.
    pub allowed: Vec<Allowed>,
}

/// Whether a command would be accepted now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// The verb.
    pub command: String,
    /// Whether it would.
    pub allowed: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Why not, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One version of an artifact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArtifactView {
    /// Its id.
    pub id: ArtifactId,
    /// What kind of thing it is.
    pub artifact_type: String,
    /// Which artifact of the checkpoint.
    pub artifact_key: ArtifactKey,
    /// The stable link.
    pub s3_url: String,
    /// Counted per checkpoint and key.
    pub version: u32,
    /// Model, seed, size and the like; the whole spec under `spec` for a spec.
    pub metadata: Map<String, Value>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// `tree`: a checkpoint and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreeNode {
    /// The checkpoint, without its artifacts.
    pub checkpoint: TreeCheckpoint,
    /// What came of it, oldest first.
    pub children: Vec<TreeNode>,
}

/// A checkpoint in the tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreeCheckpoint {
    /// The checkpoint.
    pub checkpoint_id: CheckpointId,
    /// Its branch.
    pub branch_name: BranchName,
    /// 1 to 4.
    pub phase_number: Phase,
    /// Counted per branch and phase.
    pub version: u32,
    /// The approved checkpoint that fed it.
    pub parent_checkpoint_id: Option<CheckpointId>,
    /// `pending`, `approved` or `abandoned`.
    pub status: String,
    /// When it began to wait.
    pub created_at: DateTime<Utc>,
    /// The digest of its selection.
    pub digest: Digest,
    /// Whether retention has collected what was made here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub collected: bool,
}

/// Each of `branches`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BranchView {
    /// Its name.
    pub branch_name: BranchName,
    /// Its newest checkpoint, if it has one yet.
    pub latest_checkpoint_id: Option<CheckpointId>,
    /// The phase that it is in, 1 to 4.
    pub phase_number: Phase,
    /// As a video's.
    pub status: VideoStatus,
    /// Where it stands.
    pub state: BranchState,
    /// Whether its newest checkpoint's approval would be accepted now.
    pub can_continue: bool,
    /// Percent.
    pub progress: f64,
    /// Jobs that run or wait to run.
    pub running_jobs: Vec<JobView>,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// Spent on it, the part shared with its parent included.
    pub spent_usd: Usd,
    /// The part shared with its parent.
    pub shared_usd: Usd,
    /// What may be done now, and why not.
    pub allowed: Vec<Allowed>,
}

/// A job that runs or waits to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// The job.
    pub job: JobId,
    /// What it makes.
    pub artifact_key: ArtifactKey,
    /// Which attempt.
    pub attempt: u32,
}

/// `video`: the video itself; and each of `videos`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoView {
    /// The video.
    pub video_id: VideoId,
    /// Its title.
    pub title: Option<String>,
    /// Where it stands.
    pub status: VideoStatus,
    /// Percent.
    pub progress: f64,
    /// What it was asked to be.
    pub request: Request,
    /// Whether checkpoints approve themselves.
    pub auto_continue: AutoContinue,
    /// The most that it may cost.
    pub budget_usd: Option<Usd>,
    /// Spent so far.
    pub spent_usd: Usd,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it last moved.
    pub updated_at: DateTime<Utc>,
    /// The last event's `seq`.
    pub revision: u64,
}

/// The body of `query.{user}.videos`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListVideos {
    /// Only these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<VideoStatus>,
    /// 1 to 100; none means 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the last page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The answer to `query.{user}.videos`: newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Videos {
    /// A page of them.
    pub videos: Vec<VideoSummary>,
    /// Where this page ended; none on the last.
    pub next_cursor: Option<String>,
}

/// A video in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoSummary {
    /// The video.
    pub video_id: VideoId,
    /// Its title.
    pub title: Option<String>,
    /// What it was asked to be.
    pub prompt: String,
    /// Where it stands.
    pub status: VideoStatus,
    /// Percent.
    pub progress: f64,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it last moved.
    pub updated_at: DateTime<Utc>,
}

/// The body of `history`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskHistory {
    /// Only what came after this `seq`.
    #[serde(default)]
    pub after_seq: u64,
}

/// The answer to `history`: events in order, as they are published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// A page of events.
    pub events: Vec<Map<String, Value>>,
    /// The last event's `seq`; more pages follow while it is above the last one here.
    pub head: u64,
    /// Whether no branch runs or waits.
    pub finished: bool,
}

/// The answer to `cost`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Spent so far.
    pub spent_usd: Usd,
    /// What approving the current checkpoint would cost.
    pub estimate_next_usd: Option<Usd>,
    /// What may be spent in all.
    pub budget_usd: Option<Usd>,
    /// One row per attempt that reached a paid provider.
    pub ledger: Vec<LedgerRow>,
}

/// One submission to a paid provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerRow {
    /// The branch that ordered it.
    pub branch: BranchName,
    /// The phase.
    pub phase: Phase,
    /// The job.
    pub job: JobId,
    /// Which attempt.
    pub attempt: u32,
    /// What it was for.
    pub artifact_key: ArtifactKey,
    /// The model.
    pub model: String,
    /// `generation` or `second`.
    pub unit: String,
    /// How many.
    pub quantity: f64,
    /// What it cost.
    pub amount_usd: Usd,
    /// When it was booked.
    pub time: DateTime<Utc>,
}

/// The body of `checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskCheckpoint {
    /// Which one.
    pub checkpoint_id: CheckpointId,
}

/// The body of `checkpoints`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskCheckpoints {
    /// Only this branch's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_name: Option<String>,
    /// Only what was created after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<CheckpointId>,
}

/// The body of `compare`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskCompare {
    /// One checkpoint.
    pub a: CheckpointId,
    /// The other.
    pub b: CheckpointId,
}

/// The answer to `compare`: how two checkpoints differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// One checkpoint.
    pub a: CheckpointId,
    /// The other.
    pub b: CheckpointId,
    /// Where their specs differ, field by field.
    pub spec: Vec<SpecDifference>,
    /// Their artifacts, pairwise.
    pub artifacts: BTreeMap<String, ArtifactDifference>,
    /// What the artifacts of `a` cost to make.
    pub cost_a_usd: Usd,
    /// What the artifacts of `b` cost to make.
    pub cost_b_usd: Usd,
    /// `b` less `a`, dollars.
    pub cost_difference_usd: f64,
}

/// One field in which two specs differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpecDifference {
    /// The field's path: `beats[2].prompt`.
    pub path: String,
    /// In `a`; null where it has none.
    pub a: Value,
    /// In `b`; null where it has none.
    pub b: Value,
}

/// How an artifact of two checkpoints compares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArtifactDifference {
    /// `same`, `changed`, `only_in_a` or `only_in_b`.
    pub verdict: String,
    /// That of `a`.
    pub a: Option<ArtifactView>,
    /// That of `b`.
    pub b: Option<ArtifactView>,
}

/// Each of `retention`: what a checkpoint made that nothing living refers to any more, and when it goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Collectible {
    /// The checkpoint.
    pub checkpoint_id: CheckpointId,
    /// Its branch.
    pub branch_name: BranchName,
    /// 1 to 4.
    pub phase_number: Phase,
    /// Counted per branch and phase.
    pub version: u32,
    /// Since when nothing living refers to it.
    pub since: DateTime<Utc>,
    /// When it goes; none while retention is switched off.
    pub due_at: Option<DateTime<Utc>>,
    /// What goes.
    pub artifacts: Vec<ArtifactId>,
    /// How many bytes that takes.
    pub bytes: u64,
    /// What it cost to make.
    pub cost_usd: Usd,
}

/// The body of `query.{user}.artifact`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskArtifact {
    /// Which one.
    pub artifact_id: ArtifactId,
}

/// The answer to `query.{user}.artifact`: where its bytes are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArtifactLocation {
    /// Whose.
    pub user: UserId,
    /// Of which video.
    pub video_id: VideoId,
    /// Which artifact.
    pub artifact_key: ArtifactKey,
    /// The object, or the spec itself.
    pub content: Content,
}

/// The stable link of an artifact.
pub fn artifact_link(id: ArtifactId) -> String {
    format!("/api/artifacts/{id}/content")
}

/// The answers of commands, as HTTP gives them.
pub mod answer {
    use super::*;

    /// To `create`.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct Created {
        /// The video.
        pub video_id: VideoId,
        /// `queued`.
        pub status: VideoStatus,
        /// For people.
        pub message: String,
    }

    /// To `approve`.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct Continued {
        /// For people.
        pub message: String,
        /// 1 to 4; none after the last.
        pub next_phase: Option<Phase>,
        /// The branch that goes on.
        pub branch_name: BranchName,
        /// Whether it was opened for this.
        pub created_new_branch: bool,
        /// The checkpoint that was approved: the new branch's when one was opened.
        pub checkpoint_id: CheckpointId,
    }

    /// To `fork`, `edit`, `select`, `take`, `regenerate`, uploads: what changed and where.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct Changed {
        /// For people.
        pub message: String,
        /// The checkpoint that took the change: a new sibling when the named one was approved already.
        pub checkpoint_id: CheckpointId,
        /// Its branch.
        pub branch_name: BranchName,
        /// Whether that branch was opened for this.
        pub created_new_branch: bool,
        /// The artifact, when there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub artifact_id: Option<ArtifactId>,
        /// Its version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub version: Option<u32>,
        /// Its stable link.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub s3_url: Option<String>,
        /// The job that makes it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub job_id: Option<JobId>,
    }

    /// To `retry` and `cancel`.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct Moved {
        /// For people.
        pub message: String,
        /// The branches that moved.
        pub branches: Vec<BranchName>,
        /// The jobs that are sent again or stopped.
        pub jobs: Vec<JobId>,
    }

    /// To everything that only needs to be said to be done.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct Done {
        /// For people.
        pub message: String,
    }
}
