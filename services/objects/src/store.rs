//! Objects as files: what is visible is whole and on the disk.
//!
//! An object arrives in `incoming/`, is synced there, and is moved to its place below `buckets/` in one step; then the
//! place is synced, and only then the writer hears of it. Everything here blocks and is called from blocking threads.
//!
//! Two kinds of locks, always taken in this order. `folders`: writers of objects share it, so that no folder that they
//! count on is new, unsynced or about to go; making and pruning folders takes it alone. `keys`: a writer holds its key's
//! lock from looking whether the key is taken until the place is synced, and a reader takes it to open the file, so
//! that nobody is told of an object that a power cut could still undo.

pub mod listing;
mod names;
pub mod record;
mod space;
pub mod upload;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use s3s::checksum::ChecksumHasher;

use listing::{Page, Query};
use record::{Headers, Record};
use space::Space;
use upload::{Arrived, Upload};

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk or the quota is full.
    #[error("no space left in the object store")]
    Full,
    /// A checksum differs.
    #[error("the bytes do not match the checksum that came with them")]
    BadDigest,
    /// Fewer or more bytes than announced.
    #[error("the bytes did not arrive whole")]
    Incomplete,
    /// The key is taken.
    #[error("an object with this key exists")]
    Taken,
    /// There is no such bucket.
    #[error("there is no such bucket")]
    NoBucket,
    /// There is no such object.
    #[error("there is no such object")]
    NoObject,
    /// The disk does not do what it should.
    #[error("the disk failed")]
    Disk(#[source] io::Error),
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::Full,
            _ => Self::Disk(error),
        }
    }
}

/// A folder of buckets.
#[derive(Debug)]
pub struct Store {
    buckets: PathBuf,
    incoming: PathBuf,
    space: Arc<Space>,
    folders: RwLock<()>,
    keys: [RwLock<()>; 64],
}

