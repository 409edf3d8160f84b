//! Whether the gateway lives, whether it can serve, and what it counted.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use messages::id::UserId;
use messages::query::{ListVideos, Videos};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use runtime::metrics::{CONTENT_TYPE, Published, publish, registry};
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

/// What this gateway counts, in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", responses(
    (status = 200, body = String, content_type = "text/plain; version=0.0.4")))]
pub async fn metrics(State(app): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], app.meters.published.text())
}

/// What is counted since the start. Each gateway has its own, also where several share a process.
#[derive(Debug)]
pub struct Meters {
    requests: Family<[(&'static str, String); 3], Counter>,
    responses: [AtomicU64; 6],
    /// Commands stored.
    pub commands: Counter,
    /// Open event streams.
    pub streams: Gauge,
    /// Times that a stream's client was too slow, and its events had to be read from the history.
    pub lags: Counter,
    published: Published,
}

impl Default for Meters {
    fn default() -> Self {
        let (requests, commands, streams, lags) =
            (Family::default(), Counter::default(), Gauge::default(), Counter::default());
        let mut registry = registry();
        let part = registry.sub_registry_with_prefix("gateway");
        part.register("requests", "Requests answered, by route and status", Family::clone(&requests));
        part.register("commands", "Commands stored", Counter::clone(&commands));
        part.register("streams", "Open event streams", Gauge::clone(&streams));
        part.register("stream_lags", "Streams that lost events and read them again", Counter::clone(&lags));
        Self { requests, responses: Default::default(), commands, streams, lags, published: publish(registry) }
    }
}

impl Meters {
    /// As `nats micro stats` shows them.
    pub fn figures(&self) -> serde_json::Value {
        serde_json::json!({
            "responses": (2..=5).map(|class| self.responses(class)).sum::<u64>(),
            "failed": self.responses(5),
            "commands": self.commands.get(),
            "streams": self.streams.get(),
        })
    }

    fn responses(&self, class: usize) -> u64 {
        self.responses.get(class).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn count(&self, method: &Method, route: Option<&MatchedPath>, status: StatusCode) {
        if let Some(count) = self.responses.get(usize::from(status.as_u16() / 100)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        // What somebody asks for in vain is one row, whatever they ask for; so are methods that nothing here takes.
        let known = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method);
        let method = if known { method.as_str() } else { "other" };
        let route = route.map_or("other", MatchedPath::as_str);
        let labels =
            [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.as_str().to_owned())];
        self.requests.get_or_create(&labels).inc();
    }
}

/// Counts every response.
pub async fn meter(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let (method, route) = (request.method().clone(), request.extensions().get::<MatchedPath>().cloned());
    let response = next.run(request).await;
    app.meters.count(&method, route.as_ref(), response.status());
    response
}
