//! One delivery from the queue to its acknowledgement.
//!
//! The order is the crash story: outputs, then the record of what was paid for, then the report, then the acknowledgement.
//! Whoever dies in between is followed by somebody who finds what is there already and goes on from it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use messages::artifact::{Digest, MediaType};
use messages::codec;
use messages::job::{Done, Failed, FailureKind, Job, Returned};
use messages::money::Usd;
use messages::subject;
use messages::trace::Trace;
use tokio::sync::watch;
use tracing::Instrument as _;

use super::desk::Subject;
use super::metrics::Taken;
use super::ports::Delivery;
use super::running::{Cause, Entry};
use super::slots::{PATIENCE, Replica};
use super::{Outcome, Task, dead_letter, metrics, pulse};
use crate::artifacts::{ObjectMeta, PutOnce};
use crate::backoff::Backoff;
use crate::job_error::JobError;
use crate::trace::Span;

/// The delivery of one send at which a job counts as one that kills its workers: nothing but a crash delivers again, and
/// what was handed back does not count. A network that is away for longer than the ack wait cannot be told from a crash.
const CRASHED: u64 = 4;
/// How long a record is tried to be written before the job is given to the next attempt.
const RECORDING: Duration = Duration::from_secs(60);
/// When a job that was handed back comes to somebody else.
const HANDED_BACK: Duration = Duration::from_secs(1);
/// When a job that could not even be set aside is tried again.
const SET_ASIDE_LATER: Duration = Duration::from_secs(30);

/// What such a note says; that it is there is all that counts.
const NOTE: &[u8] = b"{}";

/// What becomes of a job.
enum Verdict {
    Done(Done),
    /// It is done, and a coordinator has recorded it.
    Heard,
    Failed(Failed),
    Returned,
}

impl Verdict {
    /// As it is counted.
    const fn name(&self) -> &'static str {
        match self {
            Self::Done(_) | Self::Heard => "done",
            Self::Failed(failed) => match failed.kind {
                FailureKind::RetryLater => "retry_later",
                FailureKind::GiveUp => "give_up",
                FailureKind::Cancelled => "cancelled",
                FailureKind::Crashed => "crashed",
                FailureKind::NeedsUpgrade => "needs_upgrade",
            },
            Self::Returned => "returned",
        }
    }
}

impl Replica {
    /// Brings one delivery to its end, and gives it back when it is to be finished: its outcome is committed, so that a
    /// finish that is lost only makes somebody report it again.
    pub async fn attend(&self, delivery: Arc<dyn Delivery>) -> Option<Arc<dyn Delivery>> {
        match codec::decode::<Job>(delivery.payload()) {
            Ok(job) => {
                let span = tracing::info_span!(
                    "job",
                    video.id = %job.video,
                    phase = job.id.artifact.phase().name(),
                    job.id = %job.id,
                    attempt = job.attempt,
                    send = job.send,
                    trace = job.trace.map(tracing::field::display),
                );
                self.attend_job(delivery, Arc::new(job)).instrument(span).await
            }
            Err(error) => self.attend_unreadable(delivery, &crate::service::sentence(&error)).await,
        }
    }

    async fn attend_job(&self, delivery: Arc<dyn Delivery>, job: Arc<Job>) -> Option<Arc<dyn Delivery>> {
        let mut about = Subject::from(job.as_ref());
        let handled = job.trace.map(|trace| self.handled(trace, delivery.as_ref(), &job));
        about.trace = handled.as_ref().map(Span::context);
        let progress = watch::Sender::new(0.0);
        let beating = pulse::beat(delivery.as_ref(), &self.desk, &about, progress.subscribe());
        let heard = tokio::select! {
            biased;
            heard = self.conclude(delivery.as_ref(), &about, job, progress, handled) => heard,
            never = beating => match never {},
        };
        heard.then_some(delivery)
    }

