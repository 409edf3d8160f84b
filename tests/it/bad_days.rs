//! The bad days: what is killed, stopped, lost, full, broken or not there, and that films are finished all the same.
//!
//! | file | what happens |
//! |---|---|
//! | `deletion` | a video deleted while it is being made, and `kill -9` after it |
//! | `ends` | `kill -9` and Ctrl-C in every phase and around approvals |
//! | `full_store` | no room for objects |
//! | `lost_bus` | nats-server killed, its storage wiped dead or alive, its streams deleted |
//! | `media_tool` | ffmpeg away or out of order |
//! | `newer_jobs` | a worker of the previous version beside a coordinator of the next |
//! | `poison` | a job that kills every worker that takes it; its dead letter |
//! | `refusals` | what `dailies up` refuses to start with, in one sentence |
//! | `replicas` | services as processes of their own, one of them killed at work |
//!
//! [`stand_in`] is an ffmpeg that can be held up, so that "in the middle of a job" is no matter of luck; [`services`] are
//! those processes.

mod deletion;
mod ends;
mod full_store;
mod lost_bus;
mod media_tool;
mod newer_jobs;
mod poison;
mod refusals;
mod replicas;
mod services;
pub mod stand_in;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_nats::jetstream;
use serde_json::{Value, json};

use crate::harness::{SOON, System, text, until};

/// The smallest film: one beat, and with it one job of each kind.
fn smallest_film() -> Value {
    json!({ "prompt": "A 5 second ad for a brass desk lamp, calm and warm", "duration": 5 })
}

/// The same, asking nobody.
pub fn smallest_film_unattended() -> Value {
    let mut film = smallest_film();
    film["auto_continue"] = json!(true);
    film
}

/// What the jobs of the smallest film make, in the order of their names.
const JOBS: [&str; 6] = ["background", "beat_0", "chunk_0", "final", "spec", "stitched"];

/// Every job was done once and at its first attempt, and every version of an artifact is one object.
async fn assert_made_once(system: &System, video: &str) {
    let history = system.history(video).await;
    let mut done: Vec<_> = history
        .iter()
        .filter(|event| event["type"] == "job_done")
        .map(|event| {
            assert_eq!(event["attempt"], 1, "{event}");
            let job = text(&event["job"]);
            // cp-{uuid}-{artifact}-v{n}
            job.get(40..).and_then(|rest| rest.split_once("-v")).map_or(job, |(artifact, _)| artifact)
        })
        .collect();
    done.sort_unstable();
    assert_eq!(done, JOBS, "the jobs of {video}");

    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files_below(&system.data().join("objects")) {
        let path = file.display().to_string();
        // {key}_v{n}-{hash}.{ext}; records and scratch have another shape.
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.contains(video)
            && let Some((version, _)) = name.split_once('-').filter(|(version, _)| version.contains("_v"))
        {
            versions.entry(format!("{}/{version}", file.parent().unwrap_or(&file).display())).or_default().push(path);
        }
    }
    // Six of the seven jobs make objects, and chunks bring their last frame along.
    assert_eq!(versions.len(), 7, "{versions:#?}");
    for (version, files) in versions {
        assert_eq!(files.len(), 1, "{version}: {files:?}");
    }
}

/// Every file below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// Waits until the stream of events has everything that was recorded about the videos, and checks that each event is
/// there once, in order. Gives the outcomes of commands by command.
async fn assert_told_once(system: &System, videos: &[String]) -> BTreeMap<String, Vec<Value>> {
    let mut heads = BTreeMap::new();
    for video in videos {
        heads.insert(video.clone(), system.history(video).await.len() as u64);
    }
    let stream = jetstream::new(system.nats().await).get_stream("VIDEO_EVENTS").await.expect("the stream is there");
    let mut told: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut outcomes: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut next = 1;
    let complete = async || {
        let last = stream.get_info().await.ok()?.state.last_sequence;
        while next <= last {
            let message = stream.get_raw_message(next).await.expect("nothing is missing in the stream");
            next += 1;
            let body: Value = serde_json::from_slice(&message.payload).expect("events are JSON");
            match body["seq"].as_u64() {
                Some(seq) => told.entry(text(&body["video_id"]).to_owned()).or_default().push(seq),
                None => outcomes.entry(text(&body["command_id"]).to_owned()).or_default().push(body),
            }
        }
        heads.iter().all(|(video, head)| told.get(video).and_then(|seqs| seqs.iter().max()) >= Some(head)).then_some(())
    };
    until("the stream of events has everything", SOON, complete).await;
    for (video, head) in heads {
        assert_eq!(told[&video], (1..=head).collect::<Vec<_>>(), "the events of {video}");
    }
    outcomes
}

/// Waits until nothing is left of a system that has ended: its process group, its nats-server, its ports.
async fn assert_gone(group: i32, system: &System) {
    let folder = system.data().display().to_string();
    until("nothing of the system is left", SOON, async || living(group, &folder).is_empty().then_some(())).await;
    for url in [&system.url, &system.nats_url] {
        let address = url.split_once("://").map_or(url.as_str(), |(_, address)| address);
        // Somebody else's connection may go out from it for a moment.
        let is_free = async || std::net::TcpListener::bind(address).is_ok().then_some(());
        until("the port is free", SOON, is_free).await;
    }
}

/// The command lines of the processes that are in a group or name a folder.
fn living(group: i32, folder: &str) -> Vec<String> {
    let numbers = std::fs::read_dir("/proc").expect("a Linux machine").filter_map(Result::ok);
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    let living = numbers.filter_map(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // pid (name) state parent group; the name may hold anything, a bracket too.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let (state, its_group) = (fields.next()?, fields.nth(1)?.parse::<i32>().ok()?);
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        (state != "Z" && (its_group == group || line.contains(folder))).then(|| format!("{pid} {line}"))
    });
    living.collect()
}
