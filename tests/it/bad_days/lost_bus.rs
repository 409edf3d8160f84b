//! NATS loses its process, its storage or its streams; SQL remembers, and everything is built again from it.

use std::path::Path;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::{self, stream};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::stand_in::StandIn;
use super::{assert_made_once, assert_told_once, files_below, smallest_film, smallest_film_unattended};
use crate::harness::{SOON, System, until};

#[tokio::test]
async fn a_killed_nats_server_is_started_again_and_the_film_is_finished() {
    let ffmpeg = StandIn::new();
    let system = System::start_with(ffmpeg.setup().with_errors()).await;
    ffmpeg.hold();
    let video = system.create(&smallest_film_unattended()).await;
    ffmpeg.is_in_use().await;

    let killed = kill_nats_server(&system);
    ffmpeg.release();
    system.wait_for(&video, "complete").await;

    assert_ne!(nats_server_of(&system), killed);
    assert_made_once(&system, &video).await;
    assert_told_once(&system, &[video]).await;
}

#[tokio::test]
async fn films_are_finished_after_all_storage_of_nats_is_lost() {
    let ffmpeg = StandIn::new();
    let system = System::start_with(ffmpeg.setup().with_errors()).await;
    let paused = system.create(&smallest_film()).await;
    system.wait_for(&paused, "paused_at_phase1").await;
    ffmpeg.hold();
    // More films than workers: the jobs of some are lost in the queue, of others in the middle.
    let mut videos = Vec::new();
    for _ in 0..3 {
        videos.push(system.create(&smallest_film_unattended()).await);
    }
    for video in &videos {
        system.wait_for(video, "generating_chunks").await;
    }
    ffmpeg.is_in_use().await;

    let storage = system.data().join("nats/jetstream");
    std::fs::remove_dir_all(&storage).expect("it was there");
    kill_nats_server(&system);
    ffmpeg.release();

    for video in &videos {
        system.wait_for(video, "complete").await;
        assert_made_once(&system, video).await;
    }
    system.approve(&paused).await;
    system.wait_for(&paused, "paused_at_phase2").await;
}

#[tokio::test]
async fn films_are_finished_after_the_files_of_a_living_nats_are_deleted() {
    let ffmpeg = StandIn::new();
    let system = System::start_with(ffmpeg.setup().with_errors()).await;
    let paused = system.create(&smallest_film()).await;
    system.wait_for(&paused, "paused_at_phase1").await;
    ffmpeg.hold();
    let video = system.create(&smallest_film_unattended()).await;
    ffmpeg.is_in_use().await;

    // The server lives on and says that it is healthy.
    let deceived = nats_server_of(&system);
    std::fs::remove_dir_all(system.data().join("nats/jetstream")).expect("it was there");
    until("another nats-server runs", SOON, async || {
        read_pid(&system.data().join("nats/nats-server.pid")).filter(|server| *server != deceived)
    })
    .await;
    ffmpeg.release();

    system.wait_for(&video, "complete").await;
    assert_made_once(&system, &video).await;
    system.approve(&paused).await;
    system.wait_for(&paused, "paused_at_phase2").await;
    let jetstream = jetstream::new(system.nats().await);
    for stream in ["JOBS", "VIDEO_COMMANDS", "VIDEO_EVENTS"] {
        let files = system.data().join("nats/jetstream/jetstream/$G/streams").join(stream);
        until(stream, SOON, async || files.is_dir().then_some(())).await;
        jetstream.get_stream(stream).await.expect("it is there too");
    }
}

#[tokio::test]
async fn streams_deleted_by_an_operator_come_back_and_the_film_is_finished() {
    let ffmpeg = StandIn::new();
    let system = System::start_with(ffmpeg.setup().with_errors()).await;
    let paused = system.create(&smallest_film()).await;
    system.wait_for(&paused, "paused_at_phase1").await;
    ffmpeg.hold();
    let video = system.create(&smallest_film_unattended()).await;
    ffmpeg.is_in_use().await;

    let jetstream = jetstream::new(system.nats().await);
    for stream in ["JOBS", "VIDEO_COMMANDS", "VIDEO_EVENTS"] {
        jetstream.delete_stream(stream).await.expect("it was there");
    }
    ffmpeg.release();
    system.wait_for(&video, "complete").await;
    assert_made_once(&system, &video).await;

    for stream in ["JOBS", "VIDEO_COMMANDS", "VIDEO_EVENTS"] {
        until(stream, SOON, async || jetstream.get_stream(stream).await.ok()).await;
    }
    system.approve(&paused).await;
    system.wait_for(&paused, "paused_at_phase2").await;
}

