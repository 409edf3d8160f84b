//! Leases of partitions, in two trips: who is alive, then what that means.

use std::collections::HashMap;
use std::time::Duration;

use messages::subject::{PARTITIONS, Partition};
use sqlx::{Row as _, SqliteConnection};

use super::super::Position;
use super::super::rows::to_json;

/// After this long without a sign of life a replica is gone.
const DEAD: Duration = Duration::from_secs(6);

const SEEN: &str = "begin immediate;
     insert or rollback into replica (id, seen_at) values ($1, $2) on conflict (id) do update set seen_at = $2;
     delete from replica where seen_at < $3;
     insert or rollback into partition_lease (partition) select value from json_each($4) where true on conflict do nothing;
     select count(*) from replica";

/// Above the share: the last ones go back. Below it: free ones are taken. The rest is renewed.
const SHARE: &str = "update or rollback partition_lease set owner = null, until = 0
     where owner = $1 and partition not in
         (select partition from partition_lease where owner = $1 order by partition limit $4);
     update or rollback partition_lease set until = $3 where owner = $1 and until >= $2;
     update or rollback partition_lease set owner = $1, until = $3 where partition in
         (select partition from partition_lease where owner is null or until < $2 order by partition
          limit max(0, $4 - (select count(*) from partition_lease where owner = $1 and until >= $2)));
     select partition, stream_created, sequence, message_time from partition_lease where owner = $1;
     commit";

pub(super) async fn lease(
    connection: &mut SqliteConnection,
    owner: &str,
    now: i64,
    until: i64,
) -> Result<HashMap<Partition, Position>, sqlx::Error> {
    let all: Vec<_> = Partition::all().map(|partition| partition.0).collect();
    let seen = sqlx::query_scalar(SEEN).bind(owner).bind(now).bind(now - DEAD.as_micros() as i64).bind(to_json(&all)?);
    let alive: i64 = seen.fetch_all(&mut *connection).await?.first().copied().unwrap_or(1);
    let share = (i64::from(PARTITIONS) + alive.max(1) - 1) / alive.max(1);
    let rows = sqlx::query(SHARE).bind(owner).bind(now).bind(until).bind(share).fetch_all(connection).await?;
    let owned = rows.iter().map(|row| {
        let position = Position {
            stream_created: row.get("stream_created"),
            sequence: row.get::<i64, _>("sequence") as u64,
            message_time: row.get("message_time"),
        };
        (Partition(row.get("partition")), position)
    });
    Ok(owned.collect())
}

/// Remembers how far an owner has read.
pub(super) async fn mark_read(
    connection: &mut SqliteConnection,
    owner: &str,
    positions: &[(Partition, Position)],
) -> Result<(), sqlx::Error> {
    let rows = positions
        .iter()
        .map(|(partition, position)| (partition.0, position.stream_created, position.sequence, position.message_time));
    sqlx::query(
        "update partition_lease set stream_created = p.value ->> 1, sequence = p.value ->> 2, message_time = p.value ->> 3
         from json_each($2) p where partition = p.value ->> 0 and owner = $1",
    )
    .bind(owner)
    .bind(to_json(&rows.collect::<Vec<_>>())?)
    .execute(connection)
    .await?;
    Ok(())
}
