//! The embedded S3 endpoint: what `dailies up` stores pictures, clips and films in when no other S3 server is named.
//!
//! It serves the part of S3 that the object client of `runtime` uses, and that players and common tools need to read:
//! buckets, put (also `If-None-Match: *`), get with ranges, head, delete, list, presigned links. Everything else answers
//! `NotImplemented`. It does no multipart uploads, versions, access lists or TLS: it listens on loopback.
//!
//! Promises: an answer means that bytes and metadata are on the disk; an object is visible whole or not at all; of
//! concurrent writers with `If-None-Match: *` exactly one wins; no key reaches outside the folder. One process owns the
//! folder at a time; whoever opens the endpoint sees to that.
//!
//! In reading order: [`endpoint`] (settings, connections, stopping), `protocol` (S3 operations in terms of the store),
//! `store` (files on disk), and below it `names` (keys as paths), `record` (one object in one file), `upload` (bytes on
//! their way in), `listing` (keys in order), `space` (the quota).

pub mod endpoint;
mod protocol;
mod store;

pub use endpoint::{Endpoint, OpenError, Settings};