    /// Brings a job to its end, and says whether a coordinator has it.
    async fn conclude(
        &self,
        delivery: &dyn Delivery,
        about: &Subject,
        job: Arc<Job>,
        progress: watch::Sender<f64>,
        mut handled: Option<Span>,
    ) -> bool {
        let taken = self.taken(delivery, &job);
        let verdict = self.verdict(delivery, about, &job, progress).await;
        let outcome = verdict.name();
        if let Some(handled) = &mut handled {
            handled.say("dailies.job.outcome", || outcome.into());
            if let Verdict::Failed(failed) = &verdict {
                handled.fail(|| failed.reason.clone());
            }
        }
        let heard = self.report(about, verdict).await;
        taken.ended(outcome);
        if !heard {
            // Nobody heard it, and there is no time left: whoever gets it next finds the record, if there is one.
            self.note_handed_back(about, handed_back_key(&job, delivery.deliveries())).await;
            delivery.hand_back(HANDED_BACK).await;
        }
        heard
    }

    /// The handling of one delivery, as a part of the trace of what ordered the job.
    fn handled(&self, trace: Trace, delivery: &dyn Delivery, job: &Job) -> Span {
        let template = || subject::job_template(self.parts.service);
        let part = format_args!("{}.{}.{}.{}", job.id, job.attempt, job.send, delivery.deliveries());
        let mut span = Span::handling(trace, part, || format!("process {}", template()).into());
        span.say_message("process", template);
        span.say("dailies.video.id", || job.video.to_string().into());
        span.say("dailies.job.id", || job.id.to_string().into());
        span.say("dailies.job.attempt", || i64::from(job.attempt).into());
        span.say("dailies.worker", || self.parts.instance.clone().into());
        span
    }

    /// Counts a job from now on, with how long it has waited.
    fn taken(&self, delivery: &dyn Delivery, job: &Job) -> Taken {
        let now = self.parts.clock.now();
        let since = |time: DateTime<Utc>| (now - time).to_std().unwrap_or_default();
        // A repeat has waited for somebody else to die, which says nothing about the queue.
        let queued = delivery.sent_at().filter(|_| delivery.deliveries() == 1).map(since);
        let planned = job.planned_at.filter(|_| delivery.deliveries() == 1 && job.send == 1).map(since);
        metrics::taken(self.parts.service, delivery.deliveries(), queued, planned)
    }

    async fn verdict(
        &self,
        delivery: &dyn Delivery,
        about: &Subject,
        job: &Arc<Job>,
        progress: watch::Sender<f64>,
    ) -> Verdict {
        // Nobody had the first delivery of a job before. Where that is mistaken, the first to be heard or recorded wins.
        let first = (job.attempt, job.send, delivery.deliveries()) == (1, 1, 1);
        match if first { Ok(None) } else { self.find_record(job).await } {
            Ok(Some(done)) => {
                tracing::info!("the job was done before");
                return Verdict::Done(done);
            }
            Ok(None) => {}
            Err(error) => return Verdict::Failed(error.to_failed()),
        }
        if delivery.deliveries() >= CRASHED
            && delivery.deliveries() - self.handed_back(job, delivery.deliveries()).await >= CRASHED
        {
            let reason = format!("{} workers took this job and were gone before they answered", CRASHED - 1);
            tracing::error!(deliveries = delivery.deliveries(), "a job kills its workers");
            // The report says the same, so a letter that cannot be stored must not hold it up.
            self.set_aside(delivery, reason.clone()).await;
            return Verdict::Failed(Failed { kind: FailureKind::Crashed, reason, retry_after_s: None });
        }
        if self.shutdown.is_cancelled() {
            return Verdict::Returned;
        }
        if job.work.service() != self.parts.service {
            let reason =
                format!("a job of the {} service came to the {} service", job.work.service(), self.parts.service);
            self.set_aside(delivery, reason.clone()).await;
            return Verdict::Failed(Failed { kind: FailureKind::GiveUp, reason, retry_after_s: None });
        }
        let entry = self.running.enter(job.id);
        let outcome = match self.make(&entry, job, progress).await {
            Ok(outcome) => self.keep(about, job, Done { made: outcome.made, spent: outcome.spent }).await,
            Err(error) => Err(error),
        };
        match (outcome, entry.cause()) {
            (Ok(verdict), _) => verdict,
            // A person has to act on it, whoever asked for a stop meanwhile.
            (Err(error @ JobError::GiveUp { .. }), _) | (Err(error), None) => Verdict::Failed(error.to_failed()),
            (Err(_), Some(Cause::NotWanted)) => Verdict::Failed(JobError::Cancelled.to_failed()),
            (Err(_), Some(Cause::Late)) => {
                let reason = format!("it was not done within {} s", job.deadline_s);
                Verdict::Failed(JobError::retry_later(reason).to_failed())
            }
            (Err(_), Some(Cause::Stopping)) => Verdict::Returned,
        }
    }

