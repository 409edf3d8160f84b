//! The HTTP API beyond the main road: the live stream, idempotency keys, lists, cancel and retry, deletion.

use futures::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{FILM, System, answer, text};

const WISH: &str = "A 5 second ad for a leather suitcase, elegant, cognac";

/// One server-sent event.
#[derive(Debug)]
struct Sent {
    name: String,
    id: Option<u64>,
    data: Value,
}

/// A connection to a video's live stream.
struct Live {
    pieces: futures::stream::BoxStream<'static, reqwest::Result<Vec<u8>>>,
    text: String,
}

impl Live {
    /// Connects; none when the server says that there is nothing more to come.
    async fn connect(system: &System, video: &str, last: Option<u64>) -> Option<Self> {
        let mut request = system.request(Method::GET, &format!("/api/status/{video}/stream"));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last.to_string());
        }
        let response = request.send().await.expect("an answer");
        if response.status() == 204 {
            return None;
        }
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let pieces = response.bytes_stream().map(|piece| piece.map(|bytes| bytes.to_vec())).boxed();
        Some(Self { pieces, text: String::new() })
    }

    /// The next event; none when the stream is over.
    async fn next(&mut self) -> Option<Sent> {
        loop {
            while let Some((frame, rest)) = self.text.split_once("\n\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                // A frame without a name is a comment.
                if let Some(name) = field("event: ") {
                    let data = field("data: ").and_then(|data| serde_json::from_str(&data).ok());
                    let id = field("id: ").and_then(|id| id.parse().ok());
                    return Some(Sent { name, id, data: data.expect("data is JSON") });
                }
            }
            let piece = tokio::time::timeout(FILM, self.pieces.next()).await.expect("a sign of life");
            self.text += std::str::from_utf8(&piece?.expect("the connection holds")).expect("frames are UTF-8");
        }
    }

    /// The next events of these names, in whichever order they come.
    async fn until<const N: usize>(&mut self, names: [&str; N]) -> [Sent; N] {
        let mut found = names.map(|_| None);
        let reading = async {
            while found.iter().any(Option::is_none) {
                let sent = self.next().await.unwrap_or_else(|| panic!("the stream ended before {names:?}"));
                if let Some(place) = names.iter().position(|name| *name == sent.name) {
                    found[place] = Some(sent);
                }
            }
        };
        // A quiet stream shows that it lives, for ever.
        tokio::time::timeout(FILM, reading).await.unwrap_or_else(|_| panic!("waited in vain for {names:?}"));
        found.map(|sent| sent.expect("all are found"))
    }
}

#[tokio::test]
async fn a_stream_begins_with_the_status_and_tells_of_checkpoints() {
    let system = System::start().await;
    let video = system.create(&json!({ "prompt": WISH, "duration": 5 })).await;
    system.wait_for(&video, "paused_at_phase1").await;

    let mut live = Live::connect(&system, &video, None).await.expect("a stream");
    let snapshot = live.next().await.expect("an event");
    assert_eq!((snapshot.name.as_str(), &snapshot.data["status"]), ("snapshot", &json!("paused_at_phase1")));
    assert_eq!(json!(snapshot.id), snapshot.data["revision"]);

    system.approve(&video).await;
    // What of the status changed is told soon after something happened, and may have seen more than that.
    let [created, update] = live.until(["checkpoint_created", "status_update"]).await;
    assert!(created.id > snapshot.id);
    assert_eq!((&created.data["phase"], &created.data["branch"]), (&json!(2), &json!("main")));
    assert!(text(&created.data["checkpoint_id"]).starts_with("cp-"));
    assert_eq!(update.id, None, "only what is recorded can be resumed from");
}

#[tokio::test]
async fn a_client_that_reconnects_all_the_time_sees_every_event_once() {
    let system = System::start().await;
    let video = system.create(&json!({ "prompt": WISH, "duration": 5, "auto_continue": true })).await;

    let mut seen: Vec<u64> = Vec::new();
    let mut closed = 0;
    while let Some(mut live) = Live::connect(&system, &video, Some(seen.last().copied().unwrap_or(0))).await {
        let enough = seen.len() + 3;
        while let Some(sent) = live.next().await {
            match sent.id {
                Some(id) => {
                    assert_eq!(sent.data["seq"], id, "{sent:?}");
                    assert_eq!(sent.data["type"], sent.name.as_str());
                    seen.push(id);
                }
                None => closed += usize::from(sent.name == "close"),
            }
            if seen.len() == enough {
                break;
            }
        }
    }
    let status = system.status(&video).await;
    assert_eq!(status["status"], "complete");
    let all: Vec<_> = (1..=status["revision"].as_u64().expect("a number")).collect();
    assert_eq!(seen, all, "no gap and no repeat");
    assert!(closed <= 1);

    let mut late = Live::connect(&system, &video, None).await.expect("a snapshot");
    let names = [late.next().await.map(|sent| sent.name), late.next().await.map(|sent| sent.name)];
    assert_eq!(names.map(Option::unwrap_or_default), ["snapshot", "close"]);
    assert!(late.next().await.is_none(), "and the stream is over");
}

