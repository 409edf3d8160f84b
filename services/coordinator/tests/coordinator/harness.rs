//! A real NATS server and real coordinator processes, each in folders of their own; and what was published so far.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_nats::HeaderMap;
use messages::id::{CheckpointId, UserId, VideoId};
use messages::subject::{self, Partition};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::bus::{Bus, NatsSettings};
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio::process::{Child, Command};
use uuid::Uuid;

/// The longest that anything is waited for.
const SOON: Duration = Duration::from_secs(60);

/// Waits until `state` gives something, or fails the test with `what`.
pub async fn until<T>(what: &str, mut state: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = state().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("waited {SOON:?} in vain: {what}"))
}

/// A NATS server, a database file, and whatever coordinators run on them.
pub struct Stage {
    pub bus: Bus,
    /// How coordinators are told where the journal is.
    pub journal: String,
    folder: tempfile::TempDir,
    url: String,
    _server: Child,
    next: u64,
    published: Vec<Published>,
}

/// A message of the stream of events.
#[derive(Debug, Clone)]
pub struct Published {
    /// The user's token in its subject.
    pub user: String,
    /// The video's token in its subject.
    pub video: String,
    /// The last token of its subject.
    pub name: String,
    /// Its body.
    pub body: Value,
}

impl Stage {
    /// An empty server with the streams in place.
    pub async fn set() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ports = folder.path().join("ports");
        std::fs::create_dir(&ports).expect("a folder");
        let program = std::env::var_os("DAILIES_NATS_SERVER").filter(|name| !name.is_empty());
        let mut command = Command::new(program.unwrap_or_else(|| "nats-server".into()));
        command.args(["-a", "127.0.0.1", "-p", "-1", "-js", "-sd"]).arg(folder.path().join("nats"));
        command.arg("--ports_file_dir").arg(&ports);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        runtime::child::end_with_us(&mut command);
        let server = command.spawn().unwrap_or_else(|error| {
            panic!("nats-server does not start ({error}): put 2.14 or newer on PATH or name it in DAILIES_NATS_SERVER")
        });
        let port = until("nats-server says its port", async || port_of(&ports)).await;
        let url = format!("nats://127.0.0.1:{port}");
        let settings = NatsSettings { storage_mib: 256, ..NatsSettings::for_url(&url) };
        let bus = Bus::connect(&settings).await.expect("the server is there");
        bus.ensure_streams().await.expect("it takes our streams");
        let journal = format!("sqlite:{}", folder.path().join("journal.db").display());
        Self { bus, journal, folder, url, _server: server, next: 1, published: Vec::new() }
    }

    /// A coordinator on this server and its database.
    pub fn coordinator(&self) -> Coordinator {
        let log = self.folder.path().join(format!("{}.log", Uuid::new_v4()));
        let stderr = std::fs::File::create(&log).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_coordinator"));
        command.args(["--nats", &self.url, "--database", &self.journal]);
        // Nothing is deleted here, so that no object store needs to be there.
        command.env("DAILIES_OBJECTS__ENDPOINT", "http://127.0.0.1:9");
        command.env("DAILIES_OBJECTS__ACCESS_KEY_ID", "nobody").env("DAILIES_OBJECTS__SECRET_ACCESS_KEY", "nothing");
        command.env("RUST_LOG", "info").env("NO_COLOR", "1").current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        runtime::child::end_with_us(&mut command);
        Coordinator { child: command.spawn().expect("it starts"), log }
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    /// A look into the database beside its coordinators.
    pub async fn connection(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.database()).busy_timeout(Duration::from_secs(10));
        options.connect().await.expect("it opens")
    }

    /// How many partitions each living owner has, fewest first; none while there is no database yet.
    pub async fn shares(&self) -> Vec<i64> {
        if !self.database().is_file() {
            return Vec::new();
        }
        let shares = sqlx::query_scalar(
            "select count(*) from partition_lease where owner is not null group by owner order by count(*)",
        );
        shares.fetch_all(&mut self.connection().await).await.unwrap_or_default()
    }

    /// Waits until the coordinators share the partitions so.
    pub async fn shared(&self, shares: &[i64]) {
        until(&format!("partitions are shared {shares:?}"), async || (self.shares().await == shares).then_some(()))
            .await;
    }

    /// Waits until every command in the stream is below its partition's position.
    pub async fn positions_are_written(&self) {
        let stream = self.bus.jetstream().get_stream(subject::VIDEO_COMMANDS).await.expect("there is a stream");
        let last = stream.cached_info().state.last_sequence as i64;
        until("the position is written down", async || {
            let position: Option<i64> = sqlx::query_scalar("select max(sequence) from partition_lease")
                .fetch_one(&mut self.connection().await)
                .await
                .expect("it is read");
            (position == Some(last)).then_some(())
        })
        .await;
    }

    /// Publishes a command as any NATS client would, and gives its sequence.
    pub async fn publish(&self, video: VideoId, verb: &str, body: &Value, id: Option<&str>) -> u64 {
        self.publish_as(&UserId::local(), video, verb, body, id).await
    }

    /// The same as somebody.
    pub async fn publish_as(&self, user: &UserId, video: VideoId, verb: &str, body: &Value, id: Option<&str>) -> u64 {
        let mut headers = HeaderMap::new();
        if let Some(id) = id {
            headers.insert(subject::COMMAND_ID_HEADER, id);
        }
        let to = subject::command(user, video, verb);
        self.bus.publish(to, headers, body.to_string().into(), None).await.expect("the stream takes it").sequence
    }

    /// Publishes a command and waits for its outcome.
    pub async fn ask(&mut self, video: VideoId, verb: &str, body: Value) -> Value {
        let id = Uuid::new_v4().to_string();
        self.publish(video, verb, &body, Some(&id)).await;
        self.outcome(&id).await
    }

    /// The same for what must be done.
    pub async fn done(&mut self, video: VideoId, verb: &str, body: Value) -> Value {
        let outcome = self.ask(video, verb, body).await;
        assert_eq!(outcome["type"], "command_answered", "{verb}: {outcome}");
        outcome["answer"].clone()
    }

    /// The same for what must be refused; gives the code.
    pub async fn refused(&mut self, video: VideoId, verb: &str, body: Value) -> String {
        let outcome = self.ask(video, verb, body).await;
        assert_eq!(outcome["type"], "command_rejected", "{verb}: {outcome}");
        assert_ne!(outcome["reason"], "", "{verb}: {outcome}");
        outcome["code"].as_str().expect("a code").to_owned()
    }

    /// Waits for the first outcome of a command.
    pub async fn outcome(&mut self, id: &str) -> Value {
        self.outcomes_of(id, 1).await.remove(0)
    }

    /// Waits until a command has so many published outcomes.
    pub async fn outcomes_of(&mut self, id: &str, count: usize) -> Vec<Value> {
        let what = format!("{count} outcomes of {id}");
        let found = until(&what, async || {
            let published = self.published().await;
            let of_it = published.iter().filter(|message| is_outcome(message) && message.body["command_id"] == id);
            let found: Vec<_> = of_it.map(|message| message.body.clone()).collect();
            (found.len() >= count).then_some(found)
        });
        found.await
    }

    /// Everything in the stream of events so far.
    pub async fn published(&mut self) -> &[Published] {
        let stream = self.bus.jetstream().get_stream(subject::VIDEO_EVENTS).await.expect("there is a stream");
        let last = stream.cached_info().state.last_sequence;
        while self.next <= last {
            let message = stream.get_raw_message(self.next).await.expect("it is there");
            let tokens: Vec<_> = message.subject.split('.').collect();
            self.published.push(Published {
                user: tokens[1].to_owned(),
                video: tokens[2].to_owned(),
                name: tokens[4].to_owned(),
                body: serde_json::from_slice(&message.payload).expect("JSON"),
            });
            self.next += 1;
        }
        &self.published
    }

    /// How often an event was published about a video.
    pub async fn count(&mut self, video: VideoId, name: &str) -> usize {
        let video = video.to_string();
        self.published().await.iter().filter(|message| message.video == video && message.name == name).count()
    }

    /// Waits until an event was published so often about a video, and gives its last body.
    pub async fn event(&mut self, video: VideoId, name: &str, times: usize) -> Value {
        let token = video.to_string();
        let what = format!("{name} of {video} for the {times}. time");
        let found = until(&what, async || {
            let published = self.published().await;
            let of_it = published.iter().filter(|message| message.video == token && message.name == name);
            of_it.map(|message| message.body.clone()).nth(times - 1)
        });
        found.await
    }

    /// A film that waits at its first checkpoint.
    pub async fn planned(&mut self) -> (VideoId, CheckpointId) {
        let video = new_video();
        self.done(video, "create", film()).await;
        let created = self.event(video, "checkpoint_created", 1).await;
        (video, checkpoint_of(&created))
    }

    /// Asks a question: the answer's body, or the status that its headers say.
    pub async fn query(&self, user: &str, video: &str, name: &str, body: Value) -> Result<Value, String> {
        let to = format!("query.{user}.{video}.{name}");
        let answer = self.bus.request_message(&to, HeaderMap::new(), body.to_string().into(), SOON);
        let answer = answer.await.expect("somebody answers");
        let status = answer.headers.as_ref().and_then(|headers| headers.get("Nats-Service-Error-Code"));
        let body: Value = serde_json::from_slice(&answer.payload).expect("JSON");
        match status {
            None => Ok(body),
            Some(status) => {
                let header = answer.headers.as_ref().and_then(|headers| headers.get("Nats-Service-Error"));
                assert_eq!(header.map(|reason| reason.as_str()), body["reason"].as_str());
                Err(format!("{} {}", status.as_str(), body["code"].as_str().expect("a code")))
            }
        }
    }

    /// Every event of a video by its journal's number: without holes, none twice.
    pub async fn journal_has_no_holes(&mut self, video: VideoId) {
        let token = video.to_string();
        let published = self.published().await.iter().filter(|message| message.video == token);
        let seqs: Vec<_> = published.filter_map(|message| message.body["seq"].as_u64()).collect();
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    }
}

