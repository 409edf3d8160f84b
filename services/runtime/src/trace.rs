//! Spans: what was done, when, and as part of what, sent to an OpenTelemetry collector by those who want that.
//!
//! Off unless an endpoint is set; nothing leaves a process before. Which trace something belongs to goes along with every
//! message all the same ([`Trace`]), so that switching this on needs nothing else. Spans are made by hand, a few for each
//! message, because their ids follow from what they are about: a trace that spans days, processes and restarts is found
//! again without being stored. Names and attributes are those of OpenTelemetry's messaging conventions.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use messages::trace::Trace;
use opentelemetry::trace::{Link, SpanContext, SpanId, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor};
use serde::Deserialize;

use crate::clock::{Clock as _, SystemClock};

pub use opentelemetry::trace::SpanKind;

/// How long one batch may take to be taken by the collector, and the last one at the end of the process.
const PATIENCE: Duration = Duration::from_secs(5);

static EXPORTER: RwLock<Option<Arc<Exporter>>> = RwLock::new(None);

/// Whether and where spans go: section `[telemetry]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceSettings {
    /// The collector's OTLP endpoint over HTTP; none means that `OTEL_EXPORTER_OTLP_ENDPOINT` decides.
    #[serde(default)]
    pub otlp_endpoint: Option<String>,
    /// Which share of the traces is sent, 0 to 1.
    pub sample_ratio: f64,
}

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The endpoint is no URL.
    #[error("telemetry.otlp_endpoint is not usable: give a URL such as http://127.0.0.1:4318")]
    Endpoint(#[source] ExporterBuildError),
    /// There is no HTTP client.
    #[error("spans cannot be sent")]
    Client(#[source] reqwest::Error),
}

/// Spans are sent as long as this lives; the last ones leave when it goes.
#[derive(Debug)]
pub struct Tracing(Option<Arc<Exporter>>);

#[derive(Debug)]
struct Exporter {
    processor: BatchSpanProcessor,
    sample_ratio: f64,
}

impl Tracing {
    /// Sends this process's spans as those of `service`, if an endpoint is set. In a process there is one at a time.
    pub fn start(settings: &TraceSettings, service: &'static str) -> Result<Self, TraceError> {
        let given = |name| std::env::var(name).is_ok_and(|value| !value.is_empty());
        let standard = given("OTEL_EXPORTER_OTLP_ENDPOINT") || given("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        if settings.otlp_endpoint.is_none() && !standard {
            return Ok(Self(None));
        }
        // A choice that can only fail when it was made before; NATS may have made it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(PATIENCE).build().map_err(TraceError::Client)?;
        let client = OnRuntime { client, runtime: tokio::runtime::Handle::current() };
        let mut builder = SpanExporter::builder().with_http().with_http_client(client);
        if let Some(endpoint) = &settings.otlp_endpoint {
            builder = builder.with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')));
        }
        let exporter = builder.build().map_err(TraceError::Endpoint)?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let about = [
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("host.name", crate::registration::host()),
        ];
        processor.set_resource(&Resource::builder().with_service_name(service).with_attributes(about).build());
        let exporter = Arc::new(Exporter { processor, sample_ratio: settings.sample_ratio });
        *EXPORTER.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&exporter));
        tracing::info!(service, "spans are sent");
        Ok(Self(Some(exporter)))
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        if let Some(exporter) = self.0.take() {
            *EXPORTER.write().unwrap_or_else(PoisonError::into_inner) = None;
            if let Err(error) = exporter.processor.shutdown_with_timeout(PATIENCE) {
                tracing::debug!(error = %error, "the last spans were not sent");
            }
        }
    }
}

