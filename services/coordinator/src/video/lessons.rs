//! What hurt the users of an earlier pipeline, as stories of one video. The numbers are those of that list.

use std::collections::BTreeSet;

use messages::artifact::{ArtifactKey, Content};
use messages::command::Code;
use messages::event::Event;
use messages::id::{BranchName, CheckpointId};
use messages::job::FailureKind;
use messages::money::Usd;
use messages::phase::Phase;
use messages::query::{BranchState, VideoStatus};
use serde_json::{Value, json};

use super::CheckpointState;
use super::stage::{Stage, priced_catalogue, with_prompt};

fn opened(answer: &Value) -> CheckpointId {
    serde_json::from_value(answer["checkpoint_id"].clone()).expect("an answer names a checkpoint")
}

fn lighting(checkpoint: CheckpointId, light: &str) -> Value {
    json!({"checkpoint_id": checkpoint, "patch": {"style": {"lighting": light}}})
}

fn branch<'a>(stage: &'a Stage, name: &str) -> &'a super::Branch {
    &stage.video().branches[&name.parse::<BranchName>().expect("a name")]
}

#[test]
fn w2_every_attempt_is_counted_shown_and_stays_on_its_branch() {
    let mut stage = Stage::created(json!({}));
    let job = stage.planned()[0];
    for attempt in 2..=4 {
        stage.fail(job, FailureKind::GiveUp);
        stage.ask("retry", json!({})).expect("can be retried");
        let branches = stage.video().branch_views();
        assert_eq!((branches.len(), branches[0].running_jobs[0].attempt), (1, attempt));
    }
}

#[test]
fn w4_two_approvals_of_different_changes_get_different_branches_at_once() {
    let (mut stage, plan) = Stage::at(Phase::Planning, json!({}));
    let mut names = BTreeSet::new();
    for light in ["neon", "candles", "fog"] {
        stage.ask("edit", lighting(plan, light)).expect("can be edited");
        let answer = stage.approve(plan);
        assert!(names.insert(answer["branch_name"].to_string()), "the name is taken from the approval on: {answer}");
    }
    assert_eq!(stage.video().branches.len(), 4);
}

#[test]
fn w5_a_failed_first_phase_ends_as_failed_and_says_why() {
    let mut stage = Stage::created(json!({}));
    stage.fail(stage.planned()[0], FailureKind::GiveUp);
    assert_eq!(stage.video().status(), VideoStatus::Failed);
    assert_eq!(stage.count(|event| matches!(event, Event::PhaseFailed { phase: Phase::Planning, .. })), 1);
    assert!(stage.video().status_view().error.is_some_and(|error| error.contains("the brush broke")));
}

#[test]
fn w7_a_result_that_is_reported_again_is_recorded_once() {
    let mut stage = Stage::created(json!({}));
    let job = stage.planned()[0];
    stage.finish(job);
    let events = stage.journal.len();
    for _ in 0..3 {
        stage.finish(job);
    }
    assert_eq!((stage.journal.len(), stage.video().checkpoints.len()), (events, 1));
}

#[test]
fn w8_a_chunk_can_be_made_again_because_its_plan_is_kept_with_the_checkpoint() {
    let (mut stage, cut) = Stage::at(Phase::Chunks, json!({"duration": 15}));
    let plan = stage.video().checkpoints[&cut].chunk_plan.clone();
    for chunk in &plan {
        let key = ArtifactKey::Chunk(chunk.index);
        let body = json!({"checkpoint_id": cut, "artifact_key": key, "model": "local_animatic", "seed": 5});
        stage.ask("regenerate", body).unwrap_or_else(|refusal| panic!("{key}: {refusal}"));
        let order = stage.video().work_order(*stage.planned().last().expect("ordered")).expect("has its inputs");
        assert!(serde_json::to_string(&order.work).expect("writes").contains(&format!("\"index\":{}", chunk.index)));
        stage.finish_all();
    }
    assert!(stage.video().stale(cut).is_empty());
}

#[test]
fn w14_w15_every_waiting_checkpoint_that_says_it_can_go_on_does_and_the_last_one_ends_the_film() {
    let (mut stage, _) = Stage::at(Phase::Planning, json!({"duration": 15}));
    for phase in Phase::ALL {
        let head = stage.head("main");
        let view = stage.video().checkpoint_view(head, false).expect("it waits");
        assert_eq!((view.phase_number, view.can_continue), (phase, true));
        let answer = stage.approve(head);
        assert_eq!(answer["next_phase"], json!(phase.next()));
        assert_eq!(stage.planned().is_empty(), phase.next().is_none(), "what is approved is started");
        stage.finish_all();
    }
    assert_eq!(stage.video().status(), VideoStatus::Complete);
}

