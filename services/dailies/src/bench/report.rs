//! The figures of a benchmark: medians and ratios, as a table for people and as JSON for scripts. Pure.

use std::num::NonZeroUsize;
use std::time::Duration;

use messages::phase::Phase;
use serde_json::{Value, json};

use super::film::Film;
use super::machine::Machine;
use super::memory::Peak;

/// What the cluster may take, as a multiple of the work itself.
pub const TARGET_RATIO: f64 = 1.05;
/// What each service may hold at its peak, in megabytes.
pub const TARGET_MB: f64 = 150.0;

/// The same film made both ways, one right after the other.
#[derive(Debug, Clone)]
pub struct Pair {
    /// By the cluster.
    pub cluster: Film,
    /// By plain calls.
    pub direct: Film,
}

impl Pair {
    fn ratio(&self) -> f64 {
        self.cluster.wall.as_secs_f64() / self.direct.wall.as_secs_f64()
    }

    /// Processor time may be unknown, or too short to compare.
    fn cpu_ratio(&self) -> Option<f64> {
        let (cluster, direct) = (self.cluster.cpu?.as_secs_f64(), self.direct.cpu?.as_secs_f64());
        (direct > 0.0).then(|| cluster / direct)
    }
}

/// Everything that was measured.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was asked for.
    pub prompt: String,
    /// The seed of the film.
    pub seed: u64,
    /// Jobs at a time, on both sides.
    pub jobs: NonZeroUsize,
    /// Where it was measured.
    pub machine: Machine,
    /// In the order in which they were made.
    pub pairs: Vec<Pair>,
    /// Peaks of separate processes, or why there are none.
    pub memory: Result<Vec<Peak>, String>,
}

impl Report {
    /// For scripts.
    pub fn json(&self) -> String {
        let film = self.pairs.first().map(|pair| {
            json!({ "prompt": self.prompt, "seed": self.seed, "seconds": pair.direct.seconds, "size": pair.direct.size })
        });
        let pairs = self.pairs.iter().map(|pair| {
            json!({
                "cluster_s": rounded(pair.cluster.wall.as_secs_f64()),
                "direct_s": rounded(pair.direct.wall.as_secs_f64()),
                "ratio": rounded(pair.ratio()),
                "cluster_cpu_s": pair.cluster.cpu.map(|cpu| rounded(cpu.as_secs_f64())),
                "direct_cpu_s": pair.direct.cpu.map(|cpu| rounded(cpu.as_secs_f64())),
            })
        });
        let phases = Phase::ALL.map(|phase| {
            let (cluster, direct) = (self.phase(cluster, phase), self.phase(direct, phase));
            json!({ "phase": phase.name(), "cluster_s": cluster.map(rounded), "direct_s": direct.map(rounded) })
        });
        let memory = match &self.memory {
            Ok(peaks) => peaks
                .iter()
                .map(|peak| {
                    json!({
                        "process": peak.process,
                        "peak_mb": rounded(peak.peak_mb),
                        "target_mb": peak.ours.then_some(TARGET_MB),
                        "met": peak.ours.then_some(peak.peak_mb < TARGET_MB),
                    })
                })
                .collect(),
            Err(reason) => Value::from(reason.as_str()),
        };
        let ratio = self.ratio();
        let report = json!({
            "benchmark": "media",
            "film": film,
            "same_film": self.is_same_film(),
            "jobs": self.jobs,
            "pairs": pairs.collect::<Vec<_>>(),
            "median": {
                "cluster_s": self.wall(cluster).map(rounded),
                "direct_s": self.wall(direct).map(rounded),
                "ratio": ratio.map(rounded),
                "cpu_ratio": self.cpu_ratio().map(rounded),
            },
            "target_ratio": TARGET_RATIO,
            "met": ratio.map(|ratio| ratio <= TARGET_RATIO),
            "phases": phases,
            "memory": memory,
            "machine": self.machine,
        });
        serde_json::to_string_pretty(&report).unwrap_or_default()
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut lines = vec![self.heading(), String::new()];
        lines.extend(self.times());
        lines.push(String::new());
        lines.extend(self.phases());
        lines.push(String::new());
        lines.extend(self.peaks());
        lines.push(String::new());
        lines.extend(self.settings());
        lines.join("\n")
    }

    fn heading(&self) -> String {
        let film = self.pairs.first().map(|pair| &pair.direct);
        let film = film.map(|film| format!("a film of {} s, {}", film.seconds, film.size)).unwrap_or_default();
        let same = if self.is_same_film() { "the same bytes both ways" } else { "NOT THE SAME BYTES both ways" };
        format!("{film}, {same}")
    }

