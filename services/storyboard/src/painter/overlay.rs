//! The overlay: what a storyboard says about its picture. Number and name of the beat, shot, length, camera movement
//! with its sign, the scene in words, and the beat's place in the film.
//!
//! Everything stays inside [`MARGIN`], because the picture's edges leave the frame when the camera moves over it. Every
//! text is readable on any picture: where the picture itself is not calm enough, it is veiled behind the text, just as
//! much as the worst pixel there needs, softly from the nearer edge.

use messages::storyboard::DrawBeat;
use tiny_skia::{Pixmap, PremultipliedColorU8, Transform};

use super::brush::{Brush, rounded};
use super::composition::Composition;
use super::lettering::{Lettering, Weight, writable};
use super::shot::Shot;
use super::tone::Tone;
use super::vocabulary::readable;

/// The part of width and height, at each edge, that no text enters.
pub const MARGIN: f32 = 0.125;

/// The contrast ratio that every text has at least.
const READABLE: f32 = 5.5;

/// Below this length in pixels of the shorter side there is no room for words.
const SMALLEST: f32 = 96.0;

/// Writes on the finished picture.
pub fn paint(sheet: &mut Pixmap, plan: &Composition, work: &DrawBeat) {
    if plan.short() < SMALLEST || plan.width.max(plan.height) > plan.short() * 6.0 {
        return;
    }
    let layout = Layout::of(plan, work);
    let (_, ink) = layout.calm(sheet, plan);
    layout.write(sheet, plan, work, ink);
}

/// A strip across the picture that text stands in, and the texts' own rectangles in it, in pixels.
#[derive(Debug)]
struct Band {
    top: f32,
    bottom: f32,
    areas: Vec<Area>,
}

/// A rectangle that text covers, in pixels.
#[derive(Debug, Clone, Copy)]
struct Area {
    left: f32,
    top: f32,
    right: f32,
    bottom: f32,
}

impl Area {
    fn pixels<'a>(&self, sheet: &'a Pixmap) -> impl Iterator<Item = &'a PremultipliedColorU8> {
        let range = |from: f32, to: f32, limit: u32| {
            let limit = limit as f32;
            from.clamp(0.0, limit) as usize..to.ceil().clamp(0.0, limit) as usize
        };
        let columns = range(self.left, self.right, sheet.width());
        let width = sheet.width() as usize;
        range(self.top, self.bottom, sheet.height())
            .flat_map(move |row| &sheet.pixels()[row * width..][columns.clone()])
    }
}

impl Band {
    /// How opaque a veil must be for `ink` to be readable on the worst pixel behind any text.
    fn needed(&self, sheet: &Pixmap, veil: Tone, ink: Tone) -> f32 {
        let bright_is_bad = ink.lightness() > 0.5;
        let worse =
            |a: PremultipliedColorU8, b: PremultipliedColorU8| if (luma(a) > luma(b)) == bright_is_bad { a } else { b };
        let pixels = self.areas.iter().flat_map(|area| area.pixels(sheet));
        let Some(worst) = pixels.copied().reduce(worse) else { return 0.0 };
        let part = |v: u8| f32::from(v) / 255.0;
        let worst = Tone::new(part(worst.red()), part(worst.green()), part(worst.blue()));
        (0u8..=25)
            .map(|step| f32::from(step) / 25.0)
            .find(|t| worst.mix(veil, *t).contrast(ink) >= READABLE)
            .unwrap_or(1.0)
    }

    /// Covers the strip and what lies beyond it towards the picture's edge; towards the middle the veil fades out over
    /// `feather` pixels, as light falls off, so that nobody sees it end.
    fn veil(&self, sheet: &mut Pixmap, veil: Tone, alpha: f32, feather: f32) {
        let (width, height) = (sheet.width() as usize, sheet.height() as f32);
        let upper = self.top + self.bottom < height;
        let veil = [veil.r, veil.g, veil.b].map(|part| part * 255.0);
        for (row, pixels) in sheet.pixels_mut().chunks_exact_mut(width).enumerate() {
            let y = row as f32 + 0.5;
            let inside = if upper { y - self.bottom } else { self.top - y };
            let near = (1.0 - inside.max(0.0) / feather).clamp(0.0, 1.0);
            let t = alpha * near * near * (3.0 - 2.0 * near);
            if t < 0.002 {
                continue;
            }
            for pixel in pixels {
                let part = |v: u8, veil: f32| (f32::from(v) + (veil - f32::from(v)) * t + 0.5) as u8;
                let (r, g, b) = (part(pixel.red(), veil[0]), part(pixel.green(), veil[1]), part(pixel.blue(), veil[2]));
                if let Some(veiled) = PremultipliedColorU8::from_rgba(r, g, b, 255) {
                    *pixel = veiled;
                }
            }
        }
    }
}

