//! The object store of any S3 server: the embedded endpoint of `dailies up`, or a cluster's.
//!
//! Files stream in both directions, so memory stays small however large a film is. Every call ends: connecting is
//! bounded, waiting for an answer is bounded, and a transfer that stops moving is given up. Object calls may be repeated
//! safely, so the few retries of the SDK are left on.

mod failure;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Builder, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration, Delete, EncodingType, ObjectIdentifier};
use aws_smithy_http_client::tls;
use messages::artifact::Digest;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;

use super::{ObjectError, ObjectMeta, ObjectStore, PutOnce};
use failure::{Cause, judge};

/// For a connection.
const CONNECT: Duration = Duration::from_secs(3);

/// For the answer to a small call, each attempt.
const ANSWER: Duration = Duration::from_secs(20);

/// For a transfer that does not move, in either direction.
const STALL: Duration = Duration::from_secs(20);

/// Bytes per second below which an upload's answer is not waited for any longer. A bound for servers that take a file
/// and then fall silent; slow lines are far faster.
const SLOWEST: u64 = 16 * 1024;

/// What [`ObjectStore::get`] reads at most, in bytes.
const SMALL: usize = 1 << 20;

/// Keys that S3 deletes in one call.
const BATCH: usize = 1000;

/// Where objects are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Settings {
    /// The server's URL, as `http://127.0.0.1:9000`. None means AWS, by region.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The server's URL as a browser reaches it, for links. None means `endpoint`.
    #[serde(default)]
    pub public_endpoint: Option<String>,
    /// The region. Servers that have none take `us-east-1`.
    #[serde(default = "us_east_1")]
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// The access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Secret,
    /// Whether the bucket is named in the path (`http://host/bucket/key`) and not in the host name.
    #[serde(default = "yes")]
    pub path_style: bool,
}

fn us_east_1() -> String {
    "us-east-1".to_owned()
}

const fn yes() -> bool {
    true
}

/// A secret, which does not show itself.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A bucket on an S3 server.
#[derive(Clone)]
pub struct S3Objects {
    client: Client,
    /// Signs links only, and never connects.
    links: Client,
    bucket: String,
    region: String,
}

impl fmt::Debug for S3Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Objects").field("bucket", &self.bucket).field("region", &self.region).finish_non_exhaustive()
    }
}

impl S3Objects {
    /// For a bucket on a server. Nothing is asked of the server yet.
    pub fn new(settings: &S3Settings) -> Self {
        let client = client(settings, settings.endpoint.as_deref());
        let links = match settings.public_endpoint.as_deref() {
            Some(public) => self::client(settings, Some(public)),
            None => client.clone(),
        };
        Self { client, links, bucket: settings.bucket.clone(), region: settings.region.clone() }
    }

    /// Makes the bucket when there is none, and shows that the server is there and takes the credentials.
    pub async fn ensure_bucket(&self) -> Result<(), ObjectError> {
        let action = "open its bucket";
        let Err(error) = self.client.head_bucket().bucket(&self.bucket).send().await else { return Ok(()) };
        if !failure::is_missing(&error) {
            return Err(judge(action, error));
        }
        let mut making = self.client.create_bucket().bucket(&self.bucket);
        // The first region is the one that has no name here.
        if self.region != us_east_1() {
            let place = BucketLocationConstraint::from(self.region.as_str());
            making = making
                .create_bucket_configuration(CreateBucketConfiguration::builder().location_constraint(place).build());
        }
        match making.send().await {
            Ok(_) => Ok(()),
            // Another process was faster.
            Err(error) if failure::has_code(&error, "BucketAlreadyOwnedByYou") => Ok(()),
            Err(error) => Err(judge(action, error)),
        }
    }

