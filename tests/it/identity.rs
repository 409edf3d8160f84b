//! Who may what: a cluster with the NATS configuration that we ship, where every process has its role's rights and no
//! other, and people who try what is not theirs, over HTTP, NATS and links.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Command;

use async_nats::jetstream::stream::State;
use futures::StreamExt as _;
use messages::command::VERBS;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::harness::{FILM, SOON, Setup, System, answer, dailies, nats_server, program, root, text, until};

const SERVICES: [&str; 6] = ["gateway", "coordinator", "planner", "storyboard", "chunk", "refine"];
/// Everybody in `config/nats/users.conf`.
const USERS: [&str; 9] =
    ["operator", "gateway", "coordinator", "planner", "storyboard", "chunk", "refine", "alice", "system"];

/// A cluster of fenced processes. Alice has an API key and a NATS user, Bob has an API key.
struct Fenced {
    system: System,
    port: u16,
    alice: String,
    bob: String,
}

impl Fenced {
    async fn start(setup: Setup) -> Self {
        let mut system = System::of_processes(setup).await;
        let port = free_port();
        let mut nats = Command::new(nats_server());
        nats.arg("--config").arg(root().join("config/nats/server.conf"));
        nats.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-m", &free_port().to_string(), "-l", "nats.log"]);
        nats.env("DAILIES_NATS_STORE", system.scratch().join("nats"));
        nats.envs(USERS.map(|user| (format!("DAILIES_{}_PASSWORD", user.to_uppercase()), password(user))));
        system.spawn(nats);

        let mut store = dailies();
        store.args(["--data", "store", "store", "--listen", "127.0.0.1:0"]);
        system.spawn(store);
        let file = system.scratch().join("store/store.env");
        let credentials = until("`dailies store` says how it is reached", SOON, async || {
            let text = std::fs::read_to_string(&file).ok()?;
            let lines = text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
            let pairs: Vec<_> = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            (pairs.len() == 3 && text.ends_with('\n')).then_some(pairs)
        });
        let credentials = credentials.await;

        let [alice, bob] = ["alice", "bob"].map(|user| create_key(&system, user));
        let http = free_port();
        system.url = format!("http://127.0.0.1:{http}");
        for service in SERVICES {
            let mut command = program(service);
            command.envs(credentials.iter().map(|(name, value)| (name, value)));
            command.env("DAILIES_NATS__URL", url(service, port));
            command.env("DAILIES_NATS__INBOX_PREFIX", format!("_INBOX.{service}"));
            command.env("DAILIES_NATS__STORAGE_MIB", "256");
            command.env("DAILIES_GATEWAY__ADDRESS", format!("0.0.0.0:{http}"));
            command.env("DAILIES_GATEWAY__KEYS", "keys.toml");
            command.env("DAILIES_COORDINATOR__DATABASE", "sqlite:journal.sqlite");
            system.spawn(command);
        }
        until("the gateway and a coordinator are ready", SOON, async || {
            let ready = system.request(Method::GET, "/readyz").send().await.ok()?;
            (ready.status() == 200).then_some(())
        })
        .await;
        Self { system, port, alice, bob }
    }

    /// A request with somebody's key.
    fn ask(&self, key: &str, method: Method, path: &str) -> RequestBuilder {
        self.system.request(method, path).bearer_auth(key)
    }

    async fn get(&self, key: &str, path: &str) -> (u16, Value) {
        answer(self.ask(key, Method::GET, path)).await
    }

    async fn create(&self, key: &str) -> String {
        let body = json!({ "prompt": "A 5 second ad for a fountain pen, elegant, navy", "duration": 5 });
        let (status, created) = answer(self.ask(key, Method::POST, "/api/generate").json(&body)).await;
        assert_eq!(status, 202, "{created}");
        text(&created["video_id"]).to_owned()
    }

    async fn wait_for(&self, key: &str, video: &str, wanted: &str) -> Value {
        until(&format!("{video} becomes {wanted}"), FILM, async || {
            let (_, status) = self.get(key, &format!("/api/status/{video}")).await;
            assert_ne!(status["status"], "failed", "{status}");
            (status["status"] == wanted).then_some(status)
        })
        .await
    }

