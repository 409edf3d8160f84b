//! What is heard once per process, fanned out in memory: events to the streams that watch, outcomes to the requests that
//! wait.
//!
//! Outcomes are heard always, everything else only while somebody watches: a gateway through which nobody does costs the
//! cluster next to nothing, however much happens there. A watcher that is slower than its video loses notices, not memory:
//! its queue is bounded and it asks for the history again. The hub never sends to a client and never decides; it compares
//! heads after anything that may have lost a message (a reconnect, a slow-consumer notice), soon after somebody began to
//! watch, and once a minute; where nobody answers, again and again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::SelectAll;
use messages::event::CommandOutcome;
use messages::id::{CommandId, UserId, VideoId};
use messages::subject::{self, EVENT_FILTER, PROGRESS_FILTER, VideoSubject};
use serde::Deserialize;
use tokio::sync::{Notify, broadcast, oneshot, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::frame;
use crate::nats::Nats;

/// What a watcher of a video is told.
#[derive(Debug, Clone)]
pub enum Notice {
    /// An event, ready to be sent.
    Event {
        /// Its place.
        seq: u64,
        /// Its frame.
        frame: Bytes,
        /// Whether the video is gone with it.
        last: bool,
    },
    /// How far a job is, ready to be sent.
    Progress(Bytes),
    /// The coordinator's head was asked for.
    Head {
        /// The last event's `seq`.
        head: u64,
        /// Whether no branch runs or waits.
        finished: bool,
    },
}

/// Who watches what and who waits for what.
#[derive(Debug, Default)]
pub struct Hub {
    topics: Mutex<HashMap<String, Topic>>,
    waiting: Mutex<HashMap<String, Vec<Waiter>>>,
    check_all: AtomicBool,
    /// Fires when somebody watches.
    wanted: Notify,
    /// Whether events and progress are heard.
    listens: watch::Sender<bool>,
}

/// One watched video.
#[derive(Debug)]
struct Topic {
    user: UserId,
    video: VideoId,
    sender: broadcast::Sender<Notice>,
    head: Arc<AtomicU64>,
    /// When heads are compared next.
    check_at: Instant,
}

/// One request that waits for a command's outcome.
#[derive(Debug)]
struct Waiter {
    command: CommandId,
    outcome: oneshot::Sender<CommandOutcome>,
}

/// How many notices a watcher may be behind.
const BACKLOG: usize = 64;

/// How often heads are compared when nothing is suspected.
const CHECK_EVERY: Duration = Duration::from_secs(60);

/// How soon a reconnect is noticed.
const TICK: Duration = Duration::from_secs(1);

/// How long listening may take to begin; who watches meanwhile is told what it missed.
const BEGIN: Duration = Duration::from_secs(1);

/// When heads are compared after somebody began to watch: the other servers of a NATS cluster hear of a subscription only
/// after it was made. And when they are compared again after nobody answered.
const CHECK_SOON: Duration = Duration::from_secs(1);

/// How long events are heard after the last watcher left: mostly it comes back.
const LINGER: Duration = Duration::from_secs(30);

/// How many heads are asked for at the same time.
const CHECKS_AT_ONCE: usize = 8;

impl Hub {
    /// Watches a video: what is published after this returns is noticed, or found missing soon.
    pub async fn watch(self: &Arc<Self>, user: &UserId, video: VideoId) -> Watch {
        let watch = self.enter(user, video);
        let mut listens = self.listens.subscribe();
        if !*listens.borrow_and_update() {
            self.wanted.notify_one();
            // Without NATS there is nothing to hear, and heads are compared when it is back.
            let _ = tokio::time::timeout(BEGIN, listens.wait_for(|listens| *listens)).await;
        }
        watch
    }

    fn enter(self: &Arc<Self>, user: &UserId, video: VideoId) -> Watch {
        let key = topic_key(user, video);
        let mut topics = lock(&self.topics);
        let topic = topics.entry(key.clone()).or_insert_with(|| Topic {
            user: user.clone(),
            video,
            sender: broadcast::Sender::new(BACKLOG),
            head: Arc::default(),
            check_at: Instant::now() + CHECK_SOON,
        });
        Watch { hub: self.clone(), key, notices: topic.sender.subscribe(), head: topic.head.clone() }
    }

    /// Waits for a command's outcome from now on; to be called before the command is sent.
    pub fn expect(self: &Arc<Self>, user: &UserId, video: VideoId, command: &CommandId) -> Expected {
        let (sender, outcome) = oneshot::channel();
        let key = topic_key(user, video);
        let waiter = Waiter { command: command.clone(), outcome: sender };
        lock(&self.waiting).entry(key.clone()).or_default().push(waiter);
        Expected { hub: self.clone(), key, outcome }
    }

    /// Compares all heads soon: something may have been lost.
    pub fn suspect(&self) {
        self.check_all.store(true, Ordering::Relaxed);
    }

    /// How many videos are watched.
    pub fn watched(&self) -> usize {
        lock(&self.topics).len()
    }

    /// Subscribes to how commands end; what is published after this returns is heard.
    pub async fn subscribe(nats: &Nats) -> Result<Heard, async_nats::Error> {
        let filters = ["command_answered", "command_rejected"].map(subject::event_filter);
        listen(nats, filters).await
    }

    /// Fans out until stopped: `outcomes`, and what is watched while it is.
    pub async fn run(self: Arc<Self>, nats: Nats, mut outcomes: Heard, shutdown: CancellationToken) {
        let heads = tokio::spawn(shutdown.clone().run_until_cancelled_owned(self.clone().compare_heads(nats.clone())));
        let mut watched: Option<Heard> = None;
        let mut until = Instant::now();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let message = tokio::select! {
                () = shutdown.cancelled() => break,
                message = outcomes.next() => message,
                message = async { watched.as_mut()?.next().await }, if watched.is_some() => message,
                () = self.wanted.notified() => {
                    self.listen_while_wanted(&nats, &mut watched, &mut until).await;
                    continue;
                }
                _ = ticks.tick() => {
                    self.listen_while_wanted(&nats, &mut watched, &mut until).await;
                    continue;
                }
            };
            let Some(message) = message else {
                tracing::error!("a subscription ended; streams follow the history only");
                break;
            };
            self.route(message.subject.as_str(), &message.payload);
        }
        // It ends by the same token; a panic in it was logged by the runtime.
        let _ = heads.await;
    }

    /// Begins to hear what is watched, or ends it.
    async fn listen_while_wanted(&self, nats: &Nats, watched: &mut Option<Heard>, until: &mut Instant) {
        if !self.is_wanted(until, Instant::now()) {
            *watched = None;
            return;
        }
        // While the connection is away, asking again and again would only fill the client's queue.
        if watched.is_some() || !nats.is_connected() {
            return;
        }
        let filters = [EVENT_FILTER, PROGRESS_FILTER].map(str::to_owned);
        match tokio::time::timeout(BEGIN, listen(nats, filters)).await {
            Ok(Ok(heard)) => {
                *watched = Some(heard);
                let check_at = Instant::now() + CHECK_SOON;
                lock(&self.topics).values_mut().for_each(|topic| topic.check_at = check_at);
                self.listens.send_replace(true);
            }
            Ok(Err(error)) => tracing::warn!(%error, "events are not heard; streams follow the history only"),
            Err(_) => tracing::debug!("events are not heard yet, the connection is slow"),
        }
    }

    /// Whether events are to be heard: while somebody watches, and for a while after.
    fn is_wanted(&self, until: &mut Instant, now: Instant) -> bool {
        let topics = lock(&self.topics);
        if !topics.is_empty() {
            *until = now + LINGER;
        }
        let wanted = now < *until;
        if !wanted {
            // Before anybody else may enter, who then sees that nobody listens.
            self.listens.send_replace(false);
        }
        wanted
    }

    /// Gives one message to those it concerns.
    pub fn route(&self, subject: &str, payload: &[u8]) {
        let Some(parsed) = VideoSubject::parse(subject) else { return };
        match (parsed.kind, parsed.name) {
            ("event", "command_answered" | "command_rejected") => self.settle(parsed.topic, payload),
            ("event", _) => self.tell(parsed.topic, || event_notice(payload)),
            _ => self.tell(parsed.topic, || Some(Notice::Progress(frame::unnumbered("progress", payload)?))),
        }
    }

    fn tell(&self, key: &str, notice: impl FnOnce() -> Option<Notice>) {
        let topics = lock(&self.topics);
        let Some(topic) = topics.get(key) else { return };
        let Some(notice) = notice() else {
            tracing::warn!(video.id = %topic.video, "an event is not readable; the history will tell");
            self.suspect();
            return;
        };
        if let Notice::Event { seq, .. } | Notice::Head { head: seq, .. } = notice {
            topic.head.fetch_max(seq, Ordering::Relaxed);
        }
        // An error means that the last watcher is just leaving.
        let _ = topic.sender.send(notice);
    }

    fn settle(&self, key: &str, payload: &[u8]) {
        let mut waiting = lock(&self.waiting);
        let Some(waiters) = waiting.get_mut(key) else { return };
        let outcome: CommandOutcome = match serde_json::from_slice(payload) {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::warn!(%error, "a command's outcome is not readable");
                return;
            }
        };
        for waiter in waiters.extract_if(.., |waiter| waiter.command == *outcome.command_id()) {
            // An error means that the request gave up meanwhile.
            let _ = waiter.outcome.send(outcome.clone());
        }
    }

    /// Asks for the heads of watched videos when due, and tells their watchers.
    async fn compare_heads(self: Arc<Self>, nats: Nats) {
        let statistics = nats.client().statistics();
        let mut connects = statistics.connects.load(Ordering::Relaxed);
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            if !nats.is_connected() {
                continue;
            }
            let now_connects = statistics.connects.load(Ordering::Relaxed);
            let all = self.check_all.swap(false, Ordering::Relaxed) || now_connects != connects;
            connects = now_connects;
            let now = Instant::now();
            let due: Vec<_> = lock(&self.topics)
                .iter_mut()
                .filter(|(_, topic)| all || topic.check_at <= now)
                .map(|(key, topic)| {
                    topic.check_at = now + CHECK_EVERY;
                    (key.clone(), topic.user.clone(), topic.video, topic.head.load(Ordering::Relaxed))
                })
                .collect();
            let (hub, nats) = (&self, &nats);
            futures::stream::iter(due)
                .for_each_concurrent(CHECKS_AT_ONCE, |(key, user, video, head)| async move {
                    match nats.history(&user, video, head).await {
                        Ok(page) => {
                            hub.tell(&key, || Some(Notice::Head { head: page.head, finished: page.finished }));
                        }
                        Err(error) => {
                            tracing::debug!(%error, video.id = %video, "a head could not be compared");
                            // What is gone stays so; who did not answer may do it soon.
                            if !error.is_unknown_video() {
                                hub.check_soon(&key);
                            }
                        }
                    }
                })
                .await;
        }
    }

    fn check_soon(&self, key: &str) {
        if let Some(topic) = lock(&self.topics).get_mut(key) {
            topic.check_at = Instant::now() + CHECK_SOON;
        }
    }
}

