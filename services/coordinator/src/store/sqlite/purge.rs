//! What is kept when a video goes, what is forgotten, and what is to be collected.

use chrono::{DateTime, Utc};
use messages::id::VideoId;
use messages::money::Usd;
use messages::phase::Phase;
use messages::query::LedgerRow;
use messages::subject::Partition;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::super::{Append, Purgeable, StoreError, Tombstone};
use super::{SqliteStore, read_id, readable, reading, time, unreadable};

/// How many videos or objects of a partition are looked at in one round.
const ROUND: i64 = 200;

pub(super) async fn tombstone(store: &SqliteStore, video: VideoId) -> Result<Option<Tombstone>, StoreError> {
    let row =
        sqlx::query("select user_id, seq, deleted_at, deleted_by from video where id = $1 and deleted_at is not null")
            .bind(video.to_string())
            .fetch_optional(&store.readers)
            .await
            .map_err(reading)?;
    row.map(|row| {
        Ok(Tombstone {
            user: read_id(&row, "user_id")?,
            seq: row.get::<i64, _>("seq") as u64,
            deleted_at: time(row.get("deleted_at")),
            deleted_by: read_id(&row, "deleted_by")?,
        })
    })
    .transpose()
}

/// Ledger rows and garbage, in the transaction of the events that they come from.
pub(super) async fn keep_records(
    connection: &mut SqliteConnection,
    append: &Append,
    partition: i64,
) -> Result<(), sqlx::Error> {
    for (position, row) in append.spent.iter().enumerate() {
        sqlx::query(
            "insert into ledger (video_id, job, attempt, position, user_id, branch, phase, artifact_key, model, unit,
                 quantity, amount, booked_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(append.video.to_string())
        .bind(row.job.to_string())
        .bind(row.attempt)
        .bind(position as i64)
        .bind(append.user.as_str())
        .bind(row.branch.as_str())
        .bind(row.phase.number())
        .bind(row.artifact_key.to_string())
        .bind(&row.model)
        .bind(&row.unit)
        .bind(row.quantity)
        .bind(row.amount_usd.micros() as i64)
        .bind(row.time.timestamp_micros())
        .execute(&mut *connection)
        .await?;
    }
    for key in &append.garbage {
        sqlx::query("insert into garbage (object_key, partition) values ($1, $2) on conflict do nothing")
            .bind(key)
            .bind(partition)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn purgeable(
    store: &SqliteStore,
    partitions: Vec<Partition>,
    now: DateTime<Utc>,
) -> Result<Vec<Purgeable>, StoreError> {
    let mut found = Vec::new();
    for partition in partitions {
        let rows = sqlx::query(
            "select id, user_id, deleted_at from video
             where partition = $1 and purge_at <= $2 and published_seq = seq order by purge_at limit $3",
        )
        .bind(i64::from(partition.0))
        .bind(now.timestamp_micros())
        .bind(ROUND)
        .fetch_all(&store.readers)
        .await
        .map_err(reading)?;
        for row in &rows {
            let video = || {
                let deleted_at = time(row.get("deleted_at"));
                Ok(Purgeable { video: read_id(row, "id")?, user: read_id(row, "user_id")?, deleted_at })
            };
            found.extend(readable(video())?);
        }
    }
    Ok(found)
}

pub(super) async fn purge(store: &SqliteStore, video: VideoId, again: Option<DateTime<Utc>>) -> Result<(), StoreError> {
    let video = video.to_string();
    store
        .transaction("purge a video", move |connection| {
            Box::pin(async move {
                let again_at = again.map(|again| again.timestamp_micros());
                let buried = sqlx::query(
                    "update video set purge_at = $2, title = null, prompt = '', forgotten_since = null
                     where id = $1 and deleted_at is not null and published_seq = seq",
                )
                .bind(&video)
                .bind(again_at)
                .execute(&mut *connection)
                .await?;
                if buried.rows_affected() == 0 {
                    return Ok(());
                }
                for rows in [
                    "delete from event where video_id = $1",
                    "delete from artifact where video_id = $1",
                    "delete from job where video_id = $1",
                ] {
                    sqlx::query(rows).bind(&video).execute(&mut *connection).await?;
                }
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

pub(super) async fn forgotten(
    store: &SqliteStore,
    partitions: Vec<Partition>,
    until: DateTime<Utc>,
) -> Result<Vec<VideoId>, StoreError> {
    let mut found = Vec::new();
    for partition in partitions {
        let rows = sqlx::query(
            "select id from video where partition = $1 and forgotten_since <= $2 and deleted_at is null
             order by forgotten_since limit $3",
        )
        .bind(i64::from(partition.0))
        .bind(until.timestamp_micros())
        .bind(ROUND)
        .fetch_all(&store.readers)
        .await
        .map_err(reading)?;
        for row in &rows {
            found.extend(readable(read_id::<VideoId>(row, "id"))?);
        }
    }
    Ok(found)
}

pub(super) async fn garbage(store: &SqliteStore, partitions: Vec<Partition>) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    for partition in partitions {
        let keys: Vec<String> = sqlx::query_scalar("select object_key from garbage where partition = $1 limit $2")
            .bind(i64::from(partition.0))
            .bind(ROUND)
            .fetch_all(&store.readers)
            .await
            .map_err(reading)?;
        found.extend(keys);
    }
    Ok(found)
}

pub(super) async fn garbage_deleted(store: &SqliteStore, keys: Vec<String>) -> Result<(), StoreError> {
    store
        .transaction("record", move |connection| {
            Box::pin(async move {
                for key in keys {
                    sqlx::query("delete from garbage where object_key = $1")
                        .bind(key)
                        .execute(&mut *connection)
                        .await?;
                }
                Ok(())
            })
        })
        .await
}

pub(super) async fn ledger(store: &SqliteStore, video: VideoId) -> Result<Vec<LedgerRow>, StoreError> {
    let rows = sqlx::query(
        "select branch, phase, job, attempt, artifact_key, model, unit, quantity, amount, booked_at from ledger
         where video_id = $1 order by booked_at, job, attempt, position",
    )
    .bind(video.to_string())
    .fetch_all(&store.readers)
    .await
    .map_err(reading)?;
    rows.iter().map(|row| ledger_row(video, row)).collect()
}

fn ledger_row(video: VideoId, row: &SqliteRow) -> Result<LedgerRow, StoreError> {
    let phase: i64 = row.get("phase");
    let known = Phase::ALL.into_iter().find(|known| i64::from(known.number()) == phase);
    Ok(LedgerRow {
        branch: read_id(row, "branch")?,
        phase: known.ok_or_else(|| unreadable("phase", video, phase))?,
        job: read_id(row, "job")?,
        attempt: row.get("attempt"),
        artifact_key: read_id(row, "artifact_key")?,
        model: row.get("model"),
        unit: row.get("unit"),
        quantity: row.get("quantity"),
        amount_usd: Usd::from_micros(row.get::<i64, _>("amount") as u64),
        time: time(row.get("booked_at")),
    })
}
