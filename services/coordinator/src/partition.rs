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
use runtime::health::{self, LastSeen};
use runtime::service::sentence;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::actor::{Actors, CommandMail, Mail, Surroundings, rejected};
use crate::metrics;
use crate::outbox::dead_letter;
use crate::store::{Position, StoreError};
use crate::wire::{CommandLog, LogIdentity, StoredCommand, WireError};

/// How long a lease lasts, and how often it is renewed.
pub const LEASE: Duration = Duration::from_secs(6);
const RENEW: Duration = Duration::from_secs(2);
/// The longest that a renewal may take, with a database that does not answer.
const TURN: Duration = Duration::from_secs(60);
/// How long to wait before reading again after an error.
const PAUSE: Duration = Duration::from_millis(500);
/// The most commands in the hands of actors. Above it nothing is read: what cannot be recorded yet waits in its stream.
const MOST: usize = 1_000;
/// How often to look whether there is room again.
const LOOK: Duration = Duration::from_millis(50);

/// Keeps this replica's leases and everything that follows from them, until `shutdown`; then gives them back.
pub async fn keep_leases(
    owner: String,
    around: Arc<Surroundings>,
    owned: watch::Sender<HashSet<Partition>>,
    renewed: LastSeen,
    shutdown: CancellationToken,
) {
    let watched = health::main_loop("leases", TURN);
    let mut failing = false;
    loop {
        watched.turns();
        match renew(&owner, &around).await {
            Ok(leased) => {
                failing = false;
                renewed.now();
                let now: HashSet<_> = leased.keys().copied().collect();
                let before = owned.borrow().clone();
                if now != before {
                    match take_over(&around, &leased, &before).await {
                        Ok(()) => {
                            tracing::info!(partitions = now.len(), "partitions are owned");
                            owned.send_replace(now);
                        }
                        Err(error) => tracing::warn!(error = %sentence(&error), "partitions cannot be taken over yet"),
                    }
                }
            }
            Err(error) if !std::mem::replace(&mut failing, true) => {
                tracing::warn!(error = %sentence(&error), "leases cannot be renewed");
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
    let now = around.store.lease_time(around.clock.now()).await?;
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
    unpublished.iter().for_each(|recorded| around.outbox.publish(recorded));
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
            read_until_uncertain(log.as_ref(), &partitions, &actors, &around, &mut failing).await
        };
        tokio::select! {
            error = read => {
                // Once for each time that reading ends, not for each time that it cannot begin.
                if !std::mem::replace(&mut failing, true) {
                    tracing::info!(reason = %error, "commands are read again from the position");
                }
                around.clock.sleep(PAUSE).await;
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
    failing: &mut bool,
) -> WireError {
    let begun = async {
        let identity = log.identity().await?;
        let from_start = lost_tails(log, identity, &around.positions.all()).await?;
        let from = around.positions.begin(identity.created, partitions, &from_start);
        Ok((identity, log.read(partitions, from).await?))
    };
    let (identity, mut commands) = match begun.await {
        Ok(begun) => begun,
        Err(error) => return error,
    };
    *failing = false;
    while let Some(command) = commands.next().await {
        match command {
            Ok(command) => take_in(command, identity, actors, around),
            Err(error) => return error,
        }
        while around.positions.lag() >= MOST {
            around.clock.sleep(LOOK).await;
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
    // Idle partitions share their position.
    let mut stored: HashMap<u64, Option<i64>> = HashMap::new();
    for (partition, position) in positions {
        let intact = if position.sequence == 0 {
            true
        } else if position.stream_created != identity.created || position.sequence > identity.last {
            false
        } else if position.sequence < identity.first {
            // Aged away: everything after it is still there.
            true
        } else {
            let stored_at = match stored.get(&position.sequence) {
                Some(known) => *known,
                None => {
                    let found = log.stored_at(position.sequence).await?;
                    stored.insert(position.sequence, found);
                    found
                }
            };
            stored_at == Some(position.message_time)
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
    let at = Position { stream_created: identity.created, sequence: command.sequence, message_time: command.time };
    let Some(partition) = partition.filter(|partition| around.positions.read(*partition, at)) else { return };
    let stored_before = (command.sequence <= identity.last).then(|| DateTime::from_timestamp_nanos(command.time));
    match address(&command, at, stored_before) {
        Ok((video, mail)) => actors.send(video, Mail::Command(mail)),
        Err(Undeliverable::Answered { user, video, id, rejection }) => {
            let outcome = rejected(&id, *rejection, around.clock.now(), command.trace);
            metrics::answered(verb_of(&command.subject), &outcome);
            around.outbox.publish_once(&user, &video, &outcome);
            around.positions.recorded(partition, at);
        }
        Err(Undeliverable::Malformed) => {
            let reason =
                "the subject's tokens are not of A-Z a-z 0-9 _ - (at most 64); send it again under a valid subject";
            let letter = dead_letter("command", &command.subject, reason, &command.payload, around.clock.now());
            around.outbox.publish_other(letter);
            around.positions.recorded(partition, at);
        }
    }
}

fn verb_of(subject: &str) -> &str {
    subject.rsplit('.').next().unwrap_or_default()
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
    at: Position,
    stored_before: Option<DateTime<Utc>>,
) -> Result<(VideoId, CommandMail), Undeliverable> {
    let subject = CommandSubject::parse(&command.subject).filter(CommandSubject::is_well_formed);
    let Some(subject) = subject else { return Err(Undeliverable::Malformed) };
    let Ok(user) = subject.user.parse::<UserId>() else { return Err(Undeliverable::Malformed) };
    let given = command.command_id.as_deref().map(str::parse::<CommandId>);
    let fallback = format!("{}-{}", at.stream_created, at.sequence);
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
    let misnamed = match &given {
        Some(Err(error)) => Some(error.to_string()),
        Some(Ok(id)) if is_for_commands_without_one(id, at.stream_created) => {
            Some("ids of this form are for commands that bring none; send it again under another id".to_owned())
        }
        Some(Ok(_)) | None => None,
    };
    if let Some(reason) = misnamed {
        let header = messages::subject::COMMAND_ID_HEADER;
        return refuse(Rejection::invalid(vec![Violation::new(header, reason)]));
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
    let trace = command.trace;
    Ok((video, CommandMail { id, user, via, verb, body, at, stored_before, trace }))
}

/// Whether an id is one that a command of this stream gets when it brings none: another with it would use that up.
fn is_for_commands_without_one(id: &CommandId, stream_created: i64) -> bool {
    let sequence = id.as_str().strip_prefix(&stream_created.to_string()).and_then(|rest| rest.strip_prefix('-'));
    sequence.is_some_and(|sequence| !sequence.is_empty() && sequence.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const AT: Position = Position { stream_created: 1_800_000_000_123_456_789, sequence: 41, message_time: 7 };

    fn addressed(command_id: Option<&str>) -> Result<(VideoId, CommandMail), Undeliverable> {
        let command = StoredCommand {
            subject: "p.3.video.eve.vid-0195f0a0-1111-7000-8000-000000000001.cmd.approve".to_owned(),
            sequence: AT.sequence,
            time: AT.message_time,
            command_id: command_id.map(str::to_owned),
            via: None,
            trace: None,
            payload: Bytes::new(),
        };
        address(&command, AT, None)
    }

    #[test]
    fn an_id_like_those_of_commands_that_bring_none_is_refused() {
        let (_, mail) = addressed(None).expect("it is ours to name");
        assert_eq!(mail.id.as_str(), "1800000000123456789-41");
        let refused = addressed(Some("1800000000123456789-42"));
        let Err(Undeliverable::Answered { rejection, .. }) = refused else { panic!("it was taken: {refused:?}") };
        assert_eq!((rejection.code, rejection.errors.len()), (Code::Invalid, 1));
        for other in ["1700000000-1", "1800000000123456789-", "1800000000123456789-x", "1800000000123456789"] {
            assert_eq!(addressed(Some(other)).expect("a name like any other").1.id.as_str(), other);
        }
    }
}
