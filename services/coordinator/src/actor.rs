//! One video at a time: load, decide, record, send, answer.
//!
//! An actor is a struct, a loop and a closed list of what can wake it. Its mailbox is fed in stream order; what cannot be
//! recorded yet is tried again in place and holds back only what follows for the same video. Reports that came meanwhile are
//! decided one after the other and recorded together. An actor that hears nothing for a while leaves memory: a paused video
//! costs rows. A step that panics is a fault of ours: it ends as a refusal or as a failed job, is set aside with its story,
//! and the loop goes on.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use messages::command::{Code, Command, Rejection, Via};
use messages::event::{CommandOutcome, Event, Recorded};
use messages::id::{CommandId, JobId, UserId, VideoId};
use messages::job::{self, ClaimReply, Failed, FailureKind, NotWanted, Outcome as _};
use messages::subject::Partition;
use messages::trace::Trace;
use messages::{codec, subject};
use runtime::clock::Clock;
use runtime::trace::{self, Span, SpanKind};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use crate::committer::Committer;
use crate::dispatcher::Dispatcher;
use crate::metrics;
use crate::outbox::{Outbox, Told, dead_letter};
use crate::position::Positions;
use crate::store::{Append, Appended, PlannedJob, Position, Store, StoreError, VideoRow};
use crate::traces::{self, Phases};
use crate::video::{Decision, Input, JobState, Reply, Setup, Video};
use crate::wire::Wire;

/// How long an actor stays in memory without hearing anything. Short, because thousands may come to rest within it; what it
/// knows is a few dozen rows away.
const IDLE: Duration = Duration::from_secs(2);
/// The most reports that are recorded in one append: those of a whole phase, should they come at once.
const TOGETHER: usize = 32;
/// How long to wait before asking the database again.
const PAUSE: Duration = Duration::from_millis(500);

/// What an actor works with.
#[derive(Debug)]
pub struct Surroundings {
    /// The journal.
    pub store: Arc<dyn Store>,
    /// Where appends are handed in.
    pub committer: Committer,
    /// Where events leave.
    pub outbox: Outbox,
    /// Where jobs leave.
    pub dispatcher: Dispatcher,
    /// What new videos are made with.
    pub setup: Setup,
    /// How far commands are recorded.
    pub positions: Arc<Positions>,
    /// Stop hints and purges.
    pub wire: Arc<dyn Wire>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What can wake an actor.
#[derive(Debug)]
pub enum Mail {
    /// Somebody asks for something.
    Command(CommandMail),
    /// A worker reports.
    Report(ReportMail),
    /// Something that was abandoned has been kept for so long. Nobody waits for an answer.
    Collect(Duration),
}

/// A command as it was read.
#[derive(Debug)]
pub struct CommandMail {
    /// Its id.
    pub id: CommandId,
    /// Who asks.
    pub user: UserId,
    /// Through which door.
    pub via: Via,
    /// The last token of its subject.
    pub verb: String,
    /// The body.
    pub body: Bytes,
    /// Where it stands in the stream, and in which stream.
    pub at: Position,
    /// When it was stored, if that was before this reading began: then it may have been decided before a crash.
    pub stored_before: Option<DateTime<Utc>>,
    /// The trace that its sender gave.
    pub trace: Option<Trace>,
}

/// A worker's report and where its answer goes.
#[derive(Debug)]
pub struct ReportMail {
    /// What it says.
    pub input: Input,
    /// Told when it is committed.
    pub reply: oneshot::Sender<Reply>,
}

/// The actors in memory.
#[derive(Debug)]
pub struct Actors {
    mailboxes: Mutex<HashMap<VideoId, mpsc::UnboundedSender<Mail>>>,
    surroundings: Arc<Surroundings>,
}

impl Actors {
    /// None yet.
    pub fn new(surroundings: Arc<Surroundings>) -> Arc<Self> {
        Arc::new(Self { mailboxes: Mutex::default(), surroundings })
    }

