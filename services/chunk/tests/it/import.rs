//! An uploaded video to a chunk: what becomes of good ones, and what is said about bad ones.

use std::num::NonZeroUsize;

use chunk::probe::{Clip, Video};
use chunk::stitch::Target;
use messages::artifact::{ArtifactKey, Made, MediaType, ObjectRef};
use messages::chunk::PlannedChunk;
use messages::import::ImportClip;
use messages::spec::Size;
use runtime::job_error::JobError;

use crate::harness::{
    SMALL, Studio, brightness, colour_frames, difference, film, frames, gray_frames, object, probed, samples, shown_at,
};

/// An upload for a chunk of two seconds that opens its film.
fn order(upload: ObjectRef) -> ImportClip {
    let chunk =
        PlannedChunk { index: 0, beat_index: 0, start_s: 0.0, duration_s: 2.0, offset_in_beat_s: 0.0, chained: false };
    ImportClip { upload, chunk, size: SMALL, fps: 30 }
}

async fn imported(studio: &Studio, upload: ObjectRef) -> Vec<Made> {
    studio.import(order(upload)).await.expect("imported")
}

/// Why an upload was refused, in words about it.
async fn refused(studio: &Studio, upload: ObjectRef) -> String {
    let outcome = studio.import(order(upload)).await;
    let Err(JobError::GiveUp { reason }) = outcome else { panic!("not refused: {outcome:?}") };
    assert!(reason.starts_with("the upload"), "{reason}");
    reason
}

#[tokio::test]
async fn an_imported_clip_looks_like_a_rendered_chunk() {
    let studio = Studio::new();
    let upload = studio.put_clip("own.mp4", "-f lavfi -i testsrc2=s=320x180:r=25:d=3 -pix_fmt yuv420p");
    let mut job = order(upload);
    job.chunk.index = 3;
    let made = studio.import(job).await.expect("imported");
    let keys: Vec<_> = made.iter().map(|made| made.key).collect();
    assert_eq!(keys, [ArtifactKey::Chunk(3), ArtifactKey::ChunkLastFrame(3)]);

    let clip = studio.file(&made, ArtifactKey::Chunk(3));
    for (entry, expected) in [
        ("codec_name", "h264"),
        ("pix_fmt", "yuv420p"),
        ("width", "160"),
        ("height", "90"),
        ("avg_frame_rate", "30/1"),
        ("color_space", "bt709"),
        ("nb_read_frames", "60"),
        ("duration", "2.000000"),
    ] {
        assert_eq!(probed(&clip, "v:0", entry), expected, "{entry}");
    }
    assert_eq!(probed(&clip, "a", "codec_name"), "", "there was no sound");
    let shown = shown_at(&clip, 30);
    assert!(shown.iter().enumerate().all(|(n, at)| (at - n as f64).abs() < 0.01), "{shown:?}");

    assert_eq!(object(&made, ArtifactKey::ChunkLastFrame(3)).media_type, MediaType::Png);
    let picture = image::open(studio.file(&made, ArtifactKey::ChunkLastFrame(3))).expect("a picture").into_rgb8();
    let frames = colour_frames(&clip);
    assert!(difference(&frames[59], picture.as_raw()) < 0.5);
    let metadata = &made[0].metadata;
    for (fact, value) in [
        ("imported", serde_json::json!(true)),
        ("frames", 60.into()),
        ("seconds", 2.0.into()),
        ("sound", false.into()),
        ("source_content_type", "video/mp4".into()),
        ("source_size", "320x180".into()),
    ] {
        assert_eq!(metadata[fact], value, "{fact}");
    }
}

#[tokio::test]
async fn every_container_and_common_codec_is_read() {
    let studio = Studio::new();
    let source = "-f lavfi -i testsrc2=s=160x90:r=24:d=2.5 -f lavfi -i sine=d=2.5";
    for (name, codecs, media_type, sound) in [
        ("a.mp4", "-c:v mpeg4 -c:a aac", MediaType::Mp4, true),
        ("a.mov", "-c:v libx264 -pix_fmt yuv422p10le -c:a pcm_s24le", MediaType::QuickTime, true),
        ("a.webm", "-c:v libvpx-vp9 -deadline realtime -c:a libopus", MediaType::Webm, true),
        ("silent.webm", "-c:v libvpx -deadline realtime -an", MediaType::Webm, false),
    ] {
        let upload = studio.put_media(name, &format!("{source} {codecs}"), media_type);
        let made = imported(&studio, upload).await;
        let clip = studio.file(&made, ArtifactKey::Chunk(0));
        assert_eq!(frames(&clip), 60, "{name}");
        assert_eq!(probed(&clip, "a:0", "codec_name"), if sound { "aac" } else { "" }, "{name}");
        assert_eq!(made[0].metadata["sound"], sound, "{name}");
    }
}

