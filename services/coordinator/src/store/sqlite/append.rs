//! Appends, many in a statement: rows travel as one JSON text, because each statement is a trip to the database's own
//! thread and back; what they have of any size travels beside it, in one piece.
//!
//! The order within a transaction is that of the crash story: first the fence, then what those who passed it leave behind.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use messages::id::JobId;
use messages::subject::Partition;
use serde::Serialize;
use sqlx::{Row as _, SqliteConnection};

use super::super::rounds::rounds;
use super::super::rows::to_json;
use super::super::{Append, Appended, Moved, Published, artifacts_of, catalogue_of, placed};

/// Records everything or nothing; says who lost the fence.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    appends: &[Arc<Append>],
    positions: &[Moved],
) -> Result<Vec<Appended>, sqlx::Error> {
    let mut results = vec![Appended::Lost; appends.len()];
    for places in rounds(appends) {
        let round: Vec<_> = places.iter().filter_map(|place| appends.get(*place)).map(Arc::as_ref).collect();
        let passed = fence(connection, &round).await?;
        let passed = |append: &Append| !is_fenced(append) || passed.contains(&append.video.to_string());
        let won: Vec<_> = round.into_iter().filter(|append| passed(append)).collect();
        leave(connection, &won).await?;
        for place in places {
            if let (Some(result), Some(append)) = (results.get_mut(place), appends.get(place))
                && passed(append)
            {
                *result = Appended::Committed;
            }
        }
    }
    let rows = positions.iter().map(|Moved { owner, partition, position }| {
        (owner, partition.0, position.stream_created, position.sequence, position.message_time)
    });
    execute(
        connection,
        "update partition_lease set stream_created = p.value ->> 2, sequence = p.value ->> 3, message_time = p.value ->> 4
         from json_each($1) p where partition = p.value ->> 1 and owner = p.value ->> 0",
        rows,
    )
    .await?;
    Ok(results)
}

/// Whether it is recorded only where nobody else has moved the video.
const fn is_fenced(append: &Append) -> bool {
    append.row.is_some() || append.based_on.is_some()
}

/// Moves each video from the event before its first one to its last, and gives those that nobody else had moved; with them
/// those that stay where they were decided upon.
async fn fence(connection: &mut SqliteConnection, round: &[&Append]) -> Result<HashSet<String>, sqlx::Error> {
    let mut catalogues = BTreeMap::new();
    let (mut created, mut moved, mut stayed) = (Vec::new(), Vec::new(), Vec::new());
    let (mut listed, mut deleted) = (Vec::new(), Vec::new());
    for append in round {
        let (Some(row), Some(first), Some(last)) = (&append.row, append.events.first(), append.events.last()) else {
            stayed.extend(append.based_on.map(|seq| (append.video, seq)));
            continue;
        };
        let (video, updated_at) = (append.video, row.updated_at.timestamp_micros());
        if let Some(digest) = catalogue_of(first) {
            created.push((
                video,
                &append.user,
                Partition::of(append.video).0,
                last.seq,
                digest,
                row.status.name(),
                row.progress,
                &row.title,
                &row.prompt,
                row.created_at.timestamp_micros(),
                updated_at,
            ));
            catalogues.insert(digest, &row.catalogue);
        } else {
            moved.push((video, first.seq - 1, last.seq, row.progress, &row.title, updated_at));
            listed.push((
                video.to_string(),
                row.status.name(),
                row.forgotten_since.map(|since| since.timestamp_micros()),
            ));
            deleted.extend(row.deleted.as_ref().map(|by| (video.to_string(), updated_at, by)));
        }
    }
    for (digest, catalogue) in catalogues {
        let digest = digest.to_string();
        let known = sqlx::query("select 1 from catalogue where digest = $1").bind(&digest);
        if known.fetch_optional(&mut *connection).await?.is_none() {
            let insert = sqlx::query("insert into catalogue (digest, body) values ($1, $2) on conflict do nothing");
            insert.bind(&digest).bind(to_json(catalogue.as_ref())?).execute(&mut *connection).await?;
        }
    }
    let mut passed = returned(
        connection,
        "insert into video (id, user_id, partition, seq, catalogue, status, progress, title, prompt, created_at, updated_at)
         select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
                value ->> 8, value ->> 9, value ->> 10
         from json_each($1) where true on conflict do nothing returning id",
        created,
    )
    .await?;
    passed.extend(
        returned(
            connection,
            "update video set seq = a.value ->> 2, unpublished = 1, progress = a.value ->> 3, title = a.value ->> 4,
                 updated_at = a.value ->> 5
             from json_each($1) a where video.id = a.value ->> 0 and seq = a.value ->> 1 returning video.id",
            moved,
        )
        .await?,
    );
    listed.retain(|(video, ..)| passed.contains(video));
    deleted.retain(|(video, ..)| passed.contains(video));
    list(connection, &listed, &deleted).await?;
    passed.extend(
        returned(
            connection,
            "select s.value ->> 0 from json_each($1) s
             where coalesce((select seq from video where video.id = s.value ->> 0), 0) = s.value ->> 1",
            stayed,
        )
        .await?,
    );
    Ok(passed)
}

