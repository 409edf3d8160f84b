//! A whole system per test: `dailies up` as a child process in a folder of its own, on ports of its own.
//!
//! Invariant: a test leaves nothing behind. Processes die with [`System`] or with the test's own process, and the folder
//! goes after them. An ERROR in the log fails the test that did not announce it.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The longest that a small film, or any part of it, is waited for on a busy machine.
pub const FILM: Duration = Duration::from_secs(180);
/// The longest that anything else is waited for.
pub const SOON: Duration = Duration::from_secs(30);

/// Waits until `state` gives something, or fails the test with `what`.
pub async fn until<T>(what: &str, limit: Duration, mut state: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = state().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(limit, waiting).await.unwrap_or_else(|_| panic!("waited {limit:?} in vain: {what}"))
}

/// Films are heavy: more systems at once would only make each other slow.
static SYSTEMS: Semaphore = Semaphore::const_new(2);

/// How a system is started. The default is what a person gets who types `dailies up`.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Environment variables of the system.
    pub environment: Vec<(String, String)>,
    /// More arguments after `up`.
    pub arguments: Vec<String>,
    /// Whether the test provokes ERROR lines in the log.
    pub errors_expected: bool,
}

impl Setup {
    /// With an environment variable.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// ERROR lines are part of the story.
    pub fn with_errors(mut self) -> Self {
        self.errors_expected = true;
        self
    }
}

/// A running system.
pub struct System {
    /// Where its gateway is: `http://127.0.0.1:12345`.
    pub url: String,
    /// Where its NATS is: `nats://127.0.0.1:12345`.
    pub nats_url: String,
    /// How it is started again.
    pub setup: Setup,
    up: Option<Child>,
    /// What [`Self::spawn`] started.
    others: Vec<Child>,
    client: reqwest::Client,
    scratch: tempfile::TempDir,
    _permit: SemaphorePermit<'static>,
}

impl System {
    /// Starts one and waits until it can be used.
    pub async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    /// Starts one that differs from the default.
    pub async fn start_with(setup: Setup) -> Self {
        let mut system = Self::of_processes(setup).await;
        system.up().await;
        system
    }

    /// Starts nothing yet: the test spawns services as processes of their own and says where they are.
    pub async fn of_processes(setup: Setup) -> Self {
        let permit = SYSTEMS.acquire().await.expect("never closed");
        // The first test of a process may have chosen already; the choice is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            url: String::new(),
            nats_url: String::new(),
            setup,
            up: None,
            others: Vec::new(),
            client: reqwest::Client::builder().no_proxy().build().expect("an HTTP client"),
            scratch: tempfile::Builder::new().prefix("dailies-test-").tempdir().expect("a scratch folder"),
            _permit: permit,
        }
    }

    /// Starts another process that logs to this system's log and ends with it at the latest.
    pub fn spawn(&mut self, command: Command) -> &mut Child {
        let child = self.start_process(command);
        self.others.push(child);
        self.others.last_mut().expect("just pushed")
    }

    /// In the scratch folder, with the system's log; it does not outlive the test, however that ends.
    fn start_process(&self, mut command: Command) -> Child {
        command.current_dir(self.scratch.path()).stdin(Stdio::null());
        command.stdout(self.log_file("up.out")).stderr(self.log_file("up.log"));
        let mut command = tokio::process::Command::from(command);
        runtime::child::end_with_us(&mut command);
        command.as_std_mut().spawn().expect("the program starts")
    }

    /// Starts it again after [`Self::kill`] or [`Self::stop`], in the same folder.
    pub async fn up(&mut self) {
        assert!(self.up.is_none(), "it runs already");
        let mut command = dailies();
        command.arg("--data").arg(self.data());
        command.args(["up", "--listen", "127.0.0.1:0", "--nats-port", "0"]).args(&self.setup.arguments);
        command.envs(self.setup.environment.iter().map(|(name, value)| (name, value)));
        let child = self.start_process(command);
        let pid = child.id();
        self.up = Some(child);

        let address = until("`dailies up` says where it is", SOON, async || {
            if let Some(status) = self.exited() {
                panic!("`dailies up` ended with {status}:\n{}", self.log());
            }
            let text = std::fs::read(self.data().join("up.json")).ok()?;
            let address: Value = serde_json::from_slice(&text).ok()?;
            (address["pid"] == pid).then_some(address)
        });
        let address = address.await;
        self.url = text(&address["url"]).to_owned();
        self.nats_url = text(&address["nats"]).to_owned();
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut child = self.up.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Ctrl-C; waits until it has ended, and says how.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGINT);
        let status = until("`dailies up` ends after Ctrl-C", SOON, async || self.exited()).await;
        self.up = None;
        status
    }

    /// Sends a signal to `dailies up` alone.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("it runs");
    }

    /// The process of `dailies up`.
    pub fn pid(&self) -> i32 {
        let child = self.up.as_ref().expect("it runs");
        i32::try_from(child.id()).expect("process ids are small")
    }

    fn log_file(&self, name: &str) -> Stdio {
        let file = OpenOptions::new().create(true).append(true).open(self.scratch.path().join(name));
        file.map(Stdio::from).expect("a log file")
    }

    /// How `dailies up` ended, if it has.
    fn exited(&mut self) -> Option<ExitStatus> {
        self.up.as_mut().and_then(|child| child.try_wait().expect("a child of ours"))
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// A folder of the test's own, gone with it.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// What it has logged so far, over all its starts.
    pub fn log(&self) -> String {
        let read = |name| std::fs::read_to_string(self.scratch.path().join(name)).unwrap_or_default();
        read("up.out") + &read("up.log")
    }

    /// Another `dailies` command on the same data folder.
    pub fn dailies(&self, arguments: &[&str]) -> Output {
        let mut command = dailies();
        command.current_dir(self.scratch.path()).arg("--data").arg(self.data()).args(arguments);
        command.stdin(Stdio::null()).output().expect("dailies starts")
    }
}

