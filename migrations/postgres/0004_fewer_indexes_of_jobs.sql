-- A job is found by its id, or by its video, and that by its partition: one index where every job came to two. Coordinators of
-- the version before go on beside those of this one.
create index job_by_partition_and_video on job (partition, video_id);
drop index job_by_partition;
drop index job_by_video;

-- From here on the table of artifacts holds those alone whose ids do not name their video.
