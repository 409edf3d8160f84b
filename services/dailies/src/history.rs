//! What happened to a video in sentences: who did what, to which checkpoint, through which door. Pure.

use std::collections::BTreeMap;

use messages::artifact::ArtifactKey;
use messages::command::Via;
use messages::id::{BranchName, CheckpointId, JobId, UserId};
use messages::phase::Phase;
use messages::video::{AutoContinue, Settings};

use crate::checkpoint_tree::moment;
use crate::columns::clean;
use crate::happened::{Happened, Seen, who};
use crate::screen::Paint;

/// Tells a video's events in order. It has to see them from the first one on, because later ones name a checkpoint by its
/// id alone.
#[derive(Debug, Default)]
pub struct History {
    checkpoints: BTreeMap<CheckpointId, Name>,
}

/// What people call a checkpoint.
#[derive(Debug, Clone)]
struct Name {
    branch: BranchName,
    phase: Phase,
    version: u32,
}

impl History {
    /// An event in a line. What people did stands out from what the machine did for them.
    pub fn line(&mut self, seen: &Seen, name: &str, paint: Paint) -> String {
        self.learn(&seen.happened);
        let time = paint.dim(&moment(seen.time));
        let told = clean(&self.sentence(&seen.happened, name));
        let told = match weight(&seen.happened) {
            Weight::Person => paint.bold(&told),
            Weight::Trouble => paint.warn(&told),
            Weight::Machine => told,
            Weight::Detail => paint.dim(&told),
        };
        format!("{time}  {told}")
    }

    fn learn(&mut self, happened: &Happened) {
        match happened {
            Happened::PhaseStarted { branch, phase, version, checkpoint_id, .. }
            | Happened::CheckpointCreated { branch, phase, version, checkpoint_id } => {
                let name = Name { branch: branch.clone(), phase: *phase, version: *version };
                self.checkpoints.insert(*checkpoint_id, name);
            }
            Happened::BranchCreated { branch, from, checkpoint_id, version, .. } => {
                if let Some(original) = self.checkpoints.get(from) {
                    let name = Name { branch: branch.clone(), phase: original.phase, version: *version };
                    self.checkpoints.insert(*checkpoint_id, name);
                }
            }
            // No other event brings a checkpoint.
            _ => {}
        }
    }