/// A watched video's notices.
#[derive(Debug)]
pub struct Watch {
    hub: Arc<Hub>,
    key: String,
    notices: broadcast::Receiver<Notice>,
    head: Arc<AtomicU64>,
}

impl Watch {
    /// The next notice; none when some were lost.
    pub async fn next(&mut self) -> Option<Notice> {
        // The sender lives as long as its topic, and the topic as long as this.
        self.notices.recv().await.ok()
    }

    /// What this watcher knows the head to be, so that comparing heads asks for nothing older.
    pub fn heard(&self, head: u64) {
        self.head.fetch_max(head, Ordering::Relaxed);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut topics = lock(&self.hub.topics);
        // Our own receiver still counts here.
        if topics.get(&self.key).is_some_and(|topic| topic.sender.receiver_count() <= 1) {
            topics.remove(&self.key);
        }
    }
}

/// A command's outcome to come.
#[derive(Debug)]
pub struct Expected {
    hub: Arc<Hub>,
    key: String,
    outcome: oneshot::Receiver<CommandOutcome>,
}

impl Expected {
    /// The outcome, if it comes in time.
    pub async fn within(&mut self, time: Duration) -> Option<CommandOutcome> {
        tokio::time::timeout(time, &mut self.outcome).await.ok()?.ok()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.outcome.close();
        let mut waiting = lock(&self.hub.waiting);
        if let Some(waiters) = waiting.get_mut(&self.key) {
            waiters.retain(|waiter| !waiter.outcome.is_closed());
            if waiters.is_empty() {
                waiting.remove(&self.key);
            }
        }
    }
}

