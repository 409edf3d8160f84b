//! What may be typed after the short commands.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use messages::artifact::{ArtifactKey, Digest};
use messages::checkpoint::Decision;
use messages::id::{BranchName, JobId, VideoId};
use messages::money::Usd;
use messages::phase::Phase;
use messages::query::VideoStatus;

use super::usd;

/// A checkpoint as people name it: by its id, by the beginning of its id, or by its branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointName(String);

impl CheckpointName {
    /// As it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CheckpointName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if text.is_empty() || !text.chars().all(valid) {
            return Err("neither a checkpoint id (`cp-…`), nor the beginning of one, nor a branch".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// Which video.
#[derive(Debug, Args)]
pub struct OfVideo {
    /// The video.
    pub video: VideoId,
    /// Print the answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which branch of a video.
#[derive(Debug, Args)]
pub struct OfBranch {
    /// The video.
    #[command(flatten)]
    pub of: OfVideo,
    /// Only this branch.
    #[arg(long, value_name = "NAME")]
    pub branch: Option<BranchName>,
}

/// Which checkpoint of a video, for commands that name nothing else.
#[derive(Debug, Args)]
pub struct At {
    /// The video.
    #[command(flatten)]
    pub of: OfVideo,
    /// A checkpoint: its id, the beginning of its id, or its branch; none means the newest that waits.
    pub checkpoint: Option<CheckpointName>,
    /// The newest that waits on this branch.
    #[arg(long, value_name = "NAME", conflicts_with = "checkpoint")]
    pub branch: Option<BranchName>,
}

/// Which checkpoint of a video, for commands that name something of it.
#[derive(Debug, Args)]
pub struct Which {
    /// A checkpoint: its id, the beginning of its id, or its branch; none means the newest that waits.
    #[arg(long, value_name = "CHECKPOINT")]
    pub checkpoint: Option<CheckpointName>,
    /// The newest that waits on this branch.
    #[arg(long, value_name = "NAME", conflicts_with = "checkpoint")]
    pub branch: Option<BranchName>,
}

impl At {
    /// The checkpoint, if one was named.
    pub fn named(&self) -> Option<CheckpointName> {
        either(self.checkpoint.as_ref(), self.branch.as_ref())
    }
}

impl Which {
    /// The checkpoint, if one was named.
    pub fn named(&self) -> Option<CheckpointName> {
        either(self.checkpoint.as_ref(), self.branch.as_ref())
    }
}

fn either(checkpoint: Option<&CheckpointName>, branch: Option<&BranchName>) -> Option<CheckpointName> {
    checkpoint.cloned().or_else(|| branch.map(|branch| CheckpointName(branch.to_string())))
}

/// `dailies videos`
#[derive(Debug, Args)]
pub struct Videos {
    /// Only videos that stand here, such as complete or paused_at_phase1.
    #[arg(long, value_parser = status)]
    pub status: Option<VideoStatus>,
    /// Print each video as JSON, one a line.
    #[arg(long)]
    pub json: bool,
}

/// `dailies checkpoints`
#[derive(Debug, Args)]
pub struct Checkpoints {
    /// The video.
    #[command(flatten)]
    pub of: OfVideo,
    /// Only this branch's.
    #[arg(long, value_name = "NAME")]
    pub branch: Option<BranchName>,
}

/// `dailies approve`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dailies approve ID                       the newest checkpoint that waits, on its own branch
  dailies approve ID main-1 --note \"go\"    the one that waits on main-1
  dailies approve ID --branch night        on a new branch; the original waits as it was
  dailies approve ID --digest DIGEST       refused if the selection moved since it was looked at")]
pub struct Approve {
    /// The video.
    #[command(flatten)]
    pub of: OfVideo,
    /// A checkpoint: its id, the beginning of its id, or its branch; none means the newest that waits.
    pub checkpoint: Option<CheckpointName>,
    /// Where to go on: `same`, or the name of a branch to open for it.
    #[arg(long, value_name = "NAME", default_value = "same")]
    pub branch: String,
    /// The selection that was looked at, as `show --json` has it: another one is refused.
    #[arg(long)]
    pub digest: Option<Digest>,
    /// Go on although something no longer fits what it was made from.
    #[arg(long)]
    pub accept_stale: bool,
    /// Kept with the approval.
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}

/// `dailies reject`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dailies reject ID --notes \"more gold, less black\"")]
pub struct Reject {
    /// The checkpoint.
    #[command(flatten)]
    pub at: At,
    /// What should be different.
    #[arg(long, value_name = "TEXT")]
    pub notes: String,
}

/// `dailies fork`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dailies fork ID                          from the newest that waits, with an automatic name
  dailies fork ID cp-4f2a --branch night   from any checkpoint, approved ones too")]
pub struct Fork {
    /// The video.
    #[command(flatten)]
    pub of: OfVideo,
    /// A checkpoint: its id, the beginning of its id, or its branch; none means the newest that waits.
    pub checkpoint: Option<CheckpointName>,
    /// The new branch; none means an automatic name.
    #[arg(long, value_name = "NAME")]
    pub branch: Option<String>,
}

/// `dailies edit`
#[derive(Debug, Args)]
#[command(after_help = "\
Without --patch the part of the spec that may be changed opens in $VISUAL or $EDITOR, and what was changed is sent.

Examples:
  dailies edit ID
  dailies edit ID --patch '{\"style\": {\"mood\": \"energetic\"}}'
  dailies edit ID --branch night --patch @change.json
  jq ... | dailies edit ID --patch -")]
pub struct Edit {
    /// The checkpoint.
    #[command(flatten)]
    pub at: At,
    /// A JSON Merge Patch (RFC 7396), @FILE, or - for standard input.
    #[arg(long, value_name = "JSON")]
    pub patch: Option<String>,
}

/// `dailies regenerate`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dailies regenerate ID beat_2                                 another try
  dailies regenerate ID beat_2 --prompt \"the watch, from above\"
  dailies regenerate ID spec --template luxury_showcase --creativity 0.9 --notes \"shorter scenes\"")]
pub struct Regenerate {
    /// The video.
    #[command(flatten)]
    pub of: OfVideo,
    /// Which artifact: spec, beat_0, chunk_0, background, thumbnail, ...
    pub artifact: ArtifactKey,
    /// The checkpoint.
    #[command(flatten)]
    pub which: Which,
    /// Instead of the beat's own prompt.
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Instead of the video's model.
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Instead of the derived seed.
    #[arg(long)]
    pub seed: Option<u64>,
    /// For the spec: another archetype.
    #[arg(long, value_name = "ID")]
    pub template: Option<String>,
    /// For the spec: 0 to 1.
    #[arg(long, value_name = "LEVEL", allow_negative_numbers = true)]
    pub creativity: Option<f64>,
    /// For the spec: what should be different.
    #[arg(long, value_name = "TEXT")]
    pub notes: Option<String>,
}

/// `dailies upload`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dailies upload ID beat_2 photo.jpg       PNG, JPEG or WebP, up to 20 MB
  dailies upload ID chunk_0 clip.mp4       up to 500 MB
  dailies upload ID background song.mp3    up to 50 MB

The file goes through the gateway: the one of the cluster in --data, or --gateway URL.")]
pub struct Upload {
    /// The video.
    #[command(flatten)]
    pub of: OfVideo,
    /// Which artifact: a picture (beat_0), a chunk (chunk_0) or the music (background).
    pub artifact: ArtifactKey,
    /// The file.
    pub file: PathBuf,
    /// The checkpoint.
    #[command(flatten)]
    pub which: Which,
}

/// `dailies select`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dailies select ID beat_2 1               back to the first version")]
pub struct Select {
    /// The video.
    #[command(flatten)]
    pub of: OfVideo,
    /// Which artifact.
    pub artifact: ArtifactKey,
    /// Which version of it, as `show` lists them.
    #[arg(id = "artifact_version", value_name = "VERSION")]
    pub version: u32,
    /// The checkpoint.
    #[command(flatten)]
    pub which: Which,
}

/// `dailies take`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dailies take ID beat_2 night --branch main    the third picture of `night`, for the one that waits on main")]
pub struct Take {
    /// The video.
    #[command(flatten)]
    pub of: OfVideo,
    /// Which artifact.
    pub artifact: ArtifactKey,
    /// The checkpoint that gives: its id, the beginning of its id, or its branch.
    pub from: CheckpointName,
    /// The checkpoint that takes.
    #[command(flatten)]
    pub which: Which,
}

/// `dailies compare`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  dailies compare ID main main-1")]
pub struct Compare {
    /// The video.
    #[command(flatten)]
    pub of: OfVideo,
    /// One checkpoint: its id, the beginning of its id, or its branch.
    pub a: CheckpointName,
    /// The other.
    pub b: CheckpointName,
}

/// `dailies pin`
#[derive(Debug, Args)]
pub struct Pin {
    /// The checkpoint.
    #[command(flatten)]
    pub at: At,
    /// Let it go again.
    #[arg(long)]
    pub off: bool,
}

/// `dailies resolve`
#[derive(Debug, Args)]
pub struct Resolve {
    /// The video.
    #[command(flatten)]
    pub of: OfVideo,
    /// The job, as `history` names it.
    pub job: JobId,
    /// What to do about it.
    pub decision: Verdict,
}

/// [`Decision`], as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Verdict {
    /// Look for the result at the provider.
    Collect,
    /// Submit again, at the price of paying twice.
    PayAgain,
    /// Let it be failed.
    GiveUp,
}

