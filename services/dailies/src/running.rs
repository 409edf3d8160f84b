//! How far running phases are: told by events and progress notes, shown as bars or plain lines. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use messages::artifact::ArtifactKey;
use messages::id::{BranchName, CheckpointId, JobId};
use messages::job::Progress;
use messages::phase::Phase;

use crate::columns::{clean, cut, pad};
use crate::happened::{Happened, Seen};

/// Every branch whose phase runs.
#[derive(Debug, Default)]
pub struct Running {
    branches: BTreeMap<BranchName, PhaseRun>,
}

#[derive(Debug)]
struct PhaseRun {
    phase: Phase,
    checkpoint: CheckpointId,
    /// Jobs, each named by what it makes; those that are done have 1.
    jobs: BTreeMap<ArtifactKey, f64>,
    /// None when it began before somebody looked on, perhaps with a pause of days in between.
    started: Option<DateTime<Utc>>,
    /// Whether it failed or was cancelled, and waits for a retry.
    stopped: bool,
}

impl Running {
    /// Takes an event in, and says what a reader of plain lines should know.
    pub fn event(&mut self, seen: &Seen) -> Option<String> {
        match &seen.happened {
            Happened::PhaseStarted { branch, phase, checkpoint_id, artifacts, .. } => {
                let jobs: BTreeMap<_, _> =
                    artifacts.iter().filter(|key| has_job(**key)).map(|key| (*key, 0.0)).collect();
                let line = format!("{}: started, {}", name(*phase, branch), jobs_in_words(jobs.len()));
                let run = PhaseRun {
                    phase: *phase,
                    checkpoint: *checkpoint_id,
                    jobs,
                    started: Some(seen.time),
                    stopped: false,
                };
                self.branches.insert(branch.clone(), run);
                Some(line)
            }
            Happened::JobDone { job } => {
                let (branch, run) = self.run_of(*job)?;
                run.jobs.insert(job.artifact, 1.0);
                let line =
                    format!("{}: {} done, {} of {}", name(run.phase, branch), job.artifact, run.done(), run.jobs.len());
                Some(line)
            }
            Happened::CheckpointCreated { branch, .. } => {
                let run = self.branches.remove(branch)?;
                let seconds = |started: DateTime<Utc>| (seen.time - started).num_milliseconds().max(0) as f64 / 1000.0;
                let time = run.started.map(|started| format!(" in {:.1} s", seconds(started))).unwrap_or_default();
                Some(format!("{}: finished{time}", name(run.phase, branch)))
            }
            // What is done stays done: a retry goes on from here.
            Happened::PhaseFailed { branch, .. } | Happened::BranchCancelled { branch, .. } => {
                if let Some(run) = self.branches.get_mut(branch) {
                    run.stopped = true;
                }
                None
            }
            Happened::VideoDeleted { .. } => {
                self.branches.clear();
                None
            }
            Happened::JobFailed { job, .. } => {
                if let Some((_, run)) = self.run_of(*job) {
                    run.jobs.insert(job.artifact, 0.0);
                }
                None
            }
            Happened::JobRetried { job, .. } => {
                if let Some((_, run)) = self.run_of(*job) {
                    run.jobs.insert(job.artifact, 0.0);
                    run.stopped = false;
                }
                None
            }
            Happened::VideoCreated { .. }
            | Happened::JobClaimed { .. }
            | Happened::JobSubmitted { .. }
            | Happened::JobUnknown { .. }
            | Happened::CheckpointApproved { .. }
            | Happened::CheckpointRejected { .. }
            | Happened::CheckpointAbandoned { .. }
            | Happened::CheckpointPinned { .. }
            | Happened::ArtifactOrdered { .. }
            | Happened::ArtifactStale { .. }
            | Happened::BranchCreated { .. }
            | Happened::SpecEdited { .. }
            | Happened::ArtifactReady { .. }
            | Happened::ArtifactFailed { .. }
            | Happened::ArtifactSelected { .. }
            | Happened::BranchCompleted { .. }
            | Happened::BudgetExceeded { .. }
            | Happened::SettingsChanged { .. }
            | Happened::Other => None,
        }
    }

