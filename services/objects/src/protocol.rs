//! S3 operations in terms of the store. What is not here answers `NotImplemented`, and so does every option that would
//! be promised and not kept.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures::StreamExt as _;
use s3s::checksum::ChecksumHasher;
use s3s::dto::*;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::io::ReaderStream;

use crate::store::listing::{After, Query};
use crate::store::record::{Headers, Record};
use crate::store::upload::Expected;
use crate::store::{Store, StoreError};

/// A sender that is silent for so long has gone away.
const SILENCE: Duration = Duration::from_secs(60);

/// How long the rest of a refused upload is read, so that its sender gets to read the answer.
const POLITENESS: Duration = Duration::from_secs(60);

/// Keys in a page, as S3 has it.
const PAGE: i32 = 1000;

/// Uploads at a time; more wait. Each holds a blocking thread, and when client and endpoint share a process, the client
/// needs such threads too, to read the files that it sends.
const UPLOADS: usize = 64;

/// The store as S3 sees it.
pub struct Protocol {
    store: Arc<Store>,
    uploads: Semaphore,
}

#[async_trait::async_trait]
impl S3 for Protocol {
    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        let bucket = request.input.bucket;
        let location = format!("/{bucket}");
        if !self.blocking(move |store| store.create_bucket(&bucket)).await? {
            return Err(s3_error!(BucketAlreadyOwnedByYou, "the bucket exists"));
        }
        Ok(S3Response::new(CreateBucketOutput { location: Some(location) }))
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        let bucket = request.input.bucket;
        self.blocking(move |store| store.bucket(&bucket)).await?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let buckets = self.blocking(Store::buckets).await?;
        let named = |(name, changed)| Bucket {
            name: Some(name),
            creation_date: Some(Timestamp::from(changed)),
            ..Default::default()
        };
        let buckets = Some(buckets.into_iter().map(named).collect());
        Ok(S3Response::new(ListBucketsOutput { buckets, ..Default::default() }))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let announced = trailers_of(&request);
        let trailing = request.trailing_headers;
        let input = request.input;
        let once = precondition(&input)?;
        refuse_what_we_do_not_keep(&input)?;
        let (store, bucket, key) = (Arc::clone(&self.store), input.bucket, input.key);
        let headers = Headers {
            content_type: input.content_type,
            cache_control: input.cache_control,
            content_disposition: input.content_disposition,
            content_encoding: input.content_encoding,
            content_language: input.content_language,
            metadata: input.metadata.unwrap_or_default().into_iter().collect(),
        };
        let mut expected = Expected {
            size: input.content_length.and_then(|size| u64::try_from(size).ok()),
            md5: input.content_md5,
            checksum: Checksum {
                checksum_crc32: input.checksum_crc32,
                checksum_crc32c: input.checksum_crc32c,
                checksum_crc64nvme: input.checksum_crc64nvme,
                checksum_sha1: input.checksum_sha1,
                checksum_sha256: input.checksum_sha256,
                ..Default::default()
            },
        };

        let _slot = self.uploads.acquire().await.map_err(S3Error::internal_error)?;
        let (pieces, mut arriving) = mpsc::channel::<Piece>(4);
        // Hashing and writing on a thread of its own: the disk never holds up other connections.
        let write = move || {
            store.bucket(&bucket)?;
            let mut upload = store.upload(expected.md5.is_some(), hasher(&expected.checksum, &announced))?;
            upload.expect(expected.size.unwrap_or(0))?;
            loop {
                match arriving.blocking_recv() {
                    Some(Piece::Bytes(bytes)) => upload.write(&bytes)?,
                    Some(Piece::End(trailers)) => {
                        add_trailers(&mut expected.checksum, &announced, trailers);
                        let arrived = upload.finish(&expected)?;
                        return store.publish(&bucket, &key, arrived, headers, once);
                    }
                    // The sender is gone: what came so far goes with `upload`.
                    None => return Err(StoreError::Incomplete),
                }
            }
        };
        let writing = tokio::task::spawn_blocking(move || faults_logged(write()));

