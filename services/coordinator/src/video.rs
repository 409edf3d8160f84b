//! The life of one video, as a pure state machine: no clock, no IO, no randomness.
//!
//! A film is made in four phases. Each phase runs as jobs; when the last one is done its checkpoint waits until somebody
//! approves, and only then do the next phase's jobs exist. People may change what a checkpoint selected, make one thing
//! again, go another way on a branch of its own, or send a whole phase back. Nothing is ever overwritten: artifacts are
//! immutable, versions are counted, lineage is set once.
//!
//! [`Video::decide`] reads the state and gives events, or a refusal that names its reason. [`Video::apply`] alone writes
//! the state, holds no rules, and is all that recovery needs. In between a [`Draft`] lets one decision build on what it
//! has just decided.
//!
//! | file | what |
//! |---|---|
//! | this one | the state, the table of inputs, `apply` |
//! | [`phase`] | how phases start, run, fail, go on again and end |
//! | [`review`] | what people do at checkpoints |
//! | [`staleness`] | what no longer fits what it was made from, and what is rebuilt by itself |
//! | [`money`] | paid jobs: claimed once, submitted once, never billed twice |
//! | [`retention`] | what nothing living refers to any more, and what of it goes |
//! | [`work`] | the jobs that workers get |
//! | [`view`] | what queries show |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use messages::artifact::{Artifact, ArtifactKey, Content, Digest};
use messages::catalogue::Catalogue;
use messages::chunk::PlannedChunk;
use messages::command::{Code, Command, Rejection, Via};
use messages::event::{Event, Overrides, Recorded};
use messages::id::{ArtifactId, BranchName, CheckpointId, CommandId, JobId, UserId, VideoId};
use messages::job::{self, ClaimReply, FailureKind, NotWanted, Report};
use messages::money::Usd;
use messages::phase::Phase;
use messages::query::{LedgerRow, answer};
use messages::spec::Spec;
use messages::video::{AutoContinue, CreateVideo, Models, Request, Settings};
use serde_json::Value;

pub mod compare;
pub mod money;
pub mod phase;
pub mod retention;
pub mod review;
pub mod staleness;
pub mod view;
pub mod work;

#[cfg(test)]
mod history;
#[cfg(test)]
mod lessons;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;

/// Which artifact version stands under each key.
pub type Selection = BTreeMap<ArtifactKey, ArtifactId>;

/// One video, as its events made it. Cheap to copy, because a command may be refused half-way and so drafts on a copy: what
/// most of them leave as it is is shared.
#[derive(Debug, Clone, PartialEq)]
pub struct Video {
    /// Its id.
    pub id: VideoId,
    /// The last event's number.
    pub seq: u64,
    /// Its owner: for everybody else it does not exist.
    pub user: UserId,
    /// What it was asked to be, frozen.
    pub request: Arc<Request>,
    /// SHA-256 of the `create` body, by which a repeated one is recognised.
    pub create_body: Digest,
    /// The command that created it.
    pub created_by: Option<CommandId>,
    /// Models, prices, beats and archetypes, frozen.
    pub catalogue: Arc<Catalogue>,
    /// What may still change.
    pub settings: Settings,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it last moved.
    pub updated_at: DateTime<Utc>,
    /// Set once; nothing brings it back.
    pub deleted: Option<CommandId>,
    /// The branch that moved last.
    pub current_branch: BranchName,
    /// Every branch.
    pub branches: BTreeMap<BranchName, Branch>,
    /// Every checkpoint, those still in the making included.
    pub checkpoints: BTreeMap<CheckpointId, Arc<Checkpoint>>,
    /// Every version of every artifact.
    pub artifacts: BTreeMap<ArtifactId, Arc<Artifact>>,
    /// What those of them hash to that are specs: many decisions ask for it.
    spec_digests: BTreeMap<ArtifactId, Digest>,
    /// The artifacts whose objects retention has collected; what is known of them stays.
    pub collected: BTreeSet<ArtifactId>,
    /// Every job that was ever ordered.
    pub jobs: BTreeMap<JobId, Arc<Job>>,
    /// What reached a paid provider; append-only.
    pub ledger: Vec<LedgerRow>,
}

/// A line of phases.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// The checkpoint that it was opened from; none for `main`.
    pub opened_from: Option<CheckpointId>,
    /// Its newest checkpoint, perhaps still in the making.
    pub head: CheckpointId,
    /// Where it stands.
    pub state: BranchState,
    /// The farthest that it has been, percent: a version made again does not move it back.
    pub progress: f64,
}

/// Where a branch stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BranchState {
    /// Its head is in the making: jobs run or wait to run, or wait for somebody to `resolve` one.
    Running,
    /// Its head waits for somebody.
    Paused,
    /// Its head would go on by itself, but that would pass the budget.
    BlockedBudget,
    /// Making its head failed; `retry` goes on.
    Failed {
        /// Why, for a person.
        reason: String,
    },
    /// Somebody stopped it; `retry` goes on.
    Cancelled,
    /// Its film is finished.
    Complete,
}