    async fn approve(&self, key: &str, video: &str) {
        let (_, current) = self.get(key, &format!("/api/video/{video}/checkpoints/current")).await;
        let body = json!({ "checkpoint_id": current["checkpoint_id"] });
        let (status, answered) =
            answer(self.ask(key, Method::POST, &format!("/api/video/{video}/continue")).json(&body)).await;
        assert_eq!(status, 200, "{answered}");
    }

    /// A film whose pictures wait for somebody; its checkpoint.
    async fn storyboard(&self, key: &str) -> (String, Value) {
        let video = self.create(key).await;
        self.wait_for(key, &video, "paused_at_phase1").await;
        self.approve(key, &video).await;
        self.wait_for(key, &video, "paused_at_phase2").await;
        let (_, current) = self.get(key, &format!("/api/video/{video}/checkpoints/current")).await;
        (video, current)
    }

    async fn history(&self, key: &str, video: &str) -> Value {
        let (status, page) = self.get(key, &format!("/api/video/{video}/history")).await;
        assert_eq!(status, 200, "{page}");
        page
    }

    async fn nats(&self, user: &str, inbox: &str) -> Person {
        let (told, refusals) = mpsc::unbounded_channel();
        let options = async_nats::ConnectOptions::new().custom_inbox_prefix(inbox).event_callback(move |event| {
            if let async_nats::Event::ServerError(error) = event {
                // The test may be over.
                let _ = told.send(error.to_string());
            }
            std::future::ready(())
        });
        let options = options.user_and_password(user.to_owned(), password(user));
        let client = options.connect(format!("nats://127.0.0.1:{}", self.port)).await.expect("NATS lets the user in");
        Person { client, refusals }
    }
}

fn password(user: &str) -> String {
    format!("p-{user}-of-a-test")
}