fn luma(pixel: PremultipliedColorU8) -> f32 {
    (0.2126 * f32::from(pixel.red()) + 0.7152 * f32::from(pixel.green()) + 0.0722 * f32::from(pixel.blue())) / 255.0
}

/// A line of text in its place.
#[derive(Debug)]
struct Line {
    text: String,
    x: f32,
    y: f32,
    size: f32,
    weight: Weight,
    alpha: f32,
}

impl Line {
    fn width(&self) -> f32 {
        Lettering { size: self.size, weight: self.weight, tone: Tone::WHITE, alpha: 1.0 }.width(&self.text)
    }
}

/// Where everything stands, in pixels.
#[derive(Debug)]
struct Layout {
    /// The size of a pixel at 720 lines.
    unit: f32,
    head: Vec<Line>,
    camera: Option<Line>,
    scene: Vec<Line>,
    /// Centre of the camera's sign.
    sign: (f32, f32),
    left: f32,
    right: f32,
    bottom: f32,
}

impl Layout {
    fn of(plan: &Composition, work: &DrawBeat) -> Self {
        let unit = plan.short() / 720.0;
        let (left, right) = (plan.width * MARGIN, plan.width * (1.0 - MARGIN));
        let (top, bottom) = (plan.height * MARGIN, plan.height * (1.0 - MARGIN));
        let mut layout = Self {
            unit,
            head: Vec::new(),
            camera: None,
            scene: Vec::new(),
            sign: (right - 24.0 * unit, top + 26.0 * unit),
            left,
            right,
            bottom,
        };
        layout.place_head(work, top);
        layout.place_camera(work);
        layout.place_scene(plan, work);
        layout
    }

    fn place_head(&mut self, work: &DrawBeat, top: f32) {
        let (unit, left) = (self.unit, self.left);
        let number = format!("{:02}", work.beat_index.saturating_add(1));
        let number = Line {
            text: number,
            x: left,
            y: top + 41.0 * unit,
            size: 46.0 * unit,
            weight: Weight::SemiBold,
            alpha: 1.0,
        };
        let x = left + number.width() + 30.0 * unit;
        let room = self.sign.0 - 40.0 * unit - x;
        self.head.push(number);
        let name = writable(&readable(&work.beat.beat_id)).unwrap_or_default();
        let shot = writable(&readable(&work.beat.shot_type));
        let length = format!("{} s", work.beat.duration);
        let shot = shot.map_or(length.clone(), |shot| format!("{shot}  ·  {length}"));
        for (text, y, size, weight, alpha) in
            [(name, 20.0, 24.0, Weight::SemiBold, 1.0), (shot, 43.0, 16.0, Weight::Regular, 0.88)]
        {
            let lettering = Lettering { size: size * unit, weight, tone: Tone::WHITE, alpha };
            let text = lettering.shortened(&text, room);
            self.head.push(Line { text, x, y: top + y * unit, size: size * unit, weight, alpha });
        }
    }

    fn place_camera(&mut self, work: &DrawBeat) {
        let unit = self.unit;
        let Some(text) = writable(&readable(&work.beat.camera_movement)) else { return };
        let mut line =
            Line { text, x: 0.0, y: self.sign.1 + 6.0 * unit, size: 16.0 * unit, weight: Weight::Regular, alpha: 0.88 };
        let head_end = self.head.iter().map(|line| line.x + line.width()).fold(self.left, f32::max);
        let beside = self.sign.0 - 36.0 * unit;
        if beside - line.width() > head_end + 24.0 * unit {
            line.x = beside - line.width();
        } else {
            let lettering = Lettering { size: line.size, weight: line.weight, tone: Tone::WHITE, alpha: 1.0 };
            line.text = lettering.shortened(&line.text, (self.right - self.left) * 0.6);
            line.x = self.right - line.width();
            line.y = self.sign.1 + 48.0 * unit;
        }
        self.camera = Some(line);
    }

