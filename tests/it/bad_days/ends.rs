//! `dailies up` ends, asked or not, at the worst moments; the next one goes on where it was.

use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream;
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::stand_in::StandIn;
use super::{assert_gone, assert_made_once, assert_told_once, smallest_film};
use crate::harness::{SOON, Setup, System, text, until};

/// The longest that Ctrl-C may take: jobs get 5 s to finish and 5 s to stop.
const STOP: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_film_goes_on_after_kill_9_in_every_phase() {
    ended_in_every_phase(async |system| system.kill()).await;
}

#[tokio::test]
async fn a_film_goes_on_after_ctrl_c_in_every_phase() {
    ended_in_every_phase(async |system| {
        let asked = Instant::now();
        let status = system.stop().await;
        assert!(status.success(), "{status}");
        assert!(asked.elapsed() < STOP, "it took {:?}", asked.elapsed());
    })
    .await;
}

/// Ends the system in each of the phases in the middle of a job.
async fn ended_in_every_phase(end: impl AsyncFn(&mut System)) {
    let ffmpeg = StandIn::new();
    let mut system = System::start_with(ffmpeg.setup()).await;
    let end_and_start = async |system: &mut System| {
        let group = system.pid();
        end(system).await;
        assert_gone(group, system).await;
        system.up().await;
    };

    // These jobs are short and run no program that could be held up: the end comes with their first sign of life.
    let video = begun(&system, "planner", async || system.create(&smallest_film()).await).await;
    end_and_start(&mut system).await;
    system.wait_for(&video, "paused_at_phase1").await;
    begun(&system, "storyboard", async || system.approve(&video).await).await;
    end_and_start(&mut system).await;
    for paused in ["paused_at_phase2", "paused_at_phase3"] {
        system.wait_for(&video, paused).await;
        ffmpeg.hold();
        system.approve(&video).await;
        ffmpeg.is_in_use().await;
        end_and_start(&mut system).await;
        ffmpeg.release();
    }
    system.wait_for(&video, "paused_at_phase4").await;
    system.approve(&video).await;
    system.wait_for(&video, "complete").await;

    assert_made_once(&system, &video).await;
    let outcomes = assert_told_once(&system, &[video]).await;
    // The create and four approvals.
    assert_eq!(outcomes.len(), 5, "{outcomes:#?}");
    assert!(outcomes.values().all(|outcomes| outcomes.len() == 1), "{outcomes:#?}");
}

/// Asks for something that takes one job of a service, and returns when a worker has just begun it.
async fn begun<T>(system: &System, service: &str, ask: impl AsyncFnOnce() -> T) -> T {
    let nats = system.nats().await;
    // A job that is done in no time says nothing before that.
    let progress = nats.subscribe("video.*.*.progress.*").await.expect("a subscription");
    let reports = nats.subscribe("coordinator.*.done").await.expect("a subscription");
    let mut signs_of_life = futures::stream::select(progress, reports);
    nats.flush().await.expect("NATS heard of it");
    let queue = jetstream::new(nats).get_stream("JOBS").await.expect("the stream is there");
    // Held in the queue until everything else has been said and written, or the job could be done before the answer.
    let long = async_nats::datetime::parse_rfc3339("2100-01-01T00:00:00Z").expect("a time");
    queue.pause_consumer(service, long).await.expect("it is there");
    let asked = ask().await;
    until("the job is in the queue", SOON, async || {
        let waiting = queue.consumer_info(service).await.ok()?.num_pending;
        (waiting == 1).then_some(())
    })
    .await;
    queue.resume_consumer(service).await.expect("it is there");
    let begun = tokio::time::timeout(SOON, signs_of_life.next()).await;
    begun.expect("a worker takes the job").expect("NATS is there");
    asked
}

#[tokio::test]
async fn an_approval_around_a_kill_is_decided_and_told_once() {
    // Before the coordinator has read it, while it records, while it publishes, while the next phase begins.
    let moments = [0, 2, 5, 12, 30].map(Duration::from_millis);
    let mut system = System::start_with(Setup::default()).await;
    let mut videos = Vec::new();
    for _ in 0..2 * moments.len() {
        videos.push(system.create(&smallest_film()).await);
    }
    for video in &videos {
        system.wait_for(video, "paused_at_phase1").await;
    }
    for (round, moment) in videos.chunks(2).zip(moments) {
        let jetstream = jetstream::new(system.nats().await);
        for video in round {
            let checkpoint = system.current(video).await;
            let body = json!({ "checkpoint_id": checkpoint["checkpoint_id"] }).to_string();
            let mut headers = HeaderMap::new();
            headers.insert("Dailies-Command-Id", format!("approve-{video}"));
            let subject = format!("video.local.{video}.cmd.approve");
            let stored = jetstream.publish_with_headers(subject, headers, body.into()).await.expect("published");
            stored.await.expect("stored");
        }
        tokio::time::sleep(moment).await;
        system.kill();
        system.up().await;
        for video in round {
            system.wait_for(video, "paused_at_phase2").await;
        }
    }
    let outcomes = assert_told_once(&system, &videos).await;
    for video in &videos {
        let outcomes = &outcomes[&format!("approve-{video}")];
        assert_eq!(outcomes.len(), 1, "{outcomes:#?}");
        assert_eq!(text(&outcomes[0]["type"]), "command_answered");
    }
}

#[tokio::test]
async fn a_video_that_has_left_memory_is_approved_all_the_same() {
    let system = System::start().await;
    let video = system.create(&smallest_film()).await;
    system.wait_for(&video, "paused_at_phase1").await;
    let nats = system.nats().await;
    until("the idle actor leaves memory", 2 * SOON, async || {
        let stats = nats.request("$SRV.STATS.coordinator", "".into()).await.ok()?;
        let stats: Value = serde_json::from_slice(&stats.payload).expect("it is JSON");
        (stats["endpoints"][0]["data"]["open_actors"] == 0).then_some(())
    })
    .await;
    system.approve(&video).await;
    system.wait_for(&video, "paused_at_phase2").await;
}
