//! Connections to the server, by what they are for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sqlx::pool::PoolConnectionMetadata;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::super::StoreError;

/// How long a start waits for a server that is not there yet.
pub(super) const START: Duration = Duration::from_secs(10);
/// How often it is asked meanwhile.
const AGAIN: Duration = Duration::from_millis(200);
/// How long a connection is waited for.
const ACQUIRE: Duration = Duration::from_secs(5);
/// How long anything may take altogether. The server's own limits are shorter; this one is for a server that went silent.
const SILENCE: Duration = Duration::from_secs(20);
/// How long a connection may lie about before it is tried out before use.
const FRESH: Duration = Duration::from_secs(1);

/// A few connections for one purpose.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    pool: PgPool,
    options: PgConnectOptions,
}

impl Connections {
    /// Two: leases, and purges beside them.
    pub(super) fn writers(options: &PgConnectOptions) -> Self {
        Self::new(writing(2), limited(options))
    }

    /// One whose commits are not waited for: what a crash of the server takes back is only done again.
    pub(super) fn notes(options: &PgConnectOptions) -> Self {
        Self::new(writing(1), limited(options).options([("synchronous_commit", "off")]))
    }

    /// For questions, which never write. Each is one statement, so that no transaction can be left on these.
    pub(super) fn readers(options: &PgConnectOptions) -> Self {
        let pool = PgPoolOptions::new().max_connections(6);
        Self::new(pool, limited(options).options([("default_transaction_read_only", "on")]))
    }

    fn new(pool: PgPoolOptions, options: PgConnectOptions) -> Self {
        let pool = pool
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .before_acquire(|connection, about| Box::pin(still_there(connection, about)))
            .connect_lazy_with(options.clone());
        Self { pool, options }
    }

