//! The table of the design, row by row: what a command does to a checkpoint, by where the checkpoint stands; and the
//! tables of ARCHITECTURE.md, held against the machine.

use messages::artifact::{ArtifactKey, Digest};
use messages::command::Code;
use messages::event::Event;
use messages::id::{BranchName, CheckpointId};
use messages::job::FailureKind;
use messages::phase::Phase;
use serde_json::{Value, json};

use super::stage::{Stage, priced_catalogue, with_prompt};
use super::{BranchState, CheckpointState};

/// A storyboard checkpoint of `main` that waits.
fn board() -> (Stage, CheckpointId) {
    Stage::at(Phase::Storyboard, json!({"duration": 15}))
}

/// The same after one picture was drawn again.
fn changed_board() -> (Stage, CheckpointId) {
    let (mut stage, board) = board();
    stage.ask("regenerate", again(board, "beat_0")).expect("can be drawn again");
    stage.finish_all();
    (stage, board)
}

fn again(checkpoint: CheckpointId, key: &str) -> Value {
    json!({"checkpoint_id": checkpoint, "artifact_key": key, "seed": 99})
}

fn digest(stage: &Stage, checkpoint: CheckpointId) -> Digest {
    stage.video().digest(&stage.video().checkpoints[&checkpoint].selection)
}

fn id(answer: &Value) -> CheckpointId {
    serde_json::from_value(answer["checkpoint_id"].clone()).expect("an answer names a checkpoint")
}

fn state(stage: &Stage, checkpoint: CheckpointId) -> &CheckpointState {
    &stage.video().checkpoints[&checkpoint].state
}

fn branch_state<'a>(stage: &'a Stage, name: &str) -> &'a BranchState {
    &stage.video().branches[&name.parse::<BranchName>().expect("a name")].state
}

#[test]
fn pending_unchanged_approve_its_branch_goes_on() {
    let (mut stage, board) = board();
    let answer = stage.approve(board);
    assert_eq!((&answer["branch_name"], &answer["created_new_branch"]), (&json!("main"), &json!(false)));
    assert_eq!(answer["next_phase"], 3);
    assert_eq!(state(&stage, board), &CheckpointState::Approved);
    assert_eq!(stage.video().branches.len(), 1);
}

#[test]
fn pending_changed_approve_opens_a_branch_with_the_change_and_the_original_waits_with_its_first_selection() {
    let (mut stage, board) = changed_board();
    let changed = digest(&stage, board);
    let answer = stage.approve(board);
    assert_eq!((&answer["branch_name"], &answer["created_new_branch"]), (&json!("main-1"), &json!(true)));
    let opened = id(&answer);
    assert_eq!((state(&stage, opened), digest(&stage, opened)), (&CheckpointState::Approved, changed));
    let original = &stage.video().checkpoints[&board];
    assert_eq!(original.state, CheckpointState::Pending);
    assert_eq!(original.selection, original.first_selection);
    assert_ne!(digest(&stage, board), changed);
    assert_eq!(branch_state(&stage, "main-1"), &BranchState::Running);
    assert_eq!(branch_state(&stage, "main"), &BranchState::Paused);
}

#[test]
fn pending_approve_with_same_goes_on_here_with_what_is_selected() {
    let (mut stage, board) = changed_board();
    let changed = digest(&stage, board);
    let answer = stage.ask("approve", json!({"checkpoint_id": board, "branch": "same"})).expect("goes on");
    assert_eq!((&answer["branch_name"], &answer["created_new_branch"]), (&json!("main"), &json!(false)));
    assert_eq!((state(&stage, board), digest(&stage, board)), (&CheckpointState::Approved, changed));
    assert_eq!(stage.video().branches.len(), 1);
}

