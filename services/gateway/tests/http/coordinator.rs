//! A coordinator that says what its test tells it to: outcomes by verb, and a history that the test writes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_nats::{HeaderMap, Message};
use futures::StreamExt as _;
use messages::command::{Code, Rejection};
use messages::id::{UserId, VideoId};
use messages::subject::{self, CommandSubject};
use runtime::bus::Bus;
use serde_json::{Map, Value, json};

/// The scripted coordinator; it answers until it is dropped.
pub struct Coordinator {
    bus: Bus,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

/// A command as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub user: String,
    pub video: String,
    pub verb: String,
    pub id: String,
    pub via: String,
    pub body: Value,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    outcomes: HashMap<String, Result<Value, Rejection>>,
    answers: HashMap<String, Value>,
    /// The most checkpoints of one answer.
    part: Option<usize>,
    asked: HashMap<String, usize>,
    videos: HashMap<String, Film>,
}

/// One video's history.
#[derive(Default)]
struct Film {
    events: Vec<Map<String, Value>>,
    finished: bool,
    status: String,
}

/// Events in one answer of `history`.
const PAGE: usize = 50;

impl Coordinator {
    /// Starts to answer.
    pub async fn start(bus: &Bus) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let client = bus.client();
        let mut subscriptions = Vec::new();
        for filter in [subject::COMMAND_FILTER, subject::VIDEO_QUERY_FILTER, subject::USER_QUERY_FILTER] {
            subscriptions.push(client.subscribe(filter).await.expect("subscribes"));
        }
        client.flush().await.expect("the server is there");
        let mut messages = futures::stream::select_all(subscriptions);
        let (client, shared) = (client.clone(), state.clone());
        let task = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                let replies = handle(&mut lock(&shared), &message);
                for (subject, headers, body) in replies {
                    let sent = client.publish_with_headers(subject, headers, body.to_string().into()).await;
                    sent.expect("the connection lives");
                }
            }
        });
        Self { bus: bus.clone(), state, task }
    }

    /// Every command of this verb ends so; else it is done with an answer of its own.
    pub fn decides(&self, verb: &str, outcome: Result<Value, Rejection>) {
        lock(&self.state).outcomes.insert(verb.to_owned(), outcome);
    }

    /// A query of this name is answered so.
    pub fn answers(&self, query: &str, answer: Value) {
        lock(&self.state).answers.insert(query.to_owned(), answer);
    }

    /// A list of checkpoints comes in parts of so many.
    pub fn answers_in_parts_of(&self, most: usize) {
        lock(&self.state).part = Some(most);
    }

    /// A query is answered again as the videos are.
    pub fn answers_truly(&self, query: &str) {
        lock(&self.state).answers.remove(query);
    }

    /// How often a query was asked.
    pub fn asked(&self, query: &str) -> usize {
        lock(&self.state).asked.get(query).copied().unwrap_or_default()
    }

    /// What arrived so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.state).seen.clone()
    }

    /// A video exists, and has done nothing yet.
    pub fn has(&self, video: VideoId) {
        let film = Film { status: "validating".into(), ..Film::default() };
        lock(&self.state).videos.insert(video.to_string(), film);
    }

    /// Something happens and is recorded, but nobody hears of it yet.
    pub fn records(&self, video: VideoId, name: &str) -> u64 {
        self.records_with(video, name, "")
    }

    /// The same with something to say, which makes an event as large as it is long.
    pub fn records_with(&self, video: VideoId, name: &str, note: &str) -> u64 {
        let mut state = lock(&self.state);
        let events = &mut state.videos.get_mut(&video.to_string()).expect("the video exists").events;
        let seq = events.len() as u64 + 1;
        let time = "2026-01-01T00:00:00.000Z";
        let event = json!({ "type": name, "seq": seq, "video_id": video, "time": time, "note": note });
        events.push(event.as_object().expect("an object").clone());
        seq
    }

    /// What was recorded is published, perhaps again.
    pub async fn publishes(&self, video: VideoId, seq: u64) {
        let event = {
            let state = lock(&self.state);
            state.videos[&video.to_string()].events[seq as usize - 1].clone()
        };
        let name = event["type"].as_str().expect("a name").to_owned();
        self.says(subject::event(&UserId::local(), &video.to_string(), &name), Value::Object(event)).await;
    }

    /// Something happens, is recorded and published.
    pub async fn happens(&self, video: VideoId, name: &str) -> u64 {
        let seq = self.records(video, name);
        self.publishes(video, seq).await;
        seq
    }

    /// The video's status, from now on.
    pub fn is_now(&self, video: VideoId, status: &str, finished: bool) {
        let mut state = lock(&self.state);
        let film = state.videos.get_mut(&video.to_string()).expect("the video exists");
        (film.status, film.finished) = (status.to_owned(), finished);
    }

    /// Anything on the bus.
    pub async fn says(&self, subject: String, body: Value) {
        let client = self.bus.client();
        client.publish(subject, body.to_string().into()).await.expect("the connection lives");
        client.flush().await.expect("the server is there");
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Reply = (String, HeaderMap, Value);

fn handle(state: &mut State, message: &Message) -> Vec<Reply> {
    if let Some(subject) = CommandSubject::parse(&message.subject) {
        return vec![decide(state, &subject, message)];
    }
    let Some(reply_to) = message.reply.as_ref().map(ToString::to_string) else { return Vec::new() };
    let name = message.subject.rsplit('.').next().unwrap_or_default();
    *state.asked.entry(name.to_owned()).or_default() += 1;
    match answer(state, &message.subject, &message.payload) {
        Ok(answer) if message.subject.ends_with(".checkpoints") => {
            let (headers, part) = part_of(state.part.unwrap_or(usize::MAX), &message.payload, &answer);
            vec![(reply_to, headers, part)]
        }
        Ok(answer) => vec![(reply_to, HeaderMap::new(), answer)],
        Err(rejection) => {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Service-Error-Code", rejection.code.http_status().to_string());
            headers.insert("Nats-Service-Error", rejection.reason.as_str());
            vec![(reply_to, headers, serde_json::to_value(rejection).expect("writes"))]
        }
    }
}

/// So many of a list's elements after the one that is asked for.
fn part_of(most: usize, question: &[u8], whole: &Value) -> (HeaderMap, Value) {
    let question: Value = serde_json::from_slice(question).expect("JSON");
    let all = whole.as_array().expect("a list");
    let begin = all.iter().position(|one| one["checkpoint_id"] == question["after"]).map_or(0, |at| at + 1);
    let part: Vec<_> = all.iter().skip(begin).take(most).collect();
    let mut headers = HeaderMap::new();
    if begin + part.len() < all.len() {
        headers.insert(subject::MORE_HEADER, "true");
    }
    (headers, json!(part))
}

fn decide(state: &mut State, subject: &CommandSubject<'_>, message: &Message) -> Reply {
    let header = |name: &str| {
        let value = message.headers.as_ref().and_then(|headers| headers.get(name));
        value.map(ToString::to_string).unwrap_or_default()
    };
    let id = header(subject::COMMAND_ID_HEADER);
    state.seen.push(Seen {
        user: subject.user.to_owned(),
        video: subject.video.to_owned(),
        verb: subject.verb.to_owned(),
        id: id.clone(),
        via: header(subject::VIA_HEADER),
        body: serde_json::from_slice(&message.payload).unwrap_or_default(),
    });
    let outcome = state.outcomes.get(subject.verb).cloned();
    let default = || Ok(json!({ "message": "done", "video_id": subject.video, "count": state.seen.len() }));
    let time = "2026-01-01T00:00:00Z";
    let (name, body) = match outcome.unwrap_or_else(default) {
        Ok(answer) => (
            "command_answered",
            json!({ "type": "command_answered", "command_id": id, "first_command_id": id, "answer": answer,
                "time": time }),
        ),
        Err(Rejection { code, reason, errors }) => (
            "command_rejected",
            json!({ "type": "command_rejected", "command_id": id, "code": code, "reason": reason, "errors": errors,
                "time": time }),
        ),
    };
    let user = subject.user.parse().expect("a user");
    (subject::event(&user, subject.video, name), HeaderMap::new(), body)
}

fn answer(state: &State, subject: &str, body: &[u8]) -> Result<Value, Rejection> {
    let tokens: Vec<_> = subject.split('.').collect();
    let [_, _, video, name] = tokens[..] else {
        let name = tokens[2];
        let none = match name {
            "videos" => {
                return Ok(state.answers.get(name).cloned().unwrap_or(json!({ "videos": [], "next_cursor": null })));
            }
            _ => Rejection::new(Code::UnknownArtifact, "no such artifact"),
        };
        return state.answers.get(name).cloned().ok_or(none);
    };
    let film = state.videos.get(video).ok_or_else(|| Rejection::new(Code::UnknownVideo, "no such video"))?;
    if let Some(answer) = state.answers.get(name) {
        return Ok(answer.clone());
    }
    match name {
        "status" => Ok(status(video, film)),
        "history" => {
            let after = serde_json::from_slice::<Value>(body).expect("JSON")["after_seq"].as_u64().expect("a number");
            let page: Vec<_> = film.events.iter().skip(after as usize).take(PAGE).collect();
            Ok(json!({ "events": page, "head": film.events.len(), "finished": film.finished }))
        }
        _ => Err(Rejection::new(Code::UnknownQuery, "no such query")),
    }
}

fn status(video: &str, film: &Film) -> Value {
    let active: &[&str] = if film.finished { &[] } else { &["main"] };
    json!({
        "video_id": video, "status": film.status, "progress": 25.0, "current_phase": "planning", "error": null,
        "storyboard_urls": ["/api/artifacts/art-0195f0a0-1111-7000-8000-000000000001/content"], "chunk_urls": [],
        "stitched_video_url": null, "final_video_url": null, "current_chunk_index": null, "total_chunks": null,
        "current_checkpoint": null, "checkpoint_tree": [], "active_branches": active, "branches": [],
        "cost": { "spent_usd": 0.0, "estimate_next_usd": null, "budget_usd": null },
        "revision": film.events.len(),
    })
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no test panicked while it held this")
}
