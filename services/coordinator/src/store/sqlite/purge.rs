//! What is kept when a video goes, and what goes with it.

use chrono::{DateTime, Utc};
use messages::id::VideoId;
use sqlx::SqliteConnection;

use super::super::{Append, StoreError};
use super::SqliteStore;

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
