//! Chunks to film: length, picture, sound and transitions.

use messages::artifact::{ArtifactKey, MediaType, ObjectRef};
use messages::chunk::StitchFilm;
use messages::spec::{Transition, TransitionKind};
use runtime::job_error::JobError;

use crate::harness::{
    SMALL, Studio, brightness, difference, film, frames, gray_frames, object, probed, render_job, samples, shown_at,
};

/// A local chunk of so many seconds, rendered as the service does.
async fn chunk(studio: &Studio, movement: &str, start_s: f64, duration_s: f64) -> ObjectRef {
    let mut job = render_job(movement, 15, studio.put_picture(SMALL));
    (job.chunk.start_s, job.chunk.offset_in_beat_s, job.chunk.duration_s) = (start_s, 0.0, duration_s);
    let made = studio.render(job).await.expect("rendered");
    object(&made, ArtifactKey::Chunk(0))
}

/// A clip of one shade of grey, as our encoder writes it or as somebody else might.
fn gray(studio: &Studio, shade: u8, seconds: f64) -> ObjectRef {
    studio.put_clip(
        &format!("gray-{shade}-{seconds}.mp4"),
        &format!("-f lavfi -i color=0x{shade:02x}{shade:02x}{shade:02x}:s=160x90:r=30:d={seconds} -pix_fmt yuv420p"),
    )
}

fn transition(after_beat: u32, kind: TransitionKind, duration: f64) -> Transition {
    Transition { after_beat, kind, duration }
}

async fn stitched(studio: &Studio, film: StitchFilm) -> std::path::PathBuf {
    let made = studio.stitch(film).await.expect("stitched");
    assert_eq!(made.len(), 1);
    studio.file(&made, ArtifactKey::Stitched)
}

#[tokio::test]
async fn chunks_that_fit_are_joined_as_they_are_and_the_length_is_exact() {
    let studio = Studio::new();
    let mut chunks = Vec::new();
    let mut expected = Vec::new();
    let mut start_s = 0.0;
    for (movement, seconds) in [("slow_pan", 6.0), ("slow_pan", 4.0), ("push_in", 5.0)] {
        let object = chunk(&studio, movement, start_s, seconds).await;
        let clip = studio.folder().join("one.mp4");
        let bytes =
            runtime::artifacts::ObjectStore::get(&*studio.store, &object.key).await.expect("read").expect("there");
        std::fs::write(&clip, bytes).expect("written");
        expected.extend(gray_frames(&clip));
        chunks.push((object, seconds));
        start_s += seconds;
    }
    let file = stitched(&studio, film(chunks)).await;
    assert!(gray_frames(&file) == expected, "not one pixel changes");
    let shown = shown_at(&file, 30);
    assert_eq!(shown.len(), 450);
    assert!(shown.iter().enumerate().all(|(n, at)| (at - n as f64).abs() < 0.01), "{shown:?}");
    assert_eq!(probed(&file, "v:0", "duration"), "15.000000");
    assert_eq!(probed(&file, "a", "codec_name"), "");
    let bytes = std::fs::read(&file).expect("a film");
    let at = |name: &[u8]| bytes.windows(4).position(|window| window == name).expect("in every MP4");
    assert!(at(b"moov") < at(b"mdat"));
}

#[tokio::test]
async fn no_transition_changes_the_length() {
    let studio = Studio::new();
    let shots = [gray(&studio, 0x30, 2.0), gray(&studio, 0xc0, 2.0), gray(&studio, 0x70, 2.0)];
    for kind in [TransitionKind::Cut, TransitionKind::Fade, TransitionKind::Crossfade] {
        for duration in [0.1, 0.5, 2.0] {
            let mut film = film(shots.iter().cloned().map(|shot| (shot, 2.0)).collect());
            film.transitions = vec![transition(0, kind, duration), transition(1, kind, duration)];
            let file = stitched(&studio, film).await;
            assert_eq!(frames(&file), 180, "{kind:?} {duration}");
            assert_eq!(probed(&file, "v:0", "duration"), "6.000000", "{kind:?} {duration}");
        }
    }
}

