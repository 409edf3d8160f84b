//! The spec: what a film is to be, beat by beat, and the rules that every spec obeys.
//!
//! The same rules check what a planner made and what a person edited (W29). Fields that follow from others (`duration`,
//! `resolution`, each beat's `start`) are derived here and nowhere else.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::artifact::Digest;
use crate::catalogue::{Catalogue, Energy, LibraryBeat, Position};
use crate::id::{InvalidId, as_string};
use crate::violation::Violation;
use serde::{Deserializer, Serializer};

/// What a film is to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The archetype's id.
    pub template: String,
    /// Seconds; the sum of the beats, derived.
    pub duration: u32,
    /// Frames a second of the finished film.
    pub fps: u32,
    /// Pixels, derived from the aspect ratio.
    pub resolution: Size,
    /// Width to height.
    pub aspect_ratio: AspectRatio,
    /// What the film is about.
    pub product: Product,
    /// How it looks.
    pub style: Style,
    /// How it sounds.
    pub audio: Audio,
    /// How beats meet; a pair that is not named is cut.
    pub transitions: Vec<Transition>,
    /// The beats, in order.
    pub beats: Vec<Beat>,
    /// Why the planner chose so.
    pub reasoning: Reasoning,
}

/// What a film is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// As the prompt calls it, in the prompt's language.
    pub name: String,
    /// A category, as the beat library spells them.
    pub category: String,
}

/// How a film looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Style {
    /// In words.
    pub aesthetic: String,
    /// 3 to 5 colours, `#rrggbb`.
    pub color_palette: Vec<Color>,
    /// The feeling.
    pub mood: Mood,
    /// In words.
    pub lighting: String,
}

/// The feeling of a film.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mood {
    /// Lively.
    Energetic,
    /// Refined.
    Elegant,
    /// Reduced.
    Minimalist,
    /// Touching.
    Emotional,
    /// Explaining.
    Informative,
}

/// A colour, `#rrggbb` in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Color {
    /// Red.
    pub r: u8,
    /// Green.
    pub g: u8,
    /// Blue.
    pub b: u8,
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.r, self.g, self.b)
    }
}

impl FromStr for Color {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let hex = text.strip_prefix('#').filter(|hex| hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = |hex: &str, i: usize| u8::from_str_radix(&hex[i..i + 2], 16).ok();
        hex.and_then(|hex| Some(Self { r: byte(hex, 0)?, g: byte(hex, 2)?, b: byte(hex, 4)? }))
            .ok_or_else(|| InvalidId::new(text, "a colour (`#rrggbb`)"))
    }
}

as_string!(Color);

/// Width to height.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum AspectRatio {
    /// Screens.
    #[default]
    #[serde(rename = "16:9")]
    Landscape,
    /// Phones.
    #[serde(rename = "9:16")]
    Portrait,
    /// Square.
    #[serde(rename = "1:1")]
    Square,
    /// Feeds.
    #[serde(rename = "4:5")]
    Feed,
}

impl AspectRatio {
    /// The film's size in pixels.
    pub const fn size(self) -> Size {
        match self {
            Self::Landscape => Size { width: 1280, height: 720 },
            Self::Portrait => Size { width: 720, height: 1280 },
            Self::Square => Size { width: 1080, height: 1080 },
            Self::Feed => Size { width: 1080, height: 1350 },
        }
    }
}

/// Width and height in pixels, written `1280x720`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Size {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.split_once('x')
            .and_then(|(width, height)| Some(Self { width: width.parse().ok()?, height: height.parse().ok()? }))
            .filter(|size| size.to_string() == text)
            .ok_or_else(|| InvalidId::new(text, "a size (`1280x720`)"))
    }
}

as_string!(Size);

/// How a film sounds. Levels are applied after the loudness normalisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audio {
    /// The kind of music.
    pub music_style: MusicStyle,
    /// How fast.
    pub tempo: Tempo,
    /// The feeling of the music.
    pub mood: Mood,
    /// Whether there is music at all.
    #[serde(default = "yes")]
    pub music: bool,
    /// Decibels, -60 to 12.
    #[serde(default)]
    pub music_gain_db: f64,
    /// Decibels, -60 to 12, of the clips' own sound.
    #[serde(default)]
    pub native_gain_db: f64,
    /// Seconds.
    #[serde(default = "one_second")]
    pub fade_in_s: f64,
    /// Seconds.
    #[serde(default = "two_seconds")]
    pub fade_out_s: f64,
}

