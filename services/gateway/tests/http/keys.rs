//! API keys over HTTP: who is let in, as whom, and until when.

use std::path::PathBuf;

use gateway::ServeError;
use gateway::config::Settings;
use gateway::keys::file::change;
use gateway::keys::{Entry, Key};
use messages::id::{KeyId, UserId};
use messages::subject;
use reqwest::{Method, RequestBuilder};
use runtime::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::coordinator::Coordinator;
use crate::gateway_under_test::{Gateway, Stream, answer, refusal};
use crate::server::{NatsServer, eventually};
use crate::{CP, video};

/// A keys file of a test's own.
struct KeysFile {
    folder: TempDir,
}

impl KeysFile {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("keys.toml")
    }

    /// Makes a key, as `dailies key create` does.
    fn create(&self, user: &str) -> (Key, Entry) {
        let (key, id) = (Key::new().expect("random bits"), KeyId::from_uuid(uuid::Uuid::now_v7()));
        let user: UserId = user.parse().expect("a user");
        let made = change(&self.path(), |keys| keys.add(id, user, "", &key, SystemClock.now()));
        let entry = made.expect("made");
        (key, entry)
    }

    fn revoke(&self, entry: &Entry) {
        change(&self.path(), |keys| keys.revoke(entry.id, SystemClock.now())).expect("it is there");
    }

    fn settings(&self) -> Settings {
        Settings { keys: Some(self.path()), heartbeat: std::time::Duration::from_millis(200), ..Settings::default() }
    }
}

/// A gateway that asks for keys.
async fn system(file: &KeysFile) -> (NatsServer, Coordinator, Gateway) {
    let server = NatsServer::start();
    let bus = server.bus().await;
    let coordinator = Coordinator::start(&bus).await;
    let gateway = Gateway::start(&bus, file.settings()).await;
    (server, coordinator, gateway)
}

/// Whether a key opens now.
async fn opens(gateway: &Gateway, key: &Key) -> bool {
    let status = gateway.get("/api/videos").bearer_auth(key.expose()).send().await.expect("an answer").status();
    assert!(status == 200 || status == 401, "{status}");
    status == 200
}

async fn challenge(request: RequestBuilder) -> String {
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 401);
    response.headers()["www-authenticate"].to_str().expect("text").to_owned()
}

#[tokio::test]
async fn without_a_key_no_route_of_the_api_answers() {
    let file = KeysFile::new();
    let (key, _) = file.create("alice");
    let (_server, coordinator, gateway) = system(&file).await;
    let (_, document) = answer(gateway.get("/api/openapi.json").bearer_auth(key.expose())).await;
    assert_eq!(document["components"]["securitySchemes"]["key"]["scheme"], "bearer");

    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let filled = path.replace("{video_id}", &video().to_string()).replace("{checkpoint_id}", CP);
        for method in operations.as_object().expect("operations").keys().filter(|_| path.starts_with("/api/")) {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let request = if path.contains("/upload-") {
                let form = reqwest::multipart::Form::new().text("beat_index", "0");
                gateway.client.post(format!("{}{filled}", gateway.base)).multipart(form)
            } else {
                gateway.send(method.clone(), &filled, &json!({}))
            };
            assert_eq!(refusal(request).await, (401, "unauthorized".into()), "{method} {path}");
            asked += 1;
        }
    }
    assert!(asked > 30, "{asked}");
    assert!(coordinator.seen().is_empty());
    for open in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(gateway.get(open).send().await.expect("an answer").status(), 200, "{open}");
    }
}

#[tokio::test]
async fn the_user_of_a_request_is_the_keys_user() {
    let file = KeysFile::new();
    let keys = ["alice", "bob"].map(|user| (user, file.create(user).0));
    let (_server, coordinator, gateway) = system(&file).await;
    for (_, key) in &keys {
        let body = json!({ "prompt": "a steel watch on black sand" });
        let (status, _) = answer(gateway.post("/api/generate", &body).bearer_auth(key.expose())).await;
        assert_eq!(status, 202);
    }
    let seen: Vec<_> = coordinator.seen().into_iter().map(|command| command.user).collect();
    assert_eq!(seen, ["alice", "bob"]);
}

#[tokio::test]
async fn a_key_is_taken_from_its_header_and_from_nowhere_else() {
    let file = KeysFile::new();
    let (key, entry) = file.create("alice");
    let (_server, _coordinator, gateway) = system(&file).await;
    let secret = key.expose();
    let videos = || gateway.get("/api/videos");
    assert_eq!(challenge(videos()).await, "Bearer realm=\"dailies\"");
    for query in ["key", "api_key", "token", "access_token", "authorization"] {
        assert_eq!(refusal(gateway.get(&format!("/api/models?{query}={secret}"))).await.0, 401, "{query}");
    }
    let bad = "Bearer realm=\"dailies\", error=\"invalid_token\"";
    let hash = entry.sha256.to_string();
    for authorization in ["Bearer", "Bearer ", "Basic YWxpY2U6eA==", secret, &format!("Bearer {hash}"), "Bearer dly_x"]
    {
        assert_eq!(challenge(videos().header("authorization", authorization)).await, bad, "{authorization}");
    }
    let twice = videos().header("authorization", format!("Bearer {secret}")).header("authorization", "Bearer x");
    assert_eq!(challenge(twice).await, bad);
    let (status, body) = answer(videos().header("authorization", format!("Bearer {secret}x"))).await;
    assert_eq!((status, &body["code"]), (401, &json!("unauthorized")));
    assert!(!body.to_string().contains(secret), "{body}");
    assert!(opens(&gateway, &key).await);
    let (status, _) = answer(videos().header("authorization", format!("bearer  {secret}"))).await;
    assert_eq!(status, 200, "the scheme has no case");
}

