//! Stories of one video, told as function calls.

use chrono::TimeDelta;
use messages::artifact::ArtifactKey;
use messages::command::Code;
use messages::event::Event;
use messages::id::{BranchName, CheckpointId, JobId};
use messages::job::{ClaimReply, FailureKind, NotWanted};
use messages::phase::Phase;
use messages::query::VideoStatus;
use serde_json::json;

use super::stage::{Stage, priced_catalogue, with_prompt};
use super::{BranchState, CheckpointState, Reply, Video};

#[test]
fn a_film_stops_after_every_phase_and_goes_on_when_approved() {
    let mut stage = Stage::created(json!({"duration": 15}));
    let expected = [
        (VideoStatus::Validating, VideoStatus::PausedAtPhase1),
        (VideoStatus::GeneratingStoryboard, VideoStatus::PausedAtPhase2),
        (VideoStatus::GeneratingChunks, VideoStatus::PausedAtPhase3),
        (VideoStatus::Refining, VideoStatus::PausedAtPhase4),
    ];
    for (running, paused) in expected {
        assert_eq!(stage.video().status(), running);
        stage.finish_all();
        assert_eq!(stage.video().status(), paused);
        assert!(stage.planned().is_empty(), "nothing runs while somebody is asked");
        stage.approve(stage.head("main"));
    }
    assert_eq!(stage.video().status(), VideoStatus::Complete);
    assert_eq!(stage.video().progress(), 100.0);
    assert_eq!(stage.count(|event| matches!(event, Event::CheckpointApproved { .. })), 4);
}

#[test]
fn w3_a_second_approval_changes_nothing_and_gets_the_first_answer() {
    let (mut stage, checkpoint) = Stage::at(Phase::Planning, json!({}));
    let first = stage.approve(checkpoint);
    let events = stage.journal.len();
    for _ in 0..50 {
        assert_eq!(stage.approve(checkpoint), first);
    }
    assert_eq!(stage.journal.len(), events);
    assert_eq!(stage.count(|event| matches!(event, Event::PhaseStarted { phase: Phase::Storyboard, .. })), 1);
}

#[test]
fn a_phase_that_still_runs_cannot_be_approved() {
    let mut stage = Stage::created(json!({}));
    let refusal = stage.ask("approve", json!({"checkpoint_id": stage.head("main")})).expect_err("is refused");
    assert_eq!(refusal.code, Code::NotPending);
}

#[test]
fn w9_one_failed_chunk_keeps_the_others_and_retry_runs_only_what_failed() {
    let (mut stage, board) = Stage::at(Phase::Storyboard, json!({"duration": 30}));
    stage.approve(board);
    let chunks = stage.planned();
    assert!(chunks.len() > 2);
    stage.fail(chunks[0], FailureKind::GiveUp);
    assert_eq!(stage.video().status(), VideoStatus::GeneratingChunks, "siblings finish first");
    for chunk in &chunks[1..] {
        stage.finish(*chunk);
    }
    assert_eq!(stage.video().status(), VideoStatus::Failed);
    assert!(stage.video().status_view().error.is_some_and(|error| error.contains("the brush broke")));

    let answer = stage.ask("retry", json!({})).expect("a failed phase can be retried");
    assert_eq!(answer["jobs"], json!([chunks[0]]), "only what failed runs again");
    assert_eq!(stage.video().jobs[&chunks[0]].attempt, 2);
    stage.finish_all();
    assert_eq!(stage.video().status(), VideoStatus::PausedAtPhase3);
}

#[test]
fn w1_a_failed_phase_is_retried_from_its_approved_parent_on_the_same_branch() {
    let (mut stage, plan) = Stage::at(Phase::Planning, json!({}));
    stage.approve(plan);
    for job in stage.planned() {
        stage.fail(job, FailureKind::GiveUp);
    }
    let status = stage.video().status_view();
    assert_eq!(status.status, VideoStatus::Failed);
    assert!(!status.branches[0].can_continue, "status and command use one rule");
    assert!(status.branches[0].allowed.iter().any(|rule| rule.command == "retry" && rule.allowed));
    stage.ask("retry", json!({"branch": "main"})).expect("can be retried");
    stage.finish_all();
    assert_eq!(stage.video().status(), VideoStatus::PausedAtPhase2);
    assert_eq!(stage.video().branches.len(), 1);
}

