//! What everyone may watch of an event, written without a detour: most of what a cluster publishes are events.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Event, Overrides, Recorded};
use crate::artifact::{Artifact, ArtifactKey, Content, Digest, ObjectRef};
use crate::command::Via;
use crate::id::{ArtifactId, BranchName, CheckpointId, CommandId, JobId, UserId, VideoId};
use crate::job::Spent;
use crate::money::Usd;
use crate::phase::Phase;
use crate::video::{Request, Settings};

/// An event with its place, without specs, plans and storage keys, which a query gives to those who want them.
#[derive(Debug, Serialize)]
pub struct PublicEvent<'a> {
    #[serde(flatten)]
    event: Shown<'a>,
    /// `{video}-{seq}`, by which repeats are recognised.
    pub id: String,
    /// When it was decided, RFC 3339 with milliseconds.
    pub time: String,
    video_id: VideoId,
    seq: u64,
    command_id: Option<&'a CommandId>,
}

impl PublicEvent<'_> {
    /// As JSON text.
    pub fn to_json(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(1 << 10);
        // Strings, finite numbers and lists, written to memory: this cannot fail.
        let _ = serde_json::to_writer(&mut text, self);
        text
    }

    /// As a JSON object.
    pub fn to_map(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(body)) => body,
            _ => Map::new(),
        }
    }
}

impl Recorded {
    /// What everyone may watch of it.
    pub fn public(&self, video: VideoId) -> PublicEvent<'_> {
        PublicEvent {
            event: Shown::of(&self.event),
            id: format!("{video}-{}", self.seq),
            time: rfc3339(self.time),
            video_id: video,
            seq: self.seq,
            command_id: self.command_id.as_ref(),
        }
    }
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Whole(&'a Event),
    Part(Part<'a>),
}

/// The events of which something is left out, or shown in another shape.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    VideoCreated {
        user: &'a UserId,
        request: &'a Request,
        settings: &'a Settings,
        catalogue: Digest,
        how: Via,
    },
    PhaseStarted {
        branch: &'a BranchName,
        phase: Phase,
        version: u32,
        checkpoint_id: CheckpointId,
        parent: Option<CheckpointId>,
        notes: &'a [String],
        artifacts: &'a [ArtifactKey],
        jobs: &'a [JobId],
    },
    JobDone {
        job: JobId,
        attempt: u32,
        artifacts: Vec<PublicArtifact>,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        spent: &'a [Spent],
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        starts: &'a [JobId],
    },
    /// Whoever knew the nonce could speak for the worker.
    JobClaimed {
        job: JobId,
        attempt: u32,
        input: Digest,
        price_usd: Usd,
    },
    SpecEdited {
        checkpoint_id: CheckpointId,
        artifact: PublicArtifact,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        warnings: &'a [String],
        by: &'a UserId,
        how: Via,
    },
    ArtifactOrdered {
        checkpoint_id: CheckpointId,
        key: ArtifactKey,
        version: u32,
        job: JobId,
        overrides: Box<PublicOverrides>,
        by: &'a Option<UserId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        how: &'a Option<Via>,
    },
}

impl<'a> Shown<'a> {
    fn of(event: &'a Event) -> Self {
        Self::Part(match event {
            Event::VideoCreated { user, request, settings, catalogue, how, body: _ } => {
                Part::VideoCreated { user, request, settings, catalogue: *catalogue, how: *how }
            }
            Event::PhaseStarted {
                branch,
                phase,
                version,
                checkpoint_id,
                parent,
                notes,
                chunk_plan: _,
                artifacts,
                jobs,
            } => Part::PhaseStarted {
                branch,
                phase: *phase,
                version: *version,
                checkpoint_id: *checkpoint_id,
                parent: *parent,
                notes,
                artifacts,
                jobs,
            },
            Event::JobDone { job, attempt, artifacts, spent, starts } => {
                let artifacts = artifacts.iter().map(PublicArtifact::of).collect();
                Part::JobDone { job: *job, attempt: *attempt, artifacts, spent, starts }
            }
            Event::JobClaimed { job, attempt, nonce: _, input, price_usd } => {
                Part::JobClaimed { job: *job, attempt: *attempt, input: *input, price_usd: *price_usd }
            }
            Event::SpecEdited { checkpoint_id, artifact, warnings, by, how } => {
                let artifact = PublicArtifact::of(artifact);
                Part::SpecEdited { checkpoint_id: *checkpoint_id, artifact, warnings, by, how: *how }
            }
            Event::ArtifactOrdered {
                checkpoint_id,
                key,
                version,
                job,
                overrides: overrides @ Overrides { import: Some(upload), .. },
                by,
                how,
            } => Part::ArtifactOrdered {
                checkpoint_id: *checkpoint_id,
                key: *key,
                version: *version,
                job: *job,
                overrides: Box::new(PublicOverrides {
                    other: Overrides { import: None, ..overrides.clone() },
                    import: PublicUpload { sha256: upload.sha256, object: PublicObject::of(upload) },
                }),
                by,
                how,
            },
            Event::JobFailed { .. }
            | Event::JobRetried { .. }
            | Event::JobSubmitted { .. }
            | Event::JobUnknown { .. }
            | Event::CheckpointPinned { .. }
            | Event::CheckpointCreated { .. }
            | Event::CheckpointApproved { .. }
            | Event::CheckpointRejected { .. }
            | Event::CheckpointAbandoned { .. }
            | Event::CheckpointsCollected { .. }
            | Event::BranchCreated { .. }
            | Event::ArtifactOrdered { .. }
            | Event::ArtifactReady { .. }
            | Event::ArtifactFailed { .. }
            | Event::ArtifactSelected { .. }
            | Event::ArtifactStale { .. }
            | Event::PhaseFailed { .. }
            | Event::BranchCompleted { .. }
            | Event::BranchCancelled { .. }
            | Event::SettingsChanged { .. }
            | Event::BudgetExceeded { .. }
            | Event::VideoDeleted { .. } => return Self::Whole(event),
        })
    }
}

/// An artifact without its spec or its object's key.
#[derive(Debug, Serialize)]
struct PublicArtifact {
    id: ArtifactId,
    artifact_key: ArtifactKey,
    artifact_type: &'static str,
    version: u32,
    sha256: Digest,
    #[serde(flatten)]
    object: Option<PublicObject>,
}

impl PublicArtifact {
    fn of(artifact: &Artifact) -> Self {
        Self {
            id: artifact.id,
            artifact_key: artifact.key,
            artifact_type: artifact.key.artifact_type(),
            version: artifact.version,
            sha256: artifact.content.digest(),
            object: match &artifact.content {
                Content::Object(object) => Some(PublicObject::of(object)),
                Content::Spec(_) => None,
            },
        }
    }
}

/// An object without its key.
#[derive(Debug, Serialize)]
struct PublicObject {
    size: u64,
    content_type: &'static str,
}

impl PublicObject {
    const fn of(object: &ObjectRef) -> Self {
        Self { size: object.size, content_type: object.media_type.content_type() }
    }
}

#[derive(Debug, Serialize)]
struct PublicOverrides {
    #[serde(flatten)]
    other: Overrides,
    import: PublicUpload,
}

#[derive(Debug, Serialize)]
struct PublicUpload {
    sha256: Digest,
    #[serde(flatten)]
    object: PublicObject,
}
