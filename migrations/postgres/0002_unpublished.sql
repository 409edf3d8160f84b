-- Whether events have not left, as a value of its own: a condition on the sequence numbers, which every append and every
-- mark moves, made each of them write to all of the table's indexes.
alter table video add column unpublished bigint not null default 1;
update video set unpublished = 0 where published_seq = seq;

drop index video_unpublished;
create index video_unpublished on video (partition) where unpublished = 1;

-- A video is updated some fifteen times while it is made, on its own page where there is room.
alter table video set (fillfactor = 70);
