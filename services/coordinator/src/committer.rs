//! Group commit: the appends of many actors share a transaction.
//!
//! While one transaction is being synced the next one's appends gather, so a busy coordinator syncs once for many videos
//! and an idle one waits for nobody. Where many come together, a moment more is given for others to join: each transaction
//! then writes the same pages for more of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::clock::Clock;
use tokio::sync::{mpsc, oneshot};

use crate::metrics;
use crate::store::{Append, Appended, Store, StoreError};

/// The most appends of one transaction: enough to share a sync, few enough to answer within it.
const MOST: usize = 256;
/// A transaction of this many appends shows that more are about to come.
const BUSY: usize = 8;
/// How long those may take to join.
const JOIN: Duration = Duration::from_millis(3);

type Waiting = (Arc<Append>, oneshot::Sender<Result<Appended, StoreError>>);

/// Where actors hand in what they decided.
#[derive(Debug, Clone)]
pub struct Committer {
    sender: mpsc::UnboundedSender<Waiting>,
}

impl Committer {
    /// Starts the loop; it ends when the last handle is gone.
    pub fn start(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(run(store, clock, receiver));
        Self { sender }
    }

    /// Records one append; the answer means committed.
    pub async fn append(&self, append: Arc<Append>) -> Result<Appended, StoreError> {
        let (reply, answer) = oneshot::channel();
        let stopped = || StoreError::Unavailable { action: "record", source: sqlx::Error::PoolClosed };
        self.sender.send((append, reply)).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

async fn run(store: Arc<dyn Store>, clock: Arc<dyn Clock>, mut waiting: mpsc::UnboundedReceiver<Waiting>) {
    let mut gathered: Vec<Waiting> = Vec::with_capacity(MOST);
    let mut busy = false;
    while waiting.recv_many(&mut gathered, MOST).await > 0 {
        if busy && gathered.len() < MOST {
            clock.sleep(JOIN).await;
            while gathered.len() < MOST
                && let Ok(more) = waiting.try_recv()
            {
                gathered.push(more);
            }
        }
        busy = gathered.len() >= BUSY;
        // Rows of all transactions in one order, so that two of them never wait for each other.
        gathered.sort_by_key(|(append, _)| append.video);
        let (appends, replies): (Vec<_>, Vec<_>) = gathered.drain(..).unzip();
        let began = Instant::now();
        match store.append(appends.clone()).await {
            Ok(results) => {
                metrics::committed(results.len(), began.elapsed());
                replies.into_iter().zip(results).for_each(|(reply, result)| {
                    // An actor that left meanwhile decides anew from the journal.
                    let _ = reply.send(Ok(result));
                });
            }
            Err(error) => {
                tracing::debug!(error = %error, appends = appends.len(), "a transaction failed");
                one_by_one(store.as_ref(), appends, replies).await;
            }
        }
    }
}

/// One append that the database refuses must not hold back its neighbours.
async fn one_by_one(
    store: &dyn Store,
    appends: Vec<Arc<Append>>,
    replies: Vec<oneshot::Sender<Result<Appended, StoreError>>>,
) {
    for (append, reply) in appends.into_iter().zip(replies) {
        let result = store.append(vec![append]).await;
        let _ = reply.send(result.map(|results| results.first().copied().unwrap_or(Appended::Lost)));
    }
}
