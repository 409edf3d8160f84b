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
    /// Says it until somebody answers. None when there is no time left.
    pub async fn report<T: Outcome>(&self, about: &Subject, outcome: T) -> Option<T::Reply> {
        let subject = about.partition.outcome(T::NAME);
        let said = about.trace.map(|job| {
            let template = || subject::outcome_template(T::NAME);
            let name = || format!("send {}", template()).into();
            let mut said = Span::part(SpanKind::Client, job, format_args!("{}.{}", T::NAME, about.attempt), name);
            said.say_message("send", template);
            said
        });
        let report = Report {
            user: about.user.clone(),
            video: about.video,
            job: about.id,
            attempt: about.attempt,
            worker: self.worker.clone(),
            trace: said.as_ref().map(Span::context),
            outcome,
        };
        let bytes = match codec::encode(&report) {
            Ok(bytes) => bytes::Bytes::from(bytes),
            Err(error) => {
                tracing::error!(error = %error, "a report cannot be written");
                return None;
            }
        };
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
}