#[test]
fn pending_approve_with_a_name_opens_that_branch_changed_or_not() {
    for (mut stage, board) in [board(), changed_board()] {
        let body = json!({"checkpoint_id": board, "branch": "dusk"});
        let answer = stage.ask("approve", body.clone()).expect("opens");
        assert_eq!((&answer["branch_name"], &answer["created_new_branch"]), (&json!("dusk"), &json!(true)));
        assert_eq!(state(&stage, board), &CheckpointState::Pending);
        assert_eq!(stage.ask("approve", body).expect("W3: again"), answer, "the first answer again");
        assert_eq!(stage.video().branches.len(), 2);
        if stage.video().checkpoints[&board].approved_away[0].digest == digest(&stage, board) {
            assert_eq!(stage.approve(board)["branch_name"], "main", "what was approved unchanged goes on here too");
        }
    }
}

#[test]
fn pending_and_approved_away_approve_gets_the_first_answer_and_the_original_needs_its_digest() {
    let (mut stage, board) = changed_board();
    let first = stage.approve(board);
    let events = stage.journal.len();
    assert_eq!(stage.approve(board), first, "W23: the same selection, the same branch");
    assert_eq!(stage.journal.len(), events);
    let original = digest(&stage, board);
    let answer = stage.ask("approve", json!({"checkpoint_id": board, "digest": original})).expect("goes on itself");
    assert_eq!((&answer["branch_name"], &answer["created_new_branch"]), (&json!("main"), &json!(false)));
    assert_eq!(state(&stage, board), &CheckpointState::Approved);
}

#[test]
fn approved_approve_without_a_new_name_gets_the_first_answer_and_nothing_else() {
    let (mut stage, board) = board();
    let first = stage.approve(board);
    let events = stage.journal.len();
    for branch in [Value::Null, json!("same"), json!("main")] {
        let answer = stage.ask("approve", json!({"checkpoint_id": board, "branch": branch})).expect("again");
        assert_eq!(answer, first);
    }
    assert_eq!(stage.journal.len(), events);
}

#[test]
fn approved_approve_with_a_new_name_opens_a_branch_that_runs_on() {
    let (mut stage, board) = board();
    stage.approve(board);
    let answer = stage.ask("approve", json!({"checkpoint_id": board, "branch": "dawn"})).expect("opens");
    assert_eq!((&answer["branch_name"], &answer["created_new_branch"]), (&json!("dawn"), &json!(true)));
    assert_eq!(branch_state(&stage, "dawn"), &BranchState::Running);
    assert_eq!(digest(&stage, id(&answer)), digest(&stage, board));
    let events = stage.journal.len();
    let repeated = stage.ask("approve", json!({"checkpoint_id": board, "branch": "dawn"})).expect("again");
    assert_eq!((repeated, stage.journal.len()), (answer, events));
}

#[test]
fn any_fork_opens_a_pending_sibling_that_waits() {
    type Move = fn(&mut Stage, CheckpointId);
    let ways: [Move; 3] = [
        |_, _| {},
        |stage, board| drop(stage.approve(board)),
        |stage, board| drop(stage.ask("abandon", json!({"checkpoint_id": board})).expect("can be abandoned")),
    ];
    for way in ways {
        let (mut stage, board) = board();
        way(&mut stage, board);
        let running = stage.planned();
        let answer = stage.ask("fork", json!({"checkpoint_id": board, "branch": "dawn"})).expect("can be forked");
        let sibling = id(&answer);
        assert_eq!(state(&stage, sibling), &CheckpointState::Pending);
        assert_eq!(digest(&stage, sibling), digest(&stage, board));
        assert_eq!(stage.video().checkpoints[&sibling].parent, stage.video().checkpoints[&board].parent);
        assert_eq!(branch_state(&stage, "dawn"), &BranchState::Paused);
        assert_eq!(stage.planned(), running, "it starts nothing");
    }
}

#[test]
fn approved_reject_is_not_pending() {
    let (mut stage, board) = board();
    stage.approve(board);
    let refusal = stage.ask("reject", json!({"checkpoint_id": board, "notes": "again"})).expect_err("too late");
    assert_eq!(refusal.code, Code::NotPending);
}

