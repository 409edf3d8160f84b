//! Bowed, blown and synthetic tones: band-limited oscillators through a low-pass filter and an envelope.
//!
//! The oscillators are corrected at their jumps (PolyBLEP), so saws stay free of aliasing; detuning stays within a few cents
//! and is symmetrical, so the tone is wide but in tune.

use super::RATE;
use super::harmony::hertz;

/// The shape of an oscillator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wave {
    /// All harmonics: strings, brass.
    Saw,
    /// Odd harmonics: hollow.
    Square,
    /// Nearly none: flute, sub bass.
    Sine,
}

/// What an instrument of this kind sounds like.
#[derive(Debug)]
pub struct SustainedSound {
    /// The oscillators' shape.
    pub wave: Wave,
    /// How far each oscillator is off, in cents, from left to right.
    pub detune: &'static [f32],
    /// How loud a sine an octave below is.
    pub sub: f32,
    /// The filter's corner, in hertz, plus `track` times the pitch.
    pub cutoff: f32,
    /// How much the corner follows the pitch.
    pub track: f32,
    /// How far the filter opens at the start of a note, as a multiple of its corner.
    pub bite: f32,
    /// How long that takes to fall by half, in seconds.
    pub bite_s: f32,
    /// The filter's damping: 1.4 is none too many, 0.7 sings.
    pub damping: f32,
    /// Seconds.
    pub attack_s: f32,
    /// Seconds to fall to `sustain`.
    pub decay_s: f32,
    /// Level of a held note.
    pub sustain: f32,
    /// Seconds.
    pub release_s: f32,
    /// Depth in cents; it sets in after a third of a second.
    pub vibrato: f32,
    /// Breath noise.
    pub breath: f32,
}

const OSCILLATORS: usize = 5;
/// How often the filter is set anew, in samples.
const CONTROL: u64 = 16;

/// A note of such an instrument.
#[derive(Debug)]
pub struct SustainedNote {
    sound: &'static SustainedSound,
    phase: [f32; OSCILLATORS],
    step: [f32; OSCILLATORS],
    sub_phase: f32,
    base: f32,
    velocity: f32,
    filters: [LowPass; 2],
    envelope: f32,
    bend: f32,
    noise: super::random::Noise,
    held: u64,
    age: u64,
}

impl SustainedNote {
    /// A note that is let go after `held` frames.
    pub fn new(sound: &'static SustainedSound, pitch: i32, velocity: f32, held: u64, seed: u64) -> Self {
        let base = hertz(pitch);
        let mut noise = super::random::Noise::new(seed);
        let mut note = Self {
            sound,
            phase: [0.0; OSCILLATORS],
            step: [0.0; OSCILLATORS],
            sub_phase: 0.0,
            base,
            velocity,
            filters: [LowPass::default(); 2],
            envelope: 0.0,
            bend: 1.0,
            noise: noise.clone(),
            held,
            age: 0,
        };
        for (k, cents) in sound.detune.iter().take(OSCILLATORS).enumerate() {
            // Oscillators that start together would cancel and swell together; one alone starts from zero.
            note.phase[k] = if sound.detune.len() > 1 { noise.sample().abs() } else { 0.0 };
            note.step[k] = base * 2f32.powf(cents / 1200.0) / RATE as f32;
        }
        note
    }

    /// Adds the next samples to `left` and `right`; false once it has died away.
    pub fn add(&mut self, left: &mut [f32], right: &mut [f32]) -> bool {
        let count = self.sound.detune.len().clamp(1, OSCILLATORS);
        let gain = self.velocity / (count as f32).sqrt();
        let mut pans = [0.5; OSCILLATORS];
        if count > 1 {
            for (k, pan) in pans.iter_mut().enumerate().take(count) {
                *pan = k as f32 / (count - 1) as f32;
            }
        }
        for (l, r) in left.iter_mut().zip(right) {
            if self.age.is_multiple_of(CONTROL) {
                self.control();
            }
            let (mut on_left, mut on_right) = (0.0, 0.0);
            for (k, pan) in pans.iter().enumerate().take(count) {
                let step = self.step[k] * self.bend;
                let sample = match self.sound.wave {
                    Wave::Saw => saw(self.phase[k], step),
                    Wave::Square => 0.6 * (saw(self.phase[k], step) - saw((self.phase[k] + 0.5).fract(), step)),
                    Wave::Sine => flute(self.phase[k]),
                };
                on_left += sample * (1.0 - pan);
                on_right += sample * pan;
                self.phase[k] = (self.phase[k] + step).fract();
            }
            if self.sound.sub > 0.0 {
                let sub = self.sound.sub * sine(self.sub_phase);
                on_left += sub;
                on_right += sub;
                self.sub_phase = (self.sub_phase + 0.5 * self.base / RATE as f32).fract();
            }
            if self.sound.breath > 0.0 {
                let breath = self.sound.breath * self.noise.sample();
                on_left += breath;
                on_right += breath;
            }
            let level = self.level() * gain;
            *l += self.filters[0].next(on_left) * level;
            *r += self.filters[1].next(on_right) * level;
            self.age += 1;
        }
        self.age < self.held || self.envelope > 1e-4
    }

