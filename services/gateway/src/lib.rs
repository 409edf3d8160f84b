//! The gateway: HTTP on one side, NATS on the other. It translates and watches; it decides nothing, and stores nothing
//! but uploads.
//!
//! In reading order: [`router`] (every route on one screen), [`access`] (who may ask, and by which name of ours) with
//! [`keys`], [`request`] and [`error`] (what comes in, how it is refused); the resources [`videos`], [`checkpoints`], [`edits`],
//! [`uploads`], [`artifacts`], [`catalogue`] and [`health`] with what they show, [`views`]; [`commands`] and [`nats`] (how a command
//! gets its answer); [`progress`] (the live stream) with [`hub`] (what is heard once and fanned out), [`sequencer`] (what is
//! sent next) and [`frame`] (how it is written); [`connections`] (below all that); [`openapi`]; [`config`].
//!
//! It opens no database, and its JSON types are nobody's messages.

use std::sync::Arc;
use std::time::Duration;

use messages::catalogue::{Catalogue, CatalogueError};
use runtime::artifacts::ObjectStore;
use runtime::bus::Bus;
use runtime::registration::{Registration, RegistrationError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub mod access;
pub mod artifacts;
pub mod catalogue;
pub mod checkpoints;
pub mod commands;
pub mod config;
pub mod connections;
pub mod edits;
pub mod error;
pub mod frame;
pub mod health;
pub mod hub;
pub mod keys;
pub mod nats;
pub mod openapi;
pub mod progress;
pub mod request;
pub mod router;
pub mod sequencer;
pub mod trace;
pub mod uploads;
pub mod videos;
pub mod views;

use crate::access::{Doors, Gate};
use crate::config::Settings;
use crate::connections::Patience;
use crate::hub::Hub;
use crate::keys::ring::Keyring;
use crate::nats::Nats;
use crate::router::App;

/// Why the gateway does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can be reached by others, and there are no keys to tell them apart.
    #[error(
        "{0} is not a loopback address; without API keys only this machine is served: listen on 127.0.0.1 or ::1, or name a keys file (gateway.keys)"
    )]
    NotLoopback(std::net::SocketAddr),
    /// The keys file is not usable.
    #[error(transparent)]
    Keys(#[from] keys::file::FileError),
    /// The listener is not usable.
    #[error("the listener is not usable")]
    Listener(#[source] std::io::Error),
    /// A file of the catalogue cannot be read.
    #[error("the catalogue file {file} cannot be read")]
    CatalogueFile {
        /// Which file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The catalogue cannot be used.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// Events cannot be watched.
    #[error("events cannot be watched: {0}")]
    Subscribe(async_nats::Error),
    /// This replica cannot be seen.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
}

/// How long connections are waited for. A stop takes longer than any command's outcome is waited for.
const PATIENCE: Patience = Patience { head: Duration::from_secs(30), grace: Duration::from_secs(10) };

/// Serves until `shutdown` fires; then open streams end, and what is being answered is answered.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    bus: Bus,
    objects: Arc<dyn ObjectStore>,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let address = listener.local_addr().map_err(ServeError::Listener)?;
    let gate = match &settings.keys {
        Some(file) => Gate::Keys(Arc::new(Keyring::open(file)?)),
        None if address.ip().is_loopback() => Gate::Loopback,
        None => return Err(ServeError::NotLoopback(address)),
    };
    let nats = Nats::new(bus.clone(), settings.query_timeout);
    let hub = Arc::new(Hub::default());
    let outcomes = Hub::subscribe(&nats).await.map_err(ServeError::Subscribe)?;
    let watching = tokio::spawn(hub.clone().run(nats.clone(), outcomes, shutdown.clone()));

    let looking = match &gate {
        Gate::Keys(keyring) => Some(tokio::spawn(Arc::clone(keyring).watch(shutdown.clone()))),
        Gate::Loopback => None,
    };
    let scratch = settings.scratch_folder();
    // It takes as long as what was left is large, and nobody waits for it.
    tokio::task::spawn_blocking(move || runtime::scratch::sweep(&scratch));
    let upload_slots = settings.upload_slots.get();
    let app = Arc::new(App {
        doors: Doors {
            port: address.port(),
            public: settings.public_origins.clone(),
            any_address: matches!(gate, Gate::Keys(_)),
        },
        gate,
        catalogue: catalogue(&settings)?,
        settings,
        nats,
        hub,
        objects,
        upload_slots: tokio::sync::Semaphore::new(upload_slots),
        meters: health::Meters::default(),
        shutdown: shutdown.clone(),
    });
    let stopping = shutdown.clone();
    let _needed = runtime::health::need("gateway", move || match stopping.is_cancelled() {
        true => Err("it is stopping: what was begun is answered".to_owned()),
        false => Ok(()),
    });
    let counted = app.clone();
    let registration = Registration::new(
        &bus,
        "gateway",
        "HTTP and server-sent events in front of NATS",
        [("address".to_owned(), address.to_string())].into(),
        Arc::new(move || counted.meters.figures()),
    )
    .await?;
    tracing::info!(%address, "serving http");
    // Routes are made whole once, not anew for each request.
    let router = router::router(app).with_state(());
    connections::serve(listener, router, shutdown.clone(), PATIENCE).await;
    registration.stop().await;
    // They end by the same token; a panic in one was logged by the runtime.
    let _ = watching.await;
    if let Some(looking) = looking {
        let _ = looking.await;
    }
    Ok(())
}

fn catalogue(settings: &Settings) -> Result<Catalogue, ServeError> {
    let Some(folder) = &settings.catalogue else { return Ok(Catalogue::shipped()?) };
    let read = |name: &str| {
        let file = folder.join(name);
        std::fs::read_to_string(&file)
            .map_err(|source| ServeError::CatalogueFile { file: file.display().to_string(), source })
    };
    Ok(Catalogue::from_toml(&read("models.toml")?, &read("library.toml")?)?)
}
