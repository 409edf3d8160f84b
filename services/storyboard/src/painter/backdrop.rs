//! The backdrop: wall, sky and floor as smooth light, reckoned per pixel and dithered, because eight bits alone band.

use tiny_skia::{Pixmap, PremultipliedColorU8};

use super::composition::Composition;
use super::lighting::Light;
use super::setting::Setting;
use super::tone::Tone;

/// Fills the whole sheet.
pub fn paint(sheet: &mut Pixmap, plan: &Composition) {
    let (width, height) = (plan.width, plan.height);
    let mut dice = plan.dice.clone();
    let roles = &plan.roles;
    let long = width.max(height);
    let reach = plan.light.reach() * long;
    let strength = 0.55 + 0.45 * plan.light.contrast();
    let angle = dice.between(-0.9, 0.9);
    let (lean_x, lean_y) = (angle.sin() / long, angle.cos() / long);
    // Neon and moonlight come in a second colour from the other side.
    let (second, second_at) = match plan.light {
        Light::Neon => (0.75, (width - plan.pool.0, height * 0.62)),
        Light::Golden => (0.25, (width - plan.pool.0, height * 0.9)),
        _ => (0.16, (width - plan.pool.0, height * 0.75)),
    };
    let second_tone = if plan.light == Light::Neon { roles.second.mix(roles.accent, 0.4) } else { roles.second };
    let first_tone = if plan.light == Light::Neon { roles.lit.mix(roles.accent, 0.55) } else { roles.lit };

    let open_air = matches!(plan.setting, Setting::Hills | Setting::City | Setting::Sea | Setting::Road);
    let sky_low = roles.lit.mix(roles.light, 0.35).mix(roles.accent, 0.12);
    let horizon = plan.horizon();
    let has_floor = horizon < height;
    let mut noise = Noise(dice.bits() as u32 | 1);
    let columns = sheet.width() as usize;
    for (row, pixels) in sheet.pixels_mut().chunks_exact_mut(columns).enumerate() {
        let y = row as f32 + 0.5;
        let down = y / height;
        // A sky is darkest above and glows at the horizon.
        let base = if open_air {
            let t = (y / horizon.max(1.0)).clamp(0.0, 1.0);
            roles.shade.mix(roles.wall, (t * 1.4).min(1.0)).mix(sky_low, t * t * 0.85)
        } else {
            roles.wall.mix(roles.shade, (down - 0.5).max(0.0) * 0.7)
        };
        let floor = (has_floor && y > horizon && !open_air).then(|| {
            let t = ((y - horizon) / (height - horizon)).clamp(0.0, 1.0);
            let near = roles.floor.darker(0.25 + 0.3 * t);
            // The seam is soft, as paper rolled out of the wall is.
            (roles.floor.lighter(0.04).mix(near, t), smooth((y - horizon) / (0.035 * height)))
        });
        for (column, pixel) in pixels.iter_mut().enumerate() {
            let x = column as f32 + 0.5;
            let slope = (x - width / 2.0) * lean_x + (y - height / 2.0) * lean_y;
            let mut tone = base.mix(roles.shade, (slope * 0.75 + 0.2).clamp(0.0, 0.6));
            let glow = falloff(x - plan.pool.0, (y - plan.pool.1) * 1.15, reach);
            let lit = if open_air { glow * 0.45 } else { glow };
            tone = tone.mix(first_tone, lit * strength);
            tone = tone.mix(second_tone, falloff(x - second_at.0, y - second_at.1, reach * 0.8) * second);
            if let Some((floor, cover)) = floor {
                let under = falloff(x - plan.centre.0, (y - horizon) * 2.6, reach * 0.75);
                tone = tone.mix(floor.mix(roles.lit, under * 0.5 * strength), cover);
            }
            *pixel = dithered(tone, &mut noise);
        }
    }
}

/// Darkens the corners and lays a fine grain over everything: what was drawn in eight bits bands less, and all parts
/// look taken with one camera.
pub fn finish(sheet: &mut Pixmap, plan: &Composition) {
    let (width, height) = (plan.width, plan.height);
    let depth = 0.16 + 0.26 * plan.light.contrast();
    let mut noise = Noise(plan.dice.clone().bits() as u32 | 3);
    let columns = sheet.width() as usize;
    let across: Vec<f32> = (0..columns).map(|x| ((x as f32 + 0.5) / width - 0.5).powi(2)).collect();
    for (row, pixels) in sheet.pixels_mut().chunks_exact_mut(columns).enumerate() {
        let down = ((row as f32 + 0.5) / height - 0.5).powi(2);
        for (pixel, across) in pixels.iter_mut().zip(&across) {
            let corner = ((across + down) * 2.0 - 0.2).max(0.0);
            let keep = 1.0 - depth * corner;
            let grain = noise.triangular() * 1.3;
            let part = |v: u8| (f32::from(v) * keep + grain + 0.5).clamp(0.0, 255.0) as u8;
            *pixel = opaque(part(pixel.red()), part(pixel.green()), part(pixel.blue()));
        }
    }
}

/// 1 at the centre, 0 beyond the reach, smooth everywhere.
fn falloff(dx: f32, dy: f32, reach: f32) -> f32 {
    let t = 1.0 - (dx * dx + dy * dy) / (reach * reach).max(1e-3);
    if t > 0.0 { t * t * t } else { 0.0 }
}

fn smooth(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

fn dithered(tone: Tone, noise: &mut Noise) -> PremultipliedColorU8 {
    let grain = noise.triangular();
    let part = |v: f32| (v * 255.0 + grain + 0.5).clamp(0.0, 255.0) as u8;
    opaque(part(tone.r), part(tone.g), part(tone.b))
}

fn opaque(r: u8, g: u8, b: u8) -> PremultipliedColorU8 {
    // Opaque parts are never above their alpha, so there is always such a colour.
    PremultipliedColorU8::from_rgba(r, g, b, 255).unwrap_or(PremultipliedColorU8::TRANSPARENT)
}

/// Cheap even noise; quality beyond "no visible pattern" is not needed at this amplitude.
struct Noise(u32);

impl Noise {
    /// -1 to 1, more often near 0.
    fn triangular(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        let (a, b) = (self.0 & 0xffff, self.0 >> 16);
        (a as f32 - b as f32) / 65_536.0
    }
}