#[tokio::test]
async fn sound_is_kept_as_long_as_the_chunk_and_a_film_is_stitched_of_it() {
    let studio = Studio::new();
    // Sound that is over before the pictures are.
    let source = "-f lavfi -i testsrc2=s=160x90:r=30:d=3 -f lavfi -i sine=f=440:r=44100:d=1 -pix_fmt yuv420p";
    let made = imported(&studio, studio.put_clip("tone.mp4", source)).await;
    let clip = studio.file(&made, ArtifactKey::Chunk(0));
    let heard = samples(&clip);
    assert!(heard.len().abs_diff(96_000) <= 1024, "{}", heard.len());
    let loudest = |from: usize, to: usize| heard[from..to].iter().map(|s| s.unsigned_abs()).max();
    assert!(loudest(4_000, 44_000) > Some(2_000) && loudest(52_000, 90_000) < Some(50));

    let chunk = object(&made, ArtifactKey::Chunk(0));
    let stitched = studio.stitch(film(vec![(chunk.clone(), 2.0), (chunk, 2.0)])).await.expect("stitched");
    assert_eq!(stitched[0].metadata["sound"], true);
    assert_eq!(frames(&studio.file(&stitched, ArtifactKey::Stitched)), 120);
}

#[tokio::test]
async fn a_silent_import_is_stitched_as_it_stands() {
    let studio = Studio::new();
    let upload = studio.put_clip("own.mp4", "-f lavfi -i testsrc2=s=160x90:r=30:d=2 -pix_fmt yuv420p");
    let made = imported(&studio, upload).await;
    let chunk = object(&made, ArtifactKey::Chunk(0));
    let stitched = studio.stitch(film(vec![(chunk, 2.0)])).await.expect("stitched");
    let (before, after) = (studio.file(&made, ArtifactKey::Chunk(0)), studio.file(&stitched, ArtifactKey::Stitched));
    assert!(gray_frames(&before) == gray_frames(&after), "not one pixel changes");
}

#[tokio::test]
async fn a_clip_of_another_shape_is_padded_and_one_filmed_upright_stands_upright() {
    let studio = Studio::new();
    let tall = studio.put_clip("tall.mp4", "-f lavfi -i color=white:s=90x160:r=30:d=2 -pix_fmt yuv420p");
    // As telephones do it: stored lying, with a note to turn it.
    let lying = studio.folder().join("lying.mp4");
    let made = std::process::Command::new("ffmpeg")
        .args("-v error -y -f lavfi -i color=white:s=160x90:r=30:d=2 -pix_fmt yuv420p".split(' '))
        .arg(&lying)
        .status();
    assert!(made.expect("ffmpeg starts").success());
    let turned = studio.put_clip("turned.mp4", &format!("-i {} -c copy -metadata:s:v:0 rotate=90", lying.display()));
    for upload in [tall, turned] {
        let made = imported(&studio, upload).await;
        let frame = &gray_frames(&studio.file(&made, ArtifactKey::Chunk(0)))[30];
        let row = &frame[160 * 45..160 * 46];
        assert!(row[2] < 4 && row[157] < 4 && row[80] > 240, "{row:?}");
        assert!((60.0..100.0).contains(&brightness(frame)), "a third of it is white");
    }
}

