//! Rows of either database as what they mean.

use chrono::{DateTime, Utc};
use messages::event::Recorded;
use messages::id::VideoId;
use messages::money::Usd;
use messages::phase::Phase;
use messages::query::{LedgerRow, VideoStatus, VideoSummary};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use super::{PlannedJob, Purgeable, StoreError, Tombstone};

/// The few kinds of columns that our tables have, by name.
pub(super) trait Cells {
    fn number(&self, column: &str) -> i64;
    fn real(&self, column: &str) -> f64;
    fn text(&self, column: &str) -> String;
    fn optional_text(&self, column: &str) -> Option<String>;
    fn bytes(&self, column: &str) -> Vec<u8>;
}

macro_rules! cells {
    ($($row:ty),*) => {
        $(
            impl Cells for $row {
                fn number(&self, column: &str) -> i64 {
                    self.get(column)
                }

                fn real(&self, column: &str) -> f64 {
                    self.get(column)
                }

                fn text(&self, column: &str) -> String {
                    self.get(column)
                }

                fn optional_text(&self, column: &str) -> Option<String> {
                    self.get(column)
                }

                fn bytes(&self, column: &str) -> Vec<u8> {
                    self.get(column)
                }
            }
        )*
    };
}

cells!(SqliteRow, PgRow);

pub(super) fn recorded(video: VideoId, row: &impl Cells) -> Result<Recorded, StoreError> {
    let command = row.optional_text("command_id");
    Ok(Recorded {
        seq: row.number("seq") as u64,
        time: time(row.number("recorded_at")),
        command_id: command
            .map(|id| id.parse())
            .transpose()
            .map_err(|error: messages::id::InvalidId| unreadable("event", video, error))?,
        event: read_json("event", video, &row.text("body"))?,
    })
}

pub(super) fn planned_job(row: &impl Cells) -> Result<PlannedJob, StoreError> {
    Ok(PlannedJob {
        id: read_id(row, "id")?,
        video: read_id(row, "video_id")?,
        user: read_id(row, "user_id")?,
        service: read_id(row, "service")?,
        attempt: row.number("attempt") as u32,
        sends: row.number("sends") as u32,
        interactive: row.number("priority") > 0,
        not_before: time(row.number("not_before")),
        body: row.bytes("body").into(),
    })
}

pub(super) fn summary(row: &impl Cells) -> Result<VideoSummary, StoreError> {
    let video_id: VideoId = read_id(row, "id")?;
    let status = row.text("status");
    Ok(VideoSummary {
        video_id,
        title: row.optional_text("title"),
        prompt: row.text("prompt"),
        status: VideoStatus::from_name(&status).ok_or_else(|| unreadable("status", video_id, &status))?,
        progress: row.real("progress"),
        created_at: time(row.number("created_at")),
        updated_at: time(row.number("updated_at")),
    })
}

pub(super) fn tombstone(row: &impl Cells) -> Result<Tombstone, StoreError> {
    Ok(Tombstone {
        user: read_id(row, "user_id")?,
        seq: row.number("seq") as u64,
        deleted_at: time(row.number("deleted_at")),
        deleted_by: read_id(row, "deleted_by")?,
    })
}

pub(super) fn purgeable(row: &impl Cells) -> Result<Purgeable, StoreError> {
    Ok(Purgeable {
        video: read_id(row, "id")?,
        user: read_id(row, "user_id")?,
        deleted_at: time(row.number("deleted_at")),
    })
}

pub(super) fn ledger_row(video: VideoId, row: &impl Cells) -> Result<LedgerRow, StoreError> {
    let phase = row.number("phase");
    let known = Phase::ALL.into_iter().find(|known| i64::from(known.number()) == phase);
    Ok(LedgerRow {
        branch: read_id(row, "branch")?,
        phase: known.ok_or_else(|| unreadable("phase", video, phase))?,
        job: read_id(row, "job")?,
        attempt: row.number("attempt") as u32,
        artifact_key: read_id(row, "artifact_key")?,
        model: row.text("model"),
        unit: row.text("unit"),
        quantity: row.real("quantity"),
        amount_usd: Usd::from_micros(row.number("amount") as u64),
        time: time(row.number("booked_at")),
    })
}

/// Passes over what only a newer program can read: it stays where it is, and its neighbours go on.
pub(super) fn readable<T>(result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error @ StoreError::Unreadable { .. }) => {
            tracing::error!(error = %error, "a row waits for a program that can read it");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

pub(super) fn read_id<T: std::str::FromStr<Err: std::fmt::Display>>(
    row: &impl Cells,
    column: &'static str,
) -> Result<T, StoreError> {
    let text = row.text(column);
    text.parse().map_err(|error: T::Err| unreadable(column, &text, error))
}

pub(super) fn read_json<T: serde::de::DeserializeOwned>(
    what: &'static str,
    id: impl std::fmt::Display,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| unreadable(what, id, error))
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

pub(super) fn unreadable(what: &'static str, id: impl std::fmt::Display, reason: impl std::fmt::Display) -> StoreError {
    StoreError::Unreadable { what, id: id.to_string(), reason: reason.to_string() }
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}