#[tokio::test]
async fn a_cut_goes_from_one_frame_to_the_next() {
    let studio = Studio::new();
    let mut film = film(vec![(gray(&studio, 0x30, 2.0), 2.0), (gray(&studio, 0xc0, 2.0), 2.0)]);
    film.transitions = vec![transition(0, TransitionKind::Cut, 1.0)];
    let levels = levels(&stitched(&studio, film).await);
    assert!(levels[..60].iter().all(|level| (level - levels[0]).abs() < 2.0));
    assert!(levels[60..].iter().all(|level| (level - levels[119]).abs() < 2.0));
    assert!(levels[119] - levels[0] > 100.0);
}

#[tokio::test]
async fn a_fade_goes_through_black_at_the_join() {
    let studio = Studio::new();
    let mut film = film(vec![(gray(&studio, 0x80, 2.0), 2.0), (gray(&studio, 0xc0, 2.0), 2.0)]);
    film.transitions = vec![transition(0, TransitionKind::Fade, 1.0)];
    let levels = levels(&stitched(&studio, film).await);
    let (dark, plain) = (levels[59].min(levels[60]), (levels[0], levels[119]));
    assert!(dark < 10.0, "{dark}");
    assert!((levels[44] - plain.0).abs() < 3.0 && (levels[76] - plain.1).abs() < 3.0);
    assert!(levels[45..60].windows(2).all(|pair| pair[1] < pair[0] + 0.5), "darker and darker: {levels:?}");
    assert!(levels[60..75].windows(2).all(|pair| pair[1] > pair[0] - 0.5), "brighter and brighter: {levels:?}");
}

#[tokio::test]
async fn a_crossfade_passes_evenly_from_one_beat_into_the_next() {
    let studio = Studio::new();
    let shots = [0x40, 0xc0, 0x60].map(|shade| (gray(&studio, shade, 2.0), 2.0));
    let mut film = film(shots.to_vec());
    film.transitions =
        vec![transition(0, TransitionKind::Crossfade, 1.0), transition(1, TransitionKind::Crossfade, 0.8)];
    let levels = levels(&stitched(&studio, film).await);
    assert_eq!(levels.len(), 180);
    let (first, second, third) = (levels[0], levels[90], levels[179]);
    assert!(levels.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 8.0), "{levels:?}");
    assert!((levels[60] - (first + second) / 2.0).abs() < 6.0, "{levels:?}");
    assert!((levels[120] - (second + third) / 2.0).abs() < 6.0, "{levels:?}");
    assert!((levels[44] - first).abs() < 3.0 && (levels[76] - second).abs() < 3.0, "{levels:?}");
    assert!((levels[107] - second).abs() < 3.0 && (levels[133] - third).abs() < 3.0, "{levels:?}");
}

#[tokio::test]
async fn a_crossfade_moves_between_moving_beats_without_a_jump() {
    let studio = Studio::new();
    let chunks = vec![
        (chunk(&studio, "slow_pan", 0.0, 3.0).await, 3.0),
        (chunk(&studio, "crane_up", 3.0, 3.0).await, 3.0),
        (chunk(&studio, "tracking_shot", 6.0, 3.0).await, 3.0),
    ];
    let mut film = film(chunks);
    film.transitions =
        vec![transition(0, TransitionKind::Crossfade, 1.2), transition(1, TransitionKind::Crossfade, 0.8)];
    let shown = gray_frames(&stitched(&studio, film).await);
    assert_eq!(shown.len(), 270);
    let steps: Vec<_> = shown.windows(2).map(|pair| difference(&pair[0], &pair[1])).collect();
    // A key frame may sharpen a small picture by a level or two.
    assert!(steps.iter().all(|step| *step < 6.0), "{steps:?}");
}