#[test]
fn a_passing_failure_is_tried_again_by_itself_and_only_so_often() {
    let mut stage = Stage::created(json!({}));
    let job = stage.planned()[0];
    for attempt in 1..=4 {
        assert_eq!(stage.video().jobs[&job].attempt, attempt);
        stage.fail(job, FailureKind::RetryLater);
    }
    assert_eq!(stage.video().status(), VideoStatus::Validating);
    stage.fail(job, FailureKind::RetryLater);
    assert_eq!(stage.video().status(), VideoStatus::Failed);
}

#[test]
fn a_job_that_workers_are_too_old_for_waits_until_one_is_upgraded() {
    let mut stage = Stage::created(json!({}));
    let job = stage.planned()[0];
    let waits: Vec<_> = (0..20)
        .map(|_| {
            stage.fail(job, FailureKind::NeedsUpgrade);
            (stage.video().jobs[&job].not_before - stage.now).num_seconds()
        })
        .collect();
    assert_eq!(waits[..7], [2, 8, 30, 60, 120, 240, 480]);
    assert!(waits[7..].iter().all(|wait| *wait == 600), "{waits:?}");
    // None of it counts against what the job itself may fail.
    (0..4).for_each(|_| drop(stage.fail(job, FailureKind::RetryLater)));
    assert_eq!(stage.video().status(), VideoStatus::Validating);
    stage.finish(job);
    assert_eq!(stage.video().status(), VideoStatus::PausedAtPhase1);
}

#[test]
fn a_late_word_of_an_earlier_attempt_is_passed_over() {
    let mut stage = Stage::created(json!({}));
    let job = stage.planned()[0];
    stage.fail(job, FailureKind::RetryLater);
    assert_eq!(stage.fail_attempt(job, 1, FailureKind::GiveUp), Reply::NotWanted(NotWanted::Superseded));
    stage.finish(job);
    let events = stage.journal.len();
    assert_eq!(stage.finish(job), Reply::Recorded, "said twice, recorded once");
    assert_eq!(stage.journal.len(), events);
}

#[test]
fn w11_cancel_stops_what_runs_and_retry_goes_on_with_what_was_made() {
    let (mut stage, board) = Stage::at(Phase::Storyboard, json!({"duration": 30}));
    stage.approve(board);
    let chunks = stage.planned();
    stage.finish(chunks[0]);
    stage.ask("cancel", json!({})).expect("something runs");
    assert_eq!(stage.video().status(), VideoStatus::Cancelled);
    assert!(stage.planned().is_empty());
    assert_eq!(stage.ask("cancel", json!({})).expect_err("nothing runs").code, Code::NothingRunning);
    // Paid work that was under way is kept.
    stage.finish(chunks[1]);
    assert_eq!(stage.video().status(), VideoStatus::Cancelled, "a late result does not start anything");

    stage.ask("retry", json!({})).expect("goes on");
    assert!(!stage.planned().contains(&chunks[0]) && !stage.planned().contains(&chunks[1]));
    stage.finish_all();
    assert_eq!(stage.video().status(), VideoStatus::PausedAtPhase3);
}

#[test]
fn yolo_leaves_the_same_records_and_the_same_artifacts_as_approvals_by_hand() {
    let by_hand = {
        let (mut stage, refine) = Stage::at(Phase::Refine, json!({"seed": 7}));
        stage.approve(refine);
        stage
    };
    let mut yolo = Stage::created(json!({"seed": 7, "auto_continue": true}));
    yolo.finish_all();
    assert_eq!(yolo.video().status(), VideoStatus::Complete);
    assert_eq!(yolo.names(), by_hand.names());
    let digest = |stage: &Stage| {
        let head = stage.video().branches[&BranchName::main()].head;
        stage.video().digest(&stage.video().checkpoints[&head].selection)
    };
    assert_eq!(digest(&yolo), digest(&by_hand));
}

