//! Files that people bring: what becomes of good ones, and at which door the others end.

use std::process::{Command, Stdio};

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::edits::Desk;
use crate::film;
use crate::harness::{System, answer, text};

/// A file made by `ffmpeg` from one of its own sources.
fn made(system: &System, name: &str, arguments: &[&str]) -> Vec<u8> {
    let file = system.scratch().join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-f", "lavfi"]).args(arguments).arg(&file).stdin(Stdio::null());
    let said = command.output().expect("ffmpeg is installed");
    assert!(said.status.success(), "{name}: {}", String::from_utf8_lossy(&said.stderr));
    std::fs::read(&file).expect("ffmpeg wrote it")
}

/// The form of a file, which is named and typed as its sender likes.
fn form(index: Option<(&'static str, &str)>, field: &'static str, bytes: Vec<u8>) -> Form {
    let file = Part::bytes(bytes).file_name("mine.png").mime_str("image/png").expect("a type");
    let form = Form::new().part(field, file);
    match index {
        Some((name, index)) => form.text(name, index.to_owned()),
        None => form,
    }
}

impl Desk<'_> {
    async fn upload(&self, action: &str, form: Form) -> (u16, Value) {
        answer(self.system.request(Method::POST, &self.path(action)).multipart(form)).await
    }

    async fn upload_image(&self, bytes: Vec<u8>) -> (u16, Value) {
        self.upload("upload-image", form(Some(("beat_index", "0")), "image", bytes)).await
    }

    async fn upload_chunk(&self, bytes: Vec<u8>) -> (u16, Value) {
        self.upload("upload-chunk", form(Some(("chunk_index", "0")), "video", bytes)).await
    }

    async fn upload_music(&self, bytes: Vec<u8>) -> (u16, Value) {
        self.upload("upload-music", form(None, "music", bytes)).await
    }

    /// The upload was taken; gives its version and the checkpoint when it was looked at closely.
    async fn judged(&self, (status, answer): (u16, Value)) -> (Value, Value) {
        assert_eq!(status, 202, "{answer}");
        assert!(text(&answer["artifact_id"]).starts_with("art-") && !text(&answer["job_id"]).is_empty(), "{answer}");
        assert!(text(&answer["s3_url"]).starts_with(&self.system.url), "{answer}");
        (answer["version"].clone(), self.settled().await)
    }

    /// The upload is found to be unfit, for a reason, and changes nothing.
    async fn unfit(&self, key: &str, upload: (u16, Value)) {
        let before = self.shown().await["digest"].clone();
        let (version, after) = self.judged(upload).await;
        assert_eq!(after["digest"], before, "what was selected stays");
        let events = self.system.history(&self.video).await;
        let failed =
            |event: &&Value| event["type"] == "artifact_failed" && event["key"] == key && event["version"] == version;
        let told = events.iter().find(failed).unwrap_or_else(|| panic!("no artifact_failed of {key}: {events:?}"));
        assert!(!text(&told["reason"]).is_empty(), "{told}");
        assert_eq!(self.system.status(&self.video).await["error"], Value::Null, "the film itself is fine");
    }

    /// The upload is found to be fit, and is selected.
    async fn fit(&self, key: &str, upload: (u16, Value)) -> Value {
        let (version, after) = self.judged(upload).await;
        assert_eq!(after["artifacts"][key]["version"], version, "{after}");
        after
    }
}

fn assert_refused((status, problem): (u16, Value), expected: u16, what: &str) {
    assert_eq!(status, expected, "{what}: {problem}");
}

/// A picture that says of itself that it is 60,000 pixels wide and as high.
fn bomb(mut png: Vec<u8>) -> Vec<u8> {
    png[16..24].copy_from_slice(&[60_000u32.to_be_bytes(), 60_000u32.to_be_bytes()].concat());
    let sum = !png[12..29].iter().fold(!0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 })
    });
    png[29..33].copy_from_slice(&sum.to_be_bytes());
    png
}