    fn control(&mut self) {
        let age_s = self.age as f32 / RATE as f32;
        let bite = 1.0 + self.sound.bite * self.velocity * (-age_s / self.sound.bite_s.max(1e-3)).exp2();
        let corner = (self.sound.cutoff + self.sound.track * self.base) * bite * (0.6 + 0.4 * self.velocity);
        for filter in &mut self.filters {
            filter.tune(corner, self.sound.damping);
        }
        let depth = self.sound.vibrato * ((age_s - 0.33) / 0.5).clamp(0.0, 1.0);
        self.bend = (depth / 1200.0 * (std::f32::consts::TAU * 5.2 * age_s).sin()).exp2();
    }

    /// The envelope: a straight attack, then falls that slow down as they go.
    fn level(&mut self) -> f32 {
        let rate = RATE as f32;
        if self.age >= self.held {
            // A third of the time per factor e: -26 dB at the end of it, gone shortly after.
            self.envelope *= 1.0 - (3.0 / (self.sound.release_s * rate)).min(0.05);
        } else if (self.age as f32) < self.sound.attack_s * rate {
            self.envelope += (1.0 / (self.sound.attack_s * rate)).min(0.02);
        } else {
            let pull = (3.0 / (self.sound.decay_s.max(0.01) * rate)).min(0.05);
            self.envelope += (self.sound.sustain - self.envelope) * pull;
        }
        self.envelope
    }
}

/// A saw from -1 to 1 whose jump is rounded over two samples.
#[inline]
fn saw(phase: f32, step: f32) -> f32 {
    let naive = 2.0 * phase - 1.0;
    if phase < step {
        let t = phase / step;
        naive - (2.0 * t - t * t - 1.0)
    } else if phase > 1.0 - step {
        let t = (phase - 1.0) / step;
        naive - (t * t + 2.0 * t + 1.0)
    } else {
        naive
    }
}

/// A sine with a trace of its octave and twelfth.
#[inline]
fn flute(phase: f32) -> f32 {
    let first = sine(phase);
    // sin 3x = 3 sin x - 4 sin^3 x, which spares another sine.
    first + 0.12 * (3.0 * first - 4.0 * first * first * first)
}

#[inline]
fn sine(phase: f32) -> f32 {
    (std::f32::consts::TAU * phase).sin()
}

/// A state-variable low-pass filter that stays stable while its corner moves.
#[derive(Debug, Clone, Copy, Default)]
pub struct LowPass {
    a1: f32,
    a2: f32,
    a3: f32,
    first: f32,
    second: f32,
}

impl LowPass {
    /// Sets the corner, in hertz, and the damping (1.4 is flat).
    pub fn tune(&mut self, corner: f32, damping: f32) {
        let g = (std::f32::consts::PI * corner.clamp(20.0, 16_000.0) / RATE as f32).tan();
        self.a1 = 1.0 / (1.0 + g * (g + damping));
        self.a2 = g * self.a1;
        self.a3 = g * self.a2;
    }

    /// What lies below the corner.
    #[inline]
    pub fn next(&mut self, sample: f32) -> f32 {
        self.split(sample).0
    }

    /// What lies around the corner, of the same filter.
    #[inline]
    pub fn band(&mut self, sample: f32) -> f32 {
        self.split(sample).1
    }

    #[inline]
    fn split(&mut self, sample: f32) -> (f32, f32) {
        let v3 = sample - self.second;
        let band = self.a1 * self.first + self.a2 * v3;
        let low = self.second + self.a2 * self.first + self.a3 * v3;
        self.first = 2.0 * band - self.first;
        self.second = 2.0 * low - self.second;
        (low, band)
    }
}