    /// Takes a worker's note in. It only ever moves a bar forward: notes may come late, and after the job is done.
    pub fn progress(&mut self, note: &Progress) {
        if let Some((_, run)) = self.run_of(note.job)
            && let Some(fraction) = run.jobs.get_mut(&note.job.artifact)
        {
            // One is for what is recorded as done.
            *fraction = fraction.max(note.fraction.clamp(0.0, 0.99));
        }
    }

    /// Everything so far happened before somebody looked on.
    pub fn forget_times(&mut self) {
        for run in self.branches.values_mut() {
            run.started = None;
        }
    }

    /// Whether any phase runs.
    pub fn is_idle(&self) -> bool {
        self.branches.values().all(|run| run.stopped)
    }

    /// A bar for each phase and, below it, one for each job that is under way.
    pub fn bars(&self, columns: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for (branch, run) in self.branches.iter().filter(|(_, run)| !run.stopped) {
            let done = format!("{} of {} · {:.0} %", run.done(), run.jobs.len(), 100.0 * run.fraction());
            lines.push(bar(&name(run.phase, branch), run.fraction(), &done, columns));
            let under_way = run.jobs.iter().filter(|(_, fraction)| (0.0..1.0).contains(*fraction) && **fraction > 0.0);
            for (key, fraction) in under_way {
                lines.push(bar(&format!("  {key}"), *fraction, &format!("{:.0} %", 100.0 * fraction), columns));
            }
        }
        lines
    }

    fn run_of(&mut self, job: JobId) -> Option<(&BranchName, &mut PhaseRun)> {
        self.branches.iter_mut().find(|(_, run)| run.checkpoint == job.checkpoint)
    }
}

impl PhaseRun {
    fn done(&self) -> usize {
        self.jobs.values().filter(|fraction| **fraction >= 1.0).count()
    }

    fn fraction(&self) -> f64 {
        self.jobs.values().sum::<f64>() / self.jobs.len().max(1) as f64
    }
}

/// A last frame comes with its chunk, and a thumbnail with its mix.
const fn has_job(key: ArtifactKey) -> bool {
    !matches!(key, ArtifactKey::ChunkLastFrame(_) | ArtifactKey::Thumbnail)
}

/// A phase, with its branch where that is not main.
pub fn name(phase: Phase, branch: &BranchName) -> String {
    if *branch == BranchName::main() { phase.name().to_owned() } else { format!("{} ({branch})", phase.name()) }
}

fn jobs_in_words(jobs: usize) -> String {
    if jobs == 1 { "1 job".to_owned() } else { format!("{jobs} jobs") }
}

fn bar(label: &str, fraction: f64, figure: &str, columns: usize) -> String {
    const LABEL: usize = 14;
    const FIGURE: usize = 16;
    let label = pad(&clean(label), LABEL);
    let room = columns.saturating_sub(LABEL + FIGURE + 2).min(40);
    if room < 6 {
        return cut(&format!("{} {figure}", label.trim_end()), columns);
    }
    let full = (fraction.clamp(0.0, 1.0) * room as f64).round() as usize;
    cut(&format!("{label} {}{} {figure}", "━".repeat(full), "╌".repeat(room - full)), columns)
}

#[cfg(test)]
mod tests {
    use messages::id::VideoId;

    use super::*;
    use crate::columns::width;

