//! End to end over the built binaries, through their public interface only.
//!
//! - `webhook`: who is let in, and with which answer
//! - `sync`: what reaches the table, and what does not
//! - `upstream_faults`: a LaunchDarkly that misbehaves
//! - `table_faults`: a table that is missing, wrong, damaged or slow
//! - `configuration`: variables and secrets

mod configuration;
mod sync;
mod table_faults;
mod upstream_faults;
mod webhook;
