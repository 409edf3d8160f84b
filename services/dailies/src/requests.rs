//! The short commands: one question or one command over NATS, answered and printed.

use messages::checkpoint::Approve;
use messages::id::{CheckpointId, VideoId};
use messages::query::{BranchState, ListVideos, Status, Videos};
use messages::video::{Cancel, Retry};
use runtime::bus::{Bus, BusError, NatsSettings};
use runtime::config::{ConfigError, Settings};
use serde_json::{Value, json};

use crate::arguments::Reach;
use crate::client::{Client, ClientError};
use crate::columns::{clean, cut, pad};
use crate::data_folder::{DataError, DataFolder};
use crate::follow::{News, follow};
use crate::happened::Happened;
use crate::program;
use crate::running::Running;
use crate::screen::Screen;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The data folder.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The connection.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The cluster refused or fell silent.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Nothing runs here and no other place was named.
    #[error(
        "no cluster runs in {folder}: start one with `{} up`, or name another with --nats URL or --context NAME",
        program()
    )]
    NoCluster {
        /// Where it was looked for.
        folder: String,
    },
    /// There is nothing to approve.
    #[error("no checkpoint of {0} waits for an approval")]
    NothingWaits(VideoId),
}

/// Connects to the cluster that was named, else to the one that runs in the data folder.
pub async fn connect(reach: &Reach, settings: &Settings) -> Result<Client, RequestError> {
    let named = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let elsewhere = reach.nats.is_some() || reach.context.is_some() || named("NATS_URL") || named("NATS_CONTEXT");
    let nats = if elsewhere {
        let mut settings = settings.clone();
        let creds = reach.creds.as_ref().map(|file| file.display().to_string());
        for (key, value) in [("url", reach.nats.clone()), ("context", reach.context.clone()), ("creds", creds)] {
            if let Some(value) = value {
                settings.set("nats", key, value);
            }
        }
        settings.section::<NatsSettings>("nats")?
    } else {
        let owner = if reach.data.is_dir() { DataFolder::open(&reach.data)?.owner() } else { None };
        let owner = owner.ok_or_else(|| RequestError::NoCluster { folder: reach.data.display().to_string() })?;
        NatsSettings::for_url(&owner.nats)
    };
    Ok(Client { bus: Bus::connect(&nats).await?, user: reach.user.clone() })
}

/// `dailies videos`
pub async fn videos(client: &Client, as_json: bool) -> Result<(), RequestError> {
    let mut screen = Screen::stdout();
    let mut page = ListVideos { limit: Some(100), ..ListVideos::default() };
    loop {
        let videos: Videos = client.user_query("videos", &page).await?;
        for video in &videos.videos {
            if as_json {
                screen.print(&serde_json::to_string(video).unwrap_or_default());
                continue;
            }
            let title = clean(video.title.as_deref().unwrap_or(&video.prompt));
            let progress = format!("{:>3.0} %", video.progress);
            let line = format!("{}  {}  {progress}  {title}", video.video_id, pad(video.status.name(), 21));
            screen.print(&cut(&line, screen.width().max(80)));
        }
        match videos.next_cursor {
            Some(cursor) => page.cursor = Some(cursor),
            None => return Ok(()),
        }
    }
}

/// `dailies status`
pub async fn status(client: &Client, video: VideoId, as_json: bool) -> Result<(), RequestError> {
    let mut screen = Screen::stdout();
    let answer: Value = client.query(video, "status", &json!({})).await?;
    if as_json {
        screen.print(&serde_json::to_string_pretty(&answer).unwrap_or_default());
        return Ok(());
    }
    let status: Status = serde_json::from_value(answer).map_err(|error| ClientError::Strange(error.to_string()))?;
    screen.print(&format!("{}  {}  {:.0} %  {}", video, status.status.name(), status.progress, status.cost.spent_usd));
    for branch in &status.branches {
        let state = match branch.state {
            BranchState::Running => format!("{} jobs run or wait", branch.running_jobs.len()),
            BranchState::Paused => match branch.latest_checkpoint_id {
                Some(checkpoint) => format!("waits for an approval of {checkpoint}"),
                None => "waits".to_owned(),
            },
            BranchState::BlockedBudget => "waits for a larger budget".to_owned(),
            BranchState::BlockedUnknown => "waits for somebody to resolve a paid job".to_owned(),
            BranchState::Failed => format!("failed: {}", clean(branch.error.as_deref().unwrap_or("without a reason"))),
            BranchState::Cancelled => "cancelled".to_owned(),
            BranchState::Complete => "complete".to_owned(),
        };
        screen.print(&format!("  {}  {}  {state}", branch.branch_name, branch.phase_number.name()));
    }
    Ok(())
}