    /// Puts mail into a video's mailbox; an actor that is not in memory is started.
    pub fn send(self: &Arc<Self>, video: VideoId, mail: Mail) {
        let mut mailboxes = self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let mail = match mailboxes.get(&video) {
            Some(mailbox) => match mailbox.send(mail) {
                Ok(()) => return,
                Err(mpsc::error::SendError(mail)) => mail,
            },
            None => mail,
        };
        let (mailbox, mails) = mpsc::unbounded_channel();
        // The receiver is in hand, so the first mail cannot be lost.
        let _ = mailbox.send(mail);
        mailboxes.insert(video, mailbox);
        let actor = Actor {
            video,
            state: None,
            unsure: false,
            span: None,
            mails,
            actors: Arc::clone(self),
            around: Arc::clone(&self.surroundings),
        };
        let span = tracing::info_span!("video", video.id = %video);
        tokio::spawn(actor.run().instrument(span));
    }

    /// How many actors are in memory.
    pub fn count(&self) -> usize {
        self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Lets an actor go, unless mail came while it was deciding to.
    fn leave(&self, video: VideoId, mails: &mpsc::UnboundedReceiver<Mail>) -> bool {
        let mut mailboxes = self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = mails.is_empty();
        if quiet {
            mailboxes.remove(&video);
        }
        quiet
    }
}

/// What an actor knows of its video.
#[derive(Debug, Default)]
struct Known {
    video: Option<Video>,
    outcomes: HashMap<(UserId, CommandId), CommandOutcome>,
    /// Kept only while spans are sent.
    phases: Phases,
}

struct Actor {
    video: VideoId,
    /// None until it is loaded, and again after somebody else recorded something.
    state: Option<Known>,
    /// Whether something may be recorded that was never handed on: the fence was lost, perhaps to ourselves.
    unsure: bool,
    /// What is being done; orders and events are part of it.
    span: Option<Span>,
    mails: mpsc::UnboundedReceiver<Mail>,
    actors: Arc<Actors>,
    around: Arc<Surroundings>,
}

impl Actor {
    async fn run(mut self) {
        let clock = Arc::clone(&self.around.clock);
        let mut mail = None;
        loop {
            self.span = None;
            let next = match mail.take() {
                Some(mail) => Some(Some(mail)),
                None => clock.within(IDLE, self.mails.recv()).await,
            };
            match next {
                Some(Some(Mail::Command(mail))) => {
                    self.span = Some(command_span(self.video, &mail));
                    self.command(mail).await;
                }
                Some(Some(Mail::Report(first))) => {
                    let mut reports = vec![first];
                    while reports.len() < TOGETHER
                        && mail.is_none()
                        && let Ok(more) = self.mails.try_recv()
                    {
                        match more {
                            Mail::Report(report) => reports.push(report),
                            other => mail = Some(other),
                        }
                    }
                    self.reports(reports).await;
                }
                Some(Some(Mail::Collect(keep_for))) => self.retention(keep_for).await,
                Some(None) => return,
                None => {
                    self.make_sure().await;
                    if self.actors.leave(self.video, &self.mails) {
                        return;
                    }
                }
            }
        }
    }

    async fn command(&mut self, mail: CommandMail) {
        if let Err(reason) = contained(self.answer(&mail)).await {
            self.forget();
            let about = subject::command(&mail.user, self.video, &mail.verb);
            self.fault(&about, &mail.body, &reason).await;
            self.refuse_for_good(&mail).await;
        }
        self.around.positions.recorded(Partition::of(self.video), mail.at);
    }

