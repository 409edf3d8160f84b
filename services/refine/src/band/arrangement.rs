//! From a style to every note: the score of a piece.

use messages::catalogue::Energy;
use messages::spec::Mood;

use super::drums::Drum;
use super::harmony::{Chord, Colour, Key, near};
use super::instruments::Sound;
use super::melody::{self, Tone};
use super::random::Chance;
use super::style::{Part, Player, Style};
use super::tempo::Meter;

/// Everything that is played, in order.
#[derive(Debug)]
pub struct Score {
    /// The key.
    pub key: Key,
    /// Who plays.
    pub parts: Vec<Channel>,
    /// What they play, by start.
    pub notes: Vec<Note>,
}

/// A player's place at the desk.
#[derive(Debug, Clone, Copy)]
pub struct Channel {
    /// On what.
    pub sound: Sound,
    /// How loud.
    pub gain: f32,
    /// -1 left to 1 right.
    pub pan: f32,
    /// How much goes to the room.
    pub room: f32,
    /// How much goes to the echo.
    pub echo: f32,
}

/// A note.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Note {
    /// Frame that it starts on.
    pub start: u64,
    /// Frames that it is held.
    pub held: u64,
    /// Whose, as an index into [`Score::parts`].
    pub part: usize,
    /// Which pitch.
    pub pitch: i32,
    /// How hard, 0 to 1.
    pub velocity: f32,
}

/// Writes the score of a piece.
pub fn write(style: &Style, mood: Mood, meter: &Meter, energies: &[Energy], seed: u64) -> Score {
    let chance = Chance::new(seed);
    let mut keys = chance.fork("key");
    let key = Key { tonic: keys.pick(style.tonics), mode: style.mode };
    let harmony = Harmony::plan(style, mood, key, meter, &mut chance.fork("harmony"));
    let mut writer = Writer {
        style,
        meter,
        energies,
        key,
        harmony,
        feel: chance.fork("feel"),
        score: Score { key, parts: Vec::new(), notes: Vec::new() },
    };
    let tune = writer.tune(&chance);
    for player in style.players {
        writer.player(player, &tune);
    }
    writer.drums();
    writer.accents();
    let mut score = writer.score;
    balance(&mut score, mood);
    score.notes.sort_by_key(|note| (note.start, note.part, note.pitch));
    score
}

/// Which chord sounds when.
#[derive(Debug)]
struct Harmony {
    spans: Vec<Span>,
    last: Chord,
}

#[derive(Debug)]
struct Span {
    start: u32,
    beats: u32,
    chord: Chord,
    is_dominant: bool,
}

impl Harmony {
    /// A progression per four bars, and a cadence before the last chord: predominant, dominant, tonic.
    fn plan(style: &Style, mood: Mood, key: Key, meter: &Meter, chance: &mut Chance) -> Self {
        let colour = match (style.colour, mood) {
            (Colour::Plain, Mood::Elegant) => Colour::Seventh,
            (Colour::Plain, Mood::Emotional) => Colour::Ninth,
            (colour, _) => colour,
        };
        let (verse, bridge) = (chance.pick(style.progressions), chance.pick(style.progressions));
        let mut spans: Vec<_> = meter
            .bars
            .iter()
            .enumerate()
            .map(|(n, bar)| {
                // Every third group of four bars goes elsewhere.
                let degrees = if (n / 4) % 3 == 2 { bridge } else { verse };
                let chord = Chord::on(key, degrees[n % 4], colour);
                Span { start: bar.start, beats: bar.beats, chord, is_dominant: false }
            })
            .collect();
        let count = spans.len();
        if count >= 4 {
            spans[count - 2].chord = Chord::on(key, style.predominant, colour);
        }
        // The dominant has a bar of its own, or, in a very short film, half of the only one.
        if let Some(mut end) = spans.pop() {
            if count == 1 && end.beats >= 2 {
                let half = end.beats / 2;
                spans.push(Span { start: end.start, beats: half, chord: end.chord, is_dominant: false });
                end.start += half;
                end.beats -= half;
            }
            spans.push(Span { chord: Chord::dominant(key), is_dominant: true, ..end });
        }
        Self { spans, last: Chord::on(key, 0, Colour::Plain) }
    }

