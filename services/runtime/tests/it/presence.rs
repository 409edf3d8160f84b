//! What `nats micro ls`, `info` and `stats` see of a replica.

use std::time::Duration;

use crate::harness::{SOON, Scene, Scripted, Worker, job, send, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_seen_with_what_it_does_until_it_stops() {
    let scene = Scene::set().await;
    let worker = Worker::start_with(&scene.bus, &scene.objects, &Scripted::quick(), 3, SOON);
    let ask = async |subject: &str| {
        let answer = scene.bus.request(subject, "".into(), Duration::from_secs(1)).await.ok()?;
        serde_json::from_slice::<serde_json::Value>(&answer).ok()
    };
    let info = until("the replica registers", async || {
        ask("$SRV.INFO.refine").await.filter(|info| info["endpoints"][0]["subject"].is_string())
    })
    .await;
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(info["metadata"]["concurrency"], "3");
    assert!(info["description"].as_str().is_some_and(|text| !text.is_empty()), "{info}");

    send(&scene.bus, &job(1)).await;
    scene.coordinator.end_of(&job(1)).await;
    let stats = ask("$SRV.STATS.refine").await.expect("it answers");
    assert_eq!(stats["endpoints"][0]["data"]["done"], 1, "{stats}");
    let status = ask(info["endpoints"][0]["subject"].as_str().expect("a subject")).await.expect("it answers");
    assert_eq!((&status["done"], &status["concurrency"]), (&1.into(), &3.into()), "{status}");

    worker.stop().await;
    let ping = scene.bus.request("$SRV.PING.refine", "".into(), Duration::from_secs(1)).await;
    assert!(ping.is_err(), "it is still seen");
}