/// What one phase of one branch made, in one version, and what people did with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Its branch.
    pub branch: BranchName,
    /// Its phase.
    pub phase: Phase,
    /// Counted per branch and phase from 1.
    pub version: u32,
    /// The approved checkpoint of the phase before that fed it.
    pub parent: Option<CheckpointId>,
    /// The sibling that it was forked from.
    pub forked_from: Option<CheckpointId>,
    /// Where it stands.
    pub state: CheckpointState,
    /// When its phase started; from the end of the phase on, when it began to wait.
    pub created_at: DateTime<Utc>,
    /// What the phase makes, in order.
    pub expected: Vec<ArtifactKey>,
    /// The chunk plan, at the chunks phase and after it.
    pub chunk_plan: Vec<PlannedChunk>,
    /// What reviewers said of earlier versions.
    pub notes: Vec<String>,
    /// What a reviewer should know.
    pub warnings: Vec<String>,
    /// What the phase made first.
    pub first_selection: Selection,
    /// What is selected now: the phase's own artifacts and all inherited ones.
    pub selection: Selection,
    /// Every version of each artifact, oldest first; a failed one leaves a hole in the numbers.
    pub versions: BTreeMap<ArtifactKey, Vec<ArtifactId>>,
    /// The last version number given for each artifact.
    pub last_version: BTreeMap<ArtifactKey, u32>,
    /// Its approval.
    pub approval: Option<Approval>,
    /// Approvals that were asked of it and went on elsewhere, on a branch opened for them.
    pub approved_away: Vec<Approval>,
    /// Whether retention passes it over.
    pub pinned: bool,
    /// When it was abandoned, if it was.
    pub abandoned_at: Option<DateTime<Utc>>,
    /// Whether retention has collected something that it refers to.
    pub collected: bool,
}

/// Where a checkpoint stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckpointState {
    /// Its phase runs, failed or was cancelled.
    Making,
    /// It waits for somebody.
    Pending,
    /// Somebody said go.
    Approved,
    /// It leads nowhere.
    Abandoned {
        /// The version that took its place.
        superseded_by: Option<CheckpointId>,
    },
}

/// An approval, as it is answered again when it is repeated.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// The command; none for the policy.
    pub command_id: Option<CommandId>,
    /// When.
    pub at: DateTime<Utc>,
    /// What was approved.
    pub digest: Digest,
    /// What was answered.
    pub answer: answer::Continued,
}

/// The making of one version of one artifact.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The newest attempt, from 1.
    pub attempt: u32,
    /// Failures since somebody last said go.
    pub failures: u32,
    /// Where it stands.
    pub state: JobState,
    /// When the newest attempt may start.
    pub not_before: DateTime<Utc>,
    /// What it departs from.
    pub overrides: Overrides,
    /// For an order at a waiting checkpoint: what stood under the key when it was ordered.
    pub replaces: Option<ArtifactId>,
    /// What its inputs were, for telling whether its result still fits.
    pub basis: Digest,
    /// Leave to submit the newest attempt to a paid provider.
    pub claim: Option<Claimed>,
}

/// Leave to submit one attempt to a paid provider, given to one worker's try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The worker's own word for this try.
    pub nonce: uuid::Uuid,
    /// The most that it can cost.
    pub price: Usd,
    /// When it was last heard of.
    pub at: DateTime<Utc>,
    /// What the provider calls it, once it has it.
    pub provider_job: Option<String>,
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// It runs or waits to run.
    Planned,
    /// Its artifacts are recorded.
    Done,
    /// Nothing tries again by itself.
    Failed {
        /// Why, for a person.
        reason: String,
    },
    /// Nobody wants it any more.
    Cancelled,
    /// It was claimed, its worker died, and nobody knows whether the provider has it.
    Unknown,
}

/// What can happen to a video.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Somebody asks for something.
    Command {
        /// The command's id.
        id: CommandId,
        /// Who asks: from the subject, never from a body.
        user: UserId,
        /// Through which door.
        via: Via,
        /// What is asked.
        command: Box<Command>,
    },
    /// A worker made what it was to make.
    Done(Box<Report<job::Done>>),
    /// A worker did not.
    Failed(Report<job::Failed>),
    /// A worker wants to spend money.
    Claim(Report<job::Claim>),
    /// A paid provider has a job.
    Submitted(Report<job::Submitted>),
    /// It may be time to collect what was abandoned.
    Collect {
        /// How long what was abandoned is kept.
        keep_for: Duration,
    },
}

impl Input {
    /// What is answered where there is no video, or none any more; commands are refused with their reasons.
    const fn answer_of_unknown_video(&self) -> Option<Reply> {
        match self {
            Self::Command { .. } => None,
            Self::Done(_) | Self::Failed(_) | Self::Submitted(_) => Some(Reply::NotWanted(NotWanted::UnknownVideo)),
            Self::Claim(_) => Some(Reply::Claim(ClaimReply::Refused(NotWanted::UnknownVideo))),
            Self::Collect { .. } => Some(Reply::Recorded),
        }
    }
}

/// What a video could be created with: read from files at the coordinator's start.
#[derive(Debug, Clone)]
pub struct Setup {
    catalogue: Arc<Catalogue>,
    /// What names it: hashed once, not for each video.
    digest: Digest,
    providers: Vec<String>,
}

impl Setup {
    /// Models, beats and archetypes for new videos, and the providers that this installation can reach.
    pub fn new(catalogue: Arc<Catalogue>, providers: Vec<String>) -> Self {
        Self { digest: catalogue.digest(), catalogue, providers }
    }
}

