//! Services as processes of their own: started from the programs beside this one, logged into files, stopped when asked
//! and gone when we are.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

/// Those that make films together, each a program of the workspace, in the order in which they start: whoever is asked
/// before whoever asks.
pub const SERVICES: [&str; 6] = ["coordinator", "gateway", "planner", "storyboard", "chunk", "refine"];

/// Programs that run.
#[derive(Debug)]
pub struct Processes {
    logs: PathBuf,
    running: Vec<Process>,
}

/// One of them.
#[derive(Debug)]
pub struct Process {
    /// The service's name.
    pub service: &'static str,
    /// Which replica, from 1.
    pub replica: usize,
    child: Child,
}

/// Why a process does not start.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The programs were not built.
    #[error("{missing} not built beside this program: cargo build --workspace --bins")]
    NotBuilt {
        /// Which ones.
        missing: String,
    },
    /// Its log cannot be written.
    #[error("the log {} cannot be written", path.display())]
    Log {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The system does not start it.
    #[error("{service} does not start")]
    Start {
        /// Which one.
        service: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Processes {
    /// None yet, with logs in a folder.
    pub fn new(logs: PathBuf) -> Self {
        Self { logs, running: Vec::new() }
    }

    /// Starts the program of a service.
    pub fn start(
        &mut self,
        service: &'static str,
        replica: usize,
        environment: &[(String, String)],
    ) -> Result<(), ProcessError> {
        let program = program(service).map_err(|source| ProcessError::Start { service, source })?;
        self.start_program(service, replica, Command::new(program), environment)
    }

    /// Starts any program as a service, with nothing of this process's environment that would lead it elsewhere.
    pub fn start_program(
        &mut self,
        service: &'static str,
        replica: usize,
        mut command: Command,
        environment: &[(String, String)],
    ) -> Result<(), ProcessError> {
        let log = self.log(service, replica);
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log);
        let file = file.map_err(|source| ProcessError::Log { path: log, source })?;
        for (name, _) in std::env::vars_os().filter(|(name, _)| leads_elsewhere(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        runtime::child::end_with_us(&mut command);
        let child = command.spawn().map_err(|source| ProcessError::Start { service, source })?;
        self.running.push(Process { service, replica, child });
        Ok(())
    }

    /// Those that run, with the number that the system knows them by.
    pub fn running(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.running.iter().filter_map(|process| Some((process.service, process.child.id()?)))
    }

    /// Where a replica says what it does.
    pub fn log(&self, service: &str, replica: usize) -> PathBuf {
        self.logs.join(format!("{service}-{replica}.log"))
    }

    /// Waits until one ends, and says which and how. It is none of ours any more.
    pub async fn ended(&mut self) -> (Process, String) {
        if self.running.is_empty() {
            return std::future::pending().await;
        }
        let waiting = self.running.iter_mut().map(|process| Box::pin(process.child.wait()));
        let (status, index, _) = futures::future::select_all(waiting).await;
        let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        (self.running.swap_remove(index), how)
    }

    /// Asks those of some services to stop, all at once, and waits for them; who is late is killed.
    pub async fn stop(&mut self, services: &[&str], patience: Duration) {
        let asked: Vec<_> = self.running.extract_if(.., |process| services.contains(&process.service)).collect();
        for process in &asked {
            if let Some(pid) = process.child.id().and_then(|pid| i32::try_from(pid).ok()) {
                // It may have ended by itself.
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
        let stopping = asked.into_iter().map(|mut process| async move {
            if tokio::time::timeout(patience, process.child.wait()).await.is_err() {
                let (service, replica) = (process.service, process.replica);
                tracing::warn!(service, replica, "does not stop when asked and is killed");
                if let Err(error) = process.child.kill().await {
                    tracing::error!(error = %error, service, "could not be killed");
                }
            }
        });
        futures::future::join_all(stopping).await;
    }
}

/// Settings of places. What else the caller has set (how many jobs at a time, which ffmpeg, whose keys open the gateway)
/// holds for all.
fn leads_elsewhere(variable: &str) -> bool {
    variable == "DAILIES_GATEWAY__ADDRESS"
        || ["NATS_", "DAILIES_NATS__", "DAILIES_OBJECTS__"].iter().any(|start| variable.starts_with(start))
}

/// Whether all services were built.
pub fn check_built() -> Result<(), ProcessError> {
    let built = |service: &&str| program(service).is_ok_and(|program| program.is_file());
    let missing: Vec<_> = SERVICES.into_iter().filter(|service| !built(service)).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(ProcessError::NotBuilt { missing: missing.join(", ") }),
    }
}

/// The program of a service.
pub fn program(service: &str) -> std::io::Result<PathBuf> {
    std::env::current_exe().map(|here| here.with_file_name(service))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_not_handed_on_and_whatever_else_was_set_is() {
        for place in ["NATS_URL", "DAILIES_NATS__URL", "DAILIES_OBJECTS__ENDPOINT", "DAILIES_GATEWAY__ADDRESS"] {
            assert!(leads_elsewhere(place), "{place}");
        }
        for other in ["DAILIES_GATEWAY__KEYS", "DAILIES_GATEWAY__PUBLIC_ORIGINS", "DAILIES_WORKER__CONCURRENCY", "PATH"]
        {
            assert!(!leads_elsewhere(other), "{other}");
        }
    }
}
