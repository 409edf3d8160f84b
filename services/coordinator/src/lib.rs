//! Holds every video's state and decides what happens next; alone knows the order of phases and opens the database.
//!
//! In reading order:
//!
//! - [`video`]: PURE, the life of one video
//! - [`store`]: the journal, one trait, one implementation per database
//! - [`wire`], [`wire_nats`]: what is needed of NATS, and the real one
//! - [`actor`]: one video at a time: load, decide, record, send, answer
//! - [`committer`], [`outbox`], [`dispatcher`]: how decisions are recorded, how events leave, how jobs leave
//! - [`partition`], [`position`]: leases and the reading of commands
//! - [`reports`], [`queries`]: what workers say, what anyone may see
//! - [`sweep`], [`purge`]: what NATS may have lost, what the object store need not keep
//! - [`metrics`], [`traces`]: what is counted; PURE, which trace what was decided belongs to

pub mod actor;
pub mod committer;
pub mod config;
pub mod dispatcher;
pub mod metrics;
pub mod outbox;
pub mod partition;
pub mod position;
pub mod purge;
pub mod queries;
pub mod reports;
pub mod store;
pub mod sweep;
pub mod traces;
pub mod video;
pub mod wire;
pub mod wire_nats;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use messages::subject;
use runtime::artifacts::ObjectStore;
use runtime::bus::{Bus, BusError};
use runtime::clock::{Clock, SystemClock};
use runtime::health::{self, LastSeen, Need};
use runtime::registration::{Figures, Registration, RegistrationError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::actor::{Actors, Surroundings};
use crate::committer::Committer;
use crate::config::{FilesError, Settings};
use crate::dispatcher::{Counts, Dispatcher};
use crate::outbox::Outbox;
use crate::position::Positions;
use crate::purge::Purge;
use crate::reports::{Desk, Waiting};
use crate::store::{Store, StoreError};
use crate::video::Setup;
use crate::wire::Wire;
use crate::wire_nats::NatsWire;

/// Why a coordinator does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is not usable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The catalogue is not usable.
    #[error(transparent)]
    Catalogue(#[from] FilesError),
    /// NATS is not usable.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// It cannot be seen.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
}

/// Runs one replica until `shutdown`: every task ends, leases are given back, what is recorded has been handed on.
pub async fn run(
    settings: Settings,
    bus: Bus,
    objects: Arc<dyn ObjectStore>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let setup = Setup::new(Arc::new(settings.catalogue()?), vec!["local".to_owned()]);
    let store = store::open(&settings.database).await?;
    if settings.alone {
        store.release_all().await?;
    }
    bus.ensure_streams_patiently(&shutdown).await?;

    let nats = Arc::new(NatsWire::new(bus.clone()));
    let wire: Arc<dyn Wire> = nats.clone();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let positions = Arc::new(Positions::default());
    let instance = runtime::registration::instance();
    let outbox = Outbox::start(Arc::clone(&store), Arc::clone(&wire), Arc::clone(&clock));
    let (quotas, replica) = (settings.quotas(), instance.clone());
    let dispatcher = Dispatcher::start(replica, Arc::clone(&wire), outbox.clone(), Arc::clone(&clock), quotas);
    let around = Arc::new(Surroundings {
        store: Arc::clone(&store),
        committer: Committer::start(Arc::clone(&store), Arc::clone(&clock)),
        outbox,
        dispatcher: dispatcher.clone(),
        setup,
        positions: Arc::clone(&positions),
        wire: Arc::clone(&wire),
        clock: Arc::clone(&clock),
    });
    let actors = Actors::new(Arc::clone(&around));
    let (owned, owned_now) = watch::channel(HashSet::new());
    let counts = watch::Sender::new(Counts::default());

    let purge = Purge {
        store: Arc::clone(&store),
        objects,
        clock: Arc::clone(&clock),
        actors: Arc::clone(&actors),
        keep_abandoned: settings.keep_abandoned(),
    };

    let figures = figures(&actors, &positions, owned_now.clone(), counts.subscribe());
    let keep_abandoned = settings.keep_abandoned();
    let registration = register(&bus, &instance, figures, &store, keep_abandoned, &shutdown).await?;

    let standing = (Arc::clone(&actors), owned_now.clone(), Arc::clone(&positions));
    let read =
        position::write_down(Arc::clone(&store), positions, instance.clone(), Arc::clone(&clock), shutdown.clone());
    let mut tasks = tokio::task::JoinSet::new();
    // Whoever may report is heard before the first command is read.
    let desk = Desk {
        ears: nats.clone(),
        wire: Arc::clone(&wire),
        clock: Arc::clone(&clock),
        actors: Arc::clone(&actors),
        dispatcher: dispatcher.clone(),
        waiting: Waiting::default(),
    };
    tasks.spawn(read);
    tasks.spawn(reports::listen(desk.clone(), owned_now.clone(), shutdown.clone()));
    tasks.spawn(reports::hear_progress(desk.clone(), shutdown.clone()));
    tasks.spawn(reports::hear_make_way(desk, instance.clone(), shutdown.clone()));
    tasks.spawn(purge::run(purge, owned_now.clone(), shutdown.clone()));
    tasks.spawn(partition::read_commands(nats, actors, Arc::clone(&around), owned_now, shutdown.clone()));
    let renewed = LastSeen::default();
    let _needed = needed(renewed.clone(), shutdown.clone());
    tasks.spawn(partition::keep_leases(instance, around, owned, renewed, shutdown.clone()));
    tasks.spawn(sweep::run(wire, Arc::clone(&store), dispatcher.clone(), Arc::clone(&clock), shutdown.clone()));
    let stands = move |counts| metrics::stands(standing.0.count(), standing.1.borrow().len(), standing.2.lag(), counts);
    tasks.spawn(keep_counting(dispatcher, counts, stands, clock, shutdown.clone()));
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(error = %error, "a part of the coordinator failed");
            shutdown.cancel();
        }
    }
    registration.stop().await;
    Ok(())
}

