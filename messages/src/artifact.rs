//! What phases make: keys, versions and stored objects.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use chrono::{DateTime, Utc};
use hex_simd::{AsOut as _, AsciiCase, encode_as_str, encode_to_string};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::id::{ArtifactId, CheckpointId, InvalidId, JobId, as_string, from_string};
use crate::phase::Phase;
use crate::service::Service;
use crate::spec::Spec;

/// Which artifact of a checkpoint. Orders as a person counts: beat 2 before beat 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArtifactKey {
    /// The film's plan (JSON), at every phase.
    Spec,
    /// The storyboard picture of a beat, counted from 0.
    Beat(u32),
    /// One rendered chunk, counted from 0 over the whole film.
    Chunk(u32),
    /// The last frame of a chunk, which a chained neighbour starts from.
    ChunkLastFrame(u32),
    /// All chunks joined, without music.
    Stitched,
    /// The music.
    Background,
    /// The film.
    Final,
    /// One picture that stands for the film.
    Thumbnail,
}

impl ArtifactKey {
    /// What kind of thing it is, as clients see it.
    pub const fn artifact_type(self) -> &'static str {
        match self {
            Self::Spec => "spec",
            Self::Beat(_) => "beat_image",
            Self::Chunk(_) => "chunk",
            Self::ChunkLastFrame(_) => "chunk_last_frame",
            Self::Stitched => "stitched",
            Self::Background => "background",
            Self::Final => "final",
            Self::Thumbnail => "thumbnail",
        }
    }

    /// The phase that makes it.
    pub const fn phase(self) -> Phase {
        match self {
            Self::Spec => Phase::Planning,
            Self::Beat(_) => Phase::Storyboard,
            Self::Chunk(_) | Self::ChunkLastFrame(_) | Self::Stitched => Phase::Chunks,
            Self::Background | Self::Final | Self::Thumbnail => Phase::Refine,
        }
    }

    /// The service that makes it.
    pub const fn service(self) -> Service {
        self.phase().service()
    }

    /// Its stem in object keys, indices two digits wide: `beat_03`.
    pub fn stem(self) -> String {
        match self {
            Self::Beat(n) => format!("beat_{n:02}"),
            Self::Chunk(n) => format!("chunk_{n:02}"),
            Self::ChunkLastFrame(n) => format!("chunk_{n:02}_last_frame"),
            Self::Spec | Self::Stitched | Self::Background | Self::Final | Self::Thumbnail => self.to_string(),
        }
    }
}

impl fmt::Display for ArtifactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beat(n) => write!(f, "beat_{n}"),
            Self::Chunk(n) => write!(f, "chunk_{n}"),
            Self::ChunkLastFrame(n) => write!(f, "chunk_{n}_last_frame"),
            Self::Spec | Self::Stitched | Self::Background | Self::Final | Self::Thumbnail => {
                f.write_str(self.artifact_type())
            }
        }
    }
}

impl FromStr for ArtifactKey {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parse = || match text {
            "spec" => Some(Self::Spec),
            "stitched" => Some(Self::Stitched),
            "background" => Some(Self::Background),
            "final" => Some(Self::Final),
            "thumbnail" => Some(Self::Thumbnail),
            _ => {
                if let Some(n) = text.strip_prefix("beat_") {
                    return n.parse().ok().map(Self::Beat);
                }
                let rest = text.strip_prefix("chunk_")?;
                match rest.strip_suffix("_last_frame") {
                    Some(n) => n.parse().ok().map(Self::ChunkLastFrame),
                    None => rest.parse().ok().map(Self::Chunk),
                }
            }
        };
        parse()
            .filter(|key| key.to_string() == text)
            .ok_or_else(|| InvalidId::new(text, "an artifact key (`spec`, `beat_0`, `chunk_0`, `stitched`, ...)"))
    }
}

as_string!(ArtifactKey);

/// A SHA-256, written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest that was computed elsewhere, piece by piece.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest of a selection: which content stands under which key. Equal content gives an equal digest in any
    /// branch or video.
    pub fn of_selection(selection: impl IntoIterator<Item = (ArtifactKey, Self)>) -> Self {
        let mut lines: Vec<_> = selection.into_iter().collect();
        lines.sort_unstable();
        let mut text = String::with_capacity(80 * lines.len());
        for (key, digest) in lines {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{key} {digest}");
        }
        Self::of(text.as_bytes())
    }

    /// The first eight hex digits, as in object keys.
    pub fn short(&self) -> String {
        encode_to_string(&self.0[..4], AsciiCase::Lower)
    }
}

