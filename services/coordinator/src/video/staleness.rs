//! What no longer fits what it was made from, and what is rebuilt by itself.
//!
//! Every job keeps a digest of its inputs, its basis. An artifact is stale while the inputs that the checkpoint selects
//! now have another one; so undoing a change makes everything fit again without a word being kept about it.

use messages::artifact::{ArtifactKey, Digest};
use messages::command::Via;
use messages::event::{Event, Overrides};
use messages::id::{ArtifactId, CheckpointId};

use super::{CheckpointState, Draft, Video, digest_of};

impl Video {
    /// A digest of what an artifact of a checkpoint would be made from now.
    pub(super) fn basis(&self, checkpoint: CheckpointId, key: ArtifactKey) -> Digest {
        let Some(state) = self.checkpoints.get(&checkpoint) else { return Digest::of(b"") };
        let content = |key| self.selected(checkpoint, key).map(|artifact| self.content_digest(artifact));
        let spec = self.spec(checkpoint);
        match key {
            ArtifactKey::Spec => Digest::of(b""),
            ArtifactKey::Beat(n) => {
                let beat = spec.and_then(|spec| spec.beats.get(n as usize));
                digest_of(&(beat, spec.map(|spec| (&spec.style, &spec.product, spec.aspect_ratio))))
            }
            ArtifactKey::Chunk(n) | ArtifactKey::ChunkLastFrame(n) => {
                let chunk = state.chunk_plan.iter().find(|chunk| chunk.index == n);
                let start = chunk.map(|chunk| match chunk.chained {
                    true => ArtifactKey::ChunkLastFrame(n.saturating_sub(1)),
                    false => ArtifactKey::Beat(chunk.beat_index),
                });
                digest_of(&start.and_then(content))
            }
            ArtifactKey::Stitched => {
                let chunks = state.chunk_plan.iter().map(|chunk| content(ArtifactKey::Chunk(chunk.index)));
                digest_of(&(chunks.collect::<Vec<_>>(), spec.map(|spec| &spec.transitions)))
            }
            ArtifactKey::Background => {
                digest_of(&spec.map(|spec| (spec.audio.music_style, spec.audio.tempo, spec.audio.mood)))
            }
            ArtifactKey::Final => {
                let music =
                    spec.is_some_and(|spec| spec.audio.music).then(|| content(ArtifactKey::Background)).flatten();
                digest_of(&(content(ArtifactKey::Stitched), music, spec.map(|spec| &spec.audio)))
            }
            ArtifactKey::Thumbnail => digest_of(&content(ArtifactKey::Stitched)),
        }
    }

    /// What a version was made from; none for what came from elsewhere or was written by hand, and for a thumbnail that
    /// came with its mix: it shows the film that no change of this checkpoint touches, whatever else the mix was made from.
    fn basis_of(&self, artifact: ArtifactId) -> Option<Digest> {
        let artifact = self.artifacts.get(&artifact)?;
        // A last frame was made by its chunk's job.
        let id = artifact.job?;
        let job = self.jobs.get(&id)?;
        let came_along = (artifact.key, id.artifact) == (ArtifactKey::Thumbnail, ArtifactKey::Final);
        (job.overrides.import.is_none() && !came_along).then_some(job.basis)
    }

    /// The selected artifacts of a checkpoint's own phase that no longer fit what they were made from.
    pub fn stale(&self, checkpoint: CheckpointId) -> Vec<ArtifactKey> {
        let Some(state) = self.checkpoints.get(&checkpoint) else { return Vec::new() };
        if state.state == CheckpointState::Making {
            return Vec::new();
        }
        let music_off = self.spec(checkpoint).is_some_and(|spec| !spec.audio.music);
        let fits = |key: ArtifactKey, id: ArtifactId| {
            self.basis_of(id).is_none_or(|basis| basis == self.basis(checkpoint, key))
        };
        state
            .selection
            .iter()
            .filter(|(key, _)| key.phase() == state.phase && !matches!(key, ArtifactKey::ChunkLastFrame(_)))
            .filter(|(key, _)| !(**key == ArtifactKey::Background && music_off))
            .filter(|(key, id)| !fits(**key, **id))
            .map(|(key, _)| *key)
            .collect()
    }

    /// A version of an artifact that fits what the checkpoint selects now.
    fn fitting_version(&self, checkpoint: CheckpointId, key: ArtifactKey) -> Option<ArtifactId> {
        let wanted = self.basis(checkpoint, key);
        let versions = self.checkpoints.get(&checkpoint)?.versions.get(&key)?;
        versions.iter().rev().copied().find(|id| self.basis_of(*id) == Some(wanted))
    }

    /// Whether an artifact is made without being asked for: what is free and follows from the rest.
    pub(super) fn follows_by_itself(&self, checkpoint: CheckpointId, key: ArtifactKey) -> bool {
        match key {
            ArtifactKey::Stitched | ArtifactKey::Final => true,
            ArtifactKey::Background => self.price_of(checkpoint, key, &Overrides::default()).micros() == 0,
            ArtifactKey::Spec
            | ArtifactKey::Beat(_)
            | ArtifactKey::Chunk(_)
            | ArtifactKey::ChunkLastFrame(_)
            | ArtifactKey::Thumbnail => false,
        }
    }
}

impl Draft {
    /// After a selection moved: says what is stale now and, once nothing is in flight, rebuilds what is free (W28).
    pub(super) fn after_change(&mut self, checkpoint_id: CheckpointId) {
        let waits = |draft: &Self| {
            let state = draft.video.checkpoints.get(&checkpoint_id).map(|checkpoint| &checkpoint.state);
            state == Some(&CheckpointState::Pending)
        };
        if !waits(self) {
            return;
        }
        let keys = self.video.stale(checkpoint_id);
        if !keys.is_empty() {
            self.record(Event::ArtifactStale { checkpoint_id, keys });
        }
        if self.video.in_flight(checkpoint_id).next().is_some() {
            return;
        }
        if self.add_missing_music(checkpoint_id) {
            return;
        }
        // One at a time and inputs first: the mix waits for the music that it will be made from.
        while let Some(key) =
            self.video.stale(checkpoint_id).into_iter().find(|key| self.video.follows_by_itself(checkpoint_id, *key))
        {
            match self.video.fitting_version(checkpoint_id, key) {
                Some(artifact_id) => {
                    let (by, how) = (self.video.user.clone(), Via::Policy);
                    let from_checkpoint = None;
                    self.record(Event::ArtifactSelected { checkpoint_id, key, artifact_id, from_checkpoint, by, how });
                }
                None => {
                    self.order(checkpoint_id, key, Overrides::default(), None);
                    return;
                }
            }
        }
    }

    /// Music that was switched on where there was none is composed, when that is free.
    fn add_missing_music(&mut self, checkpoint_id: CheckpointId) -> bool {
        let Some(checkpoint) = self.video.checkpoints.get(&checkpoint_id) else { return false };
        let key = ArtifactKey::Background;
        let wanted = checkpoint.phase == key.phase()
            && self.video.spec(checkpoint_id).is_some_and(|spec| spec.audio.music)
            && !checkpoint.selection.contains_key(&key);
        let composed = wanted && self.video.follows_by_itself(checkpoint_id, key);
        if composed {
            self.order(checkpoint_id, key, Overrides::default(), None);
        }
        composed
    }
}
