//! Camera movements: what a beat's `camera_movement` means, and its sign on the picture.

use tiny_skia::{Path, PathBuilder};

use super::brush::{Brush, disc, outline, rounded};
use super::tone::Tone;
use super::vocabulary::words;

/// Where the camera goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Movement {
    /// Towards the subject.
    In,
    /// Away from it.
    Out,
    /// Turning sideways; the flag says to the left.
    Pan(bool),
    /// Turning sideways too fast to see; the flag says to the left.
    Whip(bool),
    /// Up.
    Up,
    /// Down.
    Down,
    /// Beside a moving subject; the flag says to the left.
    Track(bool),
    /// Around it.
    Orbit,
    /// By hand.
    Handheld,
    /// Not at all.
    Static,
    /// Uncovering it.
    Reveal,
    /// From one view to the next.
    Cuts,
    /// Nothing that is known: its words stand there with a neutral sign.
    Other,
}

impl Movement {
    /// The movement that some words ask for.
    pub fn read(camera_movement: &str) -> Self {
        let spelled = camera_movement.to_lowercase().replace(['_', '-'], " ");
        let words = words(&spelled);
        let has = |names: &[&str]| names.iter().any(|name| words.iter().any(|word| word == name));
        let left = has(&["left"]);
        if has(&["cuts", "cut", "montage"]) {
            Self::Cuts
        } else if has(&["whip", "swish"]) {
            Self::Whip(left)
        } else if has(&["tracking", "track", "truck", "slide", "slider", "lateral"]) {
            Self::Track(left)
        } else if has(&["orbit", "arc", "around", "circle", "360"]) {
            Self::Orbit
        } else if has(&["handheld", "shake", "shaky", "follow"]) {
            Self::Handheld
        } else if has(&["reveal", "wipe", "uncover"]) {
            Self::Reveal
        } else if has(&["out", "pull", "back", "away"]) {
            Self::Out
        } else if has(&["down", "descend", "lower"]) {
            Self::Down
        } else if has(&["up", "rise", "rising", "crane", "jib", "pedestal", "tilt"]) {
            Self::Up
        } else if has(&["pan", "across", "left", "right"]) {
            Self::Pan(left)
        } else if has(&["in", "push", "dolly", "zoom", "forward", "closer"]) {
            Self::In
        } else if has(&["static", "still", "hold", "locked", "fixed", "tripod", "none"]) {
            Self::Static
        } else {
            Self::Other
        }
    }

    /// Draws its sign into a square from -1 to 1 under the brush.
    pub fn draw_sign(self, brush: &mut Brush, ink: Tone) {
        let mut line = |path: Option<Path>, width: f32, alpha: f32| brush.line(path, width, ink, alpha);
        let flip = |left: bool| if left { -1.0 } else { 1.0 };
        match self {
            Self::In | Self::Out => {
                let (from, to) = if self == Self::In { (0.86, 0.42) } else { (0.42, 0.86) };
                line(rounded(-0.24, -0.16, 0.48, 0.32, 0.05), 0.09, 1.0);
                for (x, y) in [(-1.0, -0.72), (1.0, -0.72), (-1.0, 0.72), (1.0, 0.72)] {
                    line(arrow((x * from, y * from), (x * to, y * to), 0.24), 0.11, 1.0);
                }
            }
            Self::Pan(left) => {
                line(rounded(-0.5, -0.62, 1.0, 0.62, 0.08), 0.08, 0.55);
                line(arrow((-0.82 * flip(left), 0.46), (0.82 * flip(left), 0.46), 0.3), 0.13, 1.0);
            }
            Self::Whip(left) => {
                let s = flip(left);
                for (y, start) in [(-0.5, -0.2), (0.5, -0.45)] {
                    line(segment((start * s, y), (0.3 * s, y)), 0.09, 0.6);
                }
                line(segment((-0.85 * s, -0.25), (-0.3 * s, -0.25)), 0.08, 0.4);
                line(segment((-0.75 * s, 0.25), (-0.2 * s, 0.25)), 0.08, 0.4);
                line(arrow((-0.9 * s, 0.0), (0.52 * s, 0.0), 0.36), 0.14, 1.0);
                line(chevron((0.9 * s, 0.0), (s, 0.0), 0.36), 0.14, 1.0);
            }
            Self::Up | Self::Down => {
                let s = if self == Self::Up { -1.0 } else { 1.0 };
                line(outline("M -0.75 0.62 L 0.05 0.62 M -0.55 0.62 L -0.2 -0.55 L 0.2 -0.3"), 0.08, 0.5);
                line(arrow((0.52, -0.72 * s), (0.52, 0.72 * s), 0.32), 0.13, 1.0);
            }
            Self::Track(left) => {
                let s = flip(left);
                line(rounded(-0.34, -0.66, 0.68, 0.5, 0.08), 0.09, 1.0);
                line(segment((-0.9, 0.66), (0.9, 0.66)), 0.07, 0.5);
                for x in [-0.6, -0.2, 0.2, 0.6] {
                    line(segment((x, 0.58), (x, 0.76)), 0.07, 0.5);
                }
                line(arrow((-0.82 * s, 0.24), (0.82 * s, 0.24), 0.28), 0.13, 1.0);
            }
            Self::Orbit => {
                line(arc(0.0, 0.0, 0.82, 0.4, 0.5, 5.3), 0.12, 1.0);
                let end = (0.82 * 5.3_f32.cos(), 0.4 * 5.3_f32.sin());
                line(chevron(end, (0.62, 0.5), 0.3), 0.12, 1.0);
                brush.fill(disc(0.0, -0.02, 0.18), ink, 1.0);
            }
            Self::Handheld => {
                line(
                    outline(
                        "M -0.85 0.1 C -0.6 -0.6 -0.45 -0.6 -0.3 0 C -0.15 0.6 0 0.6 0.15 0 C 0.25 -0.4 0.4 -0.4 0.62 0",
                    ),
                    0.12,
                    1.0,
                );
                line(chevron((0.74, 0.14), (0.85, 0.3), 0.3), 0.12, 1.0);
            }
            Self::Static => {
                line(
                    outline(
                        "M -0.75 -0.3 L -0.75 -0.62 L -0.3 -0.62 M 0.3 -0.62 L 0.75 -0.62 L 0.75 -0.3 M 0.75 0.3 L 0.75 0.62 L 0.3 0.62 M -0.3 0.62 L -0.75 0.62 L -0.75 0.3",
                    ),
                    0.1,
                    1.0,
                );
                brush.fill(disc(0.0, 0.0, 0.15), ink, 1.0);
            }
            Self::Reveal => {
                brush.fill(outline("M -0.8 -0.55 L 0 -0.55 L 0 0.55 L -0.8 0.55 Z"), ink, 0.4);
                let mut line = |path: Option<Path>, width: f32, alpha: f32| brush.line(path, width, ink, alpha);
                line(rounded(-0.8, -0.55, 1.6, 1.1, 0.06), 0.08, 0.7);
                line(arrow((-0.5, 0.0), (0.55, 0.0), 0.26), 0.12, 1.0);
            }
            Self::Cuts => {
                line(outline("M -0.3 -0.7 L 0.85 -0.7 L 0.85 0.1"), 0.08, 0.4);
                line(outline("M -0.55 -0.45 L 0.6 -0.45 L 0.6 0.35"), 0.08, 0.65);
                line(rounded(-0.85, -0.2, 1.2, 0.84, 0.06), 0.1, 1.0);
            }
            Self::Other => {
                line(rounded(-0.8, -0.55, 1.6, 1.1, 0.1), 0.09, 1.0);
                line(disc(0.0, 0.0, 0.24), 0.09, 1.0);
            }
        }
    }
}

