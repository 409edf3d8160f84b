//! The whole system as its users meet it: real processes, a real NATS, real films.
//!
//! | file | what is covered |
//! |---|---|
//! | `lifecycle` | from a prompt to a film that plays; what the status, the tree and the links say on the way |
//! | `checkpoints` | approvals over HTTP, NATS and the command line; twice, too early, fifty at once |
//! | `make` | a film in the terminal: edited, made again, resumed; and without a terminal |
//! | `commands` | the short commands, in words and as JSON, and what they refuse |
//! | `api` | the live stream, idempotency keys, the other routes |
//! | `edits` | changes at checkpoints: spec, sound, versions, branches; twice, at once, at the wrong time |
//! | `uploads` | files that people bring: good ones, and at which door the others end |
//! | `bad_input` | what is refused, by which name, over HTTP and over NATS; garbage on every subject |
//! | `money` | what is estimated is what is booked; budgets; by hand and alone make the same film |
//! | `migrate` | `dailies migrate`: twice, by several at once, in vain |
//! | `retention` | what was abandoned is listed, then collected with its objects |
//! | `nats_cli`, `nats_py` | other people's clients |
//! | `identity` | who may what: keys, roles of the NATS configuration, signed links; and those who try what is not theirs |
//! | `gateways` | an event stream that goes on at another gateway |
//! | `processes` | every service as a process of its own |
//! | `telemetry`, `traces` | what those see who look after it: figures, health; each phase as one trace |
//! | `bad_days` | kills, restarts, missing tools |
//! | `deployment` | three NATS nodes, PostgreSQL and replicas as processes; a node, the leader and the database killed |
//! | `compose` | the files of a deployment name only what exists |
//! | `tidy` | what must not be in the code |
//!
//! [`harness`] starts one private system per test, which is gone afterwards; [`film`] looks at a film and listens to it,
//! [`terminal`] is a person at a terminal.

mod api;
mod bad_days;
mod bad_input;
mod checkpoints;
mod commands;
mod compose;
mod deployment;
mod edits;
mod film;
mod gateways;
mod harness;
mod identity;
mod lifecycle;
mod make;
mod migrate;
mod money;
mod nats_cli;
mod nats_py;
#[expect(dead_code, reason = "written for a cluster on one machine too")]
#[path = "../../services/dailies/src/postgres_server.rs"]
mod postgres_server;
mod processes;
mod retention;
mod telemetry;
mod terminal;
mod tidy;
mod traces;
mod uploads;
