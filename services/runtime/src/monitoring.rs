//! The listener for those who look after a process: `/health/live`, `/health/ready`, `/metrics`.
//!
//! It is apart from everything that people use, and off unless an address is set. Invariant: it answers from the start of
//! the process to its end, also while the process waits for what it needs or finishes what it has begun.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::{health, metrics};

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where it listens: section `[monitoring]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonitoringSettings {
    /// The address; none means that nothing listens.
    #[serde(default)]
    pub address: Option<SocketAddr>,
}

/// Why a process cannot be looked after.
#[derive(Debug, thiserror::Error)]
#[error("monitoring.address {address} cannot be listened on: choose another one, or none")]
pub struct MonitoringError {
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}

/// A listener, as long as this value lives.
#[derive(Debug)]
pub struct Monitoring(Option<JoinHandle<()>>);

impl Monitoring {
    /// Listens for a process that is ready when `parts` run and have what they need.
    pub async fn start(settings: &MonitoringSettings, parts: &[&'static str]) -> Result<Self, MonitoringError> {
        let Some(address) = settings.address else { return Ok(Self(None)) };
        let failed = |source| MonitoringError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tracing::info!(%address, "health and metrics are served");
        Ok(Self(Some(tokio::spawn(serve(listener, Arc::from(parts))))))
    }
}

impl Drop for Monitoring {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

async fn serve(listener: TcpListener, parts: Arc<[&'static str]>) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => drop(tokio::spawn(serve_one(socket, Arc::clone(&parts)))),
            Err(error) => {
                // Out of file descriptors, most likely; asking again at once would only spin.
                tracing::warn!(error = %error, "a probe was not let in");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// One connection, which ends with its answer: probes are seconds apart.
async fn serve_one(socket: TcpStream, parts: Arc<[&'static str]>) {
    let answering = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .serve_connection(
            TokioIo::new(socket),
            service_fn(async |request: Request<Incoming>| {
                Ok::<_, Infallible>(answer(request.method(), request.uri().path(), &parts))
            }),
        );
    // A client that went away, or that never said anything.
    if let Err(error) = answering.await {
        tracing::debug!(error = %error, "a probe was not answered");
    }
}

fn answer(method: &Method, path: &str, parts: &[&'static str]) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned());
    }
    match path {
        "/health/live" => judged("alive", "stuck", &health::stuck()),
        "/health/ready" => judged("ready", "missing", &health::missing(parts)),
        "/metrics" => text(StatusCode::OK, metrics::CONTENT_TYPE, metrics::text()),
        _ => {
            text(StatusCode::NOT_FOUND, "text/plain", "here are /health/live, /health/ready and /metrics\n".to_owned())
        }
    }
}

/// `{"ready": false, "missing": {"nats": "…"}}`
fn judged(well: &str, wrong: &str, faults: &BTreeMap<&str, String>) -> Response<Full<Bytes>> {
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    text(status, "application/json", json!({ well: faults.is_empty(), wrong: faults }).to_string())
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
