//! One subscription per process, fanned out in memory: events to the streams that watch, outcomes to the requests that
//! wait.
//!
//! A watcher that is slower than its video loses notices, not memory: its queue is bounded and it asks for the history
//! again. The hub never sends to a client and never decides; it compares heads after anything that may have lost a
//! message (a reconnect, a slow-consumer notice) and once a minute.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use messages::event::CommandOutcome;
use messages::id::{CommandId, UserId, VideoId};
use messages::subject::{EVENT_FILTER, PROGRESS_FILTER, VideoSubject};
use serde::Deserialize;
use tokio::sync::{broadcast, oneshot};
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
}

/// One watched video.
#[derive(Debug)]
struct Topic {
    user: UserId,
    video: VideoId,
    sender: broadcast::Sender<Notice>,
    head: Arc<AtomicU64>,
    checked: Instant,
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

/// How many heads are asked for at the same time.
const CHECKS_AT_ONCE: usize = 8;

impl Hub {
    /// Watches a video from now on.
    pub fn watch(self: &Arc<Self>, user: &UserId, video: VideoId) -> Watch {
        let key = topic_key(user, video);
        let mut topics = lock(&self.topics);
        let topic = topics.entry(key.clone()).or_insert_with(|| Topic {
            user: user.clone(),
            video,
            sender: broadcast::Sender::new(BACKLOG),
            head: Arc::default(),
            checked: Instant::now(),
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

    /// Subscribes; what is published after this returns will be noticed.
    pub async fn subscribe(nats: &Nats) -> Result<[async_nats::Subscriber; 2], async_nats::Error> {
        let events = nats.client().subscribe(EVENT_FILTER).await?;
        let progress = nats.client().subscribe(PROGRESS_FILTER).await?;
        nats.client().flush().await?;
        Ok([events, progress])
    }

    /// Fans out until stopped.
    pub async fn run(
        self: Arc<Self>,
        nats: Nats,
        subscriptions: [async_nats::Subscriber; 2],
        shutdown: CancellationToken,
    ) {
        let mut messages = futures::stream::select_all(subscriptions);
        let heads = tokio::spawn(shutdown.clone().run_until_cancelled_owned(self.clone().compare_heads(nats)));
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                message = messages.next() => match message {
                    Some(message) => self.route(message.subject.as_str(), &message.payload),
                    None => {
                        tracing::error!("the event subscription ended; streams follow the history only");
                        break;
                    }
                },
            }
        }
        // It ends by the same token; a panic in it was logged by the runtime.
        let _ = heads.await;
    }

    /// Gives one message to those it concerns.
    pub fn route(&self, subject: &str, payload: &[u8]) {
        let Some(parsed) = VideoSubject::parse(subject) else { return };
        let key = format!("{}.{}", parsed.user, parsed.video);
        match (parsed.kind, parsed.name) {
            ("event", "command_answered" | "command_rejected") => self.settle(&key, payload),
            ("event", _) => self.tell(&key, || event_notice(payload)),
            _ => self.tell(&key, || Some(Notice::Progress(frame::unnumbered("progress", payload)?))),
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
            let due: Vec<_> = lock(&self.topics)
                .iter_mut()
                .filter(|(_, topic)| all || topic.checked.elapsed() >= CHECK_EVERY)
                .map(|(key, topic)| {
                    topic.checked = Instant::now();
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
                        Err(error) => tracing::debug!(%error, video.id = %video, "a head could not be compared"),
                    }
                })
                .await;
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
        let (mut one, mut two) = (hub.watch(&UserId::local(), video()), hub.watch(&UserId::local(), video()));
        let mut elsewhere = hub.watch(&UserId::local(), other);
        hub.route(&format!("video.local.{}.event.job_done", video()), &event(7));
        for watch in [&mut one, &mut two] {
            assert!(matches!(watch.next().await, Some(Notice::Event { seq: 7, .. })));
        }
        assert!(elsewhere.notices.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_watcher_that_does_not_keep_up_learns_that_it_lost_something() {
        let hub = Arc::new(Hub::default());
        let mut watch = hub.watch(&UserId::local(), video());
        for seq in 1..=BACKLOG as u64 + 1 {
            hub.route(&format!("video.local.{}.event.job_done", video()), &event(seq));
        }
        assert!(watch.next().await.is_none());
    }

    #[test]
    fn nothing_is_kept_for_those_who_left() {
        let hub = Arc::new(Hub::default());
        let id: CommandId = "c-1".parse().expect("valid");
        let watches = [hub.watch(&UserId::local(), video()), hub.watch(&UserId::local(), video())];
        let expected = hub.expect(&UserId::local(), video(), &id);
        assert_eq!(hub.watched(), 1);
        drop((watches, expected));
        assert!(lock(&hub.topics).is_empty() && lock(&hub.waiting).is_empty());
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
