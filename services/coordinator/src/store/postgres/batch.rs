//! Appends as the arrays that `append.sql` takes: one row after the other, column by column.

use std::collections::{BTreeMap, HashSet};

use messages::id::{CommandId, JobId};
use messages::subject::Partition;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use super::super::rows::to_json;
use super::super::{Append, Moved, PlannedJob, catalogue_of, nameless_artifacts, placed};

/// A round of appends.
pub const APPEND: &str = include_str!("append.sql");

/// Everything of one round.
#[derive(Debug, Default)]
pub(super) struct Batch {
    appended: Appended,
    catalogue: Catalogues,
    event: Events,
    artifact: Artifacts,
    spending: Spending,
    garbage: Garbage,
    ended: Ended,
    planned: Planned,
    outcome: Outcomes,
    position: Positions,
}

macro_rules! columns {
    ($table:ident { $($column:ident: $kind:ty),* $(,)? }) => {
        #[derive(Debug, Default)]
        struct $table {
            $($column: Vec<$kind>,)*
        }

        impl $table {
            fn bind(self, query: Arrays) -> Arrays {
                query$(.bind(self.$column))*
            }
        }
    };
}

type Arrays = Query<'static, Postgres, PgArguments>;

columns!(Appended {
    id: String,
    user_id: String,
    partition: i64,
    expected: Option<i64>,
    seq: Option<i64>,
    catalogue: Option<String>,
    status: Option<&'static str>,
    progress: Option<f64>,
    title: Option<String>,
    prompt: Option<String>,
    created_at: Option<i64>,
    updated_at: Option<i64>,
    deleted_at: Option<i64>,
    deleted_by: Option<String>,
    forgotten_since: Option<i64>,
    based_on: Option<i64>,
});

columns!(Catalogues { digest: String, body: String });

columns!(Events {
    video_id: String,
    seq: i64,
    recorded_at: i64,
    command_id: Option<String>,
    kind: &'static str,
    body: String,
});

columns!(Artifacts { id: String, video_id: String });

columns!(Spending {
    video_id: String,
    job: String,
    attempt: i64,
    position: i64,
    branch: String,
    phase: i64,
    artifact_key: String,
    model: String,
    unit: String,
    quantity: f64,
    amount: i64,
    booked_at: i64,
});

columns!(Garbage { video_id: String, object_key: String });

columns!(Ended { video_id: String, id: String });

columns!(Planned {
    video_id: String,
    id: String,
    user_id: String,
    service: &'static str,
    attempt: i64,
    priority: i64,
    not_before: i64,
    body: Vec<u8>,
});

columns!(Outcomes { video_id: String, command_id: String, recorded_at: i64, outcome: String });

columns!(Positions { owner: String, partition: i64, stream_created: i64, sequence: i64, message_time: i64 });