/// `dailies watch`: from the beginning until no branch runs or waits.
pub async fn watch(client: &Client, video: VideoId, as_json: bool) -> Result<(), RequestError> {
    let mut screen = Screen::stdout();
    let mut running = Running::default();
    // An unknown video is refused here.
    let _: Value = client.query(video, "status", &json!({})).await?;
    let mut news = follow(client, video, 0).await?;
    while let Some(news) = news.recv().await {
        let (seen, body) = match news {
            News::Event(seen, body) => (seen, body),
            News::Progress(note) => {
                running.progress(&note);
                if !as_json {
                    screen.live(&running.bars(screen.width()));
                }
                continue;
            }
        };
        running.event(&seen);
        if as_json {
            screen.print(&Value::Object(body).to_string());
        } else {
            screen.print(&cut(&event_line(&seen.time, &body), screen.width().max(80)));
            screen.live(&running.bars(screen.width()));
        }
        if matches!(seen.happened, Happened::BranchCompleted { .. } | Happened::VideoDeleted { .. }) {
            let page: messages::query::History =
                client.query(video, "history", &messages::query::AskHistory { after_seq: seen.seq }).await?;
            if page.finished && page.events.is_empty() {
                break;
            }
        }
    }
    Ok(())
}

/// An event in a line: when, what, and the fields that a person may use.
fn event_line(time: &chrono::DateTime<chrono::Utc>, body: &serde_json::Map<String, Value>) -> String {
    let mut line =
        format!("{}  {}", time.format("%H:%M:%S"), clean(body.get("type").and_then(Value::as_str).unwrap_or("")));
    let told = ["branch", "phase", "attempt", "how", "by", "reason", "key", "job", "checkpoint_id"];
    for (name, value) in told.iter().filter_map(|name| Some((name, body.get(*name)?))) {
        match value {
            Value::String(text) => line += &format!("  {name} {}", clean(text)),
            Value::Number(number) => line += &format!("  {name} {number}"),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {}
        }
    }
    line
}

/// `dailies approve`: the checkpoint that was named, else the newest that waits.
pub async fn approve(
    client: &Client,
    video: VideoId,
    checkpoint: Option<CheckpointId>,
    note: Option<String>,
) -> Result<(), RequestError> {
    let (checkpoint_id, digest) = match checkpoint {
        Some(checkpoint) => (checkpoint, None),
        None => {
            let status: Status = client.query(video, "status", &json!({})).await?;
            let waiting = status.current_checkpoint.ok_or(RequestError::NothingWaits(video))?;
            (waiting.checkpoint_id, Some(waiting.digest))
        }
    };
    let body = Approve { checkpoint_id, branch: Some("same".to_owned()), digest, note, accept_stale: false };
    say(client.command(video, "approve", &body).await?.answer)
}

/// `dailies retry`
pub async fn retry(client: &Client, video: VideoId, branch: Option<String>) -> Result<(), RequestError> {
    say(client.command(video, "retry", &Retry { branch }).await?.answer)
}

/// `dailies cancel`
pub async fn cancel(client: &Client, video: VideoId, branch: Option<String>) -> Result<(), RequestError> {
    say(client.command(video, "cancel", &Cancel { branch }).await?.answer)
}

/// Prints the sentence that every answer has.
fn say(answer: Value) -> Result<(), RequestError> {
    let message = answer.get("message").and_then(Value::as_str).unwrap_or("done");
    Screen::stdout().print(&clean(message));
    Ok(())
}
