//! Draws a frame: for every pixel of the screen, the picture between its pixels.
//!
//! Fixed-point arithmetic on bytes, a few nanoseconds a pixel: a chunk has to be drawn several times faster than it
//! plays. The frame is planar 4:2:0 as the encoder takes it, colour sited on the left as H.264 assumes.

use crate::animatic::projection::Projection;
use crate::animatic::source::{Plane, Source};

/// What one frame shows.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// From the screen to the picture; inside it.
    pub projection: Projection,
    /// Brightness; 1 leaves the picture as it is.
    pub light: f64,
    /// A smear to the side; none in most frames.
    pub smear: Option<Smear>,
}

/// The picture rushing past. Beyond its edges it goes on mirrored, which only a smear can hide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Smear {
    /// How far the view has been carried, in picture widths.
    pub travel: f64,
    /// How far it is carried while the shutter is open, in picture widths.
    pub length: f64,
}

/// Bytes of a frame of a size.
pub fn frame_bytes(width: usize, height: usize) -> usize {
    width * height * 3 / 2
}

/// Draws a frame into `frame`, which holds [`frame_bytes`].
pub fn draw(source: &Source, view: &View, frame: &mut [u8]) {
    let (width, height) = (source.size.width as usize, source.size.height as usize);
    let aspect = width as f64 / height as f64;
    let (luma, chroma) = frame.split_at_mut(width * height);
    let (blue, red) = chroma.split_at_mut(width * height / 4);

    // Where sample (i, j) of a plane lies on the screen.
    let fine = Grid {
        origin: (-aspect / 2.0 + 0.5 * aspect / width as f64, -0.5 + 0.5 / height as f64),
        step: 1.0 / height as f64,
    };
    let coarse = Grid { origin: (fine.origin.0, -0.5 + 1.0 / height as f64), step: 2.0 / height as f64 };
    let light = Light::luma(view.light);
    for (plane, grid, columns, light, out) in [
        (&source.luma, &fine, width, light, luma),
        (&source.chroma[0], &coarse, width / 2, Light::NONE, blue),
        (&source.chroma[1], &coarse, width / 2, Light::NONE, red),
    ] {
        let painter = Painter { plane, grid, projection: &view.projection, aspect, light };
        match view.smear {
            Some(smear) => painter.smeared(smear, columns, out),
            None => match (view.projection.keeps_rows(), light.is_plain()) {
                (true, true) => painter.straight::<true>(columns, out),
                (true, false) => painter.straight::<false>(columns, out),
                (false, true) => painter.slanted::<true>(columns, out),
                (false, false) => painter.slanted::<false>(columns, out),
            },
        }
    }
}

/// Where the samples of a plane lie on the screen.
struct Grid {
    origin: (f64, f64),
    step: f64,
}

/// Brightening as a factor and an offset around black, both with 22 bits after the point once a sample of 8 is in.
#[derive(Clone, Copy)]
struct Light {
    factor: i32,
    offset: i32,
}

impl Light {
    const NONE: Self = Self { factor: 1 << 14, offset: 1 << 21 };

    fn luma(light: f64) -> Self {
        let light = light.clamp(0.0, 1.5);
        Self {
            factor: (light * f64::from(1 << 14)).round() as i32,
            offset: (1 << 21) + (16.0 * (1.0 - light) * f64::from(1 << 22)).round() as i32,
        }
    }

    fn is_plain(self) -> bool {
        self.factor == Self::NONE.factor
    }

    /// The same for most frames, which are not brightened at all: known beforehand, it costs nothing.
    #[inline(always)]
    fn apply_or<const PLAIN: bool>(self, sample: i32) -> u8 {
        if PLAIN { ((sample + 128) >> 8) as u8 } else { self.apply(sample) }
    }

    /// From a sample with 8 bits after the point to a byte.
    #[inline(always)]
    fn apply(self, sample: i32) -> u8 {
        ((sample * self.factor + self.offset) >> 22).clamp(0, 255) as u8
    }
}

/// The pixels between which the exact position is computed; a straight line between them is exact to a thousandth of a
/// pixel for the little perspective that poses have.
const BLOCK: usize = 32;

struct Painter<'a> {
    plane: &'a Plane,
    grid: &'a Grid,
    projection: &'a Projection,
    aspect: f64,
    light: Light,
}

