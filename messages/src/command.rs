//! What anyone may ask of a video, how it is written, and why it may be refused.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Abandon, Approve, Edit, Fork, Pin, Regenerate, Reject, Resolve, Select, Take};
use crate::import::Import;
use crate::video::{Cancel, ChangeSettings, CreateVideo, Delete, Retry};
use crate::violation::Violation;

/// A command: JSON on `video.{user}.{video}.cmd.{verb}`, from anyone to the coordinator.
///
/// Receiving one twice is safe: its id, counted within the video, brings the first outcome again.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each variant is its body, documented there")]
pub enum Command {
    Create(CreateVideo),
    Approve(Approve),
    Fork(Fork),
    Edit(Edit),
    Regenerate(Regenerate),
    Import(Import),
    Select(Select),
    Take(Take),
    Reject(Reject),
    Abandon(Abandon),
    Retry(Retry),
    Cancel(Cancel),
    Settings(ChangeSettings),
    Pin(Pin),
    Resolve(Resolve),
    Delete(Delete),
}

/// Every verb, as it stands in subjects.
pub const VERBS: [&str; 16] = [
    "create",
    "approve",
    "fork",
    "edit",
    "regenerate",
    "import",
    "select",
    "take",
    "reject",
    "abandon",
    "retry",
    "cancel",
    "settings",
    "pin",
    "resolve",
    "delete",
];

impl Command {
    /// Reads a command's body. An empty body is an empty object, so that `nats pub … ''` may retry, cancel and delete.
    pub fn parse(verb: &str, body: &[u8]) -> Result<Self, Rejection> {
        Ok(match verb {
            "create" => Self::Create(read(body)?),
            "approve" => Self::Approve(read(body)?),
            "fork" => Self::Fork(read(body)?),
            "edit" => Self::Edit(read(body)?),
            "regenerate" => Self::Regenerate(read(body)?),
            "import" => Self::Import(read(body)?),
            "select" => Self::Select(read(body)?),
            "take" => Self::Take(read(body)?),
            "reject" => Self::Reject(read(body)?),
            "abandon" => Self::Abandon(read(body)?),
            "retry" => Self::Retry(read(body)?),
            "cancel" => Self::Cancel(read(body)?),
            "settings" => Self::Settings(read(body)?),
            "pin" => Self::Pin(read(body)?),
            "resolve" => Self::Resolve(read(body)?),
            "delete" => Self::Delete(read(body)?),
            _ => {
                let given: String = verb.chars().take(64).collect();
                let reason = format!("unknown verb `{given}`; known: {}", VERBS.join(", "));
                return Err(Rejection::new(Code::UnknownVerb, reason));
            }
        })
    }

    /// The last token of its subject.
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Approve(_) => "approve",
            Self::Fork(_) => "fork",
            Self::Edit(_) => "edit",
            Self::Regenerate(_) => "regenerate",
            Self::Import(_) => "import",
            Self::Select(_) => "select",
            Self::Take(_) => "take",
            Self::Reject(_) => "reject",
            Self::Abandon(_) => "abandon",
            Self::Retry(_) => "retry",
            Self::Cancel(_) => "cancel",
            Self::Settings(_) => "settings",
            Self::Pin(_) => "pin",
            Self::Resolve(_) => "resolve",
            Self::Delete(_) => "delete",
        }
    }
}

/// Reads a JSON body into `T`, naming the field that is wrong.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Rejection> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        let reason = if looks_like_messagepack(body) {
            "commands are JSON; this looks like MessagePack".to_owned()
        } else {
            format!("the body is not JSON: {error}")
        };
        return Err(Rejection::new(Code::NotJson, reason));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value: T = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = match error.path().to_string() {
            path if path == "." => "body".to_owned(),
            path => path,
        };
        Rejection::invalid(vec![Violation::new(field, without_position(&error.into_inner().to_string()))])
    })?;
    Ok(value)
}

/// serde_json's ` at line 1 column 2` says nothing beside a field's path.
fn without_position(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}

/// MessagePack maps, arrays and long strings start with bytes that no JSON text starts with.
fn looks_like_messagepack(body: &[u8]) -> bool {
    matches!(body.first(), Some(0x80..=0x9f | 0xc0..=0xdf))
}

/// Through which door a command came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The gateway.
    Http,
    /// A plain NATS client.
    Nats,
    /// Our own command line.
    Cli,
    /// Auto-continue.
    Policy,
}