#[tokio::test]
async fn a_new_key_opens_and_a_revoked_one_closes_without_a_restart() {
    let file = KeysFile::new();
    let (first, entry) = file.create("alice");
    let (_server, _coordinator, gateway) = system(&file).await;
    assert!(opens(&gateway, &first).await);
    let (second, _) = file.create("bob");
    eventually("the new key opens", async || opens(&gateway, &second).await).await;
    file.revoke(&entry);
    eventually("the revoked key closes", async || !opens(&gateway, &first).await).await;
    assert!(opens(&gateway, &second).await);
}

#[tokio::test]
async fn a_damaged_file_changes_nothing_until_it_is_whole_again() {
    let file = KeysFile::new();
    let (key, entry) = file.create("alice");
    let (_server, _coordinator, gateway) = system(&file).await;
    let whole = std::fs::read(file.path()).expect("is there");
    for damaged in [&b"[[key"[..], b"\xff", b""] {
        std::fs::write(file.path(), damaged).expect("written");
        // Longer than it takes to be noticed: what is waited for is that nothing happens.
        for _ in 0..15 {
            assert!(opens(&gateway, &key).await);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    std::fs::remove_file(file.path()).expect("is there");
    std::fs::write(file.path(), whole).expect("written");
    file.revoke(&entry);
    eventually("the file is read again", async || !opens(&gateway, &key).await).await;
}

#[tokio::test]
async fn a_stream_needs_a_key_and_ends_with_it() {
    let file = KeysFile::new();
    let (alices, entry) = file.create("alice");
    let (bobs, _) = file.create("bob");
    let (_server, coordinator, gateway) = system(&file).await;
    coordinator.has(video());
    let path = format!("/api/status/{}/stream", video());
    assert_eq!(refusal(gateway.get(&path)).await, (401, "unauthorized".into()));
    let open = async |key: &Key| {
        let response = gateway.get(&path).bearer_auth(key.expose()).send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        Stream::new(response)
    };
    let (mut alice, mut bob) = (open(&alices).await, open(&bobs).await);
    alice.until("snapshot").await;
    bob.until("snapshot").await;

    let seq = coordinator.records(video(), "job_done");
    let event = json!({ "type": "job_done", "seq": seq });
    let user: UserId = "bob".parse().expect("a user");
    coordinator.says(subject::event(&user, &video().to_string(), "job_done"), event).await;
    assert_eq!(bob.until("job_done").await.id, Some(seq));

    file.revoke(&entry);
    let rest = async { while alice.next().await.is_some() {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), rest).await.expect("the stream ends with its key");
    bob.heartbeat().await;
}

#[tokio::test]
async fn only_a_gateway_with_keys_serves_other_machines() {
    let file = KeysFile::new();
    let (key, _) = file.create("alice");
    let server = NatsServer::start();
    let bus = server.bus().await;
    let _coordinator = Coordinator::start(&bus).await;
    let serve = async |settings: Settings, shutdown: CancellationToken| {
        let listener = tokio::net::TcpListener::bind(("0.0.0.0", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let objects = std::sync::Arc::new(crate::gateway_under_test::Objects::default());
        (port, gateway::serve(listener, settings, bus.clone(), objects, shutdown))
    };
    let (_, refused) = serve(Settings::default(), CancellationToken::new()).await;
    let refused = refused.await.expect_err("there are no keys");
    assert!(matches!(refused, ServeError::NotLoopback(_)) && refused.to_string().contains("gateway.keys"), "{refused}");
    let missing = Settings { keys: Some(file.folder.path().join("none.toml")), ..Settings::default() };
    let (_, refused) = serve(missing, CancellationToken::new()).await;
    let refused = refused.await.expect_err("there is no file").to_string();
    assert!(refused.contains("none.toml") && refused.contains("dailies key create"), "{refused}");

    let shutdown = CancellationToken::new();
    let (port, serving) = serve(file.settings(), shutdown.clone()).await;
    let serving = tokio::spawn(serving);
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let ask = |host: String| {
        let request = client.get(format!("http://127.0.0.1:{port}/api/videos")).header("host", host);
        request.bearer_auth(key.expose())
    };
    eventually("the gateway serves", async || ask(format!("localhost:{port}")).send().await.is_ok()).await;
    for (host, status) in [
        (format!("192.0.2.7:{port}"), 200),
        (format!("[2001:db8::7]:{port}"), 200),
        ("192.0.2.7:1".to_owned(), 403),
        (format!("films.example.org:{port}"), 403),
    ] {
        assert_eq!(ask(host.clone()).send().await.expect("an answer").status().as_u16(), status, "{host}");
    }
    shutdown.cancel();
    serving.await.expect("no panic").expect("it stops as asked");
}

#[tokio::test]
async fn without_keys_whoever_sits_here_is_local() {
    let server = NatsServer::start();
    let bus = server.bus().await;
    let coordinator = Coordinator::start(&bus).await;
    let gateway = Gateway::start(&bus, Settings::default()).await;
    let body = json!({ "prompt": "a steel watch on black sand" });
    let (status, _): (u16, Value) = answer(gateway.post("/api/generate", &body).bearer_auth("dly_whatever")).await;
    assert_eq!((status, coordinator.seen()[0].user.as_str()), (202, "local"));
}
