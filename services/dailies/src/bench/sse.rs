//! `dailies bench sse`: what a connected client costs a gateway that has nothing to tell it, and how long an event takes
//! until all have heard it.
//!
//! The gateway is a process of its own, so that its memory can be told apart; NATS, coordinator and clients are those of
//! this process. All clients watch one video that waits at its first checkpoint, each over a connection of its own. The
//! first few connections are not counted: what a gateway needs once is nobody's share.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use messages::id::{UserId, VideoId};
use messages::query::Status;
use messages::subject;
use runtime::config::Settings;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::machine::resident;
use super::report::median;
use super::{BenchError, noop};
use crate::arguments::BenchSse;
use crate::client::Client;
use crate::data_folder::DataFolder;
use crate::embedded::{Embedded, Ports, not_listening};
use crate::screen::Screen;

/// Clients that are there before memory is read for the first time.
const WARM: u32 = 20;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a client may cost, in bytes.
const TARGET: f64 = 20.0 * 1024.0;
/// The event that is waited for.
const EVENT: &str = "settings_changed";

/// What was measured.
#[derive(Debug, Clone)]
struct Figures {
    clients: u32,
    before: Option<f64>,
    idle: Option<f64>,
    after: Option<f64>,
    /// For each event, from its arrival at a plain NATS subscriber until the last client had it.
    last: Vec<Duration>,
    /// The same until half of the clients had it.
    half: Vec<Duration>,
}

/// Measures and prints; false when it was interrupted before there was anything to print.
pub async fn run(
    arguments: &BenchSse,
    folder: &DataFolder,
    settings: &Settings,
    shutdown: &CancellationToken,
) -> Result<bool, BenchError> {
    runtime::service::open_many_files();
    let scratch = tempfile::Builder::new().prefix("bench-").tempdir_in(folder.path())?;
    let own = DataFolder::open(scratch.path())?;
    let ports = Ports { gateway: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), nats: 0 };
    let mut cluster = Embedded::start_with_handlers(&own, settings, ports, NonZeroUsize::MIN, noop::handlers()).await?;
    let client = Client { bus: cluster.bus().clone(), user: UserId::local() };
    let nats = cluster.address().nats.clone();
    let figures = tokio::select! {
        figures = measure(arguments, &client, &nats) => figures.map(Some),
        error = cluster.ended() => Err(error.into()),
        () = shutdown.cancelled() => Ok(None),
    };
    cluster.stop().await;
    let Some(figures) = figures? else { return Ok(false) };
    let text = if arguments.json { figures.json() } else { figures.table() };
    Screen::stdout().print(&text);
    Ok(true)
}

async fn measure(arguments: &BenchSse, client: &Client, nats: &str) -> Result<Figures, BenchError> {
    let video = waiting_video(client).await?;
    let gateway = Gateway::start(nats).await?;
    let (told, mut hearing) = mpsc::unbounded_channel();
    let mut streams = JoinSet::new();
    connect(&mut streams, &gateway, video, WARM, &told).await?;
    let before = gateway.resident();
    connect(&mut streams, &gateway, video, arguments.clients, &told).await?;
    let idle = gateway.resident();

    let mut events = client.subscribe(subject::event(&client.user, &video.to_string(), EVENT)).await?;
    let (mut last, mut half) = (Vec::new(), Vec::new());
    for number in 0..arguments.events {
        client.command(video, "settings", &json!({ "title": format!("title {number}") })).await?;
        let published = events.next().await.map(|_| Instant::now());
        let mut times = Vec::new();
        let all = async {
            while times.len() < (WARM + arguments.clients) as usize {
                let Some(heard) = hearing.recv().await else { break };
                times.push(
                    published.map_or(Duration::ZERO, |published: Instant| heard.saturating_duration_since(published)),
                );
            }
        };
        tokio::time::timeout(PATIENCE, all).await.map_err(|_| failed("an event does not reach all clients"))?;
        times.sort_unstable();
        half.extend(times.get(times.len() / 2).copied());
        last.extend(times.last().copied());
    }
    Ok(Figures { clients: arguments.clients, before, idle, after: gateway.resident(), last, half })
}

