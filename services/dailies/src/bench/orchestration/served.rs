//! The cluster under measurement, in a process of its own: started, looked at, killed, started again.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::bus::{Bus, NatsSettings};
use runtime::secret::Secret;
use tokio::process::{Child, Command};

use super::super::BenchError;
use super::super::machine::processor_seconds;
use super::super::orchestrated::nats_pid;
use crate::data_folder::DataFolder;

/// How long it may take to start and to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a port for its NATS server is looked for.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 10_000;

/// What it is made of.
#[derive(Debug, Clone)]
pub struct Setting {
    /// A PostgreSQL database, or SQLite in the data folder.
    pub postgres: Option<Secret>,
    /// Whether every write of NATS waits for the disk.
    pub nats_sync_always: bool,
    /// Whether workers say when they receive a job.
    pub tell: bool,
    /// Which shape its films have.
    pub shape: Shape,
    /// Jobs of each service at a time. Each that waits for work costs the server a look at every job that it gives out.
    pub slots: NonZeroUsize,
}

/// How many jobs a film takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// 1 plan, 1 picture, 6 chunks side by side and their join, 1 mix: as other engines were measured.
    Plain,
    /// A film of 6 beats with music, as people make it.
    SixBeats,
}

impl Shape {
    /// Seconds of one film.
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Plain => 15,
            Self::SixBeats => 30,
        }
    }

    /// Jobs of one film, phase by phase.
    pub const fn jobs(self) -> [u32; 4] {
        match self {
            Self::Plain => [1, 1, 7, 1],
            Self::SixBeats => [1, 6, 7, 2],
        }
    }
}

/// A cluster that runs.
#[derive(Debug)]
pub struct Served {
    child: Child,
    folder: DataFolder,
    scratch: PathBuf,
    port: u16,
    setting: Setting,
}

impl Served {
    /// Starts one in a folder of its own.
    pub async fn start(scratch: &Path, setting: &Setting) -> Result<Self, BenchError> {
        let port = free_port().await?;
        let folder = DataFolder::open(&scratch.join("data"))?;
        std::fs::write(scratch.join("models.toml"), models(setting.shape))?;
        let child = launch(scratch, port, setting)?;
        let served = Self { child, folder, scratch: scratch.to_path_buf(), port, setting: setting.clone() };
        served.ready().await?;
        Ok(served)
    }

    /// Its connection, made anew.
    pub async fn bus(&self) -> Result<Bus, BenchError> {
        Ok(Bus::connect(&NatsSettings::for_url(&format!("nats://127.0.0.1:{}", self.port))).await?)
    }

    /// What its films are.
    pub const fn shape(&self) -> Shape {
        self.setting.shape
    }

    /// Megabytes (2^20) that its own process holds now, and `nats-server`'s.
    pub fn memory_mib(&self) -> (Option<f64>, Option<f64>) {
        let ours = self.child.id().and_then(resident_mib);
        (ours, nats_pid(self.folder.path()).and_then(resident_mib))
    }

    /// Processor seconds that its own process and `nats-server` have spent.
    pub fn processor_seconds(&self) -> Option<(f64, f64)> {
        let ours = self.child.id().and_then(processor_seconds)?;
        Some((ours, nats_pid(self.folder.path()).and_then(processor_seconds)?))
    }

    /// Kills both processes at once and starts a new one. It is not waited for.
    pub async fn crash(&mut self) -> Result<(), BenchError> {
        if let Some(nats) = nats_pid(self.folder.path()).and_then(|pid| i32::try_from(pid).ok()) {
            // It may be gone with its parent already.
            let _ = kill(Pid::from_raw(nats), Signal::SIGKILL);
        }
        self.child.kill().await?;
        self.child = launch(&self.scratch, self.port, &self.setting)?;
        Ok(())
    }

