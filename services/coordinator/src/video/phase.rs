//! How phases start, run, fail, go on again and end.

use std::time::Duration;

use messages::artifact::{Artifact, ArtifactKey, Content, Made};
use messages::command::{Code, Rejection, Via};
use messages::event::Event;
use messages::id::{ArtifactId, BranchName, CheckpointId, JobId};
use messages::job::{Done, Failed, FailureKind, NotWanted, Report};
use messages::money::Usd;
use messages::phase::Phase;
use messages::query::answer;
use messages::spec::rounded_duration;
use messages::video::ChangeSettings;

use super::review::Who;
use super::{BranchState, CheckpointState, Draft, JobState, Reply, Video, json, words};

/// How often a job that fails in passing is tried before somebody has to look, and how long it waits in between.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(2), Duration::from_secs(8), Duration::from_secs(30), Duration::from_secs(60)];

impl Video {
    /// What a phase makes when it is fed from `parent`, in order.
    fn artifacts_of(&self, phase: Phase, parent: Option<CheckpointId>) -> Vec<ArtifactKey> {
        let spec = parent.and_then(|parent| self.spec(parent));
        match phase {
            Phase::Planning => vec![ArtifactKey::Spec],
            Phase::Storyboard => {
                (0u32..).zip(spec.iter().flat_map(|spec| &spec.beats)).map(|(n, _)| ArtifactKey::Beat(n)).collect()
            }
            Phase::Chunks => self
                .chunk_plan(parent)
                .iter()
                .map(|chunk| ArtifactKey::Chunk(chunk.index))
                .chain([ArtifactKey::Stitched])
                .collect(),
            Phase::Refine => {
                let music = spec.is_some_and(|spec| spec.audio.music).then_some(ArtifactKey::Background);
                music.into_iter().chain([ArtifactKey::Final, ArtifactKey::Thumbnail]).collect()
            }
        }
    }

    /// What must be made before `key` of a checkpoint can be: the only place that knows which job waits for which.
    fn waits_for(&self, checkpoint: CheckpointId, key: ArtifactKey) -> Vec<ArtifactKey> {
        let Some(checkpoint) = self.checkpoints.get(&checkpoint) else { return Vec::new() };
        match key {
            ArtifactKey::Chunk(n) => {
                let chained = checkpoint.chunk_plan.iter().any(|chunk| chunk.index == n && chunk.chained);
                if chained { vec![ArtifactKey::Chunk(n - 1)] } else { Vec::new() }
            }
            ArtifactKey::Stitched => {
                checkpoint.chunk_plan.iter().map(|chunk| ArtifactKey::Chunk(chunk.index)).collect()
            }
            ArtifactKey::Final => {
                checkpoint.expected.iter().copied().filter(|key| *key == ArtifactKey::Background).collect()
            }
            // The mix brings it; only where a worker of an older version mixed does it get a job of its own.
            ArtifactKey::Thumbnail => vec![ArtifactKey::Final],
            ArtifactKey::Spec | ArtifactKey::Beat(_) | ArtifactKey::ChunkLastFrame(_) | ArtifactKey::Background => {
                Vec::new()
            }
        }
    }

    /// The jobs of a checkpoint in the making that nobody ordered yet, whose artifacts are missing and whose inputs are
    /// there, `just_made` included.
    fn startable(&self, checkpoint: CheckpointId, just_made: &[Made]) -> Vec<JobId> {
        let Some(state) = self.checkpoints.get(&checkpoint) else { return Vec::new() };
        let made = |key: &ArtifactKey| just_made.iter().any(|made| made.key == *key) || self.is_made(checkpoint, *key);
        state
            .expected
            .iter()
            .filter(|key| !made(key))
            .map(|key| JobId { checkpoint, artifact: *key, version: 1 })
            .filter(|job| !self.jobs.contains_key(job))
            .filter(|job| self.waits_for(checkpoint, job.artifact).iter().all(made))
            .collect()
    }

    /// The jobs of a checkpoint in the making, as far as they were ordered.
    fn phase_jobs(&self, checkpoint: CheckpointId) -> impl Iterator<Item = (JobId, &super::Job)> {
        let expected = self.checkpoints.get(&checkpoint).map(|checkpoint| checkpoint.expected.clone());
        expected.unwrap_or_default().into_iter().filter_map(move |artifact| {
            let id = JobId { checkpoint, artifact, version: 1 };
            Some((id, self.jobs.get(&id)?.as_ref()))
        })
    }

