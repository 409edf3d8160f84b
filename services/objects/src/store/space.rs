//! How many bytes the store may hold. Room is reserved before bytes are written, so that the quota is never exceeded,
//! not even by uploads that run at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes in use, and their limit.
#[derive(Debug)]
pub struct Space {
    limit: Option<u64>,
    used: AtomicU64,
}

/// The limit is reached.
#[derive(Debug, PartialEq, Eq)]
pub struct NoRoom;

impl Space {
    /// With so many bytes in use.
    pub fn new(limit: Option<u64>, used: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(used) })
    }

    /// Room for an upload: none yet.
    pub fn reserve(self: &Arc<Self>) -> Reservation {
        Reservation { space: Arc::clone(self), bytes: 0 }
    }

    /// Takes note of a file that is gone.
    pub fn free(&self, bytes: u64) {
        // Saturating, since a figure that a person's hand in the folder has made wrong must not wrap around.
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| Some(used.saturating_sub(bytes)));
    }

    fn take(&self, bytes: u64) -> Result<(), NoRoom> {
        let fits = |used: u64| used.checked_add(bytes).filter(|used| self.limit.is_none_or(|limit| *used <= limit));
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map(|_| ()).map_err(|_| NoRoom)
    }
}

/// Room that is held for an upload and given back unless the upload is kept.
#[derive(Debug)]
pub struct Reservation {
    space: Arc<Space>,
    bytes: u64,
}

impl Reservation {
    /// Makes it hold at least so many bytes.
    pub fn grow_to(&mut self, bytes: u64) -> Result<(), NoRoom> {
        if let Some(more) = bytes.checked_sub(self.bytes) {
            self.space.take(more)?;
            self.bytes = bytes;
        }
        Ok(())
    }

    /// The upload is an object of so many bytes now.
    pub fn keep(mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.space.free(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_at_the_same_time_share_the_room() {
        let space = Space::new(Some(100), 20);
        let (mut first, mut second) = (space.reserve(), space.reserve());
        assert_eq!(first.grow_to(50), Ok(()));
        assert_eq!(second.grow_to(31), Err(NoRoom));
        assert_eq!(second.grow_to(30), Ok(()));
        drop(first);
        assert_eq!(second.grow_to(80), Ok(()));
    }

    #[test]
    fn a_kept_upload_keeps_its_room_until_it_is_deleted() {
        let space = Space::new(Some(100), 0);
        let mut upload = space.reserve();
        assert_eq!(upload.grow_to(90), Ok(()));
        upload.keep(60);
        assert_eq!(space.reserve().grow_to(41), Err(NoRoom));
        space.free(60);
        assert_eq!(space.reserve().grow_to(100), Ok(()));
    }

    #[test]
    fn without_a_limit_everything_fits() {
        assert_eq!(Space::new(None, u64::MAX / 2).reserve().grow_to(1 << 40), Ok(()));
    }
}
