//! What people ask, how it ends, and what everybody may watch: JSON.

use messages::artifact::{ArtifactKey, Digest, MediaType};
use messages::checkpoint::{Abandon, Approve, Decision, Edit, Fork, Pin, Regenerate, Reject, Resolve, Select, Take};
use messages::command::{Code, Command, Rejection};
use messages::event::CommandOutcome;
use messages::id::CommandId;
use messages::import::{Import, Upload};
use messages::phase::Phase;
use messages::video::{AutoContinue, Cancel, ChangeSettings, CreateVideo, Delete, Retry};
use messages::violation::Violation;
use serde::Serialize;
use serde_json::json;

use crate::events;
use crate::frozen::{Case, same};
use crate::parts::{checkpoint, command_id, job, limits, metadata, time, usd, video};

every_variant!(every_verb_is_here, verb, Command, {
    Command::Create(_) => "create",
    Command::Approve(_) => "approve",
    Command::Fork(_) => "fork",
    Command::Edit(_) => "edit",
    Command::Regenerate(_) => "regenerate",
    Command::Import(_) => "import",
    Command::Select(_) => "select",
    Command::Take(_) => "take",
    Command::Reject(_) => "reject",
    Command::Abandon(_) => "abandon",
    Command::Retry(_) => "retry",
    Command::Cancel(_) => "cancel",
    Command::Settings(_) => "settings",
    Command::Pin(_) => "pin",
    Command::Resolve(_) => "resolve",
    Command::Delete(_) => "delete",
});

every_variant!(every_outcome_is_here, outcome_name, CommandOutcome, {
    CommandOutcome::CommandAnswered { .. } => "command_answered",
    CommandOutcome::CommandRejected { .. } => "command_rejected",
});

every_variant!(every_decision_is_here, decision_name, Decision, {
    Decision::Collect => "collect",
    Decision::PayAgain => "pay_again",
    Decision::GiveUp => "give_up",
});

/// Every verb's body with everything in it, and with nothing that may be left out.
pub fn commands() -> Vec<Case> {
    let full = commands_with_everything();
    every_verb_is_here(&full);
    let whole = full.into_iter().map(|command| case("whole", command));
    whole.chain(shortest_commands().into_iter().map(|command| case("shortest", command))).collect()
}

fn case(how: &str, command: Command) -> Case {
    let (name, body) = (verb(&command), body(&command));
    Case::new(format!("v1/command_{name}_{how}.json"), body, move |text| {
        same(&command, &Command::parse(verb(&command), text.as_bytes()).map_err(|refusal| refusal.to_string())?)
    })
}

fn body(command: &Command) -> String {
    fn pretty(body: &impl Serialize) -> String {
        serde_json::to_string_pretty(body).expect("it can be written")
    }
    match command {
        Command::Create(body) => pretty(body),
        Command::Approve(body) => pretty(body),
        Command::Fork(body) => pretty(body),
        Command::Edit(body) => pretty(body),
        Command::Regenerate(body) => pretty(body),
        Command::Import(body) => pretty(body),
        Command::Select(body) => pretty(body),
        Command::Take(body) => pretty(body),
        Command::Reject(body) => pretty(body),
        Command::Abandon(body) => pretty(body),
        Command::Retry(body) => pretty(body),
        Command::Cancel(body) => pretty(body),
        Command::Settings(body) => pretty(body),
        Command::Pin(body) => pretty(body),
        Command::Resolve(body) => pretty(body),
        Command::Delete(body) => pretty(body),
    }
}

fn commands_with_everything() -> Vec<Command> {
    let checkpoint_id = checkpoint(Phase::Storyboard);
    let (artifact_key, branch) = (ArtifactKey::Beat(12), Some("night".to_owned()));
    let decisions = [Decision::Collect, Decision::PayAgain, Decision::GiveUp];
    every_decision_is_here(&decisions);
    vec![
        Command::Create(CreateVideo {
            prompt: "An ad for a mechanical watch".into(),
            title: Some("Patience".into()),
            description: Some("For people who wait".into()),
            model: Some("hailuo".into()),
            auto_continue: limits(),
            reference_assets: vec![json!("asset-1")],
            duration: Some(15),
            aspect_ratio: Some("4:5".into()),
            template: Some("luxury_showcase".into()),
            creativity: Some(0.25),
            seed: Some(9_007_199_254_740_991),
            budget_usd: Some(usd(5_000_000)),
        }),
        Command::Approve(Approve {
            checkpoint_id,
            branch: branch.clone(),
            digest: Some(Digest::of(b"a selection")),
            note: Some("lovely".into()),
            accept_stale: true,
        }),
        Command::Fork(Fork { checkpoint_id, branch: branch.clone() }),
        Command::Edit(Edit { checkpoint_id, patch: metadata() }),
        Command::Regenerate(Regenerate {
            checkpoint_id,
            artifact_key,
            prompt: Some("at night".into()),
            model: Some("painter".into()),
            seed: Some(11),
            template: Some("luxury_showcase".into()),
            creativity: Some(0.75),
            notes: Some("moodier".into()),
        }),
        Command::Import(Import {
            checkpoint_id,
            artifact_key,
            upload: Upload { sha256: Digest::of(b"an upload"), size: 1234, media_type: MediaType::Webp },
        }),
        Command::Select(Select { checkpoint_id, artifact_key, version: 3 }),
        Command::Take(Take { checkpoint_id, from_checkpoint: checkpoint(Phase::Planning), artifact_key }),
        Command::Reject(Reject { checkpoint_id, notes: "darker".into() }),
        Command::Abandon(Abandon { checkpoint_id }),
        Command::Retry(Retry { branch: branch.clone() }),
        Command::Cancel(Cancel { branch }),
        Command::Settings(ChangeSettings {
            title: Some("Patience".into()),
            auto_continue: Some(AutoContinue::always()),
            budget_usd: Some(usd(5_000_000)),
        }),
        Command::Pin(Pin { checkpoint_id, pinned: false }),
        Command::Resolve(Resolve { job: job(artifact_key), decision: decisions[1] }),
        Command::Delete(Delete {}),
    ]
}