    /// Decides a command and records its outcome, or gives the reason why we cannot.
    async fn answer(&mut self, mail: &CommandMail) -> Result<(), String> {
        let CommandMail { id, user, via, verb, body, stored_before, trace, .. } = mail;
        let parsed = Command::parse(verb, body);
        let name = (user.clone(), id.clone());
        let mut patience = Patience::default();
        let mut tried = false;
        loop {
            if let Some(outcome) = self.known().await.outcomes.get(&name).cloned() {
                // What was stored before the outcome is not asked again, only read again: its sender is told from the
                // journal, once. So is one whose outcome we recorded just now without learning of it.
                if !tried && stored_before.is_none_or(|stored| stored > outcome.time()) {
                    self.around.outbox.publish_once(user, &self.video.to_string(), &outcome);
                }
                return Ok(());
            }
            let now = self.around.clock.now();
            let decision = match &parsed {
                Ok(command) => {
                    let command = Box::new(command.clone());
                    self.decide(&Input::Command { id: id.clone(), user: user.clone(), via: *via, command }, now).await
                }
                Err(rejection) => self.refuse(rejection.clone()).await,
            };
            let outcome =
                outcome_of(&decision.reply, id, now, *trace).ok_or("it was answered as if it were a report")?;
            let jobs = self.jobs_of(&decision, now)?;
            match self.record((decision, jobs), Some(outcome.clone()), user).await {
                Ok(Appended::Committed) => {
                    metrics::answered(verb, &outcome);
                    return Ok(());
                }
                Ok(Appended::Lost) => self.forget(),
                Err(error) => {
                    self.forget();
                    patience.lose(&error, self.around.clock.as_ref()).await;
                }
            }
            tried = true;
        }
    }

    /// Records that a command is refused for a fault of ours, without looking at its video.
    async fn refuse_for_good(&mut self, mail: &CommandMail) {
        let mut patience = Patience::default();
        loop {
            let outcome = rejected(&mail.id, internal(), self.around.clock.now(), mail.trace);
            let nothing = Decision::unchanged(None, Reply::Rejected(internal()));
            match self.record((nothing, Jobs::default()), Some(outcome.clone()), &mail.user).await {
                Ok(_) => {
                    metrics::answered(&mail.verb, &outcome);
                    return;
                }
                Err(error) => patience.lose(&error, self.around.clock.as_ref()).await,
            }
        }
    }

    /// Takes in what several workers say while the actor was busy. Each is decided upon what those before it changed, and
    /// all of it is recorded at once.
    async fn reports(&mut self, mails: Vec<ReportMail>) {
        if mails.len() > 1 {
            match contained(self.take_together(&mails)).await {
                Ok(answers) => {
                    for (ReportMail { reply, .. }, answer) in mails.into_iter().zip(answers) {
                        // As for a single one: whoever has given up asks again.
                        let _ = answer.map(|answer| reply.send(answer));
                    }
                    return;
                }
                // It is found out which one it was.
                Err(_) => self.forget(),
            }
        }
        for mail in mails {
            self.span = report_span(&mail.input);
            self.report(mail).await;
        }
    }

    /// Decides reports one after the other and records them as one; none for those that nobody waits for any more.
    async fn take_together(&mut self, mails: &[ReportMail]) -> Result<Vec<Option<Reply>>, String> {
        let mut patience = Patience::default();
        loop {
            let now = self.around.clock.now();
            let (mut answers, mut steps, mut jobs) = (Vec::new(), Vec::new(), Jobs::default());
            let mut all = Decision::unchanged(self.known().await.video.take(), Reply::Recorded);
            for ReportMail { input, reply } in mails {
                if reply.is_closed() {
                    answers.push(None);
                    continue;
                }
                let decision = self.decide_upon(all.video.take(), input, now);
                answers.push(Some(report_answer(&decision.reply)?));
                self.span = report_span(input);
                jobs.follow(self.jobs_of(&decision, now)?);
                steps.push(Step { span: self.span.take(), events: decision.events.len() });
                all.events.extend(decision.events);
                all.spent.extend(decision.spent);
                all.video = decision.video;
            }
            if steps.is_empty() {
                self.known().await.video = all.video;
                return Ok(answers);
            }
            let owner = all.video.as_ref().map(|video| video.user.clone()).unwrap_or_else(UserId::local);
            match self.record_steps((all, jobs), None, &owner, &mut steps).await {
                Ok(Appended::Committed) => return Ok(answers),
                Ok(Appended::Lost) => self.forget(),
                Err(error) => {
                    self.forget();
                    patience.lose(&error, self.around.clock.as_ref()).await;
                }
            }
        }
    }