fn segment(from: (f32, f32), to: (f32, f32)) -> Option<Path> {
    let mut path = PathBuilder::new();
    path.move_to(from.0, from.1);
    path.line_to(to.0, to.1);
    path.finish()
}

/// A line with a head at its end.
fn arrow(from: (f32, f32), to: (f32, f32), head: f32) -> Option<Path> {
    let mut path = PathBuilder::new();
    path.move_to(from.0, from.1);
    path.line_to(to.0, to.1);
    add_head(&mut path, (to.0 - from.0, to.1 - from.1), to, head);
    path.finish()
}

/// A head alone: its tip at `tip`, pointing away from `towards` by its direction from the tip.
fn chevron(tip: (f32, f32), towards: (f32, f32), head: f32) -> Option<Path> {
    let mut path = PathBuilder::new();
    add_head(&mut path, (towards.0 - tip.0, towards.1 - tip.1), tip, head);
    path.finish()
}

fn add_head(path: &mut PathBuilder, direction: (f32, f32), tip: (f32, f32), size: f32) {
    let length = direction.0.hypot(direction.1).max(1e-6);
    let (dx, dy) = (direction.0 / length * size, direction.1 / length * size);
    path.move_to(tip.0 - dx - dy * 0.8, tip.1 - dy + dx * 0.8);
    path.line_to(tip.0, tip.1);
    path.line_to(tip.0 - dx + dy * 0.8, tip.1 - dy - dx * 0.8);
}

/// A part of an ellipse, from one angle to another in radians.
fn arc(cx: f32, cy: f32, rx: f32, ry: f32, from: f32, to: f32) -> Option<Path> {
    let mut path = PathBuilder::new();
    let steps = 28u8;
    for step in 0..=steps {
        let angle = from + (to - from) * f32::from(step) / f32::from(steps);
        let (x, y) = (cx + rx * angle.cos(), cy + ry * angle.sin());
        if step == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
    }
    path.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_movement_of_the_library_is_understood() {
        for (id, movement) in [
            ("slow_dolly_in", Movement::In),
            ("slow_pan", Movement::Pan(false)),
            ("push_in", Movement::In),
            ("whip_pan", Movement::Whip(false)),
            ("crane_down", Movement::Down),
            ("pan_across", Movement::Pan(false)),
            ("tracking_shot", Movement::Track(false)),
            ("handheld_follow", Movement::Handheld),
            ("slow_orbit", Movement::Orbit),
            ("slow_push_in", Movement::In),
            ("fast_cuts", Movement::Cuts),
            ("static", Movement::Static),
            ("reveal", Movement::Reveal),
            ("static_hold", Movement::Static),
            ("crane_up", Movement::Up),
            ("pull_back", Movement::Out),
            ("pan_left", Movement::Pan(true)),
        ] {
            assert_eq!(Movement::read(id), movement, "{id}");
        }
    }

    #[test]
    fn an_unknown_movement_gets_the_neutral_sign() {
        for id in ["", "levitate", "🎬"] {
            assert_eq!(Movement::read(id), Movement::Other, "{id}");
        }
    }
}