/// What was decided about an input.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What happens, in order; empty for a repeat.
    pub events: Vec<Recorded>,
    /// The video after these events; none when there still is none.
    pub video: Option<Video>,
    /// What these events book.
    pub spent: Vec<LedgerRow>,
    /// What whoever sent the input is told.
    pub reply: Reply,
}

impl Decision {
    /// That nothing happens.
    pub const fn unchanged(video: Option<Video>, reply: Reply) -> Self {
        Self { events: Vec::new(), video, spent: Vec::new(), reply }
    }

    /// The last event's number before these events; 0 when there was no video.
    pub fn based_on(&self) -> u64 {
        self.video.as_ref().map_or(0, |video| video.seq.saturating_sub(self.events.len() as u64))
    }
}

/// What whoever sent an input is told, once it is recorded.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// A command was done.
    Answer {
        /// What HTTP answers.
        answer: Value,
        /// The command that did it, when this one repeats it.
        first_command_id: Option<CommandId>,
    },
    /// A command was refused.
    Rejected(Rejection),
    /// A worker's report counts, now or the first time it came.
    Recorded,
    /// A worker's job is not wanted.
    NotWanted(NotWanted),
    /// What a worker may do after a claim.
    Claim(ClaimReply),
}

impl Video {
    /// What an input does to a video, or to the want of one. The same state, input and time give the same decision. The video
    /// comes back in it, as it is then.
    pub fn decide(video: Option<Self>, id: VideoId, input: &Input, setup: &Setup, now: DateTime<Utc>) -> Decision {
        let Some(video) = video else { return Self::decide_without(id, input, setup, now) };
        if video.deleted.is_some()
            && let Some(reply) = input.answer_of_unknown_video()
        {
            return Decision::unchanged(Some(video), reply);
        }
        match input {
            Input::Command { id: command_id, user, via, command } => {
                let mut draft = Draft::new(video.clone(), Some(command_id.clone()), now);
                match draft.command(user, *via, command) {
                    Ok(reply) => draft.finish(reply),
                    Err(rejection) => Decision::unchanged(Some(video), Reply::Rejected(rejection)),
                }
            }
            Input::Collect { keep_for } => {
                let mut draft = Draft::new(video, None, now);
                draft.collect(*keep_for);
                draft.finish(Reply::Recorded)
            }
            Input::Claim(report) => {
                let mut draft = Draft::new(video, None, now);
                let reply = draft.claim(report);
                draft.finish(Reply::Claim(reply))
            }
            Input::Submitted(report) => {
                let mut draft = Draft::new(video, None, now);
                let reply = draft.submitted(report);
                draft.finish(reply)
            }
            Input::Done(report) => {
                let mut draft = Draft::new(video, None, now);
                let reply = draft.job_done(report);
                draft.finish(reply)
            }
            Input::Failed(report) => {
                let mut draft = Draft::new(video, None, now);
                let reply = draft.job_failed(report);
                draft.finish(reply)
            }
        }
    }

    fn decide_without(id: VideoId, input: &Input, setup: &Setup, now: DateTime<Utc>) -> Decision {
        let Input::Command { id: command_id, user, via, command } = input else {
            // Commands alone have no such answer.
            return Decision::unchanged(None, input.answer_of_unknown_video().unwrap_or(Reply::Recorded));
        };
        let created = match command.as_ref() {
            Command::Create(create) => Self::create(id, command_id, user, *via, create, setup, now),
            _ => Err(unknown_video(id)),
        };
        created.unwrap_or_else(|rejection| Decision::unchanged(None, Reply::Rejected(rejection)))
    }

    fn create(
        id: VideoId,
        command_id: &CommandId,
        user: &UserId,
        how: Via,
        create: &CreateVideo,
        setup: &Setup,
        now: DateTime<Utc>,
    ) -> Result<Decision, Rejection> {
        let has_provider = |name: &str| setup.providers.iter().any(|provider| provider == name);
        let (request, settings) = create.check(id, &setup.catalogue, has_provider).map_err(|violations| {
            let mut rejection = Rejection::invalid(violations);
            if !create.reference_assets.is_empty() {
                rejection.code = Code::NotSupported;
            }
            rejection
        })?;
        let created = Recorded {
            seq: 1,
            time: now,
            command_id: Some(command_id.clone()),
            event: Event::VideoCreated {
                user: user.clone(),
                request,
                settings,
                catalogue: setup.digest,
                how,
                body: digest_of(create),
            },
        };
        // The event above is a `VideoCreated`, so there is a video to draft on.
        let Some(video) = Self::born(id, &created, setup.catalogue.clone()) else { return Err(unknown_video(id)) };
        let answer = video.created_answer();
        let mut draft = Draft::new(video, Some(command_id.clone()), now);
        draft.events.push(created);
        draft.start_phase(Phase::Planning, &BranchName::main(), None, Vec::new());
        Ok(draft.finish(Reply::Answer { answer, first_command_id: None }))
    }

    fn created_answer(&self) -> Value {
        json(&answer::Created {
            video_id: self.id,
            status: messages::query::VideoStatus::Queued,
            message: "Planning has started.".to_owned(),
        })
    }