/// What is heard by way of some subscriptions.
pub type Heard = SelectAll<async_nats::Subscriber>;

/// Subscribes; what is published after this returns is heard, as far as the server that we are connected to knows of it.
async fn listen(nats: &Nats, filters: [String; 2]) -> Result<Heard, async_nats::Error> {
    let mut heard = Heard::new();
    for filter in filters {
        heard.push(nats.client().subscribe(filter).await?);
    }
    nats.client().flush().await?;
    Ok(heard)
}

/// What the hub reads of an event.
#[derive(Deserialize)]
struct Place<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    seq: u64,
}

fn event_notice(payload: &[u8]) -> Option<Notice> {
    let Place { kind, seq } = serde_json::from_slice(payload).ok()?;
    Some(Notice::Event { seq, frame: frame::event(kind, seq, payload)?, last: kind == "video_deleted" })
}

fn topic_key(user: &UserId, video: VideoId) -> String {
    format!("{user}.{video}")
}

/// The maps are consistent between any two statements, so a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video() -> VideoId {
        "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid")
    }

    fn event(seq: u64) -> Vec<u8> {
        format!(r#"{{"type":"job_done","seq":{seq}}}"#).into_bytes()
    }

    #[tokio::test]
    async fn an_event_reaches_every_watcher_of_its_video_and_nobody_else() {
        let hub = Arc::new(Hub::default());
        let other = VideoId::from_uuid(uuid::Uuid::nil());
        let (mut one, mut two) = (hub.enter(&UserId::local(), video()), hub.enter(&UserId::local(), video()));
        let mut elsewhere = hub.enter(&UserId::local(), other);
        hub.route(&format!("video.local.{}.event.job_done", video()), &event(7));
        for watch in [&mut one, &mut two] {
            assert!(matches!(watch.next().await, Some(Notice::Event { seq: 7, .. })));
        }
        assert!(elsewhere.notices.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_watcher_that_does_not_keep_up_learns_that_it_lost_something() {
        let hub = Arc::new(Hub::default());
        let mut watch = hub.enter(&UserId::local(), video());
        for seq in 1..=BACKLOG as u64 + 1 {
            hub.route(&format!("video.local.{}.event.job_done", video()), &event(seq));
        }
        assert!(watch.next().await.is_none());
    }

    #[test]
    fn nothing_is_kept_for_those_who_left() {
        let hub = Arc::new(Hub::default());
        let id: CommandId = "c-1".parse().expect("valid");
        let watches = [hub.enter(&UserId::local(), video()), hub.enter(&UserId::local(), video())];
        let expected = hub.expect(&UserId::local(), video(), &id);
        assert_eq!(hub.watched(), 1);
        drop((watches, expected));
        assert!(lock(&hub.topics).is_empty() && lock(&hub.waiting).is_empty());
    }

    #[test]
    fn events_are_heard_while_somebody_watches_and_a_while_after() {
        let hub = Arc::new(Hub::default());
        let started = Instant::now();
        let mut until = started;
        assert!(!hub.is_wanted(&mut until, started), "nobody has come yet");
        let watch = hub.enter(&UserId::local(), video());
        hub.listens.send_replace(true);
        let later = started + 10 * LINGER;
        assert!(hub.is_wanted(&mut until, later));
        drop(watch);
        assert!(hub.is_wanted(&mut until, later + LINGER / 2), "it may come back");
        assert!(*hub.listens.borrow());
        assert!(!hub.is_wanted(&mut until, later + LINGER));
        assert!(!*hub.listens.borrow(), "whoever comes next asks for it again");
    }

    #[tokio::test]
    async fn one_outcome_answers_every_request_of_that_command() {
        let hub = Arc::new(Hub::default());
        let id: CommandId = "c-1".parse().expect("valid");
        let mut twice = [hub.expect(&UserId::local(), video(), &id), hub.expect(&UserId::local(), video(), &id)];
        let mut other = hub.expect(&UserId::local(), video(), &"c-2".parse().expect("valid"));
        let body = r#"{"type":"command_answered","command_id":"c-1","first_command_id":"c-1","answer":{},
            "time":"2026-01-01T00:00:00Z"}"#;
        hub.route(&format!("video.local.{}.event.command_answered", video()), body.as_bytes());
        for expected in &mut twice {
            assert!(expected.within(Duration::from_secs(5)).await.is_some());
        }
        assert!(other.outcome.try_recv().is_err());
    }
}
