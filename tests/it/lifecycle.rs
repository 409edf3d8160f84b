//! From a prompt to a film that plays, stopping after every phase.

use serde_json::{Value, json};

use crate::film;
use crate::harness::{FILM, System, answer, text};

/// What each phase's checkpoint holds of a film of one beat: artifact, type, content type.
const MADE: [&[(&str, &str, &str)]; 4] = [
    &[("spec", "spec", "application/json")],
    &[("beat_0", "beat_image", "image/png")],
    &[("chunk_0", "chunk", "video/mp4"), ("stitched", "stitched", "video/mp4")],
    &[
        ("final", "final", "video/mp4"),
        ("background", "background", "audio/mpeg"),
        ("thumbnail", "thumbnail", "image/jpeg"),
    ],
];

#[tokio::test]
async fn a_film_stops_after_every_phase_and_plays_at_the_end() {
    let system = System::start().await;
    let prompt = "A 5 second ad for a mechanical watch, elegant, gold and black";
    let video = system.create(&json!({ "prompt": prompt, "title": "Watch", "duration": 5 })).await;

    let mut spec = Value::Null;
    for (phase, made) in (1..).zip(MADE) {
        let status = system.wait_for(&video, &format!("paused_at_phase{phase}")).await;
        assert_status_object(&status, &video);
        assert_eq!(status["current_phase"], ["planning", "storyboard", "chunks", "refine"][phase - 1]);
        assert_eq!(status["active_branches"], json!(["main"]));

        let checkpoint = &status["current_checkpoint"];
        assert_checkpoint_object(checkpoint, phase);
        assert_eq!(&system.current(&video).await["checkpoint_id"], &checkpoint["checkpoint_id"]);
        for (key, kind, content_type) in made {
            let artifact = &checkpoint["artifacts"][key];
            assert_artifact_object(artifact, key, kind, &system.url);
            let (found, bytes) = system.download(text(&artifact["s3_url"])).await;
            assert_eq!(&found, content_type, "{key}");
            assert_looks_like(&bytes, content_type);
            if *key == "spec" {
                spec = serde_json::from_slice(&bytes).expect("a spec is JSON");
            }
        }

        let answer = system.approve(&video).await;
        assert_eq!(answer["next_phase"], if phase < 4 { json!(phase + 1) } else { Value::Null }, "{answer}");
        assert_eq!((&answer["branch_name"], &answer["created_new_branch"]), (&json!("main"), &json!(false)));
        assert!(!text(&answer["message"]).is_empty());
    }

    let status = system.wait_for(&video, "complete").await;
    assert_eq!((&status["progress"], &status["error"]), (&json!(100.0), &Value::Null));
    assert_eq!(status["active_branches"], json!([]));
    assert_eq!(status["current_checkpoint"], Value::Null);
    let links = ["storyboard_urls", "chunk_urls"].map(|list| status[list].as_array().map_or(0, Vec::len));
    assert_eq!(links, [1, 1]);
    assert_eq!((&status["current_chunk_index"], &status["total_chunks"]), (&json!(1), &json!(1)));
    assert!(text(&status["stitched_video_url"]).starts_with(&system.url));

    assert_eq!((&spec["duration"], &spec["fps"]), (&json!(5), &json!(30)));
    film::assert_plays(&system, text(&status["final_video_url"]), &spec).await;
    assert_story(&system.history(&video).await, &video);
    assert_tree_of_one_branch(&system, &video).await;
}

/// Four checkpoints in a row, all approved, on one finished branch.
async fn assert_tree_of_one_branch(system: &System, video: &str) {
    let (_, tree) = system.get(&format!("/api/video/{video}/checkpoint-tree")).await;
    let (mut node, mut parent) = (&tree[0], Value::Null);
    for phase in 1..=4 {
        let checkpoint = &node["checkpoint"];
        assert_eq!((&checkpoint["phase_number"], &checkpoint["status"]), (&json!(phase), &json!("approved")), "{tree}");
        assert_eq!(checkpoint["parent_checkpoint_id"], parent);
        parent = checkpoint["checkpoint_id"].clone();
        assert_eq!(node["children"].as_array().map(Vec::len), Some(usize::from(phase < 4)));
        node = &node["children"][0];
    }

    let (_, branches) = system.get(&format!("/api/video/{video}/branches")).await;
    let branch = &branches[0];
    assert_eq!((&branch["branch_name"], &branch["state"]), (&json!("main"), &json!("complete")), "{branches}");
    assert_eq!((&branch["latest_checkpoint_id"], &branch["can_continue"]), (&parent, &json!(false)));

    let (_, list) = system.get(&format!("/api/video/{video}/checkpoints")).await;
    let phases: Vec<_> = list.as_array().expect("a list").iter().map(|cp| cp["phase_number"].as_u64()).collect();
    assert_eq!(phases, [Some(1), Some(2), Some(3), Some(4)]);
    let last = text(&list[3]["checkpoint_id"]);
    let (_, shown) = system.get(&format!("/api/video/{video}/checkpoints/{last}")).await;
    assert_eq!(shown["versions"]["final"].as_array().map(Vec::len), Some(1), "{shown}");
}

