//! What has to be done to each chunk of a film, and the filter graphs that do it. Pure.
//!
//! Each chunk becomes one piece of exactly its share of the film's frames, and the pieces are joined without encoding
//! them again. So no run of the media tool opens more than three clips, however long the film is, and a chunk that
//! already is what its piece should be is used as it stands.
//!
//! **Transitions never change the length.** Nothing overlaps in time: a transition of two times `k` frames lies on the
//! last `k` frames before the join and the first `k` after it. A fade darkens the first half to black and brightens the
//! second from it. A crossfade holds a neighbour's nearest frame where the neighbour does not play: up to the join the
//! incoming beat stands still on its first frame while it appears, and from the join on the outgoing beat stands still on
//! its last frame while it goes.

use std::num::NonZeroUsize;

use messages::chunk::StitchFilm;
use messages::spec::{Size, Transition, TransitionKind};

use crate::encoder;
use crate::frames;
use crate::probe::{Clip, MAX_FRAME_PIXELS};

/// How two pieces meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// From one frame to the next; also what begins and ends the film.
    Cut,
    /// Through black.
    Fade {
        /// Frames on each side.
        frames: u32,
    },
    /// One into the other.
    Crossfade {
        /// Frames on each side.
        frames: u32,
    },
}

impl Join {
    /// Frames that it takes on each side.
    pub fn frames(self) -> u32 {
        match self {
            Self::Cut => 0,
            Self::Fade { frames } | Self::Crossfade { frames } => frames,
        }
    }
}

/// What becomes of one chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The chunk's place in the film, from 0.
    pub index: usize,
    /// How many frames it has in the film.
    pub frames: u32,
    /// How it follows on the piece before.
    pub opening: Join,
    /// How it passes into the next.
    pub closing: Join,
}

/// The pieces of a film, or why it cannot be joined.
pub fn pieces(film: &StitchFilm) -> Result<Vec<Piece>, String> {
    if film.chunks.is_empty() {
        return Err("a film without chunks cannot be stitched".to_owned());
    }
    if !encoder::is_encodable(film.size, film.fps) {
        return Err(format!("a film of {} at {} frames a second cannot be encoded", film.size, film.fps));
    }
    let counts = frames::of_chunks(&film.chunks, film.fps);
    let (have, want) = (counts.iter().sum::<u32>(), frames::frame_at(film.duration_s, film.fps));
    if have.abs_diff(want) > 1 {
        return Err(format!("the chunks have {have} frames together, the film should have {want}"));
    }
    if let Some(empty) = counts.iter().position(|count| *count == 0) {
        return Err(format!("chunk {empty} is shorter than a frame"));
    }

    let joins: Vec<_> = (1..counts.len())
        .map(|next| {
            let (from, to) = (film.chunks[next - 1].beat_index, film.chunks[next].beat_index);
            // Inside a beat one take goes on; transitions are between beats.
            let transition = film.transitions.iter().find(|t| from != to && t.after_beat == from);
            join(transition, film.fps, counts[next - 1].min(counts[next]) / 2)
        })
        .collect();
    let at = |join: Option<usize>| join.and_then(|join| joins.get(join)).copied().unwrap_or(Join::Cut);
    Ok(counts
        .iter()
        .enumerate()
        .map(|(index, &frames)| Piece { index, frames, opening: at(index.checked_sub(1)), closing: at(Some(index)) })
        .collect())
}

/// A transition in frames: at most half of the shorter neighbour on each side, so that it meets no other.
fn join(transition: Option<&Transition>, fps: u32, most: u32) -> Join {
    let Some(transition) = transition else { return Join::Cut };
    let frames = frames::frame_at(transition.duration / 2.0, fps).max(1).min(most);
    match transition.kind {
        _ if frames == 0 => Join::Cut,
        TransitionKind::Cut => Join::Cut,
        TransitionKind::Fade => Join::Fade { frames },
        TransitionKind::Crossfade => Join::Crossfade { frames },
    }
}

