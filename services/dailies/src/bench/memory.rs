//! Peak memory of each service, measured where it can be told apart: in processes of their own.
//!
//! The binaries are those beside this program. Each service's own peak is read when the film is there; what `ffmpeg`
//! takes is a process of its own and does not count, as the target says. Without such binaries, or on a system
//! that does not tell peaks, there is no figure but a reason.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use messages::id::UserId;
use runtime::bus::{Bus, NatsSettings};
use runtime::config::Settings;
use serde::Serialize;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::machine::peak_mb;
use super::orchestrated::{ask, nats_pid};
use super::{BenchError, Order};
use crate::arguments::Reach;
use crate::client::Client;
use crate::data_folder::DataFolder;
use crate::embedded::answers;
use crate::nats_server::{NatsServer, NatsServerSettings};
use crate::processes::{self, ProcessError, Processes, SERVICES};

/// How long a process may take until it does its part, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);
/// The S3 endpoint, which is this program.
const STORE: &str = "store";

/// The most that a process held.
#[derive(Debug, Clone, Serialize)]
pub struct Peak {
    /// Which process.
    pub process: &'static str,
    /// Megabytes of a million bytes.
    pub peak_mb: f64,
    /// Whether the target is for it: `nats-server` is not ours.
    pub ours: bool,
}

/// Makes the film with separate processes and reads their peaks; a reason where that cannot be done here.
pub async fn peaks(
    order: &Order,
    reach: &Reach,
    folder: &DataFolder,
    settings: &Settings,
) -> Result<Result<Vec<Peak>, String>, BenchError> {
    if !cfg!(target_os = "linux") {
        return Ok(Err("only Linux tells the peak memory of a process".to_owned()));
    }
    if let Err(not_built) = processes::check_built() {
        return Ok(Err(not_built.to_string()));
    }

    let scratch = tempfile::Builder::new().prefix("bench-").tempdir_in(folder.path())?;
    let nats: NatsSettings = settings.section("nats")?;
    let server = NatsServerSettings {
        program: None,
        folder: scratch.path().join("nats"),
        port: None,
        storage_mib: nats.storage_mib,
        sync_always: false,
        member: None,
    };
    let server = NatsServer::start(&server).await?;
    let url = server.url();
    let stop = CancellationToken::new();
    let keeping = tokio::spawn(server.run_until(stop.clone()));

    let mut environment = vec![
        ("DAILIES_NATS__URL".to_owned(), url.clone()),
        ("DAILIES_NATS__STORAGE_MIB".to_owned(), nats.storage_mib.to_string()),
        ("DAILIES_WORKER__CONCURRENCY".to_owned(), order.jobs.to_string()),
        ("DAILIES_COORDINATOR__DATABASE".to_owned(), format!("sqlite:{}", scratch.path().join("journal").display())),
        ("DAILIES_GATEWAY__ADDRESS".to_owned(), format!("{}:0", Ipv4Addr::LOCALHOST)),
    ];
    if let Some(config) = &reach.config {
        environment.push(("DAILIES_CONFIG".to_owned(), config.canonicalize()?.display().to_string()));
    }
    let mut cluster =
        Cluster { folder: scratch.path().to_path_buf(), processes: Processes::new(scratch.path().to_path_buf()) };
    let measured = cluster.film(order, environment, &url).await;
    cluster.stop().await;
    stop.cancel();
    if let Err(error) = keeping.await {
        tracing::warn!(%error, "nats-server was not stopped");
    }
    measured.map(Ok)
}

/// The services of one cluster.
struct Cluster {
    folder: PathBuf,
    processes: Processes,
}

impl Cluster {
    async fn film(
        &mut self,
        order: &Order,
        mut environment: Vec<(String, String)>,
        nats: &str,
    ) -> Result<Vec<Peak>, BenchError> {
        let mut store = Command::new(std::env::current_exe()?);
        store.arg("--data").arg(self.folder.join("data")).arg(STORE);
        store.args(["--listen", &format!("{}:0", Ipv4Addr::LOCALHOST)]);
        self.processes.start_program(STORE, 1, store, &environment).map_err(not_started)?;
        environment.extend(self.store_environment().await?);
        for service in SERVICES {
            self.processes.start(service, 1, &environment).map_err(not_started)?;
        }

        let bus = Bus::connect(&NatsSettings::for_url(nats)).await?;
        let asking = async {
            answers(&bus).await?;
            ask(order, &Client { bus: bus.clone(), user: UserId::local() }, None).await
        };
        tokio::select! {
            film = asking => film.map(drop)?,
            ended = ended(&mut self.processes) => return Err(ended),
        }

        let ours = self.processes.running().map(|(process, pid)| (process, pid, true));
        let server = nats_pid(&self.folder).map(|pid| ("nats-server", pid, false));
        let peak = |(process, pid, ours)| Some(Peak { process, peak_mb: peak_mb(pid)?, ours });
        Ok(ours.chain(server).filter_map(peak).collect())
    }

    /// How the endpoint is reached, once it has written that down.
    async fn store_environment(&mut self) -> Result<Vec<(String, String)>, BenchError> {
        let file = self.folder.join("data").join("store.env");
        let reading = async {
            loop {
                let text = tokio::fs::read_to_string(&file).await.unwrap_or_default();
                if let Some(variables) = exported(&text) {
                    return variables;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            variables = tokio::time::timeout(PATIENCE, reading) => variables.map_err(|_| BenchError::Process {
                service: STORE,
                reason: format!("it does not say where it is within {} s", PATIENCE.as_secs()),
            }),
            ended = ended(&mut self.processes) => Err(ended),
        }
    }

    /// First who works, last whom all rest on.
    async fn stop(mut self) {
        self.processes.stop(&["gateway", "planner", "storyboard", "chunk", "refine"], PATIENCE).await;
        self.processes.stop(&["coordinator"], PATIENCE).await;
        self.processes.stop(&[STORE], PATIENCE).await;
    }
}

fn not_started(error: ProcessError) -> BenchError {
    BenchError::Process { service: "a service", reason: runtime::service::sentence(&error) }
}

/// Waits until a process ends, which none should.
async fn ended(processes: &mut Processes) -> BenchError {
    let (process, how) = processes.ended().await;
    BenchError::Process { service: process.service, reason: format!("it has ended: {how}") }
}

/// The three `export NAME=value` lines of `store.env`, once all are there.
fn exported(text: &str) -> Option<Vec<(String, String)>> {
    let lines: Option<Vec<_>> = text.lines().map(|line| line.strip_prefix("export ")?.split_once('=')).collect();
    let whole = text.ends_with('\n');
    let variables: Vec<_> = lines?.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    (whole && variables.len() == 3).then_some(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_file_is_not_taken_for_the_endpoint() {
        let whole = "export A=http://h:1\nexport B=k\nexport C=s=1\n";
        let variables = exported(whole).expect("all three");
        assert_eq!(variables[2], ("C".to_owned(), "s=1".to_owned()));
        for end in 0..whole.len() {
            assert_eq!(exported(&whole[..end]), None, "{}", &whole[..end]);
        }
    }
}
