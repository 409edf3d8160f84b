//! What the journal makes of a video: [`Video::apply`] writes down what happened, and holds no rules.
//!
//! A replay of the whole journal gives the state that the decisions were made upon, which is all that recovery needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use messages::artifact::{Artifact, ArtifactKey, Content, Digest};
use messages::catalogue::Catalogue;
use messages::chunk::PlannedChunk;
use messages::event::{Event, Overrides, Recorded};
use messages::id::{ArtifactId, BranchName, CheckpointId, CommandId, JobId, UserId, VideoId};
use messages::job::{self, FailureKind};
use messages::phase::Phase;
use messages::query::LedgerRow;
use messages::video::{AutoContinue, Models, Request, Settings};

use super::{Approval, Branch, BranchState, Checkpoint, CheckpointState, Claimed, Job, JobState, Video, review};

impl Video {
    /// The video that its first event makes; none when that is not a `VideoCreated`.
    pub fn born(id: VideoId, first: &Recorded, catalogue: Arc<Catalogue>) -> Option<Self> {
        let Event::VideoCreated { user, request, settings, catalogue: _, how: _, body } = &first.event else {
            return None;
        };
        let bare = Self::bare(id, first.seq, user.clone(), first.time, request.clone(), settings.clone(), catalogue);
        Some(Self { create_body: *body, created_by: first.command_id.clone(), ..bare })
    }

    /// What is left of a deleted video whose journal is gone: it answers as it did, and nothing brings it back.
    pub fn tombstone(id: VideoId, user: UserId, seq: u64, deleted_at: DateTime<Utc>, deleted_by: CommandId) -> Self {
        let nobody = String::new;
        let request = Request {
            prompt: String::new(),
            description: None,
            models: Models { language: nobody(), image: nobody(), video: nobody(), music: nobody() },
            duration: None,
            aspect_ratio: None,
            template: None,
            creativity: 0.0,
            seed: 0,
        };
        let settings = Settings { title: None, auto_continue: AutoContinue::default(), budget_usd: None };
        let catalogue = Arc::new(Catalogue { models: Vec::new(), beats: Vec::new(), archetypes: Vec::new() });
        Self { deleted: Some(deleted_by), ..Self::bare(id, seq, user, deleted_at, request, settings, catalogue) }
    }

    /// A video in which nothing has been made yet.
    fn bare(
        id: VideoId,
        seq: u64,
        user: UserId,
        created_at: DateTime<Utc>,
        request: Request,
        settings: Settings,
        catalogue: Arc<Catalogue>,
    ) -> Self {
        Self {
            id,
            seq,
            user,
            request: Arc::new(request),
            create_body: Digest::of(b""),
            created_by: None,
            catalogue,
            settings,
            created_at,
            updated_at: created_at,
            deleted: None,
            current_branch: BranchName::main(),
            branches: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            spec_digests: BTreeMap::new(),
            collected: BTreeSet::new(),
            jobs: BTreeMap::new(),
            ledger: Vec::new(),
        }
    }

    /// The video that its whole journal makes; none for an empty journal.
    pub fn replay(id: VideoId, journal: &[Recorded], catalogue: Arc<Catalogue>) -> Option<Self> {
        let (first, rest) = journal.split_first()?;
        let mut video = Self::born(id, first, catalogue)?;
        for recorded in rest {
            video.apply(recorded);
        }
        Some(video)
    }

