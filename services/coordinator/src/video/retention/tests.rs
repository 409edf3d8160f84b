use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use messages::artifact::ArtifactKey;
use messages::command::{Code, Command, Via};
use messages::event::Event;
use messages::id::{ArtifactId, CheckpointId, UserId};
use messages::job::NotWanted;
use messages::money::Usd;
use messages::phase::Phase;
use messages::query::TreeNode;
use serde_json::{Value, json};

use crate::video::stage::{Stage, priced_catalogue, with_prompt};
use crate::video::{Decision, Input, JobState, Reply, Video};

const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A film of two beats that waits at its pictures.
fn drawn() -> (Stage, CheckpointId) {
    let (stage, head) = Stage::at(Phase::Storyboard, json!({"duration": 15}));
    assert_eq!(own(&stage, head), ["beat_0", "beat_1"]);
    (stage, head)
}

/// What a checkpoint's own phase made, by name.
fn own(stage: &Stage, id: CheckpointId) -> Vec<String> {
    stage.video().checkpoints[&id].expected.iter().map(ToString::to_string).collect()
}

fn beat(stage: &Stage, checkpoint: CheckpointId, n: u32, version: u32) -> ArtifactId {
    ArtifactId::derived(stage.video().id, checkpoint, ArtifactKey::Beat(n), version)
}

/// What was collected by now, as the last event says.
fn collect(stage: &mut Stage, keep_for: Duration) -> Option<(Vec<CheckpointId>, Vec<ArtifactId>, u64)> {
    let before = stage.journal.len();
    assert_eq!(stage.put(&Input::Collect { keep_for }), Reply::Recorded);
    match &stage.journal[before..] {
        [] => None,
        [recorded] => match &recorded.event {
            Event::CheckpointsCollected { checkpoint_ids, artifacts, bytes } => {
                Some((checkpoint_ids.clone(), artifacts.clone(), *bytes))
            }
            other => panic!("{other:?}"),
        },
        more => panic!("{more:?}"),
    }
}

/// The rows of the dry run: checkpoints and what each loses.
fn would_go(stage: &Stage) -> Vec<(CheckpointId, Vec<ArtifactId>)> {
    let rows = stage.video().collectible(None).into_iter();
    rows.map(|row| (row.checkpoint_id, row.artifacts)).collect()
}

fn pass(stage: &mut Stage, time: Duration) {
    stage.now += TimeDelta::from_std(time).expect("not for ever");
}

fn fork(stage: &mut Stage, from: CheckpointId, name: &str) -> CheckpointId {
    stage.ask("fork", json!({"checkpoint_id": from, "branch": name})).expect("it can be forked");
    stage.head(name)
}

fn draw_again(stage: &mut Stage, checkpoint: CheckpointId) {
    let body = json!({"checkpoint_id": checkpoint, "artifact_key": "beat_0", "seed": 3});
    stage.ask("regenerate", body).expect("it can be made again");
    stage.finish_all();
}

fn abandon(stage: &mut Stage, checkpoint: CheckpointId) {
    stage.ask("abandon", json!({"checkpoint_id": checkpoint})).expect("it waits");
}

