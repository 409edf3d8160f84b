//! The film's sound, chunk by chunk. Pure.
//!
//! It is gathered as plain samples, because only those have exact lengths: each chunk gives as many as its frames last,
//! silence included, and the whole is encoded once. Counts are differences of positions in the film, as those of frames
//! are, so that sound and picture cannot drift apart.

use crate::encoder::{clip_input, strings};
use crate::stitch::{Join, Piece};

/// Samples a second.
pub const RATE: u32 = 48_000;

/// Bytes of one moment: two channels of 16 bits.
pub const MOMENT: u64 = 4;

/// Seconds over which sound begins and ends at a cut: too short to be heard, long enough not to click.
const CLICK_S: f64 = 0.008;

/// How many moments each piece has.
pub fn moments(pieces: &[Piece], fps: u32) -> Vec<u64> {
    let mut frame = 0;
    pieces
        .iter()
        .map(|piece| {
            let start = moment_at(frame, fps);
            frame += u64::from(piece.frames);
            moment_at(frame, fps) - start
        })
        .collect()
}

/// How many moments have passed when a frame starts.
pub fn moment_at(frame: u64, fps: u32) -> u64 {
    (frame * u64::from(RATE) + u64::from(fps) / 2) / u64::from(fps.max(1))
}

/// Stereo at our rate and exactly so many moments: what is missing is silent, what is too much is left out.
pub fn lasting(moments: u64) -> String {
    format!(
        "aresample={RATE}:async=1:first_pts=0,aformat=sample_fmts=s16:channel_layouts=stereo,apad,\
         atrim=end_sample={moments}"
    )
}

/// Takes a chunk's sound out of its clip as exactly so many moments. At a transition the sound sinks to silence at the join and rises from it.
pub fn taken(clip: &str, piece: &Piece, moments: u64, fps: u32, output: &str) -> Vec<String> {
    let fade_s = |join: Join| match join {
        Join::Cut => CLICK_S,
        Join::Fade { frames } | Join::Crossfade { frames } => f64::from(frames) / f64::from(fps),
    };
    let length_s = moments as f64 / f64::from(RATE);
    let (opening, closing) = (fade_s(piece.opening).min(length_s / 2.0), fade_s(piece.closing).min(length_s / 2.0));
    let filters = format!(
        "{},afade=t=in:st=0:d={opening:.6},afade=t=out:st={:.6}:d={closing:.6}",
        lasting(moments),
        length_s - closing
    );
    let mut arguments = clip_input(clip);
    arguments.extend(strings(&[
        "-xerror",
        "-map",
        "0:a:0",
        "-vn",
        "-af",
        &filters,
        "-c:a",
        "pcm_s16le",
        "-f",
        "s16le",
    ]));
    arguments.push(output.to_owned());
    arguments
}

/// The gathered sound as an input.
pub fn input(file: &str) -> Vec<String> {
    let rate = RATE.to_string();
    strings(&["-protocol_whitelist", "file,pipe", "-f", "s16le", "-ar", &rate, "-ac", "2", "-i", file])
}
