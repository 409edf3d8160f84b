//! The short commands: one question or one command over NATS, answered and printed; files through the gateway.
//!
//! With `--json` the answer is printed as it came, for programs; without, as a person reads it.

mod answers;
mod changes;
mod dead;
mod editing;
mod files;

use std::path::PathBuf;

use messages::id::{CheckpointId, VideoId};
use messages::query::{AskCheckpoint, CheckpointView, Status};
use runtime::bus::{Bus, BusError, NatsSettings};
use runtime::config::{ConfigError, Settings};
use serde_json::{Value, json};

use crate::api_key::{ApiKey, ApiKeyError};
use crate::arguments::{CheckpointName, Command, Reach};
use crate::client::{Client, ClientError};
use crate::data_folder::{Address, DataError, DataFolder};
use crate::downloads::DownloadError;
use crate::editor::EditorError;
use crate::program;
use crate::retention::retention;
use crate::screen::Screen;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The data folder.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The connection.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The cluster refused or fell silent.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Nothing runs here and no other place was named.
    #[error(
        "no cluster runs in {folder}: start one with `{} up`, or name another with --nats URL or --context NAME",
        program()
    )]
    NoCluster {
        /// Where it was looked for.
        folder: String,
    },
    /// No checkpoint was named and none waits.
    #[error("no checkpoint of {video} waits; name one: `{} tree {video}` shows them", program())]
    NothingWaits {
        /// The video.
        video: VideoId,
    },
    /// The video has no checkpoint of that name.
    #[error("`{name}` is no checkpoint of {video} and no branch that has one: `{} tree {video}` shows them", program())]
    NoCheckpoint {
        /// As it was typed.
        name: String,
        /// The video.
        video: VideoId,
    },
    /// Several ids begin so.
    #[error("several checkpoints begin with `{0}`: type more of it")]
    Ambiguous(String),
    /// Files travel through a gateway, and there is none.
    #[error("files go through the gateway: name it with --gateway URL")]
    NoGateway,
    /// The gateway cannot be reached.
    #[error("the gateway at {url} does not answer")]
    Gateway {
        /// Where it was looked for.
        url: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// The gateway refused, and said why.
    #[error("refused ({code}): {reason}")]
    Refused {
        /// Its code.
        code: String,
        /// Its reason.
        reason: String,
    },
    /// The key for it.
    #[error(transparent)]
    Key(#[from] ApiKeyError),
    /// This kind of artifact is not uploaded.
    #[error("{0} cannot be uploaded: a picture (beat_0), a chunk (chunk_0) or the music (background) can")]
    NotUploaded(messages::artifact::ArtifactKey),
    /// A file of the person's own.
    #[error("{file} cannot be read")]
    Unreadable {
        /// The file.
        file: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// An artifact did not arrive.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// What was typed is no patch.
    #[error("the patch is not a JSON object: {0}")]
    NotAPatch(serde_json::Error),
    /// The checkpoint holds no spec.
    #[error("{0} has no spec to edit")]
    NoSpec(CheckpointId),
    /// The editor.
    #[error(transparent)]
    Editor(#[from] EditorError),
    /// The stream of dead letters cannot be read.
    #[error("the dead letters cannot be read: {0}")]
    Letters(String),
    /// There is no letter of that number.
    #[error("there is no dead letter {seq}: `{} dead list` shows them", program())]
    NoLetter {
        /// Which one.
        seq: u64,
    },
    /// Nothing can be done about a letter by sending it again.
    #[error("dead letter {seq} is not sent again: {reason}")]
    NotAgain {
        /// Which one.
        seq: u64,
        /// Why not, and what to do instead.
        reason: String,
    },
    /// The text of an edit has no place.
    #[error("no file for the spec")]
    Scratch(#[source] std::io::Error),
    /// Somebody was asked and did not say yes.
    #[error("nothing was changed")]
    NotConfirmed,
    /// Nobody can be asked.
    #[error("there is no terminal to ask on: --yes deletes without asking")]
    NobodyToAsk,
    /// The edit was not made.
    #[error("{reason}\nthe spec was not changed; what you typed is in {file}")]
    NotEdited {
        /// Why.
        reason: String,
        /// Where the text was left.
        file: String,
    },
}

/// A person who asks: where, and for what files.
pub struct Asker {
    client: Client,
    /// The gateway, if one is known.
    gateway: Option<String>,
    /// What it may ask for.
    key: Option<ApiKey>,
    /// Whether it is that of the cluster in the data folder.
    is_here: bool,
    data: PathBuf,
    screen: Screen,
}

/// Sends one of the short commands and prints what comes of it.
pub async fn request(command: Command, reach: &Reach, settings: &Settings) -> Result<(), RequestError> {
    let mut asker = connect(reach, settings).await?;
    match command {
        Command::Videos(arguments) => asker.videos(&arguments).await,
        Command::Show(at) => asker.show(&at).await,
        Command::Status(of) => asker.status(&of).await,
        Command::Tree(of) => asker.tree(&of).await,
        Command::Branches(of) => asker.branches(&of).await,
        Command::Checkpoints(arguments) => asker.checkpoints(&arguments).await,
        Command::History(of) => asker.history(&of).await,
        Command::Cost(of) => asker.cost(&of).await,
        Command::Compare(arguments) => asker.compare(&arguments).await,
        Command::Watch(of) => asker.watch(&of).await,
        Command::Approve(arguments) => asker.approve(arguments).await,
        Command::Reject(arguments) => asker.reject(arguments).await,
        Command::Fork(arguments) => asker.fork(arguments).await,
        Command::Edit(arguments) => asker.edit(&arguments).await,
        Command::Regenerate(arguments) => asker.regenerate(arguments).await,
        Command::Upload(arguments) => asker.upload(&arguments).await,
        Command::Select(arguments) => asker.select(&arguments).await,
        Command::Take(arguments) => asker.take(&arguments).await,
        Command::Abandon(at) => asker.abandon(&at).await,
        Command::Pin(arguments) => asker.pin(&arguments).await,
        Command::Retry(arguments) => asker.retry(&arguments).await,
        Command::Resolve(arguments) => asker.resolve(&arguments).await,
        Command::Settings(arguments) => asker.settings(arguments).await,
        Command::Cancel(arguments) => asker.cancel(&arguments).await,
        Command::Delete(arguments) => asker.delete(&arguments).await,
        Command::Open(arguments) => asker.open(&arguments).await,
        Command::Dead(what) => asker.dead(&what).await,
        Command::Retention(of) => retention(&asker.client, of.video, of.json).await,
        // These are no requests: they run a cluster, write a file, or ask a single process.
        Command::Make(_)
        | Command::Up(_)
        | Command::Cluster(_)
        | Command::Store(_)
        | Command::Migrate(_)
        | Command::Key(_)
        | Command::Bench(_)
        | Command::Health(_) => Ok(()),
    }
}

/// Connects to the cluster that was named, else to the one that runs in the data folder.
async fn connect(reach: &Reach, settings: &Settings) -> Result<Asker, RequestError> {
    let named = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let elsewhere = reach.nats.is_some() || reach.context.is_some() || named("NATS_URL") || named("NATS_CONTEXT");
    let mut owner: Option<Address> = None;
    let nats = if elsewhere {
        let mut settings = settings.clone();
        let creds = reach.creds.as_ref().map(|file| file.display().to_string());
        for (key, value) in [("url", reach.nats.clone()), ("context", reach.context.clone()), ("creds", creds)] {
            if let Some(value) = value {
                settings.set("nats", key, value);
            }
        }
        settings.section::<NatsSettings>("nats")?
    } else {
        let found = if reach.data.is_dir() { DataFolder::open(&reach.data)?.owner() } else { None };
        let found = found.ok_or_else(|| RequestError::NoCluster { folder: reach.data.display().to_string() })?;
        let nats = NatsSettings::for_url(&found.nats);
        owner = Some(found);
        nats
    };
    let is_here = owner.is_some() && reach.gateway.is_none();
    let gateway = reach.gateway.clone().or_else(|| owner.map(|owner| owner.url));
    Ok(Asker {
        client: Client { bus: Bus::connect(&nats).await?.leaving_streams_to_coordinators(), user: reach.user.clone() },
        gateway: gateway.map(|url| url.trim_end_matches('/').to_owned()),
        key: ApiKey::find(reach)?,
        is_here,
        data: reach.data.clone(),
        screen: Screen::stdout(),
    })
}

impl Asker {
    /// The checkpoint that was named, else the newest that waits.
    async fn checkpoint(&self, video: VideoId, name: Option<&CheckpointName>) -> Result<CheckpointId, RequestError> {
        match name {
            Some(name) => self.find(video, name).await,
            None => {
                let status: Status = self.client.query(video, "status", &json!({})).await?;
                let waiting = status.current_checkpoint.ok_or(RequestError::NothingWaits { video })?;
                Ok(waiting.checkpoint_id)
            }
        }
    }

    /// As [`Self::checkpoint`], but where nothing waits any more the newest of all: for those who only look.
    async fn look_at(&self, video: VideoId, name: Option<&CheckpointName>) -> Result<CheckpointId, RequestError> {
        match self.checkpoint(video, name).await {
            Err(RequestError::NothingWaits { .. }) => {
                let all = self.all_checkpoints(video).await?;
                let newest = all.last().ok_or(RequestError::NothingWaits { video })?;
                Ok(newest.checkpoint_id)
            }
            found => found,
        }
    }

    /// An id, else the newest that waits on a branch of that name, else the newest there, else the one id that begins so.
    async fn find(&self, video: VideoId, name: &CheckpointName) -> Result<CheckpointId, RequestError> {
        let name = name.as_str();
        // Whether the video has it is for the cluster to say.
        if let Ok(id) = name.parse() {
            return Ok(id);
        }
        let all = self.all_checkpoints(video).await?;
        let on_branch = all.iter().filter(|view| view.branch_name.as_str() == name);
        let newest = on_branch.max_by_key(|view| (view.status == "pending", view.phase_number, view.version));
        if let Some(newest) = newest {
            return Ok(newest.checkpoint_id);
        }
        let beginning = if name.starts_with(CheckpointId::PREFIX) { name.to_owned() } else { format!("cp-{name}") };
        let mut begin_so =
            all.iter().map(|view| view.checkpoint_id).filter(|id| id.to_string().starts_with(&beginning));
        match (begin_so.next(), begin_so.next()) {
            (Some(found), None) => Ok(found),
            (Some(_), Some(_)) => Err(RequestError::Ambiguous(name.to_owned())),
            (None, _) => Err(RequestError::NoCheckpoint { name: name.to_owned(), video }),
        }
    }

    /// Every checkpoint, oldest first.
    async fn all_checkpoints(&self, video: VideoId) -> Result<Vec<CheckpointView>, RequestError> {
        let all = self.client.checkpoints(video, None).await?;
        serde_json::from_value(all).map_err(|error| ClientError::Strange(error.to_string()).into())
    }

    async fn view(&self, video: VideoId, checkpoint_id: CheckpointId) -> Result<CheckpointView, RequestError> {
        Ok(self.client.query(video, "checkpoint", &AskCheckpoint { checkpoint_id }).await?)
    }

    fn print_json(&mut self, answer: &Value) {
        self.screen.print(&serde_json::to_string_pretty(answer).unwrap_or_default());
    }
}