    /// Waits until it can be used.
    pub async fn ready(&self) -> Result<(), BenchError> {
        let deadline = Instant::now() + PATIENCE;
        while self.folder.owner().is_none() {
            if Instant::now() > deadline {
                let reason = format!("it does not start; its log is {}", self.folder.join("dailies.log").display());
                return Err(BenchError::Process { service: "the cluster", reason });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Stops it.
    pub async fn stop(mut self) -> Result<(), BenchError> {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        if tokio::time::timeout(PATIENCE, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

/// A port below those that systems give to outgoing connections: a client that tries again while the server is killed could
/// be given the server's own port, and the server not get it back.
async fn free_port() -> Result<u16, BenchError> {
    let first = FIRST_PORT + (std::process::id() % u32::from(PORTS)) as u16;
    for port in (first..FIRST_PORT + PORTS).chain(FIRST_PORT..first) {
        if tokio::net::TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return Ok(port);
        }
    }
    Err(BenchError::Process { service: "the cluster", reason: "no port is free for its NATS server".to_owned() })
}

fn launch(scratch: &Path, port: u16, setting: &Setting) -> Result<Child, BenchError> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "serve", "--data"]).arg(scratch.join("data"));
    command.args(["--nats-port", &port.to_string(), "--slots", &setting.slots.to_string()]);
    command.env("DAILIES_COORDINATOR__MODELS", scratch.join("models.toml"));
    // What is logged is not what is measured.
    command.env("RUST_LOG", "warn");
    command.env("DAILIES_NATS__STORAGE_MIB", "8192");
    if let Some(url) = &setting.postgres {
        command.env("DAILIES_BENCH_SERVE_DATABASE", url.expose());
    }
    if setting.nats_sync_always {
        command.arg("--nats-sync-always");
    }
    if setting.tell {
        command.arg("--tell");
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    Ok(command.spawn()?)
}

/// Built-in models; for the plain shape with clips of 2.5 s that do not go on from one another.
fn models(shape: Shape) -> String {
    let clips = match shape {
        Shape::Plain => "clip_s = 2.5\ncontinues = false\n",
        Shape::SixBeats => "",
    };
    let model = |name: &str, kind: &str, more: &str| {
        format!(
            "[[models]]\nname = \"{name}\"\nkind = \"{kind}\"\nprovider = \"local\"\nprovider_model = \"none\"\nprice = \"free\"\n{more}\n"
        )
    };
    model("language", "language", "")
        + &model("image", "image", "")
        + &model("music", "music", "")
        + &model("video", "video", clips)
}

fn resident_mib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes / 1024.0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use coordinator::video::{Input, Setup};
    use messages::catalogue::{Catalogue, SHIPPED_LIBRARY};
    use runtime::artifacts::ObjectStore;
    use serde_json::json;

    use super::super::super::direct::{Story, call, handler_of};
    use super::super::super::film::Ended;
    use super::super::super::plain_folder::PlainFolder;
    use super::super::super::{Order, noop};
    use super::*;

    /// How many jobs the benchmark's workers have, phase by phase, until a film is complete.
    async fn jobs_of_a_film(shape: Shape) -> [u32; 4] {
        let catalogue = Catalogue::from_toml(&models(shape), SHIPPED_LIBRARY).expect("it is valid");
        let setup = Setup::new(Arc::new(catalogue), vec!["local".to_owned()]);
        let wish = json!({"prompt": "A film about nothing", "duration": shape.seconds(), "auto_continue": true});
        let order = Order { create: serde_json::from_value(wish).expect("a wish"), jobs: NonZeroUsize::MIN };
        let mut story = Story::begin(&order, setup).expect("a video");
        let handlers = noop::handlers_without_objects(Arc::default());
        let folder = tempfile::tempdir().expect("a folder");
        let objects: Arc<dyn ObjectStore> = Arc::new(PlainFolder::new(folder.path().to_path_buf()));
        let mut jobs = [0; 4];
        while let Some(id) = story.planned().first().copied() {
            jobs[usize::from(id.artifact.phase().number()) - 1] += 1;
            let job = story.video.work_order(id).expect("it has its inputs");
            let handler = handler_of(&handlers, job.work.service()).expect("somebody does it");
            let report = call(job, handler, objects.clone()).await.expect("it is made");
            story.tell(&Input::Done(Box::new(report))).expect("it is taken");
        }
        assert!(matches!(story.ended, Some(Ended::Complete)));
        jobs
    }

    #[tokio::test]
    async fn a_film_takes_as_many_jobs_as_the_report_says() {
        for shape in [Shape::Plain, Shape::SixBeats] {
            assert_eq!(jobs_of_a_film(shape).await, shape.jobs(), "{shape:?}");
        }
    }
}
