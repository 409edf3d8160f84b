//! What anyone may see: request/reply, answered by any replica straight from SQL.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::service::Request;
use bytes::Bytes;
use futures::StreamExt as _;
use messages::command::{Code, Rejection, read};
use messages::id::{BranchName, CheckpointId, UserId, VideoId};
use messages::query::{
    ArtifactLocation, AskArtifact, AskCheckpoint, AskCheckpoints, AskCompare, AskHistory, History, ListVideos,
    VIDEO_QUERIES, Videos,
};
use messages::subject::{INBOX_PREFIX, MORE_HEADER};
use messages::violation::Violation;
use runtime::bus::Bus;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};
use crate::video::Video;

/// The most events of one page of history.
const PAGE: usize = 500;

/// What is answered.
#[derive(Debug)]
struct Answer {
    /// JSON.
    body: Vec<u8>,
    /// Whether it is only the first part of a list.
    more: bool,
}

impl From<Vec<u8>> for Answer {
    fn from(body: Vec<u8>) -> Self {
        Self { body, more: false }
    }
}

/// Answers the questions of one endpoint until `shutdown`.
pub async fn answer_all(
    mut questions: async_nats::service::endpoint::Endpoint,
    bus: Bus,
    store: Arc<dyn Store>,
    keep_abandoned: Option<Duration>,
    shutdown: CancellationToken,
) {
    loop {
        let question = tokio::select! {
            question = questions.next() => question,
            () = shutdown.cancelled() => return,
        };
        let Some(question) = question else { return };
        let (bus, store) = (bus.clone(), Arc::clone(&store));
        tokio::spawn(async move { respond(question, &bus, store.as_ref(), keep_abandoned).await });
    }
}

async fn respond(question: Request, bus: &Bus, store: &dyn Store, keep_abandoned: Option<Duration>) {
    let message = &question.message;
    let Some(reply_to) = message.reply.clone().filter(|reply_to| reply_to.starts_with(INBOX_PREFIX)) else {
        tracing::debug!(subject = %message.subject, "a question whose answer would go to no inbox is not answered");
        return;
    };
    let most = bus.client().server_info().max_payload;
    let answered = answer(store, keep_abandoned, &message.subject, &message.payload, most / 2).await;
    let answered =
        answered.and_then(|answer| if answer.body.len() > most { Err(too_large(&answer)) } else { Ok(answer) });
    let mut headers = HeaderMap::new();
    match answered {
        Ok(Answer { body, more: false }) => {
            if let Err(error) = question.respond(Ok(Bytes::from(body))).await {
                tracing::debug!(error = %error, "a question went unanswered");
            }
        }
        Ok(Answer { body, more: true }) => {
            headers.insert(MORE_HEADER, "true");
            if let Err(error) = bus.client().publish_with_headers(reply_to, headers, body.into()).await {
                tracing::debug!(error = %error, "a question went unanswered");
            }
        }
        Err(refusal) => {
            headers.insert("Nats-Service-Error", refusal.reason.replace(['\r', '\n'], " ").as_str());
            headers.insert("Nats-Service-Error-Code", refusal.code.http_status().to_string().as_str());
            let body = Bytes::from(serde_json::to_vec(&refusal).unwrap_or_default());
            if let Err(error) = bus.client().publish_with_headers(reply_to, headers, body).await {
                tracing::debug!(error = %error, "a question went unanswered");
            }
        }
    }
}

fn too_large(answer: &Answer) -> Rejection {
    let size = answer.body.len() / 1024;
    let reason = format!("the answer has {size} KiB and no message takes it; raise `max_payload` of the NATS servers");
    Rejection::new(Code::NotSupported, reason)
}

/// The answer to a question on `query.{user}.{video}.{name}` or `query.{user}.{name}`. What is a list of unknown length ends
/// before it has more than `most` bytes.
async fn answer(
    store: &dyn Store,
    keep_abandoned: Option<Duration>,
    subject: &str,
    body: &[u8],
    most: usize,
) -> Result<Answer, Rejection> {
    let tokens: Vec<_> = subject.split('.').collect();
    match tokens.as_slice() {
        ["query", user, "videos"] => videos(store, &user_of(user)?, body).await.map(Answer::from),
        ["query", user, "artifact"] => artifact(store, &user_of(user)?, body).await.map(Answer::from),
        ["query", user, video, "retention"] => {
            retention(store, &user_of(user)?, video, keep_abandoned).await.map(Answer::from)
        }
        ["query", user, video, "history"] => {
            history(store, &user_of(user)?, video_of(video)?, read(body)?, most).await.map(Answer::from)
        }
        ["query", user, video, "checkpoints"] => {
            checkpoints(&load(store, &user_of(user)?, video_of(video)?).await?, &read(body)?, most)
        }
        ["query", user, video, name] => about(store, &user_of(user)?, video, name, body).await.map(Answer::from),
        _ => Err(Rejection::new(Code::UnknownQuery, "ask query.{user}.videos or query.{user}.{video}.{name}")),
    }
}

