//! Reservations: nothing is spent without the coordinator's leave, and nothing that was spent is forgotten.

use std::sync::Arc;
use std::time::Duration;

use messages::artifact::Digest;
use messages::job::{Claim, ClaimReply, FailureKind, Job, NotWanted, Submitted};
use messages::money::Usd;

use tokio_util::sync::CancellationToken;

use crate::harness::{Coordinator, Said, Scene, Scripted, Worker, done, job, made, send, until};

fn paid() -> Job {
    Job { price: Usd::from_micros(190_000), ..job(1) }
}

/// A handler that would pay: reserves, submits under the name `p-1` unless it is told another one, and is done.
fn paying() -> Arc<Scripted> {
    Scripted::new(|task| {
        Box::pin(async {
            let reservation = task.reserve(Digest::of(b"request")).await?;
            if reservation.provider_job().is_none() {
                task.submitted("p-1").await?;
            }
            Ok(made(&task.job).into())
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_job_claims_then_submits_then_is_done() {
    let scene = Scene::set().await;
    let _worker = Worker::start(&scene.bus, &scene.objects, &paying());

    send(&scene.bus, &paid()).await;

    scene.coordinator.end_of(&job(1)).await;
    let said = scene.coordinator.about(&job(1));
    let [Said::Claim(claim), Said::Submitted(submitted), end] = &said[..] else { panic!("{said:?}") };
    assert_eq!((claim.input, claim.price), (Digest::of(b"request"), paid().price));
    assert_eq!(submitted, &Submitted { nonce: claim.nonce, provider_job: "p-1".into() });
    assert_eq!(end, &done(&job(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_claim_waits_and_then_attaches() {
    let mut scene = Scene::set().await;
    scene.coordinator.leave().await;
    let replies = vec![ClaimReply::Held, ClaimReply::Attach { provider_job: "p-0".into() }];
    let coordinator = Coordinator::with_claims(&scene.bus, replies).await;
    let _worker = Worker::start(&scene.bus, &scene.objects, &paying());

    send(&scene.bus, &paid()).await;

    assert_eq!(coordinator.end_of(&job(1)).await, done(&job(1)));
    let said = coordinator.about(&job(1));
    let [Said::Claim(Claim { nonce: first, .. }), Said::Claim(Claim { nonce: second, .. }), _] = &said[..] else {
        panic!("expected two claims and no submission: {said:?}")
    };
    assert_eq!(first, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_claim_spends_nothing_and_says_why() {
    let mut scene = Scene::set().await;
    scene.coordinator.leave().await;
    let coordinator = Coordinator::with_claims(&scene.bus, vec![ClaimReply::Refused(NotWanted::OverBudget)]).await;
    let _worker = Worker::start(&scene.bus, &scene.objects, &paying());

    send(&scene.bus, &paid()).await;

    match coordinator.end_of(&job(1)).await {
        Said::Failed(failed) => {
            assert_eq!(failed.kind, FailureKind::GiveUp);
            assert!(failed.reason.contains("budget"), "{failed:?}");
        }
        other => panic!("expected a failure: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_may_cost_nothing_gets_no_reservation() {
    let scene = Scene::set().await;
    let _worker = Worker::start(&scene.bus, &scene.objects, &paying());

    send(&scene.bus, &job(1)).await;

    assert!(matches!(scene.coordinator.end_of(&job(1)).await, Said::Failed(f) if f.kind == FailureKind::GiveUp));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_that_no_coordinator_hears_is_on_record_and_collected_by_the_next_worker() {
    let mut scene = Scene::set().await;
    let gate = CancellationToken::new();
    let opened = gate.clone();
    let dying = Scripted::new(move |task| {
        let gate = opened.clone();
        Box::pin(async move {
            task.reserve(Digest::of(b"request")).await?;
            gate.cancelled().await;
            task.submitted("p-1").await?;
            std::future::pending().await
        })
    });
    let worker = Worker::start_with(&scene.bus, &scene.objects, &dying, 1, Duration::ZERO);
    send(&scene.bus, &paid()).await;
    until("the claim is heard", async || (!scene.coordinator.heard().is_empty()).then_some(())).await;
    scene.coordinator.leave().await;
    gate.cancel();
    let key = format!("{}{}.1.submitted.json", paid().prefix, paid().id);
    until("the submission is on record", async || scene.objects.read(&key)).await;
    worker.stop().await;

    let coordinator = Coordinator::listen(&scene.bus).await;
    let _worker = Worker::start(&scene.bus, &scene.objects, &paying());

    assert_eq!(coordinator.end_of(&job(1)).await, done(&job(1)));
    let said = coordinator.about(&job(1));
    let [Said::Submitted(submitted), _] = &said[..] else { panic!("expected no second claim: {said:?}") };
    assert_eq!(submitted.provider_job, "p-1");
}