/// The settings that all pieces of a film share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Pixels.
    pub size: Size,
    /// Frames a second.
    pub fps: u32,
    /// Threads of the encoder.
    pub threads: NonZeroUsize,
    /// The parameter sets that our encoder writes for this size and rate.
    pub parameters: Option<String>,
}

impl Target {
    /// Whether a chunk already is its piece.
    pub fn is_met_by(&self, clip: &Clip, piece: &Piece) -> bool {
        let video = &clip.video;
        (piece.opening, piece.closing) == (Join::Cut, Join::Cut)
            && clip.streams == 1
            && video.codec == "h264"
            && video.pixel_format == "yuv420p"
            && video.size == self.size
            && video.fps == Some(self.fps)
            && video.frames == Some(piece.frames)
            && video.parameters.is_some()
            && video.parameters == self.parameters
    }

    /// The filters that make film frames of a clip's: the film's size, rate and colours, padded in black where its shape
    /// differs. What was probed is as large as it may be; a later frame that says it is shown wider is not believed.
    pub fn fit(&self, clip: &Clip) -> String {
        let (Size { width, height }, fps) = (self.size, self.fps);
        // Clips that do not name their colours are BT.709 in all likelihood; the scaler would take them for older ones.
        let matrix = if clip.video.names_colours { "auto" } else { "bt709" };
        format!(
            "fps={fps}:start_time=0,scale=w='max(2,trunc(min(iw*sar,{MAX_FRAME_PIXELS}/ih)/2)*2)':h=ih,setsar=1,\
             scale=w={width}:h={height}:force_original_aspect_ratio=decrease:force_divisible_by=2:flags=lanczos:\
             in_color_matrix={matrix}:out_color_matrix=bt709:out_range=tv,format=yuv420p,\
             pad=w={width}:h={height}:x='trunc((ow-iw)/4)*2':y='trunc((oh-ih)/4)*2':color=black,setsar=1"
        )
    }

    /// Encodes a clip of two black frames. Its parameter sets are those of everything that our encoder writes.
    pub fn specimen(&self, file: &str) -> Vec<String> {
        let source = format!("color=black:size={}:rate={}", self.size, self.fps);
        [
            encoder::strings(&["-f", "lavfi", "-i", &source]),
            encoder::video_output(self.fps, 2, self.threads),
            encoder::mp4_output(file),
        ]
        .concat()
    }

    /// Makes the `index`-th piece. `pieces` and `clips` are those of the whole film, `file_of` names the chunks, and
    /// `output` is the piece. None when there is no such piece.
    pub fn piece(
        &self,
        index: usize,
        pieces: &[Piece],
        clips: &[Clip],
        file_of: impl Fn(usize) -> String,
        output: &str,
    ) -> Option<Vec<String>> {
        let piece = pieces.get(index)?;
        let mut graph = Graph { target: self, pieces, clips, inputs: Vec::new(), steps: Vec::new() };
        let own = graph.fitted(index)?;
        graph.steps.push(format!("{own}[own]"));
        let opened = graph.opened(piece, "own")?;
        let closed = graph.closed(piece, opened)?;
        graph.steps.push(format!("[{closed}]format=yuv420p,setsar=1[film]"));

        let mut arguments = Vec::new();
        for clip in &graph.inputs {
            arguments.extend(encoder::clip_input(&file_of(*clip)));
        }
        // A clip that breaks off is a reason to fail, not to hold its last good picture.
        arguments.extend(encoder::strings(&[
            "-xerror",
            "-filter_complex",
            &graph.steps.join(";"),
            "-map",
            "[film]",
            "-an",
        ]));
        arguments.extend(encoder::video_output(self.fps, piece.frames, self.threads));
        arguments.extend(encoder::mp4_output(output));
        Some(arguments)
    }
}

/// A filter graph while it is written down.
struct Graph<'a> {
    target: &'a Target,
    pieces: &'a [Piece],
    clips: &'a [Clip],
    inputs: Vec<usize>,
    steps: Vec<String>,
}

