//! Uploads: what a person brings instead of what a generator would make.
//!
//! The bytes travel through the gateway into the object store; the command `import` then names them by their hash. The
//! service that makes such artifacts decodes, checks and encodes them again, so that nothing which a stranger made is
//! ever played, shown or stitched as it came.

use serde::{Deserialize, Serialize};

use crate::artifact::{ArtifactKey, Digest, MediaType, ObjectRef};
use crate::chunk::PlannedChunk;
use crate::id::{CheckpointId, UserId, VideoId};
use crate::service::Service;
use crate::spec::Size;

/// Anyone to the coordinator, `import`: use an upload as the next version of an artifact.
///
/// Receiving it twice is safe like any command. The upload must be in the object store; the gateway puts it there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// The checkpoint.
    pub checkpoint_id: CheckpointId,
    /// Which artifact: a beat's picture, a chunk, or the music.
    pub artifact_key: ArtifactKey,
    /// What was uploaded.
    pub upload: Upload,
}

/// Bytes that a person brought. Where they lie follows from their hash, so that nobody names a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// SHA-256 of the bytes.
    pub sha256: Digest,
    /// Bytes.
    pub size: u64,
    /// What their first bytes say they are.
    pub media_type: MediaType,
}

impl Upload {
    /// The object that holds it: under its video, so that it goes when the video goes. No branch starts with `_`.
    pub fn object(&self, user: &UserId, video: VideoId) -> ObjectRef {
        let Self { sha256, size, media_type } = *self;
        let key = format!("{user}/videos/{video}/_uploads/{sha256}.{}", media_type.extension());
        ObjectRef { key, sha256, size, media_type }
    }
}

/// What an upload may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UploadKind {
    /// A beat's picture.
    Picture,
    /// A chunk.
    Clip,
    /// The film's music.
    Music,
}

impl UploadKind {
    /// What an artifact can be replaced with; none for what follows from other artifacts.
    pub const fn for_artifact(key: ArtifactKey) -> Option<Self> {
        match key {
            ArtifactKey::Beat(_) => Some(Self::Picture),
            ArtifactKey::Chunk(_) => Some(Self::Clip),
            ArtifactKey::Background => Some(Self::Music),
            ArtifactKey::Spec
            | ArtifactKey::ChunkLastFrame(_)
            | ArtifactKey::Stitched
            | ArtifactKey::Final
            | ArtifactKey::Thumbnail => None,
        }
    }

    /// The types that it may have.
    pub const fn media_types(self) -> &'static [MediaType] {
        match self {
            Self::Picture => &[MediaType::Png, MediaType::Jpeg, MediaType::Webp],
            Self::Clip => &[MediaType::Mp4, MediaType::QuickTime, MediaType::Webm],
            Self::Music => &[MediaType::Mp3, MediaType::Wav, MediaType::Flac, MediaType::Ogg, MediaType::M4a],
        }
    }

    /// The most bytes that it may have.
    pub const fn max_bytes(self) -> u64 {
        const MIB: u64 = 1024 * 1024;
        match self {
            Self::Picture => 20 * MIB,
            Self::Clip => 500 * MIB,
            Self::Music => 50 * MIB,
        }
    }
}

/// The most pixels of an uploaded picture.
pub const MAX_PICTURE_PIXELS: u64 = 40_000_000;

/// Coordinator to the service that makes such artifacts: make an artifact of an upload. Doing it twice gives the same,
/// and the first record wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportWork {
    /// For the storyboard service. The outcome has one artifact: the beat's picture (PNG).
    Picture(ImportPicture),
    /// For the chunk service. The outcome has two artifacts: the chunk (MP4) and its last frame (PNG).
    Clip(ImportClip),
    /// For the refine service. The outcome has one artifact: `background` (MP3).
    Music(ImportMusic),
}

impl ImportWork {
    /// Who does it.
    pub const fn service(&self) -> Service {
        match self {
            Self::Picture(_) => Service::Storyboard,
            Self::Clip(_) => Service::Chunk,
            Self::Music(_) => Service::Refine,
        }
    }
}

/// Make a beat's picture of an upload: decoded within limits, scaled to cover `size` exactly, nothing but pixels kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportPicture {
    /// The upload.
    pub upload: ObjectRef,
    /// The beat's number in the film, from 0.
    pub beat_index: u32,
    /// Pixels.
    pub size: Size,
}

/// Make a chunk of an upload: scaled to fit and padded to `size`, at `fps`, trimmed to the chunk's length; a shorter one
/// is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportClip {
    /// The upload.
    pub upload: ObjectRef,
    /// Its place in the plan.
    pub chunk: PlannedChunk,
    /// Pixels.
    pub size: Size,
    /// Frames a second.
    pub fps: u32,
}

/// Make the film's music of an upload: looped or trimmed to the film's length, at the loudness of composed music.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportMusic {
    /// The upload.
    pub upload: ObjectRef,
    /// Seconds of the film.
    pub duration_s: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_lies_under_its_video_and_its_key_is_made_of_ids_alone() {
        let upload = Upload { sha256: Digest::of(b"bytes"), size: 5, media_type: MediaType::Webp };
        let video: VideoId = "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid");
        let longest: UserId = "u".repeat(64).parse().expect("valid");
        let object = upload.object(&longest, video);
        assert!(object.key.starts_with(&format!("{longest}/videos/{video}/_uploads/")));
        assert!(object.key.ends_with(".webp") && object.key.len() < 240);
    }
}
