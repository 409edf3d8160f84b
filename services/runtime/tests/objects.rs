//! The S3 client against servers that misbehave. What it does with a good one is tested where there is one, in
//! `services/objects`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use messages::artifact::{Digest, MediaType};
use runtime::artifacts::s3::{S3Objects, S3Settings};
use runtime::artifacts::{ObjectError, ObjectMeta, ObjectStore as _, PutOnce};
use runtime::job_error::JobError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let server = Server::that_answers(&[&error(503, "SlowDown"), &ok("record")]).await;
    assert_eq!(server.objects.get("job.json").await.expect("get").as_deref(), Some(&b"record"[..]));
    assert_eq!(server.heads().len(), 2);
}

#[tokio::test]
async fn a_server_that_stays_busy_is_unavailable_and_says_why() {
    let server = Server::that_answers(&[&error(503, "SlowDown")]).await;
    let error = server.objects.get("job.json").await.expect_err("busy");
    assert!(matches!(error, ObjectError::Unavailable { action: "read", .. }), "{error:?}");
    let reason = JobError::from(error).to_string();
    assert_eq!(reason, "the object store cannot read now: words of the server (503 SlowDown)");
}

#[tokio::test]
async fn a_full_server_of_any_make_is_called_full() {
    for answer in [error(507, "InsufficientStorage"), error(507, "XMinioStorageFull"), error(503, "XMinioStorageFull")]
    {
        let server = Server::that_answers(&[&answer]).await;
        let error = server.objects.put_once("job.json", b"{}".to_vec(), &meta(b"{}")).await.expect_err("full");
        assert!(matches!(error, ObjectError::Unavailable { action: "store", .. }), "{error:?}");
        let reason = JobError::from(error).to_string();
        assert!(reason.contains("no space left"), "{reason}");
    }
}

