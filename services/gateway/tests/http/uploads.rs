//! Uploads: what is taken and named, what is refused before anything is stored, and what is left when a client leaves.

use std::io::Cursor;
use std::time::Duration;

use gateway::config::Settings;
use messages::artifact::{Digest, MediaType};
use messages::id::{UserId, VideoId};
use messages::import::Upload;
use reqwest::RequestBuilder;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::coordinator::Coordinator;
use crate::gateway_under_test::{Gateway, answer, refusal};
use crate::server::{NatsServer, eventually};
use crate::{ART, CP, system, video};

/// A picture that says of itself that it is so large.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image::RgbImage::new(4, 3).write_to(&mut bytes, image::ImageFormat::Png).expect("encodes");
    let mut bytes = bytes.into_inner();
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let sum = crc(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// The check sum of a PNG chunk.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 })
    })
}

fn mp3() -> Vec<u8> {
    [&b"ID3\x04\0\0\0\0\0\0"[..], &[7; 5000]].concat()
}

fn mp4() -> Vec<u8> {
    [&b"\0\0\0\x20ftypisom\0\0\x02\0"[..], &[9; 70_000]].concat()
}

/// A file as a client may call it.
fn file(bytes: impl Into<Vec<u8>>) -> Part {
    Part::bytes(bytes.into()).file_name("holiday.png").mime_str("image/png").expect("a type")
}

fn picture(bytes: impl Into<Vec<u8>>) -> Form {
    Form::new().text("beat_index", "0").part("image", file(bytes))
}

fn path(at: VideoId, route: &str) -> String {
    format!("/api/video/{at}/checkpoints/{CP}/{route}")
}

fn send(gateway: &Gateway, route: &str, form: Form) -> RequestBuilder {
    gateway.client.post(format!("{}{}", gateway.base, path(video(), route))).multipart(form)
}

/// A video whose checkpoint of that phase has these artifacts and takes changes.
fn waits(coordinator: &Coordinator, phase: u8, keys: &[&str]) {
    let artifacts: serde_json::Map<_, _> = keys.iter().map(|key| ((*key).to_owned(), json!({ "id": ART }))).collect();
    let allowed = json!([{ "command": "approve", "allowed": false, "code": "artifact_pending", "reason": "wait" },
        { "command": "import", "allowed": true }]);
    coordinator.has(video());
    coordinator.answers("checkpoint", json!({ "phase_number": phase, "artifacts": artifacts, "allowed": allowed }));
}

fn named(bytes: &[u8], media_type: MediaType) -> Upload {
    Upload { sha256: Digest::of(bytes), size: bytes.len() as u64, media_type }
}

#[tokio::test]
async fn an_upload_is_stored_under_its_hash_and_named_by_its_command() {
    let (_server, coordinator, gateway) = system().await;
    let link = format!("/api/artifacts/{ART}/content");
    let answered = json!({ "artifact_id": ART, "version": 2, "s3_url": link, "job_id": format!("{CP}-beat_1-v2"),
        "message": "is being made", "checkpoint_id": CP, "branch_name": "main", "created_new_branch": false });
    coordinator.decides("import", Ok(answered.clone()));
    let image = png(4, 3);
    let uploads = [
        (
            2,
            "upload-image",
            "beat_1",
            image.clone(),
            MediaType::Png,
            Form::new().text("beat_index", "1").part("image", file(image.clone())),
        ),
        (
            2,
            "upload-image",
            "beat_1",
            image.clone(),
            MediaType::Png,
            Form::new().part("image", file(image)).text("beat_index", "1"),
        ),
        (
            3,
            "upload-chunk",
            "chunk_2",
            mp4(),
            MediaType::Mp4,
            Form::new().text("chunk_index", "2").part("video", file(mp4())),
        ),
        (4, "upload-music", "background", mp3(), MediaType::Mp3, Form::new().part("music", file(mp3()))),
    ];
    for (n, (phase, route, key, bytes, kind, form)) in uploads.into_iter().enumerate() {
        waits(&coordinator, phase, &["spec", "beat_0", "beat_1", "chunk_0", "chunk_2"]);
        let request = send(&gateway, route, form).header("idempotency-key", format!("key-{n}"));
        let (status, mut body) = answer(request).await;
        assert_eq!(body["s3_url"], format!("{}{link}", gateway.base), "{route}: {body}");
        body["s3_url"] = json!(link);
        assert_eq!((status, &body), (202, &answered), "{route}");

        let upload = named(&bytes, kind);
        let seen = coordinator.seen().pop().expect("a command");
        assert_eq!((seen.verb.as_str(), seen.id), ("import", format!("key-{n}")));
        assert_eq!(seen.body, json!({ "checkpoint_id": CP, "artifact_key": key, "upload": upload }));
        let (stored, meta, put) = gateway.objects.put().pop().expect("an object");
        let object = upload.object(&UserId::local(), video());
        assert_eq!((stored, meta.sha256, meta.size, meta.media_type), (object.key, object.sha256, object.size, kind));
        assert!(put == bytes, "{route}: the bytes arrived as they were");
    }
}

