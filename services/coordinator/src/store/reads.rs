//! All that is read, the same from either database.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use messages::catalogue::Catalogue;
use messages::event::{CommandOutcome, Event, Recorded};
use messages::id::{ArtifactId, CommandId, UserId, VideoId};
use messages::query::{LedgerRow, ListVideos, VideoSummary};
use messages::subject::Partition;

use super::rows::{
    Cells, ledger_row, planned_job, purgeable, read_id, read_json, readable, recorded, summary, tombstone, unreadable,
};
use super::{Loaded, PlannedJob, Purgeable, StoreError, Unpublished, statements};

/// How many videos or commands of a partition a start publishes again at a time.
const PAGE: i64 = 10_000;
/// How many videos or objects of a partition are looked at in one round of collecting.
const ROUND: i64 = 200;

/// What a statement's places hold.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Number(i64),
    Text(String),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&UserId> for Value {
    fn from(user: &UserId) -> Self {
        Self::Text(user.as_str().to_owned())
    }
}

impl From<VideoId> for Value {
    fn from(video: VideoId) -> Self {
        Self::Text(video.to_string())
    }
}

impl From<Partition> for Value {
    fn from(partition: Partition) -> Self {
        Self::Number(i64::from(partition.0))
    }
}

impl From<DateTime<Utc>> for Value {
    fn from(time: DateTime<Utc>) -> Self {
        Self::Number(time.timestamp_micros())
    }
}

/// A database that answers one statement.
pub(super) trait Reader: Send + Sync {
    type Row: Cells + Send + Sync;

