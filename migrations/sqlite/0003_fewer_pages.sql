-- Status first: those that films only pass through hold few of them, so that what comes and goes there lies together,
-- however many users there are. Lists of one user and status find theirs as before.
drop index video_by_user_and_status;
create index video_by_status_and_user on video (status, user_id, created_at desc, id desc) where deleted_at is null;
