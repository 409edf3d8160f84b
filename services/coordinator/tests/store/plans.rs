//! Every question that is asked while people wait is answered from an index, however many videos there are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use coordinator::store::{
    self, APPEND, APPEND_ALL, Append, MARK_EVENTS, MARK_JOBS, MARK_OUTCOMES, Published, SentJob, SqliteStore,
    statements,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, PgConnection, Row as _};

use crate::samples::{created, job, job_id, made, video};
use crate::servers::{PostgresDatabase, connect, named};

const QUESTIONS: [(&str, &str); 19] = [
    ("whether anything is known of a video", statements::IS_KNOWN),
    ("events of a video: its tree, branches and leaves", statements::EVENTS_AFTER),
    ("outcomes of a video", statements::OUTCOMES),
    ("a catalogue", statements::CATALOGUE),
    ("a tombstone", statements::TOMBSTONE),
    ("a page of a user's videos", statements::VIDEOS),
    ("a page of those that wait for an approval", statements::VIDEOS_BY_STATUS),
    ("the videos that an artifact may name", statements::NAMED_VIDEOS),
    ("the video of an artifact that names none", statements::VIDEO_OF_ARTIFACT),
    ("events that have not left", statements::UNPUBLISHED_EVENTS),
    ("outcomes that have not left", statements::UNSENT_OUTCOMES),
    ("jobs of a partition", statements::JOBS),
    ("how far a video's events have left", statements::PUBLISHED_OF_VIDEO),
    ("outcomes of a video that have not left", statements::UNSENT_OF_VIDEO),
    ("jobs of a video", statements::JOBS_OF_VIDEO),
    ("videos to purge", statements::PURGEABLE),
    ("videos to collect", statements::FORGOTTEN),
    ("objects to delete", statements::GARBAGE),
    ("spending of a video", statements::LEDGER),
];

const CHANGES: [(&str, &str); 5] = [
    ("a round of appends", APPEND),
    ("a round of appends of every kind", APPEND_ALL),
    ("events have left", MARK_EVENTS),
    ("outcomes have left", MARK_OUTCOMES),
    ("jobs have left", MARK_JOBS),
];

/// 200,000 videos of 500 users, each with two events and its command; one in a thousand is at work.
const FILL: [&str; 10] = [
    "insert into video (id, user_id, partition, seq, published_seq, unpublished, catalogue, status, progress, prompt,
         created_at, updated_at)
     select 'vid-' || md5(n::text), 'user-' || n % 500, n % 32, 2, 2 - (n % 1000 = 0)::int, (n % 1000 = 0)::int, 'c', 'status-' || n % 7, 50, 'A film', n, n
     from generate_series(1, 200000) n",
    "insert into event select 'vid-' || md5(n::text), seq, n, null, 'job_done', '{}'
     from generate_series(1, 200000) n, generate_series(1, 2) seq",
    "insert into command select 'vid-' || md5(n::text), 'c', 'user-' || n % 500, n % 32, n, '{}', 1 - (n % 1000 = 0)::int, 0
     from generate_series(1, 200000) n",
    "insert into job select 'job-' || n, 'vid-' || md5(n::text), 'user-' || n % 500, n % 32, 'chunk', 1, 1, 0, n, ''
     from generate_series(1, 20000) n",
    "insert into artifact select 'art-' || md5(n::text), 'vid-' || md5(n::text) from generate_series(1, 200000) n",
    "insert into ledger select 'vid-' || md5(n::text), 'job-' || n, 1, 0, 'u', 'main', 1, 'spec', 'm', 'u', 1, 1, n
     from generate_series(1, 50000) n",
    "insert into garbage select 'key-' || n, n % 32 from generate_series(1, 50000) n",
    "insert into catalogue select 'digest-' || n, '{}' from generate_series(1, 5000) n",
    "update video set purge_at = created_at, deleted_at = created_at where created_at % 5000 = 0",
    "update video set forgotten_since = created_at where created_at % 5000 = 1",
];

