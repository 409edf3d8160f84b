//! `dailies make`: one film in the terminal, from the prompt to `final.mp4`.
//!
//! It uses the cluster that runs in the data folder, or runs one itself for as long as it takes. It has no way of its own
//! into the system: it sends the commands and reads the events that everybody may.

mod question;
mod session;

use std::path::{Path, PathBuf};

use messages::id::VideoId;
use messages::query::Status;
use messages::video::{AutoContinue, CreateVideo};
use runtime::config::Settings;
use tokio_util::sync::CancellationToken;

use crate::api_key::{ApiKey, ApiKeyError};
use crate::arguments::{Make, Reach};
use crate::client::{Client, ClientError};
use crate::cluster::{Cluster, ClusterError};
use crate::data_folder::DataFolder;
use crate::downloads::{DownloadError, Downloads};
use crate::program;
use crate::screen::Screen;
use session::{Ending, Session};

/// Why there is no film.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// There is no cluster, or no longer.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The cluster refused or fell silent.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The film is made but not here.
    #[error("the film is made, but not on this disk: `{} make --resume {video}` tries again", program())]
    Film {
        /// The video.
        video: VideoId,
        /// The cause.
        #[source]
        source: DownloadError,
    },
    /// Phases that stop by themselves.
    #[error("{reason}\nfinished work is kept: `{} make --resume {video}` shows it and can retry", program())]
    Failed {
        /// The video.
        video: VideoId,
        /// What failed.
        reason: String,
    },
    /// The cluster stopped under the film.
    #[error("{cause}\nfinished work is kept: `{} make --resume {video}` goes on", program())]
    Lost {
        /// The video.
        video: VideoId,
        /// Why it stopped.
        cause: ClusterError,
    },
    /// `--nats` or `--context` was given.
    #[error("`make` works with a cluster on this machine, found by --data; leave out --nats and --context")]
    Elsewhere,
    /// Nothing to download with.
    #[error("no HTTP client")]
    Http(#[from] reqwest::Error),
    /// The key for it.
    #[error(transparent)]
    Key(#[from] ApiKeyError),
}

/// Makes or resumes a film; true when the person has what was asked for.
pub async fn make(
    arguments: &Make,
    reach: &Reach,
    folder: DataFolder,
    settings: &Settings,
    shutdown: &CancellationToken,
) -> Result<bool, MakeError> {
    if reach.nats.is_some() || reach.context.is_some() {
        return Err(MakeError::Elsewhere);
    }
    let key = ApiKey::find(reach)?;
    let mut screen = Screen::stdout();
    screen.live(&["starting …".to_owned()]);
    let mut cluster = tokio::select! {
        cluster = Cluster::find_or_start(&folder, settings) => cluster?,
        () = shutdown.cancelled() => return Ok(false),
    };
    screen.live(&[]);

    let client = Client { bus: cluster.bus().clone(), user: reach.user.clone() };
    let video = arguments.resume.unwrap_or_else(|| VideoId::from_uuid(uuid::Uuid::now_v7()));
    let url = cluster.address().url.clone();
    let films = arguments.output.as_deref().map_or_else(|| folder.join("films").join(video.to_string()), absolute);
    let downloads = Downloads::new(&url, films, key)?;
    let ending = tokio::select! {
        ending = in_cluster(arguments, &client, video, downloads, url, screen, shutdown) => ending,
        cause = cluster.lost(&folder) => Err(MakeError::Lost { video, cause }),
    };
    cluster.stop().await;
    match ending? {
        Ending::Film(file) => {
            // The last line is the film, for people and for scripts.
            Screen::stdout().print(&file.display().to_string());
            Ok(true)
        }
        Ending::Quit => Ok(true),
        Ending::Interrupted => Ok(false),
    }
}

async fn in_cluster(
    arguments: &Make,
    client: &Client,
    video: VideoId,
    downloads: Downloads,
    url: String,
    mut screen: Screen,
    shutdown: &CancellationToken,
) -> Result<Ending, MakeError> {
    let past = match arguments.resume {
        Some(_) => {
            let status: Status = client.query(video, "status", &serde_json::json!({})).await?;
            screen.print(&format!("going on with {video}"));
            status.revision
        }
        None => {
            client.command(video, "create", &create(arguments)).await?;
            screen.print(&format!("making {video}"));
            0
        }
    };
    let session = Session::new(client.clone(), video, screen, downloads, url, past);
    session.run(shutdown).await
}

fn create(arguments: &Make) -> CreateVideo {
    CreateVideo {
        prompt: arguments.prompt.join(" "),
        title: arguments.title.clone(),
        description: arguments.description.clone(),
        model: arguments.model.clone(),
        auto_continue: if arguments.yolo { AutoContinue::always() } else { AutoContinue::Off },
        reference_assets: Vec::new(),
        duration: arguments.duration,
        aspect_ratio: arguments.aspect_ratio.clone(),
        template: arguments.template.clone(),
        creativity: arguments.creativity,
        seed: arguments.seed,
        budget_usd: arguments.budget,
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}
