//! Appends, many in a statement and all statements in two trips to the database's own thread: one for the fence, one for
//! the rest. Rows travel as JSON, and what they have of any size beside it, in one piece.
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

/// Who passes the fence: videos that are new, those that stand where their appends go on from, and those that only have to
/// stand where they did.
macro_rules! fence {
    () => {
        "insert into video
             (id, user_id, partition, seq, catalogue, status, progress, title, prompt, created_at, updated_at)
         select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
                value ->> 8, value ->> 9, value ->> 10
         from json_each($1) where true on conflict do nothing returning id;

         update video set seq = a.value ->> 2, unpublished = 1, progress = a.value ->> 3, title = a.value ->> 4,
             updated_at = a.value ->> 5
         from json_each($2) a where video.id = a.value ->> 0 and seq = a.value ->> 1 returning video.id;

         select s.value ->> 0 from json_each($3) s
         where coalesce((select seq from video where video.id = s.value ->> 0), 0) = s.value ->> 1;"
    };
}

/// What those leave behind who passed it, and where they stand in lists: SQLite writes to an index whenever one of its
/// columns is set, be it to what it was. What ended goes before what is planned, because what ends and is planned again in
/// one append is planned.
macro_rules! leave {
    () => {
        "update video set status = a.value ->> 1 from json_each($1) a
         where video.id = a.value ->> 0 and status <> a.value ->> 1;

         update video set forgotten_since = a.value ->> 2 from json_each($1) a
         where video.id = a.value ->> 0 and forgotten_since is not a.value ->> 2;

         update video set deleted_at = a.value ->> 1, purge_at = a.value ->> 1, deleted_by = a.value ->> 2
         from json_each($2) a where video.id = a.value ->> 0 and deleted_at is not a.value ->> 1;

         insert into event (video_id, seq, recorded_at, command_id, type, body)
         select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
                cast(substr($4, value ->> '$[5][0]', value ->> '$[5][1]') as text)
         from json_each($3);

         insert into artifact (id, video_id) select value ->> 0, value ->> 1 from json_each($5) where true
         on conflict do nothing;

         insert into ledger (video_id, job, attempt, position, user_id, branch, phase, artifact_key, model, unit,
             quantity, amount, booked_at)
         select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
                value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12
         from json_each($6);

         insert into garbage (object_key, partition) select value ->> 0, value ->> 1 from json_each($7) where true
         on conflict do nothing;

         delete from job where id in (select value from json_each($8));

         insert or replace into job
             (id, video_id, user_id, partition, service, attempt, sends, priority, not_before, body)
         select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, 0, value ->> 6,
                value ->> 7, substr($4, value ->> '$[8][0]', value ->> '$[8][1]')
         from json_each($9);

         insert into command (video_id, command_id, user_id, partition, recorded_at, outcome, in_vain)
         select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
                cast(substr($4, value ->> '$[5][0]', value ->> '$[5][1]') as text),
                not exists (select 1 from video where id = value ->> 0)
         from json_each($10) where true on conflict do nothing;

         update partition_lease set stream_created = p.value ->> 2, sequence = p.value ->> 3, message_time = p.value ->> 4
         from json_each($11) p where partition = p.value ->> 1 and owner = p.value ->> 0;"
    };
}

/// Records everything or nothing; says who lost the fence. On an error the transaction is left open, and rolled back when
/// the connection goes back to its pool.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    appends: &[Arc<Append>],
    positions: &[Moved],
) -> Result<Vec<Appended>, sqlx::Error> {
    keep_catalogues(connection, appends).await?;
    let mut results = vec![Appended::Lost; appends.len()];
    let mut rounds = rounds(appends);
    let last = rounds.pop().unwrap_or_default();
    // Mostly there is none before the last: then everything is two trips.
    for (nth, places) in rounds.iter().enumerate() {
        let statements = if nth == 0 { concat!("begin immediate;", fence!()) } else { fence!() };
        let won = fence(connection, statements, appends, places, &mut results).await?;
        leave(connection, leave!(), &won, &[]).await?;
    }
    let statements = if rounds.is_empty() { concat!("begin immediate;", fence!()) } else { fence!() };
    let won = fence(connection, statements, appends, &last, &mut results).await?;
    leave(connection, concat!(leave!(), "commit;"), &won, positions).await?;
    Ok(results)
}

