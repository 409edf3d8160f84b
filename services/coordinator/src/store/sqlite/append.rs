//! Appends of many videos in one transaction and one statement, so that whoever waits for one alone waits for little else
//! than the disk: the database's own thread says something to another one after each statement, and a word from thread to
//! thread costs more than most statements do.

use std::collections::BTreeMap;
use std::sync::Arc;

use messages::subject::Partition;
use sqlx::SqliteConnection;

use super::super::rounds::rounds;
use super::super::rows::to_json;
use super::super::{Append, Appended, Published, SentJob, catalogue_of};
use super::batch::Batch;

/// SQLite's code for what a trigger refuses (`SQLITE_CONSTRAINT_TRIGGER`): that somebody else has moved a video.
const LOST: &str = "1811";

/// What the writer keeps in memory: what becomes of an inserted batch, as the trigger of a view that has no rows. First the
/// fence, which ends the transaction if anybody has lost it; then what those who passed it leave behind. What ended goes
/// before what is planned, because what ends and is planned again in one append is planned. Lists are moved in only where
/// that changes: SQLite writes to an index whenever one of its columns is set, be it to what it was.
pub(super) const BATCHES: &str = "
create temp view batch (created, moved, stayed, listed, deleted, event, artifact, gone, planned, outcome, spending, garbage,
    bodies) as select null, null, null, null, null, null, null, null, null, null, null, null, null where false;

create temp trigger batch_is_appended instead of insert on batch begin
    insert into video
        (id, user_id, partition, seq, catalogue, status, progress, title, prompt, created_at, updated_at)
    select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
           value ->> 8, value ->> 9, value ->> 10
    from json_each(new.created) where true on conflict do nothing;
    select raise(rollback, 'the fence is lost') where changes() <> json_array_length(new.created);

    update video set seq = a.value ->> 2, unpublished = 1, progress = a.value ->> 3, title = a.value ->> 4,
        updated_at = a.value ->> 5
    from json_each(new.moved) a where video.id = a.value ->> 0 and seq = a.value ->> 1;
    select raise(rollback, 'the fence is lost') where changes() <> json_array_length(new.moved);

    select raise(rollback, 'the fence is lost') from json_each(new.stayed) s
    where coalesce((select seq from video where video.id = s.value ->> 0), 0) <> s.value ->> 1;

    update video set status = a.value ->> 1, forgotten_since = a.value ->> 2 from json_each(new.listed) a
    where video.id = a.value ->> 0 and (status <> a.value ->> 1 or forgotten_since is not a.value ->> 2);

    update video set deleted_at = a.value ->> 1, purge_at = a.value ->> 1, deleted_by = a.value ->> 2
    from json_each(new.deleted) a where video.id = a.value ->> 0 and deleted_at is not a.value ->> 1;

    insert into event (video_id, seq, recorded_at, command_id, type, body)
    select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
           cast(substr(new.bodies, value ->> '$[5][0]', value ->> '$[5][1]') as text)
    from json_each(new.event);

    insert into artifact (id, video_id) select value ->> 0, value ->> 1 from json_each(new.artifact) where true
    on conflict do nothing;

    delete from job
    where (partition, video_id, id) in (select value ->> 0, value ->> 1, value ->> 2 from json_each(new.gone));
    insert into job (partition, video_id, id, user_id, service, attempt, sends, priority, not_before, body)
    select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, 0, value ->> 6, value ->> 7,
           substr(new.bodies, value ->> '$[8][0]', value ->> '$[8][1]')
    from json_each(new.planned);

    insert into command (video_id, command_id, user_id, partition, recorded_at, outcome, in_vain)
    select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
           cast(substr(new.bodies, value ->> '$[5][0]', value ->> '$[5][1]') as text),
           not exists (select 1 from video where id = value ->> 0)
    from json_each(new.outcome) where true on conflict do nothing;

    insert into ledger (video_id, job, attempt, position, user_id, branch, phase, artifact_key, model, unit, quantity,
        amount, booked_at)
    select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
           value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12
    from json_each(new.spending);

    insert into garbage (object_key, partition) select value ->> 0, value ->> 1 from json_each(new.garbage) where true
    on conflict do nothing;
end;";

/// A transaction of its own. `or rollback` counts for everything that the trigger does: it is what an error leads to anyway,
/// and spares SQLite a copy of every page that it would need to undo half a statement.
pub(super) const APPEND: &str =
    "insert or rollback into batch (created, moved, stayed, listed, deleted, event, artifact, gone,
        planned, outcome, spending, garbage, bodies)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

/// Records each append whole or not at all, all of them together where nobody has lost the fence; says who has.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    appends: &[Arc<Append>],
) -> Result<Vec<Appended>, sqlx::Error> {
    keep_catalogues(connection, appends).await?;
    let mut results = vec![Appended::Lost; appends.len()];
    for places in rounds(appends) {
        let round: Vec<_> = places.iter().filter_map(|place| appends.get(*place)).map(Arc::as_ref).collect();
        let all_passed = record(connection, &round).await?;
        for (place, append) in places.into_iter().zip(round) {
            // Where somebody has lost, everyone is tried alone.
            if let Some(result) = results.get_mut(place)
                && (all_passed || record(connection, &[append]).await?)
            {
                *result = Appended::Committed;
            }
        }
    }
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

/// Records everything or nothing, in one transaction: nothing when somebody else has moved one of the videos.
async fn record(connection: &mut SqliteConnection, appends: &[&Append]) -> Result<bool, sqlx::Error> {
    match Batch::new(appends)?.statement().execute(connection).await {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(LOST) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What has left, in one trip too. Word of an attempt of a job that was replaced meanwhile says nothing about the new one.
const MARK: &str = "begin immediate;

     update or rollback video set published_seq = l.seq, unpublished = l.seq < video.seq
     from (select value ->> 0 as id, max(value ->> 1) as seq from json_each($1) group by 1) l
     where video.id = l.id and published_seq < l.seq;

     update or rollback command set sent = 1 from json_each($2) l
     where video_id = l.value ->> 0 and user_id = l.value ->> 1 and command_id = l.value ->> 2;

     update or rollback job set sends = l.value ->> 4 from json_each($3) l
     where job.partition = l.value ->> 0 and job.video_id = l.value ->> 1 and job.id = l.value ->> 2
         and job.attempt = l.value ->> 3 and job.sends < l.value ->> 4;

     commit";

/// Remembers what has left.
pub(super) async fn mark_published(
    connection: &mut SqliteConnection,
    published: &Published,
) -> Result<(), sqlx::Error> {
    let sent = published
        .jobs
        .iter()
        .map(|SentJob { video, id, attempt, sends }| (Partition::of(*video).0, video, id, attempt, sends));
    let mark = sqlx::query(MARK)
        .bind(to_json(&published.events)?)
        .bind(to_json(&published.outcomes)?)
        .bind(to_json(&sent.collect::<Vec<_>>())?);
    mark.execute(connection).await?;
    Ok(())
}
