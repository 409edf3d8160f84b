//! Which share of the videos this replica runs, and the reading of their commands.
//!
//! Shares are leases in SQL. The owner reads `VIDEO_COMMANDS` from its position, without acknowledgements, and begins
//! anew at the position after every error, gap or reconnect.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use messages::command::{Code, Rejection, Via};
use messages::id::{CommandId, UserId, VideoId};
use messages::subject::{CommandSubject, Partition};
use messages::violation::Violation;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::actor::{Actors, CommandMail, Mail, Surroundings, dead_letter, rejected};
use crate::store::{Position, StoreError};
use crate::wire::{CommandLog, LogIdentity, StoredCommand, WireError};

/// How long a lease lasts, and how often it is renewed.
const LEASE: Duration = Duration::from_secs(6);
const RENEW: Duration = Duration::from_secs(2);
/// How long to wait before reading again after an error.
const PAUSE: Duration = Duration::from_millis(500);

/// Keeps this replica's leases and everything that follows from them, until `shutdown`; then gives them back.
pub async fn keep_leases(
    owner: String,
    around: Arc<Surroundings>,
    owned: watch::Sender<HashSet<Partition>>,
    shutdown: CancellationToken,
) {
    let mut failing = false;
    loop {
        match renew(&owner, &around).await {
            Ok(leased) => {
                failing = false;
                let now: HashSet<_> = leased.keys().copied().collect();
                let before = owned.borrow().clone();
                if now != before {
                    match take_over(&around, &leased, &before).await {
                        Ok(()) => {
                            tracing::info!(partitions = now.len(), "partitions are owned");
                            owned.send_replace(now);
                        }
                        Err(error) => tracing::warn!(error = %error, "partitions cannot be taken over yet"),
                    }
                }
            }
            Err(error) if !std::mem::replace(&mut failing, true) => {
                tracing::warn!(error = %error, "leases cannot be renewed");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = around.clock.sleep(RENEW) => {}
            () = shutdown.cancelled() => break,
        }
    }
    owned.send_replace(HashSet::new());
    if let Err(error) = around.store.release(&owner).await {
        tracing::debug!(error = %error, "leases were not given back and will run out");
    }
}

async fn renew(owner: &str, around: &Surroundings) -> Result<HashMap<Partition, Position>, StoreError> {
    let now = around.clock.now();
    around.store.lease(owner, now, now + LEASE).await
}

/// Picks up what the last owner left: positions, events and outcomes not yet published, jobs not yet ended.
async fn take_over(
    around: &Surroundings,
    leased: &HashMap<Partition, Position>,
    before: &HashSet<Partition>,
) -> Result<(), StoreError> {
    let new: Vec<_> = leased.keys().copied().filter(|partition| !before.contains(partition)).collect();
    let unpublished = around.store.unpublished(new.clone()).await?;
    let jobs = around.store.jobs(new).await?;
    around.positions.keep(leased);
    around.dispatcher.keep(leased.keys().copied().collect());
    if !unpublished.is_empty() || !jobs.is_empty() {
        tracing::info!(videos = unpublished.len(), jobs = jobs.len(), "unfinished work is taken over");
    }
    unpublished.into_iter().for_each(|recorded| around.outbox.publish(recorded));
    around.dispatcher.plan(jobs);
    Ok(())
}

/// Reads the commands of the partitions owned, whichever these are, until `shutdown`.
pub async fn read_commands(
    log: Arc<dyn CommandLog>,
    actors: Arc<Actors>,
    around: Arc<Surroundings>,
    mut owned: watch::Receiver<HashSet<Partition>>,
    shutdown: CancellationToken,
) {
    let mut failing = false;
    loop {
        let partitions: Vec<_> = owned.borrow_and_update().iter().copied().collect();
        let read = async {
            if partitions.is_empty() {
                return std::future::pending().await;
            }
            read_until_uncertain(log.as_ref(), &partitions, &actors, &around).await
        };
        tokio::select! {
            error = read => {
                let again = std::mem::replace(&mut failing, true);
                if !again {
                    tracing::info!(reason = %error, "commands are read again from the position");
                }
                around.clock.sleep(PAUSE).await;
                failing = again && failing;
            }
            changed = owned.changed() => if changed.is_err() { return },
            () = shutdown.cancelled() => return,
        }
    }
}

async fn read_until_uncertain(
    log: &dyn CommandLog,
    partitions: &[Partition],
    actors: &Arc<Actors>,
    around: &Surroundings,
) -> WireError {
    let begun = async {
        let identity = log.identity().await?;
        let from_start = lost_tails(log, identity, &around.positions.all()).await?;
        around.positions.begin(identity.created, &from_start);
        let from = around.positions.all().iter().map(|(_, position)| position.sequence + 1).min().unwrap_or(1);
        Ok((identity, log.read(partitions, from).await?))
    };
    let (identity, mut commands) = match begun.await {
        Ok(begun) => begun,
        Err(error) => return error,
    };
    while let Some(command) = commands.next().await {
        match command {
            Ok(command) => take_in(command, identity, actors, around),
            Err(error) => return error,
        }
    }
    WireError { action: "read commands", reason: "the reader ended".to_owned() }
}

/// Partitions whose position is not in this stream: it is another one, or it lost its tail. They are read from the start;
/// repeats are harmless, because commands have ids.
async fn lost_tails(
    log: &dyn CommandLog,
    identity: LogIdentity,
    positions: &[(Partition, Position)],
) -> Result<HashSet<Partition>, WireError> {
    let mut lost = HashSet::new();
    for (partition, position) in positions {
        let intact = if position.sequence == 0 {
            true
        } else if position.stream_created != identity.created || position.sequence > identity.last {
            false
        } else if position.sequence < identity.first {
            // Aged away: everything after it is still there.
            true
        } else {
            log.stored_at(position.sequence).await? == Some(position.message_time)
        };
        if !intact {
            tracing::warn!(partition = partition.0, sequence = position.sequence, "the command stream lost its tail");
            lost.insert(*partition);
        }
    }
    Ok(lost)
}

/// Brings one command to its video's actor; what nobody could ever answer is answered or set aside here.
fn take_in(command: StoredCommand, identity: LogIdentity, actors: &Arc<Actors>, around: &Surroundings) {
    let partition = command.subject.split('.').nth(1).and_then(|partition| partition.parse().ok()).map(Partition);
    let Some(partition) = partition.filter(|p| around.positions.read(*p, command.sequence, command.time)) else {
        return;
    };
    let fallback = format!("{}-{}", identity.created, command.sequence);
    let stored_before = (command.sequence <= identity.last).then(|| DateTime::from_timestamp_nanos(command.time));
    match address(&command, fallback, stored_before) {
        Ok((video, mail)) => actors.send(video, Mail::Command(mail)),
        Err(Undeliverable::Answered { user, video, id, rejection }) => {
            around.outbox.publish_once(&user, &video, &rejected(&id, *rejection, around.clock.now()));
            around.positions.recorded(partition, command.sequence);
        }
        Err(Undeliverable::Malformed) => {
            let reason =
                "the subject's tokens are not of A-Z a-z 0-9 _ - (at most 64); send it again under a valid subject";
            let letter = dead_letter("command", &command.subject, reason, &command.payload, around.clock.now());
            around.outbox.publish_other(letter);
            around.positions.recorded(partition, command.sequence);
        }
    }
}

/// Why a command reaches no actor.
#[derive(Debug, PartialEq)]
enum Undeliverable {
    /// Its sender can be told.
    Answered { user: UserId, video: String, id: CommandId, rejection: Box<Rejection> },
    /// Its sender cannot even be named.
    Malformed,
}

fn address(
    command: &StoredCommand,
    fallback: String,
    stored_before: Option<DateTime<Utc>>,
) -> Result<(VideoId, CommandMail), Undeliverable> {
    let subject = CommandSubject::parse(&command.subject).filter(CommandSubject::is_well_formed);
    let Some(subject) = subject else { return Err(Undeliverable::Malformed) };
    let Ok(user) = subject.user.parse::<UserId>() else { return Err(Undeliverable::Malformed) };
    let given = command.command_id.as_deref().map(str::parse::<CommandId>);
    let Ok(id) = (match &given {
        Some(Ok(id)) => Ok(id.clone()),
        Some(Err(_)) | None => fallback.parse::<CommandId>(),
    }) else {
        return Err(Undeliverable::Malformed);
    };
    let refuse = |rejection| {
        let (user, video, id) = (user.clone(), subject.video.to_owned(), id.clone());
        Err(Undeliverable::Answered { user, video, id, rejection: Box::new(rejection) })
    };
    if let Some(Err(error)) = given {
        let header = messages::subject::COMMAND_ID_HEADER;
        return refuse(Rejection::invalid(vec![Violation::new(header, error.to_string())]));
    }
    let Ok(video) = subject.video.parse::<VideoId>() else {
        let reason = format!("`{}` is not a video id (`vid-` and a lower-case UUID)", subject.video);
        return refuse(match subject.verb {
            "create" => Rejection::invalid(vec![Violation::new("video_id", reason)]),
            _ => Rejection::new(Code::UnknownVideo, reason),
        });
    };
    let via = match command.via.as_deref() {
        Some("http") => Via::Http,
        Some("cli") => Via::Cli,
        Some(_) | None => Via::Nats,
    };
    let (verb, body) = (subject.verb.to_owned(), command.payload.clone());
    Ok((video, CommandMail { id, user, via, verb, body, sequence: command.sequence, stored_before }))
}
