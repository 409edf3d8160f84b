//! Events as a person at a terminal needs them: read from their public bodies, with what nobody prints left out.
//!
//! Unknown events and fields are passed over, so that an older command line can watch a newer cluster.

use chrono::{DateTime, Utc};
use messages::artifact::ArtifactKey;
use messages::command::Via;
use messages::id::{BranchName, CheckpointId, CommandId, JobId, UserId};
use messages::money::Usd;
use messages::phase::Phase;
use messages::video::Settings;
use serde::Deserialize;
use serde_json::{Map, Value};

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its place in the video's history.
    pub seq: u64,
    /// When it was decided.
    pub time: DateTime<Utc>,
    /// The command that caused it.
    pub command_id: Option<CommandId>,
    /// What happened.
    pub happened: Happened,
}

/// What happened, as far as it is shown.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are those of messages::event::Event")]
pub enum Happened {
    VideoCreated {
        user: UserId,
        how: Via,
    },
    PhaseStarted {
        branch: BranchName,
        phase: Phase,
        version: u32,
        checkpoint_id: CheckpointId,
        artifacts: Vec<ArtifactKey>,
    },
    JobDone {
        job: JobId,
    },
    JobFailed {
        job: JobId,
        attempt: u32,
        reason: String,
        gave_up: bool,
    },
    JobRetried {
        job: JobId,
        attempt: u32,
        by: Option<UserId>,
        how: Option<Via>,
    },
    JobClaimed {
        job: JobId,
        price_usd: Usd,
    },
    JobSubmitted {
        job: JobId,
        provider_job: String,
    },
    JobUnknown {
        job: JobId,
        price_usd: Usd,
    },
    CheckpointCreated {
        checkpoint_id: CheckpointId,
        branch: BranchName,
        phase: Phase,
        version: u32,
    },
    CheckpointApproved {
        checkpoint_id: CheckpointId,
        asked: CheckpointId,
        branch: BranchName,
        phase: Phase,
        by: UserId,
        how: Via,
        note: Option<String>,
    },
    CheckpointRejected {
        checkpoint_id: CheckpointId,
        by: UserId,
        how: Via,
        notes: String,
    },
    CheckpointAbandoned {
        checkpoint_id: CheckpointId,
        by: UserId,
        how: Via,
    },
    CheckpointPinned {
        checkpoint_id: CheckpointId,
        pinned: bool,
        by: UserId,
        how: Via,
    },
    BranchCreated {
        branch: BranchName,
        from: CheckpointId,
        checkpoint_id: CheckpointId,
        version: u32,
        by: UserId,
        how: Via,
    },
    SpecEdited {
        checkpoint_id: CheckpointId,
        by: UserId,
        how: Via,
    },
    ArtifactOrdered {
        checkpoint_id: CheckpointId,
        key: ArtifactKey,
        version: u32,
        by: Option<UserId>,
        how: Option<Via>,
        overrides: Departure,
    },
    ArtifactReady {
        checkpoint_id: CheckpointId,
        key: ArtifactKey,
        version: u32,
        selected: bool,
    },
    ArtifactFailed {
        checkpoint_id: CheckpointId,
        key: ArtifactKey,
        version: u32,
        reason: String,
    },
    ArtifactSelected {
        checkpoint_id: CheckpointId,
        key: ArtifactKey,
        from_checkpoint: Option<CheckpointId>,
        by: UserId,
        how: Via,
    },
    ArtifactStale {
        checkpoint_id: CheckpointId,
        keys: Vec<ArtifactKey>,
    },
    PhaseFailed {
        branch: BranchName,
        phase: Phase,
        reason: String,
    },
    BranchCompleted {
        branch: BranchName,
        checkpoint_id: CheckpointId,
    },
    BranchCancelled {
        branch: BranchName,
        by: UserId,
        how: Via,
    },
    BudgetExceeded {
        branch: BranchName,
        estimate_usd: Usd,
        budget_usd: Usd,
    },
    SettingsChanged {
        settings: Settings,
        by: UserId,
        how: Via,
    },
    VideoDeleted {
        by: UserId,
        how: Via,
    },
    #[serde(other)]
    Other,
}

/// What an order departs from, as far as it is shown.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Departure {
    /// Instead of the beat's prompt.
    pub prompt: Option<String>,
    /// What should be different.
    pub notes: Option<String>,
    /// An upload takes the artifact's place.
    pub import: Option<serde::de::IgnoredAny>,
}

impl Seen {
    /// Reads a public body. None for what is no numbered event: the outcome of a command, or not ours at all.
    pub fn read(body: &Map<String, Value>) -> Option<Self> {
        let field = |name: &str| body.get(name).cloned().unwrap_or(Value::Null);
        Some(Self {
            seq: body.get("seq")?.as_u64()?,
            time: serde_json::from_value(field("time")).ok()?,
            command_id: serde_json::from_value(field("command_id")).ok()?,
            happened: serde_json::from_value(Value::Object(body.clone())).unwrap_or(Happened::Other),
        })
    }
}

/// Who did something and through which door.
pub fn who(by: &UserId, how: Via) -> String {
    match how {
        Via::Http => format!("{by} over HTTP"),
        Via::Nats => format!("{by} over NATS"),
        Via::Cli => format!("{by} on the command line"),
        Via::Policy => "auto-continue".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use messages::event::{Event, Recorded};
    use messages::id::VideoId;

    use super::*;

    fn video() -> VideoId {
        "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid")
    }

    #[test]
    fn public_events_are_read_back() {
        let branch = BranchName::main();
        let recorded = Recorded {
            seq: 7,
            time: DateTime::from_timestamp(1_700_000_000, 0).expect("valid"),
            command_id: Some("cli-1".parse().expect("valid")),
            event: Event::BranchCancelled {
                branch: branch.clone(),
                jobs: Vec::new(),
                by: UserId::local(),
                how: Via::Nats,
            },
        };
        let seen = Seen::read(&recorded.public(video()).to_map()).expect("an event");
        assert_eq!((seen.seq, seen.time, seen.command_id), (7, recorded.time, recorded.command_id));
        assert_eq!(seen.happened, Happened::BranchCancelled { branch, by: UserId::local(), how: Via::Nats });
    }

    #[test]
    fn what_a_newer_cluster_says_is_passed_over() {
        let body = serde_json::json!({"type": "sung", "seq": 3, "time": "2026-01-01T00:00:00Z", "command_id": null});
        let seen = Seen::read(body.as_object().expect("an object")).expect("an event");
        assert_eq!((seen.seq, seen.happened), (3, Happened::Other));
        let outcome =
            serde_json::json!({"type": "command_answered", "command_id": "x", "time": "2026-01-01T00:00:00Z"});
        assert_eq!(Seen::read(outcome.as_object().expect("an object")), None);
    }
}
