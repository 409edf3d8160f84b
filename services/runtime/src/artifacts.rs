//! Stored objects: put, get and link. Every process reaches the object store through [`ObjectStore`]; [`s3`] is the one
//! that speaks to a server.

pub mod s3;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use messages::artifact::{Digest, MediaType};

/// Why the object store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// There is no such object.
    #[error("object `{0}` does not exist")]
    NotFound(String),
    /// The store is away, slow or full; the same call may work later.
    #[error("the object store cannot {action} now")]
    Unavailable {
        /// What was tried: `store`, `read`, `list`, `delete`.
        action: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store refuses for a reason that does not pass: bad credentials, no such bucket.
    #[error("the object store refused to {action}")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The bytes that came are not those that were stored.
    #[error("object `{0}` is damaged: its bytes do not match its hash")]
    Damaged(String),
    /// A local file could not be read or written.
    #[error("a scratch file cannot be used")]
    Scratch(#[source] std::io::Error),
}

/// What is stored with an object.
#[derive(Debug, Clone)]
pub struct ObjectMeta {
    /// Its `Content-Type`.
    pub media_type: MediaType,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Bytes.
    pub size: u64,
    /// The job that made it.
    pub job: String,
}

/// What became of a write that only the first may win.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOnce {
    /// This one is stored.
    Stored,
    /// Another one was there before; it stays.
    AlreadyThere,
}

/// An object store. Objects are immutable; whole objects of unknown size travel through files, never through memory.
#[async_trait]
pub trait ObjectStore: Send + Sync + std::fmt::Debug {
    /// Stores a file. Storing it again under the same key is harmless, because equal key means equal bytes.
    async fn put_file(&self, key: &str, file: &Path, meta: &ObjectMeta) -> Result<(), ObjectError>;

    /// Stores a small object unless the key is taken (`If-None-Match: *`).
    async fn put_once(&self, key: &str, bytes: Vec<u8>, meta: &ObjectMeta) -> Result<PutOnce, ObjectError>;

    /// Reads a small object (at most 1 MiB) whole; none when it does not exist.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ObjectError>;

    /// Streams an object into a new file and gives the SHA-256 of what came.
    async fn get_file(&self, key: &str, file: &Path) -> Result<Digest, ObjectError>;

    /// A link that anybody may read the object by for a while. Never stored, never logged.
    async fn link(&self, key: &str, lifetime: Duration) -> Result<String, ObjectError>;

    /// Deletes an object. One that does not exist is deleted already.
    async fn delete(&self, key: &str) -> Result<(), ObjectError>;

    /// Deletes every object whose key starts with `prefix`, and gives how many.
    async fn delete_prefix(&self, prefix: &str) -> Result<u64, ObjectError>;
}

/// SHA-256 and size of a file, read piece by piece.
pub async fn digest_file(file: &Path) -> Result<(Digest, u64), ObjectError> {
    use sha2::Digest as _;
    use tokio::io::AsyncReadExt as _;

    let mut reader = tokio::fs::File::open(file).await.map_err(ObjectError::Scratch)?;
    let (mut hash, mut size, mut buffer) = (sha2::Sha256::new(), 0u64, vec![0; 1 << 17]);
    loop {
        let read = reader.read(&mut buffer).await.map_err(ObjectError::Scratch)?;
        if read == 0 {
            return Ok((Digest::from_bytes(hash.finalize().into()), size));
        }
        hash.update(&buffer[..read]);
        size += read as u64;
    }
}