    /// Runs the handler, in time or not.
    async fn make(&self, entry: &Entry, job: &Arc<Job>, progress: watch::Sender<f64>) -> Result<Outcome, JobError> {
        let task = Task {
            progress,
            desk: Some(self.desk.clone()),
            ..Task::new(Arc::clone(job), self.parts.objects.clone(), entry.token().clone())
        };
        let handler = self.parts.handler.clone();
        let handling = async move {
            let booked = task.book_local().await?;
            let mut outcome = handler.handle(&task).await?;
            outcome.spent.extend(booked);
            Ok(outcome)
        };
        let mut handling = self.handlers.spawn(handling.in_current_span());

        let deadline = Duration::from_secs(u64::from(job.deadline_s.max(1)));
        let ended = tokio::select! {
            ended = &mut handling => Some(ended),
            () = self.parts.clock.sleep(deadline) => {
                entry.stop(Cause::Late);
                None
            }
            () = entry.token().cancelled() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => tokio::select! {
                ended = &mut handling => ended,
                () = self.parts.clock.sleep(PATIENCE) => {
                    tracing::warn!("a handler does not stop when asked and is abandoned");
                    handling.abort();
                    return Err(JobError::Cancelled);
                }
            },
        };
        match ended {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => {
                let reason = spoken(error.into_panic().as_ref());
                tracing::error!(reason, "a handler panicked");
                Err(JobError::give_up(format!("the worker has a defect and stopped at: {reason}")))
            }
            Err(_) => Err(JobError::Cancelled),
        }
    }

    /// Leaves word for the next that this delivery was no crash. Word that cannot be left costs one of three tries.
    async fn note_handed_back(&self, about: &Subject, key: String) {
        let meta = ObjectMeta {
            media_type: MediaType::Json,
            sha256: Digest::of(NOTE),
            size: NOTE.len() as u64,
            job: about.id.to_string(),
        };
        let noted = self.parts.objects.put_once(&key, NOTE.to_vec(), &meta);
        tokio::select! {
            noted = noted => if let Err(error) = noted {
                tracing::debug!(error = %error, "a job that is handed back will look like one that crashed");
            },
            () = self.parts.clock.sleep(PATIENCE) => {}
        }
    }

    /// How many of the deliveries before this one were handed back.
    async fn handed_back(&self, job: &Job, deliveries: u64) -> u64 {
        let mut handed_back = 0;
        for delivery in 1..deliveries {
            let noted = self.parts.objects.get(&handed_back_key(job, delivery)).await;
            handed_back += u64::from(matches!(noted, Ok(Some(_))));
        }
        handed_back
    }

