//! The jobs that workers get. Every choice is made here: scene, model, seed, size, inputs, where the output goes.

use std::collections::BTreeMap;

use messages::artifact::{ArtifactKey, Content, ObjectRef};
use messages::catalogue::{Catalogue, Model, ModelKind};
use messages::chunk::{ChunkWork, PlannedChunk, RenderChunk, StitchChunk, StitchFilm};
use messages::event::Overrides;
use messages::id::{CheckpointId, JobId};
use messages::import::{ImportClip, ImportMusic, ImportPicture, ImportWork};
use messages::job::{self, Work};
use messages::money::Usd;
use messages::phase::Phase;
use messages::planner::PlanSpec;
use messages::refine::{ComposeMusic, MakeThumbnail, MixFilm, MusicSection, RefineWork};
use messages::spec::Spec;
use messages::storyboard::DrawBeat;
use messages::subject::Partition;
use messages::video::MAX_SEED;

use super::Video;

impl Video {
    /// The message that orders a job's newest attempt; none when the job is unknown or its inputs are gone.
    pub fn work_order(&self, id: JobId) -> Option<job::Job> {
        let job = self.jobs.get(&id)?;
        let work = self.work(id, &job.overrides)?;
        Some(job::Job {
            id,
            attempt: job.attempt,
            send: 1,
            user: self.user.clone(),
            video: self.id,
            partition: Partition::of(self.id),
            prefix: self.prefix(id.checkpoint)?,
            deadline_s: deadline_s(id.artifact),
            price: self.price_of(id.checkpoint, id.artifact, &job.overrides),
            trace: None,
            planned_at: None,
            work,
        })
    }

    /// Where a checkpoint's objects go.
    fn prefix(&self, checkpoint: CheckpointId) -> Option<String> {
        let branch = &self.checkpoints.get(&checkpoint)?.branch;
        Some(format!("{}/videos/{}/{branch}/{checkpoint}/", self.user, self.id))
    }

    fn work(&self, id: JobId, overrides: &Overrides) -> Option<Work> {
        let checkpoint = id.checkpoint;
        if let Some(upload) = &overrides.import {
            return self.import_work(checkpoint, id.artifact, upload.clone()).map(|work| Work::Import(Box::new(work)));
        }
        let seed = self.seed_of(id, overrides);
        let model = self.model_of(id.artifact, overrides)?.clone();
        Some(match id.artifact {
            ArtifactKey::Spec => Work::Plan(Box::new(self.plan_spec(checkpoint, seed, model, overrides)?)),
            ArtifactKey::Beat(n) => {
                let spec = self.spec(checkpoint)?;
                let mut beat = spec.beats.get(n as usize)?.clone();
                if let Some(prompt) = &overrides.prompt {
                    beat.prompt.clone_from(prompt);
                }
                Work::Draw(Box::new(DrawBeat {
                    beat_index: n,
                    beat_count: spec.beats.len() as u32,
                    beat,
                    style: spec.style.clone(),
                    product: spec.product.clone(),
                    size: spec.resolution,
                    seed,
                    model,
                }))
            }
            ArtifactKey::Chunk(n) | ArtifactKey::ChunkLastFrame(n) => {
                Work::Chunk(Box::new(ChunkWork::Render(self.render_chunk(checkpoint, n, seed, model, overrides)?)))
            }
            ArtifactKey::Stitched => Work::Chunk(Box::new(ChunkWork::Stitch(self.stitch_film(checkpoint)?))),
            ArtifactKey::Background => {
                let spec = self.spec(checkpoint)?;
                Work::Refine(Box::new(RefineWork::Compose(ComposeMusic {
                    audio: spec.audio.clone(),
                    duration_s: f64::from(spec.duration),
                    sections: sections(spec),
                    seed,
                    model,
                })))
            }
            ArtifactKey::Final => {
                let spec = self.spec(checkpoint)?;
                // Music that is switched on but not composed yet is laid under by the mix that follows it.
                let music = spec.audio.music.then(|| self.object(checkpoint, ArtifactKey::Background)).flatten();
                Work::Refine(Box::new(RefineWork::Mix(MixFilm {
                    film: self.object(checkpoint, ArtifactKey::Stitched)?,
                    music,
                    audio: spec.audio.clone(),
                    duration_s: f64::from(spec.duration),
                    thumbnail: self.comes_with_mix(id),
                })))
            }
            ArtifactKey::Thumbnail => Work::Refine(Box::new(RefineWork::Thumbnail(MakeThumbnail {
                film: self.object(checkpoint, ArtifactKey::Stitched)?,
                duration_s: f64::from(self.spec(checkpoint)?.duration),
            }))),
        })
    }

