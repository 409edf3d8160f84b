//! The `dailies` command line: a person at a terminal, and the whole cluster in one process for that person.
//!
//! It decides nothing about films. It starts the services that do (`up`, and `make` for as long as it runs), sends the
//! commands and reads the events that everybody may, and shows them.
//!
//! In reading order: [`arguments`] (what may be typed), [`make`] and [`up`] (the two that most people type), [`requests`]
//! (the short ones), [`deployment`] (`cluster`: replicas as [`processes`]), [`store`] (the S3 endpoint alone), [`migrate`] (the database of a
//! cluster), [`bench`] (what all this costs); below them [`cluster`] and [`embedded`] (all services in one
//! process), [`data_folder`] (who owns it), [`nats_server`] and [`postgres_server`] (children), [`client`] and [`follow`] (commands, queries,
//! events), [`downloads`] (artifacts as files), [`dead_letters`] (what could not be handled), [`spec_edit`] in the person's [`editor`]; and what is shown:
//! [`checkpoint_page`], [`spec_table`], [`checkpoint_tree`], [`history`], [`running`], [`happened`], on a [`screen`] in
//! [`columns`], asked through the [`keyboard`].

pub mod api_key;
pub mod arguments;
pub mod bench;
pub mod checkpoint_page;
pub mod checkpoint_tree;
pub mod client;
pub mod cluster;
pub mod columns;
pub mod data_folder;
pub mod dead_letters;
pub mod deployment;
pub mod downloads;
pub mod editor;
pub mod embedded;
pub mod follow;
pub mod happened;
pub mod health;
pub mod history;
pub mod key;
pub mod keyboard;
pub mod make;
pub mod migrate;
pub mod nats_server;
pub mod postgres_server;
pub mod processes;
pub mod requests;
pub mod retention;
pub mod running;
pub mod screen;
pub mod spec_edit;
pub mod spec_table;
pub mod store;
pub mod up;

/// What a person types to start us: `./dev` in a checkout, `dailies` elsewhere.
pub fn program() -> String {
    std::env::var("DAILIES_COMMAND").unwrap_or_else(|_| "dailies".to_owned())
}