    /// Whether the fate of a job of a checkpoint in the making is unknown.
    pub(super) fn has_unknown(&self, checkpoint: CheckpointId) -> bool {
        self.phase_jobs(checkpoint).any(|(_, job)| job.state == JobState::Unknown)
    }

    /// The branch that a person names, or every one.
    fn branches_named(&self, name: Option<&str>) -> Result<Vec<BranchName>, Rejection> {
        let Some(name) = name else { return Ok(self.branches.keys().cloned().collect()) };
        let known = self.branches.keys().find(|branch| branch.as_str() == name);
        known.map(|branch| vec![branch.clone()]).ok_or_else(|| {
            let cut: String = name.chars().take(64).collect();
            Rejection::new(Code::UnknownBranch, format!("the video has no branch `{cut}`"))
        })
    }

    /// Branches that `retry` would move.
    pub(super) fn retryable(&self, name: Option<&str>) -> Result<Vec<BranchName>, Rejection> {
        let stopped = |state: &BranchState| matches!(state, BranchState::Failed { .. } | BranchState::Cancelled);
        let mut branches = self.branches_named(name)?;
        branches.retain(|branch| self.branches.get(branch).is_some_and(|branch| stopped(&branch.state)));
        if branches.is_empty() {
            return Err(Rejection::new(Code::NothingToRetry, "nothing failed or was cancelled there"));
        }
        Ok(branches)
    }

    /// Branches that `cancel` would stop, each with the jobs that run or wait to run.
    pub(super) fn cancellable(&self, name: Option<&str>) -> Result<Vec<(BranchName, Vec<JobId>)>, Rejection> {
        let running: Vec<_> = self
            .branches_named(name)?
            .into_iter()
            .filter_map(|name| {
                let branch = self.branches.get(&name)?;
                let jobs: Vec<_> = self.in_flight(branch.head).map(|(id, _)| *id).collect();
                (branch.state == BranchState::Running || !jobs.is_empty()).then_some((name, jobs))
            })
            .collect();
        if running.is_empty() {
            return Err(Rejection::new(Code::NothingRunning, "nothing runs there"));
        }
        Ok(running)
    }
}

impl Draft {
    /// Starts a phase on a branch, as its next version, fed from `parent`.
    pub(super) fn start_phase(
        &mut self,
        phase: Phase,
        branch: &BranchName,
        parent: Option<CheckpointId>,
        notes: Vec<String>,
    ) -> CheckpointId {
        let version = self.video.next_checkpoint_version(branch, phase);
        let checkpoint_id = CheckpointId::derived(self.video.id, branch, phase, version);
        let artifacts = self.video.artifacts_of(phase, parent);
        let chunk_plan = if phase == Phase::Chunks { self.video.chunk_plan(parent) } else { Vec::new() };
        // Only what waits for nothing of its own phase starts at once.
        let starts = |key: &ArtifactKey| match key {
            ArtifactKey::Chunk(n) => !chunk_plan.iter().any(|chunk| chunk.index == *n && chunk.chained),
            ArtifactKey::Stitched => chunk_plan.is_empty(),
            ArtifactKey::Final => !artifacts.contains(&ArtifactKey::Background),
            ArtifactKey::Thumbnail => false,
            ArtifactKey::Spec | ArtifactKey::Beat(_) | ArtifactKey::ChunkLastFrame(_) | ArtifactKey::Background => true,
        };
        let jobs = artifacts
            .iter()
            .filter(|key| starts(key))
            .map(|key| JobId { checkpoint: checkpoint_id, artifact: *key, version: 1 })
            .collect();
        self.record(Event::PhaseStarted {
            branch: branch.clone(),
            phase,
            version,
            checkpoint_id,
            parent,
            notes,
            chunk_plan: chunk_plan.clone(),
            artifacts: artifacts.clone(),
            jobs,
        });
        checkpoint_id
    }

