//! Every identifier of the system and how it is written.
//!
//! Ids are types, so that a checkpoint can never be passed for a video. Those of records print as a prefix and a UUID
//! (`vid-0195...`); tokens are short checked words that may stand in a NATS subject. Ids below a video are derived from it,
//! so that deciding the same thing twice names the same thing.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

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
        crate::id::from_string!($name);
    };
}
pub(crate) use as_string;

/// The way back.
macro_rules! from_string {
    ($name:ident) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(crate::id::FromText(std::marker::PhantomData))
            }
        }
    };
}
pub(crate) use from_string;

/// Reads a text where it stands.
pub(crate) struct FromText<T>(pub(crate) PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

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

        impl $name {
            /// Hands the text to whoever needs it, in one piece: it is written many times for each event.
            fn with_text<T>(&self, take: impl FnOnce(&str) -> T) -> T {
                let mut text = [0; $prefix.len() + Hyphenated::LENGTH];
                let (prefix, uuid) = text.split_at_mut($prefix.len());
                prefix.copy_from_slice($prefix.as_bytes());
                self.0.hyphenated().encode_lower(uuid);
                // Both are ASCII.
                take(std::str::from_utf8(&text).unwrap_or($prefix))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.with_text(|text| f.write_str(text))
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
                id.filter(|id| id.with_text(|own| own == text)).ok_or_else(|| InvalidId::new(text, $expected))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.with_text(|text| serializer.serialize_str(text))
            }
        }

        from_string!($name);
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
    /// `(video, branch, phase, version)` is unique, and so is the id made of it. It begins with digits of its own, because
    /// people name checkpoints by them, and ends with the first six bytes of its video: its artifacts name the video.
    pub fn derived(video: VideoId, branch: &BranchName, phase: Phase, version: u32) -> Self {
        let [today, ..] = Self::derivations(video, branch, phase, version);
        today
    }

    /// Every id that it may have: today's, the one before, whose artifacts begin as it does itself, and the first, a version
    /// 5 UUID whose artifacts have such ids too.
    pub fn derivations(video: VideoId, branch: &BranchName, phase: Phase, version: u32) -> [Self; 3] {
        let first = hash(video.0, &format!("{branch}/{}/{version}", phase.number()));
        let own = |bytes| Self(uuid::Builder::from_custom_bytes(bytes).into_uuid());
        let mut today = first.into_bytes();
        today.iter_mut().skip(10).zip(video.0.as_bytes()).for_each(|(byte, of_video)| *byte = *of_video);
        [own(today), own(first.into_bytes()), Self(first)]
    }

    /// Whether it is one of those whose artifacts name their video.
    fn ends_as_begins(self, video: VideoId) -> bool {
        self.0.get_version_num() == 8 && self.0.as_bytes().get(10..) == video.0.as_bytes().get(..6)
    }
}

impl ArtifactId {
    /// A version number is given once per checkpoint and key, so the id is as unique as the three together. It begins as its
    /// video does: where an artifact belongs needs no table.
    ///
    /// Artifacts of older checkpoints have the ids that they always had: version 5 UUIDs where their checkpoints have some,
    /// else such as begin with their checkpoint's first six bytes.
    pub fn derived(video: VideoId, checkpoint: CheckpointId, key: ArtifactKey, version: u32) -> Self {
        let id = hash(checkpoint.0, &format!("{key}/{version}"));
        if checkpoint.0.get_version_num() == 5 {
            return Self(id);
        }
        let (of, first) = if checkpoint.ends_as_begins(video) { (video.0, 8) } else { (checkpoint.0, 6) };
        let mut bytes = id.into_bytes();
        bytes.iter_mut().zip(of.as_bytes()).take(first).for_each(|(byte, first)| *byte = *first);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// Whether its id says that it may be of this video: of all that was made at any time, hardly ever of another one.
    pub fn names(self, video: VideoId) -> bool {
        let first = |id: Uuid| id.as_u64_pair().0 & !0xf000;
        self.0.get_version_num() == 8 && first(self.0) == first(video.0)
    }

    /// The first and the last video that it may name.
    pub fn named_videos(self) -> (VideoId, VideoId) {
        let first = self.0.as_u64_pair().0;
        let video = |first, rest| VideoId(Uuid::from_u64_pair(first, rest));
        (video(first & !0xffff, 0), video(first | 0xffff, u64::MAX))
    }
}

fn hash(parent: Uuid, name: &str) -> Uuid {
    Uuid::new_v5(&parent, name.as_bytes())
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

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        from_string!($name);
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

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string())
    }
}

from_string!(JobId);

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
    fn artifacts_name_their_video_and_are_told_apart() {
        let video: VideoId = "vid-0195f0a0-1111-7123-8000-000000000001".parse().expect("valid");
        let checkpoint = CheckpointId::derived(video, &BranchName::main(), Phase::Chunks, 1);
        let artifacts: std::collections::BTreeSet<_> =
            (0..100).map(|n| ArtifactId::derived(video, checkpoint, ArtifactKey::Chunk(n), 1)).collect();
        assert_eq!(artifacts.len(), 100, "each has its own");
        let (first, last) = ("vid-0195f0a0-1111-0000-0000-000000000000", "vid-0195f0a0-1111-ffff-ffff-ffffffffffff");
        for artifact in artifacts {
            assert!(artifact.names(video) && artifact.to_string().starts_with("art-0195f0a0-1111-8123-"), "{artifact}");
            let (from, to) = artifact.named_videos();
            assert_eq!((from.to_string(), to.to_string()), (first.to_owned(), last.to_owned()));
            for other in ["vid-0195f0a0-1111-7124-8000-000000000001", "vid-0195f0a0-1112-7123-8000-000000000001"] {
                assert!(!artifact.names(other.parse().expect("valid")), "{artifact} and {other}");
            }
        }
    }

    #[test]
    fn a_checkpoint_begins_with_digits_of_its_own() {
        let video: VideoId = "vid-0195f0a0-1111-7123-8000-000000000001".parse().expect("valid");
        let ids = (1..=100).map(|version| CheckpointId::derived(video, &BranchName::main(), Phase::Chunks, version));
        let beginnings: std::collections::BTreeSet<_> = ids.map(|id| id.to_string()[..11].to_owned()).collect();
        assert_eq!(beginnings.len(), 100);
    }

    #[test]
    fn artifacts_of_old_checkpoints_keep_their_ids() {
        let video: VideoId = "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid");
        let [_, second, first] = CheckpointId::derivations(video, &BranchName::main(), Phase::Planning, 1);
        assert_eq!(first.uuid(), Uuid::new_v5(&video.uuid(), b"main/1/1"));
        let artifact = ArtifactId::derived(video, first, ArtifactKey::Spec, 1);
        assert_eq!(artifact.uuid(), Uuid::new_v5(&first.uuid(), b"spec/1"));
        assert!(!artifact.names(video));

        let artifact = ArtifactId::derived(video, second, ArtifactKey::Spec, 1);
        assert_eq!(artifact.uuid().as_bytes()[..6], second.uuid().as_bytes()[..6]);
        assert!(!artifact.names(video));
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