#[test]
fn auto_continue_stops_at_its_limit_and_can_be_switched_while_the_video_waits() {
    let mut stage = Stage::created(json!({"auto_continue": {"until": "chunks"}}));
    stage.finish_all();
    assert_eq!(stage.video().status(), VideoStatus::PausedAtPhase3);
    stage.ask("settings", json!({"auto_continue": true})).expect("can be switched");
    stage.finish_all();
    assert_eq!(stage.video().status(), VideoStatus::Complete);
}

#[test]
fn w39_an_approval_that_would_pass_the_budget_is_refused_until_it_is_raised() {
    let mut stage = Stage::with_catalogue(priced_catalogue());
    stage.ask("create", with_prompt(json!({"budget_usd": 1.0, "duration": 15}))).expect("created");
    stage.finish_all();
    let plan = stage.head("main");
    let view = stage.video().checkpoint_view(plan, false).expect("it waits");
    assert_eq!(view.estimate_next_usd.dollars(), view.artifacts.len() as f64 * 0.5 * 2.0);
    stage.approve(plan);
    stage.finish_all();
    let board = stage.head("main");
    let refusal = stage.ask("approve", json!({"checkpoint_id": board})).expect_err("over budget");
    assert_eq!(refusal.code, Code::BudgetExceeded);
    assert!(!stage.video().checkpoint_view(board, false).expect("it waits").can_continue);
    stage.ask("settings", json!({"budget_usd": 100})).expect("can be raised");
    stage.approve(board);
}

#[test]
fn a_policy_over_budget_blocks_the_branch_until_the_budget_is_raised() {
    let mut stage = Stage::with_catalogue(priced_catalogue());
    stage.ask("create", with_prompt(json!({"budget_usd": 0.2, "auto_continue": true}))).expect("created");
    stage.finish_all();
    assert_eq!(stage.video().branches[&BranchName::main()].state, BranchState::BlockedBudget);
    stage.ask("settings", json!({"budget_usd": 100})).expect("can be raised");
    stage.finish_all();
    assert_eq!(stage.video().status(), VideoStatus::Complete);
}

#[test]
fn for_anybody_but_its_owner_a_video_does_not_exist() {
    let (mut stage, plan) = Stage::at(Phase::Planning, json!({}));
    let body = json!({"checkpoint_id": plan});
    assert_eq!(stage.ask_as("mallory", "approve", body).expect_err("refused").code, Code::UnknownVideo);
    let taken = stage.ask_as("mallory", "create", with_prompt(json!({}))).expect_err("refused");
    assert_eq!(taken.code, Code::VideoExists);
}

#[test]
fn create_again_gets_the_first_answer_only_for_the_same_body() {
    let mut stage = Stage::created(json!({"seed": 1}));
    let events = stage.journal.len();
    stage.ask("create", with_prompt(json!({"seed": 1}))).expect("the first answer");
    assert_eq!(stage.ask("create", with_prompt(json!({"seed": 2}))).expect_err("another film").code, Code::VideoExists);
    assert_eq!(stage.journal.len(), events);
}

#[test]
fn w12_nothing_brings_a_deleted_video_back() {
    let mut stage = Stage::created(json!({}));
    let job = stage.planned()[0];
    stage.ask("delete", json!({})).expect("can be deleted");
    assert_eq!(stage.finish(job), Reply::NotWanted(NotWanted::UnknownVideo));
    assert_eq!(stage.ask("retry", json!({})).expect_err("gone").code, Code::UnknownVideo);
    assert_eq!(stage.ask("create", with_prompt(json!({}))).expect_err("gone").code, Code::VideoDeleted);
    stage.ask("delete", json!({})).expect("the first answer again");
}

