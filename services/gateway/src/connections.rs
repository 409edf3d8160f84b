//! Connections: HTTP/1.1 over TCP, a small task for each.
//!
//! `axum::serve` would do it too, but it gives every connection a copy of the whole table of routes, 40 KB with ours: a
//! thousand people who only watch would take 40 MB for it. Here all share one.
//!
//! Invariant: what is kept for a client that does not read is bounded, here to [`MAX_BUFFER`].

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// How much of an answer waits for its client, and how large the head of a request may be, bytes.
const MAX_BUFFER: usize = 64 * 1024;

/// Serves until `shutdown` fires; then what is being answered is answered, for at most `grace`.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken, grace: Duration) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(converse(router.clone(), stream, shutdown.clone()));
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
    // A client that does not read would hold up the stop for ever.
    if tokio::time::timeout(grace, finished).await.is_err() {
        tracing::debug!(open = connections.len(), "requests cut off at shutdown");
    }
}

/// Serves one connection to its end.
async fn converse(router: Router, stream: TcpStream, shutdown: CancellationToken) {
    // Frames of a stream are small and far between; each is worth a packet.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delays");
    }
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new().max_buf_size(MAX_BUFFER).serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // A client that breaks off is its own affair.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
