//! Uploaded pictures: what becomes of good ones, and what is said about bad ones.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use messages::artifact::ObjectRef;
use messages::spec::Size;

use super::*;

const FILM: Size = Size { width: 320, height: 180 };
const RED: Rgb<u8> = Rgb([200, 30, 20]);
const BLUE: Rgb<u8> = Rgb([20, 40, 210]);

/// Brings an upload into the place of beat 4.
async fn import(bytes: &[u8], media_type: MediaType) -> (Result<Outcome, JobError>, Arc<Memory>) {
    let objects = Arc::new(Memory::default());
    let upload = ObjectRef { key: "upload".into(), sha256: Digest::of(bytes), size: bytes.len() as u64, media_type };
    objects.0.lock().expect("nobody panicked").insert(upload.key.clone(), bytes.to_vec());
    let work = ImportWork::Picture(ImportPicture { upload, beat_index: 4, size: FILM });
    let job = job(4, Work::Import(Box::new(work)));
    let task = Task::new(job, objects.clone(), CancellationToken::new());
    (StoryboardHandler.handle(&task).await, objects)
}

/// What was made of a good upload: the picture, its bytes and what is told about it.
async fn imported(bytes: &[u8], media_type: MediaType) -> (RgbImage, Vec<u8>, Map<String, Value>) {
    let (outcome, objects) = import(bytes, media_type).await;
    let outcome = outcome.expect("imported");
    assert!(outcome.spent.is_empty(), "an upload costs nothing");
    let [made] = outcome.made.as_slice() else { panic!("one artifact, not {:?}", outcome.made) };
    assert_eq!(made.key, ArtifactKey::Beat(4));
    let Content::Object(object) = &made.content else { panic!("an object") };
    assert_eq!(object.media_type, MediaType::Png);
    let png = objects.objects()[&object.key].clone();
    let picture = image::load_from_memory_with_format(&png, ImageFormat::Png).expect("a PNG");
    assert_eq!((picture.width(), picture.height()), (FILM.width, FILM.height));
    (picture.into_rgb8(), png, made.metadata.clone())
}

/// Why an upload was refused, in words about it; nothing of it is stored.
async fn refused(bytes: &[u8], media_type: MediaType) -> String {
    let (outcome, objects) = import(bytes, media_type).await;
    let Err(JobError::GiveUp { reason }) = outcome else { panic!("not refused: {outcome:?}") };
    assert!(reason.starts_with("the upload"), "{reason}");
    assert_eq!(objects.objects().len(), 1, "only the upload itself");
    reason
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).expect("encoded");
    bytes.into_inner()
}

/// Red on the left, blue on the right.
fn two_halves(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| if x < width / 2 { RED } else { BLUE })
}

fn is_near(found: Rgb<u8>, wanted: Rgb<u8>) -> bool {
    found.0.iter().zip(wanted.0).all(|(a, b)| a.abs_diff(b) < 12)
}

#[tokio::test]
async fn every_format_of_picture_becomes_the_beats_picture() {
    for (format, media_type) in
        [(ImageFormat::Png, MediaType::Png), (ImageFormat::Jpeg, MediaType::Jpeg), (ImageFormat::WebP, MediaType::Webp)]
    {
        let (picture, _, metadata) = imported(&encoded(two_halves(640, 360), format), media_type).await;
        assert!(is_near(*picture.get_pixel(20, 90), RED) && is_near(*picture.get_pixel(300, 90), BLUE), "{format:?}");
        let told = ["imported", "beat_index", "size", "source_content_type", "source_size"].map(|name| &metadata[name]);
        assert_eq!(json!(told), json!([true, 4, "320x180", media_type.content_type(), "640x360"]));
    }
}

#[tokio::test]
async fn what_a_picture_is_is_told_by_its_bytes() {
    let (_, _, metadata) = imported(&encoded(two_halves(64, 36), ImageFormat::Jpeg), MediaType::Png).await;
    assert_eq!(metadata["source_content_type"], "image/jpeg");
}

