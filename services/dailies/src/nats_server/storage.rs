//! Whether the files of a living server are still there. One whose files were deleted notices it late or never, lives on
//! and says that it is healthy, while its streams take nothing any more; only another start helps.
//!
//! Boundary: looks, changes nothing. What the server believes to have is compared with what lies on the disk.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::jetstream::stream::StorageType;
use futures::TryStreamExt as _;
use runtime::bus::{Bus, NatsSettings};

/// How often to look.
const EVERY: Duration = Duration::from_secs(2);
/// How long to wait before a loss is believed: a stream that is being deleted loses its files first or its name.
const AGAIN: Duration = Duration::from_millis(500);

/// The files of one server, over all its starts.
#[derive(Debug)]
pub(super) struct Storage {
    url: String,
    streams: PathBuf,
    bus: Option<Bus>,
    /// Streams that were lost and whose files have not been seen since. They are not lost again: a server that lays its
    /// files out in another way is started once more, and not for ever.
    doubted: BTreeSet<String>,
}

impl Storage {
    /// Of the server that answers at `url` and has `store` as its folder.
    pub(super) fn new(url: String, store: &Path) -> Self {
        Self { url, streams: store.join("jetstream/$G/streams"), bus: None, doubted: BTreeSet::new() }
    }

    /// Waits until files of streams are gone, and gives the streams' names. Dropping it forgets nothing.
    pub(super) async fn lost(&mut self) -> Vec<String> {
        loop {
            let missing = self.missing().await;
            if !missing.is_empty() {
                tokio::time::sleep(AGAIN).await;
                let lost: Vec<_> = self.missing().await.intersection(&missing).cloned().collect();
                if !lost.is_empty() {
                    self.doubted.extend(missing);
                    return lost;
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// The streams that the server has, but whose files it has not.
    pub(super) async fn missing(&mut self) -> BTreeSet<String> {
        // A server that does not answer is on its way up or down, and whoever uses it waits like us.
        let listed = self.listed().await.unwrap_or_default();
        let (there, missing): (BTreeSet<_>, BTreeSet<_>) =
            listed.into_iter().partition(|name| self.streams.join(name).join("msgs").is_dir());
        self.doubted.retain(|name| !there.contains(name));
        missing.difference(&self.doubted).cloned().collect()
    }

    /// The streams that the server has and keeps in files.
    async fn listed(&mut self) -> Option<Vec<String>> {
        let bus = match &self.bus {
            Some(bus) => bus,
            None => self.bus.insert(Bus::connect(&NatsSettings::for_url(&self.url)).await.ok()?),
        };
        let streams: Vec<_> = bus.jetstream().streams().try_collect().await.ok()?;
        let in_files = streams.into_iter().map(|stream| stream.config);
        Some(in_files.filter(|config| config.storage == StorageType::File).map(|config| config.name).collect())
    }
}
