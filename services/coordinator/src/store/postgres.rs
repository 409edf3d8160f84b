//! The database of a cluster: any number of replicas, one server.
//!
//! Group commit is one statement for up to hundreds of appends (`postgres/append.rs`), so that there is one round trip, one
//! sync and no transaction that could stay open. What needs a transaction has it in a task of its own, because a dropped future
//! must never leave one open on a connection that goes back to its pool. Nothing waits for ever: not for a lock, not for
//! a statement, not for a server that went silent.

mod append;
mod batch;
mod connections;
mod durability;
mod keeping;
mod leases;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use messages::id::{ArtifactId, UserId, VideoId};
use messages::query::{LedgerRow, ListVideos, VideoSummary};
use messages::subject::Partition;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{Connection as _, PgConnection, Row as _};

use super::reads::{Reader, Reads, Value};
use super::rounds::rounds;
use super::{
    Append, Appended, Loaded, Migrated, PlannedJob, Position, Published, Purgeable, Store, StoreError, Unpublished,
    schema,
};
use crate::config::DatabaseUrl;
use batch::Batch;
use connections::{Connections, START, Writer, connect};

pub use append::{APPEND, APPEND_ALL};
pub use durability::{Durability, durability};
pub use keeping::{MARK_EVENTS, MARK_JOBS, MARK_OUTCOMES};

/// A store on a PostgreSQL server.
#[derive(Debug)]
pub struct PostgresStore {
    /// Appends, which people wait for; on disk when they are answered.
    appends: Arc<Writer>,
    /// Leases and purges, which must be on disk too.
    writers: Connections,
    /// What would only be done once more if it were lost: its commits are not waited for.
    notes: Connections,
    reads: Reads<Connections>,
    /// Digests of catalogues that are stored for certain.
    catalogues: Arc<Mutex<HashSet<String>>>,
}

impl PostgresStore {
    /// Connects, once the server is there; refuses tables of another version than this program's.
    pub async fn open(options: &PgConnectOptions) -> Result<Self, StoreError> {
        let unusable = |reason| unusable(options, reason);
        let mut connection = connect(options, START).await.map_err(|error| unusable(explained(&error)))?;
        schema::check(&mut connection, &schema::POSTGRES).await.map_err(unusable)?;
        // A courtesy: the server would notice by itself.
        let _ = connection.close().await;
        Ok(Self {
            appends: Arc::new(Writer::new(options)),
            writers: Connections::writers(options),
            notes: Connections::notes(options),
            reads: Reads::new(Connections::readers(options)),
            catalogues: Arc::default(),
        })
    }

    /// Brings the tables up to date.
    pub async fn migrate(options: &PgConnectOptions) -> Result<Migrated, StoreError> {
        let unusable = |reason| unusable(options, reason);
        let mut connection = connect(options, START).await.map_err(|error| unusable(explained(&error)))?;
        let database = shown(options);
        let migrated = schema::migrate(&mut connection, &schema::POSTGRES, &database).await.map_err(unusable)?;
        let _ = connection.close().await;
        Ok(migrated)
    }
}

fn unusable(options: &PgConnectOptions, reason: String) -> StoreError {
    StoreError::Unusable { url: shown(options), reason }
}

/// Why a server cannot be talked to, in words.
fn explained(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(error) => format!("no server answers there ({error})"),
        sqlx::Error::Database(error) => format!("its server says \"{}\"", error.message()),
        error => error.to_string(),
    }
}

fn shown(options: &PgConnectOptions) -> String {
    DatabaseUrl::Postgres(Box::new(options.clone())).to_string()
}

impl Reader for Connections {
    type Row = PgRow;

