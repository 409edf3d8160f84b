//! The film by plain calls: the handlers of the four services, one job after the other, in this process.
//!
//! Which jobs there are, with which seeds and inputs, is asked of the pure state machine in memory, so that it is the
//! same work to the byte. There is no NATS, no SQL and no object store; what handlers store are links in one folder.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use coordinator::config::Settings as CoordinatorSettings;
use coordinator::video::{Input, JobState, Reply, Setup, Video};
use messages::command::{Command, Via};
use messages::id::{CommandId, JobId, UserId, VideoId};
use messages::job::{Done, Job, Report};
use messages::service::Service;
use runtime::artifacts::ObjectStore;
use runtime::child::MediaTool;
use runtime::config::Settings;
use runtime::worker::{Handler, Task};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::film::{Diary, Ended, Film};
use super::machine::CpuClock;
use super::plain_folder::PlainFolder;
use super::{BenchError, Order};
use crate::embedded;
use crate::happened::Seen;

/// Makes the film, with as many jobs at a time as the order says.
pub async fn film(order: &Order, media: &MediaTool, settings: &Settings) -> Result<Film, BenchError> {
    let own: CoordinatorSettings = settings.section("coordinator")?;
    let setup = Setup::new(Arc::new(own.catalogue()?), vec!["local".to_owned()]);
    let handlers = embedded::handlers(media.clone());
    let folder = tempfile::tempdir()?;
    let objects: Arc<dyn ObjectStore> = Arc::new(PlainFolder::new(folder.path().to_path_buf()));

    let (cpu, started) = (CpuClock::start(None), Instant::now());
    let mut story = Story::begin(order, setup)?;
    let mut calls = JoinSet::new();
    let mut called = BTreeSet::new();
    loop {
        if let Some(ended) = story.ended.take() {
            let wall = started.elapsed();
            return match ended {
                Ended::Complete => story.film(wall, cpu.elapsed()).ok_or_else(|| no_film("a part of it is missing")),
                Ended::Failed(reason) => Err(no_film(&reason)),
            };
        }
        for job in story.planned() {
            if calls.len() < order.jobs.get() && called.insert(job) {
                let work = story.video.work_order(job).ok_or_else(|| no_film(&format!("{job} has no inputs")))?;
                let handler = handler_of(&handlers, work.work.service())?;
                calls.spawn(call(work, handler, objects.clone()));
            }
        }
        match calls.join_next().await {
            Some(Ok(Ok(report))) => story.tell(&Input::Done(Box::new(report)))?,
            Some(Ok(Err(error))) => return Err(error),
            Some(Err(error)) => return Err(no_film(&error.to_string())),
            None => return Err(no_film("nothing is left to do, and it is not finished")),
        }
    }
}

/// One job, with a folder that goes away.
pub(super) async fn call(
    job: Job,
    handler: Arc<dyn Handler>,
    objects: Arc<dyn ObjectStore>,
) -> Result<Report<Done>, BenchError> {
    let report = Report {
        user: job.user.clone(),
        video: job.video,
        job: job.id,
        attempt: job.attempt,
        worker: "bench".to_owned(),
        trace: None,
        outcome: (),
    };
    let task = Task::new(job, objects, CancellationToken::new());
    let outcome = handler.handle(&task).await.map_err(|error| no_film(&format!("{}: {error}", report.job.artifact)))?;
    Ok(report.with(report.attempt, Done { made: outcome.made, spent: outcome.spent }))
}

/// Whoever does the work of a service.
pub(super) fn handler_of(
    handlers: &[(Service, Arc<dyn Handler>)],
    service: Service,
) -> Result<Arc<dyn Handler>, BenchError> {
    let found = handlers.iter().find(|(of, _)| *of == service);
    found.map(|(_, handler)| handler.clone()).ok_or_else(|| no_film(&format!("nobody does the work of {service}")))
}

fn no_film(reason: &str) -> BenchError {
    BenchError::NoFilm { by: "plain calls", reason: reason.to_owned() }
}

/// The life of the video, in memory.
pub(super) struct Story {
    setup: Setup,
    pub(super) video: Video,
    diary: Diary,
    pub(super) ended: Option<Ended>,
}

impl Story {
    pub(super) fn begin(order: &Order, setup: Setup) -> Result<Self, BenchError> {
        let id = Order::video();
        let command: CommandId = "bench".parse().map_err(|error| no_film(&format!("{error}")))?;
        let create = Box::new(Command::Create(order.create.clone()));
        let input = Input::Command { id: command, user: UserId::local(), via: Via::Cli, command: create };
        let (video, diary, ended) = decide(None, id, &input, &setup, Diary::default())?;
        Ok(Self { setup, video, diary, ended })
    }

    pub(super) fn tell(&mut self, input: &Input) -> Result<(), BenchError> {
        let diary = std::mem::take(&mut self.diary);
        let (video, diary, ended) = decide(Some(self.video.clone()), self.video.id, input, &self.setup, diary)?;
        (self.video, self.diary, self.ended) = (video, diary, ended);
        Ok(())
    }

    /// What is to be made now, in the film's order.
    pub(super) fn planned(&self) -> Vec<JobId> {
        let planned = self.video.jobs.iter().filter(|(_, job)| job.state == JobState::Planned);
        planned.map(|(id, _)| *id).collect()
    }

    fn film(&self, wall: std::time::Duration, cpu: Option<std::time::Duration>) -> Option<Film> {
        Film::of(wall, cpu, &self.diary, &self.video.checkpoint_views(None))
    }
}

fn decide(
    video: Option<Video>,
    id: VideoId,
    input: &Input,
    setup: &Setup,
    mut diary: Diary,
) -> Result<(Video, Diary, Option<Ended>), BenchError> {
    let decision = Video::decide(video, id, input, setup, Utc::now());
    let video = match (decision.reply, decision.video) {
        (Reply::Answer { .. } | Reply::Recorded, Some(video)) => video,
        (Reply::Rejected(rejection), _) => return Err(no_film(&rejection.reason)),
        (reply, _) => return Err(no_film(&format!("{reply:?}"))),
    };
    let mut ended = None;
    for recorded in &decision.events {
        if let Some(seen) = Seen::read(&recorded.public(id).to_map()) {
            ended = ended.or(diary.event(&seen));
        }
    }
    Ok((video, diary, ended))
}
