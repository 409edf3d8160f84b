//! Settings of the gateway: section `[gateway]`.

use std::net::SocketAddr;
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
    /// A folder with `models.toml` and `library.toml`, instead of the catalogue that ships with the program.
    pub catalogue: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_origins: Vec::new(),
            answer_timeout: Duration::from_secs(5),
            query_timeout: Duration::from_secs(3),
            link_lifetime: Duration::from_secs(3600),
            heartbeat: Duration::from_secs(15),
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
