//! Pictures, looked at by number: what a person would notice, measured.

use messages::spec::{AspectRatio, Mood};

use super::lighting::Light;
use super::*;
use crate::sample;

/// The mean difference of two pictures, over all pixels and colours, 0 to 255.
fn difference(a: &Pixmap, b: &Pixmap) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let sum: u64 = a.data().iter().zip(b.data()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    // A quarter of the bytes is alpha, which never differs.
    sum as f64 / (a.data().len() as f64 * 0.75)
}

/// The mean difference inside a rectangle given in parts of width and height.
fn difference_within(a: &Pixmap, b: &Pixmap, across: [f32; 2], down: [f32; 2]) -> f64 {
    let (w, h) = (a.width() as f32, a.height() as f32);
    let (mut sum, mut count) = (0u64, 0u64);
    for y in (down[0] * h) as u32..(down[1] * h) as u32 {
        for x in (across[0] * w) as u32..(across[1] * w) as u32 {
            let (a, b) = (a.pixel(x, y).expect("inside"), b.pixel(x, y).expect("inside"));
            sum += u64::from(a.red().abs_diff(b.red())) + u64::from(a.green().abs_diff(b.green()));
            count += 2;
        }
    }
    sum as f64 / count as f64
}

fn painted(work: &DrawBeat) -> Pixmap {
    paint(work).expect("the picture is painted")
}

/// The sample with another beat of the library.
fn with_shot(shot_type: &str, camera_movement: &str) -> DrawBeat {
    let mut work = sample::beat();
    // Half the size of a film: as good to compare, and four times as fast.
    work.size = Size { width: 640, height: 360 };
    work.beat.shot_type = shot_type.into();
    work.beat.camera_movement = camera_movement.into();
    work
}

const SHOTS: [(&str, &str); 11] = [
    ("close_up", "slow_dolly_in"),
    ("wide", "slow_pan"),
    ("extreme_close_up", "push_in"),
    ("dynamic", "whip_pan"),
    ("macro", "pan_across"),
    ("tracking", "tracking_shot"),
    ("medium", "handheld_follow"),
    ("medium_close_up", "slow_push_in"),
    ("dynamic_multi", "fast_cuts"),
    ("medium_wide", "reveal"),
    ("wide_cinematic", "crane_up"),
];

#[test]
fn the_same_job_gives_the_same_bytes() {
    for (shot, movement) in SHOTS {
        let work = with_shot(shot, movement);
        let again = work.clone();
        assert!(paint_png(&work).expect("painted") == paint_png(&again).expect("painted"), "{shot}");
    }
}

#[test]
fn another_seed_gives_a_visibly_different_composition() {
    for (shot, movement) in SHOTS {
        let mut work = with_shot(shot, movement);
        let pictures: Vec<Pixmap> = (0..4u64)
            .map(|seed| {
                work.seed = seed;
                painted(&work)
            })
            .collect();
        for (n, a) in pictures.iter().enumerate() {
            for b in &pictures[..n] {
                let difference = difference(a, b);
                assert!(difference > 4.0, "two seeds of {shot} differ by {difference:.1} only");
            }
        }
    }
}

#[test]
fn the_beats_of_one_film_differ_visibly() {
    let pictures: Vec<Pixmap> = SHOTS
        .iter()
        .enumerate()
        .map(|(n, (shot, movement))| {
            let mut work = with_shot(shot, movement);
            work.beat_index = n as u32;
            work.beat_count = SHOTS.len() as u32;
            painted(&work)
        })
        .collect();
    for (n, a) in pictures.iter().enumerate() {
        for (m, b) in pictures[..n].iter().enumerate() {
            let difference = difference(a, b);
            assert!(difference > 4.0, "{} and {} differ by {difference:.1} only", SHOTS[n].0, SHOTS[m].0);
        }
    }
}

#[test]
fn a_beat_that_repeats_in_a_film_is_composed_anew() {
    let mut work = sample::beat();
    let first = painted(&work);
    work.beat_index = 3;
    assert!(difference(&first, &painted(&work)) > 4.0);
}

#[test]
fn every_aspect_ratio_gives_exactly_its_size() {
    for ratio in [AspectRatio::Landscape, AspectRatio::Portrait, AspectRatio::Square, AspectRatio::Feed] {
        let mut work = sample::beat();
        work.size = ratio.size();
        let png = paint_png(&work).expect("painted");
        let picture = image::load_from_memory_with_format(&png, image::ImageFormat::Png).expect("a PNG");
        assert_eq!((picture.width(), picture.height()), (work.size.width, work.size.height), "{ratio:?}");
        assert_eq!(picture.color(), image::ColorType::Rgb8);
    }
}

#[test]
fn odd_sizes_are_painted_and_impossible_ones_refused() {
    for (width, height) in [(1, 1), (3, 700), (700, 3), (17, 13), (101, 97), (640, 96), (96, 640), (333, 777)] {
        for (shot, movement) in SHOTS {
            let mut work = with_shot(shot, movement);
            work.size = Size { width, height };
            let sheet = painted(&work);
            assert_eq!((sheet.width(), sheet.height()), (width, height), "{shot}");
        }
    }
    for (width, height) in [(0, 720), (1280, 0), (LONGEST_SIDE + 1, 16), (u32::MAX, u32::MAX)] {
        let mut work = sample::beat();
        work.size = Size { width, height };
        let error = paint_png(&work).expect_err("no such picture");
        assert!(error.to_string().contains(&format!("{width}x{height}")), "{error}");
    }
}