impl Painter<'_> {
    /// The position on the plane, in pixels from the middle of the first one, of a sample of the screen.
    fn position(&self, column: f64, row: usize) -> (f64, f64) {
        let (x, y) = (self.grid.origin.0 + self.grid.step * column, self.grid.origin.1 + self.grid.step * row as f64);
        let (x, y) = self.projection.apply(x, y);
        ((x / self.aspect + 0.5) * self.plane.width as f64 - 0.5, (y + 0.5) * self.plane.height as f64 - 0.5)
    }

    /// The same with 16 bits after the point, held on the plane.
    fn held(&self, column: usize, row: usize) -> (i32, i32) {
        let (u, v) = self.position(column as f64, row);
        (
            (u.clamp(0.0, (self.plane.width - 1) as f64) * 65536.0) as i32,
            (v.clamp(0.0, (self.plane.height - 1) as f64) * 65536.0) as i32,
        )
    }

    /// Rows of the screen are rows of the picture: two of them are mixed once, then read along.
    fn straight<const PLAIN: bool>(&self, columns: usize, out: &mut [u8]) {
        let mut mixed = vec![0u16; self.plane.stride];
        for (row, out) in out.chunks_exact_mut(columns).enumerate() {
            self.mix_rows(self.held(0, row).1, &mut mixed);
            let (mut u, end) = (self.held(0, row).0, self.held(columns - 1, row).0);
            let step = (end - u) / (columns.max(2) - 1) as i32;
            for out in out {
                *out = self.light.apply_or::<PLAIN>(between(&mixed, u));
                u += step;
            }
        }
    }

    /// Any view: four neighbours a pixel.
    fn slanted<const PLAIN: bool>(&self, columns: usize, out: &mut [u8]) {
        let (stride, bytes) = (self.plane.stride, self.plane.bytes.as_slice());
        for (row, out) in out.chunks_exact_mut(columns).enumerate() {
            let mut start = self.held(0, row);
            for (block, out) in out.chunks_mut(BLOCK).enumerate() {
                let end = self.held(block * BLOCK + out.len(), row);
                let length = out.len() as i32;
                let (du, dv) = ((end.0 - start.0) / length, (end.1 - start.1) / length);
                let (mut u, mut v) = start;
                for out in out {
                    let at = (v >> 16) as usize * stride + (u >> 16) as usize;
                    let (fu, fv) = ((u >> 9) & 127, (v >> 9) & 127);
                    let (upper, lower) = (&bytes[at..at + 2], &bytes[at + stride..at + stride + 2]);
                    let [a, b, c, d] = [upper[0], upper[1], lower[0], lower[1]].map(i32::from);
                    let (upper, lower) = ((a << 7) + (b - a) * fu, (c << 7) + (d - c) * fu);
                    *out = self.light.apply_or::<PLAIN>(((upper << 7) + (lower - upper) * fv) >> 6);
                    (u, v) = (u + du, v + dv);
                }
                start = end;
            }
        }
    }

    /// Rows read along a mirrored picture, averaged over what passes while the shutter is open.
    fn smeared(&self, smear: Smear, columns: usize, out: &mut [u8]) {
        let width = self.plane.width as f64;
        let mut mixed = vec![0u16; self.plane.stride];
        let mut sums = Vec::new();
        for (row, out) in out.chunks_exact_mut(columns).enumerate() {
            self.mix_rows(self.held(0, row).1, &mut mixed);
            let (start, end) = (self.position(0.0, row).0, self.position((columns - 1) as f64, row).0);
            let step = (end - start) / (columns.max(2) - 1) as f64;
            let reach = (smear.length * width / step / 2.0).round().max(0.0) as usize;
            // Sums up to each sample, from `reach` before the row to `reach` after it: any average is one difference.
            sums.clear();
            sums.push(0i64);
            let mut sum = 0;
            for k in 0..columns + 2 * reach {
                let u = start + smear.travel * (width - 1.0) + (k as f64 - reach as f64) * step;
                sum += i64::from(between(&mixed, (mirrored(u, width) * 65536.0) as i32));
                sums.push(sum);
            }
            let taken = (2 * reach + 1) as i64;
            for (k, out) in out.iter_mut().enumerate() {
                *out = self.light.apply(((sums[k + 2 * reach + 1] - sums[k]) / taken) as i32);
            }
        }
    }

    /// The row of the picture at `v`, with 8 bits after the point.
    fn mix_rows(&self, v: i32, mixed: &mut [u16]) {
        let (stride, at) = (self.plane.stride, (v >> 16) as usize * self.plane.stride);
        let weight = ((v >> 8) & 255) as u16;
        let (upper, lower) = self.plane.bytes[at..at + 2 * stride].split_at(stride);
        for ((mixed, upper), lower) in mixed.iter_mut().zip(upper).zip(lower) {
            *mixed = u16::from(*upper) * (256 - weight) + u16::from(*lower) * weight;
        }
    }
}

/// A sample of a mixed row, with 8 bits after the point.
#[inline(always)]
fn between(row: &[u16], u: i32) -> i32 {
    let at = (u >> 16) as usize;
    let pair = &row[at..at + 2];
    let (a, b) = (i32::from(pair[0]), i32::from(pair[1]));
    a + (((b - a) * ((u >> 9) & 127)) >> 7)
}

/// A position on a row that goes on mirrored beyond both ends.
fn mirrored(u: f64, width: f64) -> f64 {
    let last = width - 1.0;
    let folded = u.rem_euclid(2.0 * last);
    if folded > last { 2.0 * last - folded } else { folded }
}