#[test]
fn approved_and_changed_forks_first_and_the_fork_takes_the_change() {
    let (mut stage, board) = changed_board();
    let other = id(&stage.ask("fork", json!({"checkpoint_id": board, "branch": "other"})).expect("forks"));
    stage.ask("select", json!({"checkpoint_id": other, "artifact_key": "beat_0", "version": 1})).expect("undone");
    stage.ask("approve", json!({"checkpoint_id": board, "branch": "same"})).expect("goes on");
    let approved = digest(&stage, board);
    for (verb, body) in changes(board, other) {
        let answer = stage.ask(verb, body).unwrap_or_else(|refusal| panic!("{verb}: {refusal}"));
        assert_eq!(answer["created_new_branch"], json!(true), "{verb} names its fork");
        let fork = id(&answer);
        assert_eq!(state(&stage, fork), &CheckpointState::Pending, "{verb}");
        assert_eq!(stage.video().checkpoints[&fork].forked_from, Some(board), "{verb}");
        let moved = digest(&stage, fork) != approved || stage.video().in_flight(fork).next().is_some();
        assert!(moved, "{verb} went to the fork");
        assert_eq!((state(&stage, board), digest(&stage, board)), (&CheckpointState::Approved, approved), "{verb}");
    }
}

/// One of every command that changes what a storyboard selects.
fn changes(board: CheckpointId, other: CheckpointId) -> [(&'static str, Value); 5] {
    let upload = json!({"sha256": Digest::of(b"a picture"), "size": 9, "media_type": "image/png"});
    [
        ("edit", json!({"checkpoint_id": board, "patch": {"audio": {"tempo": "fast"}}})),
        ("import", json!({"checkpoint_id": board, "artifact_key": "beat_1", "upload": upload})),
        ("regenerate", again(board, "beat_0")),
        ("select", json!({"checkpoint_id": board, "artifact_key": "beat_0", "version": 1})),
        ("take", json!({"checkpoint_id": board, "from_checkpoint": other, "artifact_key": "beat_0"})),
    ]
}

#[test]
fn abandoned_takes_nothing_but_a_fork() {
    let (mut stage, board) = changed_board();
    stage.ask("abandon", json!({"checkpoint_id": board})).expect("can be abandoned");
    let plain = [
        ("approve", json!({"checkpoint_id": board})),
        ("approve", json!({"checkpoint_id": board, "branch": "dusk"})),
        ("reject", json!({"checkpoint_id": board, "notes": "again"})),
        ("abandon", json!({"checkpoint_id": board})),
    ];
    for (verb, body) in plain.into_iter().chain(changes(board, board)) {
        let refusal = stage.ask(verb, body).expect_err("it was abandoned");
        assert_eq!(refusal.code, Code::NotPending, "{verb}: {refusal}");
    }
    stage.ask("fork", json!({"checkpoint_id": board})).expect("can be forked");
}

#[test]
fn the_table_of_checkpoints_in_the_architecture_is_what_the_machine_does() {
    for (command, cells) in table("| command | making |") {
        for (column, cell) in ["making", "pending", "approved", "abandoned"].into_iter().zip(cells) {
            for verb in command.split(", ") {
                let (mut stage, checkpoint) = at_checkpoint(column);
                let body = match verb {
                    "approve" | "fork" | "abandon" | "pin" => json!({"checkpoint_id": checkpoint}),
                    "reject" => json!({"checkpoint_id": checkpoint, "notes": "again"}),
                    _ => {
                        let changes = changes(checkpoint, checkpoint);
                        changes.into_iter().find(|(name, _)| *name == verb).expect("every change is there").1
                    }
                };
                let answer = stage.ask(verb, body);
                compare(&format!("{verb} of what is {column}"), &cell, answer.map_err(|refusal| refusal.code));
            }
        }
    }
}

#[test]
fn the_table_of_branches_in_the_architecture_is_what_the_machine_does() {
    let columns = ["running", "paused", "blocked_budget", "blocked_unknown", "failed", "cancelled", "complete"];
    for (verb, cells) in table("| command | running |") {
        for (column, cell) in columns.into_iter().zip(cells) {
            let mut stage = at_branch(column);
            let view = stage.video().branch_views().remove(0);
            assert_eq!(serde_json::to_value(view.state).expect("a name"), json!(column));
            let body = match verb.as_str() {
                "resolve" => {
                    let job = stage.video().jobs.keys().next().copied();
                    let unknown = stage.video().jobs.iter().find(|(_, job)| job.state == super::JobState::Unknown);
                    json!({"job": unknown.map(|(id, _)| *id).or(job), "decision": "give_up"})
                }
                _ => json!({}),
            };
            let answer = stage.ask(&verb, body);
            compare(&format!("{verb} on a branch that is {column}"), &cell, answer.map_err(|refusal| refusal.code));
        }
    }
}

/// A cell that begins with a code says that the command is refused with it; any other says that it is done.
fn compare(what: &str, cell: &str, answer: Result<Value, Code>) {
    let refusal = cell.strip_prefix('`').and_then(|rest| rest.split('`').next());
    assert_eq!(answer.err().map(Code::name), refusal, "ARCHITECTURE.md says of {what}: {cell}");
}

/// The rows of the table that starts with this: commands, and one cell for each state.
fn table(start: &str) -> Vec<(String, Vec<String>)> {
    let text = include_str!("../../../../ARCHITECTURE.md");
    let rows = text.lines().skip_while(|line| !line.starts_with(start)).skip(2);
    let rows: Vec<_> = rows.take_while(|line| line.starts_with('|')).map(cells).collect();
    assert!(rows.len() > 2, "the table is in ARCHITECTURE.md");
    rows
}

fn cells(line: &str) -> (String, Vec<String>) {
    let mut cells = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned());
    let command = cells.next().unwrap_or_default().replace('`', "");
    (command, cells.collect())
}

