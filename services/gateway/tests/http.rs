//! The HTTP contract, over a real NATS server and in front of a scripted coordinator.

#[path = "http/coordinator.rs"]
mod coordinator;
#[path = "http/gateway.rs"]
mod gateway_under_test;
#[path = "http/keys.rs"]
mod keys;
#[path = "http/load.rs"]
mod load;
#[path = "http/server.rs"]
mod server;
#[path = "http/streams.rs"]
mod streams;
#[path = "http/uploads.rs"]
mod uploads;

use std::time::{Duration, Instant};

use gateway::config::Settings;
use messages::artifact::{ArtifactKey, Content, Digest, MediaType, ObjectRef};
use messages::command::{Code, Rejection};
use messages::id::{UserId, VideoId};
use messages::query::ArtifactLocation;
use messages::subject::CommandSubject;
use messages::violation::Violation;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::coordinator::Coordinator;
use crate::gateway_under_test::{Gateway, answer, refusal};
use crate::server::{NatsServer, eventually};

const CP: &str = "cp-0195f0a0-2222-7000-8000-000000000002";
const ART: &str = "art-0195f0a0-3333-7000-8000-000000000003";

fn video() -> VideoId {
    "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid")
}

fn brief() -> Value {
    json!({ "prompt": "a steel watch on black sand" })
}

/// Everything in its place.
async fn system() -> (NatsServer, Coordinator, Gateway) {
    let server = NatsServer::start();
    let bus = server.bus().await;
    let coordinator = Coordinator::start(&bus).await;
    let gateway = Gateway::start(&bus, Settings::default()).await;
    (server, coordinator, gateway)
}

#[tokio::test]
async fn generate_answers_what_the_coordinator_decided() {
    let (_server, coordinator, gateway) = system().await;
    let decided = json!({ "video_id": video(), "status": "queued", "message": "planning starts" });
    coordinator.decides("create", Ok(decided.clone()));

    let mut body = brief();
    body["video_id"] = json!(video());
    body["duration"] = json!(15);
    assert_eq!(answer(gateway.post("/api/generate", &body)).await, (202, decided));

    let seen = &coordinator.seen()[0];
    assert_eq!((seen.user.as_str(), seen.video.as_str()), ("local", video().to_string().as_str()));
    assert_eq!((seen.verb.as_str(), seen.via.as_str()), ("create", "http"));
    assert_eq!((&seen.body["prompt"], &seen.body["duration"]), (&body["prompt"], &json!(15)));
    assert!(seen.body.get("video_id").is_none(), "the subject is the identity");
}

#[tokio::test]
async fn w3_one_idempotency_key_makes_one_video_and_one_command() {
    let (_server, coordinator, gateway) = system().await;
    coordinator.decides("create", Ok(json!({ "video_id": "the first", "status": "queued", "message": "" })));
    let click = || answer(gateway.post("/api/generate", &brief()).header("idempotency-key", "click-1"));
    let (one, two) = tokio::join!(click(), click());
    assert_eq!(one, two);
    assert_eq!(one.0, 202);
    let seen = coordinator.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|command| command.id == "click-1"));
    let derived = VideoId::derived(&UserId::local(), "click-1").to_string();
    assert!(seen.iter().all(|command| command.video == derived));

    let other = answer(gateway.post("/api/generate", &brief())).await;
    assert_eq!(other.0, 202);
    assert_ne!(coordinator.seen()[2].video, derived, "without a key it is another video");
}

#[tokio::test]
async fn a_refusal_names_every_wrong_field() {
    let (_server, coordinator, gateway) = system().await;
    let wrong = ["prompt", "duration"].map(|field| Violation::new(field, "is wrong"));
    coordinator.decides("create", Err(Rejection::invalid(wrong.to_vec())));
    let (status, body) = answer(gateway.post("/api/generate", &json!({ "prompt": "" }))).await;
    assert_eq!((status, &body["code"]), (422, &json!("invalid")));
    assert_eq!(body["errors"][1]["field"], "duration");

    coordinator.decides("approve", Err(Rejection::new(Code::StaleDigest, "the selection moved")));
    let approve = gateway.post(&format!("/api/video/{}/continue", video()), &json!({ "checkpoint_id": CP }));
    let (status, body) = answer(approve).await;
    assert_eq!((status, &body["code"], &body["detail"]), (409, &json!("stale_digest"), &json!("the selection moved")));
}

