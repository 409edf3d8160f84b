//! Starts and stops `dailies`: arguments, settings, log, then the command.

use std::fs::OpenOptions;
use std::process::ExitCode;
use std::sync::Mutex;

use clap::Parser as _;
use dailies::arguments::{Arguments, Bench, ClusterCommand, Command, Health};
use dailies::data_folder::DataFolder;
use dailies::{bench, deployment, health, key, make, migrate, requests, store, up};
use runtime::config::Settings;
use runtime::service::sentence;
use runtime::telemetry::{LogFormat, LogSettings};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error.to_string()),
    };
    let outcome = runtime.block_on(async {
        let shutdown = runtime::service::shutdown_on_signals().map_err(|error| error.to_string())?;
        run(arguments, shutdown).await
    });
    // What still runs belongs to nobody; a blocked thread must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        // As a shell says it of a program that Ctrl-C ended.
        Ok(false) => ExitCode::from(130),
        Err(reason) => complain(&reason),
    }
}

/// Runs the command; false when it was interrupted before it had done its work.
async fn run(arguments: Arguments, shutdown: CancellationToken) -> Result<bool, String> {
    let reach = arguments.reach;
    let settings = runtime::config::load(reach.config.as_deref()).map_err(|error| sentence(&error))?;
    // A choice that can only fail when it was made before; NATS may have made it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match arguments.command {
        Command::Make(arguments) => {
            let folder = open(&reach.data)?;
            log_to_file(&folder, &settings)?;
            make::make(&arguments, &reach, folder, &settings, &shutdown).await.map_err(|error| sentence(&error))
        }
        Command::Up(arguments) => {
            log_to_stderr(&settings)?;
            let folder = open(&reach.data)?;
            up::up(&arguments, &folder, &settings, &shutdown).await.map_err(|error| sentence(&error))?;
            Ok(true)
        }
        Command::Cluster(arguments) => {
            log_to_stderr(&settings)?;
            let folder = open(&reach.data)?;
            let outcome = match arguments.command {
                Some(ClusterCommand::Stop) => deployment::stop(&folder).await,
                None => deployment::run(&arguments, &reach, &folder, &settings, &shutdown).await,
            };
            outcome.map(|()| true).map_err(|error| sentence(&error))
        }
        Command::Store(arguments) => {
            log_to_stderr(&settings)?;
            let folder = open(&reach.data)?;
            store::store(&arguments, &folder, &settings, &shutdown).await.map_err(|error| sentence(&error))?;
            Ok(true)
        }
        Command::Migrate(arguments) => {
            log_to_stderr(&settings)?;
            migrate::migrate(&arguments, settings).await.map_err(|error| sentence(&error))?;
            Ok(true)
        }
        Command::Key(arguments) => {
            key::key(&arguments, &reach.user, &settings).map_err(|error| sentence(&error))?;
            Ok(true)
        }
        Command::Bench(Bench::Sse(arguments)) => {
            let folder = open(&reach.data)?;
            log_to_file(&folder, &settings)?;
            bench::sse::run(&arguments, &folder, &settings, &shutdown).await.map_err(|error| sentence(&error))
        }
        Command::Bench(Bench::Media(arguments)) => {
            let folder = open(&reach.data)?;
            log_to_file(&folder, &settings)?;
            bench::media(&arguments, &reach, &folder, &settings, &shutdown).await.map_err(|error| sentence(&error))
        }
        Command::Bench(Bench::Fork(arguments)) => {
            let folder = open(&reach.data)?;
            log_to_file(&folder, &settings)?;
            bench::fork::run(&arguments, &folder, &settings, &shutdown).await.map_err(|error| sentence(&error))
        }
        Command::Bench(Bench::Chunks(arguments)) => {
            let folder = open(&reach.data)?;
            log_to_file(&folder, &settings)?;
            bench::chunks::run(&arguments, &folder, &settings, &shutdown).await.map_err(|error| sentence(&error))
        }
        Command::Bench(Bench::Orchestration(arguments)) => {
            let folder = open(&reach.data)?;
            log_to_file(&folder, &settings)?;
            bench::orchestration::run(&arguments, &folder, &shutdown).await.map_err(|error| sentence(&error))
        }
        Command::Bench(Bench::Serve(arguments)) => {
            let folder = open(&reach.data)?;
            log_to_file(&folder, &settings)?;
            bench::serve::run(&arguments, &folder, settings, &shutdown).await.map_err(|error| sentence(&error))
        }
        Command::Health(Health { url }) => health::ask(url).await.map(|()| true).map_err(|error| sentence(&error)),
        request => {
            let quiet = LogSettings { level: "error".to_owned(), format: LogFormat::Human };
            runtime::telemetry::init(&quiet).map_err(|error| sentence(&error))?;
            tokio::select! {
                asked = requests::request(request, &reach, &settings) => asked.map(|()| true).map_err(|error| sentence(&error)),
                () = shutdown.cancelled() => Ok(false),
            }
        }
    }
}

fn open(path: &std::path::Path) -> Result<DataFolder, String> {
    DataFolder::open(path).map_err(|error| sentence(&error))
}

fn log_to_stderr(settings: &Settings) -> Result<(), String> {
    let log: LogSettings = settings.section("log").map_err(|error| sentence(&error))?;
    runtime::telemetry::init(&log).map_err(|error| sentence(&error))
}

/// The terminal belongs to the film, so the log goes into the data folder.
fn log_to_file(folder: &DataFolder, settings: &Settings) -> Result<(), String> {
    let path = folder.join("dailies.log");
    let file = OpenOptions::new().create(true).append(true).open(&path);
    let file = file.map_err(|error| format!("the log {} cannot be written: {error}", path.display()))?;
    let log: LogSettings = settings.section("log").map_err(|error| sentence(&error))?;
    let level = std::env::var("RUST_LOG").ok().filter(|level| !level.is_empty()).unwrap_or(log.level);
    let filter = EnvFilter::try_new(&level).map_err(|error| format!("log.level `{level}` is not usable: {error}"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(Mutex::new(file));
    // Nobody else sets one up in this process.
    lines.try_init().map_err(|error| error.to_string())
}

#[expect(clippy::print_stderr, reason = "this is the last thing said")]
fn complain(reason: &str) -> ExitCode {
    eprintln!("error: {reason}");
    ExitCode::FAILURE
}
