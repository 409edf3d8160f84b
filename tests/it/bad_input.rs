//! What is refused, by which name, over HTTP and over NATS; and that garbage disturbs nobody.

use std::collections::BTreeMap;

use async_nats::jetstream;
use futures::{StreamExt as _, TryStreamExt as _};
use messages::subject;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{SOON, Setup, System, answer, command_id, id_header, is_outcome, text, until};

const WISH: &str = "A 5 second ad for a tea kettle, calm, copper";

/// An id that no video has.
const NOBODY: &str = "vid-0195f0a0-1111-7000-8000-000000000001";

/// Wishes that are refused, the field that is to blame, and a word of the reason.
fn bad_wishes() -> Vec<(Value, &'static str, &'static str)> {
    let with = |field: &str, value: Value| {
        let mut wish = json!({ "prompt": WISH });
        wish[field] = value;
        wish
    };
    vec![
        (json!({}), "prompt", "missing"),
        (with("prompt", json!("")), "prompt", "10 to 1000"),
        (with("prompt", json!("          ")), "prompt", "10 to 1000"),
        (with("prompt", json!("a".repeat(9))), "prompt", "10 to 1000"),
        (with("prompt", json!("a".repeat(1001))), "prompt", "10 to 1000"),
        (with("prompt", json!(format!("{WISH}\u{0}"))), "prompt", "control"),
        (with("prompt", json!(format!("{WISH}\u{1b}[2J"))), "prompt", "control"),
        (with("prompt", json!(7)), "prompt", "string"),
        (with("title", json!("t".repeat(201))), "title", "200"),
        (with("description", json!("d".repeat(2001))), "description", "2000"),
        (with("model", json!("sora-99")), "model", "local"),
        (with("template", json!("epic")), "template", "luxury_showcase"),
        (with("aspect_ratio", json!("2:1")), "aspect_ratio", "16:9, 9:16, 1:1, 4:5"),
        (with("duration", json!(0)), "duration", "5 to 180"),
        (with("duration", json!(4)), "duration", "5 to 180"),
        (with("duration", json!(181)), "duration", "5 to 180"),
        (with("duration", json!(-5)), "duration", "5 to 180"),
        (with("creativity", json!(1.5)), "creativity", "0 to 1"),
        (with("auto_continue", json!({ "until": "credits" })), "auto_continue", "planning"),
        (with("budget_usd", json!(-1)), "budget_usd", ""),
        (with("reference_assets", json!(["a.png"])), "reference_assets", "not supported"),
        (with("durration", json!(5)), "durration", "unknown field"),
    ]
}

#[tokio::test]
async fn every_wrong_field_of_a_wish_is_named() {
    let system = System::start().await;
    for (number, (wish, field, word)) in (1..).zip(bad_wishes()) {
        let (status, problem) = system.post("/api/generate", &wish).await;
        let code = if field == "reference_assets" { "not_supported" } else { "invalid" };
        assert_eq!((status, text(&problem["code"])), (422, code), "{wish}: {problem}");
        assert_blames(&problem, field, word);

        let video = format!("vid-0195f0a0-1111-7000-8000-{number:012}");
        let outcome = system.command("local", &video, "create", wish.to_string()).await;
        assert_eq!((text(&outcome["type"]), text(&outcome["code"])), ("command_rejected", code), "{outcome}");
        assert_blames(&outcome, field, word);
    }
    let several = json!({ "prompt": "short", "duration": 4, "model": "sora-99" });
    let (_, problem) = system.post("/api/generate", &several).await;
    assert_eq!(problem["errors"].as_array().map(Vec::len), Some(3), "all at once: {problem}");

    let (_, videos) = system.get("/api/videos").await;
    assert_eq!(videos["videos"], json!([]), "nothing of it became a film");
}

fn assert_blames(refusal: &Value, field: &str, word: &str) {
    let errors = refusal["errors"].as_array().expect("fields are named");
    let blamed = errors.iter().any(|error| {
        let told = format!("{} {}", text(&error["field"]), text(&error["reason"]));
        told.contains(field) && told.contains(word)
    });
    assert!(blamed, "`{field}` is not blamed with `{word}`: {refusal}");
}

