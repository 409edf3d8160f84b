//! `dailies bench serve`: a cluster whose workers return at once, as a process of its own, so that a benchmark can read its
//! memory and kill it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use runtime::config::Settings;
use tokio_util::sync::CancellationToken;

use super::{BenchError, noop};
use crate::arguments::BenchServe;
use crate::data_folder::DataFolder;
use crate::embedded::{Embedded, Parts, Ports};

/// Runs until `shutdown` fires or a part ends by itself.
pub async fn run(
    arguments: &BenchServe,
    folder: &DataFolder,
    settings: Settings,
    shutdown: &CancellationToken,
) -> Result<bool, BenchError> {
    let ports = Ports { gateway: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), nats: arguments.nats_port };
    let told = Arc::new(OnceLock::new());
    let parts = Parts {
        slots: arguments.slots,
        handlers: noop::handlers_without_objects(Arc::clone(&told)),
        database: arguments.database.clone(),
        nats_sync_always: arguments.nats_sync_always,
    };
    let mut cluster = Embedded::start_of(folder, &settings, ports, parts).await?;
    if arguments.tell {
        // Set once, here.
        let _ = told.set(cluster.bus().client().clone());
    }
    let ended = tokio::select! {
        error = cluster.ended() => Err(error.into()),
        () = shutdown.cancelled() => Ok(true),
    };
    cluster.stop().await;
    ended
}
