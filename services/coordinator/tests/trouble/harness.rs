//! An actor's surroundings: a real database that can be told to lie, panic or be away, a bus in memory, a clock by hand.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use coordinator::actor::{Actors, Surroundings};
use coordinator::committer::Committer;
use coordinator::dispatcher::{Dispatcher, Quotas};
use coordinator::outbox::Outbox;
use coordinator::position::Positions;
use coordinator::store::{
    Append, Appended, Loaded, PlannedJob, Position, Published, Purgeable, SqliteStore, Store, StoreError, Unpublished,
};
use coordinator::video::Setup;
use coordinator::wire::{CommandLog, Commands, LogIdentity, Outgoing, Refused, StoredCommand, Wire, WireError};
use futures::StreamExt as _;
use messages::catalogue::Catalogue;
use messages::codec;
use messages::id::{ArtifactId, UserId, VideoId};
use messages::job::{DeadLetter, Failed, FailureKind, Job, Report};
use messages::query::{LedgerRow, ListVideos, VideoSummary};
use messages::subject::Partition;
use runtime::clock::Clock;
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

/// The longest that anything is waited for.
pub const SOON: Duration = Duration::from_secs(60);
/// When the stream of these commands was created.
const QUOTAS: Quotas = Quotas { video: 32, user: 128, service: 512 };
const STREAM_CREATED: i64 = 1_800_000_000_000_000_000;

/// Waits until `state` gives something, or fails the test with `what`.
pub async fn until<T>(what: &str, mut state: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = state().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("waited {SOON:?} in vain: {what}"))
}

/// One replica that owns everything.
pub struct Stage {
    pub store: Arc<TestStore>,
    pub wire: Arc<TestWire>,
    pub clock: Arc<TestClock>,
    pub positions: Arc<Positions>,
    pub dispatcher: Dispatcher,
    pub around: Arc<Surroundings>,
    pub actors: Arc<Actors>,
    sequence: AtomicU64,
}

impl Stage {
    pub async fn set() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = SqliteStore::open(&folder.path().join("journal.db")).await.expect("it opens");
        let store = TestStore {
            inner,
            _folder: folder,
            lies: AtomicUsize::new(0),
            panics: AtomicUsize::new(0),
            away: AtomicBool::new(false),
            refused_marks: AtomicUsize::new(0),
            unmarked: AtomicUsize::new(0),
            moves: AtomicUsize::new(0),
        };
        Self::with(Arc::new(store))
    }

    /// Another process over the same database.
    pub fn restart(&self) -> Self {
        Self::with(Arc::clone(&self.store))
    }

    fn with(store: Arc<TestStore>) -> Self {
        let (wire, clock) = (Arc::new(TestWire::default()), Arc::new(TestClock::default()));
        let positions = Arc::new(Positions::default());
        let partitions: Vec<_> = Partition::all().collect();
        positions.keep(&partitions.iter().map(|partition| (*partition, Position::default())).collect());
        positions.begin(STREAM_CREATED, &partitions, &HashSet::new());
        let (as_store, as_wire, as_clock): (Arc<dyn Store>, Arc<dyn Wire>, Arc<dyn Clock>) =
            (store.clone(), wire.clone(), clock.clone());
        let outbox = Outbox::start(Arc::clone(&as_store), Arc::clone(&as_wire), Arc::clone(&as_clock));
        let dispatcher =
            Dispatcher::start("test".to_owned(), Arc::clone(&as_wire), outbox.clone(), Arc::clone(&as_clock), QUOTAS);
        let catalogue = Arc::new(Catalogue::shipped().expect("it is valid"));
        let around = Arc::new(Surroundings {
            store: Arc::clone(&as_store),
            committer: Committer::start(as_store, Arc::clone(&as_clock)),
            outbox,
            dispatcher: dispatcher.clone(),
            setup: Setup::new(catalogue, vec!["local".to_owned()]),
            positions: Arc::clone(&positions),
            wire: as_wire,
            clock: as_clock,
        });
        let actors = Actors::new(Arc::clone(&around));
        Self { store, wire, clock, positions, dispatcher, around, actors, sequence: AtomicU64::new(1) }
    }

    /// Where the next command stands in its stream.
    pub fn next_place(&self) -> Position {
        let sequence = self.sequence.fetch_add(1, Ordering::SeqCst);
        Position { stream_created: STREAM_CREATED, sequence, message_time: sequence as i64 }
    }

    /// Waits until nothing recorded of a video counts as unpublished.
    pub async fn everything_is_marked(&self, video: VideoId) {
        until("everything is marked as published", async || {
            let (unpublished, _) = self.store.unfinished(video).await.expect("it is read");
            unpublished.iter().all(|left| left.events.is_empty() && left.outcomes.is_empty()).then_some(())
        })
        .await;
    }

    /// A stream with so many commands to videos that do not exist.
    pub fn log(&self, commands: usize) -> Arc<TestLog> {
        let (handed_out, most_in_hand) = (Arc::default(), Arc::default());
        Arc::new(TestLog { commands, positions: Arc::clone(&self.positions), handed_out, most_in_hand })
    }
}

