//! Small appends to try a store with.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use coordinator::store::{Append, PlannedJob, Store, VideoRow};
use messages::artifact::{ArtifactKey, Content, Digest, MediaType};
use messages::catalogue::Catalogue;
use messages::command::Via;
use messages::event::{CommandOutcome, Event, Recorded};
use messages::id::{ArtifactId, BranchName, CheckpointId, JobId, VideoId};
use messages::phase::Phase;
use messages::query::VideoStatus;
use messages::subject::Partition;
use serde_json::json;
use uuid::Uuid;

use crate::parts;

/// The n-th video.
pub fn video(n: u128) -> VideoId {
    VideoId::from_uuid(Uuid::from_u128(0x0195_f0a0_1111_7000_8000_0000_0000_0000 + n))
}

pub fn at(seconds: i64) -> DateTime<Utc> {
    parts::time(0) + TimeDelta::seconds(seconds)
}

pub fn catalogue() -> Arc<Catalogue> {
    Arc::new(parts::catalogue())
}

pub fn row(seconds: i64) -> VideoRow {
    VideoRow {
        catalogue: catalogue(),
        status: VideoStatus::Validating,
        progress: 12.5,
        title: Some("Patience".into()),
        prompt: "An ad for a mechanical watch".into(),
        created_at: at(0),
        updated_at: at(seconds),
        deleted: None,
        forgotten_since: None,
    }
}

/// The video's first event.
pub fn created(video: VideoId) -> Append {
    let created = Event::VideoCreated {
        user: parts::user(),
        request: parts::request(),
        settings: parts::settings(),
        catalogue: catalogue().digest(),
        how: Via::Nats,
        body: Digest::of(b"a body"),
    };
    append(video, vec![(1, created)])
}

/// An artifact that was made, as the event after `seq - 1`.
pub fn made(video: VideoId, seq: u64) -> Append {
    let job = job_id(video, seq as u32);
    let mut artifact = parts::artifact(job.artifact, Content::Object(parts::object(job.artifact, MediaType::Png)));
    artifact.id = artifact_id(video, seq);
    let done = Event::JobDone { job, attempt: 1, artifacts: vec![artifact], spent: Vec::new(), starts: Vec::new() };
    append(video, vec![(seq, done)])
}

pub fn append(video: VideoId, events: Vec<(u64, Event)>) -> Append {
    let last = events.last().map_or(0, |(seq, _)| *seq as i64);
    let recorded = |(seq, event)| Recorded { seq, time: at(seq as i64), command_id: Some(parts::command_id()), event };
    let row = (!events.is_empty()).then(|| row(last));
    Append {
        video,
        user: parts::user(),
        based_on: None,
        events: events.into_iter().map(recorded).collect(),
        row,
        plan: Vec::new(),
        ended: Vec::new(),
        spent: Vec::new(),
        garbage: Vec::new(),
        outcome: None,
    }
}

/// From before ids named their video: a table leads there.
pub fn artifact_id(video: VideoId, seq: u64) -> ArtifactId {
    let [.., checkpoint] = CheckpointId::derivations(video, &BranchName::main(), Phase::Storyboard, 1);
    ArtifactId::derived(video, checkpoint, ArtifactKey::Beat(0), seq as u32)
}

/// One whose id names its video.
pub fn naming_artifact_id(video: VideoId, seq: u64) -> ArtifactId {
    ArtifactId::derived(video, checkpoint(video), ArtifactKey::Beat(0), seq as u32)
}

pub fn checkpoint(video: VideoId) -> CheckpointId {
    CheckpointId::derived(video, &BranchName::main(), Phase::Storyboard, 1)
}

pub fn job_id(video: VideoId, version: u32) -> JobId {
    JobId { checkpoint: checkpoint(video), artifact: ArtifactKey::Beat(0), version }
}

pub fn job(video: VideoId, version: u32) -> PlannedJob {
    let id = job_id(video, version);
    PlannedJob {
        id,
        video,
        user: parts::user(),
        service: id.artifact.service(),
        attempt: 1,
        sends: 0,
        interactive: false,
        not_before: at(i64::from(version)),
        body: vec![0, 159, 146, 150].into(),
    }
}

/// How a command of that id ended.
pub fn outcome(id: &str, message: &str) -> CommandOutcome {
    CommandOutcome::CommandAnswered {
        command_id: id.parse().expect("valid"),
        first_command_id: id.parse().expect("valid"),
        answer: json!({"message": message}),
        time: at(9),
        trace: None,
    }
}

/// The numbers of the events that a journal has.
pub async fn seqs(store: &dyn Store, video: VideoId) -> Vec<u64> {
    store.load(video).await.expect("it loads").journal.iter().map(|recorded| recorded.seq).collect()
}

/// The jobs of a video that have not ended, oldest version first.
pub async fn jobs(store: &dyn Store, video: VideoId) -> Vec<PlannedJob> {
    let mut jobs = store.jobs(vec![Partition::of(video)]).await.expect("they are read");
    jobs.retain(|job| job.video == video);
    jobs.sort_by_key(|job| job.id.version);
    jobs
}
