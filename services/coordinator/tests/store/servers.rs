//! One private PostgreSQL server for all tests of this process, gone with it; and a database of its own for each test.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use coordinator::config::DatabaseUrl;
use coordinator::store::{self, Store};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, PgConnection};

use crate::conformance::Database;
use crate::postgres_server::PostgresServer;

/// A database without tables, as its URL.
pub async fn empty_database() -> String {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(1);
    // Its folder goes with the server: nothing of a static is ever dropped.
    let server = SERVER.get_or_init(|| {
        let folder = tempfile::Builder::new().prefix("dailies-postgres-").tempdir().expect("a folder").keep();
        PostgresServer::start_scratch(&folder, &["max_connections=300"]).expect("PostgreSQL is installed: ./dev test")
    });
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut connection = connect(&server.url("postgres")).await;
    connection.execute(AssertSqlSafe(format!("create database {name}"))).await.expect("it is created");
    server.url(&name)
}

/// A connection beside the store's.
pub async fn connect(url: &str) -> PgConnection {
    let options: sqlx::postgres::PgConnectOptions = url.parse().expect("a URL");
    options.connect().await.expect("it opens")
}

/// A database with our tables.
pub struct PostgresDatabase {
    pub url: String,
}

impl PostgresDatabase {
    pub async fn new() -> Self {
        let url = empty_database().await;
        store::migrate(&named(&url)).await.expect("it takes our tables");
        Self { url }
    }
}

#[async_trait]
impl Database for PostgresDatabase {
    async fn open(&self) -> Arc<dyn Store> {
        store::open(&named(&self.url)).await.expect("it opens")
    }
}

/// As settings name it.
pub fn named(url: &str) -> DatabaseUrl {
    url.parse().expect("a URL")
}
