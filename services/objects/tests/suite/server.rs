//! A server per test, and the few things that every test does with it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, RequestChecksumCalculation};
use messages::artifact::{Digest, MediaType};
use objects::{Endpoint, Settings};
use runtime::artifacts::s3::{S3Objects, S3Settings};
use runtime::artifacts::{ObjectMeta, ObjectStore as _};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub const KEY: &str = "test-key";
pub const SECRET: &str = "test-secret-that-is-not-one";

/// A server with an empty bucket.
pub struct Target {
    pub settings: S3Settings,
    pub objects: S3Objects,
    /// The SDK's own client, for what our client never asks.
    pub sdk: aws_sdk_s3::Client,
    pub scratch: TempDir,
    _own: Option<Embedded>,
}

impl Target {
    /// The server that the environment names, else an embedded endpoint.
    pub async fn start() -> Self {
        match std::env::var("DAILIES_TEST_S3_ENDPOINT") {
            Ok(endpoint) => {
                let set = |name: &str| std::env::var(format!("DAILIES_TEST_S3_{name}"));
                let settings = S3Settings {
                    endpoint: Some(endpoint),
                    public_endpoint: None,
                    region: set("REGION").unwrap_or_else(|_| "us-east-1".to_owned()),
                    bucket: format!("dailies-test-{}", uuid::Uuid::new_v4().simple()),
                    access_key_id: set("ACCESS_KEY_ID").expect("DAILIES_TEST_S3_ACCESS_KEY_ID"),
                    secret_access_key: set("SECRET_ACCESS_KEY").expect("DAILIES_TEST_S3_SECRET_ACCESS_KEY").into(),
                    path_style: true,
                };
                let secret = set("SECRET_ACCESS_KEY").expect("secret");
                Self::over(settings, &secret, None).await
            }
            Err(_) => {
                let server = Embedded::start(None).await;
                Self::over(server.settings(), SECRET, Some(server)).await
            }
        }
    }

    async fn over(settings: S3Settings, secret: &str, own: Option<Embedded>) -> Self {
        let objects = S3Objects::new(&settings);
        objects.ensure_bucket().await.expect("bucket");
        let sdk = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(settings.endpoint.clone().expect("endpoint"))
            .region(Region::new(settings.region.clone()))
            .credentials_provider(Credentials::new(&settings.access_key_id, secret, None, None, "test"))
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        let sdk = aws_sdk_s3::Client::from_conf(sdk);
        Self { settings, objects, sdk, scratch: tempfile::tempdir().expect("scratch"), _own: own }
    }

    pub fn bucket(&self) -> &str {
        &self.settings.bucket
    }

    /// Stores a few bytes.
    pub async fn put(&self, key: &str, bytes: &[u8]) {
        put(&self.objects, key, bytes).await;
    }
}

/// Our endpoint over a folder that goes away with the test.
pub struct Embedded {
    pub folder: Arc<TempDir>,
    pub address: SocketAddr,
    shutdown: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

impl Embedded {
    pub async fn start(quota: Option<u64>) -> Self {
        Self::over(Arc::new(tempfile::tempdir().expect("folder")), quota).await
    }

    pub async fn over(folder: Arc<TempDir>, quota: Option<u64>) -> Self {
        let settings = Settings {
            folder: folder.path().join("objects"),
            access_key_id: KEY.to_owned(),
            secret_access_key: SECRET.to_owned(),
            quota,
        };
        let endpoint = Endpoint::open(settings).await.expect("folder opens");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(endpoint.serve(listener, shutdown.clone()));
        Self { folder, address, shutdown, serving }
    }

    /// Stops it, and gives the folder.
    pub async fn stop(self) -> Arc<TempDir> {
        self.shutdown.cancel();
        self.serving.await.expect("served to the end");
        self.folder
    }

    /// Asks it to stop without waiting.
    pub fn begin_to_stop(&self) {
        self.shutdown.cancel();
    }

    pub fn settings(&self) -> S3Settings {
        S3Settings {
            endpoint: Some(format!("http://{}", self.address)),
            public_endpoint: None,
            region: "us-east-1".to_owned(),
            bucket: "films".to_owned(),
            access_key_id: KEY.to_owned(),
            secret_access_key: SECRET.into(),
            path_style: true,
        }
    }

    pub async fn objects(&self) -> S3Objects {
        let objects = S3Objects::new(&self.settings());
        objects.ensure_bucket().await.expect("bucket");
        objects
    }

    /// Uploads that are on their way.
    pub fn incoming(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("objects/incoming")).expect("folder").count()
    }

    /// All files of the store, objects and uploads.
    pub fn files(&self) -> Vec<PathBuf> {
        let (mut files, mut open) = (Vec::new(), vec![self.folder.path().to_owned()]);
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).expect("folder") {
                let entry = entry.expect("entry");
                if entry.file_type().expect("type").is_dir() {
                    open.push(entry.path())
                } else {
                    files.push(entry.path())
                }
            }
        }
        files
    }
}

pub fn meta(bytes: &[u8]) -> ObjectMeta {
    ObjectMeta {
        media_type: MediaType::Mp4,
        sha256: Digest::of(bytes),
        size: bytes.len() as u64,
        job: "cp-1-chunk_0-v1".to_owned(),
    }
}

pub async fn put(objects: &S3Objects, key: &str, bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().expect("scratch");
    std::fs::write(file.path(), bytes).expect("scratch");
    objects.put_file(key, file.path(), &meta(bytes)).await.unwrap_or_else(|error| panic!("{key:?}: {error:?}"));
}

/// Plain HTTP, as a browser or player speaks it.
pub fn http() -> reqwest::Client {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("client")
}

/// Waits until something holds, at most 20 s.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
