//! What an answer means, and what its absence.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use messages::subject;
use runtime::bus::{PublishError, RequestError};

use crate::harness::{Scene, queued};

const EVENT: &str = "video.local.vid-1.event.video_created";

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_with_the_same_id_is_stored_once() {
    let scene = Scene::set().await;
    let publish = || scene.bus.publish(EVENT.into(), HeaderMap::new(), "{}".into(), Some("vid-1-1"));
    let first = publish().await.expect("stored");
    let second = publish().await.expect("stored before");
    assert!(!first.duplicate && second.duplicate);
    assert_eq!(first.sequence, second.sequence);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_on_their_way_together_keep_their_order() {
    let scene = Scene::set().await;
    let mut receipts = Vec::new();
    for number in 0..200 {
        let id = format!("vid-1-{number}");
        let receipt = scene.bus.publish_async(EVENT.into(), HeaderMap::new(), "{}".into(), Some(&id)).await;
        receipts.push(receipt.expect("sent"));
    }
    let acks = futures::future::try_join_all(receipts).await.expect("stored");
    assert!(acks.iter().zip(1..).all(|(ack, sequence)| ack.sequence == sequence));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_brings_a_lost_stream_back() {
    let scene = Scene::set().await;
    scene.bus.jetstream().delete_stream(subject::VIDEO_EVENTS).await.expect("deleted");
    scene.bus.publish(EVENT.into(), HeaderMap::new(), "{}".into(), None).await.expect("stored all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_survives_a_restart_of_the_server() {
    let mut scene = Scene::set().await;
    scene.server.kill().await;
    let bus = scene.bus.clone();
    let publishing =
        tokio::spawn(async move { bus.publish(EVENT.into(), HeaderMap::new(), "{}".into(), Some("1")).await });
    scene.server.again().await;
    publishing.await.expect("no panic").expect("stored after the restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_a_publish_gives_up_in_time() {
    let mut scene = Scene::set().await;
    scene.server.kill().await;
    let begun = tokio::time::Instant::now();
    let patience = Duration::from_secs(1);
    let outcome = scene.bus.publish_within(patience, EVENT.into(), HeaderMap::new(), "{}".into(), None).await;
    assert!(matches!(outcome, Err(PublishError::Unavailable { .. })), "{outcome:?}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_large_is_refused_at_once() {
    let scene = Scene::set().await;
    for (to, size) in [("video.local.vid-1.cmd.create", 65 << 10), (EVENT, 2 << 20)] {
        let outcome = scene.bus.publish(to.into(), HeaderMap::new(), Bytes::from(vec![b' '; size]), None).await;
        assert!(matches!(outcome, Err(PublishError::TooLarge { .. })), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_tells_nobody_from_silence() {
    let scene = Scene::set().await;
    let nobody = scene.bus.request("query.local.videos", "".into(), Duration::from_secs(5)).await;
    assert!(matches!(nobody, Err(RequestError::NoResponders { .. })), "{nobody:?}");
    let _silent = scene.bus.client().subscribe("query.local.videos").await.expect("subscribed");
    scene.bus.client().flush().await.expect("flushed");
    let silence = scene.bus.request("query.local.videos", "".into(), Duration::from_millis(200)).await;
    assert!(matches!(silence, Err(RequestError::TimedOut { .. })), "{silence:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checked_acknowledgement_is_answered_and_fails_when_the_queue_is_gone() {
    use async_nats::jetstream::consumer::PullConsumer;
    use futures::StreamExt as _;

    let scene = Scene::set().await;
    for number in 1..=2 {
        crate::harness::send(&scene.bus, &crate::harness::job(number)).await;
    }
    let consumer: PullConsumer =
        scene.bus.jetstream().get_consumer_from_stream("refine", subject::JOBS).await.expect("there is a consumer");
    let pull = consumer.batch().max_messages(2).expires(Duration::from_secs(5)).messages().await.expect("asked");
    let jobs: Vec<_> =
        pull.map(|job| job.expect("a job").reply.clone().expect("it can be acknowledged")).collect().await;

    let ack = async |reply: &str| scene.bus.request(reply, "+ACK".into(), Duration::from_secs(5)).await;
    ack(&jobs[0]).await.expect("the queue answers");
    assert_eq!(queued(&scene.bus).await, 1);
    scene.bus.jetstream().delete_stream(subject::JOBS).await.expect("deleted");
    let gone = ack(&jobs[1]).await;
    assert!(matches!(gone, Err(RequestError::NoResponders { .. })), "{gone:?}");
}
