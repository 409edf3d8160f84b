//! A video's events as they happen, every one once and in order, however the bus lost or repeated them.
//!
//! Live messages are hints: they are fast, and the history in SQL is asked whenever one is missing or nothing comes.

use std::time::Duration;

use futures::StreamExt as _;
use messages::id::VideoId;
use messages::job::Progress;
use messages::query::{AskHistory, History};
use messages::subject;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use crate::client::{Client, ClientError};
use crate::happened::Seen;

/// After so much silence the history is asked whether something was missed.
const SILENCE: Duration = Duration::from_secs(5);

/// Something to show.
#[derive(Debug, Clone)]
pub enum News {
    /// The next event, with its public body.
    Event(Seen, Map<String, Value>),
    /// How far a job is.
    Progress(Progress),
}

/// Follows a video from the event after `after` on, until the receiver is dropped.
pub async fn follow(client: &Client, video: VideoId, after: u64) -> Result<mpsc::Receiver<News>, ClientError> {
    let user = &client.user;
    let mut events = client.subscribe(subject::event(user, &video.to_string(), "*")).await?;
    let mut notes = client.subscribe(format!("video.{user}.{video}.progress.*")).await?;
    let (news, receiver) = mpsc::channel(256);
    let client = client.clone();
    tokio::spawn(async move {
        let mut last = after;
        // The first check is due at once: it brings what happened before the subscription.
        let mut check = tokio::time::interval(SILENCE);
        loop {
            let message = tokio::select! {
                Some(message) = events.next() => message,
                Some(message) = notes.next() => {
                    // A note that finds the reader busy is old by then.
                    if let Ok(note) = serde_json::from_slice(&message.payload) {
                        let _ = news.try_send(News::Progress(note));
                    }
                    continue;
                }
                _ = check.tick() => {
                    if catch_up(&client, video, &mut last, &news).await.is_err() {
                        return;
                    }
                    continue;
                }
                () = news.closed() => return,
            };
            let body = serde_json::from_slice::<Map<String, Value>>(&message.payload).ok();
            // The outcome of a command is no event.
            let Some((seen, body)) = body.and_then(|body| Some((Seen::read(&body)?, body))) else { continue };
            let passed_on = match place(last, seen.seq) {
                Place::Known => continue,
                Place::Next => {
                    last = seen.seq;
                    news.send(News::Event(seen, body)).await.map_err(|_| Closed)
                }
                Place::AfterGap => catch_up(&client, video, &mut last, &news).await,
            };
            if passed_on.is_err() {
                return;
            }
            check.reset();
        }
    });
    Ok(receiver)
}

/// Where an event stands to the last one that was passed on.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Next,
    Known,
    AfterGap,
}

const fn place(last: u64, seq: u64) -> Place {
    if seq <= last {
        Place::Known
    } else if seq - last == 1 {
        Place::Next
    } else {
        Place::AfterGap
    }
}

/// The reader is gone.
struct Closed;

/// Passes on what the history has after `last`. Where it cannot be read, the next check asks again.
async fn catch_up(client: &Client, video: VideoId, last: &mut u64, news: &mpsc::Sender<News>) -> Result<(), Closed> {
    loop {
        let page: History = match client.query(video, "history", &AskHistory { after_seq: *last }).await {
            Ok(page) => page,
            Err(error) => {
                tracing::debug!(%error, "history not read");
                return Ok(());
            }
        };
        let before = *last;
        for body in page.events {
            let Some(seen) = Seen::read(&body) else { continue };
            if place(*last, seen.seq) == Place::Known {
                continue;
            }
            *last = seen.seq;
            news.send(News::Event(seen, body)).await.map_err(|_| Closed)?;
        }
        if *last >= page.head || *last == before {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_known_and_holes_are_noticed() {
        assert_eq!(place(0, 1), Place::Next);
        assert_eq!(place(4, 4), Place::Known);
        assert_eq!(place(4, 2), Place::Known);
        assert_eq!(place(4, 6), Place::AfterGap);
        assert_eq!(place(u64::MAX, u64::MAX), Place::Known);
    }
}