    async fn report(&mut self, mail: ReportMail) {
        let ReportMail { input, reply } = mail;
        let answer = match contained(self.take(&input, || reply.is_closed())).await {
            Ok(answer) => answer,
            Err(reason) => {
                self.forget();
                self.fault(&format!("video {} report", self.video), format!("{input:?}").as_bytes(), &reason).await;
                self.give_up(&input).await
            }
        };
        // Whoever asked may be gone by now; what is recorded is recorded. A worker that has given up waiting asks again.
        if let Some(answer) = answer {
            let _ = reply.send(answer);
        }
    }

    /// Decides a report and records what it means, or gives the reason why we cannot; no answer when nobody waits for it
    /// any more.
    async fn take(&mut self, input: &Input, gone: impl Fn() -> bool) -> Result<Option<Reply>, String> {
        let mut patience = Patience::default();
        while !gone() {
            let now = self.around.clock.now();
            let decision = self.decide(input, now).await;
            let answer = report_answer(&decision.reply)?;
            // Also when it changes nothing: somebody who was frozen may know an old journal, and its answer would have a
            // worker throw its work away.
            let jobs = self.jobs_of(&decision, now)?;
            let owner = decision.video.as_ref().map(|video| video.user.clone()).unwrap_or_else(UserId::local);
            match self.record((decision, jobs), None, &owner).await {
                Ok(Appended::Committed) => return Ok(Some(answer)),
                Ok(Appended::Lost) => self.forget(),
                Err(error) => {
                    self.forget();
                    patience.lose(&error, self.around.clock.as_ref()).await;
                }
            }
        }
        Ok(None)
    }

    /// Ends the job of a report that we cannot decide, so that a person sees it and nobody sends it again and again.
    async fn give_up(&mut self, input: &Input) -> Option<Reply> {
        let failed = Failed { kind: FailureKind::GiveUp, reason: internal().reason, retry_after_s: None };
        let (failed, answer) = match input {
            Input::Done(report) => (report.with(report.attempt, failed), Reply::NotWanted(NotWanted::UnknownJob)),
            Input::Failed(report) => (report.with(report.attempt, failed), Reply::NotWanted(NotWanted::UnknownJob)),
            Input::Submitted(report) => (report.with(report.attempt, failed), Reply::NotWanted(NotWanted::UnknownJob)),
            Input::Claim(report) => {
                let refused = ClaimReply::Refused(NotWanted::UnknownJob);
                (report.with(report.attempt, failed), Reply::Claim(refused))
            }
            Input::Command { .. } | Input::Collect { .. } => return None,
        };
        let (job, user) = (failed.job, failed.user.clone());
        if let Err(reason) = contained(self.take(&Input::Failed(failed), || false)).await {
            self.forget();
            self.fault(&format!("video {} report", self.video), &[], &reason).await;
            // The video cannot even take a failure: only its row goes.
            let nothing = Decision::unchanged(None, Reply::Recorded);
            let ended = Jobs { ended: vec![job], ..Jobs::default() };
            if let Err(error) = self.record((nothing, ended), None, &user).await {
                tracing::warn!(error = %error, job.id = %job, "a job that cannot be decided stays planned");
            }
        }
        Some(answer)
    }

    /// What cannot be decided or recorded now is left to the next sweep.
    async fn retention(&mut self, keep_for: Duration) {
        if let Err(reason) = contained(self.collect(keep_for)).await {
            self.forget();
            self.fault(&format!("video {} collect", self.video), &[], &reason).await;
        }
    }

