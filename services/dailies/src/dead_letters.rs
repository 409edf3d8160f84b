//! Dead letters: what each one in the stream is, and what may be done so that its work is done after all. Pure.
//!
//! Invariant: no way of doing something again goes past the coordinator. It knows which job is wanted, which attempt was
//! paid for and which command was answered, so nothing runs or is billed twice because a letter was sent again.

use async_nats::jetstream::message::StreamMessage;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use messages::id::{CheckpointId, JobId, UserId, VideoId};
use messages::job::DeadLetter;
use messages::query::{BranchState, BranchView};
use messages::subject::{self, VideoSubject};
use messages::{codec, command};
use serde::Deserialize;
use serde_json::{Value, json};

/// How many times a phase can have been made again until its checkpoints are no longer looked for.
const MOST_VERSIONS: u32 = 1000;

/// A message of the stream.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Its number there.
    pub seq: u64,
    /// When it was stored.
    pub stored: DateTime<Utc>,
    /// The subject that it was stored under.
    pub filed_under: String,
    /// Bytes of what could not be handled.
    pub size: usize,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    /// From a service of ours, with the bytes that it could not handle.
    Ours(DeadLetter, Vec<u8>),
    /// From the server: it gave up on a message of the work queue.
    GivenUp(GivenUp),
    /// From anybody.
    Strange(Vec<u8>),
}

/// The server's notice that it does not deliver a message any more. The message stays in its stream.
#[derive(Debug, Clone, Deserialize)]
struct GivenUp {
    consumer: String,
    stream_seq: u64,
    deliveries: u64,
}

/// What every job says, also one that is too new for us.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Head {
    /// Whose.
    pub user: UserId,
    /// Of which video.
    pub video: VideoId,
    /// Which job.
    pub id: JobId,
}

/// How the work of a letter is done after all.
#[derive(Debug, Clone, PartialEq)]
pub enum Way {
    /// Its branch is retried: the coordinator knows what of it is missing.
    Retry(Head),
    /// A command that had no effect is sent again, under an id that is always the same for this letter.
    Command {
        /// Who asked; the letters of older coordinators do not say.
        user: Option<UserId>,
        /// About which video.
        video: VideoId,
        /// What was asked.
        verb: String,
        /// Its body.
        body: Value,
        /// The command's id.
        id: String,
    },
    /// The message that blocks its job is taken out of the queue; the coordinator sends the job again.
    Unblock {
        /// Its number in the queue.
        stream_seq: u64,
        /// Who was to take it.
        consumer: String,
    },
}

impl Letter {
    /// A message of the stream, whoever wrote it.
    pub fn read(seq: u64, stored: DateTime<Utc>, filed_under: &str, bytes: &[u8]) -> Self {
        let content = Content::read(filed_under, bytes);
        let size = match &content {
            Content::Ours(_, payload) => payload.len(),
            Content::GivenUp(_) | Content::Strange(_) => bytes.len(),
        };
        Self { seq, stored, filed_under: filed_under.to_owned(), size, content }
    }

    /// The subject of what could not be handled.
    pub fn subject(&self) -> &str {
        match &self.content {
            Content::Ours(letter, _) => &letter.subject,
            Content::GivenUp(_) | Content::Strange(_) => &self.filed_under,
        }
    }

    /// Why it is here.
    pub fn reason(&self) -> String {
        match &self.content {
            Content::Ours(letter, _) => letter.reason.clone(),
            Content::GivenUp(GivenUp { consumer, stream_seq, deliveries }) => format!(
                "the server delivers message {stream_seq} of the queue no more, after {deliveries} deliveries to {consumer}"
            ),
            Content::Strange(_) => "no service of ours wrote this".to_owned(),
        }
    }

    /// How often it was delivered before; none when nobody has said.
    pub fn deliveries(&self) -> Option<u64> {
        match &self.content {
            Content::Ours(letter, _) => Some(letter.deliveries),
            Content::GivenUp(given_up) => Some(given_up.deliveries),
            Content::Strange(_) => None,
        }
    }

