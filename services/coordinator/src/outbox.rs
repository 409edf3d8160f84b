//! What was recorded leaves for NATS here, in the order in which it was recorded.
//!
//! The journal is the outbox: this only remembers what it was told since the start, and what a start finds unpublished is
//! told again. Publishing twice is harmless, because message ids and `seq` tell repeats apart.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::future::join_all;
use messages::event::{CommandOutcome, Recorded};
use messages::id::{CommandId, UserId, VideoId};
use messages::job::DeadLetter;
use messages::subject;
use messages::trace::{self, Trace};
use runtime::clock::Clock;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use crate::metrics;
use crate::store::{Append, Published, SentJob, Store, Unpublished};
use crate::wire::{Outgoing, Refused, Wire};

/// The most messages on their way at a time.
const MOST: usize = 256;
/// The longest that word of a job waits until the job itself has left.
const HEAD_START: Duration = Duration::from_millis(20);
/// How long what has left is gathered before it is written down: a film under way is then marked once or twice.
const GATHER: Duration = Duration::from_secs(1);
/// How long to wait before sending again what did not get through.
const PAUSE: Duration = Duration::from_millis(500);
/// The most bytes of a payload that a dead letter keeps: in base64, a message that every server takes.
const MOST_PAYLOAD: usize = 512 << 10;

/// Something to publish.
#[derive(Debug)]
enum Item {
    /// What was recorded at once.
    Recorded(Told),
    /// A message as it is.
    Message(Message),
}

impl Item {
    fn departure(&mut self) -> Option<Departure> {
        match self {
            Self::Recorded(told) => told.jobs.take(),
            Self::Message(_) => None,
        }
    }
}

/// Over once jobs that were planned have left, or cannot leave now. Whether there is an answer or none says nothing.
pub type Departure = oneshot::Receiver<()>;

/// What was recorded, as it is told. It is written out here and not by whoever recorded it, who has jobs to send.
#[derive(Debug)]
pub struct Told {
    /// What was recorded.
    pub append: Arc<Append>,
    /// The trace of each event, as far as it is known. Those of others follow from their commands, as far as they had one.
    pub traces: Vec<Option<Trace>>,
    /// Its jobs on their way, if it has any.
    pub jobs: Option<Departure>,
}

/// A message, and what to remember once it has left.
#[derive(Debug)]
struct Message {
    message: Outgoing,
    left: Left,
}

#[derive(Debug)]
enum Left {
    Event(VideoId, u64),
    Outcome(VideoId, UserId, CommandId),
    /// A repeat, or an outcome without a video: nothing is kept about it.
    Nothing,
}

/// Where recorded events and outcomes are handed in.
#[derive(Debug, Clone)]
pub struct Outbox {
    sender: mpsc::UnboundedSender<Item>,
    marker: Marker,
}

impl Outbox {
    /// Starts the loop; it ends when the last handle is gone.
    pub fn start(store: Arc<dyn Store>, wire: Arc<dyn Wire>, clock: Arc<dyn Clock>) -> Self {
        let marker = Marker::start(store, Arc::clone(&clock));
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(run(wire, clock, marker.clone(), receiver));
        Self { sender, marker }
    }

    /// Publishes events, then the outcomes of the commands that caused them.
    pub fn publish(&self, recorded: &Unpublished) {
        let Unpublished { video, user, events, outcomes } = recorded;
        events.iter().for_each(|event| self.send(event_message(user, *video, event, None)));
        outcomes.iter().for_each(|outcome| self.send(recorded_outcome(user, *video, outcome)));
    }

    /// Publishes what was recorded just now, and its jobs first: somebody waits for the work, and only then for word of it.
    pub fn tell(&self, told: Told) {
        self.hand_in(Item::Recorded(told));
    }

    /// Publishes an outcome that is kept nowhere, or is kept already: a repeat must arrive each time it is asked for.
    pub fn publish_once(&self, user: &UserId, video: &str, outcome: &CommandOutcome) {
        self.send(Message { message: outcome_message(user, video, outcome, None), left: Left::Nothing });
    }

    /// Publishes something else in the same order: a dead letter.
    pub fn publish_other(&self, message: Outgoing) {
        self.send(Message { message, left: Left::Nothing });
    }

    /// Remembers that jobs were sent.
    pub fn mark_jobs(&self, jobs: Vec<SentJob>) {
        self.marker.mark(Published { jobs, ..Published::default() });
    }

    fn send(&self, message: Message) {
        self.hand_in(Item::Message(message));
    }

