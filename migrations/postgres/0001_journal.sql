-- The journal is the truth; every other table can be rebuilt from it, or only remembers what was sent.
-- Times are whole microseconds since 1970 UTC; ids are text as everywhere else. Numbers and flags are what they are in
-- SQLite, so that both databases answer the same statements. Keys compare byte by byte, whatever language the database
-- was made for: pages of a list must not depend on it, and it is the fastest.

-- One row per video: the fence, how far its events were published, and what lists show of it.
create table video (
    id text collate "C" primary key,
    user_id text collate "C" not null,
    partition bigint not null,
    -- The last event. `update ... where seq = expected` is the fence: who loses it knows that somebody else decided.
    seq bigint not null,
    -- Events up to this one have left for NATS.
    published_seq bigint not null default 0,
    catalogue text not null,
    status text not null,
    progress double precision not null,
    title text,
    prompt text not null,
    created_at bigint not null,
    updated_at bigint not null,
    -- A tombstone hides the video and stays; it answers as the command that made it did.
    deleted_at bigint,
    deleted_by text,
    -- When a deleted video's objects and rows go; null once all of them are gone.
    purge_at bigint,
    -- Since when something of it can be collected; how long that is kept is a setting.
    forgotten_since bigint
);

create index video_by_user on video (user_id, created_at desc, id desc) where deleted_at is null;
create index video_by_user_and_status on video (user_id, status, created_at desc, id desc) where deleted_at is null;
create index video_unpublished on video (partition) where published_seq < seq;
create index video_purge on video (partition, purge_at) where purge_at is not null;
create index video_forgotten on video (partition, forgotten_since) where forgotten_since is not null;

create table event (
    video_id text collate "C" not null,
    seq bigint not null,
    recorded_at bigint not null,
    command_id text collate "C",
    type text not null,
    body text not null,
    primary key (video_id, seq)
);

-- How each command ended, so that a repeat gets the first outcome. An id counts for whoever sent it: nobody can use up
-- an id of somebody else's, or hear its answer.
create table command (
    video_id text collate "C" not null,
    command_id text collate "C" not null,
    user_id text collate "C" not null,
    partition bigint not null,
    recorded_at bigint not null,
    outcome text not null,
    -- Whether the outcome has left for NATS.
    sent bigint not null default 0,
    -- Whether there was no such video: such rows are forgotten when their command has left the stream.
    in_vain bigint not null default 0,
    primary key (video_id, user_id, command_id)
);

create index command_unsent on command (partition) where sent = 0;
create index command_in_vain on command (recorded_at) where in_vain = 1;

-- Jobs that run or wait to run; a row goes when its job ends.
create table job (
    id text collate "C" primary key,
    video_id text collate "C" not null,
    user_id text collate "C" not null,
    partition bigint not null,
    service text not null,
    attempt bigint not null,
    -- How often this attempt was sent; 0 means that it waits for the dispatcher.
    sends bigint not null default 0,
    -- 1 when somebody waits for it, 0 for a phase's own jobs.
    priority bigint not null,
    not_before bigint not null,
    body bytea not null
)
-- Every job is updated once or twice in its short life, on its own page where there is room.
with (fillfactor = 70);

create index job_by_partition on job (partition, not_before);
create index job_by_video on job (video_id);

-- Which video an artifact's link belongs to.
create table artifact (
    id text collate "C" primary key,
    video_id text collate "C" not null
);

create index artifact_by_video on artifact (video_id);

-- What reached paid providers: only ever added to, and kept when the video goes.
create table ledger (
    video_id text collate "C" not null,
    job text collate "C" not null,
    attempt bigint not null,
    -- Counted from 0 within the attempt.
    position bigint not null,
    user_id text collate "C" not null,
    branch text not null,
    phase bigint not null,
    artifact_key text not null,
    model text not null,
    unit text not null,
    quantity double precision not null,
    -- Millionths of a dollar.
    amount bigint not null,
    booked_at bigint not null,
    primary key (video_id, job, attempt, position)
);

-- Objects that nothing refers to any more; a row goes when its object is deleted.
create table garbage (
    object_key text collate "C" primary key,
    partition bigint not null
);

create index garbage_by_partition on garbage (partition);

-- Models, prices and beats as videos froze them, by digest.
create table catalogue (
    digest text collate "C" primary key,
    body text not null
);

-- Who runs which share of the videos, and how far it has read their commands.
create table partition_lease (
    partition bigint primary key,
    owner text collate "C",
    until bigint not null default 0,
    stream_created bigint not null default 0,
    sequence bigint not null default 0,
    message_time bigint not null default 0
);

-- Coordinator replicas that are alive, so that each takes an even share.
create table replica (
    id text collate "C" primary key,
    seen_at bigint not null
);
