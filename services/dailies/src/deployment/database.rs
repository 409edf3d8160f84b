//! The database of a deployment: where its files are, its tables, and that it runs on when it dies.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coordinator::config::DatabaseUrlError;
use runtime::backoff::Backoff;
use runtime::service::sentence;
use tokio::net::UnixStream;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::DeploymentError;
use crate::data_folder::DataFolder;
use crate::postgres_server::PostgresServer;

/// How long the database may take to be brought up to date.
const MIGRATION: Duration = Duration::from_secs(120);
/// How often it is looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How long to wait before it is started again: what is left of it, which a new one does not bear beside itself, ends as
/// soon as it notices.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// Who has lived so long has not died of how it was started.
const STEADY: Duration = Duration::from_secs(60);
/// After so many starts without that there is no point in another one.
const HOPELESS: u32 = 8;

/// Starts PostgreSQL over its files in the data folder.
pub async fn start(folder: &DataFolder) -> Result<PostgresServer, DeploymentError> {
    let files = files(folder)?;
    let started = spawn_blocking(move || PostgresServer::start(&files, &[])).await;
    Ok(started.map_err(|error| ended(error.to_string()))??)
}

/// What a deployment does once before its services start, as `dailies migrate`.
pub async fn migrate(database: &str) -> Result<(), DeploymentError> {
    let failed = |reason: String| DeploymentError::Migration(reason);
    let database = database.parse().map_err(|error: DatabaseUrlError| failed(error.to_string()))?;
    let migrating = tokio::time::timeout(MIGRATION, coordinator::store::migrate(&database));
    let migrated = migrating.await.map_err(|_| failed(format!("it takes longer than {} s", MIGRATION.as_secs())))?;
    migrated.map(drop).map_err(|error| failed(sentence(&error)))
}

/// Keeps it running until `shutdown` fires, then stops it. Ends earlier only when it cannot be started any more.
pub async fn keep(mut server: PostgresServer, shutdown: CancellationToken) -> Result<(), DeploymentError> {
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    let mut failures = 0;
    loop {
        let lived_since = Instant::now();
        tokio::select! {
            () = dies(server.socket()) => tracing::error!("PostgreSQL has died and is started again"),
            () = shutdown.cancelled() => return stop(server).await,
        }
        if lived_since.elapsed() > STEADY {
            failures = 0;
            backoff.reset();
        }
        loop {
            failures += 1;
            tokio::select! {
                () = tokio::time::sleep(backoff.next_wait()) => {}
                () = shutdown.cancelled() => return stop(server).await,
            }
            // Not cut short by a stop: one that is half started is stopped when it has started.
            let restarting = spawn_blocking(move || {
                let restarted = server.restart();
                (server, restarted)
            });
            let (back, restarted) = restarting.await.map_err(|error| ended(error.to_string()))?;
            server = back;
            match restarted {
                Ok(()) => break,
                Err(error) if failures < HOPELESS => {
                    tracing::error!(error = %error, "PostgreSQL could not be started again");
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// It waits for its server to write what was committed.
async fn stop(server: PostgresServer) -> Result<(), DeploymentError> {
    spawn_blocking(move || drop(server)).await.map_err(|error| ended(error.to_string()))
}

/// Waits until nobody listens at a socket. A server that is busy, or frozen, is there all the same.
async fn dies(socket: PathBuf) {
    let gone = [ErrorKind::ConnectionRefused, ErrorKind::NotFound];
    while !UnixStream::connect(&socket).await.is_err_and(|error| gone.contains(&error.kind())) {
        tokio::time::sleep(LOOK).await;
    }
}

fn ended(reason: String) -> DeploymentError {
    DeploymentError::Ended { part: "PostgreSQL".to_owned(), reason }
}

/// Where PostgreSQL keeps its files: in the data folder. It refuses to be root, and nobody but root may enter what is
/// root's, so then they lie elsewhere and the data folder has a link to them.
fn files(folder: &DataFolder) -> Result<PathBuf, DeploymentError> {
    let inside = folder.join("postgres");
    if !nix::unistd::geteuid().is_root() {
        return Ok(inside);
    }
    match std::fs::read_link(&inside) {
        Ok(elsewhere) if elsewhere.is_dir() => return Ok(elsewhere),
        // Somebody has removed it: the database starts again from nothing.
        Ok(_) => std::fs::remove_file(&inside),
        Err(_) => Ok(()),
    }
    .and_then(|()| {
        let elsewhere = Path::new("/var/tmp").join(format!("dailies-postgres-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&elsewhere)?;
        std::os::unix::fs::symlink(&elsewhere, &inside)?;
        Ok(elsewhere)
    })
    .map_err(|source| DeploymentError::File { path: inside, source })
}
