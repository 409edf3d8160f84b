//! What the band sounds like, measured.

use messages::catalogue::Energy;

use super::*;
use crate::looping;

const STYLES: [MusicStyle; 6] = [
    MusicStyle::Upbeat,
    MusicStyle::Cinematic,
    MusicStyle::Corporate,
    MusicStyle::Calm,
    MusicStyle::Energetic,
    MusicStyle::Advertising,
];

fn brief(style: MusicStyle, seconds: f64, seed: u64) -> Brief {
    let frames = (seconds * f64::from(RATE)).round() as u64;
    Brief { style, tempo: Tempo::Medium, mood: Mood::Informative, frames, sections: Vec::new(), seed }
}

fn played(brief: &Brief) -> Vec<f32> {
    let (mut band, mut block, mut all) = (Band::new(brief), Vec::new(), Vec::new());
    while band.play(&mut block) {
        all.extend_from_slice(&block);
    }
    all
}

fn mono(stereo: &[f32]) -> Vec<f32> {
    stereo.chunks_exact(2).map(|frame| 0.5 * (frame[0] + frame[1])).collect()
}

fn level_db(samples: &[f32]) -> f64 {
    let square: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    10.0 * (square / samples.len().max(1) as f64).max(1e-12).log10()
}

fn onsets(mono: &[f32]) -> Vec<f32> {
    let power: Vec<f32> = mono.chunks(looping::HOP).map(|hop| 10f64.powf(level_db(hop) / 10.0) as f32).collect();
    looping::onsets(&power)
}

/// How much of `hertz` there is, seen through a Hann window.
fn tone(samples: &[f32], hertz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    let step = std::f64::consts::TAU / samples.len() as f64;
    // Rotating is much cheaper than a sine per sample.
    let (c, s) = (std::f64::consts::TAU * hertz / f64::from(RATE)).sin_cos();
    let (mut x, mut y) = (1.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let windowed = f64::from(*sample) * (0.5 - 0.5 * (step * n as f64).cos());
        re += windowed * x;
        im += windowed * y;
        (x, y) = (x * s - y * c, x * c + y * s);
    }
    (re * re + im * im).sqrt() / samples.len() as f64
}

#[test]
fn music_has_exactly_the_frames_that_were_asked_for() {
    for seconds in [0.5, 5.0, 7.37, 15.0] {
        let brief = brief(MusicStyle::Upbeat, seconds, 1);
        assert_eq!(played(&brief).len() as u64, 2 * brief.frames, "{seconds} s");
    }
}

#[test]
fn the_same_seed_plays_the_same_and_another_one_something_else() {
    for style in STYLES {
        let first = played(&brief(style, 5.0, 1));
        assert_eq!(first, played(&brief(style, 5.0, 1)), "{style:?}");
        assert_ne!(first, played(&brief(style, 5.0, 2)), "{style:?}");
    }
}

#[test]
fn nothing_clips_drifts_or_breaks_off() {
    for style in STYLES {
        let all = played(&brief(style, 15.0, 4));
        assert!(all.iter().all(|s| s.abs() < 1.0), "{style:?} clips");
        let mean = all.iter().map(|s| f64::from(*s)).sum::<f64>() / all.len() as f64;
        assert!(mean.abs() < 1e-3, "{style:?} has an offset of {mean}");
        assert_eq!(&all[..2], &[0.0, 0.0], "{style:?} starts with a click");
        assert!(all[all.len() - 200..].iter().all(|s| s.abs() < 1e-4), "{style:?} breaks off");
        // Half a second of near silence before the last chord rings out would be a hole.
        let music = &all[..all.len() * 4 / 5];
        for (n, half) in music.chunks_exact(RATE as usize).enumerate() {
            assert!(level_db(half) > -45.0, "{style:?} has a hole at {} s: {} dB", n as f64 * 0.5, level_db(half));
        }
    }
}

#[test]
fn blocks_join_without_a_click() {
    for style in [MusicStyle::Calm, MusicStyle::Cinematic] {
        let mono = mono(&played(&brief(style, 10.0, 2)));
        let bend = |n: usize| (mono[n + 1] - 2.0 * mono[n] + mono[n - 1]).abs();
        let mean = |places: &mut dyn Iterator<Item = usize>| {
            let bends: Vec<f32> = places.map(bend).collect();
            bends.iter().sum::<f32>() / bends.len() as f32
        };
        let at_joints = mean(&mut (1..mono.len() / BLOCK - 1).map(|block| block * BLOCK));
        let between = mean(&mut (1..mono.len() / BLOCK - 1).map(|block| block * BLOCK + BLOCK / 2));
        assert!(at_joints < 2.0 * between, "{style:?}: {at_joints} at joints, {between} between");
    }
}