    fn plan_spec(&self, checkpoint: CheckpointId, seed: u64, model: Model, overrides: &Overrides) -> Option<PlanSpec> {
        let mut notes = self.checkpoints.get(&checkpoint)?.notes.clone();
        notes.extend(overrides.notes.clone());
        let request = &self.request;
        Some(PlanSpec {
            prompt: overrides.prompt.clone().unwrap_or_else(|| request.prompt.clone()),
            title: self.settings.title.clone(),
            description: request.description.clone(),
            duration: request.duration,
            aspect_ratio: request.aspect_ratio,
            template: overrides.template.clone().or_else(|| request.template.clone()),
            creativity: overrides.creativity.unwrap_or(request.creativity),
            notes,
            seed,
            model,
            video_model: self.catalogue.model(ModelKind::Video, &request.models.video)?.clone(),
            library: Catalogue { models: Vec::new(), ..self.catalogue.as_ref().clone() },
        })
    }

    /// Whether a mix makes the thumbnail too: the first of its checkpoint does, where the thumbnail has no job of its own.
    pub(super) fn comes_with_mix(&self, mix: JobId) -> bool {
        let thumbnail = JobId { artifact: ArtifactKey::Thumbnail, ..mix };
        mix.version == 1 && !self.jobs.contains_key(&thumbnail)
    }

    fn import_work(&self, checkpoint: CheckpointId, key: ArtifactKey, upload: ObjectRef) -> Option<ImportWork> {
        let spec = self.spec(checkpoint)?;
        let size = spec.resolution;
        match key {
            ArtifactKey::Beat(beat_index) => Some(ImportWork::Picture(ImportPicture { upload, beat_index, size })),
            ArtifactKey::Chunk(n) => {
                let chunk =
                    self.checkpoints.get(&checkpoint)?.chunk_plan.iter().find(|chunk| chunk.index == n)?.clone();
                Some(ImportWork::Clip(ImportClip { upload, chunk, size, fps: spec.fps }))
            }
            ArtifactKey::Background => {
                Some(ImportWork::Music(ImportMusic { upload, duration_s: f64::from(spec.duration) }))
            }
            ArtifactKey::Spec
            | ArtifactKey::ChunkLastFrame(_)
            | ArtifactKey::Stitched
            | ArtifactKey::Final
            | ArtifactKey::Thumbnail => None,
        }
    }

    fn render_chunk(
        &self,
        checkpoint: CheckpointId,
        n: u32,
        seed: u64,
        model: Model,
        overrides: &Overrides,
    ) -> Option<RenderChunk> {
        let spec = self.spec(checkpoint)?;
        let chunk = self.checkpoints.get(&checkpoint)?.chunk_plan.iter().find(|chunk| chunk.index == n)?.clone();
        let mut beat = spec.beats.get(chunk.beat_index as usize)?.clone();
        if let Some(prompt) = &overrides.prompt {
            beat.prompt.clone_from(prompt);
        }
        let start = match chunk.chained {
            true => ArtifactKey::ChunkLastFrame(n.checked_sub(1)?),
            false => ArtifactKey::Beat(chunk.beat_index),
        };
        Some(RenderChunk {
            start_image: self.object(checkpoint, start)?,
            chunk,
            beat,
            style: spec.style.clone(),
            size: spec.resolution,
            fps: spec.fps,
            seed,
            model,
        })
    }

    fn stitch_film(&self, checkpoint: CheckpointId) -> Option<StitchFilm> {
        let spec = self.spec(checkpoint)?;
        let chunks = self.checkpoints.get(&checkpoint)?.chunk_plan.iter().map(|chunk| {
            Some(StitchChunk {
                beat_index: chunk.beat_index,
                duration_s: chunk.duration_s,
                object: self.object(checkpoint, ArtifactKey::Chunk(chunk.index))?,
            })
        });
        Some(StitchFilm {
            chunks: chunks.collect::<Option<_>>()?,
            transitions: spec.transitions.clone(),
            size: spec.resolution,
            fps: spec.fps,
            duration_s: f64::from(spec.duration),
        })
    }

    fn object(&self, checkpoint: CheckpointId, key: ArtifactKey) -> Option<ObjectRef> {
        match &self.selected(checkpoint, key)?.content {
            Content::Object(object) => Some(object.clone()),
            Content::Spec(_) => None,
        }
    }

    /// The seed of a job: of the video's seed, the artifact, the checkpoint's version and the artifact's, unless given.
    /// Branches and ids do not count, so that the same seed gives the same film.
    fn seed_of(&self, id: JobId, overrides: &Overrides) -> u64 {
        let version = self.checkpoints.get(&id.checkpoint).map_or(1, |checkpoint| checkpoint.version);
        overrides.seed.unwrap_or_else(|| {
            let text = format!("{}/{}/{version}/{}", self.request.seed, id.artifact, id.version);
            let digest = messages::artifact::Digest::of(text.as_bytes());
            let first = digest.as_bytes().iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
            first & MAX_SEED
        })
    }

