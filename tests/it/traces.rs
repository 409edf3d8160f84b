//! Spans as a collector gets them: the run of a phase is one trace, and the next one points back to it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{SOON, Setup, System, answer, text, until};

/// A trace that a client began elsewhere.
const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn each_phase_is_one_trace_and_the_next_one_only_points_back() {
    let collector = Collector::start().await;
    let setup = Setup::default().with("DAILIES_TELEMETRY__OTLP_ENDPOINT", &collector.url);
    // The standard's own variable: nobody wants to wait five seconds for each batch.
    let system = System::start_with(setup.with("OTEL_BSP_SCHEDULE_DELAY", "100")).await;
    let nats = system.nats().await;
    let mut events = nats.subscribe("video.local.*.event.*").await.expect("a subscription");
    nats.flush().await.expect("NATS heard of it");

    let video =
        system.create(&json!({ "prompt": "A 5 second ad for a fountain pen, elegant, navy", "duration": 5 })).await;
    system.wait_for(&video, "paused_at_phase1").await;
    system.approve(&video).await;
    system.wait_for(&video, "paused_at_phase2").await;
    let body = json!({ "checkpoint_id": system.current(&video).await["checkpoint_id"] });
    let request = system.request(reqwest::Method::POST, &format!("/api/video/{video}/continue"));
    let (status, approved) = answer(request.header("traceparent", GIVEN).json(&body)).await;
    assert_eq!(status, 200, "{approved}");
    system.wait_for(&video, "paused_at_phase3").await;

    let planning = collector.phase("POST /api/generate", "create", "planner", None).await;
    let previous = Some(&planning);
    let storyboard = collector.phase("POST /api/video/{video_id}/continue", "approve", "storyboard", previous).await;
    let previous = Some(&storyboard);
    let chunks = collector.phase("POST /api/video/{video_id}/continue", "approve", "chunk", previous).await;
    assert_eq!(chunks.id, "4bf92f3577b34da6a3ce929d0e0e4736", "a client's own trace is gone on with");
    assert_eq!(hex(&chunks.first.parent_span_id), "00f067aa0ba902b7");
    assert!(planning.first.parent_span_id.is_empty() && storyboard.first.parent_span_id.is_empty());
    assert_eq!(BTreeSet::from([&planning.id, &storyboard.id, &chunks.id]).len(), 3, "each phase has its own");

    // Whoever watches learns which trace an event belongs to.
    let mut carried = Vec::new();
    while carried.len() < 3 {
        let event = tokio::time::timeout(SOON, events.next()).await.expect("events come").expect("for ever");
        let name = serde_json::from_slice::<Value>(&event.payload).expect("events are JSON")["type"].clone();
        let trace = event.headers.as_ref().and_then(|headers| headers.get("traceparent")).map(|trace| trace.as_str());
        let trace = trace.unwrap_or_else(|| panic!("{name} carries no trace")).to_owned();
        if text(&name) == "checkpoint_created" {
            carried.push(trace.split('-').nth(1).expect("a traceparent").to_owned());
        }
    }
    assert_eq!(carried, [planning.id, storyboard.id, chunks.id]);
}

#[tokio::test]
async fn a_phase_that_a_rule_approved_is_a_trace_of_its_own_too() {
    let collector = Collector::start().await;
    let setup = Setup::default().with("DAILIES_TELEMETRY__OTLP_ENDPOINT", &collector.url);
    let system = System::start_with(setup.with("OTEL_BSP_SCHEDULE_DELAY", "100")).await;
    let film = json!({
        "prompt": "A 5 second ad for a fountain pen, elegant, navy", "duration": 5,
        "auto_continue": { "until": "storyboard" },
    });
    let video = system.create(&film).await;
    system.wait_for(&video, "paused_at_phase2").await;
    let planning = collector.phase("POST /api/generate", "create", "planner", None).await;
    let rule = collector.span("the rule's approval", |span| span.name == "approve by rule").await;
    assert!(rule.parent_span_id.is_empty());
    assert_ne!(hex(&rule.trace_id), planning.id);
    assert!(rule.links.iter().any(|link| hex(&link.trace_id) == planning.id), "{:?}", rule.links);
    let job = format!("process job.{}.{{user}}.{{video}}.{{job}}", "storyboard");
    let drawn = collector.span("a picture is drawn", |span| span.name == job).await;
    assert_eq!((drawn.trace_id, drawn.parent_span_id), (rule.trace_id, rule.span_id));
}

