//! What workers say, brought to the actors and answered once it is committed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_nats::Message;
use bytes::Bytes;
use futures::StreamExt as _;
use messages::codec;
use messages::id::{JobId, VideoId};
use messages::job::{self, Outcome as _, Recorded, Report};
use messages::subject::{PROGRESS_FILTER, Partition, VideoSubject};
use runtime::bus::Bus;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::actor::{Actors, Mail, ReportMail};
use crate::dispatcher::Dispatcher;
use crate::video::{Input, Reply};

/// Listens on the partitions owned, whichever these are, until `shutdown`.
pub async fn listen(
    bus: Bus,
    actors: Arc<Actors>,
    dispatcher: Dispatcher,
    mut owned: watch::Receiver<HashSet<Partition>>,
    shutdown: CancellationToken,
) {
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
            listening.entry(partition).or_insert_with(|| {
                let (bus, actors, dispatcher) = (bus.clone(), Arc::clone(&actors), dispatcher.clone());
                tokio::spawn(listen_to(bus, partition, actors, dispatcher)).abort_handle()
            });
        }
        tokio::select! {
            changed = owned.changed() => if changed.is_err() { break },
            () = shutdown.cancelled() => break,
        }
    }
    listening.into_values().for_each(|task| task.abort());
}

async fn listen_to(bus: Bus, partition: Partition, actors: Arc<Actors>, dispatcher: Dispatcher) {
    let Ok(mut reports) = bus.client().subscribe(partition.outcome_filter()).await else {
        tracing::error!(partition = partition.0, "reports of workers cannot be heard");
        return;
    };
    while let Some(message) = reports.next().await {
        let (bus, actors, dispatcher) = (bus.clone(), Arc::clone(&actors), dispatcher.clone());
        tokio::spawn(async move {
            let reply_to = message.reply.clone();
            if let (Some(answer), Some(reply_to)) = (answer(message, &actors, &dispatcher).await, reply_to) {
                bus.notify(reply_to.to_string(), Bytes::from(answer)).await;
            }
        });
    }
}

/// The answer to a report; none for what is no report.
async fn answer(message: Message, actors: &Arc<Actors>, dispatcher: &Dispatcher) -> Option<Vec<u8>> {
    let name = message.subject.rsplit('.').next().unwrap_or_default().to_owned();
    let answered = match name.as_str() {
        job::Done::NAME => {
            let report: Report<job::Done> = codec::decode(&message.payload).ok()?;
            let (video, job) = (report.video, report.job);
            ask(actors, dispatcher, video, job, Input::Done(Box::new(report))).await.map(recorded)
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

/// Hears every job's sign of life.
pub async fn hear_progress(bus: Bus, dispatcher: Dispatcher, shutdown: CancellationToken) {
    let Ok(mut progress) = bus.client().subscribe(PROGRESS_FILTER).await else {
        tracing::error!("signs of life cannot be heard");
        return;
    };
    loop {
        tokio::select! {
            message = progress.next() => {
                let Some(message) = message else { return };
                let job = VideoSubject::parse(&message.subject).and_then(|subject| subject.name.parse().ok());
                if let Some(job) = job {
                    dispatcher.alive(job);
                }
            }
            () = shutdown.cancelled() => return,
        }
    }
}
