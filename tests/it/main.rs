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
//! | `retention` | what was abandoned is listed, then collected with its objects |
//! | `nats_cli`, `nats_py` | other people's clients |
//! | `identity` | who may what: keys, roles of the NATS configuration, signed links; and those who try what is not theirs |
//! | `gateways` | an event stream that goes on at another gateway |
//! | `processes` | every service as a process of its own |
//! | `bad_days` | kills, restarts, missing tools |
//! | `tidy` | what must not be in the code |
//!
//! [`harness`] starts one private system per test, which is gone afterwards; [`film`] looks at a film and listens to it,
//! [`terminal`] is a person at a terminal.

mod api;
mod bad_days;
mod bad_input;
mod checkpoints;
mod commands;
mod edits;
mod film;
mod gateways;
mod harness;
mod identity;
mod lifecycle;
mod make;
mod money;
mod nats_cli;
mod nats_py;
mod processes;
mod retention;
mod terminal;
mod tidy;
mod uploads;
