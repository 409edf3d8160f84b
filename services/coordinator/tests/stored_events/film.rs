//! A film made by the machine with an eventful life, for the journal that is frozen.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use coordinator::video::{Input, JobState, Reply, Setup, Video};
use messages::artifact::{ArtifactKey, Content, Digest, Made, MediaType, ObjectRef};
use messages::catalogue::{Catalogue, Price};
use messages::command::{Command, Via};
use messages::event::Recorded;
use messages::id::{CheckpointId, JobId, UserId, VideoId};
use messages::job::{Done, Failed, FailureKind, Report, Spent};
use messages::money::Usd;
use messages::spec::{AspectRatio, Beat, Spec};
use serde_json::{Map, Value, json};

use crate::parts;

/// What is frozen of it.
pub struct Film {
    /// Its id.
    pub id: VideoId,
    /// The catalogue that it keeps.
    pub catalogue: Arc<Catalogue>,
    /// Its events.
    pub journal: Vec<Recorded>,
    video: Option<Video>,
    now: DateTime<Utc>,
    commands: u32,
}

/// Two beats of two chunks each, a failed attempt, an edit, a picture made again, a rejected version, a second branch.
pub fn finished() -> Film {
    let mut film = Film::new();
    film.ask(
        "create",
        json!({"prompt": "An ad for a mechanical watch", "duration": 15, "seed": 7, "title": "Patience"}),
    );
    film.make_all();
    let spec = film.head("main");
    film.ask("edit", json!({"checkpoint_id": spec, "patch": {"style": {"lighting": "candles"}}}));
    film.ask("approve", json!({"checkpoint_id": spec, "branch": "same", "note": "go"}));

    let beat = film.planned()[0];
    film.fail(beat);
    film.make_all();
    let drawn = film.head("main");
    film.ask("reject", json!({"checkpoint_id": drawn, "notes": "darker"}));
    film.make_all();
    let drawn = film.head("main");
    film.ask("regenerate", json!({"checkpoint_id": drawn, "artifact_key": "beat_0", "prompt": "at night"}));
    film.make_all();
    film.ask("fork", json!({"checkpoint_id": drawn, "branch": "day"}));
    film.ask("select", json!({"checkpoint_id": film.head("day"), "artifact_key": "beat_0", "version": 1}));
    film.ask("approve", json!({"checkpoint_id": drawn, "branch": "same"}));
    film.make_all();
    film.ask("approve", json!({"checkpoint_id": film.head("main")}));
    film.make_all();
    film.ask("settings", json!({"budget_usd": 20, "title": "Patience, at night"}));
    film.ask("abandon", json!({"checkpoint_id": film.head("day")}));
    film.ask("approve", json!({"checkpoint_id": film.head("main")}));
    film
}

impl Film {
    fn new() -> Self {
        let mut catalogue = Catalogue::shipped().expect("it is valid");
        for model in &mut catalogue.models {
            if model.name == "local_animatic" {
                model.clip_s = Some(6.0);
            }
            if model.name == "local_band" {
                model.price = Price::PerSecond(Usd::from_micros(1_000));
            }
        }
        Self {
            id: parts::video(),
            catalogue: Arc::new(catalogue),
            journal: Vec::new(),
            video: None,
            now: parts::time(0),
            commands: 0,
        }
    }

    fn head(&self, branch: &str) -> CheckpointId {
        self.video.as_ref().expect("it exists").branches[&parts::branch(branch)].head
    }

    fn planned(&self) -> Vec<JobId> {
        let jobs = self.video.iter().flat_map(|video| &video.jobs);
        jobs.filter(|(_, job)| job.state == JobState::Planned).map(|(id, _)| *id).collect()
    }

    fn ask(&mut self, verb: &str, body: Value) {
        self.commands += 1;
        let id = format!("command-{}", self.commands).parse().expect("valid");
        let command = Box::new(Command::parse(verb, body.to_string().as_bytes()).expect("it is a command"));
        let reply = self.put(&Input::Command { id, user: UserId::local(), via: Via::Nats, command });
        assert!(matches!(reply, Reply::Answer { .. }), "{verb}: {reply:?}");
    }

    fn make_all(&mut self) {
        while let Some(id) = self.planned().first().copied() {
            let done = self.made(id);
            let reply = self.put(&Input::Done(Box::new(self.report(id, done))));
            assert_eq!(reply, Reply::Recorded, "{id}");
        }
    }

    fn fail(&mut self, id: JobId) {
        let kind = FailureKind::RetryLater;
        let failed = Failed { kind, reason: "the brush broke".into(), retry_after_s: Some(1) };
        let reply = self.put(&Input::Failed(self.report(id, failed)));
        assert_eq!(reply, Reply::Recorded);
    }

    fn put(&mut self, input: &Input) -> Reply {
        self.now += TimeDelta::milliseconds(1_500);
        let setup = Setup::new(self.catalogue.clone(), vec!["local".to_owned()]);
        let decision = Video::decide(self.video.take(), self.id, input, &setup, self.now);
        self.journal.extend(decision.events);
        self.video = decision.video;
        decision.reply
    }

    fn report<T>(&self, id: JobId, outcome: T) -> Report<T> {
        let attempt = self.video.as_ref().map_or(1, |video| video.jobs[&id].attempt);
        Report {
            user: UserId::local(),
            video: self.id,
            job: id,
            attempt,
            worker: "frozen".to_owned(),
            trace: None,
            outcome,
        }
    }

    fn made(&self, id: JobId) -> Done {
        let order = self.video.as_ref().and_then(|video| video.work_order(id)).expect("it has its inputs");
        let keys = std::iter::once(id.artifact).chain(order.companion());
        let content = |key: ArtifactKey| match key {
            ArtifactKey::Spec => Content::Spec(Box::new(self.spec())),
            key => {
                let sha256 = Digest::of(format!("{key} {}", id.version).as_bytes());
                let name = format!("{}{}_v{}-{}.bin", order.prefix, key.stem(), id.version, sha256.short());
                Content::Object(ObjectRef { key: name, sha256, size: 4096, media_type: media_type(key) })
            }
        };
        let spent = Spent { model: "local_band".into(), unit: "second".into(), quantity: 15.0, amount: order.price };
        Done {
            made: keys.map(|key| Made { key, content: content(key), metadata: Map::new() }).collect(),
            spent: if order.price.micros() > 0 { vec![spent] } else { Vec::new() },
        }
    }

    fn spec(&self) -> Spec {
        let beat = |id: &str| self.catalogue.beat(id).expect("it is in the library");
        let mut spec = Spec {
            beats: vec![
                Beat::from_library(beat("hero_shot"), "A watch on black marble".into()),
                Beat::from_library(beat("brand_moment"), "The crown turns once".into()),
            ],
            transitions: vec![parts::transition()],
            aspect_ratio: AspectRatio::Landscape,
            ..parts::spec()
        };
        spec.derive();
        spec
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
