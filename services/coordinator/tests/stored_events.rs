//! Yesterday's videos still load: stored rows and one whole journal, frozen as they once were written.
//!
//! Fixtures are never edited. An event that changes keeps reading its old form, and its new one is frozen as the next
//! version beside it.

use std::path::Path;
use std::sync::Arc;

use coordinator::store::{Append, Appended, SqliteStore, Store, VideoRow};
use coordinator::video::Video;
use messages::artifact::{ArtifactKey, Digest};
use messages::catalogue::Catalogue;
use messages::event::{Event, Recorded};
use messages::id::VideoId;
use messages::money::Usd;
use messages::query::VideoStatus;
use messages::subject::Partition;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Row as _};

#[macro_use]
#[path = "../../../messages/tests/wire/variants.rs"]
mod variants;

#[path = "../../../messages/tests/wire/events.rs"]
mod events;
#[path = "stored_events/film.rs"]
mod film;
#[expect(dead_code, reason = "its cases serve the messages")]
#[path = "../../../messages/tests/wire/frozen.rs"]
mod frozen;
#[expect(dead_code, reason = "written for every message; events need only some of them")]
#[path = "../../../messages/tests/wire/parts.rs"]
mod parts;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stored_events");

/// A row of the journal, as every database keeps it; the body is text there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct StoredRow {
    seq: i64,
    /// Microseconds since 1970.
    recorded_at: i64,
    command_id: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    body: Value,
}

#[tokio::test]
async fn every_event_is_written_as_its_frozen_row() {
    let journal = events::journal(parts::catalogue().digest());
    let all: Vec<_> = journal.iter().map(|recorded| recorded.event.clone()).collect();
    events::every_event_is_here(&all);
    for (row, recorded) in written(&journal, parts::catalogue()).await.into_iter().zip(&journal) {
        let file = format!("v1/{}.json", events::name(&recorded.event));
        let today = pretty(&row);
        let frozen = frozen::text(FOLDER, &file, &today);
        assert_eq!(
            read(&frozen),
            row,
            "{file}: today's program stores another row than the frozen one.\n\
             Journals are full of the frozen ones: do not edit it. Keep reading it, and freeze the new form as the next\n\
             version beside it (v2/...)."
        );
    }
}

#[tokio::test]
async fn every_frozen_row_is_read_as_it_was_meant() {
    let journal = events::journal(parts::catalogue().digest());
    let rows: Vec<_> = journal
        .iter()
        .map(|recorded| {
            let file = format!("v1/{}.json", events::name(&recorded.event));
            // What is missing is written, or asked for, by the test above.
            let today = Path::new(FOLDER).join(file);
            read(&std::fs::read_to_string(today).expect("it was frozen; see every_event_is_written_as_its_frozen_row"))
        })
        .collect();
    assert_eq!(loaded(&rows, parts::catalogue()).await, journal);
}

#[test]
fn events_that_have_gained_fields_are_written_and_read_as_their_newer_frozen_bodies() {
    for recorded in events::newer() {
        let file = format!("v2/{}.json", events::name(&recorded.event));
        let today = pretty(&recorded.event);
        let frozen = frozen::text(FOLDER, &file, &today);
        assert_eq!(frozen, today, "{file}: journals hold the frozen one; do not edit it");
        assert_eq!(serde_json::from_str::<Event>(&frozen).expect("an event"), recorded.event);
    }
}

#[test]
fn no_frozen_row_lies_about_unused() {
    let journal = events::journal(parts::catalogue().digest());
    let mut used: Vec<_> =
        journal.iter().map(|recorded| format!("v1/{}.json", events::name(&recorded.event))).collect();
    used.sort_unstable();
    assert_eq!(frozen::files(FOLDER, "v1").into_iter().collect::<Vec<_>>(), used);
}

#[tokio::test]
async fn a_film_that_was_finished_long_ago_still_loads() {
    let journal = frozen_or("film/journal.jsonl", || {
        let lines = film::finished().journal.iter().map(row_of).map(|row| compact(&row)).collect::<Vec<_>>();
        lines.join("\n")
    });
    let catalogue = frozen_or("film/catalogue.json", || pretty(film::finished().catalogue.as_ref()));
    let rows: Vec<StoredRow> = journal.lines().map(read).collect();
    let catalogue: Catalogue = serde_json::from_str(&catalogue).expect("a catalogue");

    let journal = loaded(&rows, catalogue.clone()).await;
    assert_eq!(journal.len(), FILM_EVENTS);
    let video = Video::replay(parts::video(), &journal, Arc::new(catalogue)).expect("it is a video");
    assert_eq!(video.seq, FILM_EVENTS as u64);
    assert_eq!(video.status(), VideoStatus::Complete);
    assert_eq!(video.settings.title.as_deref(), Some("Patience, at night"));
    assert_eq!(video.settings.budget_usd, Some(Usd::from_micros(20_000_000)));
    assert!(video.is_finished());

    let status = video.status_view();
    assert_eq!((status.progress, status.total_chunks), (100.0, Some(3)));
    assert_eq!(status.storyboard_urls.len(), 2);
    assert_eq!(status.cost.spent_usd, Usd::from_micros(15_000), "15 s of music at a tenth of a cent");
    assert_eq!(status.branches.len(), 2);

    // What stands in the film, by content: the edited spec, the beat drawn again, three chunks, music, mix, thumbnail.
    let head = video.branches[&parts::branch("main")].head;
    let selected = &video.checkpoints[&head].selection;
    let digest = Digest::of_selection(selected.iter().map(|(key, id)| (*key, video.artifacts[id].content.digest())));
    assert_eq!(digest.to_string(), FILM_DIGEST);
    assert_eq!(video.artifacts[&selected[&ArtifactKey::Beat(0)]].version, 2);
    assert_eq!(video.checkpoints.len(), 6, "planning, two storyboards, chunks, refine, and the fork");
}

