//! What anyone may see: request/reply, answered by any replica straight from SQL.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::service::Request;
use bytes::Bytes;
use futures::StreamExt as _;
use messages::command::{Code, Rejection, read};
use messages::id::{BranchName, UserId, VideoId};
use messages::query::{
    ArtifactLocation, AskArtifact, AskCheckpoint, AskCheckpoints, AskCompare, AskHistory, History, ListVideos,
    VIDEO_QUERIES, Videos,
};
use messages::violation::Violation;
use runtime::bus::Bus;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};
use crate::video::Video;

/// The most events of one page of history: with public bodies it stays far below what a message may hold.
const PAGE: usize = 500;

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
    let answered = answer(store, keep_abandoned, &message.subject, &message.payload).await;
    match answered {
        Ok(answer) => {
            if let Err(error) = question.respond(Ok(Bytes::from(answer))).await {
                tracing::debug!(error = %error, "a question went unanswered");
            }
        }
        Err(refusal) => {
            let Some(reply_to) = message.reply.clone() else { return };
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Service-Error", refusal.reason.replace(['\r', '\n'], " ").as_str());
            headers.insert("Nats-Service-Error-Code", refusal.code.http_status().to_string().as_str());
            let body = Bytes::from(serde_json::to_vec(&refusal).unwrap_or_default());
            if let Err(error) = bus.client().publish_with_headers(reply_to, headers, body).await {
                tracing::debug!(error = %error, "a question went unanswered");
            }
        }
    }
}

/// The answer to a question on `query.{user}.{video}.{name}` or `query.{user}.{name}`.
pub async fn answer(
    store: &dyn Store,
    keep_abandoned: Option<Duration>,
    subject: &str,
    body: &[u8],
) -> Result<Vec<u8>, Rejection> {
    let tokens: Vec<_> = subject.split('.').collect();
    match tokens.as_slice() {
        ["query", user, "videos"] => videos(store, &user_of(user)?, body).await,
        ["query", user, "artifact"] => artifact(store, &user_of(user)?, body).await,
        ["query", user, video, "retention"] => retention(store, &user_of(user)?, video, keep_abandoned).await,
        ["query", user, video, name] => about(store, &user_of(user)?, video, name, body).await,
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
    let id = video_of(id)?;
    if name == "history" {
        return history(store, user, id, read(body)?).await;
    }
    let video = load(store, user, id).await?;
    match name {
        "status" => json(&video.status_view()),
        "video" => json(&video.video_view()),
        "cost" => json(&video.cost_view()),
        "tree" => json(&video.tree_view()),
        "branches" => json(&video.branch_views()),
        "checkpoints" => {
            let AskCheckpoints { branch_name } = read(body)?;
            let branch = branch_name.map(|name| branch_of(&video, &name)).transpose()?;
            json(&video.checkpoint_views(branch.as_ref()))
        }
        "checkpoint" => {
            let AskCheckpoint { checkpoint_id } = read(body)?;
            let unknown =
                || Rejection::new(Code::UnknownCheckpoint, format!("the video has no checkpoint `{checkpoint_id}`"));
            json(&video.checkpoint_view(checkpoint_id, true).ok_or_else(unknown)?)
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

async fn history(store: &dyn Store, user: &UserId, id: VideoId, ask: AskHistory) -> Result<Vec<u8>, Rejection> {
    let video = load(store, user, id).await?;
    let loaded = store.load(id).await.map_err(away)?;
    let events = loaded.journal.iter().filter(|recorded| recorded.seq > ask.after_seq).take(PAGE);
    json(&History {
        events: events.map(|recorded| recorded.public(id).to_map()).collect(),
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
