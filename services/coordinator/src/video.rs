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
//! | this one | the state, the table of inputs, decisions and questions |
//! | [`apply`] | what the journal makes of a video |
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
use messages::video::{CreateVideo, Request, Settings};
use serde_json::Value;

pub mod apply;
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
pub(crate) mod stage;
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

    /// The branch whose head is in the making under this checkpoint's id.
    fn making_branch(&self, checkpoint: CheckpointId) -> Option<BranchName> {
        let state = self.checkpoints.get(&checkpoint)?;
        let is_head = self.branches.get(&state.branch).is_some_and(|branch| branch.head == checkpoint);
        (is_head && state.state == CheckpointState::Making).then(|| state.branch.clone())
    }

    /// Whether the phase's own version of this artifact is recorded, whichever job made it.
    pub(crate) fn is_made(&self, checkpoint: CheckpointId, key: ArtifactKey) -> bool {
        self.made_here(checkpoint, key, 1).is_some()
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
        FailureKind::GiveUp | FailureKind::Cancelled | FailureKind::NeedsUpgrade => reason.to_owned(),
    }
}