#[tokio::test]
async fn bodies_that_are_no_commands_are_refused_over_http() {
    let system = System::start().await;
    let raw = |kind: &'static str, body: Vec<u8>| {
        answer(system.request(Method::POST, "/api/generate").header("content-type", kind).body(body))
    };
    let json_type = "application/json";
    let mut not_utf8 = format!("{{\"prompt\":\"{WISH} ").into_bytes();
    not_utf8.extend(b"\xff\xfe\"}");
    let wish = json!({ "prompt": WISH }).to_string().into_bytes();
    for (kind, body, status, code) in [
        (json_type, b"{\"prompt\":".to_vec(), 400, "not_json"),
        (json_type, b"prompt=x".to_vec(), 400, "not_json"),
        (json_type, not_utf8, 400, "not_json"),
        (json_type, vec![0x81, 0xa6, b'p', b'r', b'o', b'm', b'p', b't', 0xa1, b'x'], 400, "not_json"),
        (json_type, b"[]".to_vec(), 422, "invalid"),
        (json_type, b"null".to_vec(), 422, "invalid"),
        (json_type, vec![b' '; 10 << 20], 413, "too_large"),
        ("text/plain", wish.clone(), 415, "unsupported_media_type"),
        ("application/x-www-form-urlencoded", wish, 415, "unsupported_media_type"),
    ] {
        let length = body.len();
        let (found, problem) = raw(kind, body).await;
        assert_eq!((found, text(&problem["code"])), (status, code), "{length} bytes of {kind}: {problem}");
        assert!(!text(&problem["detail"]).is_empty(), "{problem}");
    }
    let response = system.request(Method::GET, "/api/status/x").send().await.expect("an answer");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let (status, problem) = answer(system.request(Method::GET, "/api/videos").header("Host", "evil.example")).await;
    assert_eq!((status, &problem["code"]), (403, &json!("forbidden_host")));
    let foreign = system.request(Method::POST, "/api/generate").header("Origin", "http://evil.example");
    let (status, problem) = answer(foreign.json(&json!({ "prompt": WISH }))).await;
    assert_eq!((status, &problem["code"]), (403, &json!("forbidden_origin")));

    // What looks odd and is fine.
    let video = system.create(&json!({ "prompt": "🎬🍿 Ein 5-Sekunden-Film\nüber Popcorn 🎉", "duration": 5 })).await;
    system.wait_for(&video, "paused_at_phase1").await;
}

#[tokio::test]
async fn what_does_not_exist_for_the_asker_is_not_found() {
    let system = System::start().await;
    let wish = json!({ "prompt": WISH, "duration": 5 });
    let (ours, other) = (system.create(&wish).await, system.create(&wish).await);
    system.wait_for(&ours, "paused_at_phase1").await;
    system.wait_for(&other, "paused_at_phase1").await;
    let checkpoint = system.current(&other).await["checkpoint_id"].clone();
    let body = json!({ "checkpoint_id": checkpoint });

    for video in [NOBODY, "vid-1", "..", "%ff"] {
        for path in ["/api/status/{}", "/api/status/{}/stream", "/api/video/{}", "/api/video/{}/checkpoints/current"] {
            let (status, problem) = system.get(&path.replace("{}", video)).await;
            assert_eq!(status, 404, "{path} {video}: {problem}");
        }
    }
    let (status, problem) = system.post(&format!("/api/video/{NOBODY}/continue"), &body).await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_video")), "{problem}");
    let (status, problem) = system.post(&format!("/api/video/{ours}/continue"), &body).await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_checkpoint")), "{problem}");
    let (status, problem) = system.get(&format!("/api/video/{ours}/checkpoints/{}", text(&checkpoint))).await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_checkpoint")), "{problem}");

    for verb in ["approve", "cancel", "retry", "delete"] {
        let body = if verb == "approve" { body.to_string() } else { String::new() };
        let outcome = system.command("mallory", &other, verb, body).await;
        assert_eq!(outcome["code"], "unknown_video", "{verb}: {outcome}");
    }
    let nats = system.nats().await;
    let spied = nats.request(format!("query.mallory.{other}.status"), "".into()).await.expect("an answer");
    let spied: Value = serde_json::from_slice(&spied.payload).expect("JSON");
    assert_eq!(spied["code"], "unknown_video", "{spied}");
    let listed = nats.request("query.mallory.videos", "".into()).await.expect("an answer");
    let listed: Value = serde_json::from_slice(&listed.payload).expect("JSON");
    assert_eq!(listed["videos"], json!([]));
    assert_eq!(system.status(&other).await["status"], "paused_at_phase1", "nobody moved it");
}