#[tokio::test]
async fn chunks_of_one_beat_are_cut_whatever_the_transition_after_it() {
    let studio = Studio::new();
    let mut film = film(vec![(gray(&studio, 0x80, 2.0), 2.0), (gray(&studio, 0xc0, 2.0), 2.0)]);
    film.chunks[1].beat_index = 0;
    film.transitions = vec![transition(0, TransitionKind::Fade, 1.0)];
    let levels = levels(&stitched(&studio, film).await);
    assert!((levels[59] - levels[0]).abs() < 3.0 && (levels[60] - levels[119]).abs() < 3.0);
}

#[tokio::test]
async fn clips_of_any_size_rate_and_length_become_the_film() {
    let studio = Studio::new();
    let clips = [
        ("wide.mp4", "-f lavfi -i testsrc2=s=321x91:r=25:d=3 -pix_fmt yuv444p", 2.0),
        ("tall.mp4", "-f lavfi -i testsrc2=s=90x160:r=24:d=1 -pix_fmt yuv420p", 2.5),
        ("slow.mp4", "-f lavfi -i testsrc2=s=640x360:r=30000/1001:d=5 -pix_fmt yuv420p -c:v mpeg4", 1.37),
    ];
    let chunks = clips.map(|(name, arguments, seconds)| (studio.put_clip(name, arguments), seconds)).to_vec();
    for fps in [24, 25, 30] {
        let film = StitchFilm { fps, ..film(chunks.clone()) };
        let file = stitched(&studio, film).await;
        assert_eq!(frames(&file), (5.87 * f64::from(fps)).round() as u32);
        assert_eq!(probed(&file, "v:0", "avg_frame_rate"), format!("{fps}/1"));
        assert_eq!(probed(&file, "v:0", "pix_fmt"), "yuv420p");
        assert_eq!((probed(&file, "v:0", "width"), probed(&file, "v:0", "height")), ("160".into(), "90".into()));
        let shown = gray_frames(&file);
        let (wide, tall) = (&shown[0], &shown[2 * fps as usize + 4]);
        assert!(
            brightness(&wide[..160 * 15]) < 3.0 && brightness(&wide[160 * 30..160 * 60]) > 40.0,
            "bars above a wide clip"
        );
        assert!(tall[160 * 45] < 4 && tall[160 * 45 + 159] < 4 && tall[160 * 45 + 80] > 4, "bars beside a tall clip");
    }
}

#[tokio::test]
async fn silence_fills_chunks_without_sound() {
    let studio = Studio::new();
    let tone = |name: &str, seconds: f64| {
        studio.put_clip(
            name,
            &format!(
                "-f lavfi -i color=gray:s=160x90:r=30:d={seconds} -f lavfi -i sine=f=440:r=44100:d={seconds} -pix_fmt yuv420p"
            ),
        )
    };
    let chunks = vec![
        (gray(&studio, 0x30, 2.0), 2.0),
        (tone("long.mp4", 3.0), 2.0),
        (gray(&studio, 0x50, 1.5), 1.5),
        (tone("short.mp4", 1.0), 2.0),
    ];
    let made = studio.stitch(film(chunks)).await.expect("stitched");
    assert_eq!(made[0].metadata["sound"], true);
    let file = studio.file(&made, ArtifactKey::Stitched);
    assert_eq!(probed(&file, "a:0", "codec_name"), "aac");
    assert_eq!(frames(&file), 225);
    let samples = samples(&file);
    assert!(samples.len().abs_diff(360_000) <= 1024, "{}", samples.len());
    let loud = |from_s: f64, to_s: f64| {
        let part = &samples[(from_s * 48_000.0) as usize..(to_s * 48_000.0) as usize];
        (part.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / part.len() as f64).sqrt()
    };
    for (from_s, to_s, sounds) in
        [(0.0, 1.95, false), (2.05, 3.95, true), (4.05, 5.45, false), (5.55, 6.45, true), (6.55, 7.45, false)]
    {
        assert_eq!(loud(from_s, to_s) > 500.0, sounds, "{from_s} to {to_s} s: {}", loud(from_s, to_s));
    }
}

