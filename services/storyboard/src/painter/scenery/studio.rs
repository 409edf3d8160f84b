//! The photographer's studio: one piece of set design behind the subject, and a plinth under it.

use super::super::brush::{Brush, disc, outline, oval, polygon, rectangle, rounded};
use super::super::composition::Composition;
use super::super::dice::Dice;
use super::super::setting::SetPiece;

/// Draws the set piece and, mostly, a plinth for the subject.
pub fn paint(brush: &mut Brush<'_>, plan: &Composition, piece: SetPiece, dice: &mut Dice) {
    let (w, h, roles) = (plan.width, plan.height, &plan.roles);
    let (short, floor) = (plan.short(), plan.horizon());
    let (x, y) = (plan.centre.0, plan.centre.1);
    let size = (plan.scale * 0.62).max(short * 0.3);
    let wall = roles.accent.mix(roles.wall, 0.3);
    let (lit_x, dark_x) = (x + size * plan.side, x - size * plan.side);
    let paint = [(0.0, wall.mix(roles.light, 0.3), 0.85), (0.5, wall, 0.8), (1.0, wall.mix(roles.shade, 0.55), 0.85)];
    match piece {
        SetPiece::Disc => {
            let (cx, cy) = (x + size * dice.between(-0.3, 0.3), y - size * dice.between(0.05, 0.25));
            brush.halo((cx, cy), size * 1.9, roles.light, 0.2);
            brush.fade(disc(cx, cy, size * 1.02), (lit_x, cy - size), (dark_x, cy + size), &paint);
        }
        SetPiece::Arch => {
            let (half, top) = (size * 0.86, (y - size * 0.95).max(h * 0.05));
            for (grow, alpha) in [(1.16, 0.35), (1.0, 1.0)] {
                let (half, top) = (half * grow, top - size * (grow - 1.0));
                let arch = rounded(x - half, top, half * 2.0, (floor - top) + half, half);
                let stops = paint.map(|(at, tone, opacity)| (at, tone.mix(roles.shade, 0.25), opacity * alpha));
                brush.fade(arch, (dark_x, top), (lit_x, floor), &stops);
            }
            ground(brush, plan);
        }
        SetPiece::WindowLight => {
            let slant = 0.35 * plan.side;
            let (pane_w, pane_h) = (short * dice.between(0.2, 0.26), short * 0.27);
            let (left, top) = (x - pane_w * dice.between(1.1, 1.7), h * 0.1);
            for column in 0u8..3 {
                for row in 0u8..2 {
                    let px = left + f32::from(column) * pane_w * 1.14;
                    let py = top + f32::from(row) * pane_h * 1.1;
                    let shear = |y: f32| (y - top) * slant;
                    let pane = [
                        (px + shear(py), py),
                        (px + pane_w + shear(py), py + pane_w * 0.06),
                        (px + pane_w + shear(py + pane_h), py + pane_h + pane_w * 0.06),
                        (px + shear(py + pane_h), py + pane_h),
                    ];
                    brush.fade(
                        polygon(&pane),
                        (0.0, top),
                        (0.0, floor),
                        &[(0.0, roles.light, 0.34), (1.0, roles.light.mix(roles.accent, 0.3), 0.12)],
                    );
                }
            }
        }
        SetPiece::Panels => {
            let count = 5 + dice.pick(3);
            let step = w / count as f32;
            for n in 0..=count {
                let px = (n as f32 - dice.between(0.1, 0.9)) * step;
                let width = step * dice.between(0.55, 1.15);
                let top = h * dice.between(-0.05, 0.3);
                let tone = [roles.accent, roles.second, roles.wall, roles.lit][dice.pick(4)].mix(roles.wall, 0.45);
                let from_light = if plan.side < 0.0 { (px, px + width) } else { (px + width, px) };
                brush.fade(
                    rectangle(px, top, width, floor - top),
                    (from_light.0, top),
                    (from_light.1, top),
                    &[
                        (0.0, tone.mix(roles.light, 0.22), 0.75),
                        (0.12, tone, 0.6),
                        (1.0, tone.mix(roles.shade, 0.7), 0.7),
                    ],
                );
            }
        }
        SetPiece::Rings => {
            let (cx, cy) = (x + size * dice.between(-0.2, 0.2), y - size * 0.1);
            brush.halo((cx, cy), size * 1.8, roles.accent, 0.35);
            for ring in 0u8..5 {
                let r = size * (0.72 + 0.27 * f32::from(ring));
                brush.line(
                    disc(cx, cy, r),
                    short * (0.013 - 0.002 * f32::from(ring)),
                    roles.accent.mix(roles.light, 0.3),
                    0.62 - 0.11 * f32::from(ring),
                );
            }
            ground(brush, plan);
        }
        SetPiece::Waves => {
            for layer in 0u8..4 {
                let t = f32::from(layer) / 3.0;
                let height =
                    |x: f32, dice: &(f32, f32)| h * (0.24 + 0.13 * t) + h * 0.09 * ((x / w * dice.0 + dice.1).sin());
                let shape = (dice.between(2.0, 5.0), dice.between(0.0, 6.0));
                let tone = roles.accent.mix(roles.second, t).mix(roles.wall, 0.25 + 0.2 * t);
                let mut points: Vec<_> = (0u8..=40)
                    .map(|n| {
                        let x = w * f32::from(n) / 40.0;
                        (x, height(x, &shape))
                    })
                    .collect();
                points.extend([(w, floor + 2.0), (0.0, floor + 2.0)]);
                brush.fade(
                    polygon(&points),
                    (0.0, h * 0.15),
                    (0.0, floor),
                    &[
                        (0.0, tone.mix(roles.light, 0.2), 0.7),
                        (0.5, tone, 0.55),
                        (1.0, tone.mix(roles.shade, 0.4), 0.6),
                    ],
                );
            }
            ground(brush, plan);
        }
    }
    if dice.unit() < 0.6 {
        plinth(brush, plan, dice);
    }
}

