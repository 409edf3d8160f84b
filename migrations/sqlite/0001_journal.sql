-- The journal is the truth; every other table can be rebuilt from it, or only remembers what was sent.
-- Times are whole microseconds since 1970 UTC; ids are text as everywhere else.

-- One row per video: the fence, how far its events were published, and what lists show of it.
create table video (
    id text primary key,
    user_id text not null,
    partition integer not null,
    -- The last event. `update ... where seq = expected` is the fence: who loses it knows that somebody else decided.
    seq integer not null,
    -- Events up to this one have left for NATS.
    published_seq integer not null default 0,
    catalogue text not null,
    status text not null,
    progress real not null,
    title text,
    prompt text not null,
    created_at integer not null,
    updated_at integer not null,
    -- A tombstone hides the video and stays; it answers as the command that made it did.
    deleted_at integer,
    deleted_by text,
    -- When a deleted video's objects and rows go; null once all of them are gone.
    purge_at integer,
    -- Since when something of it can be collected; how long that is kept is a setting.
    forgotten_since integer
) strict;

create index video_by_user on video (user_id, created_at desc, id desc) where deleted_at is null;
create index video_by_user_and_status on video (user_id, status, created_at desc, id desc) where deleted_at is null;
create index video_unpublished on video (partition) where published_seq < seq;
create index video_purge on video (partition, purge_at) where purge_at is not null;
create index video_forgotten on video (partition, forgotten_since) where forgotten_since is not null;

-- With row ids, as are commands and jobs: long rows of many videos then lie one after the other in few pages, and only the
-- short keys are scattered. A commit writes a third of the pages.
create table event (
    video_id text not null,
    seq integer not null,
    recorded_at integer not null,
    command_id text,
    type text not null,
    body text not null,
    primary key (video_id, seq)
) strict;

-- How each command ended, so that a repeat gets the first outcome. An id counts for whoever sent it: nobody can use up
-- an id of somebody else's, or hear its answer.
create table command (
    video_id text not null,
    command_id text not null,
    user_id text not null,
    partition integer not null,
    recorded_at integer not null,
    outcome text not null,
    -- Whether the outcome has left for NATS.
    sent integer not null default 0,
    -- Whether there was no such video: such rows are forgotten when their command has left the stream.
    in_vain integer not null default 0,
    primary key (video_id, user_id, command_id)
) strict;

create index command_unsent on command (partition) where sent = 0;
create index command_in_vain on command (recorded_at) where in_vain = 1;

-- Jobs that run or wait to run; a row goes when its job ends.
create table job (
    id text primary key,
    video_id text not null,
    user_id text not null,
    partition integer not null,
    service text not null,
    attempt integer not null,
    -- How often this attempt was sent; 0 means that it waits for the dispatcher.
    sends integer not null default 0,
    -- 1 when somebody waits for it, 0 for a phase's own jobs.
    priority integer not null,
    not_before integer not null,
    body blob not null
) strict;

create index job_by_partition on job (partition, not_before);
create index job_by_video on job (video_id);

-- Which video an artifact's link belongs to.
create table artifact (
    id text primary key,
    video_id text not null
) strict, without rowid;

-- What reached paid providers: only ever added to, and kept when the video goes.
create table ledger (
    video_id text not null,
    job text not null,
    attempt integer not null,
    -- Counted from 0 within the attempt.
    position integer not null,
    user_id text not null,
    branch text not null,
    phase integer not null,
    artifact_key text not null,
    model text not null,
    unit text not null,
    quantity real not null,
    -- Millionths of a dollar.
    amount integer not null,
    booked_at integer not null,
    primary key (video_id, job, attempt, position)
) strict, without rowid;

-- Objects that nothing refers to any more; a row goes when its object is deleted.
create table garbage (
    object_key text primary key,
    partition integer not null
) strict, without rowid;

create index garbage_by_partition on garbage (partition);

-- Models, prices and beats as videos froze them, by digest.
create table catalogue (
    digest text primary key,
    body text not null
) strict, without rowid;

-- Who runs which share of the videos, and how far it has read their commands.
create table partition_lease (
    partition integer primary key,
    owner text,
    until integer not null default 0,
    stream_created integer not null default 0,
    sequence integer not null default 0,
    message_time integer not null default 0
) strict;

-- Coordinator replicas that are alive, so that each takes an even share.
create table replica (
    id text primary key,
    seen_at integer not null
) strict, without rowid;
