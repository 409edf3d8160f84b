//! Every database against the same conformance suite, and what only one of them has.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use coordinator::store::{SqliteStore, Store, StoreError};
use messages::artifact::ArtifactKey;
use messages::subject::Partition;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Row as _};

#[path = "store/bad_days.rs"]
mod bad_days;
#[path = "store/conformance.rs"]
mod conformance;
#[expect(dead_code, reason = "written for every message; a store needs only some of them")]
#[path = "../../../messages/tests/wire/parts.rs"]
mod parts;
#[path = "store/plans.rs"]
mod plans;
#[expect(dead_code, reason = "written for a cluster on one machine too")]
#[path = "../../dailies/src/postgres_server.rs"]
mod postgres_server;
#[path = "store/purge.rs"]
mod purge;
#[path = "store/samples.rs"]
mod samples;
#[path = "store/servers.rs"]
mod servers;
#[path = "store/versions.rs"]
mod versions;

use conformance::Database;
use samples::{created, made, seqs, video};

/// The suite for one database: its module's name, and what gives an empty one.
macro_rules! conforms {
    ($module:ident, $empty:expr) => {
        conforms!(
            $module, $empty,
            over_a_store: [
                what_is_appended_is_loaded,
                of_two_appends_in_the_same_place_one_is_recorded,
                of_many_appends_at_once_one_is_recorded,
                an_append_after_a_hole_is_lost,
                what_changes_nothing_is_lost_too_when_it_was_decided_upon_an_older_journal,
                the_first_outcome_of_a_command_stays,
                one_id_of_two_people_names_two_commands,
                what_was_asked_in_vain_is_forgotten,
                the_outcome_of_a_command_about_no_video_is_kept,
                an_owner_alone_says_how_far_a_partition_is_read,
                one_append_that_cannot_be_written_takes_its_neighbours_back,
                what_has_not_left_is_found_until_it_is_marked,
                what_is_unfinished_of_one_video_is_found,
                jobs_are_there_from_their_order_to_their_end,
                how_often_a_job_was_sent_is_kept_until_its_next_attempt,
                one_replica_owns_every_partition,
                replicas_come_to_share_evenly,
                a_silent_replica_is_replaced_when_its_leases_ran_out,
                what_is_released_is_free_at_once,
                what_dead_owners_left_is_free_at_once_for_whoever_is_alone,
                videos_are_listed_newest_first_page_by_page,
                a_moved_video_is_listed_as_it_is_now,
                a_deleted_video_is_in_no_list_and_keeps_its_journal,
                an_artifact_leads_to_its_video,
                an_artifact_that_names_its_video_needs_no_table,
                what_was_spent_is_in_the_ledger_and_stays_when_the_video_goes,
                a_deleted_video_is_purged_when_its_events_have_left,
                what_is_purged_leaves_a_tombstone_and_nothing_brings_it_back,
                the_last_purge_takes_the_outcomes_that_were_told,
                only_deleted_videos_can_be_purged,
                forgotten_videos_are_found_until_they_are_collected,
                garbage_is_there_until_it_is_deleted,
            ],
            over_a_database: [
                a_restart_keeps_everything,
                an_abandoned_append_holds_nothing_up,
            ]
        );
    };
    ($module:ident, $empty:expr, over_a_store: [$($of_store:ident,)*], over_a_database: [$($of_database:ident,)*]) => {
        mod $module {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $of_store() {
                    let database = $empty;
                    suite::$of_store(database.open().await.as_ref()).await;
                }
            )*

            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $of_database() {
                    suite::$of_database(&$empty).await;
                }
            )*
        }
    };
}

conforms!(sqlite, SqliteFile::new());
conforms!(postgres, servers::PostgresDatabase::new().await);

/// All of the suite.
mod suite {
    pub use crate::conformance::*;
    pub use crate::purge::*;
}

/// A database in a file of its own.
struct SqliteFile {
    folder: tempfile::TempDir,
}

impl SqliteFile {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    /// A connection beside the store's.
    async fn connection(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.path()).connect().await.expect("it opens")
    }

    /// Runs one statement behind the store's back.
    async fn execute(&self, statement: &'static str) {
        sqlx::query(statement).execute(&mut self.connection().await).await.expect("it runs");
    }
}

#[async_trait]
impl Database for SqliteFile {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.path()).await.expect("it opens"))
    }
}

