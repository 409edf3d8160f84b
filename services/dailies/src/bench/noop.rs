//! Workers that return at once: specs without thought, objects of a few bytes. Everything around them is real.

use std::sync::Arc;

use async_trait::async_trait;
use messages::artifact::{ArtifactKey, Content, Made, MediaType};
use messages::job::Work;
use messages::planner::PlanSpec;
use messages::service::Service;
use messages::spec::{
    AspectRatio, Audio, Beat, Mood, MusicStyle, Product, Reasoning, Spec, Style, Tempo, rounded_duration,
};
use runtime::job_error::JobError;
use runtime::worker::{Handler, Outcome, Task};
use serde_json::Map;

/// One for each service.
pub fn handlers() -> [(Service, Arc<dyn Handler>); 4] {
    Service::ALL.map(|service| (service, Arc::new(Noop) as Arc<dyn Handler>))
}

struct Noop;

#[async_trait]
impl Handler for Noop {
    async fn handle(&self, task: &Task) -> Result<Outcome, JobError> {
        let key = task.job.id.artifact;
        if let Work::Plan(plan) = &task.job.work {
            let content = Content::Spec(Box::new(spec(plan)?));
            return Ok(vec![Made { key, content, metadata: Map::new() }].into());
        }
        let mut made = vec![object(task, key).await?];
        if let ArtifactKey::Chunk(n) = key {
            made.push(object(task, ArtifactKey::ChunkLastFrame(n)).await?);
        }
        Ok(made.into())
    }
}

/// A few bytes that no other artifact has.
async fn object(task: &Task, key: ArtifactKey) -> Result<Made, JobError> {
    let media_type = match key {
        ArtifactKey::Spec => MediaType::Json,
        ArtifactKey::Beat(_) | ArtifactKey::ChunkLastFrame(_) => MediaType::Png,
        ArtifactKey::Chunk(_) | ArtifactKey::Stitched | ArtifactKey::Final => MediaType::Mp4,
        ArtifactKey::Background => MediaType::Mp3,
        ArtifactKey::Thumbnail => MediaType::Jpeg,
    };
    let file = task.folder.join(key.stem());
    tokio::fs::write(&file, format!("{key} of {}", task.job.id))
        .await
        .map_err(|error| JobError::retry_later(format!("a scratch file cannot be written: {error}")))?;
    task.store(key, &file, media_type, Map::new()).await
}

/// Beats of 5 s, as many as the film has room for.
fn spec(plan: &PlanSpec) -> Result<Spec, JobError> {
    let count = rounded_duration(plan.duration.unwrap_or(30)) / 5;
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
            music: true,
            music_gain_db: 0.0,
            native_gain_db: 0.0,
            fade_in_s: 1.0,
            fade_out_s: 2.0,
        },
        transitions: Vec::new(),
        beats: (0..count).map(|n| Beat::from_library(beat, format!("scene {n}"))).collect(),
        reasoning: Reasoning::default(),
    };
    spec.derive();
    Ok(spec)
}
