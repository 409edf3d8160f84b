//! What happened to a video: the journal's entries and, with the bulky parts left out, what everyone may watch.
//!
//! Coordinator to anyone, on `video.{user}.{video}.event.{name}`, JSON. Receiving one twice is safe: `seq` counts from 1
//! without holes within a video. [`Event`]s are stored as they are here; frozen fixtures keep yesterday's readable.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::artifact::{Artifact, ArtifactKey, Digest, ObjectRef};
use crate::chunk::PlannedChunk;
use crate::command::{Rejection, Via};
use crate::id::{ArtifactId, BranchName, CheckpointId, CommandId, JobId, UserId};
use crate::job::{FailureKind, Spent};
use crate::money::Usd;
use crate::phase::Phase;
use crate::trace::{self, Trace};
use crate::video::{Request, Settings};

mod public;

pub use public::PublicEvent;

/// An event as the journal has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Counted from 1 within the video, without holes.
    pub seq: u64,
    /// When it was decided.
    pub time: DateTime<Utc>,
    /// The command that caused it, if one did.
    pub command_id: Option<CommandId>,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The video exists from now on.
    VideoCreated {
        /// Its owner.
        user: UserId,
        /// What it was asked to be.
        request: Request,
        /// What may still change.
        settings: Settings,
        /// The digest of the catalogue that it keeps.
        catalogue: Digest,
        /// Through which door.
        how: Via,
        /// SHA-256 of the body, so that the same `create` is recognised.
        body: Digest,
    },
    /// A phase runs on a branch; its checkpoint will have this id.
    PhaseStarted {
        /// The branch.
        branch: BranchName,
        /// The phase.
        phase: Phase,
        /// Counted per branch and phase from 1; a rejection makes the next.
        version: u32,
        /// The checkpoint that it leads to.
        checkpoint_id: CheckpointId,
        /// The approved checkpoint that feeds it; none for planning.
        parent: Option<CheckpointId>,
        /// What reviewers said, for a version made again.
        notes: Vec<String>,
        /// The chunk plan, at the chunks phase (W8).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        chunk_plan: Vec<PlannedChunk>,
        /// Every artifact that the phase will make, in order.
        artifacts: Vec<ArtifactKey>,
        /// The jobs that start at once; the others follow theirs.
        jobs: Vec<JobId>,
    },
    /// A job made what it was to make.
    JobDone {
        /// The job.
        job: JobId,
        /// Which attempt.
        attempt: u32,
        /// What it made.
        artifacts: Vec<Artifact>,
        /// What reached a paid provider.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        spent: Vec<Spent>,
        /// The jobs that waited for it and start now.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        starts: Vec<JobId>,
    },
    /// An attempt of a job failed.
    JobFailed {
        /// The job.
        job: JobId,
        /// Which attempt.
        attempt: u32,
        /// What kind of failure.
        kind: FailureKind,
        /// Why, for a person.
        reason: String,
        /// Whether nothing tries again by itself.
        gave_up: bool,
    },
    /// A job is sent again.
    JobRetried {
        /// The job.
        job: JobId,
        /// The new attempt.
        attempt: u32,
        /// Not before this time.
        not_before: DateTime<Utc>,
        /// Who asked for it; none when it is tried again by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<UserId>,
        /// Through which door.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        how: Option<Via>,
    },
    /// A worker may submit this attempt to a paid provider, once.
    JobClaimed {
        /// The job.
        job: JobId,
        /// Which attempt.
        attempt: u32,
        /// The worker's own word for this try.
        nonce: uuid::Uuid,
        /// SHA-256 of the request that will be sent.
        input: Digest,
        /// The most that it can cost.
        price_usd: Usd,
    },
    /// A paid provider has it.
    JobSubmitted {
        /// The job.
        job: JobId,
        /// Which attempt.
        attempt: u32,
        /// What the provider calls it.
        provider_job: String,
    },
    /// A worker died between claiming and submitting: nobody knows whether the provider has it. A person has to resolve it.
    JobUnknown {
        /// The job.
        job: JobId,
        /// Which attempt.
        attempt: u32,
        /// What it may have cost.
        price_usd: Usd,
    },
    /// A phase is done and waits for somebody.
    CheckpointCreated {
        /// The checkpoint.
        checkpoint_id: CheckpointId,
        /// Its branch.
        branch: BranchName,
        /// Its phase.
        phase: Phase,
        /// Its version.
        version: u32,
        /// What fed it.
        parent: Option<CheckpointId>,
        /// The digest of its selection.
        digest: Digest,
        /// What a reviewer should know.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
        /// What approving it will cost.
        estimate_next_usd: Usd,
    },
    /// Somebody said go.
    CheckpointApproved {
        /// The checkpoint that goes on.
        checkpoint_id: CheckpointId,
        /// The checkpoint that was named; another one when a branch was opened for the approval.
        asked: CheckpointId,
        /// Its branch.
        branch: BranchName,
        /// Its phase.
        phase: Phase,
        /// Who.
        by: UserId,
        /// Through which door.
        how: Via,
        /// What they said.
        note: Option<String>,
        /// The digest of what was approved.
        digest: Digest,
    },
    /// A phase is to be made again.
    CheckpointRejected {
        /// The checkpoint.
        checkpoint_id: CheckpointId,
        /// Its branch.
        branch: BranchName,
        /// Who.
        by: UserId,
        /// Through which door.
        how: Via,
        /// What should be different.
        notes: String,
        /// The version that takes its place.
        superseded_by: CheckpointId,
    },
    /// A checkpoint leads nowhere.
    CheckpointAbandoned {
        /// The checkpoint.
        checkpoint_id: CheckpointId,
        /// Its branch.
        branch: BranchName,
        /// Who.
        by: UserId,
        /// Through which door.
        how: Via,
    },
    /// Retention passes a checkpoint over, or no longer.
    CheckpointPinned {
        /// The checkpoint.
        checkpoint_id: CheckpointId,
        /// Whether it is kept.
        pinned: bool,
        /// Who.
        by: UserId,
        /// Through which door.
        how: Via,
    },
    /// Retention collected what abandoned checkpoints made: its objects go, the checkpoints stay in the tree.
    CheckpointsCollected {
        /// The checkpoints that lost something.
        checkpoint_ids: Vec<CheckpointId>,
        /// What is gone.
        artifacts: Vec<ArtifactId>,
        /// How many bytes it took.
        bytes: u64,
    },
    /// A branch was opened.
    BranchCreated {
        /// The new branch.
        branch: BranchName,
        /// The checkpoint that it was opened from.
        from: CheckpointId,
        /// Its first checkpoint: a pending sibling of `from` with the same selection.
        checkpoint_id: CheckpointId,
        /// That checkpoint's version.
        version: u32,
        /// The digest of its selection.
        digest: Digest,
        /// Who.
        by: UserId,
        /// Through which door.
        how: Via,
    },
    /// A spec was changed by hand.
    SpecEdited {
        /// The checkpoint.
        checkpoint_id: CheckpointId,
        /// The new version.
        artifact: Artifact,
        /// What a reviewer should know.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
        /// Who.
        by: UserId,
        /// Through which door.
        how: Via,
    },
    /// One artifact is being made again; it has its version number from now on.
    ArtifactOrdered {
        /// The checkpoint.
        checkpoint_id: CheckpointId,
        /// Which artifact.
        key: ArtifactKey,
        /// Its version.
        version: u32,
        /// The job that makes it.
        job: JobId,
        /// What it departs from.
        overrides: Overrides,
        /// Who; none for what is free and follows by itself.
        by: Option<UserId>,
        /// Through which door.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        how: Option<Via>,
    },
    /// An ordered artifact is there.
    ArtifactReady {
        /// The checkpoint.
        checkpoint_id: CheckpointId,
        /// Which artifact.
        key: ArtifactKey,
        /// Its version.
        version: u32,
        /// Whether it was put into the selection.
        selected: bool,
    },
    /// An ordered artifact could not be made.
    ArtifactFailed {
        /// The checkpoint.
        checkpoint_id: CheckpointId,
        /// Which artifact.
        key: ArtifactKey,
        /// Its version.
        version: u32,
        /// Why.
        reason: String,
    },
    /// Another version was put into the selection by hand.
    ArtifactSelected {
        /// The checkpoint.
        checkpoint_id: CheckpointId,
        /// Which artifact.
        key: ArtifactKey,
        /// The version that stands there now.
        artifact_id: ArtifactId,
        /// The checkpoint that it was taken from, if from another one.
        from_checkpoint: Option<CheckpointId>,
        /// Who.
        by: UserId,
        /// Through which door.
        how: Via,
    },
    /// Artifacts no longer fit what they were made from.
    ArtifactStale {
        /// The checkpoint.
        checkpoint_id: CheckpointId,
        /// Which artifacts.
        keys: Vec<ArtifactKey>,
    },
    /// A phase cannot go on by itself; `retry` runs what did not finish.
    PhaseFailed {
        /// The branch.
        branch: BranchName,
        /// The phase.
        phase: Phase,
        /// The checkpoint that it would have led to.
        checkpoint_id: CheckpointId,
        /// Why, for a person.
        reason: String,
    },
    /// The film is finished and approved.
    BranchCompleted {
        /// The branch.
        branch: BranchName,
        /// Its last checkpoint.
        checkpoint_id: CheckpointId,
    },
    /// Work on a branch was stopped.
    BranchCancelled {
        /// The branch.
        branch: BranchName,
        /// The jobs that nobody wants any more.
        jobs: Vec<JobId>,
        /// Who.
        by: UserId,
        /// Through which door.
        how: Via,
    },
    /// Settings changed.
    SettingsChanged {
        /// As they are now.
        settings: Settings,
        /// Who.
        by: UserId,
        /// Through which door.
        how: Via,
    },
    /// A branch waits because going on would pass the budget.
    BudgetExceeded {
        /// The branch.
        branch: BranchName,
        /// The checkpoint that waits.
        checkpoint_id: CheckpointId,
        /// What going on would cost.
        estimate_usd: Usd,
        /// What may be spent in all.
        budget_usd: Usd,
    },
    /// The video is gone.
    VideoDeleted {
        /// Who.
        by: UserId,
        /// Through which door.
        how: Via,
    },
}