#[tokio::test]
async fn what_cannot_be_a_command_does_not_reach_the_bus() {
    let (_server, coordinator, gateway) = system().await;
    let url = format!("{}/api/generate", gateway.base);
    let raw = |body: Vec<u8>| gateway.client.post(&url).header("content-type", "application/json").body(body);
    for not_json in [&b"{"[..], b"\xff\xfe\xfd", b"{\"prompt\": \"\xff\"}", b"prompt=x"] {
        assert_eq!(refusal(raw(not_json.to_vec())).await, (400, "not_json".into()));
    }
    for invalid in [&b"[]"[..], b"", b"null", b"{\"prompt\": 7}", b"{\"prompt\": \"x\", \"promt\": \"y\"}"] {
        assert_eq!(refusal(raw(invalid.to_vec())).await, (422, "invalid".into()));
    }
    let large = json!({ "prompt": "x".repeat(10_000_000) }).to_string().into_bytes();
    assert_eq!(refusal(raw(large)).await, (413, "too_large".into()));

    let form = gateway.client.post(&url).header("content-type", "text/plain").body(brief().to_string());
    assert_eq!(refusal(form).await, (415, "unsupported_media_type".into()));
    let untyped = gateway.client.post(&url).body(brief().to_string());
    assert_eq!(refusal(untyped).await, (415, "unsupported_media_type".into()));
    let rebound = gateway.post("/api/generate", &brief()).header("host", "evil.example");
    assert_eq!(refusal(rebound).await, (403, "forbidden_host".into()));
    let foreign = gateway.post("/api/generate", &brief()).header("origin", "http://evil.example");
    assert_eq!(refusal(foreign).await, (403, "forbidden_origin".into()));
    let peeping = gateway.get("/api/videos").header("host", "evil.example");
    assert_eq!(refusal(peeping).await, (403, "forbidden_host".into()));
    let own = gateway.post("/api/generate", &brief()).header("origin", &gateway.base);
    let bad_key = own.try_clone().expect("a copy").header("idempotency-key", "two words");
    assert_eq!(refusal(bad_key).await, (422, "invalid".into()));
    assert!(coordinator.seen().is_empty());

    assert_eq!(answer(own).await.0, 202);
}

#[tokio::test]
async fn what_does_not_exist_is_a_404_and_says_so() {
    let (_server, _coordinator, gateway) = system().await;
    let unknown = "vid-0195f0a0-9999-7000-8000-000000000009";
    for (path, code) in [
        (format!("/api/status/{unknown}"), "unknown_video"),
        (format!("/api/status/{unknown}/stream"), "unknown_video"),
        ("/api/status/what-is-this".to_owned(), "unknown_video"),
        ("/api/status/%ff".to_owned(), "unknown_path"),
        ("/api/video/..%2f..%2fetc".to_owned(), "unknown_video"),
        (format!("/api/video/{unknown}/checkpoints/cp-1"), "unknown_checkpoint"),
        (format!("/api/video/{unknown}/compare?a=1&b={CP}"), "unknown_checkpoint"),
        (format!("/api/artifacts/{ART}/content"), "unknown_artifact"),
        ("/api/artifacts/a.b.*/content".to_owned(), "unknown_artifact"),
        ("/api/films".to_owned(), "unknown_path"),
        ("/".to_owned(), "unknown_path"),
    ] {
        assert_eq!(refusal(gateway.get(&path)).await, (404, code.to_owned()), "{path}");
    }
    let wrong = gateway.send(Method::PUT, "/api/videos", &json!({})).send().await.expect("an answer");
    assert_eq!((wrong.status().as_u16(), &wrong.headers()["allow"]), (405, &"GET,HEAD".parse().expect("a header")));
    assert_eq!(refusal(gateway.send(Method::PUT, "/api/videos", &json!({}))).await.0, 405);
}

#[tokio::test]
async fn a_list_is_asked_for_with_checked_limits() {
    let (_server, _coordinator, gateway) = system().await;
    assert_eq!(answer(gateway.get("/api/videos?status=complete&limit=100")).await.0, 200);
    for wrong in ["limit=0", "limit=101", "limit=x", "status=done", "page=2"] {
        assert_eq!(refusal(gateway.get(&format!("/api/videos?{wrong}"))).await, (422, "invalid".into()), "{wrong}");
    }
}