pub fn new_video() -> VideoId {
    VideoId::from_uuid(Uuid::now_v7())
}

/// A worker's word that a job failed.
pub fn failed(job: &Job, kind: FailureKind) -> Report<Failed> {
    Report {
        user: job.user.clone(),
        video: job.video,
        job: job.id,
        attempt: job.attempt,
        worker: "scripted".to_owned(),
        trace: None,
        outcome: Failed { kind, reason: "the brush broke".to_owned(), retry_after_s: None },
    }
}

/// The machine's clock, put forward by hand.
#[derive(Debug, Default)]
pub struct TestClock {
    ahead_ms: AtomicI64,
    nobody_wakes: watch::Sender<bool>,
}

impl TestClock {
    pub fn advance(&self, by: Duration) {
        self.ahead_ms.fetch_add(by.as_millis() as i64, Ordering::SeqCst);
    }

    /// From now on nobody's time is up, or as it is again.
    pub fn nobody_wakes(&self, nobody: bool) {
        self.nobody_wakes.send_replace(nobody);
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now() + TimeDelta::milliseconds(self.ahead_ms.load(Ordering::SeqCst))
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
        over(&self.nobody_wakes).await;
    }
}

/// Waits while something is so.
async fn over(so: &watch::Sender<bool>) {
    // Its sender is borrowed, so that it cannot be gone.
    let _ = so.subscribe().wait_for(|so| !so).await;
}

/// A bus that stores everything in memory, repeats once.
#[derive(Debug, Default)]
pub struct TestWire {
    stored: Mutex<Vec<Outgoing>>,
    told: Mutex<Vec<(String, Bytes)>>,
    refused: Mutex<Option<&'static str>>,
    jobs_wait: watch::Sender<bool>,
    stops_wait: watch::Sender<bool>,
}

impl TestWire {
    /// From now on takes its time over jobs that are taken out of the queue, or does no longer.
    pub fn stops_wait(&self, wait: bool) {
        self.stops_wait.send_replace(wait);
    }

    /// From now on takes its time over jobs, or does no longer.
    pub fn jobs_wait(&self, wait: bool) {
        self.jobs_wait.send_replace(wait);
    }

    /// What was stored, in order.
    pub fn subjects(&self) -> Vec<String> {
        self.stored().into_iter().map(|message| message.subject).collect()
    }

    /// From now on takes nothing whose subject has this in it.
    pub fn refuse(&self, part: &'static str) {
        *self.refused.lock().expect("not poisoned") = Some(part);
    }

    fn stored(&self) -> Vec<Outgoing> {
        self.stored.lock().expect("not poisoned").clone()
    }

    fn bodies(&self) -> Vec<(String, Value)> {
        let stored = self.stored().into_iter().filter(|message| message.subject.starts_with("video."));
        stored.map(|message| (message.subject, serde_json::from_slice(&message.payload).expect("JSON"))).collect()
    }

    /// What was published of a video, in order.
    pub fn names(&self, video: VideoId) -> Vec<String> {
        let of_video = self.bodies().into_iter().filter(|(subject, _)| subject.contains(&video.to_string()));
        of_video.map(|(subject, _)| subject.rsplit('.').next().unwrap_or_default().to_owned()).collect()
    }

    /// Waits for an event or outcome of a video.
    pub async fn published(&self, name: &str, video: VideoId) -> Value {
        let end = format!("{video}.event.{name}");
        until(&end, async || {
            self.bodies().into_iter().find(|(subject, _)| subject.ends_with(&end)).map(|(_, body)| body)
        })
        .await
    }

    /// Waits for the outcome of a command.
    pub async fn outcome(&self, id: &str) -> Value {
        until(&format!("the outcome of {id}"), async || {
            let is_it =
                |(subject, body): &(String, Value)| subject.contains(".event.command_") && body["command_id"] == id;
            self.bodies().into_iter().find(is_it).map(|(_, body)| body)
        })
        .await
    }

    /// Waits for the first job of a video.
    pub async fn job_of(&self, video: VideoId) -> Job {
        until("a job", async || {
            let jobs = self.stored().into_iter().filter(|message| message.subject.starts_with("job."));
            jobs.map(|message| codec::decode::<Job>(&message.payload).expect("a job")).find(|job| job.video == video)
        })
        .await
    }