/// What an ordered artifact departs from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Overrides {
    /// Instead of the beat's prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Instead of the video's model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Instead of the derived seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Another archetype.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creativity: Option<f64>,
    /// What should be different.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// An upload instead of anything made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ObjectRef>,
}

impl Event {
    /// The last token of its subject.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::VideoCreated { .. } => "video_created",
            Self::PhaseStarted { .. } => "phase_started",
            Self::JobDone { .. } => "job_done",
            Self::JobFailed { .. } => "job_failed",
            Self::JobRetried { .. } => "job_retried",
            Self::JobClaimed { .. } => "job_claimed",
            Self::JobSubmitted { .. } => "job_submitted",
            Self::JobUnknown { .. } => "job_unknown",
            Self::CheckpointCreated { .. } => "checkpoint_created",
            Self::CheckpointPinned { .. } => "checkpoint_pinned",
            Self::CheckpointApproved { .. } => "checkpoint_approved",
            Self::CheckpointRejected { .. } => "checkpoint_rejected",
            Self::CheckpointAbandoned { .. } => "checkpoint_abandoned",
            Self::CheckpointsCollected { .. } => "checkpoints_collected",
            Self::BranchCreated { .. } => "branch_created",
            Self::SpecEdited { .. } => "spec_edited",
            Self::ArtifactOrdered { .. } => "artifact_ordered",
            Self::ArtifactReady { .. } => "artifact_ready",
            Self::ArtifactFailed { .. } => "artifact_failed",
            Self::ArtifactSelected { .. } => "artifact_selected",
            Self::ArtifactStale { .. } => "artifact_stale",
            Self::PhaseFailed { .. } => "phase_failed",
            Self::BranchCompleted { .. } => "branch_completed",
            Self::BranchCancelled { .. } => "branch_cancelled",
            Self::SettingsChanged { .. } => "settings_changed",
            Self::BudgetExceeded { .. } => "budget_exceeded",
            Self::VideoDeleted { .. } => "video_deleted",
        }
    }
}

