//! What every process does the same way; no video vocabulary beyond the contract's.
//!
//! In reading order: [`service`] (start, run, stop), [`config`], [`secret`] and [`telemetry`] (what it is told and what it
//! says), [`health`], [`metrics`], [`monitoring`] and [`trace`] (how it is and what it does, for those who look after it), [`bus`] (NATS: streams, publishing, asking) and [`registration`] (being seen there), [`artifacts`] (stored
//! objects), [`worker`] (the consume loop and what a handler sees), [`job_error`] (how a job fails), [`child`] (media
//! tools that never outlive us), [`scratch`] (files that never outlive us either), [`clock`] (the one place that reads the time) and [`backoff`] (how long to wait).

pub mod artifacts;
pub mod backoff;
pub mod bus;
pub mod child;
pub mod clock;
pub mod config;
pub mod health;
pub mod job_error;
pub mod metrics;
pub mod monitoring;
pub mod registration;
pub mod scratch;
pub mod secret;
pub mod service;
pub mod telemetry;
pub mod trace;
pub mod worker;

/// Faster than the system's where many small things come and go, and gives memory back while nothing happens.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