#[tokio::test]
async fn a_dry_run_of_retention_says_what_goes_when_and_what_it_cost() {
    let (_server, coordinator, gateway) = system().await;
    let path = format!("/api/video/{}/retention", video());
    assert_eq!(refusal(gateway.get(&path)).await, (404, "unknown_video".into()));
    coordinator.has(video());
    let row = json!({ "checkpoint_id": CP, "branch_name": "dusk", "phase_number": 2, "version": 1,
        "since": "2026-01-01T00:00:00Z", "due_at": "2026-01-31T00:00:00Z", "artifacts": [ART], "bytes": 81_920,
        "cost_usd": 0.5 });
    let mut kept = row.clone();
    kept["due_at"] = Value::Null;
    coordinator.answers("retention", json!([row, kept]));
    assert_eq!(answer(gateway.get(&path)).await, (200, json!([row, kept])));
}

#[tokio::test]
async fn w21_the_current_checkpoint_is_the_newest_pending_one() {
    let (_server, coordinator, gateway) = system().await;
    coordinator.has(video());
    let path = format!("/api/video/{}/checkpoints/current", video());
    coordinator.answers("checkpoints", json!([]));
    assert_eq!(refusal(gateway.get(&path)).await, (404, "unknown_checkpoint".into()));

    let checkpoint = |n: u8, status: &str| {
        json!({ "checkpoint_id": format!("cp-{n}"), "video_id": video(), "branch_name": "main", "phase_number": n,
            "version": 1, "parent_checkpoint_id": null, "status": status, "created_at": "2026-01-01T00:00:00Z",
            "approved_at": null, "superseded_by": null, "digest": "d", "edited": false, "can_continue": true, "pinned": false,
            "warnings": [], "estimate_next_usd": 0.0, "stale": [], "in_flight": [], "allowed": [],
            "artifacts": { "spec": { "id": ART, "artifact_type": "spec", "artifact_key": "spec", "version": 1,
                "s3_url": format!("/api/artifacts/{ART}/content"), "metadata": {}, "created_at": "2026-01-01T00:00:00Z" } } })
    };
    let all =
        [checkpoint(1, "approved"), checkpoint(2, "pending"), checkpoint(3, "pending"), checkpoint(4, "abandoned")];
    coordinator.answers("checkpoints", json!(all));
    let (status, body) = answer(gateway.get(&path)).await;
    assert_eq!((status, &body["checkpoint_id"]), (200, &json!("cp-3")));
    let link = format!("{}/api/artifacts/{ART}/content", gateway.base);
    assert_eq!(body["artifacts"]["spec"]["s3_url"], link);

    // As many as there are, where no message takes them all.
    coordinator.answers_in_parts_of(3);
    let list = format!("/api/video/{}/checkpoints", video());
    let (status, body) = answer(gateway.get(&list)).await;
    let ids: Vec<_> = body.as_array().expect("a list").iter().map(|one| one["checkpoint_id"].clone()).collect();
    assert_eq!((status, ids), (200, vec![json!("cp-1"), json!("cp-2"), json!("cp-3"), json!("cp-4")]));
    coordinator.answers_in_parts_of(1);
    assert_eq!(answer(gateway.get(&path)).await.1["checkpoint_id"], "cp-3");
}