#[test]
fn w17_branches_never_share_an_object_that_either_of_them_makes() {
    let (mut stage, board) = Stage::at(Phase::Storyboard, json!({"duration": 15}));
    stage.ask("approve", json!({"checkpoint_id": board, "branch": "dusk"})).expect("opens");
    stage.ask("approve", json!({"checkpoint_id": board, "branch": "dawn"})).expect("opens");
    stage.approve(board);
    stage.finish_all();
    let mut keys = BTreeSet::new();
    for artifact in stage.video().artifacts.values() {
        if let Content::Object(object) = &artifact.content {
            assert!(keys.insert(object.key.clone()), "{} is written twice", object.key);
        }
    }
    assert!(keys.len() > 12, "three branches made chunks of their own");
}

#[test]
fn w19_w58_every_older_version_can_be_brought_back_and_nothing_is_lost_on_the_way() {
    let (mut stage, plan) = Stage::at(Phase::Planning, json!({}));
    let first = stage.video().digest(&stage.video().checkpoints[&plan].selection);
    for light in ["neon", "candles"] {
        stage.ask("edit", lighting(plan, light)).expect("can be edited");
    }
    let select = |version: u32| json!({"checkpoint_id": plan, "artifact_key": "spec", "version": version});
    for (version, light) in [(3, "candles"), (2, "neon")] {
        stage.ask("select", select(version)).expect("is still there");
        assert_eq!(stage.video().spec(plan).expect("a spec").style.lighting, light);
    }
    stage.ask("select", select(1)).expect("is still there");
    assert_eq!(stage.video().digest(&stage.video().checkpoints[&plan].selection), first);
    assert_eq!(stage.ask("select", select(4)).expect_err("never made").code, Code::UnknownArtifact);
}

#[test]
fn w22_lineage_is_set_once_and_leads_from_every_checkpoint_to_the_plan() {
    let (mut stage, _) = Stage::at(Phase::Refine, json!({"duration": 15}));
    let board = stage.video().checkpoints.iter().find(|(_, c)| c.phase == Phase::Storyboard).map(|(id, _)| *id);
    let board = board.expect("there is one");
    stage.ask("approve", json!({"checkpoint_id": board, "branch": "dawn"})).expect("opens");
    stage.finish_all();
    for (id, checkpoint) in &stage.video().checkpoints {
        let mut at = checkpoint;
        while let Some(parent) = at.parent {
            let fed_by = &stage.video().checkpoints[&parent];
            assert_eq!(Some(fed_by.phase), at.phase.previous(), "{id}");
            at = fed_by;
        }
        assert_eq!(at.phase, Phase::Planning, "{id}");
    }
}

#[test]
fn w25_w26_w56_branches_run_side_by_side_each_with_its_own_state_progress_and_cost() {
    let mut stage = Stage::with_catalogue(priced_catalogue());
    stage.ask("create", with_prompt(json!({"duration": 15}))).expect("created");
    stage.finish_all();
    let plan = stage.head("main");
    for name in ["night", "day"] {
        let body = json!({"checkpoint_id": plan, "branch": name});
        stage.ask("approve", body).expect("W57: people name their branches");
    }
    let of = |stage: &Stage, name: &str| {
        let views = stage.video().branch_views();
        views.into_iter().find(|view| view.branch_name.as_str() == name).expect("is there")
    };
    let night: Vec<_> =
        stage.planned().into_iter().filter(|job| job.checkpoint == branch(&stage, "night").head).collect();
    night.iter().for_each(|job| drop(stage.finish(*job)));
    assert_eq!((of(&stage, "night").state, of(&stage, "day").state), (BranchState::Paused, BranchState::Running));
    assert!(of(&stage, "night").progress > of(&stage, "day").progress);
    let pictures = Usd::from_micros(500_000).times(night.len() as u64);
    assert_eq!(of(&stage, "night").spent_usd, of(&stage, "day").spent_usd + pictures);
    let day = branch(&stage, "day").head;
    for job in stage.planned().into_iter().filter(|job| job.checkpoint == day) {
        stage.fail(job, FailureKind::GiveUp);
    }
    assert_eq!((of(&stage, "night").state, of(&stage, "day").state), (BranchState::Paused, BranchState::Failed));
    assert_eq!(of(&stage, "main").state, BranchState::Paused, "a branch that was opened from it does not move it");
}

#[test]
fn w27_a_spec_is_kept_in_one_place_and_every_view_shows_the_edited_one() {
    let (mut stage, plan) = Stage::at(Phase::Planning, json!({}));
    stage.ask("edit", lighting(plan, "neon")).expect("can be edited");
    let view = stage.video().checkpoint_view(plan, false).expect("it waits");
    assert_eq!(view.artifacts["spec"].metadata["spec"]["style"]["lighting"], "neon");
    let status = stage.video().status_view().current_checkpoint.expect("it waits");
    assert_eq!(status.artifacts["spec"].metadata["spec"]["style"]["lighting"], "neon");
}