    /// Its line in a list, for programs.
    pub fn to_json(&self) -> Value {
        json!({
            "seq": self.seq,
            "time": self.stored,
            "filed_under": self.filed_under,
            "subject": self.subject(),
            "reason": self.reason(),
            "deliveries": self.deliveries(),
            "size": self.size,
        })
    }

    /// What could not be handled: JSON and MessagePack as a value, text as a string, other bytes in base64.
    pub fn payload(&self) -> Value {
        match &self.content {
            Content::Ours(_, payload) | Content::Strange(payload) => decoded(payload),
            Content::GivenUp(given_up) => json!({
                "stream": subject::JOBS,
                "consumer": given_up.consumer,
                "stream_seq": given_up.stream_seq,
                "deliveries": given_up.deliveries,
            }),
        }
    }

    /// How its work can be done after all; else why sending it again makes no sense.
    pub fn way(&self) -> Result<Way, String> {
        let (letter, payload) = match &self.content {
            Content::Ours(letter, payload) => (letter, payload),
            Content::GivenUp(given_up) => {
                let GivenUp { stream_seq, consumer, .. } = given_up.clone();
                return Ok(Way::Unblock { stream_seq, consumer });
            }
            Content::Strange(_) => {
                return Err("no service of ours wrote it, so nobody knows what to do again".to_owned());
            }
        };
        if subject::service_of_job(&letter.subject).is_some() {
            return codec::decode::<Head>(payload).map(Way::Retry).map_err(|_| {
                "its bytes name no job: if a coordinator sent it, that one misses an answer and sends the job again by itself"
                    .to_owned()
            });
        }
        if let Some(event) = VideoSubject::parse(&letter.subject) {
            return Err(format!(
                "only coordinators tell events, and the journal has this one: `{} history {}` shows it",
                crate::program(),
                event.video
            ));
        }
        let Some(command) = subject::CommandSubject::parse(&letter.subject) else {
            return self.stumbled_over(&letter.subject, payload);
        };
        match (command.user.parse(), command.video.parse()) {
            (Ok(user), Ok(video)) => self.again(Some(user), video, command.verb, payload),
            _ => Err("its subject cannot be that of a video: publish the payload under the right one".to_owned()),
        }
    }

    /// As older coordinators wrote of a command that they stumbled over: `video {id} {verb}`.
    fn stumbled_over(&self, about: &str, payload: &[u8]) -> Result<Way, String> {
        let mut words = about.split(' ');
        match (words.next(), words.next().map(str::parse), words.next(), words.next()) {
            (Some("video"), Some(Ok(video)), Some(verb), None) => self.again(None, video, verb, payload),
            _ => Err(about_no_command()),
        }
    }

    /// A coordinator stumbled over this command, and answered `internal_error`.
    fn again(&self, user: Option<UserId>, video: VideoId, verb: &str, payload: &[u8]) -> Result<Way, String> {
        if !command::VERBS.contains(&verb) {
            return Err(about_no_command());
        }
        let body =
            serde_json::from_slice(payload).map_err(|_| "its body is not JSON, which no command is".to_owned())?;
        // A stream that was made anew counts from 1 again, so the time is part of the name.
        let id = format!("dead-{}-{}", self.stored.timestamp_micros(), self.seq);
        Ok(Way::Command { user, video, verb: verb.to_owned(), body, id })
    }
}

impl Content {
    fn read(filed_under: &str, bytes: &[u8]) -> Self {
        if filed_under.starts_with(subject::MAX_DELIVERIES_FILTER.trim_end_matches('>')) {
            if let Ok(given_up) = serde_json::from_slice(bytes) {
                return Self::GivenUp(given_up);
            }
        } else if let Ok(letter) = serde_json::from_slice::<DeadLetter>(bytes)
            && let Ok(payload) = BASE64_STANDARD.decode(&letter.payload)
        {
            return Self::Ours(letter, payload);
        }
        Self::Strange(bytes.to_vec())
    }
}

/// Whether a message of the queue is the one that a notice of this time was about: sequences start again with a new queue.
pub fn is_given_up(message: &StreamMessage, consumer: &str, noticed: DateTime<Utc>) -> bool {
    let service = subject::service_of_job(&message.subject);
    service.is_some_and(|service| service.name() == consumer) && runtime::bus::chrono_time(message.time) <= noticed
}

