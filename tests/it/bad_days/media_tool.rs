//! ffmpeg is away or out of order: the phase fails with the reason, and `retry` finishes the film.

use serde_json::{Value, json};

use super::smallest_film_unattended;
use super::stand_in::StandIn;
use crate::harness::{FILM, System, text, until};

#[tokio::test]
async fn without_ffmpeg_chunks_fail_with_the_reason_and_a_retry_after_the_next_start_finishes() {
    let ffmpeg = StandIn::new();
    let mut system = System::start_with(ffmpeg.setup()).await;
    ffmpeg.take_away();
    let video = system.create(&smallest_film_unattended()).await;
    let failed = failed(&system, &video).await;
    let reason = text(&failed["error"]);
    assert!(reason.contains("chunk_0") && reason.contains("ffmpeg") && reason.contains("not found"), "{reason}");
    assert_eq!(failed["progress"], 50.0, "{failed}");

    system.stop().await;
    ffmpeg.bring_back();
    system.up().await;
    retried(&system, &video).await;
    system.wait_for(&video, "complete").await;
}

#[tokio::test]
async fn a_failing_ffmpeg_is_quoted_and_a_retry_finishes() {
    let ffmpeg = StandIn::new();
    let system = System::start_with(ffmpeg.setup()).await;
    ffmpeg.break_down();
    let video = system.create(&smallest_film_unattended()).await;
    let failed = failed(&system, &video).await;
    let reason = text(&failed["error"]);
    assert!(reason.contains("ffmpeg") && reason.contains("the stand-in is out of order"), "{reason}");

    ffmpeg.repair();
    retried(&system, &video).await;
    system.wait_for(&video, "complete").await;
}

/// Waits until the video has failed, and gives where it stands.
pub async fn failed(system: &System, video: &str) -> Value {
    // A job that fails in passing is tried again after 2, 8, 30 and 60 s before its phase gives up.
    until("the video fails", 2 * FILM, async || {
        let status = system.status(video).await;
        assert_ne!(status["status"], "complete", "{status}");
        (status["status"] == "failed").then_some(status)
    })
    .await
}

/// Asks for another try of what failed.
pub async fn retried(system: &System, video: &str) {
    let (status, answer) = system.post(&format!("/api/video/{video}/retry"), &json!({})).await;
    assert_eq!(status, 200, "{answer}");
}
