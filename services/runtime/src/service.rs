//! A process from start to exit: settings, log, run until asked to stop, drain, exit code.

mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::config::{ConfigError, Settings};

pub use worker::{Tools, run_worker};

/// What every binary understands.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    /// NATS server, or several with commas between
    #[arg(long, value_name = "URL")]
    pub nats: Option<String>,
    /// Context of the nats CLI
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Settings file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Flags {
    /// All settings, with the flags over them.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        let mut settings = crate::config::load(self.config.as_deref())?;
        if let Some(nats) = &self.nats {
            settings.set("nats", "url", nats.as_str());
        }
        if let Some(context) = &self.context {
            settings.set("nats", "context", context.as_str());
        }
        Ok(settings)
    }
}

/// Fires at the first SIGINT or SIGTERM. A second one ends the process at once.
pub fn shutdown_on_signals() -> std::io::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = CancellationToken::new();
    let asked = shutdown.clone();
    tokio::spawn(async move {
        for again in [false, true] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if again {
                tracing::warn!("asked to stop again, stopping at once");
                std::process::exit(130);
            }
            tracing::info!("asked to stop");
            asked.cancel();
        }
    });
    Ok(shutdown)
}

/// Lets this process open as many files as it may at all: every client is one, and systems begin with few. Where that cannot
/// be had, there are as many as there were.
pub fn open_many_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(now, most)| {
        // Some systems name a limit that they then do not give.
        let wanted = most.min(1 << 20);
        if now < wanted { setrlimit(Resource::RLIMIT_NOFILE, wanted, most) } else { Ok(()) }
    });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Runs `main` on a runtime of its own until it ends, by itself or because a signal asked for it, and says on standard
/// error in one sentence why it failed.
pub fn run<F, E>(main: impl FnOnce(CancellationToken) -> F) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: std::error::Error,
{
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let outcome = runtime.block_on(async {
        match shutdown_on_signals() {
            Ok(shutdown) => main(shutdown).await.map_err(|error| sentence(&error)),
            Err(error) => Err(sentence(&error)),
        }
    });
    // What still runs belongs to nobody; a blocked thread must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => complain(&reason),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    complain(&sentence(error))
}

#[expect(clippy::print_stderr, reason = "the log may be off or not there yet, and this is the last thing said")]
fn complain(reason: &str) -> ExitCode {
    eprintln!("error: {reason}");
    ExitCode::FAILURE
}

/// An error with its causes, as one sentence.
pub fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