#[tokio::test]
async fn a_film_of_many_chunks_is_joined_exactly() {
    let studio = Studio::new();
    let object = chunk(&studio, "slow_pan", 0.0, 0.5).await;
    let mut film = film(vec![(object, 0.5); 108]);
    film.transitions = vec![transition(50, TransitionKind::Crossfade, 0.3), transition(70, TransitionKind::Fade, 0.3)];
    let made = studio.stitch(film).await.expect("stitched");
    assert_eq!(made[0].metadata["frames"], 108 * 15);
    let shown = shown_at(&studio.file(&made, ArtifactKey::Stitched), 30);
    assert!(shown.iter().enumerate().all(|(n, at)| (at - n as f64).abs() < 0.01), "every frame in its place");
}

#[tokio::test]
async fn the_same_film_is_stitched_to_the_same_bytes() {
    let studio = Studio::new();
    let mut film = film(vec![(gray(&studio, 0x30, 2.0), 2.0), (gray(&studio, 0xc0, 2.0), 2.0)]);
    film.transitions = vec![transition(0, TransitionKind::Crossfade, 1.0)];
    let first = studio.stitch(film.clone()).await.expect("stitched");
    let second = studio.stitch(film).await.expect("stitched");
    assert_eq!(first, second);
}

#[tokio::test]
async fn a_file_that_is_no_clip_is_named_with_a_reason() {
    let studio = Studio::new();
    let good = gray(&studio, 0x30, 2.0);
    let noise = studio.put("noise.mp4", vec![9; 20_000], MediaType::Mp4);
    // What other demuxers would follow to other files.
    let list = studio.put("list.mp4", b"#EXTM3U\n#EXTINF:1,\nsecret.ts\n".to_vec(), MediaType::Mp4);
    let sound = studio.put_clip("sound.mp4", "-f lavfi -i sine=d=2");
    for bad in [noise, list, sound] {
        let outcome = studio.stitch(film(vec![(good.clone(), 2.0), (bad, 2.0)])).await;
        let Err(JobError::GiveUp { reason }) = outcome else { panic!("no clip: {outcome:?}") };
        assert!(reason.starts_with("chunk 1"), "{reason}");
    }
}

#[tokio::test]
async fn a_clip_that_breaks_off_is_refused_rather_than_held() {
    let studio = Studio::new();
    let whole =
        studio.put_clip("whole.mp4", "-f lavfi -i testsrc2=s=320x180:r=30:d=4 -pix_fmt yuv420p -movflags +faststart");
    let bytes = runtime::artifacts::ObjectStore::get(&*studio.store, &whole.key).await.expect("read").expect("there");
    let broken = studio.put("broken.mp4", bytes[..bytes.len() / 2].to_vec(), MediaType::Mp4);
    let outcome = studio.stitch(film(vec![(broken, 4.0)])).await;
    let Err(JobError::GiveUp { reason }) = outcome else { panic!("half a clip: {outcome:?}") };
    assert!(reason.starts_with("chunk 0"), "{reason}");
}

#[tokio::test]
async fn chunks_that_do_not_make_up_the_film_are_refused() {
    let studio = Studio::new();
    let shot = gray(&studio, 0x30, 2.0);
    let short = StitchFilm { duration_s: 5.0, ..film(vec![(shot, 2.0)]) };
    for (film, word) in [(short, "60 frames"), (film(Vec::new()), "without chunks")] {
        let Err(JobError::GiveUp { reason }) = studio.stitch(film).await else { panic!("{word}") };
        assert!(reason.contains(word), "{reason}");
    }
}

#[tokio::test]
async fn a_cancelled_stitch_stops() {
    let studio = Studio::new();
    studio.cancelled.cancel();
    let outcome = studio.stitch(film(vec![(gray(&studio, 0x30, 2.0), 2.0)])).await;
    assert!(matches!(outcome, Err(JobError::Cancelled)), "{outcome:?}");
}

fn levels(file: &std::path::Path) -> Vec<f64> {
    gray_frames(file).iter().map(|frame| brightness(frame)).collect()
}
