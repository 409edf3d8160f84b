//! The subject on its stage: drawn once on a sheet of its own, then set into the picture with shadow, reflection and a
//! bright edge where the light comes from; and the people beside it.

use tiny_skia::{Pixmap, Transform};

use super::brush::{Brush, outline, oval};
use super::composition::Composition;
use super::layer;
use super::setting::Setting;
use super::shapes::Model;
use super::shot::Shot;
use super::subject::Subject;
use super::tone::Tone;

/// Draws people, shadow, reflection and subject.
pub fn paint(sheet: &mut Pixmap, plan: &Composition) {
    let Some(mut own) = layer::like(sheet) else { return };
    if plan.figure {
        figure(&mut own, plan);
        light_and_lay(sheet, &mut own, plan, 0.7);
        own.fill(tiny_skia::Color::TRANSPARENT);
    }
    draw_subject(&mut own, plan, placed(plan));
    if plan.stands() {
        shadow(sheet, plan);
        if matches!(plan.setting, Setting::Studio(_) | Setting::Room | Setting::Sea) {
            reflection(sheet, &own, plan);
        }
    } else {
        aura(sheet, plan);
    }
    if plan.shot == Shot::Tracking {
        trail(sheet, &own, plan);
    }
    light_and_lay(sheet, &mut own, plan, 1.0);
}

impl Composition {
    fn stands(&self) -> bool {
        !matches!(self.setting, Setting::Bokeh | Setting::Burst)
    }
}

/// Where the subject's own coordinates lie.
pub fn placed(plan: &Composition) -> Transform {
    let (x, y) = plan.centre;
    Transform::from_scale(plan.scale, plan.scale)
        .post_concat(Transform::from_rotate(plan.tilt))
        .post_concat(Transform::from_translate(x, y))
}

/// Draws the subject, unlit by its surroundings.
pub fn draw_subject(layer: &mut Pixmap, plan: &Composition, place: Transform) {
    Model { brush: Brush::at(layer, place), roles: &plan.roles, side: plan.side }.draw(plan.subject);
}

/// Gives the layer its bright edge and lays it over the sheet.
pub fn light_and_lay(sheet: &mut Pixmap, layer: &mut Pixmap, plan: &Composition, rim: f32) {
    let reach = (plan.short() * 0.006).max(1.0);
    let tone = match plan.light {
        super::lighting::Light::Neon => plan.roles.accent.mix(Tone::WHITE, 0.45),
        _ => plan.roles.light,
    };
    layer::light_edges(layer, (reach * plan.side, -reach * 0.8), tone, plan.light.rim() * rim);
    layer::lay(sheet, layer, 0, 1.0);
}

fn shadow(sheet: &mut Pixmap, plan: &Composition) {
    let (half_w, half_h) = plan.subject.half();
    let (x, base) = (plan.centre.0, plan.centre.1 + half_h * plan.scale);
    let half = half_w * plan.scale;
    let mut brush = Brush::on(sheet);
    let dark = plan.roles.ink.darker(0.5);
    let strength = 0.35 + 0.3 * plan.light.contrast();
    // Cast away from the light, then a dark line where it touches the ground.
    for (reach, flat, shift, alpha) in [(1.7, 0.16, 0.45, strength * 0.7), (1.1, 0.075, 0.06, strength)] {
        let (rx, ry) = (half * reach, half.max(plan.scale * 0.22) * flat);
        let cx = x - plan.side * half * shift;
        brush.place = Transform::from_scale(1.0, ry / rx.max(1.0)).post_concat(Transform::from_translate(cx, base));
        brush.halo((0.0, 0.0), rx, dark, alpha);
    }
}

fn reflection(sheet: &mut Pixmap, layer: &Pixmap, plan: &Composition) {
    let base = plan.centre.1 + plan.subject.half().1 * plan.scale;
    layer::reflect(sheet, layer, base, plan.scale * 0.3, 0.3);
}

/// Light behind a subject that floats.
fn aura(sheet: &mut Pixmap, plan: &Composition) {
    let mut brush = Brush::on(sheet);
    let reach = (plan.scale * 0.7).min(plan.width.max(plan.height) * 0.7);
    brush.halo(plan.centre, reach, plan.roles.light, 0.32);
}

/// Fading copies behind a subject that moves.
fn trail(sheet: &mut Pixmap, layer: &Pixmap, plan: &Composition) {
    let step = plan.scale * 0.05;
    for n in (1u8..=6).rev() {
        layer::lay(sheet, layer, -(step * f32::from(n)) as i32, 0.2 - 0.026 * f32::from(n));
    }
}