#[tokio::test]
async fn a_longer_clip_is_cut_and_a_shorter_one_is_refused_with_both_lengths() {
    let studio = Studio::new();
    let clip = |name: &str, seconds: f64, fps: u32| {
        studio.put_clip(name, &format!("-f lavfi -i testsrc2=s=160x90:r={fps}:d={seconds} -pix_fmt yuv420p"))
    };
    for (name, seconds, fps) in [
        ("long.mp4", 9.0, 30),
        ("exact.mp4", 2.0, 30),
        ("slow.mp4", 2.0, 12),
        ("short-by-a-frame.mp4", 59.0 / 30.0, 30),
    ] {
        let made = imported(&studio, clip(name, seconds, fps)).await;
        let file = studio.file(&made, ArtifactKey::Chunk(0));
        assert_eq!((frames(&file), probed(&file, "v:0", "duration").as_str()), (60, "2.000000"), "{name}");
    }
    let reason = refused(&studio, clip("short.mp4", 1.5, 30)).await;
    assert!(reason.contains("1.5 s") && reason.contains("2 s"), "{reason}");
    let reason = refused(&studio, clip("short-by-two.mp4", 58.0 / 30.0, 30)).await;
    assert!(reason.contains("1.93 s") && reason.contains("2 s"), "{reason}");
}

#[tokio::test]
async fn an_import_has_exactly_the_frames_of_its_place() {
    let studio = Studio::new();
    let upload = studio.put_clip("own.mp4", "-f lavfi -i testsrc2=s=160x90:r=30:d=3 -pix_fmt yuv420p");
    let mut total = 0;
    for (start_s, duration_s) in [(0.0, 2.34), (2.34, 2.34), (4.68, 0.32)] {
        let mut job = ImportClip { fps: 24, ..order(upload.clone()) };
        (job.chunk.start_s, job.chunk.duration_s) = (start_s, duration_s);
        let made = studio.import(job).await.expect("imported");
        total += frames(&studio.file(&made, ArtifactKey::Chunk(0)));
    }
    assert_eq!(total, 120);
}

#[tokio::test]
async fn the_same_upload_gives_the_same_bytes_and_nothing_it_said_about_itself() {
    let studio = Studio::new();
    let source = "-f lavfi -i testsrc2=s=160x90:r=30:d=2 -f lavfi -i sine=d=2 -pix_fmt yuv420p -metadata title=SECRET";
    let upload = studio.put_clip("own.mp4", source);
    let first = imported(&studio, upload.clone()).await;
    assert_eq!(first, imported(&studio, upload).await);
    let bytes = std::fs::read(studio.file(&first, ArtifactKey::Chunk(0))).expect("a clip");
    assert!(!bytes.windows(6).any(|window| window == b"SECRET"));
}

#[tokio::test]
async fn what_is_no_video_is_refused_in_words_about_the_upload() {
    let studio = Studio::new();
    let png = studio.put_media("p.png", "-f lavfi -i testsrc2=s=160x90 -frames:v 1 -c:v png", MediaType::Mp4);
    let sound = studio.put_clip("sound.mp4", "-f lavfi -i sine=d=3");
    let mp3 = studio.put_media("sound.mp3", "-f lavfi -i sine=d=3", MediaType::Webm);
    let cover = "-f lavfi -i sine=d=3 -f lavfi -i color=red:s=64x64:r=25:d=0.04 -map 0 -map 1 -c:v mjpeg \
                 -disposition:v attached_pic";
    let song = studio.put_media("song.m4a", cover, MediaType::Mp4);
    let noise = studio.put("noise.webm", vec![9; 20_000], MediaType::Webm);
    let empty = studio.put("empty.mp4", Vec::new(), MediaType::Mp4);
    let webm = studio.put_media(
        "real.webm",
        "-f lavfi -i testsrc2=s=160x90:d=3 -c:v libvpx -deadline realtime",
        MediaType::Mp4,
    );
    for (upload, words) in [
        (png, "cannot be used as a clip"),
        (sound, "no picture"),
        (mp3, "cannot be used as a clip"),
        (song, "no picture"),
        (noise, "cannot be used as a clip"),
        (empty, "cannot be used as a clip"),
        (webm, "cannot be used as a clip"),
    ] {
        let reason = refused(&studio, upload).await;
        assert!(reason.contains(words), "{reason}");
    }
    let picture = studio.put("picture", vec![1], MediaType::Png);
    assert!(refused(&studio, picture).await.contains("image/png, not a video"));
}

