//! Looks after what NATS may have lost: missing streams and consumers are made again, lost jobs are sent again.

use std::sync::Arc;
use std::time::Duration;

use runtime::clock::Clock;
use tokio_util::sync::CancellationToken;

use crate::dispatcher::Dispatcher;
use crate::wire::Wire;

const PAUSE: Duration = Duration::from_secs(5);

/// Sweeps every 5 s until `shutdown`.
pub async fn run(wire: Arc<dyn Wire>, dispatcher: Dispatcher, clock: Arc<dyn Clock>, shutdown: CancellationToken) {
    let mut queue_created = None;
    let mut failing = false;
    loop {
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