    async fn collect(&mut self, keep_for: Duration) -> Result<(), String> {
        let decision = self.decide(&Input::Collect { keep_for }, self.around.clock.now()).await;
        let owner = decision.video.as_ref().map(|video| video.user.clone());
        let Some(owner) = owner.filter(|_| !decision.events.is_empty()) else {
            self.known().await.video = decision.video;
            return Ok(());
        };
        match self.record((decision, Jobs::default()), None, &owner).await {
            Ok(Appended::Committed) => {}
            Ok(Appended::Lost) => self.forget(),
            Err(error) => {
                self.forget();
                tracing::debug!(error = %error, "retention waits for the database");
            }
        }
        Ok(())
    }

    /// What the journal says, read when it is not known.
    async fn known(&mut self) -> &mut Known {
        let mut patience = Patience::default();
        while self.state.is_none() {
            match self.load().await {
                Ok(known) => self.state = Some(known),
                Err(error) => patience.lose(&error, self.around.clock.as_ref()).await,
            }
        }
        // Set by the loop above.
        self.state.get_or_insert_with(Known::default)
    }

    async fn load(&mut self) -> Result<Known, StoreError> {
        let loaded = self.around.store.load(self.video).await?;
        let video = loaded.video(self.video);
        if self.unsure {
            self.hand_on().await?;
        }
        let owner = video.as_ref().map(|video| &video.user).filter(|_| trace::is_on());
        let phases = owner.map(|owner| traces::of_journal(self.video, owner, &loaded.journal, &loaded.outcomes));
        Ok(Known { video, outcomes: loaded.outcomes, phases: phases.unwrap_or_default() })
    }

    /// Hands on whatever is recorded and was not, as far as anybody knows. Twice is harmless. Another owner does it for
    /// itself.
    async fn hand_on(&mut self) -> Result<(), StoreError> {
        if self.around.positions.keeps(Partition::of(self.video)) {
            let (unpublished, jobs) = self.around.store.unfinished(self.video).await?;
            unpublished.iter().for_each(|recorded| self.around.outbox.publish(recorded));
            self.around.dispatcher.settle(self.video, jobs);
        }
        self.unsure = false;
        Ok(())
    }

    /// Drops what is known: the journal may say otherwise by now, and may have it from us.
    fn forget(&mut self) {
        self.state = None;
        self.unsure = true;
    }

    /// Nothing that was recorded is forgotten with the actor.
    async fn make_sure(&mut self) {
        let mut patience = Patience::default();
        while self.unsure {
            if let Err(error) = self.hand_on().await {
                patience.lose(&error, self.around.clock.as_ref()).await;
            }
        }
    }

    /// The pure decision upon what is recorded. The video is in the decision until that is recorded, or else forgotten.
    async fn decide(&mut self, input: &Input, now: DateTime<Utc>) -> Decision {
        let video = self.known().await.video.take();
        self.decide_upon(video, input, now)
    }

    fn decide_upon(&self, video: Option<Video>, input: &Input, now: DateTime<Utc>) -> Decision {
        let began = Instant::now();
        let decision = Video::decide(video, self.video, input, &self.around.setup, now);
        metrics::decided(began.elapsed());
        decision
    }

    /// The decision to change nothing.
    async fn refuse(&mut self, rejection: Rejection) -> Decision {
        let video = self.known().await.video.take();
        Decision::unchanged(video, Reply::Rejected(rejection))
    }

