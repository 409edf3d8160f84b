//! Drawing in few words: outlines, fills, gradients and lines on a sheet, in the coordinates of whoever draws.
//!
//! A degenerate outline or gradient draws nothing: a picture with a missing highlight beats no picture.

use tiny_skia::{
    FillRule, GradientStop, LineCap, LineJoin, LinearGradient, Paint, Path, PathBuilder, Pixmap, Point,
    PremultipliedColorU8, RadialGradient, Rect, Shader, SpreadMode, Stroke, Transform,
};

use super::tone::Tone;

/// A place on a gradient: where (0 to 1), which colour, how opaque (0 to 1).
pub type Stop = (f32, Tone, f32);

/// A sheet, and where on it the coordinates lie.
pub struct Brush<'a> {
    /// What is drawn on.
    pub sheet: &'a mut Pixmap,
    /// From the drawer's coordinates to pixels.
    pub place: Transform,
}

impl<'a> Brush<'a> {
    /// A brush whose coordinates are pixels.
    pub fn on(sheet: &'a mut Pixmap) -> Self {
        Self { sheet, place: Transform::identity() }
    }

    /// A brush with coordinates of its own.
    pub fn at(sheet: &'a mut Pixmap, place: Transform) -> Self {
        Self { sheet, place }
    }

    /// Fills with one colour.
    pub fn fill(&mut self, path: Option<Path>, tone: Tone, alpha: f32) {
        self.paint(path, Shader::SolidColor(tone.alpha(alpha)));
    }

    /// Fills with a gradient from one point to another.
    pub fn fade(&mut self, path: Option<Path>, from: (f32, f32), to: (f32, f32), stops: &[Stop]) {
        let (from, to) = (Point::from_xy(from.0, from.1), Point::from_xy(to.0, to.1));
        let shader = LinearGradient::new(from, to, gradient(stops), SpreadMode::Pad, Transform::identity());
        if let Some(shader) = shader {
            self.paint(path, shader);
        }
    }

    /// Fills with a gradient around a point.
    pub fn glow(&mut self, path: Option<Path>, centre: (f32, f32), radius: f32, stops: &[Stop]) {
        let centre = Point::from_xy(centre.0, centre.1);
        let shader =
            RadialGradient::new(centre, 0.0, centre, radius, gradient(stops), SpreadMode::Pad, Transform::identity());
        if let Some(shader) = shader {
            self.paint(path, shader);
        }
    }

    /// A soft round light.
    ///
    /// Reckoned here rather than by a gradient: lights are large and many, and this is several times as fast, and finer
    /// than eight bits of gradient.
    pub fn halo(&mut self, centre: (f32, f32), radius: f32, tone: Tone, alpha: f32) {
        let Some(back) = self.place.invert() else { return };
        let corners = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)].map(|(x, y)| {
            let mut point = Point::from_xy(centre.0 + x * radius, centre.1 + y * radius);
            self.place.map_point(&mut point);
            point
        });
        let (width, height) = (self.sheet.width() as usize, self.sheet.height() as usize);
        let span = |values: [f32; 4], limit: usize| {
            let low = values.iter().copied().fold(f32::INFINITY, f32::min).clamp(0.0, limit as f32);
            let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max).clamp(0.0, limit as f32);
            low as usize..high.ceil() as usize
        };
        let (rows, columns) = (span(corners.map(|p| p.y), height), span(corners.map(|p| p.x), width));
        let light = [tone.r, tone.g, tone.b].map(|part| part.clamp(0.0, 1.0) * 255.0);
        let shrink = 1.0 / radius.max(1e-6);
        let (step_x, step_y) = (back.sx * shrink, back.ky * shrink);
        for row in rows {
            let mut start = Point::from_xy(columns.start as f32 + 0.5, row as f32 + 0.5);
            back.map_point(&mut start);
            let (mut x, mut y) = ((start.x - centre.0) * shrink, (start.y - centre.1) * shrink);
            for pixel in &mut self.sheet.pixels_mut()[row * width..][columns.clone()] {
                let near = 1.0 - (x * x + y * y);
                (x, y) = (x + step_x, y + step_y);
                if near > 0.0 {
                    let t = alpha * near * near * near;
                    *pixel = laid_over(*pixel, light, t);
                }
            }
        }
    }

    /// Draws along an outline.
    pub fn line(&mut self, path: Option<Path>, width: f32, tone: Tone, alpha: f32) {
        let Some(path) = path else { return };
        let paint = paint_of(Shader::SolidColor(tone.alpha(alpha)));
        let stroke = Stroke { width, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() };
        self.sheet.stroke_path(&path, &paint, &stroke, self.place, None);
    }

    fn paint(&mut self, path: Option<Path>, shader: Shader<'_>) {
        if let Some(path) = path {
            self.sheet.fill_path(&path, &paint_of(shader), FillRule::EvenOdd, self.place, None);
        }
    }
}