    fn at(&self, beat: f64) -> (Chord, bool) {
        let span = self.spans.iter().rev().find(|span| f64::from(span.start) <= beat);
        span.map_or_else(|| (self.last.clone(), false), |span| (span.chord.clone(), span.is_dominant))
    }
}

struct Writer<'a> {
    style: &'a Style,
    meter: &'a Meter,
    energies: &'a [Energy],
    key: Key,
    harmony: Harmony,
    feel: Chance,
    score: Score,
}

impl Writer<'_> {
    fn tune(&self, chance: &Chance) -> Vec<Tone> {
        let lead = self.style.players.iter().find(|player| matches!(player.part, Part::Lead { .. }));
        let centre = lead.map_or(72, |player| player.centre);
        let chords = |beat: f64| self.harmony.at(beat);
        let end = f64::from(self.meter.last);
        let mut tune = melody::compose(self.key, self.style.phrases, &chords, end, centre, &mut chance.fork("melody"));
        // A film with time lets the band set the scene before the tune begins.
        if self.meter.bars.len() >= 8 && self.energy(0.0) != Energy::High {
            tune.retain(|tone| tone.beat >= 8.0);
        }
        tune
    }

    fn energy(&self, beat: f64) -> Energy {
        self.energies.get(beat.max(0.0) as usize).copied().unwrap_or(Energy::Medium)
    }

    fn level(&self, beat: f64) -> usize {
        match self.energy(beat) {
            Energy::Low => 0,
            Energy::Medium => 1,
            Energy::High => 2,
        }
    }

    /// The moment of a sixteenth, swung.
    fn moment(&self, step: usize) -> f64 {
        let late = if step % 2 == 1 { self.style.swing } else { 0.0 };
        (step as f64 + late) / 4.0
    }

    /// Every sixteenth before the last chord: its place in the piece, its place in its bar, and the start of its bar.
    fn steps(&self) -> Vec<(usize, usize)> {
        let bars = self.meter.bars.iter();
        bars.flat_map(|bar| (0..4 * bar.beats as usize).map(|step| (4 * bar.start as usize + step, step % 16)))
            .collect()
    }

    fn add(&mut self, part: usize, beat: f64, beats: f64, pitch: i32, velocity: f32) {
        let start = self.meter.frame(beat);
        let held = self.meter.frame(beat + beats).saturating_sub(start);
        // Nobody strikes twice the same; nobody is early or late either.
        let velocity = velocity * (0.94 + 0.12 * self.feel.unit() as f32) * [0.7, 0.88, 1.0][self.level(beat)];
        if velocity > 0.0 && start < self.meter.frames {
            self.score.notes.push(Note { start, held, part, pitch, velocity });
        }
    }

    fn player(&mut self, player: &Player, tune: &[Tone]) {
        let part = self.score.parts.len();
        let Player { sound, gain, pan, room, echo, .. } = *player;
        self.score.parts.push(Channel { sound, gain, pan, room, echo });
        match player.part {
            Part::Pad(loudness) => self.pad(part, player.centre, loudness),
            Part::Chords { rhythm, hold, strum_s } => self.chords(part, player.centre, rhythm, hold / 4.0, strum_s),
            Part::Arpeggio { tones, hold } => self.arpeggio(part, player.centre, tones, hold / 4.0),
            Part::Bass(rhythm) => self.bass(part, player.centre, rhythm),
            Part::Lead { loudness, octave } => self.lead(part, tune, loudness, octave),
        }
    }

    fn pad(&mut self, part: usize, centre: i32, loudness: [f32; 3]) {
        let mut before = Vec::new();
        let spans: Vec<_> = self.harmony.spans.iter().map(|s| (s.start, s.beats, s.chord.clone())).collect();
        for (start, beats, chord) in spans {
            before = chord.voiced(&before, centre);
            let velocity = loudness[self.level(f64::from(start))];
            for pitch in before.clone() {
                self.add(part, f64::from(start), f64::from(beats), pitch, velocity);
            }
        }
        self.last_chord(part, &before, centre, loudness[1].max(loudness[0]), 0.0);
    }

    fn chords(&mut self, part: usize, centre: i32, rhythm: [&str; 3], hold: f64, strum_s: f64) {
        let mut voices = Voices::new(centre);
        for (step, in_bar) in self.steps() {
            let beat = step as f64 / 4.0;
            let voicing = voices.of(&self.harmony.at(beat).0);
            if let Some(velocity) = stroke(rhythm[self.level(beat)], in_bar) {
                let moment = self.moment(step);
                // Strings are struck down on the beat and up between.
                let up = step % 4 == 2;
                for (n, pitch) in voicing.iter().enumerate() {
                    let string = if up { voicing.len() - 1 - n } else { n };
                    let later = string as f64 * strum_s * self.meter.bpm() / 60.0;
                    self.add(part, moment + later, hold, *pitch, velocity);
                }
            }
        }
        if !rhythm[1].is_empty() {
            self.last_chord(part, &voices.before, centre, 1.0, strum_s * 2.0);
        }
    }

    fn arpeggio(&mut self, part: usize, centre: i32, tones: [&str; 3], hold: f64) {
        let mut voices = Voices::new(centre);
        for (step, in_bar) in self.steps() {
            let beat = step as f64 / 4.0;
            let voicing = voices.of(&self.harmony.at(beat).0);
            let sign = tones[self.level(beat)].as_bytes().get(in_bar).copied().unwrap_or(b'.');
            if sign.is_ascii_digit() && !voicing.is_empty() {
                let tone = usize::from(sign - b'0');
                let pitch = voicing[tone % voicing.len()] + 12 * (tone / voicing.len()) as i32;
                let velocity = if in_bar % 4 == 0 { 0.9 } else { 0.7 };
                self.add(part, self.moment(step), hold, pitch, velocity);
            }
        }
        self.last_chord(part, &voices.before, centre, 0.7, 0.03);
    }

    fn bass(&mut self, part: usize, centre: i32, rhythm: [&str; 3]) {
        let end = 4 * self.meter.last as usize;
        for (step, in_bar) in self.steps() {
            let beat = step as f64 / 4.0;
            let signs = rhythm[self.level(beat)].as_bytes();
            let chord = self.harmony.at(beat).0;
            let root = near(chord.root(), centre);
            let (pitch, velocity) = match signs.get(in_bar) {
                Some(b'R') => (root, 1.0),
                Some(b'r') => (root, 0.8),
                Some(b'o') => (root + 12, 0.75),
                Some(b'f') => (near(chord.tones[2], root + 7), 0.8),
                Some(b'a') => {
                    let next = near(self.harmony.at(beat + 1.0).0.root(), centre);
                    (self.key.step(next, if next > root { -1 } else { 1 }), 0.75)
                }
                _ => continue,
            };
            let held = 1 + signs[in_bar + 1..].iter().take_while(|sign| **sign == b'-').count();
            let length = held.min(end - step) as f64 / 4.0;
            self.add(part, self.moment(step), length * 0.96, pitch, velocity);
        }
        let tonic = near(self.key.tonic, centre);
        self.add(part, f64::from(self.meter.last), self.ring(), tonic, 1.0);
    }

    fn lead(&mut self, part: usize, tune: &[Tone], loudness: [f32; 3], octave: i32) {
        for tone in tune {
            let level = self.level(tone.beat);
            // A quiet scene keeps only the tune's long points.
            if level == 0 && !(tone.strong || tone.length >= 1.0) {
                continue;
            }
            let velocity = loudness[level] * if tone.strong { 0.95 } else { 0.82 };
            let moment = self.moment((tone.beat * 4.0) as usize);
            self.add(part, moment, tone.length * 0.94, tone.pitch + 12 * octave, velocity);
        }
        if let Some(tone) = tune.last() {
            let home = near(self.key.tonic, tone.pitch) + 12 * octave;
            self.add(part, f64::from(self.meter.last), self.ring(), home, loudness[1] * 0.9);
        }
    }

    /// The tonic chord on the last downbeat, tones `apart_s` seconds from each other, left to ring.
    fn last_chord(&mut self, part: usize, before: &[i32], centre: i32, velocity: f32, apart_s: f64) {
        let voicing = self.harmony.last.voiced(before, centre);
        for (n, pitch) in voicing.into_iter().enumerate() {
            let later = n as f64 * apart_s * self.meter.bpm() / 60.0;
            self.add(part, f64::from(self.meter.last) + later, self.ring(), pitch, velocity);
        }
    }

    /// Beats that the last chord is held: most of what is left, so that it is let go inside the film.
    fn ring(&self) -> f64 {
        0.7 * f64::from(self.meter.beats - self.meter.last)
    }

    fn drums(&mut self) {
        for line in self.style.drums {
            let part = self.drum(line.drum, line.gain, line.pan, line.room);
            for (step, in_bar) in self.steps() {
                let beat = step as f64 / 4.0;
                if let Some(velocity) = stroke(line.rhythm[self.level(beat)], in_bar) {
                    self.add(part, self.moment(step), 0.25, 0, velocity);
                }
            }
            let is_kick = matches!(line.drum, Drum::SoftKick | Drum::HardKick);
            if is_kick && self.level(f64::from(self.meter.last) - 1.0) > 0 {
                self.add(part, f64::from(self.meter.last), 0.25, 0, 1.0);
            }
        }
        if let Some((drum, rhythm)) = self.style.fill {
            let part = self.drum(drum, 0.3, 0.0, 0.15);
            for beat in self.turns() {
                for (n, step) in (4 * beat as usize..).take(4).enumerate() {
                    if let Some(velocity) = stroke(rhythm, n) {
                        self.add(part, self.moment(step), 0.25, 0, velocity);
                    }
                }
            }
        }
    }

    /// Beats that lead into something: the last of every eighth bar, before a livelier part, before the last chord.
    fn turns(&self) -> Vec<u32> {
        let lively = |beat: u32| self.level(f64::from(beat)) > 0;
        let rises = self.rises().into_iter().filter_map(|beat| beat.checked_sub(1));
        let bars = self.meter.bars.iter().skip(7).step_by(8).map(|bar| bar.start + bar.beats - 1);
        let mut turns: Vec<_> =
            rises.chain(bars).chain(self.meter.last.checked_sub(1)).filter(|beat| lively(*beat)).collect();
        turns.sort_unstable();
        turns.dedup();
        turns
    }

    /// Beats on which a livelier part begins.
    fn rises(&self) -> Vec<u32> {
        (1..self.meter.last).filter(|n| self.level(f64::from(*n)) > self.level(f64::from(*n) - 1.0)).collect()
    }

    fn accents(&mut self) {
        let rises = self.rises();
        let high: Vec<_> = rises.iter().copied().filter(|beat| self.level(f64::from(*beat)) == 2).collect();
        for drum in self.style.accent {
            let part = self.drum(*drum, 0.3, 0.0, 0.3);
            for beat in high.iter().copied() {
                self.add(part, f64::from(beat), 1.0, 0, 0.9);
            }
            if self.level(f64::from(self.meter.last) - 1.0) > 0 {
                self.add(part, f64::from(self.meter.last), 1.0, 0, 0.8);
            }
        }
        if self.style.riser {
            let part = self.drum(Drum::Riser, 0.22, 0.0, 0.3);
            for beat in rises {
                let length = f64::from(beat.min(4));
                self.add(part, f64::from(beat) - length, length, 0, 0.8);
            }
        }
    }

    fn drum(&mut self, drum: Drum, gain: f32, pan: f32, room: f32) -> usize {
        self.score.parts.push(Channel { sound: Sound::Drum(drum), gain, pan, room, echo: 0.0 });
        self.score.parts.len() - 1
    }
}

