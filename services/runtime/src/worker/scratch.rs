//! Folders for jobs to work in. Most of the smallest jobs put nothing there, so a folder that is left empty serves again.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;

/// The empty folders of a replica.
#[derive(Debug, Clone, Default)]
pub(super) struct Scratch {
    empty: Arc<Mutex<Vec<TempDir>>>,
}

/// A folder that is empty when it is given out, and gone or empty when the job is over.
#[derive(Debug)]
pub(super) struct Folder {
    folder: Option<TempDir>,
    scratch: Scratch,
}

impl Scratch {
    /// Gives an empty folder out.
    pub fn folder(&self) -> io::Result<Folder> {
        let used_before = self.empty.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // Somebody may have tidied up the system's temporary files.
        let folder = match used_before.filter(|folder| folder.path().is_dir()) {
            Some(folder) => folder,
            None => tempfile::Builder::new().prefix("dailies-").tempdir()?,
        };
        Ok(Folder { folder: Some(folder), scratch: self.clone() })
    }
}

impl Folder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.as_ref().map_or_else(|| Path::new(""), TempDir::path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is not empty is removed here with all that is in it.
        if let Some(folder) = self.folder.take().filter(|folder| is_empty(folder.path())) {
            self.scratch.empty.lock().unwrap_or_else(PoisonError::into_inner).push(folder);
        }
    }
}

/// Whether it is there and holds nothing.
fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_folder_serves_again_and_one_that_was_used_is_gone() {
        let scratch = Scratch::default();
        let first = scratch.folder().expect("a folder");
        let at = first.path().to_path_buf();
        drop(first);
        let again = scratch.folder().expect("the same folder");
        assert_eq!(again.path(), at);

        std::fs::write(at.join("chunk.mp4"), b"a film").expect("it is written");
        drop(again);
        assert!(!at.exists());
        assert_ne!(scratch.folder().expect("another folder").path(), at);
    }

    #[test]
    fn a_folder_that_somebody_removed_is_made_anew() {
        let scratch = Scratch::default();
        let at = scratch.folder().expect("a folder").path().to_path_buf();
        std::fs::remove_dir(&at).expect("it is there");
        assert!(scratch.folder().expect("another one").path().is_dir());
    }
}