#[test]
fn w24_a_changed_checkpoint_approved_plainly_opens_a_branch_and_same_stays() {
    let edit = |plan| json!({"checkpoint_id": plan, "patch": {"style": {"lighting": "neon"}}});
    let (mut stage, plan) = Stage::at(Phase::Planning, json!({}));
    stage.ask("edit", edit(plan)).expect("can be edited");
    let answer = stage.approve(plan);
    assert_eq!((answer["branch_name"].as_str(), answer["created_new_branch"].as_bool()), (Some("main-1"), Some(true)));
    assert_eq!(stage.video().checkpoints[&plan].state, CheckpointState::Pending, "the original waits on");
    assert_eq!(stage.approve(plan), answer, "W23: the same change opens one branch");

    let (mut stage, plan) = Stage::at(Phase::Planning, json!({}));
    stage.ask("edit", edit(plan)).expect("can be edited");
    let answer = stage.ask("approve", json!({"checkpoint_id": plan, "branch": "same"})).expect("goes on here");
    assert_eq!((answer["branch_name"].as_str(), answer["created_new_branch"].as_bool()), (Some("main"), Some(false)));
}

#[test]
fn w18_the_next_phase_is_made_from_what_was_selected_at_the_approval() {
    let (mut stage, board) = Stage::at(Phase::Storyboard, json!({"duration": 15}));
    stage.ask("regenerate", json!({"checkpoint_id": board, "artifact_key": "beat_0", "seed": 99})).expect("ordered");
    stage.finish_all();
    let chosen = stage.video().selected(board, ArtifactKey::Beat(0)).expect("selected").content.digest();
    stage.ask("approve", json!({"checkpoint_id": board, "branch": "same"})).expect("goes on");
    let order = stage.video().work_order(stage.planned()[0]).expect("has its inputs");
    let text = serde_json::to_string(&order.work).expect("writes");
    assert!(text.contains(&chosen.to_string()));
}

#[test]
fn w28_a_chunk_made_again_restitches_the_film_by_itself() {
    let (mut stage, cut) = Stage::at(Phase::Chunks, json!({"duration": 15}));
    let before = stage.video().selected(cut, ArtifactKey::Stitched).expect("stitched").id;
    stage.ask("regenerate", json!({"checkpoint_id": cut, "artifact_key": "chunk_0", "seed": 5})).expect("ordered");
    let pending = stage.ask("approve", json!({"checkpoint_id": cut})).expect_err("in flight");
    assert_eq!(pending.code, Code::ArtifactPending);
    stage.finish(stage.planned()[0]);
    assert_eq!(stage.planned(), [JobId { checkpoint: cut, artifact: ArtifactKey::Stitched, version: 2 }]);
    stage.finish_all();
    assert_ne!(stage.video().selected(cut, ArtifactKey::Stitched).expect("stitched").id, before);
    assert!(stage.video().stale(cut).is_empty());
    // Undo is a selection, and brings the film that belongs to it.
    stage.ask("select", json!({"checkpoint_id": cut, "artifact_key": "chunk_0", "version": 1})).expect("can be undone");
    assert_eq!(stage.video().selected(cut, ArtifactKey::Stitched).expect("stitched").id, before);
    assert!(stage.planned().is_empty());
}

/// The jobs and the selected versions of the end of a film.
fn end_of_film(stage: &Stage, end: CheckpointId) -> (Vec<String>, Vec<u32>) {
    let jobs = stage.video().jobs.keys().filter(|job| job.checkpoint == end);
    let jobs = jobs.map(|job| format!("{} {}", job.artifact, job.version)).collect();
    let keys = [ArtifactKey::Final, ArtifactKey::Thumbnail];
    (jobs, keys.map(|key| stage.video().selected(end, key).expect("selected").version).to_vec())
}

