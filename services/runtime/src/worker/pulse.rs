//! The pulse of a job in our hands: it is kept in the queue, and whoever watches sees that it lives and how far it is.

use std::convert::Infallible;
use std::time::Duration;

use messages::job::Progress;
use messages::subject;
use tokio::sync::watch;

use super::desk::{Desk, Subject};
use super::ports::Delivery;
use crate::bus::ACK_WAIT;

/// What is done before this time has no pulse: it says itself that it is done. Short enough that whoever called back a job
/// learns in time that it has been begun.
const FIRST: Duration = Duration::from_millis(100);
/// The most often that progress is said.
const BEAT: Duration = Duration::from_millis(250);
/// Beats between signs of life when nothing changes: 5 s.
const ALIVE: u64 = 20;
/// Beats between signs to the queue: a third of the time after which it would give the job to somebody else.
const KEEP: u64 = (ACK_WAIT.as_millis() / 3 / BEAT.as_millis()) as u64;

/// Beats until it is dropped. Handlers run on threads of their own and cannot hold it up.
pub(super) async fn beat(
    delivery: &dyn Delivery,
    desk: &Desk,
    about: &Subject,
    mut progress: watch::Receiver<f64>,
) -> Infallible {
    desk.clock.sleep(FIRST).await;
    let to = subject::progress(&about.user, about.video, about.id);
    let mut beat = 0u64;
    loop {
        if beat % KEEP == KEEP - 1 {
            delivery.keep().await;
        }
        if beat.is_multiple_of(ALIVE) || progress.has_changed().unwrap_or(false) {
            let note = Progress {
                kind: "progress".to_owned(),
                job: about.id,
                attempt: about.attempt,
                worker: desk.worker.clone(),
                fraction: *progress.borrow_and_update(),
                time: desk.clock.now(),
            };
            if let Ok(note) = serde_json::to_vec(&note) {
                desk.reporter.tell(to.clone(), note.into()).await;
            }
        }
        desk.clock.sleep(BEAT).await;
        beat += 1;
    }
}
