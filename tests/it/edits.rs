//! Changes at checkpoints over HTTP: the spec, the sound, versions, branches; twice, at once, at the wrong time.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{FILM, SOON, System, answer, command_id, id_header, is_outcome, text, until};

const WISH: &str = "A 5 second ad for a fountain pen, elegant, ink blue";

/// A checkpoint that somebody works on.
pub struct Desk<'a> {
    pub system: &'a System,
    pub video: String,
    pub checkpoint: String,
}

impl<'a> Desk<'a> {
    /// The checkpoint that waits.
    pub async fn of(system: &'a System, video: &str) -> Self {
        let checkpoint = text(&system.current(video).await["checkpoint_id"]).to_owned();
        Self::at(system, video, checkpoint)
    }

    pub fn at(system: &'a System, video: &str, checkpoint: impl Into<String>) -> Self {
        Self { system, video: video.to_owned(), checkpoint: checkpoint.into() }
    }

    /// A film of 5 s whose checkpoint of that phase waits.
    pub async fn paused(system: &'a System, phase: u8) -> Self {
        let video = system.create(&json!({ "prompt": WISH, "duration": 5 })).await;
        for earlier in 1..phase {
            system.wait_for(&video, &format!("paused_at_phase{earlier}")).await;
            system.approve(&video).await;
        }
        system.wait_for(&video, &format!("paused_at_phase{phase}")).await;
        Self::of(system, &video).await
    }

    pub fn path(&self, action: &str) -> String {
        format!("/api/video/{}/checkpoints/{}/{action}", self.video, self.checkpoint)
    }

    pub async fn send(&self, method: Method, action: &str, body: &Value) -> (u16, Value) {
        answer(self.system.request(method, &self.path(action)).json(body)).await
    }

    pub async fn edit(&self, body: &Value) -> (u16, Value) {
        self.send(Method::PATCH, "spec", body).await
    }

    pub async fn post(&self, action: &str, body: &Value) -> (u16, Value) {
        self.send(Method::POST, action, body).await
    }

    /// A POST that is taken.
    pub async fn done(&self, action: &str, body: &Value) -> Value {
        let (status, answer) = self.post(action, body).await;
        assert!(matches!(status, 200 | 202), "{action} {body}: {answer}");
        answer
    }

    pub async fn approve(&self, mut body: Value) -> (u16, Value) {
        body["checkpoint_id"] = json!(self.checkpoint);
        self.system.post(&format!("/api/video/{}/continue", self.video), &body).await
    }

    pub async fn shown(&self) -> Value {
        until(&format!("{} is shown", self.checkpoint), SOON, async || {
            let (status, shown) = self.system.get(self.path("").trim_end_matches('/')).await;
            // A busy machine may say to ask again.
            if status == 503 {
                return None;
            }
            assert_eq!(status, 200, "{shown}");
            Some(shown)
        })
        .await
    }

    pub async fn spec(&self) -> Value {
        self.shown().await["artifacts"]["spec"]["metadata"]["spec"].clone()
    }

    /// Waits until nothing is being made here any more, and gives the checkpoint.
    pub async fn settled(&self) -> Value {
        until(&format!("{} settles", self.checkpoint), FILM, async || {
            let shown = self.shown().await;
            (shown["in_flight"] == json!([])).then_some(shown)
        })
        .await
    }
}

/// What a refusal blames.
fn fields(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().into_iter().flatten().map(|error| text(&error["field"])).collect()
}

fn assert_refused((status, problem): (u16, Value), expected: u16, code: &str, what: &str) {
    assert_eq!((status, text(&problem["code"])), (expected, code), "{what}: {problem}");
}

