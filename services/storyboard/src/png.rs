//! How pictures are written: PNG with nothing but pixels, so that no date, place or camera of anybody leaves here.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder as _, ImageResult};
use messages::spec::Size;

/// Encodes rows of red, green and blue. Takes a few hundredths of a second: not for async threads.
pub fn encode(rgb: &[u8], size: Size) -> ImageResult<Vec<u8>> {
    let mut png = Vec::with_capacity(rgb.len());
    let encoder = PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Sub);
    encoder.write_image(rgb, size.width, size.height, ExtendedColorType::Rgb8)?;
    Ok(png)
}
