//! What is remembered of messages that left, and what goes.
//!
//! Marks need not hold together, so each is a statement of its own. Rows are locked in the order in which appends lock them,
//! or passed over where that makes no difference: two of us never wait for each other.

use chrono::{DateTime, Utc};
use messages::id::VideoId;
use messages::subject::Partition;
use sqlx::PgConnection;

use super::super::{Published, SentJob, StoreError};
use super::connections::Connections;

/// Events of videos have left up to these.
pub const MARK_EVENTS: &str = "with left_now as (
         select id, max(seq) as seq from unnest($1::text[], $2::bigint[]) as l (id, seq) group by id
     ),
     locked as materialized (
         select v.id, l.seq from video v join left_now l on l.id = v.id
         where v.published_seq < l.seq order by v.id for update of v
     )
     update video v set published_seq = l.seq, unpublished = case when l.seq < v.seq then 1 else 0 end
     from locked l where v.id = l.id and v.published_seq < l.seq";

/// Outcomes of commands have left.
pub const MARK_OUTCOMES: &str =
    "update command c set sent = 1 from unnest($1::text[], $2::text[], $3::text[]) as l (video_id, user_id, command_id)
     where c.video_id = l.video_id and c.user_id = l.user_id and c.command_id = l.command_id";

/// Jobs were sent so often. Word of an attempt that was replaced meanwhile says nothing about the new one; a row that is
/// locked is being replaced or removed.
pub const MARK_JOBS: &str = "with left_now as (
         select id, attempt, max(sends) as sends from unnest($1::text[], $2::bigint[], $3::bigint[])
             as l (id, attempt, sends)
         group by id, attempt
     ),
     locked as materialized (
         select j.id, l.sends from job j join left_now l on l.id = j.id and l.attempt = j.attempt
         for update of j skip locked
     )
     update job j set sends = l.sends from locked l where j.id = l.id";

pub(super) async fn mark_published(connections: &Connections, published: Published) -> Result<(), StoreError> {
    connections.run("record", move |connection| Box::pin(async move { mark(connection, published).await })).await
}

async fn mark(connection: &mut PgConnection, published: Published) -> Result<(), sqlx::Error> {
    let Published { events, outcomes, jobs } = published;
    if !events.is_empty() {
        let (ids, seqs): (Vec<_>, Vec<_>) = events.into_iter().map(|(id, seq)| (id.to_string(), seq as i64)).unzip();
        sqlx::query(MARK_EVENTS).bind(ids).bind(seqs).execute(&mut *connection).await?;
    }
    if !outcomes.is_empty() {
        let (mut videos, mut users, mut commands) = (Vec::new(), Vec::new(), Vec::new());
        for (video, user, command) in outcomes {
            videos.push(video.to_string());
            users.push(user.as_str().to_owned());
            commands.push(command.as_str().to_owned());
        }
        sqlx::query(MARK_OUTCOMES).bind(videos).bind(users).bind(commands).execute(&mut *connection).await?;
    }
    if !jobs.is_empty() {
        let (mut ids, mut attempts, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for SentJob { id, attempt, sends, .. } in jobs {
            ids.push(id.to_string());
            attempts.push(i64::from(attempt));
            times.push(i64::from(sends));
        }
        sqlx::query(MARK_JOBS).bind(ids).bind(attempts).bind(times).execute(&mut *connection).await?;
    }
    Ok(())
}

pub(super) async fn forget_commands(connections: &Connections, before: DateTime<Utc>) -> Result<(), StoreError> {
    let before = before.timestamp_micros();
    connections
        .run("forget commands", move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "delete from command where in_vain = 1 and recorded_at < $1
                     and not exists (select 1 from video where id = command.video_id)",
                )
                .bind(before)
                .execute(connection)
                .await?;
                Ok(())
            })
        })
        .await
}

pub(super) async fn purge(
    connections: &Connections,
    video: VideoId,
    again: Option<DateTime<Utc>>,
) -> Result<(), StoreError> {
    let partition = i64::from(Partition::of(video).0);
    let (video, again) = (video.to_string(), again.map(|again| again.timestamp_micros()));
    connections
        .transaction("purge a video", move |connection| {
            Box::pin(async move {
                let buried = sqlx::query(
                    "update video set purge_at = $2, title = null, prompt = '', forgotten_since = null
                     where id = $1 and deleted_at is not null and published_seq = seq",
                )
                .bind(&video)
                .bind(again)
                .execute(&mut *connection)
                .await?;
                if buried.rows_affected() == 0 {
                    return Ok(());
                }
                for rows in ["delete from event where video_id = $1", "delete from artifact where video_id = $1"] {
                    sqlx::query(rows).bind(&video).execute(&mut *connection).await?;
                }
                sqlx::query("delete from job where partition = $1 and video_id = $2")
                    .bind(partition)
                    .bind(&video)
                    .execute(&mut *connection)
                    .await?;
                if again.is_none() {
                    // What its sender has not been told yet stays until then.
                    sqlx::query("delete from command where video_id = $1 and sent = 1")
                        .bind(&video)
                        .execute(&mut *connection)
                        .await?;
                }
                Ok(())
            })
        })
        .await
}

pub(super) async fn garbage_deleted(connections: &Connections, keys: Vec<String>) -> Result<(), StoreError> {
    connections
        .run("record", move |connection| {
            Box::pin(async move {
                sqlx::query("delete from garbage where object_key = any($1)").bind(keys).execute(connection).await?;
                Ok(())
            })
        })
        .await
}
