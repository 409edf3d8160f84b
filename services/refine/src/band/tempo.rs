//! Fits beats into a film: how many, how fast, and where its last chord falls.
//!
//! The tempo gives way, never the length: beat `n` of `beats` falls on frame `n / beats` of the film, so the music is
//! exactly as long as the film and exactly on the beat. Cuts of the film weigh in, because a cut on a beat feels meant.

use messages::catalogue::Energy;
use messages::refine::MusicSection;

/// How long the last chord should at least ring, in seconds.
const RING_S: f64 = 1.6;
/// How far the tempo may move to fit, as a share of the nominal one.
const GIVE: f64 = 0.08;

/// The beats of a piece.
#[derive(Debug, Clone, PartialEq)]
pub struct Meter {
    /// Frames (samples per channel) of the whole piece.
    pub frames: u64,
    /// Beats of the whole piece, ring-out included.
    pub beats: u32,
    /// The bars before the last chord.
    pub bars: Vec<Bar>,
    /// The beat that the last chord falls on.
    pub last: u32,
    rate: f64,
}

/// A bar of four beats, or the odd one before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// Its first beat.
    pub start: u32,
    /// How many beats it has.
    pub beats: u32,
}

impl Meter {
    /// The best fit of beats near `nominal_bpm` into `frames` at `rate` frames a second.
    pub fn fit(frames: u64, rate: u32, nominal_bpm: f64, sections: &[MusicSection]) -> Self {
        let seconds = frames as f64 / f64::from(rate);
        let ideal = seconds * nominal_bpm / 60.0;
        let cost = |beats: u32| {
            let moved = (f64::from(beats) / ideal - 1.0).abs() * 60.0;
            let odd = match beats % 4 {
                0 => 0.0,
                2 => 1.5,
                _ => 5.0,
            };
            let missed: f64 = sections
                .iter()
                .map(|section| {
                    let beat = section.start_s / seconds * f64::from(beats);
                    (beat - beat.round()).abs()
                })
                .sum();
            moved + odd + 12.0 * missed / sections.len().max(1) as f64
        };
        let (fewest, most) = ((ideal * (1.0 - GIVE)).ceil() as u32, (ideal * (1.0 + GIVE)).floor() as u32);
        let beats =
            (fewest..=most).min_by(|a, b| cost(*a).total_cmp(&cost(*b))).unwrap_or_else(|| ideal.round() as u32).max(2);

        let ring = ring_beats(beats, seconds / f64::from(beats));
        let last = beats - ring;
        Self { frames, beats, bars: bars(last), last, rate: f64::from(rate) }
    }

    /// Beats a minute.
    pub fn bpm(&self) -> f64 {
        60.0 * self.rate * f64::from(self.beats) / self.frames as f64
    }

    /// The frame that a moment, counted in beats from the start, falls on.
    pub fn frame(&self, beat: f64) -> u64 {
        (beat * self.frames as f64 / f64::from(self.beats)).round().max(0.0) as u64
    }

    /// How lively each beat is. A section starts on the bar line nearest to its cut if that is close, else on the nearest
    /// beat. Without sections the piece is lively in the middle way.
    pub fn energies(&self, sections: &[MusicSection]) -> Vec<Energy> {
        let mut energies = vec![Energy::Medium; self.beats as usize];
        if let (Some(first), Some(energy)) = (sections.first(), energies.get_mut(0)) {
            *energy = first.energy;
        }
        for section in sections {
            for energy in energies.iter_mut().skip(self.nearest_beat(section.start_s) as usize) {
                *energy = section.energy;
            }
        }
        energies
    }

    fn nearest_beat(&self, seconds: f64) -> u32 {
        let beat = seconds * self.rate / self.frames as f64 * f64::from(self.beats);
        let bar = self.bars.iter().map(|bar| bar.start).find(|start| (f64::from(*start) - beat).abs() <= 0.75);
        bar.unwrap_or_else(|| beat.round().max(0.0) as u32)
    }
}

/// How many beats the last chord has: long enough to ring, short enough to leave music, and with whole bars before it.
fn ring_beats(beats: u32, beat_s: f64) -> u32 {
    let shortest = ((RING_S / beat_s).ceil() as u32).clamp(1, (beats / 2).max(1));
    let longest = shortest.max(4).min((beats / 2).max(1));
    let fitting = |unit: u32| (shortest..=longest).find(|ring| (beats - ring).is_multiple_of(unit));
    fitting(4).or_else(|| fitting(2)).unwrap_or(shortest)
}

fn bars(beats: u32) -> Vec<Bar> {
    let mut bars: Vec<_> = (0..beats / 4).map(|n| Bar { start: 4 * n, beats: 4 }).collect();
    match (beats % 4, bars.last_mut()) {
        (0, _) => {}
        // A bar of one beat sounds like a mistake, a bar of five like breath.
        (1, Some(bar)) => bar.beats += 1,
        (left, _) => bars.push(Bar { start: beats - left, beats: left }),
    }
    bars
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 48_000;

    fn cuts(every: usize, length: usize) -> Vec<MusicSection> {
        (0..length).step_by(every).map(|s| MusicSection { start_s: s as f64, energy: Energy::High }).collect()
    }

    #[test]
    fn every_film_length_gets_a_tempo_near_the_nominal_one() {
        for seconds in (5..=180).step_by(5) {
            for nominal in [76.0, 100.0, 126.0] {
                let meter = Meter::fit(seconds * u64::from(RATE), RATE, nominal, &cuts(5, seconds as usize));
                assert!((meter.bpm() / nominal - 1.0).abs() <= GIVE + 1e-9, "{seconds} s: {}", meter.bpm());
                assert_eq!(meter.frame(f64::from(meter.beats)), meter.frames);
                let ring_s = (meter.frames - meter.frame(f64::from(meter.last))) as f64 / f64::from(RATE);
                assert!((RING_S..4.5).contains(&ring_s), "{seconds} s at {nominal}: the last chord has {ring_s} s");
                assert_eq!(meter.bars.iter().map(|bar| bar.beats).sum::<u32>(), meter.last);
            }
        }
    }

    #[test]
    fn a_long_film_has_whole_bars() {
        let meter = Meter::fit(60 * u64::from(RATE), RATE, 100.0, &[]);
        assert_eq!(meter.beats % 4, 0);
        assert!(meter.bars.iter().all(|bar| bar.beats == 4));
    }

    #[test]
    fn energy_changes_on_the_beat_nearest_to_the_cut() {
        let sections =
            [MusicSection { start_s: 0.0, energy: Energy::Low }, MusicSection { start_s: 5.0, energy: Energy::High }];
        let meter = Meter::fit(10 * u64::from(RATE), RATE, 126.0, &sections);
        let energies = meter.energies(&sections);
        let change = energies.iter().position(|e| *e == Energy::High).expect("a change");
        let at_s = meter.frame(change as f64) as f64 / f64::from(RATE);
        assert!((at_s - 5.0).abs() < 0.4, "the music changes at {at_s} s");
    }
}
