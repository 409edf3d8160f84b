//! The event stream: no gap, no repeat, an end.

use std::time::Duration;

use gateway::config::Settings;
use messages::id::{ArtifactId, UserId};
use runtime::bus::RequestError;
use serde_json::json;

use crate::coordinator::Coordinator;
use crate::gateway_under_test::Gateway;
use crate::server::{NatsServer, eventually};
use crate::{answer, refusal, system, video};

#[tokio::test]
async fn w40_a_first_connection_gets_a_snapshot_and_then_what_happens() {
    let (_server, coordinator, gateway) = system().await;
    coordinator.has(video());
    coordinator.records(video(), "video_created");
    coordinator.records(video(), "phase_started");
    let mut stream = gateway.stream(video(), None).await;
    let snapshot = stream.next().await.expect("a snapshot");
    assert_eq!((snapshot.name.as_str(), snapshot.id, &snapshot.data["revision"]), ("snapshot", Some(2), &json!(2)));
    let link = snapshot.data["storyboard_urls"][0].as_str().expect("a link");
    assert!(link.starts_with(&gateway.base), "{link}");

    coordinator.happens(video(), "job_done").await;
    coordinator.happens(video(), "checkpoint_created").await;
    assert_eq!(stream.numbered().await, ("job_done".into(), Some(3)));
    let created = stream.until("checkpoint_created").await;
    assert_eq!((created.id, &created.data["seq"]), (Some(4), &json!(4)));
}

#[tokio::test]
async fn w42_a_reconnect_goes_on_exactly_where_it_was() {
    let (_server, coordinator, gateway) = system().await;
    coordinator.has(video());
    for _ in 0..120 {
        coordinator.records(video(), "job_done");
    }
    for (last, first) in [("0", 1), ("17", 18), ("119", 120)] {
        let mut stream = gateway.stream(video(), Some(last)).await;
        for seq in first..=120 {
            assert_eq!(stream.numbered().await, ("job_done".into(), Some(seq)));
        }
    }
    let mut stream = gateway.stream(video(), Some("120")).await;
    coordinator.happens(video(), "phase_failed").await;
    assert_eq!(stream.numbered().await, ("phase_failed".into(), Some(121)));
}

#[tokio::test]
async fn an_id_that_says_nothing_gets_a_snapshot() {
    let (_server, coordinator, gateway) = system().await;
    coordinator.has(video());
    coordinator.records(video(), "video_created");
    for strange in ["2", "99999999999999999999", "-1", "abc"] {
        let mut stream = gateway.stream(video(), Some(strange)).await;
        assert_eq!(stream.numbered().await, ("snapshot".into(), Some(1)), "{strange}");
    }
}

#[tokio::test]
async fn a_lost_event_is_fetched_and_a_repeated_one_is_not_sent_again() {
    let (_server, coordinator, gateway) = system().await;
    coordinator.has(video());
    coordinator.records(video(), "video_created");
    let mut stream = gateway.stream(video(), None).await;
    assert_eq!(stream.numbered().await, ("snapshot".into(), Some(1)));
    coordinator.records(video(), "phase_started");
    coordinator.records(video(), "job_done");
    coordinator.happens(video(), "checkpoint_created").await;
    for seq in [4, 2, 3, 4] {
        coordinator.publishes(video(), seq).await;
    }
    coordinator.happens(video(), "checkpoint_approved").await;
    for expected in ["phase_started", "job_done", "checkpoint_created", "checkpoint_approved"] {
        assert_eq!(stream.numbered().await.0, expected);
    }
}

#[tokio::test]
async fn a_head_that_could_not_be_compared_is_compared_again_soon() {
    let (_server, coordinator, gateway) = system().await;
    coordinator.has(video());
    coordinator.answers("history", json!("of no use"));
    let mut stream = gateway.stream(video(), None).await;
    assert_eq!(stream.numbered().await, ("snapshot".into(), Some(0)));
    coordinator.records(video(), "video_created");
    eventually("the head is asked for", async || coordinator.asked("history") > 0).await;
    coordinator.answers_truly("history");
    // Else it would be a minute.
    let heard = tokio::time::timeout(Duration::from_secs(20), stream.numbered()).await;
    assert_eq!(heard, Ok(("video_created".into(), Some(1))));
}