#[test]
fn an_abandoned_branch_is_collected_when_it_was_kept_long_enough_and_not_before() {
    let (mut stage, main) = drawn();
    let dusk = fork(&mut stage, main, "dusk");
    draw_again(&mut stage, dusk);
    assert_eq!(would_go(&stage), [], "nothing was abandoned");
    assert_eq!(stage.video().forgotten_since(), None);

    abandon(&mut stage, dusk);
    let since = stage.now;
    assert_eq!(would_go(&stage), [(dusk, vec![beat(&stage, dusk, 0, 2)])], "the other pictures are main's too");
    assert_eq!(stage.video().forgotten_since(), Some(since));
    pass(&mut stage, MONTH - Duration::from_secs(2));
    assert_eq!(collect(&mut stage, MONTH), None, "a second too early");
    assert_eq!(collect(&mut stage, MONTH), Some((vec![dusk], vec![beat(&stage, dusk, 0, 2)], 1)));
    assert_eq!(collect(&mut stage, MONTH), None, "what is gone is gone");
    assert_eq!((would_go(&stage), stage.video().forgotten_since()), (vec![], None));
    let garbage = stage.video().garbage(&[beat(&stage, dusk, 0, 2)]);
    assert!(garbage.len() == 1 && garbage[0].contains(&format!("/dusk/{dusk}/beat_00_v2-")), "{garbage:?}");

    // It keeps its place; what it shared with main can still be seen there.
    let view = stage.video().checkpoint_view(dusk, true).expect("it is there");
    assert_eq!((view.status.as_str(), view.collected), ("abandoned", true));
    assert_eq!(view.artifacts.keys().collect::<Vec<_>>(), ["beat_1", "spec"]);
    assert_eq!(view.versions["beat_0"].len(), 1);
    let in_tree: Vec<_> = nodes(&stage.video().tree_view());
    assert!(in_tree.contains(&(dusk, true)) && in_tree.contains(&(main, false)), "{in_tree:?}");
    assert!(stage.video().checkpoint_view(main, false).is_some_and(|view| !view.collected && view.can_continue));
    stage.approve(main);
}

fn nodes(tree: &[TreeNode]) -> Vec<(CheckpointId, bool)> {
    let below = tree.iter().flat_map(|node| nodes(&node.children));
    tree.iter().map(|node| (node.checkpoint.checkpoint_id, node.checkpoint.collected)).chain(below).collect()
}

#[test]
fn a_version_that_was_sent_back_goes_except_what_its_successor_took() {
    let (mut stage, first) = drawn();
    stage.ask("reject", json!({"checkpoint_id": first, "notes": "darker"})).expect("it waits");
    stage.finish_all();
    let second = stage.head("main");
    let mut both = vec![beat(&stage, first, 0, 1), beat(&stage, first, 1, 1)];
    both.sort_unstable();
    assert_eq!(would_go(&stage), [(first, both)]);

    let take = json!({"checkpoint_id": second, "from_checkpoint": first, "artifact_key": "beat_1"});
    stage.ask("take", take).expect("it can be taken");
    let undone = json!({"checkpoint_id": second, "from_checkpoint": second, "artifact_key": "beat_1"});
    stage.ask("take", undone).expect("it changes nothing");
    assert_eq!(would_go(&stage), [(first, vec![beat(&stage, first, 0, 1)])]);
    pass(&mut stage, MONTH);
    assert_eq!(collect(&mut stage, MONTH), Some((vec![first], vec![beat(&stage, first, 0, 1)], 1)));
    assert_eq!(stage.video().checkpoints[&second].selection[&ArtifactKey::Beat(1)], beat(&stage, first, 1, 1));

    // The borrower is sent back as well: now the rest of the first one goes with it, counted from then.
    stage.ask("reject", json!({"checkpoint_id": second, "notes": "brighter"})).expect("it waits");
    stage.finish_all();
    assert_eq!(collect(&mut stage, MONTH), None);
    pass(&mut stage, MONTH);
    let (checkpoints, artifacts, bytes) = collect(&mut stage, MONTH).expect("it is time");
    assert_eq!(BTreeSet::from_iter(checkpoints), BTreeSet::from([first, second]));
    assert_eq!((artifacts.len(), bytes), (3, 3), "two of the second, and the borrowed one");
}

#[test]
fn what_is_pinned_stays_until_it_no_longer_is() {
    let (mut stage, first) = drawn();
    stage.ask("reject", json!({"checkpoint_id": first, "notes": "darker"})).expect("it waits");
    stage.finish_all();
    stage.ask("pin", json!({"checkpoint_id": first, "pinned": true})).expect("it can be kept");
    pass(&mut stage, MONTH);
    assert_eq!((would_go(&stage), collect(&mut stage, MONTH)), (vec![], None));
    stage.ask("pin", json!({"checkpoint_id": first, "pinned": false})).expect("it can be let go");
    assert!(collect(&mut stage, MONTH).is_some());
}

