//! What a worker counts. Several services may share a process, so that each figure names its service.

use std::sync::LazyLock;
use std::time::Duration;

use messages::service::Service;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use tokio::time::Instant;

use crate::metrics::{Labels, Published, publish, registry, spans};

static FIGURES: LazyLock<Figures> = LazyLock::new(Figures::new);

/// How jobs end, as they are counted.
const OUTCOMES: [&str; 7] = ["done", "retry_later", "give_up", "cancelled", "crashed", "needs_upgrade", "returned"];

type Waits = Family<Labels<1>, Histogram, fn() -> Histogram>;

#[derive(Debug)]
struct Figures {
    slots: Family<Labels<1>, Gauge>,
    running: Family<Labels<1>, Gauge>,
    jobs: Family<Labels<2>, Counter>,
    deliveries: Family<Labels<2>, Counter>,
    dead_letters: Family<Labels<1>, Counter>,
    job_seconds: Waits,
    queue_seconds: Waits,
    planned_seconds: Waits,
    _published: Published,
}

impl Figures {
    fn new() -> Self {
        let mut registry = registry();
        let waits = || Waits::new_with_constructor(spans);
        let figures = (
            Family::<Labels<1>, Gauge>::default(),
            Family::<Labels<1>, Gauge>::default(),
            Family::<Labels<2>, Counter>::default(),
            Family::<Labels<2>, Counter>::default(),
            Family::<Labels<1>, Counter>::default(),
            (waits(), waits(), waits()),
        );
        let (slots, running, jobs, deliveries, dead_letters, (job_seconds, queue_seconds, planned_seconds)) = figures;
        registry.register("worker_slots", "Jobs that may run at a time", slots.clone());
        registry.register("worker_running", "Jobs that run now", running.clone());
        registry.register("worker_jobs", "Jobs that ended here, by how", jobs.clone());
        registry.register("worker_deliveries", "Jobs taken: for the first time, or again", deliveries.clone());
        registry.register("worker_dead_letters", "Jobs set aside", dead_letters.clone());
        registry.register("worker_job_seconds", "From taken to reported", job_seconds.clone());
        registry.register("worker_queue_seconds", "From sent to taken, first deliveries", queue_seconds.clone());
        registry.register("worker_planned_seconds", "From planned to taken, first deliveries", planned_seconds.clone());
        let _published = publish(registry);
        Self { slots, running, jobs, deliveries, dead_letters, job_seconds, queue_seconds, planned_seconds, _published }
    }
}

const fn of(service: Service) -> Labels<1> {
    [("service", service.name())]
}

/// A replica starts. All that it may count is there from now on, at zero.
pub fn starts(service: Service, slots: usize) {
    let figures = &*FIGURES;
    figures.slots.get_or_create(&of(service)).set(i64::try_from(slots).unwrap_or(i64::MAX));
    drop(figures.running.get_or_create(&of(service)));
    drop(figures.dead_letters.get_or_create(&of(service)));
    for outcome in OUTCOMES {
        drop(figures.jobs.get_or_create(&[("service", service.name()), ("outcome", outcome)]));
    }
    for delivery in ["first", "again"] {
        drop(figures.deliveries.get_or_create(&[("service", service.name()), ("delivery", delivery)]));
    }
    for waits in [&figures.job_seconds, &figures.queue_seconds, &figures.planned_seconds] {
        drop(waits.get_or_create(&of(service)));
    }
}

/// A job in our hands.
#[derive(Debug)]
pub struct Taken {
    service: Service,
    since: Instant,
}

/// A job was taken after it had waited in the queue, and since it was planned, for so long.
pub fn taken(service: Service, deliveries: u64, queued: Option<Duration>, planned: Option<Duration>) -> Taken {
    let figures = &*FIGURES;
    let delivery = if deliveries <= 1 { "first" } else { "again" };
    figures.deliveries.get_or_create(&[("service", service.name()), ("delivery", delivery)]).inc();
    figures.running.get_or_create(&of(service)).inc();
    for (waits, waited) in [(&figures.queue_seconds, queued), (&figures.planned_seconds, planned)] {
        if let Some(waited) = waited {
            waits.get_or_create(&of(service)).observe(waited.as_secs_f64());
        }
    }
    Taken { service, since: Instant::now() }
}

impl Taken {
    /// It ended, in one of the ways that are counted.
    pub fn ended(self, outcome: &'static str) {
        FIGURES.jobs.get_or_create(&[("service", self.service.name()), ("outcome", outcome)]).inc();
        FIGURES.job_seconds.get_or_create(&of(self.service)).observe(self.since.elapsed().as_secs_f64());
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        FIGURES.running.get_or_create(&of(self.service)).dec();
    }
}

/// A job was set aside.
pub fn set_aside(service: Service) {
    FIGURES.dead_letters.get_or_create(&of(service)).inc();
}
