//! The coordinator as a process of its own.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use coordinator::config::Settings;
use runtime::artifacts::s3::{S3Objects, S3Settings};
use runtime::bus::{Bus, BusError, NatsSettings};
use runtime::config::ConfigError;
use runtime::service::Flags;
use runtime::telemetry::{LogSettings, TelemetryError};
use tokio_util::sync::CancellationToken;

/// Holds every video's state and decides what happens next
#[derive(Debug, Parser)]
#[command(name = "coordinator", version)]
struct Arguments {
    #[command(flatten)]
    shared: Flags,
    /// Where the journal is, `sqlite:PATH` or `postgres://USER@HOST/DATABASE`
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Coordinator(#[from] coordinator::Error),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    runtime::service::run(|shutdown| start(arguments, shutdown))
}

async fn start(arguments: Arguments, shutdown: CancellationToken) -> Result<(), StartError> {
    let mut settings = arguments.shared.settings()?;
    if let Some(database) = arguments.database {
        settings.set("coordinator", "database", database);
    }
    runtime::telemetry::init(&settings.section::<LogSettings>("log")?)?;
    let own: Settings = settings.section("coordinator")?;
    let bus = Bus::connect(&settings.section::<NatsSettings>("nats")?).await?;
    // It only ever deletes, so it need not wait until the object store is there.
    let objects = S3Objects::new(&settings.section::<S3Settings>("objects")?);
    coordinator::run(own, bus, Arc::new(objects), shutdown).await?;
    Ok(())
}
