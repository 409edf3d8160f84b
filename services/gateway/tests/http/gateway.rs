//! A gateway per test, and a client that reads event streams.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use gateway::config::Settings;
use messages::artifact::Digest;
use reqwest::{Method, RequestBuilder, Response};
use runtime::artifacts::{ObjectError, ObjectMeta, ObjectStore, PutOnce};
use runtime::bus::Bus;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// A running gateway and a client for it.
pub struct Gateway {
    pub base: String,
    pub client: reqwest::Client,
    pub objects: Arc<Objects>,
    shutdown: CancellationToken,
}

impl Gateway {
    /// Serves on a free port.
    pub async fn start(bus: &Bus, settings: Settings) -> Self {
        // A second call in the same process changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let (shutdown, objects) = (CancellationToken::new(), Arc::new(Objects::default()));
        let serving = gateway::serve(listener, settings, bus.clone(), objects.clone(), shutdown.clone());
        tokio::spawn(async { serving.await.expect("serves") });
        let no_redirect = reqwest::redirect::Policy::none();
        let client = reqwest::Client::builder().redirect(no_redirect).no_proxy().build().expect("a client");
        let gateway = Self { base, client, objects, shutdown };
        super::server::eventually("the gateway serves", async || gateway.get("/healthz").send().await.is_ok()).await;
        gateway
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.base))
    }

    pub fn send(&self, method: Method, path: &str, body: &Value) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        request.header("content-type", "application/json").body(body.to_string())
    }

    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.send(Method::POST, path, body)
    }

    /// Opens an event stream.
    pub async fn stream(&self, video: impl std::fmt::Display, last_event_id: Option<&str>) -> Stream {
        let mut request = self.get(&format!("/api/status/{video}/stream"));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Stream::new(response)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Status and JSON of an answer.
pub async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let (status, text) = (response.status().as_u16(), response.text().await.expect("a body"));
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// A refusal: its status and code, after a look at its type.
pub async fn refusal(request: RequestBuilder) -> (u16, String) {
    let response: Response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json", "{status}");
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["status"], status);
    (status, body["code"].as_str().expect("a code").to_owned())
}

/// An open event stream.
pub struct Stream {
    bytes: std::pin::Pin<Box<dyn futures::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    text: String,
    frames: VecDeque<Frame>,
    beats: usize,
}

/// One event as a client reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub name: String,
    pub id: Option<u64>,
    pub data: Value,
}

impl Stream {
    /// The stream that a gateway has begun to answer with.
    pub fn new(response: Response) -> Self {
        Self { bytes: Box::pin(response.bytes_stream()), text: String::new(), frames: VecDeque::new(), beats: 0 }
    }

    /// The next event; none at the end.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Some(frame);
            }
            self.read().await?;
        }
    }

    /// The next numbered event, and the end as `close`: what a client that only follows events sees.
    pub async fn numbered(&mut self) -> (String, Option<u64>) {
        loop {
            let frame = self.next().await.expect("the stream goes on");
            if frame.id.is_some() || frame.name == "close" {
                return (frame.name, frame.id);
            }
        }
    }

    /// The next event of that name.
    pub async fn until(&mut self, name: &str) -> Frame {
        loop {
            let frame = self.next().await.expect("the stream goes on");
            if frame.name == name {
                return frame;
            }
        }
    }

    /// Waits for a heartbeat.
    pub async fn heartbeat(&mut self) {
        let before = self.beats;
        while self.beats == before {
            self.read().await.expect("the stream goes on");
        }
    }

    async fn read(&mut self) -> Option<()> {
        let piece = tokio::time::timeout(Duration::from_secs(20), self.bytes.next()).await;
        let piece = piece.expect("something within 20 s")?.ok()?;
        self.text.push_str(std::str::from_utf8(&piece).expect("UTF-8"));
        while let Some(end) = self.text.find("\n\n") {
            let block: String = self.text.drain(..end + 2).collect();
            match block.starts_with(':') {
                true => self.beats += 1,
                false => self.frames.push_back(parse(&block)),
            }
        }
        Some(())
    }
}

fn parse(block: &str) -> Frame {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    Frame {
        name: field("event").expect("a name").to_owned(),
        id: field("id").map(|id| id.parse().expect("a number")),
        data: serde_json::from_str(field("data").expect("data")).expect("JSON"),
    }
}

/// Gives links, and remembers what was put.
#[derive(Debug, Default)]
pub struct Objects {
    put: Mutex<Vec<(String, ObjectMeta, Vec<u8>)>>,
}

impl Objects {
    /// Key, what is known of it, and bytes of everything that was put.
    pub fn put(&self) -> Vec<(String, ObjectMeta, Vec<u8>)> {
        self.put.lock().expect("no test panicked while it held this").clone()
    }
}

#[async_trait]
impl ObjectStore for Objects {
    async fn put_file(&self, key: &str, file: &Path, meta: &ObjectMeta) -> Result<(), ObjectError> {
        let bytes = std::fs::read(file).map_err(ObjectError::Scratch)?;
        let mut put = self.put.lock().expect("no test panicked while it held this");
        put.push((key.to_owned(), meta.clone(), bytes));
        Ok(())
    }

    async fn put_once(&self, key: &str, _: Vec<u8>, _: &ObjectMeta) -> Result<PutOnce, ObjectError> {
        Err(ObjectError::NotFound(key.to_owned()))
    }

    async fn get(&self, _: &str) -> Result<Option<Vec<u8>>, ObjectError> {
        Ok(None)
    }

    async fn get_file(&self, key: &str, _: &Path) -> Result<Digest, ObjectError> {
        Err(ObjectError::NotFound(key.to_owned()))
    }

    async fn link(&self, key: &str, lifetime: Duration) -> Result<String, ObjectError> {
        Ok(format!("http://objects.example/{key}?lifetime={}", lifetime.as_secs()))
    }

    async fn delete(&self, _: &str) -> Result<(), ObjectError> {
        Ok(())
    }

    async fn delete_prefix(&self, _: &str) -> Result<u64, ObjectError> {
        Ok(0)
    }
}
