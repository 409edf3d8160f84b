-- One round of appends, each of another video: all or nothing, in one statement and so in one round trip.
-- Arrays of one table have a row's values at the same place; `batch.rs` fills them in this order.
with
-- What is appended. An append without events has no expected event: it moves nothing, but is true only of what it was
-- decided upon.
appended as materialized (
    select * from unnest(
        $1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::double precision[],
        $9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::bigint[],
        $16::bigint[]
    ) as a (
        id, user_id, partition, expected, seq, catalogue, status, progress,
        title, prompt, created_at, updated_at, deleted_at, deleted_by, forgotten_since, based_on
    )
),
new_catalogue as (
    insert into catalogue (digest, body)
    select * from unnest($17::text[], $18::text[])
    on conflict do nothing
),
-- The fence, for first events and for later ones. Who is not returned has lost, and leaves nothing behind.
created as (
    insert into video (id, user_id, partition, seq, catalogue, status, progress, title, prompt, created_at, updated_at)
    select id, user_id, partition, seq, catalogue, status, progress, title, prompt, created_at, updated_at
    from appended where expected = 0
    on conflict do nothing
    returning id
),
-- Rows are locked in one order by everybody, so that two of us never wait for each other.
locked as materialized (
    select v.id from video v join appended a on a.id = v.id
    where a.expected > 0
    order by v.id
    for update of v
),
moved as (
    update video v
    set seq = a.seq, unpublished = 1, status = a.status, progress = a.progress, title = a.title, updated_at = a.updated_at,
        deleted_at = a.deleted_at, purge_at = a.deleted_at, deleted_by = a.deleted_by,
        forgotten_since = a.forgotten_since
    from appended a join locked on locked.id = a.id
    where v.id = a.id and v.seq = a.expected
    returning v.id
),
won as materialized (
    select id, user_id, partition from appended
    where id in (select id from created union all select id from moved)
        or expected is null
            and (based_on is null or based_on = coalesce((select seq from video where id = appended.id), 0))
),
new_event as (
    insert into event (video_id, seq, recorded_at, command_id, type, body)
    select e.* from unnest($19::text[], $20::bigint[], $21::bigint[], $22::text[], $23::text[], $24::text[])
        as e (video_id, seq, recorded_at, command_id, type, body)
    where e.video_id in (select id from won)
),
new_artifact as (
    insert into artifact (id, video_id)
    select a.* from unnest($25::text[], $26::text[]) as a (id, video_id)
    where a.video_id in (select id from won)
    on conflict do nothing
),
new_spending as (
    insert into ledger (
        video_id, job, attempt, position, branch, phase, artifact_key, model, unit, quantity, amount, booked_at, user_id
    )
    select l.*, won.user_id from unnest(
        $27::text[], $28::text[], $29::bigint[], $30::bigint[], $31::text[], $32::bigint[], $33::text[], $34::text[],
        $35::text[], $36::double precision[], $37::bigint[], $38::bigint[]
    ) as l (
        video_id, job, attempt, position, branch, phase, artifact_key, model, unit, quantity, amount, booked_at
    )
    join won on won.id = l.video_id
),
new_garbage as (
    insert into garbage (object_key, partition)
    select g.object_key, won.partition from unnest($39::text[], $40::text[]) as g (video_id, object_key)
    join won on won.id = g.video_id
    on conflict do nothing
),
-- No job is in both: what ends and is planned again in one append is only planned.
ended_job as (
    delete from job j
    using unnest($41::text[], $42::text[]) as e (video_id, id)
    where j.id = e.id and e.video_id in (select id from won)
),
planned_job as (
    insert into job (video_id, id, user_id, service, attempt, priority, not_before, body, partition)
    select p.*, won.partition from unnest(
        $43::text[], $44::text[], $45::text[], $46::text[], $47::bigint[], $48::bigint[], $49::bigint[], $50::bytea[]
    ) as p (video_id, id, user_id, service, attempt, priority, not_before, body)
    join won on won.id = p.video_id
    on conflict (id) do update set
        video_id = excluded.video_id, user_id = excluded.user_id, partition = excluded.partition,
        service = excluded.service, attempt = excluded.attempt, sends = 0, priority = excluded.priority,
        not_before = excluded.not_before, body = excluded.body
),
new_outcome as (
    insert into command (video_id, command_id, recorded_at, outcome, user_id, partition, in_vain)
    select o.*, won.user_id, won.partition,
        -- What this statement creates it does not see yet.
        case when won.id in (select id from created) or exists (select from video where id = won.id) then 0 else 1 end
    from unnest($51::text[], $52::text[], $53::bigint[], $54::text[]) as o (video_id, command_id, recorded_at, outcome)
    join won on won.id = o.video_id
    on conflict do nothing
),
-- Only the owner says how far a partition is read.
owned_position as materialized (
    select p.* from unnest($55::text[], $56::bigint[], $57::bigint[], $58::bigint[], $59::bigint[])
        as p (owner, partition, stream_created, sequence, message_time)
    join partition_lease l on l.partition = p.partition
    order by p.partition
    for update of l
),
moved_position as (
    update partition_lease l
    set stream_created = p.stream_created, sequence = p.sequence, message_time = p.message_time
    from owned_position p
    where l.partition = p.partition and l.owner = p.owner
)
select id from won
