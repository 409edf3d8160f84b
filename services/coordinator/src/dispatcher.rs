//! Planned jobs wait in SQL; this fills a short queue per service from them.
//!
//! Interactive jobs go first, then those of the user with the fewest jobs under way. A job that was sent and gives no
//! sign of life is sent again when its message is gone from the queue: after a wiped NATS, work goes on by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use messages::id::{JobId, UserId, VideoId};
use messages::service::Service;
use messages::subject::{self, Partition};
use messages::{codec, job, job::Outcome as _};
use runtime::clock::Clock;
use runtime::health;
use tokio::sync::mpsc;

use crate::outbox::{Outbox, dead_letter};
use crate::store::PlannedJob;
use crate::wire::{Outgoing, Refused, Wire};

/// The most jobs of one service that are sent and have not ended.
const QUEUE: usize = 64;
/// How long a sent job may be silent before its message is looked for.
const SILENCE: Duration = Duration::from_secs(30);
/// The same when the whole queue is known to be gone: workers say that they live every 5 s.
const SILENCE_AFTER_LOSS: Duration = Duration::from_secs(11);
/// How often the silent ones are looked for, and how long to wait after a failure to send.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest that one turn may take, with a NATS that does not answer.
const TURN: Duration = Duration::from_secs(120);

/// What the dispatcher is told.
#[derive(Debug)]
enum Word {
    Plan(Vec<PlannedJob>),
    End(Vec<JobId>),
    Settle(VideoId, Vec<PlannedJob>),
    Alive(JobId),
    Returned(JobId),
    QueueLost,
    Keep(HashSet<Partition>),
    Count(tokio::sync::oneshot::Sender<Counts>),
}

/// How many jobs wait and how many are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Planned, not sent.
    pub waiting: usize,
    /// Sent, not ended.
    pub sent: usize,
}

/// Where planned jobs are handed in.
#[derive(Debug, Clone)]
pub struct Dispatcher {
    sender: mpsc::UnboundedSender<Word>,
}

impl Dispatcher {
    /// Starts the loop; it ends when the last handle is gone.
    pub fn start(wire: Arc<dyn Wire>, outbox: Outbox, clock: Arc<dyn Clock>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let lines = Lines::default();
        tokio::spawn(Loop { wire, outbox, clock, lines, queue_lost: false }.run(receiver));
        Self { sender }
    }

    /// These jobs are to be sent; one that is known is replaced.
    pub fn plan(&self, jobs: Vec<PlannedJob>) {
        self.say(Word::Plan(jobs));
    }

    /// These jobs ended.
    pub fn end(&self, jobs: Vec<JobId>) {
        self.say(Word::End(jobs));
    }

    /// These are all the jobs of a video that have not ended. One that is known goes on as it is.
    pub fn settle(&self, video: VideoId, jobs: Vec<PlannedJob>) {
        self.say(Word::Settle(video, jobs));
    }

    /// A worker has the job in its hands.
    pub fn alive(&self, job: JobId) {
        self.say(Word::Alive(job));
    }

    /// A worker gave the job back undone.
    pub fn returned(&self, job: JobId) {
        self.say(Word::Returned(job));
    }

    /// The work queue is a new one: what was in it is gone.
    pub fn queue_lost(&self) {
        self.say(Word::QueueLost);
    }

    /// Forgets the jobs of all other partitions.
    pub fn keep(&self, partitions: HashSet<Partition>) {
        self.say(Word::Keep(partitions));
    }

    /// How much is to do.
    pub async fn counts(&self) -> Counts {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.say(Word::Count(reply));
        answer.await.unwrap_or_default()
    }

    fn say(&self, word: Word) {
        // The loop lives as long as its senders.
        let _ = self.sender.send(word);
    }
}

struct Loop {
    wire: Arc<dyn Wire>,
    outbox: Outbox,
    clock: Arc<dyn Clock>,
    lines: Lines,
    queue_lost: bool,
}

