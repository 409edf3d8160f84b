//! A stage for tests of the machine: one video, workers that do what they are told, a clock that is moved by hand.

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, TimeDelta, Utc};
use messages::artifact::{ArtifactKey, Content, Digest, Made, MediaType, ObjectRef};
use messages::catalogue::Catalogue;
use messages::command::{Command, Rejection, Via};
use messages::event::{Event, Recorded};
use messages::id::{CheckpointId, JobId, UserId, VideoId};
use messages::job::{self, FailureKind, Report, Spent, Work};
use messages::phase::Phase;
use messages::spec::{Audio, Beat, MusicStyle, Product, Reasoning, Spec, Style, Tempo};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Decision, Input, JobState, Reply, Setup, Video};

/// The shipped catalogue, read once.
fn shipped_catalogue() -> Arc<Catalogue> {
    static SHIPPED: LazyLock<Arc<Catalogue>> =
        LazyLock::new(|| Arc::new(Catalogue::shipped().expect("the shipped catalogue is valid")));
    SHIPPED.clone()
}

/// A catalogue in which everything has a price, clips last 6 s, and free models stand beside.
pub fn priced_catalogue() -> Arc<Catalogue> {
    static PRICED: LazyLock<Arc<Catalogue>> = LazyLock::new(|| Arc::new(with_prices()));
    PRICED.clone()
}

fn with_prices() -> Catalogue {
    let mut catalogue = shipped_catalogue().as_ref().clone();
    let priced: Vec<_> = ["painter", "animatic", "band"]
        .into_iter()
        .filter_map(|name| catalogue.models.iter().find(|model| model.provider_model == name).cloned())
        .map(|mut model| {
            model.name = format!("priced_{}", model.provider_model);
            model.price = serde_json::from_value(json!({"per_generation": 0.5})).expect("a price");
            model.clip_s = Some(6.0);
            model
        })
        .collect();
    catalogue.models.splice(0..0, priced);
    catalogue
}

pub struct Stage {
    pub id: VideoId,
    pub video: Option<Video>,
    pub journal: Vec<Recorded>,
    pub setup: Setup,
    pub now: DateTime<Utc>,
    commands: u64,
}

impl Stage {
    pub fn new() -> Self {
        Self::with_catalogue(shipped_catalogue())
    }

