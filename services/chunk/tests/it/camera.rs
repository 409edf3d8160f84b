//! How each movement looks in numbers: that it moves, that it is smooth, and that it goes on across chunks.
//!
//! Frames are taken before they are encoded, because an encoder leaves out the smallest movements of small pictures.

use chunk::animatic::Take;
use chunk::animatic::source::Source;
use chunk::frames::Span;
use chunk::request::ClipRequest;
use image::RgbImage;
use messages::spec::Size;

use crate::harness::{difference, picture};

const LIBRARY: [&str; 15] = [
    "slow_dolly_in",
    "slow_pan",
    "push_in",
    "whip_pan",
    "crane_down",
    "pan_across",
    "tracking_shot",
    "handheld_follow",
    "slow_orbit",
    "slow_push_in",
    "fast_cuts",
    "static",
    "reveal",
    "static_hold",
    "crane_up",
];
const SIZE: Size = Size { width: 320, height: 180 };
const FPS: u32 = 30;

/// The frames of a part of a beat, from its first frame to the one after its last.
fn frames(movement: &str, beat_s: u32, part: std::ops::Range<u32>, start_image: &RgbImage) -> Vec<Vec<u8>> {
    let take = Take::of(&ClipRequest {
        prompt: String::new(),
        camera_movement: movement.to_owned(),
        beat_s: f64::from(beat_s),
        span: Span { fps: FPS, beat_start: 0, start: part.start, end: part.end },
        chained: part.start > 0,
        size: SIZE,
        seed: 7,
    });
    let source = Source::of(start_image);
    (0..part.end - part.start).map(|n| take.frame(&source, n)).collect()
}

/// The brightness of a planar frame.
fn gray(frame: &[u8]) -> &[u8] {
    &frame[..(SIZE.width * SIZE.height) as usize]
}

/// The mean change of brightness from each frame to the next, in levels of 255.
fn steps(frames: &[Vec<u8>]) -> Vec<f64> {
    frames.windows(2).map(|pair| difference(gray(&pair[0]), gray(&pair[1]))).collect()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// A planar frame as the picture that the next chunk starts from.
fn as_picture(frame: &[u8]) -> RgbImage {
    let (width, height) = (SIZE.width as usize, SIZE.height as usize);
    RgbImage::from_fn(SIZE.width, SIZE.height, |x, y| {
        let (x, y) = (x as usize, y as usize);
        let at = y / 2 * (width / 2) + x / 2;
        let sample = |at: usize, zero: f64, range: f64| (f64::from(frame[at]) - zero) / range;
        let luma = sample(y * width + x, 16.0, 219.0);
        let blue = sample(width * height + at, 128.0, 224.0) * 1.8556;
        let red = sample(width * height * 5 / 4 + at, 128.0, 224.0) * 1.5748;
        let green = -(0.2126 * red + 0.0722 * blue) / 0.7152;
        image::Rgb([red, green, blue].map(|colour| (255.0 * (luma + colour)).round() as u8))
    })
}

#[test]
fn every_movement_moves() {
    for movement in LIBRARY {
        let frames = frames(movement, 5, 0..150, &picture(SIZE));
        let moved: Vec<_> = frames.iter().map(|frame| difference(gray(&frames[0]), gray(frame))).collect();
        let least = if movement.starts_with("static") { 0.5 } else { 4.0 };
        assert!(most(&moved) > least, "{movement} moved {:.2}", most(&moved));
    }
}

#[test]
fn movements_are_smooth_except_where_they_are_meant_to_jump() {
    for movement in LIBRARY {
        let steps = steps(&frames(movement, 5, 0..150, &picture(SIZE)));
        let (usual, most) = (median(&steps), most(&steps));
        match movement {
            "fast_cuts" => {
                let cuts = steps.iter().filter(|step| **step > 12.0).count();
                assert!((4..=14).contains(&cuts), "{cuts} cuts");
            }
            "whip_pan" => assert!(most > 6.0 * usual, "a whip is fast: {most:.2} against {usual:.2}"),
            // The line of light changes much as it passes, and gradually.
            "reveal" => assert!(most < 8.0, "{most:.2}"),
            // Half a level is what rounding makes of a light that changes everywhere at once.
            _ => assert!(most < 2.2 * usual + 0.5, "{movement} jumps: {most:.2} against {usual:.2}"),
        }
    }
}

#[test]
fn only_a_static_camera_looks_still() {
    for movement in LIBRARY.into_iter().filter(|movement| !movement.starts_with("static")) {
        let frames = frames(movement, 5, 0..150, &picture(SIZE));
        for second in 0..4 {
            let moved = difference(gray(&frames[30 * second]), gray(&frames[30 * second + 29]));
            assert!(moved > 1.0, "{movement} rests in second {second}: {moved:.2}");
        }
    }
}

#[test]
fn a_chained_chunk_goes_on_where_its_neighbour_ended_w33() {
    for movement in LIBRARY.into_iter().chain(["pull_out"]) {
        let (mut start_image, mut before) = (picture(SIZE), Vec::new());
        for part in [0..180, 180..360, 360..450] {
            let frames = frames(movement, 15, part.clone(), &start_image);
            if let Some(last) = before.last() {
                let joint = steps(&[Vec::clone(last), frames[0].clone()])[0];
                let usual = f64::max(median(&steps(&before[before.len() - 15..])), median(&steps(&frames[..15])));
                // Two thirds of a level is what scaling a picture to a frame and back costs.
                // A sequence of cuts may well have one here.
                assert!(
                    movement == "fast_cuts" || joint < 2.0 * usual + 0.7,
                    "{movement} jumps at {}: {joint:.2} against {usual:.2}",
                    part.start
                );
                let moved = difference(gray(&frames[0]), gray(&frames[frames.len() - 1]));
                let still = movement.starts_with("static") || movement == "pull_out";
                assert!(still || moved > 2.0, "{movement} stops at frame {}: {moved:.2}", part.start);
            }
            start_image = frames.last().map(|frame| as_picture(frame)).expect("it has frames");
            before = frames;
        }
    }
}

#[test]
fn a_chunk_of_a_beat_shows_what_the_whole_beat_would() {
    for movement in ["slow_dolly_in", "push_in", "slow_push_in", "static", "static_hold"] {
        let whole = frames(movement, 10, 0..300, &picture(SIZE));
        let parts = frames(movement, 10, 150..300, &as_picture(&whole[149]));
        let error = difference(gray(&whole[299]), gray(&parts[149]));
        assert!(error < 3.0, "{movement}: {error:.2}");
    }
}

#[test]
fn the_first_frame_is_the_start_image() {
    let start_image = picture(SIZE);
    for movement in ["slow_dolly_in", "push_in", "static", "static_hold", "slow_push_in"] {
        let first = frames(movement, 5, 0..1, &start_image).swap_remove(0);
        let error = difference(as_picture(&first).as_raw(), start_image.as_raw());
        assert!(error < 5.0, "{movement}: {error:.2}");
    }
}