#[tokio::test]
async fn each_route_sends_its_own_command() {
    let (_server, coordinator, gateway) = system().await;
    let job = format!("{CP}-chunk_3-v1");
    let sent = [
        (Method::POST, "continue", json!({ "checkpoint_id": CP, "branch": "same" }), 200, "approve"),
        (Method::PATCH, "checkpoints/CP/spec", json!({ "style": { "mood": "elegant" } }), 200, "edit"),
        (Method::PATCH, "checkpoints/CP/audio", json!({ "music": false, "fade_out_s": 3 }), 200, "edit"),
        (Method::POST, "checkpoints/CP/regenerate-beat", json!({ "beat_index": 2, "seed": 7 }), 202, "regenerate"),
        (Method::POST, "checkpoints/CP/regenerate-chunk", json!({ "chunk_index": 3 }), 202, "regenerate"),
        (Method::POST, "checkpoints/CP/select", json!({ "artifact_key": "beat_0", "version": 1 }), 200, "select"),
        (Method::POST, "checkpoints/CP/take", json!({ "from_checkpoint": CP, "artifact_key": "beat_0" }), 200, "take"),
        (Method::POST, "checkpoints/CP/reject", json!({ "notes": "warmer" }), 200, "reject"),
        (Method::POST, "checkpoints/CP/abandon", json!({}), 200, "abandon"),
        (Method::POST, "checkpoints/CP/fork", json!({ "branch": "warm" }), 200, "fork"),
        (Method::PUT, "checkpoints/CP/pin", json!({ "pinned": false }), 200, "pin"),
        (Method::POST, "retry", json!({ "branch": "main" }), 200, "retry"),
        (Method::POST, "cancel", json!({}), 200, "cancel"),
        (Method::POST, "resolve", json!({ "job": job, "decision": "collect" }), 200, "resolve"),
        (Method::PATCH, "", json!({ "title": "Sand", "auto_continue": { "until": "chunks" } }), 200, "settings"),
        (Method::DELETE, "", json!({}), 202, "delete"),
    ];
    for (n, (method, path, body, status, verb)) in sent.iter().enumerate() {
        let path = format!("/api/video/{}/{}", video(), path.replace("CP", CP));
        let request = gateway.send(method.clone(), path.trim_end_matches('/'), body);
        let answered = answer(request.header("idempotency-key", format!("key-{n}"))).await;
        assert_eq!((answered.0, &answered.1["message"]), (*status, &json!("done")), "{path}: {answered:?}");
        let seen = coordinator.seen().pop().expect("a command");
        assert_eq!((seen.verb.as_str(), seen.id), (*verb, format!("key-{n}")), "{path}");
    }
    let bodies: Vec<_> = coordinator.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies[1], json!({ "checkpoint_id": CP, "patch": { "style": { "mood": "elegant" } } }));
    assert_eq!(bodies[2]["patch"], json!({ "audio": { "music": false, "fade_out_s": 3.0 } }));
    assert_eq!(bodies[3], json!({ "checkpoint_id": CP, "artifact_key": "beat_2", "seed": 7 }));
    assert_eq!(bodies[10], json!({ "checkpoint_id": CP, "pinned": false }));
    assert_eq!(bodies[14], json!({ "title": "Sand", "auto_continue": { "until": "chunks" } }));
}

#[tokio::test]
async fn w44_an_artifacts_link_leads_to_its_bytes_of_now() {
    let (_server, coordinator, gateway) = system().await;
    let path = format!("/api/artifacts/{ART}/content");
    let location = |content| {
        let artifact_key = ArtifactKey::Beat(0);
        json!(ArtifactLocation { user: UserId::local(), video_id: video(), artifact_key, content })
    };
    let object = ObjectRef {
        key: "local/videos/x/beat_00_v1-9f2c01aa.png".into(),
        sha256: Digest::of(b"x"),
        size: 12_345,
        media_type: MediaType::Png,
    };
    coordinator.answers("artifact", location(Content::Object(object)));
    let response = gateway.get(&path).send().await.expect("an answer");
    assert_eq!(response.status(), 307);
    let link = "http://objects.example/local/videos/x/beat_00_v1-9f2c01aa.png?lifetime=3600";
    assert_eq!(response.headers()["location"], link);
    assert_eq!(response.headers()["cache-control"], "no-store");

    let described = gateway.client.head(format!("{}{path}", gateway.base)).send().await.expect("an answer");
    assert_eq!(
        (described.status().as_u16(), &described.headers()["content-type"]),
        (200, &"image/png".parse().expect(""))
    );
    assert_eq!(described.headers()["content-length"], "12345");
}

#[tokio::test]
async fn an_undecided_command_is_stored_and_an_unanswered_query_says_so() {
    let server = NatsServer::start();
    let bus = server.bus().await;
    let settings = Settings { answer_timeout: Duration::from_millis(300), ..Settings::default() };
    let gateway = Gateway::start(&bus, settings).await;
    let stored = answer(gateway.post("/api/generate", &brief()).header("idempotency-key", "click-1")).await;
    let derived = VideoId::derived(&UserId::local(), "click-1");
    assert_eq!(stored, (202, json!({ "status": "stored", "video_id": derived, "command_id": "click-1" })));
    assert_eq!(refusal(gateway.get("/api/videos")).await, (503, "no_coordinator".into()));
    assert_eq!(refusal(gateway.get("/readyz")).await, (503, "no_coordinator".into()));
    assert_eq!(answer(gateway.get("/healthz")).await.0, 200);

    // The command waits for a coordinator, as promised.
    let mut stream = bus.jetstream().get_stream(messages::subject::VIDEO_COMMANDS).await.expect("there");
    assert_eq!(stream.info().await.expect("there").state.messages, 1);
    let _coordinator = Coordinator::start(&bus).await;
    assert_eq!(answer(gateway.get("/readyz")).await.0, 200);
}

