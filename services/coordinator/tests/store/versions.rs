//! A server's tables are never changed by a coordinator: it refuses what is older or newer than itself, and says why.

use coordinator::config::DatabaseUrl;
use coordinator::store::{self, Append, Migrated, Published, StoreError, Unpublished};
use messages::subject::Partition;
use sqlx::Executor as _;

use crate::SqliteFile;
use crate::samples::{created, job, jobs, made, video};
use crate::servers::{PostgresDatabase, connect, empty_database, named};

/// The version of today's tables.
const NEWEST: i64 = 4;

/// Makes today's tables those of the first version again.
macro_rules! undo {
    ($jobs:literal) => {
        concat!(
            $jobs,
            "create index job_by_partition on job (partition, not_before);
             create index job_by_video on job (video_id);
             drop index video_by_status_and_user;
             create index video_by_user_and_status on video (user_id, status, created_at desc, id desc)
                 where deleted_at is null;
             drop index video_unpublished;
             alter table video drop column unpublished;
             create index video_unpublished on video (partition) where published_seq < seq;
             delete from _sqlx_migrations where version > 1"
        )
    };
}

const UNDO: &str = undo!("drop index job_by_partition_and_video;");
const UNDO_FILE: &str = undo!(
    "alter table job rename to job_later;
     create table job (
         id text primary key, video_id text not null, user_id text not null, partition integer not null,
         service text not null, attempt integer not null, sends integer not null default 0, priority integer not null,
         not_before integer not null, body blob not null
     ) strict;
     insert into job select id, video_id, user_id, partition, service, attempt, sends, priority, not_before, body
     from job_later;
     drop table job_later;"
);

async fn refusal(url: &str) -> String {
    match store::open(&named(url)).await {
        Err(error @ StoreError::Unusable { .. }) => error.to_string(),
        other => panic!("it should be unusable, not {other:?}"),
    }
}

#[tokio::test]
async fn an_empty_database_is_refused_until_it_is_migrated() {
    let url = empty_database().await;
    let reason = refusal(&url).await;
    assert!(reason.contains("no tables yet") && reason.contains("run `dailies migrate`"), "{reason}");
    let migrated = store::migrate(&named(&url)).await.expect("it takes our tables");
    assert_eq!((migrated.from, migrated.to), (None, NEWEST));
    store::open(&named(&url)).await.expect("it opens");
    let again = store::migrate(&named(&url)).await.expect("nothing is to be done");
    assert_eq!(again, Migrated { from: Some(NEWEST), ..migrated });
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_by_several_at_once_run_once() {
    let database = named(&empty_database().await);
    let done = futures::future::join_all((0..6).map(|_| store::migrate(&database))).await;
    let done: Vec<_> = done.into_iter().map(|done| done.expect("it is migrated")).collect();
    assert!(done.iter().all(|migrated| migrated.to == NEWEST), "{done:?}");
    let folder = tempfile::tempdir().expect("a folder");
    // Several files, because who meets whom between two steps is chance.
    for name in 0..20 {
        let file = folder.path().join(format!("{name}.db"));
        let database = format!("sqlite:{}", file.display()).parse().expect("a URL");
        let done = futures::future::join_all((0..6).map(|_| store::migrate(&database))).await;
        assert!(done.iter().all(|done| done.as_ref().is_ok_and(|migrated| migrated.to == NEWEST)), "{done:?}");
        let first = done.iter().flatten().filter(|migrated| migrated.from.is_none()).count();
        assert_eq!(first, 1, "{done:?}");
    }
}

/// What had not left when a program of the first version stopped leaves with the next, and nothing twice; jobs stay.
async fn upgraded(database: DatabaseUrl, undo: impl AsyncFn()) {
    store::migrate(&database).await.expect("it takes our tables");
    let before = store::open(&database).await.expect("it opens");
    let [left, waiting] = [1, 2].map(video);
    for id in [left, waiting] {
        let first = Append { plan: vec![job(id, 1)], ..created(id) };
        before.append(vec![first.into(), made(id, 2).into()]).await.expect("it is recorded");
    }
    let published = Published { events: vec![(left, 2), (waiting, 1)], ..Published::default() };
    before.mark_published(published).await.expect("it is written down");
    drop(before);
    undo().await;

    let migrated = store::migrate(&database).await.expect("it is brought up to date");
    assert_eq!((migrated.from, migrated.to), (Some(1), NEWEST));
    let after = store::open(&database).await.expect("it opens");
    let found = after.unpublished(Partition::all().collect()).await.expect("it is read");
    let seqs = |of: &Unpublished| of.events.iter().map(|event| event.seq).collect::<Vec<_>>();
    let found: Vec<_> = found.iter().map(|found| (found.video, seqs(found))).collect();
    assert_eq!(found, [(waiting, vec![2])]);
    assert_eq!(jobs(after.as_ref(), left).await, [job(left, 1)]);
    after.append(vec![made(left, 3).into()]).await.expect("it is recorded");
    let found = after.unpublished(vec![Partition::of(left)]).await.expect("it is read");
    assert!(found.iter().any(|found| found.video == left), "what is new waits too");
}

#[tokio::test]
async fn a_servers_events_that_wait_still_wait_after_an_upgrade() {
    let url = empty_database().await;
    upgraded(named(&url), async || {
        connect(&url).await.execute(UNDO).await.expect("it is taken back");
    })
    .await;
}

#[tokio::test]
async fn a_files_events_that_wait_still_wait_after_an_upgrade() {
    let file = SqliteFile::new();
    let database = format!("sqlite:{}", file.path().display()).parse().expect("a URL");
    upgraded(database, async || file.execute(UNDO_FILE).await).await;
}

#[tokio::test]
async fn a_database_that_lacks_a_migration_is_refused_with_both_versions() {
    let database = PostgresDatabase::new().await;
    connect(&database.url).await.execute(UNDO).await.expect("it is taken back");
    let reason = refusal(&database.url).await;
    assert!(reason.contains("at version 1") && reason.contains(&format!("needs version {NEWEST}")), "{reason}");
    connect(&database.url).await.execute("update _sqlx_migrations set version = 0").await.expect("it is written");
    // Version 0 is not one of ours; nor would be a first step that reads otherwise.
    let reason = refusal(&database.url).await;
    assert!(reason.contains("version 0") && reason.contains("another program"), "{reason}");
    connect(&database.url).await.execute("delete from _sqlx_migrations").await.expect("it is written");
    let reason = refusal(&database.url).await;
    assert!(
        reason.contains(&format!("needs version {NEWEST}")) && reason.contains("run `dailies migrate`"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_server_with_tables_of_a_newer_program_is_refused_with_both_versions_and_left_alone() {
    let database = PostgresDatabase::new().await;
    let newer = "insert into _sqlx_migrations (version, description, installed_on, success, checksum, execution_time)
         values (99991231, 'from the future', '2099-01-01', true, '', 1)";
    connect(&database.url).await.execute(newer).await.expect("it is written");
    let reason = refusal(&database.url).await;
    assert!(
        reason.contains("version 99991231") && reason.contains(&format!("knows only version {NEWEST}")),
        "{reason}"
    );
    let refused = store::migrate(&named(&database.url)).await.expect_err("it is newer").to_string();
    assert!(refused.contains("version 99991231"), "{refused}");
}
