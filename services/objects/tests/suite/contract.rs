//! What every S3 server has to do for us.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;
use futures::StreamExt as _;
use messages::artifact::Digest;
use runtime::artifacts::s3::S3Objects;
use runtime::artifacts::{ObjectError, ObjectStore, PutOnce};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::server::{Target, http, meta, until};

#[tokio::test]
async fn files_of_any_size_come_back_as_they_went() {
    let target = Target::start().await;
    for size in [0, 1, 1000, (5 << 20) + 7] {
        let bytes: Vec<u8> = (0..size).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let (from, to) = (target.scratch.path().join("from"), target.scratch.path().join("to"));
        std::fs::write(&from, &bytes).expect("scratch");
        let store: &dyn ObjectStore = &target.objects;
        store.put_file("size/film.mp4", &from, &meta(&bytes)).await.expect("put");
        assert_eq!(store.get_file("size/film.mp4", &to).await.expect("get"), Digest::of(&bytes), "{size} bytes");
        assert_eq!(std::fs::read(&to).expect("scratch"), bytes, "{size} bytes");
    }
}

#[tokio::test]
async fn content_type_hash_and_job_are_kept() {
    let target = Target::start().await;
    target.put("kept.mp4", b"film").await;
    let head = target.objects.head("kept.mp4").await.expect("head").expect("there");
    assert_eq!((head.content_type.as_deref(), head.size), (Some("video/mp4"), 4));
    assert_eq!(head.metadata["sha256"], Digest::of(b"film").to_string());
    assert_eq!(head.metadata["job"], "cp-1-chunk_0-v1");
}

#[tokio::test]
async fn of_fifty_writers_at_once_exactly_one_wins_and_its_bytes_stay() {
    let target = Target::start().await;
    let objects = Arc::new(target.objects.clone());
    let writing = (0..50).map(|writer: u32| {
        let objects = Arc::clone(&objects);
        tokio::spawn(async move {
            let bytes = format!("record of writer {writer}").into_bytes();
            (writer, objects.put_once("job.json", bytes.clone(), &meta(&bytes)).await.expect("put"))
        })
    });
    let mut winners = Vec::new();
    for written in futures::future::join_all(writing).await {
        let (writer, outcome) = written.expect("writer");
        if outcome == PutOnce::Stored {
            winners.push(writer);
        }
    }
    let [winner] = winners[..] else { panic!("{winners:?} won") };
    let stored = target.objects.get("job.json").await.expect("get").expect("there");
    assert_eq!(String::from_utf8_lossy(&stored), format!("record of writer {winner}"));
}

#[tokio::test]
async fn the_same_object_again_is_harmless() {
    let target = Target::start().await;
    for _ in 0..3 {
        target.put("again", b"bytes").await;
    }
    assert_eq!(target.objects.get("again").await.expect("get").as_deref(), Some(&b"bytes"[..]));
    assert_eq!(target.objects.list("").await.expect("list"), ["again"]);
}

#[tokio::test]
async fn an_object_that_is_not_there_is_none_or_not_found() {
    let target = Target::start().await;
    let file = target.scratch.path().join("none");
    assert!(target.objects.get("nothing/here").await.expect("get").is_none());
    assert!(target.objects.head("nothing/here").await.expect("head").is_none());
    let missing = target.objects.get_file("nothing/here", &file).await;
    assert!(matches!(missing, Err(ObjectError::NotFound(key)) if key == "nothing/here"));
    assert_eq!(target.objects.delete_prefix("nothing/").await.expect("delete"), 0);
}

#[tokio::test]
async fn one_object_is_deleted_and_its_neighbours_stay() {
    let target = Target::start().await;
    for key in ["film", "film.mp4", "film.mp4.part"] {
        target.put(key, key.as_bytes()).await;
    }
    let store: &dyn ObjectStore = &target.objects;
    for _ in 0..2 {
        store.delete("film.mp4").await.expect("what is gone is deleted already");
        assert!(store.get("film.mp4").await.expect("get").is_none());
    }
    store.delete("never/was").await.expect("delete");
    assert_eq!(target.objects.list("").await.expect("list"), ["film", "film.mp4.part"]);
}

