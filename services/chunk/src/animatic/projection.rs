//! Where the camera stands, as a projection of the screen onto the picture. Pure.
//!
//! Both have the same coordinates: the origin in the middle, y downwards, the height 1 and the width the aspect ratio.
//! What leaves [`Projection::inside`] never looks past the picture's edge.

/// Where the camera stands and how it looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// The middle of the view, in picture widths from the middle of the picture.
    pub x: f64,
    /// The same, in picture heights.
    pub y: f64,
    /// The share of the picture's width that is seen: 1 is all of it.
    pub span: f64,
    /// Radians that the camera is rolled, clockwise.
    pub roll: f64,
    /// How much nearer the left edge is than the right one, as a share of the distance.
    pub yaw: f64,
    /// How much nearer the upper edge is than the lower one.
    pub pitch: f64,
    /// How far the lower edge slides aside against the upper one, in picture widths: the near moves more than the far.
    pub lean: f64,
    /// Brightness; 1 leaves the picture as it is.
    pub light: f64,
}

impl Pose {
    /// All of the picture, straight on.
    pub const WHOLE: Self = Self { x: 0.0, y: 0.0, span: 1.0, roll: 0.0, yaw: 0.0, pitch: 0.0, lean: 0.0, light: 1.0 };
}

/// A projective map of the plane, as a matrix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Projection([[f64; 3]; 3]);

/// The least that is seen of the picture after [`Projection::inside`], as a share of its width.
const LEAST_SPAN: f64 = 0.72;

impl Projection {
    /// From the screen to the picture, seen from a pose. `aspect` is width over height.
    pub fn of(pose: &Pose, aspect: f64) -> Self {
        let (sin, cos) = pose.roll.sin_cos();
        let tilt = Self([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [pose.yaw / aspect, pose.pitch, 1.0]]);
        let slide = Self([[1.0, pose.lean * aspect, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        let roll = Self([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]);
        let place = Self([[pose.span, 0.0, pose.x * aspect], [0.0, pose.span, pose.y], [0.0, 0.0, 1.0]]);
        place.after(&roll).after(&slide).after(&tilt)
    }

    /// First `other`, then this one.
    pub fn after(&self, other: &Self) -> Self {
        let mut product = [[0.0; 3]; 3];
        for (i, row) in product.iter_mut().enumerate() {
            for (j, cell) in row.iter_mut().enumerate() {
                *cell = (0..3).map(|k| self.0[i][k] * other.0[k][j]).sum();
            }
        }
        Self(product)
    }

    /// The way back. Poses are far from degenerate, so there always is one; the scale of the matrix does not matter.
    pub fn inverse(&self) -> Self {
        let m = &self.0;
        let cofactor = |r: usize, c: usize| {
            let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
            m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
        };
        let mut inverse = [[0.0; 3]; 3];
        for (i, row) in inverse.iter_mut().enumerate() {
            for (j, cell) in row.iter_mut().enumerate() {
                *cell = cofactor(j, i);
            }
        }
        Self(inverse)
    }

    /// Where a point of the screen lies on the picture.
    pub fn apply(&self, x: f64, y: f64) -> (f64, f64) {
        let m = &self.0;
        let w = m[2][0] * x + m[2][1] * y + m[2][2];
        ((m[0][0] * x + m[0][1] * y + m[0][2]) / w, (m[1][0] * x + m[1][1] * y + m[1][2]) / w)
    }

    /// Whether rows of the screen are rows of the picture.
    pub fn keeps_rows(&self) -> bool {
        let m = &self.0;
        let scale = m[2][2].abs().max(f64::MIN_POSITIVE);
        m[1][0].abs() < 1e-12 * scale && m[2][0].abs() < 1e-12 * scale
    }

    /// The same view drawn in until it lies inside the picture. It follows its argument without jumps, and leaves alone
    /// what is inside already.
    pub fn inside(&self, aspect: f64) -> Self {
        let half = (aspect / 2.0, 0.5);
        let (x, y) = self.apply(0.0, 0.0);
        let room = 1.0 - LEAST_SPAN;
        let moved = (x.clamp(-half.0 * room, half.0 * room) - x, y.clamp(-half.1 * room, half.1 * room) - y);
        let mut view = Self([[1.0, 0.0, moved.0], [0.0, 1.0, moved.1], [0.0, 0.0, 1.0]]).after(self);
        // Under perspective one step comes close and the next ones finish.
        for _ in 0..3 {
            let (x, y) = view.apply(0.0, 0.0);
            let mut shrink = 1.0_f64;
            for corner in [(-half.0, -half.1), (half.0, -half.1), (-half.0, half.1), (half.0, half.1)] {
                let (cx, cy) = view.apply(corner.0, corner.1);
                for (corner, centre, half) in [(cx, x, half.0), (cy, y, half.1)] {
                    if corner.abs() > half {
                        shrink = shrink.min((half - centre.abs()) / (corner - centre).abs());
                    }
                }
            }
            if shrink >= 1.0 {
                break;
            }
            view = view.after(&Self([[shrink, 0.0, 0.0], [0.0, shrink, 0.0], [0.0, 0.0, 1.0]]));
        }
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASPECT: f64 = 16.0 / 9.0;

    #[test]
    fn a_view_and_its_inverse_cancel_out() {
        let pose = Pose { x: 0.05, y: -0.03, span: 0.85, roll: 0.02, yaw: 0.1, pitch: -0.05, lean: 0.02, light: 1.0 };
        let view = Projection::of(&pose, ASPECT);
        let (x, y) = view.inverse().after(&view).apply(0.3, -0.2);
        assert!((x - 0.3).abs() < 1e-9 && (y + 0.2).abs() < 1e-9, "{x} {y}");
    }

    #[test]
    fn no_view_looks_past_the_edge() {
        for (x, y, span, roll, yaw) in [
            (0.3, 0.0, 1.0, 0.0, 0.0),
            (-0.1, 0.2, 1.2, 0.1, 0.2),
            (0.0, 0.0, 1.0, 0.05, -0.2),
            (0.06, 0.06, 0.9, -0.03, 0.1),
        ] {
            let view = Projection::of(&Pose { x, y, span, roll, yaw, ..Pose::WHOLE }, ASPECT).inside(ASPECT);
            for (sx, sy) in [(-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5)] {
                let (px, py) = view.apply(sx * ASPECT, sy);
                assert!(px.abs() <= ASPECT / 2.0 + 1e-3 && py.abs() <= 0.5 + 1e-3, "{px} {py}");
            }
        }
    }

    #[test]
    fn a_view_inside_the_picture_is_left_alone() {
        let view = Projection::of(&Pose { x: 0.05, span: 0.9, ..Pose::WHOLE }, ASPECT);
        assert_eq!(view.inside(ASPECT), view);
    }
}
