//! Scenery: what stands between backdrop and subject, one function per setting.

mod studio;

use std::fmt::Write as _;

use tiny_skia::{Pixmap, Transform};

use super::brush::{Brush, disc, outline, polygon, rectangle, rounded};
use super::composition::Composition;
use super::dice::Dice;
use super::setting::Setting;
use super::shot::Shot;
use super::tone::Tone;

/// Draws the setting.
pub fn paint(sheet: &mut Pixmap, plan: &Composition) {
    let mut dice = plan.dice.clone();
    let mut brush = Brush::on(sheet);
    match plan.setting {
        Setting::Studio(piece) => studio::paint(&mut brush, plan, piece, &mut dice),
        Setting::Hills => hills(&mut brush, plan, &mut dice),
        Setting::City => city(&mut brush, plan, &mut dice),
        Setting::Sea => sea(&mut brush, plan, &mut dice),
        Setting::Road => road(&mut brush, plan, &mut dice),
        Setting::Room => room(&mut brush, plan, &mut dice),
        Setting::Bokeh => bokeh(&mut brush, plan, &mut dice, 34),
        Setting::Burst => burst(&mut brush, plan, &mut dice),
    }
}

fn sun(brush: &mut Brush<'_>, plan: &Composition, dice: &mut Dice) -> (f32, f32) {
    let (short, roles) = (plan.short(), &plan.roles);
    // Opposite the subject, on the other line of thirds.
    let x = plan.width - plan.centre.0 + plan.width * dice.between(-0.06, 0.06);
    let y = plan.horizon() - short * dice.between(0.1, 0.3);
    let r = short * dice.between(0.07, 0.13) * if plan.shot == Shot::WideCinematic { 1.5 } else { 1.0 };
    brush.halo((x, y), r * 6.0, roles.light, 0.5);
    let tone = roles.light.lighter(0.35);
    brush.fade(disc(x, y, r), (x, y - r), (x, y + r), &[(0.0, tone, 0.98), (1.0, tone.mix(roles.accent, 0.35), 0.92)]);
    (x, y)
}

fn ridge(brush: &mut Brush<'_>, plan: &Composition, dice: &mut Dice, base: f32, rough: f32, tone: Tone, mist: Tone) {
    let (w, h) = (plan.width, plan.height);
    let waves: [(f32, f32, f32); 4] = std::array::from_fn(|n| {
        let n = n as f32;
        (dice.between(1.2, 2.4) * 1.9_f32.powf(n), dice.between(0.0, 6.3), rough * 0.52_f32.powf(n))
    });
    let mut points: Vec<_> = (0u8..=96)
        .map(|n| {
            let t = f32::from(n) / 96.0;
            let rise: f32 = waves.iter().map(|(rate, phase, size)| (t * rate * 3.2 + phase).sin() * size).sum();
            (w * t, base - rise * plan.short())
        })
        .collect();
    points.extend([(w, h), (0.0, h)]);
    brush.fade(
        polygon(&points),
        (0.0, base - rough * plan.short()),
        (0.0, base + 0.2 * h),
        &[(0.0, tone, 1.0), (1.0, mist, 1.0)],
    );
}

fn hills(brush: &mut Brush<'_>, plan: &Composition, dice: &mut Dice) {
    let (roles, h) = (&plan.roles, plan.height);
    sun(brush, plan, dice);
    let sky = roles.lit.mix(roles.light, 0.3);
    for layer in 0u8..4 {
        let t = f32::from(layer) / 3.0;
        let tone = sky.mix(roles.second.mix(roles.accent, 0.35), 0.3 + 0.3 * t).mix(roles.ink, 0.14 + 0.42 * t);
        let base = plan.horizon() - h * (0.09 - 0.085 * t);
        ridge(brush, plan, dice, base, 0.085 - 0.05 * t, tone, tone.mix(sky, 0.35 - 0.25 * t));
    }
    foreground(brush, plan, dice);
}

/// The ground that the subject stands on.
fn foreground(brush: &mut Brush<'_>, plan: &Composition, dice: &mut Dice) {
    let roles = &plan.roles;
    let base = plan.horizon() + plan.height * 0.07;
    let tone = roles.floor.mix(roles.ink, 0.35).mix(roles.second, 0.12);
    ridge(brush, plan, dice, base, 0.008, tone.mix(roles.light, 0.16), tone.darker(0.35));
}

