//! One of every event. The coordinator's stored rows are frozen from the same ones.

use messages::artifact::{ArtifactKey, Content, Digest, MediaType};
use messages::command::Via;
use messages::event::{Event, Overrides, Recorded};
use messages::id::BranchName;
use messages::job::FailureKind;
use messages::phase::Phase;

use crate::parts::{
    artifact, artifact_id, branch, checkpoint, command_id, job, nonce, object, planned_chunk, request, settings, spec,
    spent, time, usd, user,
};

every_variant!(
    /// Fails when an event has no sample.
    every_event_is_here, name, Event, {
        Event::VideoCreated { .. } => "video_created",
        Event::PhaseStarted { .. } => "phase_started",
        Event::JobDone { .. } => "job_done",
        Event::JobFailed { .. } => "job_failed",
        Event::JobRetried { .. } => "job_retried",
        Event::JobClaimed { .. } => "job_claimed",
        Event::JobSubmitted { .. } => "job_submitted",
        Event::JobUnknown { .. } => "job_unknown",
        Event::CheckpointCreated { .. } => "checkpoint_created",
        Event::CheckpointApproved { .. } => "checkpoint_approved",
        Event::CheckpointRejected { .. } => "checkpoint_rejected",
        Event::CheckpointAbandoned { .. } => "checkpoint_abandoned",
        Event::CheckpointsCollected { .. } => "checkpoints_collected",
        Event::CheckpointPinned { .. } => "checkpoint_pinned",
        Event::BranchCreated { .. } => "branch_created",
        Event::SpecEdited { .. } => "spec_edited",
        Event::ArtifactOrdered { .. } => "artifact_ordered",
        Event::ArtifactReady { .. } => "artifact_ready",
        Event::ArtifactFailed { .. } => "artifact_failed",
        Event::ArtifactSelected { .. } => "artifact_selected",
        Event::ArtifactStale { .. } => "artifact_stale",
        Event::PhaseFailed { .. } => "phase_failed",
        Event::BranchCompleted { .. } => "branch_completed",
        Event::BranchCancelled { .. } => "branch_cancelled",
        Event::SettingsChanged { .. } => "settings_changed",
        Event::BudgetExceeded { .. } => "budget_exceeded",
        Event::VideoDeleted { .. } => "video_deleted",
    }
);

/// All of them, numbered as if they were one video's journal; its catalogue has the digest given.
pub fn journal(catalogue: Digest) -> Vec<Recorded> {
    let by_command = |seq: u64| seq % 2 == 1;
    (1..)
        .zip(events(catalogue))
        .map(|(seq, event)| Recorded {
            seq,
            time: time(seq as i64),
            command_id: by_command(seq).then(command_id),
            event,
        })
        .collect()
}

/// Events that have gained fields since they were first frozen, with these.
pub fn newer() -> Vec<Recorded> {
    let (drawing, beat) = (checkpoint(Phase::Storyboard), ArtifactKey::Beat(1));
    let events = [
        Event::JobRetried { job: job(beat), attempt: 2, not_before: time(60), by: Some(user()), how: Some(Via::Cli) },
        Event::ArtifactOrdered {
            checkpoint_id: drawing,
            key: beat,
            version: 3,
            job: job(beat),
            overrides: Overrides { import: Some(object(beat, MediaType::Webp)), ..Overrides::default() },
            by: Some(user()),
            how: Some(Via::Http),
        },
    ];
    let recorded = |(seq, event)| Recorded { seq, time: time(seq as i64), command_id: Some(command_id()), event };
    (1u64..).zip(events).map(recorded).collect()
}

