//! Connections: HTTP/1.1 over TCP, a small task for each.
//!
//! `axum::serve` would do it too, but it gives every connection a copy of the whole table of routes, 40 KB with ours: a
//! thousand people who only watch would take 40 MB for it. Here all share one.
//!
//! Invariants: what is kept for a client that does not read is bounded, here to [`MAX_BUFFER`]; a client that asks nothing
//! keeps no connection, before its first request or after any other.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// How much of an answer waits for its client, and how large the head of a request may be, bytes.
const MAX_BUFFER: usize = 64 * 1024;

/// How long is waited.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the whole head of the next request. An answer that goes on, as an event stream does, is not waited for.
    pub head: Duration,
    /// At a stop, for what is being answered.
    pub grace: Duration,
}

/// Serves until `shutdown` fires; then what is being answered is answered.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken, patience: Patience) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(converse(router.clone(), stream, shutdown.clone(), patience.head));
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
    if tokio::time::timeout(patience.grace, finished).await.is_err() {
        tracing::debug!(open = connections.len(), "requests cut off at shutdown");
    }
}

/// Serves one connection to its end.
async fn converse(router: Router, stream: TcpStream, shutdown: CancellationToken, head: Duration) {
    // Frames of a stream are small and far between; each is worth a packet.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delays");
    }
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // A client that breaks off is its own affair.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::broadcast;

    use super::*;

    /// Far above what any step here takes.
    const SOON: Duration = Duration::from_secs(20);

    /// A server that answers `/` and lets `/stream` hear what is said.
    struct Server {
        address: SocketAddr,
        says: broadcast::Sender<Bytes>,
        _shutdown: tokio_util::sync::DropGuard,
    }

    impl Server {
        async fn start(head: Duration) -> Self {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
            let address = listener.local_addr().expect("an address");
            let (says, shutdown) = (broadcast::Sender::new(4), CancellationToken::new());
            let heard = says.clone();
            let stream = get(async move || {
                let pieces = futures::stream::unfold(heard.subscribe(), async |mut heard| {
                    let piece = heard.recv().await.ok()?;
                    Some((Ok::<_, std::convert::Infallible>(piece), heard))
                });
                Body::from_stream(pieces)
            });
            let router = Router::new().route("/", get(async || "here")).route("/stream", stream);
            let patience = Patience { head, grace: SOON };
            tokio::spawn(serve(listener, router, shutdown.clone(), patience));
            Self { address, says, _shutdown: shutdown.drop_guard() }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.expect("the server listens")
        }

        async fn ask(&self, path: &str) -> TcpStream {
            let mut client = self.connect().await;
            client.write_all(format!("GET {path} HTTP/1.1\r\nhost: here\r\n\r\n").as_bytes()).await.expect("sends");
            client
        }
    }

    /// Reads until that was said.
    async fn hear(client: &mut TcpStream, wanted: &str) {
        let mut text = String::new();
        while !text.contains(wanted) {
            let mut buffer = [0; 1024];
            let reading = tokio::time::timeout(SOON, client.read(&mut buffer)).await;
            let count = reading.expect("something comes").expect("the connection lives");
            assert!(count > 0, "it was closed after {text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }

    /// Waits until the server closes it.
    async fn is_closed(client: &mut TcpStream) {
        let closing = tokio::time::timeout(SOON, client.read_to_end(&mut Vec::new())).await;
        closing.expect("it is closed").expect("in order");
    }

    #[tokio::test]
    async fn a_connection_on_which_nothing_is_asked_is_closed_and_one_that_is_answered_goes_on() {
        let server = Server::start(Duration::from_millis(200)).await;
        let mut watching = server.ask("/stream").await;
        hear(&mut watching, "\r\n\r\n").await;

        let (mut silent, mut slow, mut answered) =
            (server.connect().await, server.connect().await, server.ask("/").await);
        slow.write_all(b"GET / HTTP/1.1\r\nhost: he").await.expect("sends");
        hear(&mut answered, "here").await;
        for client in [&mut silent, &mut slow, &mut answered] {
            is_closed(client).await;
        }

        // It said nothing for longer than they were given.
        server.says.send(Bytes::from_static(b"still there")).expect("somebody listens");
        hear(&mut watching, "still there").await;
    }

    #[tokio::test]
    async fn a_connection_takes_one_request_after_another() {
        let server = Server::start(SOON).await;
        let mut client = server.ask("/").await;
        hear(&mut client, "here").await;
        client.write_all(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n").await.expect("sends");
        hear(&mut client, "here").await;
    }
}