impl Loop {
    async fn run(mut self, mut words: mpsc::UnboundedReceiver<Word>) {
        let mut heard = Vec::new();
        let watched = health::main_loop("dispatcher", TURN);
        loop {
            watched.turns();
            let wait = self.lines.next_due(self.clock.now()).unwrap_or(PAUSE).min(PAUSE);
            if self.clock.within(wait, words.recv_many(&mut heard, 256)).await == Some(0) {
                return;
            }
            let now = self.clock.now();
            for word in heard.drain(..) {
                self.hear(word, now);
            }
            self.look_for_the_silent(now).await;
            self.fill(now).await;
        }
    }

    fn hear(&mut self, word: Word, now: DateTime<Utc>) {
        match word {
            Word::Plan(jobs) => jobs.into_iter().for_each(|job| self.lines.plan(job, now)),
            Word::End(jobs) => jobs.iter().for_each(|job| self.lines.end(*job)),
            Word::Settle(video, jobs) => self.lines.settle(video, jobs, now),
            Word::Alive(job) => self.lines.alive(job, now),
            Word::Returned(job) => self.lines.wait_again(job),
            Word::QueueLost => self.queue_lost = true,
            Word::Keep(partitions) => self.lines.keep(&partitions),
            Word::Count(reply) => {
                let _ = reply.send(self.lines.counts());
            }
        }
    }

    /// Sends what fits into the queues.
    async fn fill(&mut self, now: DateTime<Utc>) {
        loop {
            let picked = self.lines.pick(now);
            if picked.is_empty() {
                return;
            }
            let (ids, messages): (Vec<_>, Vec<_>) =
                picked.iter().filter_map(|id| Some((*id, self.lines.message(*id)?))).unzip();
            match self.wire.publish(messages.clone()).await {
                Ok(refused) => {
                    for refused in refused {
                        if let (Some(id), Some(message)) = (ids.get(refused.index), messages.get(refused.index)) {
                            self.give_up(*id, message, &refused).await;
                        }
                    }
                    // One that was refused is silent, and so tried again should word of it have been lost.
                    let sent = self.lines.sent(&picked, self.clock.now());
                    self.outbox.mark_jobs(sent);
                }
                Err(error) => {
                    tracing::debug!(error = %error, jobs = picked.len(), "jobs wait for the bus");
                    picked.iter().for_each(|id| self.lines.wait_again(*id));
                    self.clock.sleep(PAUSE).await;
                    return;
                }
            }
        }
    }

    /// A job that the queue never takes fails as if a worker had said so: whoever owns its video hears it.
    async fn give_up(&self, id: JobId, message: &Outgoing, refused: &Refused) {
        let Some(job) = self.lines.jobs.get(&id).map(|entry| &entry.job) else { return };
        let (subject, size, reason) = (&message.subject, message.payload.len(), &refused.reason);
        tracing::error!(subject, size, reason, "a job is never taken by the queue and fails");
        let letter = dead_letter("coordinator", subject, reason, &message.payload, self.clock.now());
        self.outbox.publish_other(letter);
        let reason = format!("the work queue does not take it: {reason}");
        let report = job::Report {
            user: job.user.clone(),
            video: job.video,
            job: id,
            attempt: job.attempt,
            worker: "coordinator".to_owned(),
            trace: None,
            outcome: job::Failed { kind: job::FailureKind::GiveUp, reason, retry_after_s: None },
        };
        let to = Partition::of(job.video).outcome(job::Failed::NAME);
        self.wire.notify(to, Bytes::from(codec::encode(&report).unwrap_or_default())).await;
    }

    async fn look_for_the_silent(&mut self, now: DateTime<Utc>) {
        let silence = if self.queue_lost { SILENCE_AFTER_LOSS } else { SILENCE };
        let silent = self.lines.silent(now, silence);
        if silent.is_empty() {
            // Whoever is left has been heard since, or was sent into the new queue.
            self.queue_lost &= self.lines.any_heard_within(now, silence);
            return;
        }
        for (id, subject) in silent {
            match self.wire.is_queued(&subject).await {
                Ok(true) => self.lines.alive(id, now),
                Ok(false) => {
                    tracing::info!(job.id = %id, "a job gives no sign of life and is sent again");
                    self.lines.wait_again(id);
                }
                Err(error) => {
                    tracing::debug!(error = %error, "the silent jobs cannot be looked for now");
                    return;
                }
            }
        }
    }
}

