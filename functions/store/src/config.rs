//! The variables of this function, read once into one value.
//!
//! A wrong or missing one is an error that names it; the function then starts all the same and answers every invocation
//! with that error, as a function that crashes at its start tells nobody why.

use std::time::Duration;

use flagcache_aws::SecretSource;
use flagcache_launchdarkly::endpoints::{self, BaseUri, EndpointError};
use launchdarkly_server_sdk_dynamodb::sync::Settings;

/// The table's name; required.
pub(crate) const TABLE: &str = "LAUNCHDARKLY_DYNAMODB_TABLE";
/// The prefix of the official layout's namespaces.
const PREFIX: &str = "LAUNCHDARKLY_DYNAMODB_PREFIX";
/// The server-side SDK key; with `_PARAMETER`, the name of the SSM parameter that holds it.
const SDK_KEY: &str = "LAUNCHDARKLY_SDK_KEY";
/// The webhook's secret; with `_PARAMETER`, the name of the SSM parameter that holds it.
const WEBHOOK_SECRET: &str = "LAUNCHDARKLY_WEBHOOK_SECRET";
/// Whether a webhook without a configured secret is accepted: `optional` or `required`.
const WEBHOOK_SIGNATURE: &str = "LAUNCHDARKLY_WEBHOOK_SIGNATURE";
/// How long LaunchDarkly is asked again for the change that a webhook named, in milliseconds.
const FRESHNESS_WINDOW: &str = "LAUNCHDARKLY_FRESHNESS_WINDOW_MS";
/// Whether a payload without flags may empty a filled table: `true` or `false`.
const ALLOW_EMPTY: &str = "LAUNCHDARKLY_ALLOW_EMPTY";

const DEFAULT_FRESHNESS_WINDOW: Duration = Duration::from_secs(5);
/// No function lives longer.
const MAX_WINDOW_MS: u64 = 900_000;

type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Why the function cannot work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A variable is missing.
    #[error("read {variable}: it is not set; {remedy}")]
    Missing {
        /// Its name.
        variable: &'static str,
        /// What to set it to.
        remedy: &'static str,
    },
    /// A variable has a value that it cannot have.
    #[error("read {variable}={value:?}: it may be {choices}")]
    Value {
        /// Its name.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        choices: &'static str,
    },
    /// LaunchDarkly's address makes no sense.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// What this function was told.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) table: String,
    pub(crate) prefix: String,
    pub(crate) sdk_key: SecretSource,
    pub(crate) webhook_secret: Option<SecretSource>,
    pub(crate) signature_required: bool,
    pub(crate) settings: Settings,
    pub(crate) base_uri: BaseUri,
}

impl Config {
    /// Reads the variables through a lookup.
    pub(crate) fn from_lookup(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let table = set(lookup, TABLE).ok_or(ConfigError::Missing {
            variable: TABLE,
            remedy: "set it to the name of the DynamoDB table to fill",
        })?;
        let sdk_key = SecretSource::from_lookup(lookup, SDK_KEY).ok_or(ConfigError::Missing {
            variable: SDK_KEY,
            remedy: "set it to the environment's server-side SDK key, or LAUNCHDARKLY_SDK_KEY_PARAMETER to the name of \
                     the SSM parameter that holds it",
        })?;
        let freshness_window = window(lookup)?;
        let allow_empty = one_of(lookup, ALLOW_EMPTY, &[("false", false), ("true", true)], "true or false")?;
        Ok(Self {
            table,
            prefix: set(lookup, PREFIX).unwrap_or_default(),
            sdk_key,
            webhook_secret: SecretSource::from_lookup(lookup, WEBHOOK_SECRET),
            signature_required: one_of(
                lookup,
                WEBHOOK_SIGNATURE,
                &[("optional", false), ("required", true)],
                "optional or required",
            )?,
            settings: Settings { freshness_window, allow_empty },
            base_uri: endpoints::BASE.from_env(lookup)?,
        })
    }
}