        if let Some(mut body) = input.body {
            let whole = pass_on(&mut body, &pieces).await;
            if whole {
                let trailers = trailing.and_then(|trailers| trailers.take()).unwrap_or_default();
                // A writer that has stopped has its reason, which comes below.
                let _ = pieces.send(Piece::End(trailers)).await;
            }
        } else {
            let _ = pieces.send(Piece::End(Default::default())).await;
        }
        drop(pieces);
        let record = done(writing.await)?;
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(e_tag(&record)), ..Default::default() }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        if input.version_id.is_some() || input.part_number.is_some() || input.if_unmodified_since.is_some() {
            return Err(s3_error!(NotImplemented));
        }
        let (bucket, key) = (input.bucket, input.key);
        let (file, record) = self.blocking(move |store| store.read(&bucket, &key)).await?;
        check_tag(&record, input.if_match, input.if_none_match)?;
        let range = match input.range {
            Some(range) => Some(range.check(record.size)?),
            None => None,
        };
        let (start, length) = range.as_ref().map_or((0, record.size), |range| (range.start, range.end - range.start));
        let body = stream(file, start, length).await.map_err(S3Error::internal_error)?;
        Ok(S3Response::new(GetObjectOutput {
            body: Some(body),
            accept_ranges: Some("bytes".to_owned()),
            content_length: i64::try_from(length).ok(),
            content_range: range.map(|range| format!("bytes {}-{}/{}", range.start, range.end - 1, record.size)),
            e_tag: Some(e_tag(&record)),
            last_modified: Some(stored_at(&record)),
            content_type: record.headers.content_type,
            cache_control: record.headers.cache_control,
            content_disposition: record.headers.content_disposition,
            content_encoding: record.headers.content_encoding,
            content_language: record.headers.content_language,
            metadata: Some(record.headers.metadata.into_iter().collect()),
            ..Default::default()
        }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        if input.version_id.is_some() || input.part_number.is_some() || input.if_unmodified_since.is_some() {
            return Err(s3_error!(NotImplemented));
        }
        let (bucket, key) = (input.bucket, input.key);
        let (_, record) = self.blocking(move |store| store.read(&bucket, &key)).await?;
        check_tag(&record, input.if_match, input.if_none_match)?;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: i64::try_from(record.size).ok(),
            e_tag: Some(e_tag(&record)),
            last_modified: Some(stored_at(&record)),
            content_type: record.headers.content_type,
            cache_control: record.headers.cache_control,
            content_disposition: record.headers.content_disposition,
            content_encoding: record.headers.content_encoding,
            content_language: record.headers.content_language,
            metadata: Some(record.headers.metadata.into_iter().collect()),
            ..Default::default()
        }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        if input.version_id.is_some() || input.if_match.is_some() {
            return Err(s3_error!(NotImplemented));
        }
        self.blocking(move |store| store.delete(&input.bucket, &[input.key])).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = request.input;
        if input.delete.objects.iter().any(|object| object.version_id.is_some() || object.e_tag.is_some()) {
            return Err(s3_error!(NotImplemented));
        }
        let keys: Vec<_> = input.delete.objects.into_iter().map(|object| object.key).collect();
        let keys = self.blocking(move |store| store.delete(&input.bucket, &keys).map(|()| keys)).await?;
        let named = |key| DeletedObject { key: Some(key), ..Default::default() };
        let deleted = (input.delete.quiet != Some(true)).then(|| keys.into_iter().map(named).collect());
        Ok(S3Response::new(DeleteObjectsOutput { deleted, ..Default::default() }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let after = match (&input.continuation_token, &input.start_after) {
            (Some(token), _) => {
                from_token(token).ok_or_else(|| s3_error!(InvalidArgument, "the continuation token is not ours"))?
            }
            (None, Some(key)) => After::Key(key.clone()),
            (None, None) => After::Nothing,
        };
        let limit = input.max_keys.unwrap_or(PAGE).clamp(0, PAGE);
        let query = Query {
            prefix: input.prefix.clone().unwrap_or_default(),
            after,
            delimiter: input.delimiter.clone().filter(|delimiter| !delimiter.is_empty()),
            limit: usize::try_from(limit).unwrap_or(0),
        };
        let bucket = input.bucket.clone();
        let (records, page) = self.blocking(move |store| store.list(&bucket, &query)).await?;
        // XML cannot carry every character that a key may have, so careful clients ask for this.
        let escaped = input.encoding_type.as_ref().is_some_and(|encoding| encoding.as_str() == EncodingType::URL);
        let written = |key: String| if escaped { percent_encode(&key) } else { key };
        let object = |record: Record| Object {
            e_tag: Some(e_tag(&record)),
            last_modified: Some(stored_at(&record)),
            size: i64::try_from(record.size).ok(),
            key: Some(written(record.key)),
            ..Default::default()
        };
        let beginning = |prefix| CommonPrefix { prefix: Some(written(prefix)) };
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: i32::try_from(records.len() + page.prefixes.len()).ok(),
            contents: Some(records.into_iter().map(object).collect()),
            common_prefixes: Some(page.prefixes.into_iter().map(beginning).collect()),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next.map(|next| to_token(&next)),
            continuation_token: input.continuation_token,
            start_after: input.start_after.map(written),
            prefix: input.prefix.map(written),
            delimiter: input.delimiter.map(written),
            encoding_type: input.encoding_type,
            max_keys: Some(limit),
            name: Some(input.bucket),
            ..Default::default()
        }))
    }
}

