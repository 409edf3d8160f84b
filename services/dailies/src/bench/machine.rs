//! What a figure depends on beside the code: cores, load, versions; and the clocks that the system keeps of processes.
//!
//! Processor times and peak memory are read from `/proc`, so on systems other than Linux they are absent.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use runtime::child::MediaTool;
use serde::Serialize;
use tokio::process::Command;

use crate::nats_server;

/// The machine and what was measured on it.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Processors that this process may use.
    pub cores: usize,
    /// Processes that wanted a core, averaged over one minute, before the first film.
    pub load_before: Option<f64>,
    /// The same after the last.
    pub load_after: Option<f64>,
    /// `debug` (the development profile) or `release`.
    pub profile: &'static str,
    /// The version of this program.
    pub dailies: &'static str,
    /// The media tool's.
    pub ffmpeg: String,
    /// The server's.
    pub nats_server: String,
    /// Operating system and processor architecture.
    pub system: String,
}

impl Machine {
    /// As it is now.
    pub async fn look(media: &MediaTool, load_before: Option<f64>) -> Self {
        let ffmpeg = said(&media.ffmpeg, "-version").await;
        let nats = match nats_server::find().await {
            Ok(program) => said(&program, "--version").await,
            Err(error) => error.to_string(),
        };
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load_before,
            load_after: load(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
            dailies: env!("CARGO_PKG_VERSION"),
            // `ffmpeg version 5.1.6-0+deb12u1 Copyright (c) ...`
            ffmpeg: ffmpeg.split_whitespace().nth(2).unwrap_or("unknown").to_owned(),
            // `nats-server: v2.15.1`
            nats_server: nats.split_whitespace().nth(1).unwrap_or("unknown").trim_start_matches('v').to_owned(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }
}

async fn said(program: &Path, argument: &str) -> String {
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.output().await.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// The load average over one minute.
pub fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// The most memory that a process has held at a time, in megabytes of a million bytes.
pub fn peak_mb(pid: u32) -> Option<f64> {
    peak_in(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn peak_in(status: &str) -> Option<f64> {
    Some(bytes_in(status, "VmHWM:")? / 1e6)
}

/// The memory that a process holds now, in bytes.
pub fn resident(pid: u32) -> Option<f64> {
    bytes_in(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:")
}

fn bytes_in(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// Counts processor time of this process, of the tools that it ran, and of one more process.
#[derive(Debug)]
pub struct CpuClock {
    other: Option<u32>,
    before: Option<Duration>,
}

impl CpuClock {
    /// Counts from now on.
    pub fn start(other: Option<u32>) -> Self {
        Self { other, before: spent(other) }
    }

    /// What was spent since.
    pub fn elapsed(&self) -> Option<Duration> {
        spent(self.other)?.checked_sub(self.before?)
    }
}

/// Processor seconds that a process has spent so far.
pub fn processor_seconds(pid: u32) -> Option<f64> {
    Some(ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?, 2)? as f64 / 100.0)
}

fn spent(other: Option<u32>) -> Option<Duration> {
    let ours = ticks(&std::fs::read_to_string("/proc/self/stat").ok()?, 4)?;
    let theirs = match other {
        Some(pid) => ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?, 2)?,
        None => 0,
    };
    // Linux counts these in hundredths of a second for every program, whatever its own clock does.
    Some(Duration::from_millis(10 * (ours + theirs)))
}

/// The sum of the first `count` of: user and system time of a process, then of its children that have ended.
fn ticks(stat: &str, count: usize) -> Option<u64> {
    // The name stands in parentheses and may hold anything; after it the third field begins.
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(count);
    fields.map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_memory_is_read_in_millions_of_bytes() {
        let status = "Name:\tgateway\nVmPeak:\t  900000 kB\nVmHWM:\t   97656 kB\nVmRSS:\t 80000 kB\n";
        assert!((peak_in(status).expect("is there") - 100.0).abs() < 0.001);
        assert_eq!(peak_in("Name:\tgateway\n"), None);
    }

    #[test]
    fn processor_time_is_found_behind_any_process_name() {
        let stat = "42 (a) b (c) S 1 1 1 0 -1 4194560 100 200 0 0 150 50 30 20 20 0 8 0 12345";
        assert_eq!(ticks(stat, 4), Some(250));
        assert_eq!(ticks(stat, 2), Some(200));
        assert_eq!(ticks("42 (a", 2), None);
    }
}
