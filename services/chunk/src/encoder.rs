//! How clips and films are written: one H.264 for all of them. Pure.
//!
//! Chunks and re-encoded pieces share these settings to the letter, so that their streams can be joined without encoding
//! them again: no B-frames (every frame is shown when it is decoded, so lengths add up exactly), a time base that every
//! frame falls on, and the same parameter sets whatever the content is.

use std::num::NonZeroUsize;

use messages::spec::Size;

/// What goes before each MP4 that is read. Clips may come from vendors and uploads: whatever their bytes claim, they are
/// read as MP4 and nothing else, and may name no other file or address.
pub fn clip_input(file: &str) -> Vec<String> {
    input("mov", file)
}

/// The same for a file that is said to be of another container.
pub fn input(container: &str, file: &str) -> Vec<String> {
    strings(&["-protocol_whitelist", "file,pipe", "-f", container, "-i", file])
}

/// Whether there can be clips and films of that size and rate.
pub fn is_encodable(size: Size, fps: u32) -> bool {
    let is_side = |side: u32| side.is_multiple_of(2) && (16..=4096).contains(&side);
    is_side(size.width) && is_side(size.height) && (1..=120).contains(&fps)
}

/// Raw planar frames on standard input, their pixels square. Saying so is part of the parameter sets, which have to be
/// the same as those of stitched pieces.
pub fn frames_input(size: Size, fps: u32) -> Vec<String> {
    let (size, fps) = (size.to_string(), fps.to_string());
    strings(&[
        "-protocol_whitelist",
        "pipe",
        "-f",
        "rawvideo",
        "-pixel_format",
        "yuv420p",
        "-video_size",
        &size,
        "-framerate",
        &fps,
        "-i",
        "pipe:0",
        "-vf",
        "setsar=1",
    ])
}

/// Video settings of every clip of ours: exactly `frames` frames of H.264.
///
/// The result is the same on every run, because the number of threads is fixed and no date or version is written.
pub fn video_output(fps: u32, frames: u32, threads: NonZeroUsize) -> Vec<String> {
    let (frames, threads) = (frames.to_string(), threads.to_string());
    // A key frame every two seconds lets a reviewer scrub. 512 ticks a frame is what players expect of such files.
    let (key_frames, ticks) = ((2 * fps).to_string(), (512 * fps).to_string());
    let mut arguments = strings(&["-frames:v", &frames, "-c:v", "libx264", "-preset", "veryfast", "-crf", "18"]);
    arguments.extend(strings(&[
        "-profile:v",
        "high",
        "-pix_fmt",
        "yuv420p",
        "-bf",
        "0",
        "-g",
        &key_frames,
        "-x264-params",
        "stitchable=1",
        "-threads",
        &threads,
    ]));
    arguments.extend(strings(&[
        "-colorspace",
        "bt709",
        "-color_primaries",
        "bt709",
        "-color_trc",
        "bt709",
        "-color_range",
        "tv",
    ]));
    arguments.extend(strings(&["-video_track_timescale", &ticks]));
    arguments
}

/// How the MP4 around the streams is written: playable before it has come whole, free of dates and of what inputs said
/// about themselves.
pub fn mp4_output(file: &str) -> Vec<String> {
    strings(&["-map_metadata", "-1", "-fflags", "+bitexact", "-movflags", "+faststart", "-f", "mp4", file])
}

/// Makes a picture of a clip's last frame.
pub fn last_frame(clip: &str, frames: u32, fps: u32, picture: &str) -> Vec<String> {
    // Half a frame before the last one starts, so that no rounding can skip it or catch the one before.
    let seek = format!("{:.6}", ((f64::from(frames) - 1.5) / f64::from(fps)).max(0.0));
    let mut arguments = strings(&["-ss", &seek]);
    arguments.extend(clip_input(clip));
    arguments.extend(strings(&[
        "-map",
        "0:v:0",
        "-frames:v",
        "1",
        "-vf",
        "scale=in_color_matrix=bt709:flags=accurate_rnd+full_chroma_int+bicubic",
        "-pix_fmt",
        "rgb24",
        "-c:v",
        "png",
        "-fflags",
        "+bitexact",
        "-f",
        "image2",
        "-update",
        "1",
        picture,
    ]));
    arguments
}

/// Arguments as the media tool takes them.
pub(crate) fn strings(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|argument| (*argument).to_owned()).collect()
}
