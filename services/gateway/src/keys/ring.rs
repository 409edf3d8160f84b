//! The keys at hand: what the file said last, looked at again all the time, so that a new key opens and a revoked one closes
//! within a second and without a restart.
//!
//! Invariant: a file that cannot be read changes nothing. Whoever wants everybody out revokes keys; a half written or
//! missing file is a mistake, said once in the log.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::file::{self, FileError};
use super::{Entry, Keys};

/// How often the file is looked at. It is small, and only its bytes say for certain whether it changed: times are coarse.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The newest keys of one file.
#[derive(Debug)]
pub struct Keyring {
    file: PathBuf,
    keys: RwLock<Arc<Keys>>,
}

/// What the file held when it was looked at.
type Seen = Result<Vec<u8>, String>;

impl Keyring {
    /// Reads the file for the first time.
    pub fn open(file: &Path) -> Result<Self, FileError> {
        Ok(Self { keys: RwLock::new(Arc::new(file::read(file)?)), file: file.to_path_buf() })
    }

    /// The entry that a presented text opens.
    pub fn find(&self, presented: &str) -> Option<Entry> {
        self.keys().find(presented).cloned()
    }

    /// The keys as they are now.
    pub fn keys(&self) -> Arc<Keys> {
        // Replaced in one statement, so a panic elsewhere does not spoil it.
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the file until `shutdown`.
    pub async fn watch(self: Arc<Self>, shutdown: CancellationToken) {
        let mut seen = None;
        loop {
            let ring = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || {
                let now = ring.look(seen.as_ref());
                now.or(seen)
            });
            // A panic in it was logged by the runtime, and the next look is another.
            seen = looked.await.unwrap_or_default();
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Takes in what the file says, if that is something new.
    fn look(&self, before: Option<&Seen>) -> Option<Seen> {
        let read = file::text(&self.file);
        let seen = read.as_ref().map(Clone::clone).map_err(ToString::to_string);
        if before == Some(&seen) {
            return None;
        }
        match read.and_then(|bytes| file::parse(&self.file, &bytes)) {
            Ok(keys) => {
                let mut known = self.keys.write().unwrap_or_else(PoisonError::into_inner);
                if **known != keys {
                    tracing::info!(keys = keys.entries.len(), "the keys have changed");
                    *known = Arc::new(keys);
                }
            }
            Err(error) => {
                tracing::error!(
                    error = %runtime::service::sentence(&error),
                    "the keys file is not usable; the keys that were read last stay"
                );
            }
        }
        Some(seen)
    }
}
