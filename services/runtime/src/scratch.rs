//! Room on the disk for files that are of no use any more when their process ends.
//!
//! All of a process's lie in one folder, whose lock it holds. A folder that nobody holds was left by a process that was
//! killed, and goes when the next one starts. Invariant: a folder goes with its last user, or under its own lock.

use std::collections::BTreeMap;
use std::fs::{DirEntry, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tempfile::TempDir;

/// This process's folder for such files, inside another one. It is there as long as somebody uses it.
#[derive(Debug)]
pub struct Scratch {
    // Dropped in this order.
    folder: TempDir,
    _lock: File,
}

/// What the folders of all processes are called.
const PREFIX: &str = "dailies-scratch-";

/// The file in each that its process holds.
const LOCK: &str = "lock";

/// How often a folder is made anew because another process took it for one that was left.
const ATTEMPTS: usize = 10;

impl Scratch {
    /// The one that this process has in `within`, made when nobody uses one there.
    pub fn within(within: &Path) -> std::io::Result<Arc<Self>> {
        static IN_USE: Mutex<BTreeMap<PathBuf, Weak<Scratch>>> = Mutex::new(BTreeMap::new());
        let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scratch) = in_use.get(within).and_then(Weak::upgrade) {
            return Ok(scratch);
        }
        let scratch = Arc::new(Self::make(within)?);
        in_use.insert(within.to_owned(), Arc::downgrade(&scratch));
        Ok(scratch)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn make(within: &Path) -> std::io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(within)?;
            if let Some(lock) = hold(folder.path())? {
                return Ok(Self { folder, _lock: lock });
            }
        }
        Err(std::io::Error::other("other processes remove each folder that is made"))
    }
}

/// Takes the lock of a new folder; none when somebody is removing the folder, because it was not held yet.
fn hold(folder: &Path) -> std::io::Result<Option<File>> {
    let lock = match OpenOptions::new().write(true).create_new(true).open(folder.join(LOCK)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match lock.try_lock() {
        // It may have been removed in between, and a lock on that is worth nothing.
        Ok(()) => Ok(Some(lock).filter(|lock| lock.metadata().is_ok_and(|lock| lock.nlink() > 0))),
        Err(TryLockError::WouldBlock) => Ok(None),
        // Where the system has no locks, nobody gets one and removes anything.
        Err(TryLockError::Error(error)) => {
            tracing::debug!(%error, "scratch files cannot be locked; they stay when this process is killed");
            Ok(Some(lock))
        }
    }
}

/// Removes what processes that were killed have left in `within`. What cannot be removed stays, and nobody fails by it.
pub fn sweep(within: &Path) {
    for entry in std::fs::read_dir(within).into_iter().flatten().flatten().filter(is_ours) {
        match remove_left(&entry.path()) {
            Ok(false) => {}
            Ok(true) => tracing::info!(folder = %entry.path().display(), "removed what a killed process left"),
            Err(error) => tracing::debug!(%error, folder = %entry.path().display(), "a scratch folder stays"),
        }
    }
}

/// Whether it is called as our folders are, and is one of this user's: others may call theirs as they like.
fn is_ours(entry: &DirEntry) -> bool {
    let named = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
    // Does not follow links.
    let of_ours = |found: std::fs::Metadata| found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw();
    named && entry.metadata().is_ok_and(of_ours)
}

/// Removes a folder unless somebody holds it.
fn remove_left(folder: &Path) -> std::io::Result<bool> {
    let lock = match OpenOptions::new().write(true).open(folder.join(LOCK)) {
        Ok(lock) => lock,
        // Empty, or somebody's business.
        Err(error) if error.kind() == ErrorKind::NotFound => return std::fs::remove_dir(folder).map(|()| true),
        Err(error) => return Err(error),
    };
    match lock.try_lock() {
        Ok(()) => std::fs::remove_dir_all(folder).map(|()| true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("a folder").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn all_of_a_process_share_a_folder_that_goes_with_the_last_of_them() {
        let within = tempfile::tempdir().expect("a folder");
        let one = Scratch::within(within.path()).expect("made");
        let two = Scratch::within(within.path()).expect("there");
        assert_eq!(one.path(), two.path());
        std::fs::write(one.path().join("file"), "x").expect("written");
        drop(one);
        assert!(two.path().join("file").is_file());
        drop(two);
        assert!(names(within.path()).is_empty());
        assert!(Scratch::within(within.path()).expect("made").path().is_dir());
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_is_in_use_is_not() {
        let within = tempfile::tempdir().expect("a folder");
        let at = |name: &str| within.path().join(name);
        // As a killed process leaves it: the file of its lock is there, and nobody holds it.
        std::fs::create_dir_all(at("dailies-scratch-left/job")).expect("made");
        std::fs::write(at("dailies-scratch-left/lock"), "").expect("written");
        std::fs::write(at("dailies-scratch-left/job/clip.mp4"), "x").expect("written");
        std::fs::create_dir(at("dailies-scratch-empty")).expect("made");
        std::fs::create_dir_all(at("somebody-elses/lock")).expect("made");
        std::os::unix::fs::symlink(at("somebody-elses"), at("dailies-scratch-link")).expect("made");
        let ours = Scratch::within(within.path()).expect("made");

        sweep(within.path());
        assert!(ours.path().join(LOCK).is_file());
        let mut left = names(within.path());
        left.retain(|name| *name != ours.path().file_name().expect("a name").to_string_lossy());
        left.sort_unstable();
        assert_eq!(left, ["dailies-scratch-link", "somebody-elses"]);
        sweep(&at("nowhere"));
    }

    #[test]
    fn a_folder_that_is_removed_before_it_is_held_is_made_anew() {
        let within = tempfile::tempdir().expect("a folder");
        let folder = within.path().join("dailies-scratch-new");
        assert!(hold(&folder).expect("nobody is to blame").is_none());
        std::fs::create_dir(&folder).expect("made");
        let lock = hold(&folder).expect("usable").expect("nobody removes it");
        assert!(!remove_left(&folder).expect("usable"), "it is held");
        drop(lock);
        assert!(remove_left(&folder).expect("usable"));
    }
}
