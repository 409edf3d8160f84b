//! The figures, as a table for people and as JSON for scripts. Pure.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::driver::Throughput;
use super::raw::{Commits, Raw};
use super::served::Shape;
use crate::arguments::BenchOrchestration;

/// Completed videos a second; the least that is ahead of every peer.
const TARGET_VIDEOS: f64 = 1000.0;
const LEAST_VIDEOS: f64 = 400.0;
/// Milliseconds from an approval to the next phase's job in a worker's hands.
const TARGET_P50_MS: f64 = 1.5;
const TARGET_P99_MS: f64 = 3.0;
/// MiB beyond idle with so many videos at rest.
const TARGET_REST: [(u32, f64); 2] = [(10_000, 10.0), (100_000, 20.0)];
/// Seconds from `kill -9` to the first approval.
const TARGET_BACK_S: f64 = 1.0;

/// Everything that was measured.
#[derive(Debug)]
pub struct Report {
    settings: serde_json::Value,
    /// Where it ran.
    pub machine: Where,
    /// NATS on its own.
    pub nats: Option<Raw>,
    /// Each database on its own.
    pub commits: Vec<(&'static str, Commits)>,
    /// Throughput.
    pub rows: Vec<Row>,
    /// One video at a time.
    pub latencies: Vec<Latency>,
    /// Memory.
    pub rests: Vec<Rest>,
    /// `kill -9`.
    pub crashes: Vec<Crash>,
}

/// What a figure depends on beside the code.
#[derive(Debug, Serialize)]
pub struct Where {
    cores: usize,
    load_before: Option<f64>,
    /// The load when all was measured.
    pub load_after: Option<f64>,
    profile: &'static str,
    dailies: &'static str,
}

/// Videos made at full load.
#[derive(Debug)]
pub struct Row {
    /// Which database.
    pub database: &'static str,
    /// What a film is.
    pub shape: Shape,
    /// Whether every write of NATS waited for the disk.
    pub nats_sync_always: bool,
    /// How many in how long.
    pub made: Throughput,
    /// Processor seconds of the cluster and of `nats-server` before.
    pub before: Option<(f64, f64)>,
    /// The same after.
    pub spent: Option<(f64, f64)>,
}

/// Approval to job, one video at a time.
#[derive(Debug)]
pub struct Latency {
    /// Which database.
    pub database: &'static str,
    /// Each approval's.
    pub times: Vec<Duration>,
}

/// Memory with videos at rest.
#[derive(Debug, Clone, Serialize)]
pub struct Rest {
    /// Which database.
    pub database: &'static str,
    /// How many videos rest.
    pub paused: u32,
    /// The cluster's own process, MiB.
    pub ours_mib: Option<f64>,
    /// `nats-server`, MiB.
    pub nats_server_mib: Option<f64>,
}

/// The way back from `kill -9`.
#[derive(Debug)]
pub struct Crash {
    /// Which database.
    pub database: &'static str,
    /// How many videos rested.
    pub paused: u32,
    /// From the kill to the first approval decided.
    pub back: Duration,
}

impl Row {
    fn per_second(&self) -> f64 {
        f64::from(self.made.videos) / self.made.seconds
    }