#[tokio::test]
async fn whoever_follows_a_stored_answer_means_the_same_video_also_without_a_key_at_first() {
    let server = NatsServer::start();
    let bus = server.bus().await;
    let settings = Settings { answer_timeout: Duration::from_millis(300), ..Settings::default() };
    let gateway = Gateway::start(&bus, settings).await;
    let (status, stored) = answer(gateway.post("/api/generate", &brief())).await;
    assert_eq!((status, &stored["status"]), (202, &json!("stored")));

    let id = stored["command_id"].as_str().expect("an id");
    let again = answer(gateway.post("/api/generate", &brief()).header("idempotency-key", id)).await;
    assert_eq!(again, (202, stored.clone()));
    let stream = bus.jetstream().get_stream(messages::subject::VIDEO_COMMANDS).await.expect("there");
    for seq in [1, 2] {
        let command = stream.get_raw_message(seq).await.expect("there");
        let subject = CommandSubject::parse(&command.subject).expect("a command");
        assert_eq!(json!(subject.video), stored["video_id"], "{}", command.subject);
    }
}

#[tokio::test]
async fn without_nats_requests_are_refused_at_once() {
    let (mut server, _coordinator, gateway) = system().await;
    server.kill().await;
    let asked = Instant::now();
    let (status, code) = refusal(gateway.post("/api/generate", &brief())).await;
    assert_eq!((status, code.as_str()), (503, "nats_unavailable"));
    assert_eq!(refusal(gateway.get("/api/videos")).await.0, 503);
    assert_eq!(refusal(gateway.get("/readyz")).await.0, 503);
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());

    server.restart();
    eventually("the gateway serves again", async || answer(gateway.get("/api/videos")).await.0 == 200).await;
    assert_eq!(answer(gateway.post("/api/generate", &brief())).await.0, 202);
}

#[tokio::test]
async fn a_command_whose_sender_left_is_sent_all_the_same() {
    let (_server, coordinator, gateway) = system().await;
    let address = gateway.base.trim_start_matches("http://");
    let body = brief().to_string();
    let mut socket = tokio::net::TcpStream::connect(address).await.expect("connects");
    let request = format!(
        "POST /api/generate HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.expect("writes");
    drop(socket);
    eventually("the command", async || coordinator.seen().len() == 1).await;
}

#[tokio::test]
async fn an_address_that_others_can_reach_is_not_served_without_keys() {
    let server = NatsServer::start();
    let bus = server.bus().await;
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", 0)).await.expect("a free port");
    let objects = std::sync::Arc::new(gateway_under_test::Objects::default());
    let shutdown = tokio_util::sync::CancellationToken::new();
    let error = gateway::serve(listener, Settings::default(), bus, objects, shutdown).await.expect_err("is refused");
    assert!(error.to_string().contains("loopback"), "{error}");
}

#[tokio::test]
async fn the_catalogue_and_the_api_document_are_served() {
    let (_server, _coordinator, gateway) = system().await;
    let (_, models) = answer(gateway.get("/api/models")).await;
    let first = models.as_array().expect("a list").iter().find(|model| model["kind"] == "video").expect("one");
    assert_eq!((&first["name"], &first["default"]), (&json!("local_animatic"), &json!(true)));
    assert_eq!(answer(gateway.get("/api/templates")).await.1.as_array().map(Vec::len), Some(5));
    assert_eq!(answer(gateway.get("/api/beats")).await.1.as_array().map(Vec::len), Some(15));
    let (_, document) = answer(gateway.get("/api/openapi.json")).await;
    assert!(document["paths"]["/api/generate"]["post"].is_object());
    assert_eq!(refusal(gateway.get("/api/films")).await.0, 404);
    let (_, metrics) = answer(gateway.get("/metrics")).await;
    assert!(
        metrics
            .as_str()
            .expect("text")
            .contains("dailies_gateway_requests_total{method=\"GET\",route=\"other\",status=\"404\"} 1"),
        "{metrics}"
    );
}
