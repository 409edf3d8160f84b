//! The room and the desk: reverb, echo, bus compression, and a ceiling that is never crossed.

use super::struck::fade;

const LINES: usize = 8;
/// Lengths of the reverb's delay lines in samples: mutually prime, 23 to 71 ms.
const LENGTHS: [usize; LINES] = [1123, 1381, 1607, 1873, 2243, 2591, 2963, 3413];

/// A feedback delay network: eight lines that pass their ends to each other.
#[derive(Debug)]
pub struct Reverb {
    lines: [Vec<f32>; LINES],
    at: [usize; LINES],
    keep: [f32; LINES],
    low: [f32; LINES],
    early: Vec<[f32; 2]>,
    early_at: usize,
}

impl Reverb {
    /// A room that takes `seconds` to fall by 60 dB.
    pub fn new(seconds: f32) -> Self {
        Self {
            lines: LENGTHS.map(|length| vec![0.0; length]),
            at: [0; LINES],
            keep: LENGTHS.map(|length| fade(seconds).powi(length as i32)),
            low: [0.0; LINES],
            // 18 ms before the room answers keep the source clear.
            early: vec![[0.0; 2]; 864],
            early_at: 0,
        }
    }

    /// What the room answers to a sample.
    #[inline]
    pub fn next(&mut self, left: f32, right: f32) -> [f32; 2] {
        let [left, right] = std::mem::replace(&mut self.early[self.early_at], [left, right]);
        self.early_at = (self.early_at + 1) % self.early.len();

        let mut ends = [0.0; LINES];
        for (k, end) in ends.iter_mut().enumerate() {
            // High tones die sooner, as in any room with a carpet.
            self.low[k] += 0.55 * (self.lines[k][self.at[k]] - self.low[k]);
            *end = self.low[k] * self.keep[k];
        }
        let answer = [ends[0] - ends[2] + ends[4] - ends[6], ends[1] - ends[3] + ends[5] - ends[7]];
        // A Householder reflection: each line gets itself minus a quarter of the sum, so no energy is made or lost.
        let quarter = ends.iter().sum::<f32>() * 0.25;
        for (k, end) in ends.iter().enumerate() {
            let input = if k % 2 == 0 { left } else { right };
            self.lines[k][self.at[k]] = end - quarter + 0.35 * input;
            self.at[k] = (self.at[k] + 1) % LENGTHS[k];
        }
        answer
    }
}

/// An echo in time with the music that swaps sides.
#[derive(Debug)]
pub struct Echo {
    line: Vec<[f32; 2]>,
    at: usize,
    low: [f32; 2],
}

impl Echo {
    /// Repeats after so many samples.
    pub fn new(samples: usize) -> Self {
        Self { line: vec![[0.0; 2]; samples.max(1)], at: 0, low: [0.0; 2] }
    }

    /// What comes back.
    #[inline]
    pub fn next(&mut self, left: f32, right: f32) -> [f32; 2] {
        let back = self.line[self.at];
        for (low, back) in self.low.iter_mut().zip(back) {
            *low += 0.4 * (back - *low);
        }
        self.line[self.at] = [left + 0.42 * self.low[1], right + 0.42 * self.low[0]];
        self.at = (self.at + 1) % self.line.len();
        back
    }
}

/// The end of the desk: no rumble, gentle compression, a soft ceiling.
#[derive(Debug)]
pub struct Master {
    slow: [f64; 2],
    power: f32,
    gain: f32,
}

/// Where compression sets in, as a mean square (-20 dB).
const THRESHOLD: f32 = 0.01;
/// The ceiling begins to bend here.
const KNEE: f32 = 0.7;

impl Default for Master {
    /// A desk at rest.
    fn default() -> Self {
        Self { slow: [0.0; 2], power: 0.0, gain: 1.0 }
    }
}

impl Master {
    /// One sample through it.
    #[inline]
    pub fn next(&mut self, mut sample: [f32; 2]) -> [f32; 2] {
        // First-order high-pass at 20 Hz: what is below is not heard and would only eat the ceiling.
        for (slow, value) in self.slow.iter_mut().zip(&mut sample) {
            *slow += 0.002_6 * (f64::from(*value) - *slow);
            *value -= *slow as f32;
        }
        let now = 0.5 * (sample[0] * sample[0] + sample[1] * sample[1]);
        // 30 ms to notice.
        self.power += 0.000_7 * (now - self.power);
        // Half of what is over the threshold, in decibels: ratio 2 to 1.
        let wanted = if self.power > THRESHOLD { (THRESHOLD / self.power).sqrt().sqrt() } else { 1.0 };
        let speed = if wanted < self.gain { 0.002 } else { 0.000_15 };
        self.gain += speed * (wanted - self.gain);
        sample.map(|value| ceiling(value * self.gain * 1.4))
    }
}

/// Bends what is loud so that it stays below 1.
#[inline]
fn ceiling(value: f32) -> f32 {
    let over = value.abs() - KNEE;
    if over <= 0.0 {
        return value;
    }
    let room = 1.0 - KNEE;
    value.signum() * (KNEE + room * (over / (over + room)))
}