fn yes() -> bool {
    true
}
fn one_second() -> f64 {
    1.0
}
fn two_seconds() -> f64 {
    2.0
}

/// The kind of music.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MusicStyle {
    /// Cheerful.
    Upbeat,
    /// Wide.
    Cinematic,
    /// Businesslike.
    Corporate,
    /// Quiet.
    Calm,
    /// Driving.
    Energetic,
    /// Catchy.
    Advertising,
}

/// How fast music goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tempo {
    /// About 76 beats a minute.
    Slow,
    /// About 100.
    Medium,
    /// About 126.
    Fast,
}

/// How a beat passes into the next, inside the film's length.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transition {
    /// The beat, counted from 0, that it leaves.
    pub after_beat: u32,
    /// What happens.
    #[serde(rename = "type")]
    pub kind: TransitionKind,
    /// Seconds, at most 2; ignored for a cut.
    #[serde(default)]
    pub duration: f64,
}

/// What happens between two beats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransitionKind {
    /// From one frame to the next.
    Cut,
    /// Through black.
    Fade,
    /// One into the other.
    Crossfade,
}

/// One scene of a film.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beat {
    /// The library's id; may repeat in a film.
    pub beat_id: String,
    /// Seconds from the film's start; derived.
    #[serde(default)]
    pub start: u32,
    /// Seconds: 5, 10 or 15.
    pub duration: u32,
    /// How the subject is framed.
    pub shot_type: String,
    /// What happens.
    pub action: String,
    /// How the camera moves.
    pub camera_movement: String,
    /// Where it usually stands.
    pub typical_position: Position,
    /// How lively it is.
    pub energy_level: Energy,
    /// The scene in words, under 40 of them.
    pub prompt: String,
}

impl Beat {
    /// A beat as the library has it, with its scene.
    pub fn from_library(beat: &LibraryBeat, prompt: String) -> Self {
        Self {
            beat_id: beat.beat_id.clone(),
            start: 0,
            duration: beat.duration,
            shot_type: beat.shot_type.clone(),
            action: beat.action.clone(),
            camera_movement: beat.camera_movement.clone(),
            typical_position: beat.position,
            energy_level: beat.energy_level,
            prompt,
        }
    }
}

/// Why the planner chose so; shown to the reviewer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reasoning {
    /// Why this archetype.
    pub archetype: String,
    /// Why these beats.
    pub beats: String,
}

/// The shortest film, seconds.
pub const MIN_DURATION_S: u32 = 5;
/// The longest film, seconds.
pub const MAX_DURATION_S: u32 = 180;
/// The length of a film when nobody says one, seconds.
pub const DEFAULT_DURATION_S: u32 = 30;
/// The most beats of a film.
pub const MAX_BEATS: usize = 36;

/// The length that beats must sum to for a requested one: the nearest 5 s.
pub const fn rounded_duration(requested_s: u32) -> u32 {
    (requested_s + 2) / 5 * 5
}

impl Spec {
    /// Sets what follows from the rest: `duration`, `resolution`, each beat's `start`.
    pub fn derive(&mut self) {
        let mut start = 0u32;
        for beat in &mut self.beats {
            beat.start = start;
            start = start.saturating_add(beat.duration);
        }
        self.duration = start;
        self.resolution = self.aspect_ratio.size();
    }

    /// Every rule that the spec breaks, all at once; none means it may be used. `requested_s` binds only the planner:
    /// an edit may change the length.
    pub fn violations(&self, catalogue: &Catalogue, requested_s: Option<u32>) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut broken = |field: String, reason: String| found.push(Violation { field, reason });

        if catalogue.archetype(&self.template).is_none() {
            let known = catalogue.archetype_ids().join(", ");
            broken("template".into(), format!("unknown template `{}`; known: {known}", cut(&self.template)));
        }
        if !(12..=60).contains(&self.fps) {
            broken("fps".into(), "must be 12 to 60".into());
        }
        if !(3..=5).contains(&self.style.color_palette.len()) {
            broken(
                "style.color_palette".into(),
                format!("needs 3 to 5 colours, has {}", self.style.color_palette.len()),
            );
        }
        if self.product.name.trim().is_empty() {
            broken("product.name".into(), "must not be empty".into());
        }
        for (field, text) in [
            ("product.name", &self.product.name),
            ("product.category", &self.product.category),
            ("style.aesthetic", &self.style.aesthetic),
            ("style.lighting", &self.style.lighting),
        ] {
            if text.chars().count() > 200 {
                broken(field.into(), "must be at most 200 characters".into());
            }
        }

