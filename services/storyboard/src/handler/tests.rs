//! Jobs through the handler, against an object store in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use messages::artifact::{Content, Digest};
use messages::id::{BranchName, CheckpointId, JobId, UserId, VideoId};
use messages::job::{Job, Work};
use messages::money::Usd;
use messages::phase::Phase;
use messages::subject::Partition;
use runtime::artifacts::{ObjectError, ObjectMeta, ObjectStore, PutOnce};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::sample;

mod imports;

/// Keeps objects in memory.
#[derive(Debug, Default)]
struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

impl Memory {
    fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.lock().expect("nobody panicked").clone()
    }
}

#[async_trait]
impl ObjectStore for Memory {
    async fn put_file(&self, key: &str, file: &Path, _meta: &ObjectMeta) -> Result<(), ObjectError> {
        let bytes = tokio::fs::read(file).await.map_err(ObjectError::Scratch)?;
        self.0.lock().expect("nobody panicked").insert(key.to_owned(), bytes);
        Ok(())
    }

    async fn put_once(&self, key: &str, bytes: Vec<u8>, _meta: &ObjectMeta) -> Result<PutOnce, ObjectError> {
        self.0.lock().expect("nobody panicked").insert(key.to_owned(), bytes);
        Ok(PutOnce::Stored)
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ObjectError> {
        Ok(self.objects().get(key).cloned())
    }

    async fn get_file(&self, key: &str, file: &Path) -> Result<Digest, ObjectError> {
        let bytes = self.get(key).await?.ok_or_else(|| ObjectError::NotFound(key.to_owned()))?;
        tokio::fs::write(file, &bytes).await.map_err(ObjectError::Scratch)?;
        Ok(Digest::of(&bytes))
    }

    async fn link(&self, key: &str, _lifetime: Duration) -> Result<String, ObjectError> {
        Err(ObjectError::NotFound(key.to_owned()))
    }

    async fn delete(&self, _: &str) -> Result<(), ObjectError> {
        Ok(())
    }

    async fn delete_prefix(&self, _prefix: &str) -> Result<u64, ObjectError> {
        Ok(0)
    }
}

fn job(beat_index: u32, work: Work) -> Job {
    let video: VideoId = "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("a video id");
    let checkpoint = CheckpointId::derived(video, &BranchName::main(), Phase::Storyboard, 1);
    Job {
        id: JobId { checkpoint, artifact: ArtifactKey::Beat(beat_index), version: 2 },
        attempt: 1,
        send: 1,
        user: UserId::local(),
        video,
        partition: Partition::of(video),
        prefix: "local/videos/v/main/cp/".into(),
        deadline_s: 60,
        price: Usd::ZERO,
        trace: None,
        planned_at: None,
        work,
    }
}

/// Runs a job in a folder of its own.
async fn run(work: DrawBeat, cancelled: CancellationToken) -> (Result<Outcome, JobError>, Arc<Memory>) {
    let objects = Arc::new(Memory::default());
    let job = job(work.beat_index, Work::Draw(Box::new(work)));
    let task = Task::new(job, objects.clone(), cancelled);
    (StoryboardHandler.handle(&task).await, objects)
}

#[tokio::test]
async fn a_drawn_beat_is_stored_as_a_png_with_what_a_reviewer_asks_for() {
    let mut work = sample::beat();
    work.beat_index = 3;
    let (outcome, objects) = run(work.clone(), CancellationToken::new()).await;
    let outcome = outcome.expect("drawn");
    assert!(outcome.spent.is_empty(), "local work costs nothing");
    let [made] = outcome.made.as_slice() else { panic!("one artifact, not {:?}", outcome.made) };
    assert_eq!(made.key, ArtifactKey::Beat(3));
    let Content::Object(object) = &made.content else { panic!("an object") };
    assert_eq!(object.media_type, MediaType::Png);
    assert!(object.key.starts_with("local/videos/v/main/cp/beat_03_v2-"), "{}", object.key);

    let stored = objects.objects();
    let png = stored.get(&object.key).expect("stored under its key");
    assert_eq!(Digest::of(png), object.sha256);
    let picture = image::load_from_memory_with_format(png, image::ImageFormat::Png).expect("a PNG");
    assert_eq!((picture.width(), picture.height()), (1280, 720));

    let note = |name: &str| made.metadata.get(name).cloned().unwrap_or_default();
    assert_eq!(note("beat_id"), json!("hero_shot"));
    assert_eq!(note("beat_index"), json!(3));
    assert_eq!(note("model"), json!("local_painter"));
    assert_eq!(note("seed"), json!(7));
    assert_eq!(note("size"), json!("1280x720"));
    assert_eq!(note("prompt"), json!(prompt::prompt(&work)));
    assert!(!made.metadata.contains_key("negative_prompt"), "the painter takes none");
}

#[tokio::test]
async fn the_same_job_twice_stores_the_same_object() {
    let (first, _) = run(sample::beat(), CancellationToken::new()).await;
    let (second, _) = run(sample::beat(), CancellationToken::new()).await;
    assert_eq!(first.expect("drawn").made, second.expect("drawn").made);
}

#[tokio::test]
async fn a_provider_without_a_client_is_refused_by_name() {
    let mut work = sample::beat();
    work.model.name = "flux_dev".into();
    work.model.provider = "replicate".into();
    let (outcome, objects) = run(work, CancellationToken::new()).await;
    let error = outcome.expect_err("refused");
    assert!(matches!(error, JobError::GiveUp { .. }), "{error:?}");
    let reason = error.to_string();
    assert!(reason.contains("replicate") && reason.contains("flux_dev"), "{reason}");
    assert!(objects.objects().is_empty());
}

#[tokio::test]
async fn an_impossible_size_is_given_up_with_its_reason() {
    let mut work = sample::beat();
    work.size.width = 0;
    let (outcome, objects) = run(work, CancellationToken::new()).await;
    let error = outcome.expect_err("no such picture");
    assert!(matches!(&error, JobError::GiveUp { reason } if reason.contains("0x720")), "{error:?}");
    assert!(objects.objects().is_empty());
}

#[tokio::test]
async fn a_job_that_nobody_wants_stores_nothing() {
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let (outcome, objects) = run(sample::beat(), cancelled).await;
    assert!(matches!(outcome, Err(JobError::Cancelled)), "{outcome:?}");
    assert!(objects.objects().is_empty());
}
