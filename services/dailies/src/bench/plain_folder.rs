//! Objects as files of one folder, for handlers that are called without an object store: links, no copies, no checks.
//!
//! It is as cheap as handing paths from one function to the next, so that what the real store costs shows in full.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use messages::artifact::Digest;
use runtime::artifacts::{ObjectError, ObjectMeta, ObjectStore, PutOnce};

/// A folder that lives as long as its film.
#[derive(Debug)]
pub struct PlainFolder {
    folder: PathBuf,
    /// What was stored under each key; the files are named by it.
    known: Mutex<HashMap<String, Digest>>,
}

impl PlainFolder {
    /// Over an empty folder.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, known: Mutex::default() }
    }

    fn file(&self, digest: Digest) -> PathBuf {
        self.folder.join(digest.to_string())
    }

    fn digest(&self, key: &str) -> Option<Digest> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    fn remember(&self, key: &str, digest: Digest) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), digest);
    }
}

#[async_trait]
impl ObjectStore for PlainFolder {
    async fn put_file(&self, key: &str, file: &Path, meta: &ObjectMeta) -> Result<(), ObjectError> {
        link(file, &self.file(meta.sha256)).map_err(ObjectError::Scratch)?;
        self.remember(key, meta.sha256);
        Ok(())
    }

    async fn put_once(&self, key: &str, bytes: Vec<u8>, meta: &ObjectMeta) -> Result<PutOnce, ObjectError> {
        if self.digest(key).is_some() {
            return Ok(PutOnce::AlreadyThere);
        }
        tokio::fs::write(self.file(meta.sha256), bytes).await.map_err(ObjectError::Scratch)?;
        self.remember(key, meta.sha256);
        Ok(PutOnce::Stored)
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ObjectError> {
        let Some(digest) = self.digest(key) else { return Ok(None) };
        tokio::fs::read(self.file(digest)).await.map(Some).map_err(ObjectError::Scratch)
    }

    async fn get_file(&self, key: &str, file: &Path) -> Result<Digest, ObjectError> {
        let digest = self.digest(key).ok_or_else(|| ObjectError::NotFound(key.to_owned()))?;
        link(&self.file(digest), file).map_err(ObjectError::Scratch)?;
        Ok(digest)
    }

    /// Nobody reads these films by a link.
    async fn link(&self, key: &str, _: Duration) -> Result<String, ObjectError> {
        Err(ObjectError::NotFound(key.to_owned()))
    }

    /// The folder goes as a whole.
    async fn delete(&self, _: &str) -> Result<(), ObjectError> {
        Ok(())
    }

    /// The folder goes as a whole.
    async fn delete_prefix(&self, _: &str) -> Result<u64, ObjectError> {
        Ok(0)
    }
}

/// Gives a file a second name; across file systems a copy has to do. Equal name means equal bytes.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(_) => std::fs::copy(from, to).map(drop),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use messages::artifact::MediaType;

    use super::*;

    #[tokio::test]
    async fn what_was_put_comes_back_under_its_key() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let store = folder.path().join("store");
        std::fs::create_dir(&store).expect("writable");
        let objects = PlainFolder::new(store);
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        std::fs::write(&from, b"frames").expect("writable");
        let meta =
            ObjectMeta { media_type: MediaType::Mp4, sha256: Digest::of(b"frames"), size: 6, job: String::new() };
        objects.put_file("a/b", &from, &meta).await.expect("stored");
        std::fs::remove_file(&from).expect("a job's folder goes away");
        assert_eq!(objects.get_file("a/b", &to).await.expect("is there"), meta.sha256);
        assert_eq!(std::fs::read(&to).expect("is there"), b"frames");
        assert!(matches!(objects.get_file("a/c", &to).await, Err(ObjectError::NotFound(_))));
    }
}