        for (field, value, range) in [
            ("audio.music_gain_db", self.audio.music_gain_db, -60.0..=12.0),
            ("audio.native_gain_db", self.audio.native_gain_db, -60.0..=12.0),
            ("audio.fade_in_s", self.audio.fade_in_s, 0.0..=30.0),
            ("audio.fade_out_s", self.audio.fade_out_s, 0.0..=30.0),
        ] {
            // `contains` is false for NaN.
            if !range.contains(&value) {
                broken(field.into(), format!("must be {} to {}", range.start(), range.end()));
            }
        }

        if self.beats.is_empty() || self.beats.len() > MAX_BEATS {
            broken("beats".into(), format!("a film has 1 to {MAX_BEATS} beats, this has {}", self.beats.len()));
        }
        for (i, beat) in self.beats.iter().enumerate() {
            if catalogue.beat(&beat.beat_id).is_none() {
                broken(format!("beats[{i}].beat_id"), format!("`{}` is not in the beat library", cut(&beat.beat_id)));
            }
            if !matches!(beat.duration, 5 | 10 | 15) {
                broken(format!("beats[{i}].duration"), format!("must be 5, 10 or 15 s, is {}", beat.duration));
            }
            let words = beat.prompt.split_whitespace().count();
            if words == 0 || words >= 40 || beat.prompt.chars().count() > 600 {
                broken(format!("beats[{i}].prompt"), "must be 1 to 39 words and at most 600 characters".into());
            }
            for (field, text) in
                [("shot_type", &beat.shot_type), ("action", &beat.action), ("camera_movement", &beat.camera_movement)]
            {
                if text.is_empty() || text.chars().count() > 64 {
                    broken(format!("beats[{i}].{field}"), "must be 1 to 64 characters".into());
                }
            }
        }

        let total: u64 = self.beats.iter().map(|beat| u64::from(beat.duration)).sum();
        match requested_s.map(|requested| u64::from(rounded_duration(requested))) {
            Some(wanted) if total != wanted => {
                broken("beats".into(), format!("the beats last {total} s together, {wanted} s were asked for"));
            }
            Some(_) => {}
            None if !(u64::from(MIN_DURATION_S)..=u64::from(MAX_DURATION_S)).contains(&total) => {
                broken("beats".into(), format!("a film lasts {MIN_DURATION_S} to {MAX_DURATION_S} s, this {total}"));
            }
            None => {}
        }

        for (i, transition) in self.transitions.iter().enumerate() {
            let field = |name: &str| format!("transitions[{i}].{name}");
            let joined = (transition.after_beat as usize).saturating_add(1) < self.beats.len();
            if !joined {
                broken(field("after_beat"), "must name a beat that has a next one".into());
            }
            if self.transitions[..i].iter().any(|other| other.after_beat == transition.after_beat) {
                broken(field("after_beat"), "is named twice".into());
            }
            let valid = match transition.kind {
                TransitionKind::Cut => (0.0..=2.0).contains(&transition.duration),
                TransitionKind::Fade | TransitionKind::Crossfade => (0.1..=2.0).contains(&transition.duration),
            };
            if !valid {
                broken(field("duration"), "must be 0.1 to 2 s".into());
            }
        }
        found
    }

    /// What a reviewer should know though it is allowed.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.beats.first().is_some_and(|beat| beat.typical_position != Position::Opening) {
            warnings.push("the first beat is not of the opening group".to_owned());
        }
        if self.beats.last().is_some_and(|beat| beat.typical_position != Position::Closing) {
            warnings.push("the last beat is not of the closing group".to_owned());
        }
        warnings
    }

    /// SHA-256 of its JSON, fields in the order of this file.
    pub fn digest(&self) -> Digest {
        // Strings, finite numbers and lists: serialising cannot fail.
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// The transition that leaves a beat, if it is more than a cut.
    pub fn transition_after(&self, beat: u32) -> Option<&Transition> {
        self.transitions.iter().find(|t| t.after_beat == beat && t.kind != TransitionKind::Cut)
    }
}

/// What people wrote, cut to what an error message can carry.
fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}
