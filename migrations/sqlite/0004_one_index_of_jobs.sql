-- A job is found by its video, and that by its partition: one index instead of three, which every job came to and left.
alter table job rename to job_before;
create table job (
    id text not null,
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
    body blob not null,
    primary key (partition, video_id, id)
) strict;
insert into job (id, video_id, user_id, partition, service, attempt, sends, priority, not_before, body)
select id, video_id, user_id, partition, service, attempt, sends, priority, not_before, body from job_before;
drop table job_before;

-- From here on the table of artifacts holds those alone whose ids do not name their video.
