//! `dailies bench chunks`: how much faster the chunks phase of one film gets with more chunk replicas.
//!
//! The film has 8 beats and so 8 chunks that wait for nobody. Each replica takes one job at a time and waits 2 s for a
//! clip, as for a provider, without computing. Measured from the event of the storyboard's approval to the
//! `checkpoint_created` of the chunks. With `--local` the built-in renderer makes the clips, and the figure is printed, not
//! judged: it shares the cores.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::StreamExt as _;
use messages::artifact::ArtifactKey;
use messages::id::{CheckpointId, UserId, VideoId};
use messages::phase::Phase;
use messages::service::Service;
use messages::subject::{self, VideoSubject};
use runtime::config::Settings;
use runtime::job_error::JobError;
use runtime::worker::{self, Handler, HandlerThreads, Outcome, Task, WorkerSettings};
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{BenchError, noop};
use crate::arguments::BenchChunks;
use crate::client::Client;
use crate::data_folder::DataFolder;
use crate::embedded::{self, Embedded, Parts, Ports};
use crate::screen::Screen;

/// How long a clip is waited for.
const CLIP: Duration = Duration::from_secs(2);
/// Beats, and so chunks, of the film.
const CHUNKS: u32 = 8;
/// Replicas, each with the most of one replica's time that it may take.
const TARGETS: [(usize, f64); 3] = [(1, 1.0), (2, 0.6), (4, 0.3)];
/// How long a phase may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Measures and prints; false when it was interrupted before there was anything to print.
pub async fn run(
    arguments: &BenchChunks,
    folder: &DataFolder,
    settings: &Settings,
    shutdown: &CancellationToken,
) -> Result<bool, BenchError> {
    let mut screen = Screen::stdout();
    let mut times = Vec::new();
    for (replicas, _) in TARGETS {
        screen.live(&[format!("{CHUNKS} chunks by {replicas} replica(s) …")]);
        let phase = tokio::select! {
            phase = phase(arguments, folder, settings, replicas) => phase?,
            () = shutdown.cancelled() => {
                screen.live(&[]);
                return Ok(false);
            }
        };
        times.push((replicas, phase));
    }
    screen.live(&[]);
    screen.print(&if arguments.json { as_json(arguments, &times) } else { as_table(arguments, &times) });
    Ok(true)
}

/// The chunks phase of one film, with so many chunk replicas.
async fn phase(
    arguments: &BenchChunks,
    folder: &DataFolder,
    settings: &Settings,
    replicas: usize,
) -> Result<Duration, BenchError> {
    let scratch = tempfile::Builder::new().prefix("bench-").tempdir_in(folder.path())?;
    let own = DataFolder::open(scratch.path())?;
    let mut handlers = if arguments.local {
        embedded::handlers(embedded::media_tool(settings).await?)
    } else {
        noop::handlers_without_objects(Arc::new(OnceLock::new()))
    };
    for (service, handler) in &mut handlers {
        if *service == Service::Chunk && !arguments.local {
            *handler = Arc::new(Waits(Arc::clone(handler)));
        }
    }
    let chunk = handlers.iter().find(|(service, _)| *service == Service::Chunk).map(|(_, handler)| Arc::clone(handler));
    let parts = Parts { slots: NonZeroUsize::MIN, handlers, database: None, nats_sync_always: false };
    let ports = Ports { gateway: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), nats: 0 };
    let mut cluster = Embedded::start_of(&own, settings, ports, parts).await?;
    // The cluster has one replica; the others join it as processes elsewhere would, but for the threads that they share.
    let stop = CancellationToken::new();
    let threads = HandlerThreads::new("handler", replicas).map_err(embedded::EmbeddedError::from)?;
    let others = (1..replicas).filter_map(|_| {
        let (bus, objects) = (cluster.bus().clone(), cluster.objects());
        let own = WorkerSettings { concurrency: NonZeroUsize::MIN, ..WorkerSettings::default() };
        let running = worker::run(threads.clone(), own, bus, objects, chunk.clone()?, Service::Chunk, stop.clone());
        Some(tokio::spawn(running))
    });
    let others: Vec<_> = others.collect();
    let client = Client { bus: cluster.bus().clone(), user: UserId::local() };
    let measured = tokio::select! {
        measured = tokio::time::timeout(PATIENCE, measure(&client)) => {
            measured.unwrap_or_else(|_| Err(no_film("it takes too long")))
        }
        error = cluster.ended() => Err(error.into()),
    };
    stop.cancel();
    futures::future::join_all(others).await;
    cluster.stop().await;
    measured
}