    /// Writes down what happened. No rules: an event that was recorded is true.
    pub fn apply(&mut self, recorded: &Recorded) {
        self.seq = recorded.seq;
        self.updated_at = recorded.time;
        let (now, command_id) = (recorded.time, &recorded.command_id);
        match &recorded.event {
            Event::VideoCreated { .. } => {}
            Event::PhaseStarted {
                branch,
                phase,
                version,
                checkpoint_id,
                parent,
                notes,
                chunk_plan,
                artifacts,
                jobs,
            } => {
                self.apply_phase_started(
                    *checkpoint_id,
                    branch,
                    *phase,
                    *version,
                    *parent,
                    notes,
                    chunk_plan,
                    artifacts,
                    now,
                );
                for job in jobs {
                    self.plan_job(*job, 1, now, Overrides::default(), None);
                }
                self.move_branch(branch, BranchState::Running);
            }
            Event::JobDone { job, attempt, artifacts, spent, starts } => {
                for artifact in artifacts {
                    self.add_artifact(artifact);
                }
                for spent in spent {
                    self.ledger.extend(self.ledger_row(*job, *attempt, spent, now));
                }
                self.set_job_state(*job, JobState::Done);
                for started in starts {
                    self.plan_job(*started, 1, now, Overrides::default(), None);
                }
                self.touch_branch_of(job.checkpoint);
            }
            Event::JobFailed { job, attempt: _, kind, reason, gave_up } => {
                if let Some(state) = self.job_mut(*job) {
                    // That a worker is too old says nothing about the job.
                    state.failures += u32::from(*kind != FailureKind::NeedsUpgrade);
                    if *gave_up {
                        state.state = JobState::Failed { reason: reason.clone() };
                    }
                }
                self.touch_branch_of(job.checkpoint);
            }
            Event::JobRetried { job, attempt, not_before, .. } => {
                let known = self.jobs.get(job);
                let overrides = known.map(|known| known.overrides.clone()).unwrap_or_default();
                let (replaces, failures) = known.map_or((None, 0), |known| (known.replaces, known.failures));
                self.plan_job(*job, *attempt, *not_before, overrides, replaces);
                if let Some(state) = self.job_mut(*job) {
                    // A person's retry starts the count afresh.
                    state.failures = if command_id.is_some() { 0 } else { failures };
                }
                if let Some(branch) = self.making_branch(job.checkpoint) {
                    self.move_branch(&branch, BranchState::Running);
                }
            }
            Event::JobClaimed { job, nonce, price_usd, .. } => {
                let claim = Claimed { nonce: *nonce, price: *price_usd, at: now, provider_job: None };
                if let Some(state) = self.job_mut(*job) {
                    state.claim = Some(claim);
                }
            }
            Event::JobSubmitted { job, provider_job, .. } => {
                if let Some(claim) = self.job_mut(*job).and_then(|job| job.claim.as_mut()) {
                    claim.provider_job = Some(provider_job.clone());
                    claim.at = now;
                }
            }
            Event::JobUnknown { job, .. } => {
                self.set_job_state(*job, JobState::Unknown);
                self.touch_branch_of(job.checkpoint);
            }
            Event::CheckpointCreated { checkpoint_id, branch, warnings, .. } => {
                if let Some(checkpoint) = self.checkpoint_mut(*checkpoint_id) {
                    checkpoint.state = CheckpointState::Pending;
                    checkpoint.created_at = now;
                    checkpoint.first_selection = checkpoint.selection.clone();
                    checkpoint.warnings = warnings.clone();
                }
                self.move_branch(branch, BranchState::Paused);
            }
            Event::CheckpointApproved { checkpoint_id, asked, branch, phase, digest, .. } => {
                let approval = Approval {
                    command_id: command_id.clone(),
                    at: now,
                    digest: *digest,
                    answer: review::continued(*checkpoint_id, branch, *phase, asked != checkpoint_id),
                };
                if asked != checkpoint_id
                    && let Some(named) = self.checkpoint_mut(*asked)
                {
                    named.selection = named.first_selection.clone();
                    named.approved_away.push(approval.clone());
                }
                if let Some(checkpoint) = self.checkpoint_mut(*checkpoint_id) {
                    checkpoint.state = CheckpointState::Approved;
                    checkpoint.approval = Some(approval);
                }
            }
            Event::CheckpointRejected { checkpoint_id, superseded_by, .. } => {
                if let Some(checkpoint) = self.checkpoint_mut(*checkpoint_id) {
                    checkpoint.state = CheckpointState::Abandoned { superseded_by: Some(*superseded_by) };
                    checkpoint.abandoned_at = Some(now);
                }
            }
            Event::CheckpointAbandoned { checkpoint_id, .. } => {
                if let Some(checkpoint) = self.checkpoint_mut(*checkpoint_id) {
                    checkpoint.state = CheckpointState::Abandoned { superseded_by: None };
                    checkpoint.abandoned_at = Some(now);
                }
            }
            Event::CheckpointsCollected { checkpoint_ids, artifacts, bytes: _ } => {
                self.collected.extend(artifacts);
                for id in checkpoint_ids {
                    if let Some(checkpoint) = self.checkpoint_mut(*id) {
                        checkpoint.collected = true;
                    }
                }
            }
            Event::CheckpointPinned { checkpoint_id, pinned, .. } => {
                if let Some(checkpoint) = self.checkpoint_mut(*checkpoint_id) {
                    checkpoint.pinned = *pinned;
                }
            }
            Event::BranchCreated { branch, from, checkpoint_id, version, .. } => {
                self.apply_branch_created(branch, *from, *checkpoint_id, *version, now);
            }
            Event::SpecEdited { checkpoint_id, artifact, warnings, .. } => {
                self.add_version(*checkpoint_id, artifact);
                if let Some(checkpoint) = self.checkpoint_mut(*checkpoint_id) {
                    checkpoint.selection.insert(artifact.key, artifact.id);
                    checkpoint.warnings = warnings.clone();
                }
            }
            Event::ArtifactOrdered { checkpoint_id, key, version, job, overrides, .. } => {
                let replaces = self.checkpoint_mut(*checkpoint_id).and_then(|checkpoint| {
                    checkpoint.last_version.insert(*key, *version);
                    checkpoint.selection.get(key).copied()
                });
                self.plan_job(*job, 1, now, overrides.clone(), replaces);
            }
            Event::ArtifactReady { checkpoint_id, key, version, selected } => {
                if *selected {
                    self.select_version(*checkpoint_id, *key, *version);
                }
            }
            Event::ArtifactSelected { checkpoint_id, key, artifact_id, .. } => {
                self.select_artifact(*checkpoint_id, *key, *artifact_id);
            }
            Event::ArtifactFailed { .. } | Event::ArtifactStale { .. } => {}
            Event::PhaseFailed { branch, reason, .. } => {
                self.move_branch(branch, BranchState::Failed { reason: reason.clone() });
            }
            Event::BranchCompleted { branch, .. } => self.move_branch(branch, BranchState::Complete),
            Event::BranchCancelled { branch, jobs, .. } => {
                for job in jobs {
                    self.set_job_state(*job, JobState::Cancelled);
                }
                // Only what is in the making was stopped: a checkpoint that waits goes on waiting.
                if self.branches.get(branch).is_some_and(|b| b.state == BranchState::Running) {
                    self.move_branch(branch, BranchState::Cancelled);
                }
            }
            Event::SettingsChanged { settings, .. } => self.settings = settings.clone(),
            Event::BudgetExceeded { branch, .. } => self.move_branch(branch, BranchState::BlockedBudget),
            Event::VideoDeleted { .. } => {
                self.deleted = Some(command_id.clone().unwrap_or_else(|| self.unnamed_command()));
                for job in self.jobs.values_mut().filter(|job| job.state == JobState::Planned) {
                    Arc::make_mut(job).state = JobState::Cancelled;
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one event's fields, spelled out")]
    fn apply_phase_started(
        &mut self,
        id: CheckpointId,
        branch: &BranchName,
        phase: Phase,
        version: u32,
        parent: Option<CheckpointId>,
        notes: &[String],
        chunk_plan: &[PlannedChunk],
        artifacts: &[ArtifactKey],
        now: DateTime<Utc>,
    ) {
        let fed_by = parent.and_then(|parent| self.checkpoints.get(&parent));
        let selection = fed_by.map(|parent| parent.selection.clone()).unwrap_or_default();
        // Inherited artifacts bring the versions that stood there, so that an edit's number is new here too.
        let versions = fed_by.map(|parent| parent.versions.clone()).unwrap_or_default();
        let last_version = fed_by.map(|parent| parent.last_version.clone()).unwrap_or_default();
        let inherited_plan = fed_by.map(|parent| parent.chunk_plan.clone()).unwrap_or_default();
        let checkpoint = Checkpoint {
            branch: branch.clone(),
            phase,
            version,
            parent,
            forked_from: None,
            state: CheckpointState::Making,
            created_at: now,
            expected: artifacts.to_vec(),
            chunk_plan: if chunk_plan.is_empty() { inherited_plan } else { chunk_plan.to_vec() },
            notes: notes.to_vec(),
            warnings: Vec::new(),
            first_selection: selection.clone(),
            selection,
            versions,
            last_version: artifacts.iter().fold(last_version, |mut last, key| {
                last.insert(*key, 1);
                last
            }),
            approval: None,
            approved_away: Vec::new(),
            pinned: false,
            abandoned_at: None,
            collected: false,
        };
        self.checkpoints.insert(id, Arc::new(checkpoint));
        let progress = self.branches.get(branch).map_or(0.0, |branch| branch.progress);
        let opened_from = self.branches.get(branch).and_then(|branch| branch.opened_from);
        self.branches.insert(branch.clone(), Branch { opened_from, head: id, state: BranchState::Running, progress });
    }

    fn apply_branch_created(
        &mut self,
        branch: &BranchName,
        from: CheckpointId,
        id: CheckpointId,
        version: u32,
        now: DateTime<Utc>,
    ) {
        let Some(original) = self.checkpoints.get(&from) else { return };
        let sibling = Checkpoint {
            branch: branch.clone(),
            version,
            forked_from: Some(from),
            state: CheckpointState::Pending,
            created_at: now,
            first_selection: original.selection.clone(),
            approval: None,
            approved_away: Vec::new(),
            pinned: false,
            abandoned_at: None,
            ..original.as_ref().clone()
        };
        let progress = f64::from(sibling.phase.number()) * 25.0;
        self.checkpoints.insert(id, Arc::new(sibling));
        let opened = Branch { opened_from: Some(from), head: id, state: BranchState::Paused, progress };
        self.branches.insert(branch.clone(), opened);
        self.current_branch = branch.clone();
    }

    fn plan_job(
        &mut self,
        id: JobId,
        attempt: u32,
        not_before: DateTime<Utc>,
        overrides: Overrides,
        replaces: Option<ArtifactId>,
    ) {
        let basis = self.basis(id.checkpoint, id.artifact);
        let state = JobState::Planned;
        let job = Job { attempt, failures: 0, state, not_before, overrides, replaces, basis, claim: None };
        self.jobs.insert(id, Arc::new(job));
    }

    fn checkpoint_mut(&mut self, id: CheckpointId) -> Option<&mut Checkpoint> {
        self.checkpoints.get_mut(&id).map(Arc::make_mut)
    }

    fn job_mut(&mut self, id: JobId) -> Option<&mut Job> {
        self.jobs.get_mut(&id).map(Arc::make_mut)
    }

    fn set_job_state(&mut self, id: JobId, state: JobState) {
        if let Some(job) = self.job_mut(id) {
            job.state = state;
        }
    }

    /// A new artifact joins its checkpoint's versions; while the phase runs, its selection too.
    fn add_artifact(&mut self, artifact: &Artifact) {
        self.add_version(artifact.checkpoint_id, artifact);
        if let Some(checkpoint) = self.checkpoint_mut(artifact.checkpoint_id)
            && checkpoint.state == CheckpointState::Making
        {
            checkpoint.selection.insert(artifact.key, artifact.id);
        }
    }

    fn add_version(&mut self, checkpoint: CheckpointId, artifact: &Artifact) {
        if let Some(checkpoint) = self.checkpoint_mut(checkpoint) {
            let versions = checkpoint.versions.entry(artifact.key).or_default();
            versions.push(artifact.id);
            let last = checkpoint.last_version.entry(artifact.key).or_default();
            *last = artifact.version.max(*last);
        }
        if let Content::Spec(spec) = &artifact.content {
            self.spec_digests.insert(artifact.id, spec.digest());
        }
        self.artifacts.insert(artifact.id, Arc::new(artifact.clone()));
    }

    fn select_version(&mut self, checkpoint: CheckpointId, key: ArtifactKey, version: u32) {
        if let Some(id) = self.made_here(checkpoint, key, version) {
            self.select_artifact(checkpoint, key, id);
        }
    }

    /// A version as the journal named it. Ids are derived only for what is new: how that is done has changed before, and a
    /// video may go on under a program that does it otherwise.
    pub(super) fn made_here(&self, checkpoint: CheckpointId, key: ArtifactKey, version: u32) -> Option<ArtifactId> {
        let versions = self.checkpoints.get(&checkpoint)?.versions.get(&key)?;
        let mut made = versions.iter().rev().filter_map(|id| self.artifacts.get(id));
        made.find(|made| made.checkpoint_id == checkpoint && made.version == version).map(|made| made.id)
    }

    /// Selects a version; a chunk brings the last frame that was made with it.
    fn select_artifact(&mut self, checkpoint: CheckpointId, key: ArtifactKey, id: ArtifactId) {
        let chosen: Vec<_> = std::iter::once((key, id)).chain(self.companion(key, id)).collect();
        let numbers: Vec<_> =
            chosen.iter().map(|(_, id)| self.artifacts.get(id).map_or(0, |artifact| artifact.version)).collect();
        if let Some(checkpoint) = self.checkpoint_mut(checkpoint) {
            for ((key, id), number) in chosen.into_iter().zip(numbers) {
                checkpoint.selection.insert(key, id);
                // What is made here next has a number that nothing has that was taken from elsewhere.
                let last = checkpoint.last_version.entry(key).or_default();
                *last = number.max(*last);
                let versions = checkpoint.versions.entry(key).or_default();
                if !versions.contains(&id) {
                    versions.push(id);
                }
            }
        }
    }

    /// What was made together with an artifact and stands or falls with it.
    fn companion(&self, key: ArtifactKey, id: ArtifactId) -> Option<(ArtifactKey, ArtifactId)> {
        let ArtifactKey::Chunk(n) = key else { return None };
        let chunk = self.artifacts.get(&id)?;
        let frame = ArtifactKey::ChunkLastFrame(n);
        self.made_here(chunk.checkpoint_id, frame, chunk.version).map(|id| (frame, id))
    }

    fn move_branch(&mut self, name: &BranchName, state: BranchState) {
        if let Some(branch) = self.branches.get_mut(name) {
            branch.state = state;
        }
        self.current_branch = name.clone();
        self.raise_progress(name);
    }

    fn touch_branch_of(&mut self, checkpoint: CheckpointId) {
        if let Some(branch) = self.making_branch(checkpoint) {
            self.raise_progress(&branch);
        }
    }

    /// Progress is derived: 25 % for each phase, inside a phase finished over expected artifacts. It never goes back.
    fn raise_progress(&mut self, name: &BranchName) {
        let Some(branch) = self.branches.get(name) else { return };
        let Some(head) = self.checkpoints.get(&branch.head) else { return };
        let expected = head.expected.len().max(1) as f64;
        let finished = match head.state {
            CheckpointState::Making => {
                head.expected.iter().filter(|key| self.is_made(branch.head, **key)).count() as f64 / expected
            }
            CheckpointState::Pending | CheckpointState::Approved | CheckpointState::Abandoned { .. } => 1.0,
        };
        let progress = (f64::from(head.phase.number() - 1) + finished) * 25.0;
        if let Some(branch) = self.branches.get_mut(name) {
            branch.progress = branch.progress.max(progress);
        }
    }

    fn ledger_row(&self, job: JobId, attempt: u32, spent: &job::Spent, time: DateTime<Utc>) -> Option<LedgerRow> {
        let checkpoint = self.checkpoints.get(&job.checkpoint)?;
        Some(LedgerRow {
            branch: checkpoint.branch.clone(),
            phase: checkpoint.phase,
            job,
            attempt,
            artifact_key: job.artifact,
            model: spent.model.clone(),
            unit: spent.unit.clone(),
            quantity: spent.quantity,
            amount_usd: spent.amount,
            time,
        })
    }

    fn unnamed_command(&self) -> CommandId {
        self.created_by.clone().unwrap_or_else(|| {
            // A journal event without a command: any fixed word that is a command id will do.
            "policy".parse().unwrap_or_else(|_| unreachable!("`policy` is a command id"))
        })
    }
}
