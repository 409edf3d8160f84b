//! What our own endpoint promises beyond the protocol: nothing half stored, nothing lost, nothing outside the folder.

use std::time::{Duration, Instant};

use runtime::artifacts::s3::S3Objects;
use runtime::artifacts::{ObjectError, ObjectStore as _, PutOnce};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::server::{Embedded, http, meta, put, until};

#[tokio::test]
async fn no_key_leads_outside_the_folder() {
    let server = Embedded::start(None).await;
    let objects = server.objects().await;
    let long = "x".repeat(300);
    let keys = [
        "..",
        "../..",
        "../../../escaped",
        "/",
        "//",
        "/etc/escaped",
        "a//b",
        "a/",
        "a/../b",
        "a/./b",
        ".",
        ".hidden",
        "%2e%2e/x",
        "..%2fx",
        "a\\..\\b",
        "tab\tkey",
        "line\nkey",
        "\u{1}\u{7f}",
        "nul\0key",
        "ü",
        "u\u{308}",
        "A",
        "a",
        "~",
        "+",
        "%",
        "?q#f",
        "<&\">'",
        "C:\\x",
        "🎬",
        long.as_str(),
    ];
    for key in keys {
        let stored = objects.put_once(key, key.as_bytes().to_vec(), &meta(key.as_bytes())).await;
        assert_eq!(stored.unwrap_or_else(|error| panic!("{key:?}: {error:?}")), PutOnce::Stored, "{key:?}");
    }
    for key in keys {
        assert_eq!(objects.get(key).await.expect("get").as_deref(), Some(key.as_bytes()), "{key:?}");
    }
    let mut sorted = keys.map(str::to_owned);
    sorted.sort();
    assert_eq!(objects.list("").await.expect("list"), sorted);
    let inside = server.folder.path().join("objects/buckets/films");
    for file in server.files() {
        assert!(file.starts_with(&inside), "{file:?}");
    }
    assert_eq!(objects.delete_prefix("").await.expect("delete"), keys.len() as u64);
    assert!(server.files().is_empty());
}

#[tokio::test]
async fn buckets_named_like_folders_are_refused() {
    let server = Embedded::start(None).await;
    for bucket in ["..", ".", "a/b", "UPPER", "incoming..", "x"] {
        let mut settings = server.settings();
        settings.bucket = bucket.to_owned();
        assert!(S3Objects::new(&settings).ensure_bucket().await.is_err(), "{bucket:?}");
    }
    assert!(server.files().is_empty());
}

#[tokio::test]
async fn everything_is_there_after_a_restart_and_leftovers_are_gone() {
    let server = Embedded::start(None).await;
    let objects = server.objects().await;
    put(&objects, "video/film.mp4", b"film").await;
    let folder = server.stop().await;
    std::fs::write(folder.path().join("objects/incoming/put-cut"), b"half a film").expect("leftover");

    let server = Embedded::over(folder, None).await;
    let objects = server.objects().await;
    assert_eq!(server.incoming(), 0);
    assert_eq!(objects.get("video/film.mp4").await.expect("get").as_deref(), Some(&b"film"[..]));
    let head = objects.head("video/film.mp4").await.expect("head").expect("there");
    assert_eq!(head.content_type.as_deref(), Some("video/mp4"));
    let again = objects.put_once("video/film.mp4", b"other".to_vec(), &meta(b"other")).await.expect("put");
    assert_eq!(again, PutOnce::AlreadyThere);
}

#[tokio::test]
async fn a_full_store_says_so_and_keeps_what_it_has() {
    let server = Embedded::start(Some(1 << 20)).await;
    let objects = server.objects().await;
    put(&objects, "fits", &[1; 700_000]).await;
    let file = server.folder.path().join("large");
    // Larger than what a connection buffers: the refusal has to reach a client that is still sending.
    let large = vec![2; 20 << 20];
    std::fs::write(&file, &large).expect("scratch");
    let error = objects.put_file("large", &file, &meta(&large)).await.expect_err("full");
    assert!(matches!(error, ObjectError::Unavailable { action: "store", .. }), "{error:?}");
    let reason = runtime::job_error::JobError::from(error).to_string();
    assert!(reason.contains("no space left"), "{reason}");
    assert!(objects.get("large").await.expect("get").is_none());
    assert_eq!(server.incoming(), 0);

    assert_eq!(objects.delete_prefix("fits").await.expect("delete"), 1);
    put(&objects, "fits/again", &[3; 900_000]).await;
}

