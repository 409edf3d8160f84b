//! What a process counts, as Prometheus reads it.
//!
//! Each part of a process (a worker, the coordinator, the gateway) keeps its figures in a registry of its own and publishes
//! it here; [`text`] is all of them. Labels are words of the program, never ids: a figure must cost the same with a million
//! videos. Handles are made once, so that counting is an atomic addition or the lock of one histogram.
//! ARCHITECTURE.md lists every name.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// The content type of [`text`].
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Names and values of labels.
pub type Labels<const N: usize> = [(&'static str, &'static str); N];

static PUBLISHED: Mutex<Vec<(u64, Arc<Registry>)>> = Mutex::new(Vec::new());
static PROCESS: LazyLock<Process> = LazyLock::new(Process::new);

/// A registry for one part, whose names begin with `dailies_`.
pub fn registry() -> Registry {
    Registry::with_prefix("dailies")
}

/// Figures that are shown as long as this lives.
#[derive(Debug)]
pub struct Published {
    id: u64,
    registry: Arc<Registry>,
}

/// Shows the figures of one part among those of the process.
pub fn publish(registry: Registry) -> Published {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (id, registry) = (NEXT.fetch_add(1, Ordering::Relaxed), Arc::new(registry));
    published().push((id, Arc::clone(&registry)));
    Published { id, registry }
}

impl Published {
    /// The figures of this part alone.
    pub fn text(&self) -> String {
        let mut text = String::new();
        write(&mut text, &self.registry);
        text
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        published().retain(|(id, _)| *id != self.id);
    }
}

/// All figures of the process.
pub fn text() -> String {
    LazyLock::force(&PROCESS);
    let registries: Vec<_> = published().iter().map(|(_, registry)| Arc::clone(registry)).collect();
    let mut text = String::new();
    registries.iter().for_each(|registry| write(&mut text, registry));
    text
}

fn write(text: &mut String, registry: &Registry) {
    // Writing into a string does not fail, and figures encode themselves.
    if let Err(error) = prometheus_text::encode(text, registry) {
        tracing::error!(error = %error, "figures cannot be written");
    }
}

fn published() -> MutexGuard<'static, Vec<(u64, Arc<Registry>)>> {
    // Nothing in here is left half done by a panic.
    PUBLISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds of what should take microseconds to milliseconds: deciding, committing.
pub fn moments() -> Histogram {
    Histogram::new([0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0])
}

/// Seconds of work and of waiting for it: milliseconds to the longest deadline.
pub fn spans() -> Histogram {
    Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0])
}

/// What every process counts.
#[derive(Debug)]
struct Process {
    connected: Gauge,
    events: Family<Labels<1>, Counter>,
    _published: Published,
}

impl Process {
    fn new() -> Self {
        let mut registry = registry();
        let (connected, events) = (Gauge::default(), Family::<Labels<1>, Counter>::default());
        for event in NatsEvent::ALL {
            drop(events.get_or_create(&[("event", event.name())]));
        }
        let version: Labels<1> = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "What was built", Info::new(version));
        registry.register("nats_connected", "1 while the connection to NATS is up", connected.clone());
        registry.register("nats_events", "What the NATS connection said of itself", events.clone());
        Self { connected, events, _published: publish(registry) }
    }
}

/// What a NATS connection says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatsEvent {
    /// It is up.
    Connected,
    /// It is lost, or ends.
    Disconnected,
    /// Its server is about to stop.
    LameDuck,
    /// Messages were dropped because a subscription was too slow.
    SlowConsumer,
    /// The server refused something.
    ServerError,
    /// The client stumbled.
    ClientError,
}

impl NatsEvent {
    const ALL: [Self; 6] =
        [Self::Connected, Self::Disconnected, Self::LameDuck, Self::SlowConsumer, Self::ServerError, Self::ClientError];

    const fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::LameDuck => "lame_duck",
            Self::SlowConsumer => "slow_consumer",
            Self::ServerError => "server_error",
            Self::ClientError => "client_error",
        }
    }
}

/// The NATS connection said something of itself.
pub fn nats_event(event: NatsEvent) {
    PROCESS.events.get_or_create(&[("event", event.name())]).inc();
    let connected = match event {
        NatsEvent::Connected => 1,
        NatsEvent::Disconnected => 0,
        NatsEvent::LameDuck | NatsEvent::SlowConsumer | NatsEvent::ServerError | NatsEvent::ClientError => return,
    };
    PROCESS.connected.set(connected);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_shown_as_long_as_it_lives() {
        let count = Counter::<u64>::default();
        let mut registry = registry();
        registry.register("part_of_a_test", "Counted here", count.clone());
        let part = publish(registry);
        count.inc();
        assert!(text().contains("\ndailies_part_of_a_test_total 1\n"), "{}", text());
        assert!(part.text().starts_with("# HELP dailies_part_of_a_test_total Counted here"), "{}", part.text());
        drop(part);
        assert!(!text().contains("part_of_a_test"), "{}", text());
        assert!(text().contains("dailies_build_info{version="), "{}", text());
    }
}
