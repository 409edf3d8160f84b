//! Which version of the tables a database has, and which this program needs.

use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migrator};

pub(super) static SQLITE: Migrator = sqlx::migrate!("../../migrations/sqlite");
pub(super) static POSTGRES: Migrator = sqlx::migrate!("../../migrations/postgres");

/// What was done to a database so that its tables are those of this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// Which one, without credentials.
    pub database: String,
    /// Its version before; none when it was empty.
    pub from: Option<i64>,
    /// Its version now.
    pub to: i64,
}

impl std::fmt::Display for Migrated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { database, from, to } = self;
        match from {
            None => write!(f, "{database} was empty and is at version {to} now"),
            Some(from) if from == to => write!(f, "{database} is at version {to}, as this program needs it"),
            Some(from) => write!(f, "{database} was at version {from} and is at version {to} now"),
        }
    }
}

/// How the tables of a database compare with those that this program needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Current,
    /// Migrations are missing; none means that there are no tables at all.
    Behind(Option<i64>),
}

/// Brings a database up to date, if it is one of ours and not newer than this program. Two at once do no harm on PostgreSQL,
/// which takes a lock for it; on SQLite the connection is to hold the file's write lock.
pub(super) async fn migrate(
    connection: &mut impl Migrate,
    migrator: &Migrator,
    database: &str,
) -> Result<Migrated, String> {
    let before = standing(connection, migrator).await?;
    let to = newest(migrator);
    let from = match before {
        Standing::Current => return Ok(Migrated { database: database.to_owned(), from: Some(to), to }),
        Standing::Behind(from) => from,
    };
    migrator.run_direct(None, connection, false).await.map_err(|error| error.to_string())?;
    Ok(Migrated { database: database.to_owned(), from, to })
}

/// Whether this program can work on a database as it is; else a sentence that says what to do.
pub(super) async fn check(connection: &mut impl Migrate, migrator: &Migrator) -> Result<(), String> {
    let needed = newest(migrator);
    match standing(connection, migrator).await? {
        Standing::Current => Ok(()),
        Standing::Behind(None) => {
            Err(format!("it has no tables yet, and this program needs version {needed} of them: run `dailies migrate`"))
        }
        Standing::Behind(Some(version)) => Err(format!(
            "its tables are at version {version}, and this program needs version {needed}: run `dailies migrate`"
        )),
    }
}

async fn standing(connection: &mut impl Migrate, migrator: &Migrator) -> Result<Standing, String> {
    let applied = match connection.list_applied_migrations(&migrator.table_name).await {
        Ok(applied) => applied,
        // Nothing was ever migrated here.
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) if is_no_such_table(&error) => {
            return Ok(Standing::Behind(None));
        }
        Err(error) => return Err(error.to_string()),
    };
    judge(&applied, migrator)
}

fn judge(applied: &[AppliedMigration], migrator: &Migrator) -> Result<Standing, String> {
    let needed = newest(migrator);
    let Some(version) = applied.iter().map(|migration| migration.version).max() else {
        return Ok(Standing::Behind(None));
    };
    if version > needed {
        return Err(format!(
            "its tables are at version {version}, made by a newer program; this one knows only version {needed}: run the newer program"
        ));
    }
    for migration in applied {
        let ours = migrator.iter().find(|known| known.version == migration.version);
        if ours.is_none_or(|known| known.checksum != migration.checksum) {
            let version = migration.version;
            return Err(format!(
                "version {version} of its tables is not that of this program: another program made it"
            ));
        }
    }
    let missing = migrator.iter().any(|known| applied.iter().all(|migration| migration.version != known.version));
    Ok(if missing { Standing::Behind(Some(version)) } else { Standing::Current })
}

fn newest(migrator: &Migrator) -> i64 {
    migrator.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// PostgreSQL has a code for it, SQLite a sentence.
fn is_no_such_table(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table")
}

#[cfg(test)]
mod tests {
    use sqlx::migrate::{Migration, MigrationType};
    use sqlx::{Connection as _, SqlSafeStr as _, SqliteConnection};

    use super::*;

    fn program(steps: &[(i64, &'static str)]) -> Migrator {
        let step = |(version, sql): &(i64, &'static str)| {
            Migration::new(*version, "a step".into(), MigrationType::Simple, sql.into_sql_str(), false)
        };
        Migrator::with_migrations(steps.iter().map(step).collect())
    }

    const FIRST: (i64, &str) = (1, "create table film (id text)");
    const SECOND: (i64, &str) = (2, "create table reel (id text)");

    #[tokio::test]
    async fn a_program_works_with_its_own_version_and_names_both_where_they_differ() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.expect("it opens");
        let (older, newer) = (program(&[FIRST]), program(&[FIRST, SECOND]));
        let empty = check(&mut connection, &older).await.expect_err("it is empty");
        assert!(empty.contains("no tables yet") && empty.contains("version 1"), "{empty}");

        let first = migrate(&mut connection, &older, "films").await.expect("it is migrated");
        assert_eq!(first.to_string(), "films was empty and is at version 1 now");
        assert_eq!(check(&mut connection, &older).await, Ok(()));
        let behind = check(&mut connection, &newer).await.expect_err("it lacks a step");
        assert_eq!(behind, "its tables are at version 1, and this program needs version 2: run `dailies migrate`");

        let second = migrate(&mut connection, &newer, "films").await.expect("it is migrated");
        assert_eq!(second.to_string(), "films was at version 1 and is at version 2 now");
        for ahead in [check(&mut connection, &older).await, migrate(&mut connection, &older, "films").await.map(drop)] {
            let ahead = ahead.expect_err("it is newer");
            assert!(ahead.contains("at version 2") && ahead.contains("knows only version 1"), "{ahead}");
        }
        let other = check(&mut connection, &program(&[FIRST, (2, "create table frame (id text)")])).await;
        assert!(other.expect_err("it is another's").contains("another program made it"));
    }
}