impl From<Verdict> for Decision {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Collect => Self::Collect,
            Verdict::PayAgain => Self::PayAgain,
            Verdict::GiveUp => Self::GiveUp,
        }
    }
}

/// `dailies settings`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dailies settings ID                              show them
  dailies settings ID --title \"Gold and black\" --budget 5
  dailies settings ID --auto-continue on --until chunks --max-cost 2")]
pub struct Settings {
    /// The video.
    #[command(flatten)]
    pub of: OfVideo,
    /// Another title.
    #[arg(long)]
    pub title: Option<String>,
    /// Whether checkpoints approve themselves.
    #[arg(long, value_name = "WHETHER")]
    pub auto_continue: Option<Switch>,
    /// Stop at this phase's checkpoint.
    #[arg(long, value_name = "PHASE", value_parser = phase, requires = "auto_continue")]
    pub until: Option<Phase>,
    /// Stop before this much is spent, in US dollars.
    #[arg(long, value_name = "USD", value_parser = usd, requires = "auto_continue")]
    pub max_cost: Option<Usd>,
    /// The most that the film may cost, in US dollars.
    #[arg(long, value_name = "USD", value_parser = usd)]
    pub budget: Option<Usd>,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// They do, within the limits.
    On,
    /// They wait.
    Off,
}

