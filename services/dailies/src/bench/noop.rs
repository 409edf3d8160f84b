//! Workers that return at once: specs without thought, artifacts of a few bytes or of none. Everything around them is real.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use messages::artifact::{ArtifactKey, Content, Digest, Made, MediaType, ObjectRef};
use messages::job::Work;
use messages::planner::PlanSpec;
use messages::service::Service;
use messages::spec::{
    AspectRatio, Audio, Beat, Mood, MusicStyle, Product, Reasoning, Spec, Style, Tempo, rounded_duration,
};
use runtime::clock::{Clock as _, SystemClock};
use runtime::job_error::JobError;
use runtime::worker::{Handler, Outcome, Task};
use serde_json::Map;

/// One for each service; each artifact is an object that is stored.
pub fn handlers() -> [(Service, Arc<dyn Handler>); 4] {
    of(&Arc::new(Noop { stores: true, told: Arc::default() }))
}

/// The same without objects: artifacts are names alone. Whoever is `told` hears of each job when its worker has it.
pub fn handlers_without_objects(told: Arc<OnceLock<async_nats::Client>>) -> [(Service, Arc<dyn Handler>); 4] {
    of(&Arc::new(Noop { stores: false, told }))
}

/// Where it is said that a job reached its worker: the job, a space, and when, in nanoseconds since 1970.
pub const RECEIVED: &str = "bench.received";

fn of(noop: &Arc<Noop>) -> [(Service, Arc<dyn Handler>); 4] {
    Service::ALL.map(|service| (service, Arc::clone(noop) as Arc<dyn Handler>))
}

struct Noop {
    stores: bool,
    told: Arc<OnceLock<async_nats::Client>>,
}

impl Noop {
    async fn tell(&self, task: &Task) {
        if let Some(client) = self.told.get() {
            let now = SystemClock.now().timestamp_nanos_opt().unwrap_or(0);
            let note = format!("{} {now}", task.job.id);
            // A note that is lost is a figure that is missing, and the driver says so.
            let _ = client.publish(RECEIVED, note.into()).await;
        }
    }

    async fn made(&self, task: &Task, key: ArtifactKey) -> Result<Made, JobError> {
        if self.stores { object(task, key).await } else { Ok(name_of(task, key)) }
    }
}

#[async_trait]
impl Handler for Noop {
    async fn handle(&self, task: &Task) -> Result<Outcome, JobError> {
        self.tell(task).await;
        let key = task.job.id.artifact;
        if let Work::Plan(plan) = &task.job.work {
            let content = Content::Spec(Box::new(spec(plan)?));
            return Ok(vec![Made { key, content, metadata: Map::new() }].into());
        }
        let mut made = vec![self.made(task, key).await?];
        if let Some(companion) = task.job.companion() {
            made.push(self.made(task, companion).await?);
        }
        Ok(made.into())
    }
}

const fn media_type(key: ArtifactKey) -> MediaType {
    match key {
        ArtifactKey::Spec => MediaType::Json,
        ArtifactKey::Beat(_) | ArtifactKey::ChunkLastFrame(_) => MediaType::Png,
        ArtifactKey::Chunk(_) | ArtifactKey::Stitched | ArtifactKey::Final => MediaType::Mp4,
        ArtifactKey::Background => MediaType::Mp3,
        ArtifactKey::Thumbnail => MediaType::Jpeg,
    }
}

/// A few bytes that no other artifact has.
async fn object(task: &Task, key: ArtifactKey) -> Result<Made, JobError> {
    let file = task.folder()?.join(key.stem());
    tokio::fs::write(&file, format!("{key} of {}", task.job.id))
        .await
        .map_err(|error| JobError::retry_later(format!("a scratch file cannot be written: {error}")))?;
    task.store(key, &file, media_type(key), Map::new()).await
}

/// The name of an object that nobody has stored.
fn name_of(task: &Task, key: ArtifactKey) -> Made {
    let sha256 = Digest::of(format!("{key} of {}", task.job.id).as_bytes());
    let object_key = format!("{}{}_v{}-{}", task.job.prefix, key.stem(), task.job.id.version, sha256.short());
    let object = ObjectRef { key: object_key, sha256, size: 0, media_type: media_type(key) };
    Made { key, content: Content::Object(object), metadata: Map::new() }
}

/// Beats of 5 s, as many as the film has room for, with music. Where the model's clips have a length, one silent beat that
/// takes as many of them as fit into 15 s.
fn spec(plan: &PlanSpec) -> Result<Spec, JobError> {
    let in_clips = plan.video_model.clip_s.is_some();
    let (count, beat_s) = if in_clips { (1, 15) } else { (rounded_duration(plan.duration.unwrap_or(30)) / 5, 5) };
    let beat = plan.library.beats.iter().find(|beat| beat.duration == 5);
    let beat = beat.ok_or_else(|| JobError::give_up("the library has no beat of 5 s"))?;
    let template = plan.library.archetypes.first().map(|archetype| archetype.id.clone());
    let aspect_ratio = AspectRatio::Landscape;
    let palette = ["#000000", "#808080", "#ffffff"].into_iter().filter_map(|colour| colour.parse().ok());
    let mut spec = Spec {
        template: template.ok_or_else(|| JobError::give_up("the library has no archetype"))?,
        duration: 0,
        fps: 30,
        resolution: aspect_ratio.size(),
        aspect_ratio,
        product: Product { name: "nothing".to_owned(), category: "all".to_owned() },
        style: Style {
            aesthetic: "plain".to_owned(),
            color_palette: palette.collect(),
            mood: Mood::Minimalist,
            lighting: "even".to_owned(),
        },
        audio: Audio {
            music_style: MusicStyle::Calm,
            tempo: Tempo::Slow,
            mood: Mood::Minimalist,
            music: !in_clips,
            music_gain_db: 0.0,
            native_gain_db: 0.0,
            fade_in_s: 1.0,
            fade_out_s: 2.0,
        },
        transitions: Vec::new(),
        beats: (0..count)
            .map(|n| Beat { duration: beat_s, ..Beat::from_library(beat, format!("scene {n}")) })
            .collect(),
        reasoning: Reasoning::default(),
    };
    spec.derive();
    Ok(spec)
}
