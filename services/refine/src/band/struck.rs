//! Struck and plucked strings, bars and tines: a sum of decaying sine waves.
//!
//! Each partial is a rotating vector that shrinks, so pitch is exact, nothing aliases (partials too high are left out) and a
//! note starts from silence.

use super::RATE;
use super::harmony::hertz;
use super::random::Noise;

/// What an instrument of this kind sounds like.
#[derive(Debug)]
pub struct StruckSound {
    /// Multiple of the pitch, loudness, and seconds to -60 dB at 440 Hz.
    pub partials: &'static [(f32, f32, f32)],
    /// How much of the hammer, pick or mallet is heard.
    pub touch: f32,
    /// Seconds to -60 dB once the note is let go.
    pub damp_s: f32,
    /// How much duller soft notes are: 0 not at all, 1 much.
    pub velocity_tone: f32,
}

const PARTIALS: usize = 12;
/// Partials above this are left out, in hertz.
const CEILING: f32 = 14_000.0;

/// A note of such an instrument.
#[derive(Debug)]
pub struct StruckNote {
    re: [f32; PARTIALS],
    im: [f32; PARTIALS],
    turn_re: [f32; PARTIALS],
    turn_im: [f32; PARTIALS],
    touch: f32,
    touch_fade: f32,
    touch_low: f32,
    noise: Noise,
    level: f32,
    damp: f32,
    held: u64,
    age: u64,
}

impl StruckNote {
    /// A note that is let go after `held` frames.
    pub fn new(sound: &StruckSound, pitch: i32, velocity: f32, held: u64, seed: u64) -> Self {
        let base = hertz(pitch);
        let mut note = Self {
            re: [0.0; PARTIALS],
            im: [0.0; PARTIALS],
            turn_re: [0.0; PARTIALS],
            turn_im: [0.0; PARTIALS],
            touch: sound.touch * velocity,
            touch_fade: fade(0.03),
            touch_low: 0.0,
            noise: Noise::new(seed),
            level: 1.0,
            damp: fade(sound.damp_s),
            held,
            age: 0,
        };
        for (k, (ratio, loudness, decay_s)) in sound.partials.iter().take(PARTIALS).enumerate() {
            let frequency = base * ratio;
            if frequency > CEILING {
                continue;
            }
            let dull = (1.0 - velocity) * sound.velocity_tone * (ratio - 1.0).max(0.0);
            // Low strings ring longer than high ones.
            let shrink = fade(decay_s * (440.0 / base).powf(0.45));
            let angle = std::f32::consts::TAU * frequency / RATE as f32;
            note.re[k] = loudness * velocity * (-0.35 * dull).exp();
            note.turn_re[k] = shrink * angle.cos();
            note.turn_im[k] = shrink * angle.sin();
        }
        note
    }

    /// Adds the next samples to `left` and `right`; false once it has died away.
    pub fn add(&mut self, left: &mut [f32], right: &mut [f32]) -> bool {
        for (l, r) in left.iter_mut().zip(right) {
            let mut sum = 0.0;
            for k in 0..PARTIALS {
                let (re, im) = (self.re[k], self.im[k]);
                self.re[k] = re * self.turn_re[k] - im * self.turn_im[k];
                self.im[k] = re * self.turn_im[k] + im * self.turn_re[k];
                sum += self.im[k];
            }
            if self.touch > 1e-4 {
                self.touch_low += 0.35 * (self.noise.sample() - self.touch_low);
                // The first millisecond swells, so that the touch is a thump and no click.
                sum += self.touch * self.touch_low * (self.age as f32 / 48.0).min(1.0);
                self.touch *= self.touch_fade;
            }
            if self.age >= self.held {
                self.level *= self.damp;
            }
            self.age += 1;
            *l += sum * self.level;
            *r += sum * self.level;
        }
        let mut ringing = 0.0;
        for k in 0..PARTIALS {
            let power = self.re[k] * self.re[k] + self.im[k] * self.im[k];
            // Numbers on their way to zero become a hundred times slower to reckon with, so they are put there.
            if power < 1e-14 {
                (self.re[k], self.im[k]) = (0.0, 0.0);
            }
            ringing += power;
        }
        ringing * self.level * self.level > 1e-9
    }
}

/// The factor per sample that loses 60 dB in `seconds`.
pub fn fade(seconds: f32) -> f32 {
    10f32.powf(-3.0 / (seconds.max(1e-3) * RATE as f32))
}