    /// `name` is the event's own, for what a newer cluster says.
    fn sentence(&self, happened: &Happened, name: &str) -> String {
        let of = |checkpoint: &CheckpointId| self.name(*checkpoint);
        match happened {
            Happened::VideoCreated { user, how } => format!("{} asked for the video", who(user, *how)),
            Happened::PhaseStarted { branch, phase, version, artifacts, .. } => {
                let what = named(branch, *phase, *version);
                format!("{what} started: {}", listed(artifacts))
            }
            Happened::JobDone { job } => format!("{} is made ({})", job.artifact, self.of_job(*job)),
            Happened::JobFailed { job, attempt, reason, gave_up } => {
                let next = if *gave_up { "nothing tries again by itself" } else { "it is tried again" };
                format!("{} ({}): attempt {attempt} failed: {reason}; {next}", job.artifact, self.of_job(*job))
            }
            Happened::JobRetried { job, attempt, by, how } => {
                let what = format!("{} ({}), attempt {attempt}", job.artifact, self.of_job(*job));
                match someone(by, how) {
                    Some(someone) => format!("{someone} retried {what}"),
                    None => format!("trying again: {what}"),
                }
            }
            Happened::JobClaimed { job, price_usd } => {
                format!("{} ({}) may cost up to {price_usd}", job.artifact, self.of_job(*job))
            }
            Happened::JobSubmitted { job, provider_job } => {
                format!("{} ({}) is at its provider as {provider_job}", job.artifact, self.of_job(*job))
            }
            Happened::JobUnknown { job, price_usd } => format!(
                "nobody knows whether {} ({}) was paid for, {price_usd}: resolve {job}",
                job.artifact,
                self.of_job(*job)
            ),
            Happened::CheckpointCreated { checkpoint_id, .. } => {
                format!("{} waits for an approval ({checkpoint_id})", of(checkpoint_id))
            }
            Happened::CheckpointApproved { checkpoint_id, by, how, note, .. } => {
                let note = note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
                format!("{} approved {}{note}", who(by, *how), of(checkpoint_id))
            }
            Happened::CheckpointRejected { checkpoint_id, by, how, notes } => {
                format!("{} sent {} back: {notes}", who(by, *how), of(checkpoint_id))
            }
            Happened::CheckpointAbandoned { checkpoint_id, by, how } => {
                format!("{} abandoned {}", who(by, *how), of(checkpoint_id))
            }
            Happened::CheckpointPinned { checkpoint_id, pinned, by, how } => {
                let did = if *pinned { "pinned" } else { "unpinned" };
                format!("{} {did} {}", who(by, *how), of(checkpoint_id))
            }
            Happened::BranchCreated { branch, from, by, how, .. } => {
                format!("{} opened the branch {branch} from {}", who(by, *how), of(from))
            }
            Happened::SpecEdited { checkpoint_id, by, how } => {
                format!("{} edited the spec of {}", who(by, *how), of(checkpoint_id))
            }
            Happened::ArtifactOrdered { checkpoint_id, key, version, by, how, overrides } => {
                let what = format!("{key} of {} as version {version}", of(checkpoint_id));
                let wish = overrides.prompt.as_ref().or(overrides.notes.as_ref());
                let wish = wish.map(|wish| format!(": {wish}")).unwrap_or_default();
                match (someone(by, how), &overrides.import) {
                    (Some(someone), Some(_)) => format!("{someone} uploaded {what}"),
                    (Some(someone), None) => format!("{someone} ordered {what}{wish}"),
                    (None, _) => format!("making {what}, because what it is made from changed"),
                }
            }
            Happened::ArtifactReady { checkpoint_id, key, version, selected } => {
                let unselected = if *selected { "" } else { ", not selected" };
                format!("{key} of {} is ready as version {version}{unselected}", of(checkpoint_id))
            }
            Happened::ArtifactFailed { checkpoint_id, key, version, reason } => {
                format!("{key} of {} could not be made as version {version}: {reason}", of(checkpoint_id))
            }
            Happened::ArtifactSelected { checkpoint_id, key, from_checkpoint, by, how } => match from_checkpoint {
                Some(from) => format!("{} took {key} from {} for {}", who(by, *how), of(from), of(checkpoint_id)),
                None => format!("{} selected another version of {key} in {}", who(by, *how), of(checkpoint_id)),
            },
            Happened::ArtifactStale { checkpoint_id, keys } => {
                format!("no longer fitting in {}: {}", of(checkpoint_id), listed(keys))
            }
            Happened::PhaseFailed { branch, phase, reason } => format!("{} of {branch} failed: {reason}", phase.name()),
            Happened::BranchCompleted { branch, .. } => format!("the film of {branch} is complete"),
            Happened::BranchCancelled { branch, by, how } => format!("{} cancelled {branch}", who(by, *how)),
            Happened::BudgetExceeded { branch, estimate_usd, budget_usd } => {
                format!("{branch} waits: going on costs {estimate_usd}, which would pass the budget of {budget_usd}")
            }
            Happened::SettingsChanged { settings, by, how } => {
                format!("{} changed the settings: {}", who(by, *how), in_words(settings))
            }
            Happened::VideoDeleted { by, how } => format!("{} deleted the video", who(by, *how)),
            Happened::Other => name.to_owned(),
        }
    }

    fn name(&self, checkpoint: CheckpointId) -> String {
        match self.checkpoints.get(&checkpoint) {
            Some(Name { branch, phase, version }) => named(branch, *phase, *version),
            None => checkpoint.to_string(),
        }
    }

    fn of_job(&self, job: JobId) -> String {
        let again = if job.version > 1 { format!(", version {}", job.version) } else { String::new() };
        format!("{}{again}", self.name(job.checkpoint))
    }
}

/// Settings as people say them.
pub fn in_words(settings: &Settings) -> String {
    let title = settings.title.as_ref().map(|title| format!("title “{title}”, ")).unwrap_or_default();
    let budget = settings.budget_usd.map_or_else(|| "no budget".to_owned(), |budget| format!("budget {budget}"));
    format!("{title}auto-continue {}, {budget}", auto_continue(&settings.auto_continue))
}

/// Auto-continue as people say it.
pub fn auto_continue(auto: &AutoContinue) -> String {
    match auto {
        AutoContinue::Off => "off".to_owned(),
        AutoContinue::On(limits) => {
            let until = limits.until.map(|phase| format!(" until {}", phase.name())).unwrap_or_default();
            let most = limits.max_cost_usd.map(|most| format!(" up to {most}")).unwrap_or_default();
            format!("on{until}{most}")
        }
    }
}

fn named(branch: &BranchName, phase: Phase, version: u32) -> String {
    let version = if version > 1 { format!(" v{version}") } else { String::new() };
    format!("{} of {branch}{version}", phase.name())
}