impl Store {
    /// Opens or makes a store, and removes what uploads left behind when the process ended.
    pub fn open(folder: &Path, quota: Option<u64>) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let folder = fs::canonicalize(folder)?;
        let (buckets, incoming) = (folder.join("buckets"), folder.join("incoming"));
        fs::create_dir_all(&buckets)?;
        fs::create_dir_all(&incoming)?;
        for leftover in fs::read_dir(&incoming)? {
            fs::remove_file(leftover?.path())?;
        }
        sync_folder(&folder)?;
        if let Some(parent) = folder.parent() {
            sync_folder(parent)?;
        }
        // Without a quota nobody asks how much is used, so nobody has to wait for the count.
        let used = if quota.is_some() { bytes_below(&buckets)? } else { 0 };
        Ok(Self {
            buckets,
            incoming,
            space: Space::new(quota, used),
            folders: RwLock::new(()),
            keys: std::array::from_fn(|_| RwLock::new(())),
        })
    }

    /// Makes a bucket. Gives false when it was there.
    pub fn create_bucket(&self, bucket: &str) -> Result<bool, StoreError> {
        let _alone = alone(&self.folders);
        match fs::create_dir(self.buckets.join(bucket)) {
            Ok(()) => sync_folder(&self.buckets)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    /// The folder of a bucket, which shows that there is one.
    pub fn bucket(&self, bucket: &str) -> Result<PathBuf, StoreError> {
        let folder = self.buckets.join(bucket);
        if folder.is_dir() { Ok(folder) } else { Err(StoreError::NoBucket) }
    }

    /// All buckets in order, and when they were last changed.
    pub fn buckets(&self) -> Result<Vec<(String, SystemTime)>, StoreError> {
        let mut buckets = Vec::new();
        for entry in fs::read_dir(&self.buckets)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                buckets.push((name, entry.metadata()?.modified()?));
            }
        }
        buckets.sort();
        Ok(buckets)
    }

    /// Begins an upload.
    pub fn upload(&self, md5: bool, checksum: ChecksumHasher) -> Result<Upload, StoreError> {
        let file = tempfile::Builder::new().prefix("put-").tempfile_in(&self.incoming)?;
        Ok(Upload::new(file, self.space.reserve(), md5, checksum))
    }

    /// Makes an upload visible under a key; with `once` only if the key is free.
    pub fn publish(
        &self,
        bucket: &str,
        key: &str,
        arrived: Arrived,
        headers: Headers,
        once: bool,
    ) -> Result<Record, StoreError> {
        let Arrived { mut file, mut room, size, sha256 } = arrived;
        let place = self.bucket(bucket)?.join(names::file_of(key));
        let parent = place.parent().ok_or(StoreError::NoBucket)?;
        let record = Record { key: key.to_owned(), size, sha256, stored_at_ms: now_ms(), headers };
        let tail = record.tail()?;
        let length = size + tail.len() as u64;
        room.grow_to(length).map_err(|_| StoreError::Full)?;
        io::Write::write_all(&mut file, &tail)?;
        file.as_file().sync_all()?;

        let _shared = self.with_folder(parent)?;
        let _mine = alone(self.lock_of(&place));
        let before = match fs::metadata(&place) {
            Ok(_) if once => return Err(StoreError::Taken),
            Ok(before) => before.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error.into()),
        };
        file.persist(&place).map_err(|error| error.error)?;
        room.keep(length);
        self.space.free(before);
        sync_folder(parent)?;
        Ok(record)
    }

    /// Opens an object. The file stands at its first byte and stays whole, whatever happens to the key.
    pub fn read(&self, bucket: &str, key: &str) -> Result<(File, Record), StoreError> {
        let place = self.bucket(bucket)?.join(names::file_of(key));
        let opened = {
            let _settled = shared(self.lock_of(&place));
            File::open(&place)
        };
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StoreError::NoObject),
            Err(error) => return Err(error.into()),
        };
        let record = Record::read(&mut file)?;
        if record.key != key {
            return Err(StoreError::Disk(io::Error::new(
                io::ErrorKind::InvalidData,
                "the file is that of another key",
            )));
        }
        Ok((file, record))
    }

    /// What is known about the objects of a page.
    pub fn list(&self, bucket: &str, query: &Query) -> Result<(Vec<Record>, Page), StoreError> {
        let page = listing::list(&self.bucket(bucket)?, query)?;
        let mut records = Vec::with_capacity(page.objects.len());
        for (key, _) in &page.objects {
            match self.read(bucket, key) {
                Ok((_, record)) => records.push(record),
                // Deleted since its name was read.
                Err(StoreError::NoObject) => {}
                // It has to show up, or nobody could delete it.
                Err(StoreError::Disk(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    records.push(Record::of_damaged(key));
                }
                Err(error) => return Err(error),
            }
        }
        Ok((records, page))
    }

    /// Deletes objects; those that are not there count as deleted.
    pub fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), StoreError> {
        let bucket = self.bucket(bucket)?;
        let mut folders = BTreeSet::new();
        {
            let _shared = shared(&self.folders);
            for place in keys.iter().map(|key| bucket.join(names::file_of(key))) {
                let _mine = alone(self.lock_of(&place));
                let gone = fs::metadata(&place).and_then(|was| fs::remove_file(&place).map(|()| was.len()));
                match gone {
                    Ok(bytes) => self.space.free(bytes),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error.into()),
                }
                folders.extend(place.parent().map(Path::to_owned));
            }
            for folder in &folders {
                sync_folder(folder)?;
            }
        }
        let _alone = alone(&self.folders);
        for folder in folders {
            let inside = folder.ancestors().take_while(|folder| *folder != bucket);
            // The first one that is not empty ends the way up. An empty one that stays harms nobody.
            let _ = inside.map(fs::remove_dir).take_while(Result::is_ok).count();
        }
        Ok(())
    }

    /// Makes sure that a folder is there, and stays while the guard lives.
    fn with_folder(&self, folder: &Path) -> io::Result<RwLockReadGuard<'_, ()>> {
        loop {
            let guard = shared(&self.folders);
            if folder.is_dir() {
                return Ok(guard);
            }
            drop(guard);
            let _alone = alone(&self.folders);
            let missing: Vec<_> = folder.ancestors().take_while(|folder| !folder.is_dir()).collect();
            for folder in missing.into_iter().rev() {
                fs::create_dir(folder)?;
                if let Some(parent) = folder.parent() {
                    sync_folder(parent)?;
                }
            }
        }
    }

    fn lock_of(&self, place: &Path) -> &RwLock<()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(place);
        &self.keys[(hash % self.keys.len() as u64) as usize]
    }
}

