//! The log: one subscriber for the process, for people on a terminal and for machines elsewhere.

use std::io::IsTerminal as _;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// How the log looks: section `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// What is logged: a level, or directives like `info,async_nats=warn`. `RUST_LOG` goes before it.
    pub level: String,
    /// Lines for people or for machines.
    pub format: LogFormat,
}

/// Lines for people or for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people on a terminal, else for machines.
    Auto,
    /// One readable line each.
    Human,
    /// One JSON object each.
    Json,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
#[error("log.level `{level}` is not a level (error, warn, info, debug, trace) or a list of directives: {reason}")]
pub struct TelemetryError {
    level: String,
    reason: String,
}

/// Sends what this process logs to standard error. The first call in a process wins: tests and `dailies up` may start
/// several services in one.
pub fn init(settings: &LogSettings) -> Result<(), TelemetryError> {
    let level = std::env::var("RUST_LOG").ok().filter(|level| !level.is_empty());
    let level = level.unwrap_or_else(|| settings.level.clone());
    let filter = EnvFilter::try_new(&level)
        .map_err(|error| TelemetryError { level: level.clone(), reason: error.to_string() })?;
    let human = match settings.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let first = if human {
        lines.with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()).try_init()
    } else {
        lines.json().flatten_event(true).try_init()
    };
    if first.is_err() {
        tracing::debug!("the log was set up before");
    }
    Ok(())
}
