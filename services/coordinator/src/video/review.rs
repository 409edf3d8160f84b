//! What people do at checkpoints: go on, another way, back, or not at all.

use std::cell::LazyCell;
use std::sync::Arc;

use messages::artifact::{Artifact, ArtifactKey, Content, Digest};
use messages::catalogue::{Catalogue, ModelKind};
use messages::checkpoint::{Abandon, Approve, Edit, Fork, Pin, Regenerate, Reject, Select, Take};
use messages::command::{Code, Rejection, Via};
use messages::event::{Event, Overrides};
use messages::id::{ArtifactId, BranchName, CheckpointId, JobId, UserId};
use messages::import::{Import, UploadKind};
use messages::money::Usd;
use messages::phase::Phase;
use messages::query::{answer, artifact_link};
use messages::spec::{Beat, Spec};
use messages::violation::Violation;
use serde_json::{Map, Value};

use super::{Approval, Checkpoint, CheckpointState, Draft, Reply, Video, json, repeat};

/// Who does something, and through which door.
#[derive(Debug, Clone)]
pub(super) struct Who {
    pub by: UserId,
    pub how: Via,
}

/// What `approve` answers.
pub(super) fn continued(
    checkpoint_id: CheckpointId,
    branch: &BranchName,
    phase: Phase,
    created_new_branch: bool,
) -> answer::Continued {
    let message = match phase.next() {
        Some(next) => format!("The {} phase has started on `{branch}`.", next.name()),
        None => format!("The film of `{branch}` is complete."),
    };
    let branch_name = branch.clone();
    answer::Continued { message, next_phase: phase.next(), branch_name, created_new_branch, checkpoint_id }
}

/// Where an approval leads.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Way {
    /// It was given before: the same answer.
    Again(Approval),
    /// On, on the checkpoint's own branch.
    Here,
    /// On, on a new branch of that name.
    NewBranch(BranchName),
}

impl Video {
    fn checkpoint(&self, id: CheckpointId) -> Result<&Checkpoint, Rejection> {
        let unknown = || Rejection::new(Code::UnknownCheckpoint, format!("the video has no checkpoint `{id}`"));
        self.checkpoints.get(&id).map(Arc::as_ref).ok_or_else(unknown)
    }

    /// The rule for approvals, one for commands, status and lists of what is allowed (W1, W14, W15, W53).
    pub(super) fn way_of(&self, approve: &Approve) -> Result<Way, Rejection> {
        let id = approve.checkpoint_id;
        let checkpoint = self.checkpoint(id)?;
        let name = match approve.branch.as_deref() {
            None => None,
            Some("same") => Some(checkpoint.branch.clone()),
            Some(name) => Some(branch_name(name)?),
        };
        let elsewhere = name.clone().filter(|name| *name != checkpoint.branch);
        match &checkpoint.state {
            CheckpointState::Making => {
                Err(Rejection::new(Code::NotPending, "its phase is not finished yet; wait for its checkpoint"))
            }
            CheckpointState::Abandoned { superseded_by } => checkpoint.still_there().and(Err(Rejection::new(
                Code::NotPending,
                match superseded_by {
                    Some(next) => format!("it was sent back; `{next}` takes its place"),
                    None => "it was abandoned; fork it to go on from it".to_owned(),
                },
            ))),
            CheckpointState::Approved => match elsewhere {
                None => Ok(checkpoint.approval.clone().map_or(Way::Here, Way::Again)),
                Some(name) => match self.approved_as(id, &name) {
                    Some(approval) => Ok(Way::Again(approval)),
                    None => {
                        checkpoint.still_there()?;
                        self.looked_at(&checkpoint.selection, approve.digest)?;
                        self.affordable(id)?;
                        self.free_name(&name).map(Way::NewBranch)
                    }
                },
            },
            CheckpointState::Pending => self.way_of_pending(id, checkpoint, approve, name, elsewhere),
        }
    }