/// The commands that have something to leave out, without it.
fn shortest_commands() -> Vec<Command> {
    let checkpoint_id = checkpoint(Phase::Storyboard);
    let artifact_key = ArtifactKey::Beat(12);
    vec![
        Command::Create(CreateVideo {
            prompt: "An ad for a mechanical watch".into(),
            title: None,
            description: None,
            model: None,
            auto_continue: AutoContinue::Off,
            reference_assets: Vec::new(),
            duration: None,
            aspect_ratio: None,
            template: None,
            creativity: None,
            seed: None,
            budget_usd: None,
        }),
        Command::Approve(Approve { checkpoint_id, branch: None, digest: None, note: None, accept_stale: false }),
        Command::Fork(Fork { checkpoint_id, branch: None }),
        Command::Regenerate(Regenerate {
            checkpoint_id,
            artifact_key,
            prompt: None,
            model: None,
            seed: None,
            template: None,
            creativity: None,
            notes: None,
        }),
        Command::Retry(Retry::default()),
        Command::Cancel(Cancel::default()),
        Command::Settings(ChangeSettings::default()),
    ]
}

/// How commands end.
pub fn outcomes() -> Vec<Case> {
    every_outcome().map(|outcome| Case::json(outcome_name(&outcome), outcome)).into()
}

/// How commands end that came with a trace.
pub fn traced_outcomes() -> Vec<Case> {
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().ok();
    let traced = every_outcome().map(|mut outcome| {
        match &mut outcome {
            CommandOutcome::CommandAnswered { trace, .. } | CommandOutcome::CommandRejected { trace, .. } => {
                *trace = given;
            }
        }
        Case::json(outcome_name(&outcome), outcome).of_version(2)
    });
    traced.into()
}

/// One answered and one refused.
pub fn every_outcome() -> [CommandOutcome; 2] {
    let outcomes = [
        CommandOutcome::CommandAnswered {
            command_id: command_id(),
            first_command_id: first_command_id(),
            answer: json!({"message": "Planning has started.", "status": "queued", "video_id": video()}),
            time: time(3),
            trace: None,
        },
        CommandOutcome::CommandRejected { command_id: command_id(), rejection: refusal(), time: time(4), trace: None },
    ];
    every_outcome_is_here(&outcomes);
    outcomes
}

/// What everybody may watch of every event.
pub fn public_events() -> Vec<Case> {
    let journal = events::journal(Digest::of(b"a catalogue"));
    let all: Vec<_> = journal.iter().map(|recorded| recorded.event.clone()).collect();
    events::every_event_is_here(&all);
    let name = |recorded: &messages::event::Recorded| format!("event_{}", events::name(&recorded.event));
    let newer = events::newer().into_iter().map(|recorded| {
        let body = recorded.public(video()).to_map();
        let written = serde_json::to_string_pretty(&body).expect("it can be written");
        Case::new(format!("v2/{}.json", name(&recorded)), written, move |text| {
            same(&body, &serde_json::from_str(text).map_err(|error| error.to_string())?)
        })
    });
    journal.iter().map(|recorded| Case::json(&name(recorded), recorded.public(video()).to_map())).chain(newer).collect()
}

/// A refusal with everything in it.
pub fn refusal() -> Rejection {
    let errors = vec![Violation::new("beats[2].duration", "must be 5, 10 or 15 s")];
    Rejection { code: Code::Invalid, reason: "beats[2].duration: must be 5, 10 or 15 s".into(), errors }
}

fn first_command_id() -> CommandId {
    "order-65".parse().expect("valid")
}