/// `dailies delete`
#[derive(Debug, Args)]
pub struct Delete {
    /// The video.
    #[command(flatten)]
    pub of: OfVideo,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

/// `dailies open`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dailies open ID                          what the newest checkpoint is about: the film, once there is one
  dailies open ID beat_2 --branch night
  mpv \"$(dailies open ID final)\"

From the cluster in --data the artifact is fetched into films/ID in that folder; with --gateway it
stays a link, unless there is a key to fetch it with (--key-file).")]
pub struct Open {
    /// The video.
    #[command(flatten)]
    pub of: OfVideo,
    /// Which artifact; none means what the checkpoint's phase is about.
    pub artifact: Option<ArtifactKey>,
    /// The checkpoint.
    #[command(flatten)]
    pub which: Which,
}

/// `dailies dead`
#[derive(Debug, Subcommand)]
pub enum Dead {
    /// List the letters, oldest first.
    List(DeadLetters),
    /// Show one whole, with what could not be handled.
    Show(OfLetter),
    /// Have its work done after all, where that makes sense: nothing runs or is billed twice.
    Retry(OfLetter),
}

/// `dailies dead list`
#[derive(Debug, Args)]
pub struct DeadLetters {
    /// At most so many of the newest.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Print each as a line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which dead letter.
#[derive(Debug, Args)]
pub struct OfLetter {
    /// Its number, as `dead list` says it.
    pub seq: u64,
    /// Print the answer as JSON.
    #[arg(long)]
    pub json: bool,
}

fn phase(text: &str) -> Result<Phase, String> {
    Phase::from_name(text).ok_or_else(|| format!("a phase: {}", Phase::ALL.map(Phase::name).join(", ")))
}

fn status(text: &str) -> Result<VideoStatus, String> {
    let known = || VideoStatus::ALL.map(VideoStatus::name).join(", ");
    VideoStatus::from_name(text).ok_or_else(|| format!("a status: {}", known()))
}