fn user_of(token: &str) -> Result<UserId, Rejection> {
    token.parse().map_err(|error: messages::id::InvalidId| Rejection::new(Code::UnknownQuery, error.to_string()))
}

async fn videos(store: &dyn Store, user: &UserId, body: &[u8]) -> Result<Vec<u8>, Rejection> {
    let list: ListVideos = read(body)?;
    if list.limit.is_some_and(|limit| !(1..=100).contains(&limit)) {
        return Err(Rejection::invalid(vec![Violation::new("limit", "must be 1 to 100")]));
    }
    let (videos, next_cursor) = store.videos(user, &list).await.map_err(away)?;
    json(&Videos { videos, next_cursor })
}

async fn artifact(store: &dyn Store, user: &UserId, body: &[u8]) -> Result<Vec<u8>, Rejection> {
    let AskArtifact { artifact_id } = read(body)?;
    for video in store.videos_of(user, artifact_id).await.map_err(away)? {
        let video = match load(store, user, video).await {
            Ok(video) => video,
            Err(rejection) if rejection.code == Code::UnknownVideo => continue,
            Err(rejection) => return Err(rejection),
        };
        let Some(artifact) = video.artifacts.get(&artifact_id) else { continue };
        if video.collected.contains(&artifact_id) {
            let reason = format!("`{artifact_id}` was abandoned and has been collected");
            return Err(Rejection::new(Code::Collected, reason));
        }
        return json(&ArtifactLocation {
            user: video.user.clone(),
            video_id: video.id,
            artifact_key: artifact.key,
            content: artifact.content.clone(),
        });
    }
    Err(Rejection::new(Code::UnknownArtifact, format!("there is no artifact `{artifact_id}`")))
}

fn video_of(token: &str) -> Result<VideoId, Rejection> {
    token.parse().map_err(|_| Rejection::new(Code::UnknownVideo, format!("there is no video `{token}`")))
}

/// The dry run of retention.
async fn retention(
    store: &dyn Store,
    user: &UserId,
    id: &str,
    keep_abandoned: Option<Duration>,
) -> Result<Vec<u8>, Rejection> {
    json(&load(store, user, video_of(id)?).await?.collectible(keep_abandoned))
}

async fn about(store: &dyn Store, user: &UserId, id: &str, name: &str, body: &[u8]) -> Result<Vec<u8>, Rejection> {
    let video = load(store, user, video_of(id)?).await?;
    match name {
        "status" => json(&video.status_view()),
        "video" => json(&video.video_view()),
        "cost" => json(&video.cost_view()),
        "tree" => json(&video.tree_view()),
        "branches" => json(&video.branch_views()),
        "checkpoint" => {
            let AskCheckpoint { checkpoint_id } = read(body)?;
            let view = video.checkpoint_view(checkpoint_id, true);
            json(&view.ok_or_else(|| unknown_checkpoint(checkpoint_id))?)
        }
        "compare" => {
            let AskCompare { a, b } = read(body)?;
            let unknown = || Rejection::new(Code::UnknownCheckpoint, "the video has no such checkpoints");
            [a, b]
                .iter()
                .filter_map(|id| video.checkpoints.get(id))
                .try_for_each(|checkpoint| checkpoint.still_there())?;
            json(&video.compare(a, b).ok_or_else(unknown)?)
        }
        _ => {
            let reason = format!("there is no query `{name}`; known: {}", VIDEO_QUERIES.join(", "));
            Err(Rejection::new(Code::UnknownQuery, reason))
        }
    }
}

/// Every checkpoint, by creation, as far as they fit.
fn checkpoints(video: &Video, ask: &AskCheckpoints, most: usize) -> Result<Answer, Rejection> {
    let branch = ask.branch_name.as_deref().map(|name| branch_of(video, name)).transpose()?;
    let views = video.checkpoint_views(branch.as_ref());
    let begin = match ask.after {
        Some(after) => match views.iter().position(|view| view.checkpoint_id == after) {
            Some(at) => at + 1,
            None => return Err(unknown_checkpoint(after)),
        },
        None => 0,
    };
    let views: Vec<_> = views.iter().skip(begin).map(json).collect::<Result<_, _>>()?;
    let fit = fitting(views.iter().map(Vec::len), most);
    let body = [&b"["[..], &views.get(..fit).unwrap_or_default().join(&b","[..]), b"]"].concat();
    Ok(Answer { body, more: fit < views.len() })
}

