//! Looks after what NATS may have lost: missing streams and consumers are made again, lost jobs are sent again. And forgets
//! what was asked in vain, once nothing can ask for it again.

use std::sync::Arc;
use std::time::Duration;

use runtime::clock::Clock;
use tokio_util::sync::CancellationToken;

use crate::dispatcher::Dispatcher;
use crate::store::Store;
use crate::wire::Wire;

const PAUSE: Duration = Duration::from_secs(5);
/// How long it is known how a command to no video ended: longer than its stream keeps the command.
const MEMORY: Duration = Duration::from_secs(8 * 24 * 60 * 60);
/// After how many rounds such commands are looked for: once an hour.
const ROUNDS: u32 = 720;

/// Sweeps every 5 s until `shutdown`.
pub async fn run(
    wire: Arc<dyn Wire>,
    store: Arc<dyn Store>,
    dispatcher: Dispatcher,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) {
    let mut queue_created = None;
    let mut failing = false;
    for round in (0..ROUNDS).cycle() {
        if round == 0
            && let Err(error) = store.forget_commands(clock.now() - MEMORY).await
        {
            tracing::debug!(error = %error, "what was asked in vain is forgotten later");
        }
        match wire.mend().await {
            Ok(created) => {
                failing = false;
                if queue_created.replace(created).is_some_and(|before| before != created) {
                    tracing::warn!("the work queue was lost; what was in it is sent again");
                    dispatcher.queue_lost();
                }
            }
            Err(error) if !std::mem::replace(&mut failing, true) => {
                tracing::warn!(error = %error, "the streams cannot be looked after");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = clock.sleep(PAUSE) => {}
            () = shutdown.cancelled() => return,
        }
    }
}
