//! What a coordinator counts.

use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use messages::catalogue::Catalogue;
use messages::command::VERBS;
use messages::event::CommandOutcome;
use messages::query::LedgerRow;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use runtime::metrics::{Labels, Published, moments, publish, registry};

use crate::dispatcher::Counts;

static FIGURES: LazyLock<Figures> = LazyLock::new(Figures::new);

#[derive(Debug)]
struct Figures {
    decide_seconds: Histogram,
    commit_seconds: Histogram,
    commit_appends: Histogram,
    fence_losses: Counter,
    commands: Family<Labels<2>, Counter>,
    events: Family<Labels<1>, Counter>,
    events_published: Counter,
    dead_letters: Counter,
    spend: Family<[(&'static str, String); 2], Counter<f64, AtomicU64>>,
    open_actors: Gauge,
    partitions: Gauge,
    commands_open: Gauge,
    jobs_waiting: Gauge,
    jobs_sent: Gauge,
    _published: Published,
}

impl Figures {
    fn new() -> Self {
        let (decide_seconds, commit_seconds) = (moments(), moments());
        let commit_appends = Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]);
        let (fence_losses, events_published, dead_letters) = <(Counter, Counter, Counter)>::default();
        let (commands, events, spend) = (Family::default(), Family::default(), Family::default());
        let (open_actors, partitions, commands_open) = <(Gauge, Gauge, Gauge)>::default();
        let jobs = Family::<Labels<1>, Gauge>::default();
        let jobs_waiting = jobs.get_or_create_owned(&[("state", "waiting")]);
        let jobs_sent = jobs.get_or_create_owned(&[("state", "sent")]);

        let mut registry = registry();
        let part = registry.sub_registry_with_prefix("coordinator");
        part.register("decide_seconds", "One decision of the machine", decide_seconds.clone());
        part.register("commit_seconds", "One transaction", commit_seconds.clone());
        part.register("commit_appends", "Appends that shared a transaction", commit_appends.clone());
        part.register("fence_losses", "Appends that another owner was faster than", fence_losses.clone());
        part.register("commands", "Commands decided: answered, or the code of the refusal", Family::clone(&commands));
        part.register("events", "Events recorded", Family::clone(&events));
        part.register("events_published", "Events that have left for NATS", events_published.clone());
        part.register("dead_letters", "Messages set aside", dead_letters.clone());
        part.register("spend_dollars", "What was booked", Family::clone(&spend));
        part.register("open_actors", "Videos in memory", open_actors.clone());
        part.register("partitions", "Partitions owned, of 32", partitions.clone());
        part.register("commands_open", "Commands read and not recorded yet", commands_open.clone());
        part.register("jobs", "Jobs that have not ended", jobs);
        Self {
            decide_seconds,
            commit_seconds,
            commit_appends,
            fence_losses,
            commands,
            events,
            events_published,
            dead_letters,
            spend,
            open_actors,
            partitions,
            commands_open,
            jobs_waiting,
            jobs_sent,
            _published: publish(registry),
        }
    }
}

/// The machine decided something.
pub fn decided(took: Duration) {
    FIGURES.decide_seconds.observe(took.as_secs_f64());
}

/// A transaction with so many appends is committed.
pub fn committed(appends: usize, took: Duration) {
    if appends > 0 {
        FIGURES.commit_appends.observe(appends as f64);
    }
    FIGURES.commit_seconds.observe(took.as_secs_f64());
}

/// Somebody else recorded something about a video first.
pub fn lost_fence() {
    FIGURES.fence_losses.inc();
}

/// A command has its outcome.
pub fn answered(verb: &str, outcome: &CommandOutcome) {
    let verb = VERBS.into_iter().find(|known| *known == verb).unwrap_or("unknown");
    let outcome = match outcome {
        CommandOutcome::CommandAnswered { .. } => "answered",
        CommandOutcome::CommandRejected { rejection, .. } => rejection.code.name(),
    };
    FIGURES.commands.get_or_create(&[("verb", verb), ("outcome", outcome)]).inc();
}

/// An event is recorded.
pub fn recorded(event: &'static str) {
    FIGURES.events.get_or_create(&[("event", event)]).inc();
}

/// So many events have left.
pub fn published(events: usize) {
    FIGURES.events_published.inc_by(events as u64);
}

/// Something could not be handled and was set aside.
pub fn set_aside() {
    FIGURES.dead_letters.inc();
}

/// Money was booked, with models of this catalogue.
pub fn booked(rows: &[LedgerRow], catalogue: &Catalogue) {
    for row in rows {
        let provider = catalogue.models.iter().find(|model| model.name == row.model).map(|model| &model.provider);
        let labels = [("provider", provider.cloned().unwrap_or_default()), ("model", row.model.clone())];
        FIGURES.spend.get_or_create(&labels).inc_by(row.amount_usd.dollars());
    }
}

/// How this replica stands.
pub fn stands(open_actors: usize, partitions: usize, commands_open: usize, jobs: Counts) {
    let set = |gauge: &Gauge, count: usize| {
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    };
    set(&FIGURES.open_actors, open_actors);
    set(&FIGURES.partitions, partitions);
    set(&FIGURES.commands_open, commands_open);
    set(&FIGURES.jobs_waiting, jobs.waiting);
    set(&FIGURES.jobs_sent, jobs.sent);
}
