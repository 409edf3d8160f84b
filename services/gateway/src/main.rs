//! Starts and stops a gateway of its own; `dailies up` starts the same code inside its process.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use gateway::config::Settings;
use runtime::monitoring::{Monitoring, MonitoringError};
use runtime::service::Flags;
use runtime::trace::{TraceError, Tracing};
use tokio_util::sync::CancellationToken;

/// Serves HTTP and server-sent events in front of NATS
#[derive(Debug, Parser)]
#[command(name = "gateway", version)]
struct Arguments {
    #[command(flatten)]
    shared: Flags,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    runtime::service::run(|shutdown| serve(arguments, shutdown))
}

async fn serve(arguments: Arguments, shutdown: CancellationToken) -> Result<(), StartError> {
    let settings = arguments.shared.settings()?;
    runtime::telemetry::init(&settings.section("log")?)?;
    let _monitoring = Monitoring::start(&settings.section("monitoring")?, &["gateway"]).await?;
    let _tracing = Tracing::start(&settings.section("telemetry")?, "gateway")?;
    runtime::service::open_many_files();
    let gateway: Settings = settings.section("gateway")?;
    let address = gateway.address;
    let listener =
        tokio::net::TcpListener::bind(address).await.map_err(|source| StartError::Bind { address, source })?;
    let bus = runtime::bus::Bus::connect(&settings.section("nats")?).await?.leaving_streams_to_coordinators();
    let objects = runtime::artifacts::s3::S3Objects::new(&settings.section("objects")?);
    Ok(gateway::serve(listener, gateway, bus, Arc::new(objects), shutdown).await?)
}

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Settings(#[from] runtime::config::ConfigError),
    #[error(transparent)]
    Log(#[from] runtime::telemetry::TelemetryError),
    #[error(transparent)]
    Monitoring(#[from] MonitoringError),
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error("cannot listen on {address}")]
    Bind { address: std::net::SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Bus(#[from] runtime::bus::BusError),
    #[error(transparent)]
    Serve(#[from] gateway::ServeError),
}
