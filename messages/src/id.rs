//! Every identifier of the system and how it is written.
//!
//! Ids are types, so that a checkpoint can never be passed for a video. Those of records print as a prefix and a UUID
//! (`vid-0195...`); tokens are short checked words that may stand in a NATS subject. Ids below a video are derived from it,
//! so that deciding the same thing twice names the same thing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::artifact::ArtifactKey;
use crate::phase::Phase;

/// Why a text is not the identifier it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct InvalidId {
    /// What was given, cut to 80 characters.
    pub text: String,
    /// What it should look like, with its article.
    pub expected: &'static str,
}

impl InvalidId {
    pub(crate) fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), expected }
    }
}

/// Serde by way of `Display` and `FromStr`: an id is one string on every wire.
macro_rules! as_string {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use as_string;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What every such id starts with.
            pub const PREFIX: &'static str = $prefix;

            /// Wraps a UUID that somebody else made.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                f.write_str(self.0.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// Accepts exactly what `Display` writes: one spelling per id.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let id = text.strip_prefix($prefix).and_then(|rest| Uuid::try_parse(rest).ok()).map(Self);
                id.filter(|id| id.to_string() == text).ok_or_else(|| InvalidId::new(text, $expected))
            }
        }

        as_string!($name);
    };
}

uuid_id!(
    /// A video: one film, with its whole tree of checkpoints.
    VideoId, "vid-", "a video id (`vid-` and a lower-case UUID)"
);
uuid_id!(
    /// A checkpoint: what one phase of one branch made, in one version.
    CheckpointId, "cp-", "a checkpoint id (`cp-` and a lower-case UUID)"
);
uuid_id!(
    /// One immutable version of an artifact.
    ArtifactId, "art-", "an artifact id (`art-` and a lower-case UUID)"
);
uuid_id!(
    /// An API key, as it is listed and revoked; it opens nothing.
    KeyId, "key-", "a key's id (`key-` and a lower-case UUID)"
);

impl VideoId {
    /// The id of a video whose creator gave an idempotency key instead of an id.
    pub fn derived(user: &UserId, key: &str) -> Self {
        Self(Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("video/{user}/{key}").as_bytes()))
    }

    /// The seed of a video whose creator gave none.
    pub fn seed(self) -> u64 {
        self.0.as_u64_pair().0 ^ self.0.as_u64_pair().1
    }
}

impl CheckpointId {
    /// `(video, branch, phase, version)` is unique, and so is the id made of it.
    pub fn derived(video: VideoId, branch: &BranchName, phase: Phase, version: u32) -> Self {
        Self(
            uuid::Builder::from_custom_bytes(Self::derived_before(video, branch, phase, version).0.into_bytes())
                .into_uuid(),
        )
    }

    /// The id that it has if it is older than artifacts that lie beside their checkpoint. Its version, 5 and not 8, says so.
    pub fn derived_before(video: VideoId, branch: &BranchName, phase: Phase, version: u32) -> Self {
        Self(Uuid::new_v5(&video.0, format!("{branch}/{}/{version}", phase.number()).as_bytes()))
    }
}

impl ArtifactId {
    /// A version number is given once per checkpoint and key, so the id is as unique as the three together. It begins with
    /// its checkpoint's first six bytes: what is made together then lies together in the database's index, where scattered
    /// ids cost a page each.
    pub fn derived(checkpoint: CheckpointId, key: ArtifactKey, version: u32) -> Self {
        let id = Uuid::new_v5(&checkpoint.0, format!("{key}/{version}").as_bytes());
        if checkpoint.0.get_version_num() == 5 {
            return Self(id);
        }
        let mut bytes = id.into_bytes();
        bytes.iter_mut().zip(checkpoint.0.as_bytes()).take(6).for_each(|(byte, first)| *byte = *first);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

macro_rules! token {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text, already checked.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.to_owned())) } else { Err(InvalidId::new(text, $expected)) }
            }
        }

        as_string!($name);
    };
}

