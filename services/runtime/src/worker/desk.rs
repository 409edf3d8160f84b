//! Reporting to the coordinator: said again until the answer comes, because the answer means committed.

use std::sync::Arc;
use std::time::Duration;

use messages::codec;
use messages::id::{JobId, UserId, VideoId};
use messages::job::{Job, Outcome, Report};
use messages::subject::{self, Partition};
use messages::trace::Trace;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::ports::Reporter;
use crate::backoff::Backoff;
use crate::bus::RequestError;
use crate::clock::Clock;
use crate::trace::{Span, SpanKind};

/// How long one question waits for its answer.
const ANSWER: Duration = Duration::from_secs(5);

/// How long a result that costs nothing waits for its answer until it is put on record.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Which attempt a report is about. Read from a job's bytes also when the rest of them is too new for us.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Subject {
    pub user: UserId,
    pub video: VideoId,
    pub id: JobId,
    pub attempt: u32,
    pub partition: Partition,
    /// The trace that reports are part of.
    #[serde(default, deserialize_with = "messages::trace::lenient")]
    pub trace: Option<Trace>,
}

impl From<&Job> for Subject {
    fn from(job: &Job) -> Self {
        Self {
            user: job.user.clone(),
            video: job.video,
            id: job.id,
            attempt: job.attempt,
            partition: job.partition,
            trace: job.trace,
        }
    }
}

/// A worker's way to the coordinators.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub reporter: Arc<dyn Reporter>,
    pub clock: Arc<dyn Clock>,
    /// This replica, for people.
    pub worker: String,
    /// Fires when there is no time left to wait for anybody.
    pub hurry: CancellationToken,
}

impl Desk {
    /// Says it once, and whether somebody answered at once.
    pub async fn report_once<T: Outcome>(&self, about: &Subject, outcome: &T) -> bool {
        let said = said_of::<T>(about);
        let Some(bytes) = self.written(about, said.as_ref(), outcome) else { return false };
        let answer = self.reporter.ask(&about.partition.outcome(T::NAME), bytes, AT_ONCE).await;
        answer.is_ok_and(|answer| codec::decode::<T::Reply>(&answer).is_ok())
    }

    /// Says it until somebody answers. None when there is no time left.
    pub async fn report<T: Outcome>(&self, about: &Subject, outcome: T) -> Option<T::Reply> {
        let subject = about.partition.outcome(T::NAME);
        let said = said_of::<T>(about);
        let bytes = self.written(about, said.as_ref(), &outcome)?;
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        let mut waiting = false;
        loop {
            let answer = tokio::select! {
                answer = self.reporter.ask(&subject, bytes.clone(), ANSWER) => answer,
                () = self.hurry.cancelled() => return None,
            };
            match answer.map(|answer| codec::decode::<T::Reply>(&answer)) {
                Ok(Ok(reply)) => return Some(reply),
                Ok(Err(error)) => {
                    tracing::warn!(subject, error = %error, "the coordinator's answer is not readable");
                }
                Err(error @ RequestError::Unsendable { .. }) => {
                    tracing::warn!(subject, error = %crate::service::sentence(&error), "a report cannot be sent");
                }
                Err(error) if !waiting => {
                    waiting = true;
                    tracing::info!(subject, error = %error, "no coordinator answers, the job is kept");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = self.clock.sleep(backoff.next_wait()) => {}
                () = self.hurry.cancelled() => return None,
            }
        }
    }

    /// A report's bytes.
    fn written<T: Outcome>(&self, about: &Subject, said: Option<&Span>, outcome: &T) -> Option<bytes::Bytes> {
        let report = Report {
            user: about.user.clone(),
            video: about.video,
            job: about.id,
            attempt: about.attempt,
            worker: self.worker.clone(),
            trace: said.map(Span::context),
            outcome,
        };
        match codec::encode(&report) {
            Ok(bytes) => Some(bytes.into()),
            Err(error) => {
                tracing::error!(error = %error, "a report cannot be written");
                None
            }
        }
    }
}

/// The saying of an outcome, as a part of the job's trace.
fn said_of<T: Outcome>(about: &Subject) -> Option<Span> {
    about.trace.map(|job| {
        let template = || subject::outcome_template(T::NAME);
        let name = || format!("send {}", template()).into();
        let mut said = Span::part(SpanKind::Client, job, format_args!("{}.{}", T::NAME, about.attempt), name);
        said.say_message("send", template);
        said
    })
}