    fn fetch(
        &self,
        statement: &'static str,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Vec<Self::Row>, StoreError>> + Send;
}

/// A database that answers every question.
#[derive(Debug)]
pub(super) struct Reads<R> {
    reader: R,
    /// Catalogues by digest: few exist, and every load needs one.
    catalogues: Mutex<HashMap<String, Arc<Catalogue>>>,
}

impl<R: Reader> Reads<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, catalogues: Mutex::default() }
    }

    pub(super) async fn load(&self, video: VideoId) -> Result<Loaded, StoreError> {
        // The row of a video stays for ever: without one there is neither a journal nor a tombstone.
        if self.reader.fetch(statements::IS_KNOWN, vec![video.into()]).await?.is_empty() {
            return Ok(Loaded { journal: Vec::new(), catalogue: None, outcomes: HashMap::new(), tombstone: None });
        }
        // In this order: there may be an outcome whose events are missing, which the fence notices, but never the reverse.
        let journal = self.events_after(video, 0).await?;
        let outcomes = self.outcomes(video).await?;
        let Some(first) = journal.first() else {
            let rows = self.reader.fetch(statements::TOMBSTONE, vec![video.into()]).await?;
            let tombstone = rows.first().map(tombstone).transpose()?;
            return Ok(Loaded { journal, catalogue: None, outcomes, tombstone });
        };
        let catalogue = match &first.event {
            Event::VideoCreated { catalogue, .. } => self.catalogue(&catalogue.to_string()).await?,
            _ => return Err(unreadable("journal", video, "it does not start with video_created")),
        };
        Ok(Loaded { journal, catalogue: Some(catalogue), outcomes, tombstone: None })
    }

    async fn events_after(&self, video: VideoId, seq: i64) -> Result<Vec<Recorded>, StoreError> {
        let rows = self.reader.fetch(statements::EVENTS_AFTER, vec![video.into(), seq.into()]).await?;
        rows.iter().map(|row| recorded(video, row)).collect()
    }

    async fn outcomes(&self, video: VideoId) -> Result<HashMap<(UserId, CommandId), CommandOutcome>, StoreError> {
        let rows = self.reader.fetch(statements::OUTCOMES, vec![video.into()]).await?;
        rows.iter()
            .map(|row| {
                let outcome: CommandOutcome = read_json("outcome", video, &row.text("outcome"))?;
                Ok(((read_id(row, "user_id")?, outcome.command_id().clone()), outcome))
            })
            .collect()
    }

    async fn catalogue(&self, digest: &str) -> Result<Arc<Catalogue>, StoreError> {
        let known = self.catalogues.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
        if let Some(catalogue) = known {
            return Ok(catalogue);
        }
        let rows = self.reader.fetch(statements::CATALOGUE, vec![digest.to_owned().into()]).await?;
        let row = rows.first().ok_or_else(|| unreadable("catalogue", digest, "it is missing"))?;
        let catalogue: Arc<Catalogue> = Arc::new(read_json("catalogue", digest, &row.text("body"))?);
        self.catalogues.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.to_owned(), catalogue.clone());
        Ok(catalogue)
    }

    pub(super) async fn unpublished(&self, partitions: Vec<Partition>) -> Result<Vec<Unpublished>, StoreError> {
        // Somebody who asked in vain of another's video has a subject of their own.
        let mut found: HashMap<(VideoId, UserId), Unpublished> = HashMap::new();
        for partition in partitions {
            for entry in self.unpublished_events(partition).await? {
                found.insert((entry.video, entry.user.clone()), entry);
            }
            let rows = self.reader.fetch(statements::UNSENT_OUTCOMES, vec![partition.into(), PAGE.into()]).await?;
            for row in &rows {
                let outcome = || {
                    let video: VideoId = read_id(row, "video_id")?;
                    let outcome = read_json("outcome", video, &row.text("outcome"))?;
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

    /// One entry for each video whose events can all be read: none leaves without those before it.
    async fn unpublished_events(&self, partition: Partition) -> Result<Vec<Unpublished>, StoreError> {
        let rows = self.reader.fetch(statements::UNPUBLISHED_EVENTS, vec![partition.into(), PAGE.into()]).await?;
        let mut by_video: BTreeMap<String, Vec<R::Row>> = BTreeMap::new();
        for row in rows {
            by_video.entry(row.text("id")).or_default().push(row);
        }
        let mut found = Vec::with_capacity(by_video.len());
        for rows in by_video.values() {
            let entry = || {
                let (video, user) = (read_id(&rows[0], "id")?, read_id(&rows[0], "user_id")?);
                let events = rows.iter().map(|row| recorded(video, row)).collect::<Result<_, _>>()?;
                Ok(Unpublished { video, user, events, outcomes: Vec::new() })
            };
            found.extend(readable(entry())?);
        }
        Ok(found)
    }

    pub(super) async fn jobs(&self, partitions: Vec<Partition>) -> Result<Vec<PlannedJob>, StoreError> {
        let mut jobs = Vec::new();
        for partition in partitions {
            for row in &self.reader.fetch(statements::JOBS, vec![partition.into()]).await? {
                jobs.extend(readable(planned_job(row))?);
            }
        }
        Ok(jobs)
    }

    pub(super) async fn unfinished(&self, video: VideoId) -> Result<(Vec<Unpublished>, Vec<PlannedJob>), StoreError> {
        let mut found = Vec::new();
        let rows = self.reader.fetch(statements::PUBLISHED_OF_VIDEO, vec![video.into()]).await?;
        if let Some(row) = rows.first() {
            let events = self.events_after(video, row.number("published_seq")).await?;
            found.push(Unpublished { video, user: read_id(row, "user_id")?, events, outcomes: Vec::new() });
        }
        for row in &self.reader.fetch(statements::UNSENT_OF_VIDEO, vec![video.into()]).await? {
            let outcomes = vec![read_json("outcome", video, &row.text("outcome"))?];
            found.push(Unpublished { video, user: read_id(row, "user_id")?, events: Vec::new(), outcomes });
        }
        let mut jobs = Vec::new();
        for row in
            &self.reader.fetch(statements::JOBS_OF_VIDEO, vec![Partition::of(video).into(), video.into()]).await?
        {
            jobs.extend(readable(planned_job(row))?);
        }
        Ok((found, jobs))
    }

    pub(super) async fn videos(
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
                // PostgreSQL takes no text with a zero in it, and no id has one.
                (at.parse().unwrap_or(i64::MIN), id.replace('\0', ""))
            }
        };
        let mut values = vec![user.into(), before.into(), before_id.into(), (limit + 1).into()];
        let statement = match list.status {
            None => statements::VIDEOS,
            Some(status) => {
                values.push(status.name().to_owned().into());
                statements::VIDEOS_BY_STATUS
            }
        };
        let rows = self.reader.fetch(statement, values).await?;
        let more = rows.len() as i64 > limit;
        let page = rows.iter().take(limit as usize).map(summary).collect::<Result<Vec<_>, _>>()?;
        let cursor = page.last().filter(|_| more);
        let cursor = cursor.map(|last| format!("{}_{}", last.created_at.timestamp_micros(), last.video_id));
        Ok((page, cursor))
    }

    pub(super) async fn purgeable(
        &self,
        partitions: Vec<Partition>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Purgeable>, StoreError> {
        let mut found = Vec::new();
        for partition in partitions {
            let values = vec![partition.into(), now.into(), ROUND.into()];
            for row in &self.reader.fetch(statements::PURGEABLE, values).await? {
                found.extend(readable(purgeable(row))?);
            }
        }
        Ok(found)
    }

    pub(super) async fn forgotten(
        &self,
        partitions: Vec<Partition>,
        until: DateTime<Utc>,
    ) -> Result<Vec<VideoId>, StoreError> {
        let mut found = Vec::new();
        for partition in partitions {
            let values = vec![partition.into(), until.into(), ROUND.into()];
            for row in &self.reader.fetch(statements::FORGOTTEN, values).await? {
                found.extend(readable(read_id::<VideoId>(row, "id"))?);
            }
        }
        Ok(found)
    }

    pub(super) async fn garbage(&self, partitions: Vec<Partition>) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        for partition in partitions {
            let rows = self.reader.fetch(statements::GARBAGE, vec![partition.into(), ROUND.into()]).await?;
            found.extend(rows.iter().map(|row| row.text("object_key")));
        }
        Ok(found)
    }

    pub(super) async fn ledger(&self, video: VideoId) -> Result<Vec<LedgerRow>, StoreError> {
        let rows = self.reader.fetch(statements::LEDGER, vec![video.into()]).await?;
        rows.iter().map(|row| ledger_row(video, row)).collect()
    }

    pub(super) async fn videos_of(&self, user: &UserId, artifact: ArtifactId) -> Result<Vec<VideoId>, StoreError> {
        let (first, last) = artifact.named_videos();
        let named = vec![first.into(), last.into(), user.into()];
        let mut videos = Vec::new();
        for row in &self.reader.fetch(statements::NAMED_VIDEOS, named).await? {
            let video = read_id(row, "id")?;
            videos.extend(artifact.names(video).then_some(video));
        }
        if videos.is_empty() {
            let rows = self.reader.fetch(statements::VIDEO_OF_ARTIFACT, vec![artifact.to_string().into()]).await?;
            videos = rows.iter().map(|row| read_id(row, "video_id")).collect::<Result<_, _>>()?;
        }
        Ok(videos)
    }
}