fn url(user: &str, port: u16) -> String {
    format!("nats://{user}:{}@127.0.0.1:{port}", password(user))
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Makes a key with the command line, and keeps it in `USER.key`.
fn create_key(system: &System, user: &str) -> String {
    let mut command = dailies();
    command.current_dir(system.scratch());
    let made = command.args(["key", "--keys", "keys.toml", "create", "--user", user]).output().expect("it starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let key = String::from_utf8(made.stdout).expect("text").trim().to_owned();
    std::fs::write(system.scratch().join(format!("{user}.key")), &key).expect("written");
    key
}

/// Somebody with a NATS user, and what the server refused them.
struct Person {
    client: async_nats::Client,
    refusals: mpsc::UnboundedReceiver<String>,
}

impl Person {
    async fn is_refused(&mut self, subject: &str) {
        self.client.flush().await.expect("the connection lives");
        let told = tokio::time::timeout(SOON, self.refusals.recv()).await;
        let told = told.unwrap_or_else(|_| panic!("`{subject}` is not refused")).expect("the connection lives");
        assert!(told.contains("ermissions") && told.contains(&format!("\"{subject}\"")), "{subject}: {told}");
    }

    async fn may_not_say(&mut self, subject: &str) {
        self.client.publish(subject.to_owned(), "{}".into()).await.expect("it is sent");
        self.is_refused(subject).await;
    }

    async fn may_not_hear(&mut self, subject: &str) {
        let _heard = self.client.subscribe(subject.to_owned()).await.expect("it is sent");
        self.is_refused(subject).await;
        let _shared = self.client.queue_subscribe(subject.to_owned(), "q".to_owned()).await.expect("it is sent");
        self.is_refused(subject).await;
    }

    /// Asks, and gives the answer's error code and body.
    async fn query(&self, subject: &str, body: &Value) -> (Option<String>, Value) {
        let asked = self.client.request(subject.to_owned(), body.to_string().into()).await.expect("an answer");
        let code = asked.headers.as_ref().and_then(|headers| headers.get("Nats-Service-Error-Code"));
        (code.map(ToString::to_string), serde_json::from_slice(&asked.payload).expect("JSON"))
    }
}

#[tokio::test]
async fn a_film_is_made_with_every_role_fenced() {
    // What a role may not do is an ERROR in its log, and any fails this test.
    let cluster = Fenced::start(Setup::default()).await;
    let alice = cluster.nats("alice", "_INBOX.person.alice").await;
    let video = format!("vid-{}", uuid::Uuid::now_v7());
    let mut events = alice.client.subscribe(format!("video.alice.{video}.event.*")).await.expect("her own");
    let command = async |verb: &str, body: Value| {
        let subject = format!("video.alice.{video}.cmd.{verb}");
        let stored = alice.client.request(subject, body.to_string().into()).await.expect("a receipt");
        let receipt: Value = serde_json::from_slice(&stored.payload).expect("JSON");
        assert_eq!(receipt["stream"], "VIDEO_COMMANDS", "{receipt}");
    };
    command("create", json!({ "prompt": "A 5 second ad for a fountain pen, elegant, navy", "duration": 5 })).await;
    let approving = async {
        let mut approved = 0;
        while approved < 4 {
            let event = events.next().await.expect("the connection lives");
            let event: Value = serde_json::from_slice(&event.payload).expect("JSON");
            assert_ne!(event["type"], "phase_failed", "{event}");
            if event["type"] == "checkpoint_created" {
                command("approve", json!({ "checkpoint_id": event["checkpoint_id"] })).await;
                approved += 1;
            }
        }
    };
    tokio::time::timeout(FILM, approving).await.expect("four checkpoints");
    let status = cluster.wait_for(&cluster.alice, &video, "complete").await;
    let (refused, same) = alice.query(&format!("query.alice.{video}.status"), &json!({})).await;
    assert_eq!((refused, &same["status"]), (None, &json!("complete")));

    // The command line, with her key and her NATS user, brings a film that plays.
    let reach = |command: &mut Command| {
        command.current_dir(cluster.system.scratch()).env("DAILIES_NATS__INBOX_PREFIX", "_INBOX.person.alice");
        command.args(["--nats", &url("alice", cluster.port), "--gateway", &cluster.system.url, "--user", "alice"]);
    };
    let mut open = dailies();
    reach(&mut open);
    let opened = open.args(["--key-file", "alice.key", "open", &video, "final"]).output().expect("it starts");
    assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
    let file = String::from_utf8(opened.stdout).expect("text");
    let size = std::fs::metadata(cluster.system.scratch().join(file.trim())).expect("the film").len();
    let mut without = dailies();
    reach(&mut without);
    let music = root().join("tests/it/film.rs");
    let refused =
        without.args(["upload", &video, "background", "--checkpoint", "main"]).arg(music).output().expect("it starts");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("unauthorized") && said.contains("dailies key create"),
        "{said}"
    );

    let link = cluster.ask(&cluster.alice, Method::GET, &path_of(&status["final_video_url"]));
    let film = link.send().await.expect("an answer");
    assert_eq!((film.status().as_u16(), film.content_length()), (200, Some(size)));
}

#[tokio::test]
async fn another_users_video_cannot_be_reached_over_http() {
    let cluster = Fenced::start(Setup::default()).await;
    let ((hers, own), (video, current)) =
        tokio::join!(cluster.storyboard(&cluster.alice), cluster.storyboard(&cluster.bob));
    let before = cluster.history(&cluster.bob, &video).await;
    let checkpoint = text(&current["checkpoint_id"]);
    let picture = &current["artifacts"]["beat_0"];
    let (of_video, of_checkpoint) =
        (format!("/api/video/{video}"), format!("/api/video/{video}/checkpoints/{checkpoint}"));

    let (_, videos) = cluster.get(&cluster.alice, "/api/videos").await;
    assert!(videos.to_string().contains(&hers) && !videos.to_string().contains(&video), "{videos}");
    for path in [
        format!("/api/status/{video}"),
        format!("/api/status/{video}/stream"),
        of_video.clone(),
        format!("{of_video}/history"),
        format!("{of_video}/cost"),
        format!("{of_video}/retention"),
        format!("{of_video}/branches"),
        format!("{of_video}/checkpoint-tree"),
        format!("{of_video}/checkpoints"),
        format!("{of_video}/checkpoints/current"),
        format!("{of_video}/compare?a={checkpoint}&b={checkpoint}"),
        of_checkpoint.clone(),
        path_of(&picture["s3_url"]),
    ] {
        let (status, body) = cluster.get(&cluster.alice, &path).await;
        assert_eq!(status, 404, "{path}: {body}");
        let nobody = answer(cluster.system.request(Method::GET, &path)).await;
        assert_eq!(nobody.0, 401, "{path}: {}", nobody.1);
        if path.ends_with("/stream") {
            // Her own would be found and never end.
            continue;
        }
        let (status, _) = cluster
            .get(&cluster.alice, &path.replace(&video, &hers).replace(checkpoint, text(&own["checkpoint_id"])))
            .await;
        assert!(path.contains("/api/artifacts/") || status == 200, "{path} is a path: {status}");
    }
    let resumed = cluster.ask(&cluster.alice, Method::GET, &format!("/api/status/{video}/stream"));
    assert_eq!(answer(resumed.header("last-event-id", "0")).await.0, 404);

    no_route_tells_it_from_one_that_never_was(&cluster, &video, checkpoint).await;
    her_own_video_knows_no_checkpoint_of_his(&cluster, &hers, text(&own["checkpoint_id"]), checkpoint).await;
    assert_eq!(cluster.history(&cluster.bob, &video).await, before, "nothing happened to it");

    links_open_what_they_were_signed_for(&cluster, picture, &own["artifacts"]["beat_0"]).await;
}

/// Tries every documented route that names a video, with a body that its owner could send: the answer is the one for a
/// video that nobody has.
async fn no_route_tells_it_from_one_that_never_was(cluster: &Fenced, video: &str, checkpoint: &str) {
    let nobodys = format!("vid-{}", uuid::Uuid::now_v7());
    let (_, document) = cluster.get(&cluster.alice, "/api/openapi.json").await;
    let mut tried = 0;
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for method in operations.as_object().expect("operations").keys().filter(|_| path.contains("{video_id}")) {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let ask = async |video: &str| {
                let mut path = path.replace("{video_id}", video).replace("{checkpoint_id}", checkpoint);
                if path.ends_with("/compare") {
                    path.push_str(&format!("?a={checkpoint}&b={checkpoint}"));
                }
                let asked = cluster.ask(&cluster.alice, method.clone(), &path);
                let (status, answered) = answer(filled(asked, &method, &path, checkpoint)).await;
                (status, answered.to_string().replace(video, "VIDEO"))
            };
            let (his, none) = (ask(video).await, ask(&nobodys).await);
            assert_eq!((his.0, &his), (404, &none), "{method} {path}");
            tried += 1;
        }
    }
    assert!(tried > 28, "{tried}");
}