#[tokio::test]
async fn a_picture_of_another_shape_covers_the_frame_from_its_middle() {
    // A red field with blue margins that the frame has no room for.
    let wide = RgbImage::from_fn(900, 180, |x, _| if (290..610).contains(&x) { RED } else { BLUE });
    let tall = RgbImage::from_fn(320, 900, |_, y| if (360..540).contains(&y) { RED } else { BLUE });
    for upload in [wide, tall] {
        let (picture, ..) = imported(&encoded(upload, ImageFormat::Png), MediaType::Png).await;
        assert!(picture.pixels().all(|pixel| is_near(*pixel, RED)), "the middle alone, without borders");
    }
}

#[tokio::test]
async fn a_picture_of_any_shape_becomes_a_frame_without_growing_on_the_way() {
    for (width, height) in [(1, 1), (16_384, 1), (1, 16_384), (7, 4_000), (320, 180)] {
        let upload = encoded(RgbImage::from_pixel(width, height, BLUE), ImageFormat::Png);
        let (picture, ..) = imported(&upload, MediaType::Png).await;
        assert!(picture.pixels().all(|pixel| is_near(*pixel, BLUE)), "{width}x{height}");
    }
}

#[tokio::test]
async fn transparency_lies_on_white() {
    let upload =
        RgbaImage::from_fn(320, 180, |x, _| if x < 160 { Rgba([9, 9, 9, 0]) } else { Rgba([200, 30, 20, 255]) });
    let (picture, ..) = imported(&encoded(upload, ImageFormat::Png), MediaType::Png).await;
    assert_eq!((*picture.get_pixel(5, 5), *picture.get_pixel(300, 5)), (Rgb([255, 255, 255]), RED));
}

#[tokio::test]
async fn fine_grey_and_deep_colours_are_read() {
    let grey = image::ImageBuffer::from_pixel(320, 180, image::Luma([0x8080_u16]));
    let (picture, ..) = imported(&encoded(DynamicImage::ImageLuma16(grey), ImageFormat::Png), MediaType::Png).await;
    assert_eq!(*picture.get_pixel(0, 0), Rgb([128, 128, 128]));
}

#[tokio::test]
async fn a_photograph_is_turned_upright_and_keeps_none_of_the_cameras_notes() {
    // Orientation 6: what is stored as left is up. With a maker's name, as cameras write it.
    let notes: Vec<u8> = [
        &b"Exif\0\0MM\0*\0\0\0\x08\0\x02"[..],
        b"\x01\x0f\0\x02\0\0\0\x07\0\0\0\x26",
        b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0",
        b"\0\0\0\0SECRET\0",
    ]
    .concat();
    let mut photograph = encoded(two_halves(360, 640), ImageFormat::Jpeg);
    let length = (notes.len() as u16 + 2).to_be_bytes();
    photograph.splice(2..2, [&[0xff, 0xe1], &length[..], &notes].concat());

    let (picture, png, metadata) = imported(&photograph, MediaType::Jpeg).await;
    assert!(is_near(*picture.get_pixel(160, 20), RED) && is_near(*picture.get_pixel(160, 160), BLUE));
    assert_eq!(metadata["source_size"], "640x360");
    let chunks: Vec<_> = png_chunks(&png).collect();
    assert!(chunks.iter().all(|name| [b"IHDR", b"IDAT", b"IEND"].contains(name)), "{chunks:?}");
    assert!(!png.windows(6).any(|window| window == b"SECRET"));
}

fn png_chunks(png: &[u8]) -> impl Iterator<Item = &[u8; 4]> {
    let mut at = 8;
    std::iter::from_fn(move || {
        let length = u32::from_be_bytes(*png.get(at..)?.first_chunk()?) as usize;
        let name = png.get(at + 4..)?.first_chunk()?;
        at += 12 + length;
        Some(name)
    })
}