#[tokio::test]
async fn a_record_that_is_too_large_is_not_read_into_memory() {
    let target = Target::start().await;
    target.put("large", &vec![7; (1 << 20) + 1]).await;
    target.put("fits", &vec![7; 1 << 20]).await;
    assert!(matches!(target.objects.get("large").await, Err(ObjectError::Refused { .. })));
    assert!(target.objects.get("fits").await.expect("get").is_some());
}

#[tokio::test]
async fn a_link_works_for_anybody_until_it_is_changed() {
    let target = Target::start().await;
    target.put("shots/beat 01 (é).png", b"picture").await;
    let link = target.objects.link("shots/beat 01 (é).png", Duration::from_secs(60)).await.expect("link");
    let answer = http().get(&link).send().await.expect("answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "video/mp4");
    assert_eq!(answer.bytes().await.expect("body"), "picture");

    let bare = link.split('?').next().expect("path").to_owned();
    let another = link.replace("beat", "meat");
    let longer = link.replace("X-Amz-Expires=60", "X-Amz-Expires=600");
    for changed in [bare, another, longer] {
        assert_eq!(http().get(&changed).send().await.expect("answer").status(), 403, "{changed}");
    }
    assert!(http().put(&link).body("mine").send().await.expect("answer").status().is_client_error());
}

#[tokio::test]
async fn a_link_ends_with_its_lifetime() {
    let target = Target::start().await;
    target.put("short", b"x").await;
    let link = target.objects.link("short", Duration::from_secs(1)).await.expect("link");
    until("the link is refused", || async { http().get(&link).send().await.expect("answer").status().as_u16() == 403 })
        .await;
}

#[tokio::test]
async fn a_player_reads_any_part_of_a_film() {
    let target = Target::start().await;
    target.put("film.mp4", b"0123456789").await;
    let link = target.objects.link("film.mp4", Duration::from_secs(60)).await.expect("link");
    let part = |range: &'static str| http().get(&link).header("Range", range).send();
    for (range, content_range, bytes) in [
        ("bytes=0-", "bytes 0-9/10", "0123456789"),
        ("bytes=2-4", "bytes 2-4/10", "234"),
        ("bytes=-3", "bytes 7-9/10", "789"),
        ("bytes=8-99", "bytes 8-9/10", "89"),
    ] {
        let answer = part(range).await.expect("answer");
        assert_eq!(answer.status(), 206, "{range}");
        assert_eq!(answer.headers()["content-range"], content_range);
        assert_eq!(answer.headers()["content-length"], bytes.len().to_string().as_str());
        assert_eq!(answer.text().await.expect("body"), bytes);
    }
    assert_eq!(part("bytes=10-").await.expect("answer").status(), 416);
    let whole = http().get(&link).send().await.expect("answer");
    assert_eq!((whole.status().as_u16(), &whole.headers()["accept-ranges"]), (200, &"bytes".parse().expect("header")));
}

#[tokio::test]
async fn a_reader_that_knows_the_bytes_is_told_so() {
    let target = Target::start().await;
    target.put("film.mp4", b"0123456789").await;
    let link = target.objects.link("film.mp4", Duration::from_secs(60)).await.expect("link");
    let tag = http().get(&link).send().await.expect("answer").headers()["etag"].clone();
    let again = http().get(&link).header("If-None-Match", tag).send().await.expect("answer");
    assert_eq!(again.status(), 304);
    let other = http().get(&link).header("If-Match", "\"0123\"").send().await.expect("answer");
    assert_eq!(other.status(), 412);
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let target = Target::start().await;
    let mut settings = target.settings.clone();
    settings.secret_access_key = "guessed".into();
    let stranger = S3Objects::new(&settings);
    assert!(matches!(stranger.ensure_bucket().await, Err(ObjectError::Refused { .. })));
    assert!(matches!(stranger.get("x").await, Err(ObjectError::Refused { .. })));
    assert!(matches!(stranger.put_once("x", b"x".to_vec(), &meta(b"x")).await, Err(ObjectError::Refused { .. })));
    assert!(matches!(stranger.delete_prefix("").await, Err(ObjectError::Refused { .. })));
    assert!(matches!(stranger.delete("x").await, Err(ObjectError::Refused { .. })));
    settings.access_key_id = "nobody".to_owned();
    assert!(matches!(S3Objects::new(&settings).get("x").await, Err(ObjectError::Refused { .. })));
    assert!(target.objects.get("x").await.expect("get").is_none());
}

#[tokio::test]
async fn nobody_reads_without_a_signature() {
    let target = Target::start().await;
    target.put("x", b"x").await;
    let url = format!("{}/{}/x", target.settings.endpoint.as_deref().expect("endpoint"), target.bucket());
    assert_eq!(http().get(url).send().await.expect("answer").status(), 403);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_refused() {
    let target = Target::start().await;
    let mut settings = target.settings.clone();
    settings.bucket = "no-such-bucket-of-ours".to_owned();
    let objects = S3Objects::new(&settings);
    assert!(matches!(objects.get("x").await, Err(ObjectError::Refused { .. })));
    assert!(matches!(objects.put_once("x", b"x".to_vec(), &meta(b"x")).await, Err(ObjectError::Refused { .. })));
}

#[tokio::test]
async fn keys_may_have_1024_bytes_and_any_letters() {
    let target = Target::start().await;
    for key in ["k".repeat(1024), format!("{}/x", "é".repeat(511)), "a b+c&d=e%20f/ü/日本.png".to_owned()] {
        target.put(&key, key.as_bytes()).await;
        assert_eq!(target.objects.get(&key).await.expect("get").as_deref(), Some(key.as_bytes()));
        assert_eq!(target.objects.list(&key).await.expect("list"), [key.as_str()]);
        assert_eq!(target.objects.delete_prefix(&key).await.expect("delete"), 1);
        assert!(target.objects.get(&key).await.expect("get").is_none());
    }
}

#[tokio::test]
async fn lists_are_in_order_and_go_on_over_pages() {
    let target = Target::start().await;
    let mut keys: Vec<String> = (0..23).map(|i| format!("v/{i:02}")).collect();
    keys.extend(["v", "v/0", "v/00/x", "v/00!", "v!", "w/1"].map(str::to_owned));
    for key in &keys {
        target.put(key, b"").await;
    }
    keys.sort();
    assert_eq!(target.objects.list("").await.expect("list"), keys);
    let below: Vec<_> = keys.iter().filter(|key| key.starts_with("v/")).cloned().collect();
    let (mut listed, mut token) = (Vec::new(), None);
    loop {
        let asking = target.sdk.list_objects_v2().bucket(target.bucket()).prefix("v/").max_keys(4);
        let page = asking.set_continuation_token(token).send().await.expect("page");
        assert!(page.contents().len() <= 4);
        listed.extend(page.contents().iter().filter_map(|object| object.key()).map(str::to_owned));
        token = page.next_continuation_token().map(str::to_owned);
        assert_eq!(page.is_truncated(), Some(token.is_some()));
        if token.is_none() {
            break;
        }
    }
    assert_eq!(listed, below);
    let behind = target.sdk.list_objects_v2().bucket(target.bucket()).start_after("v/21").send().await.expect("page");
    assert_eq!(behind.contents().iter().filter_map(|object| object.key()).collect::<Vec<_>>(), ["v/22", "w/1"]);
    let folded = target.sdk.list_objects_v2().bucket(target.bucket()).delimiter("/").send().await.expect("page");
    let prefixes: Vec<_> = folded.common_prefixes().iter().filter_map(|prefix| prefix.prefix()).collect();
    assert_eq!(prefixes, ["v/", "w/"]);
}

#[tokio::test]
async fn deleting_a_prefix_deletes_it_and_nothing_else() {
    let target = Target::start().await;
    for key in ["a/b/1", "a/b/2/3", "a/b", "a/bc", "a/bc/1", "a/B/1", "b/1"] {
        target.put(key, b"x").await;
    }
    assert_eq!(target.objects.delete_prefix("a/b/").await.expect("delete"), 2);
    assert_eq!(target.objects.list("").await.expect("list"), ["a/B/1", "a/b", "a/bc", "a/bc/1", "b/1"]);
    assert_eq!(target.objects.delete_prefix("a/b").await.expect("delete"), 3);
    assert_eq!(target.objects.list("").await.expect("list"), ["a/B/1", "b/1"]);
}

#[tokio::test]
async fn deleting_goes_on_over_pages() {
    let target = Target::start().await;
    let putting = (0..1030).map(|i| {
        let objects = target.objects.clone();
        async move { objects.put_once(&format!("many/{i}"), b"x".to_vec(), &meta(b"x")).await.expect("put") }
    });
    futures::stream::iter(putting).buffer_unordered(32).for_each(|_| std::future::ready(())).await;
    assert_eq!(target.objects.delete_prefix("many/").await.expect("delete"), 1030);
    assert!(target.objects.list("").await.expect("list").is_empty());
}

#[tokio::test]
async fn an_upload_that_is_cut_leaves_nothing() {
    let target = Target::start().await;
    let signing = aws_sdk_s3::presigning::PresigningConfig::expires_in(Duration::from_secs(60)).expect("lifetime");
    let put = target.sdk.put_object().bucket(target.bucket()).key("half").presigned(signing).await.expect("link");
    let url: reqwest::Url = put.uri().parse().expect("url");
    let host = format!("{}:{}", url.host_str().expect("host"), url.port().expect("port"));
    let mut line = tokio::net::TcpStream::connect(&host).await.expect("connection");
    let path = format!("{}?{}", url.path(), url.query().expect("signature"));
    let head = format!("PUT {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000\r\n\r\n");
    line.write_all(head.as_bytes()).await.expect("head");
    line.write_all(&vec![1; 500_000]).await.expect("half of it");
    line.shutdown().await.expect("cut");
    // Whatever the server says, it is done with the request when the connection ends.
    let _ = line.read_to_end(&mut Vec::new()).await;
    assert!(target.objects.get("half").await.expect("get").is_none());
    assert!(target.objects.list("").await.expect("list").is_empty());
}

#[tokio::test]
async fn bytes_that_do_not_match_their_checksum_are_refused() {
    let target = Target::start().await;
    let put = || target.sdk.put_object().bucket(target.bucket()).key("wrong").body(ByteStream::from_static(b"bytes"));
    let sums = [
        put().content_md5("1B2M2Y8AsgTpgAmY7PhCfg=="),
        put().checksum_sha256("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
        put().checksum_crc32("AAAAAA=="),
        put().checksum_crc32_c("AAAAAA=="),
        put().checksum_sha1("2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
        put().checksum_crc64_nvme("AAAAAAAAAAA="),
    ];
    for (i, put) in sums.into_iter().enumerate() {
        let refused = put.send().await.expect_err("refused").into_service_error();
        let code = aws_sdk_s3::error::ProvideErrorMetadata::code(&refused).unwrap_or_default().to_owned();
        assert!(["BadDigest", "InvalidDigest", "InvalidRequest"].contains(&code.as_str()), "sum {i}: {code}");
        assert!(target.objects.get("wrong").await.expect("get").is_none(), "sum {i}");
    }
    // The right ones pass, in front of the bytes and behind them.
    put().content_md5("SzpiGLs+OnMD6KFxpg/Pkg==").send().await.expect("the right sum");
    for sum in [ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Crc32C, ChecksumAlgorithm::Sha256] {
        put().checksum_algorithm(sum.clone()).send().await.unwrap_or_else(|error| panic!("{sum}: {error:?}"));
    }
    let file = target.scratch.path().join("streamed");
    std::fs::write(&file, b"bytes").expect("scratch");
    let streamed = ByteStream::from_path(&file).await.expect("file");
    put().body(streamed).checksum_algorithm(ChecksumAlgorithm::Crc32).send().await.expect("a sum behind the bytes");
    assert_eq!(target.objects.get("wrong").await.expect("get").as_deref(), Some(&b"bytes"[..]));
}

#[tokio::test]
async fn our_own_uploads_are_checked_on_arrival() {
    let target = Target::start().await;
    let file = target.scratch.path().join("changed");
    std::fs::write(&file, b"changed since it was hashed").expect("scratch");
    let result = target.objects.put_file("changed", &file, &meta(b"as it was when hashed......")).await;
    assert!(result.is_err(), "{result:?}");
    assert!(target.objects.get("changed").await.expect("get").is_none());
}
