//! The embedded database: one file, one writer, many readers.
//!
//! Write-ahead log with `synchronous = full`: a committed append survives the loss of power. Transactions run in tasks of
//! their own, because a dropped future must never leave one open on a connection that goes back to its pool.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use messages::catalogue::Catalogue;
use messages::event::{CommandOutcome, Recorded};
use messages::id::{ArtifactId, CommandId, UserId, VideoId};
use messages::query::{LedgerRow, ListVideos, VideoStatus, VideoSummary};
use messages::subject::{PARTITIONS, Partition};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{Connection as _, Row as _, SqliteConnection, SqlitePool};

use super::{
    Append, Appended, Loaded, Moved, PlannedJob, Position, Published, Purgeable, Store, StoreError, Unpublished,
};

mod purge;

/// How many events or commands a start publishes again at a time.
const PAGE: i64 = 10_000;

/// A store in one SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    /// Catalogues by digest: few exist, and every load needs one.
    catalogues: Arc<Mutex<HashMap<String, Arc<Catalogue>>>>,
}

impl SqliteStore {
    /// Opens the file, creates it when missing, and brings its tables up to date.
    pub async fn open(file: &Path) -> Result<Self, StoreError> {
        let unusable = |reason: String| StoreError::Unusable { url: file.display().to_string(), reason };
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .after_release(|connection, _| Box::pin(roll_back_leftovers(connection)))
            .connect_with(options.clone())
            .await
            .map_err(|error| unusable(error.to_string()))?;
        sqlx::migrate!("../../migrations/sqlite").run(&writer).await.map_err(|error| unusable(error.to_string()))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options.read_only(true))
            .await
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Self { writer, readers, catalogues: Arc::default() })
    }

    /// Runs `work` as one write transaction, in a task of its own.
    async fn transaction<T, F>(&self, action: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send + 'static,
    {
        let pool = self.writer.clone();
        let task = tokio::spawn(async move {
            let mut connection = pool.acquire().await?;
            let mut transaction = connection.begin_with("begin immediate").await?;
            let done = work(&mut transaction).await?;
            transaction.commit().await?;
            Ok(done)
        });
        let unavailable = |source| StoreError::Unavailable { action, source };
        task.await.map_err(|error| unavailable(sqlx::Error::Io(std::io::Error::other(error))))?.map_err(unavailable)
    }

    async fn catalogue(&self, digest: &str) -> Result<Arc<Catalogue>, StoreError> {
        let known = self.catalogues.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
        if let Some(catalogue) = known {
            return Ok(catalogue);
        }
        let body: String = sqlx::query_scalar("select body from catalogue where digest = $1")
            .bind(digest)
            .fetch_one(&self.readers)
            .await
            .map_err(reading)?;
        let catalogue: Arc<Catalogue> = Arc::new(read_json("catalogue", digest, &body)?);
        self.catalogues.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.to_owned(), catalogue.clone());
        Ok(catalogue)
    }

    async fn outcomes(&self, video: VideoId) -> Result<HashMap<(UserId, CommandId), CommandOutcome>, StoreError> {
        let rows = sqlx::query("select user_id, outcome from command where video_id = $1")
            .bind(video.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(reading)?;
        rows.iter()
            .map(|row| {
                let outcome: CommandOutcome = read_json("outcome", video, &row.get::<String, _>("outcome"))?;
                Ok(((read_id(row, "user_id")?, outcome.command_id().clone()), outcome))
            })
            .collect()
    }

    async fn events_after(&self, video: VideoId, seq: i64) -> Result<Vec<Recorded>, StoreError> {
        let rows = sqlx::query(
            "select seq, recorded_at, command_id, body from event where video_id = $1 and seq > $2 order by seq",
        )
        .bind(video.to_string())
        .bind(seq)
        .fetch_all(&self.readers)
        .await
        .map_err(reading)?;
        rows.iter().map(|row| recorded(video, row)).collect()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn load(&self, video: VideoId) -> Result<Loaded, StoreError> {
        let journal = self.events_after(video, 0).await?;
        let outcomes = self.outcomes(video).await?;
        let Some(first) = journal.first() else {
            let tombstone = purge::tombstone(self, video).await?;
            return Ok(Loaded { journal, catalogue: None, outcomes, tombstone });
        };
        let catalogue = match &first.event {
            messages::event::Event::VideoCreated { catalogue, .. } => self.catalogue(&catalogue.to_string()).await?,
            _ => return Err(unreadable("journal", video, "it does not start with video_created")),
        };
        Ok(Loaded { journal, catalogue: Some(catalogue), outcomes, tombstone: None })
    }

    async fn append(&self, mut appends: Vec<Append>, positions: Vec<Moved>) -> Result<Vec<Appended>, StoreError> {
        self.transaction("record", move |connection| {
            Box::pin(async move {
                let mut results = Vec::with_capacity(appends.len());
                for append in &mut appends {
                    results.push(append_one(connection, append).await?);
                }
                for Moved { owner, partition, position } in positions {
                    sqlx::query(
                        "update partition_lease set stream_created = $2, sequence = $3, message_time = $4
                     where partition = $1 and owner = $5",
                    )
                    .bind(i64::from(partition.0))
                    .bind(position.stream_created)
                    .bind(position.sequence as i64)
                    .bind(position.message_time)
                    .bind(owner)
                    .execute(&mut *connection)
                    .await?;
                }
                Ok(results)
            })
        })
        .await
    }

    async fn mark_published(&self, published: Published) -> Result<(), StoreError> {
        self.transaction("record", move |connection| {
            Box::pin(async move {
                for (video, seq) in published.events {
                    sqlx::query("update video set published_seq = $2 where id = $1 and published_seq < $2")
                        .bind(video.to_string())
                        .bind(seq as i64)
                        .execute(&mut *connection)
                        .await?;
                }
                for (video, user, command) in published.outcomes {
                    sqlx::query("update command set sent = 1 where video_id = $1 and user_id = $2 and command_id = $3")
                        .bind(video.to_string())
                        .bind(user.as_str())
                        .bind(command.as_str())
                        .execute(&mut *connection)
                        .await?;
                }
                for (job, attempt, sends) in published.jobs {
                    // Word of an attempt that was replaced meanwhile says nothing about the new one.
                    sqlx::query("update job set sends = $3 where id = $1 and attempt = $2")
                        .bind(job.to_string())
                        .bind(i64::from(attempt))
                        .bind(i64::from(sends))
                        .execute(&mut *connection)
                        .await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn unpublished(&self, partitions: Vec<Partition>) -> Result<Vec<Unpublished>, StoreError> {
        // Somebody who asked in vain of another's video has a subject of their own.
        let mut found: HashMap<(VideoId, UserId), Unpublished> = HashMap::new();
        for partition in partitions {
            let rows = sqlx::query(
                "select id, user_id, published_seq from video where partition = $1 and published_seq < seq limit $2",
            )
            .bind(i64::from(partition.0))
            .bind(PAGE)
            .fetch_all(&self.readers)
            .await
            .map_err(reading)?;
            for row in &rows {
                let entry = async {
                    let video: VideoId = read_id(row, "id")?;
                    let events = self.events_after(video, row.get("published_seq")).await?;
                    Ok(Unpublished { video, user: read_id(row, "user_id")?, events, outcomes: Vec::new() })
                };
                if let Some(entry) = readable(entry.await)? {
                    found.insert((entry.video, entry.user.clone()), entry);
                }
            }
            let rows = sqlx::query(
                "select video_id, user_id, outcome from command where partition = $1 and sent = 0
                 order by recorded_at limit $2",
            )
            .bind(i64::from(partition.0))
            .bind(PAGE)
            .fetch_all(&self.readers)
            .await
            .map_err(reading)?;
            for row in &rows {
                let outcome = || {
                    let video: VideoId = read_id(row, "video_id")?;
                    let outcome = read_json("outcome", video, &row.get::<String, _>("outcome"))?;
                    Ok((video, read_id::<UserId>(row, "user_id")?, outcome))
                };
                if let Some((video, user, outcome)) = readable(outcome())? {
                    let none = || Unpublished { video, user: user.clone(), events: Vec::new(), outcomes: Vec::new() };
                    found.entry((video, user.clone())).or_insert_with(none).outcomes.push(outcome);
                }
            }
        }
        Ok(found.into_values().collect())
    }

    async fn jobs(&self, partitions: Vec<Partition>) -> Result<Vec<PlannedJob>, StoreError> {
        let mut jobs = Vec::new();
        for partition in partitions {
            let rows = sqlx::query(
                "select id, video_id, user_id, service, attempt, sends, priority, not_before, body
                 from job where partition = $1 order by not_before",
            )
            .bind(i64::from(partition.0))
            .fetch_all(&self.readers)
            .await
            .map_err(reading)?;
            for row in &rows {
                jobs.extend(readable(planned_job(row))?);
            }
        }
        Ok(jobs)
    }

    async fn unfinished(&self, video: VideoId) -> Result<(Vec<Unpublished>, Vec<PlannedJob>), StoreError> {
        let mut found = Vec::new();
        let row = sqlx::query("select user_id, published_seq from video where id = $1")
            .bind(video.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(reading)?;
        if let Some(row) = &row {
            let (user, events) = (read_id(row, "user_id")?, self.events_after(video, row.get("published_seq")).await?);
            found.push(Unpublished { video, user, events, outcomes: Vec::new() });
        }
        let rows =
            sqlx::query("select user_id, outcome from command where video_id = $1 and sent = 0 order by recorded_at")
                .bind(video.to_string())
                .fetch_all(&self.readers)
                .await
                .map_err(reading)?;
        for row in &rows {
            let outcomes = vec![read_json("outcome", video, &row.get::<String, _>("outcome"))?];
            found.push(Unpublished { video, user: read_id(row, "user_id")?, events: Vec::new(), outcomes });
        }
        let rows = sqlx::query(
            "select id, video_id, user_id, service, attempt, sends, priority, not_before, body
             from job where video_id = $1 order by not_before",
        )
        .bind(video.to_string())
        .fetch_all(&self.readers)
        .await
        .map_err(reading)?;
        let mut jobs = Vec::with_capacity(rows.len());
        for row in &rows {
            jobs.extend(readable(planned_job(row))?);
        }
        Ok((found, jobs))
    }

    async fn forget_commands(&self, before: DateTime<Utc>) -> Result<(), StoreError> {
        self.transaction("forget commands", move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "delete from command where in_vain = 1 and recorded_at < $1
                     and not exists (select 1 from video where id = command.video_id)",
                )
                .bind(before.timestamp_micros())
                .execute(connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn lease(
        &self,
        owner: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<HashMap<Partition, Position>, StoreError> {
        let (owner, now, until) = (owner.to_owned(), now.timestamp_micros(), until.timestamp_micros());
        self.transaction("lease partitions", move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "insert into replica (id, seen_at) values ($1, $2) on conflict (id) do update set seen_at = $2",
                )
                .bind(&owner)
                .bind(now)
                .execute(&mut *connection)
                .await?;
                let dead = now - Duration::from_secs(6).as_micros() as i64;
                sqlx::query("delete from replica where seen_at < $1").bind(dead).execute(&mut *connection).await?;
                for partition in Partition::all() {
                    sqlx::query("insert into partition_lease (partition) values ($1) on conflict do nothing")
                        .bind(i64::from(partition.0))
                        .execute(&mut *connection)
                        .await?;
                }
                let alive: i64 = sqlx::query_scalar("select count(*) from replica").fetch_one(&mut *connection).await?;
                let share = (i64::from(PARTITIONS) + alive.max(1) - 1) / alive.max(1);
                // Above the share: the last ones go back. Below it: free ones are taken. The rest is renewed.
                sqlx::query(
                    "update partition_lease set owner = null, until = 0 where owner = $1 and partition not in
                 (select partition from partition_lease where owner = $1 order by partition limit $2)",
                )
                .bind(&owner)
                .bind(share)
                .execute(&mut *connection)
                .await?;
                sqlx::query("update partition_lease set until = $2 where owner = $1 and until >= $3")
                    .bind(&owner)
                    .bind(until)
                    .bind(now)
                    .execute(&mut *connection)
                    .await?;
                sqlx::query(
                    "update partition_lease set owner = $1, until = $2 where partition in
                 (select partition from partition_lease where owner is null or until < $3 order by partition
                  limit max(0, $4 - (select count(*) from partition_lease where owner = $1 and until >= $3)))",
                )
                .bind(&owner)
                .bind(until)
                .bind(now)
                .bind(share)
                .execute(&mut *connection)
                .await?;
                let rows = sqlx::query(
                    "select partition, stream_created, sequence, message_time from partition_lease where owner = $1",
                )
                .bind(&owner)
                .fetch_all(&mut *connection)
                .await?;
                let owned = rows.iter().map(|row| {
                    let position = Position {
                        stream_created: row.get("stream_created"),
                        sequence: row.get::<i64, _>("sequence") as u64,
                        message_time: row.get("message_time"),
                    };
                    (Partition(row.get("partition")), position)
                });
                Ok(owned.collect())
            })
        })
        .await
    }

    async fn release(&self, owner: &str) -> Result<(), StoreError> {
        let owner = owner.to_owned();
        self.transaction("release partitions", move |connection| {
            Box::pin(async move {
                sqlx::query("update partition_lease set owner = null, until = 0 where owner = $1")
                    .bind(&owner)
                    .execute(&mut *connection)
                    .await?;
                sqlx::query("delete from replica where id = $1").bind(&owner).execute(&mut *connection).await?;
                Ok(())
            })
        })
        .await
    }

    async fn videos(
        &self,
        user: &UserId,
        list: &ListVideos,
    ) -> Result<(Vec<VideoSummary>, Option<String>), StoreError> {
        let limit = i64::from(list.limit.unwrap_or(20));
        // A page starts after the last row of the one before; an unreadable cursor starts nowhere.
        let (before, before_id) = match list.cursor.as_deref().map(|cursor| cursor.split_once('_')) {
            None => (i64::MAX, String::new()),
            Some(cursor) => {
                let (at, id) = cursor.unwrap_or_default();
                (at.parse().unwrap_or(i64::MIN), id.to_owned())
            }
        };
        let rows = match list.status {
            None => {
                sqlx::query(
                    "select id, title, prompt, status, progress, created_at, updated_at from video
                     where user_id = $1 and deleted_at is null and (created_at, id) < ($2, $3)
                     order by created_at desc, id desc limit $4",
                )
                .bind(user.as_str())
                .bind(before)
                .bind(before_id)
                .bind(limit + 1)
                .fetch_all(&self.readers)
                .await
            }
            Some(status) => {
                sqlx::query(
                    "select id, title, prompt, status, progress, created_at, updated_at from video
                     where user_id = $1 and status = $5 and deleted_at is null and (created_at, id) < ($2, $3)
                     order by created_at desc, id desc limit $4",
                )
                .bind(user.as_str())
                .bind(before)
                .bind(before_id)
                .bind(limit + 1)
                .bind(status.name())
                .fetch_all(&self.readers)
                .await
            }
        };
        let rows = rows.map_err(reading)?;
        let more = rows.len() as i64 > limit;
        let page = rows.iter().take(limit as usize).map(summary).collect::<Result<Vec<_>, _>>()?;
        let cursor = page.last().filter(|_| more);
        let cursor = cursor.map(|last| format!("{}_{}", last.created_at.timestamp_micros(), last.video_id));
        Ok((page, cursor))
    }

    async fn purgeable(&self, partitions: Vec<Partition>, now: DateTime<Utc>) -> Result<Vec<Purgeable>, StoreError> {
        purge::purgeable(self, partitions, now).await
    }

    async fn purge(&self, video: VideoId, again: Option<DateTime<Utc>>) -> Result<(), StoreError> {
        purge::purge(self, video, again).await
    }

    async fn forgotten(&self, partitions: Vec<Partition>, until: DateTime<Utc>) -> Result<Vec<VideoId>, StoreError> {
        purge::forgotten(self, partitions, until).await
    }

    async fn garbage(&self, partitions: Vec<Partition>) -> Result<Vec<String>, StoreError> {
        purge::garbage(self, partitions).await
    }

    async fn garbage_deleted(&self, keys: Vec<String>) -> Result<(), StoreError> {
        purge::garbage_deleted(self, keys).await
    }

    async fn ledger(&self, video: VideoId) -> Result<Vec<LedgerRow>, StoreError> {
        purge::ledger(self, video).await
    }

    async fn video_of(&self, artifact: ArtifactId) -> Result<Option<VideoId>, StoreError> {
        let row = sqlx::query("select video_id from artifact where id = $1")
            .bind(artifact.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(reading)?;
        row.map(|row| read_id(&row, "video_id")).transpose()
    }
}

async fn append_one(connection: &mut SqliteConnection, append: &Append) -> Result<Appended, sqlx::Error> {
    let video = append.video.to_string();
    let partition = i64::from(Partition::of(append.video).0);
    if let (Some(row), Some(first), Some(last)) = (&append.row, append.events.first(), append.events.last()) {
        if !fence(connection, append, row, first, last, partition).await? {
            return Ok(Appended::Lost);
        }
        for recorded in &append.events {
            sqlx::query(
                "insert into event (video_id, seq, recorded_at, command_id, type, body) values ($1, $2, $3, $4, $5, $6)",
            )
            .bind(&video)
            .bind(recorded.seq as i64)
            .bind(recorded.time.timestamp_micros())
            .bind(recorded.command_id.as_ref().map(CommandId::as_str))
            .bind(recorded.event.name())
            .bind(to_json(&recorded.event)?)
            .execute(&mut *connection)
            .await?;
        }
        for artifact in append.events.iter().flat_map(artifacts_of) {
            sqlx::query("insert into artifact (id, video_id) values ($1, $2) on conflict do nothing")
                .bind(artifact.to_string())
                .bind(&video)
                .execute(&mut *connection)
                .await?;
        }
    }
    purge::keep_records(connection, append, partition).await?;
    for job in &append.ended {
        sqlx::query("delete from job where id = $1").bind(job.to_string()).execute(&mut *connection).await?;
    }
    for job in &append.plan {
        sqlx::query(
            "insert or replace into job
             (id, video_id, user_id, partition, service, attempt, sends, priority, not_before, body)
             values ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9)",
        )
        .bind(job.id.to_string())
        .bind(&video)
        .bind(job.user.as_str())
        .bind(partition)
        .bind(job.service.name())
        .bind(job.attempt)
        .bind(i64::from(job.interactive))
        .bind(job.not_before.timestamp_micros())
        .bind(job.body.as_slice())
        .execute(&mut *connection)
        .await?;
    }
    if let Some(outcome) = &append.outcome {
        sqlx::query(
            "insert into command (video_id, command_id, user_id, partition, recorded_at, outcome, in_vain)
             values ($1, $2, $3, $4, $5, $6, not exists (select 1 from video where id = $1)) on conflict do nothing",
        )
        .bind(&video)
        .bind(outcome.command_id().as_str())
        .bind(append.user.as_str())
        .bind(partition)
        .bind(outcome.time().timestamp_micros())
        .bind(to_json(outcome)?)
        .execute(&mut *connection)
        .await?;
    }
    Ok(Appended::Committed)
}

/// Moves the video from the event before `first` to `last`, or says that somebody else was faster.
async fn fence(
    connection: &mut SqliteConnection,
    append: &Append,
    row: &super::VideoRow,
    first: &Recorded,
    last: &Recorded,
    partition: i64,
) -> Result<bool, sqlx::Error> {
    let deleted_at = row.deleted.as_ref().map(|_| row.updated_at.timestamp_micros());
    let moved = if first.seq == 1 {
        let digest = row.catalogue.digest().to_string();
        sqlx::query("insert into catalogue (digest, body) values ($1, $2) on conflict do nothing")
            .bind(&digest)
            .bind(to_json(row.catalogue.as_ref())?)
            .execute(&mut *connection)
            .await?;
        sqlx::query(
            "insert into video
             (id, user_id, partition, seq, catalogue, status, progress, title, prompt, created_at, updated_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict do nothing",
        )
        .bind(append.video.to_string())
        .bind(append.user.as_str())
        .bind(partition)
        .bind(last.seq as i64)
        .bind(digest)
        .bind(row.status.name())
        .bind(row.progress)
        .bind(&row.title)
        .bind(&row.prompt)
        .bind(row.created_at.timestamp_micros())
        .bind(row.updated_at.timestamp_micros())
        .execute(&mut *connection)
        .await?
    } else {
        sqlx::query(
            "update video set seq = $3, status = $4, progress = $5, title = $6, updated_at = $7, deleted_at = $8,
                 purge_at = $8, deleted_by = $9, forgotten_since = $10
             where id = $1 and seq = $2",
        )
        .bind(append.video.to_string())
        .bind(first.seq as i64 - 1)
        .bind(last.seq as i64)
        .bind(row.status.name())
        .bind(row.progress)
        .bind(&row.title)
        .bind(row.updated_at.timestamp_micros())
        .bind(deleted_at)
        .bind(row.deleted.as_ref().map(CommandId::as_str))
        .bind(row.forgotten_since.map(|since| since.timestamp_micros()))
        .execute(&mut *connection)
        .await?
    };
    Ok(moved.rows_affected() == 1)
}

fn artifacts_of(recorded: &Recorded) -> Vec<ArtifactId> {
    match &recorded.event {
        messages::event::Event::JobDone { artifacts, .. } => artifacts.iter().map(|artifact| artifact.id).collect(),
        messages::event::Event::SpecEdited { artifact, .. } => vec![artifact.id],
        _ => Vec::new(),
    }
}

/// A connection never goes back to its pool with a transaction open on it. The error of having none is the good case.
async fn roll_back_leftovers(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let _ = sqlx::query("rollback").execute(connection).await;
    Ok(true)
}

fn recorded(video: VideoId, row: &SqliteRow) -> Result<Recorded, StoreError> {
    let command: Option<String> = row.get("command_id");
    Ok(Recorded {
        seq: row.get::<i64, _>("seq") as u64,
        time: time(row.get("recorded_at")),
        command_id: command
            .map(|id| id.parse())
            .transpose()
            .map_err(|error: messages::id::InvalidId| unreadable("event", video, error))?,
        event: read_json("event", video, &row.get::<String, _>("body"))?,
    })
}

fn planned_job(row: &SqliteRow) -> Result<PlannedJob, StoreError> {
    Ok(PlannedJob {
        id: read_id(row, "id")?,
        video: read_id(row, "video_id")?,
        user: read_id(row, "user_id")?,
        service: read_id(row, "service")?,
        attempt: row.get("attempt"),
        sends: row.get("sends"),
        interactive: row.get::<i64, _>("priority") > 0,
        not_before: time(row.get("not_before")),
        body: row.get("body"),
    })
}

/// Passes over what only a newer program can read: it stays where it is, and its neighbours go on.
fn readable<T>(result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error @ StoreError::Unreadable { .. }) => {
            tracing::error!(error = %error, "a row waits for a program that can read it");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn summary(row: &SqliteRow) -> Result<VideoSummary, StoreError> {
    let video_id: VideoId = read_id(row, "id")?;
    let status: String = row.get("status");
    Ok(VideoSummary {
        video_id,
        title: row.get("title"),
        prompt: row.get("prompt"),
        status: VideoStatus::from_name(&status).ok_or_else(|| unreadable("status", video_id, &status))?,
        progress: row.get("progress"),
        created_at: time(row.get("created_at")),
        updated_at: time(row.get("updated_at")),
    })
}

fn read_id<T: std::str::FromStr<Err: std::fmt::Display>>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<T, StoreError> {
    let text: String = row.get(column);
    text.parse().map_err(|error: T::Err| unreadable(column, &text, error))
}

fn read_json<T: serde::de::DeserializeOwned>(
    what: &'static str,
    id: impl std::fmt::Display,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| unreadable(what, id, error))
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

fn reading(source: sqlx::Error) -> StoreError {
    StoreError::Unavailable { action: "read", source }
}

fn unreadable(what: &'static str, id: impl std::fmt::Display, reason: impl std::fmt::Display) -> StoreError {
    StoreError::Unreadable { what, id: id.to_string(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_writer_waits_for_the_disk_at_every_commit() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(&folder.path().join("journal.db")).await.expect("it opens");
        let journal: String =
            sqlx::query_scalar("pragma journal_mode").fetch_one(&store.writer).await.expect("it is read");
        let synchronous: i64 =
            sqlx::query_scalar("pragma synchronous").fetch_one(&store.writer).await.expect("it is read");
        // 2 is `full`: the write-ahead log is synced before a commit is answered.
        assert_eq!((journal.as_str(), synchronous), ("wal", 2));
    }
}
