//! What may be typed after `dailies`.

mod cluster;
mod requests;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use coordinator::config::DatabaseUrl;
use messages::id::{KeyId, UserId, VideoId};
use messages::money::Usd;
use runtime::secret::Secret;

pub use cluster::{Cluster, ClusterCommand};
pub use requests::{
    Approve, At, CheckpointName, Checkpoints, Compare, Dead, DeadLetters, Delete, Edit, Fork, OfBranch, OfLetter,
    OfVideo, Open, Pin, Regenerate, Reject, Resolve, Select, Settings, Switch, Take, Upload, Videos, Which,
};

/// Makes films from a prompt, and stops after every phase until somebody says go.
#[derive(Debug, Parser)]
#[command(name = "dailies", version, propagate_version = true, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Where to find NATS, and whose videos.
    #[command(flatten, next_help_heading = "Where")]
    pub reach: Reach,
}

/// How a cluster is reached.
#[derive(Debug, Args)]
pub struct Reach {
    /// The folder that a cluster on this machine lives in.
    #[arg(long, global = true, value_name = "DIR", env = "DAILIES_DATA", default_value = ".dailies")]
    pub data: PathBuf,
    /// NATS of a cluster elsewhere, instead of the one in --data; several with commas between.
    #[arg(long, global = true, value_name = "URL")]
    pub nats: Option<String>,
    /// A context of the nats CLI, for a cluster elsewhere.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// A NATS credentials file, for a cluster elsewhere.
    #[arg(long, global = true, value_name = "FILE")]
    pub creds: Option<PathBuf>,
    /// The gateway of a cluster elsewhere, which files go through.
    #[arg(long, global = true, value_name = "URL")]
    pub gateway: Option<String>,
    /// A file with the API key that the gateway asks for; else DAILIES_KEY holds the key.
    #[arg(long, global = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Whose videos.
    #[arg(long, global = true, value_name = "USER", default_value = "local")]
    pub user: UserId,
    /// A settings file that goes over the defaults.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a film here, stopping after every phase to show it and ask.
    Make(Make),
    /// Run the whole cluster in one process until Ctrl-C.
    Up(Up),
    /// Run a deployment's topology as processes of this machine: three NATS nodes, PostgreSQL, S3, replicas of each service.
    Cluster(Cluster),
    /// Serve only the S3 endpoint, for services that run as processes of their own.
    Store(Store),
    /// Make, list and revoke the API keys that open a gateway.
    Key(Key),
    /// Bring the database of a cluster up to date.
    Migrate(Migrate),
    /// Measure what the cluster costs beside the work itself.
    #[command(subcommand)]
    Bench(Bench),
    /// List videos, newest first.
    Videos(Videos),
    /// Show a checkpoint: what was made, what it cost, what may be done.
    Show(At),
    /// Say where a video stands.
    Status(OfVideo),
    /// Draw the tree of checkpoints, newest first, as `git log --graph` does.
    Tree(OfVideo),
    /// List the branches: where each stands, and what it cost.
    Branches(OfVideo),
    /// List the checkpoints, oldest first.
    Checkpoints(Checkpoints),
    /// Tell who did what, when, and from where.
    History(OfVideo),
    /// List what was paid for.
    Cost(OfVideo),
    /// Print what happens to a video until it is finished.
    Watch(OfVideo),
    /// Go on from a checkpoint.
    Approve(Approve),
    /// Have a phase made again, with notes on what should be different.
    Reject(Reject),
    /// Open a branch that waits at the same point.
    Fork(Fork),
    /// Change the spec in $VISUAL or $EDITOR, or by a JSON Merge Patch.
    Edit(Edit),
    /// Have one artifact made again.
    Regenerate(Regenerate),
    /// Put a picture, a clip or music of your own in the place of what was made.
    Upload(Upload),
    /// Go back to another version of an artifact.
    Select(Select),
    /// Use another checkpoint's artifact.
    Take(Take),
    /// Say how two checkpoints differ.
    Compare(Compare),
    /// Say that a checkpoint leads nowhere.
    Abandon(At),
    /// Keep a checkpoint whatever retention says.
    Pin(Pin),
    /// Run again what failed or was cancelled.
    Retry(OfBranch),
    /// Decide about a paid job whose fate is unknown.
    Resolve(Resolve),
    /// Show or change title, auto-continue and budget.
    Settings(Settings),
    /// List what was abandoned and will be collected: when, how much it takes and what it cost to make.
    Retention(OfVideo),
    /// Stop what runs; `retry` goes on.
    Cancel(OfBranch),
    /// Delete a video with everything that was made for it.
    Delete(Delete),
    /// Print where an artifact is, and open it when on a terminal.
    Open(Open),
    /// Look at what could not be handled, and have it done again. For operators: reads the cluster's streams.
    #[command(subcommand)]
    Dead(Dead),
    /// Ask a process whether it is well: exits with 0 when the URL answers with a success.
    Health(Health),
}

