//! Services as processes of their own: replicas share the work of one film, and one that is killed is stood in for.

use std::collections::BTreeSet;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::living;
use super::services::Cluster;
use super::stand_in::StandIn;
use crate::harness::{SOON, text, until};

#[tokio::test]
async fn two_chunk_replicas_share_a_film_and_one_finishes_what_the_killed_other_had_begun() {
    let mut cluster = Cluster::start().await;
    let (first, second) = (StandIn::new(), StandIn::new());
    first.hold();
    second.hold();
    let killed = cluster.chunk_replica(&first);
    cluster.chunk_replica(&second);

    let system = &cluster.system;
    // Two beats, and with them two chunks that wait for nobody.
    let film =
        json!({ "prompt": "A 10 second ad for a fountain pen, elegant, navy", "duration": 10, "auto_continue": true });
    let video = system.create(&film).await;
    first.is_in_use().await;
    second.is_in_use().await;

    kill(Pid::from_raw(killed), Signal::SIGKILL).expect("it runs");
    until("ffmpeg ends with its worker", SOON, async || living(killed, "\0").is_empty().then_some(())).await;
    second.release();
    system.wait_for(&video, "complete").await;

    let history = system.history(&video).await;
    let done: Vec<_> = history.iter().filter(|event| event["type"] == "job_done").collect();
    assert!(done.iter().all(|event| event["attempt"] == 1), "a crash of a worker is no attempt: {done:#?}");
    let jobs: BTreeSet<_> = done.iter().map(|event| text(&event["job"])).collect();
    assert_eq!(jobs.len(), done.len(), "a job was done twice: {done:#?}");
    assert!(jobs.iter().any(|job| job.ends_with("-chunk_1-v1")), "{jobs:?}");
}