fn at_checkpoint(column: &str) -> (Stage, CheckpointId) {
    let (mut stage, board) = changed_board();
    // Where nothing is changed, approving goes on in place.
    stage.ask("select", json!({"checkpoint_id": board, "artifact_key": "beat_0", "version": 1})).expect("undone");
    match column {
        "making" => {
            stage.ask("reject", json!({"checkpoint_id": board, "notes": "again"})).expect("sent back");
            let head = stage.head("main");
            (stage, head)
        }
        "pending" => (stage, board),
        "approved" => {
            stage.ask("approve", json!({"checkpoint_id": board, "branch": "same"})).expect("goes on");
            (stage, board)
        }
        "abandoned" => {
            stage.ask("abandon", json!({"checkpoint_id": board})).expect("abandoned");
            (stage, board)
        }
        other => panic!("no checkpoint is {other}"),
    }
}

fn at_branch(column: &str) -> Stage {
    let mut stage = Stage::with_catalogue(priced_catalogue());
    let budget = if column == "blocked_budget" { json!(0.2) } else { Value::Null };
    let auto = matches!(column, "blocked_budget" | "complete");
    stage.ask("create", with_prompt(json!({"budget_usd": budget, "auto_continue": auto}))).expect("created");
    stage.finish_all();
    if !auto {
        stage.approve(stage.head("main"));
    }
    match column {
        "running" | "blocked_budget" | "complete" => {}
        "paused" => stage.finish_all(),
        "blocked_unknown" => {
            let job = stage.planned()[0];
            stage.claim(job, 1);
            stage.now += chrono::TimeDelta::seconds(31);
            stage.claim(job, 2);
            stage.finish_all();
        }
        "failed" => {
            for job in stage.planned() {
                stage.fail(job, FailureKind::GiveUp);
            }
        }
        "cancelled" => drop(stage.ask("cancel", json!({})).expect("it runs")),
        other => panic!("no branch is {other}"),
    }
    stage
}

