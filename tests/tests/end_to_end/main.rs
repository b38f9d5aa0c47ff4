//! End to end over the built binaries, through their public interface only.
//!
//! - `webhook`: who is let in, and with which answer
//! - `sync`: what reaches the table, and what does not
//! - `upstream_faults`: a LaunchDarkly that misbehaves
//! - `table_faults`: a table that is missing, wrong or slow, and stores that are stopped in the middle
//! - `healing`: a table that somebody has damaged
//! - `overrides`: flags that `rc` overrides in the table while LaunchDarkly is away
//! - `races`: many stores at once
//! - `reader`: what the reader answers, over tables in every state
//! - `configuration`: variables, logs and metrics
//! - `secrets`: secrets in the Parameter Store

mod configuration;
mod healing;
mod overrides;
mod races;
mod reader;
mod secrets;
mod sync;
mod table_faults;
mod upstream_faults;
mod webhook;
