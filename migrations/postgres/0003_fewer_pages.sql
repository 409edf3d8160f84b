-- While a film is made its row changes a dozen times and more; here each change touches fewer pages.

-- Status first: those that films only pass through hold few of them, so that what comes and goes there lies together,
-- however many users there are. Lists of one user and status find theirs as before.
drop index video_by_user_and_status;
alter table video alter column status type text collate "C";
create index video_by_status_and_user on video (status, user_id, created_at desc, id desc) where deleted_at is null;

-- Room in each page for what a video's row is next, so that its indexes stay as they are.
alter table video set (fillfactor = 60);

-- Jobs are gone within minutes: packing the larger ones costs more than their room.
alter table job set (toast_tuple_target = 8160);
