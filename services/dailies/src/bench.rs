//! `dailies bench media`: what the cluster costs beside the work itself.
//!
//! One film is made two ways in turns, in one run of one process: by the cluster ([`orchestrated`]: NATS, SQL, object
//! store, workers) and by the same handlers called in order ([`direct`]: none of these). Both have the same number of
//! jobs at a time and the same threads in each job, and must make the same bytes. Then the film is made once more by
//! services that are processes of their own, and their peak memory is read ([`memory`]).
//!
//! It reports and does not judge: a target that is missed is printed as missed, and the exit code stays zero.

pub mod chunks;
pub mod direct;
pub mod film;
pub mod fork;
pub mod machine;
pub mod memory;
pub mod noop;
pub mod orchestrated;
pub mod orchestration;
pub mod plain_folder;
pub mod report;
pub mod serve;
pub mod sse;

use messages::id::VideoId;
use messages::video::{AutoContinue, CreateVideo};
use runtime::bus::BusError;
use runtime::config::{ConfigError, Settings};
use runtime::worker::WorkerSettings;
use tokio_util::sync::CancellationToken;

use crate::arguments::{BenchMedia, Reach};
use crate::client::ClientError;
use crate::data_folder::{DataError, DataFolder};
use crate::embedded::{self, EmbeddedError};
use crate::nats_server::NatsServerError;
use crate::screen::Screen;
use report::{Pair, Report};

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The data folder.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The cluster in this process.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The server of the separate processes.
    #[error(transparent)]
    NatsServer(#[from] NatsServerError),
    /// The connection to it.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The cluster refused or fell silent.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The object store of the separate processes.
    #[error(transparent)]
    Objects(#[from] runtime::artifacts::ObjectError),
    /// The catalogue.
    #[error(transparent)]
    Catalogue(#[from] coordinator::config::FilesError),
    /// A scratch file.
    #[error("a scratch folder cannot be used")]
    Scratch(#[from] std::io::Error),
    /// A part measured on its own.
    #[error("a part cannot be measured on its own: {0}")]
    Part(String),
    /// A film that was not made.
    #[error("no film was made by {by}: {reason}")]
    NoFilm {
        /// Which way of making it.
        by: &'static str,
        /// What happened.
        reason: String,
    },
    /// A service that does not run as a process of its own.
    #[error("{service} does not run as a process of its own: {reason}")]
    Process {
        /// Which one.
        service: &'static str,
        /// What happened.
        reason: String,
    },
}

/// The film that is made again and again.
#[derive(Debug, Clone)]
pub struct Order {
    /// What is asked for; checkpoints approve themselves.
    pub create: CreateVideo,
    /// Jobs at a time.
    pub jobs: std::num::NonZeroUsize,
}

impl Order {
    /// What the arguments ask for. Without a number of jobs, as many as services take when nobody says otherwise.
    fn new(arguments: &BenchMedia, settings: &Settings) -> Result<Self, ConfigError> {
        let jobs = match arguments.jobs {
            Some(jobs) => jobs,
            None => settings.section::<WorkerSettings>("worker")?.concurrency,
        };
        let create = CreateVideo {
            prompt: arguments.prompt.clone(),
            title: None,
            description: None,
            model: None,
            auto_continue: AutoContinue::always(),
            reference_assets: Vec::new(),
            duration: Some(i64::from(arguments.duration)),
            aspect_ratio: None,
            template: None,
            creativity: None,
            seed: Some(arguments.seed),
            budget_usd: None,
        };
        Ok(Self { create, jobs })
    }

    /// An id that nobody has used.
    fn video() -> VideoId {
        VideoId::from_uuid(uuid::Uuid::now_v7())
    }
}

/// Measures and prints; false when it was interrupted before there was anything to print.
pub async fn media(
    arguments: &BenchMedia,
    reach: &Reach,
    folder: &DataFolder,
    settings: &Settings,
    shutdown: &CancellationToken,
) -> Result<bool, BenchError> {
    let mut screen = Screen::stdout();
    let report = tokio::select! {
        report = measure(arguments, reach, folder, settings, &mut screen) => report,
        () = shutdown.cancelled() => {
            screen.live(&[]);
            return Ok(false);
        }
    };
    screen.live(&[]);
    let report = report?;
    let text = if arguments.json { report.json() } else { report.table() };
    screen.print(&text);
    Ok(true)
}

async fn measure(
    arguments: &BenchMedia,
    reach: &Reach,
    folder: &DataFolder,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Report, BenchError> {
    let order = Order::new(arguments, settings)?;
    let media = embedded::media_tool(settings).await?;
    let load_before = machine::load();
    let mut pairs = Vec::new();
    for number in 1..=arguments.pairs {
        let mut say = |way: &str| screen.live(&[format!("pair {number} of {}: {way} …", arguments.pairs)]);
        // Who goes first takes turns, so that a machine that warms up or gets busy favours neither.
        let (cluster, direct) = if number % 2 == 1 {
            say("by the cluster");
            let cluster = orchestrated::film(&order, folder, settings).await?;
            say("by plain calls");
            (cluster, direct::film(&order, &media, settings).await?)
        } else {
            say("by plain calls");
            let direct = direct::film(&order, &media, settings).await?;
            say("by the cluster");
            (orchestrated::film(&order, folder, settings).await?, direct)
        };
        pairs.push(Pair { cluster, direct });
    }
    let memory = if arguments.no_memory {
        Err("not asked for".to_owned())
    } else {
        screen.live(&["services as processes of their own: peak memory …".to_owned()]);
        memory::peaks(&order, reach, folder, settings).await?
    };
    Ok(Report {
        prompt: arguments.prompt.clone(),
        seed: arguments.seed,
        jobs: order.jobs,
        machine: machine::Machine::look(&media, load_before).await,
        pairs,
        memory,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn both_ways_make_the_same_five_seconds() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = runtime::config::load(None).expect("the defaults");
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let folder = DataFolder::open(scratch.path()).expect("usable");
        let arguments = BenchMedia {
            prompt: "A 5 second ad for a mechanical watch, elegant".to_owned(),
            duration: 5,
            pairs: 1,
            jobs: None,
            seed: 1,
            json: false,
            no_memory: true,
        };
        let order = Order::new(&arguments, &settings).expect("the defaults");
        assert_eq!(order.jobs.get(), 2, "as many as services ship with");
        let media = embedded::media_tool(&settings).await.expect("ffmpeg is installed");
        let direct = direct::film(&order, &media, &settings).await.expect("a film");
        let cluster = orchestrated::film(&order, &folder, &settings).await.expect("a film");
        assert_eq!(direct.digests, cluster.digests);
        assert_eq!((direct.seconds, direct.size.as_str()), (5.0, "1280x720"));
        assert_eq!(direct.phases.len(), 4);
        assert!(cluster.wall.as_secs_f64() > 0.0 && direct.wall.as_secs_f64() > 0.0);
        assert_eq!(std::fs::read_dir(scratch.path()).expect("the data folder").count(), 0, "nothing is left behind");
    }
}
