//! `dailies bench orchestration`: how much the cluster does beside the work itself, with workers that return at once.
//!
//! The cluster runs in a process of its own ([`served`]), with everything that `dailies up` has: NATS, SQL, the object
//! store's endpoint, the gateway. A driver in this process ([`driver`]) asks for videos and approves every checkpoint as
//! soon as it hears of it. Measured are completed videos a second; the time from an approval's publishing until the next
//! phase's job is in a worker's hands; memory while many videos rest; the way back after `kill -9` of everything but the
//! SQL server; and, in the same run, what the parts allow on their own ([`raw`]).
//!
//! The plain shape is what other engines were measured with: 1 plan, 1 picture, 6 chunks side by side with a join, 1 mix. The
//! join is a job here, so a film takes 10 jobs where theirs took 9.
//!
//! It reports and does not judge: a target that is missed is printed as missed, and the exit code stays zero.

pub mod driver;
pub mod raw;
pub mod report;
pub mod served;

use std::path::Path;
use std::time::{Duration, Instant};

use coordinator::config::{DatabaseUrl, DatabaseUrlError};
use messages::id::{CheckpointId, UserId, VideoId};
use runtime::secret::Secret;
use tokio_util::sync::CancellationToken;

use super::{BenchError, machine};
use crate::arguments::{BenchOrchestration, Figure};
use crate::data_folder::DataFolder;
use crate::screen::Screen;
use driver::Driver;
use report::{Crash, Latency, Report, Rest, Row};
use served::{Served, Setting, Shape};

/// How long after the last event videos count as resting: actors leave memory after a few seconds, and the allocator follows.
const SETTLED: Duration = Duration::from_secs(30);
/// Videos made before anything is measured, so that caches and threads are there.
const WARM: u32 = 300;

/// Measures and prints; false when it was interrupted before there was anything to print.
pub async fn run(
    arguments: &BenchOrchestration,
    folder: &DataFolder,
    shutdown: &CancellationToken,
) -> Result<bool, BenchError> {
    let mut screen = Screen::stdout();
    let report = tokio::select! {
        report = measure(arguments, folder, &mut screen) => report,
        () = shutdown.cancelled() => {
            screen.live(&[]);
            return Ok(false);
        }
    };
    screen.live(&[]);
    let report = report?;
    screen.print(&if arguments.json { report.json() } else { report.table() });
    Ok(true)
}

async fn measure(
    arguments: &BenchOrchestration,
    folder: &DataFolder,
    screen: &mut Screen,
) -> Result<Report, BenchError> {
    let wanted = |figure| arguments.only.is_none_or(|only| only == figure);
    let mut report = Report::new(arguments, machine::load());
    let databases = [None].into_iter().chain(arguments.postgres.clone().map(Some));
    if let Some(postgres) = &arguments.postgres {
        coordinator::store::migrate(&database(postgres)?).await.map_err(|error| BenchError::Part(error.to_string()))?;
    }
    for postgres in databases {
        let name = if postgres.is_some() { "PostgreSQL" } else { "SQLite" };
        let durability = match &postgres {
            Some(postgres) => coordinator::store::durability(&database(postgres)?).await,
            None => Ok(None),
        };
        report.databases.push((name, durability.map_err(|error| BenchError::Part(error.to_string()))?));
        let slots = arguments.slots;
        let setting = Setting { postgres, nats_sync_always: false, tell: false, shape: Shape::Plain, slots };
        if wanted(Figure::Raw) {
            screen.live(&[format!("{name}: the parts on their own …")]);
            let scratch = scratch(folder)?;
            report.commits.push((name, commits(scratch.path(), &setting).await?));
            if report.nats.is_none() {
                let served = Served::start(scratch.path(), &Setting { postgres: None, ..setting.clone() }).await?;
                let bus = served.bus().await?;
                report.machine.nats_server = Some(bus.client().server_info().version);
                report.nats = Some(raw::nats(&bus).await?);
                served.stop().await?;
            }
        }
        if wanted(Figure::Throughput) || wanted(Figure::Plain) {
            for (shape, nats_sync_always) in [(Shape::Plain, false), (Shape::SixBeats, false), (Shape::Plain, true)] {
                if !wanted(Figure::Throughput) && (shape, nats_sync_always) != (Shape::Plain, false) {
                    continue;
                }
                screen.live(&[format!(
                    "{name}: {} videos of {} jobs …",
                    arguments.videos,
                    shape.jobs().iter().sum::<u32>()
                )]);
                let setting = Setting { nats_sync_always, shape, ..setting.clone() };
                throughput(arguments, folder, name, &setting, &mut report).await?;
            }
        }
        if wanted(Figure::Latency) {
            screen.live(&[format!("{name}: one video at a time …")]);
            let setting = Setting { tell: true, slots: arguments.slots_one_at_a_time, ..setting.clone() };
            latency(arguments, folder, name, &setting, &mut report).await?;
        }
        if wanted(Figure::Paused) {
            at_rest(arguments, folder, name, &setting, screen, &mut report).await?;
        }
    }
    report.machine.load_after = machine::load();
    Ok(report)
}

