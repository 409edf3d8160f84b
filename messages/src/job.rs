//! Jobs on their way to a worker, and what a worker says of them.
//!
//! A job is complete: the coordinator has made every choice, so the same job delivered twice is the same work. What a
//! worker says (`claim`, `submitted`, `done`, `failed`, `returned`) is a request; **the reply means committed in SQL**.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::artifact::{ArtifactKey, Digest, Made};
use crate::catalogue::Model;
use crate::chunk::ChunkWork;
use crate::id::{JobId, UserId, VideoId};
use crate::import::ImportWork;
use crate::money::Usd;
use crate::planner::PlanSpec;
use crate::refine::RefineWork;
use crate::service::Service;
use crate::storyboard::DrawBeat;
use crate::subject::Partition;
use crate::trace::{self, Trace};

/// Coordinator to worker, on `job.{service}.{user}.{video}.{job}`, MessagePack.
///
/// Receiving it twice is safe: a worker that finds the job's record only reports it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Which artifact version to make.
    pub id: JobId,
    /// Counted from 1, over retries.
    pub attempt: u32,
    /// How often this attempt was sent, from 1.
    pub send: u32,
    /// Whose.
    pub user: UserId,
    /// Of which video.
    pub video: VideoId,
    /// Where its coordinator listens.
    pub partition: Partition,
    /// Where its objects go: the keys' common beginning, ending in `/`.
    pub prefix: String,
    /// Seconds after which the worker gives this attempt up as late.
    pub deadline_s: u32,
    /// The most that this job may cost; zero needs no claim.
    pub price: Usd,
    /// What ordered it.
    #[serde(default, deserialize_with = "trace::lenient")]
    pub trace: Option<Trace>,
    /// When it may have begun at the earliest; older coordinators do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_at: Option<DateTime<Utc>>,
    /// What to make.
    pub work: Work,
}

impl Job {
    /// The object key of the record that says that this job is done.
    pub fn record_key(&self) -> String {
        format!("{}{}.json", self.prefix, self.id)
    }

    /// What it makes beside its own artifact: a chunk's last frame, the thumbnail of a mix that is asked for one.
    pub fn companion(&self) -> Option<ArtifactKey> {
        match (&self.work, self.id.artifact) {
            (Work::Refine(work), _) => work.has_thumbnail().then_some(ArtifactKey::Thumbnail),
            (_, ArtifactKey::Chunk(n)) => Some(ArtifactKey::ChunkLastFrame(n)),
            _ => None,
        }
    }
}

/// What to make, by service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// For the planner.
    Plan(Box<PlanSpec>),
    /// For the storyboard service.
    Draw(Box<DrawBeat>),
    /// For the chunk service.
    Chunk(Box<ChunkWork>),
    /// For the refine service.
    Refine(Box<RefineWork>),
    /// For the service that makes such artifacts.
    Import(Box<ImportWork>),
}

impl Work {
    /// Who does it.
    pub fn service(&self) -> Service {
        match self {
            Self::Plan(_) => Service::Planner,
            Self::Draw(_) => Service::Storyboard,
            Self::Chunk(_) => Service::Chunk,
            Self::Refine(_) => Service::Refine,
            Self::Import(work) => work.service(),
        }
    }

    /// The model that makes it and the seconds that it makes; none for our own work, which has no price.
    pub fn generation(&self) -> Option<(&Model, f64)> {
        match self {
            Self::Plan(plan) => Some((&plan.model, 0.0)),
            Self::Draw(draw) => Some((&draw.model, 0.0)),
            Self::Chunk(work) => match work.as_ref() {
                ChunkWork::Render(render) => Some((&render.model, render.chunk.duration_s)),
                ChunkWork::Stitch(_) => None,
            },
            Self::Refine(work) => match work.as_ref() {
                RefineWork::Compose(compose) => Some((&compose.model, compose.duration_s)),
                RefineWork::Mix(_) | RefineWork::Thumbnail(_) => None,
            },
            Self::Import(_) => None,
        }
    }
}

/// What every report of a worker carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report<T> {
    /// Whose video.
    pub user: UserId,
    /// The video.
    pub video: VideoId,
    /// The job.
    pub job: JobId,
    /// Which attempt.
    pub attempt: u32,
    /// The replica that speaks, for people.
    pub worker: String,
    /// The part of the job's trace that says it; older workers do not tell.
    #[serde(default, deserialize_with = "trace::lenient", skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// What it says.
    pub outcome: T,
}