/// What probes are told. Leases that are renewed say that the database answers, and for which videos this replica works.
fn needed(renewed: LastSeen, shutdown: CancellationToken) -> Need {
    health::need("coordinator", move || {
        if shutdown.is_cancelled() {
            return Err("it is stopping: its partitions are given back".to_owned());
        }
        match renewed.within(partition::LEASE) {
            true => Ok(()),
            false => Err("its leases are not renewed: the database does not answer".to_owned()),
        }
    })
}

/// Enters this replica with the NATS services API, queries as its endpoints.
async fn register(
    bus: &Bus,
    instance: &str,
    figures: Figures,
    store: &Arc<dyn Store>,
    keep_abandoned: Option<Duration>,
    shutdown: &CancellationToken,
) -> Result<Registration, RegistrationError> {
    let metadata = HashMap::from([
        ("instance".to_owned(), instance.to_owned()),
        ("host".to_owned(), runtime::registration::host()),
    ]);
    let about = "holds every video's state, decides what happens next, answers queries";
    let registration = Registration::new(bus, "coordinator", about, metadata, figures).await?;
    for (name, filter) in [("video", subject::VIDEO_QUERY_FILTER), ("user", subject::USER_QUERY_FILTER)] {
        let endpoint = registration.endpoint(name, filter).await?;
        let (bus, store) = (bus.clone(), Arc::clone(store));
        tokio::spawn(queries::answer_all(endpoint, bus, store, keep_abandoned, shutdown.clone()));
    }
    Ok(registration)
}

/// What `nats micro stats` shows of a replica.
fn figures(
    actors: &Arc<Actors>,
    positions: &Arc<Positions>,
    owned: watch::Receiver<HashSet<subject::Partition>>,
    counts: watch::Receiver<Counts>,
) -> Figures {
    let (actors, positions) = (Arc::clone(actors), Arc::clone(positions));
    Arc::new(move || {
        let counts = *counts.borrow();
        serde_json::json!({
            "partitions": owned.borrow().len(),
            "open_actors": actors.count(),
            "commands_open": positions.lag(),
            "jobs_waiting": counts.waiting,
            "jobs_sent": counts.sent,
        })
    })
}

/// Figures are asked for in a place that cannot wait, so the newest is kept at hand.
async fn keep_counting(
    dispatcher: Dispatcher,
    counts: watch::Sender<Counts>,
    stands: impl Fn(Counts),
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) {
    loop {
        let now = dispatcher.counts().await;
        stands(now);
        counts.send_replace(now);
        tokio::select! {
            () = clock.sleep(Duration::from_secs(1)) => {}
            () = shutdown.cancelled() => return,
        }
    }
}