    fn hand_in(&self, item: Item) {
        if self.sender.send(item).is_err() {
            tracing::debug!("an event stays in the journal, the outbox has stopped");
        }
    }
}

async fn run(wire: Arc<dyn Wire>, clock: Arc<dyn Clock>, marker: Marker, mut items: mpsc::UnboundedReceiver<Item>) {
    let mut gathered = Vec::with_capacity(MOST);
    while items.recv_many(&mut gathered, MOST).await > 0 {
        let departures: Vec<_> = gathered.iter_mut().filter_map(Item::departure).collect();
        if !departures.is_empty() {
            clock.within(HEAD_START, join_all(departures)).await;
        }
        let mut messages = gathered.drain(..).flat_map(messages_of).peekable();
        while messages.peek().is_some() {
            let some = messages.by_ref().take(MOST).map(|Message { message, left }| (message, left));
            let (messages, left): (Vec<_>, Vec<_>) = some.unzip();
            let refused = store_all(wire.as_ref(), clock.as_ref(), &messages).await;
            if !refused.is_empty() {
                // It counts as published: the journal has it, and everybody behind it must not wait for ever.
                let now = clock.now();
                let letters: Vec<_> = refused.iter().filter_map(|refused| set_aside(&messages, refused, now)).collect();
                for refused in store_all(wire.as_ref(), clock.as_ref(), &letters).await {
                    tracing::error!(reason = refused.reason, "a dead letter is never taken");
                }
            }
            let published = published(left);
            metrics::published(published.events.len());
            marker.mark(published);
        }
    }
}

fn published(left: Vec<Left>) -> Published {
    let mut published = Published::default();
    for left in left {
        match left {
            Left::Event(video, seq) => published.events.push((video, seq)),
            Left::Outcome(video, user, command) => published.outcomes.push((video, user, command)),
            Left::Nothing => {}
        }
    }
    published
}

/// Events, then the outcome of the command that caused them.
fn messages_of(item: Item) -> Vec<Message> {
    match item {
        Item::Message(message) => vec![message],
        Item::Recorded(Told { append, traces, .. }) => {
            let Append { video, user, events, outcome, .. } = append.as_ref();
            let traces = traces.into_iter().chain(std::iter::repeat(None));
            let events = events.iter().zip(traces).map(|(event, trace)| event_message(user, *video, event, trace));
            events.chain(outcome.iter().map(|outcome| recorded_outcome(user, *video, outcome))).collect()
        }
    }
}

/// Stores messages, however long that takes, and gives those that never can be.
async fn store_all(wire: &dyn Wire, clock: &dyn Clock, messages: &[Outgoing]) -> Vec<Refused> {
    let mut told = false;
    loop {
        match wire.publish(messages).await {
            Ok(refused) => return refused,
            Err(error) if !std::mem::replace(&mut told, true) => {
                tracing::warn!(error = %error, "events wait for the bus");
            }
            Err(_) => {}
        }
        clock.sleep(PAUSE).await;
    }
}

/// The letter about a message that is never taken; none about a letter.
fn set_aside(messages: &[Outgoing], refused: &Refused, now: DateTime<Utc>) -> Option<Outgoing> {
    let message = messages.get(refused.index)?;
    let (subject, reason) = (&message.subject, &refused.reason);
    tracing::error!(subject, size = message.payload.len(), reason, "a message is never taken and was set aside");
    let letter = subject != &subject::dead("coordinator") && subject != &subject::dead("command");
    letter.then(|| dead_letter("coordinator", subject, reason, &message.payload, now))
}

/// Something that could not be handled, with its story.
pub fn dead_letter(name: &str, from: &str, reason: &str, body: &[u8], time: DateTime<Utc>) -> Outgoing {
    metrics::set_aside();
    let (kept, reason) = match body.get(..MOST_PAYLOAD) {
        Some(kept) if kept.len() < body.len() => {
            (kept, format!("{reason} (the first {MOST_PAYLOAD} of {} bytes are kept)", body.len()))
        }
        Some(_) | None => (body, reason.to_owned()),
    };
    let letter =
        DeadLetter { subject: from.to_owned(), reason, deliveries: 1, time, payload: BASE64_STANDARD.encode(kept) };
    Outgoing {
        subject: subject::dead(name),
        message_id: None,
        headers: vec![("Content-Type", "application/json".to_owned())],
        // A struct of strings and numbers: serialising cannot fail.
        payload: Bytes::from(serde_json::to_vec(&letter).unwrap_or_default()),
    }
}

