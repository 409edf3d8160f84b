//! How the camera moves: from the beat's word for it and a time in the beat to a pose. Pure.
//!
//! A movement spans its whole beat, however many chunks the beat has. Poses never cut off more than an eighth of the
//! picture on any side, because storyboard pictures carry text inside such a frame. Directions are fixed (a pan goes
//! right unless its name says left), so that they agree with the arrows of the storyboard.

use std::f64::consts::TAU;

use crate::animatic::projection::Pose;

/// A camera in one beat.
#[derive(Debug, Clone)]
pub struct Camera {
    movement: Movement,
    /// 1 to the right, -1 to the left.
    side: f64,
    beat_s: f64,
    seed: u64,
}

/// The kinds of movement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Movement {
    /// A slow dolly towards the subject.
    DollyIn,
    /// A push in that gathers speed.
    PushIn,
    /// A slower and shorter push that drifts a little.
    SlowPushIn,
    /// Away from the subject.
    PullOut,
    /// A slow turn to the side.
    Pan,
    /// A turn across the whole width.
    PanAcross,
    /// A turn so fast that the picture smears, between two calm framings.
    WhipPan,
    /// The camera rises.
    CraneUp,
    /// The camera sinks.
    CraneDown,
    /// The camera travels beside the subject.
    Tracking,
    /// On a shoulder, following.
    Handheld,
    /// Around the subject.
    Orbit,
    /// Several framings, cut hard.
    FastCuts,
    /// Fixed.
    Static,
    /// Fixed, settling on the last impression.
    StaticHold,
    /// A line of light passes and brings out the colours.
    Reveal,
}

impl Movement {
    /// The movement that a beat names. The library's names are known exactly; for what people write themselves, the most
    /// telling word decides, and a gentle push is right for everything else.
    pub fn named(name: &str) -> Self {
        let name = name.to_lowercase();
        match name.as_str() {
            "slow_dolly_in" => return Self::DollyIn,
            "push_in" => return Self::PushIn,
            "slow_push_in" => return Self::SlowPushIn,
            "slow_pan" => return Self::Pan,
            "pan_across" => return Self::PanAcross,
            "whip_pan" => return Self::WhipPan,
            "crane_up" => return Self::CraneUp,
            "crane_down" => return Self::CraneDown,
            "tracking_shot" => return Self::Tracking,
            "handheld_follow" => return Self::Handheld,
            "slow_orbit" => return Self::Orbit,
            "fast_cuts" => return Self::FastCuts,
            "static" => return Self::Static,
            "static_hold" => return Self::StaticHold,
            "reveal" => return Self::Reveal,
            _ => {}
        }
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if has(&["whip", "swish"]) {
            Self::WhipPan
        } else if has(&["cuts", "montage", "jump"]) {
            Self::FastCuts
        } else if has(&["hand", "shake", "shaky", "shoulder"]) {
            Self::Handheld
        } else if has(&["orbit", "arc", "360", "around", "circle"]) {
            Self::Orbit
        } else if has(&["crane", "tilt", "boom", "jib", "pedestal", "drone", "rise", "descend"]) {
            if has(&["down", "descend", "lower"]) { Self::CraneDown } else { Self::CraneUp }
        } else if has(&["track", "truck", "slide", "follow", "lateral"]) {
            Self::Tracking
        } else if has(&["across", "sweep"]) {
            Self::PanAcross
        } else if has(&["pan"]) {
            Self::Pan
        } else if has(&["out", "pull", "back", "away"]) {
            Self::PullOut
        } else if has(&["reveal", "unveil", "wipe"]) {
            Self::Reveal
        } else if has(&["hold"]) {
            Self::StaticHold
        } else if has(&["static", "still", "fixed", "locked", "tripod", "none"]) {
            Self::Static
        } else if has(&["slow", "gentle", "subtle"]) {
            Self::SlowPushIn
        } else if has(&["push", "zoom"]) {
            Self::PushIn
        } else if has(&["dolly"]) {
            Self::DollyIn
        } else {
            Self::SlowPushIn
        }
    }
}

impl Camera {
    /// The camera of a beat that lasts `beat_s` seconds.
    pub fn new(movement: &str, beat_s: f64, seed: u64) -> Self {
        let side = if movement.to_lowercase().contains("left") { -1.0 } else { 1.0 };
        Self { movement: Movement::named(movement), side, beat_s: beat_s.max(0.1), seed }
    }

    /// How it moves.
    pub fn movement(&self) -> Movement {
        self.movement
    }

    /// 1 for a camera that goes right, -1 for one that goes left.
    pub fn side(&self) -> f64 {
        self.side
    }

