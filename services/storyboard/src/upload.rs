//! An uploaded picture becomes a beat's picture: decoded within limits, turned upright, scaled to cover the frame.
//!
//! PURE, bytes to bytes. A stranger made them: what they are is told by themselves, not by a name; their size is looked
//! at before a pixel is decoded; and nothing of them goes on but pixels.

use std::io::Cursor;

use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits, Rgb, RgbImage};
use messages::artifact::MediaType;
use messages::import::{MAX_PICTURE_PIXELS, UploadKind};
use messages::spec::Size;

use crate::png;

/// The longest side of an upload, and of what is made of it, in pixels.
const LONGEST_SIDE: u32 = 16_384;
/// The longest side of a beat's picture, in pixels.
const LONGEST_SIDE_OF_BEAT: u32 = 4096;
/// Bytes that decoding may take: the most pixels at 16 bits in each of four channels.
const MAX_ALLOC: u64 = 8 * MAX_PICTURE_PIXELS;

/// A beat's picture, and what it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The PNG, of exactly the size that was asked for.
    pub png: Vec<u8>,
    /// What the upload was.
    pub source_type: MediaType,
    /// The upload's pixels, upright.
    pub source_size: Size,
}

/// Why an upload is no picture for a beat, in words for whoever brought it.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// There are no bytes.
    #[error("the upload is empty: upload the picture again")]
    Empty,
    /// There are too many bytes.
    #[error("the upload has {0} bytes, a picture may have {max}: save it smaller", max = UploadKind::Picture.max_bytes())]
    TooLarge(u64),
    /// The bytes are none of the formats.
    #[error("the upload is not a PNG, JPEG or WebP picture: export it as one of these and upload that")]
    NoPicture,
    /// It would take too much memory.
    #[error(
        "the upload has {0} pixels, a picture may have {MAX_PICTURE_PIXELS} and sides of at most {LONGEST_SIDE}: scale it \
         down"
    )]
    TooManyPixels(Size),
    /// It ends too early.
    #[error("the upload is cut off, its last rows are missing: upload the whole file again")]
    CutOff,
    /// It cannot be decoded.
    #[error("the upload is a damaged {0} picture ({1}): export it anew and upload that")]
    Damaged(&'static str, ImageError),
    /// No beat's picture has that size.
    #[error("a picture of {0} pixels cannot be made: each side must be 1 to {LONGEST_SIDE_OF_BEAT}")]
    Size(Size),
    /// The picture could not be written as PNG.
    #[error("the upload could not be written as a picture of the film: {0}")]
    Encode(#[source] ImageError),
}

/// Makes a beat's picture of an upload. Takes up to some seconds and some hundred megabytes: not for async threads.
pub fn import(upload: &[u8], size: Size) -> Result<Imported, UploadError> {
    if [size.width, size.height].iter().any(|side| !(1..=LONGEST_SIDE_OF_BEAT).contains(side)) {
        return Err(UploadError::Size(size));
    }
    let (source_type, picture) = decode(upload)?;
    let source_size = Size { width: picture.width(), height: picture.height() };
    let picture = flattened(picture);

    // Cutting before scaling: a long thin upload would become enormous the other way round.
    let (x, y, width, height) = covering(source_size, size);
    let cut = imageops::crop_imm(&picture, x, y, width, height);
    let scaled = if (width, height) == (size.width, size.height) {
        cut.to_image()
    } else {
        imageops::resize(&*cut, size.width, size.height, FilterType::Lanczos3)
    };
    let png = png::encode(scaled.as_raw(), size).map_err(UploadError::Encode)?;
    Ok(Imported { png, source_type, source_size })
}

/// What the first bytes say it is, decoded and upright.
fn decode(upload: &[u8]) -> Result<(MediaType, DynamicImage), UploadError> {
    let bytes = upload.len() as u64;
    if bytes == 0 {
        return Err(UploadError::Empty);
    }
    if bytes > UploadKind::Picture.max_bytes() {
        return Err(UploadError::TooLarge(bytes));
    }
    let (format, media_type, name) = match image::guess_format(upload) {
        Ok(format @ ImageFormat::Png) => (format, MediaType::Png, "PNG"),
        Ok(format @ ImageFormat::Jpeg) => (format, MediaType::Jpeg, "JPEG"),
        Ok(format @ ImageFormat::WebP) => (format, MediaType::Webp, "WebP"),
        Ok(_) | Err(_) => return Err(UploadError::NoPicture),
    };

    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_ALLOC);
    let mut reader = ImageReader::with_format(Cursor::new(upload), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(|error| unusable(error, name))?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_PICTURE_PIXELS || width.max(height) > LONGEST_SIDE {
        return Err(UploadError::TooManyPixels(Size { width, height }));
    }
    if format == ImageFormat::Jpeg && !jpeg_is_whole(upload) {
        return Err(UploadError::CutOff);
    }
    // A camera's note that cannot be read turns nothing.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    limits.reserve(decoder.total_bytes()).map_err(|error| unusable(error, name))?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| unusable(error, name))?;
    picture.apply_orientation(orientation);
    Ok((media_type, picture))
}

fn unusable(error: ImageError, name: &'static str) -> UploadError {
    match error {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => UploadError::CutOff,
        other => UploadError::Damaged(name, other),
    }
}

/// Whether a JPEG goes on to its end marker. The decoder would paint what is missing grey and say nothing.
fn jpeg_is_whole(jpeg: &[u8]) -> bool {
    let mut at = 0;
    loop {
        let Some(marker) = jpeg.get(at + 1).copied() else { return false };
        if jpeg[at] != 0xff {
            // Between a scan's header and the next marker lie its pixels.
            at += 1;
            continue;
        }
        match marker {
            0xd9 => return true,
            // Fill bytes, stuffed pixels, restarts and the start have no length.
            0xff => at += 1,
            0x00 | 0x01 | 0xd0..=0xd8 => at += 2,
            _ => {
                let Some(length) = jpeg.get(at + 2..at + 4) else { return false };
                at += 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
            }
        }
    }
}

/// The picture without transparency: on white, as paper shows through.
fn flattened(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let picture = picture.into_rgba8();
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [red, green, blue, alpha] = picture.get_pixel(x, y).0.map(u32::from);
        Rgb([red, green, blue].map(|value| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8))
    })
}

/// The largest part of a picture, from its middle, that has the shape of `size`: left, top, width, height.
fn covering(picture: Size, size: Size) -> (u32, u32, u32, u32) {
    let (width, height) = (u64::from(picture.width), u64::from(picture.height));
    let (across, down) = (u64::from(size.width), u64::from(size.height));
    let share = |side: u64, over: u64, under: u64| (side * over + under / 2) / under;
    let (cut_width, cut_height) = if width * down > height * across {
        (share(height, across, down).clamp(1, width), height)
    } else {
        (width, share(width, down, across).clamp(1, height))
    };
    (((width - cut_width) / 2) as u32, ((height - cut_height) / 2) as u32, cut_width as u32, cut_height as u32)
}
