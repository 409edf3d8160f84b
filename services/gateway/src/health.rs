//! Whether the gateway lives, whether it can serve, and what it counted.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use messages::id::UserId;
use messages::query::{ListVideos, Videos};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Error, Refusal};
use crate::router::Shared;

/// How it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`.
    status: &'static str,
}

/// Whether the process lives. It says nothing about what it depends on.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = Health)))]
pub async fn alive() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether requests can be served: NATS is there and a coordinator answers from SQL.
#[utoipa::path(get, path = "/readyz", tag = "health", responses((status = 200, body = Health), Refusal))]
pub async fn ready(State(app): State<Shared>) -> Result<Json<Health>, Error> {
    let question = ListVideos { limit: Some(1), ..ListVideos::default() };
    let _: Videos = app.nats.ask_user(&UserId::local(), "videos", &question).await?;
    Ok(Json(Health { status: "ok" }))
}

/// What is counted, in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", responses(
    (status = 200, body = String, content_type = "text/plain; version=0.0.4")))]
pub async fn metrics(State(app): State<Shared>) -> impl IntoResponse {
    let meters = &app.meters;
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, values: &[(&str, i128)]| {
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        for (labels, value) in values {
            text.push_str(&format!("{name}{labels} {value}\n"));
        }
    };
    let [ok, redirected, refused, failed] = [2, 3, 4, 5].map(|class| meters.responses(class).into());
    metric(
        "dailies_gateway_responses_total",
        "counter",
        "Responses by class of status.",
        &[
            ("{class=\"2xx\"}", ok),
            ("{class=\"3xx\"}", redirected),
            ("{class=\"4xx\"}", refused),
            ("{class=\"5xx\"}", failed),
        ],
    );
    metric(
        "dailies_gateway_commands_total",
        "counter",
        "Commands stored.",
        &[("", meters.commands.0.load(Ordering::Relaxed).into())],
    );
    metric(
        "dailies_gateway_streams",
        "gauge",
        "Open event streams.",
        &[("", meters.streams.load(Ordering::Relaxed).into())],
    );
    metric(
        "dailies_gateway_nats_connected",
        "gauge",
        "Whether NATS is there.",
        &[("", app.nats.is_connected().into())],
    );
    metric(
        "dailies_gateway_nats_refusals_total",
        "counter",
        "What NATS refused because this user may not do it.",
        &[("", app.nats.refusals().into())],
    );
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

/// What is counted since the start.
#[derive(Debug, Default)]
pub struct Meters {
    responses: [AtomicU64; 6],
    /// Commands stored.
    pub commands: Counter,
    /// Open event streams.
    pub streams: AtomicI64,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Meters {
    /// As `nats micro stats` shows them.
    pub fn figures(&self) -> serde_json::Value {
        serde_json::json!({
            "responses": (2..=5).map(|class| self.responses(class)).sum::<u64>(),
            "failed": self.responses(5),
            "commands": self.commands.0.load(Ordering::Relaxed),
            "streams": self.streams.load(Ordering::Relaxed),
        })
    }

    fn responses(&self, class: usize) -> u64 {
        self.responses.get(class).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// Counts every response.
pub async fn meter(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let class = usize::from(response.status().as_u16() / 100);
    if let Some(count) = app.meters.responses.get(class) {
        count.fetch_add(1, Ordering::Relaxed);
    }
    response
}
