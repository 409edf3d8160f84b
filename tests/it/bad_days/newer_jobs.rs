//! A worker of the previous version beside a coordinator of the next: what it cannot read is neither lost nor done badly.

use async_nats::jetstream;
use async_nats::jetstream::consumer::PullConsumer;
use futures::StreamExt as _;
use messages::codec;
use messages::job::Job;
use serde_json::{Value, json};

use super::services::Cluster;
use super::smallest_film_unattended;
use super::stand_in::StandIn;
use crate::harness::{FILM, Setup, text};

#[tokio::test]
async fn a_job_that_is_too_new_for_a_worker_is_kept_and_the_film_is_finished_by_one_that_reads_it() {
    let mut cluster = Cluster::start_with(Setup::default().with_errors()).await;
    let video = cluster.system.create(&smallest_film_unattended()).await;
    let jetstream = jetstream::new(cluster.system.nats().await);
    let queue: PullConsumer = jetstream.get_consumer_from_stream("chunk", "JOBS").await.expect("it is there");
    let mut jobs = queue.batch().max_messages(1).expires(FILM).messages().await.expect("a pull");
    let message = jobs.next().await.expect("a job").expect("delivered");
    // As a coordinator of the next version would have said it: with a kind of work that this worker does not know.
    let job: Job = codec::decode(&message.payload).expect("a job of this version");
    let mut newer = serde_json::to_value(&job).expect("written");
    newer["work"] = json!({ "animate_hologram": { "depth": 3 } });
    let payload = codec::encode(&newer).expect("written");
    message.ack().await.expect("taken off the queue");
    let sent = jetstream.publish(message.subject.clone(), payload.into()).await.expect("sent");
    sent.await.expect("stored");

    let ffmpeg = StandIn::new();
    cluster.chunk_replica(&ffmpeg);
    cluster.system.wait_for(&video, "complete").await;

    let history = cluster.system.history(&video).await;
    let about: Vec<_> = history.iter().filter(|event| event["job"] == json!(job.id)).collect();
    let failed = about.iter().find(|event| event["type"] == "job_failed").expect("the first attempt failed");
    assert!(text(&failed["reason"]).contains("too old to read the job"), "{failed}");
    assert_eq!((&failed["gave_up"], &failed["attempt"]), (&json!(false), &json!(1)), "{failed}");
    assert_eq!(failed["kind"], "needs_upgrade", "{failed}");
    let done = about.iter().find(|event| event["type"] == "job_done").expect("the second attempt was done");
    assert_eq!(done["attempt"], 2, "{done}");

    // What nobody could read is kept whole, for whoever can.
    let shown = cluster.dailies(&["dead", "show", "1", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(shown["payload"]["work"], newer["work"], "{shown}");
    assert!(text(&shown["reason"]).contains("cannot read it"), "{shown}");
    // Its work is done by now.
    let again = cluster.dailies(&["dead", "retry", "1"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("does not wait for it any more"), "{again:?}");
}