fn database(url: &Secret) -> Result<DatabaseUrl, BenchError> {
    url.expose().parse().map_err(|error: DatabaseUrlError| BenchError::Part(error.to_string()))
}

fn scratch(folder: &DataFolder) -> Result<tempfile::TempDir, BenchError> {
    Ok(tempfile::Builder::new().prefix("bench-").tempdir_in(folder.path())?)
}

async fn commits(scratch: &Path, setting: &Setting) -> Result<raw::Commits, BenchError> {
    let database = match &setting.postgres {
        Some(postgres) => database(postgres)?,
        None => DatabaseUrl::Sqlite(scratch.join("raw.sqlite")),
    };
    let store = coordinator::store::open(&database).await.map_err(|error| BenchError::Part(error.to_string()))?;
    raw::commits(store).await
}

async fn throughput(
    arguments: &BenchOrchestration,
    folder: &DataFolder,
    database: &'static str,
    setting: &Setting,
    report: &mut Report,
) -> Result<(), BenchError> {
    let scratch = scratch(folder)?;
    let served = Served::start(scratch.path(), setting).await?;
    let mut driver = driver_of(&served, report).await?;
    driver.make(WARM.min(arguments.videos), arguments.in_flight).await?;
    let before = served.processor_seconds();
    let made = driver.make(arguments.videos, arguments.in_flight).await?;
    let spent = served.processor_seconds();
    served.stop().await?;
    let (shape, nats_sync_always) = (setting.shape, setting.nats_sync_always);
    report.rows.push(Row { database, shape, nats_sync_always, made, before, spent });
    Ok(())
}

async fn latency(
    arguments: &BenchOrchestration,
    folder: &DataFolder,
    database: &'static str,
    setting: &Setting,
    report: &mut Report,
) -> Result<(), BenchError> {
    let scratch = scratch(folder)?;
    let served = Served::start(scratch.path(), setting).await?;
    let mut driver = driver_of(&served, report).await?;
    driver.make(WARM.min(arguments.videos), 16).await?;
    let times = driver.make_one_by_one(arguments.one_at_a_time).await?;
    served.stop().await?;
    report.latencies.push(Latency { database, times });
    Ok(())
}

/// Somebody who asks for videos; on the way it is written down which NATS they are asked of.
async fn driver_of(served: &Served, report: &mut Report) -> Result<Driver, BenchError> {
    let bus = served.bus().await?;
    report.machine.nats_server = Some(bus.client().server_info().version);
    Driver::new(bus, served.shape()).await
}

/// Memory with more and more videos at rest; after the first lot, the way back from a crash.
async fn at_rest(
    arguments: &BenchOrchestration,
    folder: &DataFolder,
    database: &'static str,
    setting: &Setting,
    screen: &mut Screen,
    report: &mut Report,
) -> Result<(), BenchError> {
    let scratch = scratch(folder)?;
    let mut served = Served::start(scratch.path(), setting).await?;
    let mut driver = driver_of(&served, report).await?;
    driver.make(WARM, arguments.in_flight).await?;
    tokio::time::sleep(SETTLED).await;
    report.rests.push(Rest::of(database, 0, served.memory_mib()));
    let mut paused = 0;
    for number in &arguments.paused {
        screen.live(&[format!("{database}: {number} videos at rest …")]);
        let waiting = driver.pause(number.saturating_sub(paused), arguments.in_flight).await?;
        paused = *number;
        tokio::time::sleep(SETTLED).await;
        report.rests.push(Rest::of(database, paused, served.memory_mib()));
        if report.crashes.iter().all(|crash| crash.database != database)
            && let Some((video, (user, checkpoint))) = waiting.into_iter().next()
        {
            screen.live(&[format!("{database}: kill -9 with {paused} videos at rest …")]);
            let back = crash(&mut served, &user, video, checkpoint).await?;
            report.crashes.push(Crash { database, paused, back });
            driver = Driver::new(served.bus().await?, served.shape()).await?;
        }
    }
    served.stop().await
}

/// From `kill -9` of everything to the first approval that is decided after the start.
async fn crash(
    served: &mut Served,
    user: &UserId,
    video: VideoId,
    checkpoint: CheckpointId,
) -> Result<Duration, BenchError> {
    let killed = Instant::now();
    served.crash().await?;
    let mut driver = Driver::new(served.bus().await?, served.shape()).await?;
    driver.approve_until_decided(user, video, checkpoint).await?;
    let back = killed.elapsed();
    served.ready().await?;
    Ok(back)
}