#[tokio::test]
async fn the_same_idempotency_key_gets_the_first_answer() {
    let system = System::start().await;
    let with_key = |path: &str, key: &str, body: &Value| {
        answer(system.request(Method::POST, path).header("Idempotency-Key", key).json(body))
    };
    let wish = json!({ "prompt": WISH, "duration": 5 });
    let (status, first) = with_key("/api/generate", "click-1", &wish).await;
    assert_eq!(status, 202, "{first}");
    assert_eq!(with_key("/api/generate", "click-1", &wish).await, (202, first.clone()));
    let (_, other) = with_key("/api/generate", "click-2", &wish).await;
    assert_ne!(other["video_id"], first["video_id"], "another key is another film");

    let video = text(&first["video_id"]);
    system.wait_for(video, "paused_at_phase1").await;
    let path = format!("/api/video/{video}/continue");
    let body = json!({ "checkpoint_id": system.current(video).await["checkpoint_id"] });
    let (status, first) = with_key(&path, "go-1", &body).await;
    assert_eq!((status, &first["next_phase"]), (200, &json!(2)));
    system.wait_for(video, "paused_at_phase2").await;
    assert_eq!(with_key(&path, "go-1", &body).await, (200, first), "the first answer, although time has passed");
    assert_eq!(with_key(&path, "two words", &body).await.0, 422);
}

#[tokio::test]
async fn a_cancelled_film_goes_on_after_retry_and_a_deleted_one_is_gone() {
    let system = System::start().await;
    let video = system.create(&json!({ "prompt": WISH, "duration": 10 })).await;
    system.wait_for(&video, "paused_at_phase1").await;
    system.approve(&video).await;
    system.wait_for(&video, "paused_at_phase2").await;
    system.approve(&video).await;
    let (status, stopped) = system.post(&format!("/api/video/{video}/cancel"), &json!({})).await;
    assert_eq!(status, 200, "{stopped}");
    assert_eq!(system.status(&video).await["status"], "cancelled");
    let (status, again) = system.post(&format!("/api/video/{video}/cancel"), &json!({})).await;
    assert_eq!((status, &again["code"]), (409, &json!("nothing_running")), "{again}");

    let (status, started) = system.post(&format!("/api/video/{video}/retry"), &json!({})).await;
    assert_eq!(status, 200, "{started}");
    let made = system.wait_for(&video, "paused_at_phase3").await;
    let link = made["stitched_video_url"].clone();
    assert_eq!(system.download(text(&link)).await.0, "video/mp4");

    let (status, deleted) = answer(system.request(Method::DELETE, &format!("/api/video/{video}"))).await;
    assert_eq!(status, 202, "{deleted}");
    let (status, gone) = system.get(&format!("/api/status/{video}")).await;
    assert_eq!((status, &gone["code"]), (404, &json!("unknown_video")));
    let (status, gone) = system.get(text(&link).strip_prefix(&system.url).expect("a link of ours")).await;
    assert_eq!((status, &gone["code"]), (404, &json!("unknown_artifact")));
}

#[tokio::test]
async fn lists_and_settings_say_what_there_is() {
    let system = System::start().await;
    let mut videos = Vec::new();
    for title in ["one", "two", "three"] {
        videos.push(system.create(&json!({ "prompt": WISH, "duration": 5, "title": title })).await);
    }
    for video in &videos {
        system.wait_for(video, "paused_at_phase1").await;
    }
    let (_, page) = system.get("/api/videos?limit=2&status=paused_at_phase1").await;
    let cursor = text(&page["next_cursor"]);
    let (_, rest) = system.get(&format!("/api/videos?limit=2&status=paused_at_phase1&cursor={cursor}")).await;
    let listed = [&page, &rest].map(|page| page["videos"].as_array().expect("a list"));
    let titles: Vec<_> = listed.into_iter().flatten().map(|video| text(&video["title"])).collect();
    assert_eq!(titles, ["three", "two", "one"], "newest first");
    assert_eq!(rest["next_cursor"], Value::Null);

    let path = format!("/api/video/{}", videos[0]);
    let change = json!({ "title": "uno", "budget_usd": 2.5 });
    let (status, changed) = answer(system.request(Method::PATCH, &path).json(&change)).await;
    assert_eq!(status, 200, "{changed}");
    let (_, shown) = system.get(&path).await;
    assert_eq!((&shown["title"], &shown["budget_usd"]), (&json!("uno"), &json!(2.5)), "{shown}");
    assert_eq!(shown["request"]["prompt"], WISH);
    let (_, cost) = system.get(&format!("{path}/cost")).await;
    assert_eq!((&cost["spent_usd"], &cost["ledger"]), (&json!(0.0), &json!([])), "the local models are free");

    for (path, at_least) in [("/api/models", 4), ("/api/templates", 2), ("/api/beats", 15)] {
        let (status, list) = system.get(path).await;
        let entries = list.as_array().or_else(|| list.as_object()?.values().find_map(Value::as_array));
        assert!(status == 200 && entries.is_some_and(|entries| entries.len() >= at_least), "{path}: {list}");
    }
    for path in ["/healthz", "/readyz", "/metrics", "/api/openapi.json"] {
        assert_eq!(system.get(path).await.0, 200, "{path}");
    }
}
