//! The built server, driven from outside: requests, signals, faults.
//!
//! - `stage`: a server with its LaunchDarkly, and what tests do with both
//! - `serving`: endpoints, modes, configuration
//! - `life`: signals, reloads, respawns, pid file, systemd
//! - `load`: no request fails while workers come and go
//! - `reload`: `.env` read anew
//! - `stream`: one stream for all, whatever dies
//! - `events`: every evaluation is counted once
//! - `hostile`: clients that misbehave
//! - `limits`: a system that refuses processes and threads

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod events;
mod hostile;
mod life;
mod limits;
mod load;
mod reload;
mod serving;
mod stage;
mod stream;
