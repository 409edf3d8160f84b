//! What those see who look after a system: figures, health, traces.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{SOON, Setup, System, dailies, nats_server, program, root, text, until};
use crate::money::priced;

/// Every kind of process, and in which words ARCHITECTURE.md says who counts what.
const PROCESSES: [(&str, &str); 7] = [
    ("store", "none"),
    ("coordinator", "coordinator"),
    ("gateway", "gateway"),
    ("planner", "workers"),
    ("storyboard", "workers"),
    ("chunk", "workers"),
    ("refine", "workers"),
];

#[tokio::test]
async fn every_process_counts_what_the_architecture_lists_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(&priced(&folder).display().to_string()).await;
    let system = &cluster.system;
    let video =
        system.create(&json!({ "prompt": "A 5 second ad for a fountain pen, elegant, navy", "duration": 5 })).await;
    for phase in 1..=4 {
        system.wait_for(&video, &format!("paused_at_phase{phase}")).await;
        system.approve(&video).await;
    }
    let status = system.wait_for(&video, "complete").await;
    let done = jobs_done(&system.history(&video).await);
    let events = system.history(&video).await.len() as f64;

    let listed = listed();
    for (process, who) in PROCESSES {
        let figures = cluster.figures(process).await;
        let expected: BTreeMap<_, _> = listed
            .iter()
            .filter(|(_, row)| row.who == who || row.who == "all")
            .map(|(n, row)| (n, &row.labels))
            .collect();
        let found: BTreeMap<_, _> = figures.names.iter().collect();
        assert_eq!(found, expected, "the figures of {process} and the table in ARCHITECTURE.md");

        if who == "workers" {
            let jobs = done.get(process).copied().unwrap_or_default();
            assert!(jobs > 0.0, "{process} had nothing to do: {done:?}");
            let label = format!("service=\"{process}\"");
            assert_eq!(figures.sum("dailies_worker_jobs_total", &[&label, "outcome=\"done\""]), jobs, "{process}");
            assert_eq!(figures.sum("dailies_worker_jobs_total", &[]), jobs, "{process} had no other outcome");
            for seconds in ["job", "queue", "planned"] {
                let count = format!("dailies_worker_{seconds}_seconds_count");
                assert_eq!(figures.sum(&count, &[]), jobs, "{process}: {count}");
            }
            assert_eq!(figures.sum("dailies_worker_deliveries_total", &["delivery=\"first\""]), jobs);
            assert_eq!(figures.sum("dailies_worker_running", &[]), 0.0);
        }
        assert_eq!(figures.sum("dailies_build_info", &[]), 1.0, "{process}");
        let connected = if process == "store" { 0.0 } else { 1.0 };
        assert_eq!(figures.sum("dailies_nats_connected", &[]), connected, "{process}");
    }

    until("every event has left", SOON, async || {
        let left = cluster.figures("coordinator").await.sum("dailies_coordinator_events_published_total", &[]);
        (left == events).then_some(())
    })
    .await;
    let coordinator = cluster.figures("coordinator").await;
    let count = |name: &str, labels: &[&str]| coordinator.sum(&format!("dailies_coordinator_{name}"), labels);
    assert_eq!(count("events_total", &[]), events);
    assert_eq!(count("events_total", &["event=\"job_done\""]), done.values().sum::<f64>());
    assert_eq!(count("commands_total", &["verb=\"approve\"", "outcome=\"answered\""]), 4.0);
    assert_eq!(count("commands_total", &[]), 5.0);
    assert_eq!(count("partitions", &[]), 32.0);
    assert_eq!((count("fence_losses_total", &[]), count("dead_letters_total", &[])), (0.0, 0.0));
    let spent = status["cost"]["spent_usd"].as_f64().expect("an amount");
    assert!(spent > 0.0 && (count("spend_dollars_total", &["provider=\"local\""]) - spent).abs() < 1e-9, "{spent}");
    assert!(count("decide_seconds_count", &[]) >= count("commit_appends_sum", &[]));
    let gateway = cluster.figures("gateway").await;
    let continued = ["method=\"POST\"", "route=\"/api/video/{video_id}/continue\"", "status=\"200\""];
    assert_eq!(gateway.sum("dailies_gateway_requests_total", &continued), 4.0);
    assert_eq!(gateway.sum("dailies_gateway_commands_total", &[]), 5.0);

    for (process, _) in PROCESSES {
        for path in ["/health/live", "/health/ready"] {
            let (status, body) = cluster.probe(process, path).await;
            assert_eq!(status, 200, "{process} {path}: {body}");
        }
    }
}

#[tokio::test]
async fn a_process_that_lacks_something_is_alive_and_says_what_it_lacks() {
    let cluster = Cluster::start("").await;
    cluster.nats.kill();
    until("everybody but the store says that NATS is missing", SOON, async || {
        for (process, _) in PROCESSES.iter().filter(|(process, _)| *process != "store") {
            let (status, body) = cluster.probe(process, "/health/ready").await;
            if (status, &body["ready"], &body["missing"]["nats"])
                != (503, &json!(false), &json!("there is no connection"))
            {
                return None;
            }
        }
        Some(())
    })
    .await;
    for (process, _) in PROCESSES {
        let (status, body) = cluster.probe(process, "/health/live").await;
        assert_eq!((status, &body), (200, &json!({ "alive": true, "stuck": {} })), "{process}");
    }
    assert_eq!(cluster.probe("store", "/health/ready").await.0, 200);
    assert_eq!(cluster.probe("store", "/").await.0, 404);
}