/// Over HTTP.
impl System {
    /// A request to `path`; send it with [`answer`].
    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// GET: status and JSON body.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.request(reqwest::Method::GET, path)).await
    }

    /// POST with a JSON body: status and JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.request(reqwest::Method::POST, path).json(body)).await
    }

    /// Follows a link: content type and bytes.
    pub async fn download(&self, link: &str) -> (String, Vec<u8>) {
        let response = self.client.get(link).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{link}");
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.to_owned();
        (kind, response.bytes().await.expect("the whole object").to_vec())
    }

    /// Asks for a film and gives its id.
    pub async fn create(&self, body: &Value) -> String {
        let (status, created) = self.post("/api/generate", body).await;
        assert_eq!((status, &created["status"]), (202, &json!("queued")), "{created}");
        text(&created["video_id"]).to_owned()
    }

    /// Where the video stands.
    pub async fn status(&self, video: &str) -> Value {
        let (status, body) = self.get(&format!("/api/status/{video}")).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Waits until the video has this status, and gives the whole of it. Fails at once when the video fails instead.
    pub async fn wait_for(&self, video: &str, wanted: &str) -> Value {
        self.wait_at_most(FILM, video, wanted).await
    }

    /// The same for a film that is not small.
    pub async fn wait_at_most(&self, limit: Duration, video: &str, wanted: &str) -> Value {
        until(&format!("{video} becomes {wanted}"), limit, async || {
            let (code, status) = self.get(&format!("/api/status/{video}")).await;
            // NATS may be on its way back: that is an answer too, and says to ask again.
            if code == 503 {
                return None;
            }
            assert_eq!(code, 200, "{status}");
            if status["status"] == wanted {
                return Some(status);
            }
            assert_ne!(status["status"], "failed", "{}\n{}", status["error"], self.log());
            None
        })
        .await
    }

    /// Waits until a branch has come to this state, and gives its newest checkpoint. Fails at once when it fails instead.
    pub async fn wait_for_branch(&self, video: &str, name: &str, state: &str) -> Value {
        until(&format!("`{name}` of {video} becomes {state}"), FILM, async || {
            let (code, branches) = self.get(&format!("/api/video/{video}/branches")).await;
            // A busy machine may say to ask again.
            if code == 503 {
                return None;
            }
            assert_eq!(code, 200, "{branches}");
            let branch = branches.as_array()?.iter().find(|branch| branch["branch_name"] == name)?;
            if branch["state"] == state {
                return Some(branch["latest_checkpoint_id"].clone());
            }
            assert_ne!(branch["state"], "failed", "{}\n{}", branch["error"], self.log());
            None
        })
        .await
    }

    /// The checkpoint that waits.
    pub async fn current(&self, video: &str) -> Value {
        let (status, checkpoint) = self.get(&format!("/api/video/{video}/checkpoints/current")).await;
        assert_eq!(status, 200, "{checkpoint}");
        checkpoint
    }

    /// Approves the checkpoint that waits, over HTTP.
    pub async fn approve(&self, video: &str) -> Value {
        let current = self.current(video).await;
        let body = json!({ "checkpoint_id": current["checkpoint_id"] });
        let (status, answer) = self.post(&format!("/api/video/{video}/continue"), &body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Every event of the video so far.
    pub async fn history(&self, video: &str) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        loop {
            let path = format!("/api/video/{video}/history?after_seq={}", events.len());
            let (status, mut page) = self.get(&path).await;
            assert_eq!(status, 200, "{page}");
            events.append(page["events"].as_array_mut().expect("a list"));
            if page["head"].as_u64() <= Some(events.len() as u64) {
                return events;
            }
        }
    }
}

/// Over NATS.
impl System {
    /// A plain client, as anybody may have.
    pub async fn nats(&self) -> async_nats::Client {
        async_nats::connect(&self.nats_url).await.expect("NATS answers")
    }

    /// Sends a command with an id of its own, as any client may, and gives its outcome.
    pub async fn command(&self, user: &str, video: &str, verb: &str, body: impl Into<Vec<u8>>) -> Value {
        let nats = self.nats().await;
        let mut events = nats.subscribe(format!("video.{user}.{video}.event.*")).await.expect("a subscription");
        nats.flush().await.expect("NATS heard of it");
        let id = command_id();
        let headers = async_nats::HeaderMap::from_iter([(id_header(), id.as_str().into())]);
        let subject = format!("video.{user}.{video}.cmd.{verb}");
        nats.publish_with_headers(subject, headers, body.into().into()).await.expect("NATS takes it");
        let outcome = async {
            while let Some(event) = events.next().await {
                let event: Value = serde_json::from_slice(&event.payload).expect("events are JSON");
                if event["command_id"] == id.as_str() && is_outcome(&event) {
                    return event;
                }
            }
            panic!("the subscription ended")
        };
        let told = tokio::time::timeout(SOON, outcome).await;
        told.unwrap_or_else(|_| panic!("waited {SOON:?} for the outcome of `{verb}` on {video}"))
    }
}

/// A command id that nobody has used.
pub fn command_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The header that carries a command's id.
pub fn id_header() -> async_nats::HeaderName {
    messages::subject::COMMAND_ID_HEADER.parse().expect("a header's name")
}

/// Whether an event says how a command ended.
pub fn is_outcome(event: &Value) -> bool {
    event["type"] == "command_answered" || event["type"] == "command_rejected"
}

impl Drop for System {
    fn drop(&mut self) {
        for mut child in self.up.take().into_iter().chain(self.others.drain(..)) {
            // What it started dies with it; that this is so has tests of its own.
            let _ = child.kill();
            let _ = child.wait();
        }
        let log = self.log();
        if std::thread::panicking() {
            show(&log);
        } else if !self.setup.errors_expected {
            let errors: Vec<_> = log.lines().filter(|line| line.contains(r#""level":"ERROR""#)).collect();
            assert!(errors.is_empty(), "unexpected errors in the log:\n{}", errors.join("\n"));
        }
    }
}

#[expect(clippy::print_stderr, reason = "a failed test shows what the system said")]
fn show(log: &str) {
    let lines: Vec<_> = log.lines().collect();
    eprintln!("--- the last the system said:\n{}\n---", lines[lines.len().saturating_sub(60)..].join("\n"));
}

/// Sends a request: status and JSON body. An answer that does not end, like an event stream, fails the test.
pub async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let (status, body) = tokio::time::timeout(2 * SOON, async {
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.bytes().await.expect("a whole body"))
    })
    .await
    .expect("an answer that ends");
    let json = serde_json::from_slice(&body);
    (status, json.unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned())))
}

