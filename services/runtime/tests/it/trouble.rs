//! What goes wrong around a job.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::PullConsumer;
use futures::StreamExt as _;
use messages::codec;
use messages::job::{Failed, FailureKind, Job};
use messages::subject;
use runtime::job_error::JobError;

use crate::harness::{Coordinator, Said, Scene, Scripted, Worker, done, job, made, send, send_bytes, until};

fn failed(said: Said) -> Failed {
    match said {
        Said::Failed(failed) => failed,
        other => panic!("expected a failure: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_set_aside_and_the_loop_goes_on() {
    let scene = Scene::set().await;
    let handler = Scripted::quick();
    let _worker = Worker::start(&scene.bus, &scene.objects, &handler);

    send_bytes(&scene.bus, &job(1), b"\xc1 no job".to_vec()).await;
    send(&scene.bus, &job(2)).await;

    let letter = scene.dead_letter().await;
    assert!(letter.subject.ends_with(&job(1).id.to_string()), "{letter:?}");
    assert!(letter.reason.contains("not a readable Job"), "{letter:?}");
    assert_eq!(letter.payload, "wSBubyBqb2I=");
    assert_eq!(scene.coordinator.end_of(&job(2)).await, done(&job(2)));
    scene.queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_from_a_newer_coordinator_is_set_aside_and_tried_again_later() {
    let scene = Scene::set().await;
    let handler = Scripted::quick();
    let _worker = Worker::start(&scene.bus, &scene.objects, &handler);
    let mut newer = serde_json::to_value(job(1)).expect("written");
    newer["work"] = serde_json::json!({"animate_hologram": {}});

    send_bytes(&scene.bus, &job(1), codec::encode(&newer).expect("written")).await;

    let failed = failed(scene.coordinator.end_of(&job(1)).await);
    assert_eq!(failed.kind, FailureKind::NeedsUpgrade);
    assert!(failed.reason.contains("too old"), "{failed:?}");
    assert!(scene.dead_letter().await.reason.contains("publish the payload"));
    scene.queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_another_service_is_refused() {
    let scene = Scene::set().await;
    let handler = Scripted::quick();
    let _worker = Worker::start(&scene.bus, &scene.objects, &handler);
    let stray = Job { work: crate::harness::other_work(), ..job(1) };

    send(&scene.bus, &stray).await;

    assert_eq!(failed(scene.coordinator.end_of(&job(1)).await).kind, FailureKind::GiveUp);
    assert_eq!(handler.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_fails_its_job_and_nothing_else() {
    let scene = Scene::set().await;
    let handler = Scripted::new(|task| {
        Box::pin(async {
            assert!(task.job.id.version != 1, "no frame 17 in the picture");
            Ok(made(&task.job).into())
        })
    });
    let _worker = Worker::start(&scene.bus, &scene.objects, &handler);

    send(&scene.bus, &job(1)).await;
    send(&scene.bus, &job(2)).await;

    let failed = failed(scene.coordinator.end_of(&job(1)).await);
    assert_eq!(failed.kind, FailureKind::GiveUp);
    assert!(failed.reason.contains("no frame 17"), "{failed:?}");
    assert_eq!(scene.coordinator.end_of(&job(2)).await, done(&job(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_reported_with_its_reason_and_its_wait() {
    let scene = Scene::set().await;
    let handler = Scripted::new(|_| {
        Box::pin(async {
            let after = Some(Duration::from_secs(90));
            Err(JobError::RetryLater { reason: "the provider is busy".into(), after })
        })
    });
    let _worker = Worker::start(&scene.bus, &scene.objects, &handler);

    send(&scene.bus, &job(1)).await;

    let expected =
        Failed { kind: FailureKind::RetryLater, reason: "the provider is busy".into(), retry_after_s: Some(90) };
    assert_eq!(scene.coordinator.end_of(&job(1)).await, Said::Failed(expected));
    scene.queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_fourth_delivery_a_job_counts_as_one_that_kills_workers() {
    let scene = Scene::set().await;
    send(&scene.bus, &job(1)).await;
    let consumer: PullConsumer =
        scene.bus.jetstream().get_consumer_from_stream("refine", subject::JOBS).await.expect("there is a consumer");
    for _ in 0..3 {
        let mut pull =
            consumer.batch().max_messages(1).expires(Duration::from_secs(5)).messages().await.expect("asked");
        let message = pull.next().await.expect("a job").expect("no error");
        message.ack_with(AckKind::Nak(None)).await.expect("said");
    }
    let handler = Scripted::quick();
    let _worker = Worker::start(&scene.bus, &scene.objects, &handler);

    assert_eq!(failed(scene.coordinator.end_of(&job(1)).await).kind, FailureKind::Crashed);
    let letter = scene.dead_letter().await;
    assert_eq!(letter.deliveries, 4);
    assert_eq!(handler.calls(), 0);
    scene.queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_object_store_away_the_job_is_for_later() {
    let scene = Scene::set().await;
    scene.objects.away.store(true, Ordering::SeqCst);
    let handler = Scripted::quick();
    let _worker = Worker::start(&scene.bus, &scene.objects, &handler);

    // Somebody may have had it before, and left a record.
    send(&scene.bus, &Job { attempt: 2, ..job(1) }).await;

    let failed = failed(scene.coordinator.end_of(&job(1)).await);
    assert_eq!(failed.kind, FailureKind::RetryLater);
    assert!(failed.reason.contains("object store"), "{failed:?}");
    assert_eq!(handler.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_work_waits_for_an_object_store_that_is_away_for_a_moment() {
    let scene = Scene::set().await;
    let objects = scene.objects.clone();
    let handler = Scripted::new(move |task| {
        objects.away.store(true, Ordering::SeqCst);
        Box::pin(async { Ok(made(&task.job).into()) })
    });
    let _worker = Worker::start(&scene.bus, &scene.objects, &handler);
    send(&scene.bus, &job(1)).await;
    handler.called(1).await;
    until("it went away", async || scene.objects.away.load(Ordering::SeqCst).then_some(())).await;

    scene.objects.away.store(false, Ordering::SeqCst);

    assert_eq!(scene.coordinator.end_of(&job(1)).await, done(&job(1)));
    assert_eq!(handler.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_was_deleted_comes_back_and_work_goes_on() {
    let scene = Scene::set().await;
    let handler = Scripted::quick();
    let _worker = Worker::start(&scene.bus, &scene.objects, &handler);
    send(&scene.bus, &job(1)).await;
    scene.coordinator.end_of(&job(1)).await;

    scene.bus.jetstream().delete_stream(subject::JOBS).await.expect("deleted");

    until("the consumer is back", async || {
        let stream = scene.bus.jetstream().get_stream(subject::JOBS).await.ok()?;
        stream.consumer_info("refine").await.ok()
    })
    .await;
    send(&scene.bus, &job(2)).await;
    assert_eq!(scene.coordinator.end_of(&job(2)).await, done(&job(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_everything_is_set_up_again_and_work_goes_on() {
    let mut scene = Scene::set().await;
    let handler = Scripted::quick();
    let _worker = Worker::start(&scene.bus, &scene.objects, &handler);
    send(&scene.bus, &job(1)).await;
    scene.coordinator.end_of(&job(1)).await;

    scene.server.kill().await;
    scene.server.wipe();
    scene.server.again().await;

    until("the streams are back", async || scene.bus.commands_created().await.ok()).await;
    let coordinator = Coordinator::listen(&scene.bus).await;
    send(&scene.bus, &job(2)).await;
    assert_eq!(coordinator.end_of(&job(2)).await, done(&job(2)));
}
