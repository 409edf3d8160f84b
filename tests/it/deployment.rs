//! `dailies cluster`: a deployment's topology as processes of one machine, and what it survives.

use std::path::{Path, PathBuf};
use std::process::Child;

use async_nats::jetstream;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::bad_days::stand_in::StandIn;
use crate::film;
use crate::harness::{FILM, SOON, Setup, System, dailies, text, until};

#[tokio::test]
async fn a_film_is_finished_while_a_nats_node_and_then_the_leader_of_the_streams_are_killed() {
    let ffmpeg = StandIn::new();
    let mut system = System::of_processes(Setup::default().with_errors()).await;
    let _database = Elsewhere(system.data().join("postgres"));
    let supervisor = start(&mut system, &ffmpeg).await;
    let processes = children_of(supervisor);
    for (program, count) in [("nats-server", 3), ("chunk", 2), ("coordinator", 2), ("gateway", 2), ("planner", 1)] {
        let running = processes.iter().filter(|(_, name)| name == program).count();
        assert_eq!(running, count, "{program} in {processes:?}");
    }

    let film = json!({ "prompt": "A 5 second ad for a fountain pen, elegant, navy", "duration": 5 });
    let video = system.create(&film).await;
    system.wait_for(&video, "paused_at_phase1").await;
    let (_, followers) = leader_of_jobs(&system).await;
    approve(&system, &video).await;
    kill_node(&system, &followers[0]).await;
    system.wait_for(&video, "paused_at_phase2").await;
    // In the middle of a chunk: its worker has the job, and who leads the queue is gone.
    ffmpeg.hold();
    approve(&system, &video).await;
    ffmpeg.is_in_use().await;
    let (leader, _) = leader_of_jobs(&system).await;
    kill_node(&system, &leader).await;
    ffmpeg.release();
    system.wait_for(&video, "paused_at_phase3").await;
    approve(&system, &video).await;
    system.wait_for(&video, "paused_at_phase4").await;
    approve(&system, &video).await;
    let status = system.wait_for(&video, "complete").await;
    let (_, checkpoints) = system.get(&format!("/api/video/{video}/checkpoints")).await;
    let spec = &checkpoints[0]["artifacts"]["spec"]["metadata"]["spec"];
    film::assert_plays(&system, text(&status["final_video_url"]), spec).await;
    let history = system.history(&video).await;
    let failed: Vec<_> = history.iter().filter(|event| event["type"] == "job_failed").collect();
    assert!(failed.is_empty(), "{failed:#?}");

    let processes = descendants_of(supervisor);
    let stopped = system.dailies(&["cluster", "stop"]);
    assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    until("nothing is left", SOON, async || processes.iter().all(|(pid, name)| !lives(*pid, name)).then_some(())).await;
    let again = system.dailies(&["cluster", "stop"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("no cluster runs in"), "{again:?}");
}

#[tokio::test]
async fn a_film_goes_on_while_postgresql_is_killed() {
    let ffmpeg = StandIn::new();
    let mut system = System::of_processes(Setup::default().with_errors()).await;
    let _database = Elsewhere(system.data().join("postgres"));
    start(&mut system, &ffmpeg).await;
    let film = json!({ "prompt": "A 5 second ad for a brass desk lamp, calm and warm", "duration": 5 });
    let video = system.create(&film).await;
    system.wait_for(&video, "paused_at_phase1").await;
    approve(&system, &video).await;
    kill_postgres(&system).await;
    system.wait_for(&video, "paused_at_phase2").await;
    // In the middle of a chunk: its worker has something to report, and nobody can record it.
    ffmpeg.hold();
    approve(&system, &video).await;
    ffmpeg.is_in_use().await;
    kill_postgres(&system).await;
    ffmpeg.release();
    system.wait_for(&video, "paused_at_phase3").await;

    let history = system.history(&video).await;
    let count = |name: &str| history.iter().filter(|event| event["type"] == name).count();
    assert_eq!((count("phase_started"), count("checkpoint_approved"), count("job_failed")), (3, 2, 0), "{history:#?}");
}

#[tokio::test]
async fn a_deployment_that_was_killed_leaves_no_process_and_goes_on_at_the_next_start() {
    let ffmpeg = StandIn::new();
    let mut system = System::of_processes(Setup::default().with_errors()).await;
    let _database = Elsewhere(system.data().join("postgres"));
    let supervisor = start(&mut system, &ffmpeg).await;
    let film = json!({ "prompt": "A 5 second ad for a brass desk lamp, calm and warm", "duration": 5 });
    let video = system.create(&film).await;
    system.wait_for(&video, "paused_at_phase1").await;

    let processes = descendants_of(supervisor);
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).expect("it runs");
    until("nothing is left", SOON, async || processes.iter().all(|(pid, name)| !lives(*pid, name)).then_some(())).await;
    let stopped = system.dailies(&["cluster", "stop"]);
    assert!(String::from_utf8_lossy(&stopped.stderr).contains("no cluster runs in"), "{stopped:?}");

    start(&mut system, &ffmpeg).await;
    approve(&system, &video).await;
    system.wait_for(&video, "paused_at_phase2").await;
}

/// A database whose files lie outside the data folder, as they do for root: gone with the test.
struct Elsewhere(PathBuf);