/// The voicing of the chord of the moment, and the one before it.
struct Voices {
    centre: i32,
    chord: Option<Chord>,
    before: Vec<i32>,
}

impl Voices {
    fn new(centre: i32) -> Self {
        Self { centre, chord: None, before: Vec::new() }
    }

    fn of(&mut self, chord: &Chord) -> Vec<i32> {
        if self.chord.as_ref() != Some(chord) {
            self.before = chord.voiced(&self.before, self.centre);
            self.chord = Some(chord.clone());
        }
        self.before.clone()
    }
}

/// How hard a drawing strikes at a sixteenth, if at all.
fn stroke(rhythm: &str, step: usize) -> Option<f32> {
    match rhythm.as_bytes().get(step)? {
        b'X' => Some(1.0),
        b'x' => Some(0.75),
        b'o' => Some(0.45),
        _ => None,
    }
}

/// Turns players up and down as the mood asks.
fn balance(score: &mut Score, mood: Mood) {
    let (drums, held, room) = match mood {
        Mood::Energetic => (1.15, 1.0, 0.9),
        Mood::Elegant => (0.75, 1.1, 1.3),
        Mood::Minimalist => (0.6, 0.75, 1.0),
        Mood::Emotional => (0.8, 1.3, 1.25),
        Mood::Informative => (0.9, 1.0, 0.8),
    };
    for part in &mut score.parts {
        part.room *= room;
        match part.sound {
            Sound::Drum(_) => part.gain *= drums,
            Sound::Sustained(_) => part.gain *= held,
            Sound::Struck(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use messages::spec::MusicStyle;

    use super::*;
    use crate::band::style::style;

    const STYLES: [MusicStyle; 6] = [
        MusicStyle::Upbeat,
        MusicStyle::Cinematic,
        MusicStyle::Corporate,
        MusicStyle::Calm,
        MusicStyle::Energetic,
        MusicStyle::Advertising,
    ];

    fn score(music: MusicStyle, seconds: u64, energy: Energy, seed: u64) -> (Meter, Score) {
        let meter = Meter::fit(seconds * 48_000, 48_000, 100.0, &[]);
        let energies = vec![energy; meter.beats as usize];
        let score = write(style(music), Mood::Informative, &meter, &energies, seed);
        (meter, score)
    }

    #[test]
    fn every_piece_ends_on_the_tonic_chord() {
        for (n, music) in STYLES.into_iter().enumerate() {
            for seconds in [5, 15, 60] {
                let (meter, score) = score(music, seconds, Energy::High, n as u64);
                let last = meter.frame(f64::from(meter.last));
                let tonic = Chord::on(score.key, 0, Colour::Plain);
                let ending: Vec<_> = score.notes.iter().filter(|note| note.start >= last && note.pitch > 0).collect();
                assert!(ending.len() >= 5, "{music:?}: {ending:?}");
                assert!(ending.iter().all(|note| tonic.has(note.pitch)), "{music:?}: {ending:?}");
                let lowest = ending.iter().map(|note| note.pitch).min();
                assert_eq!(lowest.map(|pitch| pitch.rem_euclid(12)), Some(score.key.tonic), "{music:?}");
            }
        }
    }

    #[test]
    fn every_note_ends_inside_the_piece() {
        for music in STYLES {
            let (meter, score) = score(music, 30, Energy::Medium, 3);
            assert!(score.notes.iter().all(|note| note.start + note.held < meter.frames), "{music:?}");
        }
    }

    #[test]
    fn livelier_scenes_have_more_to_play() {
        for music in STYLES {
            let counts = [Energy::Low, Energy::Medium, Energy::High].map(|e| score(music, 30, e, 3).1.notes.len());
            assert!(counts[0] < counts[1] && counts[1] < counts[2], "{music:?}: {counts:?}");
        }
    }

    #[test]
    fn another_seed_plays_another_piece() {
        for music in STYLES {
            let pitches =
                |seed| score(music, 30, Energy::Medium, seed).1.notes.iter().map(|n| n.pitch).collect::<Vec<_>>();
            assert_eq!(pitches(1), pitches(1));
            assert_ne!(pitches(1), pitches(2), "{music:?}");
        }
    }
}
