//! The log, on standard error, one line an event.
//!
//! Libraries speak up from warnings on only, whatever the level: at debug level LaunchDarkly's SDK prints contexts, which
//! have no place in a log.

use std::process::ExitCode;

use flagcache_program::{Level, one_line};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::exit::Exit;

/// The project's own rooms.
const OWN: [&str; 5] =
    ["prefork_server", "flagcache_prefork", "flagcache_sdk", "flagcache_launchdarkly", "flagcache_payload"];

/// Begins to log.
pub fn init(level: Level) {
    let level = level.filter();
    let targets = Targets::new().with_default(level.min(LevelFilter::WARN)).with_targets(OWN.map(|own| (own, level)));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(false);
    tracing_subscriber::registry().with(targets).with(lines).init();
}

/// Says on standard error why the program ends, whatever the level.
#[expect(clippy::print_stderr, reason = "what ends the program is told whether or not there is a log")]
pub fn refuse(error: &dyn std::error::Error, exit: Exit) -> ExitCode {
    eprintln!("prefork-server: {}", one_line(error));
    exit.into()
}
