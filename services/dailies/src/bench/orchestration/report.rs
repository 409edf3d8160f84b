//! The figures, as a table for people and as JSON for scripts. Pure.

use std::time::Duration;

use coordinator::store::Durability;
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
    /// What commits of each database are worth; none where this program sets it and no server does.
    pub databases: Vec<(&'static str, Option<Durability>)>,
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
    /// The version of NATS, as the server itself says it.
    pub nats_server: Option<String>,
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
    /// Milliseconds; none of no times.
    fn percentile(&self, percent: usize) -> Option<f64> {
        let mut times = self.times.clone();
        times.sort_unstable();
        let at = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times.get(at).map(|time| time.as_secs_f64() * 1000.0)
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
            "nats": "one server, default sync unless a row says always",
            "log": "warn",
        });
        let machine = Where {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load_before,
            load_after: None,
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
            dailies: env!("CARGO_PKG_VERSION"),
            nats_server: None,
        };
        let (nats, commits, rows, latencies, rests, crashes) =
            (None, Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { settings, machine, databases: Vec::new(), nats, commits, rows, latencies, rests, crashes }
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
            "databases": self.databases.iter().map(|(database, durability)| json!({
                "database": database,
                "version": durability.as_ref().map(|said| &said.version),
                "fsync": durability.as_ref().map(|said| &said.fsync),
                "synchronous_commit": durability.as_ref().map(|said| &said.synchronous_commit),
                "commits": worth(durability.as_ref()),
            })).collect::<Vec<_>>(),
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
            let cost = row.cost_ms().map_or_else(
                || format!("processor {NOT_MEASURED}"),
                |(ours, nats)| format!("{ours:.2} + {nats:.2} ms processor each (ours + nats-server)"),
            );
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
            let reached = p50.zip(p99).map(|(p50, p99)| p50 < TARGET_P50_MS && p99 < TARGET_P99_MS);
            lines.push(format!(
                "{:<11} approval to job   p50 {}, p99 {} of {}  target {TARGET_P50_MS} and {TARGET_P99_MS} ms: {}",
                latency.database,
                figure(p50, |ms| format!("{ms:.2} ms")),
                figure(p99, |ms| format!("{ms:.2} ms")),
                latency.times.len(),
                figure(reached, met),
            ));
        }
        for rest in &self.rests {
            let target = TARGET_REST.iter().find(|(paused, _)| *paused == rest.paused);
            let beyond = self.beyond_idle(rest);
            let judged = target.map_or_else(String::new, |(_, mib)| {
                format!("target {mib:.0} MiB: {}", figure(beyond, |beyond| met(beyond < *mib)))
            });
            lines.push(format!(
                "{:<11} {:>6} at rest    {}, beyond idle {}  {judged}  (nats-server {})",
                rest.database,
                rest.paused,
                figure(rest.ours_mib, |mib| format!("{mib:.1} MiB")),
                figure(beyond, |mib| format!("{mib:+.1}")),
                figure(rest.nats_server_mib, |mib| format!("{mib:.1} MiB")),
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
        for (database, durability) in &self.databases {
            let said = durability.as_ref().map_or_else(String::new, |said| {
                let Durability { version, fsync, synchronous_commit } = said;
                format!("{version}, fsync {fsync}, synchronous_commit {synchronous_commit}: ")
            });
            lines.push(format!("{database:<11} {said}{}", worth(durability.as_ref())));
        }
        lines.push(format!("NATS        nats-server {}", figure(self.machine.nats_server.as_ref(), Clone::clone)));
        lines.push(format!("settings  {}", self.settings));
        lines.push(format!("machine   {}", serde_json::to_string(&self.machine).unwrap_or_default()));
        lines.join("\n")
    }
}

const fn met(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// What stands where a figure is missing.
const NOT_MEASURED: &str = "not measured";

/// A figure in words, if there is one.
fn figure<T, S: Into<String>>(measured: Option<T>, words: impl FnOnce(T) -> S) -> String {
    measured.map_or_else(|| NOT_MEASURED.to_owned(), |measured| words(measured).into())
}

/// Whether a commit is on disk when it is answered.
fn worth(durability: Option<&Durability>) -> &'static str {
    match durability {
        None => "every commit is synced, as this program opens its file",
        Some(said) if said.fsync == "off" || said.synchronous_commit == "off" => {
            "NOT SYNCED: a commit may be answered and lost"
        }
        Some(_) => "every commit is synced, but for those of reading positions and of marks of what has left",
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::Value;

    use super::*;
    use crate::arguments::{Arguments, Bench, Command};

    fn report() -> Report {
        let arguments = Arguments::try_parse_from(["dailies", "bench", "orchestration"]).expect("they are read");
        let Command::Bench(Bench::Orchestration(arguments)) = arguments.command else { panic!("they are others") };
        Report::new(&arguments, None)
    }

    fn rest(paused: u32, ours_mib: Option<f64>) -> Rest {
        Rest::of("SQLite", paused, (ours_mib, None))
    }

    fn read(report: &Report) -> Value {
        serde_json::from_str(&report.json()).expect("JSON")
    }

    fn line(report: &Report, part: &str) -> String {
        let table = report.table();
        table.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part} in {table}")).to_owned()
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let mut report = report();
        report.latencies.push(Latency { database: "SQLite", times: Vec::new() });
        report.rests.extend([rest(0, None), rest(10_000, Some(60.0)), rest(100_000, None)]);
        let made = Throughput { videos: 100, seconds: 0.1 };
        let (shape, nats_sync_always) = (Shape::Plain, false);
        report.rows.push(Row { database: "SQLite", shape, nats_sync_always, made, before: None, spent: None });

        let latency = line(&report, "approval to job");
        assert!(latency.contains("p50 not measured, p99 not measured of 0"), "{latency}");
        for judged in [latency, line(&report, "10000 at rest"), line(&report, "100000 at rest")] {
            assert!(judged.contains("ms: not measured") || judged.contains("MiB: not measured"), "{judged}");
            assert!(!judged.contains("met") && !judged.contains("MISSED"), "{judged}");
        }
        assert!(line(&report, "10000 at rest").contains("60.0 MiB, beyond idle not measured"), "{}", report.table());
        assert!(line(&report, "videos/s").contains("processor not measured"), "{}", report.table());
        assert!(line(&report, "NATS  ").ends_with("not measured"), "{}", report.table());

        let json = read(&report);
        assert_eq!((&json["latency"][0]["p50_ms"], &json["latency"][0]["p99_ms"]), (&Value::Null, &Value::Null));
        for rest in 0..3 {
            assert_eq!(json["at_rest"][rest]["beyond_idle_mib"], Value::Null);
        }
        assert_eq!(json["at_rest"][2]["rest"]["ours_mib"], Value::Null);
        assert_eq!(json["throughput"][0]["processor_ms_per_video"], Value::Null);
        assert_eq!(json["machine"]["nats_server"], Value::Null);
    }

    #[test]
    fn what_was_measured_is_judged() {
        let mut report = report();
        let times = [1, 1, 1, 40].map(Duration::from_millis).to_vec();
        report.latencies.push(Latency { database: "SQLite", times });
        report.rests.extend([rest(0, Some(50.0)), rest(10_000, Some(60.5)), rest(100_000, Some(69.0))]);
        report.machine.nats_server = Some("2.15.1".to_owned());
        let latency = line(&report, "approval to job");
        assert!(latency.contains("p50 1.00 ms, p99 40.00 ms of 4") && latency.ends_with("MISSED"), "{latency}");
        assert!(line(&report, "10000 at rest").contains("beyond idle +10.5  target 10 MiB: MISSED"));
        assert!(line(&report, "100000 at rest").contains("beyond idle +19.0  target 20 MiB: met"));
        assert!(line(&report, "NATS  ").ends_with("nats-server 2.15.1"));
        let json = read(&report);
        assert_eq!(
            (&json["latency"][0]["p99_ms"], &json["at_rest"][1]["beyond_idle_mib"]),
            (&json!(40.0), &json!(10.5))
        );
    }

    #[test]
    fn commits_are_said_to_be_synced_only_where_the_server_says_so() {
        let set = |fsync: &str, synchronous_commit: &str| {
            let version = "17.2".to_owned();
            let (fsync, synchronous_commit) = (fsync.to_owned(), synchronous_commit.to_owned());
            ("PostgreSQL", Some(Durability { version, fsync, synchronous_commit }))
        };
        for (fsync, commit, synced) in [("on", "on", true), ("off", "on", false), ("on", "off", false)] {
            let mut report = report();
            report.databases.extend([("SQLite", None), set(fsync, commit)]);
            assert!(line(&report, "SQLite").contains("every commit is synced"));
            let said = line(&report, "PostgreSQL");
            assert!(said.contains(&format!("17.2, fsync {fsync}, synchronous_commit {commit}")), "{said}");
            assert_eq!(said.contains("synced, but for those of reading positions"), synced, "{said}");
            assert_eq!(said.contains("NOT SYNCED"), !synced, "{said}");
            let json = read(&report);
            assert_eq!((&json["databases"][1]["fsync"], &json["databases"][0]["fsync"]), (&json!(fsync), &Value::Null));
        }
    }
}
