//! One film that was made: how long it took, phase by phase, and what came out. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use messages::artifact::{ArtifactKey, Digest};
use messages::phase::Phase;
use messages::query::CheckpointView;

use crate::happened::{Happened, Seen};

/// A film with its figures.
#[derive(Debug, Clone)]
pub struct Film {
    /// From asking for it to its last checkpoint's approval.
    pub wall: Duration,
    /// Processor time of this process, what it ran, and `nats-server`, where the system tells it.
    pub cpu: Option<Duration>,
    /// How long each phase took.
    pub phases: BTreeMap<Phase, Duration>,
    /// The content of each phase's checkpoint, inherited artifacts included: equal content, equal digest.
    pub digests: BTreeMap<Phase, Digest>,
    /// How long the film is, in seconds.
    pub seconds: f64,
    /// Its pixels, `1280x720`.
    pub size: String,
}

impl Film {
    /// The film that finished checkpoints hold; none when a part of it is missing.
    pub fn of(wall: Duration, cpu: Option<Duration>, diary: &Diary, checkpoints: &[CheckpointView]) -> Option<Self> {
        let last = checkpoints.iter().find(|view| view.phase_number == Phase::Refine)?;
        let film = &last.artifacts.get(&ArtifactKey::Final.to_string())?.metadata;
        let number = |name: &str| film.get(name).and_then(serde_json::Value::as_f64);
        Some(Self {
            wall,
            cpu,
            phases: diary.phases.clone(),
            digests: checkpoints.iter().map(|view| (view.phase_number, view.digest)).collect(),
            seconds: number("seconds")?,
            size: format!("{}x{}", number("width")?, number("height")?),
        })
    }
}

/// Notes how long phases take, from a video's events, and how it ends.
#[derive(Debug, Default)]
pub struct Diary {
    started: BTreeMap<Phase, DateTime<Utc>>,
    phases: BTreeMap<Phase, Duration>,
}

/// How a film ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It is there.
    Complete,
    /// It is not, for this reason.
    Failed(String),
}

impl Diary {
    /// Takes an event in, and says whether it was the last.
    pub fn event(&mut self, seen: &Seen) -> Option<Ended> {
        match &seen.happened {
            Happened::PhaseStarted { phase, .. } => {
                self.started.insert(*phase, seen.time);
            }
            Happened::CheckpointCreated { phase, .. } => {
                if let Some(started) = self.started.get(phase) {
                    self.phases.insert(*phase, (seen.time - *started).to_std().unwrap_or_default());
                }
            }
            Happened::BranchCompleted { .. } => return Some(Ended::Complete),
            Happened::PhaseFailed { reason, .. } => return Some(Ended::Failed(reason.clone())),
            Happened::BranchCancelled { .. } | Happened::VideoDeleted { .. } => {
                return Some(Ended::Failed("it was stopped".to_owned()));
            }
            // A passing failure would count as work.
            Happened::JobFailed { job, reason, .. } => {
                return Some(Ended::Failed(format!("{}: {reason}", job.artifact)));
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use messages::id::{BranchName, CheckpointId, VideoId};

    use super::*;

    fn at(milliseconds: i64, happened: Happened) -> Seen {
        let time = DateTime::from_timestamp_millis(1_700_000_000_000 + milliseconds).expect("valid");
        Seen { seq: 1, time, command_id: None, happened }
    }

    #[test]
    fn a_phase_lasts_from_its_start_to_its_checkpoint() {
        let video = VideoId::from_uuid(uuid::Uuid::nil());
        let (branch, phase) = (BranchName::main(), Phase::Chunks);
        let checkpoint_id = CheckpointId::derived(video, &branch, phase, 1);
        let mut diary = Diary::default();
        let started =
            Happened::PhaseStarted { branch: branch.clone(), phase, version: 1, checkpoint_id, artifacts: Vec::new() };
        assert_eq!(diary.event(&at(0, started)), None);
        let created = Happened::CheckpointCreated { checkpoint_id, branch: branch.clone(), phase, version: 1 };
        assert_eq!(diary.event(&at(2_500, created)), None);
        assert_eq!(diary.phases[&phase], Duration::from_millis(2_500));
        let done = Happened::BranchCompleted { branch, checkpoint_id };
        assert_eq!(diary.event(&at(2_600, done)), Some(Ended::Complete));
    }
}
