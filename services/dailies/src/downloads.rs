//! Artifacts as files that a person can open, fetched through the gateway and checked against their hashes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt as _;
use messages::artifact::{ArtifactKey, Content, Digest};
use messages::id::{ArtifactId, BranchName};
use messages::query::{ArtifactLocation, ArtifactView, AskArtifact, CheckpointView};
use sha2::Digest as _;
use tokio::io::AsyncWriteExt as _;

use crate::api_key::{ApiKey, with_key};
use crate::checkpoint_page::is_shown;
use crate::client::{Client, ClientError};

/// Where films are put and where they come from.
#[derive(Debug)]
pub struct Downloads {
    http: reqwest::Client,
    url: String,
    folder: PathBuf,
    key: Option<ApiKey>,
}

/// Why an artifact is not on this disk.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The cluster does not say where it is.
    #[error(transparent)]
    Unknown(#[from] ClientError),
    /// The gateway does not give it.
    #[error("{key} could not be downloaded")]
    Failed {
        /// Which artifact.
        key: ArtifactKey,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// The bytes are not those that were stored.
    #[error("{0} was damaged on its way")]
    Damaged(ArtifactKey),
    /// It cannot be written here.
    #[error("{file} cannot be written")]
    Unwritable {
        /// The file or folder.
        file: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The checkpoint has no such artifact.
    #[error("the checkpoint has no {0}")]
    Missing(ArtifactKey),
}

impl Downloads {
    /// From the gateway at `url`, which may ask for a key, into `folder`.
    pub fn new(url: &str, folder: PathBuf, key: Option<ApiKey>) -> Result<Self, reqwest::Error> {
        Ok(Self { http: client(Duration::from_secs(20))?, url: url.to_owned(), folder, key })
    }

    /// Every artifact that a page of this checkpoint shows, as a file. What cannot be had is left out and said in the
    /// log: the page still has its link.
    pub async fn checkpoint(&self, client: &Client, view: &CheckpointView) -> BTreeMap<ArtifactKey, PathBuf> {
        let folder = self.folder_of(view);
        let shown = view.artifacts.values().filter(|artifact| is_shown(artifact.artifact_key, view));
        let fetching = shown.map(async |artifact| {
            let fetched = self.artifact(client, artifact, &folder).await;
            (artifact.artifact_key, fetched)
        });
        let fetched: Vec<_> = futures::stream::iter(fetching).buffer_unordered(4).collect().await;
        let mut files = BTreeMap::new();
        for (key, file) in fetched {
            match file {
                Ok(file) => {
                    files.insert(key, file);
                }
                Err(error) => {
                    tracing::warn!(%key, error = %runtime::service::sentence(&error), "artifact not downloaded")
                }
            }
        }
        files
    }

    /// The finished film as `final.mp4`.
    pub async fn film(&self, client: &Client, view: &CheckpointView) -> Result<PathBuf, DownloadError> {
        let key = ArtifactKey::Final;
        let artifact = view.artifacts.get(&key.to_string()).ok_or(DownloadError::Missing(key))?;
        let (content, _) = locate(client, artifact.id).await?;
        let file = self.branch(&view.branch_name).join("final.mp4");
        self.fetch(artifact, content.digest(), &file).await?;
        Ok(file)
    }

    /// One artifact of a checkpoint.
    pub async fn one(
        &self,
        client: &Client,
        view: &CheckpointView,
        key: ArtifactKey,
    ) -> Result<PathBuf, DownloadError> {
        let artifact = view.artifacts.get(&key.to_string()).ok_or(DownloadError::Missing(key))?;
        self.artifact(client, artifact, &self.folder_of(view)).await
    }

    fn folder_of(&self, view: &CheckpointView) -> PathBuf {
        let again = if view.version > 1 { format!("-v{}", view.version) } else { String::new() };
        let phase = format!("{}-{}{again}", view.phase_number.number(), view.phase_number.name());
        self.branch(&view.branch_name).join(phase)
    }

    fn branch(&self, branch: &BranchName) -> PathBuf {
        if *branch == BranchName::main() { self.folder.clone() } else { self.folder.join(branch.as_str()) }
    }

    async fn artifact(
        &self,
        client: &Client,
        artifact: &ArtifactView,
        folder: &Path,
    ) -> Result<PathBuf, DownloadError> {
        let (content, extension) = locate(client, artifact.id).await?;
        let name = format!("{}_v{}.{extension}", artifact.artifact_key.stem(), artifact.version);
        let file = folder.join(name);
        match &content {
            Content::Spec(spec) => {
                // Strings, numbers and lists: serialising cannot fail.
                let text = serde_json::to_vec_pretty(spec).unwrap_or_default();
                let written = async {
                    tokio::fs::create_dir_all(folder).await?;
                    tokio::fs::write(&file, text).await
                };
                written.await.map_err(|source| unwritable(&file, source))?;
            }
            Content::Object(object) => self.fetch(artifact, object.sha256, &file).await?,
        }
        Ok(file)
    }

    /// Streams an artifact into `file`, which appears whole or not at all.
    async fn fetch(&self, artifact: &ArtifactView, expected: Digest, file: &Path) -> Result<(), DownloadError> {
        let key = artifact.artifact_key;
        let failed = |source| DownloadError::Failed { key, source };
        let folder = file.parent().unwrap_or(Path::new("."));
        tokio::fs::create_dir_all(folder).await.map_err(|source| unwritable(folder, source))?;
        let part = file.with_extension(format!("{}.part", std::process::id()));

        let link = self.http.get(format!("{}{}", self.url, artifact.s3_url));
        let asked = with_key(link, self.key.as_ref()).send().await;
        let answer = asked.and_then(reqwest::Response::error_for_status).map_err(failed)?;
        let writing = async {
            let mut out = tokio::fs::File::create(&part).await.map_err(|source| unwritable(&part, source))?;
            let mut hash = sha2::Sha256::new();
            let mut pieces = answer.bytes_stream();
            while let Some(piece) = pieces.next().await {
                let piece = piece.map_err(failed)?;
                hash.update(&piece);
                out.write_all(&piece).await.map_err(|source| unwritable(&part, source))?;
            }
            out.flush().await.map_err(|source| unwritable(&part, source))?;
            if Digest::from_bytes(hash.finalize().into()) != expected {
                return Err(DownloadError::Damaged(key));
            }
            tokio::fs::rename(&part, file).await.map_err(|source| unwritable(file, source))
        };
        let written = writing.await;
        if written.is_err() {
            // Half a film helps nobody; if it stays, its name says what it is.
            let _ = tokio::fs::remove_file(&part).await;
        }
        written
    }
}

/// A client for the gateway that waits so long for the next sign of it.
pub fn client(patience: Duration) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        // The gateway is on this machine, whatever proxy the environment names for the world.
        .no_proxy()
        .connect_timeout(Duration::from_secs(3))
        .read_timeout(patience)
        .build()
}

/// What an artifact consists of, and the end of its file's name.
async fn locate(client: &Client, artifact_id: ArtifactId) -> Result<(Content, &'static str), ClientError> {
    let location: ArtifactLocation = client.user_query("artifact", &AskArtifact { artifact_id }).await?;
    let extension = match &location.content {
        Content::Object(object) => object.media_type.extension(),
        Content::Spec(_) => "json",
    };
    Ok((location.content, extension))
}

fn unwritable(file: &Path, source: std::io::Error) -> DownloadError {
    DownloadError::Unwritable { file: file.display().to_string(), source }
}

/// A path as a person would type it from here.
pub fn shown(file: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    file.strip_prefix(&here).unwrap_or(file).display().to_string()
}