fn city(brush: &mut Brush<'_>, plan: &Composition, dice: &mut Dice) {
    let (w, h, roles, short) = (plan.width, plan.height, &plan.roles, plan.short());
    sun(brush, plan, dice);
    let sky = roles.lit.mix(roles.light, 0.3);
    let ground = plan.horizon() + h * 0.05;
    let dark_sky = roles.wall.lightness() < 0.45;
    for layer in 0u8..3 {
        let t = f32::from(layer) / 2.0;
        let tone = sky.mix(roles.second.mix(roles.wall, 0.4), 0.35 + 0.2 * t).mix(roles.ink, 0.18 + 0.4 * t);
        let mut x = -w * dice.between(0.0, 0.06);
        while x < w {
            let width = short * dice.between(0.05, 0.12) * (0.8 + 0.5 * t);
            // Lower around the subject, so that it keeps its outline.
            let near = 1.0 - 0.45 * (1.0 - ((x + width / 2.0 - plan.centre.0).abs() / (w * 0.3)).min(1.0));
            let tall = h * dice.between(0.12, 0.4) * (1.0 - 0.28 * t) * near;
            let top = ground - tall;
            brush.fade(
                rectangle(x, top, width, h - top),
                (0.0, top),
                (0.0, ground),
                &[(0.0, tone, 1.0), (1.0, tone.mix(sky, 0.3 - 0.2 * t), 1.0)],
            );
            if plan.side > 0.0 {
                brush.fill(rectangle(x + width * 0.9, top, width * 0.1, tall), roles.light, 0.16);
            } else {
                brush.fill(rectangle(x, top, width * 0.1, tall), roles.light, 0.16);
            }
            if dice.unit() < 0.25 {
                brush.fill(rectangle(x + width * 0.45, top - h * 0.04, (short * 0.003).max(1.0), h * 0.04), tone, 1.0);
            }
            windows(brush, plan, dice, (x, top, width, ground), t, dark_sky);
            x += width * dice.between(1.0, 1.3);
        }
    }
    foreground(brush, plan, dice);
}

fn windows(
    brush: &mut Brush<'_>,
    plan: &Composition,
    dice: &mut Dice,
    house: (f32, f32, f32, f32),
    near: f32,
    dark_sky: bool,
) {
    let (x, top, width, ground) = house;
    let pitch = (plan.short() * 0.017).max(3.0);
    let glow = plan.roles.light.mix(Tone::new(1.0, 0.85, 0.55), 0.5).mix(plan.roles.accent, 0.2);
    let share = if dark_sky { 0.34 } else { 0.16 } * (0.5 + 0.5 * near);
    let mut panes = String::new();
    let mut y = top + pitch;
    while y < ground - pitch {
        let mut px = x + pitch * 0.7;
        while px < x + width - pitch {
            if dice.unit() < share {
                let (r, b) = (px + pitch * 0.42, y + pitch * 0.55);
                // A text cannot refuse what is written to it.
                let _ = write!(panes, "M {px} {y} L {r} {y} L {r} {b} L {px} {b} Z ");
            }
            px += pitch;
        }
        y += pitch * 1.25;
    }
    brush.fill(outline(&panes), glow, if dark_sky { 0.75 } else { 0.5 });
}

fn sea(brush: &mut Brush<'_>, plan: &Composition, dice: &mut Dice) {
    let (w, h, roles, horizon) = (plan.width, plan.height, &plan.roles, plan.horizon());
    let (sun_x, _) = sun(brush, plan, dice);
    let water = roles.second.mix(roles.wall, 0.4).mix(roles.ink, 0.3);
    let sky = roles.lit.mix(roles.light, 0.3);
    brush.fade(
        rectangle(0.0, horizon, w, h - horizon),
        (0.0, horizon),
        (0.0, h),
        &[(0.0, water.mix(sky, 0.55), 1.0), (0.25, water, 1.0), (1.0, water.darker(0.45), 1.0)],
    );
    for n in 0u8..90 {
        let t = dice.unit().powf(1.6);
        let y = horizon + (h * 0.26) * t + 1.0;
        let spread = w * (0.02 + 0.13 * t);
        let x = if n % 3 == 0 { w * dice.unit() } else { sun_x + spread * dice.between(-1.0, 1.0) };
        let length = w * dice.between(0.01, 0.05) * (0.4 + t);
        let alpha = if n % 3 == 0 { 0.12 } else { 0.5 * (1.0 - 0.6 * t) };
        brush.line(
            outline(&format!("M {x} {y} L {} {y}", x + length)),
            1.0 + h * 0.003 * t,
            roles.light.lighter(0.3),
            alpha,
        );
    }
    // A shore to stand on.
    let base = horizon + h * 0.085;
    let sand = roles.floor.mix(roles.light, 0.16).mix(roles.body, 0.1);
    let surf = water.mix(roles.light, 0.45);
    ridge(brush, plan, dice, base, 0.012, surf, surf);
    ridge(brush, plan, &mut dice.clone(), base + h * 0.006, 0.012, sand, sand.darker(0.6));
}