// The locks guard files, not memory: a thread that panicked leaves nothing half done that the next one would not see.
fn shared(lock: &RwLock<()>) -> RwLockReadGuard<'_, ()> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn alone(lock: &RwLock<()>) -> RwLockWriteGuard<'_, ()> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn bytes_below(folder: &Path) -> io::Result<u64> {
    let (mut bytes, mut open) = (0, vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                open.push(entry.path());
            } else {
                bytes += metadata.len();
            }
        }
    }
    Ok(bytes)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::upload::Expected;
    use super::*;

    fn put(store: &Store, key: &str, bytes: &[u8], once: bool) -> Result<Record, StoreError> {
        let mut upload = store.upload(false, ChecksumHasher::default())?;
        upload.write(bytes)?;
        store.publish("bucket", key, upload.finish(&Expected::default())?, Headers::default(), once)
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(folder.path(), None).expect("store");
        store.create_bucket("bucket").expect("bucket");
        (folder, store)
    }

    #[test]
    fn deleting_the_last_object_of_a_folder_removes_the_folder_but_not_the_bucket() {
        let (_folder, store) = store();
        put(&store, "a/b/c", b"1", false).expect("put");
        put(&store, "a/x", b"1", false).expect("put");
        store.delete("bucket", &["a/b/c".to_owned()]).expect("delete");
        assert_eq!(fs::read_dir(store.buckets.join("bucket/a+")).expect("folder").count(), 1);
        store.delete("bucket", &["a/x".to_owned(), "never/was".to_owned()]).expect("delete");
        assert_eq!(fs::read_dir(store.buckets.join("bucket")).expect("bucket").count(), 0);
    }

    #[test]
    fn writers_and_deleters_of_one_folder_do_not_trip_each_other() {
        let (_folder, store) = store();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let store = &store;
                scope.spawn(move || {
                    let key = format!("a/b/{writer}");
                    for _ in 0..20 {
                        put(store, &key, b"1", true).expect("the key is free and the folder comes back");
                        store.delete("bucket", std::slice::from_ref(&key)).expect("delete");
                    }
                });
            }
        });
    }

    #[test]
    fn what_an_upload_left_behind_is_removed_at_start() {
        let (folder, store) = store();
        put(&store, "kept", b"1", false).expect("put");
        fs::write(store.incoming.join("put-left"), b"half").expect("leftover");
        drop(store);
        let store = Store::open(folder.path(), None).expect("store");
        assert_eq!(fs::read_dir(&store.incoming).expect("incoming").count(), 0);
        assert!(store.read("bucket", "kept").is_ok());
    }

    #[test]
    fn a_full_disk_is_told_from_a_failing_one() {
        // ENOSPC and EDQUOT, then EIO.
        for (code, full) in [(28, true), (122, true), (5, false)] {
            let error = StoreError::from(io::Error::from_raw_os_error(code));
            assert_eq!(matches!(error, StoreError::Full), full, "{code}");
        }
    }

    #[test]
    fn the_quota_counts_what_is_there_at_start() {
        let (folder, store) = store();
        put(&store, "a/b", &[0; 1000], false).expect("put");
        drop(store);
        let store = Store::open(folder.path(), Some(2500)).expect("store");
        assert!(matches!(put(&store, "c", &[0; 1500], false), Err(StoreError::Full)));
        put(&store, "a/b", &[1; 900], false).expect("writing again frees what was there");
        store.delete("bucket", &["a/b".to_owned()]).expect("delete");
        put(&store, "c", &[0; 1500], false).expect("there is room now");
    }
}