/// The jobs that have not ended, in line: pure bookkeeping.
#[derive(Debug, Default)]
struct Lines {
    jobs: HashMap<JobId, Entry>,
    lines: BTreeMap<Service, Line>,
    /// Jobs that may not start yet.
    later: BTreeSet<(DateTime<Utc>, JobId)>,
}

#[derive(Debug)]
struct Entry {
    job: PlannedJob,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Not before its time.
    Later,
    /// In line.
    Waiting,
    /// Being sent.
    Picked,
    /// Sent, and last heard of at this time.
    Sent(DateTime<Utc>),
}

/// One service's jobs in line.
#[derive(Debug, Default)]
struct Line {
    interactive: HashMap<UserId, VecDeque<JobId>>,
    ordinary: HashMap<UserId, VecDeque<JobId>>,
    under_way: usize,
    under_way_of: HashMap<UserId, usize>,
}

impl Lines {
    fn plan(&mut self, job: PlannedJob, now: DateTime<Utc>) {
        let id = job.id;
        self.end(id);
        // A row that was sent before a restart is taken to be under way, until it is silent for too long.
        if job.sends > 0 {
            self.jobs.insert(id, Entry { job, place: Place::Waiting });
            self.set_under_way(id, Place::Sent(now));
            return;
        }
        if job.not_before > now {
            self.later.insert((job.not_before, id));
            self.jobs.insert(id, Entry { job, place: Place::Later });
            return;
        }
        self.jobs.insert(id, Entry { job, place: Place::Waiting });
        self.line_up(id);
    }

    fn settle(&mut self, video: VideoId, jobs: Vec<PlannedJob>, now: DateTime<Utc>) {
        let left: HashSet<_> = jobs.iter().map(|job| job.id).collect();
        let of_video = self.jobs.iter().filter(|(id, entry)| entry.job.video == video && !left.contains(id));
        let ended: Vec<_> = of_video.map(|(id, _)| *id).collect();
        ended.into_iter().for_each(|id| self.end(id));
        for job in jobs {
            if self.jobs.get(&job.id).is_none_or(|known| known.job.attempt != job.attempt) {
                self.plan(job, now);
            }
        }
    }

    fn line_up(&mut self, id: JobId) {
        let Some(entry) = self.jobs.get_mut(&id) else { return };
        entry.place = Place::Waiting;
        let line = self.lines.entry(entry.job.service).or_default();
        let queues = if entry.job.interactive { &mut line.interactive } else { &mut line.ordinary };
        queues.entry(entry.job.user.clone()).or_default().push_back(id);
    }

    fn set_under_way(&mut self, id: JobId, place: Place) {
        let Some(entry) = self.jobs.get_mut(&id) else { return };
        let was = std::mem::replace(&mut entry.place, place);
        let counts = |place| matches!(place, Place::Picked | Place::Sent(_));
        let line = self.lines.entry(entry.job.service).or_default();
        let of_user = line.under_way_of.entry(entry.job.user.clone()).or_default();
        match (counts(was), counts(place)) {
            (false, true) => {
                line.under_way += 1;
                *of_user += 1;
            }
            (true, false) => {
                line.under_way = line.under_way.saturating_sub(1);
                *of_user = of_user.saturating_sub(1);
            }
            (true, true) | (false, false) => {}
        }
        if *of_user == 0 {
            line.under_way_of.remove(&entry.job.user);
        }
    }

    fn end(&mut self, id: JobId) {
        self.set_under_way(id, Place::Waiting);
        if let Some(entry) = self.jobs.remove(&id) {
            self.later.remove(&(entry.job.not_before, id));
        }
    }

    fn alive(&mut self, id: JobId, now: DateTime<Utc>) {
        if let Some(Entry { place: Place::Sent(heard), .. }) = self.jobs.get_mut(&id) {
            *heard = now;
        }
    }

    fn wait_again(&mut self, id: JobId) {
        let under_way = self.jobs.get(&id).is_some_and(|entry| matches!(entry.place, Place::Picked | Place::Sent(_)));
        if under_way {
            self.set_under_way(id, Place::Waiting);
            self.line_up(id);
        }
    }

