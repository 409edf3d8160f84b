//! The contract of Dailies: every type, name and byte that crosses a process boundary. No IO, no clock, no randomness.
//!
//! In reading order:
//!
//! | module | what | from → to | subject |
//! |---|---|---|---|
//! | [`id`], [`phase`], [`service`], [`money`] | the words that everything else is made of | | |
//! | [`catalogue`] | models, prices, beats, archetypes | | |
//! | [`spec`] | what a film is to be, and the rules for it | | |
//! | [`artifact`] | what phases make | | |
//! | [`command`], with [`video`], [`checkpoint`] and [`import`] as bodies | what anyone may ask, and refusals | anyone → coordinator | `video.…cmd.{verb}` |
//! | [`event`] | what happened; how a command ended | coordinator → anyone | `video.…event.{name}` |
//! | [`query`] | what anyone may see, request/reply | anyone → coordinator | `query.…` |
//! | [`job`] and [`planner`], [`storyboard`], [`chunk`], [`refine`], [`import`] | work, one family per service | coordinator → worker | `job.{service}.…` |
//! | [`job`] | `claim`, `submitted`, `done`, `failed`, `returned` | worker → coordinator, request | `coordinator.{partition}.{outcome}` |
//! | [`trace`] | which trace something belongs to; goes along with all of the above | | |
//! | [`subject`], [`codec`] | every subject name; the bytes of internal messages | | |

pub mod artifact;
pub mod catalogue;
pub mod checkpoint;
pub mod chunk;
pub mod codec;
pub mod command;
pub mod event;
pub mod id;
pub mod import;
pub mod job;
pub mod money;
pub mod phase;
pub mod planner;
pub mod query;
pub mod refine;
pub mod service;
pub mod spec;
pub mod storyboard;
pub mod subject;
pub mod trace;
pub mod video;
pub mod violation;