    /// Waits for a dead letter.
    pub async fn letter(&self) -> DeadLetter {
        until("a dead letter", async || {
            let letter = self.stored().into_iter().find(|message| message.subject.starts_with("dead."))?;
            Some(serde_json::from_slice(&letter.payload).expect("a letter"))
        })
        .await
    }

    /// Waits for what is said to whoever listens.
    pub async fn told(&self, to: &str) -> Bytes {
        until(to, async || {
            let told = self.told.lock().expect("not poisoned");
            told.iter().find(|(subject, _)| subject == to).map(|(_, payload)| payload.clone())
        })
        .await
    }
}

#[async_trait]
impl Wire for TestWire {
    async fn publish(&self, messages: &[Outgoing]) -> Result<Vec<Refused>, WireError> {
        if messages.iter().any(|message| message.subject.starts_with("job.")) {
            over(&self.jobs_wait).await;
        }
        let part = *self.refused.lock().expect("not poisoned");
        let mut stored = self.stored.lock().expect("not poisoned");
        let mut refused = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            if part.is_some_and(|part| message.subject.contains(part)) {
                refused.push(Refused { index, reason: "the message is too large".to_owned() });
            } else if message.message_id.is_none() || stored.iter().all(|known| known.message_id != message.message_id)
            {
                stored.push(message.clone());
            }
        }
        Ok(refused)
    }

    async fn notify(&self, subject: String, payload: Bytes) {
        self.told.lock().expect("not poisoned").push((subject, payload));
    }

    async fn is_queued(&self, _subject: &str) -> Result<bool, WireError> {
        Ok(true)
    }

    async fn unqueue(&self, _subject: &str) -> Result<(), WireError> {
        over(&self.stops_wait).await;
        Ok(())
    }

    async fn mend(&self) -> Result<i64, WireError> {
        Ok(0)
    }
}

/// A database that does what it is asked, and what its test wants.
#[derive(Debug)]
pub struct TestStore {
    inner: SqliteStore,
    _folder: tempfile::TempDir,
    lies: AtomicUsize,
    panics: AtomicUsize,
    away: AtomicBool,
    /// Positions that were not written down.
    refused_marks: AtomicUsize,
    /// Marks of what has left that were not written down.
    unmarked: AtomicUsize,
    moves: AtomicUsize,
}

impl TestStore {
    /// How many appends with events were recorded.
    pub fn moves(&self) -> usize {
        self.moves.load(Ordering::SeqCst)
    }

    /// Says of the next appends that they failed; what is asked of them is done.
    pub fn lie(&self, times: usize) {
        self.lies.store(times, Ordering::SeqCst);
    }

    /// Panics at the next loads.
    pub fn panic(&self, times: usize) {
        self.panics.store(times, Ordering::SeqCst);
    }

    /// How often it could not be written down what has left.
    pub fn unmarked(&self) -> usize {
        self.unmarked.load(Ordering::SeqCst)
    }

    /// How often positions could not be written down.
    pub fn refused_marks(&self) -> usize {
        self.refused_marks.load(Ordering::SeqCst)
    }

    pub fn away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    pub async fn jobs_of(&self, video: VideoId) -> Vec<PlannedJob> {
        self.inner.unfinished(video).await.expect("it is read").1
    }

    fn there(&self) -> Result<(), StoreError> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable { action: "answer", source: sqlx::Error::PoolTimedOut }),
            false => Ok(()),
        }
    }
}

fn one_less(counter: &AtomicUsize) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

#[async_trait]
impl Store for TestStore {
    async fn load(&self, video: VideoId) -> Result<Loaded, StoreError> {
        self.there()?;
        assert!(!one_less(&self.panics), "this is what the test wants");
        self.inner.load(video).await
    }

    async fn append(&self, appends: Vec<Arc<Append>>) -> Result<Vec<Appended>, StoreError> {
        self.there()?;
        self.moves.fetch_add(appends.iter().filter(|append| !append.events.is_empty()).count(), Ordering::SeqCst);
        let results = self.inner.append(appends).await;
        match one_less(&self.lies) {
            true => Err(StoreError::Unavailable { action: "record", source: sqlx::Error::WorkerCrashed }),
            false => results,
        }
    }

    async fn mark_read(&self, owner: &str, positions: Vec<(Partition, Position)>) -> Result<(), StoreError> {
        self.there().inspect_err(|_| {
            self.refused_marks.fetch_add(1, Ordering::SeqCst);
        })?;
        self.inner.mark_read(owner, positions).await
    }

