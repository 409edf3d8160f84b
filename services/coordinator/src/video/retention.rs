//! What nothing living refers to any more, and what of it goes.
//!
//! A branch lives while its head is not abandoned. What a living head came from is kept whole, and so is what a pinned
//! checkpoint or one with jobs at work came from; everything else is forgotten, since the last time that something which
//! led to it was abandoned. Of forgotten checkpoints only objects go, and only those that no kept checkpoint selects or
//! could select again. Specs stay, because the journal has them. So a checkpoint that made no object loses nothing, and
//! the tree stays whole in any case.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use messages::artifact::{Artifact, Content, ObjectRef};
use messages::command::{Code, Rejection};
use messages::event::Event;
use messages::id::{ArtifactId, CheckpointId};
use messages::query::Collectible;

use super::{Checkpoint, CheckpointState, Draft, JobState, Video};

impl Checkpoint {
    /// Every artifact that it selects or could select again.
    fn refers_to(&self) -> impl Iterator<Item = ArtifactId> {
        let versions = self.versions.values().flatten();
        self.selection.values().chain(self.first_selection.values()).chain(versions).copied()
    }

    /// Refuses what needs artifacts that retention has collected.
    pub fn still_there(&self) -> Result<(), Rejection> {
        match self.collected {
            false => Ok(()),
            true => Err(Rejection::new(
                Code::Collected,
                "what was made here was abandoned and has been collected; go on from another checkpoint",
            )),
        }
    }
}

impl Video {
    /// Some checkpoints and all that they came from.
    fn with_lineage(&self, from: impl IntoIterator<Item = CheckpointId>) -> BTreeSet<CheckpointId> {
        let (mut found, mut open) = (BTreeSet::new(), Vec::from_iter(from));
        while let Some(id) = open.pop() {
            if let Some(checkpoint) = self.checkpoints.get(&id)
                && found.insert(id)
            {
                open.extend(checkpoint.parent.into_iter().chain(checkpoint.forked_from));
            }
        }
        found
    }

    /// Whatever a living head, a pinned checkpoint or one with jobs at work came from.
    fn kept(&self) -> BTreeSet<CheckpointId> {
        let abandoned = |id: &CheckpointId| {
            let checkpoint = self.checkpoints.get(id);
            checkpoint.is_some_and(|checkpoint| matches!(checkpoint.state, CheckpointState::Abandoned { .. }))
        };
        let heads = self.branches.values().map(|branch| branch.head).filter(|head| !abandoned(head));
        let pinned = self.checkpoints.iter().filter(|(_, checkpoint)| checkpoint.pinned).map(|(id, _)| *id);
        let working = self.jobs.iter().filter(|(_, job)| matches!(job.state, JobState::Planned | JobState::Unknown));
        self.with_lineage(heads.chain(pinned).chain(working.map(|(id, _)| id.checkpoint)))
    }

    /// Checkpoints that only abandoned ones lead to, these included, each with the time of the last abandonment.
    fn forgotten(&self) -> BTreeMap<CheckpointId, DateTime<Utc>> {
        let abandoned: Vec<_> = self.checkpoints.iter().filter_map(|(id, c)| Some((*id, c.abandoned_at?))).collect();
        // Most videos have nothing that was abandoned.
        if abandoned.is_empty() {
            return BTreeMap::new();
        }
        let (kept, mut forgotten) = (self.kept(), BTreeMap::new());
        for (id, at) in abandoned {
            for led_to in self.with_lineage([id]).difference(&kept) {
                let since = forgotten.entry(*led_to).or_insert(at);
                *since = at.max(*since);
            }
        }
        forgotten
    }

    /// Objects that no kept checkpoint refers to, each since the last one that did was forgotten.
    fn losses(&self) -> BTreeMap<ArtifactId, DateTime<Utc>> {
        let forgotten = self.forgotten();
        if forgotten.is_empty() {
            return BTreeMap::new();
        }
        let mut losses: BTreeMap<ArtifactId, Option<DateTime<Utc>>> = BTreeMap::new();
        for (id, checkpoint) in &self.checkpoints {
            let since = forgotten.get(id).copied();
            for artifact in checkpoint.refers_to() {
                let known = losses.entry(artifact).or_insert(since);
                // One that is kept keeps it for good.
                *known = known.zip(since).map(|(one, other)| one.max(other));
            }
        }
        let there = |id: &ArtifactId| !self.collected.contains(id) && self.stored(*id).is_some();
        losses.into_iter().filter(|(id, _)| there(id)).filter_map(|(id, since)| Some((id, since?))).collect()
    }

