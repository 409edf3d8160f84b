//! How to reach NATS: our settings, the CLI's environment variables, and the CLI's contexts (ADR-21).

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::secret::Secret;

/// Section `[nats]`. What is empty is looked up in the context, then in `NATS_URL` and `NATS_CREDS`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatsSettings {
    /// One URL, or several with commas between; credentials in it are fine and never shown.
    #[serde(default)]
    pub url: Secret,
    /// The name of a context of the `nats` CLI; else `NATS_CONTEXT`.
    #[serde(default)]
    pub context: String,
    /// A credentials file.
    #[serde(default)]
    pub creds: PathBuf,
    /// What the subjects of answers begin with, where users may hear only their own; else the context's.
    #[serde(default)]
    pub inbox_prefix: String,
    /// How long a start waits for a server, in seconds.
    #[serde(rename = "connect_timeout_s", deserialize_with = "crate::config::seconds")]
    pub connect_timeout: Duration,
    /// Copies of every stream: 1, 3 or 5.
    pub replicas: usize,
    /// How much disk the streams may take together, in MiB; the server reserves it.
    pub storage_mib: u32,
    /// Whether the environment and the CLI's context are left alone: our own child is nobody else's server.
    #[serde(skip)]
    pub only_url: bool,
}

impl Default for NatsSettings {
    /// What `config/default.toml` says.
    fn default() -> Self {
        Self {
            url: Secret::default(),
            context: String::new(),
            creds: PathBuf::new(),
            inbox_prefix: String::new(),
            connect_timeout: Duration::from_secs(10),
            replicas: 1,
            storage_mib: 1024,
            only_url: false,
        }
    }
}

impl NatsSettings {
    /// The settings for one known server, whatever the environment says.
    pub fn for_url(url: &str) -> Self {
        Self { url: Secret::new(url), only_url: true, ..Self::default() }
    }

    /// Where to connect and as whom, with the environment and the context looked up.
    pub(super) fn resolve(&self) -> Result<Access, ContextError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !self.only_url && !value.is_empty());
        let name = Some(self.context.clone()).filter(|name| !name.is_empty()).or_else(|| variable("NATS_CONTEXT"));
        let context = match name {
            Some(name) => Context::read(&name)?,
            None => Context::default(),
        };
        let first = |candidates: [Option<String>; 3]| candidates.into_iter().flatten().find(|text| !text.is_empty());
        let own_creds = self.creds.to_str().map(str::to_owned);
        Ok(Access {
            urls: first([Some(self.url.expose().to_owned()), variable("NATS_URL"), Some(context.url)])
                .unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned())
                .split(',')
                .map(|url| Secret::new(url.trim()))
                .filter(|url| !url.expose().is_empty())
                .collect(),
            creds: first([own_creds, variable("NATS_CREDS"), Some(context.creds)]).map(PathBuf::from),
            nkey: some_path(context.nkey),
            user: some(context.user),
            password: context.password,
            token: context.token,
            ca: some_path(context.ca),
            certificate: some_path(context.cert).zip(some_path(context.key)),
            inbox_prefix: some(self.inbox_prefix.clone()).or_else(|| some(context.inbox_prefix)),
            domain: some(context.jetstream_domain),
        })
    }
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn some_path(text: String) -> Option<PathBuf> {
    some(text).map(PathBuf::from)
}

/// Where to connect and as whom.
#[derive(Debug)]
pub(super) struct Access {
    pub urls: Vec<Secret>,
    pub creds: Option<PathBuf>,
    pub nkey: Option<PathBuf>,
    pub user: Option<String>,
    pub password: Secret,
    pub token: Secret,
    pub ca: Option<PathBuf>,
    pub certificate: Option<(PathBuf, PathBuf)>,
    pub inbox_prefix: Option<String>,
    pub domain: Option<String>,
}

