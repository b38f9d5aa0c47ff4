//! What `prefork-server` is made of: an HTTP server that fetches LaunchDarkly's flags once, forks, and has live flags in
//! every worker.
//!
//! - [`cli`], [`config`]: what the user and the environment say;
//! - [`start`]: from there to a running group, or to the one process of `--dev`;
//! - [`group`]: what the master, a worker and the stream holder do;
//! - `reload`: the configuration read anew;
//! - [`http`]: requests in, answers out, of a worker;
//! - [`log`], [`exit`]: what is told, and how the program ends.
//!
//! Forking, signals, sockets and the processes' life are `flagcache-prefork`'s; flags are evaluated by LaunchDarkly's SDK.

pub mod cli;
pub mod config;
pub mod exit;
pub mod group;
pub mod http;
pub mod log;
mod reload;
pub mod start;
