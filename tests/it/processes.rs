//! Every service as a process of its own, against one NATS server and one object store: how a cluster runs.

use std::net::TcpListener;
use std::process::Command;

use serde_json::json;

use crate::film;
use crate::harness::{SOON, Setup, System, dailies, nats_server, program, text, until};

/// In no order that they need: whoever is first waits for the others.
const SERVICES: [&str; 6] = ["gateway", "refine", "chunk", "storyboard", "planner", "coordinator"];

#[test]
fn every_service_refuses_an_unknown_flag_and_says_which_it_takes() {
    for service in SERVICES {
        let output = |flag| program(service).arg(flag).output().expect("it starts");
        let refused = output("--natz");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{service}: {said}");
        assert!(said.contains("'--natz'"), "{service}: {said}");
        let help = output("--help");
        let said = String::from_utf8_lossy(&help.stdout).into_owned();
        assert!(help.status.success(), "{service}: {said}");
        for flag in ["--nats <URL>", "--context <NAME>", "--config <FILE>"] {
            assert!(said.contains(flag), "{service} does not take {flag}: {said}");
        }
        let version = String::from_utf8_lossy(&output("--version").stdout).into_owned();
        assert!(version.starts_with(service), "{service}: {version}");
    }
}

#[tokio::test]
async fn services_of_their_own_make_a_film_together() {
    let mut system = System::of_processes(Setup::default()).await;
    let nats_port = free_port();
    let mut nats = Command::new(nats_server());
    nats.args(["-a", "127.0.0.1", "-p", &nats_port.to_string(), "-js", "-sd", "nats"]);
    // It logs in its own way, and nothing that matters here.
    nats.args(["-l", "nats.log"]);
    system.spawn(nats);
    system.nats_url = format!("nats://127.0.0.1:{nats_port}");

    let mut store = dailies();
    store.args(["--data", "store", "store", "--listen", "127.0.0.1:0"]);
    system.spawn(store);
    let file = system.scratch().join("store/store.env");
    // As a person does it: `. store.env`, then the services.
    let credentials = until("`dailies store` says how it is reached", SOON, async || {
        let text = std::fs::read_to_string(&file).ok()?;
        let lines = text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        let pairs: Vec<_> = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        (pairs.len() == 3 && text.ends_with('\n')).then_some(pairs)
    });
    let credentials = credentials.await;

    let gateway_port = free_port();
    system.url = format!("http://127.0.0.1:{gateway_port}");
    for service in SERVICES {
        let mut command = program(service);
        command.envs(credentials.iter().map(|(name, value)| (name, value)));
        // Nobody listens at the address of the environment: the flag goes over it.
        command.args(["--nats", &system.nats_url]).env("DAILIES_NATS__URL", "nats://127.0.0.1:1");
        command.env("DAILIES_NATS__STORAGE_MIB", "256");
        command.env("DAILIES_GATEWAY__ADDRESS", format!("127.0.0.1:{gateway_port}"));
        command.env("DAILIES_COORDINATOR__DATABASE", "sqlite:journal.sqlite");
        system.spawn(command);
    }
    until("the gateway and a coordinator are ready", SOON, async || {
        let ready = system.request(reqwest::Method::GET, "/readyz").send().await.ok()?;
        (ready.status() == 200).then_some(())
    })
    .await;

    let video =
        system.create(&json!({ "prompt": "A 5 second ad for a fountain pen, elegant, navy", "duration": 5 })).await;
    for phase in 1..=4 {
        system.wait_for(&video, &format!("paused_at_phase{phase}")).await;
        system.approve(&video).await;
    }
    let status = system.wait_for(&video, "complete").await;
    let (_, checkpoints) = system.get(&format!("/api/video/{video}/checkpoints")).await;
    let spec = &checkpoints[0]["artifacts"]["spec"]["metadata"]["spec"];
    film::assert_plays(&system, text(&status["final_video_url"]), spec).await;
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