    /// Processor milliseconds for each video: the cluster's own and `nats-server`'s.
    fn cost_ms(&self) -> Option<(f64, f64)> {
        let ((ours, nats), (ours_before, nats_before)) = (self.spent?, self.before?);
        let each = |seconds: f64| seconds * 1000.0 / f64::from(self.made.videos);
        Some((each(ours - ours_before), each(nats - nats_before)))
    }
}

impl Latency {
    /// Milliseconds.
    fn percentile(&self, percent: usize) -> f64 {
        let mut times = self.times.clone();
        times.sort_unstable();
        let at = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    }
}

impl Rest {
    /// As it was read.
    pub const fn of(
        database: &'static str,
        paused: u32,
        (ours_mib, nats_server_mib): (Option<f64>, Option<f64>),
    ) -> Self {
        Self { database, paused, ours_mib, nats_server_mib }
    }
}

impl Report {
    /// Nothing measured yet.
    pub fn new(arguments: &BenchOrchestration, load_before: Option<f64>) -> Self {
        let settings = json!({
            "in_flight": arguments.in_flight,
            "slots": arguments.slots,
            "slots_one_at_a_time": arguments.slots_one_at_a_time,
            "sql": "synced at every commit",
            "nats": "one server, default sync unless a row says always",
            "log": "warn",
        });
        let machine = Where {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load_before,
            load_after: None,
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
            dailies: env!("CARGO_PKG_VERSION"),
        };
        let (nats, commits, rows, latencies, rests, crashes) =
            (None, Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { settings, machine, nats, commits, rows, latencies, rests, crashes }
    }

    fn beyond_idle(&self, rest: &Rest) -> Option<f64> {
        let idle = self.rests.iter().find(|idle| idle.database == rest.database && idle.paused == 0)?;
        Some(rest.ours_mib? - idle.ours_mib?)
    }

    /// For scripts.
    pub fn json(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            json!({
                "database": row.database,
                "jobs_per_video": row.shape.jobs(),
                "nats_sync_always": row.nats_sync_always,
                "videos": row.made.videos,
                "videos_per_s": row.per_second(),
                "target_per_s": TARGET_VIDEOS,
                "processor_ms_per_video": row.cost_ms().map(|(ours, nats)| json!({ "ours": ours, "nats_server": nats })),
            })
        });
        let latencies = self.latencies.iter().map(|latency| {
            json!({
                "database": latency.database,
                "samples": latency.times.len(),
                "p50_ms": latency.percentile(50),
                "p99_ms": latency.percentile(99),
                "target_ms": [TARGET_P50_MS, TARGET_P99_MS],
            })
        });
        let rests = self.rests.iter().map(|rest| json!({ "rest": rest, "beyond_idle_mib": self.beyond_idle(rest) }));
        let crashes = self.crashes.iter().map(|crash| {
            json!({ "database": crash.database, "paused": crash.paused, "back_s": crash.back.as_secs_f64(), "target_s": TARGET_BACK_S })
        });
        let report = json!({
            "benchmark": "orchestration",
            "settings": self.settings,
            "machine": self.machine,
            "raw": {
                "nats": self.nats,
                "sql": self.commits.iter().map(|(database, commits)| json!({ "database": database, "appends_per_s": commits })).collect::<Vec<_>>(),
            },
            "throughput": rows.collect::<Vec<_>>(),
            "latency": latencies.collect::<Vec<_>>(),
            "at_rest": rests.collect::<Vec<_>>(),
            "kill_9": crashes.collect::<Vec<_>>(),
        });
        serde_json::to_string_pretty(&report).unwrap_or_default()
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut lines = Vec::new();
        for row in &self.rows {
            let sync = if row.nats_sync_always { "NATS synced always" } else { "" };
            let cost = row.cost_ms().map_or_else(String::new, |(ours, nats)| {
                format!("{ours:.2} + {nats:.2} ms processor each (ours + nats-server)")
            });
            let judged = if row.shape == Shape::Plain && !row.nats_sync_always {
                let reached = match row.per_second() {
                    most if most >= TARGET_VIDEOS => "met",
                    enough if enough >= LEAST_VIDEOS => "only the least is met",
                    _ => "MISSED",
                };
                format!("target {TARGET_VIDEOS:.0}, at least {LEAST_VIDEOS:.0}: {reached}")
            } else {
                String::new()
            };
            let jobs = row.shape.jobs().map(|jobs| jobs.to_string()).join("+");
            lines.push(format!(
                "{:<11} {jobs:<9} jobs {:>7.0} videos/s  {judged:<34} {cost}  {sync}",
                row.database,
                row.per_second()
            ));
        }
        for latency in &self.latencies {
            let (p50, p99) = (latency.percentile(50), latency.percentile(99));
            lines.push(format!(
                "{:<11} approval to job   p50 {p50:.2} ms, p99 {p99:.2} ms of {}  target {TARGET_P50_MS} and {TARGET_P99_MS} ms: {}",
                latency.database,
                latency.times.len(),
                met(p50 < TARGET_P50_MS && p99 < TARGET_P99_MS),
            ));
        }
        for rest in &self.rests {
            let target = TARGET_REST.iter().find(|(paused, _)| *paused == rest.paused);
            let beyond = self.beyond_idle(rest).unwrap_or_default();
            let judged =
                target.map_or_else(String::new, |(_, mib)| format!("target {mib:.0} MiB: {}", met(beyond < *mib)));
            lines.push(format!(
                "{:<11} {:>6} at rest    {:.1} MiB, {beyond:+.1} beyond idle  {judged}  (nats-server {:.1} MiB)",
                rest.database,
                rest.paused,
                rest.ours_mib.unwrap_or_default(),
                rest.nats_server_mib.unwrap_or_default(),
            ));
        }
        for crash in &self.crashes {
            lines.push(format!(
                "{:<11} kill -9 to the first approval {:.2} s with {} at rest  target {TARGET_BACK_S} s: {}",
                crash.database,
                crash.back.as_secs_f64(),
                crash.paused,
                met(crash.back.as_secs_f64() < TARGET_BACK_S),
            ));
        }
        if let Some(raw) = &self.nats {
            lines.push(format!(
                "NATS alone  {:.0} acknowledged publishes/s, {:.0}/s through a work queue, {:.0} requests/s one at a time, {:.0} with 64",
                raw.publishes, raw.queued, raw.requests_single, raw.requests_many
            ));
        }
        for (database, commits) in &self.commits {
            lines.push(format!(
                "{database} alone  {:.0} appends/s, {:.0} in groups of 256",
                commits.single, commits.grouped
            ));
        }
        lines.push(format!("settings  {}", self.settings));
        lines.push(format!("machine   {}", serde_json::to_string(&self.machine).unwrap_or_default()));
        lines.join("\n")
    }
}

const fn met(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
