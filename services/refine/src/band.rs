//! The band: synthesised music, made block by block.
//!
//! PURE: no clock, no files, no chance but the seed. A piece is written first ([`tempo`] fits beats into the film,
//! [`arrangement`] writes the notes) and then played in small blocks, so a film of any length needs the memory of a
//! second. What holds: exactly as many frames as asked for, every beat on its frame, silence at both ends, no sample
//! beyond the ceiling.

pub mod arrangement;
pub mod drums;
pub mod effects;
pub mod harmony;
pub mod instruments;
pub mod melody;
pub mod random;
pub mod struck;
pub mod style;
pub mod sustained;
pub mod tempo;

use messages::refine::MusicSection;
use messages::spec::{Mood, MusicStyle, Tempo};

use arrangement::{Channel, Note, Score};
use drums::{Drum, Stroke};
use effects::{Echo, Master, Reverb};
use instruments::Sound;
use struck::StruckNote;
use sustained::SustainedNote;
use tempo::Meter;

/// Samples a second and channel.
pub const RATE: u32 = 48_000;
/// Frames that are made at a time.
const BLOCK: usize = 512;

/// What to play.
#[derive(Debug, Clone, PartialEq)]
pub struct Brief {
    /// The kind of music.
    pub style: MusicStyle,
    /// How fast.
    pub tempo: Tempo,
    /// The feeling.
    pub mood: Mood,
    /// Frames (samples per channel) in all.
    pub frames: u64,
    /// The film's beats.
    pub sections: Vec<MusicSection>,
    /// The same seed gives the same music.
    pub seed: u64,
}

/// A band with a piece on its stands.
#[derive(Debug)]
pub struct Band {
    meter: Meter,
    score: Score,
    next: usize,
    position: u64,
    ringing: Vec<(Channel, Voice)>,
    reverb: Reverb,
    echo: Echo,
    master: Master,
    pump: Pump,
    desk: Desk,
}

impl Band {
    /// Writes the piece.
    pub fn new(brief: &Brief) -> Self {
        let style = style::style(brief.style);
        let nominal = match brief.tempo {
            Tempo::Slow => 76.0,
            Tempo::Medium => 100.0,
            Tempo::Fast => 126.0,
        };
        let meter = Meter::fit(brief.frames.max(1), RATE, nominal, &brief.sections);
        let energies = meter.energies(&brief.sections);
        let score = arrangement::write(style, brief.mood, &meter, &energies, brief.seed);
        let echo = Echo::new(meter.frame(style.echo_beats).min(u64::from(2 * RATE)) as usize);
        Self {
            meter,
            score,
            next: 0,
            position: 0,
            ringing: Vec::new(),
            reverb: Reverb::new(style.room_s),
            echo,
            master: Master::default(),
            pump: Pump { depth: style.pump, pressed: 0.0, smooth: 0.0 },
            desk: Desk::default(),
        }
    }

    /// Beats a minute.
    pub fn bpm(&self) -> f64 {
        self.meter.bpm()
    }

    /// The key's name.
    pub fn key(&self) -> String {
        self.score.key.name()
    }

    /// The beats of the piece.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The notes of the piece.
    pub fn score(&self) -> &Score {
        &self.score
    }

    /// Plays on: replaces `out` with the next frames, left and right by turns; false when the piece is over.
    pub fn play(&mut self, out: &mut Vec<f32>) -> bool {
        out.clear();
        let frames = (self.meter.frames - self.position).min(BLOCK as u64) as usize;
        if frames == 0 {
            return false;
        }
        self.desk.clear();
        // Those that ring first: a note that is struck now plays its part of this block itself.
        let desk = &mut self.desk;
        self.ringing.retain_mut(|(channel, voice)| desk.play(channel, voice, 0, frames));
        let kicks = self.strike(frames);
        for n in 0..frames {
            let frame = self.mix(n, kicks.contains(&n));
            let gain = self.ends(self.position + n as u64);
            out.extend(frame.map(|sample| sample * gain));
        }
        self.position += frames as u64;
        true
    }

    /// Starts the notes of this block; gives the frames that a kick falls on.
    fn strike(&mut self, frames: usize) -> Vec<usize> {
        let end = self.position + frames as u64;
        let mut kicks = Vec::new();
        while let Some(note) = self.score.notes.get(self.next).filter(|note| note.start < end) {
            let channel = self.score.parts[note.part];
            let offset = (note.start - self.position) as usize;
            if matches!(channel.sound, Sound::Drum(Drum::SoftKick | Drum::HardKick)) {
                kicks.push(offset);
            }
            let mut voice = Voice::new(channel.sound, note, self.next as u64);
            if self.desk.play(&channel, &mut voice, offset, frames) {
                self.ringing.push((channel, voice));
            }
            self.next += 1;
        }
        kicks
    }