#[tokio::test]
async fn postgresql_reads_no_table_from_end_to_end() {
    let database = PostgresDatabase::new().await;
    let mut connection = connect(&database.url).await;
    connection.execute("set synchronous_commit = off").await.expect("it is set");
    for rows in FILL {
        connection.execute(rows).await.expect(rows);
    }
    connection.execute("analyze").await.expect("it is analysed");
    // Prepared statements are planned once for every user and video: this is that plan.
    connection.execute("set plan_cache_mode = force_generic_plan").await.expect("it is set");
    for (number, (what, statement)) in QUESTIONS.into_iter().chain(CHANGES).enumerate() {
        let prepare = format!("prepare s{number} as {statement}");
        connection.execute(AssertSqlSafe(prepare)).await.expect(what);
        let places = (1..).take_while(|n| statement.contains(&format!("${n}"))).count();
        let explain = format!("explain (format json) execute s{number} ({})", vec!["null"; places].join(", "));
        let row = connection.fetch_one(AssertSqlSafe(explain)).await.expect(what);
        // Of type json, which is text to us.
        let plan: String = row.get_unchecked(0);
        let plan: serde_json::Value = serde_json::from_str(&plan).expect("JSON");
        let mut scanned = Vec::new();
        sequential_scans(&plan, &mut scanned);
        // There are as many rows as partitions.
        scanned.retain(|table| table != "partition_lease");
        assert!(scanned.is_empty(), "{what} reads all of {scanned:?}: {plan:#}");
    }
}

/// Statements are planned when they are first run, mostly on tables that have no rows yet, and stay as they were planned.
#[tokio::test]
async fn what_postgresql_plans_for_empty_tables_is_right_for_full_ones() {
    let database = PostgresDatabase::new().await;
    let mut connection = connect(&database.url).await;
    alone(&mut connection).await;
    connection.execute("select pg_stat_reset()").await.expect("the counters start anew");
    let store = store::open(&named(&database.url)).await.expect("it opens");
    for n in 0..20 {
        let order = Append { plan: vec![job(video(n), 1)], ..created(video(n)) };
        store.append(vec![order.into()]).await.expect("it is recorded");
        let sent = SentJob { video: video(n), id: job_id(video(n), 1), attempt: 1, sends: 1 };
        let left = Published { events: vec![(video(n), 1)], jobs: vec![sent], ..Published::default() };
        store.mark_published(left).await.expect("it is marked");
        let done = Append { ended: vec![job_id(video(n), 1)], ..made(video(n), 2) };
        store.append(vec![done.into()]).await.expect("it is recorded");
        store.load(video(n)).await.expect("it loads");
    }
    drop(store);
    // Its connections tell their counts when they end.
    alone(&mut connection).await;
    let scans = "select relname::text, seq_scan, n_tup_ins from pg_stat_user_tables order by relname";
    let rows = connection.fetch_all(scans).await.expect("they are counted");
    let counted: BTreeMap<String, (i64, i64)> = rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect();
    for (table, rows) in [("video", 20), ("event", 40), ("job", 20), ("command", 0)] {
        assert_eq!(counted[table], (0, rows), "scans of {table} from end to end, rows put in: {counted:?}");
    }
}

/// Waits until nobody else is connected to this database.
async fn alone(connection: &mut PgConnection) {
    let others = "select count(*) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'";
    let since = Instant::now();
    loop {
        let others: i64 = connection.fetch_one(others).await.expect("they are counted").get(0);
        if others == 0 {
            return;
        }
        assert!(since.elapsed() < Duration::from_secs(10), "{others} connections stay");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn sequential_scans(plan: &serde_json::Value, found: &mut Vec<String>) {
    match plan {
        serde_json::Value::Array(parts) => parts.iter().for_each(|part| sequential_scans(part, found)),
        serde_json::Value::Object(node) => {
            if node.get("Node Type").is_some_and(|kind| kind == "Seq Scan") {
                found.push(node["Relation Name"].as_str().unwrap_or_default().to_owned());
            }
            node.values().for_each(|part| sequential_scans(part, found));
        }
        _ => {}
    }
}

#[tokio::test]
async fn sqlite_reads_no_table_from_end_to_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("journal.db");
    drop(SqliteStore::open(&file).await.expect("it opens"));
    // Its plans depend on the tables' shape alone.
    let mut connection = SqliteConnectOptions::new().filename(&file).connect().await.expect("it opens");
    for (what, statement) in QUESTIONS {
        let explain = format!("explain query plan {statement}");
        let rows = connection.fetch_all(AssertSqlSafe(explain)).await.expect(what);
        let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        let whole = |step: &&String| step.starts_with("SCAN ") && !step.contains("USING") && *step != "SCAN v";
        assert_eq!(steps.iter().find(whole), None, "{what}: {steps:#?}");
        assert!(steps.iter().any(|step| step.starts_with("SEARCH ")), "{what}: {steps:#?}");
    }
}