#[tokio::test]
async fn w30_w72_a_file_that_is_not_what_it_should_be_is_refused_before_it_is_stored() {
    let (_server, coordinator, gateway) = system().await;
    waits(&coordinator, 2, &["spec", "beat_0"]);
    let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\"/>";
    for other in [b"only text".to_vec(), svg.into(), mp3(), mp4(), [&b"GIF89a"[..], &[0; 100_000]].concat()] {
        let (status, body) = answer(send(&gateway, "upload-image", picture(other))).await;
        assert_eq!((status, &body["code"]), (415, &json!("unsupported_media_type")), "{body}");
        let detail = body["detail"].as_str().expect("text");
        assert!(["image/png", "image/jpeg", "image/webp"].iter().all(|known| detail.contains(known)), "{detail}");
    }
    for (route, field, known) in [("upload-chunk", "video", "video/mp4"), ("upload-music", "music", "audio/mpeg")] {
        let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nendless.ts\n".repeat(20);
        let form = Form::new().part(field, file(playlist));
        let form = if field == "video" { form.text("chunk_index", "0") } else { form };
        let (status, body) = answer(send(&gateway, route, form)).await;
        assert_eq!(status, 415, "{route}: {body}");
        assert!(body["detail"].as_str().expect("text").contains(known), "{body}");
    }

    let large = [png(4, 3), vec![0; 21 * 1024 * 1024]].concat();
    assert_eq!(refusal(send(&gateway, "upload-image", picture(large))).await, (413, "too_large".into()));
    let cut = png(4, 3)[..20].to_vec();
    for (bytes, word) in
        [(Vec::new(), "empty"), (cut, "decoded"), (png(8200, 5000), "megapixels"), (png(60_000, 60_000), "megapixels")]
    {
        let (status, body) = answer(send(&gateway, "upload-image", picture(bytes))).await;
        assert_eq!((status, &body["errors"][0]["field"]), (422, &json!("image")), "{body}");
        assert!(body["errors"][0]["reason"].as_str().expect("text").contains(word), "{body}");
    }
    assert!(coordinator.seen().is_empty() && gateway.objects.put().is_empty());
}

#[tokio::test]
async fn a_form_names_what_is_missing_and_nothing_else() {
    let (_server, coordinator, gateway) = system().await;
    waits(&coordinator, 2, &["spec", "beat_0"]);
    for index in ["-1", "", "one", "1.5", "99999999999", "0x1"] {
        let form = Form::new().text("beat_index", index).part("image", file(png(4, 3)));
        let (status, body) = answer(send(&gateway, "upload-image", form)).await;
        assert_eq!((status, &body["errors"][0]["field"]), (422, &json!("beat_index")), "{index}: {body}");
    }
    for (form, field) in [
        (picture(png(4, 3)).text("model", "local"), "model"),
        (picture(png(4, 3)).text("beat_index", "0"), "beat_index"),
        (picture(png(4, 3)).part("image", file(png(4, 3))), "image"),
        (picture(png(4, 3)).part("music", file(mp3())), "music"),
    ] {
        let (status, body) = answer(send(&gateway, "upload-image", form)).await;
        assert_eq!((status, &body["errors"][0]["field"]), (422, &json!(field)), "{body}");
    }

    let as_json = gateway.post(&path(video(), "upload-image"), &json!({ "beat_index": 0 }));
    assert_eq!(refusal(as_json).await, (415, "unsupported_media_type".into()));
    let foreign = send(&gateway, "upload-image", picture(png(4, 3))).header("origin", "http://evil.example");
    assert_eq!(refusal(foreign).await, (403, "forbidden_origin".into()));
    let url = format!("{}{}", gateway.base, path(video(), "upload-image"));
    let raw = |kind: &str, body: Vec<u8>| gateway.client.post(&url).header("content-type", kind).body(body);
    let (status, body) = answer(raw("multipart/form-data; boundary=x", b"--x--\r\n".to_vec())).await;
    let missing: Vec<_> = body["errors"].as_array().into_iter().flatten().map(|error| error["field"].clone()).collect();
    assert_eq!((status, json!(missing)), (422, json!(["beat_index", "image"])), "{body}");
    let without_boundary = raw("multipart/form-data", b"--x--".to_vec());
    assert_eq!(refusal(without_boundary).await, (415, "unsupported_media_type".into()));
    let head = "--x\r\ncontent-disposition: form-data; name=\"image\"\r\n";
    for broken in [Vec::new(), b"no form".to_vec(), head.into(), vec![b'-'; 6 * 1024 * 1024]] {
        let broken = raw("multipart/form-data; boundary=x", broken);
        assert_eq!(refusal(broken).await, (400, "broken_form".into()));
    }
    assert!(coordinator.seen().is_empty() && gateway.objects.put().is_empty());
}

