//! A video is deleted while it is being made, and the system is killed after that: it stays gone.

use async_nats::jetstream;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::stand_in::StandIn;
use super::{files_below, smallest_film};
use crate::harness::{SOON, System, answer, text, until};
use crate::money::priced;

#[tokio::test]
async fn a_video_deleted_while_it_is_made_goes_with_everything_and_nothing_brings_it_back() {
    let (ffmpeg, folder) = (StandIn::new(), tempfile::tempdir().expect("a folder"));
    let models = priced(&folder).display().to_string();
    let mut system = System::start_with(ffmpeg.setup().with("DAILIES_COORDINATOR__MODELS", models)).await;
    let video = system.create(&smallest_film()).await;
    for paused in ["paused_at_phase1", "paused_at_phase2"] {
        system.wait_for(&video, paused).await;
        if paused == "paused_at_phase2" {
            ffmpeg.hold();
        }
        system.approve(&video).await;
    }
    ffmpeg.is_in_use().await;
    assert!(!objects_of(&system, &video).is_empty(), "there are pictures");
    let before = rows_of(&system, &video).await;
    assert!(before.iter().all(|rows| *rows > 0), "{before:?}");

    let (status, deleted) = answer(system.request(Method::DELETE, &format!("/api/video/{video}"))).await;
    assert_eq!(status, 202, "{deleted}");
    let what_stays = [0, 0, before[2]];
    until("the rows are gone, the ledger excepted", SOON, async || {
        (rows_of(&system, &video).await == what_stays).then_some(())
    })
    .await;
    assert_eq!(objects_of(&system, &video), [] as [String; 0], "objects go first");
    assert_stays_gone(&system, &video, &deleted).await;

    // The worker that was at it may go on now, and everything may be killed: it stays gone.
    ffmpeg.release();
    system.kill();
    system.up().await;
    assert_stays_gone(&system, &video, &deleted).await;
    assert_eq!(rows_of(&system, &video).await, what_stays);
}

async fn assert_stays_gone(system: &System, video: &str, deleted: &Value) {
    for path in ["status", "video"] {
        let (status, refusal) = system.get(&format!("/api/{path}/{video}")).await;
        assert_eq!((status, text(&refusal["code"])), (404, "unknown_video"), "{refusal}");
    }
    let (_, list) = system.get("/api/videos").await;
    assert_eq!(list["videos"], json!([]));
    let mut again = smallest_film();
    again["video_id"] = json!(video);
    let create = || async { system.post("/api/generate", &again).await };
    let (status, refusal) = decided(create).await;
    assert_eq!((status, text(&refusal["code"])), (409, "video_deleted"), "{refusal}");
    let delete = || answer(system.request(Method::DELETE, &format!("/api/video/{video}")));
    let (status, repeat) = decided(delete).await;
    assert_eq!((status, &repeat), (202, deleted), "a repeat gets the first answer");
    assert_eq!(told_last(system, video).await, "video_deleted");
}

/// Asks until somebody decides: the leases of a coordinator that was killed run out after some seconds.
async fn decided<A: Future<Output = (u16, Value)>>(ask: impl Fn() -> A) -> (u16, Value) {
    until("a coordinator decides", SOON, async || Some(ask().await).filter(|(_, body)| body["status"] != "stored"))
        .await
}

/// The last numbered event that was ever published about a video.
async fn told_last(system: &System, video: &str) -> String {
    let stream = jetstream::new(system.nats().await).get_stream("VIDEO_EVENTS").await.expect("the stream is there");
    let mut last = (0, String::new());
    for sequence in 1..=stream.cached_info().state.last_sequence {
        let message = stream.get_raw_message(sequence).await.expect("nothing is missing in the stream");
        let body: Value = serde_json::from_slice(&message.payload).expect("events are JSON");
        if let (Some(seq), true) = (body["seq"].as_u64(), body["video_id"] == video) {
            last = last.max((seq, text(&body["type"]).to_owned()));
        }
    }
    last.1
}

fn objects_of(system: &System, video: &str) -> Vec<String> {
    let files = files_below(&system.data().join("objects")).into_iter().map(|file| file.display().to_string());
    files.filter(|file| file.contains(video)).collect()
}

/// How many events, jobs and ledger rows the database has of a video.
async fn rows_of(system: &System, video: &str) -> [i64; 3] {
    let options = SqliteConnectOptions::new().filename(system.data().join("dailies.sqlite"));
    let mut connection = options.connect().await.expect("the database opens");
    let tables = [
        "select count(*) from event where video_id = $1",
        "select count(*) from job where video_id = $1",
        "select count(*) from ledger where video_id = $1",
    ];
    let mut rows = [0; 3];
    for (count, table) in rows.iter_mut().zip(tables) {
        *count = sqlx::query_scalar(table).bind(video).fetch_one(&mut connection).await.expect("it is read");
    }
    rows
}