/// A request with what its route asks for.
fn filled(asked: RequestBuilder, method: &Method, path: &str, checkpoint: &str) -> RequestBuilder {
    let form = |index: Option<&'static str>, name: &'static str, file: &[u8]| {
        let form = reqwest::multipart::Form::new();
        let form = index.into_iter().fold(form, |form, index| form.text(index, "0"));
        form.part(name, reqwest::multipart::Part::bytes(file.to_vec()).file_name("a"))
    };
    let last = path.rsplit_once('/').map_or("", |(_, last)| last);
    let body = match last {
        "upload-image" => return asked.multipart(form(Some("beat_index"), "image", b"\x89PNG\r\n\x1a\n")),
        "upload-chunk" => return asked.multipart(form(Some("chunk_index"), "video", b"\0\0\0\x18ftypmp42")),
        "upload-music" => return asked.multipart(form(None, "music", b"ID3\x04")),
        _ if *method == Method::GET => return asked,
        "continue" => json!({ "checkpoint_id": checkpoint }),
        "resolve" => json!({ "job": format!("{checkpoint}-beat_0-v1"), "decision": "give_up" }),
        "spec" => json!({ "style": { "grain": "fine" } }),
        "audio" => json!({ "music": false }),
        "regenerate-beat" => json!({ "beat_index": 0 }),
        "regenerate-chunk" => json!({ "chunk_index": 0 }),
        "select" => json!({ "artifact_key": "beat_0", "version": 1 }),
        "take" => json!({ "from_checkpoint": checkpoint, "artifact_key": "beat_0" }),
        "reject" => json!({ "notes": "warmer" }),
        "fork" => json!({ "branch": "mine" }),
        "pin" => json!({ "pinned": true }),
        _ if *method == Method::PATCH => json!({ "title": "mine" }),
        _ => json!({}),
    };
    asked.json(&body)
}