    async fn find_record(&self, job: &Job) -> Result<Option<Done>, JobError> {
        let key = job.record_key();
        let Some(bytes) = self.parts.objects.get(&key).await? else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| JobError::give_up(format!("the record `{key}` is not readable: {error}")))
    }

    /// Sees to it that a result is not lost with us. What costs nothing is safe as soon as a coordinator has it, so that its
    /// record is only written where none answers at once; what was paid for is on record before anybody is told.
    async fn keep(&self, about: &Subject, job: &Job, done: Done) -> Result<Verdict, JobError> {
        if job.price == Usd::ZERO && done.spent.is_empty() && self.desk.report_once(about, &done).await {
            return Ok(Verdict::Heard);
        }
        self.record(job, done).await.map(Verdict::Done)
    }

    /// Writes the record. The first one is the result: who comes second takes it for its own.
    async fn record(&self, job: &Job, done: Done) -> Result<Done, JobError> {
        let bytes = serde_json::to_vec(&done)
            .map_err(|error| JobError::give_up(format!("the result cannot be written: {error}")))?;
        let meta = ObjectMeta {
            media_type: MediaType::Json,
            sha256: Digest::of(&bytes),
            size: bytes.len() as u64,
            job: job.id.to_string(),
        };
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        let mut waited = Duration::ZERO;
        loop {
            let error = match self.parts.objects.put_once(&job.record_key(), bytes.clone(), &meta).await {
                Ok(PutOnce::Stored) => return Ok(done),
                Ok(PutOnce::AlreadyThere) => match self.find_record(job).await {
                    Ok(Some(first)) => return Ok(first),
                    Ok(None) => JobError::retry_later("the record of this job was removed"),
                    Err(error) => error,
                },
                Err(error) => error.into(),
            };
            if matches!(error, JobError::GiveUp { .. }) || waited >= RECORDING || self.desk.hurry.is_cancelled() {
                return Err(error);
            }
            let wait = backoff.next_wait();
            waited += wait;
            tracing::warn!(error = %error, "the result is not on record yet");
            self.parts.clock.sleep(wait).await;
        }
    }

    /// Whether somebody heard it.
    async fn report(&self, about: &Subject, verdict: Verdict) -> bool {
        let count = |counter: &std::sync::atomic::AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        let reply = match verdict {
            Verdict::Heard => {
                count(&self.tally.done);
                tracing::info!("job is done");
                return true;
            }
            Verdict::Done(done) => {
                count(&self.tally.done);
                tracing::info!("job is done");
                self.desk.report(about, done).await
            }
            Verdict::Failed(failed) => {
                count(&self.tally.failed);
                tracing::warn!(kind = ?failed.kind, reason = failed.reason, "job has failed");
                self.desk.report(about, failed).await
            }
            Verdict::Returned => {
                count(&self.tally.returned);
                tracing::info!("job is handed back");
                self.desk.report(about, Returned {}).await
            }
        };
        if let Some(reply) = &reply {
            tracing::debug!(reply = ?reply, "the coordinator has it");
        }
        reply.is_some()
    }

    /// Bytes that are no job of ours: kept for a person. When at least the sender can be told, it is, and sends the job
    /// until a newer replica takes it; its first attempt is letter enough.
    async fn attend_unreadable(&self, delivery: Arc<dyn Delivery>, why: &str) -> Option<Arc<dyn Delivery>> {
        let version = env!("CARGO_PKG_VERSION");
        tracing::error!(subject = delivery.subject(), reason = why, "a job is not readable");
        let reason = format!(
            "version {version} of {} cannot read it ({why}): if it is a job for a newer one, publish the payload on its \
             subject again when that runs",
            self.parts.service
        );
        let about = codec::decode::<Subject>(delivery.payload()).ok();
        let is_news = about.as_ref().is_none_or(|about| about.attempt <= 1);
        if is_news && !self.set_aside(delivery.as_ref(), reason).await {
            delivery.hand_back(SET_ASIDE_LATER).await;
            return None;
        }
        if let Some(about) = about {
            let reason = format!("this worker (version {version}) is too old to read the job: upgrade it");
            let failed = Failed { kind: FailureKind::NeedsUpgrade, reason, retry_after_s: None };
            let progress = watch::Sender::new(0.0);
            let heard = tokio::select! {
                biased;
                heard = self.report(&about, Verdict::Failed(failed)) => heard,
                never = pulse::beat(delivery.as_ref(), &self.desk, &about, progress.subscribe()) => match never {},
            };
            if !heard {
                delivery.hand_back(HANDED_BACK).await;
                return None;
            }
        }
        Some(delivery)
    }

    /// Whether a copy is where people look.
    async fn set_aside(&self, delivery: &dyn Delivery, reason: String) -> bool {
        let letter = dead_letter::letter(delivery, reason, self.parts.clock.as_ref());
        let stored = self.parts.queue.set_aside(self.parts.service, letter).await;
        metrics::set_aside(self.parts.service);
        if let Err(error) = &stored {
            tracing::error!(error = %error, "a job cannot be set aside");
        }
        stored.is_ok()
    }
}

/// Where it stands that a delivery was handed back: once, because a number is given to one delivery of one send.
fn handed_back_key(job: &Job, delivery: u64) -> String {
    format!("{}{}.{}.{}.{delivery}.returned.json", job.prefix, job.id, job.attempt, job.send)
}

/// What a panic said.
fn spoken(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".to_owned())
}