    /// Every key that starts with `prefix`, in order.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, ObjectError> {
        let (mut keys, mut token) = (Vec::new(), None);
        loop {
            let page = self.page(prefix, token, "list").await?;
            keys.extend(page.keys);
            token = page.next;
            if token.is_none() {
                return Ok(keys);
            }
        }
    }

    /// What is stored with an object; none when it does not exist.
    pub async fn head(&self, key: &str) -> Result<Option<Head>, ObjectError> {
        match self.client.head_object().bucket(&self.bucket).key(key).send().await {
            Ok(head) => Ok(Some(Head {
                content_type: head.content_type,
                size: head.content_length.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
                metadata: head.metadata.unwrap_or_default().into_iter().collect(),
            })),
            Err(error) if failure::is_missing(&error) => Ok(None),
            Err(error) => Err(judge("read", error)),
        }
    }

    async fn page(&self, prefix: &str, token: Option<String>, action: &'static str) -> Result<Page, ObjectError> {
        let page = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            .encoding_type(EncodingType::Url)
            .set_continuation_token(token)
            .send()
            .await
            .map_err(|error| judge(action, error))?;
        let escaped = page.encoding_type() == Some(&EncodingType::Url);
        let mut keys = Vec::with_capacity(page.contents().len());
        for key in page.contents().iter().filter_map(|object| object.key()) {
            let plain = if escaped { percent_decode(key) } else { Some(key.to_owned()) };
            keys.push(plain.ok_or_else(|| unavailable(action, "the server's list of keys cannot be read"))?);
        }
        Ok(Page { keys, next: page.next_continuation_token })
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), ObjectError> {
        let action = "delete";
        // XML cannot carry control characters, so keys that have some go one by one.
        let (odd, plain): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.chars().any(char::is_control));
        for key in odd {
            self.delete(key).await?;
        }
        for batch in plain.chunks(BATCH) {
            let mut delete = Delete::builder().quiet(true);
            for key in batch {
                let object = ObjectIdentifier::builder().key(*key).build();
                delete = delete.objects(object.map_err(|error| refused(action, error))?);
            }
            let delete = delete.build().map_err(|error| refused(action, error))?;
            let deleting = self.client.delete_objects().bucket(&self.bucket).delete(delete);
            let deleted = deleting.send().await.map_err(|error| judge(action, error))?;
            if let Some(failed) = deleted.errors().first() {
                let words = failed.message().or(failed.code()).unwrap_or("the server did not say why");
                return Err(unavailable(action, words));
            }
        }
        Ok(())
    }

    async fn open(&self, key: &str) -> Result<Option<GetObjectOutput>, ObjectError> {
        match self.client.get_object().bucket(&self.bucket).key(key).send().await {
            Ok(object) => Ok(Some(object)),
            Err(error) if failure::has_code(&error, "NoSuchKey") => Ok(None),
            Err(error) => Err(judge("read", error)),
        }
    }
}

/// What a server says about an object without sending it.
#[derive(Debug, Clone)]
pub struct Head {
    /// Its `Content-Type`.
    pub content_type: Option<String>,
    /// Bytes.
    pub size: u64,
    /// The `x-amz-meta-*` headers, without the prefix.
    pub metadata: std::collections::BTreeMap<String, String>,
}

struct Page {
    keys: Vec<String>,
    next: Option<String>,
}

