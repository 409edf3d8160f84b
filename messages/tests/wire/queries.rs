//! What anyone may see: questions and answers, JSON. The answers of commands, too.

use std::collections::BTreeMap;

use messages::artifact::{ArtifactKey, Content, Digest, MediaType};
use messages::command::Code;
use messages::id::BranchName;
use messages::phase::Phase;
use messages::query::{
    Allowed, ArtifactDifference, ArtifactLocation, ArtifactView, AskArtifact, AskCheckpoint, AskCheckpoints,
    AskCompare, AskHistory, BranchState, BranchView, CheckpointView, Collectible, Comparison, Cost, CostSummary,
    History, JobView, LedgerRow, ListVideos, SpecDifference, Status, TreeCheckpoint, TreeNode, VideoStatus,
    VideoSummary, VideoView, Videos, answer, artifact_link,
};
use serde_json::json;

use crate::commands::refusal;
use crate::frozen::Case;
use crate::parts::{
    artifact_id, branch, checkpoint, job, limits, metadata, object, request, spec, time, usd, user, video,
};

every_variant!(every_status_is_here, status_name, VideoStatus, {
    VideoStatus::Queued => "queued",
    VideoStatus::Validating => "validating",
    VideoStatus::PausedAtPhase1 => "paused_at_phase1",
    VideoStatus::GeneratingStoryboard => "generating_storyboard",
    VideoStatus::PausedAtPhase2 => "paused_at_phase2",
    VideoStatus::GeneratingChunks => "generating_chunks",
    VideoStatus::PausedAtPhase3 => "paused_at_phase3",
    VideoStatus::Refining => "refining",
    VideoStatus::PausedAtPhase4 => "paused_at_phase4",
    VideoStatus::Complete => "complete",
    VideoStatus::Failed => "failed",
    VideoStatus::Cancelled => "cancelled",
});

every_variant!(every_branch_state_is_here, branch_state_name, BranchState, {
    BranchState::Running => "running",
    BranchState::Paused => "paused",
    BranchState::BlockedBudget => "blocked_budget",
    BranchState::BlockedUnknown => "blocked_unknown",
    BranchState::Failed => "failed",
    BranchState::Cancelled => "cancelled",
    BranchState::Complete => "complete",
});

/// Questions that have a body.
pub fn questions() -> Vec<Case> {
    let list = ListVideos {
        status: Some(VideoStatus::PausedAtPhase2),
        limit: Some(50),
        cursor: Some("1800000000250000_vid-1".into()),
    };
    vec![
        Case::json("ask_videos", list),
        Case::json("ask_history", AskHistory { after_seq: 7 }),
        Case::json("ask_checkpoint", AskCheckpoint { checkpoint_id: checkpoint(Phase::Chunks) }),
        Case::json("ask_checkpoints", AskCheckpoints { branch_name: Some("main-1".into()), after: None }),
        Case::json("ask_compare", AskCompare { a: checkpoint(Phase::Planning), b: checkpoint(Phase::Chunks) }),
        Case::json("ask_artifact", AskArtifact { artifact_id: artifact_id(ArtifactKey::Final, 1) }),
    ]
}

/// Answers to questions.
pub fn answers() -> Vec<Case> {
    every_status_is_here(&VideoStatus::ALL);
    let states = [
        BranchState::Running,
        BranchState::Paused,
        BranchState::BlockedBudget,
        BranchState::BlockedUnknown,
        BranchState::Failed,
        BranchState::Cancelled,
        BranchState::Complete,
    ];
    every_branch_state_is_here(&states);
    let history = History { events: vec![metadata()], head: 9, finished: false };
    let location =
        |content| ArtifactLocation { user: user(), video_id: video(), artifact_key: ArtifactKey::Final, content };
    vec![
        Case::json("answer_status", status()),
        Case::json("answer_video", video_view()),
        Case::json("answer_checkpoint", checkpoint_view()),
        Case::json("answer_tree", vec![tree_node()]),
        Case::json("answer_branches", vec![branch_view()]),
        Case::json("answer_videos", videos()),
        Case::json("answer_history", history),
        Case::json("answer_cost", cost()),
        Case::json("answer_compare", comparison()),
        Case::json("answer_retention", vec![collectible()]),
        Case::json("answer_artifact_object", location(Content::Object(object(ArtifactKey::Final, MediaType::Mp4)))),
        Case::json("answer_artifact_spec", location(Content::Spec(Box::new(spec())))),
        Case::json("answer_refusal", refusal()),
        Case::json("statuses", VideoStatus::ALL.to_vec()),
        Case::json("branch_states", states.to_vec()),
    ]
}