    fn keep(&mut self, partitions: &HashSet<Partition>) {
        let others: Vec<_> = self
            .jobs
            .iter()
            .filter(|(_, e)| !partitions.contains(&Partition::of(e.job.video)))
            .map(|(id, _)| *id)
            .collect();
        others.into_iter().for_each(|id| self.end(id));
    }

    /// Moves what may be sent now out of the lines.
    fn pick(&mut self, now: DateTime<Utc>) -> Vec<JobId> {
        while let Some((due, id)) = self.later.first().copied().filter(|(due, _)| *due <= now) {
            self.later.remove(&(due, id));
            self.line_up(id);
        }
        let mut picked = Vec::new();
        for service in Service::ALL {
            while let Some(id) = self.next_in_line(service) {
                self.set_under_way(id, Place::Picked);
                picked.push(id);
            }
        }
        picked
    }

    fn next_in_line(&mut self, service: Service) -> Option<JobId> {
        let line = self.lines.get_mut(&service)?;
        let waiting =
            |jobs: &HashMap<JobId, Entry>, id: &JobId| jobs.get(id).is_some_and(|entry| entry.place == Place::Waiting);
        while line.under_way < QUEUE {
            let under_way_of = &line.under_way_of;
            let fewest = |queues: &HashMap<UserId, VecDeque<JobId>>| {
                let mut users: Vec<_> = queues.keys().collect();
                users.sort_by_key(|user| (under_way_of.get(*user).copied().unwrap_or(0), (*user).clone()));
                users.first().map(|user| (*user).clone())
            };
            let (queues, user) = match (fewest(&line.interactive), fewest(&line.ordinary)) {
                (Some(user), _) => (&mut line.interactive, user),
                (None, Some(user)) => (&mut line.ordinary, user),
                (None, None) => return None,
            };
            let queue = queues.get_mut(&user)?;
            let id = queue.pop_front();
            if queue.is_empty() {
                queues.remove(&user);
            }
            // What ended or was replaced meanwhile is passed over.
            if let Some(id) = id.filter(|id| waiting(&self.jobs, id)) {
                return Some(id);
            }
        }
        None
    }

    /// The message of a job's next sending.
    fn message(&self, id: JobId) -> Option<Outgoing> {
        let job = &self.jobs.get(&id)?.job;
        let send = job.sends + 1;
        let payload = match codec::decode::<job::Job>(&job.body) {
            Ok(order) if order.send != send => codec::encode(&job::Job { send, ..order }).ok()?,
            Ok(_) | Err(_) => job.body.clone(),
        };
        Some(Outgoing {
            subject: subject_of(job),
            message_id: Some(format!("{id}-{}-{send}", job.attempt)),
            headers: Vec::new(),
            payload: Bytes::from(payload),
        })
    }

    fn sent(&mut self, ids: &[JobId], now: DateTime<Utc>) -> Vec<(JobId, u32, u32)> {
        let mut sent = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(entry) = self.jobs.get_mut(id) {
                entry.job.sends += 1;
                sent.push((*id, entry.job.attempt, entry.job.sends));
            }
            self.set_under_way(*id, Place::Sent(now));
        }
        sent
    }

    fn silent(&self, now: DateTime<Utc>, silence: Duration) -> Vec<(JobId, String)> {
        let silent = |entry: &Entry| matches!(entry.place, Place::Sent(heard) if heard + silence <= now);
        self.jobs.iter().filter(|(_, entry)| silent(entry)).map(|(id, entry)| (*id, subject_of(&entry.job))).collect()
    }

    fn any_heard_within(&self, now: DateTime<Utc>, silence: Duration) -> bool {
        self.jobs.values().any(|entry| matches!(entry.place, Place::Sent(heard) if heard + silence > now))
    }

    fn next_due(&self, now: DateTime<Utc>) -> Option<Duration> {
        self.later.first().map(|(due, _)| (*due - now).to_std().unwrap_or_default())
    }

    fn counts(&self) -> Counts {
        let sent = self.jobs.values().filter(|entry| matches!(entry.place, Place::Picked | Place::Sent(_))).count();
        Counts { waiting: self.jobs.len() - sent, sent }
    }
}

fn subject_of(job: &PlannedJob) -> String {
    subject::job(job.service, &job.user, job.video, job.id)
}
