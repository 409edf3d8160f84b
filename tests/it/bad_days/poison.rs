//! A job that kills every worker that takes it: the fourth puts it aside, its film fails, and an operator has it done
//! again once there is a worker that survives it.

use async_nats::jetstream;
use serde_json::{Value, json};

use super::services::Cluster;
use super::smallest_film_unattended;
use super::stand_in::StandIn;
use crate::harness::{FILM, SOON, Setup, System, text, until};

#[tokio::test]
async fn a_job_that_kills_its_workers_is_set_aside_and_done_after_all_when_an_operator_says_so() {
    let mut cluster = Cluster::start_with(Setup::default().with_errors()).await;
    let (poisonous, good) = (StandIn::new(), StandIn::new());
    poisonous.poison();
    let video = cluster.system.create(&smallest_film_unattended()).await;
    for delivery in 1..=3 {
        let worker = cluster.chunk_replica(&poisonous);
        until("the job has killed its worker", FILM, async || has_died(worker).then_some(())).await;
        redeliver(&cluster.system, delivery).await;
    }
    // The fourth does not even begin.
    cluster.chunk_replica(&good);
    let failed = until("the film has failed", FILM, async || {
        let status = cluster.system.status(&video).await;
        (status["status"] == "failed").then_some(status)
    });
    assert!(text(&failed.await["error"]).contains("crashed"), "{}", cluster.system.status(&video).await);

    let letters = listed(&cluster);
    let [letter] = letters.as_slice() else { panic!("one letter: {letters:#?}") };
    assert!(text(&letter["subject"]).starts_with("job.chunk.local."), "{letter}");
    assert!(text(&letter["reason"]).starts_with("3 workers took this job"), "{letter}");
    assert_eq!(letter["deliveries"], 4, "{letter}");
    let seq = letter["seq"].to_string();
    let shown: Value =
        serde_json::from_slice(&cluster.dailies(&["dead", "show", &seq, "--json"]).stdout).expect("JSON");
    assert_eq!(shown["payload"]["video"], json!(video), "{shown}");
    let page = cluster.dailies(&["dead", "show", &seq]);
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(page.contains(&format!("dailies dead retry {seq}")) && page.contains("\"chunk\""), "{page}");

    let retried = cluster.dailies(&["dead", "retry", &seq]);
    assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
    cluster.system.wait_for(&video, "complete").await;
    let chunk = cluster.system.history(&video).await;
    let attempts: Vec<_> = chunk
        .iter()
        .filter(|event| event["type"] == "job_done" && text(&event["job"]).ends_with("-chunk_0-v1"))
        .map(|event| event["attempt"].clone())
        .collect();
    assert_eq!(attempts, [json!(2)], "the retry was the second attempt, and the only one that was made");

    let again = cluster.dailies(&["dead", "retry", &seq]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && said.contains("does not wait for it any more"), "{said}");
}

#[tokio::test]
async fn a_message_that_the_server_gave_up_on_is_taken_out_of_the_way() {
    let mut cluster = Cluster::start().await;
    let jetstream = jetstream::new(cluster.system.nats().await);
    let video = cluster.system.create(&smallest_film_unattended()).await;
    let queue = jetstream.get_stream("JOBS").await.expect("the queue is there");
    let stuck = until("the chunk's job is queued", FILM, async || {
        queue.get_last_raw_message_by_subject("job.chunk.>").await.ok()
    })
    .await;
    // What it says when somebody has set a largest number of deliveries and workers died too often.
    let notice = json!({
        "type": "io.nats.jetstream.advisory.v1.max_deliver", "id": "x", "timestamp": "2026-01-01T00:00:00Z",
        "stream": "JOBS", "consumer": "chunk", "stream_seq": stuck.sequence, "deliveries": 1,
    });
    let about = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.JOBS.chunk";
    jetstream.publish(about, notice.to_string().into()).await.expect("sent").await.expect("stored");

    let [letter] = &listed(&cluster)[..] else { panic!("one letter") };
    assert!(text(&letter["reason"]).contains("delivers message"), "{letter}");
    let seq = letter["seq"].to_string();
    let retried = cluster.dailies(&["dead", "retry", &seq]);
    assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
    let ffmpeg = StandIn::new();
    cluster.chunk_replica(&ffmpeg);
    cluster.system.wait_for(&video, "complete").await;

    let again = cluster.dailies(&["dead", "retry", &seq]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && said.contains("not in the queue any more"), "{said}");
    assert!(!cluster.dailies(&["dead", "show", "99"]).status.success(), "there is no such letter");
}

fn listed(cluster: &Cluster) -> Vec<Value> {
    let listed = cluster.dailies(&["dead", "list", "--json"]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let text = String::from_utf8(listed.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// A killed child stays as a zombie until somebody looks at how it ended.
fn has_died(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, fields)| fields.trim_start().starts_with('Z'))
}

/// Says what the server says to itself when a delivery was not acknowledged for 30 s, so that nobody has to wait so long.
async fn redeliver(system: &System, delivery: u64) {
    let nats = system.nats().await;
    let queue = jetstream::new(nats.clone()).get_stream("JOBS").await.expect("the queue is there");
    let delivered = until("the delivery is on record", SOON, async || {
        let info = queue.consumer_info("chunk").await.ok()?;
        (info.num_ack_pending == 1 && info.delivered.consumer_sequence >= delivery).then_some(info.delivered)
    })
    .await;
    let (stream, consumer) = (delivered.stream_sequence, delivered.consumer_sequence);
    let subject = format!("$JS.ACK.JOBS.chunk.{delivery}.{stream}.{consumer}.0.0");
    nats.request(subject, "-NAK".into()).await.expect("the queue takes it");
}