/// A video whose plan waits for somebody.
async fn waiting_video(client: &Client) -> Result<VideoId, BenchError> {
    let video = VideoId::from_uuid(uuid::Uuid::now_v7());
    client.command(video, "create", &json!({ "prompt": "A film about nothing in particular" })).await?;
    let waiting = async {
        loop {
            let status: Status = client.query(video, "status", &json!({})).await?;
            if status.current_checkpoint.is_some() {
                return Ok(video);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.map_err(|_| failed("no checkpoint is made"))?
}

/// A gateway as a process.
struct Gateway {
    address: SocketAddr,
    process: Child,
}

impl Gateway {
    async fn start(nats: &str) -> Result<Self, BenchError> {
        let program = std::env::current_exe()?.with_file_name("gateway");
        // Free a moment ago; the process takes it over.
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let free = TcpListener::bind(any).await.map_err(|error| not_listening(any, &error))?;
        let address = free.local_addr()?;
        drop(free);
        let mut command = Command::new(&program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DAILIES_") || name.starts_with("NATS_"))
        {
            command.env_remove(name);
        }
        command
            .env("DAILIES_NATS__URL", nats)
            .env("DAILIES_GATEWAY__ADDRESS", address.to_string())
            // Nothing is fetched and nothing uploaded.
            .env("DAILIES_OBJECTS__ACCESS_KEY_ID", "nobody")
            .env("DAILIES_OBJECTS__SECRET_ACCESS_KEY", "nothing")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        runtime::child::end_with_us(&mut command);
        let release = if cfg!(debug_assertions) { "" } else { " --release" };
        let process = command.spawn().map_err(|error| {
            let reason = format!("{error}; it belongs beside this program: cargo build --workspace --bins{release}");
            BenchError::Process { service: "gateway", reason }
        })?;
        let gateway = Self { address, process };
        let up = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await
            }
        };
        tokio::time::timeout(PATIENCE, up).await.map_err(|_| failed("it does not listen"))?;
        Ok(gateway)
    }

    fn resident(&self) -> Option<f64> {
        resident(self.process.id()?)
    }
}

/// Connects more clients, one after the other, and returns when the last has its snapshot.
async fn connect(
    streams: &mut JoinSet<()>,
    gateway: &Gateway,
    video: VideoId,
    count: u32,
    told: &mpsc::UnboundedSender<Instant>,
) -> Result<(), BenchError> {
    for _ in 0..count {
        let mut socket = TcpStream::connect(gateway.address).await?;
        let request = format!("GET /api/status/{video}/stream HTTP/1.1\r\nhost: {}\r\n\r\n", gateway.address);
        socket.write_all(request.as_bytes()).await?;
        let (ready, is_ready) = oneshot::channel();
        streams.spawn(listen(socket, ready, told.clone()));
        let began = tokio::time::timeout(PATIENCE, is_ready).await;
        began.ok().and_then(Result::ok).ok_or_else(|| failed("a client gets no snapshot"))?;
    }
    Ok(())
}

/// Reads a stream to its end, and tells when it begins and when it brings the event.
async fn listen(mut socket: TcpStream, ready: oneshot::Sender<()>, told: mpsc::UnboundedSender<Instant>) {
    let (mut ready, mut text, mut piece) = (Some(ready), String::new(), vec![0; 4096]);
    while let Ok(count @ 1..) = socket.read(&mut piece).await {
        text.push_str(&String::from_utf8_lossy(&piece[..count]));
        while let Some(end) = text.find("\n\n") {
            let frame: String = text.drain(..end + 2).collect();
            if frame.contains("event: snapshot") {
                // Whoever waited may have gone, and then nobody wants to know.
                let _ = ready.take().map(|ready| ready.send(()));
            }
            if frame.contains(&format!("event: {EVENT}")) && told.send(Instant::now()).is_err() {
                return;
            }
        }
    }
}

fn failed(reason: &str) -> BenchError {
    BenchError::Process { service: "gateway", reason: reason.to_owned() }
}

impl Figures {
    /// Bytes for each client that only listens.
    fn each(&self) -> Option<f64> {
        Some((self.idle? - self.before?).max(0.0) / f64::from(self.clients))
    }

    fn json(&self) -> String {
        json!({
            "clients": self.clients,
            "events": self.last.len(),
            "profile": PROFILE,
            "gateway_rss_before": self.before,
            "gateway_rss_idle": self.idle,
            "gateway_rss_after_events": self.after,
            "bytes_per_client": self.each().map(f64::round),
            "target_bytes_per_client": TARGET,
            "met": self.each().map(|each| each < TARGET),
            "event_to_half_ms": milliseconds(&self.half),
            "event_to_all_ms": milliseconds(&self.last),
        })
        .to_string()
    }

    fn table(&self) -> String {
        let figure = |value: Option<f64>, unit: f64, name: &str| match value {
            Some(value) => format!("{:.1} {name}", value / unit),
            None => "only Linux tells".to_owned(),
        };
        let target = match self.each() {
            Some(each) if each < TARGET => "met",
            Some(_) => "missed",
            None => "-",
        };
        let time =
            |times: &[Duration]| milliseconds(times).map_or_else(|| "-".to_owned(), |time| format!("{time:.1} ms"));
        [
            format!("clients              {} on one video, one gateway process ({PROFILE})", self.clients),
            format!("gateway before       {}", figure(self.before, 1e6, "MB")),
            format!("gateway, all idle    {}", figure(self.idle, 1e6, "MB")),
            format!("gateway afterwards   {}", figure(self.after, 1e6, "MB")),
            format!("each idle client     {}, target under 20 KiB: {target}", figure(self.each(), 1024.0, "KiB")),
            format!("event to half        {}, median of {}", time(&self.half), self.half.len()),
            format!("event to all         {}, median of {}", time(&self.last), self.last.len()),
        ]
        .join("\n")
    }
}

const PROFILE: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

/// The median.
fn milliseconds(times: &[Duration]) -> Option<f64> {
    let median = median(times.iter().map(|time| time.as_secs_f64() * 1e3).collect())?;
    Some((median * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(idle: f64) -> Figures {
        let times = [3, 1, 2].map(Duration::from_millis).to_vec();
        Figures {
            clients: 100,
            before: Some(1_024_000.0),
            idle: Some(idle),
            after: None,
            last: times.clone(),
            half: times,
        }
    }

    #[test]
    fn a_clients_share_is_what_came_with_it_and_the_target_is_judged_in_both_forms() {
        let few: serde_json::Value = serde_json::from_str(&figures(2_048_000.0).json()).expect("JSON");
        assert_eq!((&few["bytes_per_client"], &few["met"]), (&json!(10240.0), &json!(true)));
        assert_eq!(few["event_to_all_ms"], 2.0);
        assert!(figures(2_048_000.0).table().contains("10.0 KiB, target under 20 KiB: met"));
        assert!(figures(4_096_000.0).table().contains("30.0 KiB, target under 20 KiB: missed"));
    }
}
