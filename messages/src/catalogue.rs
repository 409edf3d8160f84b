//! What films are made of and with: models with their prices, beats and archetypes.
//!
//! All of it is data (`config/models.toml`, `config/library.toml`). The catalogue that a video was created with stays
//! its own: prices and beats do not move under a paused film.

use serde::{Deserialize, Serialize};

use crate::artifact::Digest;
use crate::money::Usd;

/// The models file that ships with the program.
pub const SHIPPED_MODELS: &str = include_str!("../../config/models.toml");
/// The library file that ships with the program.
pub const SHIPPED_LIBRARY: &str = include_str!("../../config/library.toml");

/// The provider of what is built in. A catalogue may price it; nothing leaves the machine.
pub const LOCAL: &str = "local";

/// Models, beats and archetypes, checked as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Every model, of every kind.
    pub models: Vec<Model>,
    /// The beats that a spec may use.
    pub beats: Vec<LibraryBeat>,
    /// The shapes that a film may take.
    pub archetypes: Vec<Archetype>,
}

/// A generator and its price.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The name that people choose it by.
    pub name: String,
    /// What it makes.
    pub kind: ModelKind,
    /// Who runs it; [`LOCAL`] is built in.
    pub provider: String,
    /// What the provider calls it.
    pub provider_model: String,
    /// What one use costs.
    pub price: Price,
    /// How long one clip is; none means any length. Video models only.
    #[serde(default)]
    pub clip_s: Option<f64>,
    /// Frames a second; none means whatever is asked for.
    #[serde(default)]
    pub fps: Option<u32>,
    /// Pixels, `1280x720`; none means whatever is asked for.
    #[serde(default)]
    pub size: Option<String>,
    /// What the provider calls the start image.
    #[serde(default)]
    pub start_image_parameter: Option<String>,
    /// Whether its clips have sound of their own, so that no music is laid under them by default.
    #[serde(default)]
    pub own_sound: bool,
    /// Whether a clip can go on from the last frame of another. Where it cannot, all chunks of a beat start from the beat's
    /// picture, and none waits for its neighbour. Video models only.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub continues: bool,
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_yes(continues: &bool) -> bool {
    *continues
}

/// What a model makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Specs.
    Language,
    /// Pictures.
    Image,
    /// Clips.
    Video,
    /// Music.
    Music,
}

/// A price with its unit. The unit is a type because multiplying seconds by a price per clip overstated costs six-fold
/// (W36).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Price {
    /// Nothing; such a model needs no reservation.
    Free,
    /// Dollars for each generation, however long.
    PerGeneration(Usd),
    /// Dollars for each second made.
    PerSecond(Usd),
}

impl Price {
    /// What one generation of `seconds` costs: the only function that estimates and the only one that books (W38).
    pub fn of_generation(self, seconds: f64) -> Usd {
        match self {
            Self::Free => Usd::ZERO,
            Self::PerGeneration(price) => price,
            // A generation is at most three minutes, so the product is far inside u64.
            Self::PerSecond(price) => Usd::from_micros((price.micros() as f64 * seconds.max(0.0)).ceil() as u64),
        }
    }

    /// The unit that is counted and how many of it one generation of `seconds` has; none when nothing is counted.
    pub const fn units(self, seconds: f64) -> Option<(&'static str, f64)> {
        match self {
            Self::Free => None,
            Self::PerGeneration(_) => Some(("generation", 1.0)),
            Self::PerSecond(_) => Some(("second", seconds)),
        }
    }

    /// Whether a use must be reserved first.
    pub const fn is_free(self) -> bool {
        match self {
            Self::Free => true,
            Self::PerGeneration(price) | Self::PerSecond(price) => price.micros() == 0,
        }
    }
}

/// A beat that a spec may use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibraryBeat {
    /// Its id.
    pub beat_id: String,
    /// Its usual length in seconds: 5, 10 or 15.
    pub duration: u32,
    /// Where in a film it usually stands.
    pub position: Position,
    /// How the subject is framed.
    pub shot_type: String,
    /// How the camera moves.
    pub camera_movement: String,
    /// How lively it is.
    pub energy_level: Energy,
    /// What happens.
    pub action: String,
    /// The product categories it suits; `all` suits each.
    pub products: Vec<String>,
}

/// Where in a film a beat usually stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// First.
    Opening,
    /// Between.
    Middle,
    /// Last.
    Closing,
}

/// How lively a beat is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Energy {
    /// Calm.
    Low,
    /// Between.
    Medium,
    /// Lively.
    High,
}

/// A shape that a film may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archetype {
    /// Its id; a spec's `template`.
    pub id: String,
    /// Usual length of such a film in seconds, from and to.
    pub typical_s: [u32; 2],
    /// The beats that tell it, in order.
    pub suggested_beats: Vec<String>,
    /// How the energy moves over the film: `steady` or `building`.
    pub energy_curve: String,
    /// The steps of the story.
    pub story_arc: Vec<String>,
    /// What it is meant for.
    pub meant_for: Vec<String>,
}