/// Edits of a spec that are refused, and every field that is to blame.
fn bad_edits(beat: &Value) -> Vec<(Value, Vec<&'static str>)> {
    let with = |field: &str, value: Value| {
        let mut beat = beat.clone();
        beat[field] = value;
        beat
    };
    let small = json!({ "beat_id": beat["beat_id"], "duration": 5, "shot_type": "wide", "action": "a",
        "camera_movement": "still", "typical_position": beat["typical_position"],
        "energy_level": beat["energy_level"], "prompt": "a pen" });
    vec![
        (
            json!({ "beats": [with("beat_id", json!("nobody_knows")), with("duration", json!(7))], "template": "epic",
                "style": { "color_palette": ["#000000"] }, "audio": { "music_gain_db": 99, "fade_in_s": -1 } }),
            vec![
                "template",
                "style.color_palette",
                "audio.music_gain_db",
                "audio.fade_in_s",
                "beats[0].beat_id",
                "beats[1].duration",
            ],
        ),
        (json!({ "beats": [] }), vec!["beats"]),
        (json!({ "beats": vec![small; 200] }), vec!["beats"]),
        (json!({ "beats": [with("prompt", json!("word ".repeat(40)))] }), vec!["beats[0].prompt"]),
        (json!({ "beats": [with("duration", json!(-5))] }), vec!["beats[0].duration"]),
        (json!({ "beats": [with("colour", json!("red"))] }), vec!["beats[0].colour"]),
        (json!({ "beats": "none" }), vec!["beats"]),
        // Null removes, and a spec without beats is none.
        (json!({ "beats": null }), vec!["body"]),
        (json!({ "transitions": [{ "after_beat": 9, "type": "fade", "duration": 9 }] }), vec!["transitions[0]"]),
        (json!({ "style": 7 }), vec!["style"]),
        (json!({ "style": { "mood": "sad" } }), vec!["style.mood"]),
        (json!({ "style": { "colour": "red" } }), vec!["style.colour"]),
        (json!({ "product": { "name": "" } }), vec!["product.name"]),
        (json!({ "subtitle": "x" }), vec!["subtitle"]),
        (json!({ "duration": 30, "resolution": "1x1" }), vec!["duration", "resolution"]),
        (json!({}), vec!["body"]),
    ]
}

#[tokio::test]
async fn w29_an_edit_obeys_the_planners_rules_and_names_every_violation_at_once() {
    let system = System::start().await;
    let desk = Desk::paused(&system, 1).await;
    let before = desk.shown().await;
    let beat = desk.spec().await["beats"][0].clone();
    for (edit, blamed) in bad_edits(&beat) {
        let (status, problem) = desk.edit(&edit).await;
        assert_eq!((status, text(&problem["code"])), (422, "invalid"), "{edit}: {problem}");
        let found = fields(&problem);
        let named = |field: &&str| found.iter().any(|found| found.starts_with(field));
        assert!(blamed.iter().all(named), "{edit}: {problem}");

        let same = json!({ "checkpoint_id": desk.checkpoint, "patch": edit }).to_string();
        let outcome = system.command("local", &desk.video, "edit", same).await;
        assert_eq!((&outcome["code"], &outcome["errors"]), (&problem["code"], &problem["errors"]), "over NATS too");
    }
    for (audio, field) in [
        (json!({ "native_gain_db": -61, "fade_out_s": 31 }), "audio.native_gain_db"),
        (json!({ "music_style": "polka" }), "audio.music_style"),
        (json!({ "music": "yes" }), "music"),
        (json!({ "volume": 11 }), "volume"),
        (json!({}), "body"),
    ] {
        let (status, problem) = desk.send(Method::PATCH, "audio", &audio).await;
        let blamed = fields(&problem).iter().any(|found| found.starts_with(field));
        assert!(status == 422 && blamed, "{audio}: {problem}");
    }
    // What is no object, or nested without end, is refused like anything else.
    let raw = |body: String| {
        answer(system.request(Method::PATCH, &desk.path("spec")).header("content-type", "application/json").body(body))
    };
    let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
    for (body, expected) in [
        ("[]".to_owned(), 422),
        ("null".to_owned(), 422),
        ("{\"style\":".to_owned(), 400),
        (nested("{\"a\":", "}"), 422),
        (format!("{{\"beats\":{}}}", nested("[", "]")), 422),
        (format!("{{\"style\":{{\"lighting\":\"{}\"}}}}", "x".repeat(70_000)), 413),
    ] {
        let (status, problem) = raw(body).await;
        assert_eq!(status, expected, "{problem}");
    }
    let deep = json!({ "checkpoint_id": desk.checkpoint, "patch": {} }).to_string();
    let deep = deep.replace("{}", &nested("{\"a\":", "}"));
    assert_eq!(system.command("local", &desk.video, "edit", deep).await["code"], "invalid");

    let after = desk.shown().await;
    assert_eq!((&after["digest"], &after["versions"]), (&before["digest"], &before["versions"]), "nothing changed");

    // Either type of body, and what follows from the rest is computed again.
    let (status, edited) = desk.edit(&json!({ "beats": [beat, beat], "style": { "lighting": "low sun" } })).await;
    assert_eq!(
        (status, &edited["version"], &edited["created_new_branch"]),
        (200, &json!(2), &json!(false)),
        "{edited}"
    );
    let patch = json!({ "transitions": [{ "after_beat": 0, "type": "crossfade", "duration": 0.5 }] });
    let request =
        system.request(Method::PATCH, &desk.path("spec")).header("content-type", "application/merge-patch+json");
    let (status, edited) = answer(request.body(patch.to_string())).await;
    assert_eq!((status, &edited["version"]), (200, &json!(3)), "{edited}");
    assert!(text(&edited["s3_url"]).starts_with(&system.url) && text(&edited["artifact_id"]).starts_with("art-"));
    let spec = desk.spec().await;
    let length = beat["duration"].as_u64().expect("seconds");
    assert_eq!((&spec["duration"], &spec["beats"][1]["start"]), (&json!(2 * length), &json!(length)), "{spec}");
    assert_eq!((&spec["style"]["lighting"], &spec["transitions"]), (&json!("low sun"), &patch["transitions"]));
    assert_eq!(system.download(text(&edited["s3_url"])).await.0, "application/json");

    // Two different edits at once: both count, neither is lost.
    let (one, two) = (json!({ "style": { "aesthetic": "bare" } }), json!({ "product": { "name": "Pen One" } }));
    let (one, two) = tokio::join!(desk.edit(&one), desk.edit(&two));
    let mut versions = [&one.1["version"], &two.1["version"]].map(|version| version.as_u64().expect("a number"));
    versions.sort_unstable();
    assert_eq!((one.0, two.0, versions), (200, 200, [4, 5]), "{one:?} {two:?}");
    let spec = desk.spec().await;
    assert_eq!((&spec["style"]["aesthetic"], &spec["product"]["name"]), (&json!("bare"), &json!("Pen One")));
}

