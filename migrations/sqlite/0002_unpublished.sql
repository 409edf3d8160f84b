-- Whether events have not left, as a value of its own: comparing two columns in the index's condition made every append
-- and every mark write to it.
alter table video add column unpublished integer not null default 1;
update video set unpublished = 0 where published_seq = seq;

drop index video_unpublished;
create index video_unpublished on video (partition) where unpublished = 1;