#[tokio::test]
async fn w18_w30_what_a_person_brings_is_checked_and_is_what_the_film_is_made_of() {
    let system = System::start().await;
    let desk = Desk::paused(&system, 2).await;
    let png = made(&system, "small.png", &["-i", "testsrc=size=640x360", "-frames:v", "1"]);
    let jpeg = made(&system, "tall.jpg", &["-i", "testsrc2=size=300x900", "-frames:v", "1"]);
    let huge = made(&system, "huge.png", &["-i", "color=size=8200x5000", "-frames:v", "1"]);
    let wav = made(&system, "tone.wav", &["-i", "sine=frequency=330:duration=3"]);
    let playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:1/endless.ts\n".to_vec();

    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_vec();
    for (bytes, status, what) in [
        (b"a text named .png".to_vec(), 415, "text"),
        (svg, 415, "SVG"),
        (wav.clone(), 415, "audio"),
        (playlist.clone(), 415, "a playlist"),
        (Vec::new(), 422, "nothing"),
        (huge, 422, "41 megapixels"),
        (bomb(png.clone()), 422, "a bomb"),
        ([&png[..], &vec![0; 21 * 1024 * 1024]].concat(), 413, "21 MB"),
    ] {
        assert_refused(desk.upload_image(bytes).await, status, what);
    }
    for (index, status) in [("-1", 422), ("x", 422), ("9", 404)] {
        let form = form(Some(("beat_index", index)), "image", png.clone());
        assert_refused(desk.upload("upload-image", form).await, status, index);
    }
    assert_refused(
        desk.upload_chunk(made(&system, "c.mp4", &["-i", "testsrc=duration=1"])).await,
        409,
        "no chunks yet",
    );
    assert_refused(desk.upload_music(wav.clone()).await, 409, "no music yet");
    let events = system.history(&desk.video).await;
    assert!(events.iter().all(|event| event["type"] != "artifact_ordered"), "nothing of it was ordered");

    desk.unfit("beat_0", desk.upload_image(png[..png.len() / 2].to_vec()).await).await;
    let click = || {
        let form = form(Some(("beat_index", "0")), "image", jpeg.clone());
        answer(
            system.request(Method::POST, &desk.path("upload-image")).header("Idempotency-Key", "up-1").multipart(form),
        )
    };
    let (first, second) = tokio::join!(click(), click());
    assert_eq!(first, second, "two clicks, one upload");
    let brought = desk.fit("beat_0", first.clone()).await["artifacts"]["beat_0"].clone();
    let (kind, bytes) = system.download(text(&brought["s3_url"])).await;
    let size = [16..20, 20..24].map(|at| u32::from_be_bytes(bytes[at].try_into().expect("four bytes")));
    assert_eq!((kind.as_str(), size), ("image/png", [1280, 720]), "of the spec's size");
    assert_eq!(click().await, first, "later too");

    // The next phase is fed with it.
    let (status, went) = desk.approve(json!({ "branch": "same" })).await;
    assert_eq!((status, &went["branch_name"]), (200, &json!("main")), "{went}");
    let chunks = Desk::at(&system, &desk.video, text(&system.wait_for_branch(&desk.video, "main", "paused").await));
    assert_eq!(chunks.shown().await["artifacts"]["beat_0"]["id"], brought["id"]);

    // At an approved checkpoint the upload opens a branch, and names it.
    let sibling = desk.upload_image(png.clone()).await;
    assert_eq!((sibling.0, &sibling.1["created_new_branch"]), (202, &json!(true)), "{sibling:?}");
    let sibling_desk = Desk::at(&system, &desk.video, text(&sibling.1["checkpoint_id"]));
    sibling_desk.fit("beat_0", sibling).await;
    sibling_desk.done("abandon", &json!({})).await;
    assert_refused(sibling_desk.upload_image(png.clone()).await, 409, "abandoned");

    let silent = made(&system, "silent.mp4", &["-i", "sine=duration=6", "-c:a", "aac"]);
    chunks.unfit("chunk_0", chunks.upload_chunk(silent).await).await;
    let short = made(&system, "short.mp4", &["-i", "testsrc=size=320x240:rate=25:duration=1", "-pix_fmt", "yuv420p"]);
    chunks.unfit("chunk_0", chunks.upload_chunk(short).await).await;
    assert_refused(chunks.upload_chunk(playlist).await, 415, "a playlist");
    assert_refused(chunks.upload_chunk(png.clone()).await, 415, "a picture");
    let clip = made(&system, "clip.mp4", &["-i", "testsrc=size=320x240:rate=25:duration=7", "-pix_fmt", "yuv420p"]);
    let stitched = chunks.fit("chunk_0", chunks.upload_chunk(clip).await).await;
    assert_eq!((&stitched["artifacts"]["stitched"]["version"], &stitched["stale"]), (&json!(2), &json!([])));

    let (status, went) = chunks.approve(json!({ "branch": "same" })).await;
    assert_eq!(status, 200, "{went}");
    let mix = Desk::at(&system, &desk.video, text(&system.wait_for_branch(&desk.video, "main", "paused").await));
    assert_refused(mix.upload_music(png).await, 415, "a picture");
    mix.unfit("background", mix.upload_music(b"ID3\x04\0\0\0\0\0\0 and no music".to_vec()).await).await;
    let mixed = mix.fit("background", mix.upload_music(wav).await).await;
    assert_eq!(mixed["artifacts"]["final"]["version"], 2, "mixed again by itself: {mixed}");
    let (status, _) = mix.approve(json!({ "branch": "same" })).await;
    assert_eq!(status, 200);
    system.wait_for_branch(&desk.video, "main", "complete").await;
    let film = text(&mixed["artifacts"]["final"]["s3_url"]).to_owned();
    film::assert_plays(&system, &film, &mixed["artifacts"]["spec"]["metadata"]["spec"]).await;
}
