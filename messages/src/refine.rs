//! The refine service's jobs.

use serde::{Deserialize, Serialize};

use crate::artifact::ObjectRef;
use crate::catalogue::{Energy, Model};
use crate::spec::Audio;

/// Coordinator to refine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefineWork {
    /// Make the music. The outcome has one artifact: `background` (MP3).
    Compose(ComposeMusic),
    /// Lay it under the film. The outcome has `final` (MP4) and, where that was ordered too, `thumbnail` (JPEG).
    Mix(MixFilm),
    /// Choose one picture of a film that has a thumbnail already, or whose mix came without one. The outcome has one
    /// artifact: `thumbnail` (JPEG).
    Thumbnail(MakeThumbnail),
}

impl RefineWork {
    /// Whether it is a mix that brings the thumbnail.
    pub fn has_thumbnail(&self) -> bool {
        matches!(self, Self::Mix(mix) if mix.thumbnail)
    }
}

/// Make music exactly as long as the film. Composing it twice gives the same music, and the first record wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComposeMusic {
    /// What it should be like.
    pub audio: Audio,
    /// Seconds.
    pub duration_s: f64,
    /// The film's beats, so that the music can follow them: start in seconds and liveliness.
    pub sections: Vec<MusicSection>,
    /// The same seed gives the same music.
    pub seed: u64,
    /// The model to compose with.
    pub model: Model,
}

/// The music under one beat of the film.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MusicSection {
    /// Seconds from the film's start.
    pub start_s: f64,
    /// How lively the beat is.
    pub energy: Energy,
}

/// Lay music under the film: faded, ducked under the film's own sound, -14 LUFS integrated, at most -1 dBTP. Without
/// music the film's own sound is kept; a film without any sound gets silence. Mixing twice gives the same film, and the
/// first record wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MixFilm {
    /// The stitched film.
    pub film: ObjectRef,
    /// The music; none when it is off.
    pub music: Option<ObjectRef>,
    /// Levels and fades.
    pub audio: Audio,
    /// Seconds of the film.
    pub duration_s: f64,
    /// Whether a thumbnail is wanted with it: one fetch of the film and one job do for both. A worker of a version that
    /// does not know this makes the film alone, and the thumbnail gets a job of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub thumbnail: bool,
}

/// Choose one picture of the film and store it as a JPEG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MakeThumbnail {
    /// The stitched film.
    pub film: ObjectRef,
    /// Seconds of the film.
    pub duration_s: f64,
}