fn road(brush: &mut Brush<'_>, plan: &Composition, dice: &mut Dice) {
    let (w, h, roles, horizon) = (plan.width, plan.height, &plan.roles, plan.horizon());
    sun(brush, plan, dice);
    let sky = roles.lit.mix(roles.light, 0.3);
    for layer in 0u8..3 {
        let t = f32::from(layer) / 2.0;
        let tone = sky.mix(roles.second, 0.3 + 0.2 * t).mix(roles.ink, 0.15 + 0.4 * t);
        ridge(brush, plan, dice, horizon - h * (0.035 - 0.03 * t), 0.05 - 0.025 * t, tone, tone.mix(sky, 0.25));
    }
    let land = roles.floor.mix(roles.second, 0.25).mix(roles.ink, 0.25);
    brush.fade(
        rectangle(0.0, horizon, w, h - horizon),
        (0.0, horizon),
        (0.0, h),
        &[(0.0, land.mix(sky, 0.3), 1.0), (1.0, land.darker(0.45), 1.0)],
    );
    let asphalt = roles.ink.mix(roles.wall, 0.22);
    // Seen from the roadside: the road crosses the picture and the subject stands on it.
    let (top, bottom) = (horizon + h * 0.045, horizon + h * 0.2);
    brush.fade(
        polygon(&[(0.0, top), (w, top - h * 0.008), (w, bottom + h * 0.02), (0.0, bottom)]),
        (0.0, top),
        (0.0, bottom),
        &[(0.0, asphalt.mix(sky, 0.28), 1.0), (0.5, asphalt.mix(sky, 0.1), 1.0), (1.0, asphalt, 1.0)],
    );
    brush.line(outline(&format!("M 0 {top} L {w} {}", top - h * 0.008)), (h * 0.004).max(1.0), roles.light, 0.5);
    let (dash, y) = (w * 0.075, top + h * 0.105);
    let mut x = -dash * dice.unit();
    while x < w {
        brush.fill(
            polygon(&[(x, y), (x + dash * 0.6, y), (x + dash * 0.58, y + h * 0.011), (x - dash * 0.02, y + h * 0.011)]),
            roles.light,
            0.75,
        );
        x += dash;
    }
}

fn room(brush: &mut Brush<'_>, plan: &Composition, dice: &mut Dice) {
    let (w, h, roles, short) = (plan.width, plan.height, &plan.roles, plan.short());
    let floor = plan.horizon();
    // A window on the side away from the subject, and its light on the wall.
    let (ww, wh) = (short * dice.between(0.36, 0.46), short * dice.between(0.44, 0.54));
    let wx = if plan.is_right() { w * dice.between(0.1, 0.2) } else { w * dice.between(0.8, 0.9) - ww };
    let wy = floor - wh - short * 0.16;
    let sky = roles.light.mix(roles.second, 0.25).lighter(0.2);
    brush.halo((wx + ww / 2.0, wy + wh / 2.0), ww * 1.9, roles.light, 0.42);
    brush.fill(
        rounded(wx - short * 0.018, wy - short * 0.018, ww + short * 0.036, wh + short * 0.036, short * 0.006),
        roles.wall.mix(roles.light, 0.5),
        0.9,
    );
    brush.fade(
        rectangle(wx, wy, ww, wh),
        (wx, wy),
        (wx, wy + wh),
        &[(0.0, sky, 1.0), (0.7, sky.mix(roles.accent, 0.25), 1.0), (1.0, sky.mix(roles.second, 0.45), 1.0)],
    );
    brush.line(
        outline(&format!(
            "M {} {wy} L {} {} M {wx} {} L {} {}",
            wx + ww / 2.0,
            wx + ww / 2.0,
            wy + wh,
            wy + wh * 0.4,
            wx + ww,
            wy + wh * 0.4
        )),
        short * 0.01,
        roles.wall.mix(roles.light, 0.5),
        1.0,
    );
    // A lamp and a frame on the subject's side of the wall.
    let away = if plan.is_right() { 1.0 } else { -1.0 };
    let px = plan.centre.0 + away * w * dice.between(0.14, 0.2);
    let (fw, fh) = (short * 0.17, short * 0.22);
    let fy = h * dice.between(0.16, 0.24);
    brush.fill(rounded(px - fw / 2.0, fy, fw, fh, short * 0.004), roles.ink.mix(roles.wall, 0.3), 0.75);
    brush.fade(
        rectangle(px - fw * 0.42, fy + fh * 0.07, fw * 0.84, fh * 0.86),
        (px, fy),
        (px, fy + fh),
        &[(0.0, roles.accent, 0.85), (1.0, roles.second, 0.85)],
    );
    // The table's edge.
    let table = roles.floor.mix(roles.second, 0.2).mix(roles.ink, 0.12);
    brush.fade(
        rectangle(0.0, floor - h * 0.004, w, h),
        (0.0, floor),
        (0.0, h),
        &[(0.0, table.mix(roles.light, 0.3), 1.0), (0.16, table, 1.0), (1.0, table.darker(0.5), 1.0)],
    );
    brush.fade(
        rectangle(0.0, floor - h * 0.004, w, h * 0.012),
        (0.0, floor),
        (0.0, floor + h * 0.01),
        &[(0.0, roles.light, 0.4), (1.0, roles.light, 0.0)],
    );
}

