//! Three coordinators as processes over one NATS server and one PostgreSQL: started, stopped, killed, frozen, replaced; and
//! their database killed and frozen under them.

use std::time::{Duration, Instant};

use coordinator::partition::LEASE;
use messages::id::VideoId;
use messages::phase::Phase;
use messages::subject::Partition;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Row as _};

#[expect(dead_code, reason = "written for the tests of one coordinator too")]
#[path = "coordinator/harness.rs"]
mod harness;
#[expect(dead_code, reason = "written for every message; workers need only some of them")]
#[path = "../../../messages/tests/wire/parts.rs"]
mod parts;
#[expect(dead_code, reason = "written for a cluster on one machine too")]
#[path = "../../dailies/src/postgres_server.rs"]
mod postgres_server;
#[expect(dead_code, reason = "written for the tests of one coordinator too")]
#[path = "coordinator/workers.rs"]
mod workers;

use harness::{Coordinator, Stage, checkpoint_of, film, new_video_of, until};
use postgres_server::PostgresServer;
use workers::Workers;

/// What an operator is promised after a start, a stop or a death.
const PROMISED: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn three_share_evenly_and_stand_in_for_one_that_stops_is_killed_or_frozen() {
    let mut cluster = Cluster::start().await;
    let _workers = Workers::start(&cluster.stage.bus);
    let films = cluster.begin_films().await;

    // One stops as it should.
    let since = Instant::now();
    cluster.replicas.remove(0).stop().await;
    cluster.shared(&[16, 16], since, "after a stop").await;
    let since = Instant::now();
    cluster.replicas.push(cluster.stage.coordinator());
    cluster.shared(&[10, 11, 11], since, "after a start").await;

    // One is killed while all films go on.
    let since = Instant::now();
    cluster.replicas.remove(0).abort().await;
    cluster.approve_all(&films, 1).await;
    let gone_on = cluster.all_wait_again(&films, 2, since).await;
    assert!(gone_on < PROMISED, "films went on after {gone_on:?}");
    say("kill -9 until the films of all partitions went on", gone_on);
    cluster.shared(&[16, 16], since, "after a kill").await;

    // One is frozen past its lease, and wakes up believing that it still owns its share.
    let since = Instant::now();
    cluster.replicas[0].signal(Signal::SIGSTOP);
    cluster.approve_all(&films, 2).await;
    let gone_on = cluster.all_wait_again(&films, 3, since).await;
    assert!(gone_on < PROMISED, "films went on after {gone_on:?}");
    say("SIGSTOP until the films of all partitions went on", gone_on);
    cluster.shared(&[32], since, "after a freeze").await;
    cluster.replicas[0].signal(Signal::SIGCONT);
    let since = Instant::now();
    cluster.approve_all(&films, 3).await;
    cluster.all_wait_again(&films, 4, since).await;
    cluster.shared(&[16, 16], since, "after a thaw").await;
    cluster.approve_all(&films, 4).await;
    cluster.are_complete_and_made_once(&films).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_loses_nothing_and_runs_nothing_twice() {
    let mut cluster = Cluster::start().await;
    let _workers = Workers::start(&cluster.stage.bus);
    let films = cluster.begin_films().await;
    for phase in 1..=4 {
        // Approvals arrive while one of them leaves and another one comes.
        cluster.approve_all(&films, phase).await;
        let since = Instant::now();
        let old = cluster.replicas.remove(0);
        cluster.replicas.push(cluster.stage.coordinator());
        old.stop().await;
        if phase < 4 {
            let stalled = cluster.all_wait_again(&films, phase + 1, since).await;
            assert!(stalled < PROMISED, "films went on after {stalled:?}");
        }
    }
    cluster.are_complete_and_made_once(&films).await;
    for replica in cluster.replicas.drain(..) {
        replica.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn films_approved_while_the_database_is_killed_go_on_when_it_is_back() {
    let mut cluster = Cluster::start().await;
    let _workers = Workers::start(&cluster.stage.bus);
    let films = cluster.begin_films().await;
    let (first, later) = films.split_at(films.len() / 2);

    // It ends while the first approvals are recorded and their jobs reported; the others come when it is gone.
    cluster.approve_all(first, 1).await;
    cluster.kill_database();
    let since = Instant::now();
    cluster.approve_all(later, 1).await;
    let asked = cluster.stage.query("local", &later[0].to_string(), "status", json!({})).await;
    assert_eq!(asked, Err("503 unavailable".to_owned()), "nothing is guessed");
    cluster.leases_run_out(since).await;

    let since = Instant::now();
    cluster.start_database();
    cluster.go_on_as_if_nothing_had_been(&films, since).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn films_approved_while_the_database_is_frozen_go_on_when_it_thaws() {
    let mut cluster = Cluster::start().await;
    let _workers = Workers::start(&cluster.stage.bus);
    let films = cluster.begin_films().await;
    let (first, later) = films.split_at(films.len() / 2);

    // Connections stay open, and nobody says a word on them.
    cluster.approve_all(first, 1).await;
    let frozen = cluster.freeze_database().await;
    let since = Instant::now();
    cluster.approve_all(later, 1).await;
    cluster.leases_run_out(since).await;

    let since = Instant::now();
    drop(frozen);
    cluster.go_on_as_if_nothing_had_been(&films, since).await;
}

/// A server of each kind, and coordinators.
struct Cluster {
    stage: Stage,
    replicas: Vec<Coordinator>,
    database: PgConnectOptions,
    postgres: PostgresServer,
}

impl Cluster {
    /// Three replicas that share the partitions.
    async fn start() -> Self {
        let mut stage = Stage::set().await;
        let folder = tempfile::Builder::new().prefix("dailies-postgres-").tempdir().expect("a folder").keep();
        let postgres = tokio::task::spawn_blocking(move || PostgresServer::start_scratch(&folder, &[]));
        let postgres = postgres.await.expect("it ran").expect("PostgreSQL is installed: ./dev test");
        stage.journal = postgres.url("postgres");
        let database = stage.journal.parse().expect("a URL");
        coordinator::store::migrate(&database).await.expect("it takes our tables");
        let database = stage.journal.parse().expect("a URL");
        let since = Instant::now();
        let replicas = (0..3).map(|_| stage.coordinator()).collect();
        let cluster = Self { stage, replicas, database, postgres };
        cluster.shared(&[10, 11, 11], since, "after the first start").await;
        cluster
    }

    async fn connection(&self) -> PgConnection {
        self.database.connect().await.expect("it opens")
    }

    /// Ends the database server as when its machine fails.
    fn kill_database(&mut self) {
        tokio::task::block_in_place(|| self.postgres.kill()).expect("it ends");
    }

    fn start_database(&mut self) {
        tokio::task::block_in_place(|| self.postgres.start_again()).expect("it starts");
    }

    /// Stops every process of the database server where it is.
    async fn freeze_database(&self) -> Frozen {
        let parent = sqlx::query_scalar("select split_part(pg_read_file('postmaster.pid'), e'\\n', 1)::int")
            .fetch_one(&mut self.connection().await)
            .await
            .expect("it is read");
        // The parent first: whoever is frozen has no more children.
        let mut frozen = Frozen::default();
        frozen.freeze(parent);
        children_of(parent).into_iter().for_each(|child| frozen.freeze(child));
        frozen
    }

    /// Waits until no lease that was renewed before `since` is worth anything.
    async fn leases_run_out(&self, since: Instant) {
        until("every lease has run out", async || (since.elapsed() > LEASE).then_some(())).await;
    }

    /// Every film, once approved at its first checkpoint, is made to its end, each job once; replicas share as before, and
    /// none of them saw anything that a person must look at.
    async fn go_on_as_if_nothing_had_been(mut self, films: &[VideoId], since: Instant) {
        let gone_on = self.all_wait_again(films, 2, since).await;
        say("the database is back until the films of all partitions went on", gone_on);
        self.shared(&[10, 11, 11], since, "after the database came back").await;
        for phase in 2..=4 {
            self.approve_all(films, phase).await;
            if phase < 4 {
                self.all_wait_again(films, phase + 1, since).await;
            }
        }
        self.are_complete_and_made_once(films).await;
        for replica in self.replicas.drain(..) {
            replica.stop().await;
        }
    }

    /// Waits until living replicas share the partitions so, as promised.
    async fn shared(&self, shares: &[i64], since: Instant, when: &str) {
        let mut connection = self.connection().await;
        until(&format!("partitions are shared {shares:?} {when}"), async || {
            let counted = sqlx::query(
                "select count(*) from partition_lease where until > (extract(epoch from now()) * 1000000)::bigint
                 group by owner order by count(*)",
            );
            let rows = counted.fetch_all(&mut connection).await.expect("they are counted");
            (rows.iter().map(|row| row.get::<i64, _>(0)).collect::<Vec<_>>() == shares).then_some(())
        })
        .await;
        let took = since.elapsed();
        assert!(took < PROMISED, "shared {shares:?} {when} in {took:?}");
        say(&format!("shared {shares:?} {when}"), took);
    }

    /// A film in each fourth partition, each waiting at its first checkpoint.
    async fn begin_films(&mut self) -> Vec<VideoId> {
        let films: Vec<_> = Partition::all().step_by(4).map(new_video_of).collect();
        for video in &films {
            self.stage.publish(*video, "create", &film(), None).await;
        }
        self.all_wait_again(&films, 1, Instant::now()).await;
        films
    }

    /// Publishes an approval of each film's n-th checkpoint.
    async fn approve_all(&mut self, films: &[VideoId], n: usize) {
        for video in films {
            let waiting = self.stage.event(*video, "checkpoint_created", n).await;
            let body = json!({ "checkpoint_id": checkpoint_of(&waiting) });
            self.stage.publish(*video, "approve", &body, None).await;
        }
    }

    /// Waits until each film waits at its n-th checkpoint; says how long ago `since` was then.
    async fn all_wait_again(&mut self, films: &[VideoId], n: usize, since: Instant) -> Duration {
        for video in films {
            self.stage.event(*video, "checkpoint_created", n).await;
        }
        since.elapsed()
    }

    async fn are_complete_and_made_once(&mut self, films: &[VideoId]) {
        for video in films {
            self.stage.event(*video, "branch_completed", 1).await;
            self.stage.journal_has_no_holes(*video).await;
            assert_eq!(self.stage.count(*video, "checkpoint_approved").await, Phase::ALL.len());
            assert_eq!(self.stage.count(*video, "checkpoint_created").await, Phase::ALL.len());
            assert_eq!(self.stage.count(*video, "phase_started").await, Phase::ALL.len());
        }
        let rows = sqlx::query(
            "select video_id, count(*), count(distinct body) from event where type = 'job_done' group by 1",
        )
        .fetch_all(&mut self.connection().await)
        .await
        .expect("they are counted");
        assert_eq!(rows.len(), films.len());
        for row in rows {
            let (done, different): (i64, i64) = (row.get(1), row.get(2));
            assert_eq!(done, different, "a job was done twice");
        }
    }
}

/// Processes that are stopped until this is dropped: whoever ends them waits for them.
#[derive(Default)]
struct Frozen(Vec<Pid>);

impl Frozen {
    fn freeze(&mut self, process: i32) {
        let process = Pid::from_raw(process);
        // It may have ended between the look and the signal.
        if kill(process, Signal::SIGSTOP).is_ok() {
            self.0.push(process);
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for process in &self.0 {
            let _ = kill(*process, Signal::SIGCONT);
        }
    }
}

/// Processes that a process started.
fn children_of(parent: i32) -> Vec<i32> {
    let numbers = std::fs::read_dir("/proc").expect("a Linux machine").flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    let parent_of = |process: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<i32>().ok()
    };
    numbers.filter(|process| parent_of(process) == Some(parent)).collect()
}

/// A figure for whoever runs this with `--nocapture`.
#[expect(clippy::print_stderr, reason = "figures are for people")]
fn say(what: &str, took: Duration) {
    eprintln!("{what}: {:.1} s", took.as_secs_f64());
}
