//! The planner: a prompt becomes a spec.
//!
//! It knows one command ([`PlanSpec`](messages::planner::PlanSpec)) and its outcome; it knows neither the pipeline nor a
//! person, and it stores nothing: the spec travels in the outcome.
//!
//! In reading order: [`handler`] (the job on one page), [`prompt`] (job to prompt) and [`reply`] (reply to spec), both pure,
//! [`language_model`] (who answers), [`rules`] (the built-in one that needs no network).

pub mod handler;
pub mod language_model;
pub mod prompt;
pub mod reply;
pub mod rules;

pub use handler::handler;