    /// Where it stands `t` seconds into the beat.
    pub fn pose(&self, t: f64) -> Pose {
        let whole = Pose::WHOLE;
        let u = glide((t / self.beat_s).clamp(0.0, 1.0));
        // From -1 to 1 over the beat, in the direction of travel.
        let across = self.side * (2.0 * u - 1.0);
        match self.movement {
            Movement::DollyIn => Pose { span: shrunk(1.0, 0.85, u), y: -0.008 * u, ..whole },
            Movement::PushIn => Pose { span: shrunk(1.0, 0.79, u.powf(1.6)), ..whole },
            Movement::SlowPushIn => Pose { span: shrunk(1.0, 0.88, u), x: 0.014 * u * self.side, ..whole },
            Movement::PullOut => Pose { span: shrunk(0.80, 1.0, u), ..whole },
            Movement::Pan => Pose { span: 0.90, x: 0.05 * across, ..whole },
            Movement::PanAcross => Pose { span: 0.88, x: 0.06 * across, yaw: 0.035 * across, ..whole },
            Movement::WhipPan => Pose { span: shrunk(0.95, 0.90, u), x: 0.02 * across, ..whole },
            Movement::CraneUp => self.crane(1.0 - 2.0 * u),
            Movement::CraneDown => self.crane(2.0 * u - 1.0),
            Movement::Tracking => {
                // Wheels, not legs: a constant speed with the faintest bounce.
                let across = self.side * (2.0 * (t / self.beat_s).clamp(0.0, 1.0) - 1.0);
                let bounce = 0.0018 * (TAU * 1.3 * t).sin() + 0.0009 * (TAU * 2.1 * t + 1.0).sin();
                Pose { span: 0.88, x: 0.05 * across, y: bounce, lean: 0.018 * across, ..whole }
            }
            Movement::Handheld => Pose {
                span: shrunk(0.91, 0.86, u),
                x: 0.013 * self.sway(t, 1),
                y: 0.015 * self.sway(t, 2),
                roll: 0.0055 * self.sway(t, 3),
                ..whole
            },
            Movement::Orbit => Pose {
                span: 0.88,
                x: 0.03 * across,
                yaw: 0.15 * across,
                roll: 0.008 * across,
                lean: 0.011 * across,
                ..whole
            },
            Movement::FastCuts => self.framing(t),
            Movement::Static => Pose { light: self.breath(t, 0.014), ..whole },
            Movement::StaticHold => Pose { span: shrunk(1.0, 0.985, u), light: self.breath(t, 0.008), ..whole },
            Movement::Reveal => Pose { span: shrunk(1.0, 0.89, u), ..whole },
        }
    }

    /// How much closer the camera has to come, as a share, before it can sway around a picture that has no margin left.
    /// Needed where the start image is a neighbour's last frame.
    pub fn sway_room(&self) -> f64 {
        match self.movement {
            Movement::Handheld => 0.06,
            Movement::Orbit | Movement::Tracking => 0.02,
            Movement::DollyIn
            | Movement::PushIn
            | Movement::SlowPushIn
            | Movement::PullOut
            | Movement::Pan
            | Movement::PanAcross
            | Movement::WhipPan
            | Movement::CraneUp
            | Movement::CraneDown
            | Movement::FastCuts
            | Movement::Static
            | Movement::StaticHold
            | Movement::Reveal => 0.0,
        }
    }

    /// The number of the framing at `t`; it only ever changes in a sequence of fast cuts.
    pub fn shot(&self, t: f64) -> u32 {
        match self.movement {
            // A thousandth of a second keeps a cut that falls on a frame from being decided by rounding.
            Movement::FastCuts => ((t + 1e-3) / self.shot_s()).max(0.0) as u32,
            _ => 0,
        }
    }

    /// Seconds of one framing: a cut about every three quarters of a second, and a whole number of them in the beat.
    fn shot_s(&self) -> f64 {
        self.beat_s / (self.beat_s / 0.75).round().max(2.0)
    }

    /// A camera high up (-1) or low down (1), tilted towards what it looks at.
    fn crane(&self, low: f64) -> Pose {
        Pose { span: 0.89, y: 0.042 * low, pitch: -0.05 * low, ..Pose::WHOLE }
    }

    fn framing(&self, t: f64) -> Pose {
        // Horizontal and vertical offset, share seen, roll in radians. Neighbours differ in size and place, or a cut would
        // look like a mistake.
        const FRAMINGS: [(f64, f64, f64, f64); 6] = [
            (0.0, 0.0, 1.0, 0.0),
            (-0.018, 0.014, 0.85, -0.017),
            (0.030, -0.024, 0.91, 0.010),
            (0.0, 0.0, 0.80, 0.0),
            (-0.026, -0.022, 0.93, 0.012),
            (0.017, 0.016, 0.85, 0.018),
        ];
        let shot = self.shot(t);
        let at = (shot as usize + (self.seed % 6) as usize) % FRAMINGS.len();
        let (x, y, span, roll) = FRAMINGS[at];
        let into = t - f64::from(shot) * self.shot_s();
        // Each framing drifts inwards and starts with a flash that is gone after a few frames.
        let flash = if shot == 0 { 0.0 } else { 0.16 * (-into.max(0.0) / 0.05).exp() };
        Pose { x, y, span: span * (1.0 - 0.03 * into / self.shot_s()), roll, light: 1.0 + flash, ..Pose::WHOLE }
    }

