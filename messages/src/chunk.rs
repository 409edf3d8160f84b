//! The chunk service's jobs, and the plan that they follow.

use serde::{Deserialize, Serialize};

use crate::artifact::ObjectRef;
use crate::catalogue::Model;
use crate::spec::{Beat, Size, Spec, Style, Transition};

/// One chunk of the film: a beat, or a part of one where a model's clips are shorter than the beat.
///
/// Beat boundaries are chunk boundaries (W32). The plan is kept with the checkpoint, because making one chunk again
/// needs it (W8).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedChunk {
    /// Its number in the film, from 0.
    pub index: u32,
    /// Its beat, from 0.
    pub beat_index: u32,
    /// Seconds from the film's start.
    pub start_s: f64,
    /// Seconds that it lasts in the film.
    pub duration_s: f64,
    /// Seconds of its beat that came before it.
    pub offset_in_beat_s: f64,
    /// Whether it starts from its neighbour's last frame rather than from the beat's picture (W33).
    pub chained: bool,
}

/// The chunks of a film for a model whose clips last `clip_s`; none means any length.
///
/// A beat of D seconds has ceil(D / L) chunks; the last is trimmed so that the beat lasts D. Each but the first starts from
/// its neighbour's last frame, unless the model cannot go on from one: then there is nothing to wait for.
pub fn plan(spec: &Spec, clip_s: Option<f64>, continues: bool) -> Vec<PlannedChunk> {
    let mut chunks = Vec::new();
    for (beat_index, beat) in (0u32..).zip(&spec.beats) {
        let beat_s = f64::from(beat.duration);
        let clip_s = clip_s.filter(|s| *s > 0.0).unwrap_or(beat_s);
        let mut offset = 0.0;
        // A hundredth of a second is less than a frame: a rest that short is rounding, not a chunk.
        while beat_s - offset > 0.01 {
            let duration_s = clip_s.min(beat_s - offset);
            chunks.push(PlannedChunk {
                index: chunks.len() as u32,
                beat_index,
                start_s: f64::from(beat.start) + offset,
                duration_s,
                offset_in_beat_s: offset,
                chained: continues && offset > 0.0,
            });
            offset += duration_s;
        }
    }
    chunks
}

/// Coordinator to chunk service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "one per job, never in bulk")]
pub enum ChunkWork {
    /// Render one chunk. The outcome has two artifacts: the chunk (MP4) and its last frame (PNG).
    Render(RenderChunk),
    /// Join all chunks. The outcome has one artifact: `stitched` (MP4).
    Stitch(StitchFilm),
}

/// Render one chunk: exactly `chunk.duration_s` long, of the given size and rate, H.264 yuv420p, silent unless the
/// model has sound of its own. Rendering it twice gives the same chunk, and the first record wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RenderChunk {
    /// Its place in the plan.
    pub chunk: PlannedChunk,
    /// Its beat; the prompt is the one to render.
    pub beat: Beat,
    /// The film's look.
    pub style: Style,
    /// The picture that it starts from: the beat's, or its neighbour's last frame.
    pub start_image: ObjectRef,
    /// Pixels.
    pub size: Size,
    /// Frames a second.
    pub fps: u32,
    /// The same seed gives the same chunk.
    pub seed: u64,
    /// The model to render with.
    pub model: Model,
}

/// Join chunks into the film without music: scaled to fit and padded to `size`, at `fps`, H.264 yuv420p with
/// `+faststart`, AAC when any chunk has sound, transitions inside the total length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StitchFilm {
    /// The chunks, in order.
    pub chunks: Vec<StitchChunk>,
    /// How beats meet.
    pub transitions: Vec<Transition>,
    /// Pixels.
    pub size: Size,
    /// Frames a second.
    pub fps: u32,
    /// Seconds of the whole film.
    pub duration_s: f64,
}

/// One chunk to join.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StitchChunk {
    /// Its beat, from 0.
    pub beat_index: u32,
    /// Seconds that it lasts in the film.
    pub duration_s: f64,
    /// The clip.
    pub object: ObjectRef,
}