/// `dailies make`
#[derive(Debug, Args)]
pub struct Make {
    /// What the film should be, 10 to 1000 characters: length, product, mood and colours are read from it.
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    pub prompt: Vec<String>,
    /// Go on with a video that was begun earlier.
    #[arg(long, value_name = "ID", conflicts_with_all = ["title", "description", "duration", "aspect_ratio", "template", "model", "creativity", "seed", "budget", "yolo"])]
    pub resume: Option<VideoId>,
    /// Its title.
    #[arg(long)]
    pub title: Option<String>,
    /// More words about it.
    #[arg(long)]
    pub description: Option<String>,
    /// Seconds, 5 to 180.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub duration: Option<i64>,
    /// 16:9, 9:16, 1:1 or 4:5.
    #[arg(long, value_name = "RATIO")]
    pub aspect_ratio: Option<String>,
    /// The archetype, such as luxury_showcase.
    #[arg(long, value_name = "ID")]
    pub template: Option<String>,
    /// The video model.
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// 0 to 1.
    #[arg(long, value_name = "LEVEL", allow_negative_numbers = true)]
    pub creativity: Option<f64>,
    /// The same seed and prompt make the same film.
    #[arg(long)]
    pub seed: Option<u64>,
    /// The most that the film may cost, in US dollars.
    #[arg(long, value_name = "USD", value_parser = usd)]
    pub budget: Option<Usd>,
    /// Ask nothing: every checkpoint approves itself.
    #[arg(long)]
    pub yolo: bool,
    /// Where to put the film and its parts; none means films/ID in the data folder.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}

/// `dailies up`
#[derive(Debug, Args)]
pub struct Up {
    /// Where the gateway listens; a loopback address, unless it asks for keys.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8787")]
    pub listen: SocketAddr,
    /// The keys file of the gateway (`dailies key create` makes one); none means gateway.keys of the settings.
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// Where NATS listens on loopback; 0 takes a free port.
    #[arg(long, value_name = "PORT", default_value_t = 4222)]
    pub nats_port: u16,
}

/// `dailies key`
#[derive(Debug, Args)]
pub struct Key {
    /// The keys file; none means gateway.keys of the settings.
    #[arg(long, global = true, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub act: KeyAct,
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum KeyAct {
    /// Make a key for --user and print it, this once.
    Create(CreateKey),
    /// List all keys, revoked ones too; none of them is shown.
    List(ListKeys),
    /// Close a key; running gateways notice within a second.
    Revoke(RevokeKey),
}

/// `dailies key create`
#[derive(Debug, Args)]
pub struct CreateKey {
    /// Where it will be used, for the list.
    #[arg(long)]
    pub name: Option<String>,
    /// Print it as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `dailies key list`
#[derive(Debug, Args)]
pub struct ListKeys {
    /// Print each as a line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// `dailies key revoke`
#[derive(Debug, Args)]
pub struct RevokeKey {
    /// Its id, as `list` shows it.
    #[arg(value_name = "ID")]
    pub id: KeyId,
}

/// `dailies store`
#[derive(Debug, Args)]
pub struct Store {
    /// Where the endpoint listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    pub listen: SocketAddr,
}

/// `dailies health`
#[derive(Debug, Args)]
pub struct Health {
    /// What to ask, such as http://127.0.0.1:9100/health/ready.
    #[arg(value_name = "URL")]
    pub url: reqwest::Url,
}

/// `dailies migrate`
#[derive(Debug, Args)]
pub struct Migrate {
    /// Which database, instead of coordinator.database of the settings: sqlite:PATH or postgres://USER@HOST/DATABASE.
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
}

/// `dailies bench`
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Make one film by the cluster and by plain calls in turns, compare the times, and measure each service's memory.
    Media(BenchMedia),
    /// Fork a checkpoint that knows two hundred artifacts, and see that nothing is copied.
    Fork(BenchFork),
    /// Make the chunks of one film with one, two and four chunk replicas.
    Chunks(BenchChunks),
    /// Connect many clients to a gateway's event stream, and see what each costs and how long an event takes to reach all.
    Sse(BenchSse),
    /// Make many videos with workers that return at once: throughput, latency, memory at rest, and the way back after a crash.
    Orchestration(BenchOrchestration),
    /// A cluster whose workers return at once, which the benchmark starts and kills.
    #[command(hide = true)]
    Serve(BenchServe),
}

/// `dailies bench chunks`
#[derive(Debug, Args)]
pub struct BenchChunks {
    /// Have the built-in renderer make the clips, instead of a provider that takes 2 s for each.
    #[arg(long)]
    pub local: bool,
    /// Print the figures as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `dailies bench orchestration`
#[derive(Debug, Args)]
pub struct BenchOrchestration {
    /// How many videos are made for each figure of throughput.
    #[arg(long, value_name = "N", default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..))]
    pub videos: u32,
    /// How many of them are under way at a time.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub in_flight: u32,
    /// How many videos are made one at a time for the figures of latency.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub one_at_a_time: u32,
    /// How many videos rest while memory is measured; each number after the one before.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [10_000, 100_000])]
    pub paused: Vec<u32>,
    /// A PostgreSQL database to measure too; everything in it is the benchmark's.
    #[arg(long, value_name = "URL", env = "DAILIES_BENCH_DATABASE", hide_env_values = true, value_parser = secret)]
    pub postgres: Option<Secret>,
    /// Jobs of each service at a time while many videos are under way.
    #[arg(long, value_name = "N", default_value = "256")]
    pub slots: NonZeroUsize,
    /// The same while there is one.
    #[arg(long, value_name = "N", default_value = "8")]
    pub slots_one_at_a_time: NonZeroUsize,
    /// Measure only this.
    #[arg(long, value_enum, value_name = "FIGURE")]
    pub only: Option<Figure>,
    /// Print the figures as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What `dailies bench orchestration` measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Figure {
    /// What the parts allow on their own.
    Raw,
    /// Completed videos a second, of every shape and setting.
    Throughput,
    /// Completed videos a second of the plain shape alone.
    Plain,
    /// From an approval until the next phase's job is in a worker's hands.
    Latency,
    /// Memory with many videos at rest, and the way back after `kill -9`.
    Paused,
}

/// `dailies bench serve`
#[derive(Debug, Args)]
pub struct BenchServe {
    /// The port of NATS.
    #[arg(long)]
    pub nats_port: u16,
    /// Jobs of each service at a time.
    #[arg(long)]
    pub slots: NonZeroUsize,
    /// Where the journal is, if not in the data folder.
    #[arg(long, env = "DAILIES_BENCH_SERVE_DATABASE", hide_env_values = true)]
    pub database: Option<DatabaseUrl>,
    /// Whether every write of NATS waits for the disk.
    #[arg(long)]
    pub nats_sync_always: bool,
    /// Whether each job's reception is told.
    #[arg(long)]
    pub tell: bool,
}

/// `dailies bench sse`
#[derive(Debug, Args)]
pub struct BenchSse {
    /// How many clients.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub clients: u32,
    /// How many events are sent to all of them.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub events: u32,
    /// Print the figures as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `dailies bench fork`
#[derive(Debug, Args)]
pub struct BenchFork {
    /// How often it is forked.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub forks: u32,
    /// Print the figures as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `dailies bench media`
#[derive(Debug, Args)]
pub struct BenchMedia {
    /// What the film should be.
    #[arg(long, value_name = "TEXT", default_value = "An elegant ad for a mechanical watch, gold and black")]
    pub prompt: String,
    /// Seconds of the film, 5 to 180.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub duration: u32,
    /// How often it is made each way.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub pairs: u32,
    /// Jobs of each service at a time, both ways; none means worker.concurrency of the settings.
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// The same seed and prompt make the same film.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print the figures as JSON.
    #[arg(long)]
    pub json: bool,
    /// Leave out the peak memory of each service.
    #[arg(long)]
    pub no_memory: bool,
}

fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

fn usd(text: &str) -> Result<Usd, String> {
    text.trim_start_matches('$')
        .parse()
        .ok()
        .and_then(Usd::from_dollars)
        .ok_or_else(|| "an amount in dollars, such as 2.50".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_makes_sense_to_its_parser() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_prompt_needs_no_quotes() {
        let typed = ["dailies", "make", "a", "film", "about", "tea", "--yolo", "--budget", "$2.50"];
        let Command::Make(make) = Arguments::try_parse_from(typed).expect("valid").command else { panic!("make") };
        assert_eq!(make.prompt.join(" "), "a film about tea");
        assert!(make.yolo);
        assert_eq!(make.budget, Some(Usd::from_micros(2_500_000)));
    }

    #[test]
    fn resuming_takes_no_prompt_and_making_needs_one() {
        let id = "vid-0195f0a0-1111-7000-8000-000000000001";
        assert!(Arguments::try_parse_from(["dailies", "make", "--resume", id]).is_ok());
        assert!(Arguments::try_parse_from(["dailies", "make", "tea", "--resume", id]).is_err());
        assert!(Arguments::try_parse_from(["dailies", "make"]).is_err());
        assert!(Arguments::try_parse_from(["dailies", "make", "--resume", "vid-1"]).is_err());
    }
}