impl Access {
    /// The addresses without what may stand before their `@`.
    pub fn shown(&self) -> String {
        let hide = |url: &str| match url.rsplit_once('@') {
            Some((before, host)) => {
                let scheme = before.split_once("://").map(|(scheme, _)| format!("{scheme}://")).unwrap_or_default();
                format!("{scheme}{host}")
            }
            None => url.to_owned(),
        };
        self.urls.iter().map(|url| hide(url.expose())).collect::<Vec<_>>().join(", ")
    }
}

/// Why a context cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// There is no such file.
    #[error("there is no NATS context `{name}`: `nats context ls` lists them, they live in {folder}")]
    Missing {
        /// The name that was asked for.
        name: String,
        /// Where contexts live.
        folder: String,
    },
    /// The file is not a context.
    #[error("the NATS context `{name}` cannot be read: {reason}")]
    Unreadable {
        /// The name that was asked for.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The fields of a context file that we know; the others do not matter to a service.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Context {
    url: String,
    token: Secret,
    user: String,
    password: Secret,
    creds: String,
    nkey: String,
    cert: String,
    key: String,
    ca: String,
    inbox_prefix: String,
    jetstream_domain: String,
}

impl Context {
    /// The context of a name, from where the CLI keeps them.
    fn read(name: &str) -> Result<Self, ContextError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let home = variable("HOME").or_else(|| variable("USERPROFILE")).map(PathBuf::from).unwrap_or_default();
        let settings = variable("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
        Self::read_from(&settings.join("nats").join("context"), &home, name)
    }

    fn read_from(folder: &Path, home: &Path, name: &str) -> Result<Self, ContextError> {
        let missing = || ContextError::Missing { name: name.to_owned(), folder: folder.display().to_string() };
        let unreadable = |reason: String| ContextError::Unreadable { name: name.to_owned(), reason };
        // A name is one file in the folder, never a way out of it.
        if name.contains(['/', '\\']) || name.contains("..") {
            return Err(missing());
        }
        let text =
            std::fs::read_to_string(folder.join(format!("{name}.json"))).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => missing(),
                _ => unreadable(error.to_string()),
            })?;
        let mut context: Self = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        for path in [&mut context.creds, &mut context.nkey, &mut context.cert, &mut context.key, &mut context.ca] {
            if let Some(rest) = path.strip_prefix("~/") {
                *path = home.join(rest).display().to_string();
            }
        }
        Ok(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_urls_is_split_and_shown_without_credentials() {
        let settings = NatsSettings::for_url("nats://me:hunter2@a:4222, b:4222 ,");
        let access = settings.resolve().expect("no context is named");
        assert_eq!(access.urls.len(), 2);
        assert_eq!(access.shown(), "nats://a:4222, b:4222");
        assert!(!format!("{settings:?} {access:?}").contains("hunter2"));
    }

    #[test]
    fn a_context_that_does_not_exist_is_named() {
        let settings = NatsSettings { context: "no-such-context".into(), ..NatsSettings::default() };
        let error = settings.resolve().expect_err("nobody has such a context").to_string();
        assert!(error.contains("no-such-context") && error.contains("nats context ls"), "{error}");
        let error = Context::read("../../secret").expect_err("a path is no name").to_string();
        assert!(error.contains("there is no NATS context"), "{error}");
    }

    #[test]
    fn a_context_of_the_cli_is_read_with_what_stands_beside_our_fields() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = r#"{"description": "prod", "url": "nats://a:4222,nats://b:4222", "user": "me", "password": "hunter2",
            "creds": "~/me.creds", "nsc": "", "jetstream_domain": "hub", "inbox_prefix": "_INBOX.me"}"#;
        std::fs::write(folder.path().join("prod.json"), text).expect("written");
        let context = Context::read_from(folder.path(), Path::new("/home/me"), "prod").expect("a context");
        assert_eq!((context.url.as_str(), context.user.as_str()), ("nats://a:4222,nats://b:4222", "me"));
        assert_eq!((context.creds.as_str(), context.jetstream_domain.as_str()), ("/home/me/me.creds", "hub"));
        assert!(!format!("{context:?}").contains("hunter2"));
    }
}
