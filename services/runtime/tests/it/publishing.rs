//! What an answer means, and what its absence.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use messages::subject;
use runtime::bus::{BatchMessage, PublishError, RequestError};

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

fn batch(numbers: std::ops::Range<u32>) -> Vec<BatchMessage> {
    let message = |number: u32| {
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_MESSAGE_ID, format!("vid-1-{number}"));
        BatchMessage { subject: EVENT.into(), headers, payload: number.to_string().into() }
    };
    numbers.map(message).collect()
}

/// The bodies that are stored, in their order.
async fn stored(scene: &Scene) -> Vec<u32> {
    let mut stream = scene.bus.jetstream().get_stream(subject::VIDEO_EVENTS).await.expect("there is a stream");
    let state = stream.info().await.expect("it is looked at").state.clone();
    let mut found = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.expect("it is read");
        found.push(String::from_utf8_lossy(&message.payload).parse().expect("a number"));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_stored_in_its_order_and_only_once() {
    let scene = Scene::set().await;
    scene.bus.publish_batch(batch(0..200)).await.expect("stored");
    scene.bus.publish_batch(batch(0..200)).await.expect("stored before");
    scene.bus.publish_batch(batch(150..250)).await.expect("stored, as far as it was not");
    scene.bus.publish_batch(batch(250..251)).await.expect("stored alone");
    scene.bus.publish_batch(Vec::new()).await.expect("nothing to store");
    assert_eq!(stored(&scene).await, (0..251).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_several_publishers_do_not_get_into_each_others_way() {
    let scene = Scene::set().await;
    let other = scene.server.bus().await;
    let rounds = |bus: runtime::bus::Bus, first: u32| async move {
        for round in 0..10 {
            let from = first + round * 50;
            bus.publish_batch(batch(from..from + 50)).await.expect("stored");
        }
    };
    tokio::join!(rounds(scene.bus.clone(), 0), rounds(scene.bus.clone(), 1000), rounds(other, 2000));
    let found = stored(&scene).await;
    assert_eq!(found.len(), 1500);
    for first in [0, 1000, 2000] {
        let own: Vec<_> = found.iter().copied().filter(|number| (first..first + 1000).contains(number)).collect();
        assert_eq!(own, (first..first + 500).collect::<Vec<_>>(), "each keeps its order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_breaks_off_says_so_and_the_next_one_is_stored() {
    let scene = Scene::set().await;
    let mut broken = batch(0..3);
    broken[1].payload = Bytes::from(vec![b' '; 2 << 20]);
    scene.bus.publish_batch(broken).await.expect_err("it is too large");
    scene.bus.jetstream().delete_stream(subject::VIDEO_EVENTS).await.expect("deleted");
    scene.bus.publish_batch(batch(0..3)).await.expect_err("there is no stream");
    scene.bus.ensure_streams().await.expect("made again");
    scene.bus.publish_batch(batch(0..3)).await.expect("stored");
    assert_eq!(stored(&scene).await, [0, 1, 2]);
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