    fn stored(&self, artifact: ArtifactId) -> Option<&ObjectRef> {
        match &self.artifacts.get(&artifact)?.content {
            Content::Object(object) => Some(object),
            Content::Spec(_) => None,
        }
    }

    fn bytes(&self, artifacts: &[ArtifactId]) -> u64 {
        artifacts.iter().filter_map(|id| self.stored(*id)).map(|object| object.size).sum()
    }

    /// Since when there is something to collect.
    pub fn forgotten_since(&self) -> Option<DateTime<Utc>> {
        if self.deleted.is_some() { None } else { self.losses().into_values().min() }
    }

    /// What goes and when, by the checkpoint that made it; `keep_for` is none while nothing is ever collected.
    pub fn collectible(&self, keep_for: Option<Duration>) -> Vec<Collectible> {
        let mut made: BTreeMap<CheckpointId, Vec<(ArtifactId, DateTime<Utc>)>> = BTreeMap::new();
        for (id, since) in self.losses() {
            if let Some(artifact) = self.artifacts.get(&id) {
                made.entry(artifact.checkpoint_id).or_default().push((id, since));
            }
        }
        let mut rows: Vec<_> = made.into_iter().filter_map(|(id, losses)| self.row(id, &losses, keep_for)).collect();
        rows.sort_by_key(|row| (row.since, row.phase_number, row.checkpoint_id));
        rows
    }

    fn row(
        &self,
        id: CheckpointId,
        losses: &[(ArtifactId, DateTime<Utc>)],
        keep_for: Option<Duration>,
    ) -> Option<Collectible> {
        let checkpoint = self.checkpoints.get(&id)?;
        let since = losses.iter().map(|(_, since)| *since).min()?;
        let artifacts: Vec<_> = losses.iter().map(|(id, _)| *id).collect();
        let jobs: BTreeSet<_> = artifacts.iter().filter_map(|id| self.artifacts.get(id)?.job).collect();
        Some(Collectible {
            checkpoint_id: id,
            branch_name: checkpoint.branch.clone(),
            phase_number: checkpoint.phase,
            version: checkpoint.version,
            since,
            due_at: keep_for.map(|keep_for| since + keep_for),
            bytes: self.bytes(&artifacts),
            cost_usd: self.ledger.iter().filter(|row| jobs.contains(&row.job)).map(|row| row.amount_usd).sum(),
            artifacts,
        })
    }

    /// The objects of collected artifacts, as far as no other artifact consists of the same one.
    pub fn garbage(&self, artifacts: &[ArtifactId]) -> Vec<String> {
        let key = |artifact: &Artifact| self.stored(artifact.id).map(|object| object.key.clone());
        let living = self.artifacts.values().filter(|artifact| !self.collected.contains(&artifact.id));
        let living: BTreeSet<_> = living.filter_map(|artifact| key(artifact)).collect();
        let gone: BTreeSet<_> = artifacts.iter().filter_map(|id| key(self.artifacts.get(id)?)).collect();
        gone.difference(&living).cloned().collect()
    }
}

impl Draft {
    /// What has been forgotten for `keep_for` goes. Nothing happens before it is time.
    pub(super) fn collect(&mut self, keep_for: Duration) {
        let losses = self.video.losses();
        let due = losses.into_iter().filter(|(_, since)| *since + keep_for <= self.now);
        let artifacts: Vec<_> = due.map(|(id, _)| id).collect();
        if artifacts.is_empty() {
            return;
        }
        let gone: BTreeSet<_> = artifacts.iter().copied().collect();
        let loses = |checkpoint: &Checkpoint| checkpoint.refers_to().any(|id| gone.contains(&id));
        let checkpoints = self.video.checkpoints.iter();
        let checkpoint_ids = checkpoints.filter(|(_, checkpoint)| loses(checkpoint)).map(|(id, _)| *id).collect();
        let bytes = self.video.bytes(&artifacts);
        self.record(Event::CheckpointsCollected { checkpoint_ids, artifacts, bytes });
    }
}

#[cfg(test)]
mod tests;
