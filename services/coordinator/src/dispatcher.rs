//! Planned jobs wait in SQL; this fills a short queue per service from them.
//!
//! Interactive jobs go first, then those of the user with the fewest jobs under way; nobody has more under way than the
//! [`Quotas`] allow. A queue is short, because what waits in it cannot be overtaken, and still long enough for an operator
//! to see the backlog there; when somebody waits for another job, what nobody has begun is called back, by every coordinator:
//! they share the queue, and tell each other. A job that was sent and gives no sign of life is sent again when its message is
//! gone from the queue: after a wiped NATS, work goes on by itself.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
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
use tokio::sync::{mpsc, oneshot};

use crate::outbox::{Departure, Outbox, dead_letter};
use crate::store::{PlannedJob, SentJob};
use crate::wire::{Outgoing, Refused, Wire};

/// The most jobs of one service that are sent and not begun, where workers take fewer within [`AHEAD`].
const QUEUE: usize = 64;
/// A queue that is emptied within this time keeps nobody waiting, and may hold as much.
const AHEAD: Duration = Duration::from_millis(100);
/// How long a job that was called back is not sent again: a worker that took it nevertheless says so until then.
const CALLED_BACK: Duration = Duration::from_millis(500);
/// How long a sent job may be silent before its message is looked for.
const SILENCE: Duration = Duration::from_secs(30);
/// The same where it is not known whether a worker has it, or when the whole queue is known to be gone: workers say that they
/// live every 5 s.
const SILENCE_AFTER_LOSS: Duration = Duration::from_secs(11);
/// How long it is not written down that a job was sent: most of the quick ones have ended by then.
const UNMARKED: Duration = Duration::from_millis(500);
/// How often the silent ones are looked for, and how long to wait after a failure to send.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest that one turn may take, with a NATS that does not answer.
const TURN: Duration = Duration::from_secs(120);

/// What the dispatcher is told.
#[derive(Debug)]
enum Word {
    Plan(Vec<PlannedJob>, oneshot::Sender<()>),
    End(Vec<JobId>),
    Stop(Vec<(JobId, String)>),
    Settle(VideoId, Vec<PlannedJob>),
    Alive(JobId),
    Returned(JobId),
    MakeWay(Service),
    QueueLost,
    Keep(HashSet<Partition>),
    Count(oneshot::Sender<Counts>),
}

/// How many jobs wait and how many are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Planned, not sent.
    pub waiting: usize,
    /// Sent, not ended.
    pub sent: usize,
}

/// The most jobs that are sent and have not ended, of this replica's videos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Of one video.
    pub video: usize,
    /// Of one user.
    pub user: usize,
    /// Of one service.
    pub service: usize,
}

/// Where planned jobs are handed in.
#[derive(Debug, Clone)]
pub struct Dispatcher {
    sender: mpsc::UnboundedSender<Word>,
}

impl Dispatcher {
    /// Starts the loop; it ends when the last handle is gone.
    pub fn start(replica: String, wire: Arc<dyn Wire>, outbox: Outbox, clock: Arc<dyn Clock>, quotas: Quotas) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (lines, look_at) = (Lines::new(quotas), clock.now());
        let (replica, unwanted) = (Bytes::from(replica), Vec::new());
        let turns =
            Loop { replica, wire, outbox, clock, lines, unwanted, leaving: Vec::new(), queue_lost: false, look_at };
        tokio::spawn(turns.run(receiver));
        Self { sender }
    }

    /// These jobs are to be sent; one that is known is replaced. What is given tells when they have left.
    pub fn plan(&self, jobs: Vec<PlannedJob>) -> Departure {
        let (left, departure) = oneshot::channel();
        self.say(Word::Plan(jobs, left));
        departure
    }

    /// These jobs ended.
    pub fn end(&self, jobs: Vec<JobId>) {
        self.say(Word::End(jobs));
    }

    /// Nobody wants these jobs any more, sent on these subjects: workers are told, and what nobody took is taken out of the
    /// queue, before anything is sent that is planned after this. Hints: a job that slips through is not wanted.
    pub fn stop(&self, jobs: Vec<(JobId, String)>) {
        self.say(Word::Stop(jobs));
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

    /// Another coordinator sends a job of this service that somebody waits for.
    pub fn make_way(&self, service: Service) {
        self.say(Word::MakeWay(service));
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
        let (reply, answer) = oneshot::channel();
        self.say(Word::Count(reply));
        answer.await.unwrap_or_default()
    }

    fn say(&self, word: Word) {
        // The loop lives as long as its senders.
        let _ = self.sender.send(word);
    }
}