/// Somebody, from the waist up in a medium shot and whole in a wide one; without a face, for the cast is open.
fn figure(layer: &mut Pixmap, plan: &Composition) {
    let mut dice = plan.dice.clone();
    let roles = &plan.roles;
    let near = plan.shot == Shot::Medium && plan.subject.is_portable();
    let away = if plan.is_right() { -1.0 } else { 1.0 };
    let base = plan.centre.1 + plan.subject.half().1 * plan.scale;
    let size = plan.subject.half().1 * 2.0 * plan.scale;
    let (height, foot) = match plan.subject {
        // In a medium shot the body goes on to the picture's lower edge.
        _ if near => (plan.short() * 0.62, base + plan.short() * 0.12),
        // Beside what is larger than people, its size decides theirs.
        Subject::House => (size * 0.5, base),
        Subject::Car => (size * 1.2, base),
        _ => (plan.short() * 0.5, base),
    };
    let gap = plan.subject.half().0 * plan.scale + height * if near { 0.26 } else { 0.2 };
    let x = (plan.centre.0 + away * gap).clamp(plan.width * 0.16, plan.width * 0.84);
    let place = Transform::from_scale(height * -away, height).post_concat(Transform::from_translate(x, foot));
    let cloth = [roles.second, roles.accent, roles.body][dice.pick(3)].mix(roles.ink, 0.28);
    let skin = [Tone::new(0.87, 0.68, 0.55), Tone::new(0.62, 0.43, 0.32), Tone::new(0.42, 0.28, 0.21)][dice.pick(3)];
    let skin = skin.mix(roles.lit, 0.15).mix(roles.ink, 0.1);
    let hair = roles.ink.mix(skin, 0.12);
    let mut brush = Brush::at(layer, place);
    let shade = |tone: Tone| [(0.0, tone.mix(roles.light, 0.3), 1.0), (0.5, tone, 1.0), (1.0, tone.darker(0.42), 1.0)];
    // The light's side, in a picture that may be mirrored.
    let lit = plan.side * -away * 0.25;
    if near {
        brush.fade(
            outline("M -0.045 -0.72 L 0.05 -0.72 L 0.06 -0.58 L -0.06 -0.58 Z"),
            (lit, -0.7),
            (-lit, -0.6),
            &shade(skin.darker(0.2)),
        );
        brush.fade(outline("M -0.3 0.6 L -0.3 0 C -0.31 -0.3 -0.29 -0.52 -0.2 -0.575 C -0.13 -0.61 -0.08 -0.62 -0.06 -0.635 C -0.02 -0.6 0.03 -0.6 0.06 -0.635 C 0.1 -0.62 0.15 -0.6 0.2 -0.575 C 0.28 -0.52 0.3 -0.3 0.3 0 L 0.3 0.6 Z"), (lit, -0.6), (-lit, 0.0), &shade(cloth));
        brush.fade(outline("M 0.17 -0.5 C 0.27 -0.47 0.3 -0.36 0.31 -0.27 L 0.36 -0.17 C 0.34 -0.12 0.29 -0.1 0.25 -0.13 L 0.17 -0.26 Z"), (lit, -0.5), (-lit, -0.1), &shade(cloth.darker(0.12)));
        brush.fade(
            outline("M 0.31 -0.19 L 0.42 -0.2 C 0.45 -0.2 0.46 -0.16 0.43 -0.145 L 0.31 -0.11 Z"),
            (0.3, -0.2),
            (0.4, -0.1),
            &shade(skin),
        );
        brush.fade(oval(0.005, -0.8, 0.083, 0.108), (lit * 0.4, -0.9), (-lit * 0.4, -0.7), &shade(skin));
        brush.fill(outline("M 0.085 -0.85 C 0.1 -0.95 0.02 -0.975 -0.03 -0.955 C -0.11 -0.94 -0.125 -0.84 -0.1 -0.74 C -0.09 -0.7 -0.06 -0.7 -0.055 -0.73 C -0.06 -0.8 -0.03 -0.87 0.085 -0.85 Z"), hair, 1.0);
    } else {
        brush.line(outline("M -0.1 -0.77 C -0.135 -0.68 -0.135 -0.6 -0.115 -0.5"), 0.048, cloth.darker(0.2), 1.0);
        brush.line(outline("M 0.1 -0.77 C 0.14 -0.68 0.15 -0.62 0.165 -0.53"), 0.048, cloth.darker(0.12), 1.0);
        brush.line(outline("M -0.113 -0.48 L -0.109 -0.465 M 0.17 -0.51 L 0.176 -0.495"), 0.034, skin, 1.0);
        let trousers = outline(
            "M -0.08 -0.52 L 0.08 -0.52 L 0.088 -0.27 L 0.075 -0.02 L 0.11 0 L 0.03 0 L 0.01 -0.4 L -0.03 0 L -0.1 0 \
             L -0.075 -0.02 L -0.09 -0.27 Z",
        );
        brush.fade(trousers, (lit * 0.4, -0.5), (-lit * 0.4, 0.0), &shade(cloth.darker(0.45)));
        brush.fill(outline("M -0.022 -0.87 L 0.024 -0.87 L 0.03 -0.8 L -0.03 -0.8 Z"), skin.darker(0.22), 1.0);
        let torso = outline(
            "M -0.03 -0.815 C -0.08 -0.81 -0.12 -0.8 -0.122 -0.76 C -0.11 -0.66 -0.085 -0.6 -0.088 -0.5 \
             L 0.088 -0.5 C 0.085 -0.6 0.11 -0.66 0.122 -0.76 C 0.12 -0.8 0.08 -0.81 0.03 -0.815 Z",
        );
        brush.fade(torso, (lit * 0.5, -0.8), (-lit * 0.5, -0.5), &shade(cloth));
        brush.fade(oval(0.004, -0.91, 0.047, 0.06), (lit * 0.3, -0.95), (-lit * 0.3, -0.87), &shade(skin));
        let crop = outline(
            "M 0.05 -0.925 C 0.055 -0.985 -0.045 -0.995 -0.052 -0.91 C -0.052 -0.885 -0.045 -0.87 -0.036 -0.875 \
             C -0.036 -0.915 -0.015 -0.945 0.05 -0.925 Z",
        );
        brush.fill(crop, hair, 1.0);
    }
}
