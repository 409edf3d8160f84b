//! What workers say, brought to the actors and answered once it is committed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use messages::codec;
use messages::id::{JobId, VideoId};
use messages::job::{self, Outcome as _, Recorded, Report};
use messages::subject::{self, MAKE_WAY_FILTER, PROGRESS_FILTER, Partition, VideoSubject};
use runtime::clock::Clock;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::actor::{Actors, Mail, ReportMail};
use crate::dispatcher::Dispatcher;
use crate::video::{Input, Reply};
use crate::wire::{Ears, Said, Wire};

/// How long to wait before listening again where it cannot be listened now.
const PAUSE: Duration = Duration::from_millis(500);

/// Where those wait who asked something that is not answered yet, by what they said.
///
/// Workers ask again every few seconds, in the same words. Only the first of them is brought to an actor, so that a database
/// that is away for hours does not fill the memory; its answer goes to where the last one waits.
#[derive(Debug, Clone, Default)]
pub struct Waiting(Arc<Mutex<Inboxes>>);

/// By subject and body.
type Inboxes = HashMap<(String, Bytes), Option<String>>;

impl Waiting {
    /// Whether nobody has said this before and waits.
    fn is_first(&self, said: &Said) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert((said.subject.clone(), said.payload.clone()), said.reply_to.clone()).is_none()
    }

    /// Where the answer goes.
    fn answered(&self, said: Said) -> Option<String> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(&(said.subject, said.payload)).flatten()
    }
}

/// What reports are heard with, brought to and answered through.
#[derive(Debug, Clone)]
pub struct Desk {
    /// Where workers are heard.
    pub ears: Arc<dyn Ears>,
    /// Where they are answered.
    pub wire: Arc<dyn Wire>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The videos.
    pub actors: Arc<Actors>,
    /// Who is told that a job lives.
    pub dispatcher: Dispatcher,
    /// Who waits for an answer.
    pub waiting: Waiting,
}

/// Listens on the partitions owned, whichever these are, until `shutdown`.
pub async fn listen(desk: Desk, mut owned: watch::Receiver<HashSet<Partition>>, shutdown: CancellationToken) {
    let mut listening: HashMap<Partition, AbortHandle> = HashMap::new();
    loop {
        let now = owned.borrow_and_update().clone();
        listening.retain(|partition, task| {
            let keep = now.contains(partition);
            if !keep {
                task.abort();
            }
            keep
        });
        for partition in now {
            listening
                .entry(partition)
                .or_insert_with(|| tokio::spawn(listen_to(desk.clone(), partition)).abort_handle());
        }
        tokio::select! {
            changed = owned.changed() => if changed.is_err() { break },
            () = shutdown.cancelled() => break,
        }
    }
    listening.into_values().for_each(|task| task.abort());
}

async fn listen_to(desk: Desk, partition: Partition) {
    hear(&desk, partition.outcome_filter(), |said| {
        if !desk.waiting.is_first(&said) {
            return;
        }
        let desk = desk.clone();
        tokio::spawn(async move {
            let answered = answer(&said, &desk.actors, &desk.dispatcher).await;
            if let (Some(answer), Some(reply_to)) = (answered, desk.waiting.answered(said)) {
                desk.wire.notify(reply_to, Bytes::from(answer)).await;
            }
        });
    })
    .await;
}

/// Hears what is said on a filter, again and again: without it nothing is ever done.
async fn hear(desk: &Desk, filter: String, heard: impl Fn(Said)) {
    let mut failing = false;
    loop {
        match desk.ears.listen(filter.clone()).await {
            Ok(mut hearsay) => {
                failing = false;
                while let Some(said) = hearsay.next().await {
                    heard(said);
                }
            }
            Err(error) if !std::mem::replace(&mut failing, true) => {
                tracing::warn!(error = %error, filter, "workers cannot be heard yet");
            }
            Err(_) => {}
        }
        desk.clock.sleep(PAUSE).await;
    }
}

