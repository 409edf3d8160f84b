//! Paid jobs: claimed once, submitted once, never billed twice.
//!
//! At most one submission per ordered attempt. A worker that was given leave and died before it could say what the
//! provider calls its job leaves an attempt whose fate nobody knows: a person decides, nothing guesses.

use std::time::Duration;

use messages::checkpoint::{Decision, Resolve};
use messages::command::{Code, Rejection};
use messages::event::{Event, Overrides};
use messages::id::JobId;
use messages::job::{Claim, ClaimReply, FailureKind, NotWanted, Report, Submitted};
use messages::money::Usd;
use messages::query::answer;

use super::review::Who;
use super::{BranchState, CheckpointState, Draft, JobState, Reply, Video, json};

/// A holder that was not heard of for so long is taken to be dead.
const SILENCE: Duration = Duration::from_secs(30);

impl Video {
    /// What may still be spent on what was claimed and is not booked.
    fn reserved(&self) -> Usd {
        let running = self.jobs.values().filter(|job| matches!(job.state, JobState::Planned | JobState::Unknown));
        running.filter_map(|job| Some(job.claim.as_ref()?.price)).sum()
    }

    /// What was ordered and is not booked yet: the rest of every running phase, and what is being made again.
    pub(super) fn ordered(&self) -> Usd {
        let none = Overrides::default();
        let running = self.branches.values().filter(|branch| branch.state == BranchState::Running);
        let phases = running.flat_map(|branch| {
            let expected = self.checkpoints.get(&branch.head).map(|head| head.expected.as_slice()).unwrap_or_default();
            expected.iter().filter(|key| !self.is_made(branch.head, **key)).map(move |key| (branch.head, *key))
        });
        let phases = phases.map(|(checkpoint, key)| self.price_of(checkpoint, key, &none));
        let waits =
            |id: &JobId| self.checkpoints.get(&id.checkpoint).is_some_and(|c| c.state != CheckpointState::Making);
        let orders = self.jobs.iter().filter(|(id, job)| job.state == JobState::Planned && waits(id));
        let orders = orders.map(|(id, job)| self.price_of(id.checkpoint, id.artifact, &job.overrides));
        phases.chain(orders).sum()
    }
}

impl Draft {
    /// `claim`: may this try submit?
    pub(super) fn claim(&mut self, report: &Report<Claim>) -> ClaimReply {
        let (id, claim) = (report.job, &report.outcome);
        let refused = ClaimReply::Refused;
        let Some(job) = self.video.jobs.get(&id) else { return refused(NotWanted::UnknownJob) };
        match job.state {
            JobState::Planned if job.attempt == report.attempt => {}
            JobState::Planned | JobState::Done | JobState::Failed { .. } | JobState::Unknown => {
                return refused(NotWanted::Superseded);
            }
            JobState::Cancelled => return refused(NotWanted::Cancelled),
        }
        if let Some(held) = &job.claim {
            if held.nonce == claim.nonce {
                return ClaimReply::Granted;
            }
            if self.now < held.at + SILENCE {
                return ClaimReply::Held;
            }
            if let Some(provider_job) = held.provider_job.clone() {
                return ClaimReply::Attach { provider_job };
            }
            let price_usd = held.price;
            self.record(Event::JobUnknown { job: id, attempt: report.attempt, price_usd });
            return refused(NotWanted::Superseded);
        }
        let total = self.video.spent() + self.video.reserved() + claim.price;
        if self.video.settings.budget_usd.is_some_and(|budget| total > budget) {
            return refused(NotWanted::OverBudget);
        }
        self.record(Event::JobClaimed {
            job: id,
            attempt: report.attempt,
            nonce: claim.nonce,
            input: claim.input,
            price_usd: claim.price,
        });
        ClaimReply::Granted
    }

    /// `submitted`: the provider has it, and it can be found again.
    pub(super) fn submitted(&mut self, report: &Report<Submitted>) -> Reply {
        let (id, submitted) = (report.job, &report.outcome);
        let Some(job) = self.video.jobs.get(&id) else { return Reply::NotWanted(NotWanted::UnknownJob) };
        let ours = job.claim.as_ref().filter(|held| held.nonce == submitted.nonce);
        match ours.map(|held| &held.provider_job) {
            None => Reply::NotWanted(NotWanted::Superseded),
            Some(Some(_)) => Reply::Recorded,
            // Also of a job that was cancelled or taken for unknown meanwhile: what is paid for must be found again.
            Some(None) => {
                let provider_job = submitted.provider_job.clone();
                self.record(Event::JobSubmitted { job: id, attempt: report.attempt, provider_job });
                Reply::Recorded
            }
        }
    }

    /// `resolve`: what a person decides about a job whose fate is unknown.
    pub(super) fn resolve(&mut self, resolve: &Resolve, who: &Who) -> Result<Reply, Rejection> {
        let id = resolve.job;
        let unknown = || Rejection::new(Code::UnknownJob, format!("the video has no job `{id}`"));
        let job = self.video.jobs.get(&id).ok_or_else(unknown)?;
        if job.state != JobState::Unknown {
            return Err(Rejection::new(
                Code::NotUnknown,
                "what became of this job is known; there is nothing to resolve",
            ));
        }
        let (attempt, submitted) = (job.attempt, job.claim.as_ref().is_some_and(|held| held.provider_job.is_some()));
        let message = match resolve.decision {
            Decision::Collect if !submitted => {
                let reason = "nobody knows what the provider calls it; look there, then say pay_again or give_up";
                return Err(Rejection::new(Code::NotSupported, reason));
            }
            Decision::Collect | Decision::PayAgain => {
                let (by, how) = (Some(who.by.clone()), Some(who.how));
                self.record(Event::JobRetried { job: id, attempt: attempt + 1, not_before: self.now, by, how });
                "The job runs again."
            }
            Decision::GiveUp => {
                self.give_up(id, attempt);
                "The job is given up."
            }
        };
        Ok(Reply::Answer { answer: json(&answer::Done { message: message.to_owned() }), first_command_id: None })
    }

    fn give_up(&mut self, id: JobId, attempt: u32) {
        let reason = "its fate stayed unknown and somebody gave it up".to_owned();
        let kind = FailureKind::GiveUp;
        self.record(Event::JobFailed { job: id, attempt, kind, reason: reason.clone(), gave_up: true });
        match self.video.making_branch(id.checkpoint) {
            Some(branch) => self.settle(&branch, id.checkpoint),
            None => self.order_failed(id, reason),
        }
    }
}