#[test]
fn a_living_fork_keeps_what_it_was_forked_from() {
    let (mut stage, main) = drawn();
    abandon(&mut stage, main);
    assert_eq!(would_go(&stage).len(), 1);
    let again = fork(&mut stage, main, "again");
    pass(&mut stage, MONTH);
    assert_eq!(collect(&mut stage, MONTH), None);
    draw_again(&mut stage, again);
    let undo = json!({"checkpoint_id": again, "artifact_key": "beat_0", "version": 1});
    stage.ask("select", undo).expect("what was there before is still there");
}

#[test]
fn what_led_to_an_abandoned_head_goes_with_it_and_the_plan_stays() {
    let (mut stage, chunks) = Stage::at(Phase::Chunks, json!({"duration": 15}));
    let storyboard = stage.video().checkpoints[&chunks].parent.expect("it was fed");
    let planning = stage.video().checkpoints[&storyboard].parent.expect("it was fed");
    let approved = stage.video().checkpoints[&storyboard].approval.clone().expect("it was approved");
    abandon(&mut stage, chunks);
    let (checkpoints, artifacts, _) = collect(&mut stage, Duration::ZERO).expect("at once");
    assert_eq!(BTreeSet::from_iter(checkpoints), BTreeSet::from([storyboard, chunks]), "the plan made no object");
    let left = stage.video().artifacts.keys().filter(|id| !artifacts.contains(id)).count();
    assert_eq!(left, 1, "only the spec");
    assert_eq!(stage.video().status_view().chunk_urls, [] as [String; 0], "no link leads nowhere");

    let again = stage.ask("approve", json!({"checkpoint_id": storyboard})).expect("a repeat gets the first answer");
    assert_eq!(again, serde_json::to_value(&approved.answer).expect("writes"));
    let elsewhere = stage.ask("approve", json!({"checkpoint_id": storyboard, "branch": "late"}));
    assert_eq!(elsewhere.expect_err("there is nothing to go on from").code, Code::Collected);
    let plan = fork(&mut stage, planning, "anew");
    stage.approve(plan);
    stage.finish_all();
}

#[test]
fn what_is_collected_is_refused_by_name() {
    let (mut stage, first) = drawn();
    draw_again(&mut stage, first);
    stage.ask("reject", json!({"checkpoint_id": first, "notes": "darker"})).expect("it waits");
    stage.finish_all();
    let second = stage.head("main");
    collect(&mut stage, Duration::ZERO).expect("at once");
    for (verb, body) in [
        ("fork", json!({"checkpoint_id": first})),
        ("approve", json!({"checkpoint_id": first})),
        ("edit", json!({"checkpoint_id": first, "patch": {"audio": {"music": false}}})),
        ("regenerate", json!({"checkpoint_id": first, "artifact_key": "beat_0"})),
        ("select", json!({"checkpoint_id": first, "artifact_key": "beat_0", "version": 1})),
        ("take", json!({"checkpoint_id": second, "from_checkpoint": first, "artifact_key": "beat_0"})),
    ] {
        let before = stage.journal.len();
        let refusal = stage.ask(verb, body).expect_err("it is refused");
        assert_eq!((refusal.code, stage.journal.len()), (Code::Collected, before), "{verb}");
    }
    // Specs are kept, so that one may still be taken.
    let take = json!({"checkpoint_id": second, "from_checkpoint": first, "artifact_key": "spec"});
    stage.ask("take", take).expect("the spec is still there");
    let view = stage.video().checkpoint_view(first, false).expect("it is there");
    let fork = view.allowed.iter().find(|allowed| allowed.command == "fork").expect("it is listed");
    assert_eq!((fork.allowed, fork.code), (false, Some(Code::Collected)));
}

#[test]
fn nothing_is_collected_while_jobs_are_at_work_and_what_comes_late_goes_later() {
    let (mut stage, main) = drawn();
    let dusk = fork(&mut stage, main, "dusk");
    draw_again(&mut stage, dusk);
    stage.ask("regenerate", json!({"checkpoint_id": dusk, "artifact_key": "beat_1"})).expect("it can be made again");
    let job = stage.planned()[0];
    abandon(&mut stage, dusk);
    pass(&mut stage, MONTH);
    assert_eq!(collect(&mut stage, MONTH), None, "a picture of it is being drawn");

    stage.ask("cancel", json!({"branch": "dusk"})).expect("it runs");
    assert_eq!(stage.video().jobs[&job].state, JobState::Cancelled);
    assert_eq!(collect(&mut stage, MONTH), Some((vec![dusk], vec![beat(&stage, dusk, 0, 2)], 1)));
    stage.finish(job);
    assert_eq!(collect(&mut stage, MONTH), Some((vec![dusk], vec![beat(&stage, dusk, 1, 2)], 1)));
}