impl Graph<'_> {
    /// One more clip as an input, with the filters that make a piece's frames of it, exactly as long as the piece. A clip
    /// that is too short holds its last frame, one that is too long is cut.
    fn fitted(&mut self, index: usize) -> Option<String> {
        let (clip, piece) = (self.clips.get(index)?, self.pieces.get(index)?);
        self.inputs.push(index);
        let input = self.inputs.len() - 1;
        Some(format!("[{input}:v:0]{},{}", self.target.fit(clip), lasting(piece.frames)))
    }

    fn opened(&mut self, piece: &Piece, shown: &'static str) -> Option<&'static str> {
        match piece.opening {
            Join::Cut => return Some(shown),
            Join::Fade { frames } => {
                self.steps.push(format!("[{shown}]fade=type=in:start_frame=0:nb_frames={frames}[opened]"));
            }
            Join::Crossfade { frames } => {
                // The neighbour's last frame goes over the whole crossfade; only its second half lies in this piece.
                let before = piece.index.checked_sub(1)?;
                let outgoing = self.fitted(before)?;
                let last = self.pieces.get(before)?.frames.checked_sub(1)?;
                self.steps.push(format!(
                    "{outgoing},trim=start_frame={last},{},format=yuva420p,\
                     fade=type=out:start_frame=0:nb_frames={}:alpha=1,trim=start_frame={frames},setpts=PTS-STARTPTS[going];\
                     [{shown}][going]overlay=format=yuv420:eof_action=pass[opened]",
                    lasting(2 * frames),
                    2 * frames
                ));
            }
        }
        Some("opened")
    }

    fn closed(&mut self, piece: &Piece, shown: &'static str) -> Option<&'static str> {
        let fps = self.target.fps;
        let start = piece.frames.checked_sub(piece.closing.frames())?;
        match piece.closing {
            Join::Cut => return Some(shown),
            Join::Fade { frames } => {
                self.steps.push(format!("[{shown}]fade=type=out:start_frame={start}:nb_frames={frames}[closed]"));
            }
            Join::Crossfade { frames } => {
                let incoming = self.fitted(piece.index + 1)?;
                self.steps.push(format!(
                    "{incoming},trim=end_frame=1,{},format=yuva420p,\
                     fade=type=in:start_frame=0:nb_frames={}:alpha=1,trim=end_frame={frames},setpts=PTS+{start}/{fps}/TB[coming];\
                     [{shown}][coming]overlay=format=yuv420:eof_action=pass[closed]",
                    lasting(2 * frames),
                    2 * frames
                ));
            }
        }
        Some("closed")
    }
}

/// Exactly so many frames: the last one is held, or what is too much is left out.
fn lasting(frames: u32) -> String {
    format!("tpad=stop=-1:stop_mode=clone,trim=end_frame={frames},setpts=PTS-STARTPTS")
}

/// Joins pieces that are listed in a file of [`list`], with the film's sound where it has some.
pub fn joined(list: &str, sound: Option<&[String]>, output: &str) -> Vec<String> {
    let mut arguments = encoder::strings(&[
        "-protocol_whitelist",
        "file,pipe",
        "-format_whitelist",
        "concat,mov",
        "-f",
        "concat",
        "-safe",
        "1",
        "-i",
        list,
    ]);
    arguments.extend(sound.into_iter().flatten().cloned());
    arguments.extend(encoder::strings(&["-map", "0:v:0", "-c:v", "copy"]));
    if sound.is_some() {
        arguments.extend(encoder::strings(&["-map", "1:a:0", "-c:a", "aac", "-b:a", "192k"]));
    }
    arguments.extend(encoder::mp4_output(output));
    arguments
}

/// The list of pieces that the media tool joins. File names are ours: letters, digits, `-` and `.`.
pub fn list(files: &[String]) -> String {
    let mut list = "ffconcat version 1.0\n".to_owned();
    for file in files {
        list.push_str(&format!("file {file}\n"));
    }
    list
}