    /// A job's artifacts are there.
    pub(super) fn job_done(&mut self, report: &Report<Done>) -> Reply {
        let Some(job) = self.video.jobs.get(&report.job) else { return Reply::NotWanted(NotWanted::UnknownJob) };
        if job.state == JobState::Done {
            return Reply::Recorded;
        }
        let wanted = job.state != JobState::Cancelled;
        if let Err(reason) = self.video.acceptable(report.job, &report.outcome.made) {
            // The worker did its best: trying the same again would give the same.
            let outcome = Failed { kind: FailureKind::GiveUp, reason, retry_after_s: None };
            let attempt = job.attempt;
            return self.job_failed(&report.with(attempt, outcome));
        }
        let checkpoint = report.job.checkpoint;
        let artifacts: Vec<_> = report.outcome.made.iter().map(|made| self.artifact(report.job, made)).collect();
        let running = self.video.making_branch(checkpoint).filter(|branch| {
            self.video.branches.get(branch).is_some_and(|branch| branch.state == BranchState::Running)
        });
        let gave_up = self.video.phase_jobs(checkpoint).any(|(_, job)| matches!(job.state, JobState::Failed { .. }));
        // A job that gave up stops the planning of more; what is cancelled goes on only when somebody says so.
        let starts = match &running {
            Some(_) if !gave_up => self.video.startable(checkpoint, &report.outcome.made),
            Some(_) | None => Vec::new(),
        };
        self.record(Event::JobDone {
            job: report.job,
            attempt: report.attempt,
            artifacts,
            spent: report.outcome.spent.clone(),
            starts,
        });
        match running {
            Some(branch) => self.settle(&branch, checkpoint),
            None => self.order_done(report.job, wanted),
        }
        Reply::Recorded
    }

    /// An attempt of a job failed.
    pub(super) fn job_failed(&mut self, report: &Report<Failed>) -> Reply {
        let (id, failed) = (report.job, &report.outcome);
        let Some(job) = self.video.jobs.get(&id) else { return Reply::NotWanted(NotWanted::UnknownJob) };
        match job.state {
            JobState::Planned if report.attempt == job.attempt => {}
            JobState::Planned | JobState::Unknown => return Reply::NotWanted(NotWanted::Superseded),
            JobState::Cancelled => return Reply::NotWanted(NotWanted::Cancelled),
            JobState::Done | JobState::Failed { .. } => return Reply::Recorded,
        }
        let (attempt, failures) = (job.attempt, job.failures as usize);
        let again = match failed.kind {
            FailureKind::RetryLater => PAUSES.get(failures).copied(),
            // The job is wanted, so whoever told the worker to stop was mistaken.
            FailureKind::Cancelled => PAUSES.get(failures).copied(),
            FailureKind::NeedsUpgrade => Some(pause_until_upgraded(attempt)),
            FailureKind::GiveUp | FailureKind::Crashed => None,
        };
        let reason = if again.is_none() { words(failed.kind, &failed.reason) } else { failed.reason.clone() };
        self.record(Event::JobFailed {
            job: id,
            attempt,
            kind: failed.kind,
            reason: reason.clone(),
            gave_up: again.is_none(),
        });
        match again {
            Some(pause) => {
                let asked = Duration::from_secs(failed.retry_after_s.unwrap_or(0).into()).min(MAX_PAUSE);
                let not_before = self.now + pause.max(asked);
                let (by, how) = (None, None);
                self.record(Event::JobRetried { job: id, attempt: attempt + 1, not_before, by, how });
            }
            None => match self.video.making_branch(id.checkpoint) {
                Some(branch) => self.settle(&branch, id.checkpoint),
                None => self.order_failed(id, reason),
            },
        }
        Reply::Recorded
    }

    /// Ends a running phase when all of it is made, or when nothing of it runs any more.
    pub(super) fn settle(&mut self, branch: &BranchName, checkpoint_id: CheckpointId) {
        let Some(checkpoint) = self.video.checkpoints.get(&checkpoint_id) else { return };
        let (phase, version, parent) = (checkpoint.phase, checkpoint.version, checkpoint.parent);
        let all_made = checkpoint.expected.iter().all(|key| self.video.is_made(checkpoint_id, *key));
        if all_made {
            let warnings = match phase {
                Phase::Planning => self.video.spec(checkpoint_id).map(|spec| spec.warnings()).unwrap_or_default(),
                Phase::Storyboard | Phase::Chunks | Phase::Refine => Vec::new(),
            };
            self.record(Event::CheckpointCreated {
                checkpoint_id,
                branch: branch.clone(),
                phase,
                version,
                parent,
                digest: self.video.digest(&checkpoint.selection),
                warnings,
                estimate_next_usd: self.video.estimate_next(checkpoint_id),
            });
            self.go_on_by_policy(checkpoint_id);
            return;
        }
        if self.video.in_flight(checkpoint_id).next().is_some() {
            return;
        }
        let reasons: Vec<_> = self
            .video
            .phase_jobs(checkpoint_id)
            .filter_map(|(id, job)| match &job.state {
                JobState::Failed { reason } => Some(format!("{}: {reason}", id.artifact)),
                JobState::Planned | JobState::Done | JobState::Cancelled | JobState::Unknown => None,
            })
            .collect();
        if !reasons.is_empty() {
            let reason = reasons.join("; ");
            self.record(Event::PhaseFailed { branch: branch.clone(), phase, checkpoint_id, reason });
        } else if !self.video.has_unknown(checkpoint_id) {
            // What is left was cancelled, while the fate of a paid job was unknown: only `retry` goes on with it.
            let (by, how) = (self.video.user.clone(), Via::Policy);
            self.record(Event::BranchCancelled { branch: branch.clone(), jobs: Vec::new(), by, how });
        }
    }

