//! Nothing of the coordinator's answers is lost on the way to HTTP.

use messages::artifact::{ArtifactKey, Digest};
use messages::command::Code;
use messages::id::{ArtifactId, BranchName, CheckpointId, JobId, VideoId};
use messages::money::Usd;
use messages::phase::Phase;
use messages::query::{self, BranchState};
use messages::video::{self, AutoContinueLimits};
use serde::de::DeserializeOwned;

use super::*;

fn video_id() -> VideoId {
    "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid")
}

fn checkpoint_id() -> CheckpointId {
    CheckpointId::derived(video_id(), &BranchName::main(), Phase::Storyboard, 1)
}

fn time() -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp(1_770_000_000, 5_000_000).expect("valid")
}

fn artifact() -> query::ArtifactView {
    let id = ArtifactId::derived(video_id(), checkpoint_id(), ArtifactKey::Beat(0), 1);
    query::ArtifactView {
        id,
        artifact_type: "beat_image".into(),
        artifact_key: ArtifactKey::Beat(0),
        s3_url: query::artifact_link(id),
        version: 1,
        metadata: Map::from_iter([("seed".to_owned(), Value::from(7))]),
        created_at: time(),
    }
}

fn allowed() -> query::Allowed {
    let code = Some(Code::ArtifactStale);
    query::Allowed { command: "approve".into(), allowed: false, code, reason: Some("stale".into()) }
}

fn checkpoint() -> query::CheckpointView {
    query::CheckpointView {
        checkpoint_id: checkpoint_id(),
        video_id: video_id(),
        branch_name: BranchName::main(),
        phase_number: Phase::Storyboard,
        version: 1,
        parent_checkpoint_id: Some(checkpoint_id()),
        status: "pending".into(),
        created_at: time(),
        approved_at: Some(time()),
        superseded_by: Some(checkpoint_id()),
        digest: Digest::of(b"x"),
        edited: true,
        can_continue: false,
        pinned: false,
        collected: true,
        warnings: vec!["the first beat is not of the opening group".into()],
        estimate_next_usd: Usd::from_micros(760_000),
        remake_usd: BTreeMap::from([("beat_0".to_owned(), Usd::from_micros(25_000))]),
        artifacts: BTreeMap::from([("beat_0".to_owned(), artifact())]),
        versions: BTreeMap::from([("beat_0".to_owned(), vec![artifact(), artifact()])]),
        stale: vec![ArtifactKey::Chunk(1)],
        in_flight: vec![ArtifactKey::Chunk(2)],
        allowed: vec![allowed()],
    }
}

fn status() -> query::Status {
    let job = JobId { checkpoint: checkpoint_id(), artifact: ArtifactKey::Beat(0), version: 1 };
    let leaf = |children| query::TreeNode {
        checkpoint: query::TreeCheckpoint {
            checkpoint_id: checkpoint_id(),
            branch_name: BranchName::main(),
            phase_number: Phase::Planning,
            version: 1,
            parent_checkpoint_id: None,
            status: "approved".into(),
            created_at: time(),
            digest: Digest::of(b"x"),
            collected: true,
        },
        children,
    };
    query::Status {
        video_id: video_id(),
        status: VideoStatus::PausedAtPhase2,
        progress: 50.0,
        current_phase: "storyboard".into(),
        error: Some("why".into()),
        storyboard_urls: vec![artifact().s3_url],
        chunk_urls: vec![artifact().s3_url],
        stitched_video_url: Some(artifact().s3_url),
        final_video_url: Some(artifact().s3_url),
        current_chunk_index: Some(1),
        total_chunks: Some(3),
        current_checkpoint: Some(checkpoint()),
        checkpoint_tree: vec![leaf(vec![leaf(Vec::new())])],
        active_branches: vec![BranchName::main()],
        branches: vec![query::BranchView {
            branch_name: BranchName::main(),
            latest_checkpoint_id: Some(checkpoint_id()),
            phase_number: Phase::Storyboard,
            status: VideoStatus::PausedAtPhase2,
            state: BranchState::BlockedBudget,
            can_continue: true,
            progress: 50.0,
            running_jobs: vec![query::JobView { job, artifact_key: ArtifactKey::Beat(0), attempt: 2 }],
            error: None,
            spent_usd: Usd::from_micros(25_000),
            shared_usd: Usd::ZERO,
            allowed: vec![allowed()],
        }],
        cost: query::CostSummary {
            spent_usd: Usd::from_micros(25_000),
            estimate_next_usd: Some(Usd::from_micros(760_000)),
            budget_usd: None,
        },
        revision: 17,
    }
}

