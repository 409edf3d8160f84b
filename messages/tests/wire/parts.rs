//! What the sample messages are made of. Every field has a value of its own, so that swapped ones show.

use chrono::{DateTime, Utc};
use messages::artifact::{Artifact, ArtifactKey, Content, Digest, Made, MediaType, ObjectRef};
use messages::catalogue::{Archetype, Catalogue, Energy, LibraryBeat, Model, ModelKind, Position, Price};
use messages::chunk::PlannedChunk;
use messages::id::{ArtifactId, BranchName, CheckpointId, CommandId, JobId, UserId, VideoId};
use messages::job::Spent;
use messages::money::Usd;
use messages::phase::Phase;
use messages::spec::{
    AspectRatio, Audio, Beat, Mood, MusicStyle, Product, Reasoning, Spec, Style, Tempo, Transition, TransitionKind,
};
use messages::video::{AutoContinue, AutoContinueLimits, Models, Request, Settings};
use serde_json::{Map, Value, json};
use uuid::Uuid;

pub fn video() -> VideoId {
    "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid")
}

pub fn user() -> UserId {
    "ada".parse().expect("valid")
}

pub fn branch(name: &str) -> BranchName {
    name.parse().expect("valid")
}

pub fn command_id() -> CommandId {
    "order-66".parse().expect("valid")
}

/// As ids were derived when the first fixtures were frozen.
pub fn checkpoint(phase: Phase) -> CheckpointId {
    let [.., first] = CheckpointId::derivations(video(), &BranchName::main(), phase, 1);
    first
}

pub fn artifact_id(key: ArtifactKey, version: u32) -> ArtifactId {
    ArtifactId::derived(video(), checkpoint(key.phase()), key, version)
}

pub fn job(key: ArtifactKey) -> JobId {
    JobId { checkpoint: checkpoint(key.phase()), artifact: key, version: 2 }
}

/// A worker's word for one try.
pub fn nonce() -> Uuid {
    Uuid::from_u128(0x0195_f0a0_2222_4000_8000_0000_0000_0009)
}

/// A moment, so many seconds after the first one. It has milliseconds, which must not get lost.
pub fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 250_000_000).expect("valid")
}

pub fn usd(micros: u64) -> Usd {
    Usd::from_micros(micros)
}

pub fn object(key: ArtifactKey, media_type: MediaType) -> ObjectRef {
    let sha256 = Digest::of(key.to_string().as_bytes());
    let folder = format!("ada/videos/{}/main/{}", video(), checkpoint(key.phase()));
    let name = format!("{folder}/{}_v1-{}.{}", key.stem(), sha256.short(), media_type.extension());
    ObjectRef { key: name, sha256, size: 123_456, media_type }
}

pub fn metadata() -> Map<String, Value> {
    let Value::Object(metadata) = json!({"model": "local_painter", "seconds": 1.5, "seed": 7}) else { unreachable!() };
    metadata
}

pub fn made(key: ArtifactKey, media_type: MediaType) -> Made {
    Made { key, content: Content::Object(object(key, media_type)), metadata: metadata() }
}

pub fn artifact(key: ArtifactKey, content: Content) -> Artifact {
    Artifact {
        id: artifact_id(key, 2),
        checkpoint_id: checkpoint(key.phase()),
        key,
        version: 2,
        content,
        metadata: metadata(),
        job: Some(job(key)),
        created_at: time(5),
    }
}

pub fn spent() -> Spent {
    Spent { model: "hailuo".into(), unit: "generation".into(), quantity: 1.0, amount: usd(280_000) }
}

pub fn model() -> Model {
    Model {
        name: "hailuo".into(),
        kind: ModelKind::Video,
        provider: "replicate".into(),
        provider_model: "minimax/hailuo-2.3".into(),
        price: Price::PerGeneration(usd(280_000)),
        clip_s: Some(6.0),
        fps: Some(24),
        size: Some("1280x720".into()),
        start_image_parameter: Some("first_frame_image".into()),
        own_sound: false,
        continues: true,
    }
}

