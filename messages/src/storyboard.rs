//! The storyboard's jobs.

use serde::{Deserialize, Serialize};

use crate::catalogue::Model;
use crate::spec::{Beat, Product, Size, Style};

/// Coordinator to storyboard: draw one beat as a PNG of exactly `size`. Drawing it twice gives the same picture, and the
/// first record wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrawBeat {
    /// The beat's number in the film, from 0.
    pub beat_index: u32,
    /// How many beats the film has.
    pub beat_count: u32,
    /// The beat; its prompt is the one to draw.
    pub beat: Beat,
    /// The film's look.
    pub style: Style,
    /// What the film is about.
    pub product: Product,
    /// Pixels.
    pub size: Size,
    /// The same seed gives the same picture; another seed a visibly different one.
    pub seed: u64,
    /// The model to draw with.
    pub model: Model,
}
