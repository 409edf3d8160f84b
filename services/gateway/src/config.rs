//! Settings of the gateway: section `[gateway]`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::access::Origin;

/// How the gateway serves. Every setting may be left out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where it listens. Without keys only loopback addresses are served.
    pub address: SocketAddr,
    /// The file with the API keys that open it, made by `dailies key`; none means that whoever sits at this machine may ask.
    pub keys: Option<PathBuf>,
    /// Origins of proxies in front of it, with commas between: `https://films.example.org`.
    #[serde(deserialize_with = "origins")]
    pub public_origins: Vec<Origin>,
    /// How long a command's outcome is waited for before it is answered as `stored`, in seconds.
    #[serde(rename = "answer_timeout_s", deserialize_with = "runtime::config::seconds")]
    pub answer_timeout: Duration,
    /// How long a query's answer is waited for, in seconds.
    #[serde(rename = "query_timeout_s", deserialize_with = "runtime::config::seconds")]
    pub query_timeout: Duration,
    /// How long a signed link to an artifact is valid, in seconds.
    #[serde(rename = "link_lifetime_s", deserialize_with = "runtime::config::seconds")]
    pub link_lifetime: Duration,
    /// How often a silent event stream says that it lives, in seconds.
    #[serde(rename = "heartbeat_s", deserialize_with = "runtime::config::seconds")]
    pub heartbeat: Duration,
    /// How many uploads are received at a time.
    pub upload_slots: NonZeroUsize,
    /// How long an upload waits for its turn before it is refused, in seconds.
    #[serde(rename = "upload_wait_s", deserialize_with = "runtime::config::seconds")]
    pub upload_wait: Duration,
    /// Where a file is kept while it is received; the system's folder for such files when not set.
    pub scratch: Option<PathBuf>,
    /// A folder with `models.toml` and `library.toml`, instead of the catalogue that ships with the program.
    pub catalogue: Option<PathBuf>,
}

impl Settings {
    /// Where a file is kept while it is received.
    pub fn scratch_folder(&self) -> PathBuf {
        self.scratch.clone().unwrap_or_else(std::env::temp_dir)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            keys: None,
            public_origins: Vec::new(),
            answer_timeout: Duration::from_secs(5),
            query_timeout: Duration::from_secs(3),
            link_lifetime: Duration::from_secs(3600),
            heartbeat: Duration::from_secs(15),
            upload_slots: NonZeroUsize::new(4).unwrap_or(NonZeroUsize::MIN),
            upload_wait: Duration::from_secs(20),
            scratch: None,
            catalogue: None,
        }
    }
}

/// One text, so that an environment variable can hold it too.
fn origins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Origin>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let named = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
    named.map(|origin| Origin::try_from(origin.to_owned()).map_err(serde::de::Error::custom)).collect()
}
