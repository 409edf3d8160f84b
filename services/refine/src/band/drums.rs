//! Drums: swept sines for skins, shaped noise for metal, wood and hands.

use super::RATE;
use super::random::Noise;
use super::struck::fade;
use super::sustained::LowPass;

/// What is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Drum {
    /// A round bass drum.
    SoftKick,
    /// A bass drum with a click, for the dance floor.
    HardKick,
    /// A big drum far away.
    Taiko,
    /// A snare.
    Snare,
    /// Hands.
    Clap,
    /// Fingers.
    Snap,
    /// The edge of a snare.
    Rim,
    /// A closed hi-hat.
    Hat,
    /// An open hi-hat.
    OpenHat,
    /// Seeds in an egg.
    Shaker,
    /// Jingles.
    Tambourine,
    /// A crash cymbal.
    Crash,
    /// A deep hit under a cut.
    Boom,
    /// Noise that rises into a cut; its length is the note's.
    Riser,
}

/// A drum's skin: from and to which hertz it falls, in how many seconds by half, how long it sounds (to -60 dB), how loud.
struct Skin {
    from: f32,
    to: f32,
    fall_s: f32,
    ring_s: f32,
    level: f32,
}

/// A drum's noise: the band (hertz), its damping, how long it sounds (to -60 dB), how loud.
struct Rattle {
    band: f32,
    damping: f32,
    ring_s: f32,
    level: f32,
}

const SILENT: Skin = Skin { from: 100.0, to: 100.0, fall_s: 1.0, ring_s: 0.01, level: 0.0 };

impl Drum {
    fn skin(self) -> Skin {
        match self {
            Self::SoftKick => Skin { from: 120.0, to: 50.0, fall_s: 0.018, ring_s: 0.42, level: 0.9 },
            Self::HardKick => Skin { from: 210.0, to: 52.0, fall_s: 0.014, ring_s: 0.38, level: 1.0 },
            Self::Taiko => Skin { from: 130.0, to: 68.0, fall_s: 0.04, ring_s: 1.1, level: 0.9 },
            Self::Snare => Skin { from: 240.0, to: 180.0, fall_s: 0.02, ring_s: 0.16, level: 0.45 },
            Self::Rim => Skin { from: 820.0, to: 800.0, fall_s: 0.02, ring_s: 0.06, level: 0.4 },
            Self::Snap => Skin { from: 1700.0, to: 1450.0, fall_s: 0.01, ring_s: 0.05, level: 0.18 },
            Self::Boom => Skin { from: 90.0, to: 38.0, fall_s: 0.12, ring_s: 2.2, level: 1.0 },
            Self::Clap | Self::Hat | Self::OpenHat | Self::Shaker | Self::Tambourine | Self::Crash | Self::Riser => {
                SILENT
            }
        }
    }

    fn rattle(self) -> Rattle {
        match self {
            Self::SoftKick => Rattle { band: 900.0, damping: 1.2, ring_s: 0.02, level: 0.12 },
            Self::HardKick => Rattle { band: 3200.0, damping: 1.0, ring_s: 0.025, level: 0.6 },
            Self::Taiko => Rattle { band: 420.0, damping: 1.2, ring_s: 0.12, level: 0.4 },
            Self::Snare => Rattle { band: 2600.0, damping: 1.5, ring_s: 0.24, level: 1.5 },
            Self::Clap => Rattle { band: 1350.0, damping: 0.7, ring_s: 0.26, level: 2.0 },
            Self::Snap => Rattle { band: 2300.0, damping: 0.5, ring_s: 0.13, level: 1.3 },
            Self::Rim => Rattle { band: 2400.0, damping: 0.8, ring_s: 0.04, level: 0.6 },
            Self::Hat => Rattle { band: 9000.0, damping: 0.9, ring_s: 0.08, level: 1.0 },
            Self::OpenHat => Rattle { band: 8200.0, damping: 0.9, ring_s: 0.36, level: 0.8 },
            Self::Shaker => Rattle { band: 6200.0, damping: 0.8, ring_s: 0.18, level: 1.6 },
            Self::Tambourine => Rattle { band: 7600.0, damping: 0.35, ring_s: 0.2, level: 0.5 },
            Self::Crash => Rattle { band: 5600.0, damping: 1.3, ring_s: 2.6, level: 1.2 },
            Self::Boom => Rattle { band: 160.0, damping: 1.2, ring_s: 0.5, level: 0.5 },
            Self::Riser => Rattle { band: 500.0, damping: 0.7, ring_s: 60.0, level: 0.9 },
        }
    }