/// A checkpoint of his in a request about a video of hers is one that her video does not have.
async fn her_own_video_knows_no_checkpoint_of_his(cluster: &Fenced, hers: &str, own: &str, his: &str) {
    let of_video = format!("/api/video/{hers}");
    let nobodys = format!("cp-{}", uuid::Uuid::now_v7());
    let before = cluster.history(&cluster.alice, hers).await;
    for (method, path, body) in [
        (Method::POST, "continue", json!({ "checkpoint_id": "CP" })),
        (Method::GET, "compare?a=OWN&b=CP", Value::Null),
        (Method::GET, "compare?a=CP&b=OWN", Value::Null),
        (Method::GET, "checkpoints/CP", Value::Null),
        (Method::POST, "checkpoints/OWN/take", json!({ "from_checkpoint": "CP", "artifact_key": "beat_0" })),
        (Method::POST, "checkpoints/CP/take", json!({ "from_checkpoint": "OWN", "artifact_key": "beat_0" })),
        (Method::POST, "checkpoints/CP/select", json!({ "artifact_key": "beat_0", "version": 1 })),
        (Method::POST, "checkpoints/CP/regenerate-beat", json!({ "beat_index": 0 })),
    ] {
        let ask = async |checkpoint: &str| {
            let named = |text: &str| text.replace("OWN", own).replace("CP", checkpoint);
            let asked = cluster.ask(&cluster.alice, method.clone(), &named(&format!("{of_video}/{path}")));
            let asked = match body.is_null() {
                true => asked,
                false => asked.header("content-type", "application/json").body(named(&body.to_string())),
            };
            let (status, answered) = answer(asked).await;
            (status, answered["code"].clone(), answered.to_string().replace(checkpoint, "CP"))
        };
        let (of_his, none) = (ask(his).await, ask(&nobodys).await);
        assert_eq!((of_his.0, &of_his.1), (404, &json!("unknown_checkpoint")), "{method} {path}: {of_his:?}");
        assert_eq!(of_his, none, "{method} {path}");
    }
    assert_eq!(cluster.history(&cluster.alice, hers).await, before, "nothing happened to hers");
}

/// A signed link is for one object, one method and a while; whoever changes it gets nothing.
async fn links_open_what_they_were_signed_for(cluster: &Fenced, bobs: &Value, hers: &Value) {
    let no_redirect = reqwest::redirect::Policy::none();
    let client = reqwest::Client::builder().no_proxy().redirect(no_redirect).build().expect("a client");
    let sign = async |key: &str, artifact: &Value| {
        let url = format!("{}{}", cluster.system.url, path_of(&artifact["s3_url"]));
        let redirect = client.get(url).bearer_auth(key).send().await.expect("an answer");
        assert_eq!(redirect.status(), 307);
        let link = redirect.headers()["location"].to_str().expect("text").to_owned();
        assert!(!link.contains(key), "{link}");
        link
    };
    let (his, own) = (sign(&cluster.bob, bobs).await, sign(&cluster.alice, hers).await);
    let status = async |request: RequestBuilder| request.send().await.expect("an answer").status().as_u16();
    assert_eq!((status(client.get(&his)).await, status(client.get(&own)).await), (200, 200));

    let (object, _) = his.split_once('?').expect("a signature");
    let (own_object, signature) = own.split_once('?').expect("a signature");
    assert_ne!(object, own_object);
    let flipped = |text: &str| {
        let last = text.chars().last().expect("a signature");
        format!("{}{}", &text[..text.len() - 1], if last == '0' { '1' } else { '0' })
    };
    let longer = own.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200");
    assert_ne!(longer, own);
    for forged in [
        object.to_owned(),
        format!("{object}?{signature}"),
        format!("{own_object}x?{signature}"),
        longer,
        flipped(&own),
    ] {
        assert_eq!(status(client.get(&forged)).await, 403, "{forged}");
    }
    for forged in [client.put(&own).body("mine"), client.delete(&own), client.post(&own)] {
        assert_eq!(status(forged).await, 403);
    }
    let bucket = own_object.split('/').take(4).collect::<Vec<_>>().join("/");
    for listing in
        [format!("{bucket}?{signature}"), format!("{bucket}?list-type=2"), format!("{bucket}?list-type=2&{signature}")]
    {
        assert_eq!(status(client.get(&listing)).await, 403, "{listing}");
    }
    let with_key = client.get(object).bearer_auth(&cluster.bob);
    assert!([400, 403].contains(&status(with_key).await), "a key is for the gateway");
}