    /// What a decision orders and ends. An order without inputs is a fault of ours, found before it is recorded.
    fn jobs_of(&self, decision: &Decision, now: DateTime<Utc>) -> Result<Jobs, String> {
        let mut jobs = Jobs::default();
        let Some(video) = &decision.video else { return Ok(jobs) };
        let traces = self.traces_of(&decision.events);
        for (nth, recorded) in decision.events.iter().enumerate() {
            let interactive = matches!(recorded.event, Event::ArtifactOrdered { by: Some(_), .. });
            for id in ordered_by(&recorded.event) {
                // What was ordered and cancelled in one decision is not sent.
                if video.jobs.get(&id).is_none_or(|job| job.state != JobState::Planned) {
                    continue;
                }
                let not_before = video.jobs.get(&id).map_or(now, |job| job.not_before);
                let order = video.work_order(id).ok_or_else(|| format!("job {id} has no inputs"))?;
                let trace = traces.get(nth).copied();
                let order = job::Job { trace, planned_at: Some(not_before.max(now)), ..order };
                let body = codec::encode(&order).map_err(|error| error.to_string())?;
                jobs.plan.push(PlannedJob {
                    id,
                    video: self.video,
                    user: video.user.clone(),
                    service: order.work.service(),
                    attempt: order.attempt,
                    sends: 0,
                    interactive,
                    not_before,
                    body: body.into(),
                });
            }
            match &recorded.event {
                // One whose fate is unknown is planned again when somebody resolves it, if then.
                Event::JobDone { job, .. }
                | Event::JobFailed { job, gave_up: true, .. }
                | Event::JobUnknown { job, .. } => jobs.ended.push(*job),
                Event::BranchCancelled { jobs: stopped, .. } => jobs.stopped.extend(stopped),
                // Also those that were cancelled before: to be told so twice does no harm.
                Event::VideoDeleted { .. } => {
                    let cancelled = video.jobs.iter().filter(|(_, job)| job.state == JobState::Cancelled);
                    jobs.stopped.extend(cancelled.map(|(id, _)| *id));
                }
                _ => {}
            }
        }
        jobs.ended.extend(&jobs.stopped);
        Ok(jobs)
    }

    /// Records a decision that one input led to.
    async fn record(
        &mut self,
        (decision, jobs): (Decision, Jobs),
        outcome: Option<CommandOutcome>,
        user: &UserId,
    ) -> Result<Appended, StoreError> {
        let mut step = [Step { span: self.span.take(), events: decision.events.len() }];
        let recorded = self.record_steps((decision, jobs), outcome, user, &mut step).await;
        let [step] = step;
        // Still there when nothing was recorded: it is done again.
        self.span = step.span.or(self.span.take());
        recorded
    }

    /// Record, then send: jobs and stop hints, then events and outcome. Whoever sent the inputs is answered after this.
    async fn record_steps(
        &mut self,
        (decision, jobs): (Decision, Jobs),
        outcome: Option<CommandOutcome>,
        user: &UserId,
        steps: &mut [Step],
    ) -> Result<Appended, StoreError> {
        let row = decision.video.as_ref().filter(|_| !decision.events.is_empty()).map(row_of);
        let append = Arc::new(Append {
            video: self.video,
            user: user.clone(),
            based_on: self.state.as_ref().map(|_| decision.based_on()),
            garbage: garbage_of(&decision),
            events: decision.events,
            row,
            plan: jobs.plan,
            ended: jobs.ended,
            spent: decision.spent,
            outcome,
        });
        if self.around.committer.append(Arc::clone(&append)).await? == Appended::Lost {
            metrics::lost_fence();
            return Ok(Appended::Lost);
        }
        let Append { events, plan, ended, spent, outcome, .. } = append.as_ref();
        if let Some(video) = &decision.video {
            metrics::booked(spent, &video.catalogue);
        }
        self.log(events);
        if !ended.is_empty() {
            self.around.dispatcher.end(ended.clone());
        }
        if let Some(user) = decision.video.as_ref().map(|video| &video.user).filter(|_| !jobs.stopped.is_empty()) {
            let named = |id: JobId| (id, subject::job(id.artifact.service(), user, self.video, id));
            self.around.dispatcher.stop(jobs.stopped.into_iter().map(named).collect());
        }
        // As in the journal: what ends and is ordered again in one decision is ordered.
        let departure = (!plan.is_empty()).then(|| self.around.dispatcher.plan(plan.clone()));
        let mut told = Vec::with_capacity(events.len());
        let mut rest = events.as_slice();
        for Step { span, events } in steps {
            let (own, later) = rest.split_at_checked(*events).unwrap_or((rest, &[]));
            rest = later;
            self.span = span.take();
            let traces = self.traces_of(own);
            self.tell_what_follows(own, &traces);
            told.extend((0..own.len()).map(|nth| traces.get(nth).copied()));
        }
        self.around.outbox.tell(Told { append: Arc::clone(&append), traces: told, jobs: departure });
        if let Some(known) = &mut self.state {
            known.video = decision.video;
            let named = |outcome: &CommandOutcome| ((user.clone(), outcome.command_id().clone()), outcome.clone());
            known.outcomes.extend(outcome.as_ref().map(named));
        }
        Ok(Appended::Committed)
    }

