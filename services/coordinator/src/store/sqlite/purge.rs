//! What is kept when a video goes, and what goes with it.

use chrono::{DateTime, Utc};
use messages::id::VideoId;
use messages::subject::Partition;

use super::super::StoreError;
use super::SqliteStore;

pub(super) async fn purge(store: &SqliteStore, video: VideoId, again: Option<DateTime<Utc>>) -> Result<(), StoreError> {
    let (video, partition) = (video.to_string(), i64::from(Partition::of(video).0));
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
