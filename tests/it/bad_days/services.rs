//! A cluster of services as processes of their own, on one NATS server: all but chunk services, which a test starts.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use super::stand_in::StandIn;
use crate::harness::{SOON, Setup, System, dailies, nats_server, program, until};

/// Everything but chunk services.
pub struct Cluster {
    /// The system that they are.
    pub system: System,
    environment: Vec<(String, String)>,
}

impl Cluster {
    /// Starts them and waits until they can be used.
    pub async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    /// The same for a test that announces errors.
    pub async fn start_with(setup: Setup) -> Self {
        let mut system = System::of_processes(setup).await;
        let nats_port = free_port();
        let mut nats = Command::new(nats_server());
        nats.args(["-a", "127.0.0.1", "-p", &nats_port.to_string(), "-js", "-sd", "nats", "-l", "nats.log"]);
        system.spawn(nats);
        system.nats_url = format!("nats://127.0.0.1:{nats_port}");
        let mut store = dailies();
        store.args(["--data", "store", "store", "--listen", "127.0.0.1:0"]);
        system.spawn(store);
        let gateway = format!("127.0.0.1:{}", free_port());
        system.url = format!("http://{gateway}");

        let file = system.scratch().join("store/store.env");
        let credentials = until("`dailies store` says how it is reached", SOON, async || {
            let text = std::fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n'))?;
            let lines = text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
            let pairs: Vec<_> = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            (pairs.len() == 3).then_some(pairs)
        });
        let mut environment = credentials.await;
        for (name, value) in [
            ("DAILIES_NATS__URL", system.nats_url.as_str()),
            ("DAILIES_NATS__STORAGE_MIB", "256"),
            ("DAILIES_GATEWAY__ADDRESS", &gateway),
            ("DAILIES_COORDINATOR__DATABASE", "sqlite:journal.sqlite"),
            ("DAILIES_WORKER__CONCURRENCY", "1"),
        ] {
            environment.push((name.to_owned(), value.to_owned()));
        }
        let mut cluster = Self { system, environment };
        for service in ["coordinator", "gateway", "planner", "storyboard", "refine"] {
            let command = cluster.service(service);
            cluster.system.spawn(command);
        }
        let system = &cluster.system;
        until("the gateway and a coordinator are ready", SOON, async || {
            let ready = system.request(reqwest::Method::GET, "/readyz").send().await.ok()?;
            (ready.status() == 200).then_some(())
        })
        .await;
        cluster
    }

    /// `dailies` of somebody who operates it.
    pub fn dailies(&self, arguments: &[&str]) -> Output {
        let mut command = dailies();
        command.args(["--nats", &self.system.nats_url]).args(arguments);
        command.stdin(Stdio::null()).output().expect("dailies starts")
    }

    /// Starts a chunk service that takes one job at a time; gives its process.
    pub fn chunk_replica(&mut self, ffmpeg: &StandIn) -> i32 {
        let mut command = self.service("chunk");
        command.env("DAILIES_MEDIA__FFMPEG", ffmpeg.program());
        self.system.spawn(command).id().cast_signed()
    }

    /// A service with the settings of this system.
    pub fn service(&self, name: &str) -> Command {
        let mut command = program(name);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