impl Drop for Elsewhere {
    fn drop(&mut self) {
        if let Ok(folder) = std::fs::read_link(&self.0) {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Starts it and waits until it says where it is; gives its process.
async fn start(system: &mut System, ffmpeg: &StandIn) -> i32 {
    let data = system.data();
    let mut command = dailies();
    command.arg("--data").arg(&data).args(["cluster", "--coordinator", "2", "--gateways", "2", "--chunk", "2"]);
    command.args(["--listen", "127.0.0.1:0", "--nats-port", "0"]);
    command.env("DAILIES_MEDIA__FFMPEG", ffmpeg.program()).env("DAILIES_NATS__STORAGE_MIB", "256");
    let pid = Child::id(system.spawn(command)).cast_signed();
    let address = until("`dailies cluster` says where it is", FILM, async || {
        assert!(lives(pid, "dailies"), "it has ended:\n{}", system.log());
        let text = std::fs::read(data.join("up.json")).ok()?;
        let address: Value = serde_json::from_slice(&text).ok()?;
        (address["pid"] == pid).then_some(address)
    })
    .await;
    system.url = text(&address["url"]).to_owned();
    system.nats_url = text(&address["nats"]).to_owned();
    until("the gateway is ready", SOON, async || {
        let ready = system.request(reqwest::Method::GET, "/readyz").send().await.ok()?;
        (ready.status() == 200).then_some(())
    })
    .await;
    pid
}

/// Approves the checkpoint that waits. While a reader of commands is replaced, an approval is stored and nobody answers;
/// while the stream chooses a leader it is not stored, and asked for again as the answer says.
async fn approve(system: &System, video: &str) {
    let checkpoint = system.current(video).await["checkpoint_id"].clone();
    let path = format!("/api/video/{video}/continue");
    until("the approval is taken", SOON, async || {
        let (status, answer) = system.post(&path, &json!({ "checkpoint_id": checkpoint })).await;
        assert!(matches!(status, 200 | 202 | 503), "{answer}");
        (status != 503).then_some(())
    })
    .await;
}

/// The names of the node that leads the queue and of those that follow it.
async fn leader_of_jobs(system: &System) -> (String, Vec<String>) {
    let jetstream = jetstream::new(system.nats().await);
    until("the queue has a leader and two followers", SOON, async || {
        let cluster = jetstream.get_stream("JOBS").await.ok()?.cached_info().cluster.clone()?;
        let followers: Vec<_> = cluster.replicas.into_iter().map(|peer| peer.name).collect();
        Some((cluster.leader?, followers)).filter(|(_, followers)| followers.len() == 2)
    })
    .await
}

/// `kill -9`; waits until another process is the node and all copies are current again, because a second loss before that
/// is one too many.
async fn kill_node(system: &System, name: &str) {
    let file = system.data().join(name).join("nats-server.pid");
    let killed = read_pid(&file).expect("it runs");
    kill(Pid::from_raw(killed), Signal::SIGKILL).expect("it runs");
    until("the node is started again", SOON, async || read_pid(&file).filter(|pid| *pid != killed)).await;
    let log = system.data().join(name).join("nats-server.log");
    until("the node follows again", SOON, async || {
        let client = async_nats::connect(&system.nats_url).await.ok()?;
        let cluster = jetstream::new(client).get_stream("JOBS").await.ok()?.cached_info().cluster.clone()?;
        let current = cluster.replicas.iter().all(|peer| peer.current && !peer.offline);
        (cluster.leader.is_some() && current && log.exists()).then_some(())
    })
    .await;
}

/// The same with the database.
async fn kill_postgres(system: &System) {
    let file = system.data().join("postgres/data/postmaster.pid");
    let killed = read_pid(&file).expect("it runs");
    kill(Pid::from_raw(killed), Signal::SIGKILL).expect("it runs");
    until("PostgreSQL is started again", SOON, async || read_pid(&file).filter(|pid| *pid != killed)).await;
}

/// The first line of a file.
fn read_pid(file: &Path) -> Option<i32> {
    std::fs::read_to_string(file).ok()?.lines().next()?.trim().parse().ok()
}

/// Processes that a process started, with their names.
fn children_of(parent: i32) -> Vec<(i32, String)> {
    processes()
        .into_iter()
        .filter(|(_, its_parent, _)| *its_parent == parent)
        .map(|(pid, _, name)| (pid, name))
        .collect()
}

/// The same with what those started.
fn descendants_of(parent: i32) -> Vec<(i32, String)> {
    let children = children_of(parent);
    children.iter().flat_map(|(pid, _)| descendants_of(*pid)).chain(children.clone()).collect()
}

fn lives(pid: i32, name: &str) -> bool {
    processes().iter().any(|(its_pid, _, its_name)| *its_pid == pid && its_name == name)
}

/// Number, parent and name of what runs; a dead one whose parent has not looked does not.
fn processes() -> Vec<(i32, i32, String)> {
    let numbers = std::fs::read_dir("/proc").expect("a Linux machine").filter_map(Result::ok);
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    let running = numbers.filter_map(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, fields) = stat.split_once('(')?.1.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        let (state, parent) = (fields.next()?, fields.next()?.parse().ok()?);
        (state != "Z").then(|| (pid, parent, name.to_owned()))
    });
    running.collect()
}