#[test]
fn the_first_mix_brings_the_thumbnail_and_a_later_one_leaves_it() {
    let (mut stage, end) = Stage::at(Phase::Refine, json!({"duration": 15}));
    let jobs = ["background 1", "final 1"].map(str::to_owned).to_vec();
    assert_eq!(end_of_film(&stage, end), (jobs, vec![1, 1]));

    let louder = json!({"checkpoint_id": end, "patch": {"audio": {"music_gain_db": 3.0}}});
    stage.ask("edit", louder).expect("can be edited");
    assert_eq!(stage.video().stale(end), [ArtifactKey::Final], "the picture shows the same film");
    stage.finish_all();
    assert_eq!(end_of_film(&stage, end).1, [2, 1]);

    stage.ask("regenerate", json!({"checkpoint_id": end, "artifact_key": "thumbnail"})).expect("ordered");
    stage.finish_all();
    let jobs = ["background 1", "final 1", "final 2", "thumbnail 2"].map(str::to_owned).to_vec();
    assert_eq!(end_of_film(&stage, end), (jobs, vec![2, 2]));
    assert!(stage.video().stale(end).is_empty());
}

#[test]
fn a_thumbnail_that_an_older_worker_did_not_bring_gets_a_job_of_its_own() {
    let (mut stage, cut) = Stage::at(Phase::Chunks, json!({"duration": 15}));
    stage.approve(cut);
    let end = stage.head("main");
    stage.finish(JobId { checkpoint: end, artifact: ArtifactKey::Background, version: 1 });
    stage.finish_alone(JobId { checkpoint: end, artifact: ArtifactKey::Final, version: 1 });
    assert_eq!(stage.video().checkpoints[&end].state, CheckpointState::Making);
    stage.finish_all();
    let jobs = ["background 1", "final 1", "thumbnail 1"].map(str::to_owned).to_vec();
    assert_eq!(end_of_film(&stage, end), (jobs, vec![1, 1]));
    assert_eq!(stage.video().checkpoints[&end].state, CheckpointState::Pending);
}

#[test]
fn a_journal_whose_ids_were_derived_otherwise_gives_the_same_film() {
    let (mut stage, cut) = Stage::at(Phase::Chunks, json!({"duration": 15}));
    let chosen = |video: &Video| {
        let keys = [ArtifactKey::Chunk(0), ArtifactKey::ChunkLastFrame(0), ArtifactKey::Stitched];
        keys.map(|key| video.selected(cut, key).expect("selected").version)
    };
    let otherwise = |stage: &Stage| {
        let journal = serde_json::to_string(&stage.journal).expect("writes");
        let other = journal.replace("art-0195f0a0-1111-", "art-0195f0a0-2222-");
        assert_ne!(other, journal);
        let other: Vec<_> = serde_json::from_str(&other).expect("reads");
        Video::replay(stage.id, &other, stage.video().catalogue.clone()).expect("a video")
    };
    stage.ask("regenerate", json!({"checkpoint_id": cut, "artifact_key": "chunk_0", "seed": 5})).expect("ordered");
    stage.finish_all();
    assert_eq!((chosen(stage.video()), chosen(&otherwise(&stage))), ([2, 2, 2], [2, 2, 2]));
    stage.ask("select", json!({"checkpoint_id": cut, "artifact_key": "chunk_0", "version": 1})).expect("can be undone");
    assert_eq!((chosen(stage.video()), chosen(&otherwise(&stage))), ([1, 1, 1], [1, 1, 1]));
}

#[test]
fn w33_chunks_inside_a_beat_are_chained_and_beats_run_side_by_side() {
    let mut stage = Stage::with_catalogue(priced_catalogue());
    stage.ask("create", with_prompt(json!({"duration": 15}))).expect("created");
    stage.finish_all();
    for _ in 0..2 {
        stage.approve(stage.head("main"));
        if stage.video().checkpoints[&stage.head("main")].phase == Phase::Storyboard {
            stage.finish_all();
        }
    }
    // A 5 s beat and a 10 s beat of 6 s clips: the second clip of the second beat waits for the first.
    let first: Vec<_> = stage.planned().iter().map(|job| job.artifact).collect();
    assert_eq!(first, [ArtifactKey::Chunk(0), ArtifactKey::Chunk(1)]);
    stage.finish(stage.planned()[1]);
    assert!(stage.planned().iter().any(|job| job.artifact == ArtifactKey::Chunk(2)));
}

