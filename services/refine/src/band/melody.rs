//! The tune: two short ideas, said, answered, and brought home.

use super::harmony::{Chord, Key, near};
use super::random::Chance;

/// Sixteenths of a phrase (two bars of four).
pub const PHRASE: usize = 32;

/// A note of the tune, in beats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tone {
    /// Beats from the start of the piece.
    pub beat: f64,
    /// Beats.
    pub length: f64,
    /// Where it lies.
    pub pitch: i32,
    /// Whether it falls on the first or third beat of a bar.
    pub strong: bool,
}

/// An idea: a rhythm, and for each of its notes how far the tune moves.
#[derive(Debug, Clone)]
struct Idea {
    notes: Vec<(usize, usize, i32)>,
}

impl Idea {
    fn new(phrase: &str, chance: &mut Chance) -> Self {
        let signs = phrase.as_bytes();
        let starts = (0..signs.len()).filter(|step| signs[*step] == b'n');
        let notes = starts.map(|step| {
            let held = signs[step + 1..].iter().take_while(|sign| **sign == b'-').count();
            // Mostly steps, sometimes a leap: what people can sing.
            (step, 1 + held, chance.pick(&[-2, -1, -1, -1, 0, 0, 1, 1, 1, 2, 2, -3, 3]))
        });
        Self { notes: notes.collect() }
    }
}

/// A tune from beat 0 to `end` over the chords, whose range is around `centre`. The last tone leads to the tonic.
pub fn compose(
    key: Key,
    phrases: &[&str],
    chord_at: &dyn Fn(f64) -> (Chord, bool),
    end: f64,
    centre: i32,
    chance: &mut Chance,
) -> Vec<Tone> {
    let first = chance.pick(phrases);
    let second = loop {
        let other = chance.pick(phrases);
        if other != first || phrases.len() < 2 {
            break other;
        }
    };
    let (idea, answer) = (Idea::new(first, chance), Idea::new(second, chance));
    let ending = Idea::new(first, chance);

    let mut tones = Vec::new();
    let mut pitch = near(chance.pick(&[key.tonic, key.tonic + key.semitones(2), key.tonic + key.semitones(4)]), centre);
    for (n, start) in (0..).map(|n| (n, f64::from(n) * PHRASE as f64 / 4.0)).take_while(|(_, start)| *start < end) {
        // Said, said again with another end, answered, said again.
        let (head, tail) = match n % 4 {
            0 => (&idea, &idea),
            1 | 3 => (&idea, &ending),
            _ => (&answer, &answer),
        };
        let notes = head.notes.iter().filter(|note| note.0 < PHRASE / 2);
        for (step, length, moves) in notes.chain(tail.notes.iter().filter(|note| note.0 >= PHRASE / 2)) {
            let beat = start + *step as f64 / 4.0;
            if beat >= end {
                break;
            }
            let (chord, is_dominant) = chord_at(beat);
            let strong = step % 8 == 0;
            let aim = match moves {
                _ if pitch > centre + 8 => pitch - 3 - moves.abs(),
                _ if pitch < centre - 7 => pitch + 3 + moves.abs(),
                moves => key.step(pitch, *moves),
            };
            // What is accented or held belongs to the chord; a dominant borrows its leading tone, so there everything does.
            let settles = strong || *length >= 4 || is_dominant;
            pitch = if settles { chord.nearest(aim) } else { key.step(aim + 1, -1) };
            tones.push(Tone { beat, length: (*length as f64 / 4.0).min(end - beat), pitch, strong });
        }
    }
    lead_home(key, &mut tones);
    tones
}

/// The last tone becomes the second or seventh degree, whichever is nearer: both want to go to the tonic.
fn lead_home(key: Key, tones: &mut [Tone]) {
    if let Some(last) = tones.last_mut() {
        let leading = [key.tonic + 2, key.tonic + 11].map(|class| near(class, last.pitch));
        last.pitch =
            if (leading[0] - last.pitch).abs() <= (leading[1] - last.pitch).abs() { leading[0] } else { leading[1] };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::band::harmony::{Colour, Mode};

    const KEY: Key = Key { tonic: 2, mode: Mode::Major };

    fn tune(seed: u64) -> Vec<Tone> {
        let chords = |beat: f64| (Chord::on(KEY, [0, 4, 5, 3][(beat / 4.0) as usize % 4], Colour::Plain), false);
        compose(
            KEY,
            &["n---n-n-n---....n---n-n-n-------", "n-n-..n---n-n---n-n-..n-n-------"],
            &chords,
            32.0,
            74,
            &mut Chance::new(seed),
        )
    }

    #[test]
    fn a_tune_stays_in_its_key_and_range() {
        for seed in 0..50 {
            for tone in tune(seed) {
                assert!(KEY.has(tone.pitch), "seed {seed}: {tone:?}");
                assert!((60..=90).contains(&tone.pitch), "seed {seed}: {tone:?}");
            }
        }
    }

    #[test]
    fn the_same_seed_sings_the_same_tune_and_another_one_does_not() {
        assert_eq!(tune(7), tune(7));
        assert_ne!(tune(7), tune(8));
    }
}