    fn video() -> VideoId {
        "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid")
    }

    fn at(seconds: i64, happened: Happened) -> Seen {
        let time = DateTime::from_timestamp(1_700_000_000 + seconds, 0).expect("valid");
        Seen { seq: 1, time, command_id: None, happened }
    }

    fn started(phase: Phase, artifacts: &[ArtifactKey]) -> Happened {
        let checkpoint_id = job(phase, ArtifactKey::Spec).checkpoint;
        let artifacts = artifacts.to_vec();
        Happened::PhaseStarted { branch: BranchName::main(), phase, version: 1, checkpoint_id, artifacts }
    }

    fn job(phase: Phase, artifact: ArtifactKey) -> JobId {
        JobId { checkpoint: CheckpointId::derived(video(), &BranchName::main(), phase, 1), artifact, version: 1 }
    }

    fn note(job: JobId, fraction: f64) -> Progress {
        Progress { kind: "progress".into(), job, attempt: 1, worker: "w".into(), fraction, time: DateTime::UNIX_EPOCH }
    }

    #[test]
    fn a_phase_is_told_from_its_start_to_its_end() {
        let mut running = Running::default();
        let beats = [ArtifactKey::Beat(0), ArtifactKey::Beat(1)];
        let mut tell = |seconds, happened| running.event(&at(seconds, happened));
        assert_eq!(tell(0, started(Phase::Storyboard, &beats)).as_deref(), Some("storyboard: started, 2 jobs"));
        let done = Happened::JobDone { job: job(Phase::Storyboard, beats[1]) };
        assert_eq!(tell(2, done).as_deref(), Some("storyboard: beat_1 done, 1 of 2"));
        let created = Happened::CheckpointCreated {
            checkpoint_id: job(Phase::Storyboard, beats[0]).checkpoint,
            branch: BranchName::main(),
            phase: Phase::Storyboard,
            version: 1,
        };
        assert_eq!(tell(3, created).as_deref(), Some("storyboard: finished in 3.0 s"));
        assert!(running.is_idle());
    }

    #[test]
    fn what_comes_with_something_else_is_no_job() {
        let mut running = Running::default();
        let mut tell = |happened| running.event(&at(0, happened));
        let made = [ArtifactKey::Background, ArtifactKey::Final, ArtifactKey::Thumbnail];
        assert_eq!(tell(started(Phase::Refine, &made)).as_deref(), Some("refine: started, 2 jobs"));
        tell(Happened::JobDone { job: job(Phase::Refine, ArtifactKey::Background) });
        let mixed = Happened::JobDone { job: job(Phase::Refine, ArtifactKey::Final) };
        assert_eq!(tell(mixed).as_deref(), Some("refine: final done, 2 of 2"));
        // The mix of an older worker brings no thumbnail, so that one is made after all.
        let thumbnail = Happened::JobDone { job: job(Phase::Refine, ArtifactKey::Thumbnail) };
        assert_eq!(tell(thumbnail).as_deref(), Some("refine: thumbnail done, 3 of 3"));
    }

    #[test]
    fn bars_move_forward_only_and_fit_every_width() {
        let mut running = Running::default();
        let chunks =
            [ArtifactKey::Chunk(0), ArtifactKey::ChunkLastFrame(0), ArtifactKey::Chunk(1), ArtifactKey::Stitched];
        running.event(&at(0, started(Phase::Chunks, &chunks)));
        running.progress(&note(job(Phase::Chunks, ArtifactKey::Chunk(0)), 0.5));
        running.progress(&note(job(Phase::Chunks, ArtifactKey::Chunk(0)), 0.2));
        running.progress(&note(job(Phase::Refine, ArtifactKey::Final), 0.9));
        let bars = running.bars(80);
        assert_eq!(bars.len(), 2, "one for the phase, one for the chunk under way: {bars:?}");
        assert!(bars[0].ends_with("0 of 3 · 17 %"), "{bars:?}");
        assert!(bars[1].ends_with("50 %"), "{bars:?}");
        for columns in 5..130 {
            assert!(running.bars(columns).iter().all(|line| width(line) <= columns), "{columns}");
        }
    }

    #[test]
    fn a_retry_goes_on_from_what_is_done() {
        let mut running = Running::default();
        let chunks = [ArtifactKey::Chunk(0), ArtifactKey::Chunk(1)];
        running.event(&at(0, started(Phase::Chunks, &chunks)));
        running.event(&at(1, Happened::JobDone { job: job(Phase::Chunks, chunks[0]) }));
        let (branch, phase) = (BranchName::main(), Phase::Chunks);
        running.event(&at(2, Happened::PhaseFailed { branch, phase, reason: "no space left".into() }));
        assert!(running.is_idle() && running.bars(80).is_empty());
        let retried = Happened::JobRetried { job: job(Phase::Chunks, chunks[1]), attempt: 2, by: None, how: None };
        running.event(&at(9, retried));
        assert!(running.bars(80)[0].ends_with("1 of 2 · 50 %"), "{:?}", running.bars(80));
    }

    #[test]
    fn a_late_note_does_not_undo_what_is_done() {
        let mut running = Running::default();
        running.event(&at(0, started(Phase::Planning, &[ArtifactKey::Spec])));
        let spec = job(Phase::Planning, ArtifactKey::Spec);
        running.event(&at(1, Happened::JobDone { job: spec }));
        running.progress(&note(spec, 0.3));
        assert!(running.bars(80)[0].ends_with("1 of 1 · 100 %"));
    }
}