    pub fn with_catalogue(catalogue: Arc<Catalogue>) -> Self {
        Self {
            id: "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid"),
            video: None,
            journal: Vec::new(),
            setup: Setup::new(catalogue, vec!["local".to_owned()]),
            now: DateTime::from_timestamp(1_800_000_000, 0).expect("valid"),
            commands: 0,
        }
    }

    /// A video whose planning runs.
    pub fn created(body: Value) -> Self {
        let mut stage = Self::new();
        stage.ask("create", with_prompt(body)).expect("a video can be created");
        stage
    }

    pub fn video(&self) -> &Video {
        self.video.as_ref().expect("there is a video")
    }

    pub fn ask(&mut self, verb: &str, body: Value) -> Result<Value, Rejection> {
        self.ask_as("local", verb, body)
    }

    pub fn ask_as(&mut self, user: &str, verb: &str, body: Value) -> Result<Value, Rejection> {
        self.commands += 1;
        let command = Command::parse(verb, body.to_string().as_bytes())?;
        let id = format!("command-{}", self.commands).parse().expect("valid");
        let user: UserId = user.parse().expect("valid");
        match self.put(&Input::Command { id, user, via: Via::Nats, command: Box::new(command) }) {
            Reply::Answer { answer, .. } => Ok(answer),
            Reply::Rejected(rejection) => Err(rejection),
            other => panic!("a command was answered {other:?}"),
        }
    }

    pub fn put(&mut self, input: &Input) -> Reply {
        self.now += TimeDelta::seconds(1);
        let Decision { events, video, spent: _, reply } =
            Video::decide(self.video.take(), self.id, input, &self.setup, self.now);
        self.journal.extend(events);
        self.video = video;
        reply
    }

    /// Jobs that a worker could take now, in order.
    pub fn planned(&self) -> Vec<JobId> {
        let jobs = self.video.iter().flat_map(|video| &video.jobs);
        jobs.filter(|(_, job)| job.state == JobState::Planned).map(|(id, _)| *id).collect()
    }

    pub fn finish(&mut self, id: JobId) -> Reply {
        let report = self.report(id, self.made(id));
        self.put(&Input::Done(Box::new(report)))
    }

    /// Finishes a job as a worker does that knows nothing of what comes along with its artifact.
    pub fn finish_alone(&mut self, id: JobId) -> Reply {
        let mut report = self.report(id, self.made(id));
        report.outcome.made.retain(|made| made.key == id.artifact);
        self.put(&Input::Done(Box::new(report)))
    }

    pub fn fail(&mut self, id: JobId, kind: FailureKind) -> Reply {
        let attempt = self.video().jobs.get(&id).map_or(1, |job| job.attempt);
        self.fail_attempt(id, attempt, kind)
    }

    pub fn fail_attempt(&mut self, id: JobId, attempt: u32, kind: FailureKind) -> Reply {
        let outcome = job::Failed { kind, reason: "the brush broke".to_owned(), retry_after_s: None };
        let report = Report { attempt, ..self.report(id, outcome) };
        self.put(&Input::Failed(report))
    }

    /// Another try of the same job has another nonce.
    pub fn claim(&mut self, id: JobId, nonce: u128) -> Reply {
        let price = self.video().work_order(id).map(|order| order.price).unwrap_or_default();
        let claim = job::Claim { nonce: Uuid::from_u128(nonce), input: Digest::of(b"request"), price };
        self.put(&Input::Claim(self.report(id, claim)))
    }

    pub fn submit(&mut self, id: JobId, nonce: u128, provider_job: &str) -> Reply {
        let submitted = job::Submitted { nonce: Uuid::from_u128(nonce), provider_job: provider_job.to_owned() };
        self.put(&Input::Submitted(self.report(id, submitted)))
    }

    /// Finishes jobs until none is left.
    pub fn finish_all(&mut self) {
        while let Some(id) = self.planned().first().copied() {
            self.finish(id);
        }
    }

    fn report<T>(&self, id: JobId, outcome: T) -> Report<T> {
        Report {
            user: UserId::local(),
            video: self.id,
            job: id,
            attempt: self.video.as_ref().and_then(|v| v.jobs.get(&id)).map_or(1, |job| job.attempt),
            worker: "stage".to_owned(),
            trace: None,
            outcome,
        }
    }

    /// What a worker makes of a job: content that depends on the job's own order alone, as a real one's does.
    fn made(&self, id: JobId) -> job::Done {
        let order = self.video.as_ref().and_then(|video| video.work_order(id));
        let Some(order) = order else { return job::Done { made: Vec::new(), spent: Vec::new() } };
        let work = serde_json::to_string(&order.work).expect("writes");
        let object = |key: ArtifactKey| {
            let sha256 = Digest::of(format!("{key} {work}").as_bytes());
            let key_text = format!("{}{}_v{}-{}.bin", order.prefix, key.stem(), id.version, sha256.short());
            let object = ObjectRef { key: key_text, sha256, size: 1, media_type: MediaType::Png };
            Made { key, content: Content::Object(object), metadata: serde_json::Map::new() }
        };
        let made = match (&order.work, id.artifact) {
            (Work::Plan(plan), _) => {
                let spec = spec(plan.duration.unwrap_or(30), plan.seed, &self.video().catalogue);
                vec![Made {
                    key: ArtifactKey::Spec,
                    content: Content::Spec(Box::new(spec)),
                    metadata: serde_json::Map::new(),
                }]
            }
            (_, key) => std::iter::once(key).chain(order.companion()).map(object).collect(),
        };
        let spent = Spent { model: "priced".into(), unit: "generation".into(), quantity: 1.0, amount: order.price };
        job::Done { made, spent: if order.price.micros() > 0 { vec![spent] } else { Vec::new() } }
    }

    /// The head of a branch.
    pub fn head(&self, branch: &str) -> CheckpointId {
        self.video().branches.iter().find(|(name, _)| name.as_str() == branch).expect("the branch exists").1.head
    }

    /// Takes `main` to the waiting checkpoint of a phase.
    pub fn at(phase: Phase, body: Value) -> (Self, CheckpointId) {
        let mut stage = Self::created(body);
        stage.finish_all();
        while stage.video().checkpoints[&stage.head("main")].phase < phase {
            stage.approve(stage.head("main"));
            stage.finish_all();
        }
        let head = stage.head("main");
        (stage, head)
    }

    pub fn approve(&mut self, checkpoint: CheckpointId) -> Value {
        self.ask("approve", json!({"checkpoint_id": checkpoint})).expect("can be approved")
    }

    /// The names of all events so far.
    pub fn names(&self) -> Vec<&'static str> {
        self.journal.iter().map(|recorded| recorded.event.name()).collect()
    }

    pub fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.journal.iter().filter(|recorded| wanted(&recorded.event)).count()
    }
}

pub fn with_prompt(mut body: Value) -> Value {
    body["prompt"] = "An ad for a mechanical watch".into();
    body
}

/// A spec of so many seconds that obeys the rules.
pub fn spec(duration: u32, seed: u64, catalogue: &Catalogue) -> Spec {
    let rounded = messages::spec::rounded_duration(duration);
    let mut left = rounded;
    let mut beats = Vec::new();
    while left > 0 {
        let id = if left >= 10 && beats.len() == 1 { "lifestyle_context" } else { "hero_shot" };
        let beat = catalogue.beat(id).expect("in the library");
        beats.push(Beat::from_library(beat, format!("scene {} of {seed}", beats.len())));
        left -= beat.duration;
    }
    let mut spec = Spec {
        template: "luxury_showcase".into(),
        duration: 0,
        fps: 30,
        resolution: messages::spec::AspectRatio::Landscape.size(),
        aspect_ratio: messages::spec::AspectRatio::Landscape,
        product: Product { name: "watch".into(), category: "luxury".into() },
        style: Style {
            aesthetic: "refined".into(),
            color_palette: ["#000000", "#d4af37", "#ffffff"].map(|c| c.parse().expect("a colour")).to_vec(),
            mood: messages::spec::Mood::Elegant,
            lighting: "soft".into(),
        },
        audio: Audio {
            music_style: MusicStyle::Calm,
            tempo: Tempo::Slow,
            mood: messages::spec::Mood::Elegant,
            music: true,
            music_gain_db: 0.0,
            native_gain_db: 0.0,
            fade_in_s: 1.0,
            fade_out_s: 2.0,
        },
        transitions: Vec::new(),
        beats,
        reasoning: Reasoning::default(),
    };
    spec.derive();
    spec
}
