//! Many clients, and slow ones, on a gateway that is a process of its own, so that its memory can be told apart.

use std::collections::HashSet;
use std::process::Stdio;
use std::time::Duration;

use messages::id::VideoId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};

use crate::coordinator::Coordinator;
use crate::server::{NatsServer, eventually};
use crate::video;

/// A gateway as a process.
struct Process {
    port: u16,
    child: Child,
}

impl Process {
    async fn start(server: &NatsServer) -> Self {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DAILIES_") || name.starts_with("NATS_"))
        {
            command.env_remove(name);
        }
        command
            .env("DAILIES_NATS__URL", server.url())
            .env("DAILIES_GATEWAY__ADDRESS", format!("127.0.0.1:{port}"))
            // Nothing is fetched and nothing uploaded.
            .env("DAILIES_OBJECTS__ACCESS_KEY_ID", "nobody")
            .env("DAILIES_OBJECTS__SECRET_ACCESS_KEY", "nothing")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        runtime::child::end_with_us(&mut command);
        let process = Self { port, child: command.spawn().expect("the gateway starts") };
        eventually("the gateway serves", async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        process
    }

    /// Its memory in bytes.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().expect("it runs")));
        let status = status.expect("Linux tells the memory of a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its resident memory");
        1024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    }
}

/// A client that reads what it likes, when it likes.
struct Client {
    socket: TcpStream,
    text: String,
}

impl Client {
    async fn open(process: &Process, video: VideoId) -> Self {
        Self::with_buffer(process, video, None).await
    }

    async fn with_buffer(process: &Process, video: VideoId, bytes: Option<u32>) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        if let Some(bytes) = bytes {
            socket.set_recv_buffer_size(bytes).expect("a small buffer");
        }
        let port = process.port;
        let mut socket = socket.connect(([127, 0, 0, 1], port).into()).await.expect("the gateway listens");
        let request = format!("GET /api/status/{video}/stream HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n");
        socket.write_all(request.as_bytes()).await.expect("it is sent");
        Self { socket, text: String::new() }
    }

    /// Reads until `wanted` was said.
    async fn hear(&mut self, wanted: &str) {
        let hearing = async {
            while !self.text.contains(wanted) {
                let from = self.text.len().saturating_sub(wanted.len());
                self.text.drain(..from);
                self.read(1 << 16).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), hearing).await.unwrap_or_else(|_| panic!("not said: {wanted}"));
    }

    async fn read(&mut self, most: usize) {
        let mut buffer = vec![0; most];
        let count = self.socket.read(&mut buffer).await.expect("the connection lives");
        assert!(count > 0, "the stream has ended");
        self.text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }

    /// Numbers of the events that were read whole, which are taken away.
    fn ids(&mut self) -> Vec<u64> {
        let mut ids = Vec::new();
        while let Some(end) = self.text.find("\n\n") {
            let frame: String = self.text.drain(..end + 2).collect();
            ids.extend(frame.lines().filter_map(|line| line.strip_prefix("id: ")?.parse::<u64>().ok()));
        }
        ids
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_clients_of_one_video_take_little_memory_and_hear_at_once() {
    take_little_memory_and_hear_at_once(video).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_clients_of_a_video_each_take_little_memory_and_hear_at_once() {
    take_little_memory_and_hear_at_once(|| VideoId::from_uuid(uuid::Uuid::now_v7())).await;
}

async fn take_little_memory_and_hear_at_once(video: impl Fn() -> VideoId) {
    /// What they need once is not theirs.
    const FIRST: usize = 20;
    const CLIENTS: usize = 1000;
    let server = NatsServer::start();
    let coordinator = Coordinator::start(&server.bus().await).await;
    let watched: Vec<_> = (0..FIRST + CLIENTS).map(|_| video()).collect();
    let videos: HashSet<_> = watched.iter().copied().collect();
    videos.iter().for_each(|video| coordinator.has(*video));
    let process = Process::start(&server).await;
    let connect = async |watched: &[VideoId]| {
        let mut clients = Vec::new();
        for video in watched {
            let mut client = Client::open(&process, *video).await;
            client.hear("event: snapshot").await;
            clients.push(client);
        }
        clients
    };
    let mut clients = connect(&watched[..FIRST]).await;
    let before = process.resident();
    clients.extend(connect(&watched[FIRST..]).await);
    let each = process.resident().saturating_sub(before) / CLIENTS as u64;
    assert!(each < 64 * 1024, "{each} bytes for each client");

    for video in videos {
        coordinator.happens(video, "job_done").await;
    }
    futures::future::join_all(clients.iter_mut().map(|client| client.hear("event: job_done"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_a_byte_a_second_holds_nobody_up_and_misses_nothing() {
    /// By then every buffer on the way to the slow client is full.
    const FULL: u64 = 600;
    const EVENTS: u64 = 2600;
    const STEP: u64 = 100;
    let server = NatsServer::start();
    let coordinator = Coordinator::start(&server.bus().await).await;
    coordinator.has(video());
    let process = Process::start(&server).await;
    let (mut quick, mut slow) =
        (Client::open(&process, video()).await, Client::with_buffer(&process, video(), Some(2048)).await);
    quick.hear("event: snapshot").await;
    slow.hear("event: snapshot").await;
    quick.ids();
    slow.ids();

    let (done, mut is_done) = tokio::sync::oneshot::channel::<()>();
    let reading = tokio::spawn(async move {
        while is_done.try_recv().is_err() {
            slow.read(1).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        slow
    });
    let note = "x".repeat(10_000);
    let mut heard = Vec::new();
    let mut go_by = async |last: u64| {
        // A few at a time: what is on its way at once takes memory too, and says nothing about the slow one.
        while heard.len() as u64 != last {
            let next = last.min(heard.len() as u64 + STEP);
            let saying = async {
                for _ in heard.len() as u64..next {
                    let seq = coordinator.records_with(video(), "job_done", &note);
                    coordinator.publishes(video(), seq).await;
                }
            };
            let hearing = async {
                let mut ids = Vec::new();
                while ids.last() != Some(&next) {
                    quick.read(1 << 16).await;
                    ids.extend(quick.ids());
                }
                ids
            };
            let both = async { tokio::join!(saying, hearing).1 };
            let ids = tokio::time::timeout(Duration::from_secs(60), both).await.expect("nobody waits for the slow one");
            heard.extend(ids);
        }
        process.resident()
    };
    let full = go_by(FULL).await;
    let later = go_by(EVENTS).await;
    assert_eq!(heard, (1..=EVENTS).collect::<Vec<_>>());
    // Twenty more megabytes have gone by; the allocator may keep some of what it gave out.
    let grown = later.saturating_sub(full);
    assert!(grown < 10 << 20, "{grown} bytes more are kept for a client that does not read");

    // It was not dropped: what it missed comes from the history as soon as it reads.
    done.send(()).expect("it still reads");
    let mut slow = reading.await.expect("it was never cut off");
    let mut heard = Vec::new();
    let catching_up = async {
        while heard.last() != Some(&EVENTS) {
            slow.read(1 << 16).await;
            heard.extend(slow.ids());
        }
    };
    tokio::time::timeout(Duration::from_secs(60), catching_up).await.expect("it catches up");
    assert_eq!(heard, (1..=EVENTS).collect::<Vec<_>>());
}