    async fn fetch(&self, statement: &'static str, values: Vec<Value>) -> Result<Vec<PgRow>, StoreError> {
        let query = values.into_iter().fold(sqlx::query(statement), |query, value| match value {
            Value::Number(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
        });
        self.here("read", |connection| Box::pin(query.fetch_all(connection))).await
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn load(&self, video: VideoId) -> Result<Loaded, StoreError> {
        self.reads.load(video).await
    }

    async fn append(&self, appends: Vec<Arc<Append>>) -> Result<Vec<Appended>, StoreError> {
        let catalogues = Arc::clone(&self.catalogues);
        self.appends
            .run("record", move |connection| Box::pin(async move { append(connection, &appends, &catalogues).await }))
            .await
    }

    async fn mark_read(&self, owner: &str, positions: Vec<(Partition, Position)>) -> Result<(), StoreError> {
        leases::mark_read(&self.notes, owner, positions).await
    }

    async fn mark_published(&self, published: Published) -> Result<(), StoreError> {
        keeping::mark_published(&self.notes, published).await
    }

    async fn unpublished(&self, partitions: Vec<Partition>) -> Result<Vec<Unpublished>, StoreError> {
        self.reads.unpublished(partitions).await
    }

    async fn jobs(&self, partitions: Vec<Partition>) -> Result<Vec<PlannedJob>, StoreError> {
        self.reads.jobs(partitions).await
    }

    async fn unfinished(&self, video: VideoId) -> Result<(Vec<Unpublished>, Vec<PlannedJob>), StoreError> {
        self.reads.unfinished(video).await
    }

    async fn forget_commands(&self, before: DateTime<Utc>) -> Result<(), StoreError> {
        keeping::forget_commands(&self.notes, before).await
    }

    async fn lease_time(&self, _: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
        leases::time(&self.writers).await
    }

    async fn lease(
        &self,
        owner: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<HashMap<Partition, Position>, StoreError> {
        leases::lease(&self.writers, owner, now, until).await
    }

    async fn release(&self, owner: &str) -> Result<(), StoreError> {
        leases::release(&self.writers, owner).await
    }

    async fn release_all(&self) -> Result<(), StoreError> {
        leases::release_all(&self.writers).await
    }

    async fn videos(
        &self,
        user: &UserId,
        list: &ListVideos,
    ) -> Result<(Vec<VideoSummary>, Option<String>), StoreError> {
        self.reads.videos(user, list).await
    }

    async fn purgeable(&self, partitions: Vec<Partition>, now: DateTime<Utc>) -> Result<Vec<Purgeable>, StoreError> {
        self.reads.purgeable(partitions, now).await
    }

    async fn purge(&self, video: VideoId, again: Option<DateTime<Utc>>) -> Result<(), StoreError> {
        keeping::purge(&self.writers, video, again).await
    }

    async fn forgotten(&self, partitions: Vec<Partition>, until: DateTime<Utc>) -> Result<Vec<VideoId>, StoreError> {
        self.reads.forgotten(partitions, until).await
    }

    async fn garbage(&self, partitions: Vec<Partition>) -> Result<Vec<String>, StoreError> {
        self.reads.garbage(partitions).await
    }

    async fn garbage_deleted(&self, keys: Vec<String>) -> Result<(), StoreError> {
        keeping::garbage_deleted(&self.notes, keys).await
    }

    async fn ledger(&self, video: VideoId) -> Result<Vec<LedgerRow>, StoreError> {
        self.reads.ledger(video).await
    }

    async fn videos_of(&self, user: &UserId, artifact: ArtifactId) -> Result<Vec<VideoId>, StoreError> {
        self.reads.videos_of(user, artifact).await
    }
}

/// Records everything or nothing. Almost always no video is in it twice, and one statement does it.
async fn append(
    connection: &mut PgConnection,
    appends: &[Arc<Append>],
    catalogues: &Mutex<HashSet<String>>,
) -> Result<Vec<Appended>, sqlx::Error> {
    let mut results = vec![Appended::Lost; appends.len()];
    let mut stored = Vec::new();
    let rounds = rounds(appends);
    let is_known = |digest: &str| catalogues.lock().unwrap_or_else(PoisonError::into_inner).contains(digest);
    let batch = |places: &[usize]| Batch::new(places.iter().map(|place| appends[*place].as_ref()), is_known);
    match rounds.as_slice() {
        [] => {}
        [places] => stored.extend(run(connection, batch(places)?, places, appends, &mut results).await?),
        [first, later @ ..] => {
            let mut transaction = connection.begin().await?;
            stored.extend(run(&mut transaction, batch(first)?, first, appends, &mut results).await?);
            for places in later {
                stored.extend(run(&mut transaction, batch(places)?, places, appends, &mut results).await?);
            }
            transaction.commit().await?;
        }
    }
    catalogues.lock().unwrap_or_else(PoisonError::into_inner).extend(stored);
    Ok(results)
}

/// Records one round, says in `results` who won, and gives the catalogues that came with it.
async fn run(
    connection: &mut PgConnection,
    batch: Batch,
    places: &[usize],
    appends: &[Arc<Append>],
    results: &mut [Appended],
) -> Result<Vec<String>, sqlx::Error> {
    let catalogues = batch.catalogues().to_vec();
    let rows = batch.statement().fetch_all(connection).await?;
    let won: HashSet<String> = rows.iter().map(|row| row.get(0)).collect();
    for place in places.iter().filter(|place| won.contains(&appends[**place].video.to_string())) {
        results[*place] = Appended::Committed;
    }
    Ok(catalogues)
}