#[tokio::test]
async fn a_refusal_is_final_and_is_not_tried_again() {
    for code in ["AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId"] {
        let server = Server::that_answers(&[&error(403, code)]).await;
        let error = server.objects.get("job.json").await.expect_err("refused");
        assert!(matches!(error, ObjectError::Refused { .. }), "{error:?}");
        assert!(matches!(JobError::from(error), JobError::GiveUp { reason } if reason.contains(code)));
        assert_eq!(server.heads().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_is_never_taken_for_the_whole() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this";
    let server = Server::that_answers(&[cut]).await;
    assert!(matches!(server.objects.get("film.mp4").await, Err(ObjectError::Unavailable { action: "read", .. })));
    let folder = tempfile::tempdir().expect("scratch");
    let result = server.objects.get_file("film.mp4", &folder.path().join("film.mp4")).await;
    assert!(matches!(result, Err(ObjectError::Unavailable { action: "read", .. })), "{result:?}");
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_unavailable() {
    let server = Server::that_answers(&["220 mail.example.org ESMTP\r\n"]).await;
    let error = server.objects.get("job.json").await.expect_err("nonsense");
    assert!(matches!(error, ObjectError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_conflict_with_another_writer_is_looked_at() {
    let server = Server::that_answers(&[&error(409, "ConditionalRequestConflict"), &ok("")]).await;
    let outcome = server.objects.put_once("job.json", b"{}".to_vec(), &meta(b"{}")).await.expect("put");
    assert_eq!(outcome, PutOnce::AlreadyThere);
    assert!(server.heads()[1].starts_with("HEAD /films/job.json"));

    let server = Server::that_answers(&[&error(409, "ConditionalRequestConflict"), &bare(404)]).await;
    let undecided = server.objects.put_once("job.json", b"{}".to_vec(), &meta(b"{}")).await;
    assert!(matches!(undecided, Err(ObjectError::Unavailable { .. })), "{undecided:?}");
}

#[tokio::test]
async fn a_bucket_that_another_process_makes_meanwhile_is_fine() {
    let server = Server::that_answers(&[&bare(404), &error(409, "BucketAlreadyOwnedByYou")]).await;
    server.objects.ensure_bucket().await.expect("bucket");
    let heads = server.heads();
    assert!(heads[0].starts_with("HEAD /films") && heads[1].starts_with("PUT /films"), "{heads:?}");
}

#[tokio::test]
async fn a_bucket_of_somebody_else_is_refused() {
    let server = Server::that_answers(&[&bare(403)]).await;
    assert!(matches!(server.objects.ensure_bucket().await, Err(ObjectError::Refused { .. })));
}

#[tokio::test]
async fn an_upload_says_what_it_is_and_what_it_must_hash_to() {
    let server = Server::that_answers(&[&bare(200)]).await;
    let file = tempfile::NamedTempFile::new().expect("scratch");
    std::fs::write(file.path(), b"film").expect("scratch");
    server.objects.put_file("v/film.mp4", file.path(), &meta(b"film")).await.expect("put");
    let head = server.heads()[0].to_ascii_lowercase();
    let sha256 = format!("x-amz-meta-sha256: {}", Digest::of(b"film"));
    for line in
        ["put /films/v/film.mp4", "content-type: video/mp4", "content-length: 4", "x-amz-meta-job: job-1", &sha256]
    {
        assert!(head.contains(line), "{line} is not in {head}");
    }
    assert!(head.contains("x-amz-checksum-sha256: "), "{head}");
    assert!(!head.contains("aws-chunked") && !head.contains("if-none-match"), "{head}");
}

#[tokio::test]
async fn a_file_that_is_gone_is_a_scratch_error() {
    let server = Server::that_answers(&[&bare(200)]).await;
    let gone = std::path::Path::new("there/is/no/such/file");
    let result = server.objects.put_file("film.mp4", gone, &meta(b"film")).await;
    assert!(matches!(result, Err(ObjectError::Scratch(_))), "{result:?}");
    assert!(server.heads().is_empty());
}

#[tokio::test]
async fn links_name_the_address_that_a_browser_reaches() {
    let mut settings = settings("http://objects:9000".to_owned());
    settings.public_endpoint = Some("https://films.example.org".to_owned());
    let link = S3Objects::new(&settings).link("v/film.mp4", Duration::from_secs(60)).await.expect("link");
    assert!(link.starts_with("https://films.example.org/films/v/film.mp4?"), "{link}");
    let forever = S3Objects::new(&settings).link("v/film.mp4", Duration::from_secs(1 << 30)).await;
    assert!(matches!(forever, Err(ObjectError::Refused { .. })));
}

/// A server that says what it was told to say, whatever it is asked; the last answer over and over.
struct Server {
    objects: S3Objects,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn that_answers(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let objects = S3Objects::new(&settings(format!("http://{}", listener.local_addr().expect("address"))));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (asked, answers) = (Arc::clone(&heads), answers.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        tokio::spawn(async move {
            for turn in 0.. {
                let Ok((mut line, _)) = listener.accept().await else { return };
                let head = read_request(&mut line).await;
                asked.lock().expect("lock").push(head);
                let _ = line.write_all(answers[turn.min(answers.len() - 1)].as_bytes()).await;
            }
        });
        Self { objects, heads }
    }

    /// What it was asked, without bodies.
    fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("lock").clone()
    }
}

async fn read_request(line: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match line.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length:").and_then(|length| length.trim().parse::<u64>().ok()));
    let mut body = Vec::new();
    let _ = line.take(length.unwrap_or(0)).read_to_end(&mut body).await;
    head
}

fn settings(endpoint: String) -> S3Settings {
    S3Settings {
        endpoint: Some(endpoint),
        public_endpoint: None,
        region: "us-east-1".to_owned(),
        bucket: "films".to_owned(),
        access_key_id: "key".to_owned(),
        secret_access_key: "secret".into(),
        path_style: true,
    }
}

fn meta(bytes: &[u8]) -> ObjectMeta {
    ObjectMeta {
        media_type: MediaType::Mp4,
        sha256: Digest::of(bytes),
        size: bytes.len() as u64,
        job: "job-1".to_owned(),
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn bare(status: u16) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

fn error(status: u16, code: &str) -> String {
    let body = format!("<Error><Code>{code}</Code><Message>words of the server</Message></Error>");
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}
