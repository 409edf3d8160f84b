//! The embedded database: one file, one writer, many readers.
//!
//! Write-ahead log with `synchronous = full`: a committed append survives the loss of power. Transactions run in tasks of
//! their own, because a dropped future must never leave one open for whoever writes next.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use messages::id::{ArtifactId, UserId, VideoId};
use messages::query::{LedgerRow, ListVideos, VideoSummary};
use messages::subject::Partition;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, SqlitePool};
use tokio::sync::Mutex;

use super::reads::{Reader, Reads, Value};
use super::{
    Append, Appended, Loaded, Migrated, PlannedJob, Position, Published, Purgeable, Store, StoreError, Unpublished,
    schema,
};

mod append;
mod batch;
mod leases;
mod purge;

/// How long somebody else may hold the file.
const BUSY: Duration = Duration::from_secs(10);
/// When to open it again where SQLite does not wait by itself.
const AGAIN: Duration = Duration::from_millis(20);

/// A store in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Arc<Writer>,
    /// Another one beside it, which writes nothing of its own.
    checkpointer: Arc<Writer>,
    reads: Reads<SqlitePool>,
    /// Whether nothing was recorded since partitions were last leased.
    quiet: AtomicBool,
}

impl SqliteStore {
    /// Opens the file, creates it when missing, and brings its tables up to date.
    pub async fn open(file: &Path) -> Result<Self, StoreError> {
        Self::migrate(file).await?;
        let open = async || Writer::open(file).await.map_err(|error| unusable(file, error.to_string()));
        let (writer, checkpointer) = (open().await?, open().await?);
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options(file).read_only(true))
            .await
            .map_err(|error| unusable(file, error.to_string()))?;
        let (writer, checkpointer) = (Arc::new(writer), Arc::new(checkpointer));
        Ok(Self { writer, checkpointer, reads: Reads::new(readers), quiet: AtomicBool::new(false) })
    }

    /// Brings the tables of the file up to date; creates it when missing.
    pub async fn migrate(file: &Path) -> Result<Migrated, StoreError> {
        let unavailable = |error: sqlx::Error| unusable(file, error.to_string());
        let mut connection = connect(file).await.map_err(unavailable)?;
        // All steps or none, and by one at a time: whoever comes second waits here, then finds them done.
        let mut transaction = connection.begin_with("begin immediate").await.map_err(unavailable)?;
        let database = file.display().to_string();
        let migrated = schema::migrate(&mut *transaction, &schema::SQLITE, &database).await;
        let migrated = migrated.map_err(|reason| unusable(file, reason))?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(migrated)
    }

    /// Now and then: what was written is brought home from the write-ahead log, so that the writer need not stop for it, and
    /// when nothing was, the writer lets go of the pages that it keeps.
    async fn rest(&self) {
        if !self.quiet.swap(true, Ordering::Relaxed) {
            let checkpointer = Arc::clone(&self.checkpointer);
            tokio::spawn(async move {
                let checkpoint = checkpointer.run(|connection| {
                    Box::pin(async move { sqlx::query("pragma wal_checkpoint(passive)").execute(connection).await })
                });
                if let Err(error) = checkpoint.await {
                    tracing::debug!(error = %error, "the write-ahead log is left to the writer");
                }
            });
            return;
        }
        let shrink = self.write("let go of memory", |connection| {
            Box::pin(async move { sqlx::query("pragma shrink_memory").execute(connection).await })
        });
        if let Err(error) = shrink.await {
            tracing::debug!(error = %error, "the writer keeps its pages");
        }
    }

    /// Runs `work` as one write transaction, in a task of its own.
    async fn transaction<T, F>(&self, action: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send + 'static,
    {
        self.write(action, |connection| {
            Box::pin(async move {
                let mut transaction = connection.begin_with("begin immediate").await?;
                let done = work(&mut transaction).await?;
                transaction.commit().await?;
                Ok(done)
            })
        })
        .await
    }

    /// Runs `work` with the one connection that writes, in a task of its own.
    async fn write<T, F>(&self, action: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send + 'static,
    {
        let writer = Arc::clone(&self.writer);
        let task = tokio::spawn(async move { writer.run(work).await });
        let unavailable = |source| StoreError::Unavailable { action, source };
        task.await.map_err(|error| unavailable(sqlx::Error::Io(std::io::Error::other(error))))?.map_err(unavailable)
    }
}

/// A connection that may write, for one piece of work at a time. It is closed after an error, or a panic, and with it whatever
/// was left open.
#[derive(Debug)]
struct Writer {
    file: PathBuf,
    connection: Mutex<Option<SqliteConnection>>,
}

impl Writer {
    async fn open(file: &Path) -> Result<Self, sqlx::Error> {
        let writer = Self { file: file.to_path_buf(), connection: Mutex::default() };
        writer.run(|_| Box::pin(async { Ok(()) })).await?;
        Ok(writer)
    }

    async fn run<T>(
        &self,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        let mut slot = self.connection.lock().await;
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let done = work(&mut connection).await;
        if done.is_ok() {
            *slot = Some(connection);
        } else if let Err(error) = connection.close().await {
            tracing::debug!(error = %error, "the writer was not closed as it should be");
        }
        done
    }

    async fn connect(&self) -> Result<SqliteConnection, sqlx::Error> {
        // In KiB: what a busy transaction touches. What SQLite keeps beside the file stays in memory too.
        let options = options(&self.file).pragma("cache_size", "-8000").pragma("temp_store", "memory");
        let mut connection = options.connect().await?;
        sqlx::raw_sql(append::BATCHES).execute(&mut connection).await?;
        Ok(connection)
    }
}

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // Less often than by default, because the writer waits for it where that is not done for it.
        .pragma("wal_autocheckpoint", "8000")
        .busy_timeout(BUSY)
}

