//! The body of an upload: `multipart/form-data`, read piece by piece and never held whole.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest as _, Request};
use futures::StreamExt as _;
use messages::artifact::{ArtifactKey, Digest};
use messages::command::Rejection;
use messages::import::{Upload, UploadKind};
use messages::violation::Violation;
use runtime::artifacts::ObjectError;
use sha2::Digest as _;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use crate::access::MULTIPART;
use crate::error::Error;
use crate::request::MAX_DRAINED;
use crate::uploads::media;

/// A form that is still arriving.
pub struct Form {
    kind: UploadKind,
    declared: u64,
    parts: Multipart,
    intake: Arc<Intake>,
    patience: Patience,
}

/// What a form brought.
pub struct Brought {
    /// Which artifact it is for.
    pub artifact_key: ArtifactKey,
    /// Its bytes, as the command names them.
    pub upload: Upload,
    /// Its bytes, until this is dropped.
    pub file: NamedTempFile,
}

/// How long a client is waited for before its upload is given up. It has a turn meanwhile, and there are few of them.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// How long nothing at all may come.
    stall: Duration,
    /// How long an upload may take, however little comes.
    start: Duration,
    /// Bytes a second that have to have come on average after that.
    slowest: u64,
}

/// Slow lines are far faster, and the largest clip may take nine hours.
const PATIENCE: Patience =
    Patience { stall: Duration::from_secs(30), start: Duration::from_secs(60), slowest: 16 * 1024 };

/// How long an upload that is refused is still listened to.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// What names, boundaries and the index may add to a file, bytes.
const FORM_ROOM: u64 = 64 * 1024;

impl Form {
    /// A form with a file of this kind. Nothing is read yet.
    pub async fn new(request: Request, kind: UploadKind) -> Result<Self, Error> {
        let intake = Arc::new(Intake::default());
        let counted = intake.clone();
        let (parts, body) = request.into_parts();
        let declared = body.size_hint().lower();
        let pieces = body.into_data_stream().map(move |piece| match piece {
            Ok(piece) if counted.admits(piece.len() as u64) => Ok(piece),
            Ok(_) => Err(axum::Error::new("there is more than anybody asked for")),
            Err(error) => Err(error),
        });
        let request = Request::from_parts(parts, Body::from_stream(pieces));
        let parts = Multipart::from_request(request, &()).await.map_err(|_| Error::UnsupportedMediaType(MULTIPART))?;
        Ok(Self { kind, declared, parts, intake, patience: PATIENCE })
    }

    /// Reads all of it; the file goes to a folder of the caller's.
    pub async fn read(&mut self, scratch: &Path) -> Result<Brought, Error> {
        if self.declared > self.kind.max_bytes() + FORM_ROOM {
            return Err(too_large(self.kind));
        }
        let (index_name, file_name) = names(self.kind);
        let (mut index, mut file, mut wrong) = (None, None, Vec::new());
        let mut seen = Vec::new();
        let pace = Pace { intake: &self.intake, patience: self.patience, since: Instant::now() };
        while let Some(mut field) = pace.in_time(self.parts.next_field()).await? {
            let name = field.name().unwrap_or_default().to_owned();
            if seen.contains(&name) {
                return Err(Error::field(&name, "must be given once"));
            }
            if name == file_name {
                file = receive(&mut field, self.kind, &pace, scratch).await?;
                if file.is_none() {
                    wrong.push(Violation::new(file_name, "is empty"));
                }
            } else if Some(name.as_str()) == index_name {
                index = pace.in_time(field.text()).await?.parse::<u32>().ok();
                if index.is_none() {
                    wrong.push(Violation::new(name.as_str(), "must be a number, counted from 0"));
                }
            } else {
                let shown: String = name.chars().take(64).collect();
                return Err(Error::field(&shown, format!("unknown field; known: {}", known(self.kind))));
            }
            seen.push(name);
        }
        for name in index_name.into_iter().chain([file_name]) {
            if !seen.iter().any(|seen| seen == name) {
                wrong.push(Violation::new(name, "is missing"));
            }
        }
        let artifact_key = artifact(self.kind, index);
        match (artifact_key, file) {
            (Some(artifact_key), Some((upload, file))) if wrong.is_empty() => {
                check_content(self.kind, &upload, &file).await?;
                Ok(Brought { artifact_key, upload, file })
            }
            (Some(_) | None, Some(_) | None) => Err(Rejection::invalid(wrong).into()),
        }
    }