#[tokio::test]
async fn a_finished_video_closes_its_streams() {
    let (_server, coordinator, gateway) = system().await;
    coordinator.has(video());
    coordinator.records(video(), "video_created");
    let mut live = gateway.stream(video(), None).await;
    assert_eq!(live.numbered().await, ("snapshot".into(), Some(1)));
    coordinator.is_now(video(), "complete", true);
    coordinator.happens(video(), "branch_completed").await;
    assert_eq!(live.numbered().await, ("branch_completed".into(), Some(2)));
    assert_eq!(live.numbered().await, ("close".into(), None));
    assert_eq!(live.next().await, None);

    let mut first = gateway.stream(video(), None).await;
    assert_eq!(first.numbered().await, ("snapshot".into(), Some(2)));
    assert_eq!(first.numbered().await, ("close".into(), None));
    assert_eq!(first.next().await, None);

    let mut below = gateway.stream(video(), Some("1")).await;
    assert_eq!(below.numbered().await, ("branch_completed".into(), Some(2)));
    assert_eq!(below.numbered().await, ("close".into(), None));
    assert_eq!(below.next().await, None);

    let at_head = gateway.get(&format!("/api/status/{}/stream", video())).header("last-event-id", "2");
    assert_eq!(answer(at_head).await.0, 204);
}

#[tokio::test]
async fn a_status_update_says_only_what_changed() {
    let (_server, coordinator, gateway) = system().await;
    coordinator.has(video());
    coordinator.records(video(), "video_created");
    let mut stream = gateway.stream(video(), None).await;
    coordinator.is_now(video(), "paused_at_phase1", false);
    coordinator.happens(video(), "checkpoint_created").await;
    let update = stream.until("status_update").await;
    assert_eq!(update.id, None);
    assert_eq!(update.data, json!({ "status": "paused_at_phase1", "revision": 2 }));
}

#[tokio::test]
async fn a_reconnecting_client_learns_the_status_of_now() {
    let (_server, coordinator, gateway) = system().await;
    coordinator.has(video());
    coordinator.records(video(), "video_created");
    coordinator.is_now(video(), "paused_at_phase1", false);
    let mut stream = gateway.stream(video(), Some("1")).await;
    let update = stream.until("status_update").await;
    assert_eq!((&update.data["status"], &update.data["revision"]), (&json!("paused_at_phase1"), &json!(1)));
}