/// Writes down what has left, many at a time, behind everybody's back, and as often as it takes: a deleted video is purged
/// only when its last event is known to have left.
#[derive(Debug, Clone)]
struct Marker {
    sender: mpsc::UnboundedSender<Published>,
}

impl Marker {
    fn start(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut batch = Vec::new();
            while !batch.is_empty() || receiver.recv_many(&mut batch, usize::MAX).await > 0 {
                // What follows soon is written with it: of a video only the last event counts.
                clock.sleep(GATHER).await;
                while let Ok(published) = receiver.try_recv() {
                    batch.push(published);
                }
                let gathered = gathered(&mut batch);
                if let Err(error) = store.mark_published(gathered.clone()).await {
                    tracing::debug!(error = %error, "that events have left is written down later");
                    if receiver.is_closed() {
                        return;
                    }
                    batch.push(gathered);
                }
            }
        });
        Self { sender }
    }

    fn mark(&self, published: Published) {
        // The loop lives as long as its senders.
        let _ = self.sender.send(published);
    }
}

/// Everything of a batch, with the last event alone of each video and the last sending of each job.
fn gathered(batch: &mut Vec<Published>) -> Published {
    let (mut events, mut jobs, mut outcomes) = (HashMap::<_, u64>::new(), HashMap::new(), Vec::new());
    for published in batch.drain(..) {
        for (video, seq) in published.events {
            let last = events.entry(video).or_default();
            *last = seq.max(*last);
        }
        jobs.extend(published.jobs.into_iter().map(|job| (job.id, job)));
        outcomes.extend(published.outcomes);
    }
    Published { events: events.into_iter().collect(), outcomes, jobs: jobs.into_values().collect() }
}

fn event_message(user: &UserId, video: VideoId, recorded: &Recorded, trace: Option<Trace>) -> Message {
    let of_command = || recorded.command_id.as_ref().map(|id| Trace::of_command(video, id));
    let (body, name, subject) = (recorded.public(video), recorded.event.name(), video.to_string());
    let message = Outgoing {
        subject: subject::event(user, &subject, name),
        payload: Bytes::from(body.to_json()),
        message_id: Some(body.id.clone()),
        headers: cloud_event_headers(body.id, body.time, name, subject, trace.or_else(of_command)),
    };
    Message { message, left: Left::Event(video, recorded.seq) }
}

fn recorded_outcome(user: &UserId, video: VideoId, outcome: &CommandOutcome) -> Message {
    // The stream is everybody's, so the user is part of it: one's outcome is never a repeat of another's.
    let id = Some(format!("{video}-c-{user}-{}", outcome.command_id()));
    let left = Left::Outcome(video, user.clone(), outcome.command_id().clone());
    Message { message: outcome_message(user, &video.to_string(), outcome, id), left }
}

fn outcome_message(user: &UserId, video: &str, outcome: &CommandOutcome, message_id: Option<String>) -> Outgoing {
    // A struct of strings, numbers and JSON: serialising cannot fail.
    let mut body = match serde_json::to_value(outcome) {
        Ok(Value::Object(body)) => body,
        _ => Map::new(),
    };
    body.remove("trace");
    body.insert("video_id".into(), video.into());
    body.insert("id".into(), format!("{video}-{}", outcome.command_id()).into());
    let of_command = || video.parse().ok().map(|video| Trace::of_command(video, outcome.command_id()));
    let text = |field: &str| body.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let trace = outcome.trace().or_else(of_command);
    let headers = cloud_event_headers(text("id"), text("time"), outcome.name(), video.to_owned(), trace);
    Outgoing {
        subject: subject::event(user, video, outcome.name()),
        message_id,
        headers,
        payload: Bytes::from(Value::Object(body).to_string()),
    }
}

/// CloudEvents 1.0, NATS binding, binary mode, and the trace that a message belongs to.
fn cloud_event_headers(
    id: String,
    time: String,
    name: &str,
    video: String,
    trace: Option<Trace>,
) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("ce-specversion", "1.0".to_owned()),
        ("ce-id", id),
        ("ce-source", "/dailies/coordinator".to_owned()),
        ("ce-type", name.to_owned()),
        ("ce-subject", video),
        ("ce-time", time),
        ("Content-Type", "application/json".to_owned()),
    ];
    headers.extend(trace.map(|trace| (trace::HEADER, trace.to_string())));
    headers
}