    /// Seconds until the noise is at its loudest: skins and metal speak at once, seeds need a moment.
    fn swell_s(self) -> f32 {
        match self {
            Self::Shaker => 0.02,
            Self::Tambourine => 0.004,
            _ => 0.0008,
        }
    }
}

/// A stroke.
#[derive(Debug)]
pub struct Stroke {
    drum: Drum,
    velocity: f32,
    phase: f32,
    to: f32,
    sweep: f32,
    sweep_fade: f32,
    skin: f32,
    skin_fade: f32,
    rattle: f32,
    rattle_fade: f32,
    band: f32,
    damping: f32,
    filters: [LowPass; 2],
    noises: [Noise; 2],
    length: u64,
    age: u64,
}

impl Stroke {
    /// A stroke; `length` frames matter to a [`Drum::Riser`] only.
    pub fn new(drum: Drum, velocity: f32, length: u64, seed: u64) -> Self {
        let (skin, rattle) = (drum.skin(), drum.rattle());
        let mut filters = [LowPass::default(); 2];
        for filter in &mut filters {
            filter.tune(rattle.band, rattle.damping);
        }
        Self {
            drum,
            velocity,
            phase: 0.0,
            to: skin.to,
            sweep: skin.from - skin.to,
            sweep_fade: (-1.0 / (skin.fall_s * RATE as f32)).exp2(),
            skin: skin.level,
            skin_fade: fade(skin.ring_s),
            rattle: rattle.level,
            rattle_fade: fade(rattle.ring_s),
            band: rattle.band,
            damping: rattle.damping,
            filters,
            noises: [Noise::new(seed), Noise::new(seed ^ 0x5555)],
            length,
            age: 0,
        }
    }

    /// Adds the next samples to `left` and `right`; false once it has died away.
    pub fn add(&mut self, left: &mut [f32], right: &mut [f32]) -> bool {
        let swell = 1.0 / (self.drum.swell_s() * RATE as f32);
        for (l, r) in left.iter_mut().zip(right) {
            let mut tone = 0.0;
            if self.skin > 1e-4 {
                tone = self.skin * (std::f32::consts::TAU * self.phase).sin();
                self.phase = (self.phase + (self.to + self.sweep) / RATE as f32).fract();
                self.sweep *= self.sweep_fade;
                self.skin *= self.skin_fade;
            }
            let gate = self.rattle * self.shape() * (self.age as f32 * swell).min(1.0);
            self.rattle *= self.rattle_fade;
            *l += self.velocity * (tone + gate * self.filters[0].band(self.noises[0].sample()));
            *r += self.velocity * (tone + gate * self.filters[1].band(self.noises[1].sample()));
            self.age += 1;
        }
        self.skin > 1e-4 || (self.rattle > 1e-4 && (self.drum != Drum::Riser || self.age < self.length))
    }

    /// How the noise is shaped beyond its fade.
    fn shape(&mut self) -> f32 {
        let age_s = self.age as f32 / RATE as f32;
        match self.drum {
            // Several hands, not quite together.
            Drum::Clap if age_s < 0.03 => {
                let since = age_s % 0.010;
                (-since / 0.004).exp2()
            }
            Drum::Riser => {
                let part = (self.age as f32 / self.length.max(1) as f32).min(1.0);
                if self.age.is_multiple_of(32) {
                    for filter in &mut self.filters {
                        filter.tune(self.band * (part * 3.5).exp2(), self.damping);
                    }
                }
                // It ends softly inside a few milliseconds, so that the cut is a breath and no click.
                let left = self.length.saturating_sub(self.age) as f32 / (0.02 * RATE as f32);
                part * part * left.min(1.0)
            }
            _ => 1.0,
        }
    }
}