    /// The video that its first event makes; none when that is not a `VideoCreated`.
    pub fn born(id: VideoId, first: &Recorded, catalogue: Arc<Catalogue>) -> Option<Self> {
        let Event::VideoCreated { user, request, settings, catalogue: _, how: _, body } = &first.event else {
            return None;
        };
        Some(Self {
            id,
            seq: first.seq,
            user: user.clone(),
            request: Arc::new(request.clone()),
            create_body: *body,
            created_by: first.command_id.clone(),
            catalogue,
            settings: settings.clone(),
            created_at: first.time,
            updated_at: first.time,
            deleted: None,
            current_branch: BranchName::main(),
            branches: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            spec_digests: BTreeMap::new(),
            collected: BTreeSet::new(),
            jobs: BTreeMap::new(),
            ledger: Vec::new(),
        })
    }

    /// What is left of a deleted video whose journal is gone: it answers as it did, and nothing brings it back.
    pub fn tombstone(id: VideoId, user: UserId, seq: u64, deleted_at: DateTime<Utc>, deleted_by: CommandId) -> Self {
        let nobody = String::new;
        Self {
            id,
            seq,
            user,
            request: Arc::new(Request {
                prompt: String::new(),
                description: None,
                models: Models { language: nobody(), image: nobody(), video: nobody(), music: nobody() },
                duration: None,
                aspect_ratio: None,
                template: None,
                creativity: 0.0,
                seed: 0,
            }),
            create_body: Digest::of(b""),
            created_by: None,
            catalogue: Arc::new(Catalogue { models: Vec::new(), beats: Vec::new(), archetypes: Vec::new() }),
            settings: Settings { title: None, auto_continue: AutoContinue::default(), budget_usd: None },
            created_at: deleted_at,
            updated_at: deleted_at,
            deleted: Some(deleted_by),
            current_branch: BranchName::main(),
            branches: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            spec_digests: BTreeMap::new(),
            collected: BTreeSet::new(),
            jobs: BTreeMap::new(),
            ledger: Vec::new(),
        }
    }

    /// The video that its whole journal makes; none for an empty journal.
    pub fn replay(id: VideoId, journal: &[Recorded], catalogue: Arc<Catalogue>) -> Option<Self> {
        let (first, rest) = journal.split_first()?;
        let mut video = Self::born(id, first, catalogue)?;
        for recorded in rest {
            video.apply(recorded);
        }
        Some(video)
    }

