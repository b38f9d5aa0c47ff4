//! The variables that say which flags to read, and how fresh they must be.

use std::time::Duration;

use flagcache_sdk::config::{Endpoint, Endpoints, SdkKey};

/// The table; required.
pub const TABLE: &str = "LAUNCHDARKLY_DYNAMODB_TABLE";
/// The prefix of the table's namespaces; none where it is absent.
pub const PREFIX: &str = "LAUNCHDARKLY_DYNAMODB_PREFIX";
/// For how many seconds data that was read is trusted; 0: it is checked at each call.
pub const CACHE_TTL: &str = "LAUNCHDARKLY_CACHE_TTL";
/// The server-side SDK key; where it is set, analytics events are sent.
pub const SDK_KEY: &str = "LAUNCHDARKLY_SDK_KEY";
/// Where events are sent.
pub const EVENTS_URI: &str = "LAUNCHDARKLY_EVENTS_URI";

/// What [`CACHE_TTL`] is where it is absent.
pub const DEFAULT_CACHE_TTL: Duration = Duration::from_secs(15);

/// Why flags cannot be read at all: somebody has to change a variable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no table's name.
    #[error("{TABLE} is not set; set it to the name of the table that store fills")]
    NoTable,
    /// The time to live is no number of seconds.
    #[error("{CACHE_TTL} is `{0}`; it may be a whole number of seconds from 0 to {max}", max = u32::MAX)]
    CacheTtl(String),
    /// The SDK key or an endpoint is wrong.
    #[error(transparent)]
    Sdk(#[from] flagcache_sdk::config::ConfigError),
    /// The AWS client cannot be configured.
    #[error(transparent)]
    Aws(#[from] flagcache_aws::ConfigError),
}

/// Which flags to read, and how.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table's name.
    pub table: String,
    /// The prefix of its namespaces; empty: none.
    pub prefix: String,
    /// For how long data is trusted.
    pub cache_ttl: Duration,
    /// Where events go, and as whom; nothing where none are wanted.
    pub events: Option<(SdkKey, Endpoints)>,
}

impl Config {
    /// What the environment says.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_lookup(&|name| std::env::var(name).ok())
    }

    /// What these variables say; an empty one counts as absent.
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let variable = |name| lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let cache_ttl = variable(CACHE_TTL).map_or(Ok(DEFAULT_CACHE_TTL), |value| seconds(&value))?;
        let events = match variable(SDK_KEY) {
            None => None,
            Some(key) => {
                let events = variable(EVENTS_URI).map(|uri| Endpoint::new(EVENTS_URI, &uri)).transpose()?;
                let own = Endpoints::default();
                let events = events.unwrap_or_else(|| own.events.clone());
                Some((SdkKey::new(SDK_KEY, &key)?, Endpoints { events, ..own }))
            }
        };
        Ok(Self {
            table: variable(TABLE).ok_or(ConfigError::NoTable)?,
            prefix: variable(PREFIX).unwrap_or_default(),
            cache_ttl,
            events,
        })
    }
}

fn seconds(value: &str) -> Result<Duration, ConfigError> {
    let seconds: Result<u32, _> = value.parse();
    seconds.map(|seconds| Duration::from_secs(seconds.into())).map_err(|_| ConfigError::CacheTtl(value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, String> {
        let lookup =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Config::from_lookup(&lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn a_table_is_enough() {
        let config = read(&[(TABLE, " flags "), (PREFIX, ""), (CACHE_TTL, ""), (SDK_KEY, "")]).unwrap();
        assert_eq!((config.table.as_str(), config.prefix.as_str()), ("flags", ""));
        assert_eq!(config.cache_ttl, Duration::from_secs(15));
        assert!(config.events.is_none());
    }

    #[test]
    fn everything_can_be_said() {
        let config = read(&[
            (TABLE, "flags"),
            (PREFIX, "prod"),
            (CACHE_TTL, "0"),
            (SDK_KEY, "sdk-key"),
            (EVENTS_URI, "http://127.0.0.1:1"),
        ])
        .unwrap();
        assert_eq!((config.prefix.as_str(), config.cache_ttl), ("prod", Duration::ZERO));
        let (key, endpoints) = config.events.unwrap();
        assert_eq!(key.expose(), "sdk-key");
        assert_eq!(endpoints.events, Endpoint::new("", "http://127.0.0.1:1").unwrap());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_value_and_never_a_secret() {
        for (variables, message) in [
            (vec![], "LAUNCHDARKLY_DYNAMODB_TABLE is not set; set it to the name of the table that store fills"),
            (
                vec![(TABLE, "t"), (CACHE_TTL, "15s")],
                "LAUNCHDARKLY_CACHE_TTL is `15s`; it may be a whole number of seconds from 0 to 4294967295",
            ),
            (
                vec![(TABLE, "t"), (CACHE_TTL, "-1")],
                "LAUNCHDARKLY_CACHE_TTL is `-1`; it may be a whole number of seconds from 0 to 4294967295",
            ),
            (
                vec![(TABLE, "t"), (SDK_KEY, "k"), (EVENTS_URI, "relay")],
                "LAUNCHDARKLY_EVENTS_URI is `relay`, which is no http:// or https:// URI with a host",
            ),
            (
                vec![(TABLE, "t"), (SDK_KEY, "sec\nret")],
                "LAUNCHDARKLY_SDK_KEY is empty or has characters that cannot be in a header; copy the server-side SDK key anew",
            ),
        ] {
            assert_eq!(read(&variables).unwrap_err(), message);
        }
    }
}