#[test]
fn an_upload_becomes_the_next_version_and_is_never_stale() {
    let (mut stage, board) = board();
    let [_, (verb, body), ..] = changes(board, board);
    let answer = stage.ask(verb, body).expect("can be uploaded");
    assert_eq!((&answer["version"], &answer["created_new_branch"]), (&json!(2), &json!(false)));
    let pending = stage.ask("approve", json!({"checkpoint_id": board})).expect_err("it is on its way");
    assert_eq!(pending.code, Code::ArtifactPending);
    let order = stage.video().work_order(stage.planned()[0]).expect("has its inputs");
    let text = serde_json::to_string(&order.work).expect("writes");
    assert!(text.contains("/_uploads/") && order.price.micros() == 0, "{text}");
    stage.finish_all();
    assert_eq!(stage.video().selected(board, ArtifactKey::Beat(1)).map(|artifact| artifact.version), Some(2));
    // A changed prompt makes drawn pictures stale; what a person brought is what they want.
    let mut beats = serde_json::to_value(&stage.video().spec(board).expect("a spec").beats).expect("writes");
    for beat in beats.as_array_mut().expect("a list") {
        beat["prompt"] = "a quiet street at dawn".into();
    }
    stage.ask("edit", json!({"checkpoint_id": board, "patch": {"beats": beats}})).expect("prompts may change");
    assert_eq!(stage.video().stale(board), [ArtifactKey::Beat(0)]);
}

#[test]
fn an_upload_that_is_unfit_fails_with_its_reason_and_the_checkpoint_waits_as_before() {
    let (mut stage, board) = board();
    let before = digest(&stage, board);
    let [_, (verb, body), ..] = changes(board, board);
    stage.ask(verb, body).expect("can be uploaded");
    stage.fail(stage.planned()[0], FailureKind::GiveUp);
    assert_eq!(stage.count(|event| matches!(event, Event::ArtifactFailed { version: 2, .. })), 1);
    assert_eq!(digest(&stage, board), before);
    stage.approve(board);
}

#[test]
fn music_that_somebody_brings_is_heard_also_where_there_was_none() {
    let (mut stage, film) = Stage::at(Phase::Refine, json!({"duration": 15}));
    stage
        .ask("edit", json!({"checkpoint_id": film, "patch": {"audio": {"music": false}}}))
        .expect("can be switched off");
    stage.finish_all();
    let upload = json!({"sha256": Digest::of(b"a song"), "size": 9, "media_type": "audio/mpeg"});
    let body = json!({"checkpoint_id": film, "artifact_key": "background", "upload": upload});
    stage.ask("import", body).expect("can be uploaded");
    stage.finish_all();
    assert!(stage.video().spec(film).expect("a spec").audio.music);
    let order = stage.video().selected(film, ArtifactKey::Background).expect("music").job.expect("a job");
    assert!(stage.video().jobs[&order].overrides.import.is_some(), "the upload is selected, nothing was composed");
    assert!(stage.video().stale(film).is_empty(), "and mixed");
}

#[test]
fn only_what_a_phase_makes_can_be_uploaded_and_only_as_what_it_is() {
    let (mut stage, board) = board();
    let mut ask = |key: &str, size: u64, media_type: &str| {
        let upload = json!({"sha256": Digest::of(b"bytes"), "size": size, "media_type": media_type});
        let body = json!({"checkpoint_id": board, "artifact_key": key, "upload": upload});
        stage.ask("import", body).expect_err("is refused").code
    };
    assert_eq!(ask("chunk_0", 9, "video/mp4"), Code::WrongPhase);
    assert_eq!(ask("spec", 9, "application/json"), Code::WrongPhase);
    assert_eq!(ask("beat_99", 9, "image/png"), Code::UnknownArtifact);
    assert_eq!(ask("beat_0", 9, "audio/mpeg"), Code::Invalid);
    assert_eq!(ask("beat_0", 0, "image/png"), Code::Invalid);
    assert_eq!(ask("beat_0", 21 * 1024 * 1024, "image/png"), Code::Invalid);
}