#[test]
fn w31_what_the_planner_makes_has_the_length_that_was_asked_for_and_no_film_is_longer_than_three_minutes() {
    let mut stage = Stage::created(json!({"duration": 30}));
    let planned = stage.planned()[0];
    stage.now += chrono::TimeDelta::seconds(1);
    stage.finish(planned);
    let plan = stage.head("main");
    let spec = stage.video().spec(plan).expect("a spec");
    assert_eq!(spec.duration, 30);
    let beat = serde_json::to_value(&spec.beats[0]).expect("writes");
    let long = json!({"checkpoint_id": plan, "patch": {"beats": vec![beat; 37]}});
    let refusal = stage.ask("edit", long).expect_err("37 beats of 5 s are too long");
    assert_eq!(refusal.code, Code::Invalid);
    for duration in [0, 4, 181] {
        let mut other = Stage::new();
        let refusal = other.ask("create", with_prompt(json!({"duration": duration}))).expect_err("is refused");
        assert_eq!(refusal.errors[0].field, "duration");
    }
}

#[test]
fn w34_the_model_that_was_chosen_is_kept_and_an_unknown_one_is_refused_with_the_known_ones() {
    let mut stage = Stage::with_catalogue(priced_catalogue());
    stage.ask("create", with_prompt(json!({"model": "local_animatic"}))).expect("created");
    stage.finish_all();
    stage.approve(stage.head("main"));
    stage.finish_all();
    stage.approve(stage.head("main"));
    let order = stage.video().work_order(stage.planned()[0]).expect("has its inputs");
    assert_eq!(order.work.generation().expect("a generation").0.name, "local_animatic");
    let refusal = Stage::new().ask("create", with_prompt(json!({"model": "nope"}))).expect_err("is refused");
    assert!(refusal.reason.contains("local_animatic") && refusal.reason.contains("hailuo"), "{refusal}");
}

#[test]
fn w19_w58_a_version_keeps_its_number_beside_one_that_was_taken_from_elsewhere() {
    let (mut stage, plan) = Stage::at(Phase::Planning, json!({"duration": 15}));
    stage.ask("fork", json!({"checkpoint_id": plan, "branch": "dusk"})).expect("forked");
    for branch in ["main", "dusk"] {
        stage.approve(stage.head(branch));
    }
    stage.finish_all();
    let (board, dusk) = (stage.head("main"), stage.head("dusk"));
    let again = |board: CheckpointId| json!({"checkpoint_id": board, "artifact_key": "beat_0"});
    stage.ask("regenerate", again(dusk)).expect("ordered");
    stage.finish_all();
    let take = json!({"checkpoint_id": board, "from_checkpoint": dusk, "artifact_key": "beat_0"});
    let taken = stage.ask("take", take).expect("taken");
    let made = stage.ask("regenerate", again(board)).expect("ordered");
    stage.finish_all();
    assert_eq!((&taken["version"], &made["version"]), (&json!(2), &json!(3)), "no number means two pictures");
    for (version, artifact) in [(2, &taken["artifact_id"]), (3, &made["artifact_id"])] {
        let select = json!({"checkpoint_id": board, "artifact_key": "beat_0", "version": version});
        assert_eq!(stage.ask("select", select).expect("it is there")["artifact_id"], *artifact);
        assert_eq!(json!(stage.video().checkpoints[&board].selection[&ArtifactKey::Beat(0)]), *artifact);
    }
}

#[test]
fn w11_a_picture_whose_order_was_cancelled_is_kept_and_not_selected() {
    let (mut stage, board) = Stage::at(Phase::Storyboard, json!({"duration": 15}));
    let before = stage.video().checkpoints[&board].selection.clone();
    stage.ask("regenerate", json!({"checkpoint_id": board, "artifact_key": "beat_0"})).expect("ordered");
    let job = stage.planned()[0];
    stage.ask("cancel", json!({})).expect("something runs");
    // Its worker had made it by then.
    stage.finish(job);
    assert_eq!(stage.video().checkpoints[&board].selection, before);
    assert_eq!(stage.head("main"), board, "and nothing goes on");
    let select = json!({"checkpoint_id": board, "artifact_key": "beat_0", "version": 2});
    stage.ask("select", select).expect("it can be chosen all the same");
}