/// A pixel under a layer of `light` (parts 0 to 255) that is `t` opaque.
fn laid_over(pixel: PremultipliedColorU8, light: [f32; 3], t: f32) -> PremultipliedColorU8 {
    let part = |v: u8, light: f32| {
        let v = f32::from(v);
        (v + (light - v) * t + 0.5) as u8
    };
    let alpha = part(pixel.alpha(), 255.0);
    let [r, g, b] = [part(pixel.red(), light[0]), part(pixel.green(), light[1]), part(pixel.blue(), light[2])];
    PremultipliedColorU8::from_rgba(r.min(alpha), g.min(alpha), b.min(alpha), alpha).unwrap_or(pixel)
}

fn paint_of(shader: Shader<'_>) -> Paint<'_> {
    Paint { shader, anti_alias: true, ..Paint::default() }
}

fn gradient(stops: &[Stop]) -> Vec<GradientStop> {
    stops.iter().map(|(at, tone, alpha)| GradientStop::new(*at, tone.alpha(*alpha))).collect()
}

/// An outline from `M`, `L`, `Q`, `C` and `Z` with numbers between spaces, as vector drawings write it.
pub fn outline(steps: &str) -> Option<Path> {
    let mut path = PathBuilder::new();
    let mut tokens = steps.split_ascii_whitespace();
    while let Some(step) = tokens.next() {
        let mut number = || tokens.next().and_then(|token| token.parse::<f32>().ok());
        match step {
            "M" => path.move_to(number()?, number()?),
            "L" => path.line_to(number()?, number()?),
            "Q" => path.quad_to(number()?, number()?, number()?, number()?),
            "C" => path.cubic_to(number()?, number()?, number()?, number()?, number()?, number()?),
            "Z" => path.close(),
            _ => return None,
        }
    }
    path.finish()
}

/// Straight lines through points, closed.
pub fn polygon(points: &[(f32, f32)]) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (i, (x, y)) in points.iter().enumerate() {
        if i == 0 { path.move_to(*x, *y) } else { path.line_to(*x, *y) }
    }
    path.close();
    path.finish()
}

/// A circle.
pub fn disc(cx: f32, cy: f32, r: f32) -> Option<Path> {
    PathBuilder::from_circle(cx, cy, r)
}

/// An ellipse.
pub fn oval(cx: f32, cy: f32, rx: f32, ry: f32) -> Option<Path> {
    PathBuilder::from_oval(Rect::from_xywh(cx - rx, cy - ry, rx * 2.0, ry * 2.0)?)
}

/// A rectangle.
pub fn rectangle(x: f32, y: f32, w: f32, h: f32) -> Option<Path> {
    Rect::from_xywh(x, y, w, h).map(PathBuilder::from_rect)
}

/// A rectangle with round corners.
pub fn rounded(x: f32, y: f32, w: f32, h: f32, r: f32) -> Option<Path> {
    let r = r.min(w / 2.0).min(h / 2.0).max(0.0);
    // The distance at which a cubic comes closest to a quarter circle.
    let k = r * 0.447_7;
    let (right, bottom) = (x + w, y + h);
    let mut path = PathBuilder::new();
    path.move_to(x + r, y);
    path.line_to(right - r, y);
    path.cubic_to(right - k, y, right, y + k, right, y + r);
    path.line_to(right, bottom - r);
    path.cubic_to(right, bottom - k, right - k, bottom, right - r, bottom);
    path.line_to(x + r, bottom);
    path.cubic_to(x + k, bottom, x, bottom - k, x, bottom - r);
    path.line_to(x, y + r);
    path.cubic_to(x, y + k, x + k, y, x + r, y);
    path.close();
    path.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_outline_draws_nothing() {
        assert!(outline("M 0 0 L 1 one Z").is_none());
        assert!(outline("M 0 0 X 1 1").is_none());
        assert!(outline("").is_none());
        assert!(outline("M 0 0 L 1 0 L 1 1 Z").is_some());
    }
}