#[test]
fn a_rejected_phase_is_made_again_with_the_notes_as_the_next_version() {
    let (mut stage, plan) = Stage::at(Phase::Planning, json!({}));
    stage.ask("reject", json!({"checkpoint_id": plan, "notes": "shorter"})).expect("can be sent back");
    let next = stage.head("main");
    assert_eq!(stage.video().checkpoints[&plan].state, CheckpointState::Abandoned { superseded_by: Some(next) });
    let order = stage.video().work_order(stage.planned()[0]).expect("has its inputs");
    assert!(serde_json::to_string(&order.work).expect("writes").contains("shorter"));
    stage.finish_all();
    assert_eq!(stage.video().checkpoints[&next].version, 2);
    let refused = stage.ask("reject", json!({"checkpoint_id": plan, "notes": "again"})).expect_err("superseded");
    assert_eq!(refused.code, Code::NotPending);
}

#[test]
fn w29_an_edit_that_breaks_rules_is_refused_with_all_of_them_and_changes_nothing() {
    let (mut stage, plan) = Stage::at(Phase::Planning, json!({}));
    let events = stage.journal.len();
    let patch = json!({"template": "nope", "style": {"color_palette": ["#000000"]}, "beats": []});
    let refusal = stage.ask("edit", json!({"checkpoint_id": plan, "patch": patch})).expect_err("breaks rules");
    assert_eq!(refusal.code, Code::Invalid);
    assert!(refusal.errors.len() >= 3, "{refusal}");
    assert_eq!(stage.journal.len(), events);
}

#[test]
fn a_beat_of_the_library_needs_only_its_id_and_its_scene() {
    let (mut stage, plan) = Stage::at(Phase::Planning, json!({}));
    let beats = json!([{"beat_id": "hero_shot", "prompt": "a watch"}, {"beat_id": "brand_moment", "prompt": "a logo"}]);
    stage.ask("edit", json!({"checkpoint_id": plan, "patch": {"beats": beats}})).expect("the library has the rest");
    let spec = stage.video().spec(plan).expect("a spec");
    assert_eq!((spec.duration, spec.beats[1].start, spec.beats[1].duration), (15, 5, 10));
    assert_eq!(spec.beats[1].camera_movement, "crane_up");
    let beats = json!([{"beat_id": "nope", "prompt": "?"}, {"beat_id": "hero_shot", "prompt": "?", "duration": 7}]);
    let refusal = stage.ask("edit", json!({"checkpoint_id": plan, "patch": {"beats": beats}})).expect_err("two faults");
    let fields: Vec<_> = refusal.errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["beats[0].beat_id", "beats[1].duration"], "{refusal}");
}

#[test]
fn at_the_storyboard_only_prompts_transitions_and_sound_of_the_spec_may_change() {
    let (mut stage, board) = Stage::at(Phase::Storyboard, json!({"duration": 15}));
    let wrong = json!({"checkpoint_id": board, "patch": {"style": {"lighting": "neon"}}});
    assert_eq!(stage.ask("edit", wrong).expect_err("too late").code, Code::WrongPhase);
    let mut beats = serde_json::to_value(&stage.video().spec(board).expect("a spec").beats).expect("writes");
    beats[1]["prompt"] = "a quiet street at dawn".into();
    stage.ask("edit", json!({"checkpoint_id": board, "patch": {"beats": beats}})).expect("prompts may change");
    assert_eq!(stage.video().stale(board), [ArtifactKey::Beat(1)]);
    let refused = stage.ask("approve", json!({"checkpoint_id": board})).expect_err("a picture does not fit");
    assert_eq!(refused.code, Code::ArtifactStale);
    stage.ask("approve", json!({"checkpoint_id": board, "branch": "same", "accept_stale": true})).expect("knowingly");
}

#[test]
fn a_changed_approved_checkpoint_is_forked_first_and_the_answer_names_the_fork() {
    let (mut stage, plan) = Stage::at(Phase::Planning, json!({}));
    stage.approve(plan);
    let edit = json!({"checkpoint_id": plan, "patch": {"style": {"lighting": "neon"}}});
    let answer = stage.ask("edit", edit).expect("forks first");
    assert_eq!(answer["branch_name"], "main-1");
    assert_ne!(answer["checkpoint_id"], json!(plan));
    let tree = stage.video().tree_view();
    assert_eq!(tree.len(), 2, "W20: a sibling of a first-phase checkpoint is a root of its own");
}

