//! Approvals: from every door, twice, too early, fifty at once.

use futures::future::join_all;
use messages::id::{BranchName, CheckpointId, VideoId};
use messages::phase::Phase;
use serde_json::{Value, json};

use crate::harness::{System, text};

const WISH: &str = "A 5 second ad for a mechanical watch, elegant, gold and black";

#[tokio::test]
async fn every_door_approves_and_the_event_names_who_and_how() {
    let system = System::start().await;
    let video = system.create(&json!({ "prompt": WISH, "duration": 5 })).await;

    let waiting = system.wait_for(&video, "paused_at_phase1").await["current_checkpoint"].clone();
    let body = json!({ "checkpoint_id": waiting["checkpoint_id"], "note": "go", "digest": waiting["digest"] });
    let (status, over_http) = system.post(&format!("/api/video/{video}/continue"), &body).await;
    assert_eq!(status, 200, "{over_http}");

    let waiting = system.wait_for(&video, "paused_at_phase2").await["current_checkpoint"].clone();
    let body = json!({ "checkpoint_id": waiting["checkpoint_id"] }).to_string();
    let subject = format!("video.local.{video}.cmd.approve");
    let nats = system.nats().await;
    nats.publish(subject, body.into()).await.expect("NATS takes it");
    nats.flush().await.expect("NATS has it");

    system.wait_for(&video, "paused_at_phase3").await;
    let typed = system.dailies(&["approve", &video, "--note", "fine"]);
    assert!(typed.status.success(), "{}", String::from_utf8_lossy(&typed.stderr));
    system.wait_for(&video, "paused_at_phase4").await;

    let events = system.history(&video).await;
    let approvals = events.iter().filter(|event| event["type"] == "checkpoint_approved");
    let told: Vec<_> = approvals.map(|event| json!([event["by"], event["how"], event["note"]])).collect();
    assert_eq!(json!(told), json!([["local", "http", "go"], ["local", "nats", null], ["local", "cli", "fine"]]));
}

#[tokio::test]
async fn fifty_approvals_at_once_start_the_next_phase_once() {
    let system = System::start().await;
    let video = system.create(&json!({ "prompt": WISH, "duration": 5 })).await;
    system.wait_for(&video, "paused_at_phase1").await;
    let body = json!({ "checkpoint_id": system.current(&video).await["checkpoint_id"] });

    let path = format!("/api/video/{video}/continue");
    let over_http = join_all((0..25).map(|_| system.post(&path, &body)));
    let over_nats = join_all((0..25).map(|_| system.command("local", &video, "approve", body.to_string())));
    let (over_http, over_nats) = tokio::join!(over_http, over_nats);

    let first = &over_http[0].1;
    assert_eq!(first["next_phase"], 2, "{first}");
    for (status, answer) in &over_http {
        assert_eq!((status, answer), (&200, first));
    }
    for outcome in &over_nats {
        assert_eq!((&outcome["type"], &outcome["answer"]), (&json!("command_answered"), first), "{outcome}");
    }
    let did_it = &over_nats[0]["first_command_id"];
    assert!(over_nats.iter().all(|outcome| outcome["first_command_id"] == *did_it), "all name the one that did it");

    system.wait_for(&video, "paused_at_phase2").await;
    let events = system.history(&video).await;
    let count = |name: &str| events.iter().filter(|event| event["type"] == name).count();
    assert_eq!((count("checkpoint_approved"), count("phase_started"), count("checkpoint_created")), (1, 2, 2));
}

#[tokio::test]
async fn a_phase_that_still_runs_cannot_be_approved() {
    let system = System::start().await;
    let video = system.create(&json!({ "prompt": WISH, "duration": 30 })).await;
    system.wait_for(&video, "paused_at_phase1").await;

    // Both commands stand in the log before the first is decided, so no worker can be faster than the second.
    let id: VideoId = video.parse().expect("a video id");
    let running = CheckpointId::derived(id, &BranchName::main(), Phase::Storyboard, 1);
    let now = json!({ "checkpoint_id": system.current(&video).await["checkpoint_id"] });
    let early = json!({ "checkpoint_id": running });
    let path = format!("/api/video/{video}/continue");
    let (first, second) = tokio::join!(
        system.command("local", &video, "approve", now.to_string()),
        system.command("local", &video, "approve", early.to_string()),
    );
    let (status, refusal) = system.post(&path, &early).await;

    assert_eq!(first["type"], "command_answered", "{first}");
    // On a slow machine the commands may arrive the other way round: then nobody has heard of the phase yet.
    assert!(["not_pending", "unknown_checkpoint"].contains(&text(&second["code"])), "{second}");
    assert_eq!((status, &refusal["code"]), (409, &json!("not_pending")), "{refusal}");
    let (status, _) = system.post(&format!("/api/video/{video}/cancel"), &json!({})).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn an_approval_of_what_was_not_looked_at_is_refused() {
    let system = System::start().await;
    let video = system.create(&json!({ "prompt": WISH, "duration": 5 })).await;
    system.wait_for(&video, "paused_at_phase1").await;
    let waiting = system.current(&video).await;
    let path = format!("/api/video/{video}/continue");

    let other = "0".repeat(64);
    let body = json!({ "checkpoint_id": waiting["checkpoint_id"], "digest": other });
    let (status, refusal) = system.post(&path, &body).await;
    assert_eq!((status, &refusal["code"]), (409, &json!("stale_digest")), "{refusal}");
    assert_eq!(system.status(&video).await["status"], "paused_at_phase1", "a refusal changes nothing");

    let outcome = system.command("mallory", &video, "approve", body.to_string()).await;
    assert_eq!(outcome["code"], "unknown_video", "another user's video does not exist: {outcome}");
    let events: Vec<Value> = system.history(&video).await;
    assert!(events.iter().all(|event| event["type"] != "checkpoint_approved"));
}