    fn way_of_pending(
        &self,
        id: CheckpointId,
        checkpoint: &Checkpoint,
        approve: &Approve,
        name: Option<BranchName>,
        elsewhere: Option<BranchName>,
    ) -> Result<Way, Rejection> {
        let edited = checkpoint.selection != checkpoint.first_selection;
        // Costly, and needed only where it was approved before.
        let current = LazyCell::new(|| self.digest(&checkpoint.selection));
        // The same change approved twice opens one branch (W4, W23).
        let before = |approval: &&Approval| match (approve.digest, &elsewhere) {
            (_, Some(name)) => approval.answer.branch_name == *name,
            (Some(digest), None) => digest != *current && approval.digest == digest,
            // Made again, the change is the same change; undone by its approval, it is what was meant.
            (None, None) => name.is_none() && edited == (approval.digest == *current),
        };
        if let Some(approval) = checkpoint.approved_away.iter().rev().find(before) {
            return Ok(Way::Again(approval.clone()));
        }
        self.looked_at(&checkpoint.selection, approve.digest)?;
        if approve.digest.is_none()
            && let Some((job, _)) = self.in_flight(id).next()
        {
            let reason = format!(
                "`{}` is being made again; wait for it, or approve with the digest of what you see",
                job.artifact
            );
            return Err(Rejection::new(Code::ArtifactPending, reason));
        }
        let stale = self.stale(id);
        if !stale.is_empty() && !approve.accept_stale {
            let price = stale.iter().map(|key| self.price_of(id, *key, &Overrides::default())).sum::<Usd>();
            let names: Vec<_> = stale.iter().map(ToString::to_string).collect();
            let reason = format!(
                "{} no longer fit what they were made from; make them again ({price}) or approve with accept_stale",
                names.join(", ")
            );
            return Err(Rejection::new(Code::ArtifactStale, reason));
        }
        self.affordable(id)?;
        match (elsewhere, name) {
            (Some(elsewhere), _) => self.free_name(&elsewhere).map(Way::NewBranch),
            (None, Some(_)) => Ok(Way::Here),
            (None, None) if edited => self.automatic_name(&checkpoint.branch).map(Way::NewBranch),
            (None, None) => Ok(Way::Here),
        }
    }

    /// An approval that says what it looked at binds only to that.
    fn looked_at(&self, selection: &super::Selection, digest: Option<Digest>) -> Result<(), Rejection> {
        let Some(digest) = digest else { return Ok(()) };
        let current = self.digest(selection);
        if digest == current {
            return Ok(());
        }
        let reason = format!("the selection moved since you looked: its digest is {current} now; look again");
        Err(Rejection::new(Code::StaleDigest, reason))
    }

    fn affordable(&self, id: CheckpointId) -> Result<(), Rejection> {
        self.within_budget("going on", self.estimate_next(id))
    }