#[tokio::test]
async fn a_playlist_that_says_it_is_a_video_opens_nothing() {
    let studio = Studio::new();
    let good = studio.folder().join("secret.ts");
    let made = std::process::Command::new("ffmpeg")
        .args("-v error -y -f lavfi -i testsrc2=s=160x90:r=30:d=3 -pix_fmt yuv420p".split(' '))
        .arg(&good)
        .status();
    assert!(made.expect("ffmpeg starts").success());
    let playlist = format!("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfile://{}\n", good.display());
    let concat = format!("ffconcat version 1.0\nfile {}\n", good.display());
    for (text, media_type) in
        [(&playlist, MediaType::Mp4), (&playlist, MediaType::Webm), (&concat, MediaType::QuickTime)]
    {
        let reason = refused(&studio, studio.put("list", text.clone().into_bytes(), media_type)).await;
        assert!(reason.contains("cannot be used as a clip"), "{reason}");
    }
}

#[tokio::test]
async fn a_video_that_breaks_off_is_refused() {
    let studio = Studio::new();
    for (name, codec, media_type) in [
        ("whole.mp4", "-pix_fmt yuv420p -movflags +faststart", MediaType::Mp4),
        ("whole.webm", "-c:v libvpx -deadline realtime", MediaType::Webm),
    ] {
        let whole = studio.put_media(name, &format!("-f lavfi -i testsrc2=s=320x180:r=30:d=2 {codec}"), media_type);
        let bytes = runtime::artifacts::ObjectStore::get(&*studio.store, &whole.key).await.expect("read");
        let bytes = bytes.expect("there");
        let half = studio.put("half", bytes[..bytes.len() / 2].to_vec(), media_type);
        refused(&studio, half).await;
    }
}

#[tokio::test]
async fn frames_that_are_too_large_are_refused_before_they_are_decoded() {
    let studio = Studio::new();
    let huge = "-f lavfi -i color=black:s=6000x4000:r=1:d=2 -c:v libx264 -preset ultrafast -pix_fmt yuv420p";
    let reason = refused(&studio, studio.put_clip("huge.mp4", huge)).await;
    assert!(reason.contains("6000x4000") && reason.contains("4096x2304"), "{reason}");
}

#[tokio::test]
async fn pixels_that_make_a_small_video_a_wide_one_are_refused_and_modest_ones_are_straightened() {
    let studio = Studio::new();
    let clip = |name: &str, shape: &str| {
        let source = "-f lavfi -i testsrc2=s=640x360:r=30:d=2 -pix_fmt yuv420p";
        studio.put_clip(name, &format!("{source} -vf setsar={shape}:max=1000"))
    };
    // 640x360 pixels as wide as that need gigabytes once they are square; those that stand do when the video is turned.
    for (name, shape) in [("wide.mp4", "200/1"), ("narrow.mp4", "1/200")] {
        let reason = refused(&studio, clip(name, shape)).await;
        assert!(reason.contains(&shape.replace('/', ":")) && reason.contains("square pixels"), "{reason}");
    }
    imported(&studio, clip("anamorphic.mp4", "4/3")).await;
}

#[test]
fn pixels_that_grow_wide_in_the_middle_of_a_video_are_not_believed() {
    let studio = Studio::new();
    let video = Video {
        codec: "h264".to_owned(),
        pixel_format: "yuv420p".to_owned(),
        size: Size { width: 640, height: 360 },
        pixel: (1, 1),
        fps: Some(30),
        frames: Some(3),
        names_colours: false,
        parameters: None,
    };
    let clip = Clip { video, has_sound: false, streams: 1 };
    let target = Target { size: SMALL, fps: 30, threads: NonZeroUsize::MIN, parameters: None };
    // What comes is not what was probed.
    let filters = format!("setsar=200/1:max=1000,{}", target.fit(&clip));
    studio.put_clip("wide.mp4", &format!("-f lavfi -i testsrc2=s=640x360:r=30:d=0.1 -vf {filters}"));
}

#[tokio::test]
async fn an_impossible_place_or_size_is_given_up() {
    let studio = Studio::new();
    let upload = studio.put_clip("own.mp4", "-f lavfi -i testsrc2=s=160x90:r=30:d=2 -pix_fmt yuv420p");
    let (mut odd, mut empty) = (order(upload.clone()), order(upload));
    odd.size = Size { width: 161, height: 90 };
    empty.chunk.duration_s = 0.0;
    for (job, word) in [(odd, "161x90"), (empty, "0 s")] {
        let Err(JobError::GiveUp { reason }) = studio.import(job).await else { panic!("{word} is impossible") };
        assert!(reason.contains(word), "{reason}");
    }
}
