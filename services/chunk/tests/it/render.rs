//! One chunk, from the job to the stored clip.

use messages::artifact::{ArtifactKey, MediaType};
use messages::chunk::ChunkWork;
use messages::spec::Size;
use runtime::job_error::JobError;

use crate::harness::{
    SMALL, Studio, colour_frames, difference, frames, gray_frames, model, object, probed, render_job, shown_at,
};
use runtime::worker::Handler as _;

#[tokio::test]
async fn a_rendered_chunk_is_a_clip_as_promised() {
    let studio = Studio::new();
    let job = render_job("slow_dolly_in", 5, studio.put_picture(SMALL));
    let made = studio.render(job).await.expect("rendered");

    let keys: Vec<_> = made.iter().map(|made| made.key).collect();
    assert_eq!(keys, [ArtifactKey::Chunk(0), ArtifactKey::ChunkLastFrame(0)]);
    let clip = studio.file(&made, ArtifactKey::Chunk(0));
    for (entry, expected) in [
        ("codec_name", "h264"),
        ("pix_fmt", "yuv420p"),
        ("width", "160"),
        ("height", "90"),
        ("avg_frame_rate", "30/1"),
        ("color_space", "bt709"),
        ("nb_read_frames", "150"),
        ("duration", "5.000000"),
    ] {
        assert_eq!(probed(&clip, "v:0", entry), expected, "{entry}");
    }
    assert_eq!(probed(&clip, "a", "codec_name"), "", "an animatic is silent");
    assert_eq!(made[0].metadata["frames"], 150);
    assert_eq!(made[0].metadata["seconds"], 5.0);
    assert_eq!(made[0].metadata["model"], "some_model");
    assert_eq!(made[0].metadata["seed"], 7);
}

#[tokio::test]
async fn a_clip_can_be_played_before_it_has_come_whole() {
    let studio = Studio::new();
    let made = studio.render(render_job("push_in", 5, studio.put_picture(SMALL))).await.expect("rendered");
    let bytes = std::fs::read(studio.file(&made, ArtifactKey::Chunk(0))).expect("a clip");
    let at = |name: &[u8]| bytes.windows(4).position(|window| window == name).expect("in every MP4");
    assert!(at(b"moov") < at(b"mdat"));
}

#[tokio::test]
async fn the_last_frame_is_the_clips_very_last_one() {
    let studio = Studio::new();
    for fps in [24, 25, 30] {
        let mut job = render_job("tracking_shot", 5, studio.put_picture(SMALL));
        (job.fps, job.chunk.duration_s) = (fps, 1.0);
        let made = studio.render(job).await.expect("rendered");
        assert_eq!(object(&made, ArtifactKey::ChunkLastFrame(0)).media_type, MediaType::Png);
        let picture = image::open(studio.file(&made, ArtifactKey::ChunkLastFrame(0))).expect("a picture").into_rgb8();
        assert_eq!(picture.dimensions(), (160, 90));
        let shown = colour_frames(&studio.file(&made, ArtifactKey::Chunk(0)));
        let from_last = |n: usize| difference(&shown[shown.len() - 1 - n], picture.as_raw());
        assert!(from_last(0) < 0.5 && from_last(0) < from_last(1) / 2.0, "{fps}: {} {}", from_last(0), from_last(1));
    }
}

#[tokio::test]
async fn frames_add_up_over_the_chunks_of_a_beat_at_every_rate() {
    let studio = Studio::new();
    let picture = studio.put_picture(SMALL);
    for fps in [24, 25, 30] {
        let mut total = 0;
        for (start_s, duration_s) in [(0.0, 2.34), (2.34, 2.34), (4.68, 0.32)] {
            let mut job = render_job("slow_pan", 5, picture.clone());
            job.fps = fps;
            (job.chunk.start_s, job.chunk.offset_in_beat_s, job.chunk.duration_s) = (start_s, start_s, duration_s);
            job.chunk.chained = start_s > 0.0;
            let made = studio.render(job).await.expect("rendered");
            let clip = studio.file(&made, ArtifactKey::Chunk(0));
            let shown = shown_at(&clip, fps);
            assert!(shown.iter().enumerate().all(|(n, at)| (at - n as f64).abs() < 0.01), "{shown:?}");
            total += frames(&clip);
        }
        assert_eq!(total, 5 * fps);
    }
}

#[tokio::test]
async fn the_same_job_gives_the_same_bytes_and_another_seed_others() {
    let studio = Studio::new();
    let job = render_job("handheld_follow", 5, studio.put_picture(SMALL));
    let first = studio.render(job.clone()).await.expect("rendered");
    let second = studio.render(job.clone()).await.expect("rendered");
    let other = studio.render(messages::chunk::RenderChunk { seed: 8, ..job }).await.expect("rendered");
    for key in [ArtifactKey::Chunk(0), ArtifactKey::ChunkLastFrame(0)] {
        assert_eq!(object(&first, key), object(&second, key));
        assert_ne!(object(&first, key).sha256, object(&other, key).sha256);
    }
}