/// What commands are answered.
pub fn command_answers() -> Vec<Case> {
    let checkpoint_id = checkpoint(Phase::Storyboard);
    let branch_name = branch("main-1");
    let created =
        answer::Created { video_id: video(), status: VideoStatus::Queued, message: "Planning has started.".into() };
    let continued = answer::Continued {
        message: "Phase 3 has started.".into(),
        next_phase: Some(Phase::Chunks),
        branch_name: branch_name.clone(),
        created_new_branch: true,
        checkpoint_id,
    };
    let changed = answer::Changed {
        message: "The spec is changed.".into(),
        checkpoint_id,
        branch_name: branch_name.clone(),
        created_new_branch: true,
        artifact_id: Some(artifact_id(ArtifactKey::Spec, 2)),
        version: Some(2),
        s3_url: Some(artifact_link(artifact_id(ArtifactKey::Spec, 2))),
        job_id: Some(job(ArtifactKey::Beat(1))),
    };
    let moved = answer::Moved {
        message: "One branch goes on.".into(),
        branches: vec![branch_name],
        jobs: vec![job(ArtifactKey::Beat(1))],
    };
    vec![
        Case::json("answer_created", created),
        Case::json("answer_continued", continued),
        Case::json("answer_changed", changed),
        Case::json("answer_moved", moved),
        Case::json("answer_done", answer::Done { message: "The video is deleted.".into() }),
    ]
}

fn status() -> Status {
    Status {
        video_id: video(),
        status: VideoStatus::PausedAtPhase3,
        progress: 62.5,
        current_phase: "chunks".into(),
        error: Some("the brush broke".into()),
        storyboard_urls: vec![artifact_link(artifact_id(ArtifactKey::Beat(0), 1))],
        chunk_urls: vec![artifact_link(artifact_id(ArtifactKey::Chunk(0), 1))],
        stitched_video_url: Some(artifact_link(artifact_id(ArtifactKey::Stitched, 1))),
        final_video_url: Some(artifact_link(artifact_id(ArtifactKey::Final, 1))),
        current_chunk_index: Some(1),
        total_chunks: Some(3),
        current_checkpoint: Some(checkpoint_view()),
        checkpoint_tree: vec![tree_node()],
        active_branches: vec![BranchName::main()],
        branches: vec![branch_view()],
        cost: CostSummary {
            spent_usd: usd(840_000),
            estimate_next_usd: Some(usd(10_000)),
            budget_usd: Some(usd(5_000_000)),
        },
        revision: 17,
    }
}

fn checkpoint_view() -> CheckpointView {
    let view = artifact_view();
    CheckpointView {
        checkpoint_id: checkpoint(Phase::Chunks),
        video_id: video(),
        branch_name: branch("main-1"),
        phase_number: Phase::Chunks,
        version: 2,
        parent_checkpoint_id: Some(checkpoint(Phase::Storyboard)),
        status: "pending".into(),
        created_at: time(5),
        approved_at: Some(time(6)),
        superseded_by: Some(checkpoint(Phase::Refine)),
        digest: Digest::of(b"a selection"),
        edited: true,
        can_continue: true,
        pinned: true,
        collected: false,
        warnings: vec!["the last beat is not of the closing group".into()],
        estimate_next_usd: usd(10_000),
        remake_usd: Default::default(),
        artifacts: BTreeMap::from([("chunk_1".to_owned(), view.clone())]),
        versions: BTreeMap::from([("chunk_1".to_owned(), vec![view])]),
        stale: vec![ArtifactKey::Stitched],
        in_flight: vec![ArtifactKey::Chunk(0)],
        allowed: vec![allowed()],
    }
}

fn allowed() -> Allowed {
    let reason = Some("something is being made again".to_owned());
    Allowed { command: "approve".into(), allowed: false, code: Some(Code::ArtifactPending), reason }
}