fn set(lookup: Lookup<'_>, variable: &str) -> Option<String> {
    lookup(variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn window(lookup: Lookup<'_>) -> Result<Duration, ConfigError> {
    let Some(value) = set(lookup, FRESHNESS_WINDOW) else { return Ok(DEFAULT_FRESHNESS_WINDOW) };
    match value.parse() {
        Ok(milliseconds) if milliseconds <= MAX_WINDOW_MS => Ok(Duration::from_millis(milliseconds)),
        _ => Err(ConfigError::Value {
            variable: FRESHNESS_WINDOW,
            value,
            choices: "a whole number of milliseconds from 0 to 900000",
        }),
    }
}

/// The first choice is the default.
fn one_of(
    lookup: Lookup<'_>,
    variable: &'static str,
    values: &[(&str, bool)],
    choices: &'static str,
) -> Result<bool, ConfigError> {
    let Some(value) = set(lookup, variable) else { return Ok(values[0].1) };
    let found = values.iter().find(|(name, _)| value.eq_ignore_ascii_case(name));
    found.map(|(_, meaning)| *meaning).ok_or(ConfigError::Value { variable, value, choices })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, String> {
        let base = [(TABLE, "flags"), (SDK_KEY, "sdk-1")];
        let lookup = |name: &str| {
            let found = variables.iter().rev().chain(&base).find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Config::from_lookup(&lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_set_has_its_documented_default() {
        let config = read(&[]).unwrap();
        assert_eq!((config.table.as_str(), config.prefix.as_str()), ("flags", ""));
        assert_eq!(config.settings, Settings { freshness_window: Duration::from_secs(5), allow_empty: false });
        assert!(!config.signature_required && config.webhook_secret.is_none());
        assert_eq!(config.base_uri.to_string().trim_end_matches('/'), "https://sdk.launchdarkly.com");
    }

    #[test]
    fn values_are_taken() {
        let config = read(&[
            (PREFIX, "eu"),
            (FRESHNESS_WINDOW, "0"),
            (ALLOW_EMPTY, "TRUE"),
            (WEBHOOK_SIGNATURE, "Required"),
            (WEBHOOK_SECRET, "s"),
        ])
        .unwrap();
        assert_eq!(config.prefix, "eu");
        assert_eq!(config.settings, Settings { freshness_window: Duration::ZERO, allow_empty: true });
        assert!(config.signature_required && config.webhook_secret.is_some());
    }

    #[test]
    fn a_wrong_value_names_the_variable_and_what_it_may_be() {
        for (variable, value, message) in [
            (
                TABLE,
                " ",
                "read LAUNCHDARKLY_DYNAMODB_TABLE: it is not set; set it to the name of the DynamoDB table to fill",
            ),
            (WEBHOOK_SIGNATURE, "yes", "read LAUNCHDARKLY_WEBHOOK_SIGNATURE=\"yes\": it may be optional or required"),
            (ALLOW_EMPTY, "1", "read LAUNCHDARKLY_ALLOW_EMPTY=\"1\": it may be true or false"),
            (
                FRESHNESS_WINDOW,
                "5s",
                "read LAUNCHDARKLY_FRESHNESS_WINDOW_MS=\"5s\": it may be a whole number of milliseconds from 0 to 900000",
            ),
            (
                FRESHNESS_WINDOW,
                "-1",
                "read LAUNCHDARKLY_FRESHNESS_WINDOW_MS=\"-1\": it may be a whole number of milliseconds from 0 to 900000",
            ),
        ] {
            assert_eq!(read(&[(variable, value)]).unwrap_err(), message);
        }
        assert!(read(&[(SDK_KEY, "")]).unwrap_err().contains("LAUNCHDARKLY_SDK_KEY_PARAMETER"));
        assert!(read(&[("LAUNCHDARKLY_BASE_URI", "nowhere")]).unwrap_err().contains("LAUNCHDARKLY_BASE_URI"));
    }
}
