//! `dailies bench sse`: what a connected client costs a gateway that has nothing to tell it, and how long an event takes
//! until all have heard it.
//!
//! The gateway is a process of its own, so that its memory can be told apart; NATS, coordinator and clients are those of
//! this process. Each client has a connection of its own. First each watches a video of its own, then, at another gateway,
//! all watch the same one, and that is whose events are timed. Videos wait at their first checkpoint. The first few
//! connections are not counted: what a gateway needs once is nobody's share.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use messages::id::{UserId, VideoId};
use messages::query::Status;
use messages::subject;
use runtime::config::Settings;
use serde_json::{Value, json};
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
/// Videos that are asked for at a time.
const AT_A_TIME: usize = 64;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a client may cost, in bytes.
const TARGET: f64 = 20_000.0;
/// The event that is waited for.
const EVENT: &str = "settings_changed";

/// What was measured.
#[derive(Debug, Clone)]
struct Figures {
    clients: u32,
    /// With a video for each client.
    own: Memory,
    /// With one for all.
    shared: Memory,
    after: Option<f64>,
    /// For each event, from its arrival at a plain NATS subscriber until the last client had it.
    last: Vec<Duration>,
    /// The same until half of the clients had it.
    half: Vec<Duration>,
}

/// Bytes that a gateway holds.
#[derive(Debug, Clone, Copy)]
struct Memory {
    before: Option<f64>,
    idle: Option<f64>,
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
    let clients = arguments.clients;
    let making = futures::stream::iter(0..WARM + clients).map(|_| waiting_video(client)).buffer_unordered(AT_A_TIME);
    let own: Vec<_> = making.try_collect().await?;
    let own = Watched::by(nats, &own).await?.memory;

    let video = waiting_video(client).await?;
    let mut watched = Watched::by(nats, &vec![video; (WARM + clients) as usize]).await?;
    let mut events = client.subscribe(subject::event(&client.user, &video.to_string(), EVENT)).await?;
    let (mut last, mut half) = (Vec::new(), Vec::new());
    for number in 0..arguments.events {
        client.command(video, "settings", &json!({ "title": format!("title {number}") })).await?;
        let published = events.next().await.map(|_| Instant::now());
        let mut times = Vec::new();
        let all = async {
            while times.len() < (WARM + clients) as usize {
                let Some(heard) = watched.hearing.recv().await else { break };
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
    Ok(Figures { clients, own, shared: watched.memory, after: watched.gateway.resident(), last, half })
}

/// A gateway with its clients.
struct Watched {
    gateway: Gateway,
    memory: Memory,
    /// When clients hear the event.
    hearing: mpsc::UnboundedReceiver<Instant>,
    _streams: JoinSet<()>,
}

impl Watched {
    /// A gateway of its own, and a client for each of these videos.
    async fn by(nats: &str, videos: &[VideoId]) -> Result<Self, BenchError> {
        let gateway = Gateway::start(nats).await?;
        let (told, hearing) = mpsc::unbounded_channel();
        let mut streams = JoinSet::new();
        let (warm, counted) = videos.split_at(WARM as usize);
        connect(&mut streams, &gateway, warm, &told).await?;
        let before = gateway.resident();
        connect(&mut streams, &gateway, counted, &told).await?;
        let memory = Memory { before, idle: gateway.resident() };
        Ok(Self { gateway, memory, hearing, _streams: streams })
    }
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
    videos: &[VideoId],
    told: &mpsc::UnboundedSender<Instant>,
) -> Result<(), BenchError> {
    for video in videos {
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

impl Memory {
    /// Bytes for each client that only listens.
    fn each(self, clients: u32) -> Option<f64> {
        Some((self.idle? - self.before?).max(0.0) / f64::from(clients))
    }

    fn json(self, clients: u32) -> Value {
        let each = self.each(clients);
        json!({
            "gateway_rss_before": self.before,
            "gateway_rss_idle": self.idle,
            "bytes_per_client": each.map(f64::round),
            "met": each.map(|each| each < TARGET),
        })
    }

    fn line(self, clients: u32) -> String {
        let each = self.each(clients);
        let target = match each {
            Some(each) if each < TARGET => "met",
            Some(_) => "missed",
            None => "-",
        };
        format!(
            "{} each, target under {:.0} KB: {target}; gateway {} before, {} with all idle",
            figure(each, 1e3, "KB"),
            TARGET / 1e3,
            figure(self.before, 1e6, "MB"),
            figure(self.idle, 1e6, "MB"),
        )
    }
}

impl Figures {
    fn json(&self) -> String {
        json!({
            "clients": self.clients,
            "events": self.last.len(),
            "profile": PROFILE,
            "target_bytes_per_client": TARGET,
            "a_video_each": self.own.json(self.clients),
            "one_video": self.shared.json(self.clients),
            "gateway_rss_after_events": self.after,
            "event_to_half_ms": milliseconds(&self.half),
            "event_to_all_ms": milliseconds(&self.last),
        })
        .to_string()
    }

    fn table(&self) -> String {
        let time =
            |times: &[Duration]| milliseconds(times).map_or_else(|| "-".to_owned(), |time| format!("{time:.1} ms"));
        [
            format!("clients              {}, one gateway process ({PROFILE})", self.clients),
            format!("a video each         {}", self.own.line(self.clients)),
            format!("one video for all    {}", self.shared.line(self.clients)),
            format!("  after its events   gateway {}", figure(self.after, 1e6, "MB")),
            format!("  event to half      {}, median of {}", time(&self.half), self.half.len()),
            format!("  event to all       {}, median of {}", time(&self.last), self.last.len()),
        ]
        .join("\n")
    }
}

fn figure(value: Option<f64>, unit: f64, name: &str) -> String {
    value.map_or_else(|| "only Linux tells".to_owned(), |value| format!("{:.1} {name}", value / unit))
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

    fn figures(own: Option<f64>, shared: f64) -> Figures {
        let times = [3, 1, 2].map(Duration::from_millis).to_vec();
        let memory = |idle| Memory { before: Some(1_000_000.0), idle };
        Figures {
            clients: 100,
            own: memory(own),
            shared: memory(Some(shared)),
            after: None,
            last: times.clone(),
            half: times,
        }
    }

    #[test]
    fn a_clients_share_is_what_came_with_it_and_the_target_is_judged_in_both_forms() {
        let figures = figures(Some(3_100_000.0), 2_900_000.0);
        let json: Value = serde_json::from_str(&figures.json()).expect("JSON");
        let (own, shared) = (&json["a_video_each"], &json["one_video"]);
        assert_eq!((&own["bytes_per_client"], &own["met"]), (&json!(21_000.0), &json!(false)));
        assert_eq!((&shared["bytes_per_client"], &shared["met"]), (&json!(19_000.0), &json!(true)));
        assert_eq!((&json["target_bytes_per_client"], &json["event_to_all_ms"]), (&json!(20_000.0), &json!(2.0)));
        let table = figures.table();
        assert!(table.contains("a video each         21.0 KB each, target under 20 KB: missed"), "{table}");
        assert!(table.contains("one video for all    19.0 KB each, target under 20 KB: met"), "{table}");
    }

    #[test]
    fn memory_that_nobody_tells_is_not_judged() {
        let figures = figures(None, 2_900_000.0);
        let json: Value = serde_json::from_str(&figures.json()).expect("JSON");
        assert_eq!(
            (&json["a_video_each"]["bytes_per_client"], &json["a_video_each"]["met"]),
            (&Value::Null, &Value::Null)
        );
        assert!(figures.table().contains("only Linux tells each, target under 20 KB: -"), "{}", figures.table());
    }
}