#[test]
fn every_pixel_is_opaque_and_no_picture_is_flat() {
    for (shot, movement) in SHOTS {
        let sheet = painted(&with_shot(shot, movement));
        assert!(sheet.pixels().iter().all(|pixel| pixel.alpha() == 255), "{shot}");
        let values: Vec<f64> = sheet.pixels().iter().map(|pixel| f64::from(pixel.green())).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
        assert!(deviation > 9.0, "{shot} has a deviation of {deviation:.1}");
    }
}

#[test]
fn one_coloured_palettes_still_show_the_subject_and_every_word() {
    for hex in ["#000000", "#ffffff", "#808080", "#ff0000"] {
        for mood in [Mood::Elegant, Mood::Minimalist, Mood::Energetic] {
            let mut work = sample::beat();
            work.style.color_palette = sample::palette(&[hex; 3]);
            work.style.mood = mood;
            work.size = Size { width: 640, height: 360 };
            let sheet = painted(&work);
            // Another subject in the same place must be seen to be another.
            let mut other = work.clone();
            other.product.name = "wine bottle".into();
            let seen = difference_within(&sheet, &painted(&other), [0.2, 0.8], [0.25, 0.65]);
            assert!(seen > 4.0, "{hex} {mood:?}: another subject changes the picture by {seen:.1}");

            let mut silent = work.clone();
            silent.beat.prompt = "手表".into();
            let shown = difference_within(&sheet, &painted(&silent), [0.1, 0.9], [0.72, 0.86]);
            assert!(shown > 1.0, "{hex} {mood:?}: the scene's words change the picture by {shown:.2}");
        }
    }
}

#[test]
fn words_in_known_scripts_are_drawn_and_others_leave_no_trace() {
    let with_prompt = |prompt: &str| {
        let mut work = sample::beat();
        work.beat.prompt = prompt.into();
        painted(&work)
    };
    let empty = with_prompt("");
    for prompt in ["Тихое утро", "Ένα ήσυχο πρωινό", "A quiet morning"] {
        assert!(difference(&empty, &with_prompt(prompt)) > 0.05, "{prompt}");
    }
    for prompt in ["静かな", "هدوء", "🎥🔥✈\u{fe0f}", "\u{e000}\u{e001}"] {
        assert!(with_prompt(prompt).data() == empty.data(), "{prompt}");
    }
}

#[test]
fn no_text_enters_the_margin() {
    for ratio in [AspectRatio::Landscape, AspectRatio::Portrait, AspectRatio::Square, AspectRatio::Feed] {
        let with_texts = |prompt: String, name: &str, movement: &str| {
            let mut work = sample::beat();
            work.size = ratio.size();
            work.beat.prompt = prompt;
            work.beat.beat_id = name.into();
            work.beat.camera_movement = movement.into();
            let plan = Composition::of(&work);
            // The overlay alone, on a calm sheet: only what it writes differs.
            let mut sheet = Pixmap::new(work.size.width, work.size.height).expect("a size");
            sheet.fill(tiny_skia::Color::BLACK);
            overlay::paint(&mut sheet, &plan, &work);
            sheet
        };
        let long = with_texts("W".repeat(600), &"feature_highlight".repeat(4), &"slow_push".repeat(7));
        let none = with_texts(String::new(), "", "slow_push");
        let (w, h) = (long.width(), long.height());
        let (x_margin, y_margin) = (w as f32 * overlay::MARGIN - 3.0, h as f32 * overlay::MARGIN - 3.0);
        let mut inside = 0;
        for y in 0..h {
            for x in 0..w {
                let (a, b) = (long.pixel(x, y).expect("inside"), none.pixel(x, y).expect("inside"));
                if a.green().abs_diff(b.green()) < 40 {
                    continue;
                }
                inside += 1;
                let (x, y) = (x as f32, y as f32);
                let kept = x > x_margin && x < w as f32 - x_margin && y > y_margin && y < h as f32 - y_margin;
                assert!(kept, "{ratio:?}: text at {x}, {y}");
            }
        }
        assert!(inside > 2000, "{ratio:?}: {inside} pixels of text");
    }
}

#[test]
fn unknown_shots_and_movements_fall_back_to_a_whole_picture() {
    let unknown = painted(&with_shot("über_die_schulter", "levitate 🎈"));
    let medium = painted(&with_shot("medium", "static"));
    // The same composition, other words on it.
    let difference = difference(&unknown, &medium);
    assert!(difference > 0.0 && difference < 3.0, "{difference}");
}

#[test]
fn lighting_changes_the_picture() {
    let lit = |lighting: &str| {
        let mut work = sample::beat();
        work.style.lighting = lighting.into();
        painted(&work)
    };
    assert_ne!(Light::read("neon"), Light::read("soft"));
    assert!(difference(&lit("soft"), &lit("neon")) > 4.0);
    assert!(difference(&lit("golden hour"), &lit("studio")) > 4.0);
}