    /// `retry`: runs what did not finish, from where it stopped (W1, W9).
    pub(super) fn retry(&mut self, branch: Option<&str>, who: &Who) -> Result<Reply, Rejection> {
        let branches = self.video.retryable(branch)?;
        let mut jobs = Vec::new();
        for name in &branches {
            let Some(head) = self.video.branches.get(name).map(|branch| branch.head) else { continue };
            let again: Vec<_> = self
                .video
                .phase_jobs(head)
                .filter_map(|(id, job)| match job.state {
                    JobState::Failed { .. } | JobState::Cancelled => Some((id, job.attempt + 1)),
                    JobState::Planned | JobState::Done | JobState::Unknown => None,
                })
                .chain(self.video.startable(head, &[]).into_iter().map(|id| (id, 1)))
                .collect();
            for (job, attempt) in again {
                jobs.push(job);
                let (by, how) = (Some(who.by.clone()), Some(who.how));
                self.record(Event::JobRetried { job, attempt, not_before: self.now, by, how });
            }
            self.settle(name, head);
        }
        let names: Vec<_> = branches.iter().map(BranchName::as_str).collect();
        let message = format!("{} of {} run again.", count(jobs.len(), "job"), names.join(", "));
        let answer = answer::Moved { message, branches, jobs };
        Ok(Reply::Answer { answer: json(&answer), first_command_id: None })
    }

    /// `cancel`: stops what runs (W11). What comes in late is kept unused, and `retry` goes on.
    pub(super) fn cancel(&mut self, branch: Option<&str>, who: &Who) -> Result<Reply, Rejection> {
        let running = self.video.cancellable(branch)?;
        let mut answer = answer::Moved { message: String::new(), branches: Vec::new(), jobs: Vec::new() };
        for (branch, jobs) in running {
            let head = self.video.branches.get(&branch).map(|branch| branch.head);
            let orders: Vec<_> = jobs
                .iter()
                .copied()
                .filter(|_| head.is_some_and(|head| self.video.making_branch(head).is_none()))
                .collect();
            self.record(Event::BranchCancelled {
                branch: branch.clone(),
                jobs: jobs.clone(),
                by: who.by.clone(),
                how: who.how,
            });
            for job in orders {
                self.record(Event::ArtifactFailed {
                    checkpoint_id: job.checkpoint,
                    key: job.artifact,
                    version: job.version,
                    reason: "cancelled".to_owned(),
                });
            }
            answer.branches.push(branch);
            answer.jobs.extend(jobs);
        }
        answer.message = format!("{} stopped.", count(answer.jobs.len(), "job"));
        Ok(Reply::Answer { answer: json(&answer), first_command_id: None })
    }

    /// `settings`: also approves what already waits when auto-continue comes on or the budget allows it now.
    pub(super) fn change_settings(&mut self, change: &ChangeSettings, who: &Who) -> Result<Reply, Rejection> {
        let violations = change.violations();
        if !violations.is_empty() {
            return Err(Rejection::invalid(violations));
        }
        let mut settings = self.video.settings.clone();
        settings.title = change.title.clone().or(settings.title);
        settings.auto_continue = change.auto_continue.clone().unwrap_or(settings.auto_continue);
        settings.budget_usd = change.budget_usd.or(settings.budget_usd);
        if settings != self.video.settings {
            self.record(Event::SettingsChanged { settings, by: who.by.clone(), how: who.how });
        }
        let heads: Vec<_> = self.video.branches.values().map(|branch| branch.head).collect();
        for head in heads {
            self.go_on_by_policy(head);
        }
        let answer = answer::Done { message: "Settings changed.".to_owned() };
        Ok(Reply::Answer { answer: json(&answer), first_command_id: None })
    }