#[tokio::test]
async fn what_an_operator_edits_or_deletes_is_as_before_within_seconds_and_the_film_is_finished() {
    let ffmpeg = StandIn::new();
    let system = System::start_with(ffmpeg.setup().with_errors()).await;
    let jetstream = jetstream::new(system.nats().await);
    let queue = jetstream.get_stream("JOBS").await.expect("it is there");
    let consumer = async |name: &str| queue.consumer_info(name).await.ok().map(|info| info.config);
    let chunk = consumer("chunk").await.expect("it is there");
    let events = jetstream.get_stream("VIDEO_EVENTS").await.expect("it is there").cached_info().config.clone();
    ffmpeg.hold();
    let video = system.create(&smallest_film_unattended()).await;
    ffmpeg.is_in_use().await;

    let edited = pull::Config {
        durable_name: Some("chunk".to_owned()),
        filter_subject: "job.chunk.nobody.>".to_owned(),
        ack_wait: Duration::from_secs(10),
        max_ack_pending: 1,
        ..pull::Config::default()
    };
    queue.create_consumer(edited).await.expect("edited");
    queue.delete_consumer("refine").await.expect("deleted");
    let short = stream::Config { max_age: Duration::from_secs(3600), max_messages: 5, ..events.clone() };
    jetstream.update_stream(short).await.expect("edited");
    jetstream.delete_stream("DEAD_LETTERS").await.expect("deleted");
    let edited = Instant::now();
    until("all is as before", SOON, async || {
        let letters = jetstream.get_stream("DEAD_LETTERS").await.is_ok();
        let stream = jetstream.get_stream("VIDEO_EVENTS").await.ok()?.cached_info().config.clone();
        let consumers = consumer("chunk").await? == chunk && consumer("refine").await.is_some();
        (letters && stream == events && consumers).then_some(())
    })
    .await;
    assert!(edited.elapsed() < Duration::from_secs(15), "{:?}", edited.elapsed());

    ffmpeg.release();
    system.wait_for(&video, "complete").await;
    assert_made_once(&system, &video).await;
}

#[tokio::test]
async fn commands_are_read_after_their_stream_was_put_back_to_an_older_state() {
    let mut system = System::start().await;
    let video = system.create(&smallest_film()).await;
    system.wait_for(&video, "paused_at_phase1").await;
    system.stop().await;
    let (now, backup) = (system.data().join("nats/jetstream"), system.scratch().join("backup"));
    copy(&now, &backup);
    system.up().await;
    system.approve(&video).await;
    system.wait_for(&video, "paused_at_phase2").await;
    // Refusals push the position on; what the stream stores next gets the sequences of what is lost.
    for _ in 0..3 {
        let (status, _) = system.post(&format!("/api/video/{video}/retry"), &serde_json::json!({})).await;
        assert_eq!(status, 409);
    }

    system.kill();
    std::fs::remove_dir_all(&now).expect("it was there");
    copy(&backup, &now);
    system.up().await;

    let checkpoint = system.current(&video).await["checkpoint_id"].clone();
    let approval = serde_json::json!({ "checkpoint_id": checkpoint });
    let (status, answer) = system.post(&format!("/api/video/{video}/continue"), &approval).await;
    // Until the leases of the killed one have run out, a command is stored and nobody answers.
    assert!(matches!(status, 200 | 202), "{answer}");
    system.wait_for(&video, "paused_at_phase3").await;
    let approvals = system.history(&video).await;
    let approvals = approvals.iter().filter(|event| event["type"] == "checkpoint_approved").count();
    assert_eq!(approvals, 2, "each approval counts once");
}

/// A folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    for file in files_below(from) {
        let copied = to.join(file.strip_prefix(from).expect("below it"));
        std::fs::create_dir_all(copied.parent().expect("a folder")).expect("made");
        std::fs::copy(&file, copied).expect("copied");
    }
}

/// `kill -9`; gives the process that was killed.
fn kill_nats_server(system: &System) -> i32 {
    let server = nats_server_of(system);
    kill(Pid::from_raw(server), Signal::SIGKILL).expect("it runs");
    server
}

fn nats_server_of(system: &System) -> i32 {
    read_pid(&system.data().join("nats/nats-server.pid")).expect("it runs")
}

fn read_pid(file: &Path) -> Option<i32> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}