#[tokio::test]
async fn another_users_video_cannot_be_reached_over_nats() {
    // Refused attempts are errors in nobody's log but the server's; forged jobs are in a worker's.
    let cluster = Fenced::start(Setup::default().with_errors()).await;
    let (video, current) = cluster.storyboard(&cluster.bob).await;
    let before = cluster.history(&cluster.bob, &video).await;
    let checkpoint = text(&current["checkpoint_id"]);
    let mut alice = cluster.nats("alice", "_INBOX.person.alice").await;

    for verb in VERBS {
        alice.may_not_say(&format!("video.bob.{video}.cmd.{verb}")).await;
    }
    for subject in [
        &format!("video.bob.{video}.event.checkpoint_approved"),
        &format!("video.alice.{video}.event.checkpoint_approved"),
        &format!("video.bob.{video}.progress.job"),
        &format!("query.bob.{video}.status"),
        "query.bob.videos",
        "query.bob.artifact",
        "coordinator.0.claim",
        "coordinator.0.submitted",
        "coordinator.0.done",
        "coordinator.0.failed",
        "coordinator.0.returned",
        &format!("job.chunk.bob.{video}.j"),
        "stop.j",
        "make_way.chunk",
        "dead.chunk",
        "worker.chunk.x",
        "$JS.API.INFO",
        "$JS.API.STREAM.LIST",
        "$JS.API.STREAM.INFO.VIDEO_COMMANDS",
        "$JS.API.STREAM.MSG.GET.VIDEO_EVENTS",
        "$JS.API.DIRECT.GET.VIDEO_EVENTS",
        "$JS.API.STREAM.PURGE.VIDEO_EVENTS",
        "$JS.API.STREAM.DELETE.VIDEO_EVENTS",
        "$JS.API.STREAM.UPDATE.VIDEO_COMMANDS",
        "$JS.API.CONSUMER.CREATE.VIDEO_EVENTS.mine",
        "$JS.API.CONSUMER.MSG.NEXT.JOBS.chunk",
        "$JS.API.CONSUMER.DELETE.JOBS.chunk",
        "$JS.ACK.JOBS.chunk.1.1.1.1.0",
        "$KV.bucket.key",
        "$SRV.PING",
        "$SYS.REQ.SERVER.PING",
        "_INBOX.gateway.x",
    ] {
        alice.may_not_say(subject).await;
    }
    for subject in [
        ">",
        "video.>",
        "video.*.*.event.*",
        &format!("video.bob.{video}.event.*"),
        "video.bob.*.progress.*",
        "video.alice.*.cmd.*",
        "query.>",
        "query.bob.>",
        "coordinator.>",
        "job.>",
        "stop.*",
        "make_way.*",
        "_INBOX.>",
        "_INBOX.person.>",
        "_INBOX.gateway.>",
        "$JS.>",
        "$JS.EVENT.>",
        "$SRV.>",
    ] {
        alice.may_not_hear(subject).await;
    }

    // On her own subjects his video does not exist.
    for (subject, body) in [
        (format!("query.alice.{video}.status"), json!({})),
        (format!("query.alice.{video}.history"), json!({ "after_seq": 0 })),
        (format!("query.alice.{video}.checkpoint"), json!({ "checkpoint_id": checkpoint })),
        ("query.alice.artifact".to_owned(), json!({ "artifact_id": current["artifacts"]["beat_0"]["id"] })),
    ] {
        let (code, body) = alice.query(&subject, &body).await;
        assert_eq!(code.as_deref(), Some("404"), "{subject}: {body}");
    }
    let mut outcomes = alice.client.subscribe(format!("video.alice.{video}.event.*")).await.expect("her own");
    let approval = json!({ "checkpoint_id": checkpoint }).to_string();
    alice.client.publish(format!("video.alice.{video}.cmd.approve"), approval.into()).await.expect("it is sent");
    let outcome = tokio::time::timeout(SOON, outcomes.next()).await.expect("an outcome").expect("an outcome");
    let outcome: Value = serde_json::from_slice(&outcome.payload).expect("JSON");
    assert_eq!((&outcome["type"], &outcome["code"]), (&json!("command_rejected"), &json!("unknown_video")));

    answers_do_nothing_for_whoever_names_their_subject(&cluster, &alice, &video).await;
    assert_eq!(cluster.history(&cluster.bob, &video).await, before, "nothing happened to it");
    cluster.approve(&cluster.bob, &video).await;
    cluster.wait_for(&cluster.bob, &video, "paused_at_phase3").await;
}

