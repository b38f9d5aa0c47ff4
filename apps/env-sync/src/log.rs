//! Log lines: to stderr, at the level of `LOG_LEVEL`, the names being those of Python's `logging`.
//!
//! What the SDK and its transport log is told only with `DEBUG`: what matters of it is told here already, as the state
//! of the connection. No value of a flag is ever logged.

use std::io::{self, IsTerminal};

use flagcache_program::{Level, UnknownLevel};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::SettingsError;

/// Starts logging at a level.
pub fn start(level: &str) -> Result<(), SettingsError> {
    let own = level.parse::<Level>().map_err(|UnknownLevel| SettingsError::Value {
        variable: "LOG_LEVEL (--log-level)",
        value: level.to_owned(),
        allowed: "DEBUG, INFO, WARNING, ERROR or CRITICAL",
    })?;
    let own = own.filter();
    let others = if own == LevelFilter::DEBUG { LevelFilter::INFO } else { LevelFilter::OFF };
    let targets = Targets::new().with_default(others).with_target("env_sync", own).with_target("flagcache_sdk", own);
    // Why an event could not be read is told nowhere else.
    let targets = targets.with_target("launchdarkly_server_sdk::data_source", others.max(LevelFilter::ERROR));
    // The journal has its own clock.
    let is_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).with_target(false);
    let registry = tracing_subscriber::registry().with(targets);
    let started =
        if is_journal { registry.with(lines.without_time()).try_init() } else { registry.with(lines).try_init() };
    // A second start in one process changes nothing.
    drop(started);
    Ok(())
}
