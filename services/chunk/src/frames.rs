//! Seconds of the film to frame numbers. Pure.
//!
//! Every count is a difference of two positions in the film, so that roundings never add up: the chunks of a film have
//! exactly `round(duration * fps)` frames together, whatever their own lengths are.

use messages::chunk::{PlannedChunk, StitchChunk};
use messages::spec::Beat;

/// The longest film that is counted, in seconds; far beyond what a spec allows.
const LONGEST_S: f64 = 3600.0;

/// The number of the frame that starts at a position of the film, given in seconds.
pub fn frame_at(seconds: f64, fps: u32) -> u32 {
    // The sum of two lengths and the start that was planned from them may differ in the last bit. Both have to land on
    // the same frame when the position is half way between two.
    (seconds.clamp(0.0, LONGEST_S) * f64::from(fps) + 0.5 + 1e-6).floor() as u32
}

/// The frames of a chunk and of its beat, counted over the whole film.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The film's frames a second.
    pub fps: u32,
    /// The beat's first frame.
    pub beat_start: u32,
    /// The chunk's first frame.
    pub start: u32,
    /// The frame after the chunk's last.
    pub end: u32,
}

impl Span {
    /// Where a planned chunk lies. None when it has no frame, or when its numbers are no plan's.
    pub fn of(chunk: &PlannedChunk, beat: &Beat, fps: u32) -> Option<Self> {
        let end_s = chunk.start_s + chunk.duration_s;
        let beat_start_s = chunk.start_s - chunk.offset_in_beat_s;
        let planned = chunk.offset_in_beat_s >= 0.0
            && chunk.duration_s > 0.0
            && beat_start_s >= -1e-6
            && end_s <= beat_start_s + f64::from(beat.duration) + 0.05
            && end_s <= LONGEST_S;
        let span = Self {
            fps,
            beat_start: frame_at(beat_start_s, fps),
            start: frame_at(chunk.start_s, fps),
            end: frame_at(end_s, fps),
        };
        (planned && fps > 0 && span.end > span.start).then_some(span)
    }

    /// How many frames the chunk has.
    pub fn frames(&self) -> u32 {
        self.end - self.start
    }

    /// Seconds of the chunk.
    pub fn seconds(&self) -> f64 {
        f64::from(self.frames()) / f64::from(self.fps)
    }

    /// Seconds of the beat that passed before the chunk's `n`-th frame, from 0.
    pub fn time_in_beat(&self, n: u32) -> f64 {
        f64::from(self.start + n - self.beat_start) / f64::from(self.fps)
    }
}

/// How many frames a planned chunk has. None when it has none, or when its numbers are no plan's.
pub fn of_planned(chunk: &PlannedChunk, fps: u32) -> Option<u32> {
    let end_s = chunk.start_s + chunk.duration_s;
    let planned = chunk.start_s >= 0.0 && chunk.duration_s > 0.0 && end_s <= LONGEST_S;
    let frames = frame_at(end_s, fps).saturating_sub(frame_at(chunk.start_s, fps));
    (planned && frames > 0).then_some(frames)
}

/// How many frames each chunk of a film has.
pub fn of_chunks(chunks: &[StitchChunk], fps: u32) -> Vec<u32> {
    let mut position = 0.0;
    let mut counts = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let start = frame_at(position, fps);
        position += chunk.duration_s;
        counts.push(frame_at(position, fps).saturating_sub(start));
    }
    counts
}
