//! Layers: sheets that are drawn apart and then laid over the picture, with what follows from their silhouette.
//!
//! All of it skips what is transparent, because a layer is mostly that.

use tiny_skia::{Mask, Pixmap, PremultipliedColorU8};

use super::tone::Tone;

/// A new, empty sheet of the same size.
pub fn like(sheet: &Pixmap) -> Option<Pixmap> {
    Pixmap::new(sheet.width(), sheet.height())
}

/// Lays `layer` over `sheet`, moved sideways by `shift` pixels and as opaque as `opacity` says.
pub fn lay(sheet: &mut Pixmap, layer: &Pixmap, shift: i32, opacity: f32) {
    let width = sheet.width() as usize;
    let (to, from) = if shift >= 0 { (shift.unsigned_abs(), 0) } else { (0, shift.unsigned_abs()) };
    let (to, from) = ((to as usize).min(width), (from as usize).min(width));
    let opacity = (opacity.clamp(0.0, 1.0) * 256.0) as u32;
    for (below, above) in sheet.pixels_mut().chunks_exact_mut(width).zip(layer.pixels().chunks_exact(width)) {
        for (pixel, top) in below[to..].iter_mut().zip(&above[from..]) {
            if top.alpha() != 0 {
                *pixel = over(*pixel, *top, opacity);
            }
        }
    }
}

/// Lays `layer` over `sheet` where the mask lets it through.
pub fn lay_through(sheet: &mut Pixmap, mask: &Mask, layer: &Pixmap) {
    for ((pixel, top), open) in sheet.pixels_mut().iter_mut().zip(layer.pixels()).zip(mask.data()) {
        if *open != 0 {
            *pixel = over(*pixel, *top, u32::from(*open) * 256 / 255);
        }
    }
}

/// Lays the layer's mirror image over the sheet, below the line `base` and fading over `reach` pixels.
pub fn reflect(sheet: &mut Pixmap, layer: &Pixmap, base: f32, reach: f32, strength: f32) {
    let (width, height) = (sheet.width() as usize, sheet.height() as usize);
    let (base, reach) = (base.max(0.0), reach.max(1.0));
    for row in base as usize..((base + reach) as usize).min(height) {
        let source = (2.0 * base - row as f32).max(0.0) as usize;
        if source >= height {
            continue;
        }
        let near = 1.0 - (row as f32 - base) / reach;
        let opacity = (strength * near * near * 256.0).clamp(0.0, 256.0) as u32;
        let above = &layer.pixels()[source * width..][..width];
        for (pixel, top) in sheet.pixels_mut()[row * width..][..width].iter_mut().zip(above) {
            if top.alpha() != 0 {
                *pixel = over(*pixel, *top, opacity);
            }
        }
    }
}

/// Lights every edge of what is drawn that faces `towards` (pixels): whatever the silhouette, it looks lit from one
/// place.
pub fn light_edges(layer: &mut Pixmap, towards: (f32, f32), tone: Tone, strength: f32) {
    let (width, height) = (layer.width() as usize, layer.height() as usize);
    let alphas: Vec<u8> = layer.pixels().iter().map(|pixel| pixel.alpha()).collect();
    let (dx, dy) = (towards.0.round() as isize, towards.1.round() as isize);
    let beyond = |x: usize, y: usize| {
        let (x, y) = (x.checked_add_signed(dx)?, y.checked_add_signed(dy)?);
        (x < width && y < height).then(|| alphas[y * width + x])
    };
    for (n, pixel) in layer.pixels_mut().iter_mut().enumerate() {
        if pixel.alpha() == 0 {
            continue;
        }
        // What leaves the picture has no edge there.
        let outside = beyond(n % width, n / width).map_or(0, |beyond| 255 - beyond);
        if outside == 0 {
            continue;
        }
        let add = strength * f32::from(outside) / 255.0;
        let alpha = f32::from(pixel.alpha());
        let part = |v: u8, light: f32| {
            let v = f32::from(v);
            (v + (light * alpha - v) * add).clamp(0.0, alpha) as u8
        };
        let (r, g, b) = (part(pixel.red(), tone.r), part(pixel.green(), tone.g), part(pixel.blue(), tone.b));
        if let Some(lit) = PremultipliedColorU8::from_rgba(r, g, b, pixel.alpha()) {
            *pixel = lit;
        }
    }
}

/// `opacity` counts to 256. Both pixels are premultiplied, so the sum can pass neither 255 nor its alpha by more than
/// rounding.
fn over(below: PremultipliedColorU8, top: PremultipliedColorU8, opacity: u32) -> PremultipliedColorU8 {
    let keep = 255 - ((u32::from(top.alpha()) * opacity) >> 8);
    let part = |below: u8, top: u8| {
        let sum = ((u32::from(top) * opacity) >> 8) + (u32::from(below) * keep + 127) / 255;
        sum.min(255) as u8
    };
    let alpha = part(below.alpha(), top.alpha());
    let (r, g, b) = (part(below.red(), top.red()), part(below.green(), top.green()), part(below.blue(), top.blue()));
    PremultipliedColorU8::from_rgba(r.min(alpha), g.min(alpha), b.min(alpha), alpha).unwrap_or(below)
}

#[cfg(test)]
mod tests {
    use tiny_skia::Color;

    use super::*;

    fn sheet(color: Color) -> Pixmap {
        let mut sheet = Pixmap::new(4, 4).expect("a size");
        sheet.fill(color);
        sheet
    }

    #[test]
    fn an_empty_layer_changes_nothing_and_a_full_one_covers() {
        let mut picture = sheet(Color::from_rgba8(10, 200, 30, 255));
        let before = picture.clone();
        let empty = like(&picture).expect("a size");
        lay(&mut picture, &empty, 0, 1.0);
        assert_eq!(picture.data(), before.data());
        let full = sheet(Color::from_rgba8(250, 5, 99, 255));
        lay(&mut picture, &full, 0, 1.0);
        assert_eq!(picture.data(), full.data());
    }

    #[test]
    fn a_layer_may_be_moved_out_of_the_picture() {
        let mut picture = sheet(Color::BLACK);
        let before = picture.clone();
        for shift in [4, 5, 1000, -4, -1000] {
            lay(&mut picture, &sheet(Color::WHITE), shift, 1.0);
        }
        assert_eq!(picture.data(), before.data());
    }
}