#[tokio::test]
async fn w19_w58_a_selection_moves_back_and_branches_differ_side_by_side() {
    let system = System::start().await;
    let desk = Desk::paused(&system, 1).await;
    let first = desk.shown().await;
    let wanted = json!({ "product": { "name": "Pen Two" } });
    let (_, edited) = desk.edit(&wanted).await;
    assert_eq!(edited["version"], 2, "{edited}");
    let changed = desk.shown().await;
    assert_eq!((&changed["edited"], changed["digest"] == first["digest"]), (&json!(true), false));

    // Undo, twice: the second changes nothing.
    for _ in 0..2 {
        desk.done("select", &json!({ "artifact_key": "spec", "version": 1 })).await;
        let undone = desk.shown().await;
        assert_eq!((&undone["digest"], &undone["edited"]), (&first["digest"], &json!(false)));
        assert_eq!(undone["versions"]["spec"].as_array().map(Vec::len), Some(2), "nothing is thrown away");
    }
    assert_refused(
        desk.approve(json!({ "digest": changed["digest"] })).await,
        409,
        "stale_digest",
        "an older selection",
    );
    let unknown = desk.post("select", &json!({ "artifact_key": "spec", "version": 9 })).await;
    assert_refused(unknown, 404, "unknown_artifact", "a version that never was");
    let unreadable = desk.post("select", &json!({ "artifact_key": "beat_x", "version": 1 })).await;
    assert_refused(unreadable, 422, "invalid", "no artifact key");
    let early = desk.post("regenerate-beat", &json!({ "beat_index": 0 })).await;
    assert_refused(early, 409, "wrong_phase", "there are no pictures yet");

    // Names.
    let long = "x".repeat(300);
    for name in ["", " ", "a b", "a.b", "a/b", "../main", "same", "Main", "-x", "é", long.as_str()] {
        assert_refused(desk.post("fork", &json!({ "branch": name })).await, 422, "invalid", name);
        if name != "same" {
            assert_refused(desk.approve(json!({ "branch": name })).await, 422, "invalid", name);
        }
    }
    assert_refused(desk.post("fork", &json!({ "branch": "main" })).await, 409, "branch_exists", "main");
    let fork = desk.done("fork", &json!({ "branch": "warm" })).await;
    assert_eq!((&fork["branch_name"], &fork["created_new_branch"]), (&json!("warm"), &json!(true)), "{fork}");
    assert_refused(desk.post("fork", &json!({ "branch": "warm" })).await, 409, "branch_exists", "warm");
    assert_refused(desk.approve(json!({ "branch": "warm" })).await, 409, "branch_exists", "warm");

    // Side by side.
    let warm = Desk::at(&system, &desk.video, text(&fork["checkpoint_id"]));
    assert_eq!(warm.shown().await["digest"], first["digest"], "a fork has the same selection");
    let compare = async || {
        let path = format!("/api/video/{}/compare?a={}&b={}", desk.video, desk.checkpoint, warm.checkpoint);
        let (status, compared) = system.get(&path).await;
        assert_eq!(status, 200, "{compared}");
        compared
    };
    let compared = compare().await;
    assert_eq!((&compared["spec"], &compared["artifacts"]["spec"]["verdict"]), (&json!([]), &json!("same")));
    assert_eq!(warm.edit(&json!({ "style": { "lighting": "warm lamps" } })).await.0, 200);
    let compared = compare().await;
    assert_eq!(compared["artifacts"]["spec"]["verdict"], "changed", "{compared}");
    let paths: Vec<_> = compared["spec"].as_array().into_iter().flatten().map(|found| text(&found["path"])).collect();
    assert_eq!(paths, ["style.lighting"]);
    assert_eq!(compared["spec"][0]["b"], "warm lamps");
    assert_eq!(compared["cost_difference_usd"], 0.0);

    // One thing from there, here; by reference, as often as one likes.
    let take = json!({ "from_checkpoint": warm.checkpoint, "artifact_key": "spec" });
    for _ in 0..2 {
        desk.done("take", &take).await;
        assert_eq!(desk.shown().await["digest"], warm.shown().await["digest"]);
    }
    assert_eq!(compare().await["artifacts"]["spec"]["verdict"], "same");
    let missing = desk.post("take", &json!({ "from_checkpoint": warm.checkpoint, "artifact_key": "beat_0" })).await;
    assert_refused(missing, 404, "unknown_artifact", "it has no picture");
    let unknown = json!({ "from_checkpoint": "cp-0195f0a0-2222-7000-8000-000000000002", "artifact_key": "spec" });
    assert_refused(desk.post("take", &unknown).await, 404, "unknown_checkpoint", "nobody's checkpoint");

    // Another user's checkpoint does not exist, an abandoned one takes nothing.
    for (verb, body) in [
        ("edit", json!({ "checkpoint_id": warm.checkpoint, "patch": wanted })),
        ("fork", json!({ "checkpoint_id": warm.checkpoint })),
        ("reject", json!({ "checkpoint_id": warm.checkpoint, "notes": "mine" })),
        ("select", json!({ "checkpoint_id": warm.checkpoint, "artifact_key": "spec", "version": 1 })),
    ] {
        let outcome = system.command("mallory", &desk.video, verb, body.to_string()).await;
        assert_eq!(outcome["code"], "unknown_video", "{verb}: {outcome}");
    }
    warm.done("abandon", &json!({})).await;
    assert_refused(warm.post("abandon", &json!({})).await, 409, "not_pending", "abandoned twice");
    assert_refused(warm.edit(&wanted).await, 409, "not_pending", "an edit of an abandoned one");
    assert_refused(warm.edit(&json!({ "beats": [] })).await, 409, "not_pending", "a bad edit of an abandoned one");
    for (action, body) in [
        ("select", json!({ "artifact_key": "spec", "version": 1 })),
        ("take", json!({ "from_checkpoint": desk.checkpoint, "artifact_key": "spec" })),
        ("reject", json!({ "notes": "again" })),
    ] {
        assert_refused(warm.post(action, &body).await, 409, "not_pending", action);
    }
    assert_refused(warm.approve(json!({})).await, 409, "not_pending", "an approval of an abandoned one");
    let again = warm.done("fork", &json!({})).await;
    assert_eq!(again["branch_name"], "warm-1", "a fork comes back to it");

    // Sent back with notes: the next version on the branch, made with them.
    for notes in ["", "  ", &"n".repeat(2001)] {
        assert_refused(desk.post("reject", &json!({ "notes": notes })).await, 422, "invalid", "notes");
    }
    let rejected = desk.done("reject", &json!({ "notes": "a cooler light" })).await;
    let next = text(&rejected["checkpoint_id"]).to_owned();
    assert_ne!(next, desk.checkpoint);
    assert_refused(desk.post("reject", &json!({ "notes": "a cooler light" })).await, 409, "not_pending", "twice");
    let made = until("the phase is made again", FILM, async || {
        let (status, shown) = system.get(&format!("/api/video/{}/checkpoints/{next}", desk.video)).await;
        (status == 200).then_some(shown)
    });
    let made = made.await;
    assert_eq!(
        (&made["version"], &made["branch_name"], &made["status"]),
        (&json!(2), &json!("main"), &json!("pending"))
    );
    let old = desk.shown().await;
    assert_eq!((&old["status"], &old["superseded_by"]), (&json!("abandoned"), &json!(next)));
    let events = system.history(&desk.video).await;
    let told = events.iter().find(|event| event["type"] == "checkpoint_rejected").expect("it is told");
    assert_eq!(json!([told["by"], told["how"], told["notes"]]), json!(["local", "http", "a cooler light"]));
}