    /// The trace of each event; none for what nobody asked for.
    fn traces_of(&self, events: &[Recorded]) -> Vec<Trace> {
        self.span.as_ref().map(|span| traces::of_events(events, span.context())).unwrap_or_default()
    }

    /// Links what is being done to the phases that it goes on from. A phase that a rule started begins a trace here.
    fn tell_what_follows(&mut self, events: &[Recorded], traces: &[Trace]) {
        let (Some(span), Some(known)) = (&mut self.span, &mut self.state) else { return };
        if !trace::is_on() {
            return;
        }
        let followed = traces::followed(events, &known.phases);
        let by_rule = traces.iter().find(|trace| trace.trace_id != span.context().trace_id);
        let mut rule = by_rule.map(|at| Span::root(SpanKind::Internal, *at, || "approve by rule".into()));
        followed.into_iter().for_each(|trace| rule.as_mut().unwrap_or(span).follows(trace));
        if let Some(rule) = &mut rule {
            rule.follows(span.context());
        }
        traces::enter(&mut known.phases, events, traces);
    }

    fn log(&self, events: &[Recorded]) {
        for recorded in events {
            metrics::recorded(recorded.event.name());
            tracing::info!(seq = recorded.seq, event = recorded.event.name(), "recorded");
        }
    }