    /// Light that rises and falls by `depth` over five seconds, so that a fixed camera does not look like a stopped film.
    fn breath(&self, t: f64, depth: f64) -> f64 {
        1.0 + depth * (TAU * t / 5.0).sin()
    }

    /// A smooth unsteadiness of about -1.7 to 1.7: breathing, steps and a tremor, out of step with each other.
    fn sway(&self, t: f64, axis: u64) -> f64 {
        let phase = |wave: u64| TAU * unit(self.seed, 8 * axis + wave);
        (TAU * 0.27 * t + phase(0)).sin()
            + 0.5 * (TAU * 0.71 * t + phase(1)).sin()
            + 0.2 * (TAU * 1.7 * t + phase(2)).sin()
    }
}

/// Progress with soft ends: it starts and stops at a third of its speed, so that nothing jerks and nothing stands still.
fn glide(u: f64) -> f64 {
    const RAMP: f64 = 0.25;
    // The integral of a speed that rises over RAMP as a smoothstep, stays, and falls again; 1 over the whole.
    let rise = |u: f64| {
        let s = u / RAMP;
        RAMP * (s * s * s - s * s * s * s / 2.0)
    };
    let total = 1.0 - RAMP;
    let soft = if u < RAMP {
        rise(u)
    } else if u < 1.0 - RAMP {
        RAMP / 2.0 + (u - RAMP)
    } else {
        total - rise(1.0 - u)
    };
    0.3 * u + 0.7 * soft / total
}

/// A share between two, so that equal times magnify by equal factors: what the eye takes for a constant speed.
fn shrunk(from: f64, to: f64, u: f64) -> f64 {
    from * (to / from).powf(u)
}

/// A number from 0 to 1 that hangs on a seed and a place (SplitMix64).
fn unit(seed: u64, place: u64) -> f64 {
    let mut z = seed.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::animatic::projection::Projection;

    const LIBRARY: [&str; 15] = [
        "slow_dolly_in",
        "slow_pan",
        "push_in",
        "whip_pan",
        "crane_down",
        "pan_across",
        "tracking_shot",
        "handheld_follow",
        "slow_orbit",
        "slow_push_in",
        "fast_cuts",
        "static",
        "reveal",
        "static_hold",
        "crane_up",
    ];

    #[test]
    fn every_movement_of_the_library_is_its_own() {
        for (i, name) in LIBRARY.iter().enumerate() {
            for other in &LIBRARY[i + 1..] {
                assert_ne!(Movement::named(name), Movement::named(other), "{name} {other}");
            }
        }
    }

    #[test]
    fn words_that_people_write_find_the_nearest_movement() {
        for (words, movement) in [
            ("Whip pan to the left", Movement::WhipPan),
            ("slow pan left", Movement::Pan),
            ("dolly_out", Movement::PullOut),
            ("drone shot, descending", Movement::CraneDown),
            ("tilt up", Movement::CraneUp),
            ("orbit 360", Movement::Orbit),
            ("locked tripod", Movement::Static),
            ("crash zoom", Movement::PushIn),
            ("following on a shoulder", Movement::Handheld),
            ("something new", Movement::SlowPushIn),
            ("", Movement::SlowPushIn),
        ] {
            assert_eq!(Movement::named(words), movement, "{words}");
        }
    }

    #[test]
    fn a_pan_goes_where_its_name_says() {
        let travel = |name: &str| {
            let camera = Camera::new(name, 5.0, 1);
            camera.pose(5.0).x - camera.pose(0.0).x
        };
        assert!(travel("slow_pan") > 0.09 && travel("pan_left") < -0.09);
    }

    #[test]
    fn lettering_inside_the_safe_frame_is_never_cut_off() {
        for aspect in [16.0 / 9.0, 9.0 / 16.0, 1.0, 0.8] {
            for name in LIBRARY.into_iter().chain(["pull_out", "pan_left", "tracking left"]) {
                for seed in 0..6 {
                    let camera = Camera::new(name, 10.0, seed);
                    for t in (0..=100).map(|n| f64::from(n) / 10.0) {
                        let screen = Projection::of(&camera.pose(t), aspect).inside(aspect).inverse();
                        for (x, y) in [(-0.38, -0.38), (0.38, -0.38), (-0.38, 0.38), (0.38, 0.38)] {
                            let (x, y) = screen.apply(x * aspect, y);
                            assert!(
                                x.abs() <= aspect / 2.0 && y.abs() <= 0.5,
                                "{name} at {t} s: {x:.3} {y:.3}, {aspect:.2}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn progress_runs_from_nothing_to_all_without_a_jerk() {
        assert!(glide(0.0).abs() < 1e-12 && (glide(1.0) - 1.0).abs() < 1e-12);
        let speeds: Vec<_> =
            (0..1000).map(|n| (glide(f64::from(n + 1) / 1000.0) - glide(f64::from(n) / 1000.0)) * 1000.0).collect();
        assert!(speeds.iter().all(|speed| (0.29..1.3).contains(speed)));
        assert!(speeds.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.01));
    }
}