#[tokio::test]
async fn what_is_no_picture_is_refused_in_words_about_the_upload() {
    assert!(refused(b"", MediaType::Png).await.contains("empty"));
    let svg =
        br#"<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>"#;
    let sound = [&b"RIFF\x24\x08\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0"[..], &[0; 64]].concat();
    for bytes in [svg.as_slice(), &sound, b"ID3\x04\0\0\0\0\0\0\0\0", b"GIF89a\x01\0\x01\0\0\0\0;", &[7; 5000], b"\xff"]
    {
        let reason = refused(bytes, MediaType::Png).await;
        assert!(reason.contains("not a PNG, JPEG or WebP picture"), "{reason}");
    }
}

#[tokio::test]
async fn a_picture_that_is_cut_off_is_refused_rather_than_filled_up() {
    for (format, media_type) in
        [(ImageFormat::Png, MediaType::Png), (ImageFormat::Jpeg, MediaType::Jpeg), (ImageFormat::WebP, MediaType::Webp)]
    {
        let noise = RgbImage::from_fn(200, 200, |x, y| Rgb([(x * y) as u8, (x * 7) as u8, (y * 13) as u8]));
        let whole = encoded(noise, format);
        for length in [8, 30, whole.len() / 2, whole.len() * 9 / 10] {
            let reason = refused(&whole[..length], media_type).await;
            let is_told = ["cut off", "damaged", "not a PNG"].iter().any(|words| reason.contains(words));
            assert!(is_told, "{format:?}, {length} bytes: {reason}");
        }
    }
}

#[tokio::test]
async fn a_picture_that_would_fill_the_memory_is_refused_before_it_is_decoded() {
    // A PNG of 80 000 x 80 000 black pixels, and one of a pixel over the limit, both a few bytes long.
    for (width, height) in [(80_000_u32, 80_000_u32), (8_000, 5_001), (20_000, 10)] {
        let mut header = b"IHDR".to_vec();
        header.extend([width.to_be_bytes(), height.to_be_bytes()].concat());
        header.extend([8, 2, 0, 0, 0]);
        let png = [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(&header), chunk(b"IDATx"), chunk(b"IEND")].concat();
        let reason = refused(&png, MediaType::Png).await;
        assert!(reason.contains(&format!("{width}x{height}")) && reason.contains("40000000"), "{reason}");
    }
}

#[tokio::test]
async fn the_largest_picture_that_is_allowed_is_taken() {
    let upload = encoded(RgbImage::from_pixel(8_000, 5_000, BLUE), ImageFormat::Png);
    let (picture, ..) = imported(&upload, MediaType::Png).await;
    assert!(is_near(*picture.get_pixel(160, 90), BLUE));
}

#[tokio::test]
async fn damaged_pixels_are_refused() {
    let mut png = encoded(two_halves(64, 64), ImageFormat::Png);
    let middle = png.len() / 2;
    png[middle] ^= 0x55;
    let reason = refused(&png, MediaType::Png).await;
    assert!(reason.contains("damaged PNG"), "{reason}");
}

#[tokio::test]
async fn a_clip_to_import_is_for_another_service() {
    let upload = ObjectRef { key: "upload".into(), sha256: Digest::of(b""), size: 0, media_type: MediaType::Mp3 };
    let music = messages::import::ImportMusic { upload, duration_s: 5.0 };
    let job = job(0, Work::Import(Box::new(ImportWork::Music(music))));
    let task = Task::new(job, Arc::new(Memory::default()), CancellationToken::new());
    let Err(JobError::GiveUp { reason }) = StoryboardHandler.handle(&task).await else { panic!("not ours") };
    assert!(reason.contains("`refine`"), "{reason}");
}

/// A chunk of a PNG: length, name and content, checksum.
fn chunk(named: &[u8]) -> Vec<u8> {
    let crc = !named.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1)))
    });
    [&(named.len() as u32 - 4).to_be_bytes()[..], named, &crc.to_be_bytes()].concat()
}