#[tokio::test]
async fn every_button_may_be_clicked_twice_also_after_an_edit() {
    let system = System::start().await;
    let desk = Desk::paused(&system, 1).await;
    let other =
        Desk::at(&system, &desk.video, text(&desk.done("fork", &json!({ "branch": "other" })).await["checkpoint_id"]));
    let video = format!("/api/video/{}", desk.video);
    let clicks = [
        (Method::PATCH, desk.path("spec"), json!({ "product": { "name": "Pen Three" } })),
        (Method::PATCH, desk.path("audio"), json!({ "music_gain_db": -3 })),
        (Method::POST, desk.path("select"), json!({ "artifact_key": "spec", "version": 1 })),
        (Method::POST, desk.path("take"), json!({ "from_checkpoint": other.checkpoint, "artifact_key": "spec" })),
        (Method::PATCH, desk.path("spec"), json!({ "product": { "name": "Pen Four" } })),
        (Method::POST, desk.path("fork"), json!({ "branch": "third" })),
        (Method::POST, desk.path("fork"), json!({})),
        (Method::PUT, desk.path("pin"), json!({})),
        (Method::POST, other.path("reject"), json!({ "notes": "calmer" })),
        (Method::PATCH, video.clone(), json!({ "title": "Pen" })),
        (Method::POST, format!("{video}/continue"), json!({ "checkpoint_id": desk.checkpoint })),
    ];
    for (n, (method, path, body)) in clicks.iter().enumerate() {
        let click = || {
            let request = system.request(method.clone(), path).header("Idempotency-Key", format!("click-{n}"));
            answer(request.json(body))
        };
        let answers = join_all((0..3).map(|_| click())).await;
        assert_eq!(answers[0].0, 200, "{path}: {}", answers[0].1);
        assert!(answers.iter().all(|again| *again == answers[0]), "{path}: {answers:?}");
        // Jobs of the phase that was sent back go on meanwhile: only what this click caused counts.
        let caused = async || {
            let events = system.history(&desk.video).await;
            events.iter().filter(|event| event["command_id"] == format!("click-{n}")).count()
        };
        let events = caused().await;
        assert_eq!(click().await, answers[0], "{path}: the first answer, also later");
        assert_eq!(caused().await, events, "{path}: and nothing happens");
    }
    let events = system.history(&desk.video).await;
    let count = |name: &str| events.iter().filter(|event| event["type"] == name).count();
    assert_eq!((count("spec_edited"), count("branch_created")), (3, 4), "{events:?}");
    assert_eq!((count("checkpoint_rejected"), count("checkpoint_approved")), (1, 1));

    // W23, W24: without a key too, an approval of the same change opens one branch and starts one phase.
    let approved = desk.approve(json!({})).await;
    assert_eq!((approved.0, &approved.1["created_new_branch"]), (200, &json!(true)), "{approved:?}");
    let again = join_all((0..5).map(|_| desk.approve(json!({})))).await;
    assert!(again.iter().all(|again| *again == approved), "{again:?}");
    let branch = text(&approved.1["branch_name"]).to_owned();
    let starts = async || {
        let events = system.history(&desk.video).await;
        let storyboards = |event: &&Value| event["type"] == "phase_started" && event["phase"] == 2;
        events.iter().filter(storyboards).map(|event| text(&event["branch"]).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(starts().await, [branch.as_str()]);

    // The original waits with what it had first, and goes on when that is asked for.
    let shown = desk.shown().await;
    assert_eq!(shown["status"], "pending", "{shown}");
    desk.done("select", &json!({ "artifact_key": "spec", "version": 1 })).await;
    let digest = desk.shown().await["digest"].clone();
    let original = desk.approve(json!({ "digest": digest })).await;
    assert_eq!((original.0, &original.1["branch_name"]), (200, &json!("main")), "{original:?}");
    assert_eq!(starts().await, [branch.as_str(), "main"]);

    // An approved one takes a change in a sibling, which it names; twice is two siblings, each with its own name.
    let edited = desk.edit(&json!({ "product": { "name": "Pen Five" } })).await;
    assert_eq!((edited.0, &edited.1["created_new_branch"]), (200, &json!(true)), "{edited:?}");
    let sibling = Desk::at(&system, &desk.video, text(&edited.1["checkpoint_id"]));
    assert_eq!(sibling.spec().await["product"]["name"], "Pen Five");
    assert_eq!(desk.shown().await["digest"], digest, "what was approved stays as it was");
    assert_refused(desk.post("reject", &json!({ "notes": "late" })).await, 409, "not_pending", "it was approved");

    // Going on and stopping at once: one after the other, whichever way round, and never in between.
    system.wait_for_branch(&desk.video, "main", "paused").await;
    let (_, branches) = system.get(&format!("{video}/branches")).await;
    let main = branches.as_array().into_iter().flatten().find(|found| found["branch_name"] == "main").expect("main");
    let storyboard = Desk::at(&system, &desk.video, text(&main["latest_checkpoint_id"]));
    let stop = json!({ "branch": "main" });
    let cancel = format!("{video}/cancel");
    let (went, stopped) = tokio::join!(storyboard.approve(json!({})), system.post(&cancel, &stop));
    assert_eq!(went.0, 200, "{went:?}");
    match stopped.0 {
        200 => {
            let retry = system.post(&format!("{video}/retry"), &stop).await;
            assert_eq!(retry.0, 200, "{retry:?}");
        }
        _ => assert_refused(stopped, 409, "nothing_running", "the cancel came first"),
    }
    let again = system.post(&format!("{video}/retry"), &stop).await;
    assert_refused(again, 409, "nothing_to_retry", "nothing failed");
    system.wait_for_branch(&desk.video, "main", "paused").await;
}

#[tokio::test]
async fn w18_w28_a_picture_made_again_is_what_the_film_is_made_of() {
    let system = System::start().await;
    let desk = Desk::paused(&system, 2).await;
    let first = desk.shown().await;

    // Approved in the same breath as it was ordered: it is being made.
    let nats = system.nats().await;
    let mut events = nats.subscribe(format!("video.local.{}.event.*", desk.video)).await.expect("a subscription");
    nats.flush().await.expect("NATS heard of it");
    let order = json!({ "checkpoint_id": desk.checkpoint, "artifact_key": "beat_0", "seed": 7 });
    let approve = json!({ "checkpoint_id": desk.checkpoint });
    let mut outcomes = Vec::new();
    for (verb, body) in [("regenerate", order), ("approve", approve)] {
        let headers = async_nats::HeaderMap::from_iter([(id_header(), command_id().as_str().into())]);
        let subject = format!("video.local.{}.cmd.{verb}", desk.video);
        nats.publish_with_headers(subject, headers, body.to_string().into()).await.expect("NATS takes it");
    }
    let both = async {
        while outcomes.len() < 2 {
            let event = futures::StreamExt::next(&mut events).await.expect("events go on");
            let event: Value = serde_json::from_slice(&event.payload).expect("JSON");
            outcomes.extend(is_outcome(&event).then_some(event));
        }
    };
    tokio::time::timeout(SOON, both).await.expect("both are decided");
    assert_eq!(outcomes[0]["answer"]["version"], 2, "{outcomes:?}");
    assert_eq!(outcomes[1]["code"], "artifact_pending", "{outcomes:?}");

    let drawn = desk.settled().await;
    let picture = drawn["artifacts"]["beat_0"].clone();
    assert_eq!((&picture["version"], &picture["metadata"]["seed"]), (&json!(2), &json!(7)), "{picture}");
    assert_eq!(picture["id"], outcomes[0]["answer"]["artifact_id"]);
    assert_ne!(drawn["digest"], first["digest"]);

    // Indices, models and prompts that are none.
    for (body, status, code) in [
        (json!({ "beat_index": 1 }), 404, "unknown_artifact"),
        (json!({ "beat_index": 4_000_000_000u32 }), 404, "unknown_artifact"),
        (json!({ "beat_index": -1 }), 422, "invalid"),
        (json!({ "beat_index": "0" }), 422, "invalid"),
        (json!({}), 422, "invalid"),
        (json!({ "beat_index": 0, "model": "nobody" }), 422, "invalid"),
        (json!({ "beat_index": 0, "prompt_override": "" }), 422, "invalid"),
        (json!({ "beat_index": 0, "seed": -1 }), 422, "invalid"),
        (json!({ "beat_index": 0, "sed": 1 }), 422, "invalid"),
    ] {
        assert_refused(desk.post("regenerate-beat", &body).await, status, code, &body.to_string());
    }
    assert_refused(desk.post("regenerate-chunk", &json!({ "chunk_index": 0 })).await, 409, "wrong_phase", "no chunks");
    let beats = json!({ "beats": [] });
    assert_refused(desk.edit(&beats).await, 409, "wrong_phase", "their number is fixed here");
    assert_eq!(desk.settled().await["digest"], drawn["digest"], "refusals change nothing");

    // On a branch of its own, from the new picture; the original goes on from the first one.
    let (status, warm) = desk.approve(json!({ "branch": "warm", "digest": drawn["digest"] })).await;
    assert_eq!(
        (status, &warm["branch_name"], &warm["created_new_branch"]),
        (200, &json!("warm"), &json!(true)),
        "{warm}"
    );
    desk.done("select", &json!({ "artifact_key": "beat_0", "version": 1 })).await;
    let (status, main) = desk.approve(json!({ "digest": first["digest"] })).await;
    assert_eq!((status, &main["branch_name"]), (200, &json!("main")), "{main}");
    let warm = system.wait_for_branch(&desk.video, "warm", "paused").await;
    let main = system.wait_for_branch(&desk.video, "main", "paused").await;
    let path = format!("/api/video/{}/compare?a={}&b={}", desk.video, text(&main), text(&warm));
    let (_, compared) = system.get(&path).await;
    for (key, verdict) in [("spec", "same"), ("beat_0", "changed"), ("chunk_0", "changed"), ("stitched", "changed")] {
        assert_eq!(compared["artifacts"][key]["verdict"], verdict, "{key}: {compared}");
    }
    assert_eq!(compared["artifacts"]["beat_0"]["b"]["id"], picture["id"], "W18: the new picture is what it was fed");

    // The same picture gives the same chunk, whatever the seed; so the film that was joined from it still fits.
    let (chunks, giver) = (Desk::at(&system, &desk.video, text(&warm)), Desk::at(&system, &desk.video, text(&main)));
    let (before, given) = (chunks.shown().await, giver.shown().await);
    let version = |shown: &Value, key: &str| shown["artifacts"][key]["version"].clone();
    let sha = |shown: &Value, key: &str| shown["artifacts"][key]["metadata"]["sha256"].clone();
    let order = json!({ "chunk_index": 0, "prompt_override": "ink runs over paper", "seed": 11 });
    let ordered = chunks.done("regenerate-chunk", &order).await;
    assert_eq!((&ordered["version"], text(&ordered["job_id"]).is_empty()), (&json!(2), false), "{ordered}");
    let rendered = chunks.settled().await;
    assert_eq!((version(&rendered, "chunk_0"), &rendered["stale"]), (json!(2), &json!([])), "{rendered}");
    assert_eq!(rendered["artifacts"]["chunk_0"]["id"], ordered["artifact_id"]);

    // W28: another chunk is joined into the film by itself, and so is one that is taken back.
    chunks.done("take", &json!({ "from_checkpoint": giver.checkpoint, "artifact_key": "chunk_0" })).await;
    let taken = chunks.settled().await;
    assert_eq!((sha(&taken, "chunk_0"), sha(&taken, "stitched")), (sha(&given, "chunk_0"), sha(&given, "stitched")));
    assert_ne!(sha(&taken, "stitched"), sha(&before, "stitched"));
    // It was made from another picture than the one that stands here.
    assert_eq!((version(&taken, "stitched"), &taken["stale"]), (json!(2), &json!(["chunk_0"])), "{taken}");
    assert_refused(chunks.approve(json!({})).await, 409, "artifact_stale", "a chunk of another picture");
    chunks.done("select", &json!({ "artifact_key": "chunk_0", "version": 1 })).await;
    let undone = chunks.settled().await;
    assert_eq!((version(&undone, "chunk_0"), &undone["stale"]), (json!(1), &json!([])));
    assert_eq!(sha(&undone, "stitched"), sha(&before, "stitched"), "the same chunk makes the same film");
    for index in [json!(1), json!(99)] {
        let far = chunks.post("regenerate-chunk", &json!({ "chunk_index": index })).await;
        assert_refused(far, 404, "unknown_artifact", "a chunk that is not there");
    }
    assert_refused(chunks.post("regenerate-chunk", &json!({ "chunk_index": -1 })).await, 422, "invalid", "negative");

    // Sound changes the mix and nothing else.
    let (status, went) = chunks.approve(json!({ "branch": "same" })).await;
    assert_eq!((status, &went["next_phase"], &went["branch_name"]), (200, &json!(4), &json!("warm")), "{went}");
    let refined = system.wait_for_branch(&desk.video, "warm", "paused").await;
    let mix = Desk::at(&system, &desk.video, text(&refined));
    let quiet = json!({ "music_gain_db": -12, "fade_out_s": 3 });
    assert_eq!(mix.send(Method::PATCH, "audio", &quiet).await.0, 200);
    let mixed = mix.settled().await;
    let versions = ["final", "background", "spec"].map(|key| version(&mixed, key));
    assert_eq!(versions, [json!(2), json!(1), json!(2)], "{mixed}");
    assert_eq!(mixed["artifacts"]["spec"]["metadata"]["spec"]["audio"]["music_gain_db"], -12.0);
    assert_refused(mix.edit(&json!({ "style": { "lighting": "x" } })).await, 409, "wrong_phase", "too late for light");
    let (status, _) = mix.approve(json!({ "branch": "same" })).await;
    assert_eq!(status, 200);
    system.wait_for_branch(&desk.video, "warm", "complete").await;
}

#[tokio::test]
async fn w12_a_video_deleted_in_the_middle_of_everything_does_not_come_back() {
    let system = System::start().await;
    let desk = Desk::paused(&system, 2).await;
    let link = desk.shown().await["artifacts"]["beat_0"]["s3_url"].clone();
    let path = format!("/api/video/{}", desk.video);
    let order = json!({ "beat_index": 0 });
    let edit = json!({ "audio": { "music_gain_db": -3 } });
    let fork = json!({});
    let (drawn, edited, forked, went, deleted) = tokio::join!(
        desk.post("regenerate-beat", &order),
        desk.edit(&edit),
        desk.post("fork", &fork),
        desk.approve(json!({ "branch": "on" })),
        answer(system.request(Method::DELETE, &path)),
    );
    assert_eq!(deleted.0, 202, "{deleted:?}");
    for (status, told) in [drawn, edited, forked, went] {
        assert!(matches!(status, 200 | 202 | 404 | 409), "done before it, or refused: {told}");
    }
    let gone = async || {
        for path in [
            path.clone(),
            format!("/api/status/{}", desk.video),
            format!("{path}/history"),
            format!("{path}/checkpoints"),
            desk.path("").trim_end_matches('/').to_owned(),
            text(&link).strip_prefix(&system.url).expect("a link of ours").to_owned(),
        ] {
            assert_eq!(system.get(&path).await.0, 404, "{path}");
        }
        let (_, videos) = system.get("/api/videos").await;
        assert_eq!(videos["videos"], json!([]));
    };
    gone().await;
    for (action, body) in [("regenerate-beat", &order), ("fork", &fork)] {
        let (status, told) = desk.post(action, body).await;
        assert!(matches!(status, 404 | 409), "{action}: {told}");
    }
    let (status, again) = answer(system.request(Method::DELETE, &path)).await;
    assert!(matches!(status, 202 | 404 | 409), "{again}");
    let wish = json!({ "prompt": WISH, "duration": 5, "video_id": desk.video });
    assert_refused(system.post("/api/generate", &wish).await, 409, "video_deleted", "its id is used up");

    // Whatever was on its way has arrived when another film of the same workers is made.
    let after = Desk::paused(&system, 2).await;
    assert_eq!(answer(system.request(Method::DELETE, &format!("/api/video/{}", after.video))).await.0, 202);
    gone().await;
}