#[tokio::test]
async fn nothing_is_stored_where_nothing_is_taken() {
    let (_server, coordinator, gateway) = system().await;
    let large = || picture([png(4, 3), vec![0; 5_000_000]].concat());
    assert_eq!(refusal(send(&gateway, "upload-image", large())).await, (404, "unknown_video".into()));
    let nowhere = format!("{}/api/video/{}/checkpoints/cp-1/upload-image", gateway.base, video());
    let nowhere = gateway.client.post(nowhere).multipart(large());
    assert_eq!(refusal(nowhere).await, (404, "unknown_checkpoint".into()));

    waits(&coordinator, 2, &["spec", "beat_0"]);
    let verdict =
        json!([{ "command": "import", "allowed": false, "code": "not_pending", "reason": "it was abandoned" }]);
    let place = json!({ "phase_number": 2, "artifacts": { "beat_0": { "id": ART } }, "allowed": verdict });
    coordinator.answers("checkpoint", place);
    assert_eq!(refusal(send(&gateway, "upload-image", large())).await, (409, "not_pending".into()));
    assert!(coordinator.seen().is_empty());

    // A repeat of what was taken once gets its answer, which only the coordinator knows.
    let again = send(&gateway, "upload-image", large()).header("idempotency-key", "click-1");
    assert_eq!(answer(again).await.0, 202);
    // And what a checkpoint does not have is refused in the coordinator's words.
    waits(&coordinator, 3, &["spec", "beat_0", "chunk_0"]);
    assert_eq!(answer(send(&gateway, "upload-image", large())).await.0, 202);
    let beyond = Form::new().text("chunk_index", "7").part("video", file(mp4()));
    assert_eq!(answer(send(&gateway, "upload-chunk", beyond)).await.0, 202);
    let keys: Vec<_> = coordinator.seen().into_iter().map(|seen| seen.body["artifact_key"].clone()).collect();
    assert_eq!(keys, ["beat_0", "beat_0", "chunk_7"]);
    assert!(gateway.objects.put().is_empty());
}

#[tokio::test]
async fn what_a_killed_gateway_left_goes_when_the_next_one_starts() {
    let server = NatsServer::start();
    let scratch = tempfile::tempdir().expect("a folder");
    let left = scratch.path().join("dailies-scratch-left");
    std::fs::create_dir(&left).expect("made");
    for file in ["lock", "upload-1"] {
        std::fs::write(left.join(file), "x").expect("written");
    }
    let settings = Settings { scratch: Some(scratch.path().to_owned()), ..Settings::default() };
    let _gateway = Gateway::start(&server.bus().await, settings).await;
    eventually("it is gone", async || !left.exists()).await;
}

#[tokio::test]
async fn a_client_that_leaves_leaves_nothing_behind_and_others_wait_for_their_turn() {
    let server = NatsServer::start();
    let bus = server.bus().await;
    let coordinator = Coordinator::start(&bus).await;
    let scratch = tempfile::tempdir().expect("a folder");
    let settings = Settings {
        upload_slots: std::num::NonZeroUsize::MIN,
        upload_wait: Duration::from_millis(200),
        scratch: Some(scratch.path().to_owned()),
        ..Settings::default()
    };
    let gateway = Gateway::start(&bus, settings).await;
    waits(&coordinator, 3, &["spec", "chunk_0"]);
    let files = || std::fs::read_dir(scratch.path()).expect("a folder").count();

    let address = gateway.base.strip_prefix("http://").expect("a base");
    let mut client = tokio::net::TcpStream::connect(address).await.expect("connects");
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {address}\r\ncontent-type: multipart/form-data; boundary=x\r\n\
         content-length: 400000000\r\n\r\n--x\r\ncontent-disposition: form-data; name=\"video\"\r\n\r\n",
        path(video(), "upload-chunk")
    );
    client.write_all(head.as_bytes()).await.expect("sends");
    client.write_all(&mp4()).await.expect("sends");
    eventually("the file is being received", async || files() == 1).await;

    let (status, body) = answer(send(&gateway, "upload-music", Form::new().part("music", file(mp3())))).await;
    assert_eq!((status, &body["code"]), (429, &json!("too_many_uploads")), "{body}");
    drop(client);
    eventually("the file is gone", async || files() == 0).await;
    waits(&coordinator, 4, &["spec", "final"]);
    eventually("it is another's turn", async || {
        answer(send(&gateway, "upload-music", Form::new().part("music", file(mp3())))).await.0 == 202
    })
    .await;
    assert_eq!((files(), gateway.objects.put().len()), (0, 1));
    let commands: Vec<Value> = coordinator.seen().into_iter().map(|seen| seen.body["artifact_key"].clone()).collect();
    assert_eq!(commands, ["background"]);
}