impl Protocol {
    /// Over a store.
    pub fn new(store: Store) -> Self {
        Self { store: Arc::new(store), uploads: Semaphore::new(UPLOADS) }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> S3Result<T> {
        let store = Arc::clone(&self.store);
        done(tokio::task::spawn_blocking(move || faults_logged(work(&store))).await)
    }
}

enum Piece {
    Bytes(Bytes),
    /// All came; these headers came behind it.
    End(hyper::HeaderMap),
}

/// Hands the body to the writer. Gives true when it came whole and the writer took all of it.
async fn pass_on(body: &mut StreamingBlob, pieces: &mpsc::Sender<Piece>) -> bool {
    loop {
        match tokio::time::timeout(SILENCE, body.next()).await {
            Ok(Some(Ok(bytes))) => {
                if pieces.send(Piece::Bytes(bytes)).await.is_err() {
                    let rest = async { while let Some(Ok(_)) = body.next().await {} };
                    // How much of it came makes no difference: the answer is no.
                    let _ = tokio::time::timeout(POLITENESS, rest).await;
                    return false;
                }
            }
            Ok(None) => return true,
            Ok(Some(Err(_))) | Err(_) => return false,
        }
    }
}

async fn stream(file: File, start: u64, length: u64) -> std::io::Result<StreamingBlob> {
    let mut file = tokio::fs::File::from_std(file);
    file.seek(std::io::SeekFrom::Start(start)).await?;
    Ok(StreamingBlob::wrap(ReaderStream::with_capacity(file.take(length), 1 << 17)))
}

/// Whether only the first writer of the key wins. Conditions that we would not check are refused, never ignored.
fn precondition(input: &PutObjectInput) -> S3Result<bool> {
    match (&input.if_none_match, &input.if_match) {
        (None, None) => Ok(false),
        (Some(ETagCondition::Any), None) => Ok(true),
        _ => Err(s3_error!(NotImplemented, "the only condition for writing is `If-None-Match: *`")),
    }
}

fn refuse_what_we_do_not_keep(input: &PutObjectInput) -> S3Result<()> {
    let unkept = input.server_side_encryption.is_some()
        || input.sse_customer_algorithm.is_some()
        || input.object_lock_mode.is_some()
        || input.object_lock_legal_hold_status.is_some()
        || input.write_offset_bytes.is_some()
        || input.tagging.is_some();
    if unkept {
        Err(s3_error!(NotImplemented, "encryption, locks, tags and appending are not kept here"))
    } else {
        Ok(())
    }
}

/// The checksums that come behind the body, by header name.
fn trailers_of(request: &S3Request<PutObjectInput>) -> Vec<String> {
    let names = request.headers.get_all("x-amz-trailer").iter().filter_map(|value| value.to_str().ok());
    names.flat_map(|names| names.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect()
}

fn hasher(expected: &Checksum, trailers: &[String]) -> ChecksumHasher {
    let comes = |name: &str| trailers.iter().any(|trailer| trailer == name);
    ChecksumHasher {
        crc32: (expected.checksum_crc32.is_some() || comes("x-amz-checksum-crc32")).then(Default::default),
        crc32c: (expected.checksum_crc32c.is_some() || comes("x-amz-checksum-crc32c")).then(Default::default),
        sha1: (expected.checksum_sha1.is_some() || comes("x-amz-checksum-sha1")).then(Default::default),
        sha256: (expected.checksum_sha256.is_some() || comes("x-amz-checksum-sha256")).then(Default::default),
        crc64nvme: (expected.checksum_crc64nvme.is_some() || comes("x-amz-checksum-crc64nvme")).then(Default::default),
    }
}

/// Adds what came behind the body. A checksum that was announced and did not come is expected all the same.
fn add_trailers(expected: &mut Checksum, announced: &[String], trailers: hyper::HeaderMap) {
    for name in announced {
        let value = trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        match name.as_str() {
            "x-amz-checksum-crc32" => expected.checksum_crc32 = Some(value),
            "x-amz-checksum-crc32c" => expected.checksum_crc32c = Some(value),
            "x-amz-checksum-sha1" => expected.checksum_sha1 = Some(value),
            "x-amz-checksum-sha256" => expected.checksum_sha256 = Some(value),
            "x-amz-checksum-crc64nvme" => expected.checksum_crc64nvme = Some(value),
            _ => {}
        }
    }
}

fn check_tag(record: &Record, wanted: Option<ETagCondition>, known: Option<ETagCondition>) -> S3Result<()> {
    let fits = |condition: &ETagCondition| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(tag) => tag.value() == record.sha256,
    };
    if wanted.is_some_and(|wanted| !fits(&wanted)) {
        return Err(s3_error!(PreconditionFailed));
    }
    if known.is_some_and(|known| fits(&known)) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

fn e_tag(record: &Record) -> ETag {
    ETag::Strong(record.sha256.clone())
}

fn stored_at(record: &Record) -> Timestamp {
    Timestamp::from(UNIX_EPOCH + Duration::from_millis(record.stored_at_ms))
}

/// Logs what somebody has to look at. Called on the blocking thread, since requests themselves are not heard (see
/// `endpoint`).
fn faults_logged<T>(result: Result<T, StoreError>) -> Result<T, StoreError> {
    match &result {
        Err(StoreError::Disk(error)) => tracing::error!(%error, "object folder failed"),
        Err(StoreError::Full) => tracing::warn!("object store is full"),
        _ => {}
    }
    result
}

/// What a blocking task gave, as S3 says it.
fn done<T>(result: Result<Result<T, StoreError>, tokio::task::JoinError>) -> S3Result<T> {
    let error = match result {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error,
        Err(panicked) => return Err(S3Error::internal_error(panicked)),
    };
    let message = error.to_string();
    Err(match error {
        StoreError::Full => {
            // S3 has no code for this; 507 is HTTP's, and clients do not take it for something to try again at once.
            let mut full = S3Error::with_message(S3ErrorCode::Custom("InsufficientStorage".into()), message);
            full.set_status_code(hyper::StatusCode::INSUFFICIENT_STORAGE);
            full
        }
        StoreError::BadDigest => S3Error::with_message(S3ErrorCode::BadDigest, message),
        StoreError::Incomplete => S3Error::with_message(S3ErrorCode::IncompleteBody, message),
        StoreError::Taken => S3Error::with_message(S3ErrorCode::PreconditionFailed, message),
        StoreError::NoBucket => S3Error::with_message(S3ErrorCode::NoSuchBucket, message),
        StoreError::NoObject => S3Error::with_message(S3ErrorCode::NoSuchKey, message),
        StoreError::Disk(source) => S3Error::internal_error(source),
    })
}

fn to_token(after: &After) -> String {
    let (kind, key) = match after {
        After::Nothing => ('n', ""),
        After::Key(key) => ('k', key.as_str()),
        After::Prefix(prefix) => ('p', prefix.as_str()),
    };
    format!("{kind}{}", percent_encode(key))
}

fn from_token(token: &str) -> Option<After> {
    let key = percent_decode(token.get(1..)?)?;
    match token.as_bytes()[0] {
        b'n' => Some(After::Nothing),
        b'k' => Some(After::Key(key)),
        b'p' => Some(After::Prefix(key)),
        _ => None,
    }
}

fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn percent_decode(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(after.get(..2)?).ok()?, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_continuation_token_leads_back_to_its_place() {
        for key in ["", "a/b", "ü 🎬%", "\u{1}\n&<>"] {
            for after in [After::Key(key.into()), After::Prefix(key.into())] {
                assert_eq!(from_token(&to_token(&after)), Some(after));
            }
        }
        for foreign in ["", "x", "k%", "k%zz", "k%ff", "ü"] {
            assert_eq!(from_token(foreign), None, "{foreign:?}");
        }
    }
}
