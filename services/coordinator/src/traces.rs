//! PURE: which trace belongs to what was decided.
//!
//! The run of a phase is one trace. A command begins it, or a rule that approves by itself; jobs and reports go on with it.
//! The next phase may come days later, so it is a trace of its own that only points back. All of this follows from the
//! journal and from the outcomes of commands: nothing is stored for it but a trace that a client gave.

use std::collections::HashMap;

use messages::event::{CommandOutcome, Event, Recorded};
use messages::id::{CheckpointId, CommandId, JobId, UserId, VideoId};
use messages::trace::Trace;

/// The traces that made the checkpoints of a video.
pub type Phases = HashMap<CheckpointId, Trace>;

/// The trace of each event of a decision: its cause's, until a rule starts a phase.
pub fn of_events(events: &[Recorded], cause: Trace) -> Vec<Trace> {
    let mut current = cause;
    let mut trace_of = |recorded: &Recorded| {
        if let (Event::PhaseStarted { checkpoint_id, .. }, None) = (&recorded.event, &recorded.command_id) {
            current = Trace::of_phase(*checkpoint_id);
        }
        current
    };
    events.iter().map(&mut trace_of).collect()
}

/// Enters what began with these events.
pub fn enter(phases: &mut Phases, events: &[Recorded], traces: &[Trace]) {
    for (recorded, trace) in events.iter().zip(traces) {
        match &recorded.event {
            Event::PhaseStarted { checkpoint_id, .. } => drop(phases.insert(*checkpoint_id, *trace)),
            // A fork shows what the original's phase made.
            Event::BranchCreated { from, checkpoint_id, .. } => {
                let made = phases.get(from).copied().unwrap_or(*trace);
                phases.insert(*checkpoint_id, made);
            }
            _ => {}
        }
    }
}

/// The same from the whole journal.
pub fn of_journal(
    video: VideoId,
    owner: &UserId,
    journal: &[Recorded],
    outcomes: &HashMap<(UserId, CommandId), CommandOutcome>,
) -> Phases {
    let mut phases = Phases::new();
    for recorded in journal {
        let trace = match (&recorded.command_id, &recorded.event) {
            (Some(id), _) => {
                let given = outcomes.get(&(owner.clone(), id.clone())).and_then(CommandOutcome::trace);
                given.unwrap_or_else(|| Trace::of_command(video, id))
            }
            (None, Event::PhaseStarted { checkpoint_id, .. }) => Trace::of_phase(*checkpoint_id),
            (None, _) => continue,
        };
        enter(&mut phases, std::slice::from_ref(recorded), &[trace]);
    }
    phases
}

/// What the events of a decision go on from, without being part of it.
pub fn followed(events: &[Recorded], phases: &Phases) -> Vec<Trace> {
    let mut followed = Vec::new();
    for recorded in events {
        let checkpoint = match &recorded.event {
            Event::PhaseStarted { parent, .. } => *parent,
            Event::ArtifactOrdered { checkpoint_id, .. } => Some(*checkpoint_id),
            Event::JobRetried { job: JobId { checkpoint, .. }, .. } => Some(*checkpoint),
            _ => None,
        };
        let trace = checkpoint.and_then(|checkpoint| phases.get(&checkpoint));
        followed.extend(trace.filter(|trace| !followed.contains(*trace)).copied());
    }
    followed
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use messages::id::BranchName;
    use messages::phase::Phase;
    use serde_json::Value;

    use super::*;

    fn video() -> VideoId {
        "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid")
    }

    fn checkpoint(phase: Phase) -> CheckpointId {
        CheckpointId::derived(video(), &BranchName::main(), phase, 1)
    }

    fn command(name: &str) -> CommandId {
        name.parse().expect("valid")
    }

    /// A phase, started by a command or by a rule.
    fn started(phase: Phase, parent: Option<Phase>, by: Option<&str>) -> Recorded {
        let event = Event::PhaseStarted {
            branch: BranchName::main(),
            phase,
            version: 1,
            checkpoint_id: checkpoint(phase),
            parent: parent.map(checkpoint),
            notes: Vec::new(),
            chunk_plan: Vec::new(),
            artifacts: Vec::new(),
            jobs: Vec::new(),
        };
        Recorded { seq: 1, time: DateTime::default(), command_id: by.map(command), event }
    }

    #[test]
    fn a_phase_has_the_trace_that_its_command_brought_or_else_its_own() {
        let given: Trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().expect("valid");
        let answered = CommandOutcome::CommandAnswered {
            command_id: command("second"),
            first_command_id: command("second"),
            answer: Value::Null,
            time: DateTime::default(),
            trace: Some(given),
        };
        let outcomes = HashMap::from([((UserId::local(), command("second")), answered)]);
        let journal = [
            started(Phase::Planning, None, Some("first")),
            started(Phase::Storyboard, Some(Phase::Planning), Some("second")),
            started(Phase::Chunks, Some(Phase::Storyboard), None),
        ];
        let phases = of_journal(video(), &UserId::local(), &journal, &outcomes);
        assert_eq!(phases[&checkpoint(Phase::Planning)], Trace::of_command(video(), &command("first")));
        assert_eq!(phases[&checkpoint(Phase::Storyboard)], given);
        assert_eq!(phases[&checkpoint(Phase::Chunks)], Trace::of_phase(checkpoint(Phase::Chunks)));
        assert_eq!(followed(&journal[2..], &phases), [given], "it goes on from the phase that fed it");
        assert_eq!(followed(&journal[..1], &phases), []);
    }

    #[test]
    fn what_a_rule_starts_is_no_part_of_the_report_that_it_was_waiting_for() {
        let cause = Trace::of_command(video(), &command("first"));
        let by_hand = [started(Phase::Storyboard, Some(Phase::Planning), Some("first"))];
        assert_eq!(of_events(&by_hand, cause), [cause]);
        let by_rule = [started(Phase::Storyboard, Some(Phase::Planning), None)];
        assert_eq!(of_events(&by_rule, cause), [Trace::of_phase(checkpoint(Phase::Storyboard))]);
    }
}
