//! Scripted workers: they take every job from the queue, make up its artifacts and report them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::PullConsumer;
use futures::StreamExt as _;
use messages::artifact::{ArtifactKey, Content, Digest, Made, MediaType, ObjectRef};
use messages::catalogue::Catalogue;
use messages::codec;
use messages::id::JobId;
use messages::job::{Done, Failed, FailureKind, Job, Outcome, Recorded, Report, Work};
use messages::service::Service;
use messages::spec::{AspectRatio, Beat, Spec};
use messages::subject;
use runtime::bus::Bus;
use serde_json::Map;
use tokio::sync::watch;

use crate::parts;

/// What is done with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// It is made.
    Make,
    /// It fails, and trying again may help.
    Fail,
    /// It fails, and trying again may help after so many seconds.
    FailFor(u32),
    /// It is taken and nothing is ever said of it.
    Swallow,
    /// It takes until the script changes.
    Hold,
}

/// One worker per service. They end with their test.
pub struct Workers {
    script: watch::Sender<Script>,
    taken: Arc<Mutex<Vec<(JobId, u32)>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Workers {
    /// They make everything.
    pub fn start(bus: &Bus) -> Self {
        Self::with_script(bus, Script::Make)
    }

    /// They do this, until told otherwise.
    pub fn with_script(bus: &Bus, script: Script) -> Self {
        let (script, taken) = (watch::Sender::new(script), Arc::new(Mutex::new(Vec::new())));
        let start = |service| {
            let worker = Worker { bus: bus.clone(), service, script: script.subscribe(), taken: Arc::clone(&taken) };
            tokio::spawn(worker.run())
        };
        let tasks = Service::ALL.into_iter().map(start).collect();
        Self { script, taken, tasks }
    }

    pub fn follow(&self, script: Script) {
        self.script.send_replace(script);
    }

    /// Jobs with how often they had been sent, as they were taken.
    pub fn taken(&self) -> Vec<(JobId, u32)> {
        self.taken.lock().expect("not poisoned").clone()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

struct Worker {
    bus: Bus,
    service: Service,
    script: watch::Receiver<Script>,
    taken: Arc<Mutex<Vec<(JobId, u32)>>>,
}

impl Worker {
    async fn run(self) {
        loop {
            // A queue that is gone comes back.
            if self.take_one().await.is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    async fn take_one(&self) -> Option<()> {
        let found = self.bus.jetstream().get_consumer_from_stream(self.service.name(), subject::JOBS).await;
        let consumer: PullConsumer = found.ok()?;
        let mut pull = consumer.batch().max_messages(1).expires(Duration::from_secs(1)).messages().await.ok()?;
        let message = pull.next().await?.ok()?;
        let job: Job = codec::decode(&message.payload).expect("a job");
        self.taken.lock().expect("not poisoned").push((job.id, job.send));
        let said = match self.script().await {
            Script::Make => self.say(&job, Done { made: made(&job), spent: Vec::new() }).await,
            Script::Fail => self.fail(&job, None).await,
            Script::FailFor(seconds) => self.fail(&job, Some(seconds)).await,
            Script::Swallow | Script::Hold => Some(()),
        };
        let kind = if said.is_some() { AckKind::Ack } else { AckKind::Nak(None) };
        message.ack_with(kind).await.ok()
    }

    /// What is to be done, as soon as there is something to do.
    async fn script(&self) -> Script {
        let mut script = self.script.clone();
        let script = script.wait_for(|script| *script != Script::Hold).await;
        // Without anybody who could say so, the test is over.
        script.map_or(Script::Swallow, |script| *script)
    }

    async fn fail(&self, job: &Job, retry_after_s: Option<u32>) -> Option<()> {
        let kind = FailureKind::RetryLater;
        self.say(job, Failed { kind, reason: "the brush broke".into(), retry_after_s }).await
    }

    /// Reports until a coordinator says that it is recorded.
    async fn say<T: Outcome>(&self, job: &Job, outcome: T) -> Option<()> {
        let report = Report {
            user: job.user.clone(),
            video: job.video,
            job: job.id,
            attempt: job.attempt,
            worker: "scripted".to_owned(),
            trace: None,
            outcome,
        };
        let (to, body) = (job.partition.outcome(T::NAME), codec::encode(&report).expect("it can be written"));
        for _ in 0..100 {
            let answer = self.bus.request(&to, body.clone().into(), Duration::from_secs(1)).await;
            if let Ok(answer) = answer {
                codec::decode::<Recorded>(&answer).expect("an answer");
                return Some(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }
}

fn made(job: &Job) -> Vec<Made> {
    let made = |key: ArtifactKey, content| Made { key, content, metadata: Map::new() };
    let object = |key: ArtifactKey| {
        let sha256 = Digest::of(format!("{key} {}", job.id).as_bytes());
        let name = format!("{}{}_v{}-{}.bin", job.prefix, key.stem(), job.id.version, sha256.short());
        made(key, Content::Object(ObjectRef { key: name, sha256, size: 1, media_type: media_type(key) }))
    };
    match (&job.work, job.id.artifact) {
        (Work::Plan(_), key) => vec![made(key, Content::Spec(Box::new(spec())))],
        (_, key) => std::iter::once(key).chain(job.companion()).map(object).collect(),
    }
}

fn media_type(key: ArtifactKey) -> MediaType {
    match key {
        ArtifactKey::Spec => MediaType::Json,
        ArtifactKey::Beat(_) | ArtifactKey::ChunkLastFrame(_) => MediaType::Png,
        ArtifactKey::Chunk(_) | ArtifactKey::Stitched | ArtifactKey::Final => MediaType::Mp4,
        ArtifactKey::Background => MediaType::Mp3,
        ArtifactKey::Thumbnail => MediaType::Jpeg,
    }
}

/// Ten seconds in two beats.
fn spec() -> Spec {
    let catalogue = Catalogue::shipped().expect("it is valid");
    let beat = |id, scene: &str| Beat::from_library(catalogue.beat(id).expect("it is in the library"), scene.into());
    let mut spec = Spec {
        beats: vec![beat("hero_shot", "A watch on black marble"), beat("call_to_action", "The crown turns once")],
        transitions: Vec::new(),
        aspect_ratio: AspectRatio::Landscape,
        ..parts::spec()
    };
    spec.derive();
    spec
}