#[tokio::test]
async fn an_upload_that_is_cut_leaves_no_file_behind() {
    let server = Embedded::start(Some(1 << 20)).await;
    let objects = server.objects().await;
    let settings = server.settings();
    let sdk = aws_sdk_s3::Config::builder()
        .endpoint_url(settings.endpoint.expect("endpoint"))
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
        .region(aws_sdk_s3::config::Region::new("us-east-1"))
        .credentials_provider(aws_sdk_s3::config::Credentials::new(
            crate::server::KEY,
            crate::server::SECRET,
            None,
            None,
            "test",
        ))
        .force_path_style(true)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    let signing = aws_sdk_s3::presigning::PresigningConfig::expires_in(Duration::from_secs(60)).expect("lifetime");
    let link = aws_sdk_s3::Client::from_conf(sdk).put_object().bucket("films").key("half").presigned(signing).await;
    let url: reqwest::Url = link.expect("link").uri().parse().expect("url");
    let mut line = TcpStream::connect(server.address).await.expect("connection");
    let path = format!("{}?{}", url.path(), url.query().expect("signature"));
    let head = format!("PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 1000000\r\n\r\n", server.address);
    line.write_all(head.as_bytes()).await.expect("head");
    line.write_all(&vec![1; 500_000]).await.expect("half of it");
    until("the upload is on its way", || async { server.incoming() == 1 }).await;
    assert!(objects.get("half").await.expect("get").is_none(), "visible while it arrives");
    drop(line);
    until("nothing is left of it", || async { server.files().is_empty() }).await;
    assert!(objects.get("half").await.expect("get").is_none());
    // Its room is free again.
    put(&objects, "whole", &[1; 900_000]).await;
}

#[tokio::test]
async fn a_stopping_server_finishes_what_it_began() {
    let server = Embedded::start(None).await;
    let objects = server.objects().await;
    put(&objects, "film.mp4", &vec![5; 8 << 20]).await;
    let link = objects.link("film.mp4", Duration::from_secs(60)).await.expect("link");
    let mut answer = http().get(&link).send().await.expect("answer");
    let first = answer.chunk().await.expect("chunk").expect("bytes").len();
    server.begin_to_stop();
    until("new connections are refused", || async { TcpStream::connect(server.address).await.is_err() }).await;
    let mut length = first;
    while let Some(piece) = answer.chunk().await.expect("the rest comes") {
        length += piece.len();
    }
    assert_eq!(length, 8 << 20);
    server.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_is_away_is_unavailable_within_seconds() {
    let server = Embedded::start(None).await;
    let objects = server.objects().await;
    server.stop().await;
    let began = Instant::now();
    let error = objects.get("x").await.expect_err("away");
    assert!(matches!(error, ObjectError::Unavailable { action: "read", .. }), "{error:?}");
    let error = objects.put_once("x", b"x".to_vec(), &meta(b"x")).await.expect_err("away");
    let reason = runtime::job_error::JobError::from(error).to_string();
    assert!(reason.contains("cannot be reached") && reason.contains("refused"), "{reason}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_damaged_file_is_an_error_and_never_short_bytes() {
    let server = Embedded::start(None).await;
    let objects = server.objects().await;
    put(&objects, "film.mp4", b"film").await;
    let file = server.files().pop().expect("one file");
    let whole = std::fs::read(&file).expect("object");
    std::fs::write(&file, &whole[..whole.len() - 1]).expect("cut");
    assert!(matches!(objects.get("film.mp4").await, Err(ObjectError::Unavailable { .. })));
    assert_eq!(objects.delete_prefix("").await.expect("a damaged object can be deleted"), 1);
}

#[tokio::test]
async fn a_stored_picture_can_be_opened_as_it_is() {
    let server = Embedded::start(None).await;
    put(&server.objects().await, "videos/vid-1/beat_00_v1-0a1b2c3d.png", b"picture").await;
    let file = server.files().pop().expect("one file");
    assert!(file.ends_with("videos+/vid-1+/beat_00_v1-0a1b2c3d.png"), "{file:?}");
    assert!(std::fs::read(file).expect("object").starts_with(b"picture"));
}

#[tokio::test]
async fn what_is_not_implemented_says_so() {
    let server = Embedded::start(None).await;
    let objects = server.objects().await;
    put(&objects, "x", b"x").await;
    let link = objects.link("x", Duration::from_secs(60)).await.expect("link");
    let answer = http().get(format!("{link}&acl")).send().await.expect("answer");
    assert!(answer.status().is_client_error() || answer.status() == 501, "{}", answer.status());
}