/// Moves videos that passed the fence within the lists that they stand in, where that changes: SQLite writes to an index
/// whenever one of its columns is set, be it to what it was.
async fn list(
    connection: &mut SqliteConnection,
    listed: &[impl Serialize],
    deleted: &[impl Serialize],
) -> Result<(), sqlx::Error> {
    for statement in [
        "update video set status = a.value ->> 1 from json_each($1) a
         where video.id = a.value ->> 0 and status <> a.value ->> 1",
        "update video set forgotten_since = a.value ->> 2 from json_each($1) a
         where video.id = a.value ->> 0 and forgotten_since is not a.value ->> 2",
    ] {
        execute(connection, statement, listed).await?;
    }
    execute(
        connection,
        "update video set deleted_at = a.value ->> 1, purge_at = a.value ->> 1, deleted_by = a.value ->> 2
         from json_each($1) a where video.id = a.value ->> 0 and deleted_at is not a.value ->> 1",
        deleted,
    )
    .await
}

/// What those leave behind who passed the fence.
async fn leave(connection: &mut SqliteConnection, won: &[&Append]) -> Result<(), sqlx::Error> {
    let (mut events, mut artifacts, mut ledger, mut garbage) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut ended, mut planned, mut outcomes) = (Vec::<&JobId>::new(), Vec::new(), Vec::new());
    let [mut event_bodies, mut job_bodies, mut outcome_bodies] = [const { Bodies(Vec::new()) }; 3];
    for append in won {
        let (video, partition) = (append.video, Partition::of(append.video).0);
        for recorded in &append.events {
            events.push((
                video,
                recorded.seq,
                recorded.time.timestamp_micros(),
                &recorded.command_id,
                recorded.event.name(),
                event_bodies.add_json(&recorded.event)?,
            ));
            artifacts.extend(artifacts_of(recorded).into_iter().map(|artifact| (artifact, video)));
        }
        for (position, row) in placed(&append.spent) {
            ledger.push((
                video,
                row.job,
                row.attempt,
                position,
                &append.user,
                &row.branch,
                row.phase.number(),
                row.artifact_key,
                &row.model,
                &row.unit,
                row.quantity,
                row.amount_usd.micros(),
                row.time.timestamp_micros(),
            ));
        }
        garbage.extend(append.garbage.iter().map(|key| (key, partition)));
        ended.extend(&append.ended);
        for job in &append.plan {
            planned.push((
                job.id,
                video,
                &job.user,
                partition,
                job.service.name(),
                job.attempt,
                i64::from(job.interactive),
                job.not_before.timestamp_micros(),
                job_bodies.add(&job.body),
            ));
        }
        if let Some(outcome) = &append.outcome {
            outcomes.push((
                video,
                outcome.command_id(),
                &append.user,
                partition,
                outcome.time().timestamp_micros(),
                outcome_bodies.add_json(outcome)?,
            ));
        }
    }
    execute_with(
        connection,
        "insert into event (video_id, seq, recorded_at, command_id, type, body)
         select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
                cast(substr($2, value ->> '$[5][0]', value ->> '$[5][1]') as text)
         from json_each($1)",
        events,
        event_bodies,
    )
    .await?;
    execute(
        connection,
        "insert into artifact (id, video_id) select value ->> 0, value ->> 1 from json_each($1) where true
         on conflict do nothing",
        artifacts,
    )
    .await?;
    execute(
        connection,
        "insert into ledger (video_id, job, attempt, position, user_id, branch, phase, artifact_key, model, unit,
             quantity, amount, booked_at)
         select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
                value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12
         from json_each($1)",
        ledger,
    )
    .await?;
    execute(
        connection,
        "insert into garbage (object_key, partition) select value ->> 0, value ->> 1 from json_each($1) where true
         on conflict do nothing",
        garbage,
    )
    .await?;
    // First what ended: what ends and is planned again in one append is planned.
    execute(connection, "delete from job where id in (select value from json_each($1))", ended).await?;
    execute_with(
        connection,
        "insert or replace into job (id, video_id, user_id, partition, service, attempt, sends, priority, not_before, body)
         select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, 0, value ->> 6, value ->> 7,
                substr($2, value ->> '$[8][0]', value ->> '$[8][1]')
         from json_each($1)",
        planned,
        job_bodies,
    )
    .await?;
    execute_with(
        connection,
        "insert into command (video_id, command_id, user_id, partition, recorded_at, outcome, in_vain)
         select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
                cast(substr($2, value ->> '$[5][0]', value ->> '$[5][1]') as text),
                not exists (select 1 from video where id = value ->> 0)
         from json_each($1) where true on conflict do nothing",
        outcomes,
        outcome_bodies,
    )
    .await
}

