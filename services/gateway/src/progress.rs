//! The live stream of one video: server-sent events without a gap and without a repeat (W40 to W42).
//!
//! A stream watches first, then asks for what came before, so nothing falls between. What it holds is bounded: a client
//! that reads slowly misses notices, and gets the events from the history when it reads again. The coordinator's head,
//! not the bus, says what exists.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use messages::id::VideoId;
use messages::query::History;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use utoipa::IntoParams;

use crate::access::Caller;
use crate::error::{Error, Refusal};
use crate::frame;
use crate::hub::{Notice, Watch};
use crate::request::{OfVideo, last_event_id};
use crate::router::Shared;
use crate::sequencer::Sequencer;
use crate::views::Status;

/// Where a reconnecting client goes on.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it documents what `last_event_id` reads")]
pub struct LastEventId {
    /// The `id` of the last event seen; `0` means from the beginning, none means a snapshot.
    #[param(rename = "Last-Event-ID")]
    last_event_id: Option<u64>,
}

/// What happens, as it happens: `snapshot`, every event by its name, `status_update`, `progress`, and `close` when no
/// branch runs or waits. 204 when there is nothing more to come.
#[utoipa::path(get, path = "/api/status/{video_id}/stream", tag = "videos", params(OfVideo, LastEventId), responses(
    (status = 200, body = String, content_type = "text/event-stream"),
    (status = 204, description = "Nothing more will happen, and the client has seen all of it."),
    Refusal))]
pub async fn stream(
    State(app): State<Shared>,
    caller: Caller,
    at: OfVideo,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let mut stream = Stream::new(&app, caller, at.video_id).await;
    match last_event_id(&headers) {
        None => Box::pin(stream.snapshot()).await?,
        Some(seen) => {
            let page = Box::pin(app.nats.history(&stream.caller.user, stream.video, seen)).await?;
            if seen > page.head {
                Box::pin(stream.snapshot()).await?;
            } else if page.finished && seen == page.head {
                return Ok(StatusCode::NO_CONTENT.into_response());
            } else {
                stream.place = Sequencer::after(seen);
                stream.read(page);
                // Its last connection may have ended between an event and the status that followed.
                stream.refresh_soon();
            }
        }
    }
    let body = Body::from_stream(futures::stream::unfold(stream, async |mut stream| {
        let frame = stream.next().await?;
        Some((Ok::<_, std::convert::Infallible>(frame), stream))
    }));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, body).into_response())
}

/// One client's stream.
struct Stream {
    app: Shared,
    caller: Caller,
    video: VideoId,
    watch: Watch,
    place: Sequencer,
    /// Frames that can go out.
    ready: VecDeque<Bytes>,
    /// What the client knows of the status object: a fingerprint of each field, its name included.
    known: Vec<u64>,
    /// When the status is asked for again, because something happened.
    refresh_at: Option<Instant>,
    /// Whether notices were lost, so that the head is not known.
    lost: bool,
    /// Not before this is the history asked again, because it did not answer or had nothing.
    history_at: Instant,
    /// When it is time to say that the connection lives.
    heartbeat_at: Instant,
    ended: bool,
}

/// How long events are gathered before the status is asked for.
const REFRESH_AFTER: Duration = Duration::from_millis(150);

/// How long to wait before asking again what was not answered.
const ASK_AGAIN: Duration = Duration::from_secs(1);

impl Stream {
    async fn new(app: &Shared, caller: Caller, video: VideoId) -> Self {
        let watch = app.hub.watch(&caller.user, video).await;
        app.meters.streams.inc();
        Self {
            watch,
            app: app.clone(),
            caller,
            video,
            place: Sequencer::after(0),
            ready: VecDeque::new(),
            known: Vec::new(),
            refresh_at: None,
            lost: false,
            history_at: Instant::now(),
            heartbeat_at: Instant::now() + app.settings.heartbeat,
            ended: false,
        }
    }