/// A reply subject is chosen by whoever asks, and the server sends its receipts there without asking whether they may say
/// anything on it. What arrives is a receipt or an answer, and nobody takes it for more.
async fn answers_do_nothing_for_whoever_names_their_subject(cluster: &Fenced, alice: &Person, video: &str) {
    let operator = cluster.nats("operator", "_INBOX.operator").await;
    let queue = Queue::with_a_job_that_nobody_takes(&operator.client).await;
    let own = format!("vid-{}", uuid::Uuid::now_v7());
    // A receipt says a number, and a purge that took it at its word would take everything below that number.
    until("receipts say more than where the job stands", SOON, async || {
        let stored =
            alice.client.request(format!("video.alice.{own}.cmd.retry"), "{}".into()).await.expect("a receipt");
        let receipt: Value = serde_json::from_slice(&stored.payload).expect("JSON");
        (receipt["seq"].as_u64() > Some(queue.job)).then_some(())
    })
    .await;

    let named = [
        "$JS.API.STREAM.PURGE.VIDEO_EVENTS",
        "$JS.API.STREAM.PURGE.JOBS",
        "$JS.API.STREAM.DELETE.VIDEO_EVENTS",
        "$JS.API.STREAM.UPDATE.VIDEO_COMMANDS",
        "$JS.API.CONSUMER.DELETE.JOBS.chunk",
        "$JS.API.CONSUMER.RESET.JOBS.chunk",
        "$JS.API.CONSUMER.PAUSE.JOBS.chunk",
        "$JS.ACK.JOBS.chunk.1.1.1.1.0",
        "coordinator.0.done",
        "stop.j",
    ];
    let before = queue.streams().await;
    have_answers_sent_to(&named.map(str::to_owned), &own, alice).await;
    let after = queue.streams().await;
    queue.has_its_job().await;
    assert_eq!(begins(&after), begins(&before), "no stream lost anything");
    assert_eq!(after["JOBS"].last_sequence, before["JOBS"].last_sequence, "nobody has a new job");
    assert_eq!(after["JOBS"].messages, 1);

    // These are stored, as what they are: no job that a worker takes up, no event, no command of his.
    let mut named = vec![format!("job.chunk.bob.{video}.j"), format!("video.bob.{video}.event.checkpoint_approved")];
    named.extend(VERBS.iter().map(|verb| format!("video.bob.{video}.cmd.{verb}")));
    have_answers_sent_to(&named, &own, alice).await;
    let after = queue.streams().await;
    queue.has_its_job().await;
    assert_eq!(begins(&after), begins(&before), "no stream lost anything");
}