/// The text of a JSON string; empty for anything else.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `dailies` with an environment in which nothing of the tester's own settings shows.
pub fn dailies() -> Command {
    program("dailies")
}

/// A program of the workspace, built when it is not, or not newer than its sources.
pub fn program(name: &str) -> Command {
    let mut command = Command::new(programs().join(name));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DAILIES_") || name.starts_with("NATS_")) {
        command.env_remove(name);
    }
    command.env_remove("RUST_LOG").env("DAILIES_NATS_SERVER", nats_server());
    command
}

/// The `nats-server` of the tests: as `dailies` itself looks for it, and in the folder that `./dev` installs it to.
pub fn nats_server() -> PathBuf {
    if let Some(named) = std::env::var_os("DAILIES_NATS_SERVER").filter(|name| !name.is_empty()) {
        return named.into();
    }
    let installed = root().join(".tools/nats-server/bin/nats-server");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("nats-server")).find(|file| file.is_file());
    let found = if installed.is_file() { Some(installed) } else { found };
    found.expect("nats-server was not found: run ./dev setup, or name one in DAILIES_NATS_SERVER")
}

/// The workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// The folder of the built programs. Cargo builds them for their own packages' tests only, so it is asked once.
fn programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let test = std::env::current_exe().expect("this test's own path");
        let folder = test.parent().and_then(Path::parent).expect("a test lies in PROFILE/deps").to_path_buf();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.current_dir(root()).args(["build", "--quiet", "--workspace", "--bins", "--target-dir"]);
        build.arg(folder.parent().expect("a profile lies in the target folder"));
        if folder.ends_with("release") {
            build.arg("--release");
        }
        // What cargo tells tests about their package would make build scripts that look at it run again, and everything
        // above them be compiled again, in every run.
        for (name, _) in std::env::vars().filter(|(name, _)| is_of_package(name)) {
            build.env_remove(name);
        }
        let built = build.stdin(Stdio::null()).output().expect("cargo starts");
        assert!(built.status.success(), "cargo build failed:\n{}", String::from_utf8_lossy(&built.stderr));
        folder
    })
}

fn is_of_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"].iter().any(|start| variable.starts_with(start))
}
