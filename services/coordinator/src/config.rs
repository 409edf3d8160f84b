//! The coordinator's settings.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use messages::catalogue::{Catalogue, CatalogueError};
use serde::Deserialize;
use sqlx::postgres::PgConnectOptions;

use crate::dispatcher::Quotas;

/// The section `[coordinator]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the journal is.
    pub database: DatabaseUrl,
    /// Whether no other coordinator can be alive on it: then nobody waits for the leases of dead ones. No setting, but
    /// something that whoever holds a lock knows.
    #[serde(skip)]
    pub alone: bool,
    /// A file with `[[models]]` instead of the shipped one; empty means the shipped one.
    #[serde(default)]
    pub models: PathBuf,
    /// A file with `[[beats]]` and `[[archetypes]]` instead of the shipped one; empty means the shipped one.
    #[serde(default)]
    pub library: PathBuf,
    /// The most jobs of one video that are sent and have not ended.
    pub jobs_per_video: NonZeroUsize,
    /// The same of one user.
    pub jobs_per_user: NonZeroUsize,
    /// The same of one service.
    pub jobs_per_service: NonZeroUsize,
    /// Whether what was abandoned is collected at all.
    pub collect_abandoned: bool,
    /// How many days it is kept until then; 0 means not at all.
    pub keep_abandoned_days: u16,
}

/// `sqlite:PATH` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`. The password shows nowhere: this is no text any more.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub enum DatabaseUrl {
    /// A file, for one replica.
    Sqlite(PathBuf),
    /// A server, for any number of them.
    Postgres(Box<PgConnectOptions>),
}

/// A database that is named as none is. Says nothing of what was written: there may be a password in it.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseUrlError {
    /// It is neither of the two.
    #[error("`database` must be sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    Unknown,
    /// Its parts make no sense.
    #[error("`database` is not a PostgreSQL URL: {0}")]
    Postgres(String),
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlError> {
        if let Some(file) = text.strip_prefix("sqlite:").filter(|file| !file.is_empty()) {
            return Ok(Self::Sqlite(file.into()));
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(DatabaseUrlError::Unknown);
        }
        let parsed = text.parse().map_err(|error: sqlx::Error| DatabaseUrlError::Postgres(error.to_string()));
        Ok(Self::Postgres(Box::new(parsed?)))
    }
}

impl TryFrom<String> for DatabaseUrl {
    type Error = DatabaseUrlError;

    fn try_from(text: String) -> Result<Self, DatabaseUrlError> {
        text.parse()
    }
}

/// Which one it is, without credentials.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => write!(f, "sqlite:{}", file.display()),
            Self::Postgres(options) => {
                let (port, name) = (options.get_port(), options.get_database().unwrap_or(options.get_username()));
                match options.get_socket() {
                    Some(folder) => write!(f, "postgres://{}:{port}/{name}", folder.display()),
                    None => write!(f, "postgres://{}:{port}/{name}", options.get_host()),
                }
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why the catalogue's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file that was named cannot be read.
    #[error("the catalogue file {} cannot be read", file.display())]
    Unreadable {
        /// Which one.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// They are wrong.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

impl Settings {
    /// How many jobs may be under way.
    pub const fn quotas(&self) -> Quotas {
        Quotas {
            video: self.jobs_per_video.get(),
            user: self.jobs_per_user.get(),
            service: self.jobs_per_service.get(),
        }
    }

    /// How long what was abandoned is kept; none means for ever.
    pub fn keep_abandoned(&self) -> Option<Duration> {
        let days = Duration::from_secs(u64::from(self.keep_abandoned_days) * 24 * 60 * 60);
        Some(days).filter(|_| self.collect_abandoned)
    }

    /// The catalogue for new videos.
    pub fn catalogue(&self) -> Result<Catalogue, FilesError> {
        let text = |file: &PathBuf, shipped: &str| match file.as_os_str().is_empty() {
            true => Ok(shipped.to_owned()),
            false => {
                std::fs::read_to_string(file).map_err(|source| FilesError::Unreadable { file: file.clone(), source })
            }
        };
        let models = text(&self.models, messages::catalogue::SHIPPED_MODELS)?;
        let library = text(&self.library, messages::catalogue::SHIPPED_LIBRARY)?;
        Ok(Catalogue::from_toml(&models, &library)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match text.parse::<DatabaseUrl>() {
            Ok(url) => format!("{url} {url:?}"),
            Err(error) => format!("{error} {error:?}"),
        }
    }

    #[test]
    fn a_database_is_shown_without_its_credentials() {
        assert_eq!(shown("sqlite:journal.db"), "sqlite:journal.db sqlite:journal.db");
        for url in [
            "postgres://anna:hunter2@db.example.org:6432/films?sslmode=require",
            "postgresql://anna@db.example.org:6432/films?password=hunter2",
        ] {
            let shown = shown(url);
            assert!(shown.starts_with("postgres://db.example.org:6432/films "), "{shown}");
            assert!(!shown.contains("hunter2") && !shown.contains("anna"), "{shown}");
        }
        let socket = shown("postgres://anna:hunter2@localhost/films?host=%2Frun%2Fpostgresql");
        assert!(socket.starts_with("postgres:///run/postgresql:5432/films "), "{socket}");
    }

    #[test]
    fn what_names_no_database_is_refused_without_repeating_it() {
        for text in ["", "sqlite:", "mysql://anna:hunter2@x/y", "anna:hunter2", "postgres://anna:hunter2@x:port/y"] {
            let refusal = shown(text);
            assert!(refusal.contains("`database`"), "{refusal}");
            assert!(!refusal.contains("hunter2"), "{refusal}");
        }
    }
}
