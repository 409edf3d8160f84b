//! What a video model is asked for: a chunk's job, worded. Pure.
//!
//! Prompt and picture always come from the chunk's own beat (W32). A chunk that goes on from its neighbour's last frame
//! says so, or a model would start the scene anew.

use messages::chunk::RenderChunk;
use messages::spec::Size;

use crate::frames::Span;

/// One clip to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipRequest {
    /// The scene, the camera, the look and how it goes on, in words.
    pub prompt: String,
    /// How the camera moves, as the beat says it.
    pub camera_movement: String,
    /// Seconds of the whole beat, over which the camera moves once.
    pub beat_s: f64,
    /// The clip's frames.
    pub span: Span,
    /// Whether the start image is the last frame of the chunk before.
    pub chained: bool,
    /// Pixels.
    pub size: Size,
    /// The same seed gives the same clip.
    pub seed: u64,
}

impl ClipRequest {
    /// The request for a job, or why there is none.
    pub fn of(job: &RenderChunk) -> Result<Self, String> {
        let span = Span::of(&job.chunk, &job.beat, job.fps).ok_or_else(|| {
            format!(
                "chunk {} has an impossible place in its film: {} s from {} s, {} s into its beat, at {} frames a second",
                job.chunk.index, job.chunk.duration_s, job.chunk.start_s, job.chunk.offset_in_beat_s, job.fps
            )
        })?;
        let Size { width, height } = job.size;
        if !(1..=120).contains(&job.fps) {
            return Err(format!("a chunk has 1 to 120 frames a second, not {}", job.fps));
        }
        if [width, height].iter().any(|side| side % 2 != 0 || !(16..=4096).contains(side)) {
            return Err(format!("a chunk's sides are even and 16 to 4096 pixels long, not {}", job.size));
        }
        Ok(Self {
            prompt: prompt(job),
            camera_movement: job.beat.camera_movement.clone(),
            beat_s: f64::from(job.beat.duration),
            span,
            chained: job.chunk.chained,
            size: job.size,
            seed: job.seed,
        })
    }
}

/// The words, most important first, because models weigh them so.
fn prompt(job: &RenderChunk) -> String {
    let spoken = |name: &str| name.replace('_', " ");
    let palette = job.style.color_palette.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut parts = vec![
        job.beat.prompt.trim().trim_end_matches('.').to_owned(),
        format!("{} shot, camera: {}", spoken(&job.beat.shot_type), spoken(&job.beat.camera_movement)),
        format!("{}, {}", job.style.aesthetic, job.style.lighting),
        format!("colours {palette}"),
    ];
    parts.push(if job.chunk.chained {
        "continues the same take from the start frame without a cut: same subject, place, light and direction of movement"
            .to_owned()
    } else {
        "starts exactly on the start frame, one continuous take".to_owned()
    });
    parts.retain(|part| !part.trim_matches([' ', ',']).is_empty());
    parts.join(". ") + "."
}