fn comparison() -> query::Comparison {
    let pair = |verdict: &str, a, b| query::ArtifactDifference { verdict: verdict.to_owned(), a, b };
    let light = |text: &str| Value::from(text);
    query::Comparison {
        a: checkpoint_id(),
        b: checkpoint_id(),
        spec: vec![query::SpecDifference { path: "style.lighting".into(), a: light("low"), b: Value::Null }],
        artifacts: BTreeMap::from([
            ("beat_0".to_owned(), pair("changed", Some(artifact()), Some(artifact()))),
            ("beat_1".to_owned(), pair("only_in_b", None, Some(artifact()))),
        ]),
        cost_a_usd: Usd::from_micros(25_000),
        cost_b_usd: Usd::ZERO,
        cost_difference_usd: -0.025,
    }
}

fn passes<V: DeserializeOwned + Serialize>(answer: &impl Serialize) {
    let json = serde_json::to_value(answer).expect("writes");
    let view: V = serde_json::from_value(json.clone()).expect("reads");
    assert_eq!(serde_json::to_value(view).expect("writes"), json);
}

#[test]
fn no_field_of_an_answer_is_lost_on_the_way() {
    passes::<Status>(&status());
    passes::<Checkpoint>(&checkpoint());
    passes::<Comparison>(&comparison());
    let request = video::Request {
        prompt: "a watch on black sand".into(),
        description: None,
        models: video::Models { language: "a".into(), image: "b".into(), video: "c".into(), music: "d".into() },
        duration: Some(30),
        aspect_ratio: Some(messages::spec::AspectRatio::Portrait),
        template: None,
        creativity: 0.5,
        seed: 7,
    };
    let limits = AutoContinueLimits { until: Some(Phase::Chunks), max_cost_usd: Some(Usd::from_micros(2_000_000)) };
    for auto_continue in [video::AutoContinue::Off, video::AutoContinue::always(), video::AutoContinue::On(limits)] {
        passes::<Video>(&query::VideoView {
            video_id: video_id(),
            title: Some("Sand".into()),
            status: VideoStatus::Queued,
            progress: 0.0,
            request: request.clone(),
            auto_continue,
            budget_usd: Some(Usd::from_micros(5_000_000)),
            spent_usd: Usd::ZERO,
            created_at: time(),
            updated_at: time(),
            revision: 1,
        });
    }
    passes::<Videos>(&query::Videos {
        videos: vec![query::VideoSummary {
            video_id: video_id(),
            title: None,
            prompt: "a watch on black sand".into(),
            status: VideoStatus::Failed,
            progress: 12.5,
            created_at: time(),
            updated_at: time(),
        }],
        next_cursor: Some("c".into()),
    });
    passes::<Cost>(&query::Cost {
        spent_usd: Usd::from_micros(190_000),
        estimate_next_usd: None,
        budget_usd: None,
        ledger: vec![query::LedgerRow {
            branch: BranchName::main(),
            phase: Phase::Chunks,
            job: JobId { checkpoint: checkpoint_id(), artifact: ArtifactKey::Chunk(0), version: 1 },
            attempt: 1,
            artifact_key: ArtifactKey::Chunk(0),
            model: "hailuo_fast".into(),
            unit: "generation".into(),
            quantity: 1.0,
            amount_usd: Usd::from_micros(190_000),
            time: time(),
        }],
    });
}

#[test]
fn the_links_of_a_comparison_are_absolute() {
    let json = serde_json::to_value(comparison()).expect("writes");
    let mut view: Comparison = serde_json::from_value(json).expect("reads");
    view.make_links_absolute("http://localhost:8080");
    let absolute = serde_json::to_string(&view).expect("writes");
    assert_eq!(absolute.matches("\"http://localhost:8080/api/artifacts/").count(), 3, "{absolute}");
}

#[test]
fn every_link_becomes_absolute_and_nothing_else_does() {
    let json = serde_json::to_value(status()).expect("writes");
    let mut view: Status = serde_json::from_value(json.clone()).expect("reads");
    view.make_links_absolute("http://localhost:8080");
    let absolute = serde_json::to_string(&view).expect("writes");
    assert_eq!(absolute.matches("\"http://localhost:8080/api/artifacts/").count(), 7);
    assert_eq!(
        absolute.replace("http://localhost:8080", ""),
        serde_json::to_string(&serde_json::from_value::<Status>(json).expect("reads")).expect("writes")
    );
}