/// A connection to a file that may be new. Switching a new file to its write-ahead log is the one thing that SQLite refuses
/// at once, however long it may wait otherwise, while somebody else has just opened the file too.
async fn connect(file: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let deadline = Instant::now() + BUSY;
    loop {
        match options(file).connect().await {
            Err(error) if is_busy(&error) && Instant::now() < deadline => tokio::time::sleep(AGAIN).await,
            opened => return opened,
        }
    }
}

/// Whether somebody else is at work on the file.
fn is_busy(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).as_deref() == Some("5")
}

fn unusable(file: &Path, reason: String) -> StoreError {
    StoreError::Unusable { url: file.display().to_string(), reason }
}

impl Reader for SqlitePool {
    type Row = SqliteRow;

    async fn fetch(&self, statement: &'static str, values: Vec<Value>) -> Result<Vec<SqliteRow>, StoreError> {
        let query = values.into_iter().fold(sqlx::query(statement), |query, value| match value {
            Value::Number(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
        });
        query.fetch_all(self).await.map_err(|source| StoreError::Unavailable { action: "read", source })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn load(&self, video: VideoId) -> Result<Loaded, StoreError> {
        self.reads.load(video).await
    }

    async fn append(&self, appends: Vec<Arc<Append>>) -> Result<Vec<Appended>, StoreError> {
        self.quiet.store(false, Ordering::Relaxed);
        self.write("record", move |connection| Box::pin(async move { append::append(connection, &appends).await }))
            .await
    }

    async fn mark_read(&self, owner: &str, positions: Vec<(Partition, Position)>) -> Result<(), StoreError> {
        let owner = owner.to_owned();
        self.write("record", move |connection| {
            Box::pin(async move { leases::mark_read(connection, &owner, &positions).await })
        })
        .await
    }

    async fn mark_published(&self, published: Published) -> Result<(), StoreError> {
        self.write("record", move |connection| {
            Box::pin(async move { append::mark_published(connection, &published).await })
        })
        .await
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
        self.transaction("forget commands", move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "delete from command where in_vain = 1 and recorded_at < $1
                     and not exists (select 1 from video where id = command.video_id)",
                )
                .bind(before.timestamp_micros())
                .execute(connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn lease_time(&self, here: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
        Ok(here)
    }

    async fn lease(
        &self,
        owner: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<HashMap<Partition, Position>, StoreError> {
        self.rest().await;
        let (owner, now, until) = (owner.to_owned(), now.timestamp_micros(), until.timestamp_micros());
        self.write("lease partitions", move |connection| {
            Box::pin(async move { leases::lease(connection, &owner, now, until).await })
        })
        .await
    }

    async fn release(&self, owner: &str) -> Result<(), StoreError> {
        let owner = owner.to_owned();
        self.transaction("release partitions", move |connection| {
            Box::pin(async move {
                sqlx::query("update partition_lease set owner = null, until = 0 where owner = $1")
                    .bind(&owner)
                    .execute(&mut *connection)
                    .await?;
                sqlx::query("delete from replica where id = $1").bind(&owner).execute(&mut *connection).await?;
                Ok(())
            })
        })
        .await
    }

    async fn release_all(&self) -> Result<(), StoreError> {
        self.transaction("release partitions", |connection| {
            Box::pin(async move {
                sqlx::query("update partition_lease set owner = null, until = 0").execute(&mut *connection).await?;
                sqlx::query("delete from replica").execute(&mut *connection).await?;
                Ok(())
            })
        })
        .await
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
        purge::purge(self, video, again).await
    }

    async fn forgotten(&self, partitions: Vec<Partition>, until: DateTime<Utc>) -> Result<Vec<VideoId>, StoreError> {
        self.reads.forgotten(partitions, until).await
    }

    async fn garbage(&self, partitions: Vec<Partition>) -> Result<Vec<String>, StoreError> {
        self.reads.garbage(partitions).await
    }

    async fn garbage_deleted(&self, keys: Vec<String>) -> Result<(), StoreError> {
        purge::garbage_deleted(self, keys).await
    }

    async fn ledger(&self, video: VideoId) -> Result<Vec<LedgerRow>, StoreError> {
        self.reads.ledger(video).await
    }

    async fn videos_of(&self, user: &UserId, artifact: ArtifactId) -> Result<Vec<VideoId>, StoreError> {
        self.reads.videos_of(user, artifact).await
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;

    #[tokio::test]
    async fn the_writer_waits_for_the_disk_at_every_commit() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(&folder.path().join("journal.db")).await.expect("it opens");
        let setting = async |pragma: &'static str| {
            let work = store.write("read", move |connection| {
                Box::pin(async move {
                    let row = sqlx::query(pragma).fetch_one(connection).await?;
                    row.try_get::<String, _>(0).or_else(|_| row.try_get::<i64, _>(0).map(|number| number.to_string()))
                })
            });
            work.await.expect("it is read")
        };
        // 2 is `full`: the write-ahead log is synced before a commit is answered.
        assert_eq!(
            (setting("pragma journal_mode").await, setting("pragma synchronous").await),
            ("wal".into(), "2".into())
        );
    }

    #[tokio::test]
    async fn what_fails_half_way_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(&folder.path().join("journal.db")).await.expect("it opens");
        let replicas = async || {
            let count = store.write("read", |connection| {
                Box::pin(async {
                    sqlx::query_scalar::<_, i64>("select count(*) from replica").fetch_one(connection).await
                })
            });
            count.await.expect("it is read")
        };
        for panics in [false, true] {
            let failed = store.write("fail", move |connection| {
                Box::pin(async move {
                    let begun = sqlx::raw_sql("begin immediate; insert into replica (id, seen_at) values ('a', 1)");
                    begun.execute(connection).await?;
                    assert!(!panics, "as planned");
                    Err::<(), _>(sqlx::Error::RowNotFound)
                })
            });
            assert!(failed.await.is_err());
            assert_eq!(replicas().await, 0);
            store.lease("b", DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH).await.expect("the next one is not held up");
            store.release_all().await.expect("nor the one after it");
        }
    }
}