/// The run of a phase, as it was found.
struct Phase {
    id: String,
    first: Span,
}

/// A collector that keeps what it gets.
struct Collector {
    url: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let spans = Arc::<Mutex<Vec<Span>>>::default();
        let kept = Arc::clone(&spans);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                let receive = service_fn(move |request| receive(request, Arc::clone(&kept)));
                let serving =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), receive);
                tokio::spawn(serving);
            }
        });
        Self { url, spans }
    }

    /// Waits for a span.
    async fn span(&self, what: &str, wanted: impl Fn(&Span) -> bool) -> Span {
        let find = async || self.spans.lock().expect("not poisoned").iter().find(|span| wanted(span)).cloned();
        until(what, SOON, find).await
    }

    /// Waits for all spans of a phase's run, each a part of the one before; the command's handling links to what came
    /// before, and is no part of that.
    async fn phase(&self, request: &str, verb: &str, service: &str, before: Option<&Phase>) -> Phase {
        let handled = format!("process video.{{user}}.{{video}}.cmd.{verb}");
        let links_to = |span: &Span, trace: &str| span.links.iter().any(|link| hex(&link.trace_id) == trace);
        // What waits for a person is no part of what waited for it.
        let comes_after = |span: &Span, before: &Phase| links_to(span, &before.id) && hex(&span.trace_id) != before.id;
        let command = self.span("the command is handled", |span| {
            span.name == handled && before.is_none_or(|before| comes_after(span, before))
        });
        let command = command.await;
        assert_eq!(command.kind(), SpanKind::Consumer);
        let id = hex(&command.trace_id);

        let parent = |child: &Span| (child.trace_id.clone(), child.parent_span_id.clone());
        let of = |span: &Span| (span.trace_id.clone(), span.span_id.clone());
        let sent = self.span("the command is sent", |span| of(span) == parent(&command)).await;
        assert_eq!(sent.name, format!("send video.{{user}}.{{video}}.cmd.{verb}"));
        assert!(links_to(&command, &id), "the handling links to the sending");
        let first = self.span("the request", |span| of(span) == parent(&sent)).await;
        assert_eq!((first.name.as_str(), first.kind()), (request, SpanKind::Server));

        let job = format!("process job.{service}.{{user}}.{{video}}.{{job}}");
        let job = self.span("the job", |span| span.name == job && parent(span) == of(&command)).await;
        assert!(links_to(&job, &id), "so does that of the job");
        let said = self.span("the report", |span| parent(span) == of(&job)).await;
        assert_eq!(said.name, "send coordinator.{partition}.done");
        let heard = self.span("the report is handled", |span| parent(span) == of(&said)).await;
        assert_eq!(heard.name, "process coordinator.{partition}.done");
        for span in [&first, &sent, &command, &job, &said, &heard] {
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
            assert_eq!(hex(&span.trace_id), id);
        }
        Phase { id, first }
    }
}

async fn receive(
    request: Request<Incoming>,
    kept: Arc<Mutex<Vec<Span>>>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/v1/traces");
    let body = request.into_body().collect().await.expect("a whole body").to_bytes();
    let batch = ExportTraceServiceRequest::decode(body).expect("OTLP");
    let scopes = batch.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    kept.lock().expect("not poisoned").extend(scopes.flat_map(|scope| scope.spans));
    Ok(Response::new(Empty::new()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