    /// Writes down what happened. No rules: an event that was recorded is true.
    pub fn apply(&mut self, recorded: &Recorded) {
        self.seq = recorded.seq;
        self.updated_at = recorded.time;
        let (now, command_id) = (recorded.time, &recorded.command_id);
        match &recorded.event {
            Event::VideoCreated { .. } => {}
            Event::PhaseStarted {
                branch,
                phase,
                version,
                checkpoint_id,
                parent,
                notes,
                chunk_plan,
                artifacts,
                jobs,
            } => {
                self.apply_phase_started(
                    *checkpoint_id,
                    branch,
                    *phase,
                    *version,
                    *parent,
                    notes,
                    chunk_plan,
                    artifacts,
                    now,
                );
                for job in jobs {
                    self.plan_job(*job, 1, now, Overrides::default(), None);
                }
                self.move_branch(branch, BranchState::Running);
            }
            Event::JobDone { job, attempt, artifacts, spent, starts } => {
                for artifact in artifacts {
                    self.add_artifact(artifact);
                }
                for spent in spent {
                    self.ledger.extend(self.ledger_row(*job, *attempt, spent, now));
                }
                self.set_job_state(*job, JobState::Done);
                for started in starts {
                    self.plan_job(*started, 1, now, Overrides::default(), None);
                }
                self.touch_branch_of(job.checkpoint);
            }
            Event::JobFailed { job, attempt: _, kind: _, reason, gave_up } => {
                if let Some(state) = self.job_mut(*job) {
                    state.failures += 1;
                    if *gave_up {
                        state.state = JobState::Failed { reason: reason.clone() };
                    }
                }
                self.touch_branch_of(job.checkpoint);
            }
            Event::JobRetried { job, attempt, not_before, .. } => {
                let known = self.jobs.get(job);
                let overrides = known.map(|known| known.overrides.clone()).unwrap_or_default();
                let (replaces, failures) = known.map_or((None, 0), |known| (known.replaces, known.failures));
                self.plan_job(*job, *attempt, *not_before, overrides, replaces);
                if let Some(state) = self.job_mut(*job) {
                    // A person's retry starts the count afresh.
                    state.failures = if command_id.is_some() { 0 } else { failures };
                }
                if let Some(branch) = self.making_branch(job.checkpoint) {
                    self.move_branch(&branch, BranchState::Running);
                }
            }
            Event::JobClaimed { job, nonce, price_usd, .. } => {
                let claim = Claimed { nonce: *nonce, price: *price_usd, at: now, provider_job: None };
                if let Some(state) = self.job_mut(*job) {
                    state.claim = Some(claim);
                }
            }
            Event::JobSubmitted { job, provider_job, .. } => {
                if let Some(claim) = self.job_mut(*job).and_then(|job| job.claim.as_mut()) {
                    claim.provider_job = Some(provider_job.clone());
                    claim.at = now;
                }
            }
            Event::JobUnknown { job, .. } => {
                self.set_job_state(*job, JobState::Unknown);
                self.touch_branch_of(job.checkpoint);
            }
            Event::CheckpointCreated { checkpoint_id, branch, warnings, .. } => {
                if let Some(checkpoint) = self.checkpoint_mut(*checkpoint_id) {
                    checkpoint.state = CheckpointState::Pending;
                    checkpoint.created_at = now;
                    checkpoint.first_selection = checkpoint.selection.clone();
                    checkpoint.warnings = warnings.clone();
                }
                self.move_branch(branch, BranchState::Paused);
            }
            Event::CheckpointApproved { checkpoint_id, asked, branch, phase, digest, .. } => {
                let approval = Approval {
                    command_id: command_id.clone(),
                    at: now,
                    digest: *digest,
                    answer: review::continued(*checkpoint_id, branch, *phase, asked != checkpoint_id),
                };
                if asked != checkpoint_id
                    && let Some(named) = self.checkpoint_mut(*asked)
                {
                    named.selection = named.first_selection.clone();
                    named.approved_away.push(approval.clone());
                }
                if let Some(checkpoint) = self.checkpoint_mut(*checkpoint_id) {
                    checkpoint.state = CheckpointState::Approved;
                    checkpoint.approval = Some(approval);
                }
            }
            Event::CheckpointRejected { checkpoint_id, superseded_by, .. } => {
                if let Some(checkpoint) = self.checkpoint_mut(*checkpoint_id) {
                    checkpoint.state = CheckpointState::Abandoned { superseded_by: Some(*superseded_by) };
                    checkpoint.abandoned_at = Some(now);
                }
            }
            Event::CheckpointAbandoned { checkpoint_id, .. } => {
                if let Some(checkpoint) = self.checkpoint_mut(*checkpoint_id) {
                    checkpoint.state = CheckpointState::Abandoned { superseded_by: None };
                    checkpoint.abandoned_at = Some(now);
                }
            }
            Event::CheckpointsCollected { checkpoint_ids, artifacts, bytes: _ } => {
                self.collected.extend(artifacts);
                for id in checkpoint_ids {
                    if let Some(checkpoint) = self.checkpoint_mut(*id) {
                        checkpoint.collected = true;
                    }
                }
            }
            Event::CheckpointPinned { checkpoint_id, pinned, .. } => {
                if let Some(checkpoint) = self.checkpoint_mut(*checkpoint_id) {
                    checkpoint.pinned = *pinned;
                }
            }
            Event::BranchCreated { branch, from, checkpoint_id, version, .. } => {
                self.apply_branch_created(branch, *from, *checkpoint_id, *version, now);
            }
            Event::SpecEdited { checkpoint_id, artifact, warnings, .. } => {
                self.add_version(*checkpoint_id, artifact);
                if let Some(checkpoint) = self.checkpoint_mut(*checkpoint_id) {
                    checkpoint.selection.insert(artifact.key, artifact.id);
                    checkpoint.warnings = warnings.clone();
                }
            }
            Event::ArtifactOrdered { checkpoint_id, key, version, job, overrides, .. } => {
                let replaces = self.checkpoint_mut(*checkpoint_id).and_then(|checkpoint| {
                    checkpoint.last_version.insert(*key, *version);
                    checkpoint.selection.get(key).copied()
                });
                self.plan_job(*job, 1, now, overrides.clone(), replaces);
            }
            Event::ArtifactReady { checkpoint_id, key, version, selected } => {
                if *selected {
                    self.select_version(*checkpoint_id, *key, *version);
                }
            }
            Event::ArtifactSelected { checkpoint_id, key, artifact_id, .. } => {
                self.select_artifact(*checkpoint_id, *key, *artifact_id);
            }
            Event::ArtifactFailed { .. } | Event::ArtifactStale { .. } => {}
            Event::PhaseFailed { branch, reason, .. } => {
                self.move_branch(branch, BranchState::Failed { reason: reason.clone() });
            }
            Event::BranchCompleted { branch, .. } => self.move_branch(branch, BranchState::Complete),
            Event::BranchCancelled { branch, jobs, .. } => {
                for job in jobs {
                    self.set_job_state(*job, JobState::Cancelled);
                }
                // Only what is in the making was stopped: a checkpoint that waits goes on waiting.
                if self.branches.get(branch).is_some_and(|b| b.state == BranchState::Running) {
                    self.move_branch(branch, BranchState::Cancelled);
                }
            }
            Event::SettingsChanged { settings, .. } => self.settings = settings.clone(),
            Event::BudgetExceeded { branch, .. } => self.move_branch(branch, BranchState::BlockedBudget),
            Event::VideoDeleted { .. } => {
                self.deleted = Some(command_id.clone().unwrap_or_else(|| self.unnamed_command()));
                for job in self.jobs.values_mut().filter(|job| job.state == JobState::Planned) {
                    Arc::make_mut(job).state = JobState::Cancelled;
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one event's fields, spelled out")]
    fn apply_phase_started(
        &mut self,
        id: CheckpointId,
        branch: &BranchName,
        phase: Phase,
        version: u32,
        parent: Option<CheckpointId>,
        notes: &[String],
        chunk_plan: &[PlannedChunk],
        artifacts: &[ArtifactKey],
        now: DateTime<Utc>,
    ) {
        let fed_by = parent.and_then(|parent| self.checkpoints.get(&parent));
        let selection = fed_by.map(|parent| parent.selection.clone()).unwrap_or_default();
        // Inherited artifacts bring the versions that stood there, so that an edit's number is new here too.
        let versions = fed_by.map(|parent| parent.versions.clone()).unwrap_or_default();
        let last_version = fed_by.map(|parent| parent.last_version.clone()).unwrap_or_default();
        let inherited_plan = fed_by.map(|parent| parent.chunk_plan.clone()).unwrap_or_default();
        let checkpoint = Checkpoint {
            branch: branch.clone(),
            phase,
            version,
            parent,
            forked_from: None,
            state: CheckpointState::Making,
            created_at: now,
            expected: artifacts.to_vec(),
            chunk_plan: if chunk_plan.is_empty() { inherited_plan } else { chunk_plan.to_vec() },
            notes: notes.to_vec(),
            warnings: Vec::new(),
            first_selection: selection.clone(),
            selection,
            versions,
            last_version: artifacts.iter().fold(last_version, |mut last, key| {
                last.insert(*key, 1);
                last
            }),
            approval: None,
            approved_away: Vec::new(),
            pinned: false,
            abandoned_at: None,
            collected: false,
        };
        self.checkpoints.insert(id, Arc::new(checkpoint));
        let progress = self.branches.get(branch).map_or(0.0, |branch| branch.progress);
        let opened_from = self.branches.get(branch).and_then(|branch| branch.opened_from);
        self.branches.insert(branch.clone(), Branch { opened_from, head: id, state: BranchState::Running, progress });
    }

    fn apply_branch_created(
        &mut self,
        branch: &BranchName,
        from: CheckpointId,
        id: CheckpointId,
        version: u32,
        now: DateTime<Utc>,
    ) {
        let Some(original) = self.checkpoints.get(&from) else { return };
        let sibling = Checkpoint {
            branch: branch.clone(),
            version,
            forked_from: Some(from),
            state: CheckpointState::Pending,
            created_at: now,
            first_selection: original.selection.clone(),
            approval: None,
            approved_away: Vec::new(),
            pinned: false,
            abandoned_at: None,
            ..original.as_ref().clone()
        };
        let progress = f64::from(sibling.phase.number()) * 25.0;
        self.checkpoints.insert(id, Arc::new(sibling));
        let opened = Branch { opened_from: Some(from), head: id, state: BranchState::Paused, progress };
        self.branches.insert(branch.clone(), opened);
        self.current_branch = branch.clone();
    }

    fn plan_job(
        &mut self,
        id: JobId,
        attempt: u32,
        not_before: DateTime<Utc>,
        overrides: Overrides,
        replaces: Option<ArtifactId>,
    ) {
        let basis = self.basis(id.checkpoint, id.artifact);
        let state = JobState::Planned;
        let job = Job { attempt, failures: 0, state, not_before, overrides, replaces, basis, claim: None };
        self.jobs.insert(id, Arc::new(job));
    }

    fn checkpoint_mut(&mut self, id: CheckpointId) -> Option<&mut Checkpoint> {
        self.checkpoints.get_mut(&id).map(Arc::make_mut)
    }

    fn job_mut(&mut self, id: JobId) -> Option<&mut Job> {
        self.jobs.get_mut(&id).map(Arc::make_mut)
    }

    fn set_job_state(&mut self, id: JobId, state: JobState) {
        if let Some(job) = self.job_mut(id) {
            job.state = state;
        }
    }

    /// A new artifact joins its checkpoint's versions; while the phase runs, its selection too.
    fn add_artifact(&mut self, artifact: &Artifact) {
        self.add_version(artifact.checkpoint_id, artifact);
        if let Some(checkpoint) = self.checkpoint_mut(artifact.checkpoint_id)
            && checkpoint.state == CheckpointState::Making
        {
            checkpoint.selection.insert(artifact.key, artifact.id);
        }
    }

    fn add_version(&mut self, checkpoint: CheckpointId, artifact: &Artifact) {
        if let Some(checkpoint) = self.checkpoint_mut(checkpoint) {
            let versions = checkpoint.versions.entry(artifact.key).or_default();
            versions.push(artifact.id);
            let last = checkpoint.last_version.entry(artifact.key).or_default();
            *last = artifact.version.max(*last);
        }
        if let Content::Spec(spec) = &artifact.content {
            self.spec_digests.insert(artifact.id, spec.digest());
        }
        self.artifacts.insert(artifact.id, Arc::new(artifact.clone()));
    }

    fn select_version(&mut self, checkpoint: CheckpointId, key: ArtifactKey, version: u32) {
        if let Some(id) = self.made_here(checkpoint, key, version) {
            self.select_artifact(checkpoint, key, id);
        }
    }

    /// A version as the journal named it. Ids are derived only for what is new: how that is done has changed before, and a
    /// video may go on under a program that does it otherwise.
    fn made_here(&self, checkpoint: CheckpointId, key: ArtifactKey, version: u32) -> Option<ArtifactId> {
        let versions = self.checkpoints.get(&checkpoint)?.versions.get(&key)?;
        let mut made = versions.iter().rev().filter_map(|id| self.artifacts.get(id));
        made.find(|made| made.checkpoint_id == checkpoint && made.version == version).map(|made| made.id)
    }

    /// Selects a version; a chunk brings the last frame that was made with it.
    fn select_artifact(&mut self, checkpoint: CheckpointId, key: ArtifactKey, id: ArtifactId) {
        let companion = self.companion(key, id);
        if let Some(checkpoint) = self.checkpoint_mut(checkpoint) {
            for (key, id) in std::iter::once((key, id)).chain(companion) {
                checkpoint.selection.insert(key, id);
                let versions = checkpoint.versions.entry(key).or_default();
                if !versions.contains(&id) {
                    versions.push(id);
                }
            }
        }
    }

    /// What was made together with an artifact and stands or falls with it.
    fn companion(&self, key: ArtifactKey, id: ArtifactId) -> Option<(ArtifactKey, ArtifactId)> {
        let ArtifactKey::Chunk(n) = key else { return None };
        let chunk = self.artifacts.get(&id)?;
        let frame = ArtifactKey::ChunkLastFrame(n);
        self.made_here(chunk.checkpoint_id, frame, chunk.version).map(|id| (frame, id))
    }

    fn move_branch(&mut self, name: &BranchName, state: BranchState) {
        if let Some(branch) = self.branches.get_mut(name) {
            branch.state = state;
        }
        self.current_branch = name.clone();
        self.raise_progress(name);
    }

    fn touch_branch_of(&mut self, checkpoint: CheckpointId) {
        if let Some(branch) = self.making_branch(checkpoint) {
            self.raise_progress(&branch);
        }
    }

    /// Progress is derived: 25 % for each phase, inside a phase finished over expected artifacts. It never goes back.
    fn raise_progress(&mut self, name: &BranchName) {
        let Some(branch) = self.branches.get(name) else { return };
        let Some(head) = self.checkpoints.get(&branch.head) else { return };
        let expected = head.expected.len().max(1) as f64;
        let finished = match head.state {
            CheckpointState::Making => {
                head.expected.iter().filter(|key| self.is_made(branch.head, **key)).count() as f64 / expected
            }
            CheckpointState::Pending | CheckpointState::Approved | CheckpointState::Abandoned { .. } => 1.0,
        };
        let progress = (f64::from(head.phase.number() - 1) + finished) * 25.0;
        if let Some(branch) = self.branches.get_mut(name) {
            branch.progress = branch.progress.max(progress);
        }
    }

    /// The branch whose head is in the making under this checkpoint's id.
    fn making_branch(&self, checkpoint: CheckpointId) -> Option<BranchName> {
        let state = self.checkpoints.get(&checkpoint)?;
        let is_head = self.branches.get(&state.branch).is_some_and(|branch| branch.head == checkpoint);
        (is_head && state.state == CheckpointState::Making).then(|| state.branch.clone())
    }

    fn ledger_row(&self, job: JobId, attempt: u32, spent: &job::Spent, time: DateTime<Utc>) -> Option<LedgerRow> {
        let checkpoint = self.checkpoints.get(&job.checkpoint)?;
        Some(LedgerRow {
            branch: checkpoint.branch.clone(),
            phase: checkpoint.phase,
            job,
            attempt,
            artifact_key: job.artifact,
            model: spent.model.clone(),
            unit: spent.unit.clone(),
            quantity: spent.quantity,
            amount_usd: spent.amount,
            time,
        })
    }

    fn unnamed_command(&self) -> CommandId {
        self.created_by.clone().unwrap_or_else(|| {
            // A journal event without a command: any fixed word that is a command id will do.
            "policy".parse().unwrap_or_else(|_| unreachable!("`policy` is a command id"))
        })
    }

    /// Whether the phase's own version of this artifact is recorded.
    pub(crate) fn is_made(&self, checkpoint: CheckpointId, key: ArtifactKey) -> bool {
        self.jobs.get(&JobId { checkpoint, artifact: key, version: 1 }).is_some_and(|job| job.state == JobState::Done)
    }

    /// The spec that a checkpoint selects.
    pub fn spec(&self, checkpoint: CheckpointId) -> Option<&Spec> {
        let id = self.checkpoints.get(&checkpoint)?.selection.get(&ArtifactKey::Spec)?;
        match &self.artifacts.get(id)?.content {
            Content::Spec(spec) => Some(spec),
            Content::Object(_) => None,
        }
    }

    /// What stands under a key of a checkpoint.
    pub fn selected(&self, checkpoint: CheckpointId, key: ArtifactKey) -> Option<&Artifact> {
        let id = self.checkpoints.get(&checkpoint)?.selection.get(&key)?;
        self.artifacts.get(id).map(Arc::as_ref)
    }

    /// The digest of a selection.
    pub fn digest(&self, selection: &Selection) -> Digest {
        Digest::of_selection(
            selection.iter().filter_map(|(key, id)| Some((*key, self.content_digest(self.artifacts.get(id)?)))),
        )
    }

    /// The digest of what an artifact of this video holds.
    fn content_digest(&self, artifact: &Artifact) -> Digest {
        self.spec_digests.get(&artifact.id).copied().unwrap_or_else(|| artifact.content.digest())
    }

    /// What was spent so far.
    pub fn spent(&self) -> Usd {
        self.ledger.iter().map(|row| row.amount_usd).sum()
    }

    /// Jobs of a checkpoint that run or wait to run.
    pub fn in_flight(&self, checkpoint: CheckpointId) -> impl Iterator<Item = (&JobId, &Job)> {
        self.jobs
            .range(JobId { checkpoint, artifact: ArtifactKey::Spec, version: 0 }..)
            .take_while(move |(id, _)| id.checkpoint == checkpoint)
            .map(|(id, job)| (id, job.as_ref()))
            .filter(|(_, job)| job.state == JobState::Planned)
    }
}

/// A decision in the making: what was decided so far is already part of the state that the rest is decided on.
#[derive(Debug)]
pub(crate) struct Draft {
    video: Video,
    events: Vec<Recorded>,
    /// How many rows the ledger had before.
    booked: usize,
    command_id: Option<CommandId>,
    now: DateTime<Utc>,
}

impl Draft {
    fn new(video: Video, command_id: Option<CommandId>, now: DateTime<Utc>) -> Self {
        Self { booked: video.ledger.len(), video, events: Vec::new(), command_id, now }
    }

    fn finish(self, reply: Reply) -> Decision {
        let spent = self.video.ledger.iter().skip(self.booked).cloned().collect();
        Decision { events: self.events, video: Some(self.video), spent, reply }
    }

    fn record(&mut self, event: Event) {
        let recorded = Recorded { seq: self.video.seq + 1, time: self.now, command_id: self.command_id.clone(), event };
        self.video.apply(&recorded);
        self.events.push(recorded);
    }

    /// The table of commands. Every verb is spelled out: a new one does not compile until it is decided here.
    fn command(&mut self, user: &UserId, via: Via, command: &Command) -> Result<Reply, Rejection> {
        if let Command::Create(create) = command {
            return self.create_again(user, create);
        }
        if *user != self.video.user {
            return Err(unknown_video(self.video.id));
        }
        if let Some(deleted_by) = self.video.deleted.clone() {
            return match command {
                Command::Delete(_) => Ok(repeat(&deleted(), Some(deleted_by))),
                _ => Err(unknown_video(self.video.id)),
            };
        }
        let who = review::Who { by: user.clone(), how: via };
        match command {
            Command::Create(_) => Err(Rejection::new(Code::VideoExists, "the video exists already")),
            Command::Approve(approve) => self.approve(approve, &who),
            Command::Fork(fork) => self.fork(fork, &who),
            Command::Edit(edit) => self.edit(edit, &who),
            Command::Regenerate(regenerate) => self.regenerate(regenerate, &who),
            Command::Import(import) => self.import(import, &who),
            Command::Select(select) => self.select(select, &who),
            Command::Take(take) => self.take(take, &who),
            Command::Reject(reject) => self.reject(reject, &who),
            Command::Abandon(abandon) => self.abandon(abandon, &who),
            Command::Retry(retry) => self.retry(retry.branch.as_deref(), &who),
            Command::Cancel(cancel) => self.cancel(cancel.branch.as_deref(), &who),
            Command::Settings(change) => self.change_settings(change, &who),
            Command::Pin(pin) => self.pin(pin, &who),
            Command::Resolve(resolve) => self.resolve(resolve, &who),
            Command::Delete(_) => {
                self.record(Event::VideoDeleted { by: who.by, how: who.how });
                Ok(Reply::Answer { answer: json(&deleted()), first_command_id: None })
            }
        }
    }

    /// A `create` for an id that is taken: the first answer for the same body, else a refusal.
    fn create_again(&self, user: &UserId, create: &CreateVideo) -> Result<Reply, Rejection> {
        if self.video.deleted.is_some() && *user == self.video.user {
            return Err(Rejection::new(Code::VideoDeleted, "this video was deleted; use another id"));
        }
        if *user != self.video.user || self.video.create_body != digest_of(create) {
            return Err(Rejection::new(Code::VideoExists, "the id belongs to another video; use another id"));
        }
        Ok(Reply::Answer { answer: self.video.created_answer(), first_command_id: self.video.created_by.clone() })
    }
}

fn deleted() -> answer::Done {
    answer::Done { message: "The video and all it made are being deleted.".to_owned() }
}

fn repeat(answer: &impl serde::Serialize, first_command_id: Option<CommandId>) -> Reply {
    Reply::Answer { answer: json(answer), first_command_id }
}

fn unknown_video(id: VideoId) -> Rejection {
    Rejection::new(Code::UnknownVideo, format!("there is no video `{id}`"))
}

/// Answers are structs of strings and numbers: serialising them cannot fail.
fn json(answer: &impl serde::Serialize) -> Value {
    serde_json::to_value(answer).unwrap_or_default()
}

/// The SHA-256 of something's JSON. It is made of strings, finite numbers and lists: serialising cannot fail.
fn digest_of(content: &impl serde::Serialize) -> Digest {
    Digest::of(&serde_json::to_vec(content).unwrap_or_default())
}

/// The last words about a job that failed for good.
fn words(kind: FailureKind, reason: &str) -> String {
    match kind {
        FailureKind::Crashed => format!("workers crashed over it: {reason}"),
        FailureKind::RetryLater => format!("{reason} (tried again as often as makes sense)"),
        FailureKind::GiveUp | FailureKind::Cancelled => reason.to_owned(),
    }
}
