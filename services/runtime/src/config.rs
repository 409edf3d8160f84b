//! Settings: the documented defaults, a file over them, the environment over both.
//!
//! `config/default.toml` is part of every binary, so one alone works, and it is the list of what exists: a key that does
//! not stand there is refused by name and by where it came from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Config, File, FileFormat, Map, Value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// Every setting with its default and a comment.
pub const DEFAULTS: &str = include_str!("../../../config/default.toml");

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was named is not there or not TOML.
    #[error("the settings file {file} cannot be read: {reason}")]
    Unreadable {
        /// Which file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A key that nobody knows, most often misspelt.
    #[error("unknown setting `{key}` in {place}; known here: {known}")]
    Unknown {
        /// Section and key.
        key: String,
        /// The file, or the environment variable.
        place: String,
        /// What would have been understood there.
        known: String,
    },
    /// A setting without a default that nobody gave.
    #[error("the setting `{key}` is not set: give it in a settings file, or as {variable}")]
    Unset {
        /// Section and key.
        key: String,
        /// The environment variable for it.
        variable: String,
    },
    /// A value that does not fit its setting.
    #[error("the setting `{section}` is not usable: {reason}")]
    Invalid {
        /// The section.
        section: String,
        /// Which key, and what is wrong with it.
        reason: String,
    },
}

/// All settings of a process, before its sections are read.
#[derive(Debug, Clone)]
pub struct Settings {
    sections: Map<String, Value>,
    /// Sections and keys that somebody has set.
    given: BTreeSet<(String, String)>,
}

/// Reads the defaults, then `file` (else the one named by `DAILIES_CONFIG`), then the environment.
pub fn load(file: Option<&Path>) -> Result<Settings, ConfigError> {
    let named = std::env::var_os("DAILIES_CONFIG").filter(|name| !name.is_empty()).map(PathBuf::from);
    let file = file.map(Path::to_path_buf).or(named);
    let text = match &file {
        Some(file) => Some(std::fs::read_to_string(file).map_err(|error| ConfigError::Unreadable {
            file: file.display().to_string(),
            reason: error.to_string(),
        })?),
        None => None,
    };
    let file = file.as_ref().map(|file| file.display().to_string());
    Settings::layered(file.as_deref().zip(text.as_deref()), std::env::vars())
}

impl Settings {
    /// One section as the struct that documents it.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, ConfigError> {
        let section = self.sections.get(name).cloned().unwrap_or_else(|| Value::from(Map::<String, Value>::new()));
        section.try_deserialize().map_err(|error| match error {
            config::ConfigError::NotFound(key) => ConfigError::Unset {
                variable: format!("DAILIES_{name}__{key}").to_uppercase(),
                key: format!("{name}.{key}"),
            },
            error => ConfigError::Invalid { section: name.to_owned(), reason: error.to_string() },
        })
    }

    /// Whether somebody has set it, to whatever value; else it is the default.
    pub fn is_given(&self, section: &str, key: &str) -> bool {
        self.given.contains(&(section.to_owned(), key.to_owned()))
    }

    /// Replaces one setting, as a flag of the command line does.
    pub fn set(&mut self, section: &str, key: &str, value: impl Into<Value>) {
        let mut table = match self.sections.remove(section).map(Value::into_table) {
            Some(Ok(table)) => table,
            _ => Map::new(),
        };
        table.insert(key.to_owned(), value.into());
        self.sections.insert(section.to_owned(), Value::from(table));
        self.given.insert((section.to_owned(), key.to_owned()));
    }

    /// The layers from given texts: (name, content) of the file, names and values of the environment.
    fn layered(
        file: Option<(&str, &str)>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut settings = Self { sections: tables("the defaults", DEFAULTS)?, given: BTreeSet::new() };
        let known: BTreeMap<String, Vec<String>> = settings
            .sections
            .iter()
            .map(|(name, section)| {
                let keys = section.clone().into_table().map(|keys| keys.into_keys().collect());
                let mut keys: Vec<String> = keys.unwrap_or_default();
                keys.sort_unstable();
                (name.clone(), keys)
            })
            .collect();

        let mut layer = |section: &str, key: &str, value: Value, place: &str| {
            let unknown = |key: String, known: String| ConfigError::Unknown { key, place: place.to_owned(), known };
            let Some(keys) = known.get(section) else {
                return Err(unknown(section.to_owned(), known.keys().cloned().collect::<Vec<_>>().join(", ")));
            };
            if !keys.iter().any(|known| known == key) {
                return Err(unknown(format!("{section}.{key}"), keys.join(", ")));
            }
            settings.set(section, key, value);
            Ok(())
        };
        if let Some((name, text)) = file {
            for (section, keys) in tables(name, text)? {
                let keys = keys.into_table().map_err(|_| ConfigError::Unknown {
                    key: section.clone(),
                    place: name.to_owned(),
                    known: format!("sections only ({})", known.keys().cloned().collect::<Vec<_>>().join(", ")),
                })?;
                for (key, value) in keys {
                    layer(&section, &key, value, name)?;
                }
            }
        }
        for (name, value) in environment {
            // Variables without two underscores (DAILIES_CONFIG) mean something else.
            let setting = name.strip_prefix("DAILIES_").and_then(|rest| rest.split_once("__"));
            if let Some((section, key)) = setting {
                let place = format!("the environment ({name})");
                layer(&section.to_lowercase(), &key.to_lowercase(), Value::from(value), &place)?;
            }
        }
        settings.drop_empty();
        Ok(settings)
    }

    /// An empty text means "not set".
    fn drop_empty(&mut self) {
        for section in self.sections.values_mut() {
            if let config::ValueKind::Table(keys) = &mut section.kind {
                keys.retain(|_, value| !matches!(&value.kind, config::ValueKind::String(text) if text.is_empty()));
            }
        }
    }
}