impl<T> Report<T> {
    /// The same job's report with another attempt and outcome.
    pub fn with<U>(&self, attempt: u32, outcome: U) -> Report<U> {
        Report {
            user: self.user.clone(),
            video: self.video,
            job: self.job,
            attempt,
            worker: self.worker.clone(),
            trace: self.trace,
            outcome,
        }
    }
}

/// What a worker may say, each on a subject of its own: `coordinator.{partition}.{name}`.
pub trait Outcome: Serialize + for<'de> Deserialize<'de> + Send + Sync {
    /// The last token of the subject.
    const NAME: &'static str;
    /// What the coordinator replies once it is committed.
    type Reply: Serialize + for<'de> Deserialize<'de> + Send;
}

/// "May I spend?" The same nonce asking again gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Made by the worker for this try.
    pub nonce: Uuid,
    /// SHA-256 of the request that would be sent.
    pub input: Digest,
    /// The most it can cost.
    pub price: Usd,
}

impl Outcome for Claim {
    const NAME: &'static str = "claim";
    type Reply = ClaimReply;
}

/// What a worker may do after a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimReply {
    /// Submit, once.
    Granted,
    /// Another worker submitted it: attach to that provider job and collect.
    Attach {
        /// What the provider calls it.
        provider_job: String,
    },
    /// Another worker holds the claim and has been heard of; ask again.
    Held,
    /// Do not: over budget, cancelled, or not wanted any more.
    Refused(NotWanted),
}

/// "The provider has it, under this name." Polling starts after the reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    /// The nonce of the granted claim.
    pub nonce: Uuid,
    /// What the provider calls the job.
    pub provider_job: String,
}

impl Outcome for Submitted {
    const NAME: &'static str = "submitted";
    type Reply = Recorded;
}

/// "It is made." The same as the job's record in the object store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// What was made; a chunk comes with its last frame.
    pub made: Vec<Made>,
    /// What is booked, if anything.
    pub spent: Vec<Spent>,
}

impl Outcome for Done {
    const NAME: &'static str = "done";
    type Reply = Recorded;
}

/// One generation that has a price.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// The model's name in the catalogue.
    pub model: String,
    /// `generation` or `second`.
    pub unit: String,
    /// How many of them.
    pub quantity: f64,
    /// What it cost.
    pub amount: Usd,
}

/// "It is not made, and this is why."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// What should happen next.
    pub kind: FailureKind,
    /// Why, so that a person can act on it.
    pub reason: String,
    /// When the next attempt makes sense, if the provider said so: seconds from now.
    pub retry_after_s: Option<u32>,
}

impl Outcome for Failed {
    const NAME: &'static str = "failed";
    type Reply = Recorded;
}

/// Failures are named by what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Something passing: try again after a while.
    RetryLater,
    /// Trying again would fail again; a person has to act.
    GiveUp,
    /// It was told to stop.
    Cancelled,
    /// Worker after worker died over it.
    Crashed,
    /// Its worker is too old to read it: tried again until a newer one takes it.
    NeedsUpgrade,
}

/// "I am stopping and did not do it." Uses up no attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {}

impl Outcome for Returned {
    const NAME: &'static str = "returned";
    type Reply = Recorded;
}

/// The coordinator has committed what the worker said; the job may be acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// It counted, now or the first time it was said.
    Recorded,
    /// Nobody wants this job any more; kept unused where it was paid for.
    NotWanted(NotWanted),
}

/// Why a job is not wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotWanted {
    /// No such video, or it was deleted.
    UnknownVideo,
    /// The video has no such job.
    UnknownJob,
    /// Its branch was cancelled.
    Cancelled,
    /// A later attempt has taken over.
    Superseded,
    /// It would pass the budget.
    OverBudget,
}

/// Coordinator to worker on `stop.{job}`, a hint: nobody wants this job any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The job to stop.
    pub job: JobId,
}

/// Worker to everyone on `video.{user}.{video}.progress.{job}`, JSON: how far a job is, and its sign of life. Not stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Always `progress`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The job.
    pub job: JobId,
    /// Its attempt.
    pub attempt: u32,
    /// The replica that works on it.
    pub worker: String,
    /// 0 to 1.
    pub fraction: f64,
    /// When it was said.
    pub time: DateTime<Utc>,
}

/// A job that could not be handled, copied to `dead.{service}` with its story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The subject that it came on.
    pub subject: String,
    /// Why it is here, and how to send it again.
    pub reason: String,
    /// Deliveries so far.
    pub deliveries: u64,
    /// When it was set aside.
    pub time: DateTime<Utc>,
    /// The bytes, base64.
    pub payload: String,
}