/// The branch on which a job failed and is still what the branch fails for; else why it is not.
pub fn failed_branch<'a>(job: &Head, branches: &'a [BranchView]) -> Result<&'a BranchView, String> {
    let phase = job.id.artifact.phase();
    let is_made_on = |branch: &&BranchView| {
        (1..=MOST_VERSIONS).any(|version| {
            CheckpointId::derivations(job.video, &branch.branch_name, phase, version).contains(&job.id.checkpoint)
        })
    };
    let Some(branch) = branches.iter().find(is_made_on) else {
        return Err(format!("no branch of {} has the checkpoint of {}", job.video, job.id));
    };
    if branch.state == BranchState::Failed && branch.phase_number == phase {
        return Ok(branch);
    }
    let name = &branch.branch_name;
    Err(match branch.state {
        BranchState::Running => format!("`{name}` is running: what it still needs of this is tried again by itself"),
        BranchState::Cancelled => format!("`{name}` was cancelled; `{} retry` goes on with it", crate::program()),
        BranchState::BlockedUnknown => {
            format!("what became of a paid job on `{name}` is unknown: `{} resolve` decides", crate::program())
        }
        BranchState::Failed | BranchState::Paused | BranchState::BlockedBudget | BranchState::Complete => {
            format!("`{name}` does not wait for it any more: {} is done or was made in another way", job.id)
        }
    })
}

fn about_no_command() -> String {
    "it is about no command, so there is nothing to send again; its reason is for the log".to_owned()
}

