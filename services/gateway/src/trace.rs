//! A request and the command that it sends, as the first two spans of a trace.
//!
//! A client may bring a trace of its own. Else the command's id gives it, which is known only once the request has been
//! understood; so the request's span begins late, and only requests that send a command have one.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use messages::command::Command;
use messages::id::{CommandId, VideoId};
use messages::subject;
use messages::trace::{HEADER, Trace};
use runtime::trace::{Span, SpanKind};

tokio::task_local! {
    static ASKED: Asked;
}

/// What a request says before it is understood.
#[derive(Debug, Clone)]
struct Asked {
    given: Option<Trace>,
    what: String,
}

/// Remembers what a request says of its trace for as long as it is answered.
pub async fn remember(request: Request, next: Next) -> Response {
    let given = request.headers().get(HEADER).and_then(|text| text.to_str().ok()).and_then(|text| text.parse().ok());
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str);
    let what = format!("{} {route}", request.method());
    ASKED.scope(Asked { given, what }, next.run(request)).await
}

/// A command on its way, as parts of its request.
#[derive(Debug)]
pub struct Sent {
    request: Span,
    command: Span,
}

/// Begins both. To be called where the request is answered, not in a task of its own.
pub fn send(video: VideoId, id: &CommandId, command: &Command) -> Sent {
    let asked = ASKED.try_with(Asked::clone).unwrap_or_else(|_| Asked { given: None, what: "send".to_owned() });
    let what = asked.what;
    let mut request = match asked.given {
        Some(given) => Span::part(SpanKind::Server, given, id, || what.into()),
        None => Span::root(SpanKind::Server, Trace::of_command(video, id), || what.into()),
    };
    request.say("dailies.video.id", || video.to_string().into());
    let template = || subject::command_template(command.verb());
    let name = || format!("send {}", template()).into();
    let mut command = Span::part(SpanKind::Producer, request.context(), "command", name);
    command.say_message("send", template);
    Sent { request, command }
}

impl Sent {
    /// What goes along with the command.
    pub const fn context(&self) -> Trace {
        self.command.context()
    }

    /// It could not be sent.
    pub fn fail(&mut self, reason: impl std::fmt::Display) {
        self.command.fail(|| reason.to_string());
        self.request.fail(|| "the command was not sent".to_owned());
    }
}