#[tokio::test]
async fn a_start_image_of_another_shape_covers_the_frame() {
    let studio = Studio::new();
    for size in [Size { width: 90, height: 160 }, Size { width: 333, height: 77 }] {
        let job = render_job("static", 5, studio.put_picture(size));
        let made = studio.render(job).await.expect("rendered");
        let clip = studio.file(&made, ArtifactKey::Chunk(0));
        assert_eq!((probed(&clip, "v:0", "width"), probed(&clip, "v:0", "height")), ("160".into(), "90".into()));
        let shown = gray_frames(&clip);
        // A border would be black; the card is nowhere darker than this.
        assert!(shown[0].iter().all(|value| *value > 25), "{size}");
    }
}

#[tokio::test]
async fn the_prompt_is_the_beats_own_and_says_how_the_chunk_goes_on() {
    let studio = Studio::new();
    let mut job = render_job("slow_orbit", 10, studio.put_picture(SMALL));
    job.chunk.duration_s = 5.0;
    let first = studio.render(job.clone()).await.expect("rendered");
    (job.chunk.start_s, job.chunk.offset_in_beat_s, job.chunk.chained) = (5.0, 5.0, true);
    let second = studio.render(job).await.expect("rendered");
    let [first, second] = [first, second].map(|made| made[0].metadata["prompt"].as_str().expect("words").to_owned());
    for prompt in [&first, &second] {
        assert!(prompt.starts_with("A watch rests on dark stone. close up shot, camera: slow orbit."), "{prompt}");
        assert!(prompt.contains("#102030, #405060, #f0e0d0") && prompt.contains("soft window light"), "{prompt}");
    }
    assert!(first.contains("starts exactly on the start frame") && !first.contains("continues"), "{first}");
    assert!(second.contains("continues the same take"), "{second}");
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_is_refused_by_name() {
    let studio = Studio::new();
    let mut job = render_job("static", 5, studio.put_picture(SMALL));
    job.model = model("replicate");
    let Err(JobError::GiveUp { reason }) = studio.render(job).await else { panic!("it is no local model") };
    assert!(reason.contains("`replicate`") && reason.contains("`some_model`"), "{reason}");
}

#[tokio::test]
async fn a_start_image_that_is_no_picture_is_refused_with_a_reason() {
    let studio = Studio::new();
    let noise = studio.put("noise.png", vec![7; 5000], MediaType::Png);
    let Err(JobError::GiveUp { reason }) = studio.render(render_job("static", 5, noise)).await else {
        panic!("noise is no picture")
    };
    assert!(reason.contains("start image"), "{reason}");
}

#[tokio::test]
async fn an_impossible_size_or_place_is_refused_with_a_reason() {
    let studio = Studio::new();
    let good = render_job("static", 5, studio.put_picture(SMALL));
    let (mut odd, mut late, mut fast) = (good.clone(), good.clone(), good);
    odd.size = Size { width: 161, height: 90 };
    late.chunk.duration_s = 9.0;
    fast.fps = 100_000;
    for (job, word) in [(odd, "161x90"), (late, "9 s"), (fast, "100000")] {
        let Err(JobError::GiveUp { reason }) = studio.render(job).await else { panic!("{word} is impossible") };
        assert!(reason.contains(word), "{reason}");
    }
}

#[tokio::test]
async fn a_missing_media_tool_is_named() {
    let mut studio = Studio::new();
    studio.tool.ffmpeg = "no-such-ffmpeg".into();
    let job = render_job("static", 5, studio.put_picture(SMALL));
    let Err(JobError::GiveUp { reason }) = studio.render(job).await else { panic!("there is no such tool") };
    assert!(reason.contains("no-such-ffmpeg") && reason.contains("install ffmpeg"), "{reason}");
}

#[tokio::test]
async fn a_cancelled_render_stops_half_way() {
    let studio = Studio::new();
    let mut job = render_job("slow_orbit", 15, studio.put_picture(SMALL));
    job.size = Size { width: 1920, height: 1080 };
    let task = studio.task(ChunkWork::Render(job));
    let mut progress = task.watch_progress();
    let handler = studio.handler();
    let stopping = async {
        progress.wait_for(|fraction| *fraction > 0.01).await.expect("it works");
        studio.cancelled.cancel();
    };
    let (outcome, ()) = tokio::join!(handler.handle(&task), stopping);
    assert!(matches!(outcome, Err(JobError::Cancelled)), "{outcome:?}");
    let reached = *task.watch_progress().borrow();
    assert!(reached < 0.5, "it went on to {reached}");
}