/// Stores catalogues that are new before anything refers to them. What they say is their name, so that nobody minds one
/// that nothing refers to in the end.
async fn keep_catalogues(connection: &mut SqliteConnection, appends: &[Arc<Append>]) -> Result<(), sqlx::Error> {
    let kept = appends.iter().filter_map(|append| {
        let digest = append.events.first().and_then(catalogue_of)?;
        Some((digest, &append.row.as_ref()?.catalogue))
    });
    for (digest, catalogue) in kept.collect::<BTreeMap<_, _>>() {
        let digest = digest.to_string();
        let known = sqlx::query("select 1 from catalogue where digest = $1").bind(&digest);
        if known.fetch_optional(&mut *connection).await?.is_none() {
            let insert = sqlx::query("insert into catalogue (digest, body) values ($1, $2) on conflict do nothing");
            insert.bind(&digest).bind(to_json(catalogue.as_ref())?).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// Moves each video of a round from the event before its first one to its last, and gives the appends of those that nobody
/// else had moved; with them those that are not fenced, and those that stay where they were decided upon.
async fn fence<'a>(
    connection: &mut SqliteConnection,
    statements: &'static str,
    appends: &'a [Arc<Append>],
    places: &[usize],
    results: &mut [Appended],
) -> Result<Vec<&'a Append>, sqlx::Error> {
    let (mut created, mut moved, mut stayed) = (Vec::new(), Vec::new(), Vec::new());
    let round = || places.iter().filter_map(|place| Some((*place, appends.get(*place)?.as_ref())));
    for (_, append) in round() {
        let (Some(row), Some(first), Some(last)) = (&append.row, append.events.first(), append.events.last()) else {
            stayed.extend(append.based_on.map(|seq| (append.video, seq)));
            continue;
        };
        let (video, updated_at) = (append.video, row.updated_at.timestamp_micros());
        match catalogue_of(first) {
            Some(digest) => created.push((
                video,
                &append.user,
                Partition::of(video).0,
                last.seq,
                digest,
                row.status.name(),
                row.progress,
                &row.title,
                &row.prompt,
                row.created_at.timestamp_micros(),
                updated_at,
            )),
            None => moved.push((video, first.seq - 1, last.seq, row.progress, &row.title, updated_at)),
        }
    }
    let query = sqlx::query(statements).bind(to_json(&created)?).bind(to_json(&moved)?).bind(to_json(&stayed)?);
    let passed: HashSet<String> = query.fetch_all(connection).await?.iter().map(|row| row.get(0)).collect();
    let mut won = Vec::with_capacity(places.len());
    for (place, append) in round() {
        let is_fenced = append.row.is_some() || append.based_on.is_some();
        if let Some(result) = results.get_mut(place)
            && (!is_fenced || passed.contains(&append.video.to_string()))
        {
            *result = Appended::Committed;
            won.push(append);
        }
    }
    Ok(won)
}

/// What those leave behind who passed the fence, and how far commands were read.
async fn leave(
    connection: &mut SqliteConnection,
    statements: &'static str,
    won: &[&Append],
    positions: &[Moved],
) -> Result<(), sqlx::Error> {
    let (mut listed, mut deleted) = (Vec::new(), Vec::new());
    let (mut events, mut artifacts, mut ledger, mut garbage) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut ended, mut planned, mut outcomes) = (Vec::<&JobId>::new(), Vec::new(), Vec::new());
    let mut bodies = Bodies(Vec::new());
    for append in won {
        let (video, partition) = (append.video, Partition::of(append.video).0);
        if let Some(row) = &append.row {
            listed.push((video, row.status.name(), row.forgotten_since.map(|since| since.timestamp_micros())));
            deleted.extend(row.deleted.as_ref().map(|by| (video, row.updated_at.timestamp_micros(), by)));
        }
        for recorded in &append.events {
            events.push((
                video,
                recorded.seq,
                recorded.time.timestamp_micros(),
                &recorded.command_id,
                recorded.event.name(),
                bodies.add_json(&recorded.event)?,
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
                bodies.add(&job.body),
            ));
        }
        if let Some(outcome) = &append.outcome {
            outcomes.push((
                video,
                outcome.command_id(),
                &append.user,
                partition,
                outcome.time().timestamp_micros(),
                bodies.add_json(outcome)?,
            ));
        }
    }
    let moved: Vec<_> = positions
        .iter()
        .map(|Moved { owner, partition, position }| {
            (owner, partition.0, position.stream_created, position.sequence, position.message_time)
        })
        .collect();
    sqlx::query(statements)
        .bind(to_json(&listed)?)
        .bind(to_json(&deleted)?)
        .bind(to_json(&events)?)
        .bind(bodies.0)
        .bind(to_json(&artifacts)?)
        .bind(to_json(&ledger)?)
        .bind(to_json(&garbage)?)
        .bind(to_json(&ended)?)
        .bind(to_json(&planned)?)
        .bind(to_json(&outcomes)?)
        .bind(to_json(&moved)?)
        .execute(connection)
        .await?;
    Ok(())
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
