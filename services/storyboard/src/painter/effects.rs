//! What the shot itself adds to a picture: streaks of speed, panels of a montage, a before beside an after, foreground
//! lights.

use tiny_skia::{FillRule, Mask, Pixmap, PremultipliedColorU8, Transform};

use super::brush::{Brush, outline, polygon};
use super::composition::Composition;
use super::layer;
use super::scenery;
use super::shot::Shot;
use super::stage;

/// Adds the shot's own effect.
pub fn paint(sheet: &mut Pixmap, plan: &Composition) {
    match plan.shot {
        Shot::Tracking => streaks(sheet, plan),
        Shot::Macro | Shot::ExtremeCloseUp => near_lights(sheet, plan),
        Shot::CloseUp
        | Shot::MediumCloseUp
        | Shot::Medium
        | Shot::MediumWide
        | Shot::Wide
        | Shot::WideCinematic
        | Shot::Dynamic
        | Shot::DynamicMulti => {}
    }
    if plan.divided {
        divide(sheet, plan);
    }
}

/// Lines of speed along the way that the subject goes, behind it and in front.
fn streaks(sheet: &mut Pixmap, plan: &Composition) {
    let mut dice = plan.dice.clone();
    let mut brush = Brush::on(sheet);
    for n in 0u8..54 {
        let y = plan.height * dice.between(0.06, 0.96);
        let length = plan.width * dice.between(0.15, 0.55);
        let x = plan.width * dice.between(-0.3, 1.0);
        let thick = plan.short() * if n % 9 == 0 { dice.between(0.006, 0.016) } else { dice.between(0.0012, 0.005) };
        let on_subject = (y - plan.centre.1).abs() < plan.subject.half().1 * plan.scale;
        let alpha = dice.between(0.1, 0.4) * if on_subject { 0.35 } else { 1.0 };
        let tone = if dice.unit() < 0.65 { plan.roles.light } else { plan.roles.accent };
        let streak = polygon(&[(x, y), (x + length, y - thick / 2.0), (x + length, y + thick / 2.0)]);
        brush.fade(streak, (x, y), (x + length, y), &[(0.0, tone, 0.0), (0.85, tone, alpha), (1.0, tone, 0.0)]);
    }
}

/// A few large lights between lens and subject.
fn near_lights(sheet: &mut Pixmap, plan: &Composition) {
    let mut dice = plan.dice.clone();
    dice.bits();
    scenery::bokeh(&mut Brush::on(sheet), plan, &mut dice, 7);
}

/// The left half loses its colour and light: how it was, beside how it is.
fn divide(sheet: &mut Pixmap, plan: &Composition) {
    let (w, h) = (plan.width, plan.height);
    let slant = plan.short() * 0.09;
    // Through the subject, so that both halves show it.
    let middle = plan.centre.0;
    let columns = sheet.width() as usize;
    for (row, pixels) in sheet.pixels_mut().chunks_exact_mut(columns).enumerate() {
        let edge = middle + slant * (0.5 - row as f32 / h) * 2.0;
        let before = edge.clamp(0.0, w) as usize;
        for pixel in &mut pixels[..before.min(columns)] {
            let part = [pixel.red(), pixel.green(), pixel.blue()].map(f32::from);
            let grey = 0.3 * part[0] + 0.59 * part[1] + 0.11 * part[2];
            let faded = part.map(|v| (grey + (v - grey) * 0.16) * 0.62 + 14.0).map(|v| v.clamp(0.0, 255.0) as u8);
            if let Some(faded) = PremultipliedColorU8::from_rgba(faded[0], faded[1], faded[2], 255) {
                *pixel = faded;
            }
        }
    }
    let mut brush = Brush::on(sheet);
    let line = outline(&format!("M {} 0 L {} {h}", middle + slant, middle - slant));
    brush.line(line, plan.short() * 0.02, plan.roles.light, 0.18);
    let line = outline(&format!("M {} 0 L {} {h}", middle + slant, middle - slant));
    brush.line(line, plan.short() * 0.005, plan.roles.light.lighter(0.5), 0.95);
}

/// A montage: the picture cut into slanted panels, each with its own light and its own view of the subject.
pub fn montage(sheet: &mut Pixmap, plan: &Composition) {
    let mut dice = plan.dice.clone();
    let (w, h) = (plan.width, plan.height);
    let upright = w >= h;
    let count = 3 + dice.pick(2);
    let lean = dice.between(0.05, 0.12) * if dice.coin() { 1.0 } else { -1.0 };
    let mut edges = vec![-0.3];
    edges.extend((1..count).map(|n| (n as f32 + dice.between(-0.14, 0.14)) / count as f32));
    edges.push(1.3);
    let roles = &plan.roles;
    let turned = dice.pick(3);
    let tones = [roles.accent, roles.wall, roles.second, roles.lit];
    for (n, edge) in edges.windows(2).enumerate() {
        let corners = if upright {
            [(edge[0] + lean, 0.0), (edge[1] + lean, 0.0), (edge[1] - lean, 1.0), (edge[0] - lean, 1.0)]
        } else {
            [(0.0, edge[0] + lean), (1.0, edge[0] - lean), (1.0, edge[1] - lean), (0.0, edge[1] + lean)]
        };
        let corners = corners.map(|(x, y)| (x * w, y * h));
        let (Some(path), Some(mut mask)) = (polygon(&corners), Mask::new(sheet.width(), sheet.height())) else {
            return;
        };
        mask.fill_path(&path, FillRule::Winding, true, Transform::identity());
        let Some(mut panel) = layer::like(sheet) else { return };
        let tone = tones[(n + turned) % tones.len()];
        let tone = if roles.body.contrast(tone) < 1.6 { tone.darker(0.6) } else { tone };
        // The subject's box stays away from the panel's text-bearing lower edge.
        let middle = f32::midpoint(edge[0].max(0.0), edge[1].min(1.0));
        let (x, y) =
            if upright { (middle * w, h * dice.between(0.36, 0.5)) } else { (w * dice.between(0.4, 0.6), middle * h) };
        let mut brush = Brush::on(&mut panel);
        brush.fade(
            Some(path),
            (x - w * 0.1, 0.0),
            (x + w * 0.1, h),
            &[(0.0, tone.mix(roles.light, 0.35), 1.0), (0.5, tone, 1.0), (1.0, tone.darker(0.5), 1.0)],
        );
        brush.halo((x, y), plan.short() * 0.5, roles.light, 0.5);
        let Some(mut own) = layer::like(&panel) else { return };
        let scale = plan.scale * [1.5, 0.62, 1.05, 0.8][(n + turned) % 4] * dice.between(0.9, 1.1);
        let place = Transform::from_scale(scale, scale)
            .post_concat(Transform::from_rotate(dice.between(-24.0, 24.0)))
            .post_concat(Transform::from_translate(x, y));
        stage::draw_subject(&mut own, plan, place);
        stage::light_and_lay(&mut panel, &mut own, plan, 1.0);
        layer::lay_through(sheet, &mask, &panel);
        let mut brush = Brush::on(sheet);
        let (from, to) = if upright { (corners[0], corners[3]) } else { (corners[0], corners[1]) };
        let gap = outline(&format!("M {} {} L {} {}", from.0, from.1, to.0, to.1));
        brush.line(gap, plan.short() * 0.014, roles.light.lighter(0.3), 0.95);
    }
}