    async fn mark_published(&self, published: Published) -> Result<(), StoreError> {
        self.there().inspect_err(|_| {
            self.unmarked.fetch_add(1, Ordering::SeqCst);
        })?;
        self.inner.mark_published(published).await
    }

    async fn unpublished(&self, partitions: Vec<Partition>) -> Result<Vec<Unpublished>, StoreError> {
        self.inner.unpublished(partitions).await
    }

    async fn jobs(&self, partitions: Vec<Partition>) -> Result<Vec<PlannedJob>, StoreError> {
        self.inner.jobs(partitions).await
    }

    async fn unfinished(&self, video: VideoId) -> Result<(Vec<Unpublished>, Vec<PlannedJob>), StoreError> {
        self.inner.unfinished(video).await
    }

    async fn forget_commands(&self, before: DateTime<Utc>) -> Result<(), StoreError> {
        self.inner.forget_commands(before).await
    }

    async fn lease_time(&self, here: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
        self.inner.lease_time(here).await
    }

    async fn lease(
        &self,
        owner: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<HashMap<Partition, Position>, StoreError> {
        self.inner.lease(owner, now, until).await
    }

    async fn release(&self, owner: &str) -> Result<(), StoreError> {
        self.inner.release(owner).await
    }

    async fn release_all(&self) -> Result<(), StoreError> {
        self.inner.release_all().await
    }

    async fn videos(
        &self,
        user: &UserId,
        list: &ListVideos,
    ) -> Result<(Vec<VideoSummary>, Option<String>), StoreError> {
        self.inner.videos(user, list).await
    }

    async fn purgeable(&self, partitions: Vec<Partition>, now: DateTime<Utc>) -> Result<Vec<Purgeable>, StoreError> {
        self.inner.purgeable(partitions, now).await
    }

    async fn purge(&self, video: VideoId, again: Option<DateTime<Utc>>) -> Result<(), StoreError> {
        self.inner.purge(video, again).await
    }

    async fn forgotten(&self, partitions: Vec<Partition>, until: DateTime<Utc>) -> Result<Vec<VideoId>, StoreError> {
        self.inner.forgotten(partitions, until).await
    }

    async fn garbage(&self, partitions: Vec<Partition>) -> Result<Vec<String>, StoreError> {
        self.inner.garbage(partitions).await
    }

    async fn garbage_deleted(&self, keys: Vec<String>) -> Result<(), StoreError> {
        self.inner.garbage_deleted(keys).await
    }

    async fn ledger(&self, video: VideoId) -> Result<Vec<LedgerRow>, StoreError> {
        self.inner.ledger(video).await
    }

    async fn videos_of(&self, user: &UserId, artifact: ArtifactId) -> Result<Vec<VideoId>, StoreError> {
        self.inner.videos_of(user, artifact).await
    }
}

/// A command stream that is there at once, and counts how much of it is in the hands of actors.
#[derive(Debug)]
pub struct TestLog {
    commands: usize,
    positions: Arc<Positions>,
    handed_out: Arc<AtomicUsize>,
    most_in_hand: Arc<AtomicUsize>,
}

impl TestLog {
    pub fn handed_out(&self) -> usize {
        self.handed_out.load(Ordering::SeqCst)
    }

    pub fn most_in_hand(&self) -> usize {
        self.most_in_hand.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl CommandLog for TestLog {
    async fn identity(&self) -> Result<LogIdentity, WireError> {
        Ok(LogIdentity { created: STREAM_CREATED, first: 1, last: 0 })
    }

    async fn stored_at(&self, _sequence: u64) -> Result<Option<i64>, WireError> {
        Ok(None)
    }

    async fn read(&self, _partitions: &[Partition], _from: u64) -> Result<Commands, WireError> {
        let videos: Vec<_> = (0..100).map(|_| new_video()).collect();
        let (positions, handed_out) = (Arc::clone(&self.positions), Arc::clone(&self.handed_out));
        let most_in_hand = Arc::clone(&self.most_in_hand);
        let commands = futures::stream::iter(0..self.commands).map(move |n| {
            handed_out.fetch_add(1, Ordering::SeqCst);
            // This one will be in hand too.
            most_in_hand.fetch_max(positions.lag() + 1, Ordering::SeqCst);
            let video = videos[n % videos.len()];
            Ok(StoredCommand {
                subject: format!("p.{}.video.local.{video}.cmd.approve", Partition::of(video)),
                sequence: n as u64 + 1,
                time: n as i64,
                command_id: None,
                via: None,
                trace: None,
                payload: Bytes::from_static(b"{}"),
            })
        });
        Ok(commands.chain(futures::stream::pending()).boxed())
    }
}
