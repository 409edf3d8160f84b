//! `dailies migrate`: brings the database that the settings name up to date, and says what it did.
//!
//! Coordinators on PostgreSQL never do this by themselves: which version a cluster is at is an operator's decision.

use coordinator::config::DatabaseUrl;
use coordinator::store::StoreError;
use runtime::config::{ConfigError, Settings};

use crate::arguments::Migrate;
use crate::screen::Screen;

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The settings name no database.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database is not usable.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Migrates and prints what was done. Twice, or by two at once, does no harm.
pub async fn migrate(arguments: &Migrate, mut settings: Settings) -> Result<(), MigrateError> {
    if let Some(database) = &arguments.database {
        settings.set("coordinator", "database", database.as_str());
    }
    let database: DatabaseUrl = settings.section::<coordinator::config::Settings>("coordinator")?.database;
    let migrated = coordinator::store::migrate(&database).await?;
    Screen::stdout().print(&migrated.to_string());
    Ok(())
}