    /// The next bytes for the client; none when the stream is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if !self.ready.is_empty() {
                // At the next heartbeat at the latest nobody listens with a key that was revoked.
                if !self.app.gate.still_admits(&self.caller) {
                    return None;
                }
                // Taken with its room: most streams wait most of the time, and have to be small.
                return Some(Vec::from(std::mem::take(&mut self.ready)).concat().into());
            }
            if self.ended {
                return None;
            }
            self.advance().await;
        }
    }

    /// Waits for whatever comes first, and takes it in.
    async fn advance(&mut self) {
        let hole_at = (self.lost || self.place.is_behind()).then_some(self.history_at);
        // One timer for all three: of all that a stream holds while it waits, timers are the largest.
        let due = [hole_at, self.refresh_at].into_iter().flatten().fold(self.heartbeat_at, Instant::min);
        let shutdown = self.app.shutdown.clone();
        tokio::select! {
            biased;
            // The client connects again, to another replica, with its last id.
            () = shutdown.cancelled() => self.ended = true,
            () = tokio::time::sleep_until(due) => Box::pin(self.due(hole_at)).await,
            notice = self.watch.next() => match notice {
                Some(notice) => self.notice(notice),
                None => {
                    self.app.meters.lags.inc();
                    self.lost = true;
                }
            },
        }
    }

    /// Does what was due first. Boxed by its caller, because it is rare and large.
    async fn due(&mut self, hole_at: Option<Instant>) {
        let now = Instant::now();
        if hole_at.is_some_and(|at| at <= now) {
            self.fill_hole().await;
        } else if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh().await;
        } else if self.heartbeat_at <= now {
            self.heartbeat_at = now + self.app.settings.heartbeat;
            self.ready.push_back(frame::HEARTBEAT);
        }
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Event { seq, frame, last } => {
                let before = self.place.sent();
                self.place.take(seq, frame, |frame| self.ready.push_back(frame));
                if self.place.sent() == before {
                    return;
                }
                if last && self.place.sent() == seq {
                    self.close();
                } else {
                    self.refresh_soon();
                }
            }
            // Of no use to a client that still reads the past.
            Notice::Progress(frame) if !self.lost && !self.place.is_behind() => self.ready.push_back(frame),
            Notice::Progress(_) => {}
            Notice::Head { head, finished } => {
                self.place.hear(head);
                if finished && self.place.sent() == head {
                    self.close();
                }
            }
        }
    }

    /// The whole status object, and everything after it.
    async fn snapshot(&mut self) -> Result<(), Error> {
        let (status, fields) = self.ask_status().await?;
        self.place = Sequencer::after(status.revision);
        self.watch.heard(status.revision);
        self.lost = false;
        self.refresh_at = None;
        self.known = fields.iter().map(fingerprint).collect();
        let body = Value::Object(fields).to_string();
        self.ready.extend(frame::event("snapshot", status.revision, body.as_bytes()));
        if status.is_finished() {
            self.close();
        }
        Ok(())
    }

    /// What of the status object changed since the client last heard of it; the end, when that is what changed.
    async fn refresh(&mut self) {
        self.refresh_at = None;
        let (status, mut fields) = match self.ask_status().await {
            Ok(answer) => answer,
            Err(error) if error.is_unknown_video() => return self.close(),
            Err(_) => {
                self.refresh_at = Some(Instant::now() + ASK_AGAIN);
                return;
            }
        };
        self.place.hear(status.revision);
        let now: Vec<_> = fields.iter().map(fingerprint).collect();
        let before = std::mem::replace(&mut self.known, now);
        fields.retain(|name, value| !before.contains(&fingerprint((name, value))));
        if !fields.is_empty() {
            self.ready.extend(frame::unnumbered("status_update", Value::Object(fields).to_string().as_bytes()));
        }
        if status.is_finished() && !self.place.is_behind() {
            self.close();
        }
    }

    /// One page of what lies between the last event sent and the head.
    async fn fill_hole(&mut self) {
        let before = self.place.sent();
        match self.app.nats.history(&self.caller.user, self.video, before).await {
            Ok(page) if page.head < before => {
                // The video has less history than the client saw: only a fresh start is true.
                if self.snapshot().await.is_err() {
                    self.history_at = Instant::now() + ASK_AGAIN;
                }
            }
            Ok(page) => {
                self.lost = false;
                self.read(page);
                if self.place.sent() == before && self.place.is_behind() {
                    self.history_at = Instant::now() + ASK_AGAIN;
                }
            }
            Err(error) if error.is_unknown_video() => self.close(),
            Err(_) => self.history_at = Instant::now() + ASK_AGAIN,
        }
    }

    /// Takes in a page of the history.
    fn read(&mut self, page: History) {
        let before = self.place.sent();
        self.place.hear(page.head);
        self.watch.heard(page.head);
        for event in page.events {
            let (name, seq) = (event.get("type").and_then(Value::as_str), event.get("seq").and_then(Value::as_u64));
            let Some((name, seq)) = name.zip(seq) else { continue };
            let name = name.to_owned();
            let Some(frame) = frame::event(&name, seq, Value::Object(event).to_string().as_bytes()) else { continue };
            self.place.take(seq, frame, |frame| self.ready.push_back(frame));
        }
        if page.finished && self.place.sent() >= page.head {
            self.close();
        } else if self.place.sent() != before {
            self.refresh_soon();
        }
    }

    fn refresh_soon(&mut self) {
        self.refresh_at.get_or_insert_with(|| Instant::now() + REFRESH_AFTER);
    }

    fn close(&mut self) {
        if !self.ended {
            self.ready.push_back(frame::CLOSE);
            self.ended = true;
        }
    }

    async fn ask_status(&self) -> Result<(Status, Map<String, Value>), Error> {
        let mut status: Status = self.app.nats.ask_video(&self.caller.user, self.video, "status", &json!({})).await?;
        status.make_links_absolute(&self.caller.base);
        let unwritable = |source| Error::BadAnswer { what: "a status of ours", source };
        match serde_json::to_value(&status).map_err(unwritable)? {
            Value::Object(fields) => Ok((status, fields)),
            _ => Ok((status, Map::new())),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.app.meters.streams.dec();
    }
}

/// What a client knows of a field, without keeping the field: a stream has to be small.
fn fingerprint((name, value): (&String, &Value)) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, value.to_string()).hash(&mut hasher);
    hasher.finish()
}