/// The answer to a report; none for what is no report.
async fn answer(message: &Said, actors: &Arc<Actors>, dispatcher: &Dispatcher) -> Option<Vec<u8>> {
    let name = message.subject.rsplit('.').next().unwrap_or_default().to_owned();
    let answered = match name.as_str() {
        job::Done::NAME => {
            let report: Report<job::Done> = codec::decode(&message.payload).ok()?;
            let (video, job) = (report.video, report.job);
            let answered = ask(actors, dispatcher, video, job, Input::Done(Box::new(report))).await;
            // Also one that was done before, which its actor says nothing of any more.
            if answered.is_some() {
                dispatcher.end(vec![job]);
            }
            answered.map(recorded)
        }
        job::Failed::NAME => {
            let report: Report<job::Failed> = codec::decode(&message.payload).ok()?;
            let (video, job) = (report.video, report.job);
            ask(actors, dispatcher, video, job, Input::Failed(report)).await.map(recorded)
        }
        job::Returned::NAME => {
            let report: Report<job::Returned> = codec::decode(&message.payload).ok()?;
            dispatcher.returned(report.job);
            Some(Recorded::Recorded)
        }
        job::Claim::NAME => {
            let report: Report<job::Claim> = codec::decode(&message.payload).ok()?;
            let (video, job) = (report.video, report.job);
            let reply = ask(actors, dispatcher, video, job, Input::Claim(report)).await?;
            let Reply::Claim(reply) = reply else { return None };
            return codec::encode(&reply).ok();
        }
        job::Submitted::NAME => {
            let report: Report<job::Submitted> = codec::decode(&message.payload).ok()?;
            let (video, job) = (report.video, report.job);
            ask(actors, dispatcher, video, job, Input::Submitted(report)).await.map(recorded)
        }
        _ => {
            tracing::debug!(subject = %message.subject, "something that is no report was passed over");
            None
        }
    };
    answered.and_then(|answer| codec::encode(&answer).ok())
}

async fn ask(actors: &Arc<Actors>, dispatcher: &Dispatcher, video: VideoId, job: JobId, input: Input) -> Option<Reply> {
    dispatcher.alive(job);
    let (reply, answer) = oneshot::channel();
    actors.send(video, Mail::Report(ReportMail { input, reply }));
    answer.await.ok()
}

fn recorded(reply: Reply) -> Recorded {
    match reply {
        Reply::NotWanted(why) => Recorded::NotWanted(why),
        Reply::Recorded | Reply::Answer { .. } | Reply::Rejected(_) | Reply::Claim(_) => Recorded::Recorded,
    }
}

/// Hears for which services the other coordinators send something that somebody waits for.
pub async fn hear_make_way(desk: Desk, replica: String, shutdown: CancellationToken) {
    let heard = |said: Said| {
        let service = subject::service_to_make_way_for(&said.subject).filter(|_| said.payload != replica.as_bytes());
        if let Some(service) = service {
            desk.dispatcher.make_way(service);
        }
    };
    tokio::select! {
        () = hear(&desk, MAKE_WAY_FILTER.to_owned(), heard) => {}
        () = shutdown.cancelled() => {}
    }
}

/// Hears every job's sign of life.
pub async fn hear_progress(desk: Desk, shutdown: CancellationToken) {
    let heard = |said: Said| {
        let job = VideoSubject::parse(&said.subject).and_then(|subject| subject.name.parse().ok());
        if let Some(job) = job {
            desk.dispatcher.alive(job);
        }
    };
    tokio::select! {
        () = hear(&desk, PROGRESS_FILTER.to_owned(), heard) => {}
        () = shutdown.cancelled() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_again_while_its_answer_is_awaited_is_brought_to_nobody_and_answered_where_it_was_said_last() {
        let waiting = Waiting::default();
        let said = |words: &'static str, inbox: &str| Said {
            subject: "coordinator.3.done".to_owned(),
            reply_to: Some(inbox.to_owned()),
            payload: Bytes::from_static(words.as_bytes()),
        };
        assert!(waiting.is_first(&said("a job", "inbox.1")));
        assert!(waiting.is_first(&said("another job", "inbox.2")));
        for inbox in ["inbox.3", "inbox.4"] {
            assert!(!waiting.is_first(&said("a job", inbox)));
        }
        assert_eq!(waiting.answered(said("a job", "inbox.1")).as_deref(), Some("inbox.4"));
        assert!(waiting.is_first(&said("a job", "inbox.5")), "it may be asked anew");
    }
}
