//! Films driven with the real `nats` command line.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::bad_days::smallest_film_unattended;
use crate::bad_days::stand_in::StandIn;
use crate::harness::{FILM, SOON, System, root, until};

/// A client of somebody else's: named by the variable, else where `./dev` puts it. Says so when there is none.
pub fn client(variable: &str, installed: &str, test: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).filter(|name| !name.is_empty()).map(PathBuf::from);
    let found = named.or_else(|| Some(root().join(installed)).filter(|file| file.is_file()));
    if found.is_none() {
        // Past the test runner's capture, so that a skipped test is never taken for a passed one.
        let line = format!("SKIPPED {test}: {variable} is not set and {installed} is not there; ./dev setup gets it\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    found
}

/// One command of the `nats` CLI and what it prints.
fn nats(program: &PathBuf, system: &System, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.arg("--server").arg(&system.nats_url).args(arguments).env_remove("NATS_CONTEXT");
    let said = command.stdin(Stdio::null()).output().expect("the nats command line runs");
    let told = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "nats {arguments:?}: {told}");
    told
}

#[tokio::test]
async fn the_nats_command_line_makes_watches_and_approves_a_film() {
    let test = "the_nats_command_line_makes_watches_and_approves_a_film";
    let Some(program) = client("DAILIES_NATS_CLI", ".tools/nats", test) else { return };
    let system = System::start().await;
    let heard = system.scratch().join("heard.txt");
    let mut watch = tokio::process::Command::new(&program);
    watch.arg("--server").arg(&system.nats_url).args(["sub", "video.*.*.event.>"]).env_remove("NATS_CONTEXT");
    let file = std::fs::File::create(&heard).expect("writable");
    let _watching = watch.stdin(Stdio::null()).stdout(file).kill_on_drop(true).spawn().expect("the nats CLI runs");
    let client = system.nats().await;
    let watching = async || {
        client.publish("video.local.nobody.event.probe", r#"{"type":"probe"}"#.into()).await.expect("NATS takes it");
        read(&heard).first().map(|_| ())
    };
    until("`nats sub` hears events", SOON, watching).await;

    let video = "vid-0195f0a0-2222-7000-8000-000000000001";
    let create = format!("video.local.{video}.cmd.create");
    nats(&program, &system, &["pub", &create, r#"{"prompt":"A 5 second ad for a brass compass","duration":5}"#]);
    until("the film is known", SOON, async || {
        let (status, _) = system.get(&format!("/api/status/{video}")).await;
        (status == 200).then_some(())
    })
    .await;
    system.wait_for(video, "paused_at_phase1").await;
    let checkpoint = system.current(video).await["checkpoint_id"].clone();
    let approve = format!("video.local.{video}.cmd.approve");
    nats(&program, &system, &["pub", &approve, &json!({ "checkpoint_id": checkpoint }).to_string()]);
    system.wait_for(video, "paused_at_phase2").await;

    let lines = until("`nats sub` shows the second checkpoint", SOON, async || {
        let lines = read(&heard);
        (lines.iter().filter(|event| event["type"] == "checkpoint_created").count() == 2).then_some(lines)
    });
    let lines = lines.await;
    assert!(lines.iter().any(|event| event["type"] == "checkpoint_approved" && event["how"] == "nats"), "{lines:?}");
    assert!(lines.iter().any(|event| event["type"] == "command_answered"), "{lines:?}");

    let status = nats(&program, &system, &["req", "--raw", &format!("query.local.{video}.status"), ""]);
    let status: Value = serde_json::from_str(status.trim()).expect("one line of JSON");
    assert_eq!((&status["status"], &status["video_id"]), (&json!("paused_at_phase2"), &json!(video)));
}

/// What `nats sub` has shown: for each event a heading, its headers, and one line of JSON.
fn read(heard: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(heard).expect("readable");
    let bodies: Vec<_> = text.lines().filter(|line| line.starts_with('{')).collect();
    // The last line may still be on its way.
    let whole = bodies.iter().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Value>>();
    assert!(whole.len() + 1 >= bodies.len(), "not every body is JSON:\n{text}");
    let headings = text.lines().filter(|line| line.starts_with("[#")).count();
    assert!(whole.len() + 1 >= headings, "not every event is one line of JSON:\n{text}");
    whole
}

#[tokio::test]
async fn the_nats_command_line_lists_services_and_streams() {
    let test = "the_nats_command_line_lists_services_and_streams";
    let Some(program) = client("DAILIES_NATS_CLI", ".tools/nats", test) else { return };
    let system = System::start().await;
    let listed = nats(&program, &system, &["micro", "ls"]);
    for service in ["coordinator", "planner", "storyboard", "chunk", "refine", "gateway"] {
        assert!(listed.contains(service), "{service} is not listed:\n{listed}");
    }
    let streams = nats(&program, &system, &["stream", "ls"]);
    for stream in ["VIDEO_COMMANDS", "JOBS", "VIDEO_EVENTS", "DEAD_LETTERS"] {
        assert!(streams.contains(stream), "{stream} is not there:\n{streams}");
    }
}

#[tokio::test]
async fn the_nats_command_line_reports_how_many_jobs_run_and_how_many_wait() {
    let test = "the_nats_command_line_reports_how_many_jobs_run_and_how_many_wait";
    let Some(program) = client("DAILIES_NATS_CLI", ".tools/nats", test) else { return };
    let ffmpeg = StandIn::new();
    let system = System::start_with(ffmpeg.setup()).await;
    ffmpeg.hold();
    // `dailies up` runs as many jobs of a service at a time as there are cores; each of these films has one chunk.
    let slots = std::thread::available_parallelism().expect("a machine with cores").get();
    let waiting = 2;
    for _ in 0..slots + waiting {
        system.create(&smallest_film_unattended()).await;
    }
    until("every slot has a chunk, and the others wait", FILM, async || {
        let report = nats(&program, &system, &["consumer", "report", "JOBS"]);
        (jobs(&report, "chunk") == (slots, waiting)).then_some(())
    })
    .await;
    let report = nats(&program, &system, &["consumer", "report", "JOBS"]);
    for idle in ["planner", "storyboard", "refine"] {
        assert_eq!(jobs(&report, idle), (0, 0), "{idle}:\n{report}");
    }

    ffmpeg.release();
    until("nobody waits any more", FILM, async || {
        let report = nats(&program, &system, &["consumer", "report", "JOBS"]);
        (jobs(&report, "chunk").1 == 0).then_some(())
    })
    .await;
}

/// How many jobs of a service run and how many wait, as a report on consumers shows it.
fn jobs(report: &str, service: &str) -> (usize, usize) {
    let rows = report.lines().filter(|line| line.starts_with('│'));
    let mut rows = rows.map(|line| line.split('│').map(str::trim).collect::<Vec<_>>());
    let heading = rows.by_ref().find(|cells| cells.contains(&"Ack Pending"));
    let heading = heading.unwrap_or_else(|| panic!("no heading:\n{report}"));
    let row = rows.find(|cells| cells.get(1) == Some(&service));
    let row = row.unwrap_or_else(|| panic!("{service} is not reported:\n{report}"));
    let figure = |name: &str| {
        let column = heading.iter().position(|cell| *cell == name).unwrap_or_else(|| panic!("no {name}:\n{report}"));
        // `2 / 33%`
        let figure = row[column].split_whitespace().next().and_then(|figure| figure.parse().ok());
        figure.unwrap_or_else(|| panic!("{name} is no number:\n{report}"))
    };
    (figure("Ack Pending"), figure("Unprocessed"))
}
