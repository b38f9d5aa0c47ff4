//! How much is logged: `LOG_LEVEL`, whose names are those of Python's `logging`.

use std::fmt;
use std::str::FromStr;

use tracing::level_filters::LevelFilter;

/// The variable that sets the level.
pub const LOG_LEVEL: &str = "LOG_LEVEL";

/// The least severity that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// Everything down to debug messages.
    Debug,
    /// What a run does.
    #[default]
    Info,
    /// What asks for attention.
    Warning,
    /// What failed.
    Error,
    /// The same as `Error`, since no record is graver than that.
    Critical,
}

/// A name that no level has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it may be DEBUG, INFO, WARNING, ERROR or CRITICAL")]
pub struct UnknownLevel;

/// `LOG_LEVEL` has a value that it cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read {LOG_LEVEL}={value:?}: {UnknownLevel}")]
pub struct LevelError {
    value: String,
}

impl Level {
    /// The names, as they are shown.
    pub const NAMES: [&str; 5] = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];

    /// The level that the environment asks for; `None` where the variable is unset or empty.
    ///
    /// # Errors
    /// Where the variable holds no level.
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, LevelError> {
        match lookup(LOG_LEVEL) {
            Some(value) if !value.trim().is_empty() => {
                value.parse().map(Some).map_err(|UnknownLevel| LevelError { value })
            }
            _ => Ok(None),
        }
    }

    /// The same in the terms of `tracing`.
    pub const fn filter(self) -> LevelFilter {
        match self {
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warning => LevelFilter::WARN,
            Self::Error | Self::Critical => LevelFilter::ERROR,
        }
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    /// In any case, with spaces around it.
    fn from_str(name: &str) -> Result<Self, UnknownLevel> {
        match name.trim().to_ascii_uppercase().as_str() {
            "DEBUG" => Ok(Self::Debug),
            "INFO" => Ok(Self::Info),
            // Python's `logging` knows both.
            "WARNING" | "WARN" => Ok(Self::Warning),
            "ERROR" => Ok(Self::Error),
            "CRITICAL" => Ok(Self::Critical),
            _ => Err(UnknownLevel),
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

    fn level(value: &str) -> Result<Option<Level>, LevelError> {
        Level::from_lookup(&|name| (name == LOG_LEVEL).then(|| value.to_owned()))
    }

    #[test]
    fn levels_are_read_in_any_case() {
        for (value, expected) in [
            ("DEBUG", Some(Level::Debug)),
            ("info", Some(Level::Info)),
            ("Warning", Some(Level::Warning)),
            ("warn", Some(Level::Warning)),
            (" ERROR ", Some(Level::Error)),
            ("critical", Some(Level::Critical)),
            (" ", None),
        ] {
            assert_eq!(level(value), Ok(expected));
        }
        assert_eq!(Level::from_lookup(&|_| None), Ok(None));
    }

    #[test]
    fn every_name_is_shown_as_it_is_read() {
        for name in Level::NAMES {
            assert_eq!(name.parse::<Level>().map(|level| level.to_string()), Ok(name.to_owned()));
        }
    }

    #[test]
    fn a_wrong_level_names_variable_value_and_choices() {
        assert_eq!(
            level("verbose").unwrap_err().to_string(),
            "read LOG_LEVEL=\"verbose\": it may be DEBUG, INFO, WARNING, ERROR or CRITICAL"
        );
    }
}