    /// The model that makes an artifact: the one asked for, else the video's.
    fn model_of(&self, key: ArtifactKey, overrides: &Overrides) -> Option<&Model> {
        let models = &self.request.models;
        let (kind, name) = match key {
            ArtifactKey::Spec => (ModelKind::Language, &models.language),
            ArtifactKey::Beat(_) => (ModelKind::Image, &models.image),
            ArtifactKey::Chunk(_) | ArtifactKey::ChunkLastFrame(_) | ArtifactKey::Stitched => {
                (ModelKind::Video, &models.video)
            }
            ArtifactKey::Background | ArtifactKey::Final | ArtifactKey::Thumbnail => (ModelKind::Music, &models.music),
        };
        self.catalogue.model(kind, overrides.model.as_ref().unwrap_or(name))
    }

    /// What making an artifact once costs: the function behind every estimate and every booking (W38).
    pub(super) fn price_of(&self, checkpoint: CheckpointId, key: ArtifactKey, overrides: &Overrides) -> Usd {
        if overrides.import.is_some() {
            return Usd::ZERO;
        }
        let seconds = match key {
            // Stitching, mixing and choosing a picture are our own work.
            ArtifactKey::Stitched | ArtifactKey::Final | ArtifactKey::Thumbnail | ArtifactKey::ChunkLastFrame(_) => {
                return Usd::ZERO;
            }
            ArtifactKey::Spec | ArtifactKey::Beat(_) => 0.0,
            ArtifactKey::Chunk(n) => {
                let plan = self.checkpoints.get(&checkpoint).map(|checkpoint| checkpoint.chunk_plan.as_slice());
                let chunk = plan.and_then(|plan| plan.iter().find(|chunk| chunk.index == n));
                chunk.map_or(0.0, |chunk| chunk.duration_s)
            }
            ArtifactKey::Background => self.spec(checkpoint).map_or(0.0, |spec| f64::from(spec.duration)),
        };
        self.model_of(key, overrides).map_or(Usd::ZERO, |model| model.price.of_generation(seconds))
    }

    /// What making each of a checkpoint's own artifacts again costs.
    pub(super) fn remake_prices(&self, id: CheckpointId) -> BTreeMap<String, Usd> {
        let none = Overrides::default();
        let Some(checkpoint) = self.checkpoints.get(&id) else { return BTreeMap::new() };
        let keys = checkpoint.selection.keys().filter(|key| key.phase() == checkpoint.phase);
        let keys = keys.filter(|key| !matches!(key, ArtifactKey::ChunkLastFrame(_)));
        keys.map(|key| (key.to_string(), self.price_of(id, *key, &none))).collect()
    }

    /// What approving a checkpoint costs: the next phase's jobs, each at the price that would be booked (W39).
    pub fn estimate_next(&self, checkpoint: CheckpointId) -> Usd {
        let Some(next) = self.checkpoints.get(&checkpoint).and_then(|checkpoint| checkpoint.phase.next()) else {
            return Usd::ZERO;
        };
        let none = Overrides::default();
        match next {
            Phase::Planning => self.price_of(checkpoint, ArtifactKey::Spec, &none),
            Phase::Storyboard => {
                let beats = self.spec(checkpoint).map_or(0, |spec| spec.beats.len() as u64);
                self.price_of(checkpoint, ArtifactKey::Beat(0), &none).times(beats)
            }
            Phase::Chunks => {
                let model = self.model_of(ArtifactKey::Chunk(0), &none);
                let price = |chunk: &PlannedChunk| model.map(|model| model.price.of_generation(chunk.duration_s));
                self.chunk_plan(Some(checkpoint)).iter().filter_map(price).sum()
            }
            Phase::Refine => match self.spec(checkpoint) {
                Some(spec) if spec.audio.music => self.price_of(checkpoint, ArtifactKey::Background, &none),
                Some(_) | None => Usd::ZERO,
            },
        }
    }

    /// The chunks that the chunks phase would make of a checkpoint's spec.
    pub(super) fn chunk_plan(&self, checkpoint: Option<CheckpointId>) -> Vec<PlannedChunk> {
        let model = self.model_of(ArtifactKey::Chunk(0), &Overrides::default());
        let spec = checkpoint.and_then(|checkpoint| self.spec(checkpoint));
        let (clip_s, continues) = model.map_or((None, true), |model| (model.clip_s, model.continues));
        spec.map(|spec| messages::chunk::plan(spec, clip_s, continues)).unwrap_or_default()
    }
}

fn sections(spec: &Spec) -> Vec<MusicSection> {
    spec.beats.iter().map(|beat| MusicSection { start_s: f64::from(beat.start), energy: beat.energy_level }).collect()
}

/// How long one attempt may take, seconds: far above what any of it should, so that only what hangs is ended (W10).
const fn deadline_s(key: ArtifactKey) -> u32 {
    match key {
        ArtifactKey::Spec | ArtifactKey::Beat(_) | ArtifactKey::Thumbnail => 300,
        ArtifactKey::Chunk(_) | ArtifactKey::ChunkLastFrame(_) => 3600,
        ArtifactKey::Stitched | ArtifactKey::Background | ArtifactKey::Final => 1800,
    }
}