#[test]
fn the_last_chord_is_in_tune_and_on_the_tonic() {
    for style in STYLES {
        let brief = brief(style, 10.0, 5);
        let band = Band::new(&brief);
        let tonic = band.score().key.tonic;
        let last = band.meter().frame(f64::from(band.meter().last)) as usize;
        let all = mono(&played(&brief));
        // Strokes and their noise are over after a fifth of a second.
        let ring = &all[last + 9_600..last + 62_400];

        // A spectrum in steps of 5 cents from G1 to C6.
        let cents: Vec<i32> = (3_100..8_400).step_by(5).collect();
        let spectrum: Vec<f64> =
            cents.iter().map(|c| tone(ring, 440.0 * 2f64.powf((f64::from(*c) - 6_900.0) / 1_200.0))).collect();
        let loudest = spectrum.iter().fold(0f64, |m, v| m.max(*v));
        let peaks: Vec<(i32, f64)> = (1..cents.len() - 1)
            .filter(|n| {
                spectrum[*n] > spectrum[n - 1] && spectrum[*n] >= spectrum[n + 1] && spectrum[*n] > 0.1 * loudest
            })
            .map(|n| (cents[n], spectrum[n]))
            .collect();
        assert!(peaks.len() >= 3, "{style:?}: {peaks:?}");
        for (cents, _) in &peaks {
            let off = (cents + 50).rem_euclid(100) - 50;
            // Overtones of the bass are where nature puts them, the seventh a third of a semitone below the grid.
            let bass = 100
                * band
                    .score()
                    .notes
                    .iter()
                    .filter(|n| n.start as usize == last && n.pitch > 0)
                    .map(|n| n.pitch)
                    .min()
                    .unwrap_or(0);
            let overtone =
                (2..=12).any(|n| (bass + (1_200.0 * f64::from(n).log2()).round() as i32 - cents).abs() <= 10);
            assert!(off.abs() <= 15 || overtone, "{style:?}: a tone is {off} cents off: {peaks:?}");
        }
        let class = |cents: i32| ((f64::from(cents) / 100.0).round() as i32).rem_euclid(12);
        let share = |wanted: &dyn Fn(i32) -> bool| -> f64 {
            peaks.iter().filter(|(cents, _)| wanted(class(*cents))).map(|(_, power)| power * power).sum()
        };
        let all = share(&|_| true);
        assert!(share(&|c| c == tonic) > 0.2 * all, "{style:?}: the tonic is not heard: {peaks:?}");
        let triad = |c: i32| matches!((c - tonic).rem_euclid(12), 0 | 3 | 4 | 7);
        assert!(share(&triad) > 0.9 * all, "{style:?}: not the tonic chord: {peaks:?}");
    }
}

#[test]
fn the_beat_is_where_the_meter_says() {
    for style in [MusicStyle::Upbeat, MusicStyle::Corporate, MusicStyle::Energetic, MusicStyle::Advertising] {
        let mut brief = brief(style, 20.0, 3);
        brief.sections = vec![MusicSection { start_s: 0.0, energy: Energy::High }];
        let band = Band::new(&brief);
        let onsets = onsets(&mono(&played(&brief)));
        let agreement = |lag: usize| -> f32 { onsets.iter().zip(&onsets[lag..]).map(|(a, b)| a * b).sum() };
        // Two beats: what alternates (kick and clap) returns to itself.
        let two_beats = 100.0 * 120.0 / band.bpm();
        let around = two_beats.round() as usize;
        let best = (around - 9..=around + 9).max_by(|a, b| agreement(*a).total_cmp(&agreement(*b))).expect("lags");
        assert!(
            (best as f64 - two_beats).abs() <= 1.0,
            "{style:?}: onsets recur after {best}, not {two_beats} hundredths"
        );
        let off = (around - 9..around - 4).map(agreement).fold(0f32, f32::max);
        assert!(agreement(best) > 1.5 * off, "{style:?}: {} on the beat, {off} beside it", agreement(best));
    }
}

#[test]
fn every_style_sounds_like_itself() {
    // Brightness, onsets a second, and how much of the sound is below 150 Hz: three figures that a listener would notice.
    let figures: Vec<[f64; 3]> = STYLES
        .iter()
        .map(|style| {
            let all = mono(&played(&brief(*style, 12.0, 6)));
            let steep: Vec<f32> = all.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let mut low = 0.0;
            let lows: Vec<f32> = all
                .iter()
                .map(|s| {
                    low += 0.0195 * (s - low);
                    low
                })
                .collect();
            let busy = onsets(&all).iter().filter(|onset| **onset > 0.5).count() as f64 / 12.0;
            [level_db(&steep) - level_db(&all), busy, level_db(&lows) - level_db(&all)]
        })
        .collect();
    for a in 0..STYLES.len() {
        for b in a + 1..STYLES.len() {
            let distance: f64 = (0..3).map(|n| (figures[a][n] - figures[b][n]).powi(2)).sum::<f64>().sqrt();
            assert!(distance > 0.75, "{:?} {:?} is like {:?} {:?}", STYLES[a], figures[a], STYLES[b], figures[b]);
        }
    }
}

#[test]
fn music_follows_the_film_from_calm_to_lively() {
    for style in STYLES {
        let mut brief = brief(style, 20.0, 8);
        brief.sections = vec![
            MusicSection { start_s: 0.0, energy: Energy::Low },
            MusicSection { start_s: 10.0, energy: Energy::High },
        ];
        let all = mono(&played(&brief));
        // Strokes and open filters are heard above all in the treble.
        let treble: Vec<f32> = all.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let level = |from: usize, to: usize| level_db(&treble[from * RATE as usize..to * RATE as usize]);
        let (calm, lively) = (level(1, 9), level(11, 16));
        assert!(lively > calm + 2.0, "{style:?}: {calm} dB, then {lively} dB");
    }
}