    fn times(&self) -> Vec<String> {
        let seconds = |film: fn(&Pair) -> &Film| -> Vec<Option<f64>> {
            self.pairs.iter().map(|pair| Some(film(pair).wall.as_secs_f64())).collect()
        };
        let cpu = |film: fn(&Pair) -> &Film| -> Vec<Option<f64>> {
            self.pairs.iter().map(|pair| film(pair).cpu.map(|cpu| cpu.as_secs_f64())).collect()
        };
        let ratios: Vec<_> = self.pairs.iter().map(|pair| Some(pair.ratio())).collect();
        let cpu_ratios: Vec<_> = self.pairs.iter().map(Pair::cpu_ratio).collect();

        let numbers = (1..=self.pairs.len()).map(|number| format!("{:>9}", format!("pair {number}")));
        let head = row("", numbers.chain([format!("{:>9}", "median"), "   target  met".to_owned()]));
        let target = format!("{TARGET_RATIO:>9.2}  {}", met(self.ratio().map(|ratio| ratio <= TARGET_RATIO)));
        vec![
            head,
            row("by the cluster, s", cells(&seconds(cluster), 2)),
            row("by plain calls, s", cells(&seconds(direct), 2)),
            row("ratio", cells(&ratios, 3).into_iter().chain([target])),
            row("processor time of the cluster, s", cells(&cpu(cluster), 2)),
            row("processor time of plain calls, s", cells(&cpu(direct), 2)),
            row("ratio", cells(&cpu_ratios, 3)),
        ]
    }

    fn phases(&self) -> Vec<String> {
        let head = ["cluster s", "plain s", "adds s"].map(|name| format!("{name:>9}"));
        let mut lines = vec![row("medians by phase", head)];
        for phase in Phase::ALL {
            let (cluster, direct) = (self.phase(cluster, phase), self.phase(direct, phase));
            let adds = cluster.zip(direct).map(|(cluster, direct)| cluster - direct);
            lines.push(row(&format!("  {}", phase.name()), [cluster, direct, adds].map(|cell| figure(cell, 2))));
        }
        lines
    }

    fn peaks(&self) -> Vec<String> {
        let peaks = match &self.memory {
            Ok(peaks) => peaks,
            Err(reason) => return vec![format!("peak memory was not measured: {reason}")],
        };
        let mut lines = vec![row("peak memory of each process", ["  peak MB   target  met".to_owned()])];
        lines.extend(peaks.iter().map(|peak| {
            let target = match peak.ours {
                true => format!("{TARGET_MB:>9.0}  {}", met(Some(peak.peak_mb < TARGET_MB))),
                false => format!("{:>9}", "-"),
            };
            row(&format!("  {}", peak.process), [figure(Some(peak.peak_mb), 0), target])
        }));
        lines
    }

    fn settings(&self) -> Vec<String> {
        let Machine { cores, load_before, load_after, profile, dailies, ffmpeg, nats_server, system } = &self.machine;
        let load = |load: &Option<f64>| load.map_or_else(|| "?".to_owned(), |load| format!("{load:.1}"));
        let jobs = self.jobs;
        let mut lines = vec![
            format!("{jobs} job(s) at a time both ways; in a chunk's job one thread draws and one encodes"),
            format!("{cores} cores, load {} before and {} after, {system}", load(load_before), load(load_after)),
            format!("dailies {dailies} ({profile}), ffmpeg {ffmpeg}, nats-server {nats_server}; seed {}", self.seed),
            "The ratio's median is that of the pairs' ratios. The cluster's time runs from the command to the event that"
                .to_owned(),
            "the film is finished, checkpoints approving themselves; its processor time includes nats-server's. Plain"
                .to_owned(),
            "calls run the same handlers with the same seeds, without NATS, SQL and object store.".to_owned(),
        ];
        // What others compute meanwhile falls on either side by chance.
        if load_before.is_some_and(|load| load > *cores as f64 / 2.0) {
            lines.push(
                "The machine was busy with other work: trust the processor times more than the others.".to_owned(),
            );
        }
        lines
    }

    /// Whether every film has the content of every other, checkpoint by checkpoint.
    fn is_same_film(&self) -> bool {
        let mut films = self.pairs.iter().flat_map(|pair| [&pair.cluster, &pair.direct]);
        let first = films.next();
        films.all(|film| first.is_some_and(|first| first.digests == film.digests && first.seconds == film.seconds))
    }

    fn ratio(&self) -> Option<f64> {
        median(self.pairs.iter().map(Pair::ratio).collect())
    }

    fn cpu_ratio(&self) -> Option<f64> {
        median(self.pairs.iter().filter_map(Pair::cpu_ratio).collect())
    }

    fn wall(&self, film: fn(&Pair) -> &Film) -> Option<f64> {
        median(self.pairs.iter().map(|pair| film(pair).wall.as_secs_f64()).collect())
    }

