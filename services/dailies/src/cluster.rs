//! The cluster that a command works with: the one that another process runs in the data folder, or one of our own.

use std::net::SocketAddr;
use std::time::Duration;

use runtime::bus::{Bus, BusError, NatsSettings};
use runtime::config::Settings;

use crate::data_folder::{Address, DataError, DataFolder};
use crate::embedded::{Embedded, EmbeddedError, Ports};

/// How long another process is given to become ready.
const READY: Duration = Duration::from_secs(20);

/// A cluster on this machine.
pub enum Cluster {
    /// In this process, for as long as it is needed.
    Ours(Box<Embedded>),
    /// In another one.
    Theirs(Box<Theirs>),
}

/// The cluster of another process.
pub struct Theirs {
    address: Address,
    bus: Bus,
}

/// Why there is no cluster, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The data folder.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The cluster of our own.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The cluster of another process.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The process that ran it is gone.
    #[error("the cluster of process {0} has stopped")]
    Gone(u32),
}

impl Cluster {
    /// Uses the cluster that runs in `folder`, or starts one there on free ports.
    pub async fn find_or_start(folder: &DataFolder, settings: &Settings) -> Result<Self, ClusterError> {
        let deadline = tokio::time::Instant::now() + READY;
        loop {
            if let Some(address) = folder.owner() {
                let bus = Bus::connect(&NatsSettings::for_url(&address.nats)).await?;
                return Ok(Self::Theirs(Box::new(Theirs { address, bus })));
            }
            let free = SocketAddr::from(([127, 0, 0, 1], 0));
            match Embedded::start(folder, settings, Ports { gateway: free, nats: 0 }).await {
                Ok(embedded) => return Ok(Self::Ours(Box::new(embedded))),
                // The owner is starting: it holds the lock before it says where it is.
                Err(EmbeddedError::Data(DataError::InUse { .. })) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// How it is reached.
    pub fn address(&self) -> &Address {
        match self {
            Self::Ours(embedded) => embedded.address(),
            Self::Theirs(theirs) => &theirs.address,
        }
    }

    /// The connection.
    pub fn bus(&self) -> &Bus {
        match self {
            Self::Ours(embedded) => embedded.bus(),
            Self::Theirs(theirs) => &theirs.bus,
        }
    }

    /// Waits until the cluster ends by itself, and says why.
    pub async fn lost(&mut self, folder: &DataFolder) -> ClusterError {
        match self {
            Self::Ours(embedded) => embedded.ended().await.into(),
            Self::Theirs(theirs) => loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if folder.owner().as_ref() != Some(&theirs.address) {
                    return ClusterError::Gone(theirs.address.pid);
                }
            },
        }
    }

    /// Stops our own; another process's goes on.
    pub async fn stop(self) {
        match self {
            Self::Ours(embedded) => embedded.stop().await,
            Self::Theirs(_) => {}
        }
    }
}
