//! The handler as the worker loop drives it, with models that behave and models that do not.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use messages::artifact::Digest;
use messages::catalogue::{Catalogue, ModelKind};
use messages::id::{BranchName, CheckpointId, JobId, UserId, VideoId};
use messages::job::Job;
use messages::money::Usd;
use messages::phase::Phase;
use messages::subject::Partition;
use runtime::artifacts::{ObjectError, ObjectMeta, ObjectStore, PutOnce};
use tokio_util::sync::CancellationToken;

use super::*;

/// A plan job of the shipped catalogue with the built-in model.
pub(crate) fn plan_of(prompt: &str) -> PlanSpec {
    let library = Catalogue::shipped().expect("the shipped files are valid");
    let default = |kind| library.default_model(kind).expect("there is one").clone();
    PlanSpec {
        prompt: prompt.to_owned(),
        title: None,
        description: None,
        duration: None,
        aspect_ratio: None,
        template: None,
        creativity: 0.5,
        notes: Vec::new(),
        seed: 1,
        model: default(ModelKind::Language),
        video_model: default(ModelKind::Video),
        library: Catalogue { models: Vec::new(), ..library },
    }
}

#[tokio::test]
async fn a_plan_job_makes_a_spec_with_what_a_reviewer_wants_to_know() {
    let plan = plan_of("A 15 second ad for a mechanical watch, elegant, gold and black");
    let outcome = handler().handle(&task(plan)).await.expect("planned");
    let [made] = outcome.made.as_slice() else { panic!("one artifact, not {}", outcome.made.len()) };
    let Content::Spec(spec) = &made.content else { panic!("a spec") };
    assert_eq!((made.key, spec.duration, outcome.spent.len()), (ArtifactKey::Spec, 15, 0));
    for key in ["model", "seed", "provider", "prompt", "warnings"] {
        assert!(made.metadata.contains_key(key), "{key}");
    }
}

#[tokio::test]
async fn the_same_job_delivered_twice_makes_the_same_spec() {
    let made = async || handler().handle(&task(plan_of("Tea"))).await.expect("planned").made;
    assert_eq!(made().await, made().await);
}

#[tokio::test]
async fn a_reply_that_breaks_the_rules_is_sent_back_with_the_reasons() {
    let good = serde_json::to_string(&rules::plan(&plan_of("Tea")).expect("planned")).expect("writes");
    let model = Arc::new(Scripted::new(&["nonsense", &good]));
    let outcome = planner(&model).handle(&task(plan_of("Tea"))).await.expect("planned");
    assert_eq!(outcome.made[0].metadata["replies"], 2);
    let asked = model.asked();
    assert!(!asked[0].contains("is not a JSON object") && asked[1].contains("is not a JSON object"), "{asked:?}");
}

#[tokio::test]
async fn a_model_that_breaks_the_rules_three_times_fails_with_the_reasons() {
    let model = Arc::new(Scripted::new(&["no", "no", "no", "no"]));
    let error = planner(&model).handle(&task(plan_of("Tea"))).await.expect_err("fails");
    assert!(matches!(&error, JobError::GiveUp { reason } if reason.contains("is not a JSON object")), "{error}");
    assert_eq!(model.asked().len(), 3);
}

#[tokio::test]
async fn a_provider_without_a_client_is_named() {
    let mut plan = plan_of("Tea");
    plan.model.provider = "openai".to_owned();
    let error = handler().handle(&task(plan)).await.expect_err("fails");
    assert!(matches!(&error, JobError::GiveUp { reason } if reason.contains("`openai`")), "{error}");
}

#[tokio::test]
async fn a_cancelled_job_stops_waiting_for_its_model() {
    #[derive(Debug)]
    struct Silent;
    #[async_trait]
    impl LanguageModel for Silent {
        async fn reply(&self, _: &Ask<'_>) -> Result<String, JobError> {
            std::future::pending().await
        }
    }
    let task = task(plan_of("Tea"));
    task.cancelled.cancel();
    let planner = Planner { choose: |_: &Model| Ok(Arc::new(Silent) as Arc<dyn LanguageModel>) };
    assert!(matches!(planner.handle(&task).await, Err(JobError::Cancelled)));
}

#[tokio::test]
async fn a_length_outside_the_limits_is_a_warning() {
    let outcome = handler().handle(&task(plan_of("a 3 second video for a lamp"))).await.expect("planned");
    let warnings = outcome.made[0].metadata["warnings"].to_string();
    assert!(warnings.contains("3 s were asked for"), "{warnings}");
}

fn planner(model: &Arc<Scripted>) -> impl Handler {
    let model = model.clone();
    Planner { choose: move |_: &Model| Ok(model.clone() as Arc<dyn LanguageModel>) }
}

/// Replies in turn, and remembers what it was asked.
#[derive(Debug)]
struct Scripted {
    replies: Mutex<Vec<String>>,
    asked: Mutex<Vec<String>>,
}

impl Scripted {
    fn new(replies: &[&str]) -> Self {
        let replies = replies.iter().rev().map(|reply| (*reply).to_owned()).collect();
        Self { replies: Mutex::new(replies), asked: Mutex::default() }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

#[async_trait]
impl LanguageModel for Scripted {
    async fn reply(&self, ask: &Ask<'_>) -> Result<String, JobError> {
        self.asked.lock().expect("not poisoned").push(ask.prompt.to_owned());
        Ok(self.replies.lock().expect("not poisoned").pop().expect("a reply is left"))
    }
}

fn task(plan: PlanSpec) -> Task {
    let user = UserId::local();
    let video = VideoId::derived(&user, "test");
    let checkpoint = CheckpointId::derived(video, &BranchName::main(), Phase::Planning, 1);
    let job = Job {
        id: JobId { checkpoint, artifact: ArtifactKey::Spec, version: 1 },
        attempt: 1,
        send: 1,
        prefix: format!("{user}/videos/{video}/main/{checkpoint}/"),
        user,
        video,
        partition: Partition(0),
        deadline_s: 60,
        price: Usd::ZERO,
        trace: None,
        planned_at: None,
        work: Work::Plan(Box::new(plan)),
    };
    Task::new(job, Arc::new(NoStore), CancellationToken::new())
}

/// Plans are not stored as objects.
#[derive(Debug)]
struct NoStore;

#[async_trait]
impl ObjectStore for NoStore {
    async fn put_file(&self, key: &str, _: &Path, _: &ObjectMeta) -> Result<(), ObjectError> {
        Err(ObjectError::NotFound(key.to_owned()))
    }
    async fn put_once(&self, key: &str, _: Vec<u8>, _: &ObjectMeta) -> Result<PutOnce, ObjectError> {
        Err(ObjectError::NotFound(key.to_owned()))
    }
    async fn get(&self, _: &str) -> Result<Option<Vec<u8>>, ObjectError> {
        Ok(None)
    }
    async fn get_file(&self, key: &str, _: &Path) -> Result<Digest, ObjectError> {
        Err(ObjectError::NotFound(key.to_owned()))
    }
    async fn link(&self, key: &str, _: Duration) -> Result<String, ObjectError> {
        Err(ObjectError::NotFound(key.to_owned()))
    }
    async fn delete(&self, _: &str) -> Result<(), ObjectError> {
        Ok(())
    }
    async fn delete_prefix(&self, _: &str) -> Result<u64, ObjectError> {
        Ok(0)
    }
}
