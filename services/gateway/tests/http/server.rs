//! A real NATS server per test, on a port and a folder of its own.

use std::process::Stdio;
use std::time::Duration;

use runtime::bus::{Bus, NatsSettings};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A running server; it ends with this value.
pub struct NatsServer {
    port: u16,
    folder: TempDir,
    child: Child,
}

impl NatsServer {
    /// Starts one.
    pub fn start() -> Self {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let folder = tempfile::tempdir().expect("a folder");
        let child = spawn(port, &folder);
        Self { port, folder, child }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A connection with the streams in place.
    pub async fn bus(&self) -> Bus {
        let settings = NatsSettings::for_url(&self.url());
        let bus = Bus::connect(&settings).await.expect("the server is there");
        bus.ensure_streams().await.expect("it takes our streams");
        bus
    }

    /// Kills it outright.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it ran");
    }

    /// Starts it again with what it stored.
    pub fn restart(&mut self) {
        self.child = spawn(self.port, &self.folder);
    }
}

fn spawn(port: u16, folder: &TempDir) -> Child {
    let program = std::env::var_os("DAILIES_NATS_SERVER").unwrap_or_else(|| "nats-server".into());
    let mut command = Command::new(&program);
    command
        .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    runtime::child::end_with_us(&mut command);
    command.spawn().unwrap_or_else(|error| {
        panic!("{program:?} does not start ({error}): put nats-server on PATH or into DAILIES_NATS_SERVER")
    })
}

/// Waits until `done`, for a bounded time.
pub async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !done().await {
        assert!(tokio::time::Instant::now() < deadline, "{what} did not happen in 20 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
