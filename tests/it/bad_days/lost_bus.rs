//! NATS loses its process, its storage or its streams; SQL remembers, and everything is built again from it.

use std::path::Path;

use async_nats::jetstream;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::stand_in::StandIn;
use super::{assert_made_once, assert_told_once, smallest_film, smallest_film_unattended};
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