/// The floor again, over set pieces that reach below its edge.
fn ground(brush: &mut Brush<'_>, plan: &Composition) {
    let (w, h, floor, roles) = (plan.width, plan.height, plan.horizon(), &plan.roles);
    let near = roles.floor.darker(0.4);
    brush.fade(
        rectangle(0.0, floor, w, h - floor),
        (0.0, floor),
        (0.0, h),
        &[(0.0, roles.floor.mix(roles.lit, 0.25), 1.0), (0.3, roles.floor, 1.0), (1.0, near, 1.0)],
    );
    brush.fade(
        rectangle(0.0, floor, w, h * 0.012),
        (0.0, floor),
        (0.0, floor + h * 0.012),
        &[(0.0, roles.light, 0.28), (1.0, roles.light, 0.0)],
    );
}

/// A low block under the subject.
fn plinth(brush: &mut Brush<'_>, plan: &Composition, dice: &mut Dice) {
    let roles = &plan.roles;
    let base = plan.centre.1 + plan.subject.half().1 * plan.scale;
    let half = plan.scale * plan.subject.half().0 * dice.between(1.25, 1.6);
    let (x, depth, height) = (plan.centre.0, half * 0.16, plan.short() * 0.07);
    let side = roles.floor.mix(roles.accent, 0.25);
    let (lit, dark) = if plan.side < 0.0 { (x - half, x + half) } else { (x + half, x - half) };
    let body = outline(&format!(
        "M {} {base} L {} {} C {} {} {} {} {} {} L {} {base} Z",
        x - half,
        x - half,
        base + height,
        x - half,
        base + height + depth,
        x + half,
        base + height + depth,
        x + half,
        base + height,
        x + half
    ));
    brush.fade(
        body,
        (lit, base),
        (dark, base),
        &[(0.0, side.mix(roles.light, 0.35), 1.0), (0.4, side, 1.0), (1.0, side.darker(0.5), 1.0)],
    );
    brush.fade(
        oval(x, base, half, depth * 0.8),
        (lit, base),
        (dark, base),
        &[(0.0, side.mix(roles.light, 0.6), 1.0), (1.0, side.mix(roles.light, 0.1), 1.0)],
    );
}