#[test]
fn the_dry_run_says_what_would_go_when_and_what_it_cost() {
    let mut stage = Stage::with_catalogue(priced_catalogue());
    stage.ask("create", with_prompt(json!({"duration": 15}))).expect("a video can be created");
    stage.finish_all();
    stage.approve(stage.head("main"));
    stage.finish_all();
    let first = stage.head("main");
    stage.ask("reject", json!({"checkpoint_id": first, "notes": "darker"})).expect("it waits");
    let since = stage.now;
    let rows = stage.video().collectible(Some(MONTH));
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.checkpoint_id, row.branch_name.as_str(), row.version), (first, "main", 1));
    assert_eq!((row.phase_number, row.since, row.due_at), (Phase::Storyboard, since, Some(since + MONTH)));
    assert_eq!((row.artifacts.len(), row.bytes, row.cost_usd), (2, 2, Usd::from_micros(1_000_000)));
    assert_eq!(stage.video().collectible(None)[0].due_at, None, "switched off");
    assert_eq!(stage.journal.iter().filter(|r| matches!(r.event, Event::CheckpointsCollected { .. })).count(), 0);
}

#[test]
fn the_journal_gives_what_was_collected_back() {
    let (mut stage, first) = drawn();
    stage.ask("reject", json!({"checkpoint_id": first, "notes": "darker"})).expect("it waits");
    stage.finish_all();
    collect(&mut stage, Duration::ZERO).expect("at once");
    let video = stage.video();
    assert_eq!(Video::replay(video.id, &stage.journal, video.catalogue.clone()).as_ref(), Some(video));
}

/// Everything that may be asked of a deleted video, of its journal as of what is left without it.
#[test]
fn a_tombstone_answers_as_the_deleted_video_did() {
    let (mut stage, head) = drawn();
    let job = stage.video().jobs.keys().next().copied().expect("there are jobs");
    stage.ask("delete", json!({})).expect("it can be deleted");
    let deleted = stage.video().clone();
    let by = deleted.deleted.clone().expect("it is deleted");
    let tombstone = Video::tombstone(deleted.id, deleted.user.clone(), deleted.seq, deleted.updated_at, by);
    let asks: [(&str, &str, Value); 6] = [
        ("local", "delete", json!({})),
        ("local", "create", with_prompt(json!({"duration": 15}))),
        ("mallory", "create", with_prompt(json!({"duration": 15}))),
        ("mallory", "delete", json!({})),
        ("local", "approve", json!({"checkpoint_id": head})),
        ("local", "retry", json!({})),
    ];
    for (user, verb, body) in asks {
        let command = Command::parse(verb, body.to_string().as_bytes()).expect("it is a command");
        let (id, user) = ("late".parse().expect("valid"), user.parse::<UserId>().expect("valid"));
        let input = Input::Command { id, user, via: Via::Nats, command: Box::new(command) };
        let decide = |video: &Video| Video::decide(Some(video.clone()), video.id, &input, &stage.setup, stage.now);
        let (then, now) = (decide(&deleted), decide(&tombstone));
        assert_eq!((then.reply, then.events.len()), (now.reply, 0), "{verb}");
        assert_eq!(now.events, [], "{verb}");
    }
    stage.video = Some(tombstone);
    assert_eq!(stage.finish(job), Reply::NotWanted(NotWanted::UnknownVideo));
    let input = Input::Collect { keep_for: Duration::ZERO };
    let Decision { events, .. } =
        Video::decide(Some(stage.video().clone()), deleted.id, &input, &stage.setup, stage.now);
    assert_eq!(events, []);
}
