//! A server's tables are never changed by a coordinator: it refuses what is older or newer than itself, and says why.

use coordinator::store::{self, Migrated, StoreError};
use sqlx::Executor as _;

use crate::servers::{PostgresDatabase, connect, empty_database, named};

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
    assert_eq!((migrated.from, migrated.to), (None, 1));
    store::open(&named(&url)).await.expect("it opens");
    let again = store::migrate(&named(&url)).await.expect("nothing is to be done");
    assert_eq!(again, Migrated { from: Some(1), ..migrated });
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_by_several_at_once_run_once() {
    let database = named(&empty_database().await);
    let done = futures::future::join_all((0..6).map(|_| store::migrate(&database))).await;
    let done: Vec<_> = done.into_iter().map(|done| done.expect("it is migrated")).collect();
    assert!(done.iter().all(|migrated| migrated.to == 1), "{done:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let database = format!("sqlite:{}", folder.path().join("journal.db").display()).parse().expect("a URL");
    let done = futures::future::join_all((0..6).map(|_| store::migrate(&database))).await;
    assert!(done.iter().all(|done| done.as_ref().is_ok_and(|migrated| migrated.to == 1)), "{done:?}");
}

#[tokio::test]
async fn a_database_that_lacks_a_migration_is_refused_with_both_versions() {
    let database = PostgresDatabase::new().await;
    connect(&database.url).await.execute("update _sqlx_migrations set version = 0").await.expect("it is written");
    // Version 0 is not one of ours; nor would be a first step that reads otherwise.
    let reason = refusal(&database.url).await;
    assert!(reason.contains("version 0") && reason.contains("another program"), "{reason}");
    connect(&database.url).await.execute("delete from _sqlx_migrations").await.expect("it is written");
    let reason = refusal(&database.url).await;
    assert!(reason.contains("needs version 1") && reason.contains("run `dailies migrate`"), "{reason}");
}

#[tokio::test]
async fn a_server_with_tables_of_a_newer_program_is_refused_with_both_versions_and_left_alone() {
    let database = PostgresDatabase::new().await;
    let newer = "insert into _sqlx_migrations (version, description, installed_on, success, checksum, execution_time)
         values (99991231, 'from the future', '2099-01-01', true, '', 1)";
    connect(&database.url).await.execute(newer).await.expect("it is written");
    let reason = refusal(&database.url).await;
    assert!(reason.contains("version 99991231") && reason.contains("knows only version 1"), "{reason}");
    let refused = store::migrate(&named(&database.url)).await.expect_err("it is newer").to_string();
    assert!(refused.contains("version 99991231"), "{refused}");
}
