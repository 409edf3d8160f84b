//! One round of appends, each of another video: all or nothing, in one statement and so in one round trip.
//!
//! Arrays of one table have a row's values at the same place; [`super::batch`] fills them in this order. Who passed the fence
//! is `won`; who is not among them has lost, and leaves nothing behind.

/// The statement: the fence, then what those who passed it leave behind. Every table that it names costs time, whether rows
/// come for it or not.
macro_rules! append {
    (moved: $moved:literal, won: $won:literal, in_vain: $in_vain:literal, more: $more:literal) => {
        concat!(
            "with appended as (
                 select * from unnest(
                     $1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[],
                     $7::double precision[], $8::text[], $9::bigint[], $10::bigint[], $11::text[], $12::bigint[]
                 ) as a (
                     id, user_id, partition, expected, seq, status,
                     progress, title, updated_at, deleted_at, deleted_by, forgotten_since
                 )
             ),
             -- Rows are locked in one order by everybody, so that two of us never wait for each other.
             locked as materialized (
                 select a.* from video v join appended a on a.id = v.id
                 where a.expected > 0
                 order by v.id
                 for update of v
             ),
             ",
            $moved,
            " as (
                 update video v
                 set seq = l.seq, unpublished = 1, status = l.status, progress = l.progress, title = l.title,
                     updated_at = l.updated_at, deleted_at = l.deleted_at, purge_at = l.deleted_at,
                     deleted_by = l.deleted_by, forgotten_since = l.forgotten_since
                 from locked l
                 where v.id = l.id and v.seq = l.expected
                 returning v.id, v.user_id, v.partition
             ),
             ",
            $won,
            "new_event as (
                 insert into event (video_id, seq, recorded_at, command_id, type, body)
                 select e.* from unnest($13::text[], $14::bigint[], $15::bigint[], $16::text[], $17::text[], $18::text[])
                     as e (video_id, seq, recorded_at, command_id, type, body)
                 where e.video_id in (select id from won)
             ),
             -- No job is in both: what ends and is planned again in one append is only planned.
             ended_job as (
                 delete from job j
                 using unnest($19::text[], $20::text[]) as e (video_id, id)
                 where j.id = e.id and e.video_id in (select id from won)
             ),
             planned_job as (
                 insert into job (video_id, id, user_id, service, attempt, priority, not_before, body, partition)
                 select p.*, won.partition from unnest(
                     $21::text[], $22::text[], $23::text[], $24::text[], $25::bigint[], $26::bigint[], $27::bigint[],
                     $28::bytea[]
                 ) as p (video_id, id, user_id, service, attempt, priority, not_before, body)
                 join won on won.id = p.video_id
                 on conflict (id) do update set
                     video_id = excluded.video_id, user_id = excluded.user_id, partition = excluded.partition,
                     service = excluded.service, attempt = excluded.attempt, sends = 0, priority = excluded.priority,
                     not_before = excluded.not_before, body = excluded.body
             ),
             new_outcome as (
                 insert into command (video_id, command_id, recorded_at, outcome, user_id, partition, in_vain)
                 select o.*, won.user_id, won.partition, ",
            $in_vain,
            " from unnest($29::text[], $30::text[], $31::bigint[], $32::text[])
                     as o (video_id, command_id, recorded_at, outcome)
                 join won on won.id = o.video_id
                 on conflict do nothing
             )",
            $more,
            "
             select id from won"
        )
    };
}

/// What most appends need: all move a video that is there.
pub const APPEND: &str = append!(moved: "won", won: "", in_vain: "0", more: "");

/// The same with all that an append may have.
pub const APPEND_ALL: &str = append!(
    moved: "moved",
    won: "created as (
              insert into video
                  (id, user_id, partition, seq, status, progress, title, updated_at, catalogue, prompt, created_at)
              select a.id, a.user_id, a.partition, a.seq, a.status, a.progress, a.title, a.updated_at, f.catalogue,
                     f.prompt, f.created_at
              from appended a
              join unnest($33::text[], $34::text[], $35::text[], $36::bigint[]) as f (id, catalogue, prompt, created_at)
                  on f.id = a.id
              on conflict do nothing
              returning id
          ),
          -- An append without events moves nothing, but is true only of what it was decided upon.
          stayed as materialized (
              select s.id from unnest($37::text[], $38::bigint[]) as s (id, based_on)
              where based_on is null or based_on = coalesce((select seq from video where id = s.id), 0)
          ),
          won as materialized (
              select id, user_id, partition from appended
              where id in (select id from created union all select id from moved union all select id from stayed)
          ),
          ",
    // What this statement creates it does not see yet.
    in_vain: "case when won.id in (select id from created) or exists (select from video where id = won.id)
                  then 0 else 1 end",
    more: ",
          new_catalogue as (
              insert into catalogue (digest, body)
              select * from unnest($39::text[], $40::text[])
              on conflict do nothing
          ),
          new_artifact as (
              insert into artifact (id, video_id)
              select a.* from unnest($41::text[], $42::text[]) as a (id, video_id)
              where a.video_id in (select id from won)
              on conflict do nothing
          ),
          new_spending as (
              insert into ledger (
                  video_id, job, attempt, position, branch, phase, artifact_key, model, unit, quantity, amount,
                  booked_at, user_id
              )
              select l.*, won.user_id from unnest(
                  $43::text[], $44::text[], $45::bigint[], $46::bigint[], $47::text[], $48::bigint[], $49::text[],
                  $50::text[], $51::text[], $52::double precision[], $53::bigint[], $54::bigint[]
              ) as l (
                  video_id, job, attempt, position, branch, phase, artifact_key, model, unit, quantity, amount, booked_at
              )
              join won on won.id = l.video_id
          ),
          new_garbage as (
              insert into garbage (object_key, partition)
              select g.object_key, won.partition from unnest($55::text[], $56::text[]) as g (video_id, object_key)
              join won on won.id = g.video_id
              on conflict do nothing
          )"
);