/// How a command ended: exactly one per command, published after the events it caused, without `seq`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CommandOutcome {
    /// It was done, or had been done before.
    CommandAnswered {
        /// The command.
        command_id: CommandId,
        /// The command that did it; the same one unless this was a repeat.
        first_command_id: CommandId,
        /// What HTTP answers.
        answer: Value,
        /// When.
        time: DateTime<Utc>,
        /// The trace that its sender gave; a header where it is published.
        #[serde(default, deserialize_with = "trace::lenient", skip_serializing_if = "Option::is_none")]
        trace: Option<Trace>,
    },
    /// It was refused and changed nothing.
    CommandRejected {
        /// The command.
        command_id: CommandId,
        /// Why.
        #[serde(flatten)]
        rejection: Rejection,
        /// When.
        time: DateTime<Utc>,
        /// The trace that its sender gave; a header where it is published.
        #[serde(default, deserialize_with = "trace::lenient", skip_serializing_if = "Option::is_none")]
        trace: Option<Trace>,
    },
}

impl CommandOutcome {
    /// The last token of its subject.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CommandAnswered { .. } => "command_answered",
            Self::CommandRejected { .. } => "command_rejected",
        }
    }

    /// When the command ended.
    pub const fn time(&self) -> DateTime<Utc> {
        match self {
            Self::CommandAnswered { time, .. } | Self::CommandRejected { time, .. } => *time,
        }
    }

    /// The trace that the command's sender gave.
    pub const fn trace(&self) -> Option<Trace> {
        match self {
            Self::CommandAnswered { trace, .. } | Self::CommandRejected { trace, .. } => *trace,
        }
    }

    /// The command that it answers.
    pub const fn command_id(&self) -> &CommandId {
        match self {
            Self::CommandAnswered { command_id, .. } | Self::CommandRejected { command_id, .. } => command_id,
        }
    }
}