/// How many jobs each service has done.
fn jobs_done(history: &[Value]) -> BTreeMap<&'static str, f64> {
    let mut done = BTreeMap::new();
    for event in history.iter().filter(|event| event["type"] == "job_done") {
        let job: messages::id::JobId = text(&event["job"]).parse().expect("a job");
        *done.entry(job.artifact.service().name()).or_default() += 1.0;
    }
    done
}

/// A row of the table in ARCHITECTURE.md.
#[derive(Debug)]
struct Row {
    who: String,
    labels: BTreeSet<String>,
}

/// Names, who counts them, and their labels.
fn listed() -> BTreeMap<String, Row> {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the page");
    let mut listed = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `dailies_")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let labels = cells[3].split(',').map(|label| label.trim().trim_matches('`').to_owned());
        let row = Row { who: cells[2].to_owned(), labels: labels.filter(|label| !label.is_empty()).collect() };
        let twice = listed.insert(cells[1].trim_matches('`').to_owned(), row);
        assert!(twice.is_none(), "{line} stands there twice");
    }
    assert!(listed.len() > 20, "{listed:?}");
    listed
}

/// What one process counts.
struct Figures {
    /// Every name with its labels.
    names: BTreeMap<String, BTreeSet<String>>,
    lines: Vec<String>,
}

impl Figures {
    fn read(page: &str) -> Self {
        let lines: Vec<_> = page.lines().map(str::to_owned).collect();
        let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in &lines {
            if let Some((name, _)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                assert!(names.insert(name.to_owned(), BTreeSet::new()).is_none(), "{name} is there twice:\n{page}");
            } else if !line.starts_with('#') {
                let (series, _) = line.rsplit_once(' ').expect("a series and its value");
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                let family = family.filter(|family| names.contains_key(*family)).unwrap_or(name);
                let known = names.get_mut(family).unwrap_or_else(|| panic!("{line} has no TYPE before it"));
                let labels = labels.trim_end_matches('}').split("\",").filter_map(|pair| pair.split_once('='));
                known.extend(labels.map(|(label, _)| label.to_owned()).filter(|label| label != "le"));
            }
        }
        Self { names, lines }
    }

    /// The sum of all series of a name that have these labels.
    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let of_name = |line: &&String| line.split(['{', ' ']).next() == Some(name);
        let of_labels = |line: &&String| labels.iter().all(|label| line.contains(label));
        let value = |line: &String| line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok());
        let series: Vec<_> = self.lines.iter().filter(of_name).filter(of_labels).filter_map(value).collect();
        assert!(!series.is_empty(), "{name} {labels:?} is not in\n{}", self.lines.join("\n"));
        series.iter().sum()
    }
}

/// Every service as a process of its own, each with an address for those who look after it.
struct Cluster {
    system: System,
    addresses: BTreeMap<&'static str, u16>,
    nats: Nats,
}

/// The process of the NATS server.
struct Nats(i32);

impl Nats {
    fn kill(&self) {
        let pid = nix::unistd::Pid::from_raw(self.0);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it runs");
    }
}

impl Cluster {
    async fn start(models: &str) -> Self {
        let mut system = System::of_processes(Setup::default()).await;
        let addresses: BTreeMap<_, _> = PROCESSES.iter().map(|(process, _)| (*process, free_port())).collect();
        let nats_port = free_port();
        let mut nats = Command::new(nats_server());
        nats.args(["-a", "127.0.0.1", "-p", &nats_port.to_string(), "-js", "-sd", "nats", "-l", "nats.log"]);
        let nats = Nats(system.spawn(nats).id().cast_signed());
        system.nats_url = format!("nats://127.0.0.1:{nats_port}");
        let mut store = dailies();
        store.args(["--data", "store", "store", "--listen", "127.0.0.1:0"]);
        store.env("DAILIES_MONITORING__ADDRESS", format!("127.0.0.1:{}", addresses["store"]));
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
        let credentials = credentials.await;
        for (process, _) in PROCESSES.iter().filter(|(process, _)| *process != "store") {
            let mut command = program(process);
            command.envs(credentials.iter().map(|(name, value)| (name, value)));
            command.envs([
                ("DAILIES_NATS__URL", system.nats_url.as_str()),
                ("DAILIES_NATS__STORAGE_MIB", "256"),
                ("DAILIES_GATEWAY__ADDRESS", &gateway),
                ("DAILIES_COORDINATOR__DATABASE", "sqlite:journal.sqlite"),
                ("DAILIES_COORDINATOR__MODELS", models),
            ]);
            command.env("DAILIES_MONITORING__ADDRESS", format!("127.0.0.1:{}", addresses[process]));
            system.spawn(command);
        }
        let cluster = Self { system, addresses, nats };
        until("every process is ready", SOON, async || {
            for (process, _) in PROCESSES {
                let url = format!("http://127.0.0.1:{}/health/ready", cluster.addresses[process]);
                let ready = reqwest::get(&url).await.ok()?;
                if ready.status() != 200 {
                    return None;
                }
            }
            Some(())
        })
        .await;
        cluster
    }

    async fn probe(&self, process: &str, path: &str) -> (u16, Value) {
        let answer = reqwest::get(format!("http://127.0.0.1:{}{path}", self.addresses[process])).await;
        let answer = answer.expect("the listener answers");
        let status = answer.status().as_u16();
        let body = answer.text().await.expect("a body");
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    async fn figures(&self, process: &str) -> Figures {
        match self.probe(process, "/metrics").await {
            (200, Value::String(page)) => Figures::read(&page),
            other => panic!("{process}: {other:?}"),
        }
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