    /// Reads on for a while without keeping anything, so that the sender gets to read why it is refused.
    pub async fn drain(mut self) {
        self.intake.allow(MAX_DRAINED as u64);
        let rest = async { while let Ok(Some(_)) = self.parts.next_field().await {} };
        // Whoever still sends after that finds the connection closed.
        let _ = tokio::time::timeout(DRAIN_TIME, rest).await;
    }
}

/// The names of the index, where there is one, and of the file.
const fn names(kind: UploadKind) -> (Option<&'static str>, &'static str) {
    match kind {
        UploadKind::Picture => (Some("beat_index"), "image"),
        UploadKind::Clip => (Some("chunk_index"), "video"),
        UploadKind::Music => (None, "music"),
    }
}

fn known(kind: UploadKind) -> String {
    let (index, file) = names(kind);
    index.into_iter().chain([file]).collect::<Vec<_>>().join(", ")
}

fn artifact(kind: UploadKind, index: Option<u32>) -> Option<ArtifactKey> {
    match kind {
        UploadKind::Picture => index.map(ArtifactKey::Beat),
        UploadKind::Clip => index.map(ArtifactKey::Chunk),
        UploadKind::Music => Some(ArtifactKey::Background),
    }
}

/// Writes a file down while it is hashed and counted; none when it is empty.
async fn receive(
    field: &mut Field<'_>,
    kind: UploadKind,
    pace: &Pace<'_>,
    folder: &Path,
) -> Result<Option<(Upload, NamedTempFile)>, Error> {
    let scratch = |error| Error::ObjectStore(ObjectError::Scratch(error));
    let file = tempfile::Builder::new().prefix("upload-").tempfile_in(folder).map_err(scratch)?;
    let mut output = tokio::fs::File::from_std(file.reopen().map_err(scratch)?);
    let (mut hash, mut size, mut head) = (sha2::Sha256::new(), 0u64, Vec::with_capacity(media::HEAD));
    while let Some(piece) = pace.in_time(field.chunk()).await? {
        size += piece.len() as u64;
        if size > kind.max_bytes() {
            return Err(too_large(kind));
        }
        if head.len() < media::HEAD {
            head.extend_from_slice(&piece[..piece.len().min(media::HEAD - head.len())]);
            if head.len() == media::HEAD {
                fitting(kind, &head)?;
            }
        }
        hash.update(&piece);
        output.write_all(&piece).await.map_err(scratch)?;
        pace.intake.allow(piece.len() as u64);
    }
    // Written behind our back until now: only this tells whether the last piece arrived.
    output.flush().await.map_err(scratch)?;
    if size == 0 {
        return Ok(None);
    }
    let media_type = fitting(kind, &head)?;
    let sha256 = Digest::from_bytes(hash.finalize().into());
    Ok(Some((Upload { sha256, size, media_type }, file)))
}

/// What the first bytes are, when that is among what this kind of upload may be.
fn fitting(kind: UploadKind, head: &[u8]) -> Result<messages::artifact::MediaType, Error> {
    let known = kind.media_types();
    media::sniff(head).filter(|found| known.contains(found)).ok_or(Error::UnfitMedia(known))
}

async fn check_content(kind: UploadKind, upload: &Upload, file: &NamedTempFile) -> Result<(), Error> {
    if kind != UploadKind::Picture {
        return Ok(());
    }
    let (path, media_type) = (file.path().to_path_buf(), upload.media_type);
    let checked = tokio::task::spawn_blocking(move || media::check_picture(&path, media_type)).await;
    // A decoder that panics has met bytes that cannot be decoded.
    let verdict = checked.unwrap_or_else(|_| Err("cannot be decoded".to_owned()));
    verdict.map_err(|reason| Error::field(names(kind).1, reason))
}

fn too_large(kind: UploadKind) -> Error {
    Error::TooLarge(usize::try_from(kind.max_bytes()).unwrap_or(usize::MAX))
}

/// How fast a form comes.
struct Pace<'a> {
    intake: &'a Intake,
    patience: Patience,
    since: Instant,
}

