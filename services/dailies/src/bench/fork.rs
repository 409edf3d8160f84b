//! `dailies bench fork`: what it costs to try another way from a film that has many artifacts.
//!
//! A film of 36 beats is made by workers that return at once, each picture several times over, so that its storyboard
//! knows more than two hundred artifact versions. Then its checkpoint is forked again and again, over NATS, as any client
//! would. A fork refers and does not copy: the figures say how many objects the store held before and after, and how
//! many events, which are one transaction each, a fork took.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use messages::artifact::ArtifactKey;
use messages::checkpoint::{Fork, Regenerate};
use messages::id::{CheckpointId, UserId, VideoId};
use messages::query::{AskCheckpoint, CheckpointView, Status};
use messages::video::{AutoContinue, AutoContinueLimits};
use runtime::config::Settings;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{BenchError, noop};
use crate::arguments::BenchFork;
use crate::client::Client;
use crate::data_folder::DataFolder;
use crate::embedded::{Embedded, Ports};
use crate::screen::Screen;

/// How often every picture is made.
const VERSIONS: u32 = 6;
/// Jobs at a time for each worker.
const SLOTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);
/// How long the film may take to be made.
const MAKING: Duration = Duration::from_secs(300);

/// What was measured.
#[derive(Debug, Clone)]
struct Figures {
    /// Artifact versions that the forked checkpoint knows.
    artifacts: usize,
    /// From the command's publishing to its answer.
    times: Vec<Duration>,
    /// Events of each fork; all of one command's are one transaction.
    events: Vec<u64>,
    objects_before: usize,
    objects_after: usize,
}

/// Measures and prints; false when it was interrupted before there was anything to print.
pub async fn run(
    arguments: &BenchFork,
    folder: &DataFolder,
    settings: &Settings,
    shutdown: &CancellationToken,
) -> Result<bool, BenchError> {
    let scratch = tempfile::Builder::new().prefix("bench-").tempdir_in(folder.path())?;
    let own = DataFolder::open(scratch.path())?;
    let ports = Ports { gateway: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), nats: 0 };
    let mut cluster = Embedded::start_with_handlers(&own, settings, ports, SLOTS, noop::handlers()).await?;
    let client = Client { bus: cluster.bus().clone(), user: UserId::local() };
    let objects = scratch.path().join("objects");
    let figures = tokio::select! {
        figures = measure(arguments, &client, &objects) => figures.map(Some),
        error = cluster.ended() => Err(error.into()),
        () = shutdown.cancelled() => Ok(None),
    };
    cluster.stop().await;
    let Some(figures) = figures? else { return Ok(false) };
    let text = if arguments.json { figures.json() } else { figures.table() };
    Screen::stdout().print(&text);
    Ok(true)
}

async fn measure(arguments: &BenchFork, client: &Client, objects: &Path) -> Result<Figures, BenchError> {
    let (video, board) = many_artifacts(client).await?;
    let view: CheckpointView = client.query(video, "checkpoint", &AskCheckpoint { checkpoint_id: board }).await?;
    let objects_before = files_below(objects)?;
    let mut revision = status(client, video).await?.revision;
    let (mut times, mut events) = (Vec::new(), Vec::new());
    for _ in 0..arguments.forks {
        let started = Instant::now();
        client.command(video, "fork", &Fork { checkpoint_id: board, branch: None }).await?;
        times.push(started.elapsed());
        let now = status(client, video).await?.revision;
        events.push(now - std::mem::replace(&mut revision, now));
    }
    let objects_after = files_below(objects)?;
    let artifacts = view.versions.values().map(Vec::len).sum();
    Ok(Figures { artifacts, times, events, objects_before, objects_after })
}

