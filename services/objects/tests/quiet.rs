//! What the endpoint logs: nothing that opens a door, and no error that is not ours.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use messages::artifact::{Digest, MediaType};
use objects::{Endpoint, Settings};
use runtime::artifacts::s3::{S3Objects, S3Settings};
use runtime::artifacts::{ObjectMeta, ObjectStore as _};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn signatures_are_not_logged_and_strangers_are_no_errors() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_env_filter("objects=trace,s3s=trace")
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .init();
    let folder = tempfile::tempdir().expect("folder");
    let settings = Settings {
        folder: folder.path().to_owned(),
        access_key_id: "key".to_owned(),
        secret_access_key: "hush-hush".to_owned(),
        quota: None,
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
    let endpoint = format!("http://{}", listener.local_addr().expect("address"));
    tokio::spawn(Endpoint::open(settings).await.expect("folder").serve(listener, CancellationToken::new()));
    let settings = S3Settings {
        endpoint: Some(endpoint),
        public_endpoint: None,
        region: "us-east-1".to_owned(),
        bucket: "films".to_owned(),
        access_key_id: "key".to_owned(),
        secret_access_key: "hush-hush".into(),
        path_style: true,
    };
    let objects = S3Objects::new(&settings);
    objects.ensure_bucket().await.expect("bucket");
    let meta = ObjectMeta { media_type: MediaType::Json, sha256: Digest::of(b"{}"), size: 2, job: "job".to_owned() };
    objects.put_once("job.json", b"{}".to_vec(), &meta).await.expect("put");

    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build().expect("client");
    let link = objects.link("job.json", Duration::from_secs(60)).await.expect("link");
    assert_eq!(http.get(&link).send().await.expect("answer").status(), 200);
    assert_eq!(http.get(link.replace("job", "bob")).send().await.expect("answer").status(), 403);
    let stranger = S3Objects::new(&S3Settings { secret_access_key: "guessed".into(), ..settings });
    assert!(stranger.get("job.json").await.is_err());

    let log = log.text();
    assert!(log.contains("object request"), "the endpoint says what it did: {log}");
    for secret in ["hush-hush", "X-Amz-Signature", "Signature="] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
    assert!(!log.contains("ERROR"), "{log}");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("lock")).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
