//! The start image as the sampler wants it: planes of brightness and colour, finer than the film.
//!
//! Brightness is held at twice the film's size and colour at the film's own (twice what 4:2:0 keeps), so that sampling
//! between pixels blurs about the same wherever it lands. Sampling the picture itself would make it pulse between sharp
//! and soft as the camera moves on by fractions of a pixel.

use std::path::Path;

use image::imageops::FilterType;
use image::{GrayImage, ImageReader, Limits, RgbImage};
use messages::spec::Size;

/// Why a picture cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// It cannot be read at all.
    #[error("the start image cannot be read")]
    Unreadable(#[source] std::io::Error),
    /// It is not a picture, or too large.
    #[error("the start image is not a picture that can be used")]
    Unusable(#[source] image::ImageError),
}

/// One plane of a picture, with its last row and column repeated once, so that a sample at the very edge has neighbours.
#[derive(Debug)]
pub struct Plane {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Bytes from row to row.
    pub stride: usize,
    /// `height + 1` rows of `stride` bytes.
    pub bytes: Vec<u8>,
}

/// A start image, ready to be sampled.
#[derive(Debug)]
pub struct Source {
    /// The film's size.
    pub size: Size,
    /// Brightness, at twice that size.
    pub luma: Plane,
    /// Blue difference and red difference, at that size.
    pub chroma: [Plane; 2],
}

impl Source {
    /// Reads a picture; one of another shape is scaled to cover the frame and cut at its edges.
    pub fn load(file: &Path, size: Size) -> Result<Self, PictureError> {
        let mut reader =
            ImageReader::open(file).and_then(ImageReader::with_guessed_format).map_err(PictureError::Unreadable)?;
        let mut limits = Limits::default();
        limits.max_image_width = Some(8192);
        limits.max_image_height = Some(8192);
        limits.max_alloc = Some(128 << 20);
        reader.limits(limits);
        let picture = reader.decode().map_err(PictureError::Unusable)?;
        let (width, height) = (size.width, size.height);
        let picture = if (picture.width(), picture.height()) == (width, height) {
            picture
        } else {
            picture.resize_to_fill(width, height, FilterType::Lanczos3)
        };
        Ok(Self::of(&picture.into_rgb8()))
    }

    /// From a picture of the film's size.
    pub fn of(picture: &RgbImage) -> Self {
        let (width, height) = picture.dimensions();
        let [luma, blue, red] = planes(picture);
        let fine = GrayImage::from_raw(width, height, luma)
            .map(|luma| image::imageops::resize(&luma, 2 * width, 2 * height, FilterType::CatmullRom))
            .unwrap_or_default();
        Self {
            size: Size { width, height },
            luma: Plane::new(2 * width as usize, 2 * height as usize, fine.as_raw()),
            chroma: [blue, red].map(|plane| Plane::new(width as usize, height as usize, &plane)),
        }
    }
}

impl Plane {
    fn new(width: usize, height: usize, pixels: &[u8]) -> Self {
        let stride = width + 1;
        let mut bytes = Vec::with_capacity(stride * (height + 1));
        for row in pixels.chunks_exact(width).take(height) {
            bytes.extend_from_slice(row);
            bytes.push(row[width - 1]);
        }
        bytes.extend_from_within(bytes.len() - stride..);
        Self { width, height, stride, bytes }
    }
}

/// Brightness, blue difference and red difference, as BT.709 says, in the range that films use.
fn planes(picture: &RgbImage) -> [Vec<u8>; 3] {
    let pixels = picture.as_raw();
    let mut planes = [(); 3].map(|()| Vec::with_capacity(pixels.len() / 3));
    for rgb in pixels.chunks_exact(3) {
        let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(|value| f32::from(value) / 255.0);
        let y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
        planes[0].push((16.5 + 219.0 * y) as u8);
        planes[1].push((128.5 + 224.0 * (b - y) / 1.8556) as u8);
        planes[2].push((128.5 + 224.0 * (r - y) / 1.5748) as u8);
    }
    planes
}
