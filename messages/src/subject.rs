//! Every subject, stream and consumer name, with constructors that take ids and a parser that is their inverse.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{JobId, UserId, VideoId, is_subject_token};
use crate::service::Service;

/// How many partitions the command stream is split into.
pub const PARTITIONS: u16 = 32;

/// The stream of everything that people ask.
pub const VIDEO_COMMANDS: &str = "VIDEO_COMMANDS";
/// The work queue.
pub const JOBS: &str = "JOBS";
/// The stream of everything that happened.
pub const VIDEO_EVENTS: &str = "VIDEO_EVENTS";
/// The stream of what could not be handled.
pub const DEAD_LETTERS: &str = "DEAD_LETTERS";

/// What [`VIDEO_COMMANDS`] takes.
pub const COMMAND_FILTER: &str = "video.*.*.cmd.*";
/// What [`VIDEO_EVENTS`] takes.
pub const EVENT_FILTER: &str = "video.*.*.event.*";
/// What [`JOBS`] takes.
pub const JOB_FILTER: &str = "job.>";
/// What [`DEAD_LETTERS`] takes.
pub const DEAD_FILTER: &str = "dead.>";
/// Signs of life of all jobs; not stored.
pub const PROGRESS_FILTER: &str = "video.*.*.progress.*";
/// Stop hints for all jobs; not stored.
pub const STOP_FILTER: &str = "stop.*";
/// What coordinators tell each other of jobs that somebody waits for; not stored.
pub const MAKE_WAY_FILTER: &str = "make_way.*";
/// The server's notice that a message was delivered too often, for our work queue.
pub const MAX_DELIVERIES_FILTER: &str = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.JOBS.>";
/// All queries about one video.
pub const VIDEO_QUERY_FILTER: &str = "query.*.*.*";
/// All queries about a user's videos.
pub const USER_QUERY_FILTER: &str = "query.*.*";

/// What subjects for answers begin with. Nobody is answered anywhere else: whoever asks could otherwise have an answer stored
/// as a job or as another user's event.
pub const INBOX_PREFIX: &str = "_INBOX.";

/// The header that carries a command's id.
pub const COMMAND_ID_HEADER: &str = "Dailies-Command-Id";
/// The header that says through which door a command came: `http` or `cli`; none means plain NATS.
pub const VIA_HEADER: &str = "Dailies-Via";

/// The header of an answer that holds a part of a list: the rest is asked for with the last one's id as `after`.
pub const MORE_HEADER: &str = "Dailies-More";

/// How the command stream rewrites subjects, so that any publisher's message is partitioned by its video.
pub fn partition_transform() -> (&'static str, String) {
    (
        COMMAND_FILTER,
        format!(
            "p.{{{{partition({PARTITIONS},2)}}}}.video.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}.cmd.{{{{wildcard(3)}}}}"
        ),
    )
}

/// One of the shares that videos are spread over; its owner runs their actors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(pub u16);

impl Partition {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..PARTITIONS).map(Self)
    }

    /// The partition of a video: the server's own function (FNV-1a, 32 bits, of the token), so that stream and program
    /// agree.
    pub fn of(video: VideoId) -> Self {
        let hash = video
            .to_string()
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Self((hash % u32::from(PARTITIONS)) as u16)
    }

    /// Its commands, as the stream stores them.
    pub fn command_filter(self) -> String {
        format!("p.{}.>", self.0)
    }

    /// What workers say to its owner.
    pub fn outcome_filter(self) -> String {
        format!("coordinator.{}.*", self.0)
    }

    /// One kind of what workers say to its owner.
    pub fn outcome(self, name: &str) -> String {
        format!("coordinator.{}.{name}", self.0)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// `video.{user}.{video}.cmd.{verb}`
pub fn command(user: &UserId, video: VideoId, verb: &str) -> String {
    format!("video.{user}.{video}.cmd.{verb}")
}

/// The subject of a command without ids, for those who count and trace.
pub fn command_template(verb: &str) -> String {
    format!("video.{{user}}.{{video}}.cmd.{verb}")
}

/// The subject of a service's jobs without ids.
pub fn job_template(service: Service) -> String {
    format!("job.{service}.{{user}}.{{video}}.{{job}}")
}

/// The subject of one kind of report without ids.
pub fn outcome_template(name: &str) -> String {
    format!("coordinator.{{partition}}.{name}")
}

/// `video.{user}.{video}.event.{name}`. The video is a token here, because a rejection goes to whatever its sender
/// called it.
pub fn event(user: &UserId, video: &str, name: &str) -> String {
    format!("video.{user}.{video}.event.{name}")
}

/// One kind of event of everybody's videos.
pub fn event_filter(name: &str) -> String {
    format!("video.*.*.event.{name}")
}

/// `video.{user}.{video}.progress.{job}`
pub fn progress(user: &UserId, video: VideoId, job: JobId) -> String {
    format!("video.{user}.{video}.progress.{job}")
}

/// `job.{service}.{user}.{video}.{job}`
pub fn job(service: Service, user: &UserId, video: VideoId, job: JobId) -> String {
    format!("job.{service}.{user}.{video}.{job}")
}

/// Where a worker asks for a job, of the durable consumer that has its service's name.
pub fn next_job(service: Service) -> String {
    format!("$JS.API.CONSUMER.MSG.NEXT.{JOBS}.{service}")
}

/// The service that a job's subject names; none when it is no job's.
pub fn service_of_job(subject: &str) -> Option<Service> {
    let mut tokens = subject.split('.');
    let (first, service) = (tokens.next()?, tokens.next()?);
    let known = Service::ALL.into_iter().find(|known| known.name() == service);
    known.filter(|_| first == "job" && tokens.count() == 3)
}

/// The jobs of one service.
pub fn service_jobs(service: Service) -> String {
    format!("job.{service}.>")
}

/// Every job of a video, whichever service.
pub fn video_jobs(user: &UserId, video: VideoId) -> String {
    format!("job.*.{user}.{video}.>")
}

/// `stop.{job}`
pub fn stop(job: JobId) -> String {
    format!("stop.{job}")
}

/// Where a coordinator says that it sends a job of this service that somebody waits for: `make_way.{service}`, with its own
/// name as the body.
pub fn make_way(service: Service) -> String {
    format!("make_way.{service}")
}

/// The service for which coordinators are to make way; none when the subject is another.
pub fn service_to_make_way_for(subject: &str) -> Option<Service> {
    let name = subject.strip_prefix("make_way.")?;
    Service::ALL.into_iter().find(|service| service.name() == name)
}

/// `dead.{name}`
pub fn dead(name: &str) -> String {
    format!("dead.{name}")
}

/// `query.{user}.{video}.{name}`
pub fn video_query(user: &UserId, video: VideoId, name: &str) -> String {
    format!("query.{user}.{video}.{name}")
}

/// `query.{user}.{name}`: `videos`, and `artifact` (which has no video in its link).
pub fn user_query(user: &UserId, name: &str) -> String {
    format!("query.{user}.{name}")
}

/// Where a worker says that it is alive to `nats micro`: `worker.{service}.{instance}`.
pub fn worker_status(service: Service, instance: &str) -> String {
    format!("worker.{service}.{instance}")
}

/// A command's subject taken apart, as published or as stored. Tokens are not ids yet: what was misspelt still has to be
/// answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSubject<'a> {
    /// Who asks.
    pub user: &'a str,
    /// About which video.
    pub video: &'a str,
    /// What.
    pub verb: &'a str,
}