async fn refusal(file: &SqliteFile) -> String {
    match SqliteStore::open(&file.path()).await {
        Err(error @ StoreError::Unusable { .. }) => error.to_string(),
        other => panic!("it should be unusable, not {other:?}"),
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_by_name() {
    let file = SqliteFile::new();
    std::fs::write(file.path(), "this is somebody's diary, not a database\n".repeat(200)).expect("it is written");
    let before = std::fs::read(file.path()).expect("it is read");
    let refusal = refusal(&file).await;
    assert!(refusal.contains("journal.db cannot be used") && refusal.contains("not a database"), "{refusal}");
    assert_eq!(std::fs::read(file.path()).expect("it is read"), before, "it stays as it was");
}

#[tokio::test]
async fn a_file_in_a_folder_that_is_missing_is_refused_by_name() {
    let file = SqliteFile::new();
    std::fs::remove_dir(file.folder.path()).expect("it is removed");
    let refusal = refusal(&file).await;
    assert!(refusal.contains("journal.db cannot be used"), "{refusal}");
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused_and_left_alone() {
    let file = SqliteFile::new();
    drop(file.open().await);
    file.execute(
        "insert into _sqlx_migrations (version, description, installed_on, success, checksum, execution_time)
         values (99991231, 'from the future', '2099-01-01', 1, x'00', 1)",
    )
    .await;
    let refusal = refusal(&file).await;
    assert!(refusal.contains("cannot be used") && refusal.contains("99991231"), "{refusal}");
}

#[tokio::test]
async fn a_migration_that_is_not_ours_is_refused() {
    let file = SqliteFile::new();
    drop(file.open().await);
    file.execute("update _sqlx_migrations set checksum = x'00'").await;
    let refusal = refusal(&file).await;
    assert!(refusal.contains("cannot be used"), "{refusal}");
}

#[tokio::test]
async fn an_event_of_a_newer_program_is_named_and_never_dropped() {
    let file = SqliteFile::new();
    let store = file.open().await;
    // Neighbours in every sense: of the same partition, and of another.
    let newer = video(1);
    let partition = Partition::of(newer);
    let neighbour = (2..).map(video).find(|id| Partition::of(*id) == partition).expect("there are enough");
    let stranger = (2..).map(video).find(|id| Partition::of(*id) != partition).expect("there are enough");
    for id in [newer, neighbour, stranger] {
        store.append(vec![created(id).into(), made(id, 2).into()]).await.expect("it is recorded");
    }
    sqlx::query("update event set type = 'video_dreamt', body = $1 where video_id = $2 and seq = 2")
        .bind(r#"{"type": "video_dreamt", "by": "an android"}"#)
        .bind(newer.to_string())
        .execute(&mut file.connection().await)
        .await
        .expect("it is written");

    let Err(error @ StoreError::Unreadable { .. }) = store.load(newer).await else {
        panic!("half a journal is no journal");
    };
    let sentence = error.to_string();
    assert!(sentence.contains(&newer.to_string()) && sentence.contains("video_dreamt"), "{sentence}");
    assert!(sentence.contains("newer program"), "{sentence}");
    for id in [neighbour, stranger] {
        assert_eq!(seqs(store.as_ref(), id).await, [1, 2]);
    }

    let waiting = store.unpublished(Partition::all().collect()).await.expect("the others are found");
    let mut waiting: Vec<_> = waiting.iter().map(|found| found.video).collect();
    waiting.sort_unstable();
    let mut readable = vec![neighbour, stranger];
    readable.sort_unstable();
    assert_eq!(waiting, readable, "what can be read leaves, the rest waits for its program");

    let row = sqlx::query("select body, v.published_seq from event join video v on v.id = video_id where type = $1")
        .bind("video_dreamt")
        .fetch_one(&mut file.connection().await)
        .await
        .expect("it is still there");
    assert!(row.get::<String, _>(0).contains("android"));
    assert_eq!(row.get::<i64, _>(1), 0, "nothing of it is taken for published");
}

#[tokio::test]
async fn an_artifact_key_that_is_unknown_makes_its_job_wait_and_no_other() {
    let file = SqliteFile::new();
    let store = file.open().await;
    let id = video(1);
    let plan = vec![samples::job(id, 1), samples::job(id, 2)];
    let order = coordinator::store::Append { plan, ..created(id) };
    store.append(vec![order.into()]).await.expect("it is recorded");
    let known = samples::job_id(id, 1).to_string();
    let newer = known.replace(&ArtifactKey::Beat(0).to_string(), "hologram_0");
    sqlx::query("update job set id = $1 where id = $2")
        .bind(newer)
        .bind(known)
        .execute(&mut file.connection().await)
        .await
        .expect("it is written");
    assert_eq!(samples::jobs(store.as_ref(), id).await, [samples::job(id, 2)]);
}

#[tokio::test]
async fn what_was_recorded_is_brought_home_from_the_log_when_partitions_are_leased() {
    let file = SqliteFile::new();
    let store = file.open().await;
    store.append(vec![created(video(1)).into()]).await.expect("it is recorded");
    // The file without its log; before the first checkpoint it has no tables.
    let alone = SqliteConnectOptions::new().filename(file.path()).immutable(true).read_only(true);
    let events = async || {
        let mut connection = alone.connect().await.expect("it opens");
        let count = sqlx::query_scalar::<_, i64>("select count(*) from event").fetch_one(&mut connection).await;
        count.unwrap_or(0)
    };
    assert_eq!(events().await, 0, "it stands in the log");

    store.lease("a", samples::at(1), samples::at(2)).await.expect("it is leased");
    let since = Instant::now();
    while events().await == 0 {
        assert!(since.elapsed() < Duration::from_secs(30), "it still stands in the log alone");
    }
}