pub fn is_outcome(message: &Published) -> bool {
    matches!(message.name.as_str(), "command_answered" | "command_rejected")
}

/// A coordinator process. It dies with its test.
pub struct Coordinator {
    child: Child,
    log: PathBuf,
}

impl Coordinator {
    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).expect("it runs");
        kill(Pid::from_raw(id), signal).expect("it can be signalled");
    }

    /// Asks it to stop and waits until it has, without a complaint.
    pub async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        let ended = tokio::time::timeout(SOON, self.child.wait()).await.expect("it stops in time");
        assert!(ended.expect("it ended").success(), "{}", self.log());
        self.never_complained();
    }

    /// Kills it outright.
    pub async fn abort(mut self) {
        self.child.kill().await.expect("it can be killed");
        self.never_complained();
    }

    /// An error in the log means that somebody must look.
    pub fn never_complained(&self) {
        let log = self.log();
        let complaint = log.lines().find(|line| line.contains("\"level\":\"ERROR\"") || line.contains(" ERROR "));
        assert_eq!(complaint, None, "in its log:\n{log}");
    }

    /// All that it has said.
    pub fn log(&self) -> String {
        let mut log = String::new();
        std::fs::File::open(&self.log).expect("a log").read_to_string(&mut log).expect("text");
        log
    }
}

/// A new id.
pub fn new_video() -> VideoId {
    VideoId::from_uuid(Uuid::now_v7())
}

/// A new id of a partition.
pub fn new_video_of(partition: Partition) -> VideoId {
    let mut ids = std::iter::repeat_with(|| VideoId::from_uuid(Uuid::new_v4()));
    ids.find(|id| Partition::of(*id) == partition).expect("there are enough")
}

/// What these films are asked to be.
pub fn film() -> Value {
    json!({"prompt": "An ad for a mechanical watch", "duration": 10, "seed": 7})
}

pub fn checkpoint_of(body: &Value) -> CheckpointId {
    body["checkpoint_id"].as_str().expect("a checkpoint").parse().expect("valid")
}

fn port_of(ports: &Path) -> Option<u16> {
    let file = std::fs::read_dir(ports).ok()?.flatten().next()?.path();
    let ports: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    ports["nats"][0].as_str()?.rsplit_once(':')?.1.parse().ok()
}