/// Remembers what has left.
pub(super) async fn mark_published(
    connection: &mut SqliteConnection,
    published: &Published,
) -> Result<(), sqlx::Error> {
    let events = published.events.iter().map(|(video, seq)| (video, seq));
    execute(
        connection,
        "update video set published_seq = l.seq, unpublished = l.seq < video.seq
         from (select value ->> 0 as id, max(value ->> 1) as seq from json_each($1) group by 1) l
         where video.id = l.id and published_seq < l.seq",
        events,
    )
    .await?;
    let outcomes = published.outcomes.iter().map(|(video, user, command)| (video, user, command));
    execute(
        connection,
        "update command set sent = 1 from json_each($1) l
         where video_id = l.value ->> 0 and user_id = l.value ->> 1 and command_id = l.value ->> 2",
        outcomes,
    )
    .await?;
    // Word of an attempt that was replaced meanwhile says nothing about the new one.
    let jobs = published.jobs.iter().map(|(job, attempt, sends)| (job, attempt, sends));
    execute(
        connection,
        "update job set sends = l.sends
         from (select value ->> 0 as id, value ->> 1 as attempt, max(value ->> 2) as sends from json_each($1) group by 1, 2) l
         where job.id = l.id and job.attempt = l.attempt",
        jobs,
    )
    .await
}

async fn execute(
    connection: &mut SqliteConnection,
    statement: &'static str,
    rows: impl IntoIterator<Item = impl Serialize>,
) -> Result<(), sqlx::Error> {
    let rows: Vec<_> = rows.into_iter().collect();
    if !rows.is_empty() {
        sqlx::query(statement).bind(to_json(&rows)?).execute(connection).await?;
    }
    Ok(())
}

/// The same for rows that have bodies.
async fn execute_with(
    connection: &mut SqliteConnection,
    statement: &'static str,
    rows: Vec<impl Serialize>,
    bodies: Bodies,
) -> Result<(), sqlx::Error> {
    if !rows.is_empty() {
        sqlx::query(statement).bind(to_json(&rows)?).bind(bodies.0).execute(connection).await?;
    }
    Ok(())
}

/// What is too large to travel within JSON, one after the other.
struct Bodies(Vec<u8>);

impl Bodies {
    /// Adds one, and gives where `substr` finds it: its first byte, counted from 1, and its length.
    fn add(&mut self, body: &[u8]) -> (usize, usize) {
        let first = self.0.len() + 1;
        self.0.extend_from_slice(body);
        (first, body.len())
    }

    fn add_json(&mut self, body: &impl Serialize) -> Result<(usize, usize), sqlx::Error> {
        let before = self.0.len();
        serde_json::to_writer(&mut self.0, body).map_err(|error| sqlx::Error::Encode(error.into()))?;
        Ok((before + 1, self.0.len() - before))
    }
}

/// The ids that a statement gives back.
async fn returned(
    connection: &mut SqliteConnection,
    statement: &'static str,
    rows: Vec<impl Serialize>,
) -> Result<HashSet<String>, sqlx::Error> {
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = sqlx::query(statement).bind(to_json(&rows)?).fetch_all(connection).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
