//! A command on its way: sent, and its outcome waited for.
//!
//! What was sent goes on although the client leaves: the work is spawned, and only the waiting ends with the connection.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use messages::command::{Code, Command, Rejection};
use messages::event::CommandOutcome;
use messages::id::{CommandId, VideoId};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::access::Caller;
use crate::error::Error;
use crate::router::Shared;
use crate::trace;

/// The answer when no coordinator decided in time: the command is kept and will be decided.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stored {
    /// Always `stored`.
    pub status: &'static str,
    /// The video that it is for.
    pub video_id: String,
    /// Sending the command again with this `Idempotency-Key` gets the answer once there is one.
    pub command_id: String,
}

/// Sends a command and answers with its outcome: `done` when it was decided, 202 `stored` when nobody decided in time.
pub async fn send(
    app: &Shared,
    caller: &Caller,
    video: VideoId,
    id: CommandId,
    command: Command,
    done: StatusCode,
) -> Result<Response, Error> {
    let (app, user, timeout) = (app.clone(), caller.user.clone(), app.settings.answer_timeout);
    let mut sent = trace::send(video, &id, &command);
    let sending = tokio::spawn(async move {
        let mut expected = app.hub.expect(&user, video, &id);
        app.nats.publish(&user, video, &id, &command, sent.context()).await.inspect_err(|error| sent.fail(error))?;
        app.meters.commands.inc();
        Ok::<_, Error>((expected.within(timeout).await, id))
    });
    let lost = |_| Rejection::new(Code::Internal, "sending the command failed; it may be stored");
    match sending.await.map_err(lost)?? {
        (Some(CommandOutcome::CommandAnswered { mut answer, .. }), _) => {
            make_link_absolute(&mut answer, &caller.base);
            Ok((done, Json(answer)).into_response())
        }
        (Some(CommandOutcome::CommandRejected { rejection, .. }), _) => Err(rejection.into()),
        (None, id) => {
            let stored = Stored { status: "stored", video_id: video.to_string(), command_id: id.to_string() };
            Ok((StatusCode::ACCEPTED, Json(stored)).into_response())
        }
    }
}

/// The one link that answers have. The answer itself passes through: the same key gets the first answer, whatever it was.
fn make_link_absolute(answer: &mut Value, base: &str) {
    if let Some(Value::String(link)) = answer.get_mut("s3_url")
        && link.starts_with('/')
    {
        link.insert_str(0, base);
    }
}
