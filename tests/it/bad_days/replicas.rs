//! Services as processes of their own: replicas share the work of one film, and one that is killed is stood in for.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::living;
use super::stand_in::StandIn;
use crate::harness::{SOON, Setup, System, dailies, nats_server, program, text, until};

#[tokio::test]
async fn two_chunk_replicas_share_a_film_and_one_finishes_what_the_killed_other_had_begun() {
    let mut cluster = Cluster::start().await;
    let (first, second) = (StandIn::new(), StandIn::new());
    first.hold();
    second.hold();
    let killed = cluster.chunk_replica(&first);
    cluster.chunk_replica(&second);

    let system = &cluster.system;
    // Two beats, and with them two chunks that wait for nobody.
    let film =
        json!({ "prompt": "A 10 second ad for a fountain pen, elegant, navy", "duration": 10, "auto_continue": true });
    let video = system.create(&film).await;
    first.is_in_use().await;
    second.is_in_use().await;

    kill(Pid::from_raw(killed), Signal::SIGKILL).expect("it runs");
    until("ffmpeg ends with its worker", SOON, async || living(killed, "\0").is_empty().then_some(())).await;
    second.release();
    system.wait_for(&video, "complete").await;

    let history = system.history(&video).await;
    let done: Vec<_> = history.iter().filter(|event| event["type"] == "job_done").collect();
    assert!(done.iter().all(|event| event["attempt"] == 1), "a crash of a worker is no attempt: {done:#?}");
    let jobs: BTreeSet<_> = done.iter().map(|event| text(&event["job"])).collect();
    assert_eq!(jobs.len(), done.len(), "a job was done twice: {done:#?}");
    assert!(jobs.iter().any(|job| job.ends_with("-chunk_1-v1")), "{jobs:?}");
}

#[tokio::test]
async fn a_worker_that_drains_finishes_its_job_is_alive_and_not_ready() {
    let mut cluster = Cluster::start().await;
    let stand_in = StandIn::new();
    stand_in.hold();
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = cluster.service("chunk");
    command.env("DAILIES_MEDIA__FFMPEG", stand_in.program()).env("DAILIES_MONITORING__ADDRESS", &address);
    // The flag goes over the environment, which says 1.
    command.args(["--concurrency", "2"]);
    let worker = cluster.system.spawn(command).id().cast_signed();
    let probe = async |path: &str| {
        let answer = reqwest::get(format!("http://{address}{path}")).await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    };
    until("the worker is ready", SOON, async || probe("/health/ready").await.filter(|(status, _)| *status == 200))
        .await;
    let (_, figures) = probe("/metrics").await.expect("it answers");
    assert!(figures.contains("dailies_worker_slots{service=\"chunk\"} 2\n"), "{figures}");

    let system = &cluster.system;
    let film =
        json!({ "prompt": "A 5 second ad for a fountain pen, elegant, navy", "duration": 5, "auto_continue": true });
    let video = system.create(&film).await;
    stand_in.is_in_use().await;
    kill(Pid::from_raw(worker), Signal::SIGTERM).expect("it runs");
    let (_, said) = until("it says that it drains", SOON, async || {
        probe("/health/ready").await.filter(|(status, _)| *status == 503)
    })
    .await;
    assert!(said.contains("\"chunk\":\"it is stopping"), "{said}");
    assert_eq!(probe("/health/live").await.map(|(status, _)| status), Some(200));

    stand_in.release();
    until("it ends when its job is done", SOON, async || probe("/health/live").await.is_none().then_some(())).await;
    let ends = |event: &serde_json::Value| ["job_done", "job_failed"].contains(&text(&event["type"]));
    let history = system.history(&video).await;
    let last = history.iter().rfind(|event| ends(event)).expect("jobs ended");
    assert_eq!((text(&last["type"]), last["attempt"].as_u64()), ("job_done", Some(1)), "{last}");
    assert!(text(&last["job"]).ends_with("-chunk_0-v1"), "{last}");
}

/// Everything but chunk services.
struct Cluster {
    system: System,
    environment: Vec<(String, String)>,
}

impl Cluster {
    async fn start() -> Self {
        let mut system = System::of_processes(Setup::default()).await;
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

    /// Starts a chunk service that takes one job at a time; gives its process.
    fn chunk_replica(&mut self, ffmpeg: &StandIn) -> i32 {
        let mut command = self.service("chunk");
        command.env("DAILIES_MEDIA__FFMPEG", ffmpeg.program());
        self.system.spawn(command).id().cast_signed()
    }

    fn service(&self, name: &str) -> Command {
        let mut command = program(name);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
