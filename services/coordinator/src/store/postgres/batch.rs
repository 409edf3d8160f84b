//! Appends as the arrays that their statement takes: one row after the other, column by column.

use std::collections::{BTreeMap, HashSet};

use messages::id::{CommandId, JobId};
use messages::subject::Partition;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use super::super::rows::to_json;
use super::super::{Append, PlannedJob, catalogue_of, nameless_artifacts, placed};
use super::append::{APPEND, APPEND_ALL};

/// Everything of one round.
#[derive(Debug, Default)]
pub(super) struct Batch {
    usual: Usual,
    more: More,
}

/// What [`APPEND`] takes.
#[derive(Debug, Default)]
struct Usual {
    appended: Appended,
    event: Events,
    ended: Ended,
    planned: Planned,
    outcome: Outcomes,
}

/// What [`APPEND_ALL`] takes after it.
#[derive(Debug, Default)]
struct More {
    created: Created,
    stayed: Stayed,
    catalogue: Catalogues,
    artifact: Artifacts,
    spending: Spending,
    garbage: Garbage,
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
    status: Option<&'static str>,
    progress: Option<f64>,
    title: Option<String>,
    updated_at: Option<i64>,
    deleted_at: Option<i64>,
    deleted_by: Option<String>,
    forgotten_since: Option<i64>,
});

columns!(Created { id: String, catalogue: String, prompt: String, created_at: i64 });

columns!(Stayed { id: String, based_on: Option<i64> });

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

impl Batch {
    pub(super) fn new<'a>(
        appends: impl IntoIterator<Item = &'a Append>,
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
            batch.more.catalogue.digest.push(digest);
            batch.more.catalogue.body.push(to_json(catalogue.as_ref())?);
        }
        Ok(batch)
    }

    /// Digests of the catalogues that are stored with it.
    pub(super) fn catalogues(&self) -> &[String] {
        &self.more.catalogue.digest
    }

    pub(super) fn statement(self) -> Arrays {
        let Self { usual, more } = self;
        if more.is_empty() { usual.bind(sqlx::query(APPEND)) } else { more.bind(usual.bind(sqlx::query(APPEND_ALL))) }
    }

    fn add(&mut self, append: &Append) -> Result<(), sqlx::Error> {
        let video = append.video.to_string();
        self.add_appended(&video, append);
        let Usual { event, ended, planned, outcome, .. } = &mut self.usual;
        let More { artifact, spending, garbage, .. } = &mut self.more;
        for recorded in &append.events {
            event.video_id.push(video.clone());
            event.seq.push(recorded.seq as i64);
            event.recorded_at.push(recorded.time.timestamp_micros());
            event.command_id.push(recorded.command_id.as_ref().map(|id| id.as_str().to_owned()));
            event.kind.push(recorded.event.name());
            event.body.push(to_json(&recorded.event)?);
            for nameless in nameless_artifacts(append.video, recorded) {
                artifact.id.push(nameless.to_string());
                artifact.video_id.push(video.clone());
            }
        }
        for (position, row) in placed(&append.spent) {
            spending.video_id.push(video.clone());
            spending.job.push(row.job.to_string());
            spending.attempt.push(i64::from(row.attempt));
            spending.position.push(position as i64);
            spending.branch.push(row.branch.as_str().to_owned());
            spending.phase.push(i64::from(row.phase.number()));
            spending.artifact_key.push(row.artifact_key.to_string());
            spending.model.push(row.model.clone());
            spending.unit.push(row.unit.clone());
            spending.quantity.push(row.quantity);
            spending.amount.push(row.amount_usd.micros() as i64);
            spending.booked_at.push(row.time.timestamp_micros());
        }
        for key in &append.garbage {
            garbage.video_id.push(video.clone());
            garbage.object_key.push(key.clone());
        }
        // One statement can touch a row only once: of the same job planned twice the last one counts, as one by one.
        let plan: BTreeMap<JobId, &PlannedJob> = append.plan.iter().map(|job| (job.id, job)).collect();
        let only_ended: HashSet<_> = append.ended.iter().filter(|id| !plan.contains_key(id)).collect();
        for id in only_ended {
            ended.video_id.push(video.clone());
            ended.id.push(id.to_string());
        }
        for job in plan.into_values() {
            planned.video_id.push(video.clone());
            planned.id.push(job.id.to_string());
            planned.user_id.push(job.user.as_str().to_owned());
            planned.service.push(job.service.name());
            planned.attempt.push(i64::from(job.attempt));
            planned.priority.push(i64::from(job.interactive));
            planned.not_before.push(job.not_before.timestamp_micros());
            planned.body.push(job.body.to_vec());
        }
        if let Some(said) = &append.outcome {
            outcome.video_id.push(video);
            outcome.command_id.push(said.command_id().as_str().to_owned());
            outcome.recorded_at.push(said.time().timestamp_micros());
            outcome.outcome.push(to_json(said)?);
        }
        Ok(())
    }

    fn add_appended(&mut self, video: &str, append: &Append) {
        let appended = &mut self.usual.appended;
        appended.id.push(video.to_owned());
        appended.user_id.push(append.user.as_str().to_owned());
        appended.partition.push(i64::from(Partition::of(append.video).0));
        let moved = append.row.as_ref().zip(append.events.first().zip(append.events.last()));
        let row = moved.map(|(row, _)| row);
        appended.expected.push(moved.map(|(_, (first, _))| first.seq as i64 - 1));
        appended.seq.push(moved.map(|(_, (_, last))| last.seq as i64));
        appended.status.push(row.map(|row| row.status.name()));
        appended.progress.push(row.map(|row| row.progress));
        appended.title.push(row.and_then(|row| row.title.clone()));
        appended.updated_at.push(row.map(|row| row.updated_at.timestamp_micros()));
        let deleted = row.and_then(|row| row.deleted.as_ref().zip(Some(row.updated_at)));
        appended.deleted_at.push(deleted.map(|(_, at)| at.timestamp_micros()));
        appended.deleted_by.push(deleted.map(|(by, _)| CommandId::as_str(by).to_owned()));
        let forgotten_since = row.and_then(|row| row.forgotten_since);
        appended.forgotten_since.push(forgotten_since.map(|since| since.timestamp_micros()));

        let Some((row, (first, _))) = moved else {
            let stayed = &mut self.more.stayed;
            stayed.id.push(video.to_owned());
            stayed.based_on.push(append.based_on.map(|seq| seq as i64));
            return;
        };
        if let Some(catalogue) = catalogue_of(first) {
            let created = &mut self.more.created;
            created.id.push(video.to_owned());
            created.catalogue.push(catalogue.to_string());
            created.prompt.push(row.prompt.clone());
            created.created_at.push(row.created_at.timestamp_micros());
        }
    }
}

impl Usual {
    fn bind(self, query: Arrays) -> Arrays {
        let query = self.event.bind(self.appended.bind(query));
        self.outcome.bind(self.planned.bind(self.ended.bind(query)))
    }
}

impl More {
    fn is_empty(&self) -> bool {
        let Self { created, stayed, catalogue, artifact, spending, garbage } = self;
        created.id.is_empty()
            && stayed.id.is_empty()
            && catalogue.digest.is_empty()
            && artifact.id.is_empty()
            && spending.video_id.is_empty()
            && garbage.object_key.is_empty()
    }

    fn bind(self, query: Arrays) -> Arrays {
        let query = self.catalogue.bind(self.stayed.bind(self.created.bind(query)));
        self.garbage.bind(self.spending.bind(self.artifact.bind(query)))
    }
}