#[test]
fn a_paid_attempt_is_claimed_once_and_the_same_try_gets_the_same_answer() {
    let mut stage = paid();
    let job = stage.planned()[0];
    assert_eq!(stage.claim(job, 1), Reply::Claim(ClaimReply::Granted));
    let events = stage.journal.len();
    assert_eq!(stage.claim(job, 1), Reply::Claim(ClaimReply::Granted), "a lost reply costs only time");
    assert_eq!(stage.claim(job, 2), Reply::Claim(ClaimReply::Held), "another try waits for the holder");
    assert_eq!(stage.journal.len(), events);
}

#[test]
fn what_a_dead_worker_submitted_is_collected_by_the_next() {
    let mut stage = paid();
    let job = stage.planned()[0];
    stage.claim(job, 1);
    assert_eq!(stage.submit(job, 1, "pred-7"), Reply::Recorded);
    stage.now += TimeDelta::seconds(31);
    let attach = ClaimReply::Attach { provider_job: "pred-7".to_owned() };
    assert_eq!(stage.claim(job, 2), Reply::Claim(attach));
}

#[test]
fn a_claim_whose_worker_died_before_submitting_waits_for_a_person() {
    let mut stage = paid();
    let job = stage.planned()[0];
    stage.claim(job, 1);
    stage.now += TimeDelta::seconds(31);
    assert_eq!(stage.claim(job, 2), Reply::Claim(ClaimReply::Refused(NotWanted::Superseded)));
    assert_eq!(stage.video().branch_views()[0].state, messages::query::BranchState::BlockedUnknown);
    let ask = |decision: &str| json!({"job": job, "decision": decision});
    assert_eq!(stage.ask("resolve", ask("collect")).expect_err("nothing to collect").code, Code::NotSupported);
    stage.ask("resolve", ask("pay_again")).expect("a person decides");
    assert_eq!(stage.video().jobs[&job].attempt, 2);
    stage.finish_all();
    assert_eq!(stage.video().status(), VideoStatus::PausedAtPhase2);
    assert_eq!(stage.ask("resolve", ask("give_up")).expect_err("known now").code, Code::NotUnknown);
}

#[test]
fn claims_count_against_the_budget_before_they_are_booked() {
    let mut stage = paid();
    stage.ask("settings", json!({"budget_usd": 0.6})).expect("can be set");
    let jobs = stage.planned();
    assert_eq!(stage.claim(jobs[0], 1), Reply::Claim(ClaimReply::Granted));
    assert_eq!(stage.claim(jobs[1], 1), Reply::Claim(ClaimReply::Refused(NotWanted::OverBudget)));
}

#[test]
fn comparing_two_checkpoints_names_what_differs() {
    let (mut stage, plan) = Stage::at(Phase::Planning, json!({}));
    let fork = stage.ask("fork", json!({"checkpoint_id": plan})).expect("can be forked");
    let fork: CheckpointId = serde_json::from_value(fork["checkpoint_id"].clone()).expect("an id");
    let same = stage.video().compare(plan, fork).expect("both are there");
    assert!(same.spec.is_empty());
    assert_eq!(same.artifacts["spec"].verdict, "same");
    let patch = json!({"style": {"lighting": "neon"}});
    stage.ask("edit", json!({"checkpoint_id": fork, "patch": patch})).expect("can be edited");
    let changed = stage.video().compare(plan, fork).expect("both are there");
    assert_eq!((changed.spec[0].path.as_str(), changed.spec.len()), ("style.lighting", 1));
    assert_eq!(changed.artifacts["spec"].verdict, "changed");
}

/// A film whose storyboard costs money and runs.
fn paid() -> Stage {
    let mut stage = Stage::with_catalogue(priced_catalogue());
    stage.ask("create", with_prompt(json!({"duration": 15}))).expect("created");
    stage.finish_all();
    stage.approve(stage.head("main"));
    stage
}
