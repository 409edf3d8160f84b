//! Keys, chords, progressions and voicings: which pitches sound together. Pitches are MIDI numbers, A4 = 69 = 440 Hz,
//! in equal temperament.

/// Whether the third is large or small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Bright.
    #[default]
    Major,
    /// Dark; its cadences borrow the major dominant.
    Minor,
}

/// What a piece is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The tonic's pitch class, C = 0.
    pub tonic: i32,
    /// Major or minor.
    pub mode: Mode,
}

impl Key {
    /// As musicians write it: `E♭ major`.
    pub fn name(self) -> String {
        const NAMES: [&str; 12] = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];
        let mode = match self.mode {
            Mode::Major => "major",
            Mode::Minor => "minor",
        };
        format!("{} {mode}", NAMES[self.tonic.rem_euclid(12) as usize])
    }

    /// Semitones of a scale degree above the tonic; degrees go on below 0 and above 6.
    pub fn semitones(self, degree: i32) -> i32 {
        let scale = match self.mode {
            Mode::Major => [0, 2, 4, 5, 7, 9, 11],
            Mode::Minor => [0, 2, 3, 5, 7, 8, 10],
        };
        12 * degree.div_euclid(7) + scale[degree.rem_euclid(7) as usize]
    }

    /// Whether a pitch belongs to the scale.
    pub fn has(self, pitch: i32) -> bool {
        (0..7).any(|degree| (pitch - self.tonic - self.semitones(degree)).rem_euclid(12) == 0)
    }

    /// The pitch of the scale that lies `steps` of the scale away from `pitch`.
    pub fn step(self, pitch: i32, steps: i32) -> i32 {
        let (mut pitch, direction) = (pitch, steps.signum());
        for _ in 0..steps.abs() {
            pitch += direction;
            while !self.has(pitch) {
                pitch += direction;
            }
        }
        pitch
    }
}

/// What is added to triads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Nothing.
    Plain,
    /// The ninth: open.
    Ninth,
    /// The seventh: soft.
    Seventh,
}

/// A chord: pitch classes, root first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chord {
    /// Pitch classes, C = 0, the root first.
    pub tones: Vec<i32>,
}

impl Chord {
    /// The chord on a scale degree (0 = tonic).
    pub fn on(key: Key, degree: i32, colour: Colour) -> Self {
        let added = match colour {
            Colour::Plain => None,
            Colour::Ninth => Some(1),
            Colour::Seventh => Some(6),
        };
        let tones = [0, 2, 4].into_iter().chain(added).map(|above| key.tonic + key.semitones(degree + above));
        Self { tones: tones.map(|tone| tone.rem_euclid(12)).collect() }
    }

    /// The dominant that leads home: always with the leading tone, also in minor.
    pub fn dominant(key: Key) -> Self {
        Self { tones: [7, 11, 2].map(|above| (key.tonic + above).rem_euclid(12)).to_vec() }
    }

    /// The root's pitch class.
    pub fn root(&self) -> i32 {
        self.tones[0]
    }

    /// Whether a pitch is one of its tones.
    pub fn has(&self, pitch: i32) -> bool {
        self.tones.contains(&pitch.rem_euclid(12))
    }

    /// Its tone nearest to a pitch; of two, the lower.
    pub fn nearest(&self, pitch: i32) -> i32 {
        (0..12).flat_map(|away| [pitch - away, pitch + away]).find(|p| self.has(*p)).unwrap_or(pitch)
    }

    /// Its tones as pitches around `centre`, moving as little as possible from the voicing before: hands on a keyboard
    /// do not jump.
    pub fn voiced(&self, before: &[i32], centre: i32) -> Vec<i32> {
        let lowest = centre - 9..=centre;
        let voicings = lowest.flat_map(|bottom| (0..self.tones.len()).map(move |turn| (bottom, turn)));
        let stacked = voicings.map(|(bottom, turn)| {
            let mut floor = bottom;
            (0..self.tones.len())
                .map(|n| {
                    let tone = self.tones[(n + turn) % self.tones.len()];
                    let pitch = floor + (tone - floor).rem_euclid(12);
                    floor = pitch + 1;
                    pitch
                })
                .collect::<Vec<_>>()
        });
        let cost = |voicing: &Vec<i32>| {
            let moved: i32 = voicing.iter().zip(before).map(|(a, b)| (a - b).abs()).sum();
            let mean = voicing.iter().sum::<i32>() / voicing.len() as i32;
            let spread = voicing.last().zip(voicing.first()).map_or(0, |(top, bottom)| (top - bottom - 12).max(0));
            let seconds = voicing.windows(2).filter(|pair| pair[1] - pair[0] < 2).count() as i32;
            moved + 2 * (mean - centre).abs() + 3 * spread + 6 * seconds
        };
        stacked.min_by_key(cost).unwrap_or_default()
    }
}

/// Hertz of a pitch.
pub fn hertz(pitch: i32) -> f32 {
    440.0 * 2f32.powf((pitch - 69) as f32 / 12.0)
}

/// The pitch of a pitch class nearest to `centre`.
pub fn near(class: i32, centre: i32) -> i32 {
    centre - 6 + (class - centre + 6).rem_euclid(12)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A_MINOR: Key = Key { tonic: 9, mode: Mode::Minor };

    #[test]
    fn concert_pitch_is_440_and_an_octave_doubles() {
        assert_eq!(hertz(69), 440.0);
        assert!((hertz(81) - 880.0).abs() < 1e-3);
    }

    #[test]
    fn the_dominant_of_a_minor_key_has_its_leading_tone() {
        assert_eq!(Chord::dominant(A_MINOR).tones, [4, 8, 11]);
        assert_eq!(Chord::on(A_MINOR, 0, Colour::Plain).tones, [9, 0, 4]);
    }

    #[test]
    fn voices_move_little_from_chord_to_chord() {
        let key = Key { tonic: 0, mode: Mode::Major };
        let mut before = Chord::on(key, 0, Colour::Plain).voiced(&[], 60);
        for degree in [4, 5, 3, 0, 1, 4] {
            let after = Chord::on(key, degree, Colour::Plain).voiced(&before, 60);
            assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() <= 5), "{before:?} to {after:?}");
            before = after;
        }
    }

    #[test]
    fn steps_stay_in_the_scale() {
        assert_eq!(A_MINOR.step(69, 2), 72);
        assert_eq!(A_MINOR.step(69, -1), 67);
        assert_eq!(near(0, 69), 72);
    }
}