/// Why catalogue files cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogueError {
    /// Not TOML, or not of the right shape.
    #[error("the {file} file is not readable: {reason}")]
    Unreadable {
        /// Which file: `models` or `library`.
        file: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// Readable, but contradicting itself.
    #[error("the catalogue contradicts itself: {0}")]
    Inconsistent(String),
}

impl Catalogue {
    /// Reads the two files: one with `[[models]]`, one with `[[beats]]` and `[[archetypes]]`.
    pub fn from_toml(models: &str, library: &str) -> Result<Self, CatalogueError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Models {
            models: Vec<Model>,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Library {
            beats: Vec<LibraryBeat>,
            archetypes: Vec<Archetype>,
        }
        let unreadable = |file| move |e: toml::de::Error| CatalogueError::Unreadable { file, reason: e.to_string() };
        let Models { models } = toml::from_str(models).map_err(unreadable("models"))?;
        let Library { beats, archetypes } = toml::from_str(library).map_err(unreadable("library"))?;
        let catalogue = Self { models, beats, archetypes };
        catalogue.check()?;
        Ok(catalogue)
    }

    /// The catalogue that ships with the program.
    pub fn shipped() -> Result<Self, CatalogueError> {
        Self::from_toml(SHIPPED_MODELS, SHIPPED_LIBRARY)
    }

    /// Names are unique, archetypes use known beats, and every position has a beat.
    fn check(&self) -> Result<(), CatalogueError> {
        let inconsistent = |what: String| Err(CatalogueError::Inconsistent(what));
        for (i, model) in self.models.iter().enumerate() {
            if self.models[..i].iter().any(|other| other.name == model.name) {
                return inconsistent(format!("two models are named `{}`", model.name));
            }
            if model.clip_s.is_some_and(|s| !(s.is_finite() && s > 0.0)) {
                return inconsistent(format!("model `{}` has a clip length that is not above 0", model.name));
            }
        }
        for (i, beat) in self.beats.iter().enumerate() {
            if self.beats[..i].iter().any(|other| other.beat_id == beat.beat_id) {
                return inconsistent(format!("two beats are named `{}`", beat.beat_id));
            }
            if !matches!(beat.duration, 5 | 10 | 15) {
                return inconsistent(format!("beat `{}` lasts {} s, not 5, 10 or 15", beat.beat_id, beat.duration));
            }
        }
        for archetype in &self.archetypes {
            if let Some(unknown) = archetype.suggested_beats.iter().find(|id| self.beat(id).is_none()) {
                return inconsistent(format!("archetype `{}` suggests the unknown beat `{unknown}`", archetype.id));
            }
        }
        for position in [Position::Opening, Position::Middle, Position::Closing] {
            if !self.beats.iter().any(|beat| beat.position == position) {
                return inconsistent(format!("no beat has the position {position:?}"));
            }
        }
        if self.archetypes.is_empty() {
            return inconsistent("there is no archetype".to_owned());
        }
        Ok(())
    }

    /// The model of that name and kind.
    pub fn model(&self, kind: ModelKind, name: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.kind == kind && model.name == name)
    }

    /// The names of all models of a kind, for error messages.
    pub fn model_names(&self, kind: ModelKind) -> Vec<&str> {
        self.models.iter().filter(|model| model.kind == kind).map(|model| model.name.as_str()).collect()
    }

    /// The first model of a kind: the one that is used when nobody chooses.
    pub fn default_model(&self, kind: ModelKind) -> Option<&Model> {
        self.models.iter().find(|model| model.kind == kind)
    }

    /// The beat of that id.
    pub fn beat(&self, id: &str) -> Option<&LibraryBeat> {
        self.beats.iter().find(|beat| beat.beat_id == id)
    }

    /// The archetype of that id.
    pub fn archetype(&self, id: &str) -> Option<&Archetype> {
        self.archetypes.iter().find(|archetype| archetype.id == id)
    }

    /// The ids of all archetypes, for error messages.
    pub fn archetype_ids(&self) -> Vec<&str> {
        self.archetypes.iter().map(|archetype| archetype.id.as_str()).collect()
    }

    /// Names this very catalogue.
    pub fn digest(&self) -> Digest {
        // Only strings, numbers and lists: serialising cannot fail.
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_catalogue_is_consistent_and_complete() {
        let catalogue = Catalogue::shipped().expect("the shipped files are valid");
        assert_eq!(catalogue.beats.len(), 15);
        assert_eq!(catalogue.archetypes.len(), 5);
        assert_eq!(catalogue.default_model(ModelKind::Video).map(|m| m.name.as_str()), Some("local_animatic"));
        for kind in [ModelKind::Language, ModelKind::Image, ModelKind::Video, ModelKind::Music] {
            assert!(catalogue.default_model(kind).is_some_and(|model| model.price.is_free()), "{kind:?}");
        }
    }

    #[test]
    fn w36_a_price_per_generation_does_not_grow_with_seconds() {
        let price = Price::PerGeneration(Usd::from_micros(190_000));
        assert_eq!(price.of_generation(6.0), Usd::from_micros(190_000));
        assert_eq!(Price::PerSecond(Usd::from_micros(10_000)).of_generation(6.0), Usd::from_micros(60_000));
    }
}