pub fn free_model(name: &str, kind: ModelKind) -> Model {
    Model {
        name: name.into(),
        kind,
        provider: "local".into(),
        provider_model: name.into(),
        price: Price::Free,
        clip_s: None,
        fps: None,
        size: None,
        start_image_parameter: None,
        own_sound: false,
        continues: true,
    }
}

/// A catalogue with one of everything.
pub fn catalogue() -> Catalogue {
    Catalogue {
        models: vec![
            free_model("rules", ModelKind::Language),
            free_model("painter", ModelKind::Image),
            Model { price: Price::PerSecond(usd(50_000)), own_sound: true, ..model() },
            free_model("band", ModelKind::Music),
        ],
        beats: vec![LibraryBeat {
            beat_id: "hero_shot".into(),
            duration: 5,
            position: Position::Opening,
            shot_type: "close_up".into(),
            camera_movement: "slow_dolly_in".into(),
            energy_level: Energy::Medium,
            action: "product_reveal".into(),
            products: vec!["all".into()],
        }],
        archetypes: vec![Archetype {
            id: "luxury_showcase".into(),
            typical_s: [10, 30],
            suggested_beats: vec!["hero_shot".into()],
            energy_curve: "steady".into(),
            story_arc: vec!["reveal".into(), "desire".into()],
            meant_for: vec!["luxury".into()],
        }],
    }
}

pub fn beat() -> Beat {
    Beat {
        beat_id: "hero_shot".into(),
        start: 0,
        duration: 10,
        shot_type: "close_up".into(),
        action: "product_reveal".into(),
        camera_movement: "slow_dolly_in".into(),
        typical_position: Position::Opening,
        energy_level: Energy::High,
        prompt: "A watch on black marble, a warm light passing over its face".into(),
    }
}

pub fn style() -> Style {
    Style {
        aesthetic: "refined".into(),
        color_palette: ["#000000", "#d4af37", "#ffffff"].map(|color| color.parse().expect("a colour")).to_vec(),
        mood: Mood::Elegant,
        lighting: "soft".into(),
    }
}

pub fn product() -> Product {
    Product { name: "Uhr für Ärzte".into(), category: "luxury".into() }
}

pub fn audio() -> Audio {
    Audio {
        music_style: MusicStyle::Cinematic,
        tempo: Tempo::Slow,
        mood: Mood::Emotional,
        music: true,
        music_gain_db: -3.5,
        native_gain_db: 1.25,
        fade_in_s: 0.5,
        fade_out_s: 2.5,
    }
}

pub fn transition() -> Transition {
    Transition { after_beat: 0, kind: TransitionKind::Crossfade, duration: 0.75 }
}

pub fn spec() -> Spec {
    let mut spec = Spec {
        template: "luxury_showcase".into(),
        duration: 0,
        fps: 30,
        resolution: AspectRatio::Feed.size(),
        aspect_ratio: AspectRatio::Feed,
        product: product(),
        style: style(),
        audio: audio(),
        transitions: vec![transition()],
        beats: vec![beat(), Beat { duration: 5, typical_position: Position::Closing, ..beat() }],
        reasoning: Reasoning { archetype: "it is a watch".into(), beats: "a slow reveal".into() },
    };
    spec.derive();
    spec
}

pub fn planned_chunk() -> PlannedChunk {
    PlannedChunk { index: 1, beat_index: 0, start_s: 6.0, duration_s: 4.0, offset_in_beat_s: 6.0, chained: true }
}

pub fn request() -> Request {
    Request {
        prompt: "An ad for a mechanical watch".into(),
        description: Some("For people who wait".into()),
        models: Models {
            language: "rules".into(),
            image: "painter".into(),
            video: "hailuo".into(),
            music: "band".into(),
        },
        duration: Some(15),
        aspect_ratio: Some(AspectRatio::Feed),
        template: Some("luxury_showcase".into()),
        creativity: 0.25,
        seed: 9_007_199_254_740_991,
    }
}

pub fn limits() -> AutoContinue {
    AutoContinue::On(AutoContinueLimits { until: Some(Phase::Chunks), max_cost_usd: Some(usd(2_000_000)) })
}

pub fn settings() -> Settings {
    Settings { title: Some("Patience".into()), auto_continue: limits(), budget_usd: Some(usd(5_000_000)) }
}