struct Loop {
    /// Who tells the others to make way.
    replica: Bytes,
    wire: Arc<dyn Wire>,
    outbox: Outbox,
    clock: Arc<dyn Clock>,
    lines: Lines,
    /// Jobs that nobody wants any more.
    unwanted: Vec<(JobId, String)>,
    /// Who waits until this turn's jobs have left.
    leaving: Vec<oneshot::Sender<()>>,
    queue_lost: bool,
    /// When the silent ones are looked for next.
    look_at: DateTime<Utc>,
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
            if self.look_at <= now {
                self.look_for_the_silent(now).await;
                self.look_at = now + PAUSE;
            }
            self.stop().await;
            self.fill(now).await;
            self.leaving.clear();
            let sent = self.lines.due_marks(now);
            if !sent.is_empty() {
                self.outbox.mark_jobs(sent);
            }
        }
    }

    fn hear(&mut self, word: Word, now: DateTime<Utc>) {
        match word {
            Word::Plan(jobs, left) => {
                jobs.into_iter().for_each(|job| self.lines.plan(job, now));
                self.leaving.push(left);
            }
            Word::Stop(jobs) => self.unwanted.extend(jobs),
            Word::End(jobs) => jobs.iter().for_each(|job| self.lines.done(*job, now)),
            Word::Settle(video, jobs) => self.lines.settle(video, jobs, now),
            Word::Alive(job) => self.lines.alive(job, now),
            Word::Returned(job) => self.lines.wait_again(job),
            Word::MakeWay(service) => drop(self.lines.waited_for_elsewhere.insert(service)),
            Word::QueueLost => self.queue_lost = true,
            Word::Keep(partitions) => self.lines.keep(partitions),
            Word::Count(reply) => {
                let _ = reply.send(self.lines.counts());
            }
        }
    }

    /// Tells workers to stop what nobody wants any more, and takes it out of the queue while NATS answers.
    async fn stop(&mut self) {
        let mut answers = true;
        for (id, subject) in self.unwanted.drain(..) {
            let hint = codec::encode(&job::Stop { job: id }).unwrap_or_default();
            self.wire.notify(subject::stop(id), Bytes::from(hint)).await;
            if answers && let Err(error) = self.wire.unqueue(&subject).await {
                tracing::debug!(error = %error, job.id = %id, "cancelled jobs stay queued");
                answers = false;
            }
        }
    }

    /// Sends what fits into the queues.
    async fn fill(&mut self, now: DateTime<Utc>) {
        self.make_way(now).await;
        loop {
            let picked = self.lines.pick(now);
            if picked.is_empty() {
                return;
            }
            let (ids, messages): (Vec<_>, Vec<_>) =
                picked.iter().filter_map(|id| Some((*id, self.lines.message(*id)?))).unzip();
            match self.wire.publish(&messages).await {
                Ok(refused) => {
                    for refused in refused {
                        if let (Some(id), Some(message)) = (ids.get(refused.index), messages.get(refused.index)) {
                            self.give_up(*id, message, &refused).await;
                        }
                    }
                    // One that was refused is silent, and so tried again should word of it have been lost.
                    self.lines.sent(&picked, self.clock.now());
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

    /// Calls back what nobody has begun where somebody waits for another job, and has the other coordinators do the same. A
    /// worker that is a moment faster keeps it.
    async fn make_way(&mut self, now: DateTime<Utc>) {
        for service in self.lines.waited_for() {
            self.wire.notify(subject::make_way(service), self.replica.clone()).await;
        }
        for (id, subject) in self.lines.in_the_way(now) {
            match self.wire.unqueue(&subject).await {
                Ok(()) => self.lines.call_back(id, now),
                Err(error) => {
                    tracing::debug!(error = %error, job.id = %id, "jobs are not called back now");
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
                Ok(true) => self.lines.still_queued(id, now),
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
#[derive(Debug)]
struct Lines {
    quotas: Quotas,
    jobs: HashMap<JobId, Entry>,
    lines: BTreeMap<Service, Line>,
    /// Jobs that may not start yet.
    later: BTreeSet<(DateTime<Utc>, JobId)>,
    /// The partitions whose jobs these are; none before the first are leased.
    kept: HashSet<Partition>,
    /// Services for whose jobs somebody waits with another coordinator.
    waited_for_elsewhere: BTreeSet<Service>,
    /// Jobs that were sent, and when; it is not written down yet.
    unmarked: VecDeque<(DateTime<Utc>, JobId)>,
    under_way_of_video: HashMap<VideoId, usize>,
    under_way_of_user: HashMap<UserId, usize>,
}

#[derive(Debug)]
struct Entry {
    job: PlannedJob,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Not before this time.
    Later(DateTime<Utc>),
    /// In line.
    Waiting,
    /// Being sent.
    Picked,
    /// Sent, and last heard of at this time.
    Sent { heard: DateTime<Utc>, with: Holder },
}

/// Who has a job that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// Nobody yet: it is in the queue.
    Queue,
    /// A worker, which said so.
    Worker,
    /// One of these. It was sent before a restart, and no worker has spoken of it since.
    Unknown,
}

impl Place {
    const fn is_under_way(self) -> bool {
        matches!(self, Self::Picked | Self::Sent { .. })
    }

    /// In the queue as far as anybody knows.
    const fn is_queued(self) -> bool {
        matches!(self, Self::Picked | Self::Sent { with: Holder::Queue | Holder::Unknown, .. })
    }
}

impl Entry {
    /// Whether it is called back when somebody waits for another job of its service.
    const fn gives_way(&self) -> bool {
        !self.job.interactive && matches!(self.place, Place::Sent { with: Holder::Queue, .. })
    }
}

/// One service's jobs in line.
#[derive(Debug, Default)]
struct Line {
    interactive: HashMap<UserId, VecDeque<JobId>>,
    ordinary: HashMap<UserId, VecDeque<JobId>>,
    under_way: usize,
    queued: usize,
    under_way_of: HashMap<UserId, usize>,
    /// When jobs were last found to have left the queue.
    taken: VecDeque<DateTime<Utc>>,
}

impl Line {
    /// How many jobs were taken lately.
    fn pace(&mut self, now: DateTime<Utc>) -> usize {
        while self.taken.front().is_some_and(|taken| *taken + AHEAD < now) {
            self.taken.pop_front();
        }
        self.taken.len()
    }

    /// How many jobs the queue may hold: what its workers take while it is filled again.
    fn depth(&mut self, now: DateTime<Utc>) -> usize {
        self.pace(now).max(QUEUE)
    }

    /// Whether whoever comes last waits longer than that.
    fn is_slow(&mut self, now: DateTime<Utc>) -> bool {
        self.queued > self.pace(now)
    }
}

impl Lines {
    fn new(quotas: Quotas) -> Self {
        Self {
            quotas,
            jobs: HashMap::new(),
            lines: BTreeMap::new(),
            later: BTreeSet::new(),
            kept: HashSet::new(),
            waited_for_elsewhere: BTreeSet::new(),
            unmarked: VecDeque::new(),
            under_way_of_video: HashMap::new(),
            under_way_of_user: HashMap::new(),
        }
    }

    fn plan(&mut self, job: PlannedJob, now: DateTime<Utc>) {
        let id = job.id;
        self.end(id);
        let (sends, not_before) = (job.sends, job.not_before);
        self.jobs.insert(id, Entry { job, place: Place::Waiting });
        if sends > 0 {
            self.place(id, Place::Sent { heard: now, with: Holder::Unknown });
        } else if not_before > now {
            self.wait_until(id, not_before);
        } else {
            self.line_up(id);
        }
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
        self.place(id, Place::Waiting);
        let Some(entry) = self.jobs.get(&id) else { return };
        let line = self.lines.entry(entry.job.service).or_default();
        let queues = if entry.job.interactive { &mut line.interactive } else { &mut line.ordinary };
        let queue = queues.entry(entry.job.user.clone()).or_default();
        // What was sent before goes before what was not.
        if entry.job.sends > 0 { queue.push_front(id) } else { queue.push_back(id) }
    }

    fn wait_until(&mut self, id: JobId, due: DateTime<Utc>) {
        self.place(id, Place::Later(due));
        self.later.insert((due, id));
    }

    /// Puts a job into a place, and keeps all counts right.
    fn place(&mut self, id: JobId, place: Place) {
        let Some(entry) = self.jobs.get_mut(&id) else { return };
        let was = std::mem::replace(&mut entry.place, place);
        if let Place::Later(due) = was {
            self.later.remove(&(due, id));
        }
        let job = &entry.job;
        let line = self.lines.entry(job.service).or_default();
        count(&mut line.queued, was.is_queued(), place.is_queued());
        let (before, now) = (was.is_under_way(), place.is_under_way());
        count(&mut line.under_way, before, now);
        count_of(&mut line.under_way_of, &job.user, before, now);
        count_of(&mut self.under_way_of_user, &job.user, before, now);
        count_of(&mut self.under_way_of_video, &job.video, before, now);
    }

    /// A job ended, and so had been taken from its queue.
    fn done(&mut self, id: JobId, now: DateTime<Utc>) {
        self.note_taken(id, now);
        self.end(id);
    }

    fn end(&mut self, id: JobId) {
        self.place(id, Place::Waiting);
        self.jobs.remove(&id);
    }

    fn alive(&mut self, id: JobId, now: DateTime<Utc>) {
        let Some(entry) = self.jobs.get(&id) else { return };
        match entry.place {
            Place::Sent { .. } => {}
            // It was called back, and a worker was faster.
            Place::Later(_) | Place::Waiting if entry.job.sends > 0 => {}
            Place::Later(_) | Place::Waiting | Place::Picked => return,
        }
        self.note_taken(id, now);
        self.place(id, Place::Sent { heard: now, with: Holder::Worker });
    }

    fn note_taken(&mut self, id: JobId, now: DateTime<Utc>) {
        let Some(entry) = self.jobs.get(&id).filter(|entry| entry.place.is_queued()) else { return };
        self.lines.entry(entry.job.service).or_default().taken.push_back(now);
    }

    /// Its message is in the queue still. A worker that had it would have spoken by now, unless it is dead or frozen.
    fn still_queued(&mut self, id: JobId, now: DateTime<Utc>) {
        if let Some(Entry { place: Place::Sent { heard, with }, .. }) = self.jobs.get_mut(&id) {
            *heard = now;
            if *with == Holder::Unknown {
                *with = Holder::Queue;
            }
        }
    }

    fn wait_again(&mut self, id: JobId) {
        if self.jobs.get(&id).is_some_and(|entry| entry.place.is_under_way()) {
            self.line_up(id);
        }
    }

    fn call_back(&mut self, id: JobId, now: DateTime<Utc>) {
        if self.jobs.get(&id).is_some_and(|entry| entry.place.is_queued()) {
            self.wait_until(id, now + CALLED_BACK);
        }
    }

    fn keep(&mut self, partitions: HashSet<Partition>) {
        self.kept = partitions;
        let others: Vec<_> = self.jobs.keys().copied().filter(|id| !self.keeps(*id)).collect();
        others.into_iter().for_each(|id| self.end(id));
    }

    /// Whether a job is of a partition that this replica owns. One that was recorded while its partition went to another is
    /// sent all the same: whoever has it now may have looked for its jobs before.
    fn keeps(&self, id: JobId) -> bool {
        self.jobs.get(&id).is_some_and(|entry| self.kept.contains(&Partition::of(entry.job.video)))
    }

    /// Services for whose jobs somebody waits here, where these are sent as soon as what gives way is called back.
    fn waited_for(&self) -> BTreeSet<Service> {
        let waited_for = self.lines.iter().filter(|(_, line)| !line.interactive.is_empty());
        waited_for.filter(|(service, line)| self.can_overtake(**service, line)).map(|(service, _)| *service).collect()
    }

    /// Whether the quotas would let something go that somebody waits for, if only what gives no way were under way.
    fn can_overtake(&self, service: Service, line: &Line) -> bool {
        let (mut all, mut of_user, mut of_video) = (0, HashMap::new(), HashMap::new());
        for entry in self.jobs.values().filter(|entry| entry.place.is_under_way()) {
            if entry.job.service == service && entry.gives_way() {
                continue;
            }
            all += usize::from(entry.job.service == service);
            *of_user.entry(&entry.job.user).or_insert(0) += 1;
            *of_video.entry(&entry.job.video).or_insert(0) += 1;
        }
        let waiting = line.interactive.values().flatten().filter(|id| self.waits(id));
        let mut jobs = waiting.filter_map(|id| self.jobs.get(id)).map(|entry| &entry.job);
        all < self.quotas.service
            && jobs.any(|job| {
                of_user.get(&job.user).is_none_or(|under_way| *under_way < self.quotas.user)
                    && of_video.get(&job.video).is_none_or(|under_way| *under_way < self.quotas.video)
            })
    }

    /// Jobs that wait in slow queues before something that somebody waits for, here or with another coordinator.
    fn in_the_way(&mut self, now: DateTime<Utc>) -> Vec<(JobId, String)> {
        let mut services = self.waited_for();
        services.append(&mut self.waited_for_elsewhere);
        services.retain(|service| self.lines.get_mut(service).is_some_and(|line| line.is_slow(now)));
        if services.is_empty() {
            return Vec::new();
        }
        let in_the_way = |entry: &Entry| entry.gives_way() && services.contains(&entry.job.service);
        self.jobs.iter().filter(|(_, e)| in_the_way(e)).map(|(id, e)| (*id, subject_of(&e.job))).collect()
    }

    /// Moves what may be sent now out of the lines.
    fn pick(&mut self, now: DateTime<Utc>) -> Vec<JobId> {
        while let Some((_, id)) = self.later.first().copied().filter(|(due, _)| *due <= now) {
            self.line_up(id);
        }
        let mut picked = Vec::new();
        for service in Service::ALL {
            let Some(line) = self.lines.get_mut(&service) else { continue };
            // What somebody waits for is sent even where the queue is full: nothing that can wait is in it by now.
            let waited_for = std::mem::take(&mut line.interactive);
            let waited_for = self.pick_from(waited_for, service, Self::may_run, now, &mut picked);
            let Some(line) = self.lines.get_mut(&service) else { continue };
            line.interactive = waited_for;
            let ordinary = std::mem::take(&mut line.ordinary);
            let ordinary = self.pick_from(ordinary, service, Self::may_queue, now, &mut picked);
            if let Some(line) = self.lines.get_mut(&service) {
                line.ordinary = ordinary;
            }
        }
        picked
    }

    /// Moves jobs out of line while there is room, each time the first that may go of the user with the fewest under way,
    /// and gives back who is left.
    fn pick_from(
        &mut self,
        mut queues: HashMap<UserId, VecDeque<JobId>>,
        service: Service,
        has_room: fn(&mut Self, Service, DateTime<Utc>) -> bool,
        now: DateTime<Utc>,
        picked: &mut Vec<JobId>,
    ) -> HashMap<UserId, VecDeque<JobId>> {
        if queues.is_empty() || !has_room(self, service, now) {
            return queues;
        }
        let order = |lines: &Self, user: UserId| Reverse((lines.under_way_here(service, &user), user));
        let mut users: BinaryHeap<_> = queues.keys().map(|user| order(self, user.clone())).collect();
        while has_room(self, service, now)
            && let Some(Reverse((_, user))) = users.pop()
        {
            let Some(queue) = queues.get_mut(&user) else { continue };
            // What ended or was replaced meanwhile is passed over.
            while queue.front().is_some_and(|id| !self.waits(id)) {
                queue.pop_front();
            }
            let next = queue.iter().position(|id| self.may_go(id)).and_then(|at| queue.remove(at));
            if queue.is_empty() {
                queues.remove(&user);
            }
            // Whose jobs may not go now has no turn until some have ended.
            if let Some(id) = next {
                self.place(id, Place::Picked);
                picked.push(id);
                users.push(order(self, user));
            }
        }
        queues
    }

    fn under_way_here(&self, service: Service, user: &UserId) -> usize {
        self.lines.get(&service).and_then(|line| line.under_way_of.get(user).copied()).unwrap_or(0)
    }

    /// Whether one more job of a service may run.
    fn may_run(&mut self, service: Service, _now: DateTime<Utc>) -> bool {
        self.lines.get(&service).is_some_and(|line| line.under_way < self.quotas.service)
    }

    /// Whether one more may also wait in its queue.
    fn may_queue(&mut self, service: Service, now: DateTime<Utc>) -> bool {
        self.may_run(service, now) && self.lines.get_mut(&service).is_some_and(|line| line.queued < line.depth(now))
    }

    fn waits(&self, id: &JobId) -> bool {
        self.jobs.get(id).is_some_and(|entry| entry.place == Place::Waiting)
    }

    /// Whether it waits, and its user and its video may have one more under way.
    fn may_go(&self, id: &JobId) -> bool {
        let Some(Entry { job, place: Place::Waiting }) = self.jobs.get(id) else { return false };
        self.under_way_of_user.get(&job.user).copied().unwrap_or(0) < self.quotas.user
            && self.under_way_of_video.get(&job.video).copied().unwrap_or(0) < self.quotas.video
    }

    /// The message of a job's next sending.
    fn message(&self, id: JobId) -> Option<Outgoing> {
        let job = &self.jobs.get(&id)?.job;
        let send = job.sends + 1;
        // As it was planned, it says that it is sent for the first time.
        let again = (send > 1).then(|| codec::decode::<job::Job>(&job.body).ok()).flatten();
        let payload = match again {
            Some(order) => codec::encode(&job::Job { send, ..order }).ok()?.into(),
            None => job.body.clone(),
        };
        Some(Outgoing {
            subject: subject_of(job),
            message_id: Some(format!("{id}-{}-{send}", job.attempt)),
            headers: Vec::new(),
            payload,
        })
    }

    fn sent(&mut self, ids: &[JobId], now: DateTime<Utc>) {
        for id in ids {
            if let Some(entry) = self.jobs.get_mut(id) {
                entry.job.sends += 1;
                self.unmarked.push_back((now, *id));
            }
            // Its end may have been heard before word of its being stored.
            self.place(*id, Place::Sent { heard: now, with: Holder::Queue });
        }
    }

    /// Jobs that were sent a while ago and have not ended, in which attempt and how often: that is worth writing down. Until
    /// then a restart sends them again under the same message id, and the queue takes them for the repeats that they are.
    fn due_marks(&mut self, now: DateTime<Utc>) -> Vec<SentJob> {
        let mut marks = Vec::new();
        while let Some((_, id)) = self.unmarked.pop_front_if(|(sent, _)| *sent + UNMARKED <= now) {
            marks.extend(self.jobs.get(&id).map(|Entry { job, .. }| SentJob {
                video: job.video,
                id,
                attempt: job.attempt,
                sends: job.sends,
            }));
        }
        marks
    }

    /// Jobs that were not heard of for too long. One of another's partition is forgotten: its end is said there.
    fn silent(&mut self, now: DateTime<Utc>, silence: Duration) -> Vec<(JobId, String)> {
        let silent = |entry: &Entry| match entry.place {
            Place::Sent { heard, with: Holder::Unknown } => heard + SILENCE_AFTER_LOSS <= now,
            Place::Sent { heard, with: Holder::Queue | Holder::Worker } => heard + silence <= now,
            Place::Later(_) | Place::Waiting | Place::Picked => false,
        };
        let silent: Vec<_> =
            self.jobs.iter().filter(|(_, e)| silent(e)).map(|(id, e)| (*id, subject_of(&e.job))).collect();
        let (kept, others): (Vec<_>, Vec<_>) = silent.into_iter().partition(|(id, _)| self.keeps(*id));
        others.into_iter().for_each(|(id, _)| self.end(id));
        kept
    }

    fn any_heard_within(&self, now: DateTime<Utc>, silence: Duration) -> bool {
        self.jobs.values().any(|entry| matches!(entry.place, Place::Sent { heard, .. } if heard + silence > now))
    }

    fn next_due(&self, now: DateTime<Utc>) -> Option<Duration> {
        let due = self.later.first().map(|(due, _)| *due);
        let mark = self.unmarked.front().map(|(sent, _)| *sent + UNMARKED);
        due.into_iter().chain(mark).min().map(|next| (next - now).to_std().unwrap_or_default())
    }

    fn counts(&self) -> Counts {
        let sent = self.lines.values().map(|line| line.under_way).sum();
        Counts { waiting: self.jobs.len() - sent, sent }
    }
}

const fn count(counter: &mut usize, before: bool, now: bool) {
    match (before, now) {
        (false, true) => *counter += 1,
        (true, false) => *counter = counter.saturating_sub(1),
        (true, true) | (false, false) => {}
    }
}

/// The same for one of many, of which those at none are forgotten.
fn count_of<K: Clone + Eq + std::hash::Hash>(counters: &mut HashMap<K, usize>, key: &K, before: bool, now: bool) {
    if before == now {
        return;
    }
    let counter = counters.entry(key.clone()).or_default();
    count(counter, before, now);
    if *counter == 0 {
        counters.remove(key);
    }
}

fn subject_of(job: &PlannedJob) -> String {
    subject::job(job.service, &job.user, job.video, job.id)
}

#[cfg(test)]
mod tests;