    fn phase(&self, film: fn(&Pair) -> &Film, phase: Phase) -> Option<f64> {
        let took = self.pairs.iter().filter_map(|pair| film(pair).phases.get(&phase));
        median(took.map(Duration::as_secs_f64).collect())
    }
}

const fn cluster(pair: &Pair) -> &Film {
    &pair.cluster
}

const fn direct(pair: &Pair) -> &Film {
    &pair.direct
}

/// The middle value, or the mean of the two in the middle; none of nothing.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let is_odd = values.len() % 2 == 1;
    Some(if is_odd { upper } else { f64::midpoint(*values.get(middle - 1)?, upper) })
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn row(label: &str, cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<_> = cells.into_iter().collect();
    format!("{label:<33}{}", cells.concat())
}

/// Figures and their median, nine columns each.
fn cells(values: &[Option<f64>], decimals: usize) -> Vec<String> {
    let median = median(values.iter().copied().flatten().collect());
    values.iter().copied().chain([median]).map(|value| figure(value, decimals)).collect()
}

fn figure(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| format!("{:>9}", "-"), |value| format!("{value:>9.decimals$}"))
}

const fn met(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "yes",
        Some(false) => "no",
        None => "-",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use messages::artifact::Digest;

    use super::*;

    fn film(seconds: f64, content: &str) -> Film {
        Film {
            wall: Duration::from_secs_f64(seconds),
            cpu: Some(Duration::from_secs_f64(seconds * 2.0)),
            phases: Phase::ALL.map(|phase| (phase, Duration::from_secs_f64(seconds / 4.0))).into(),
            digests: BTreeMap::from([(Phase::Refine, Digest::of(content.as_bytes()))]),
            seconds: 30.0,
            size: "1280x720".to_owned(),
        }
    }

    fn report(walls: &[(f64, f64)], memory: Result<Vec<Peak>, String>) -> Report {
        let pair =
            |(cluster, direct): &(f64, f64)| Pair { cluster: film(*cluster, "film"), direct: film(*direct, "film") };
        Report {
            prompt: "a film".to_owned(),
            seed: 1,
            jobs: NonZeroUsize::MIN,
            machine: Machine {
                cores: 2,
                load_before: Some(0.5),
                load_after: None,
                profile: "debug",
                dailies: "0.1.0",
                ffmpeg: "5.1.6".to_owned(),
                nats_server: "2.15.1".to_owned(),
                system: "linux x86_64".to_owned(),
            },
            pairs: walls.iter().map(pair).collect(),
            memory,
        }
    }

    fn read(report: &Report) -> Value {
        serde_json::from_str(&report.json()).expect("JSON")
    }

    #[test]
    fn the_median_is_the_middle_and_of_an_even_number_the_mean_of_two() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0, 4.0]), Some(3.0));
    }

    #[test]
    fn one_slow_pair_does_not_decide_the_ratio() {
        let report = read(&report(&[(10.2, 10.0), (40.0, 10.0), (20.8, 20.0)], Ok(Vec::new())));
        assert_eq!(report["median"]["ratio"], 1.04);
        assert_eq!(report["met"], true);
        assert_eq!(report["median"]["direct_s"], 10.0);
    }

    #[test]
    fn a_missed_target_is_said_in_both_forms() {
        let peaks = vec![
            Peak { process: "chunk", peak_mb: 151.2, ours: true },
            Peak { process: "nats-server", peak_mb: 300.0, ours: false },
        ];
        let report = report(&[(12.0, 10.0)], Ok(peaks));
        let table = report.table();
        let line = |start: &str| table.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned();
        assert!(line("ratio").ends_with("1.200     1.05  no"), "{table}");
        assert!(line("  chunk ").ends_with("151      150  no"), "{table}");
        assert!(line("  nats-server").ends_with("300        -"), "{table}");
        let json = read(&report);
        assert_eq!((&json["met"], &json["memory"][0]["met"]), (&Value::from(false), &Value::from(false)));
        assert_eq!(json["memory"][1]["met"], Value::Null);
    }

    #[test]
    fn figures_of_a_busy_machine_say_so() {
        let mut report = report(&[(10.0, 10.0)], Ok(Vec::new()));
        assert!(!report.table().contains("busy"), "{}", report.table());
        report.machine.load_before = Some(6.0);
        assert!(report.table().contains("The machine was busy"), "{}", report.table());
    }

    #[test]
    fn another_film_is_noticed() {
        let mut report = report(&[(10.0, 10.0)], Err("not asked for".to_owned()));
        assert!(report.table().contains("a film of 30 s, 1280x720, the same bytes both ways"), "{}", report.table());
        assert!(report.table().contains("peak memory was not measured: not asked for"), "{}", report.table());
        report.pairs[0].cluster = film(10.0, "another film");
        assert!(report.table().contains("NOT THE SAME BYTES"), "{}", report.table());
        assert_eq!(read(&report)["same_film"], false);
    }
}
