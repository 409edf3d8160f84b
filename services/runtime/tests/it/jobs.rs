//! A job from the queue to its report.

use std::sync::Arc;

use futures::StreamExt as _;
use messages::job::{Done, Job, Progress, Spent};
use messages::money::Usd;
use messages::subject;
use runtime::worker::Outcome;
use tokio_util::sync::CancellationToken;

use crate::harness::{Coordinator, Memory, Scene, Scripted, Server, Worker, done, job, made, queued, send, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_made_reported_and_then_gone() {
    let scene = Scene::set().await;
    let handler = Scripted::quick();
    let _worker = Worker::start(&scene.bus, &scene.objects, &handler);

    send(&scene.bus, &job(1)).await;

    assert_eq!(scene.coordinator.end_of(&job(1)).await, done(&job(1)));
    scene.queue_is_empty().await;
    assert_eq!(scene.coordinator.about(&job(1)).len(), 1, "it was reported once");
    assert_eq!(scene.objects.read(&job(1).record_key()), None, "a coordinator has it, and it cost nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_for_is_on_record_before_anybody_is_told() {
    let server = Server::start().await;
    let (bus, objects) = (server.bus().await, Arc::<Memory>::default());
    let handler = Scripted::new(|task| Box::pin(async { Ok(paid(&task.job)) }));
    let _worker = Worker::start(&bus, &objects, &handler);
    until("the streams are made", async || bus.commands_created().await.ok()).await;
    let mut told = bus.client().subscribe("coordinator.*.done").await.expect("subscribed");
    bus.client().flush().await.expect("flushed");
    send(&bus, &job(1)).await;

    told.next().await.expect("somebody is told");

    let record = objects.read(&job(1).record_key()).expect("the record is there by then");
    let record: Done = serde_json::from_slice(&record).expect("it is readable");
    assert_eq!(record.made, made(&job(1)));
}

/// What a handler gives that has paid somebody.
fn paid(job: &Job) -> Outcome {
    let amount = Usd::from_micros(190_000);
    let spent = Spent { model: "hailuo_fast".into(), unit: "generation".into(), quantity: 1.0, amount };
    Outcome { made: made(job), spent: vec![spent] }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_a_record_is_only_reported() {
    let scene = Scene::set().await;
    let record = Done { made: made(&job(7)), spent: Vec::new() };
    scene.objects.write(&job(1).record_key(), serde_json::to_vec(&record).expect("written"));
    let handler = Scripted::quick();
    let _worker = Worker::start(&scene.bus, &scene.objects, &handler);

    send(&scene.bus, &Job { send: 2, ..job(1) }).await;

    assert_eq!(scene.coordinator.end_of(&job(1)).await, done(&job(7)));
    assert_eq!(handler.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_record_is_the_result_also_for_the_worker_that_comes_second() {
    let scene = Scene::set().await;
    let objects = scene.objects.clone();
    let handler = Scripted::new(move |task| {
        // Another worker is a moment faster.
        let record = Done { made: made(&job(7)), spent: Vec::new() };
        objects.write(&task.job.record_key(), serde_json::to_vec(&record).expect("written"));
        Box::pin(async { Ok(paid(&task.job)) })
    });
    let _worker = Worker::start(&scene.bus, &scene.objects, &handler);

    send(&scene.bus, &job(1)).await;

    assert_eq!(scene.coordinator.end_of(&job(1)).await, done(&job(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_coordinator_the_job_is_kept_and_reported_later() {
    let server = Server::start().await;
    let (bus, objects) = (server.bus().await, Arc::<Memory>::default());
    let handler = Scripted::quick();
    let _worker = Worker::start(&bus, &objects, &handler);
    until("the streams are made", async || bus.commands_created().await.ok()).await;
    send(&bus, &job(1)).await;
    until("the record is there", async || objects.read(&job(1).record_key())).await;
    assert_eq!(queued(&bus).await, 1, "it is not acknowledged");

    let coordinator = Coordinator::listen(&bus).await;

    assert_eq!(coordinator.end_of(&job(1)).await, done(&job(1)));
    until("the queue is empty", async || (queued(&bus).await == 0).then_some(())).await;
    assert_eq!(handler.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_slot_takes_no_second_job() {
    let scene = Scene::set().await;
    let gate = CancellationToken::new();
    let handler = Scripted::behind(&gate);
    for number in 1..=3 {
        send(&scene.bus, &job(number)).await;
    }
    let _worker = Worker::start(&scene.bus, &scene.objects, &handler);
    handler.called(1).await;

    // Longer than a pull stays open: a client that pulls ahead would hold a second one by now.
    let watching = tokio::time::Instant::now();
    while watching.elapsed() < std::time::Duration::from_secs(7) {
        let stream = scene.bus.jetstream().get_stream(subject::JOBS).await.expect("there is a queue");
        let consumer = stream.consumer_info("refine").await.expect("there is a consumer");
        assert_eq!((consumer.num_ack_pending, consumer.num_pending), (1, 2));
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    gate.cancel();
    for number in 1..=3 {
        assert_eq!(scene.coordinator.end_of(&job(number)).await, done(&job(number)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_share_the_work() {
    let scene = Scene::set().await;
    let gate = CancellationToken::new();
    let (one, two) = (Scripted::behind(&gate), Scripted::behind(&gate));
    let _workers = [&one, &two].map(|handler| Worker::start(&scene.bus, &scene.objects, handler));
    send(&scene.bus, &job(1)).await;
    send(&scene.bus, &job(2)).await;

    one.called(1).await;
    two.called(1).await;

    gate.cancel();
    for number in 1..=2 {
        assert_eq!(scene.coordinator.end_of(&job(number)).await, done(&job(number)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_see_that_a_job_lives_and_how_far_it_is() {
    let scene = Scene::set().await;
    let mut notes = scene.bus.client().subscribe(subject::PROGRESS_FILTER).await.expect("subscribed");
    scene.bus.client().flush().await.expect("flushed");
    let gate = CancellationToken::new();
    let opened = gate.clone();
    let handler = Scripted::new(move |task| {
        let gate = opened.clone();
        Box::pin(async move {
            task.progress(0.25);
            gate.cancelled().await;
            Ok(made(&task.job).into())
        })
    });
    let _worker = Worker::start(&scene.bus, &scene.objects, &handler);
    send(&scene.bus, &job(1)).await;

    let note = until("the progress is said", async || {
        let note = notes.next().await?;
        let note: Progress = serde_json::from_slice(&note.payload).expect("a note");
        (note.fraction == 0.25).then_some(note)
    })
    .await;
    assert_eq!((note.kind.as_str(), note.job, note.attempt), ("progress", job(1).id, 1));

    let next = tokio::time::timeout(std::time::Duration::from_secs(8), notes.next()).await;
    assert!(next.is_ok(), "no sign of life for 8 s");
    gate.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_hogs_its_threads_does_not_lose_its_job() {
    let scene = Scene::set().await;
    let mut signs = scene.bus.client().subscribe("$JS.ACK.JOBS.refine.>").await.expect("subscribed");
    scene.bus.client().flush().await.expect("flushed");
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let handler = Scripted::new(move |task| {
        // Blocks its thread, as an encoder without a thread of its own would.
        let _ = held.lock().expect("not poisoned").recv();
        Box::pin(async { Ok(made(&task.job).into()) })
    });
    // As many threads as this machine runs at a time are blocked.
    let _worker = Worker::start_with(&scene.bus, &scene.objects, &handler, 4, crate::harness::SOON);
    for number in 1..=4 {
        send(&scene.bus, &job(number)).await;
    }

    for _ in 0..4 {
        let sign = tokio::time::timeout(std::time::Duration::from_secs(15), signs.next()).await;
        let sign = sign.expect("it is kept within half the ack wait").expect("a sign");
        assert_eq!(sign.payload, "+WPI");
    }
    drop(release);
    for number in 1..=4 {
        assert_eq!(scene.coordinator.end_of(&job(number)).await, done(&job(number)));
    }
}
