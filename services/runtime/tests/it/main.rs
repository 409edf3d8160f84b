//! The bus and the worker loop against a real `nats-server`, each test on a server of its own.
//!
//! Covered: [`streams`] (what is set up, and what of the server we rely on), [`publishing`] (what an answer means),
//! [`jobs`] (a job from the queue to its report), [`trouble`] (what goes wrong around a job), [`stopping`] (hints,
//! deadlines, shutdown), [`money`] (reservations), [`presence`] (what `nats micro` sees).

mod harness;
mod jobs;
mod money;
mod presence;
mod publishing;
mod stopping;
mod streams;
mod trouble;