/// A storyboard that waits, with every picture in several versions.
async fn many_artifacts(client: &Client) -> Result<(VideoId, CheckpointId), BenchError> {
    let video = VideoId::from_uuid(uuid::Uuid::now_v7());
    let limits = AutoContinueLimits { until: Some(messages::phase::Phase::Storyboard), max_cost_usd: None };
    let body = json!({
        "prompt": "A film about nothing in particular",
        "duration": 180,
        "auto_continue": AutoContinue::On(limits),
    });
    client.command(video, "create", &body).await?;
    let board = resting(client, video).await?;
    let pictures = board.artifacts.keys().filter_map(|key| key.parse().ok());
    let pictures: Vec<_> = pictures.filter(|key| matches!(key, ArtifactKey::Beat(_))).collect();
    for version in 1..VERSIONS {
        for artifact_key in &pictures {
            let order = Regenerate {
                checkpoint_id: board.checkpoint_id,
                artifact_key: *artifact_key,
                prompt: None,
                model: None,
                seed: Some(u64::from(version)),
                template: None,
                creativity: None,
                notes: None,
            };
            client.command(video, "regenerate", &order).await?;
        }
        resting(client, video).await?;
    }
    Ok((video, board.checkpoint_id))
}

/// The checkpoint of a video, once it waits and nothing of it is being made again.
async fn resting(client: &Client, video: VideoId) -> Result<CheckpointView, BenchError> {
    let looking = async {
        loop {
            let status = status(client, video).await?;
            let phase = messages::phase::Phase::Storyboard;
            if let Some(board) = status.current_checkpoint.filter(|c| c.phase_number == phase && c.in_flight.is_empty())
            {
                return Ok(board);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let late = || BenchError::NoFilm { by: "workers that return at once", reason: "it takes too long".to_owned() };
    tokio::time::timeout(MAKING, looking).await.map_err(|_| late())?
}

async fn status(client: &Client, video: VideoId) -> Result<Status, BenchError> {
    Ok(client.query(video, "status", &json!({})).await?)
}

fn files_below(folder: &Path) -> std::io::Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        count += if path.is_dir() { files_below(&path)? } else { 1 };
    }
    Ok(count)
}

impl Figures {
    fn json(&self) -> String {
        json!({
            "artifacts": self.artifacts,
            "forks": self.times.len(),
            "p50_ms": self.percentile(50),
            "p99_ms": self.percentile(99),
            "events_per_fork": self.events,
            "files_before": self.objects_before,
            "files_after": self.objects_after,
        })
        .to_string()
    }

    fn table(&self) -> String {
        let (least, most) = (self.events.iter().min().unwrap_or(&0), self.events.iter().max().unwrap_or(&0));
        [
            format!("forked checkpoint   {} artifact versions", self.artifacts),
            format!("forks               {}", self.times.len()),
            format!("command to answer   p50 {:.1} ms, p99 {:.1} ms", self.percentile(50), self.percentile(99)),
            format!("events of a fork    {least} to {most}, one transaction"),
            format!("files in the store  {} before, {} after", self.objects_before, self.objects_after),
        ]
        .join("\n")
    }

    /// Milliseconds.
    fn percentile(&self, percent: usize) -> f64 {
        let mut times = self.times.clone();
        times.sort_unstable();
        let at = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let times = (1..=100).rev().map(Duration::from_millis).collect();
        let figures = Figures { artifacts: 0, times, events: vec![1], objects_before: 0, objects_after: 0 };
        assert_eq!((figures.percentile(50), figures.percentile(99)), (50.0, 99.0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_fork_of_two_hundred_artifacts_is_one_event_and_copies_nothing() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = runtime::config::load(None).expect("the defaults");
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let folder = DataFolder::open(scratch.path()).expect("usable");
        let ports = Ports { gateway: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), nats: 0 };
        let cluster = Embedded::start_with_handlers(&folder, &settings, ports, SLOTS, noop::handlers());
        let cluster = cluster.await.expect("it starts");
        let client = Client { bus: cluster.bus().clone(), user: UserId::local() };
        let arguments = BenchFork { forks: 3, json: false };
        let figures = measure(&arguments, &client, &scratch.path().join("objects")).await.expect("figures");
        assert!(figures.artifacts > 200, "{figures:?}");
        assert_eq!(figures.events, [1, 1, 1]);
        assert_eq!(figures.objects_before, figures.objects_after);
        cluster.stop().await;
    }
}
