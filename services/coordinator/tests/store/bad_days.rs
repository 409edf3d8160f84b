//! The bad days of a server: restarted, killed, slow, refusing, full. What was answered is there, what was not can be
//! asked again, and what a person reads says what is wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coordinator::store::{self, Append, Appended, Published, Store, StoreError};
use runtime::service::sentence;
use sqlx::{Executor as _, PgConnection, Row as _};

use crate::postgres_server::PostgresServer;
use crate::samples::{at, created, made, seqs, video};
use crate::servers::{PostgresDatabase, connect, named};

/// A server that a test may do anything to.
fn server_of_its_own(options: &[&str]) -> PostgresServer {
    let folder = tempfile::Builder::new().prefix("dailies-postgres-").tempdir().expect("a folder").keep();
    PostgresServer::start_scratch(&folder, options).expect("PostgreSQL is installed: ./dev test")
}

async fn opened(server: &PostgresServer) -> Arc<dyn Store> {
    let database = named(&server.url("postgres"));
    store::migrate(&database).await.expect("it takes our tables");
    store::open(&database).await.expect("it opens")
}

/// Asks until the database takes it, as an actor does.
async fn insist(store: &dyn Store, append: &Append) -> Appended {
    let since = Instant::now();
    loop {
        match store.append(vec![append.clone().into()]).await {
            Ok(results) => return results[0],
            Err(error) => assert!(since.elapsed() < Duration::from_secs(30), "{}", sentence(&error)),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_on_hosts_whose_clocks_disagree_share_alike() {
    let server = server_of_its_own(&[]);
    let store = opened(&server).await;
    let lease = async |owner: &str, ahead_s: i64| {
        let here = chrono::Utc::now() + chrono::TimeDelta::seconds(ahead_s);
        let now = store.lease_time(here).await.expect("it is answered");
        store.lease(owner, now, now + Duration::from_secs(6)).await.expect("it is leased").len()
    };
    assert_eq!(lease("right", 0).await, 32);
    assert_eq!(lease("fast", 60).await, 0, "what is leased is not taken away");
    for (owner, ahead_s) in [("right", 0), ("fast", 60), ("right", 0), ("fast", 60)] {
        assert_eq!(lease(owner, ahead_s).await, 16, "{owner}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_restarted_or_killed_loses_nothing_that_was_answered() {
    let mut server = server_of_its_own(&[]);
    let store = opened(&server).await;
    let (id, mut last) = (video(1), 1);
    assert_eq!(insist(store.as_ref(), &created(id)).await, Appended::Committed);
    for kill in [false, true] {
        // Somebody goes on appending all the while.
        let enough = Arc::new(AtomicBool::new(false));
        let appending = tokio::spawn({
            let (store, enough) = (Arc::clone(&store), Arc::clone(&enough));
            async move {
                while !enough.load(Ordering::SeqCst) {
                    last += 1;
                    // Lost means that it was recorded although nobody could say so.
                    insist(store.as_ref(), &made(id, last)).await;
                }
                last
            }
        });
        let ended = tokio::task::spawn_blocking(move || {
            if kill { server.kill() } else { server.stop() }.expect("it ends");
            server.start_again().expect("it starts");
            server
        });
        server = ended.await.expect("it did");
        enough.store(true, Ordering::SeqCst);
        last = appending.await.expect("it went on");
        let since = Instant::now();
        let loaded = loop {
            match store.load(id).await {
                Ok(loaded) => break loaded,
                // A connection from before the restart.
                Err(error) => assert!(since.elapsed() < Duration::from_secs(30), "{}", sentence(&error)),
            }
        };
        let recorded: Vec<_> = loaded.journal.iter().map(|recorded| recorded.seq).collect();
        assert_eq!(recorded, (1..=last).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_while_the_server_is_away_says_why() {
    let mut server = server_of_its_own(&[]);
    let store = opened(&server).await;
    let mut server = tokio::task::spawn_blocking(move || {
        server.stop().expect("it stops");
        server
    })
    .await
    .expect("it did");
    let since = Instant::now();
    // The first ones may still have a connection that they think is good.
    let reason = loop {
        let error = store.load(video(1)).await.expect_err("nobody is there");
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        if sentence(&error).contains("No such file or directory") || sentence(&error).contains("refused") {
            break sentence(&error);
        }
        assert!(since.elapsed() < Duration::from_secs(30), "{}", sentence(&error));
    };
    assert!(reason.starts_with("the database cannot read now"), "{reason}");

    let database = named(&server.url("postgres"));
    let refused = store::open(&database).await.expect_err("nobody is there").to_string();
    assert!(refused.contains("cannot be used: no server answers there"), "{refused}");

    let _server = tokio::task::spawn_blocking(move || {
        server.start_again().expect("it starts");
        server
    })
    .await
    .expect("it did");
    store::open(&database).await.expect("it opens");
    assert_eq!(insist(store.as_ref(), &created(video(1))).await, Appended::Committed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_says_what_its_commits_are_worth() {
    let careless = server_of_its_own(&["fsync=off", "synchronous_commit=off"]);
    let careful = PostgresDatabase::new().await;
    for (url, set) in [(careless.url("postgres"), "off"), (careful.url, "on")] {
        let said = store::durability(&named(&url)).await.expect("it says so").expect("it is a server");
        assert_eq!((said.fsync.as_str(), said.synchronous_commit.as_str()), (set, set));
        assert!(said.version.starts_with(|first: char| first.is_ascii_digit()), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_somebody_holds_is_waited_for_and_not_for_ever() {
    let database = PostgresDatabase::new().await;
    let store = store::open(&named(&database.url)).await.expect("it opens");
    let append = |n| store.append(vec![created(video(n)).into()]);
    append(1).await.expect("it is recorded");
    let mut somebody = connect(&database.url).await;
    let hold = "begin; lock table event in access exclusive mode";
    somebody.execute(sqlx::raw_sql(hold)).await.expect("it is locked");

    let since = Instant::now();
    let (written, read) = tokio::join!(append(2), store.load(video(1)));
    let took = since.elapsed();
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(12), "{took:?}");
    for error in [written.expect_err("it is locked"), read.map(|_| ()).expect_err("it is locked")] {
        assert!(sentence(&error).contains("lock timeout"), "{}", sentence(&error));
    }
    somebody.execute("rollback").await.expect("it is free");
    assert_eq!(append(2).await.expect("it is recorded"), [Appended::Committed]);
    assert_eq!(seqs(store.as_ref(), video(2)).await, [1], "the first time left nothing behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_free_connection_says_so_and_takes_us_when_it_has_one() {
    let server = server_of_its_own(&["max_connections=12", "superuser_reserved_connections=0"]);
    let url = server.url("postgres");
    let store = opened(&server).await;
    assert_eq!(insist(store.as_ref(), &created(video(1))).await, Appended::Committed);

    let mut others: Vec<PgConnection> = Vec::new();
    let options: sqlx::postgres::PgConnectOptions = url.parse().expect("a URL");
    while let Ok(connection) = sqlx::ConnectOptions::connect(&options).await {
        others.push(connection);
    }
    assert_eq!(insist(store.as_ref(), &made(video(1), 2)).await, Appended::Committed, "it keeps what it has");
    let refused = store::open(&named(&url)).await.expect_err("there is no room").to_string();
    assert!(refused.contains("too many clients"), "{refused}");

    let opening = tokio::spawn(async move { store::open(&named(&url)).await });
    others.clear();
    opening.await.expect("it ends").expect("it opens");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_go_away_leave_no_transaction_open_and_nothing_half_done() {
    let database = PostgresDatabase::new().await;
    let store = store::open(&named(&database.url)).await.expect("it opens");
    let batch = |n: u128| {
        // A video twice in a batch: these need a transaction.
        let twice = (0..8).flat_map(|k| [created(video(n * 8 + k)), made(video(n * 8 + k), 2)]);
        (store.clone(), twice.map(Arc::new).collect::<Vec<_>>())
    };
    let mut asked = Vec::new();
    for n in 0..60_u128 {
        let (store, appends) = batch(n);
        let asking = tokio::spawn(async move {
            let marks = Published { events: vec![(video(n * 8), 1)], ..Published::default() };
            let recording = async {
                let _ = store.append(appends).await;
                let _ = store.mark_published(marks).await;
            };
            // Each of these is a transaction on a connection that others have afterwards.
            let owner = format!("asked-{n}");
            let leasing = async {
                let _ = store.lease(&owner, at(1), at(2)).await;
                let _ = store.release(&owner).await;
            };
            let purging = async {
                let _ = store.purge(video(n * 8), None).await;
                let _ = store.purge(video(n * 8), Some(at(3))).await;
            };
            tokio::join!(recording, leasing, purging);
        });
        for _ in 0..n % 20 {
            tokio::task::yield_now().await;
        }
        if n % 3 == 0 {
            tokio::time::sleep(Duration::from_micros(n as u64 * 40)).await;
        }
        asking.abort();
        asked.push(asking);
    }
    for asking in asked {
        let _ = asking.await;
    }
    // Whatever was begun is ended, one way or the other.
    let mut connection = connect(&database.url).await;
    let since = Instant::now();
    loop {
        let open = "select count(*) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'";
        let open: i64 = connection.fetch_one(open).await.expect("it is read").get(0);
        if open == 0 {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(2), "{open} transactions stay open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Nor is anybody told of what stays between the two: on each connection, at the same time.
    let (one, other) = tokio::join!(store.lease("one", at(100), at(106)), store.lease("other", at(100), at(106)));
    for (owner, leased) in [("one", one), ("other", other)] {
        let seen = "select (select count(*) from partition_lease where owner = $1),
             (select count(*) from replica where id = $1)";
        let row = sqlx::query(seen).bind(owner).fetch_one(&mut connection).await.expect("it is read");
        let leased = leased.expect("it is leased").len() as i64;
        assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(1)), (leased, 1), "{owner} as others see it");
    }
    for n in 0..60_u128 {
        let (store, appends) = batch(n);
        let recorded = seqs(store.as_ref(), video(n * 8)).await.len();
        assert!(recorded == 0 || recorded == 2, "whole or not at all");
        for k in 1..8 {
            assert_eq!(seqs(store.as_ref(), video(n * 8 + k)).await.len(), recorded);
        }
        let results = store.append(appends).await.expect("it is answered");
        let expected = if recorded == 0 { Appended::Committed } else { Appended::Lost };
        assert!(results.iter().all(|result| *result == expected), "{results:?}");
    }
}