impl Batch {
    pub(super) fn new<'a>(
        appends: impl IntoIterator<Item = &'a Append>,
        positions: &[Moved],
        is_known: impl Fn(&str) -> bool,
    ) -> Result<Self, sqlx::Error> {
        let mut batch = Self::default();
        // By digest: two transactions that store the same ones do so in the same order.
        let mut catalogues = BTreeMap::new();
        for append in appends {
            let digest = append.events.first().and_then(catalogue_of);
            if let (Some(row), Some(digest)) = (&append.row, digest.map(|digest| digest.to_string()))
                && !is_known(&digest)
            {
                catalogues.insert(digest, &row.catalogue);
            }
            batch.add(append)?;
        }
        for (digest, catalogue) in catalogues {
            batch.catalogue.digest.push(digest);
            batch.catalogue.body.push(to_json(catalogue.as_ref())?);
        }
        for Moved { owner, partition, position } in positions {
            batch.position.owner.push(owner.clone());
            batch.position.partition.push(i64::from(partition.0));
            batch.position.stream_created.push(position.stream_created);
            batch.position.sequence.push(position.sequence as i64);
            batch.position.message_time.push(position.message_time);
        }
        Ok(batch)
    }

    /// Digests of the catalogues that are stored with it.
    pub(super) fn catalogues(&self) -> &[String] {
        &self.catalogue.digest
    }

    pub(super) fn statement(self) -> Arrays {
        let query = sqlx::query(APPEND);
        let query = self.catalogue.bind(self.appended.bind(query));
        let query = self.spending.bind(self.artifact.bind(self.event.bind(query)));
        let query = self.planned.bind(self.ended.bind(self.garbage.bind(query)));
        self.position.bind(self.outcome.bind(query))
    }

    fn add(&mut self, append: &Append) -> Result<(), sqlx::Error> {
        let video = append.video.to_string();
        self.add_appended(&video, append);
        for recorded in &append.events {
            self.event.video_id.push(video.clone());
            self.event.seq.push(recorded.seq as i64);
            self.event.recorded_at.push(recorded.time.timestamp_micros());
            self.event.command_id.push(recorded.command_id.as_ref().map(|id| id.as_str().to_owned()));
            self.event.kind.push(recorded.event.name());
            self.event.body.push(to_json(&recorded.event)?);
            for artifact in nameless_artifacts(append.video, recorded) {
                self.artifact.id.push(artifact.to_string());
                self.artifact.video_id.push(video.clone());
            }
        }
        for (position, row) in placed(&append.spent) {
            self.spending.video_id.push(video.clone());
            self.spending.job.push(row.job.to_string());
            self.spending.attempt.push(i64::from(row.attempt));
            self.spending.position.push(position as i64);
            self.spending.branch.push(row.branch.as_str().to_owned());
            self.spending.phase.push(i64::from(row.phase.number()));
            self.spending.artifact_key.push(row.artifact_key.to_string());
            self.spending.model.push(row.model.clone());
            self.spending.unit.push(row.unit.clone());
            self.spending.quantity.push(row.quantity);
            self.spending.amount.push(row.amount_usd.micros() as i64);
            self.spending.booked_at.push(row.time.timestamp_micros());
        }
        for key in &append.garbage {
            self.garbage.video_id.push(video.clone());
            self.garbage.object_key.push(key.clone());
        }
        // One statement can touch a row only once: of the same job planned twice the last one counts, as one by one.
        let planned: BTreeMap<JobId, &PlannedJob> = append.plan.iter().map(|job| (job.id, job)).collect();
        let ended: HashSet<_> = append.ended.iter().filter(|id| !planned.contains_key(id)).collect();
        for id in ended {
            self.ended.video_id.push(video.clone());
            self.ended.id.push(id.to_string());
        }
        for job in planned.into_values() {
            self.planned.video_id.push(video.clone());
            self.planned.id.push(job.id.to_string());
            self.planned.user_id.push(job.user.as_str().to_owned());
            self.planned.service.push(job.service.name());
            self.planned.attempt.push(i64::from(job.attempt));
            self.planned.priority.push(i64::from(job.interactive));
            self.planned.not_before.push(job.not_before.timestamp_micros());
            self.planned.body.push(job.body.to_vec());
        }
        if let Some(outcome) = &append.outcome {
            self.outcome.video_id.push(video);
            self.outcome.command_id.push(outcome.command_id().as_str().to_owned());
            self.outcome.recorded_at.push(outcome.time().timestamp_micros());
            self.outcome.outcome.push(to_json(outcome)?);
        }
        Ok(())
    }

    fn add_appended(&mut self, video: &str, append: &Append) {
        let appended = &mut self.appended;
        appended.id.push(video.to_owned());
        appended.user_id.push(append.user.as_str().to_owned());
        appended.partition.push(i64::from(Partition::of(append.video).0));
        let moved = append.row.as_ref().zip(append.events.first().zip(append.events.last()));
        let row = moved.map(|(row, _)| row);
        appended.expected.push(moved.map(|(_, (first, _))| first.seq as i64 - 1));
        appended.seq.push(moved.map(|(_, (_, last))| last.seq as i64));
        let catalogue = moved.and_then(|(_, (first, _))| catalogue_of(first));
        appended.catalogue.push(catalogue.map(|digest| digest.to_string()));
        appended.status.push(row.map(|row| row.status.name()));
        appended.progress.push(row.map(|row| row.progress));
        appended.title.push(row.and_then(|row| row.title.clone()));
        appended.prompt.push(row.map(|row| row.prompt.clone()));
        appended.created_at.push(row.map(|row| row.created_at.timestamp_micros()));
        appended.updated_at.push(row.map(|row| row.updated_at.timestamp_micros()));
        let deleted = row.and_then(|row| row.deleted.as_ref().zip(Some(row.updated_at)));
        appended.deleted_at.push(deleted.map(|(_, at)| at.timestamp_micros()));
        appended.deleted_by.push(deleted.map(|(by, _)| CommandId::as_str(by).to_owned()));
        let forgotten_since = row.and_then(|row| row.forgotten_since);
        appended.forgotten_since.push(forgotten_since.map(|since| since.timestamp_micros()));
        appended.based_on.push(append.based_on.map(|seq| seq as i64));
    }
}