fn decoded(bytes: &[u8]) -> Value {
    if let Ok(value) = serde_json::from_slice(bytes) {
        return value;
    }
    // Only maps: any byte alone would be a number.
    if matches!(bytes.first(), Some(0x80..=0x8f | 0xde | 0xdf))
        && let Ok(value) = codec::decode::<Value>(bytes)
    {
        return value;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => json!({ "base64": BASE64_STANDARD.encode(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use messages::artifact::ArtifactKey;
    use messages::id::BranchName;
    use messages::phase::Phase;
    use messages::service::Service;

    use super::*;

    fn video() -> VideoId {
        "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid")
    }

    fn job() -> JobId {
        let checkpoint = CheckpointId::derived(video(), &BranchName::main(), Phase::Chunks, 2);
        JobId { checkpoint, artifact: ArtifactKey::Chunk(0), version: 1 }
    }

    fn head() -> Head {
        Head { user: UserId::local(), video: video(), id: job() }
    }

    fn letter(filed_under: &str, subject: &str, payload: &[u8]) -> Letter {
        let letter = DeadLetter {
            subject: subject.to_owned(),
            reason: "so".to_owned(),
            deliveries: 4,
            time: DateTime::UNIX_EPOCH,
            payload: BASE64_STANDARD.encode(payload),
        };
        let bytes = serde_json::to_vec(&letter).expect("written");
        Letter::read(7, DateTime::UNIX_EPOCH, filed_under, &bytes)
    }

    fn job_letter(work: &Value) -> Letter {
        let job = json!({ "user": "local", "video": video(), "id": job(), "attempt": 1, "work": work });
        let subject = subject::job(Service::Chunk, &UserId::local(), video(), self::job());
        letter(&subject::dead("chunk"), &subject, &codec::encode(&job).expect("written"))
    }

    fn branch(state: BranchState, phase_number: Phase) -> BranchView {
        let view = json!({
            "branch_name": "main", "latest_checkpoint_id": null, "phase_number": phase_number, "status": "failed",
            "state": state, "can_continue": false, "progress": 50.0, "running_jobs": [], "error": null,
            "spent_usd": 0.0, "shared_usd": 0.0, "allowed": [],
        });
        serde_json::from_value(view).expect("a branch")
    }

    #[test]
    fn a_job_is_retried_by_its_branch_also_when_it_is_too_new_to_be_read() {
        let letter = job_letter(&json!({ "animate_hologram": {} }));
        assert_eq!(letter.way(), Ok(Way::Retry(head())));
        assert_eq!(letter.payload()["work"], json!({ "animate_hologram": {} }));
        assert_eq!((letter.deliveries(), letter.reason().as_str()), (Some(4), "so"));
    }

    #[test]
    fn only_a_branch_that_fails_for_the_job_is_retried() {
        let failed = [branch(BranchState::Failed, Phase::Chunks)];
        assert_eq!(failed_branch(&head(), &failed).map(|branch| branch.branch_name.clone()), Ok(BranchName::main()));
        for (state, phase, reason) in [
            (BranchState::Running, Phase::Chunks, "by itself"),
            (BranchState::Cancelled, Phase::Chunks, "was cancelled"),
            (BranchState::Paused, Phase::Chunks, "any more"),
            // It fails for something later.
            (BranchState::Failed, Phase::Refine, "any more"),
            (BranchState::BlockedUnknown, Phase::Chunks, "resolve"),
        ] {
            let refusal = failed_branch(&head(), &[branch(state, phase)]).expect_err("not waited for");
            assert!(refusal.contains(reason), "{state:?}: {refusal}");
        }
        assert!(failed_branch(&head(), &[]).is_err());
    }

    #[test]
    fn what_a_coordinator_stumbled_over_is_sent_again_under_one_name() {
        let eve: UserId = "eve".parse().expect("valid");
        let of_eve = subject::command(&eve, video(), "approve");
        for (about, user) in [(of_eve, Some(eve)), (format!("video {} approve", video()), None)] {
            let letter = letter(&subject::dead("coordinator"), &about, br#"{"checkpoint_id":"x"}"#);
            let way = Way::Command {
                user,
                video: video(),
                verb: "approve".to_owned(),
                body: json!({ "checkpoint_id": "x" }),
                id: "dead-0-7".to_owned(),
            };
            assert_eq!(letter.way(), Ok(way), "{about}");
        }
    }

    #[test]
    fn what_makes_no_sense_to_send_again_is_refused_with_a_reason() {
        let event = subject::event(&UserId::local(), &video().to_string(), "job_done");
        let garbage = subject::job(Service::Chunk, &UserId::local(), video(), job());
        let fault = format!("video {} report", video());
        for (subject, payload, reason) in [
            (event.as_str(), &b"{}"[..], "the journal has this one"),
            (&garbage, &[0xc1], "name no job"),
            ("p.7.video.a b.c.cmd.approve", b"{}", "under the right one"),
            (&fault, b"Input", "about no command"),
            ("elsewhere", b"", "about no command"),
        ] {
            let refusal = letter("dead.any", subject, payload).way().expect_err(subject);
            assert!(refusal.contains(reason), "{subject}: {refusal}");
        }
        let strange = Letter::read(1, DateTime::UNIX_EPOCH, "dead.any", b"what is this");
        assert!(strange.way().is_err());
        assert_eq!((strange.payload(), strange.size), (json!("what is this"), 12));
    }

    #[test]
    fn a_notice_of_the_server_names_the_message_that_blocks() {
        let notice = json!({
            "type": "io.nats.jetstream.advisory.v1.max_deliver", "stream": "JOBS", "consumer": "chunk",
            "stream_seq": 12, "deliveries": 3,
        });
        let filed_under = subject::MAX_DELIVERIES_FILTER.replace('>', "chunk");
        let letter = Letter::read(1, DateTime::UNIX_EPOCH, &filed_under, notice.to_string().as_bytes());
        assert_eq!(letter.way(), Ok(Way::Unblock { stream_seq: 12, consumer: "chunk".to_owned() }));
        assert_eq!(letter.deliveries(), Some(3));
    }

    #[test]
    fn payloads_are_shown_in_the_form_they_have() {
        let packed = codec::encode(&json!({ "a": [1, 2.5] })).expect("written");
        for (bytes, shown) in [
            (&br#"{"a":1}"#[..], json!({ "a": 1 })),
            (&packed, json!({ "a": [1, 2.5] })),
            (b"plain text", json!("plain text")),
            (&[0xc1, 0xff], json!({ "base64": "wf8=" })),
        ] {
            assert_eq!(decoded(bytes), shown);
        }
    }
}
