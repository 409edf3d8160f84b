//! Memory does not grow with the object: measured in a process of its own, client and server together.

#![cfg(target_os = "linux")]

use messages::artifact::{Digest, MediaType};
use objects::{Endpoint, Settings};
use runtime::artifacts::s3::{S3Objects, S3Settings};
use runtime::artifacts::{ObjectMeta, ObjectStore as _, digest_file};
use tokio_util::sync::CancellationToken;

/// Far more than any buffer, and than what the allocator takes from the system at a time.
const FILM: u64 = 256 << 20;

#[tokio::test]
async fn a_film_of_256_mib_travels_in_a_few() {
    let folder = tempfile::tempdir().expect("folder");
    let settings = Settings {
        folder: folder.path().join("objects"),
        access_key_id: "key".to_owned(),
        secret_access_key: "secret".to_owned(),
        quota: None,
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    tokio::spawn(Endpoint::open(settings).await.expect("folder").serve(listener, CancellationToken::new()));
    let objects = S3Objects::new(&S3Settings {
        endpoint: Some(format!("http://{address}")),
        public_endpoint: None,
        region: "us-east-1".to_owned(),
        bucket: "films".to_owned(),
        access_key_id: "key".to_owned(),
        secret_access_key: "secret".into(),
        path_style: true,
    });
    objects.ensure_bucket().await.expect("bucket");
    let film = folder.path().join("film");
    {
        use std::io::Write as _;
        let mut film = std::fs::File::create(&film).expect("film");
        for i in 0..FILM >> 20 {
            film.write_all(&vec![u8::try_from(i).expect("small"); 1 << 20]).expect("film");
        }
    }
    let (sha256, size) = digest_file(&film).await.expect("film");
    let meta = ObjectMeta { media_type: MediaType::Mp4, sha256, size, job: "job".to_owned() };
    objects
        .put_once("small", b"{}".to_vec(), &ObjectMeta { sha256: Digest::of(b"{}"), size: 2, ..meta.clone() })
        .await
        .expect("put");

    let before = peak_kib();
    objects.put_file("film.mp4", &film, &meta).await.expect("put");
    let back = folder.path().join("back");
    assert_eq!(objects.get_file("film.mp4", &back).await.expect("get"), sha256);
    let grown = peak_kib() - before;
    assert!(grown < 64 << 10, "memory grew by {grown} KiB");
}

/// The most memory that this process has had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("figure")
}
