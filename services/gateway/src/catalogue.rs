//! What films are made of and with, as the catalogue files say.

use axum::Json;
use axum::extract::State;
use messages::catalogue::{Model, ModelKind, Price};
use serde::Serialize;
use utoipa::ToSchema;

use crate::router::Shared;

/// A generator and its price.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelView {
    /// The name to choose it by.
    name: String,
    /// What it makes: `language`, `image`, `video` or `music`.
    #[schema(value_type = String)]
    kind: ModelKind,
    /// Who runs it; `local` is built in.
    provider: String,
    /// What the provider calls it.
    provider_model: String,
    /// What one use costs, dollars per `price_unit`.
    price_usd: f64,
    /// `free`, `per_generation` or `per_second`.
    price_unit: &'static str,
    /// How long one clip is, seconds; none means any length.
    clip_s: Option<f64>,
    /// Frames a second; none means whatever is asked for.
    fps: Option<u32>,
    /// Pixels, `1280x720`; none means whatever is asked for.
    size: Option<String>,
    /// Whether its clips have sound of their own.
    own_sound: bool,
    /// Whether it is the one that is used when nobody chooses.
    default: bool,
}

/// Every model.
#[utoipa::path(get, path = "/api/models", tag = "catalogue", responses((status = 200, body = [ModelView])))]
pub async fn models(State(app): State<Shared>) -> Json<Vec<ModelView>> {
    let is_default =
        |model: &Model| app.catalogue.default_model(model.kind).is_some_and(|first| first.name == model.name);
    Json(app.catalogue.models.iter().map(|model| ModelView::of(model, is_default(model))).collect())
}

impl ModelView {
    fn of(model: &Model, default: bool) -> Self {
        let (price_usd, price_unit) = match model.price {
            Price::Free => (0.0, "free"),
            Price::PerGeneration(price) => (price.dollars(), "per_generation"),
            Price::PerSecond(price) => (price.dollars(), "per_second"),
        };
        Self {
            name: model.name.clone(),
            kind: model.kind,
            provider: model.provider.clone(),
            provider_model: model.provider_model.clone(),
            price_usd,
            price_unit,
            clip_s: model.clip_s,
            fps: model.fps,
            size: model.size.clone(),
            own_sound: model.own_sound,
            default,
        }
    }
}

/// A shape that a film may take.
#[derive(Debug, Serialize, ToSchema)]
pub struct Template {
    /// Its id: `template` of a request and of a spec.
    id: String,
    /// Usual length of such a film in seconds, from and to.
    typical_s: [u32; 2],
    /// The beats that tell it, in order.
    suggested_beats: Vec<String>,
    /// `steady` or `building`.
    energy_curve: String,
    /// The steps of the story.
    story_arc: Vec<String>,
    /// What it is meant for.
    meant_for: Vec<String>,
}

/// Every archetype.
#[utoipa::path(get, path = "/api/templates", tag = "catalogue", responses((status = 200, body = [Template])))]
pub async fn templates(State(app): State<Shared>) -> Json<Vec<Template>> {
    let view = |archetype: &messages::catalogue::Archetype| Template {
        id: archetype.id.clone(),
        typical_s: archetype.typical_s,
        suggested_beats: archetype.suggested_beats.clone(),
        energy_curve: archetype.energy_curve.clone(),
        story_arc: archetype.story_arc.clone(),
        meant_for: archetype.meant_for.clone(),
    };
    Json(app.catalogue.archetypes.iter().map(view).collect())
}

/// A beat that a spec may use.
#[derive(Debug, Serialize, ToSchema)]
pub struct BeatView {
    /// Its id.
    beat_id: String,
    /// Its usual length in seconds.
    duration: u32,
    /// `opening`, `middle` or `closing`.
    #[schema(value_type = String)]
    position: messages::catalogue::Position,
    /// How the subject is framed.
    shot_type: String,
    /// How the camera moves.
    camera_movement: String,
    /// `low`, `medium` or `high`.
    #[schema(value_type = String)]
    energy_level: messages::catalogue::Energy,
    /// What happens.
    action: String,
    /// The product categories it suits.
    products: Vec<String>,
}

/// Every beat of the library.
#[utoipa::path(get, path = "/api/beats", tag = "catalogue", responses((status = 200, body = [BeatView])))]
pub async fn beats(State(app): State<Shared>) -> Json<Vec<BeatView>> {
    let view = |beat: &messages::catalogue::LibraryBeat| BeatView {
        beat_id: beat.beat_id.clone(),
        duration: beat.duration,
        position: beat.position,
        shot_type: beat.shot_type.clone(),
        camera_movement: beat.camera_movement.clone(),
        energy_level: beat.energy_level,
        action: beat.action.clone(),
        products: beat.products.clone(),
    };
    Json(app.catalogue.beats.iter().map(view).collect())
}
