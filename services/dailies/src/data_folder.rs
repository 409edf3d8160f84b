//! The folder that a cluster on one machine lives in: who owns it, how others reach the owner, and the key of its objects.
//!
//! Invariant: one process at a time owns a folder. The lock is the kernel's, so it goes with its process however that
//! ends; `up.json` is only believed while the lock is held.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A folder that can be written to.
#[derive(Debug, Clone)]
pub struct DataFolder {
    path: PathBuf,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It cannot be made, read or written.
    #[error("the data folder {folder} cannot be used ({reason}): make it writable or choose another with --data")]
    Unusable {
        /// Which folder.
        folder: String,
        /// What went wrong.
        reason: String,
    },
    /// Another process owns it.
    #[error("the data folder {folder} is in use by process {pid}: stop that one, or choose another with --data")]
    InUse {
        /// Which folder.
        folder: String,
        /// Who, or `?` when it has not said yet.
        pid: String,
    },
}

/// How the owner of a folder is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The gateway, as `http://127.0.0.1:8787`.
    pub url: String,
    /// NATS, as `nats://127.0.0.1:4222`.
    pub nats: String,
    /// The process.
    pub pid: u32,
}

/// The key pair of the embedded object store. Never shown.
#[derive(Clone, Serialize, Deserialize)]
pub struct ObjectKey {
    /// The access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
}

impl DataFolder {
    /// Makes the folder when it is missing. Nobody else may look into it.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        // What is printed and handed to children must not depend on where they are.
        match made.and_then(|()| path.canonicalize()) {
            Ok(path) => Ok(Self { path }),
            Err(error) => Err(DataError::Unusable { folder: path.display().to_string(), reason: error.to_string() }),
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or folder in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Becomes the owner, until the lock is dropped or the process ends.
    pub fn lock(&self) -> Result<Lock, DataError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.join("lock"))
            .map_err(|error| self.unusable(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // The owner may not have written its number yet; the refusal stands all the same.
                let _ = file.read_to_string(&mut pid);
                let pid = if pid.trim().is_empty() { "?".to_owned() } else { pid.trim().to_owned() };
                return Err(DataError::InUse { folder: self.shown(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(self.unusable(&error)),
        }
        let written =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(|error| self.unusable(&error))?;
        // A killed owner leaves its address behind, and nobody answers there any more.
        let _ = std::fs::remove_file(self.join(ADDRESS));
        Ok(Lock { _file: file, folder: self.clone() })
    }

    /// How the owner is reached, if there is one and it is ready.
    pub fn owner(&self) -> Option<Address> {
        let text = std::fs::read(self.join(ADDRESS)).ok()?;
        let address = serde_json::from_slice(&text).ok()?;
        let file = File::open(self.join("lock")).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(address),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }

    /// The key pair of the embedded object store, made once and readable by its owner only.
    pub fn object_key(&self) -> Result<ObjectKey, DataError> {
        let path = self.join("object-key.json");
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| DataError::Unusable {
                folder: self.shown(),
                reason: format!("{} is damaged: {error}", path.display()),
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let random = || uuid::Uuid::new_v4().simple().to_string();
                let key = ObjectKey {
                    access_key_id: format!("dailies{}", &random()[..13]),
                    secret_access_key: random() + &random(),
                };
                self.write_private(&path, &key)?;
                Ok(key)
            }
            Err(error) => Err(self.unusable(&error)),
        }
    }

    /// Writes a file whole or not at all.
    fn write_private(&self, path: &Path, content: &impl Serialize) -> Result<(), DataError> {
        let write = || {
            let mut file = tempfile::Builder::new()
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))
                .tempfile_in(&self.path)?;
            serde_json::to_writer_pretty(&mut file, content)?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|error: std::io::Error| self.unusable(&error))
    }

    fn unusable(&self, error: &std::io::Error) -> DataError {
        DataError::Unusable { folder: self.shown(), reason: error.to_string() }
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }
}

/// How a command finds the cluster that runs in a folder.
const ADDRESS: &str = "up.json";

/// Ownership of a folder.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    folder: DataFolder,
}

impl Lock {
    /// Tells other commands how to reach the cluster that runs here.
    pub fn announce(&self, address: &Address) -> Result<(), DataError> {
        self.folder.write_private(&self.folder.join(ADDRESS), address)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // If it stays, nobody believes it once the lock is gone.
        let _ = std::fs::remove_file(self.folder.join(ADDRESS));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn folder() -> (tempfile::TempDir, DataFolder) {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let folder = DataFolder::open(&scratch.path().join("data")).expect("usable");
        (scratch, folder)
    }

    #[test]
    fn a_second_owner_is_refused_by_folder_and_pid() {
        let (_scratch, folder) = folder();
        let first = folder.lock().expect("nobody owns it");
        let refusal = folder.lock().expect_err("it is owned").to_string();
        assert!(refusal.contains(&folder.shown()), "{refusal}");
        assert!(refusal.contains(&format!("process {}", std::process::id())), "{refusal}");
        drop(first);
        folder.lock().expect("the first one is gone");
    }

    #[test]
    fn an_address_is_believed_only_while_its_owner_lives() {
        let (_scratch, folder) = folder();
        let address = Address { url: "http://127.0.0.1:1".into(), nats: "nats://127.0.0.1:2".into(), pid: 3 };
        let lock = folder.lock().expect("nobody owns it");
        assert_eq!(folder.owner(), None);
        lock.announce(&address).expect("writable");
        assert_eq!(folder.owner(), Some(address.clone()));
        drop(lock);
        assert_eq!(folder.owner(), None);
        // As a killed owner leaves it.
        std::fs::write(folder.join(ADDRESS), serde_json::to_vec(&address).expect("writes")).expect("writable");
        assert_eq!(folder.owner(), None);
    }

    #[test]
    fn the_object_key_is_made_once_and_private() {
        let (_scratch, folder) = folder();
        let first = folder.object_key().expect("made");
        let again = folder.object_key().expect("read");
        assert_eq!(first.secret_access_key, again.secret_access_key);
        assert_eq!(first.secret_access_key.len(), 64);
        let mode = std::fs::metadata(folder.join("object-key.json")).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named_with_a_remedy() {
        let scratch = tempfile::NamedTempFile::new().expect("a scratch file");
        let refusal = DataFolder::open(scratch.path()).expect_err("it is a file").to_string();
        assert!(refusal.contains(&scratch.path().display().to_string()) && refusal.contains("--data"), "{refusal}");
    }
}