impl<'a> CommandSubject<'a> {
    /// None when it is not a command's subject at all.
    pub fn parse(subject: &'a str) -> Option<Self> {
        let mut tokens = subject.split('.');
        let mut first = tokens.next()?;
        if first == "p" {
            tokens.next()?.parse::<u16>().ok()?;
            first = tokens.next()?;
        }
        let (user, video, cmd, verb) = (tokens.next()?, tokens.next()?, tokens.next()?, tokens.next()?);
        (first == "video" && cmd == "cmd" && tokens.next().is_none()).then_some(Self { user, video, verb })
    }

    /// Whether all tokens may stand in a subject of ours.
    pub fn is_well_formed(&self) -> bool {
        [self.user, self.video, self.verb].into_iter().all(is_subject_token)
    }
}

/// An event's or progress note's subject taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSubject<'a> {
    /// Whose.
    pub user: &'a str,
    /// Which video.
    pub video: &'a str,
    /// `event` or `progress`.
    pub kind: &'a str,
    /// The event's name or the job.
    pub name: &'a str,
    /// User and video as they stand there, `{user}.{video}`.
    pub topic: &'a str,
}

impl<'a> VideoSubject<'a> {
    /// None when it is neither.
    pub fn parse(subject: &'a str) -> Option<Self> {
        let mut tokens = subject.split('.');
        let (first, user, video, kind, name) =
            (tokens.next()?, tokens.next()?, tokens.next()?, tokens.next()?, tokens.next()?);
        let topic = subject.get(first.len() + 1..first.len() + 1 + user.len() + 1 + video.len())?;
        let is_ours = first == "video" && matches!(kind, "event" | "progress") && tokens.next().is_none();
        is_ours.then_some(Self { user, video, kind, name, topic })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video() -> VideoId {
        "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid")
    }

    #[test]
    fn a_command_subject_reads_back_as_published_and_as_stored() {
        let published = command(&UserId::local(), video(), "approve");
        let id = video().to_string();
        let expected = CommandSubject { user: "local", video: &id, verb: "approve" };
        assert_eq!(CommandSubject::parse(&published), Some(expected.clone()));
        assert_eq!(CommandSubject::parse(&format!("p.7.{published}")), Some(expected));
        for other in ["video.a.b.event.c", "video.a.b.cmd", "video.a.b.cmd.c.d", "p.x.video.a.b.cmd.c", ""] {
            assert_eq!(CommandSubject::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_call_to_make_way_names_its_service() {
        for service in Service::ALL {
            assert_eq!(service_to_make_way_for(&make_way(service)), Some(service));
        }
        for other in ["make_way", "make_way.", "make_way.chunk.x", "stop.chunk", "make_way.gateway"] {
            assert_eq!(service_to_make_way_for(other), None, "{other}");
        }
    }

    #[test]
    fn tokens_that_could_reach_elsewhere_are_not_well_formed() {
        for video in ["a b", "ä", "*", ">", ""] {
            assert!(!CommandSubject { user: "u", video, verb: "v" }.is_well_formed(), "{video}");
        }
    }
}