/// Whether `text` may stand as one token of a subject: `[A-Za-z0-9_-]{1,64}`.
pub fn is_subject_token(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

token!(
    /// Who owns a video. It comes from authentication or from the subject, never from a body.
    UserId, "a user (1 to 64 of A-Z a-z 0-9 _ -)", is_subject_token
);
token!(
    /// What makes a repeated command recognisable; it counts within its video.
    CommandId, "a command id (1 to 128 printable ASCII characters without spaces)",
    |text| (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
);
token!(
    /// The name of a branch: `[a-z0-9][a-z0-9_-]{0,31}`, except `same`, which an approval reads as "stay on this one".
    BranchName, "a branch name (1 to 32 of a-z 0-9 _ -, starting with a letter or digit, not `same`)",
    |text| {
        (1..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
            && !text.starts_with(['_', '-'])
            && text != "same"
    }
);

impl UserId {
    /// Whoever sits at this machine: the user of a gateway on loopback without keys.
    pub fn local() -> Self {
        Self("local".to_owned())
    }
}

impl BranchName {
    /// The branch that every video starts with.
    pub fn main() -> Self {
        Self("main".to_owned())
    }

    /// The n-th automatic name below this one: `main` gives `main-1`, `main-1` gives `main-1-1`. None when the name
    /// would pass 32 characters.
    pub fn child(&self, n: u32) -> Option<Self> {
        format!("{}-{n}", self.0).parse().ok()
    }
}

/// A job: the making of one version of one artifact for one checkpoint. A retry is the same job with the next attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    /// The checkpoint that the artifact is made for.
    pub checkpoint: CheckpointId,
    /// The artifact.
    pub artifact: ArtifactKey,
    /// Its version, counted per checkpoint and artifact from 1.
    pub version: u32,
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-v{}", self.checkpoint, self.artifact, self.version)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for JobId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parse = || {
            let (checkpoint, rest) = text.split_at_checked(CheckpointId::PREFIX.len() + 36)?;
            let (artifact, version) = rest.strip_prefix('-')?.rsplit_once("-v")?;
            let id = Self {
                checkpoint: checkpoint.parse().ok()?,
                artifact: artifact.parse().ok()?,
                version: version.parse().ok()?,
            };
            (id.to_string() == text).then_some(id)
        };
        parse().ok_or_else(|| InvalidId::new(text, "a job id (`{checkpoint}-{artifact}-v{n}`)"))
    }
}

as_string!(JobId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id: VideoId = "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid");
        assert_eq!(id.to_string(), "vid-0195f0a0-1111-7000-8000-000000000001");
        for wrong in [
            "",
            "vid-",
            "cp-0195f0a0-1111-7000-8000-000000000001",
            "vid-0195F0A0-1111-7000-8000-000000000001",
            "vid-0195f0a0111170008000000000000001",
        ] {
            assert!(wrong.parse::<VideoId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn branch_names_are_checked() {
        for good in ["main", "main-1", "0", "a_b-c", &"x".repeat(32)] {
            assert!(good.parse::<BranchName>().is_ok(), "{good}");
        }
        for bad in ["", "same", "-a", "_a", "A", "a.b", "a/b", "a b", &"x".repeat(33), "ä"] {
            assert!(bad.parse::<BranchName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn artifacts_lie_beside_their_checkpoint_and_are_told_apart() {
        let video: VideoId = "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid");
        let checkpoint = CheckpointId::derived(video, &BranchName::main(), Phase::Chunks, 1);
        let artifacts = (0..100).map(|n| ArtifactId::derived(checkpoint, ArtifactKey::Chunk(n), 1).to_string());
        let artifacts: std::collections::BTreeSet<_> = artifacts.collect();
        assert_eq!(artifacts.len(), 100, "each has its own");
        let beside = checkpoint.uuid().to_string()[..13].to_owned();
        assert!(artifacts.iter().all(|id| id.starts_with(&format!("art-{beside}-8"))), "{beside}: {artifacts:?}");
    }

    #[test]
    fn an_artifact_of_an_old_checkpoint_keeps_its_id() {
        let video: VideoId = "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid");
        let checkpoint = CheckpointId::derived_before(video, &BranchName::main(), Phase::Planning, 1);
        let artifact = ArtifactId::derived(checkpoint, ArtifactKey::Spec, 1);
        assert_eq!(artifact.uuid(), Uuid::new_v5(&checkpoint.uuid(), b"spec/1"));
    }

    #[test]
    fn a_job_id_reads_back_and_fits_a_subject_token() {
        let video: VideoId = "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid");
        let checkpoint = CheckpointId::derived(video, &BranchName::main(), Phase::Chunks, 1);
        for artifact in [ArtifactKey::Chunk(35), ArtifactKey::Background, ArtifactKey::Spec] {
            let job = JobId { checkpoint, artifact, version: 1234 };
            assert!(is_subject_token(&job.to_string()), "{job}");
            assert_eq!(job.to_string().parse::<JobId>(), Ok(job));
        }
    }
}
