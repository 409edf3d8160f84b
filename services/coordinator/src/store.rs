//! The journal and what is read from it: one trait, one implementation per database.
//!
//! Everything that a person was promised is here before anyone hears of it. An append is all or nothing and fenced: of
//! two coordinators that both believe they own a video, one wins each append and the other is told.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use messages::artifact::Digest;
use messages::catalogue::Catalogue;
use messages::event::{CommandOutcome, Event, Recorded};
use messages::id::{ArtifactId, CommandId, JobId, UserId, VideoId};
use messages::query::{LedgerRow, ListVideos, VideoStatus, VideoSummary};
use messages::service::Service;
use messages::subject::Partition;

use crate::config::DatabaseUrl;
use crate::video::Video;

mod postgres;
mod reads;
mod rounds;
mod rows;
mod schema;
mod sqlite;
pub mod statements;

pub use postgres::{APPEND, APPEND_ALL, Durability, MARK_EVENTS, MARK_JOBS, MARK_OUTCOMES, PostgresStore, durability};
pub use schema::Migrated;
pub use sqlite::SqliteStore;

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is away, busy or full; the same call may work later.
    #[error("the database cannot {action} now")]
    Unavailable {
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// It cannot be opened, or belongs to another version of this program.
    #[error("the database {url} cannot be used: {reason}")]
    Unusable {
        /// Which one, without credentials.
        url: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A row is not what this program wrote. What is too new is left alone, never dropped.
    #[error("a {what} of {id} cannot be read: {reason}; a newer program may have written it")]
    Unreadable {
        /// What kind of row.
        what: &'static str,
        /// Whose.
        id: String,
        /// What is wrong.
        reason: String,
    },
}

/// What one input does to one video, all or nothing.
#[derive(Debug, Clone)]
pub struct Append {
    /// The video.
    pub video: VideoId,
    /// Who owns it, or who asked in vain.
    pub user: UserId,
    /// The last event of what was decided upon, 0 for no video; it is lost when that is not the last one any more. What
    /// has events is decided upon the one before them anyway. None when it is true of any video.
    pub based_on: Option<u64>,
    /// The events, in order; empty when only an outcome is kept, or when all that matters is whether it is lost.
    pub events: Vec<Recorded>,
    /// The video's row after these events; none exactly when there are none.
    pub row: Option<VideoRow>,
    /// Jobs to be sent from now on; one of the same id is replaced.
    pub plan: Vec<PlannedJob>,
    /// Jobs that ended.
    pub ended: Vec<JobId>,
    /// What was spent; kept also when the video goes.
    pub spent: Vec<LedgerRow>,
    /// Keys of objects that nothing refers to any more.
    pub garbage: Vec<String>,
    /// How a command ended.
    pub outcome: Option<CommandOutcome>,
}

/// What lists show of a video.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoRow {
    /// The catalogue that it keeps, to be stored when it is new.
    pub catalogue: Arc<Catalogue>,
    /// Where it stands.
    pub status: VideoStatus,
    /// Percent.
    pub progress: f64,
    /// Its title.
    pub title: Option<String>,
    /// What it was asked to be.
    pub prompt: String,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it last moved.
    pub updated_at: DateTime<Utc>,
    /// The command that deleted it, if it is gone.
    pub deleted: Option<CommandId>,
    /// Since when something of it can be collected.
    pub forgotten_since: Option<DateTime<Utc>>,
}

/// A job that waits to be sent, or was sent and has not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedJob {
    /// The job.
    pub id: JobId,
    /// Of which video.
    pub video: VideoId,
    /// Whose.
    pub user: UserId,
    /// Who does it.
    pub service: Service,
    /// Which attempt.
    pub attempt: u32,
    /// How often it was sent; 0 means that it waits.
    pub sends: u32,
    /// Whether somebody waits for it.
    pub interactive: bool,
    /// Not to be sent before this time.
    pub not_before: DateTime<Utc>,
    /// The job's message.
    pub body: Bytes,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is recorded.
    Committed,
    /// Somebody else recorded something first; load again and decide again.
    Lost,
}

/// A video as it is loaded.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Its whole journal.
    pub journal: Vec<Recorded>,
    /// The catalogue that it keeps; none when there is no such video.
    pub catalogue: Option<Arc<Catalogue>>,
    /// How its commands ended, those asked in vain included. Whoever asked is part of a command's name: nobody can use up
    /// an id of somebody else's, or hear its answer.
    pub outcomes: HashMap<(UserId, CommandId), CommandOutcome>,
    /// What is left when its journal is gone.
    pub tombstone: Option<Tombstone>,
}