/// How many events the frozen film has.
const FILM_EVENTS: usize = 39;
/// What the frozen film consists of.
const FILM_DIGEST: &str = "4749246ff8958fe31198342e94e85ea54aa89df6109cfa3dd4cf4595e2c3f82b";

/// The fixture's text; a missing one is what the machine makes today.
fn frozen_or(file: &str, write: impl Fn() -> String) -> String {
    let there = Path::new(FOLDER).join(file).is_file();
    frozen::text(FOLDER, file, &if there { String::new() } else { write() })
}

/// The rows that a store writes for a journal.
async fn written(journal: &[Recorded], catalogue: Catalogue) -> Vec<StoredRow> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("journal.db");
    let store = SqliteStore::open(&file).await.expect("it opens");
    record(&store, journal.to_vec(), catalogue).await;
    let rows = sqlx::query("select seq, recorded_at, command_id, type, body from event order by seq")
        .fetch_all(&mut connection(&file).await)
        .await
        .expect("they are read");
    rows.iter()
        .map(|row| StoredRow {
            seq: row.get("seq"),
            recorded_at: row.get("recorded_at"),
            command_id: row.get("command_id"),
            kind: row.get("type"),
            body: serde_json::from_str(&row.get::<String, _>("body")).expect("JSON"),
        })
        .collect()
}

/// The journal that a store reads from rows that were put there by hand.
async fn loaded(rows: &[StoredRow], catalogue: Catalogue) -> Vec<Recorded> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("journal.db");
    let store = SqliteStore::open(&file).await.expect("it opens");
    // The video's own row and its catalogue; its events come from the fixtures alone.
    let first = Recorded {
        seq: 1,
        time: parts::time(0),
        command_id: None,
        event: serde_json::from_value(rows[0].body.clone()).expect("an event"),
    };
    record(&store, vec![first], catalogue).await;
    let mut connection = connection(&file).await;
    sqlx::query("delete from event").execute(&mut connection).await.expect("they are deleted");
    for row in rows {
        sqlx::query(
            "insert into event (video_id, seq, recorded_at, command_id, type, body) values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(parts::video().to_string())
        .bind(row.seq)
        .bind(row.recorded_at)
        .bind(&row.command_id)
        .bind(&row.kind)
        .bind(row.body.to_string())
        .execute(&mut connection)
        .await
        .expect("it is written");
    }
    store.load(parts::video()).await.expect("it loads").journal
}

async fn connection(file: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(file).connect().await.expect("it opens")
}

async fn record(store: &SqliteStore, events: Vec<Recorded>, catalogue: Catalogue) {
    let Some(Event::VideoCreated { user, .. }) = events.first().map(|first| &first.event) else {
        panic!("a journal starts with video_created");
    };
    let video: VideoId = parts::video();
    assert!(Partition::of(video).0 < messages::subject::PARTITIONS);
    let row = VideoRow {
        catalogue: Arc::new(catalogue),
        status: VideoStatus::Complete,
        progress: 100.0,
        title: None,
        prompt: String::new(),
        created_at: parts::time(0),
        updated_at: parts::time(0),
        deleted: None,
        forgotten_since: None,
    };
    let append = Append {
        video,
        user: user.clone(),
        based_on: None,
        events,
        row: Some(row),
        plan: Vec::new(),
        ended: Vec::new(),
        spent: Vec::new(),
        garbage: Vec::new(),
        outcome: None,
    };
    assert_eq!(store.append(vec![append.into()]).await.expect("it is recorded"), [Appended::Committed]);
}

fn row_of(recorded: &Recorded) -> StoredRow {
    StoredRow {
        seq: recorded.seq as i64,
        recorded_at: recorded.time.timestamp_micros(),
        command_id: recorded.command_id.as_ref().map(ToString::to_string),
        kind: recorded.event.name().to_owned(),
        body: serde_json::to_value(&recorded.event).expect("it can be written"),
    }
}

fn read(text: &str) -> StoredRow {
    serde_json::from_str(text).expect("a stored row")
}

fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("it can be written")
}

fn compact(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it can be written")
}