    /// A fault of ours: logged, and set aside with its story.
    async fn fault(&self, about: &str, body: &[u8], reason: &str) {
        tracing::error!(about, reason, "a decision failed and was set aside");
        self.around.outbox.publish_other(dead_letter("coordinator", about, reason, body, self.around.clock.now()));
    }
}

/// What a decision orders and ends.
#[derive(Debug, Clone, Default)]
struct Jobs {
    plan: Vec<PlannedJob>,
    ended: Vec<JobId>,
    stopped: Vec<JobId>,
}

impl Jobs {
    /// Adds what a later decision orders and ends: what it ends is not sent, whoever ordered it.
    fn follow(&mut self, later: Self) {
        self.plan.retain(|job| !later.ended.contains(&job.id));
        self.plan.extend(later.plan);
        self.ended.extend(later.ended);
        self.stopped.extend(later.stopped);
    }
}

/// One input's part of what is recorded together.
#[derive(Debug)]
struct Step {
    /// What was done about it; its events are part of that.
    span: Option<Span>,
    /// How many events came of it.
    events: usize,
}

/// What a worker is told.
fn report_answer(reply: &Reply) -> Result<Reply, String> {
    match reply {
        Reply::Recorded => Ok(Reply::Recorded),
        Reply::NotWanted(why) => Ok(Reply::NotWanted(*why)),
        Reply::Claim(reply) => Ok(Reply::Claim(reply.clone())),
        Reply::Answer { .. } | Reply::Rejected(_) => Err("it was answered as if it were a command".into()),
    }
}

/// The jobs that an event sends on their way.
fn ordered_by(event: &Event) -> Vec<JobId> {
    match event {
        Event::PhaseStarted { jobs, .. } => jobs.clone(),
        Event::JobDone { starts, .. } => starts.clone(),
        Event::JobRetried { job, .. } | Event::ArtifactOrdered { job, .. } => vec![*job],
        _ => Vec::new(),
    }
}

/// The objects that a decision lets go of.
fn garbage_of(decision: &Decision) -> Vec<String> {
    let Some(video) = &decision.video else { return Vec::new() };
    let collected = decision.events.iter().filter_map(|recorded| match &recorded.event {
        Event::CheckpointsCollected { artifacts, .. } => Some(video.garbage(artifacts)),
        _ => None,
    });
    collected.flatten().collect()
}

fn row_of(video: &Video) -> VideoRow {
    VideoRow {
        catalogue: Arc::clone(&video.catalogue),
        status: video.status(),
        progress: video.progress(),
        title: video.settings.title.clone(),
        prompt: video.request.prompt.clone(),
        created_at: video.created_at,
        updated_at: video.updated_at,
        deleted: video.deleted.clone(),
        forgotten_since: video.forgotten_since(),
    }
}

/// The handling of a command: the first of its trace, unless its sender has begun one.
fn command_span(video: VideoId, mail: &CommandMail) -> Span {
    let template = || subject::command_template(&mail.verb);
    let name = || format!("process {}", template()).into();
    let own = Trace::of_command(video, &mail.id);
    let mut span = match mail.trace.filter(|given| (given.trace_id, given.span_id) != (own.trace_id, own.span_id)) {
        Some(given) => Span::handling(given, &mail.id, name),
        None => Span::root(SpanKind::Consumer, own, name),
    };
    span.say_message("process", template);
    span.say("dailies.video.id", || video.to_string().into());
    span.say("dailies.command.id", || mail.id.to_string().into());
    span
}

/// The handling of a report, if its job has a trace.
fn report_span(input: &Input) -> Option<Span> {
    let (said, name, job) = match input {
        Input::Done(report) => (report.trace, job::Done::NAME, report.job),
        Input::Failed(report) => (report.trace, job::Failed::NAME, report.job),
        Input::Claim(report) => (report.trace, job::Claim::NAME, report.job),
        Input::Submitted(report) => (report.trace, job::Submitted::NAME, report.job),
        Input::Command { .. } | Input::Collect { .. } => return None,
    };
    let template = || subject::outcome_template(name);
    let mut span = Span::handling(said?, "handled", || format!("process {}", template()).into());
    span.say_message("process", template);
    span.say("dailies.job.id", || job.to_string().into());
    Some(span)
}

fn outcome_of(reply: &Reply, id: &CommandId, time: DateTime<Utc>, trace: Option<Trace>) -> Option<CommandOutcome> {
    match reply {
        Reply::Answer { answer, first_command_id } => Some(CommandOutcome::CommandAnswered {
            command_id: id.clone(),
            first_command_id: first_command_id.clone().unwrap_or_else(|| id.clone()),
            answer: answer.clone(),
            time,
            trace,
        }),
        Reply::Rejected(rejection) => Some(rejected(id, rejection.clone(), time, trace)),
        Reply::Recorded | Reply::NotWanted(_) | Reply::Claim(_) => None,
    }
}

/// A refusal as it is published.
pub fn rejected(id: &CommandId, rejection: Rejection, time: DateTime<Utc>, trace: Option<Trace>) -> CommandOutcome {
    CommandOutcome::CommandRejected { command_id: id.clone(), rejection, time, trace }
}

fn internal() -> Rejection {
    Rejection::new(Code::Internal, "this is a fault of ours; it was set aside for its developers")
}

/// A step that panicked is one that failed: what it was about is read anew.
async fn contained<T>(step: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    AssertUnwindSafe(step).catch_unwind().await.unwrap_or_else(|_| Err("it panicked".to_owned()))
}

/// Asking the database again: a pause each time, one line in the log.
#[derive(Debug, Default)]
struct Patience {
    lost: u32,
}

impl Patience {
    async fn lose(&mut self, error: &StoreError, clock: &dyn Clock) {
        self.lost += 1;
        if self.lost == 1 {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(error = %error, cause, "an input waits for the database");
        }
        clock.sleep(PAUSE * self.lost.min(10)).await;
    }
}