async fn measure(client: &Client) -> Result<Duration, BenchError> {
    #[derive(Deserialize)]
    struct Body {
        checkpoint_id: CheckpointId,
        phase: Phase,
    }
    let video = VideoId::from_uuid(uuid::Uuid::now_v7());
    let mut events = client.subscribe(subject::event(&client.user, &video.to_string(), "*")).await?;
    let film = json!({ "prompt": "A film about nothing in particular", "duration": 5 * CHUNKS });
    client.command(video, "create", &film).await?;
    let mut approved: Option<(CheckpointId, Instant)> = None;
    let mut storyboard = None;
    while let Some(event) = events.next().await {
        let name = VideoSubject::parse(&event.subject).map(|subject| subject.name.to_owned()).unwrap_or_default();
        let body = serde_json::from_slice::<Body>(&event.payload).ok();
        match (name.as_str(), body) {
            ("checkpoint_created", Some(Body { phase: Phase::Chunks, .. })) => {
                let (_, since) = approved.ok_or_else(|| no_film("nobody approved the storyboard"))?;
                return Ok(since.elapsed());
            }
            ("checkpoint_created", Some(Body { checkpoint_id, phase })) => {
                if phase == Phase::Storyboard {
                    storyboard = Some(checkpoint_id);
                }
                let body = json!({ "checkpoint_id": checkpoint_id });
                let to = subject::command(&client.user, video, "approve");
                let sent = client.bus.client().publish(to, body.to_string().into()).await;
                sent.map_err(|error| no_film(&error.to_string()))?;
            }
            ("checkpoint_approved", _) if storyboard.is_some() && approved.is_none() => {
                approved = storyboard.map(|checkpoint| (checkpoint, Instant::now()));
            }
            ("phase_failed" | "command_rejected", _) => {
                return Err(no_film(&String::from_utf8_lossy(&event.payload)));
            }
            _ => {}
        }
    }
    Err(no_film("its events cannot be followed any more"))
}

/// A renderer that waits for somebody else to render.
struct Waits(Arc<dyn Handler>);

#[async_trait]
impl Handler for Waits {
    async fn handle(&self, task: &Task) -> Result<Outcome, JobError> {
        if matches!(task.job.id.artifact, ArtifactKey::Chunk(_)) {
            tokio::time::sleep(CLIP).await;
        }
        self.0.handle(task).await
    }
}

fn no_film(reason: &str) -> BenchError {
    BenchError::NoFilm { by: "the chunk replicas", reason: reason.to_owned() }
}

/// A phase's time as a share of one replica's.
fn share(times: &[(usize, Duration)], time: Duration) -> f64 {
    let alone = times.first().map_or(time, |(_, alone)| *alone);
    time.as_secs_f64() / alone.as_secs_f64()
}

fn as_json(arguments: &BenchChunks, times: &[(usize, Duration)]) -> String {
    let rows = times.iter().zip(TARGETS).map(|((replicas, time), (_, target))| {
        json!({
            "replicas": replicas,
            "seconds": time.as_secs_f64(),
            "share": share(times, *time),
            "target": (!arguments.local).then_some(target),
        })
    });
    json!({ "benchmark": "chunks", "chunks": CHUNKS, "local": arguments.local, "rows": rows.collect::<Vec<_>>() })
        .to_string()
}

fn as_table(arguments: &BenchChunks, times: &[(usize, Duration)]) -> String {
    let by = if arguments.local { "the built-in renderer" } else { "a provider that takes 2 s" };
    let mut lines = vec![format!("{CHUNKS} chunks of one film by {by}, one job at a time for each replica")];
    for ((replicas, time), (_, target)) in times.iter().zip(TARGETS) {
        let share = share(times, *time);
        let judged = match (arguments.local, share <= target) {
            (true, _) => String::new(),
            (false, true) => format!("target {target:.1}: met"),
            (false, false) => format!("target {target:.1}: MISSED"),
        };
        lines.push(format!(
            "{replicas} replica(s)  {:>6.2} s  {share:.3} of one replica's time  {judged}",
            time.as_secs_f64()
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_time_of_one_replica() {
        let times = [(1, Duration::from_secs(16)), (2, Duration::from_secs(8)), (4, Duration::from_secs(8))];
        let arguments = BenchChunks { local: false, json: false };
        let table = as_table(&arguments, &times);
        assert!(table.contains("0.500 of one replica's time  target 0.6: met"), "{table}");
        assert!(table.contains("0.500 of one replica's time  target 0.3: MISSED"), "{table}");
    }
}