fn artifact_view() -> ArtifactView {
    let id = artifact_id(ArtifactKey::Chunk(1), 2);
    ArtifactView {
        id,
        artifact_type: "chunk".into(),
        artifact_key: ArtifactKey::Chunk(1),
        s3_url: artifact_link(id),
        version: 2,
        metadata: metadata(),
        created_at: time(5),
    }
}

fn tree_node() -> TreeNode {
    let node = |phase, children| TreeNode {
        checkpoint: TreeCheckpoint {
            checkpoint_id: checkpoint(phase),
            branch_name: BranchName::main(),
            phase_number: phase,
            version: 1,
            parent_checkpoint_id: phase.previous().map(checkpoint),
            status: "approved".into(),
            created_at: time(5),
            digest: Digest::of(b"a selection"),
            collected: false,
        },
        children,
    };
    node(Phase::Planning, vec![node(Phase::Storyboard, Vec::new())])
}

fn branch_view() -> BranchView {
    BranchView {
        branch_name: BranchName::main(),
        latest_checkpoint_id: Some(checkpoint(Phase::Chunks)),
        phase_number: Phase::Chunks,
        status: VideoStatus::GeneratingChunks,
        state: BranchState::BlockedBudget,
        can_continue: false,
        progress: 62.5,
        running_jobs: vec![JobView {
            job: job(ArtifactKey::Chunk(1)),
            artifact_key: ArtifactKey::Chunk(1),
            attempt: 3,
        }],
        error: Some("the brush broke".into()),
        spent_usd: usd(840_000),
        shared_usd: usd(280_000),
        allowed: vec![allowed()],
    }
}

fn video_view() -> VideoView {
    VideoView {
        video_id: video(),
        title: Some("Patience".into()),
        status: VideoStatus::Refining,
        progress: 80.0,
        request: request(),
        auto_continue: limits(),
        budget_usd: Some(usd(5_000_000)),
        spent_usd: usd(840_000),
        created_at: time(0),
        updated_at: time(9),
        revision: 17,
    }
}

fn videos() -> Videos {
    let summary = VideoSummary {
        video_id: video(),
        title: Some("Patience".into()),
        prompt: "An ad for a mechanical watch".into(),
        status: VideoStatus::Complete,
        progress: 100.0,
        created_at: time(0),
        updated_at: time(9),
    };
    Videos { videos: vec![summary], next_cursor: Some("1800000000250000_vid-1".into()) }
}

fn comparison() -> Comparison {
    let changed = ArtifactDifference { verdict: "changed".into(), a: Some(artifact_view()), b: None };
    let difference = SpecDifference { path: "beats[1].duration".into(), a: json!(5), b: json!(10) };
    Comparison {
        a: checkpoint(Phase::Planning),
        b: checkpoint(Phase::Chunks),
        spec: vec![difference],
        artifacts: BTreeMap::from([("chunk_1".to_owned(), changed)]),
        cost_a_usd: usd(280_000),
        cost_b_usd: usd(30_000),
        cost_difference_usd: -0.25,
    }
}

fn collectible() -> Collectible {
    Collectible {
        checkpoint_id: checkpoint(Phase::Storyboard),
        branch_name: branch("main-1"),
        phase_number: Phase::Storyboard,
        version: 1,
        since: time(5),
        due_at: Some(time(9)),
        artifacts: vec![artifact_id(ArtifactKey::Beat(0), 1)],
        bytes: 81_920,
        cost_usd: usd(280_000),
    }
}

fn cost() -> Cost {
    let row = LedgerRow {
        branch: BranchName::main(),
        phase: Phase::Chunks,
        job: job(ArtifactKey::Chunk(1)),
        attempt: 3,
        artifact_key: ArtifactKey::Chunk(1),
        model: "hailuo".into(),
        unit: "generation".into(),
        quantity: 1.0,
        amount_usd: usd(280_000),
        time: time(5),
    };
    Cost {
        spent_usd: usd(280_000),
        estimate_next_usd: Some(usd(10_000)),
        budget_usd: Some(usd(5_000_000)),
        ledger: vec![row],
    }
}