    fn mix(&mut self, n: usize, kick: bool) -> [f32; 2] {
        let desk = &self.desk;
        let press = self.pump.next(kick);
        let room = self.reverb.next(desk.room[0][n], desk.room[1][n]);
        let echo = self.echo.next(desk.echo[0][n], desk.echo[1][n]);
        let side = |s: usize| desk.drums[s][n] + press * (desk.dry[s][n] + room[s] + echo[s]);
        self.master.next([side(0), side(1)])
    }

    /// Silence at both ends: a few samples at the start, and the last chord's fading at the end.
    fn ends(&self, frame: u64) -> f32 {
        let frames = self.meter.frames;
        let last = self.meter.frame(f64::from(self.meter.last));
        let fading = ((frames - last) as f32 * 0.45).max(1.0);
        let start = (frame as f32 / 48.0).min(1.0);
        let end = ((frames - 1 - frame) as f32 / fading).min(1.0);
        start * end * end * (3.0 - 2.0 * end)
    }
}

/// A sounding note of any instrument.
#[derive(Debug)]
enum Voice {
    Struck(Box<StruckNote>),
    Sustained(Box<SustainedNote>),
    Drum(Box<Stroke>),
}

impl Voice {
    fn new(sound: Sound, note: &Note, number: u64) -> Self {
        let Note { pitch, velocity, held, .. } = *note;
        match sound {
            Sound::Struck(sound) => Self::Struck(Box::new(StruckNote::new(sound, pitch, velocity, held, number))),
            Sound::Sustained(sound) => {
                Self::Sustained(Box::new(SustainedNote::new(sound, pitch, velocity, held, number)))
            }
            Sound::Drum(drum) => Self::Drum(Box::new(Stroke::new(drum, velocity, held, number))),
        }
    }
}

/// One block on its way through the desk: left and right of each bus.
#[derive(Debug)]
struct Desk {
    dry: [[f32; BLOCK]; 2],
    drums: [[f32; BLOCK]; 2],
    room: [[f32; BLOCK]; 2],
    echo: [[f32; BLOCK]; 2],
}

impl Default for Desk {
    fn default() -> Self {
        let empty = [[0.0; BLOCK]; 2];
        Self { dry: empty, drums: empty, room: empty, echo: empty }
    }
}

impl Desk {
    fn clear(&mut self) {
        for bus in [&mut self.dry, &mut self.drums, &mut self.room, &mut self.echo] {
            *bus = [[0.0; BLOCK]; 2];
        }
    }

    /// Plays a voice from `from` to `to` into its buses; false once it has died away.
    fn play(&mut self, channel: &Channel, voice: &mut Voice, from: usize, to: usize) -> bool {
        let (mut left, mut right) = ([0.0; BLOCK], [0.0; BLOCK]);
        let (l, r) = (&mut left[from..to], &mut right[from..to]);
        let lives = match voice {
            Voice::Struck(note) => note.add(l, r),
            Voice::Sustained(note) => note.add(l, r),
            Voice::Drum(stroke) => stroke.add(l, r),
        };
        // Equal power: the middle is as loud as the sides.
        let angle = (channel.pan + 1.0) * std::f32::consts::FRAC_PI_4;
        let gains = [angle.cos() * std::f32::consts::SQRT_2, angle.sin() * std::f32::consts::SQRT_2];
        let bus = if matches!(channel.sound, Sound::Drum(_)) { &mut self.drums } else { &mut self.dry };
        for (side, samples) in [left, right].iter().enumerate() {
            let gain = channel.gain * gains[side];
            for n in from..to {
                let sample = gain * samples[n];
                bus[side][n] += sample;
                self.room[side][n] += channel.room * sample;
                self.echo[side][n] += channel.echo * sample;
            }
        }
        lives
    }
}

/// The kick presses the rest of the band down for a moment.
#[derive(Debug)]
struct Pump {
    depth: f32,
    pressed: f32,
    smooth: f32,
}

impl Pump {
    fn next(&mut self, kick: bool) -> f32 {
        if kick {
            self.pressed = 1.0;
        }
        // Back by half in 70 ms; pressed within 2 ms, so that nothing clicks.
        self.pressed *= 0.999_794;
        self.smooth += 0.01 * (self.pressed - self.smooth);
        1.0 - self.depth * self.smooth
    }
}

#[cfg(test)]
mod tests;