    /// The rule for budgets: what is spent, what was ordered and is not booked yet, and what is asked for stay within it.
    fn within_budget(&self, what: &str, price: Usd) -> Result<(), Rejection> {
        let (spent, ordered) = (self.spent(), self.ordered());
        match self.settings.budget_usd {
            // What costs nothing is never too expensive.
            Some(budget) if price > Usd::ZERO && spent + ordered + price > budget => Err(Rejection::new(
                Code::BudgetExceeded,
                format!(
                    "{what} costs {price}; {spent} is spent, {ordered} ordered, the budget is {budget}: raise it and \
                     ask again"
                ),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// An approval that opened this very branch from this checkpoint.
    fn approved_as(&self, from: CheckpointId, name: &BranchName) -> Option<Approval> {
        let mut siblings = self.checkpoints.values().filter(|c| c.forked_from == Some(from) && c.branch == *name);
        siblings.find_map(|sibling| sibling.approval.clone()).map(|mut approval| {
            approval.answer.created_new_branch = true;
            approval
        })
    }

    fn free_name(&self, name: &BranchName) -> Result<BranchName, Rejection> {
        if self.branches.contains_key(name) {
            return Err(Rejection::new(
                Code::BranchExists,
                format!("there is a branch `{name}` already; choose another name"),
            ));
        }
        Ok(name.clone())
    }

    fn automatic_name(&self, parent: &BranchName) -> Result<BranchName, Rejection> {
        let free = |n| parent.child(n).filter(|name| !self.branches.contains_key(name));
        // There are fewer branches than numbers, so only a name that has grown too long finds none.
        (1..=self.branches.len() as u32 + 1).find_map(free).ok_or_else(|| {
            Rejection::invalid(vec![Violation::new("branch", "no automatic name is left here; give a name")])
        })
    }
}

impl Draft {
    /// `approve`
    pub(super) fn approve(&mut self, approve: &Approve, who: &Who) -> Result<Reply, Rejection> {
        if approve.note.as_ref().is_some_and(|note| note.chars().count() > 2000) {
            return Err(Rejection::invalid(vec![Violation::new("note", "must be at most 2000 characters")]));
        }
        let id = approve.checkpoint_id;
        let (goes_on, branch) = match self.video.way_of(approve)? {
            Way::Again(approval) => return Ok(repeat(&approval.answer, approval.command_id)),
            Way::Here => (id, self.video.checkpoint(id)?.branch.clone()),
            Way::NewBranch(name) => (self.open_branch(id, &name, who)?, name),
        };
        let phase = self.video.checkpoint(id)?.phase;
        self.go_on(goes_on, id, who, approve.note.clone());
        let answer = continued(goes_on, &branch, phase, goes_on != id);
        Ok(Reply::Answer { answer: json(&answer), first_command_id: None })
    }

    /// Records an approval and starts what follows.
    pub(super) fn go_on(&mut self, checkpoint_id: CheckpointId, asked: CheckpointId, who: &Who, note: Option<String>) {
        let Some(checkpoint) = self.video.checkpoints.get(&checkpoint_id) else { return };
        let (branch, phase) = (checkpoint.branch.clone(), checkpoint.phase);
        let digest = self.video.digest(&checkpoint.selection);
        self.record(Event::CheckpointApproved {
            checkpoint_id,
            asked,
            branch: branch.clone(),
            phase,
            by: who.by.clone(),
            how: who.how,
            note,
            digest,
        });
        match phase.next() {
            Some(next) => {
                self.start_phase(next, &branch, Some(checkpoint_id), Vec::new());
            }
            None => self.record(Event::BranchCompleted { branch, checkpoint_id }),
        }
    }

    /// Opens a branch whose first checkpoint is a pending sibling with the same selection.
    fn open_branch(&mut self, from: CheckpointId, name: &BranchName, who: &Who) -> Result<CheckpointId, Rejection> {
        let original = self.video.checkpoint(from)?;
        let (version, phase) = (1, original.phase);
        let checkpoint_id = CheckpointId::derived(self.video.id, name, phase, version);
        self.record(Event::BranchCreated {
            branch: name.clone(),
            from,
            checkpoint_id,
            version,
            digest: self.video.digest(&self.video.checkpoint(from)?.selection),
            by: who.by.clone(),
            how: who.how,
        });
        Ok(checkpoint_id)
    }

    /// `fork`
    pub(super) fn fork(&mut self, fork: &Fork, who: &Who) -> Result<Reply, Rejection> {
        let name = self.video.fork_name(fork)?;
        let checkpoint_id = self.open_branch(fork.checkpoint_id, &name, who)?;
        let message = format!("`{name}` waits at the same point.");
        let answer = answer::Changed {
            message,
            checkpoint_id,
            branch_name: name,
            created_new_branch: true,
            artifact_id: None,
            version: None,
            s3_url: None,
            job_id: None,
        };
        Ok(Reply::Answer { answer: json(&answer), first_command_id: None })
    }

    /// Where a change goes: into a checkpoint that waits, else into a pending sibling opened for it.
    fn changeable(&mut self, id: CheckpointId, who: &Who) -> Result<CheckpointId, Rejection> {
        match self.video.place_of_change(id)? {
            Place::Here => Ok(id),
            Place::NewBranch(name) => self.open_branch(id, &name, who),
        }
    }

    /// `edit`
    pub(super) fn edit(&mut self, edit: &Edit, who: &Who) -> Result<Reply, Rejection> {
        let named = self.video.checkpoint(edit.checkpoint_id)?;
        let phase = named.phase;
        self.video.place_of_change(edit.checkpoint_id)?;
        let Some(before) = self.video.spec(edit.checkpoint_id).cloned() else {
            return Err(Rejection::new(Code::WrongPhase, "there is no spec here"));
        };
        let after = patched(&before, &edit.patch, &self.video.catalogue)?;
        may_change(phase, &before, &after)?;
        let violations = after.violations(&self.video.catalogue, None);
        if !violations.is_empty() {
            return Err(Rejection::invalid(violations));
        }
        let id = self.changeable(edit.checkpoint_id, who)?;
        let artifact = self.change_spec(id, after, who);
        let answer = self.changed("The spec was changed.", edit.checkpoint_id, id, Some(artifact), None);
        Ok(Reply::Answer { answer, first_command_id: None })
    }

    /// Records a spec as the next version of a waiting checkpoint's, and gives its id and number.
    fn change_spec(&mut self, checkpoint_id: CheckpointId, spec: Spec, who: &Who) -> (ArtifactId, u32) {
        let version = self.video.next_version(checkpoint_id, ArtifactKey::Spec);
        let id = ArtifactId::derived(self.video.id, checkpoint_id, ArtifactKey::Spec, version);
        let warnings = spec.warnings();
        let artifact = Artifact {
            id,
            checkpoint_id,
            key: ArtifactKey::Spec,
            version,
            metadata: Map::from_iter([("edited_by".to_owned(), Value::from(who.by.as_str()))]),
            content: Content::Spec(Box::new(spec)),
            job: None,
            created_at: self.now,
        };
        let (by, how) = (who.by.clone(), who.how);
        self.record(Event::SpecEdited { checkpoint_id, artifact, warnings, by, how });
        self.after_change(checkpoint_id);
        (id, version)
    }

    /// `regenerate`
    pub(super) fn regenerate(&mut self, ask: &Regenerate, who: &Who) -> Result<Reply, Rejection> {
        self.video.place_of_change(ask.checkpoint_id)?;
        let (named, key) = (self.video.checkpoint(ask.checkpoint_id)?, ask.artifact_key);
        if key.phase() != named.phase || matches!(key, ArtifactKey::ChunkLastFrame(_)) {
            let reason = format!("`{key}` is not made at the {} phase", named.phase.name());
            return Err(Rejection::new(Code::WrongPhase, reason));
        }
        if !named.selection.contains_key(&key) {
            return Err(Rejection::new(Code::UnknownArtifact, format!("this checkpoint has no `{key}`")));
        }
        self.video.check_overrides(ask)?;
        let overrides = Overrides {
            prompt: ask.prompt.clone(),
            model: ask.model.clone(),
            seed: ask.seed,
            template: ask.template.clone(),
            creativity: ask.creativity,
            notes: ask.notes.clone(),
            import: None,
        };
        self.video.within_budget("making it again", self.video.price_of(ask.checkpoint_id, key, &overrides))?;
        let id = self.changeable(ask.checkpoint_id, who)?;
        let job = self.order(id, key, overrides, Some(who));
        let artifact = Some((ArtifactId::derived(self.video.id, id, key, job.version), job.version));
        let answer = self.changed(&format!("`{key}` is being made again."), ask.checkpoint_id, id, artifact, Some(job));
        Ok(Reply::Answer { answer, first_command_id: None })
    }

    /// `import`: an upload becomes the next version of a picture, a chunk or the music, once it is found to be fit.
    pub(super) fn import(&mut self, import: &Import, who: &Who) -> Result<Reply, Rejection> {
        self.video.place_of_change(import.checkpoint_id)?;
        let (named, key) = (self.video.checkpoint(import.checkpoint_id)?, import.artifact_key);
        let kind = UploadKind::for_artifact(key).filter(|_| key.phase() == named.phase);
        let Some(kind) = kind else {
            let reason = format!("`{key}` cannot be uploaded at the {} phase", named.phase.name());
            return Err(Rejection::new(Code::WrongPhase, reason));
        };
        // Music may be brought to a film that has none.
        let replaceable = named.expected.contains(&key) || kind == UploadKind::Music;
        if !replaceable {
            return Err(Rejection::new(Code::UnknownArtifact, format!("this checkpoint has no `{key}`")));
        }
        check_upload(kind, import)?;
        let id = self.changeable(import.checkpoint_id, who)?;
        let upload = import.upload.object(&self.video.user, self.video.id);
        let job = self.order(id, key, Overrides { import: Some(upload), ..Overrides::default() }, Some(who));
        if kind == UploadKind::Music {
            self.switch_music_on(id, who);
        }
        let artifact = Some((ArtifactId::derived(self.video.id, id, key, job.version), job.version));
        let message = format!("The upload is being made into `{key}`.");
        let answer = self.changed(&message, import.checkpoint_id, id, artifact, Some(job));
        Ok(Reply::Answer { answer, first_command_id: None })
    }

    /// Whoever brings music wants to hear it.
    fn switch_music_on(&mut self, checkpoint_id: CheckpointId, who: &Who) {
        if let Some(silent) = self.video.spec(checkpoint_id).filter(|spec| !spec.audio.music) {
            let mut spec = silent.clone();
            spec.audio.music = true;
            self.change_spec(checkpoint_id, spec, who);
        }
    }

    /// Orders one more version of an artifact.
    pub(super) fn order(
        &mut self,
        checkpoint_id: CheckpointId,
        key: ArtifactKey,
        overrides: Overrides,
        who: Option<&Who>,
    ) -> JobId {
        let version = self.video.next_version(checkpoint_id, key);
        let job = JobId { checkpoint: checkpoint_id, artifact: key, version };
        let (by, how) = (who.map(|who| who.by.clone()), who.map(|who| who.how));
        self.record(Event::ArtifactOrdered { checkpoint_id, key, version, job, overrides, by, how });
        job
    }

    /// An ordered version is there: it is selected only where it is wanted still and nothing else was chosen since.
    pub(super) fn order_done(&mut self, id: JobId, wanted: bool) {
        let Some(checkpoint) = self.video.checkpoints.get(&id.checkpoint) else { return };
        // A job of a cancelled phase is no order: its result is kept for the retry.
        if checkpoint.state == CheckpointState::Making {
            return;
        }
        let replaces = self.video.jobs.get(&id).and_then(|job| job.replaces);
        let unmoved = checkpoint.selection.get(&id.artifact).copied() == replaces;
        let selected = checkpoint.state == CheckpointState::Pending && unmoved && wanted;
        let (checkpoint_id, key, version) = (id.checkpoint, id.artifact, id.version);
        self.record(Event::ArtifactReady { checkpoint_id, key, version, selected });
        if wanted {
            self.after_change(checkpoint_id);
            self.go_on_by_policy(checkpoint_id);
        }
    }

    /// An ordered version is not coming. What waited for it goes on with what there is.
    pub(super) fn order_failed(&mut self, id: JobId, reason: String) {
        let (checkpoint_id, key, version) = (id.checkpoint, id.artifact, id.version);
        self.record(Event::ArtifactFailed { checkpoint_id, key, version, reason });
        // What is ordered by itself would be ordered again, and fail again.
        if !self.video.follows_by_itself(checkpoint_id, key) {
            self.after_change(checkpoint_id);
        }
        self.go_on_by_policy(checkpoint_id);
    }

    /// `select`
    pub(super) fn select(&mut self, select: &Select, who: &Who) -> Result<Reply, Rejection> {
        self.video.place_of_change(select.checkpoint_id)?;
        let (named, key) = (self.video.checkpoint(select.checkpoint_id)?, select.artifact_key);
        let versions = named.versions.get(&key).map(Vec::as_slice).unwrap_or_default();
        // What was taken from elsewhere may bear the number of one that was made here.
        let numbered = |id: &&ArtifactId| self.video.artifacts.get(id).is_some_and(|a| a.version == select.version);
        let made_here = self.video.made_here(select.checkpoint_id, key, select.version);
        let Some(artifact_id) = made_here.or_else(|| versions.iter().find(numbered).copied()) else {
            let reason = format!("this checkpoint has no version {} of `{key}`", select.version);
            return Err(Rejection::new(Code::UnknownArtifact, reason));
        };
        self.may_select(select.checkpoint_id, key, artifact_id)?;
        let id = self.changeable(select.checkpoint_id, who)?;
        if self.video.checkpoint(id)?.selection.get(&key) != Some(&artifact_id) {
            self.choose(id, key, artifact_id, None, who);
        }
        let message = format!("Version {} of `{key}` is selected.", select.version);
        let artifact = Some((artifact_id, select.version));
        let answer = self.changed(&message, select.checkpoint_id, id, artifact, None);
        Ok(Reply::Answer { answer, first_command_id: None })
    }

    /// `take`
    pub(super) fn take(&mut self, take: &Take, who: &Who) -> Result<Reply, Rejection> {
        self.video.place_of_change(take.checkpoint_id)?;
        let (key, from) = (take.artifact_key, self.video.checkpoint(take.from_checkpoint)?);
        let Some(artifact_id) = from.selection.get(&key).copied() else {
            return Err(Rejection::new(Code::UnknownArtifact, format!("`{}` has no `{key}`", take.from_checkpoint)));
        };
        if self.video.collected.contains(&artifact_id) {
            from.still_there()?;
        }
        self.may_select(take.checkpoint_id, key, artifact_id)?;
        let id = self.changeable(take.checkpoint_id, who)?;
        if self.video.checkpoint(id)?.selection.get(&key) != Some(&artifact_id) {
            self.choose(id, key, artifact_id, Some(take.from_checkpoint), who);
        }
        let version = self.video.artifacts.get(&artifact_id).map_or(0, |artifact| artifact.version);
        let message = format!("`{key}` was taken from `{}`.", take.from_checkpoint);
        let answer = self.changed(&message, take.checkpoint_id, id, Some((artifact_id, version)), None);
        Ok(Reply::Answer { answer, first_command_id: None })
    }

    /// A selection by hand obeys the same limits as an edit.
    fn may_select(&self, id: CheckpointId, key: ArtifactKey, artifact: ArtifactId) -> Result<(), Rejection> {
        let checkpoint = self.video.checkpoint(id)?;
        if matches!(key, ArtifactKey::ChunkLastFrame(_)) {
            return Err(Rejection::new(Code::WrongPhase, "a last frame comes with its chunk; select the chunk"));
        }
        if key == ArtifactKey::Spec {
            let chosen = self.video.artifacts.get(&artifact).map(|artifact| &artifact.content);
            let (Some(before), Some(Content::Spec(after))) = (self.video.spec(id), chosen) else {
                return Err(Rejection::new(Code::WrongPhase, "there is no spec here"));
            };
            return may_change(checkpoint.phase, before, after);
        }
        if key.phase() != checkpoint.phase || !checkpoint.selection.contains_key(&key) {
            let reason = format!("`{key}` cannot be changed at the {} phase", checkpoint.phase.name());
            return Err(Rejection::new(Code::WrongPhase, reason));
        }
        Ok(())
    }

    fn choose(
        &mut self,
        checkpoint_id: CheckpointId,
        key: ArtifactKey,
        artifact_id: ArtifactId,
        from_checkpoint: Option<CheckpointId>,
        who: &Who,
    ) {
        let (by, how) = (who.by.clone(), who.how);
        self.record(Event::ArtifactSelected { checkpoint_id, key, artifact_id, from_checkpoint, by, how });
        self.after_change(checkpoint_id);
    }

    /// `reject`: the phase is made again with the notes, as the next version on the branch.
    pub(super) fn reject(&mut self, reject: &Reject, who: &Who) -> Result<Reply, Rejection> {
        let checkpoint = self.video.checkpoint(reject.checkpoint_id)?;
        self.video.waiting(checkpoint)?;
        if reject.notes.trim().is_empty() || reject.notes.chars().count() > 2000 {
            return Err(Rejection::invalid(vec![Violation::new(
                "notes",
                "say in 1 to 2000 characters what should be different",
            )]));
        }
        let (branch, phase, parent) = (checkpoint.branch.clone(), checkpoint.phase, checkpoint.parent);
        let mut notes = checkpoint.notes.clone();
        notes.push(reject.notes.clone());
        let next = self.video.next_checkpoint_version(&branch, phase);
        let superseded_by = CheckpointId::derived(self.video.id, &branch, phase, next);
        self.record(Event::CheckpointRejected {
            checkpoint_id: reject.checkpoint_id,
            branch: branch.clone(),
            by: who.by.clone(),
            how: who.how,
            notes: reject.notes.clone(),
            superseded_by,
        });
        self.start_phase(phase, &branch, parent, notes);
        let message = format!("The {} phase is made again on `{branch}`.", phase.name());
        let answer = self.changed(&message, superseded_by, superseded_by, None, None);
        Ok(Reply::Answer { answer, first_command_id: None })
    }

    /// `abandon`
    pub(super) fn abandon(&mut self, abandon: &Abandon, who: &Who) -> Result<Reply, Rejection> {
        let checkpoint = self.video.checkpoint(abandon.checkpoint_id)?;
        self.video.waiting(checkpoint)?;
        let (checkpoint_id, branch) = (abandon.checkpoint_id, checkpoint.branch.clone());
        self.record(Event::CheckpointAbandoned { checkpoint_id, branch, by: who.by.clone(), how: who.how });
        let answer =
            answer::Done { message: "The checkpoint leads nowhere now; fork it to come back to it.".to_owned() };
        Ok(Reply::Answer { answer: json(&answer), first_command_id: None })
    }

    /// `pin`
    pub(super) fn pin(&mut self, pin: &Pin, who: &Who) -> Result<Reply, Rejection> {
        let (checkpoint_id, pinned) = (pin.checkpoint_id, pin.pinned);
        if self.video.checkpoint(checkpoint_id)?.pinned != pinned {
            self.record(Event::CheckpointPinned { checkpoint_id, pinned, by: who.by.clone(), how: who.how });
        }
        let message = if pinned { "The checkpoint is kept." } else { "The checkpoint is kept no longer than others." };
        Ok(Reply::Answer { answer: json(&answer::Done { message: message.to_owned() }), first_command_id: None })
    }

    fn changed(
        &self,
        message: &str,
        asked: CheckpointId,
        checkpoint_id: CheckpointId,
        artifact: Option<(ArtifactId, u32)>,
        job_id: Option<JobId>,
    ) -> Value {
        let branch_name = self.video.checkpoints.get(&checkpoint_id).map(|checkpoint| checkpoint.branch.clone());
        json(&answer::Changed {
            message: message.to_owned(),
            checkpoint_id,
            branch_name: branch_name.unwrap_or_else(BranchName::main),
            created_new_branch: asked != checkpoint_id,
            artifact_id: artifact.map(|(id, _)| id),
            version: artifact.map(|(_, version)| version),
            s3_url: artifact.map(|(id, _)| artifact_link(id)),
            job_id,
        })
    }
}

/// Where a change of a checkpoint goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Into it.
    Here,
    /// Into a pending sibling on a new branch of that name.
    NewBranch(BranchName),
}

impl Video {
    /// The rule for changes, one for commands and for lists of what is allowed: into a checkpoint that waits, else, when
    /// it was approved, into a sibling that is opened for the change. It is asked first: where no change is taken, what is
    /// wrong with the change itself does not matter.
    pub(super) fn place_of_change(&self, id: CheckpointId) -> Result<Place, Rejection> {
        let checkpoint = self.checkpoint(id)?;
        checkpoint.still_there()?;
        match checkpoint.state {
            CheckpointState::Pending => Ok(Place::Here),
            CheckpointState::Approved => self.automatic_name(&checkpoint.branch).map(Place::NewBranch),
            CheckpointState::Making | CheckpointState::Abandoned { .. } => {
                self.waiting(checkpoint)?;
                Ok(Place::Here)
            }
        }
    }

    /// The rule for forks: the name of the branch that one opens.
    pub(super) fn fork_name(&self, fork: &Fork) -> Result<BranchName, Rejection> {
        let original = self.checkpoint(fork.checkpoint_id)?;
        original.still_there()?;
        if original.state == CheckpointState::Making {
            self.waiting(original)?;
        }
        match fork.branch.as_deref() {
            Some(name) => self.free_name(&branch_name(name)?),
            None => self.automatic_name(&original.branch),
        }
    }

    /// Refuses what only a waiting checkpoint can take.
    pub(super) fn waiting(&self, checkpoint: &Checkpoint) -> Result<(), Rejection> {
        checkpoint.still_there()?;
        let reason = match checkpoint.state {
            CheckpointState::Pending => return Ok(()),
            CheckpointState::Making => "its phase is not finished yet; wait for its checkpoint",
            CheckpointState::Approved => "it was approved already",
            CheckpointState::Abandoned { .. } => "it was abandoned; fork it to go on from it",
        };
        Err(Rejection::new(Code::NotPending, reason))
    }

    /// The next version number of an artifact: given once, never again, also if the making fails.
    fn next_version(&self, checkpoint: CheckpointId, key: ArtifactKey) -> u32 {
        let last = self.checkpoints.get(&checkpoint).and_then(|checkpoint| checkpoint.last_version.get(&key));
        last.copied().unwrap_or(0) + 1
    }

    fn check_overrides(&self, ask: &Regenerate) -> Result<(), Rejection> {
        let mut found = Vec::new();
        let kind = match ask.artifact_key {
            ArtifactKey::Spec => ModelKind::Language,
            ArtifactKey::Beat(_) => ModelKind::Image,
            ArtifactKey::Chunk(_) | ArtifactKey::ChunkLastFrame(_) | ArtifactKey::Stitched => ModelKind::Video,
            ArtifactKey::Background | ArtifactKey::Final | ArtifactKey::Thumbnail => ModelKind::Music,
        };
        if let Some(model) = &ask.model
            && self.catalogue.model(kind, model).is_none()
        {
            let known = self.catalogue.model_names(kind).join(", ");
            found.push(Violation::new("model", format!("unknown model; known: {known}")));
        }
        if let Some(template) = &ask.template
            && self.catalogue.archetype(template).is_none()
        {
            let known = self.catalogue.archetype_ids().join(", ");
            found.push(Violation::new("template", format!("unknown template; known: {known}")));
        }
        if ask.creativity.is_some_and(|creativity| !(0.0..=1.0).contains(&creativity)) {
            found.push(Violation::new("creativity", "must be 0 to 1"));
        }
        if ask.seed.is_some_and(|seed| seed > messages::video::MAX_SEED) {
            found.push(Violation::new("seed", format!("must be 0 to {}", messages::video::MAX_SEED)));
        }
        for (field, text) in [("prompt", &ask.prompt), ("notes", &ask.notes)] {
            let bad = |text: &String| text.trim().is_empty() || text.chars().count() > 2000;
            if text.as_ref().is_some_and(bad) {
                found.push(Violation::new(field, "must be 1 to 2000 characters"));
            }
        }
        if found.is_empty() { Ok(()) } else { Err(Rejection::invalid(found)) }
    }
}

fn check_upload(kind: UploadKind, import: &Import) -> Result<(), Rejection> {
    let mut found = Vec::new();
    if !kind.media_types().contains(&import.upload.media_type) {
        let known: Vec<_> = kind.media_types().iter().map(|known| known.content_type()).collect();
        found.push(Violation::new("upload.media_type", format!("must be one of {}", known.join(", "))));
    }
    if import.upload.size == 0 || import.upload.size > kind.max_bytes() {
        found.push(Violation::new("upload.size", format!("must be 1 to {} bytes", kind.max_bytes())));
    }
    if found.is_empty() { Ok(()) } else { Err(Rejection::invalid(found)) }
}

fn branch_name(name: &str) -> Result<BranchName, Rejection> {
    name.parse()
        .map_err(|error: messages::id::InvalidId| Rejection::invalid(vec![Violation::new("branch", error.to_string())]))
}

/// A spec with a JSON Merge Patch (RFC 7396) applied and its derived fields computed again.
fn patched(spec: &Spec, patch: &Map<String, Value>, catalogue: &Catalogue) -> Result<Spec, Rejection> {
    let derived = ["duration", "resolution", "reasoning", "fps"];
    let by_hand: Vec<_> = derived
        .into_iter()
        .filter(|field| patch.contains_key(*field))
        .map(|field| Violation::new(field, "follows from the rest of the spec and cannot be edited"))
        .collect();
    if !by_hand.is_empty() {
        return Err(Rejection::invalid(by_hand));
    }
    if patch.is_empty() {
        return Err(Rejection::invalid(vec![Violation::new("body", "names nothing to change")]));
    }
    let mut value = json(spec);
    merge(&mut value, &Value::Object(patch.clone()));
    complete_beats(&mut value, catalogue);
    let bytes = serde_json::to_vec(&value).unwrap_or_default();
    let mut spec: Spec = messages::command::read(&bytes)?;
    spec.derive();
    Ok(spec)
}

/// A beat that is written down as little more than its id and scene is for the rest as the library has it.
fn complete_beats(spec: &mut Value, catalogue: &Catalogue) {
    for beat in spec.get_mut("beats").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(fields) = beat.as_object_mut() else { continue };
        let named = fields.get("beat_id").and_then(Value::as_str).and_then(|id| catalogue.beat(id));
        // One that is not in the library is refused for that, and not for what only the library knows.
        let Some(known) = named.or_else(|| catalogue.beats.first()) else { continue };
        if let Value::Object(usual) = json(&Beat::from_library(known, String::new())) {
            for (name, value) in usual.into_iter().filter(|(name, _)| name != "prompt" && name != "beat_id") {
                fields.entry(name).or_insert(value);
            }
        }
    }
}

/// RFC 7396: objects merge, null removes, everything else replaces.
fn merge(target: &mut Value, patch: &Value) {
    let (Value::Object(fields), Value::Object(changes)) = (&mut *target, patch) else {
        *target = patch.clone();
        return;
    };
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(name);
        } else {
            let field = fields.entry(name.clone()).or_insert(Value::Object(Map::new()));
            merge(field, change);
        }
    }
}

/// What of a spec may change at a phase: everything before pictures exist, less and less after.
fn may_change(phase: Phase, before: &Spec, after: &Spec) -> Result<(), Rejection> {
    let wrong = |what: &str| {
        let reason =
            format!("at the {} phase {what} cannot be changed any more; fork an earlier checkpoint", phase.name());
        Err(Rejection::new(Code::WrongPhase, reason))
    };
    let mut free = after.clone();
    match phase {
        Phase::Planning => return Ok(()),
        Phase::Storyboard => {
            if before.beats.len() != after.beats.len() {
                return wrong("the number of beats");
            }
            for (beat, old) in free.beats.iter_mut().zip(&before.beats) {
                beat.prompt.clone_from(&old.prompt);
            }
            free.transitions.clone_from(&before.transitions);
            free.audio = before.audio.clone();
        }
        Phase::Chunks => {
            free.transitions.clone_from(&before.transitions);
            free.audio = before.audio.clone();
        }
        Phase::Refine => free.audio = before.audio.clone(),
    }
    if free == *before { Ok(()) } else { wrong("this part of the spec") }
}
