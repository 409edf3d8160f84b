//! Connections to the server, by what they are for.

use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::pool::PoolConnectionMetadata;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool};

use super::super::StoreError;

/// How long a start waits for a server that is not there yet.
const START: Duration = Duration::from_secs(10);
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
    /// Two: one append at a time, and leases beside it.
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
        let task = tokio::spawn(async move { connections.here(action, work).await });
        let lost = |error| StoreError::Unavailable { action, source: sqlx::Error::Io(std::io::Error::other(error)) };
        task.await.map_err(lost)?
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
                    Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the server went silent")))
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

/// Connects as soon as there is a server that takes connections; else says why none does.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, String> {
    let mut reason = "it does not answer".to_owned();
    let connecting = async {
        loop {
            let error = match options.connect().await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            let passing = match &error {
                sqlx::Error::Io(_) => true,
                // Starting up or shutting down, or full.
                sqlx::Error::Database(error) => error.code().is_some_and(|code| ["57P03", "53300"].contains(&&*code)),
                _ => false,
            };
            reason = match error {
                sqlx::Error::Io(error) => format!("no server answers there ({error})"),
                sqlx::Error::Database(error) => format!("its server says \"{}\"", error.message()),
                error => error.to_string(),
            };
            if !passing {
                return Err(());
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    match tokio::time::timeout(START, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(())) | Err(_) => Err(reason),
    }
}

/// Limits after which the server gives up by itself. Locks are held for milliseconds; a replica that is frozen while it
/// holds some must not hold up the others.
fn limited(options: &PgConnectOptions) -> PgConnectOptions {
    options.clone().application_name("dailies").options([
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
