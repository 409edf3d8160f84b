//! The coordinator's settings.

use std::path::PathBuf;

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