/// The events tell the story in order, numbered without holes.
fn assert_story(events: &[Value], video: &str) {
    for (seq, event) in (1..).zip(events) {
        assert_eq!((&event["seq"], &event["id"]), (&json!(seq), &json!(format!("{video}-{seq}"))));
        assert_eq!(event["video_id"], video);
    }
    let told: Vec<_> = events
        .iter()
        .filter(|event| event["type"] != "job_done")
        .map(|event| format!("{} {}", text(&event["type"]), event["phase"]))
        .collect();
    let mut expected = vec!["video_created null".to_owned()];
    for phase in 1..=4 {
        let steps = ["phase_started", "checkpoint_created", "checkpoint_approved"];
        expected.extend(steps.map(|step| format!("{step} {phase}")));
    }
    expected.push("branch_completed null".to_owned());
    assert_eq!(told, expected);
}

fn assert_status_object(status: &Value, video: &str) {
    let fields = [
        "video_id",
        "status",
        "progress",
        "current_phase",
        "error",
        "storyboard_urls",
        "chunk_urls",
        "stitched_video_url",
        "final_video_url",
        "current_chunk_index",
        "total_chunks",
        "current_checkpoint",
        "checkpoint_tree",
        "active_branches",
        "branches",
        "cost",
        "revision",
    ];
    assert_has(status, &fields);
    assert_has(&status["cost"], &["spent_usd", "estimate_next_usd", "budget_usd"]);
    assert_eq!(status["video_id"], video);
}

fn assert_checkpoint_object(checkpoint: &Value, phase: usize) {
    let fields = [
        "checkpoint_id",
        "branch_name",
        "phase_number",
        "version",
        "status",
        "created_at",
        "digest",
        "estimate_next_usd",
        "artifacts",
    ];
    assert_has(checkpoint, &fields);
    assert!(text(&checkpoint["checkpoint_id"]).starts_with("cp-"));
    let told = ["branch_name", "phase_number", "version", "status", "can_continue"].map(|field| &checkpoint[field]);
    assert_eq!(json!(told), json!(["main", phase, 1, "pending", true]));
}

fn assert_artifact_object(artifact: &Value, key: &str, kind: &str, base: &str) {
    assert_has(artifact, &["id", "artifact_type", "artifact_key", "s3_url", "version", "metadata", "created_at"]);
    assert_eq!((&artifact["artifact_key"], &artifact["artifact_type"]), (&json!(key), &json!(kind)));
    let stable = format!("{base}/api/artifacts/{}/content", text(&artifact["id"]));
    assert_eq!(artifact["s3_url"], stable, "links are the gateway's own");
}

fn assert_has(object: &Value, fields: &[&str]) {
    for field in fields {
        assert!(object.get(field).is_some(), "`{field}` is missing in {object}");
    }
}

/// The bytes are what the type says, whatever the type says.
fn assert_looks_like(bytes: &[u8], content_type: &str) {
    let fits = match content_type {
        "application/json" => bytes.starts_with(b"{"),
        "image/png" => bytes.starts_with(b"\x89PNG"),
        "image/jpeg" => bytes.starts_with(b"\xff\xd8\xff"),
        "video/mp4" => bytes.get(4..8) == Some(b"ftyp"),
        "audio/mpeg" => bytes.starts_with(b"ID3") || bytes.starts_with(b"\xff"),
        _ => false,
    };
    assert!(fits, "these are no bytes of {content_type}");
}

