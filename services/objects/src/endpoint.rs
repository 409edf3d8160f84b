//! The endpoint itself: settings, connections, and how it stops.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::instrument::WithSubscriber as _;

use crate::protocol::Protocol;
use crate::store::Store;

/// How long open requests may take to finish when the endpoint stops.
const DRAIN: Duration = Duration::from_secs(10);

/// How long a client may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(30);

/// What an endpoint has to know.
#[derive(Clone)]
pub struct Settings {
    /// Where the objects are. Made when missing; owned by one process at a time.
    pub folder: PathBuf,
    /// The one access key that may do everything.
    pub access_key_id: String,
    /// Its secret. Never shown.
    pub secret_access_key: String,
    /// Bytes that the store may hold; none means as many as the disk takes. A full store refuses uploads with 507 and
    /// goes on serving what it has.
    pub quota: Option<u64>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("folder", &self.folder)
            .field("access_key_id", &self.access_key_id)
            .field("secret_access_key", &"***")
            .field("quota", &self.quota)
            .finish()
    }
}

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the object folder `{}` cannot be opened", folder.display())]
pub struct OpenError {
    folder: PathBuf,
    #[source]
    source: std::io::Error,
}

/// An S3 endpoint over a folder.
#[derive(Clone, Debug)]
pub struct Endpoint {
    s3: S3Service,
}

impl Endpoint {
    /// Opens the folder, and removes what uploads left behind that were cut off when the last process ended.
    pub async fn open(settings: Settings) -> Result<Self, OpenError> {
        let (folder, quota) = (settings.folder.clone(), settings.quota);
        let opened = tokio::task::spawn_blocking(move || Store::open(&folder, quota)).await;
        let store = opened
            .unwrap_or_else(|panicked| Err(std::io::Error::other(panicked)))
            .map_err(|source| OpenError { folder: settings.folder, source })?;
        let mut s3 = S3ServiceBuilder::new(Protocol::new(store));
        s3.set_auth(SimpleAuth::from_single(settings.access_key_id, settings.secret_access_key));
        Ok(Self { s3: s3.build() })
    }

    /// Serves on `listener` until `shutdown` fires; then lets open requests finish, at most 10 s. Dropping the future
    /// cuts all connections.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(self.s3.clone(), stream, shutdown.clone()));
                }
                Err(error) => {
                    // Mostly too many open files: they become fewer with time, and asking again at once would spin.
                    tracing::warn!(%error, "connection not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
        drop(listener);
        let finished = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, finished).await.is_err() {
            tracing::warn!(open = connections.len(), "object requests cut off at shutdown");
        }
    }
}

/// Serves one connection to its end.
async fn converse(s3: S3Service, stream: TcpStream, shutdown: CancellationToken) {
    // Small answers go out at once; without it nothing breaks, they only come later.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        // The library logs whole requests, signatures of presigned links included, and reports refused clients as
        // errors of ours. So it is not heard; what matters is said here, without query and headers.
        let answer = Service::call(&s3, request).with_subscriber(tracing::Dispatch::none());
        async move {
            let answer = answer.await;
            match &answer {
                Ok(answer) if answer.status().as_u16() == 500 => {
                    tracing::error!(%method, path, "object request failed");
                }
                Ok(answer) => tracing::debug!(%method, path, status = answer.status().as_u16(), "object request"),
                Err(_) => tracing::debug!(%method, path, "object request aborted"),
            }
            answer
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // A client that breaks off is its own affair: nothing of its request is visible.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