fn events(catalogue: Digest) -> Vec<Event> {
    let (planning, drawing) = (checkpoint(Phase::Planning), checkpoint(Phase::Storyboard));
    let (beat, chunk) = (ArtifactKey::Beat(1), ArtifactKey::Chunk(1));
    let digest = Digest::of(b"a selection");
    vec![
        Event::VideoCreated {
            user: user(),
            request: request(),
            settings: settings(),
            catalogue,
            how: Via::Http,
            body: Digest::of(b"a body"),
        },
        Event::PhaseStarted {
            branch: branch("main-1"),
            phase: Phase::Chunks,
            version: 2,
            checkpoint_id: checkpoint(Phase::Chunks),
            parent: Some(drawing),
            notes: vec!["warmer".into()],
            chunk_plan: vec![planned_chunk()],
            artifacts: vec![chunk, ArtifactKey::ChunkLastFrame(1), ArtifactKey::Stitched],
            jobs: vec![job(chunk)],
        },
        Event::JobDone {
            job: job(chunk),
            attempt: 3,
            artifacts: vec![
                artifact(chunk, Content::Object(object(chunk, MediaType::Mp4))),
                artifact(ArtifactKey::Spec, Content::Spec(Box::new(spec()))),
            ],
            spent: vec![spent()],
            starts: vec![job(ArtifactKey::Stitched)],
        },
        Event::JobFailed {
            job: job(beat),
            attempt: 1,
            kind: FailureKind::RetryLater,
            reason: "the brush broke".into(),
            gave_up: false,
        },
        Event::JobRetried { job: job(beat), attempt: 2, not_before: time(60), by: None, how: None },
        Event::JobClaimed {
            job: job(chunk),
            attempt: 3,
            nonce: nonce(),
            input: Digest::of(b"a request"),
            price_usd: usd(280_000),
        },
        Event::JobSubmitted { job: job(chunk), attempt: 3, provider_job: "prediction-17".into() },
        Event::JobUnknown { job: job(chunk), attempt: 3, price_usd: usd(280_000) },
        Event::CheckpointCreated {
            checkpoint_id: drawing,
            branch: BranchName::main(),
            phase: Phase::Storyboard,
            version: 1,
            parent: Some(planning),
            digest,
            warnings: vec!["the last beat is not of the closing group".into()],
            estimate_next_usd: usd(840_000),
        },
        Event::CheckpointApproved {
            checkpoint_id: drawing,
            asked: planning,
            branch: BranchName::main(),
            phase: Phase::Storyboard,
            by: user(),
            how: Via::Cli,
            note: Some("lovely".into()),
            digest,
        },
        Event::CheckpointRejected {
            checkpoint_id: drawing,
            branch: BranchName::main(),
            by: user(),
            how: Via::Nats,
            notes: "darker".into(),
            superseded_by: checkpoint(Phase::Chunks),
        },
        Event::CheckpointAbandoned { checkpoint_id: drawing, branch: BranchName::main(), by: user(), how: Via::Http },
        Event::CheckpointPinned { checkpoint_id: drawing, pinned: true, by: user(), how: Via::Http },
        Event::BranchCreated {
            branch: branch("main-1"),
            from: planning,
            checkpoint_id: drawing,
            version: 1,
            digest,
            by: user(),
            how: Via::Http,
        },
        Event::SpecEdited {
            checkpoint_id: planning,
            artifact: artifact(ArtifactKey::Spec, Content::Spec(Box::new(spec()))),
            warnings: vec!["the first beat is not of the opening group".into()],
            by: user(),
            how: Via::Http,
        },
        Event::ArtifactOrdered {
            checkpoint_id: drawing,
            key: beat,
            version: 2,
            job: job(beat),
            overrides: Overrides {
                prompt: Some("at night".into()),
                model: Some("painter".into()),
                seed: Some(11),
                template: Some("luxury_showcase".into()),
                creativity: Some(0.75),
                notes: Some("moodier".into()),
                import: None,
            },
            by: Some(user()),
            how: None,
        },
        Event::ArtifactReady { checkpoint_id: drawing, key: beat, version: 2, selected: true },
        Event::ArtifactFailed { checkpoint_id: drawing, key: beat, version: 3, reason: "no paint left".into() },
        Event::ArtifactSelected {
            checkpoint_id: drawing,
            key: beat,
            artifact_id: artifact_id(beat, 1),
            from_checkpoint: Some(planning),
            by: user(),
            how: Via::Policy,
        },
        Event::ArtifactStale { checkpoint_id: drawing, keys: vec![ArtifactKey::Beat(0), beat] },
        Event::PhaseFailed {
            branch: BranchName::main(),
            phase: Phase::Refine,
            checkpoint_id: checkpoint(Phase::Refine),
            reason: "the band left".into(),
        },
        Event::BranchCompleted { branch: BranchName::main(), checkpoint_id: checkpoint(Phase::Refine) },
        Event::BranchCancelled { branch: BranchName::main(), jobs: vec![job(beat)], by: user(), how: Via::Cli },
        Event::SettingsChanged { settings: settings(), by: user(), how: Via::Http },
        Event::BudgetExceeded {
            branch: BranchName::main(),
            checkpoint_id: drawing,
            estimate_usd: usd(840_000),
            budget_usd: usd(500_000),
        },
        Event::VideoDeleted { by: user(), how: Via::Http },
        Event::CheckpointsCollected {
            checkpoint_ids: vec![drawing],
            artifacts: vec![artifact_id(beat, 1), artifact_id(beat, 2)],
            bytes: 81_920,
        },
    ]
}