fn tables(name: &str, text: &str) -> Result<Map<String, Value>, ConfigError> {
    Config::builder()
        .add_source(File::from_str(text, FileFormat::Toml))
        .build()
        .and_then(|config| config.cache.into_table())
        .map_err(|error| ConfigError::Unreadable { file: name.to_owned(), reason: error.to_string() })
}

/// A setting in seconds as a duration; zero and fractions are fine.
pub fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::NatsSettings;

    fn from(file: &str, environment: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::layered(Some(("dailies.toml", file)), environment)
    }

    #[test]
    fn the_documented_defaults_are_those_of_the_code() {
        let nats: NatsSettings = from("", &[]).and_then(|s| s.section("nats")).expect("the defaults are valid");
        assert_eq!(format!("{nats:?}"), format!("{:?}", NatsSettings::default()));
    }

    #[test]
    fn the_environment_goes_over_the_file_and_the_file_over_the_defaults() {
        let file = "[nats]\nreplicas = 3\nstorage_mib = 10\n";
        let environment = [("DAILIES_NATS__REPLICAS", "5"), ("DAILIES_CONFIG", "x"), ("HOME", "/")];
        let nats: NatsSettings = from(file, &environment).and_then(|s| s.section("nats")).expect("all are known");
        assert_eq!((nats.replicas, nats.storage_mib), (5, 10));
    }

    #[test]
    fn what_somebody_has_set_is_told_from_a_default_of_the_same_value() {
        let in_the_file = from("[worker]\nconcurrency = 2\n", &[]).expect("a known key");
        let in_the_environment = from("", &[("DAILIES_WORKER__CONCURRENCY", "2")]).expect("a known key");
        for settings in [in_the_file, in_the_environment] {
            assert!(settings.is_given("worker", "concurrency") && !settings.is_given("worker", "grace_s"));
        }
        assert!(!from("", &[]).expect("the defaults are valid").is_given("worker", "concurrency"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_name_and_place() {
        let error = from("[nats]\nreplica = 3\n", &[]).expect_err("misspelt").to_string();
        assert!(error.contains("`nats.replica`") && error.contains("dailies.toml"), "{error}");
        assert!(error.contains("replicas"), "{error}");
        let error = from("", &[("DAILIES_WORKERS__CONCURRENCY", "3")]).expect_err("misspelt").to_string();
        assert!(error.contains("`workers`") && error.contains("DAILIES_WORKERS__CONCURRENCY"), "{error}");
        let error = from("nats = 3\n", &[]).expect_err("not a section").to_string();
        assert!(error.contains("`nats`"), "{error}");
    }

    #[test]
    fn a_value_that_does_not_fit_names_its_key() {
        let settings = from("[nats]\nreplicas = \"many\"\n", &[]).expect("known keys");
        let error = settings.section::<NatsSettings>("nats").expect_err("not a number").to_string();
        assert!(error.contains("nats") && error.contains("replicas"), "{error}");
    }

    #[test]
    fn a_setting_that_is_needed_and_empty_is_named_with_its_variable() {
        let settings = from("", &[]).expect("the defaults are valid");
        let error = settings.section::<crate::artifacts::s3::S3Settings>("objects").expect_err("no key").to_string();
        assert!(error.contains("`objects.access_key_id`"), "{error}");
        assert!(error.contains("DAILIES_OBJECTS__ACCESS_KEY_ID"), "{error}");
    }

    #[test]
    fn the_development_file_sets_only_what_exists() {
        let file = include_str!("../../../config/development.toml");
        let settings = from(file, &[]).expect("its keys are known");
        settings.section::<NatsSettings>("nats").expect("its values fit");
        settings.section::<crate::worker::WorkerSettings>("worker").expect("its values fit");
        settings.section::<crate::telemetry::LogSettings>("log").expect("its values fit");
    }

    #[test]
    fn secrets_of_digits_stay_as_they_were_written() {
        let settings = from("", &[("DAILIES_OBJECTS__SECRET_ACCESS_KEY", "00123")]).expect("known key");
        let secret = settings.sections["objects"].clone().into_table().expect("a section")["secret_access_key"].clone();
        assert_eq!(secret.into_string().expect("a text"), "00123");
    }
}
