//! What a commit of a server is worth, as the server itself says it.

use sqlx::{Connection as _, Row as _};

use super::super::StoreError;
use super::connections::{START, connect};
use super::{explained, unusable};
use crate::config::DatabaseUrl;

/// How a server is set, for whoever reads figures that were measured on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durability {
    /// The server's version.
    pub version: String,
    /// Whether it waits for its disk at all: `on` or `off`.
    pub fsync: String,
    /// What an append waits for, unless its connection says otherwise: `on`, `off`, and others in between.
    pub synchronous_commit: String,
}

/// Asks the server of a database. A file has none: it is as this program opens it.
pub async fn durability(database: &DatabaseUrl) -> Result<Option<Durability>, StoreError> {
    let DatabaseUrl::Postgres(options) = database else { return Ok(None) };
    let unusable = |error: sqlx::Error| unusable(options, explained(&error));
    let mut connection = connect(options, START).await.map_err(unusable)?;
    let settings = "select current_setting('server_version'), current_setting('fsync'),
         current_setting('synchronous_commit')";
    let row = sqlx::query(settings).fetch_one(&mut connection).await.map_err(unusable)?;
    // A courtesy: the server would notice by itself.
    let _ = connection.close().await;
    Ok(Some(Durability { version: row.get(0), fsync: row.get(1), synchronous_commit: row.get(2) }))
}
