//! Appends as the rows that their statement takes: JSON, table by table, and what has any size beside it in one piece.

use std::collections::BTreeMap;

use messages::subject::Partition;
use serde::Serialize;
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;

use super::super::rows::to_json;
use super::super::{Append, PlannedJob, catalogue_of, nameless_artifacts, placed};
use super::append::APPEND;

/// Everything of one transaction, list by list.
#[derive(Debug, Default)]
pub(super) struct Batch {
    created: Rows,
    moved: Rows,
    stayed: Rows,
    listed: Rows,
    deleted: Rows,
    event: Rows,
    artifact: Rows,
    gone: Rows,
    planned: Rows,
    outcome: Rows,
    spending: Rows,
    garbage: Rows,
    bodies: Bodies,
}

impl Batch {
    pub(super) fn new(appends: &[&Append]) -> Result<Self, sqlx::Error> {
        let mut batch = Self::default();
        for append in appends {
            batch.add_video(append)?;
            batch.add_events(append)?;
            batch.add_jobs(append)?;
            batch.add_the_rest(append)?;
        }
        Ok(batch)
    }

    pub(super) fn statement(self) -> Query<'static, Sqlite, SqliteArguments> {
        let Self { created, moved, stayed, listed, deleted, event, artifact, .. } = self;
        let Self { gone, planned, outcome, spending, garbage, bodies, .. } = self;
        let lists =
            [created, moved, stayed, listed, deleted, event, artifact, gone, planned, outcome, spending, garbage];
        let statement = lists.into_iter().fold(sqlx::query(APPEND), |statement, rows| statement.bind(rows.into_json()));
        statement.bind(bodies.0)
    }

    /// The row of the video that is new, moves, or must not have moved.
    fn add_video(&mut self, append: &Append) -> Result<(), sqlx::Error> {
        let video = append.video;
        let (Some(row), Some(first), Some(last)) = (&append.row, append.events.first(), append.events.last()) else {
            return match append.based_on {
                Some(seq) => self.stayed.push(&(video, seq)),
                None => Ok(()),
            };
        };
        let updated_at = row.updated_at.timestamp_micros();
        if let Some(catalogue) = catalogue_of(first) {
            return self.created.push(&(
                video,
                &append.user,
                Partition::of(video).0,
                last.seq,
                catalogue,
                row.status.name(),
                row.progress,
                &row.title,
                &row.prompt,
                row.created_at.timestamp_micros(),
                updated_at,
            ));
        }
        self.moved.push(&(video, first.seq - 1, last.seq, row.progress, &row.title, updated_at))?;
        let forgotten_since = row.forgotten_since.map(|since| since.timestamp_micros());
        self.listed.push(&(video, row.status.name(), forgotten_since))?;
        match &row.deleted {
            Some(by) => self.deleted.push(&(video, updated_at, by)),
            None => Ok(()),
        }
    }

    fn add_events(&mut self, append: &Append) -> Result<(), sqlx::Error> {
        for recorded in &append.events {
            let body = self.bodies.add_json(&recorded.event)?;
            self.event.push(&(
                append.video,
                recorded.seq,
                recorded.time.timestamp_micros(),
                &recorded.command_id,
                recorded.event.name(),
                body,
            ))?;
            for artifact in nameless_artifacts(append.video, recorded) {
                self.artifact.push(&(artifact, append.video))?;
            }
        }
        Ok(())
    }

    fn add_jobs(&mut self, append: &Append) -> Result<(), sqlx::Error> {
        let (video, partition) = (append.video, Partition::of(append.video).0);
        // One that is planned again is replaced.
        let replaced = append.plan.iter().map(|job| job.id);
        for job in append.ended.iter().copied().chain(replaced) {
            self.gone.push(&(partition, video, job))?;
        }
        // Of the same job planned twice the last one counts.
        let plan: BTreeMap<_, _> = append.plan.iter().map(|job| (job.id, job)).collect();
        for PlannedJob { id, user, service, attempt, interactive, not_before, body, .. } in plan.into_values() {
            self.planned.push(&(
                partition,
                video,
                id,
                user,
                service.name(),
                attempt,
                i64::from(*interactive),
                not_before.timestamp_micros(),
                self.bodies.add(body),
            ))?;
        }
        Ok(())
    }

    fn add_the_rest(&mut self, append: &Append) -> Result<(), sqlx::Error> {
        let (video, partition) = (append.video, Partition::of(append.video).0);
        if let Some(outcome) = &append.outcome {
            let body = self.bodies.add_json(outcome)?;
            let at = outcome.time().timestamp_micros();
            self.outcome.push(&(video, outcome.command_id(), &append.user, partition, at, body))?;
        }
        for (position, row) in placed(&append.spent) {
            self.spending.push(&(
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
            ))?;
        }
        for key in &append.garbage {
            self.garbage.push(&(key, partition))?;
        }
        Ok(())
    }
}

/// Rows of one table, each an array: JSON, but for the bracket that ends it.
#[derive(Debug, Default)]
struct Rows(String);

impl Rows {
    fn push(&mut self, row: &impl Serialize) -> Result<(), sqlx::Error> {
        self.0.push(if self.is_empty() { '[' } else { ',' });
        self.0.push_str(&to_json(row)?);
        Ok(())
    }

    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn into_json(mut self) -> String {
        self.0.push_str(if self.is_empty() { "[]" } else { "]" });
        self.0
    }
}

/// What is too large to travel within JSON, one after the other.
#[derive(Debug, Default)]
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
