//! The questions that both databases are asked, word for word, so that a test can have each explained as it runs.
//!
//! Invariant: each is answered from an index, however many videos there are. What depends on the number of partitions is
//! asked for each partition.

/// Whether there is anything at all about a video: most that are asked for are new.
pub const IS_KNOWN: &str =
    "select 1 from video where id = $1 union all select 1 from command where video_id = $1 limit 1";

/// A video's journal after an event: a range of the primary key, as is everything that a video is loaded from. Its tree,
/// its branches and their leaves are read off that journal.
pub const EVENTS_AFTER: &str =
    "select seq, recorded_at, command_id, body from event where video_id = $1 and seq > $2 order by seq";

/// How the commands to a video ended.
pub const OUTCOMES: &str = "select user_id, outcome from command where video_id = $1";

/// A catalogue as it was frozen.
pub const CATALOGUE: &str = "select body from catalogue where digest = $1";

/// What is left of a deleted video.
pub const TOMBSTONE: &str =
    "select user_id, seq, deleted_at, deleted_by from video where id = $1 and deleted_at is not null";

/// A page of a user's videos after the last row of the one before.
pub const VIDEOS: &str = "select id, title, prompt, status, progress, created_at, updated_at from video
     where user_id = $1 and deleted_at is null and (created_at, id) < ($2, $3)
     order by created_at desc, id desc limit $4";

/// The same of one status: those that wait for an approval, for instance.
pub const VIDEOS_BY_STATUS: &str = "select id, title, prompt, status, progress, created_at, updated_at from video
     where user_id = $1 and status = $5 and deleted_at is null and (created_at, id) < ($2, $3)
     order by created_at desc, id desc limit $4";

/// Which of a user's videos an artifact's id may name: ids of one length sort alike in every collation.
pub const NAMED_VIDEOS: &str = "select id from video where id between $1 and $2 and user_id = $3";

/// The video of an artifact from before ids named it.
pub const VIDEO_OF_ARTIFACT: &str = "select video_id from artifact where id = $1";

/// Events of a partition that have not left, video by video.
pub const UNPUBLISHED_EVENTS: &str = "select v.id, v.user_id, e.seq, e.recorded_at, e.command_id, e.body
     from (select id, user_id, published_seq from video where partition = $1 and unpublished = 1 limit $2) v
     join event e on e.video_id = v.id and e.seq > v.published_seq
     order by v.id, e.seq";

/// Outcomes of a partition that have not left.
pub const UNSENT_OUTCOMES: &str = "select video_id, user_id, outcome from command where partition = $1 and sent = 0
     order by recorded_at limit $2";

/// Jobs of a partition that have not ended.
pub const JOBS: &str = "select id, video_id, user_id, service, attempt, sends, priority, not_before, body
     from job where partition = $1 order by not_before";

/// How far one video's events have left.
pub const PUBLISHED_OF_VIDEO: &str = "select user_id, published_seq from video where id = $1";

/// Outcomes of one video that have not left.
pub const UNSENT_OF_VIDEO: &str =
    "select user_id, outcome from command where video_id = $1 and sent = 0 order by recorded_at";

/// Jobs of one video that have not ended.
pub const JOBS_OF_VIDEO: &str = "select id, video_id, user_id, service, attempt, sends, priority, not_before, body
     from job where partition = $1 and video_id = $2 order by not_before";

/// Deleted videos of a partition that are to be purged.
pub const PURGEABLE: &str = "select id, user_id, deleted_at from video
     where partition = $1 and purge_at <= $2 and published_seq = seq order by purge_at limit $3";

/// Videos of a partition of which something can be collected.
pub const FORGOTTEN: &str = "select id from video where partition = $1 and forgotten_since <= $2 and deleted_at is null
     order by forgotten_since limit $3";

/// Objects of a partition's videos that nothing refers to.
pub const GARBAGE: &str = "select object_key from garbage where partition = $1 limit $2";

/// What was spent on a video.
pub const LEDGER: &str =
    "select branch, phase, job, attempt, artifact_key, model, unit, quantity, amount, booked_at from ledger
     where video_id = $1 order by booked_at, job, attempt, position";