impl Pace<'_> {
    /// What is read next, unless the client stalls or is too slow on the whole.
    async fn in_time<T>(&self, reading: impl Future<Output = Result<T, MultipartError>>) -> Result<T, Error> {
        let Patience { stall, slowest, .. } = self.patience;
        let (stalled, late) = (Instant::now() + stall, self.late());
        match tokio::time::timeout_at(stalled.min(late), reading).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(error)) => Err(Error::BrokenForm(error.body_text())),
            Err(_) if late < stalled => {
                Err(Error::BrokenForm(format!("less than {slowest} bytes came in a second, on average")))
            }
            Err(_) => Err(Error::BrokenForm(format!("nothing came for {} s", stall.as_secs()))),
        }
    }

    /// When more has to have come than until now.
    fn late(&self) -> Instant {
        let Patience { start, slowest, .. } = self.patience;
        self.since + start + Duration::from_secs(self.intake.came() / slowest)
    }
}

/// How much of a body has been read, and how much may still be. The reader of parts collects what it has not understood yet,
/// so a body that never comes to a point must not go on for ever.
#[derive(Debug)]
struct Intake {
    came: AtomicU64,
    left: AtomicU64,
}

impl Default for Intake {
    fn default() -> Self {
        Self { came: AtomicU64::new(0), left: AtomicU64::new(AHEAD) }
    }
}

/// How much may be read ahead of what is used, bytes: far above what a connection gives at once.
const AHEAD: u64 = 4 * 1024 * 1024;

impl Intake {
    fn admits(&self, size: u64) -> bool {
        self.came.fetch_add(size, Ordering::Relaxed);
        let less = |left: u64| left.checked_sub(size);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn allow(&self, more: u64) {
        self.left.fetch_add(more, Ordering::Relaxed);
    }

    fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{Request, header};
    use bytes::Bytes;

    use super::*;

    /// Far above what any step here takes.
    const SOON: Duration = Duration::from_secs(20);

    /// A form with music that never ends.
    async fn endless(piece: &'static [u8], every: Duration) -> Form {
        let head = "--x\r\ncontent-disposition: form-data; name=\"music\"\r\n\r\nID3\x04";
        let head = futures::stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from_static(head.as_bytes()))]);
        let music = futures::stream::unfold((), move |()| async move {
            tokio::time::sleep(every).await;
            Some((Ok(Bytes::from_static(piece)), ()))
        });
        let request = Request::post("/").header(header::CONTENT_TYPE, "multipart/form-data; boundary=x");
        let request = request.body(Body::from_stream(head.chain(music))).expect("a request");
        Form::new(request, UploadKind::Music).await.expect("a form")
    }

    async fn refused(mut form: Form) -> Error {
        let scratch = tempfile::tempdir().expect("a folder");
        let reading = tokio::time::timeout(SOON, form.read(scratch.path())).await;
        match reading.expect("it is not received for ever") {
            Err(error) => error,
            Ok(_) => panic!("it never ends"),
        }
    }

    #[tokio::test]
    async fn whoever_sends_next_to_nothing_does_not_keep_a_turn() {
        let mut form = endless(&[7; 100], Duration::from_millis(5)).await;
        form.patience = Patience { stall: SOON, start: Duration::from_millis(100), slowest: 1 << 30 };
        let error = refused(form).await.to_string();
        assert!(error.contains("on average"), "{error}");
    }

    #[tokio::test]
    async fn whoever_sends_nothing_any_more_is_given_up_before_that() {
        let mut form = endless(&[7; 100], SOON).await;
        form.patience = Patience { stall: Duration::from_millis(100), start: SOON, slowest: 1 };
        let error = refused(form).await.to_string();
        assert!(error.contains("nothing came"), "{error}");
    }

    #[test]
    fn the_time_of_an_upload_grows_with_what_has_come_of_it() {
        let intake = Intake::default();
        let pace = Pace { intake: &intake, patience: PATIENCE, since: Instant::now() };
        assert_eq!(pace.late() - pace.since, Duration::from_secs(60));
        assert!(intake.admits(1 << 20));
        assert_eq!(pace.late() - pace.since, Duration::from_secs(60 + 64));
    }
}