impl Digest {
    fn with_text<T>(&self, take: impl FnOnce(&str) -> T) -> T {
        take(encode_as_str(&self.0, [0; 64].as_mut_slice().as_out(), AsciiCase::Lower))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parse = || {
            let lower_hex = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            let mut bytes = [0; 32];
            for (i, byte) in bytes.iter_mut().enumerate().filter(|_| lower_hex) {
                *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
            }
            lower_hex.then_some(Self(bytes))
        };
        parse().ok_or_else(|| InvalidId::new(text, "a SHA-256 (64 lower-case hex digits)"))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_text(|text| serializer.serialize_str(text))
    }
}

from_string!(Digest);

/// What an object is, as its `Content-Type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MediaType {
    /// A picture without loss.
    #[serde(rename = "image/png")]
    Png,
    /// A picture with loss.
    #[serde(rename = "image/jpeg")]
    Jpeg,
    /// A clip or film.
    #[serde(rename = "video/mp4")]
    Mp4,
    /// Music.
    #[serde(rename = "audio/mpeg")]
    Mp3,
    /// A record.
    #[serde(rename = "application/json")]
    Json,
    /// An uploaded picture.
    #[serde(rename = "image/webp")]
    Webp,
    /// An uploaded clip.
    #[serde(rename = "video/quicktime")]
    QuickTime,
    /// An uploaded clip.
    #[serde(rename = "video/webm")]
    Webm,
    /// Uploaded music.
    #[serde(rename = "audio/wav")]
    Wav,
    /// Uploaded music.
    #[serde(rename = "audio/flac")]
    Flac,
    /// Uploaded music.
    #[serde(rename = "audio/ogg")]
    Ogg,
    /// Uploaded music.
    #[serde(rename = "audio/mp4")]
    M4a,
}

impl MediaType {
    /// The `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Mp4 => "video/mp4",
            Self::Mp3 => "audio/mpeg",
            Self::Json => "application/json",
            Self::Webp => "image/webp",
            Self::QuickTime => "video/quicktime",
            Self::Webm => "video/webm",
            Self::Wav => "audio/wav",
            Self::Flac => "audio/flac",
            Self::Ogg => "audio/ogg",
            Self::M4a => "audio/mp4",
        }
    }

    /// The end of the object key.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Mp4 => "mp4",
            Self::Mp3 => "mp3",
            Self::Json => "json",
            Self::Webp => "webp",
            Self::QuickTime => "mov",
            Self::Webm => "webm",
            Self::Wav => "wav",
            Self::Flac => "flac",
            Self::Ogg => "ogg",
            Self::M4a => "m4a",
        }
    }
}

/// An immutable object in the store. Its key holds its hash, so equal key means equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// The object key.
    pub key: String,
    /// SHA-256 of the bytes.
    pub sha256: Digest,
    /// Bytes.
    pub size: u64,
    /// What it is.
    pub media_type: MediaType,
}

/// What a version of an artifact consists of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Bytes in the object store.
    Object(ObjectRef),
    /// A spec. It lives in the journal alone: one source of truth (W27).
    Spec(Box<Spec>),
}

impl Content {
    /// The SHA-256 of the content; of a spec, that of its JSON.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Object(object) => object.sha256,
            Self::Spec(spec) => spec.digest(),
        }
    }
}

/// One thing that a job made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// Which artifact.
    pub key: ArtifactKey,
    /// What it is.
    pub content: Content,
    /// What a reviewer may want to know: prompt used, model, seed, size, seconds.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// One version of an artifact. Never changed and never overwritten (W17).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its id.
    pub id: ArtifactId,
    /// The checkpoint that it was made for; other checkpoints refer to it.
    pub checkpoint_id: CheckpointId,
    /// Which artifact.
    pub key: ArtifactKey,
    /// Counted per checkpoint and key, never used again.
    pub version: u32,
    /// What it is.
    pub content: Content,
    /// What a reviewer may want to know.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// The job that made it; none for an edit.
    pub job: Option<JobId>,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
}
