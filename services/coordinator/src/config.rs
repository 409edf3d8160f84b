//! The coordinator's settings.

use std::path::PathBuf;
use std::time::Duration;

use messages::catalogue::{Catalogue, CatalogueError};
use serde::Deserialize;

/// The section `[coordinator]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `sqlite:PATH`: where the journal is.
    pub database: String,
    /// A file with `[[models]]` instead of the shipped one; empty means the shipped one.
    #[serde(default)]
    pub models: PathBuf,
    /// A file with `[[beats]]` and `[[archetypes]]` instead of the shipped one; empty means the shipped one.
    #[serde(default)]
    pub library: PathBuf,
    /// Whether what was abandoned is collected at all.
    pub collect_abandoned: bool,
    /// How many days it is kept until then; 0 means not at all.
    pub keep_abandoned_days: u16,
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
