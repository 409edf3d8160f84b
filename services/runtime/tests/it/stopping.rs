//! Jobs that nobody wants any more, jobs that take too long, and replicas that have to stop.

use std::time::Duration;

use messages::codec;
use messages::job::{FailureKind, Job, Stop};
use messages::subject;
use tokio_util::sync::CancellationToken;

use crate::harness::{SOON, Said, Scene, Scripted, Worker, done, job, made, send, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_hint_cancels_its_job_and_no_other() {
    let scene = Scene::set().await;
    let handler = Scripted::endless();
    let worker = Worker::start_with(&scene.bus, &scene.objects, &handler, 2, Duration::ZERO);
    send(&scene.bus, &job(1)).await;
    send(&scene.bus, &job(2)).await;
    handler.called(2).await;

    let hint = codec::encode(&Stop { job: job(1).id }).expect("written");
    scene.bus.notify(subject::stop(job(1).id), hint.into()).await;

    match scene.coordinator.end_of(&job(1)).await {
        Said::Failed(failed) => assert_eq!(failed.kind, FailureKind::Cancelled),
        other => panic!("expected a cancel: {other:?}"),
    }
    assert_eq!(scene.coordinator.about(&job(2)), []);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_passes_its_deadline_is_stopped_and_for_later() {
    let scene = Scene::set().await;
    let handler = Scripted::endless();
    let worker = Worker::start(&scene.bus, &scene.objects, &handler);

    send(&scene.bus, &Job { deadline_s: 1, ..job(1) }).await;

    match scene.coordinator.end_of(&job(1)).await {
        Said::Failed(failed) => {
            assert_eq!(failed.kind, FailureKind::RetryLater);
            assert!(failed.reason.contains("within 1 s"), "{failed:?}");
        }
        other => panic!("expected a failure: {other:?}"),
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_left_on_the_disk_goes_when_the_next_one_starts() {
    let left = tempfile::Builder::new().prefix("dailies-scratch-").tempdir().expect("a folder");
    std::fs::create_dir(left.path().join("job")).expect("made");
    std::fs::write(left.path().join("job/clip.mp4"), "x").expect("written");
    std::fs::write(left.path().join("lock"), "").expect("written");

    let scene = Scene::set().await;
    let worker = Worker::start(&scene.bus, &scene.objects, &Scripted::quick());
    until("it is gone", async || (!left.path().exists()).then_some(())).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_does_not_listen_is_abandoned() {
    let scene = Scene::set().await;
    let handler = Scripted::new(|_| Box::pin(std::future::pending()));
    let worker = Worker::start(&scene.bus, &scene.objects, &handler);

    send(&scene.bus, &Job { deadline_s: 1, ..job(1) }).await;

    assert!(matches!(scene.coordinator.end_of(&job(1)).await, Said::Failed(_)));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_hands_running_jobs_back_when_the_grace_is_over() {
    let scene = Scene::set().await;
    let handler = Scripted::endless();
    let worker = Worker::start_with(&scene.bus, &scene.objects, &handler, 1, Duration::from_millis(100));
    send(&scene.bus, &job(1)).await;
    handler.called(1).await;

    worker.stop().await;

    assert_eq!(scene.coordinator.about(&job(1)), [Said::Returned]);
    scene.queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_a_running_job_finish_in_its_grace() {
    let scene = Scene::set().await;
    let gate = CancellationToken::new();
    let handler = Scripted::behind(&gate);
    let worker = Worker::start_with(&scene.bus, &scene.objects, &handler, 1, SOON);
    send(&scene.bus, &job(1)).await;
    handler.called(1).await;

    worker.shutdown.cancel();
    gate.cancel();
    worker.stop().await;

    assert_eq!(scene.coordinator.about(&job(1)), [done(&job(1))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_arrives_during_a_stop_is_handed_back_unstarted() {
    let scene = Scene::set().await;
    let handler = Scripted::quick();
    let worker = Worker::start(&scene.bus, &scene.objects, &handler);
    until("a pull is open", async || {
        let stream = scene.bus.jetstream().get_stream(subject::JOBS).await.ok()?;
        (stream.consumer_info("refine").await.ok()?.num_waiting > 0).then_some(())
    })
    .await;

    worker.shutdown.cancel();
    send(&scene.bus, &job(1)).await;

    assert_eq!(scene.coordinator.end_of(&job(1)).await, Said::Returned);
    assert_eq!(handler.calls(), 0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_stopping_workers_hand_back_are_not_taken_for_ones_that_kill_them() {
    let mut scene = Scene::set().await;
    send(&scene.bus, &job(1)).await;
    scene.coordinator.leave().await;
    for _ in 0..4 {
        let handler = Scripted::endless();
        let worker = Worker::start_with(&scene.bus, &scene.objects, &handler, 1, Duration::ZERO);
        handler.called(1).await;
        worker.stop().await;
    }

    scene.coordinator = crate::harness::Coordinator::listen(&scene.bus).await;
    let handler = Scripted::quick();
    let worker = Worker::start(&scene.bus, &scene.objects, &handler);
    assert_eq!(scene.coordinator.end_of(&job(1)).await, done(&job(1)));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_without_a_coordinator_leaves_the_job_to_others() {
    let mut scene = Scene::set().await;
    let handler = Scripted::new(|task| {
        Box::pin(async {
            task.cancelled.cancelled().await;
            Ok(made(&task.job).into())
        })
    });
    let worker = Worker::start_with(&scene.bus, &scene.objects, &handler, 1, Duration::ZERO);
    send(&scene.bus, &job(1)).await;
    handler.called(1).await;
    scene.coordinator.leave().await;

    worker.stop().await;

    let other = Scripted::quick();
    let worker = Worker::start(&scene.bus, &scene.objects, &other);
    scene.coordinator = crate::harness::Coordinator::listen(&scene.bus).await;
    assert_eq!(scene.coordinator.end_of(&job(1)).await, done(&job(1)));
    assert_eq!(other.calls(), 0, "the record was found");
    worker.stop().await;
}