    fn place_scene(&mut self, plan: &Composition, work: &DrawBeat) {
        let unit = self.unit;
        let Some(text) = writable(&work.beat.prompt) else { return };
        let landscape = plan.width > plan.height * 1.15;
        let column = (self.right - self.left) * if landscape { 0.52 } else { 1.0 };
        let room = plan.height * if landscape { 0.24 } else { 0.19 };
        // The largest letters that fit; the smallest ones end where the room ends.
        for size in [23.0, 21.0, 19.0, 17.0, 15.0] {
            let size = size * unit;
            let leading = size * 1.36;
            let lettering = Lettering { size, weight: Weight::Regular, tone: Tone::WHITE, alpha: 1.0 };
            let mut lines = lettering.wrap(&text, column);
            let most = ((room / leading) as usize).max(1);
            if lines.len() > most {
                if size > 15.5 * unit {
                    continue;
                }
                lines.truncate(most);
                if let Some(last) = lines.last_mut() {
                    *last = lettering.shortened(&format!("{last} …"), column).trim_end_matches(" …").to_owned() + "…";
                    *last = last.replace("……", "…");
                }
            }
            // On the side that the subject leaves free.
            let widest = lines.iter().map(|line| lettering.width(line)).fold(0.0, f32::max);
            let x = if landscape && !plan.is_right() { self.right - widest } else { self.left };
            let last = self.bottom - 22.0 * unit;
            let count = lines.len();
            self.scene = lines
                .into_iter()
                .enumerate()
                .map(|(n, text)| Line {
                    text,
                    x,
                    y: last - leading * (count - 1 - n) as f32,
                    size,
                    weight: Weight::Regular,
                    alpha: 1.0,
                })
                .collect();
            return;
        }
    }

    /// The two strips of text, above and below.
    fn bands(&self, plan: &Composition) -> Vec<Band> {
        let area = |line: &Line| Area {
            left: line.x - line.size * 0.2,
            top: line.y - line.size * 0.85,
            right: line.x + line.width() + line.size * 0.2,
            bottom: line.y + line.size * 0.3,
        };
        let half = 27.0 * self.unit;
        let (x, y) = self.sign;
        let sign = Area { left: x - half, top: y - half, right: x + half, bottom: y + half };
        let line = Area { left: self.left, top: self.bottom - 6.0 * self.unit, right: self.right, bottom: self.bottom };
        let above = self.head.iter().chain(&self.camera).map(area).chain([sign]).collect();
        let below = self.scene.iter().map(area).chain([line]).collect();
        [above, below]
            .into_iter()
            .map(|areas: Vec<Area>| Band {
                top: areas.iter().map(|area| area.top).fold(plan.height, f32::min),
                bottom: areas.iter().map(|area| area.bottom).fold(0.0, f32::max),
                areas,
            })
            .collect()
    }

    /// Chooses the ink and veils the picture as far as it needs.
    fn calm(&self, sheet: &mut Pixmap, plan: &Composition) -> (Vec<Band>, Tone) {
        let bands = self.bands(plan);
        let dark = (plan.roles.ink.with_lightness_within(0.0, 0.1), plan.roles.lit.with_lightness_within(0.95, 1.0));
        let white = (Tone::WHITE, plan.roles.ink.darker(0.55));
        let cost = |(ink, veil): (Tone, Tone)| bands.iter().map(|band| band.needed(sheet, veil, ink)).sum::<f32>();
        // The ink that the picture must give way to the least. In doubt, what suits the film: a dark veil passes for
        // shade in a dark one, a light one for haze in a light one.
        let bias = match plan.shot {
            // Panels differ in lightness, and haze would take their contrast.
            Shot::DynamicMulti => 0.8,
            _ if plan.roles.wall.lightness() < 0.7 => 0.25,
            _ => -0.15,
        };
        let (ink, veil) = if cost(dark) + bias < cost(white) { dark } else { white };
        for band in &bands {
            let alpha = band.needed(sheet, veil, ink);
            band.veil(sheet, veil, alpha, plan.short() * 0.3);
        }
        (bands, ink)
    }

