//! The film by the cluster: everything that `dailies up` runs, in this process, on a data folder of its own.
//!
//! The time runs from publishing `create` to the event that the film is finished, as a client of the cluster sees it.
//! Starting and stopping the cluster do not count, and nothing is downloaded.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Instant;

use messages::id::UserId;
use messages::query::CheckpointView;
use runtime::config::Settings;
use serde_json::json;

use super::film::{Diary, Ended, Film};
use super::machine::CpuClock;
use super::{BenchError, Order};
use crate::client::Client;
use crate::data_folder::DataFolder;
use crate::embedded::{Embedded, Ports};
use crate::follow::{News, follow};

/// Starts a cluster, makes the film, stops the cluster. Its folder stands in `folder`, on the disk that clusters use.
pub async fn film(order: &Order, folder: &DataFolder, settings: &Settings) -> Result<Film, BenchError> {
    let scratch = tempfile::Builder::new().prefix("bench-").tempdir_in(folder.path())?;
    let own = DataFolder::open(scratch.path())?;
    let ports = Ports { gateway: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), nats: 0 };
    let mut cluster = Embedded::start_with(&own, settings, ports, order.jobs).await?;
    let client = Client { bus: cluster.bus().clone(), user: UserId::local() };
    let film = tokio::select! {
        film = ask(order, &client, nats_pid(scratch.path())) => film,
        error = cluster.ended() => Err(error.into()),
    };
    cluster.stop().await;
    film
}

/// Asks a cluster for the film and waits until it is there. `nats` is its server's process, if its time is to count.
pub async fn ask(order: &Order, client: &Client, nats: Option<u32>) -> Result<Film, BenchError> {
    let video = Order::video();
    let mut news = follow(client, video, 0).await?;
    let (cpu, started) = (CpuClock::start(nats), Instant::now());
    client.command(video, "create", &order.create).await?;
    let mut diary = Diary::default();
    let ended = loop {
        match news.recv().await {
            Some(News::Event(seen, _)) => {
                if let Some(ended) = diary.event(&seen) {
                    break ended;
                }
            }
            Some(News::Progress(_)) => {}
            None => break Ended::Failed("its events cannot be followed any more".to_owned()),
        }
    };
    let (wall, cpu) = (started.elapsed(), cpu.elapsed());
    if let Ended::Failed(reason) = ended {
        return Err(no_film(reason));
    }
    let checkpoints: Vec<CheckpointView> = client.query(video, "checkpoints", &json!({})).await?;
    Film::of(wall, cpu, &diary, &checkpoints).ok_or_else(|| no_film("a part of it is missing".to_owned()))
}

/// The `nats-server` of a data folder.
pub fn nats_pid(folder: &Path) -> Option<u32> {
    std::fs::read_to_string(folder.join("nats").join("nats-server.pid")).ok()?.trim().parse().ok()
}

const fn no_film(reason: String) -> BenchError {
    BenchError::NoFilm { by: "the cluster", reason }
}
