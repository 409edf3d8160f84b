//! Leases of partitions, one replica at a time.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use messages::subject::{PARTITIONS, Partition};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::super::{Position, StoreError};
use super::connections::Connections;

/// The name of the lock that makes replicas lease one after the other.
const LOCK: i64 = 0x0064_6169_6c69_6573;
/// A replica that was silent for so long counts no more.
const DEAD: TimeDelta = TimeDelta::seconds(6);

pub(super) async fn time(connections: &Connections) -> Result<DateTime<Utc>, StoreError> {
    connections
        .run("ask for the time", |connection| {
            Box::pin(async move {
                let now = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
                let now: i64 = sqlx::query_scalar(now).fetch_one(connection).await?;
                DateTime::from_timestamp_micros(now).ok_or_else(|| sqlx::Error::Decode("a time out of range".into()))
            })
        })
        .await
}

pub(super) async fn lease(
    connections: &Connections,
    owner: &str,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<HashMap<Partition, Position>, StoreError> {
    let owner = owner.to_owned();
    let (dead, now, until) = ((now - DEAD).timestamp_micros(), now.timestamp_micros(), until.timestamp_micros());
    connections
        .transaction("lease partitions", move |connection| {
            Box::pin(async move { lease_all(connection, &owner, dead, now, until).await })
        })
        .await
}

async fn lease_all(
    connection: &mut PgConnection,
    owner: &str,
    dead: i64,
    now: i64,
    until: i64,
) -> Result<HashMap<Partition, Position>, sqlx::Error> {
    sqlx::query("select pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *connection).await?;
    sqlx::query("insert into replica (id, seen_at) values ($1, $2) on conflict (id) do update set seen_at = $2")
        .bind(owner)
        .bind(now)
        .execute(&mut *connection)
        .await?;
    sqlx::query("delete from replica where seen_at < $1").bind(dead).execute(&mut *connection).await?;
    sqlx::query(
        "insert into partition_lease (partition) select generate_series(0, $1 - 1)::bigint on conflict do nothing",
    )
    .bind(i64::from(PARTITIONS))
    .execute(&mut *connection)
    .await?;
    // Whoever writes positions locks these rows in the same order.
    sqlx::query("select from partition_lease order by partition for update").execute(&mut *connection).await?;
    let alive: i64 = sqlx::query_scalar("select count(*) from replica").fetch_one(&mut *connection).await?;
    let share = (i64::from(PARTITIONS) + alive.max(1) - 1) / alive.max(1);
    // Above the share: the last ones go back. Below it: free ones are taken. The rest is renewed.
    sqlx::query(
        "update partition_lease set owner = null, until = 0 where owner = $1 and partition not in
         (select partition from partition_lease where owner = $1 order by partition limit $2)",
    )
    .bind(owner)
    .bind(share)
    .execute(&mut *connection)
    .await?;
    sqlx::query("update partition_lease set until = $2 where owner = $1 and until >= $3")
        .bind(owner)
        .bind(until)
        .bind(now)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "update partition_lease set owner = $1, until = $2 where partition in
         (select partition from partition_lease where owner is null or until < $3 order by partition
          limit greatest(0, $4 - (select count(*) from partition_lease where owner = $1 and until >= $3)))",
    )
    .bind(owner)
    .bind(until)
    .bind(now)
    .bind(share)
    .execute(&mut *connection)
    .await?;
    let rows =
        sqlx::query("select partition, stream_created, sequence, message_time from partition_lease where owner = $1")
            .bind(owner)
            .fetch_all(&mut *connection)
            .await?;
    Ok(rows.iter().map(owned).collect())
}

fn owned(row: &PgRow) -> (Partition, Position) {
    let position = Position {
        stream_created: row.get("stream_created"),
        sequence: row.get::<i64, _>("sequence") as u64,
        message_time: row.get("message_time"),
    };
    // There are as many rows as partitions.
    (Partition(row.get::<i64, _>("partition") as _), position)
}

/// Remembers how far an owner has read. Whoever leases locks the rows in the same order.
pub(super) async fn mark_read(
    connections: &Connections,
    owner: &str,
    positions: Vec<(Partition, Position)>,
) -> Result<(), StoreError> {
    let owner = owner.to_owned();
    let partitions: Vec<_> = positions.iter().map(|(partition, _)| i64::from(partition.0)).collect();
    let positions = positions.into_iter().map(|(_, position)| position);
    let (streams, read): (Vec<_>, Vec<_>) =
        positions.map(|at| (at.stream_created, (at.sequence as i64, at.message_time))).unzip();
    let (sequences, times): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    connections
        .run("record", move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "with owned as materialized (
                         select p.* from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
                             as p (partition, stream_created, sequence, message_time)
                         join partition_lease l on l.partition = p.partition
                         order by p.partition
                         for update of l
                     )
                     update partition_lease l
                     set stream_created = p.stream_created, sequence = p.sequence, message_time = p.message_time
                     from owned p
                     where l.partition = p.partition and l.owner = $1",
                )
                .bind(owner)
                .bind(partitions)
                .bind(streams)
                .bind(sequences)
                .bind(times)
                .execute(connection)
                .await?;
                Ok(())
            })
        })
        .await
}

pub(super) async fn release(connections: &Connections, owner: &str) -> Result<(), StoreError> {
    let owner = owner.to_owned();
    connections
        .transaction("release partitions", move |connection| {
            Box::pin(async move {
                sqlx::query("select pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *connection).await?;
                sqlx::query("select from partition_lease order by partition for update")
                    .execute(&mut *connection)
                    .await?;
                sqlx::query("update partition_lease set owner = null, until = 0 where owner = $1")
                    .bind(&owner)
                    .execute(&mut *connection)
                    .await?;
                sqlx::query("delete from replica where id = $1").bind(&owner).execute(&mut *connection).await?;
                Ok(())
            })
        })
        .await
}

pub(super) async fn release_all(connections: &Connections) -> Result<(), StoreError> {
    connections
        .transaction("release partitions", |connection| {
            Box::pin(async move {
                sqlx::query("select pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *connection).await?;
                sqlx::query("select from partition_lease order by partition for update")
                    .execute(&mut *connection)
                    .await?;
                sqlx::query("update partition_lease set owner = null, until = 0").execute(&mut *connection).await?;
                sqlx::query("delete from replica").execute(&mut *connection).await?;
                Ok(())
            })
        })
        .await
}
