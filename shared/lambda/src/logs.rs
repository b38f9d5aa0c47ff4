//! Logs: one JSON object a line on stdout inside Lambda, readable lines on stderr elsewhere.
//!
//! A hand-written subscriber instead of a layered one: it starts in microseconds and knows the two
//! things that matter here, a level and which crates are noisy. Records of the `log` crate (the
//! LaunchDarkly SDK writes those) take the same way. Spans are not recorded; while an invocation
//! is served, every line carries its request id.
//!
//! Line format: `timestamp` and `level` as Lambda's own JSON logs have them (Lambda developer guide,
//! "Using JSON structured log format"), so its log-level filter understands them; the fields of the
//! event stand beside them.

mod bridge;
mod level;
mod line;

pub use flagcache_program::{Level, LevelError};
pub(crate) use line::set_request_id;

use bridge::{LogRecords, Subscriber};
use line::{Format, Sink};
use std::io;
use std::sync::Arc;

/// Sets up logging for the whole process from the environment; a second call changes nothing.
///
/// A wrong `LOG_LEVEL` is returned when logging is set up already, at `INFO`: the caller decides
/// between a line in the log and the end of the program.
pub fn init() -> Result<Level, LevelError> {
    let read = |name: &str| std::env::var(name).ok();
    let level = Level::from_lookup(&read).map(Option::unwrap_or_default);
    let sink = if read("AWS_LAMBDA_FUNCTION_NAME").is_some() {
        Sink::new(Format::Json, Box::new(io::stdout()))
    } else {
        Sink::new(Format::Text, Box::new(io::stderr()))
    };
    install(*level.as_ref().unwrap_or(&Level::Info), Arc::new(sink));
    level
}

fn install(level: Level, sink: Arc<Sink>) {
    let subscriber = Subscriber::new(level, sink.clone());
    // Either call fails only where the process has a logger already; that one then stays.
    if tracing::subscriber::set_global_default(subscriber).is_ok()
        && log::set_boxed_logger(Box::new(LogRecords::new(level, sink))).is_ok()
    {
        log::set_max_level(level::log_filter(level));
    }
}
