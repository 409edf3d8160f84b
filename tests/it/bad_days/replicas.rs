//! Services as processes of their own: replicas share the work of one film, and one that is killed is stood in for.

use std::collections::BTreeSet;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::living;
use super::services::{Cluster, free_port};
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

#[tokio::test]
async fn a_worker_that_drains_finishes_its_job_is_alive_and_not_ready() {
    let mut cluster = Cluster::start().await;
    let stand_in = StandIn::new();
    stand_in.hold();
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = cluster.service("chunk");
    command.env("DAILIES_MEDIA__FFMPEG", stand_in.program()).env("DAILIES_MONITORING__ADDRESS", &address);
    // The flag goes over the environment, which says 1.
    command.args(["--concurrency", "2"]);
    let worker = cluster.system.spawn(command).id().cast_signed();
    let probe = async |path: &str| {
        let answer = reqwest::get(format!("http://{address}{path}")).await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    };
    until("the worker is ready", SOON, async || probe("/health/ready").await.filter(|(status, _)| *status == 200))
        .await;
    let (_, figures) = probe("/metrics").await.expect("it answers");
    assert!(figures.contains("dailies_worker_slots{service=\"chunk\"} 2\n"), "{figures}");

    let system = &cluster.system;
    let film =
        json!({ "prompt": "A 5 second ad for a fountain pen, elegant, navy", "duration": 5, "auto_continue": true });
    let video = system.create(&film).await;
    stand_in.is_in_use().await;
    kill(Pid::from_raw(worker), Signal::SIGTERM).expect("it runs");
    let (_, said) = until("it says that it drains", SOON, async || {
        probe("/health/ready").await.filter(|(status, _)| *status == 503)
    })
    .await;
    assert!(said.contains("\"chunk\":\"it is stopping"), "{said}");
    assert_eq!(probe("/health/live").await.map(|(status, _)| status), Some(200));

    stand_in.release();
    until("it ends when its job is done", SOON, async || probe("/health/live").await.is_none().then_some(())).await;
    let ends = |event: &serde_json::Value| ["job_done", "job_failed"].contains(&text(&event["type"]));
    let history = system.history(&video).await;
    let last = history.iter().rfind(|event| ends(event)).expect("jobs ended");
    assert_eq!((text(&last["type"]), last["attempt"].as_u64()), ("job_done", Some(1)), "{last}");
    assert!(text(&last["job"]).ends_with("-chunk_0-v1"), "{last}");
}