/// Says a command and asks a question for each subject, which is to be answered there; waits until a last command has been
/// decided, and so whatever came before it has been stored and its receipt sent.
async fn have_answers_sent_to(named: &[String], own: &str, alice: &Person) {
    let mut outcomes = alice.client.subscribe(format!("video.alice.{own}.event.*")).await.expect("her own");
    for reply in named {
        for subject in [format!("video.alice.{own}.cmd.retry"), "query.alice.videos".to_owned()] {
            let sent = alice.client.publish_with_reply(subject, reply.clone(), "{}".into());
            sent.await.expect("it is sent");
        }
    }

    let id = crate::harness::command_id();
    let last = async_nats::HeaderMap::from_iter([(crate::harness::id_header(), id.as_str().into())]);
    let subject = format!("video.alice.{own}.cmd.cancel");
    alice.client.publish_with_headers(subject, last, "{}".into()).await.expect("it is sent");
    let seen = async {
        while let Some(outcome) = outcomes.next().await {
            if String::from_utf8_lossy(&outcome.payload).contains(&id) {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, seen).await.expect("her own outcome");
}

/// The queue of jobs with one in it that nobody takes, among the other streams.
struct Queue {
    jetstream: async_nats::jetstream::Context,
    /// Where the job stands.
    job: u64,
}

impl Queue {
    const JOB: &str = "job.nobody.alice.film.j";

    /// Once nothing else is in it.
    async fn with_a_job_that_nobody_takes(client: &async_nats::Client) -> Self {
        let jetstream = async_nats::jetstream::new(client.clone());
        let store = async |subject: &'static str| {
            let sent = jetstream.publish(subject, "untouched".into()).await.expect("it is sent");
            sent.await.expect("it is stored").sequence
        };
        // So that no stream is empty.
        store("dead.nobody").await;
        let job = store(Self::JOB).await;
        let queue = Self { jetstream, job };
        let alone = async || (queue.streams().await["JOBS"].messages == 1).then_some(());
        until("nothing else is in the queue", SOON, alone).await;
        queue
    }

    async fn has_its_job(&self) {
        let jobs = self.jetstream.get_stream("JOBS").await.expect("it is there");
        let job = jobs.get_raw_message(self.job).await.expect("it waits");
        assert_eq!((job.subject.as_str(), &job.payload[..]), (Self::JOB, &b"untouched"[..]));
    }

    async fn streams(&self) -> BTreeMap<&'static str, State> {
        let mut states = BTreeMap::new();
        for name in ["VIDEO_EVENTS", "VIDEO_COMMANDS", "JOBS", "DEAD_LETTERS"] {
            let stream = self.jetstream.get_stream(name).await.expect("it is there");
            states.insert(name, stream.cached_info().state.clone());
        }
        states
    }
}

/// Where each stream begins.
fn begins(streams: &BTreeMap<&'static str, State>) -> Vec<(&'static str, u64)> {
    streams.iter().map(|(name, state)| (*name, state.first_sequence)).collect()
}

#[tokio::test]
async fn no_role_may_do_what_another_is_for() {
    let cluster = Fenced::start(Setup::default()).await;
    let video = format!("vid-{}", uuid::Uuid::now_v7());
    for (role, said, heard) in [
        (
            "gateway",
            &["$JS.API.STREAM.INFO.JOBS", "coordinator.0.done", "job.chunk.a.b.c", "dead.x"][..],
            &["job.>", "coordinator.>", "query.>", "_INBOX.>"][..],
        ),
        (
            "chunk",
            &[
                "$JS.API.CONSUMER.MSG.NEXT.JOBS.planner",
                "$JS.ACK.JOBS.planner.1.1.1.1.0",
                "$JS.API.STREAM.CREATE.JOBS",
                "query.alice.videos",
                "job.chunk.a.b.c",
                "dead.planner",
                "stop.j",
                "make_way.chunk",
            ],
            &["job.>", "video.*.*.event.*", "video.*.*.cmd.*", "coordinator.>", "_INBOX.>"],
        ),
        (
            "coordinator",
            &["$JS.API.STREAM.DELETE.JOBS", "$JS.API.STREAM.PURGE.VIDEO_EVENTS", "$JS.ACK.JOBS.chunk.1.1.1.1.0"],
            &["video.*.*.cmd.*", "job.>", "_INBOX.>"],
        ),
    ] {
        let mut intruder = cluster.nats(role, &format!("_INBOX.{role}")).await;
        for subject in said {
            intruder.may_not_say(subject).await;
        }
        if role != "gateway" {
            intruder.may_not_say(&format!("video.alice.{video}.cmd.approve")).await;
        }
        if role != "coordinator" {
            intruder.may_not_say(&format!("video.alice.{video}.event.checkpoint_approved")).await;
        }
        for subject in heard {
            intruder.may_not_hear(subject).await;
        }
    }
    let stranger = async_nats::connect(format!("nats://127.0.0.1:{}", cluster.port)).await;
    assert!(stranger.is_err(), "nobody comes in without a name");
}

/// The path of one of the gateway's links, which may be absolute.
fn path_of(link: &Value) -> String {
    let link = text(link);
    link[link.find("/api/").unwrap_or_else(|| panic!("{link} is a link"))..].to_owned()
}