    fn write(&self, sheet: &mut Pixmap, plan: &Composition, work: &DrawBeat, ink: Tone) {
        let unit = self.unit;
        let accent = if plan.roles.accent.contrast(ink) < 1.6
            || (plan.roles.accent.lightness() > 0.5) != (ink.lightness() > 0.5)
        {
            ink.mix(plan.roles.accent, 0.35)
        } else {
            plan.roles.accent
        };
        let mut brush = Brush::on(sheet);
        if let [number, name, ..] = self.head.as_slice() {
            let x = (number.x + number.width() + name.x) / 2.0;
            brush.fill(
                rounded(x - 1.5 * unit, number.y - 39.0 * unit, 3.0 * unit, 43.0 * unit, 1.5 * unit),
                accent,
                1.0,
            );
        }
        // The beat's place in the film.
        let count = work.beat_count.clamp(1, 60).max(work.beat_index.saturating_add(1).min(60));
        let gap = (6.0 * unit).min((self.right - self.left) / count as f32 * 0.3);
        let step = (self.right - self.left + gap) / count as f32;
        for n in 0..count {
            let now = n == work.beat_index;
            let height = if now { 5.0 } else { 2.5 } * unit;
            let segment = rounded(
                self.left + step * n as f32,
                self.bottom - 2.5 * unit - height / 2.0,
                step - gap,
                height,
                height / 2.0,
            );
            brush.fill(segment, if now { accent } else { ink }, if now { 1.0 } else { 0.45 });
        }
        brush.line(
            rounded(self.sign.0 - 24.0 * unit, self.sign.1 - 24.0 * unit, 48.0 * unit, 48.0 * unit, 12.0 * unit),
            1.6 * unit,
            ink,
            0.55,
        );
        brush.place = Transform::from_scale(15.0 * unit, 15.0 * unit)
            .post_concat(Transform::from_translate(self.sign.0, self.sign.1));
        plan.movement.draw_sign(&mut brush, ink);
        for line in self.head.iter().chain(&self.camera).chain(&self.scene) {
            let lettering = Lettering { size: line.size, weight: line.weight, tone: ink, alpha: line.alpha };
            lettering.write(sheet, &line.text, line.x, line.y);
        }
    }
}

#[cfg(test)]
mod tests {
    use messages::spec::Size;
    use tiny_skia::Color;

    use super::*;
    use crate::sample;

    #[test]
    fn every_text_is_readable_on_the_worst_of_pictures() {
        for palette in [["#000000"; 3], ["#ffffff"; 3], ["#ff0000", "#00ff00", "#0000ff"]] {
            for picture in [Color::BLACK, Color::WHITE, Color::from_rgba8(128, 128, 128, 255)] {
                let mut work = sample::beat();
                work.style.color_palette = sample::palette(&palette);
                work.size = Size { width: 640, height: 360 };
                let plan = Composition::of(&work);
                let mut sheet = Pixmap::new(640, 360).expect("a size");
                sheet.fill(picture);
                // Stripes of the opposite under every line of text.
                for pixels in sheet.pixels_mut().chunks_exact_mut(640).step_by(5) {
                    let other = if picture == Color::BLACK { Color::WHITE } else { Color::BLACK };
                    pixels.fill(other.premultiply().to_color_u8());
                }
                let layout = Layout::of(&plan, &work);
                let (bands, ink) = layout.calm(&mut sheet, &plan);
                for band in bands {
                    let worst = band.areas.iter().flat_map(|area| area.pixels(&sheet)).map(|pixel| {
                        let part = |v: u8| f32::from(v) / 255.0;
                        Tone::new(part(pixel.red()), part(pixel.green()), part(pixel.blue())).contrast(ink)
                    });
                    let worst = worst.fold(21.0, f32::min);
                    assert!(worst > 4.5, "{palette:?} on {picture:?}: contrast {worst:.1}");
                }
            }
        }
    }
}
