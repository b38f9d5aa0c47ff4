//! The log, on standard error, one line an event.
//!
//! Libraries speak up from warnings on only, whatever the level: at debug level LaunchDarkly's SDK prints contexts, which
//! have no place in a log.

use std::process::ExitCode;
use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::environment::Environment;
use crate::exit::Exit;

/// How much is logged.
pub const LOG_LEVEL: &str = "LOG_LEVEL";

/// The project's own rooms.
const OWN: [&str; 5] =
    ["prefork_server", "flagcache_prefork", "flagcache_sdk", "flagcache_launchdarkly", "flagcache_payload"];

/// A level that is none.
#[derive(Debug, thiserror::Error)]
#[error("read LOG_LEVEL={0:?}: it may be DEBUG, INFO, WARNING, ERROR or CRITICAL")]
pub struct LevelError(String);

/// The level that the environment asks for, INFO if it does not.
pub fn level(environment: &Environment) -> Result<LevelFilter, LevelError> {
    let Some(name) = environment.get(LOG_LEVEL) else { return Ok(LevelFilter::INFO) };
    let level = match name.to_ascii_uppercase().as_str() {
        "DEBUG" => "debug",
        "INFO" => "info",
        "WARNING" => "warn",
        "ERROR" | "CRITICAL" => "error",
        _ => return Err(LevelError(name.to_owned())),
    };
    LevelFilter::from_str(level).map_err(|_| LevelError(name.to_owned()))
}

/// Begins to log.
pub fn init(level: LevelFilter) {
    let targets = Targets::new().with_default(level.min(LevelFilter::WARN)).with_targets(OWN.map(|own| (own, level)));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(false);
    tracing_subscriber::registry().with(targets).with(lines).init();
}

/// Says on standard error why the program ends, whatever the level.
#[expect(clippy::print_stderr, reason = "what ends the program is told whether or not there is a log")]
pub fn refuse(error: &dyn std::error::Error, exit: Exit) -> ExitCode {
    eprintln!("prefork-server: {}", chain(error));
    exit.into()
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat the cause in their own text.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_in_any_case() {
        for (name, level) in
            [("debug", LevelFilter::DEBUG), ("Warning", LevelFilter::WARN), ("CRITICAL", LevelFilter::ERROR)]
        {
            assert_eq!(super::level(&Environment::from_pairs([(LOG_LEVEL, name)])).unwrap(), level);
        }
        let error = level(&Environment::from_pairs([(LOG_LEVEL, "loud")])).unwrap_err().to_string();
        assert_eq!(error, "read LOG_LEVEL=\"loud\": it may be DEBUG, INFO, WARNING, ERROR or CRITICAL");
    }
}
