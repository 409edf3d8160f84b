//! PURE: where music that is shorter than its film may be repeated without losing the beat.
//!
//! Onsets of the music are compared with themselves at every distance; the distance at which they agree best is the beat.
//! The loop is the largest whole number of bars of four; music without a beat is repeated as a whole. Seams are crossed in
//! a few milliseconds at equal power.

/// Frames per point of an onset curve: 10 ms at 48 kHz.
pub const HOP: usize = 480;
/// Points a second.
const POINTS: f64 = 100.0;
/// Frames over which a seam is crossed: 20 ms.
pub const SEAM: usize = 960;

/// How much louder each point of a piece is than the one before, from its loudness (mean square) per [`HOP`].
pub fn onsets(power: &[f32]) -> Vec<f32> {
    let level: Vec<f32> = power.iter().map(|power| (1.0 + 1e4 * power).ln()).collect();
    level.windows(2).map(|pair| (pair[1] - pair[0]).max(0.0)).collect()
}

/// How many frames of a piece of `frames` to repeat.
pub fn length(onsets: &[f32], frames: usize) -> usize {
    // A seam needs material beyond it.
    let most = frames.saturating_sub(SEAM);
    let Some(beat) = beat(onsets) else { return most };
    let bar = 4.0 * beat * HOP as f64;
    let bars = ((most as f64 + 0.02 * bar) / bar).floor();
    if bars < 1.0 { most } else { ((bars * bar).round() as usize).min(most) }
}

/// The beat in points, with a fraction; none when nothing recurs.
fn beat(onsets: &[f32]) -> Option<f64> {
    let agreement = |lag: usize| -> f64 {
        let pairs = onsets.iter().zip(onsets.get(lag..).unwrap_or_default());
        let count = onsets.len().saturating_sub(lag).max(1);
        pairs.map(|(a, b)| f64::from(a * b)).sum::<f64>() / count as f64
    };
    let own = agreement(0);
    // 60 to 180 beats a minute; a slight liking for 110 decides between a beat and its double.
    let (shortest, longest) = ((POINTS * 60.0 / 180.0) as usize, (POINTS * 60.0 / 60.0) as usize);
    let liking = |lag: usize| (-0.5 * ((lag as f64 / (POINTS * 60.0 / 110.0)).log2() / 0.9).powi(2)).exp();
    let rough = (shortest..=longest.min(onsets.len() / 3))
        .max_by(|a, b| (agreement(*a) * liking(*a)).total_cmp(&(agreement(*b) * liking(*b))))?;
    if own <= 0.0 || agreement(rough) < 0.1 * own {
        return None;
    }
    // The same beat over two, four, eight times the distance is known two, four, eight times as exactly.
    let (mut beat, mut times) = (rough as f64, 2.0);
    while beat * times < onsets.len() as f64 * 0.6 {
        let centre = (beat * times).round() as usize;
        let best = (centre.saturating_sub(2)..=centre + 2).max_by(|a, b| agreement(*a).total_cmp(&agreement(*b)))?;
        beat = best as f64 / times;
        times *= 2.0;
    }
    Some(beat)
}

/// How much of the passing and of the coming round a seam has at frame `n` of [`SEAM`].
pub fn crossing(n: usize) -> (f32, f32) {
    let angle = n as f32 / SEAM as f32 * std::f32::consts::FRAC_PI_2;
    (angle.cos(), angle.sin())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clicks at a tempo, in points.
    fn clicks(bpm: f64, points: usize) -> Vec<f32> {
        let beat = POINTS * 60.0 / bpm;
        (0..points).map(|n| if (n as f64 % beat) < 1.0 { 1.0 } else { 0.02 }).collect()
    }

    #[test]
    fn a_loop_is_whole_bars() {
        for (bpm, seconds) in [(120.0, 9.3), (97.0, 21.0), (84.0, 30.5), (126.0, 60.0)] {
            let frames = (seconds * 48_000.0) as usize;
            let loop_s = length(&onsets(&clicks(bpm, frames / HOP)), frames) as f64 / 48_000.0;
            let bars = loop_s / (240.0 / bpm);
            assert!((bars - bars.round()).abs() * 240.0 / bpm < 0.03, "{bpm} bpm: a loop of {loop_s} s is {bars} bars");
            assert!(loop_s > seconds - 240.0 / bpm - 0.1, "{bpm} bpm: {loop_s} s of {seconds} s");
        }
    }

    #[test]
    fn music_without_a_beat_is_repeated_whole() {
        assert_eq!(length(&onsets(&vec![0.3; 900]), 900 * HOP), 900 * HOP - SEAM);
        assert_eq!(length(&[], 100), 0);
    }

    #[test]
    fn a_seam_keeps_its_power() {
        for n in 0..=SEAM {
            let (gone, come) = crossing(n);
            assert!((gone * gone + come * come - 1.0).abs() < 1e-5);
        }
    }
}