#[tokio::test]
async fn every_command_gets_exactly_one_outcome() {
    let system = System::start().await;
    let video = system.create(&json!({ "prompt": WISH, "duration": 5 })).await;
    system.wait_for(&video, "paused_at_phase1").await;

    let nats = system.nats().await;
    let mut events = nats.subscribe("video.*.*.event.*").await.expect("a subscription");
    nats.flush().await.expect("NATS heard of it");
    let packed = vec![0x81, 0xa6, b'b', b'r', b'a', b'n', b'c', b'h', 0xa4, b'm', b'a', b'i', b'n'];
    let commands: [(&str, &str, Vec<u8>, &str); 10] = [
        (&video, "dance", b"{}".to_vec(), "unknown_verb"),
        (&video, "retry", packed, "not_json"),
        (&video, "approve", b"\x00\x01\x02".to_vec(), "not_json"),
        (&video, "approve", b"{}".to_vec(), "invalid"),
        (&video, "approve", br#"{"checkpoint_id":"cp-1"}"#.to_vec(), "invalid"),
        (&video, "retry", br#"{"brunch":"main"}"#.to_vec(), "invalid"),
        (&video, "retry", br#"{"branch":"nowhere"}"#.to_vec(), "unknown_branch"),
        (&video, "create", json!({ "prompt": "A wholly different film" }).to_string().into_bytes(), "video_exists"),
        (NOBODY, "cancel", Vec::new(), "unknown_video"),
        ("vid-1", "cancel", Vec::new(), "unknown_video"),
    ];
    let mut expected = BTreeMap::new();
    for (video, verb, body, code) in commands {
        let id = command_id();
        let headers = async_nats::HeaderMap::from_iter([(id_header(), id.as_str().into())]);
        let subject = format!("video.local.{video}.cmd.{verb}");
        nats.publish_with_headers(subject, headers, body.into()).await.expect("NATS takes it");
        expected.insert(id, code.to_owned());
    }
    // One without an id, as a person types it.
    nats.publish(format!("video.local.{video}.cmd.sing"), "".into()).await.expect("NATS takes it");
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let all = async {
        while told.len() < expected.len() + 1 {
            note(&events.next().await.expect("events go on"), &mut told);
        }
    };
    tokio::time::timeout(SOON, all).await.expect("every command is answered");
    // What was sent twice would have been there before the answer to a later command of the same video.
    let last = system.command("local", &video, "sing", "").await;
    while let Some(event) = events.next().await {
        let event = note(&event, &mut told);
        if event["command_id"] == last["command_id"] {
            break;
        }
    }

    for (id, code) in &expected {
        assert_eq!(told.remove(id), Some(vec![code.clone()]), "{id}");
    }
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.values().all(|codes| *codes == ["unknown_verb"]), "{told:?}");
    let refusal = system.command("local", &video, "dance", vec![0x80]).await;
    assert!(text(&refusal["reason"]).contains("approve"), "known verbs are listed: {refusal}");
    let refusal = system.command("local", &video, "retry", vec![0x80]).await;
    assert!(text(&refusal["reason"]).contains("MessagePack"), "{refusal}");
}

/// Writes an outcome down under its command.
fn note(message: &async_nats::Message, told: &mut BTreeMap<String, Vec<String>>) -> Value {
    let event: Value = serde_json::from_slice(&message.payload).expect("events are JSON");
    if is_outcome(&event) {
        let codes = told.entry(text(&event["command_id"]).to_owned()).or_default();
        codes.push(event["code"].as_str().unwrap_or("answered").to_owned());
    }
    event
}

#[tokio::test]
async fn garbage_on_every_subject_disturbs_no_film() {
    let system = System::start_with(Setup::default().with_errors()).await;
    let nats = system.nats().await;
    let video = system.create(&json!({ "prompt": WISH, "duration": 5 })).await;
    system.wait_for(&video, "paused_at_phase1").await;

    let malformed = "video.local.vid ä".replace(' ', "%") + ".cmd.create";
    let mut subjects = vec![
        malformed.clone(),
        format!("video.l%cal.{video}.cmd.approve"),
        format!("video.local.{video}.cmd.approve"),
        format!("video.local.{video}.event.checkpoint_approved"),
        format!("video.local.{video}.event.job_done"),
        format!("video.local.{video}.progress.job-1"),
        format!("query.local.{video}.status"),
        format!("query.local.{video}.nonsense"),
        "query.local.videos".to_owned(),
        "query.local.artifact".to_owned(),
        "stop.job-1".to_owned(),
        "stop.x".to_owned(),
        "dead.anything".to_owned(),
    ];
    for service in ["planner", "storyboard", "chunk", "refine", "nobody"] {
        subjects.push(format!("job.{service}.local.{video}.job-1"));
        subjects.push(format!("job.{service}"));
    }
    for partition in ["0", "7", "31", "32", "x"] {
        let outcomes = ["claim", "submitted", "done", "failed", "returned", "nonsense"];
        subjects.extend(outcomes.map(|outcome| format!("coordinator.{partition}.{outcome}")));
    }
    let payloads: [&[u8]; 5] = [b"", b"\x00\xff\xfe garbage", b"{}", b"[1,2", &[0x80]];
    for subject in &subjects {
        for payload in payloads {
            nats.publish(subject.clone(), payload.to_vec().into()).await.expect("NATS takes it");
        }
    }
    nats.flush().await.expect("NATS has it all");

    // The film goes on, and so does everybody else's.
    for phase in 1..=4 {
        system.wait_for(&video, &format!("paused_at_phase{phase}")).await;
        system.approve(&video).await;
    }
    system.wait_for(&video, "complete").await;
    let events = system.history(&video).await;
    assert!(events.iter().all(|event| event["type"] != "job_failed"), "nobody's job suffered");

    // What could not be handled lies where a person finds it.
    let context = jetstream::new(nats);
    let letters = context.get_stream(subject::DEAD_LETTERS).await.expect("the stream");
    let letter = until("the malformed command is set aside", SOON, async || {
        let found = letters.get_last_raw_message_by_subject(&subject::dead("command")).await.ok()?;
        Some(String::from_utf8_lossy(&found.payload).into_owned())
    });
    assert!(letter.await.contains("A-Z a-z 0-9"), "the letter says why");
    until("the workers have read all of it", SOON, async || {
        let jobs = context.get_stream(subject::JOBS).await.ok()?;
        for service in ["planner", "storyboard", "chunk", "refine"] {
            let report = jobs.consumer_info(service).await.ok()?;
            if report.num_pending > 0 || report.num_ack_pending > 0 {
                return None;
            }
        }
        Some(())
    })
    .await;
    for service in ["planner", "storyboard", "chunk", "refine"] {
        let found = letters.info_with_subjects(subject::dead(service)).await.expect("an answer");
        let found: Vec<(String, usize)> = found.try_collect().await.expect("a list");
        assert_eq!(found, [(subject::dead(service), payloads.len())], "each is set aside for a person to look at");
    }
    // Somebody must look at these and at nothing else.
    let log = system.log();
    let errors: Vec<_> = log.lines().filter(|line| line.contains(r#""level":"ERROR""#)).collect();
    assert!(errors.iter().all(|line| line.contains("a job is not readable")), "{errors:#?}");
}
