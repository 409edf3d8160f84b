//! What the coordinator needs of NATS, as traits, so that a simulator can stand in for it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use messages::subject::Partition;
use messages::trace::Trace;

/// A message on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to.
    pub subject: String,
    /// What makes a repeat recognisable; none for what must arrive every time it is said.
    pub message_id: Option<String>,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub payload: Bytes,
}

/// A message that NATS never takes, however often it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which one of those that were to be stored.
    pub index: usize,
    /// Why.
    pub reason: String,
}

/// Why NATS did not do what was asked. Asking again is always safe.
#[derive(Debug, thiserror::Error)]
#[error("NATS cannot {action} now: {reason}")]
pub struct WireError {
    /// What was tried.
    pub action: &'static str,
    /// What happened.
    pub reason: String,
}

/// The ways out.
#[async_trait]
pub trait Wire: Send + Sync + std::fmt::Debug {
    /// Stores messages in their streams, in order; an answer means that all of them are stored but those that never can
    /// be. After an error some may be.
    async fn publish(&self, messages: &[Outgoing]) -> Result<Vec<Refused>, WireError>;

    /// Tells whoever listens now.
    async fn notify(&self, subject: String, payload: Bytes);

    /// Whether a job's message is in the queue, taken or not.
    async fn is_queued(&self, subject: &str) -> Result<bool, WireError>;

    /// Takes a job's message out of the queue.
    async fn unqueue(&self, subject: &str) -> Result<(), WireError>;

    /// Creates missing streams and consumers, and says when the work queue was created: another time means that what was
    /// in it is gone.
    async fn mend(&self) -> Result<i64, WireError>;
}

/// The command stream as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogIdentity {
    /// When it was created, nanoseconds since 1970.
    pub created: i64,
    /// The oldest sequence that is still there.
    pub first: u64,
    /// The newest sequence.
    pub last: u64,
}

/// A command as the stream stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCommand {
    /// The subject, partition first.
    pub subject: String,
    /// Its sequence in the stream.
    pub sequence: u64,
    /// When it was stored, nanoseconds since 1970.
    pub time: i64,
    /// The header that carries its id.
    pub command_id: Option<String>,
    /// The header that says through which door it came.
    pub via: Option<String>,
    /// The trace that its sender gave.
    pub trace: Option<Trace>,
    /// The body.
    pub payload: Bytes,
}

/// Commands as they come, until something is uncertain.
pub type Commands = BoxStream<'static, Result<StoredCommand, WireError>>;

/// The way in for commands.
#[async_trait]
pub trait CommandLog: Send + Sync + std::fmt::Debug {
    /// The stream as it stands.
    async fn identity(&self) -> Result<LogIdentity, WireError>;

    /// When the message of a sequence was stored; none when it is not there.
    async fn stored_at(&self, sequence: u64) -> Result<Option<i64>, WireError>;

    /// The commands of some partitions from a sequence on, in order. The first error ends it: the reader starts again at
    /// its position.
    async fn read(&self, partitions: &[Partition], from: u64) -> Result<Commands, WireError>;
}

/// Something that a worker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Where it says it.
    pub subject: String,
    /// Where it waits for the answer.
    pub reply_to: Option<String>,
    /// The body.
    pub payload: Bytes,
}

/// What workers say as they say it, until the listening ends.
pub type Hearsay = BoxStream<'static, Said>;

/// The way in for what workers say. Nothing is kept for who listens late: a worker that is not answered asks again.
#[async_trait]
pub trait Ears: Send + Sync + std::fmt::Debug {
    /// Everything that is said on the subjects of a filter from now on.
    async fn listen(&self, filter: String) -> Result<Hearsay, WireError>;
}

/// How long anything that can be asked again may take.
pub const PATIENCE: Duration = Duration::from_secs(5);