fn listed(keys: &[ArtifactKey]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn someone(by: &Option<UserId>, how: &Option<Via>) -> Option<String> {
    Some(who(by.as_ref()?, (*how)?))
}

enum Weight {
    Person,
    Trouble,
    Machine,
    Detail,
}

fn weight(happened: &Happened) -> Weight {
    match happened {
        Happened::VideoCreated { .. }
        | Happened::CheckpointApproved { .. }
        | Happened::CheckpointRejected { .. }
        | Happened::CheckpointAbandoned { .. }
        | Happened::CheckpointPinned { .. }
        | Happened::BranchCreated { .. }
        | Happened::SpecEdited { .. }
        | Happened::ArtifactOrdered { by: Some(_), .. }
        | Happened::ArtifactSelected { .. }
        | Happened::JobRetried { by: Some(_), .. }
        | Happened::BranchCancelled { .. }
        | Happened::SettingsChanged { .. }
        | Happened::VideoDeleted { .. } => Weight::Person,
        Happened::JobFailed { .. }
        | Happened::JobUnknown { .. }
        | Happened::ArtifactFailed { .. }
        | Happened::ArtifactStale { .. }
        | Happened::PhaseFailed { .. }
        | Happened::BudgetExceeded { .. } => Weight::Trouble,
        Happened::JobDone { .. }
        | Happened::JobRetried { by: None, .. }
        | Happened::JobClaimed { .. }
        | Happened::JobSubmitted { .. } => Weight::Detail,
        Happened::PhaseStarted { .. }
        | Happened::CheckpointCreated { .. }
        | Happened::ArtifactOrdered { by: None, .. }
        | Happened::ArtifactReady { .. }
        | Happened::BranchCompleted { .. }
        | Happened::Other => Weight::Machine,
    }
}

#[cfg(test)]
mod tests {
    use messages::id::VideoId;
    use serde_json::{Value, json};

    use super::*;

    /// The sentences of events, as the cluster publishes them.
    fn told(events: &[Value]) -> Vec<String> {
        let mut history = History::default();
        let tell = |event: &Value| {
            let mut body = event.as_object().expect("an object").clone();
            body.insert("seq".into(), 1.into());
            body.insert("time".into(), "2026-01-01T12:00:00Z".into());
            let seen = Seen::read(&body).expect("an event");
            let name = event["type"].as_str().expect("a name");
            let line = history.line(&seen, name, Paint::plain());
            line.split_once("  ").expect("a time").1.to_owned()
        };
        events.iter().map(tell).collect()
    }

    #[test]
    fn a_reader_learns_who_did_what_to_which_checkpoint_and_from_where() {
        let video: VideoId = "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid");
        let main = CheckpointId::derived(video, &BranchName::main(), Phase::Storyboard, 2);
        let night = CheckpointId::derived(video, &"night".parse().expect("valid"), Phase::Storyboard, 1);
        let lines = told(&[
            json!({"type": "phase_started", "branch": "main", "phase": 2, "version": 2, "checkpoint_id": main,
                   "artifacts": ["beat_0", "beat_1"]}),
            json!({"type": "branch_created", "branch": "night", "from": main, "checkpoint_id": night, "version": 1,
                   "by": "local", "how": "http"}),
            json!({"type": "artifact_ordered", "checkpoint_id": night, "key": "beat_1", "version": 2, "by": "local",
                   "how": "cli", "overrides": {"prompt": "by moonlight"}}),
            json!({"type": "artifact_ordered", "checkpoint_id": night, "key": "stitched", "version": 3, "by": null,
                   "overrides": {}}),
            json!({"type": "checkpoint_approved", "checkpoint_id": night, "asked": night, "branch": "night",
                   "phase": 2, "by": "local", "how": "nats", "note": "go"}),
            json!({"type": "checkpoint_rejected", "checkpoint_id": main, "by": "ann", "how": "cli", "notes": "darker"}),
            json!({"type": "settings_changed", "by": "local", "how": "http", "settings":
                   {"title": "Tea", "auto_continue": {"until": "chunks"}, "budget_usd": 2}}),
            json!({"type": "sung"}),
        ]);
        assert_eq!(
            lines,
            [
                "storyboard of main v2 started: beat_0, beat_1",
                "local over HTTP opened the branch night from storyboard of main v2",
                "local on the command line ordered beat_1 of storyboard of night as version 2: by moonlight",
                "making stitched of storyboard of night as version 3, because what it is made from changed",
                "local over NATS approved storyboard of night: go",
                "ann on the command line sent storyboard of main v2 back: darker",
                "local over HTTP changed the settings: title “Tea”, auto-continue on until chunks, budget $2.00",
                "sung",
            ]
        );
    }

    #[test]
    fn text_from_outside_cannot_drive_the_terminal() {
        let event = json!({"type": "phase_failed", "branch": "main", "phase": 3, "reason": "\u{1b}[2Jgone"});
        assert_eq!(told(&[event]), ["chunks of main failed: [2Jgone"]);
    }
}