#[tokio::test]
async fn a_stop_ends_open_streams_without_saying_that_the_video_is_done() {
    let (_server, coordinator, gateway) = system().await;
    coordinator.has(video());
    let mut stream = gateway.stream(video(), None).await;
    assert_eq!(stream.numbered().await, ("snapshot".into(), Some(0)));
    drop(gateway);
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn progress_passes_through_without_an_id() {
    let (_server, coordinator, gateway) = system().await;
    coordinator.has(video());
    let mut stream = gateway.stream(video(), None).await;
    let body = json!({ "type": "progress", "job": "j", "fraction": 0.5 });
    coordinator.says(format!("video.local.{}.progress.j", video()), body.clone()).await;
    let progress = stream.until("progress").await;
    assert_eq!((progress.id, progress.data), (None, body));
}

#[tokio::test]
async fn a_gateway_hears_what_happens_only_when_somebody_watches() {
    let (server, coordinator, gateway) = system().await;
    coordinator.has(video());
    let bus = server.bus().await;
    // Of what is stored nowhere, NATS says at once whether anybody hears it.
    let progress = format!("video.local.{}.progress.j", video());
    let heard = async || {
        let asked = bus.request(&progress, "{}".into(), Duration::from_millis(200)).await;
        !matches!(asked, Err(RequestError::NoResponders { .. }))
    };
    assert!(!heard().await, "nobody watches");
    let _stream = gateway.stream(video(), None).await;
    assert!(heard().await, "somebody watches");
}

#[tokio::test]
async fn a_deleted_video_ends_its_streams() {
    let (_server, coordinator, gateway) = system().await;
    coordinator.has(video());
    let mut stream = gateway.stream(video(), None).await;
    coordinator.happens(video(), "video_deleted").await;
    assert_eq!(stream.numbered().await, ("snapshot".into(), Some(0)));
    assert_eq!(stream.numbered().await, ("video_deleted".into(), Some(1)));
    assert_eq!(stream.numbered().await, ("close".into(), None));
}

#[tokio::test]
async fn what_happened_while_nats_was_away_arrives_when_it_is_back() {
    let (mut server, coordinator, gateway) = system().await;
    coordinator.has(video());
    coordinator.records(video(), "video_created");
    let mut stream = gateway.stream(video(), None).await;
    assert_eq!(stream.numbered().await, ("snapshot".into(), Some(1)));
    server.kill().await;
    coordinator.records(video(), "phase_started");
    server.restart();
    assert_eq!(stream.numbered().await, ("phase_started".into(), Some(2)));
    coordinator.happens(video(), "job_done").await;
    assert_eq!(stream.numbered().await, ("job_done".into(), Some(3)));
}

#[tokio::test]
async fn a_silent_stream_says_that_it_lives() {
    let server = NatsServer::start();
    let bus = server.bus().await;
    let coordinator = Coordinator::start(&bus).await;
    let settings = Settings { heartbeat: Duration::from_millis(100), ..Settings::default() };
    let gateway = Gateway::start(&bus, settings).await;
    coordinator.has(video());
    let mut stream = gateway.stream(video(), None).await;
    stream.heartbeat().await;
    stream.heartbeat().await;
    let response = gateway.get(&format!("/api/status/{}/stream", video())).send().await.expect("an answer");
    assert_eq!(
        (&response.headers()["cache-control"], &response.headers()["x-accel-buffering"]),
        (&"no-store".parse().expect("a header"), &"no".parse().expect("a header"),)
    );
}

#[tokio::test]
async fn a_client_that_reads_slowly_still_gets_everything_in_order() {
    let (_server, coordinator, gateway) = system().await;
    coordinator.has(video());
    coordinator.records(video(), "video_created");
    let mut stream = gateway.stream(video(), None).await;
    assert_eq!(stream.numbered().await, ("snapshot".into(), Some(1)));
    for _ in 0..2000 {
        coordinator.happens(video(), "job_done").await;
    }
    for seq in 2..=2001 {
        assert_eq!(stream.numbered().await, ("job_done".into(), Some(seq)));
    }
}

#[tokio::test]
async fn a_stream_that_its_client_left_is_forgotten() {
    let (_server, coordinator, gateway) = system().await;
    coordinator.has(video());
    let open = async || {
        let (_, text) = answer(gateway.get("/metrics")).await;
        let lines = text.as_str().expect("text").lines();
        lines.filter_map(|line| line.strip_prefix("dailies_gateway_streams ")).map(str::to_owned).next()
    };
    let streams = [gateway.stream(video(), None).await, gateway.stream(video(), None).await];
    eventually("both are counted", async || open().await == Some("2".into())).await;
    drop(streams);
    eventually("both are gone", async || open().await == Some("0".into())).await;
}

#[tokio::test]
async fn another_users_events_are_not_in_a_stream() {
    let (_server, coordinator, gateway) = system().await;
    coordinator.has(video());
    let mut stream = gateway.stream(video(), None).await;
    let other: UserId = "mallory".parse().expect("valid");
    let forged = json!({ "type": "job_done", "seq": 1, "artifact": ArtifactId::from_uuid(uuid::Uuid::nil()) });
    coordinator.says(messages::subject::event(&other, &video().to_string(), "job_done"), forged).await;
    coordinator.happens(video(), "phase_started").await;
    assert_eq!(stream.numbered().await, ("snapshot".into(), Some(0)));
    assert_eq!(stream.numbered().await, ("phase_started".into(), Some(1)));
    assert_eq!(refusal(gateway.get("/api/status/vid-x/stream")).await.0, 404);
}