#[tokio::test]
async fn a_portrait_film_is_made_without_asking_anybody() {
    let system = System::start().await;
    let wish = json!({
        "prompt": "A 10 second ad for running shoes, energetic, red",
        "aspect_ratio": "9:16",
        "auto_continue": true,
    });
    let video = system.create(&wish).await;
    let status = system.wait_for(&video, "complete").await;

    let events = system.history(&video).await;
    let doors = events.iter().filter(|event| event["type"] == "checkpoint_approved").map(|event| text(&event["how"]));
    assert_eq!(doors.collect::<Vec<_>>(), ["policy"; 4]);

    let (_, checkpoints) = system.get(&format!("/api/video/{video}/checkpoints")).await;
    let (_, bytes) = system.download(text(&checkpoints[0]["artifacts"]["spec"]["s3_url"])).await;
    let spec: Value = serde_json::from_slice(&bytes).expect("a spec is JSON");
    assert_eq!((&spec["duration"], &spec["resolution"]), (&json!(10), &json!("720x1280")));
    film::assert_plays(&system, text(&status["final_video_url"]), &spec).await;
}

#[tokio::test]
async fn a_long_film_with_transitions_that_a_person_asked_for_plays() {
    let system = System::start().await;
    let prompt = "A 30 second ad for a mountain bike, energetic, orange and slate";
    let video = system.create(&json!({ "prompt": prompt, "duration": 30, "seed": 11 })).await;
    system.wait_for(&video, "paused_at_phase1").await;

    let planned = system.current(&video).await;
    let beats = planned["artifacts"]["spec"]["metadata"]["spec"]["beats"].as_array().map_or(0, Vec::len);
    assert!(beats >= 4, "a film of 30 s has some beats: {planned}");
    let kinds = [json!({ "type": "crossfade", "duration": 1.0 }), json!({ "type": "fade", "duration": 0.8 })];
    let transitions: Vec<_> = (0..beats - 1)
        .zip(kinds.iter().cycle())
        .map(|(beat, kind)| json!({ "after_beat": beat, "type": kind["type"], "duration": kind["duration"] }))
        .collect();
    let path = format!("/api/video/{video}/checkpoints/{}/spec", text(&planned["checkpoint_id"]));
    let patch = system.request(reqwest::Method::PATCH, &path).json(&json!({ "transitions": transitions }));
    let (status, edited) = answer(patch).await;
    assert_eq!(status, 200, "{edited}");

    let spec = system.current(&video).await["artifacts"]["spec"]["metadata"]["spec"].clone();
    assert_eq!((&spec["duration"], &spec["transitions"]), (&json!(30), &json!(transitions)));
    for phase in 1..=4 {
        system.wait_at_most(4 * FILM, &video, &format!("paused_at_phase{phase}")).await;
        system.approve(&video).await;
    }
    let status = system.wait_for(&video, "complete").await;
    film::assert_plays(&system, text(&status["final_video_url"]), &spec).await;
}

#[tokio::test]
async fn the_same_seed_draws_the_same_pictures() {
    let system = System::start().await;
    let mut drawn = Vec::new();
    for seed in [7, 7, 8] {
        let wish = json!({
            "prompt": "A 10 second ad for a coffee grinder, calm, walnut and brass",
            "seed": seed,
            "auto_continue": { "until": "storyboard" },
        });
        let video = system.create(&wish).await;
        system.wait_for(&video, "paused_at_phase2").await;
        let events = system.history(&video).await;
        let artifacts = events.iter().filter_map(|event| event["artifacts"].as_array()).flatten();
        let pictures = artifacts.filter(|artifact| artifact["artifact_type"] == "beat_image");
        let mut hashes: Vec<_> = pictures.map(|picture| text(&picture["sha256"]).to_owned()).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 2, "two beats, two different pictures");
        drawn.push(hashes);
    }
    assert_eq!(drawn[0], drawn[1]);
    assert_ne!(drawn[0], drawn[2], "another seed draws other pictures");
}

#[tokio::test]
async fn prompts_in_other_languages_become_specs_in_their_words() {
    let system = System::start().await;
    let prompts = [
        ("Ein 10-Sekunden-Spot für eine mechanische Uhr, elegant, Schwarz und Gold", 10, "elegant", "Uhr"),
        ("高級腕時計の15秒の広告、エレガントで黒と金", 15, "elegant", "腕時計"),
    ];
    for (prompt, seconds, mood, word) in prompts {
        let video = system.create(&json!({ "prompt": prompt })).await;
        let status = system.wait_for(&video, "paused_at_phase1").await;
        let spec = &status["current_checkpoint"]["artifacts"]["spec"]["metadata"]["spec"];
        assert_eq!((&spec["duration"], &spec["style"]["mood"]), (&json!(seconds), &json!(mood)), "{spec}");
        assert!(text(&spec["product"]["name"]).contains(word), "{}", spec["product"]);
        assert!(spec["beats"].as_array().is_some_and(|beats| !beats.is_empty()));
    }
}
