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