#[test]
fn w28_what_is_free_is_rebuilt_also_when_the_last_order_fails() {
    let (mut stage, cut) = Stage::at(Phase::Chunks, json!({"duration": 15}));
    for chunk in ["chunk_0", "chunk_1"] {
        stage.ask("regenerate", json!({"checkpoint_id": cut, "artifact_key": chunk})).expect("ordered");
    }
    stage.ask("settings", json!({"auto_continue": true})).expect("changed");
    let [first, second] = stage.planned()[..] else { panic!("two chunks are ordered") };
    stage.finish(first);
    assert_eq!(stage.planned(), [second], "the film is cut again when both are there");
    stage.fail(second, FailureKind::GiveUp);
    let [stitch] = stage.planned()[..] else { panic!("the film is cut again: {:?}", stage.planned()) };
    assert_eq!(stitch.artifact, ArtifactKey::Stitched);
    // What is made by itself and fails is not made again and again.
    stage.fail(stitch, FailureKind::GiveUp);
    assert_eq!((stage.planned(), stage.head("main")), (Vec::new(), cut));

    stage.ask("regenerate", json!({"checkpoint_id": cut, "artifact_key": "stitched"})).expect("ordered");
    stage.ask("regenerate", json!({"checkpoint_id": cut, "artifact_key": "chunk_1"})).expect("ordered");
    let [again, stitch] = stage.planned()[..] else { panic!("both are ordered") };
    stage.finish(stitch);
    assert_eq!(stage.head("main"), cut, "the rule waits for what is in the making");
    stage.fail(again, FailureKind::GiveUp);
    assert_ne!(stage.head("main"), cut, "and goes on when that is not coming");
}

#[test]
fn w37_what_was_spent_is_never_overwritten_by_a_retry_a_remake_or_another_branch() {
    let mut stage = Stage::with_catalogue(priced_catalogue());
    stage.ask("create", with_prompt(json!({"duration": 15}))).expect("created");
    stage.finish_all();
    stage.approve(stage.head("main"));
    stage.finish_all();
    let board = stage.head("main");
    let mut spent = stage.video().spent();
    let mut grows = |stage: &Stage, what: &str| {
        assert!(stage.video().spent() > spent, "{what}");
        spent = stage.video().spent();
    };
    stage.ask("regenerate", json!({"checkpoint_id": board, "artifact_key": "beat_0"})).expect("ordered");
    stage.finish_all();
    grows(&stage, "a remake is booked");
    stage.approve(board);
    stage.finish_all();
    grows(&stage, "a branch is booked");
    let original = stage.video().digest(&stage.video().checkpoints[&board].selection);
    stage.ask("approve", json!({"checkpoint_id": board, "digest": original})).expect("goes on");
    let jobs = stage.planned();
    stage.fail(jobs[0], FailureKind::GiveUp);
    jobs[1..].iter().for_each(|job| drop(stage.finish(*job)));
    grows(&stage, "finished siblings of a failed job are booked");
    stage.ask("retry", json!({})).expect("goes on");
    stage.finish_all();
    grows(&stage, "what was retried is booked");
    let cost = stage.video().cost_view();
    assert_eq!(cost.ledger.iter().map(|row| row.amount_usd).sum::<Usd>(), cost.spent_usd);
}

#[test]
fn w16_w51_a_failed_film_says_what_can_be_done_and_an_abandoned_one_waits_for_nobody() {
    let (mut stage, plan) = Stage::at(Phase::Planning, json!({}));
    stage.approve(plan);
    for job in stage.planned() {
        stage.fail(job, FailureKind::GiveUp);
    }
    let main = stage.video().branch_views().remove(0);
    assert!(main.error.is_some() && main.allowed.iter().any(|rule| rule.command == "retry" && rule.allowed));
    let fork = stage.ask("fork", json!({"checkpoint_id": plan})).expect("another way is open");
    stage.ask("abandon", json!({"checkpoint_id": opened(&fork)})).expect("and can be closed");
    assert_eq!(stage.video().checkpoints[&opened(&fork)].state, CheckpointState::Abandoned { superseded_by: None });
    assert_eq!(stage.video().current_checkpoint(None), None);
}

#[test]
fn the_budget_counts_what_other_branches_have_ordered_and_not_booked_yet() {
    let mut stage = Stage::with_catalogue(priced_catalogue());
    stage.ask("create", with_prompt(json!({"duration": 15}))).expect("created");
    stage.finish_all();
    let plan = stage.head("main");
    let (spent, next) = (stage.video().spent(), stage.video().estimate_next(plan));
    let budget = (spent + next + next.times(1)).dollars() - 0.01;
    stage.ask("settings", json!({"budget_usd": budget})).expect("can be set");
    stage.ask("approve", json!({"checkpoint_id": plan, "branch": "night"})).expect("there is enough for one");
    let refusal = stage.ask("approve", json!({"checkpoint_id": plan, "branch": "day"})).expect_err("not for two");
    assert_eq!(refusal.code, Code::BudgetExceeded);
    stage.ask("settings", json!({"budget_usd": budget + 0.02})).expect("can be raised");
    stage.ask("approve", json!({"checkpoint_id": plan, "branch": "day"})).expect("goes on");
}