/// How many of these sizes stay within `most` together, but at least one.
fn fitting(sizes: impl Iterator<Item = usize>, most: usize) -> usize {
    let mut total = 0;
    let fits = |size: &usize| {
        total += size + 1;
        total <= most || total == size + 1
    };
    sizes.take_while(fits).count()
}

fn unknown_checkpoint(id: CheckpointId) -> Rejection {
    Rejection::new(Code::UnknownCheckpoint, format!("the video has no checkpoint `{id}`"))
}

async fn history(
    store: &dyn Store,
    user: &UserId,
    id: VideoId,
    ask: AskHistory,
    most: usize,
) -> Result<Vec<u8>, Rejection> {
    let video = load(store, user, id).await?;
    let loaded = store.load(id).await.map_err(away)?;
    let events = loaded.journal.iter().filter(|recorded| recorded.seq > ask.after_seq).take(PAGE);
    let fit = fitting(events.clone().map(|recorded| recorded.public(id).to_json().len()), most);
    json(&History {
        events: events.take(fit).map(|recorded| recorded.public(id).to_map()).collect(),
        head: loaded.journal.last().map_or(0, |recorded| recorded.seq),
        finished: video.is_finished(),
    })
}

async fn load(store: &dyn Store, user: &UserId, id: VideoId) -> Result<Video, Rejection> {
    let loaded = store.load(id).await.map_err(away)?;
    loaded
        .video(id)
        .filter(|video| video.user == *user && video.deleted.is_none())
        .ok_or_else(|| Rejection::new(Code::UnknownVideo, format!("there is no video `{id}`")))
}

fn branch_of(video: &Video, name: &str) -> Result<BranchName, Rejection> {
    let known = video.branches.keys().find(|branch| branch.as_str() == name);
    let cut: String = name.chars().take(64).collect();
    known.cloned().ok_or_else(|| Rejection::new(Code::UnknownBranch, format!("the video has no branch `{cut}`")))
}

fn json(answer: &impl Serialize) -> Result<Vec<u8>, Rejection> {
    let failed = |error: serde_json::Error| Rejection::new(Code::Internal, error.to_string());
    serde_json::to_vec(answer).map_err(failed)
}

/// Nothing is guessed while the database is away.
fn away(error: StoreError) -> Rejection {
    tracing::debug!(error = %error, "a question waits for the database");
    let code = match error {
        StoreError::Unavailable { .. } => Code::Unavailable,
        StoreError::Unusable { .. } | StoreError::Unreadable { .. } => Code::Internal,
    };
    Rejection::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use messages::phase::Phase;
    use serde_json::{Value, json};

    use super::*;
    use crate::video::stage::Stage;

    #[test]
    fn a_list_of_checkpoints_comes_in_parts_that_fit_and_is_whole() {
        let (mut stage, board) = Stage::at(Phase::Storyboard, json!({"duration": 15}));
        for n in 0..6 {
            stage.ask("fork", json!({"checkpoint_id": board, "branch": format!("try-{n}")})).expect("forked");
        }
        let ask = |after| AskCheckpoints { branch_name: None, after };
        let read = |answer: &Answer| serde_json::from_slice::<Vec<Value>>(&answer.body).expect("an array");
        let whole = checkpoints(stage.video(), &ask(None), usize::MAX).expect("it is answered");
        let (all, most) = (read(&whole), whole.body.len() / 3);
        assert_eq!((all.len(), whole.more), (8, false));

        let (mut found, mut parts) = (Vec::new(), 0);
        loop {
            let last = found.last().map(|last: &Value| last["checkpoint_id"].as_str().expect("an id"));
            let after = last.map(|last| last.parse().expect("an id"));
            let part = checkpoints(stage.video(), &ask(after), most).expect("it is answered");
            assert!(part.body.len() <= most, "{} of {most}", part.body.len());
            found.extend(read(&part));
            parts += 1;
            if !part.more {
                break;
            }
        }
        assert_eq!(found, all);
        assert!(parts > 2, "{parts}");
        // What is larger than a part may be comes alone.
        let alone = checkpoints(stage.video(), &ask(None), 1).expect("it is answered");
        assert_eq!((read(&alone), alone.more), (all[..1].to_vec(), true));
    }
}