/// What stays of a deleted video for good.
#[derive(Debug, Clone, PartialEq)]
pub struct Tombstone {
    /// Who owned it.
    pub user: UserId,
    /// Its last event.
    pub seq: u64,
    /// When it was deleted.
    pub deleted_at: DateTime<Utc>,
    /// The command that did it.
    pub deleted_by: CommandId,
}

impl Loaded {
    /// The video that was loaded; none when there is none.
    pub fn video(&self, id: VideoId) -> Option<Video> {
        match (&self.tombstone, &self.catalogue) {
            (Some(Tombstone { user, seq, deleted_at, deleted_by }), _) => {
                Some(Video::tombstone(id, user.clone(), *seq, *deleted_at, deleted_by.clone()))
            }
            (None, Some(catalogue)) => Video::replay(id, &self.journal, Arc::clone(catalogue)),
            (None, None) => None,
        }
    }
}

/// A deleted video whose objects and rows are to go now.
#[derive(Debug, Clone, PartialEq)]
pub struct Purgeable {
    /// The video.
    pub video: VideoId,
    /// Who owned it.
    pub user: UserId,
    /// When it was deleted.
    pub deleted_at: DateTime<Utc>,
}

/// How far a partition's commands are recorded. Sequences mean something only together with the stream's creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// When the stream was created, nanoseconds since 1970; 0 before anything was read.
    pub stream_created: i64,
    /// Every command up to this sequence is recorded.
    pub sequence: u64,
    /// When that message was stored, nanoseconds since 1970.
    pub message_time: i64,
}

/// Something recorded that has not left for NATS.
#[derive(Debug, Clone)]
pub struct Unpublished {
    /// The video.
    pub video: VideoId,
    /// Whose subject it goes to: the owner's, or that of somebody who asked in vain.
    pub user: UserId,
    /// Events, in order.
    pub events: Vec<Recorded>,
    /// Outcomes of commands, published after them.
    pub outcomes: Vec<CommandOutcome>,
}

/// What has left for NATS.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// Each video's events up to this one.
    pub events: Vec<(VideoId, u64)>,
    /// Outcomes of commands, with who asked.
    pub outcomes: Vec<(VideoId, UserId, CommandId)>,
    /// Jobs that were sent.
    pub jobs: Vec<SentJob>,
}

/// How often a job was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentJob {
    /// Of which video.
    pub video: VideoId,
    /// The job.
    pub id: JobId,
    /// In which attempt.
    pub attempt: u32,
    /// How often in this attempt.
    pub sends: u32,
}

