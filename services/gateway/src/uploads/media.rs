//! What bytes are, by their beginning. What a client calls them is never believed.

use std::io::BufReader;
use std::path::Path;

use image::{ImageFormat, ImageReader, Limits};
use messages::artifact::MediaType;
use messages::import::MAX_PICTURE_PIXELS;

/// How much of the beginning [`sniff`] looks at, bytes.
pub const HEAD: usize = 64;

/// What bytes that begin so are; none for what nobody may upload.
pub fn sniff(head: &[u8]) -> Option<MediaType> {
    let at = |from: usize, magic: &[u8]| head.get(from..).is_some_and(|rest| rest.starts_with(magic));
    match () {
        () if at(0, b"\x89PNG\r\n\x1a\n") => Some(MediaType::Png),
        () if at(0, b"\xff\xd8\xff") => Some(MediaType::Jpeg),
        () if at(0, b"RIFF") && at(8, b"WEBP") => Some(MediaType::Webp),
        () if at(0, b"RIFF") && at(8, b"WAVE") => Some(MediaType::Wav),
        () if at(0, b"fLaC") => Some(MediaType::Flac),
        () if at(0, b"OggS") => Some(MediaType::Ogg),
        () if at(4, b"ftyp") => brand(head.get(8..12)?),
        // QuickTime files are older than the box that names a brand.
        () if [b"moov", b"mdat", b"wide", b"free"].iter().any(|kind| at(4, *kind)) => Some(MediaType::QuickTime),
        // EBML is Matroska too; the document type stands near its beginning.
        () if at(0, b"\x1a\x45\xdf\xa3") => head.windows(4).any(|four| four == b"webm").then_some(MediaType::Webm),
        () if at(0, b"ID3") || is_mp3_frame(head) => Some(MediaType::Mp3),
        () => None,
    }
}

/// The brand of an ISO base media file. Pictures use the same boxes.
fn brand(brand: &[u8]) -> Option<MediaType> {
    match brand {
        b"qt  " => Some(MediaType::QuickTime),
        b"M4A " | b"M4B " => Some(MediaType::M4a),
        b"heic" | b"heix" | b"heif" | b"mif1" | b"msf1" | b"avif" | b"avis" => None,
        _ => Some(MediaType::Mp4),
    }
}

/// The header of an MPEG audio frame of layer III: a text that begins with a byte order mark is none.
fn is_mp3_frame(head: &[u8]) -> bool {
    let &[first, second, third, ..] = head else { return false };
    let synchronised = first == 0xff && second & 0xe0 == 0xe0;
    let known_version = second & 0x18 != 0x08;
    let layer_three = second & 0x06 == 0x02;
    let known_rates = third & 0xf0 != 0xf0 && third & 0x0c != 0x0c;
    synchronised && known_version && layer_three && known_rates
}

/// The most memory that reading a header may take, bytes.
const HEADER_MEMORY: u64 = 64 * 1024 * 1024;

/// Why a picture cannot be used, from its header alone: nothing is decoded. Blocks.
pub fn check_picture(file: &Path, media_type: MediaType) -> Result<(), String> {
    let format = match media_type {
        MediaType::Png => ImageFormat::Png,
        MediaType::Jpeg => ImageFormat::Jpeg,
        MediaType::Webp => ImageFormat::WebP,
        MediaType::Mp4
        | MediaType::Mp3
        | MediaType::Json
        | MediaType::QuickTime
        | MediaType::Webm
        | MediaType::Wav
        | MediaType::Flac
        | MediaType::Ogg
        | MediaType::M4a => return Err(format!("{} is no picture", media_type.content_type())),
    };
    let opened = std::fs::File::open(file).map_err(|error| format!("cannot be read: {error}"))?;
    let mut reader = ImageReader::with_format(BufReader::new(opened), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(HEADER_MEMORY);
    reader.limits(limits);
    let (width, height) = reader.into_dimensions().map_err(|error| format!("cannot be decoded: {error}"))?;
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_PICTURE_PIXELS {
        let most = MAX_PICTURE_PIXELS / 1_000_000;
        return Err(format!("is {width}x{height}; at most {most} megapixels are taken"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_what_they_begin_like() {
        for (head, kind) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], MediaType::Png),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", MediaType::Jpeg),
            (b"RIFF\0\0\0\0WEBPVP8 ", MediaType::Webp),
            (b"RIFF\0\0\0\0WAVEfmt ", MediaType::Wav),
            (b"fLaC\0\0\0\x22", MediaType::Flac),
            (b"OggS\0\x02", MediaType::Ogg),
            (b"\0\0\0\x20ftypisom\0\0\x02\0", MediaType::Mp4),
            (b"\0\0\0\x14ftypqt  \0\0\x02\0", MediaType::QuickTime),
            (b"\0\0\0\x08wide\0\0\0\0mdat", MediaType::QuickTime),
            (b"\0\0\0\x1cftypM4A \0\0\x02\0", MediaType::M4a),
            (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm", MediaType::Webm),
            (b"ID3\x04\0\0", MediaType::Mp3),
            (b"\xff\xfb\x90\x64", MediaType::Mp3),
        ] {
            assert_eq!(sniff(head), Some(kind), "{}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn w72_what_is_known_by_no_beginning_is_nothing() {
        for head in [
            &b""[..],
            b"\x89PN",
            b"not a picture at all",
            b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
            b"%PDF-1.7",
            b"#EXTM3U\n#EXT-X-VERSION:3\n",
            b"GIF89a",
            b"\0\0\0\x20ftypavif",
            b"\0\0\0\x18ftyp",
            b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska",
            b"\xff\xfeh\0i\0",
            b"\xff\xf1\x50\x80",
            b"PK\x03\x04",
        ] {
            assert_eq!(sniff(head), None, "{}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn a_picture_is_judged_by_its_header() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("picture");
        let checked = |bytes: &[u8], kind| {
            std::fs::write(&file, bytes).expect("writable");
            check_picture(&file, kind)
        };
        let mut small = std::io::Cursor::new(Vec::new());
        image::RgbImage::new(4, 3).write_to(&mut small, ImageFormat::Png).expect("encodes");
        let small = small.into_inner();
        assert_eq!(checked(&small, MediaType::Png), Ok(()));
        assert!(checked(&small, MediaType::Jpeg).is_err());
        assert!(checked(&small[..12], MediaType::Png).is_err());
        assert!(checked(b"\xff\xd8\xff", MediaType::Jpeg).is_err());
        assert!(checked(b"RIFF\0\0\0\0WEBP", MediaType::Webp).is_err());
    }
}