#[async_trait]
impl ObjectStore for S3Objects {
    async fn put_file(&self, key: &str, file: &Path, meta: &ObjectMeta) -> Result<(), ObjectError> {
        let body = ByteStream::read_from().path(file).buffer_size(1 << 17).build().await;
        let body = body.map_err(|error| ObjectError::Scratch(std::io::Error::other(error)))?;
        let patience = ANSWER + Duration::from_secs(meta.size / SLOWEST);
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(meta.media_type.content_type())
            .checksum_sha256(base64(meta.sha256.as_bytes()))
            .metadata("sha256", meta.sha256.to_string())
            .metadata("job", &meta.job)
            .body(body)
            .customize()
            .config_override(Builder::new().timeout_config(timeouts(patience)))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| judge("store", error))
    }

    /// When the answer to a write that won is lost, the repeated write finds its own object and says
    /// [`PutOnce::AlreadyThere`]: what is there is what counts either way.
    async fn put_once(&self, key: &str, bytes: Vec<u8>, meta: &ObjectMeta) -> Result<PutOnce, ObjectError> {
        let writing = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .if_none_match("*")
            .content_type(meta.media_type.content_type())
            .checksum_sha256(base64(meta.sha256.as_bytes()))
            .metadata("sha256", meta.sha256.to_string())
            .metadata("job", &meta.job)
            .body(ByteStream::from(bytes));
        match writing.send().await {
            Ok(_) => Ok(PutOnce::Stored),
            Err(error) if failure::has_code(&error, "PreconditionFailed") => Ok(PutOnce::AlreadyThere),
            // Another writer was at it. Whether it has won can be seen; if not yet, the caller comes back.
            Err(error) if failure::has_code(&error, "ConditionalRequestConflict") => match self.head(key).await? {
                Some(_) => Ok(PutOnce::AlreadyThere),
                None => Err(unavailable("store", "another writer is storing the same object")),
            },
            Err(error) => Err(judge("store", error)),
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ObjectError> {
        let Some(mut object) = self.open(key).await? else { return Ok(None) };
        let mut bytes = Vec::new();
        while let Some(piece) = next_piece(&mut object.body).await? {
            if bytes.len() + piece.len() > SMALL {
                return Err(refused(
                    "read",
                    Cause::new("the object is larger than the 1 MiB that such a record may have"),
                ));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(bytes))
    }

    async fn get_file(&self, key: &str, file: &Path) -> Result<Digest, ObjectError> {
        use sha2::Digest as _;

        let mut object = self.open(key).await?.ok_or_else(|| ObjectError::NotFound(key.to_owned()))?;
        let mut output = tokio::fs::File::create(file).await.map_err(ObjectError::Scratch)?;
        let mut hash = sha2::Sha256::new();
        while let Some(piece) = next_piece(&mut object.body).await? {
            hash.update(&piece);
            output.write_all(&piece).await.map_err(ObjectError::Scratch)?;
        }
        // Written behind our back until now: only this tells whether the last piece arrived.
        output.flush().await.map_err(ObjectError::Scratch)?;
        Ok(Digest::from_bytes(hash.finalize().into()))
    }

    async fn link(&self, key: &str, lifetime: Duration) -> Result<String, ObjectError> {
        let action = "link";
        let lifetime = PresigningConfig::expires_in(lifetime).map_err(|error| refused(action, error))?;
        let signed = self.links.get_object().bucket(&self.bucket).key(key).presigned(lifetime).await;
        signed.map(|signed| signed.uri().to_owned()).map_err(|error| judge(action, error))
    }

    async fn delete(&self, key: &str) -> Result<(), ObjectError> {
        let deleting = self.client.delete_object().bucket(&self.bucket).key(key);
        deleting.send().await.map(drop).map_err(|error| judge("delete", error))
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<u64, ObjectError> {
        let (mut deleted, mut token) = (0, None);
        loop {
            let page = self.page(prefix, token, "delete").await?;
            self.delete_all(&page.keys).await?;
            deleted += page.keys.len() as u64;
            token = page.next;
            if token.is_none() {
                return Ok(deleted);
            }
        }
    }
}

fn client(settings: &S3Settings, endpoint: Option<&str>) -> Client {
    let http = aws_smithy_http_client::Builder::new();
    // Certificates are loaded only where there is TLS: a bare container may have none.
    let http = if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
        http.build_http()
    } else {
        http.tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring)).build_https()
    };
    let secret = settings.secret_access_key.0.as_str();
    let config = aws_sdk_s3::Config::builder()
        .http_client(http)
        .region(Region::new(settings.region.clone()))
        .credentials_provider(Credentials::new(&settings.access_key_id, secret, None, None, "settings"))
        .force_path_style(settings.path_style)
        // What the newer SDKs add by default breaks links and other vendors' servers; we send our own SHA-256.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_config(RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(200)))
        .timeout_config(timeouts(ANSWER))
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL).build());
    let config = match endpoint {
        Some(endpoint) => config.endpoint_url(endpoint),
        None => config,
    };
    Client::from_conf(config.build())
}

/// `answer` bounds an attempt up to the head of the answer, so an upload needs one that fits its size.
fn timeouts(answer: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(answer).build()
}

async fn next_piece(body: &mut ByteStream) -> Result<Option<bytes::Bytes>, ObjectError> {
    match tokio::time::timeout(STALL, body.try_next()).await {
        Ok(Ok(piece)) => Ok(piece),
        Ok(Err(error)) => Err(unavailable("read", failure::root(&error))),
        Err(_) => Err(unavailable("read", "the transfer stalled")),
    }
}

fn unavailable(action: &'static str, cause: impl Into<String>) -> ObjectError {
    ObjectError::Unavailable { action, source: Box::new(Cause::new(cause)) }
}

fn refused(action: &'static str, cause: impl std::error::Error + Send + Sync + 'static) -> ObjectError {
    ObjectError::Refused { action, source: Box::new(cause) }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for i in 0..4 {
            let six = (bits >> (18 - 6 * i)) & 63;
            text.push(if i <= three.len() { char::from(ALPHABET[six as usize]) } else { '=' });
        }
    }
    text
}

/// As in a URL's query: some servers write a space as `+`.
fn percent_decode(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(after.get(..2)?).ok()?, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(if *first == b'+' { b' ' } else { *first });
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let settings: S3Settings =
            serde_json::from_str(r#"{"bucket": "b", "access_key_id": "key", "secret_access_key": "hush"}"#)
                .expect("settings");
        assert!(settings.path_style && settings.region == "us-east-1");
        let shown = format!("{settings:?} {:?}", S3Objects::new(&settings));
        assert!(shown.contains("***") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let text = r#"{"bucket": "b", "access_key_id": "key", "secret_access_key": "hush", "buckets": 1}"#;
        assert!(serde_json::from_str::<S3Settings>(text).is_err());
    }

    #[test]
    fn base64_is_the_one_of_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
