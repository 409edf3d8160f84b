//! What happens once at the beginning of a beat: the whip of a whip pan, the line of light of a reveal. Pure.
//!
//! An entrance begins and ends inside the beat's first chunk. The chunks that follow start from a finished picture and
//! have none.

use messages::spec::Size;

use crate::animatic::camera::{Camera, Movement};
use crate::animatic::sampler::Smear;

/// An entrance with its times, in seconds from the beginning of the beat.
#[derive(Debug, Clone, Copy)]
pub enum Entrance {
    /// The view is thrown aside, past a mirrored picture, and lands where it was.
    Whip {
        /// When it begins.
        start: f64,
        /// How long it lasts.
        length: f64,
        /// 1 to the right, -1 to the left.
        side: f64,
    },
    /// A slanted line of light crosses the picture; before it things are grey and dim, behind it they have their colours.
    Light {
        /// When it begins.
        start: f64,
        /// How long it lasts.
        length: f64,
    },
}

impl Entrance {
    /// The entrance of a beat whose first chunk lasts `chunk_s` seconds, if its movement has one.
    pub fn of(camera: &Camera, chunk_s: f64) -> Option<Self> {
        match camera.movement() {
            Movement::WhipPan => {
                let length = f64::min(0.55, 0.4 * chunk_s);
                Some(Self::Whip { start: 0.28 * chunk_s.min(5.0), length, side: camera.side() })
            }
            Movement::Reveal => {
                let chunk_s = chunk_s.min(8.0);
                Some(Self::Light { start: 0.08 * chunk_s, length: 0.42 * chunk_s })
            }
            Movement::DollyIn
            | Movement::PushIn
            | Movement::SlowPushIn
            | Movement::PullOut
            | Movement::Pan
            | Movement::PanAcross
            | Movement::CraneUp
            | Movement::CraneDown
            | Movement::Tracking
            | Movement::Handheld
            | Movement::Orbit
            | Movement::FastCuts
            | Movement::Static
            | Movement::StaticHold => None,
        }
    }

    /// The smear at `t` seconds, for frames that last `frame_s`.
    pub fn smear(&self, t: f64, frame_s: f64) -> Option<Smear> {
        let Self::Whip { start, length, side } = *self else { return None };
        let travel = |t: f64| 2.0 * side * smootherstep((t - start) / length);
        if t <= start || t >= start + length {
            return None;
        }
        // The shutter is open for most of the frame, centred on it.
        let open = 0.8 * frame_s;
        Some(Smear { travel: travel(t), length: (travel(t + open / 2.0) - travel(t - open / 2.0)).abs() })
    }

    /// Lays the light over a finished frame.
    pub fn shade(&self, t: f64, size: Size, frame: &mut [u8]) {
        let Self::Light { start, length } = *self else { return };
        let u = (t - start) / length;
        if u >= 1.0 {
            return;
        }
        let (width, height) = (size.width as usize, size.height as usize);
        // The line leans by a quarter of the height and has to start and end outside the frame.
        let (lean, soft) = (0.25 * height as f32, 0.10 * width as f32);
        let reach = width as f32 + lean + 4.0 * soft;
        let line = reach * smootherstep(u) as f32 - 2.0 * soft;
        let (luma, chroma) = frame.split_at_mut(width * height);
        let (blue, red) = chroma.split_at_mut(width * height / 4);

        let past = |x: f32, y: f32| line - (x + lean * (1.0 - y / height as f32));
        for (j, row) in luma.chunks_exact_mut(width).enumerate() {
            for (i, sample) in row.iter_mut().enumerate() {
                let past = past(i as f32, j as f32) / soft;
                // Most of a row lies far behind the line, where there is nothing to do.
                if past < 3.0 {
                    let (shown, glow) = (rise(past), glow(past));
                    let value = f32::from(*sample) - 16.0;
                    *sample = (16.5 + value * (0.5 + 0.5 * shown) + 64.0 * glow).clamp(16.0, 235.0) as u8;
                }
            }
        }
        for plane in [blue, red] {
            for (j, row) in plane.chunks_exact_mut(width / 2).enumerate() {
                for (i, sample) in row.iter_mut().enumerate() {
                    let past = past(2.0 * i as f32, 2.0 * j as f32) / soft;
                    if past < 3.0 {
                        let saturation = (0.12 + 0.88 * rise(past)) * (1.0 - 0.5 * glow(past));
                        *sample = (128.5 + (f32::from(*sample) - 128.0) * saturation) as u8;
                    }
                }
            }
        }
    }
}

/// From 0 before the line to 1 behind it.
fn rise(past: f32) -> f32 {
    let s = (0.5 + past / 2.0).clamp(0.0, 1.0);
    s * s * (3.0 - 2.0 * s)
}

/// The brightness of the line itself: a bell two softnesses wide with no tail.
fn glow(past: f32) -> f32 {
    let s = (1.0 - past * past / 2.0).max(0.0);
    s * s * s
}

/// From 0 to 1 with speed and acceleration zero at both ends.
fn smootherstep(u: f64) -> f64 {
    let u = u.clamp(0.0, 1.0);
    u * u * u * (u * (6.0 * u - 15.0) + 10.0)
}