    /// Auto-continue: the policy approves through the same code with the same records, inside its limits and the budget.
    pub(super) fn go_on_by_policy(&mut self, checkpoint_id: CheckpointId) {
        let Some(checkpoint) = self.video.checkpoints.get(&checkpoint_id) else { return };
        let estimate_usd = self.video.estimate_next(checkpoint_id);
        let total = self.video.spent() + self.video.ordered() + estimate_usd;
        let (branch, phase) = (checkpoint.branch.clone(), checkpoint.phase);
        let waits = checkpoint.state == CheckpointState::Pending
            && self.video.in_flight(checkpoint_id).next().is_none()
            && self.video.stale(checkpoint_id).is_empty();
        if !waits || !self.video.settings.auto_continue.approves(phase, total) {
            return;
        }
        let passes = |budget: &Usd| estimate_usd > Usd::ZERO && total > *budget;
        if let Some(budget_usd) = self.video.settings.budget_usd.filter(passes) {
            let blocked = self.video.branches.get(&branch).is_some_and(|b| b.state == BranchState::BlockedBudget);
            if !blocked {
                self.record(Event::BudgetExceeded { branch, checkpoint_id, estimate_usd, budget_usd });
            }
            return;
        }
        let who = Who { by: self.video.user.clone(), how: Via::Policy };
        self.go_on(checkpoint_id, checkpoint_id, &who, None);
    }

    fn artifact(&self, job: JobId, made: &Made) -> Artifact {
        Artifact {
            id: ArtifactId::derived(self.video.id, job.checkpoint, made.key, job.version),
            checkpoint_id: job.checkpoint,
            key: made.key,
            version: job.version,
            content: made.content.clone(),
            metadata: made.metadata.clone(),
            job: Some(job),
            created_at: self.now,
        }
    }
}

/// A provider that asks for more patience than this is asked again all the same.
const MAX_PAUSE: Duration = Duration::from_secs(600);

/// How long a job waits that a worker was too old for. While old and new ones share a queue it is soon another's; else it
/// takes as long as the upgrade takes, and nobody wants to read of it each minute.
fn pause_until_upgraded(attempt: u32) -> Duration {
    let failed = attempt.saturating_sub(1) as usize;
    let [.., last] = PAUSES;
    PAUSES.get(failed).copied().unwrap_or_else(|| {
        let doubled = (PAUSES.len()..=failed).try_fold(last, |pause, _| Some(pause * 2).filter(|p| *p < MAX_PAUSE));
        doubled.unwrap_or(MAX_PAUSE)
    })
}

impl Video {
    /// Why what a worker made is not what the job ordered, if it is not.
    fn acceptable(&self, job: JobId, made: &[Made]) -> Result<(), String> {
        let mut expected = vec![job.artifact];
        let keys: Vec<_> = made.iter().map(|made| made.key).collect();
        match job.artifact {
            ArtifactKey::Chunk(n) => expected.push(ArtifactKey::ChunkLastFrame(n)),
            // A worker of an older version makes the film alone.
            ArtifactKey::Final if keys.len() > 1 && self.comes_with_mix(job) => expected.push(ArtifactKey::Thumbnail),
            _ => {}
        }
        if keys.len() != expected.len() || !expected.iter().all(|key| keys.contains(key)) {
            return Err(format!("the worker made {keys:?}, not {expected:?}"));
        }
        for made in made {
            match (&made.content, made.key) {
                (Content::Spec(spec), ArtifactKey::Spec) => {
                    let requested = self.request.duration.map(rounded_duration);
                    let violations = spec.violations(&self.catalogue, requested);
                    if let Some(first) = violations.first() {
                        return Err(format!("the planner's spec breaks a rule: {}: {}", first.field, first.reason));
                    }
                }
                (Content::Object(_), key) if key != ArtifactKey::Spec => {}
                (Content::Spec(_) | Content::Object(_), key) => {
                    return Err(format!("the worker made `{key}` of the wrong kind"));
                }
            }
        }
        Ok(())
    }

    pub(super) fn next_checkpoint_version(&self, branch: &BranchName, phase: Phase) -> u32 {
        let made = self.checkpoints.values().filter(|c| c.branch == *branch && c.phase == phase).map(|c| c.version);
        made.max().unwrap_or(0) + 1
    }
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