/// Lights out of focus.
pub fn bokeh(brush: &mut Brush<'_>, plan: &Composition, dice: &mut Dice, count: u8) {
    let roles = &plan.roles;
    for _ in 0..count {
        let r = plan.short() * dice.between(0.03, 0.16);
        let (x, y) = (plan.width * dice.between(-0.05, 1.05), plan.height * dice.between(-0.05, 1.05));
        let tone = [roles.accent, roles.second, roles.light, roles.lit][dice.pick(4)].mix(roles.light, 0.3);
        let alpha = dice.between(0.08, 0.3);
        brush.glow(
            disc(x, y, r),
            (x, y),
            r,
            &[(0.0, tone, alpha * 0.55), (0.8, tone, alpha * 0.75), (0.93, tone, alpha), (1.0, tone, 0.0)],
        );
    }
}

fn burst(brush: &mut Brush<'_>, plan: &Composition, dice: &mut Dice) {
    let (roles, reach) = (&plan.roles, plan.width.hypot(plan.height));
    let (x, y) = plan.centre;
    let lean = dice.between(0.3, 0.7) * if dice.coin() { 1.0 } else { -1.0 };
    // Broad slanted bands first, then rays that run out from the subject.
    for n in 0u8..5 {
        let middle = plan.width * (f32::from(n) + dice.between(-0.3, 0.3)) / 4.0;
        let half = plan.width * dice.between(0.04, 0.13);
        let shift = plan.height * lean;
        let tone = [roles.accent, roles.second, roles.lit, roles.shade][dice.pick(4)];
        let band = polygon(&[
            (middle - half + shift / 2.0, 0.0),
            (middle + half + shift / 2.0, 0.0),
            (middle + half - shift / 2.0, plan.height),
            (middle - half - shift / 2.0, plan.height),
        ]);
        brush.fade(
            band,
            (middle - half, 0.0),
            (middle + half, 0.0),
            &[(0.0, tone, 0.6), (1.0, tone.darker(0.2), 0.25)],
        );
    }
    for _ in 0u8..46 {
        let (sin, cos) = dice.between(0.0, std::f32::consts::TAU).sin_cos();
        let (near, far) = (plan.short() * dice.between(0.34, 0.62), reach * dice.between(0.55, 1.0));
        let half = dice.between(0.0015, 0.011) * far;
        let tone = if dice.unit() < 0.6 { roles.light } else { roles.accent };
        let ray = polygon(&[
            (x + cos * near, y + sin * near),
            (x + cos * far - sin * half, y + sin * far + cos * half),
            (x + cos * far + sin * half, y + sin * far - cos * half),
        ]);
        brush.fade(
            ray,
            (x + cos * near, y + sin * near),
            (x + cos * far, y + sin * far),
            &[(0.0, tone, 0.0), (0.4, tone, dice.between(0.12, 0.4)), (1.0, tone, 0.12)],
        );
    }
    brush.halo((x, y), plan.short() * 0.62, roles.light, 0.5);
    let ring = plan.scale * 0.58;
    brush.line(disc(x, y, ring), plan.short() * 0.012, roles.accent.mix(roles.light, 0.25), 0.75);
    brush.line(disc(x, y, ring * 1.09), plan.short() * 0.003, roles.light, 0.6);
    brush.place = Transform::identity();
}
