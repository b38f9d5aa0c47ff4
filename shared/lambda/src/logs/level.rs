//! How much is logged: `LOG_LEVEL`, and which crates' records it does not open.

use std::fmt;

/// The variable that sets the level.
pub const LOG_LEVEL: &str = "LOG_LEVEL";

/// The least severity that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// Everything down to debug messages, other crates' too.
    Debug,
    /// What a run does, and other crates' warnings.
    #[default]
    Info,
    /// What asks for attention.
    Warning,
    /// What failed.
    Error,
    /// The same as `Error`, since no record is graver than that.
    Critical,
}

/// `LOG_LEVEL` has a value that it cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read {LOG_LEVEL}={value:?}: it may be DEBUG, INFO, WARNING, ERROR or CRITICAL")]
pub struct LevelError {
    value: String,
}

/// Crates that speak of their own inner life at `INFO` and below.
const NOISY: [&str; 10] =
    ["aws_", "eventsource_client", "h2", "hyper", "lambda_runtime", "mio", "reqwest", "rustls", "tokio", "tower"];

/// Those whose lines below a warning hold what no log may: contexts, request headers, bodies.
const TALKATIVE: [&str; 4] =
    ["aws_", "eventsource_client", "launchdarkly_sdk_transport", "launchdarkly_server_sdk::events"];

impl Level {
    /// The level that the environment asks for, `INFO` where the variable is unset or empty.
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, LevelError> {
        let value = lookup(LOG_LEVEL).unwrap_or_default();
        match value.trim().to_ascii_uppercase().as_str() {
            "DEBUG" => Ok(Self::Debug),
            "" | "INFO" => Ok(Self::Info),
            "WARNING" => Ok(Self::Warning),
            "ERROR" => Ok(Self::Error),
            "CRITICAL" => Ok(Self::Critical),
            _ => Err(LevelError { value }),
        }
    }

    /// Whether a record of this severity and origin is logged.
    pub(super) fn lets_through(self, severity: tracing::Level, target: &str) -> bool {
        if severity > self.tracing_filter() {
            return false;
        }
        let comes_from = |crates: &[&str]| crates.iter().any(|name| target.starts_with(name));
        severity <= tracing::Level::WARN || !comes_from(&TALKATIVE) && (self == Self::Debug || !comes_from(&NOISY))
    }

    pub(super) fn tracing_filter(self) -> tracing::level_filters::LevelFilter {
        use tracing::level_filters::LevelFilter;
        match self {
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warning => LevelFilter::WARN,
            Self::Error | Self::Critical => LevelFilter::ERROR,
        }
    }

    pub(super) fn log_filter(self) -> log::LevelFilter {
        match self {
            Self::Debug => log::LevelFilter::Debug,
            Self::Info => log::LevelFilter::Info,
            Self::Warning => log::LevelFilter::Warn,
            Self::Error | Self::Critical => log::LevelFilter::Error,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(value: &str) -> Result<Level, LevelError> {
        Level::from_lookup(&|name| (name == LOG_LEVEL).then(|| value.to_owned()))
    }

    #[test]
    fn levels_are_read_in_any_case() {
        for (value, expected) in [
            ("DEBUG", Level::Debug),
            ("info", Level::Info),
            ("Warning", Level::Warning),
            (" ERROR ", Level::Error),
            ("critical", Level::Critical),
            ("", Level::Info),
        ] {
            assert_eq!(level(value), Ok(expected));
        }
        assert_eq!(Level::from_lookup(&|_| None), Ok(Level::Info));
    }

    #[test]
    fn a_wrong_level_names_variable_value_and_choices() {
        assert_eq!(
            level("verbose").unwrap_err().to_string(),
            "read LOG_LEVEL=\"verbose\": it may be DEBUG, INFO, WARNING, ERROR or CRITICAL"
        );
    }

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
            assert_eq!(level.lets_through(severity, target), expected, "{level} {target}");
        }
    }
}