    /// Runs `work` on a connection, in a task of its own: whoever asked may go away, the work ends all the same.
    pub(super) async fn run<T, W>(&self, action: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send + 'static,
    {
        let connections = self.clone();
        ended(action, tokio::spawn(async move { connections.here(action, work).await })).await?
    }

    /// The same as one transaction.
    pub(super) async fn transaction<T, W>(&self, action: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send + 'static,
    {
        self.run(action, |connection| {
            Box::pin(async move {
                let mut transaction = connection.begin().await?;
                let done = work(&mut transaction).await?;
                transaction.commit().await?;
                Ok(done)
            })
        })
        .await
    }

    /// Runs `work`, which is one statement that only reads, for as long as somebody waits for it.
    pub(super) async fn here<T, W>(&self, action: &'static str, work: W) -> Result<T, StoreError>
    where
        W: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>,
    {
        let done = async {
            let mut connection = self.pool.acquire().await?;
            match tokio::time::timeout(SILENCE, work(&mut connection)).await {
                Ok(done) => done,
                Err(_) => {
                    // There is no talking to it any more, not even to say goodbye.
                    drop(connection.detach());
                    Err(silence())
                }
            }
        };
        match done.await {
            Ok(done) => Ok(done),
            Err(source) => Err(StoreError::Unavailable { action, source: self.explained(source).await }),
        }
    }

    /// Why there is no connection, where the pool only knows that there is none.
    async fn explained(&self, error: sqlx::Error) -> sqlx::Error {
        if !matches!(error, sqlx::Error::PoolTimedOut) {
            return error;
        }
        match tokio::time::timeout(ACQUIRE, self.options.connect()).await {
            Ok(Err(reason)) => reason,
            // They are all busy then.
            Ok(Ok(_)) | Err(_) => error,
        }
    }
}

/// The connection of appends, which people wait for: one piece of work at a time, and no word with the server but that. It is
/// closed after an error or a panic, and with it whatever was left open.
#[derive(Debug)]
pub(super) struct Writer {
    options: PgConnectOptions,
    kept: Mutex<Option<Kept>>,
}

/// A connection that has nothing open.
#[derive(Debug)]
struct Kept {
    connection: PgConnection,
    since: Instant,
}

impl Writer {
    pub(super) fn new(options: &PgConnectOptions) -> Self {
        Self { options: limited(options), kept: Mutex::default() }
    }

    /// Runs `work`, in a task of its own: whoever asked may go away, the work ends all the same.
    pub(super) async fn run<T, W>(self: &Arc<Self>, action: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send + 'static,
    {
        let writer = Arc::clone(self);
        let done = ended(action, tokio::spawn(async move { writer.here(work).await })).await?;
        done.map_err(|source| StoreError::Unavailable { action, source })
    }

    async fn here<T, W>(&self, work: W) -> Result<T, sqlx::Error>
    where
        W: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>,
    {
        let mut slot = self.kept.lock().await;
        let mut connection = match slot.take() {
            Some(kept) => self.still_there(kept).await?,
            None => connect(&self.options, ACQUIRE).await?,
        };
        let done = tokio::time::timeout(SILENCE, work(&mut connection)).await.map_err(|_| silence())??;
        *slot = Some(Kept { connection, since: Instant::now() });
        Ok(done)
    }

    /// It, or a new one in its place.
    async fn still_there(&self, mut kept: Kept) -> Result<PgConnection, sqlx::Error> {
        if kept.since.elapsed() <= FRESH {
            return Ok(kept.connection);
        }
        match tokio::time::timeout(ACQUIRE, kept.connection.ping()).await {
            Ok(Ok(())) => Ok(kept.connection),
            Ok(Err(_)) | Err(_) => connect(&self.options, ACQUIRE).await,
        }
    }
}

/// What a task of its own gave.
async fn ended<T>(action: &'static str, task: JoinHandle<T>) -> Result<T, StoreError> {
    let lost = |error| StoreError::Unavailable { action, source: sqlx::Error::Io(std::io::Error::other(error)) };
    task.await.map_err(lost)
}

fn silence() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the server went silent"))
}

/// Connects as soon as there is a server that takes connections; else says why none does.
pub(super) async fn connect(options: &PgConnectOptions, patience: Duration) -> Result<PgConnection, sqlx::Error> {
    let mut reason = None;
    let connecting = async {
        loop {
            match options.connect().await {
                Err(error) if will_pass(&error) => reason = Some(error),
                connected => return connected,
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    match tokio::time::timeout(patience, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(reason.unwrap_or_else(silence)),
    }
}

/// Whether there may be a connection in a moment: the server is not there, starts, ends, or is full.
fn will_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| ["57P03", "53300"].contains(&&*code)),
        _ => false,
    }
}

/// Limits after which the server gives up by itself. Locks are held for milliseconds; a replica that is frozen while it
/// holds some must not hold up the others.
///
/// Statements are planned once, and for tables of any size: they are all answered from indexes, but the server would take a
/// table that is empty at that moment from end to end, and go on doing so when it has grown. Without `jit`, because what it
/// is told not to do, and does where it must, it takes for so dear that it would compile it.
fn limited(options: &PgConnectOptions) -> PgConnectOptions {
    options.clone().application_name("dailies").options([
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("jit", "off"),
        ("statement_timeout", "10s"),
        ("lock_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "3s"),
    ])
}

/// A server that was restarted has forgotten its connections. One that was used just now is taken at its word.
async fn still_there(connection: &mut PgConnection, about: PoolConnectionMetadata) -> Result<bool, sqlx::Error> {
    if about.idle_for > FRESH {
        connection.ping().await?;
    }
    Ok(true)
}

/// So many connections that transactions run on.
fn writing(most: u32) -> PgPoolOptions {
    let pool = PgPoolOptions::new().max_connections(most);
    pool.after_release(|connection, _| Box::pin(roll_back_leftovers(connection)))
}

/// A connection never goes back to its pool with a transaction open on it. Beginning one first keeps the server from
/// warning of a rollback without any.
async fn roll_back_leftovers(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let rolled_back = sqlx::raw_sql("begin; rollback").execute(connection);
    Ok(matches!(tokio::time::timeout(ACQUIRE, rolled_back).await, Ok(Ok(_))))
}