/// A refusal that names its reason. It changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Stable, for programs.
    pub code: Code,
    /// What is wrong and what to do, for people.
    pub reason: String,
    /// Every field that is wrong, when fields are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Violation>,
}

impl Rejection {
    /// A refusal.
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), errors: Vec::new() }
    }

    /// A refusal because of fields.
    pub fn invalid(errors: Vec<Violation>) -> Self {
        let named: Vec<_> = errors.iter().map(|error| format!("{}: {}", error.field, error.reason)).collect();
        Self { code: Code::Invalid, reason: named.join("; "), errors }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.reason)
    }
}

impl std::error::Error for Rejection {}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal;)*) => {
        /// Why a command or query is refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// As it is written everywhere.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status that says the same; queries over NATS carry it too.
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

codes! {
    /// Not JSON.
    NotJson = "not_json", 400;
    /// Fields are wrong.
    Invalid = "invalid", 422;
    /// No such verb.
    UnknownVerb = "unknown_verb", 404;
    /// No such video, or another user's.
    UnknownVideo = "unknown_video", 404;
    /// The video has no such checkpoint.
    UnknownCheckpoint = "unknown_checkpoint", 404;
    /// The video has no such branch.
    UnknownBranch = "unknown_branch", 404;
    /// No such artifact or version.
    UnknownArtifact = "unknown_artifact", 404;
    /// No such job.
    UnknownJob = "unknown_job", 404;
    /// No such query.
    UnknownQuery = "unknown_query", 404;
    /// The id is taken by a video of another content.
    VideoExists = "video_exists", 409;
    /// The video was deleted; nothing brings it back.
    VideoDeleted = "video_deleted", 409;
    /// The checkpoint does not wait for anybody.
    NotPending = "not_pending", 409;
    /// This phase has no such thing to change.
    WrongPhase = "wrong_phase", 409;
    /// The selection moved since it was looked at.
    StaleDigest = "stale_digest", 409;
    /// The branch name is taken.
    BranchExists = "branch_exists", 409;
    /// It would pass the budget.
    BudgetExceeded = "budget_exceeded", 409;
    /// Nothing failed or was cancelled.
    NothingToRetry = "nothing_to_retry", 409;
    /// Nothing runs.
    NothingRunning = "nothing_running", 409;
    /// Something would go on that does not fit what it was made from.
    ArtifactStale = "artifact_stale", 409;
    /// Something is being made again.
    ArtifactPending = "artifact_pending", 409;
    /// Retention has collected what was made there.
    Collected = "collected", 409;
    /// The job's fate is not unknown.
    NotUnknown = "not_unknown", 409;
    /// A part of the product that is not there yet.
    NotSupported = "not_supported", 422;
    /// The database or another part is away; ask again.
    Unavailable = "unavailable", 503;
    /// A fault of ours; it was set aside for its developers.
    Internal = "internal_error", 500;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(verb: &str, body: &[u8]) -> Code {
        Command::parse(verb, body).expect_err("is refused").code
    }

    #[test]
    fn what_is_not_json_is_refused_by_name() {
        assert_eq!(code("approve", b"{"), Code::NotJson);
        assert_eq!(code("approve", &[0xff, 0xfe]), Code::NotJson);
        assert_eq!(code("approve", b"{} {}"), Code::NotJson);
        let packed = crate::codec::encode(&Retry { branch: Some("main".into()) }).expect("encodes");
        let refusal = Command::parse("retry", &packed).expect_err("is refused");
        assert!(refusal.reason.contains("MessagePack"), "{refusal}");
    }

    #[test]
    fn a_wrong_field_is_named() {
        let refusal = Command::parse("approve", br#"{"checkpoint_id": "cp-1"}"#).expect_err("is refused");
        assert_eq!((refusal.code, refusal.errors[0].field.as_str()), (Code::Invalid, "checkpoint_id"));
        let unknown = Command::parse("retry", br#"{"brunch": "main"}"#).expect_err("is refused");
        assert!(unknown.reason.contains("brunch"), "{unknown}");
        assert_eq!(code("dance", b"{}"), Code::UnknownVerb);
    }

    #[test]
    fn every_verb_reads_back() {
        for verb in VERBS {
            match Command::parse(verb, b"{}") {
                Ok(command) => assert_eq!(command.verb(), verb),
                Err(refusal) => assert_eq!(refusal.code, Code::Invalid, "{verb}"),
            }
        }
        assert!(Command::parse("cancel", b"").is_ok());
    }
}