/// The journal and what is read from it.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// A video's journal; empty when there is no such video.
    async fn load(&self, video: VideoId) -> Result<Loaded, StoreError>;

    /// Records many appends, mostly in one transaction; each append whole or not at all. Losers of the fence are left out,
    /// their neighbours commit.
    async fn append(&self, appends: Vec<Arc<Append>>) -> Result<Vec<Appended>, StoreError>;

    /// Remembers how far `owner` has read the commands of partitions; of those that it does not own any more, nothing.
    async fn mark_read(&self, owner: &str, positions: Vec<(Partition, Position)>) -> Result<(), StoreError>;

    /// Remembers what has left for NATS. Forgetting it would only send it again.
    async fn mark_published(&self, published: Published) -> Result<(), StoreError>;

    /// What was recorded and has not left, of some partitions.
    async fn unpublished(&self, partitions: Vec<Partition>) -> Result<Vec<Unpublished>, StoreError>;

    /// Jobs that have not ended, of some partitions.
    async fn jobs(&self, partitions: Vec<Partition>) -> Result<Vec<PlannedJob>, StoreError>;

    /// Both for one video: what was recorded and has not left, and its jobs that have not ended.
    async fn unfinished(&self, video: VideoId) -> Result<(Vec<Unpublished>, Vec<PlannedJob>), StoreError>;

    /// Forgets how commands ended that were asked before a time, of videos that do not exist.
    async fn forget_commands(&self, before: DateTime<Utc>) -> Result<(), StoreError>;

    /// The time that leases are compared by, for a host whose clock says `here`: that of the database's server where replicas
    /// run on several hosts, because their clocks differ; `here` where all of them share one.
    async fn lease_time(&self, here: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError>;

    /// Renews `owner`'s leases until `until`, takes what is free up to an even share, gives back what is above it, and
    /// says what is owned now and up to where it was read.
    async fn lease(
        &self,
        owner: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<HashMap<Partition, Position>, StoreError>;

    /// Gives every partition of `owner` back.
    async fn release(&self, owner: &str) -> Result<(), StoreError>;

    /// Gives every partition back, whoever has it: for a start that knows that all other owners are dead.
    async fn release_all(&self) -> Result<(), StoreError>;

    /// A page of a user's videos, newest first, and where the next page starts.
    async fn videos(&self, user: &UserId, list: &ListVideos)
    -> Result<(Vec<VideoSummary>, Option<String>), StoreError>;

    /// Deleted videos of some partitions that are to be purged now: not before all their events have left.
    async fn purgeable(&self, partitions: Vec<Partition>, now: DateTime<Utc>) -> Result<Vec<Purgeable>, StoreError>;

    /// Forgets the events, artifacts, jobs and words of a deleted video. It is purged `again` then; the last time, when
    /// that is none, the outcomes of its commands go too. Tombstone and ledger stay.
    async fn purge(&self, video: VideoId, again: Option<DateTime<Utc>>) -> Result<(), StoreError>;

    /// Videos of some partitions of which something was forgotten before `until`, longest ago first.
    async fn forgotten(&self, partitions: Vec<Partition>, until: DateTime<Utc>) -> Result<Vec<VideoId>, StoreError>;

    /// Keys of objects that nothing refers to any more, of some partitions' videos.
    async fn garbage(&self, partitions: Vec<Partition>) -> Result<Vec<String>, StoreError>;

    /// These objects are deleted.
    async fn garbage_deleted(&self, keys: Vec<String>) -> Result<(), StoreError>;

    /// What was spent on a video, also when it is gone, in the order in which it was booked.
    async fn ledger(&self, video: VideoId) -> Result<Vec<LedgerRow>, StoreError>;

    /// The videos that an artifact of a user's may belong to. Its id names its video, hardly ever another one beside it; for
    /// older ids there is a table.
    async fn videos_of(&self, user: &UserId, artifact: ArtifactId) -> Result<Vec<VideoId>, StoreError>;
}

/// Opens a database. A file is brought up to date by whoever opens it; a server's tables are left to `dailies migrate`,
/// because replicas of several versions may work on them at once.
pub async fn open(database: &DatabaseUrl) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match database {
        DatabaseUrl::Sqlite(file) => Arc::new(SqliteStore::open(file).await?),
        DatabaseUrl::Postgres(options) => Arc::new(PostgresStore::open(options).await?),
    })
}

/// Brings the tables of a database up to date.
pub async fn migrate(database: &DatabaseUrl) -> Result<Migrated, StoreError> {
    match database {
        DatabaseUrl::Sqlite(file) => SqliteStore::migrate(file).await,
        DatabaseUrl::Postgres(options) => PostgresStore::migrate(options).await,
    }
}

/// What an event makes that does not name its video, as artifacts of older checkpoints do not: links to it lead there by a
/// table.
fn nameless_artifacts(video: VideoId, recorded: &Recorded) -> impl Iterator<Item = ArtifactId> {
    let made = match &recorded.event {
        Event::JobDone { artifacts, .. } => artifacts.as_slice(),
        Event::SpecEdited { artifact, .. } => std::slice::from_ref(artifact),
        _ => &[],
    };
    made.iter().map(|artifact| artifact.id).filter(move |id| !id.names(video))
}

/// What was spent, with each row's place within its attempt. One append may have the results of several jobs.
fn placed(spent: &[LedgerRow]) -> impl Iterator<Item = (usize, &LedgerRow)> {
    spent.iter().enumerate().map(|(nth, row)| {
        let before = spent.iter().take(nth).rev();
        (before.take_while(|other| (other.job, other.attempt) == (row.job, row.attempt)).count(), row)
    })
}

/// The catalogue that a video keeps, as its first event says.
const fn catalogue_of(first: &Recorded) -> Option<Digest> {
    match &first.event {
        Event::VideoCreated { catalogue, .. } => Some(*catalogue),
        _ => None,
    }
}