/// Whether spans are sent.
pub fn is_on() -> bool {
    EXPORTER.read().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Where spans of this trace go, if they go anywhere. A trace is wanted as a whole: everybody with the same settings decides
/// alike by its id, and what somebody records already is recorded on.
fn wanted(trace: Trace) -> Option<Arc<Exporter>> {
    let exporter = EXPORTER.read().unwrap_or_else(PoisonError::into_inner).clone()?;
    let place = trace.trace_id.iter().skip(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    let chosen = (place as f64) < exporter.sample_ratio * (u64::MAX as f64);
    (trace.sampled || chosen).then_some(exporter)
}

/// Something that is being done; it ends when this value goes.
pub struct Span {
    context: Trace,
    recording: Option<Recording>,
}

struct Recording {
    exporter: Arc<Exporter>,
    kind: SpanKind,
    name: Cow<'static, str>,
    parent: Option<Trace>,
    links: Vec<Link>,
    attributes: Vec<KeyValue>,
    status: Status,
    start: chrono::DateTime<chrono::Utc>,
}

impl Span {
    /// The first of a trace, at a place that is known beforehand.
    pub fn root(kind: SpanKind, at: Trace, name: impl FnOnce() -> Cow<'static, str>) -> Self {
        Self::begin(kind, at, None, name)
    }

    /// A part of `whole`. `part` tells it from all its other parts, in every process and after every restart.
    pub fn part(
        kind: SpanKind,
        whole: Trace,
        part: impl fmt::Display,
        name: impl FnOnce() -> Cow<'static, str>,
    ) -> Self {
        if wanted(whole).is_none() {
            return Self { context: whole, recording: None };
        }
        Self::begin(kind, whole.part(part), Some(whole), name)
    }

    /// The handling of a message that was sent at `cause`: a part of it, linked to it as the conventions want.
    pub fn handling(cause: Trace, part: impl fmt::Display, name: impl FnOnce() -> Cow<'static, str>) -> Self {
        let mut span = Self::part(SpanKind::Consumer, cause, part, name);
        span.follows(cause);
        span
    }

    fn begin(kind: SpanKind, at: Trace, parent: Option<Trace>, name: impl FnOnce() -> Cow<'static, str>) -> Self {
        let Some(exporter) = wanted(at) else { return Self { context: at, recording: None } };
        let (name, start, status) = (name(), SystemClock.now(), Status::Unset);
        let (links, attributes) = (Vec::new(), Vec::new());
        let recording = Recording { exporter, kind, name, parent, links, attributes, status, start };
        Self { context: Trace { sampled: true, ..at }, recording: Some(recording) }
    }

    /// What others are part of, who are told.
    pub const fn context(&self) -> Trace {
        self.context
    }

    /// This came of something else without being part of it.
    pub fn follows(&mut self, other: Trace) {
        if let Some(recording) = &mut self.recording {
            recording.links.push(Link::new(context_of(other, true), Vec::new(), 0));
        }
    }

    /// Says something about it.
    pub fn say(&mut self, name: &'static str, value: impl FnOnce() -> Value) {
        if let Some(recording) = &mut self.recording {
            recording.attributes.push(KeyValue::new(name, value()));
        }
    }

    /// Says which message it is about: `template` is its subject without ids, `operation` is `send` or `process`.
    pub fn say_message(&mut self, operation: &'static str, template: impl FnOnce() -> String) {
        if let Some(recording) = &mut self.recording {
            recording.attributes.extend([
                KeyValue::new("messaging.system", "nats"),
                KeyValue::new("messaging.operation.name", operation),
                KeyValue::new("messaging.operation.type", operation),
                KeyValue::new("messaging.destination.template", template()),
            ]);
        }
    }

    /// It went wrong.
    pub fn fail(&mut self, reason: impl FnOnce() -> String) {
        if let Some(recording) = &mut self.recording {
            recording.status = Status::error(reason());
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(recording) = self.recording.take() else { return };
        let mut links = SpanLinks::default();
        links.links = recording.links;
        recording.exporter.processor.on_end(SpanData {
            span_context: context_of(self.context, false),
            parent_span_id: recording.parent.map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.span_id)),
            parent_span_is_remote: recording.parent.is_some(),
            span_kind: recording.kind,
            name: recording.name,
            start_time: recording.start.into(),
            end_time: SystemClock.now().into(),
            attributes: recording.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: recording.status,
            instrumentation_scope: InstrumentationScope::builder("dailies").build(),
        });
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Span").field("context", &self.context).finish_non_exhaustive()
    }
}

fn context_of(trace: Trace, remote: bool) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(trace.trace_id),
        SpanId::from_bytes(trace.span_id),
        if trace.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() },
        remote,
        TraceState::NONE,
    )
}

/// The exporter has a thread of its own, and the HTTP client needs the process's runtime.
#[derive(Debug)]
struct OnRuntime {
    client: reqwest::Client,
    runtime: tokio::runtime::Handle,
}

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move {
            let (head, body) = request.into_parts();
            let sent =
                client.request(head.method, head.uri.to_string()).headers(head.headers).body(body).send().await?;
            let (status, headers) = (sent.status(), sent.headers().clone());
            let mut response = Response::new(sent.bytes().await?);
            (*response.status_mut(), *response.headers_mut()) = (status, headers);
            Ok::<_, reqwest::Error>(response)
        });
        Ok(sending.await??)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_recorded_unless_somebody_says_where_it_goes() {
        let settings = crate::config::load(None).and_then(|settings| settings.section::<TraceSettings>("telemetry"));
        let tracing = Tracing::start(&settings.expect("the defaults are valid"), "test").expect("it is off");
        assert!(!is_on() && tracing.0.is_none());
        let given: Trace =
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().expect("the standard's own");
        let name = || panic!("a span that goes nowhere needs no name");
        assert_eq!(Span::handling(given, "part", name).context(), given, "what came is handed on");
        assert_eq!(Span::root(SpanKind::Server, given, name).context(), given);
    }
}
