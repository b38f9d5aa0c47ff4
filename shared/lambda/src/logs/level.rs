//! Which records a level lets through: our own crates' by their severity, other crates' with restraint.

use flagcache_program::Level;
use tracing::level_filters::LevelFilter;

/// Crates that speak of their own inner life at `INFO` and below.
const NOISY: [&str; 10] =
    ["aws_", "eventsource_client", "h2", "hyper", "lambda_runtime", "mio", "reqwest", "rustls", "tokio", "tower"];

/// Those whose lines below a warning hold what no log may: contexts, request headers, bodies.
const TALKATIVE: [&str; 4] =
    ["aws_", "eventsource_client", "launchdarkly_sdk_transport", "launchdarkly_server_sdk::events"];

/// Whether a record of this severity and origin is logged.
pub(super) fn lets_through(level: Level, severity: tracing::Level, target: &str) -> bool {
    if severity > level.filter() {
        return false;
    }
    let comes_from = |crates: &[&str]| crates.iter().any(|name| target.starts_with(name));
    severity <= tracing::Level::WARN || !comes_from(&TALKATIVE) && (level == Level::Debug || !comes_from(&NOISY))
}

/// The same level in the terms of the `log` crate.
pub(super) fn log_filter(level: Level) -> log::LevelFilter {
    match level.filter() {
        LevelFilter::DEBUG => log::LevelFilter::Debug,
        LevelFilter::INFO => log::LevelFilter::Info,
        LevelFilter::WARN => log::LevelFilter::Warn,
        _ => log::LevelFilter::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_crates_are_heard_from_warnings_on() {
        use tracing::Level as Severity;
        for (level, severity, target, expected) in [
            (Level::Info, Severity::INFO, "store", true),
            (Level::Info, Severity::DEBUG, "store", false),
            (Level::Info, Severity::INFO, "hyper::client", false),
            (Level::Info, Severity::WARN, "aws_config::imds", true),
            (Level::Warning, Severity::INFO, "store", false),
            (Level::Debug, Severity::DEBUG, "hyper::client", true),
            (Level::Debug, Severity::DEBUG, "aws_smithy_runtime::client", false),
            (Level::Debug, Severity::DEBUG, "launchdarkly_server_sdk::events::sender", false),
            (Level::Debug, Severity::ERROR, "launchdarkly_server_sdk::events::sender", true),
            (Level::Debug, Severity::DEBUG, "launchdarkly_server_sdk::client", true),
            (Level::Debug, Severity::TRACE, "store", false),
            (Level::Critical, Severity::ERROR, "store", true),
            (Level::Critical, Severity::WARN, "store", false),
        ] {
            assert_eq!(lets_through(level, severity, target), expected, "{level} {target}");
        }
    }
}
