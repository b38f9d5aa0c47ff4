//! The variables with a limited set of values, checked before either way reads them: one of the
//! SDK's own readers ends the process on a wrong one.

use super::ConfigError;
use super::plain::ENDPOINTS;
use crate::{Lookup, variable};
use aws_smithy_types::retry::{RetryConfig, RetryMode};

/// What the variables say; nothing where they say nothing.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) retries: Option<RetryConfig>,
    pub(super) use_fips: Option<bool>,
    pub(super) use_dual_stack: Option<bool>,
    pub(super) ignore_endpoints: bool,
}

impl Settings {
    pub(super) fn from_lookup(lookup: Lookup) -> Result<Self, ConfigError> {
        let attempts = read(lookup, "AWS_MAX_ATTEMPTS", "a whole number from 1", |value| {
            value.parse().ok().filter(|&attempts: &u32| attempts > 0)
        })?;
        let mode = read(lookup, "AWS_RETRY_MODE", "standard or adaptive", |value| {
            match value.to_ascii_lowercase().as_str() {
                "standard" => Some(RetryMode::Standard),
                "adaptive" => Some(RetryMode::Adaptive),
                _ => None,
            }
        })?;
        let flag = |name| read(lookup, name, "true or false", boolean);
        for name in ENDPOINTS {
            read(lookup, name, "an http:// or https:// URL such as http://localhost:8000", endpoint)?;
        }
        for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
            read(lookup, name, "the name of a region such as eu-west-1", region)?;
        }
        Ok(Self {
            retries: retries(attempts, mode),
            use_fips: flag("AWS_USE_FIPS_ENDPOINT")?,
            use_dual_stack: flag("AWS_USE_DUALSTACK_ENDPOINT")?,
            ignore_endpoints: flag("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")?.unwrap_or_default(),
        })
    }
}

fn retries(attempts: Option<u32>, mode: Option<RetryMode>) -> Option<RetryConfig> {
    if attempts.is_none() && mode.is_none() {
        return None;
    }
    let mut retries = RetryConfig::standard().with_retry_mode(mode.unwrap_or(RetryMode::Standard));
    if let Some(attempts) = attempts {
        retries = retries.with_max_attempts(attempts);
    }
    Some(retries)
}

/// As the SDK resolves it: an absolute URL, which it only looks at when it sends.
fn endpoint(value: &str) -> Option<()> {
    let url: http::Uri = value.parse().ok()?;
    let is_http = url.scheme().is_some_and(|scheme| ["http", "https"].contains(&scheme.as_str()));
    is_http.then_some(())
}

/// As the SDK wants it: a label of a host's name.
fn region(value: &str) -> Option<()> {
    let is_label = value.len() <= 63 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_label.then_some(())
}

fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn read<T>(
    lookup: Lookup,
    name: &'static str,
    choices: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, ConfigError> {
    let Some(value) = variable(lookup, name) else {
        return Ok(None);
    };
    match parse(&value) {
        Some(parsed) => Ok(Some(parsed)),
        None => Err(ConfigError::Value { variable: name, value, choices }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_values_are_named_with_their_choices() {
        for (name, value, message) in [
            ("AWS_MAX_ATTEMPTS", "0", r#"read AWS_MAX_ATTEMPTS="0": it may be a whole number from 1"#),
            ("AWS_MAX_ATTEMPTS", "many", r#"read AWS_MAX_ATTEMPTS="many": it may be a whole number from 1"#),
            ("AWS_RETRY_MODE", "legacy", r#"read AWS_RETRY_MODE="legacy": it may be standard or adaptive"#),
            (
                "AWS_ENDPOINT_URL_DYNAMODB",
                "localhost:8000",
                "read AWS_ENDPOINT_URL_DYNAMODB=\"localhost:8000\": it may be an http:// or https:// URL such as \
                 http://localhost:8000",
            ),
            (
                "AWS_REGION",
                "Frankfurt am Main",
                "read AWS_REGION=\"Frankfurt am Main\": it may be the name of a region such as eu-west-1",
            ),
            ("AWS_USE_FIPS_ENDPOINT", "1", r#"read AWS_USE_FIPS_ENDPOINT="1": it may be true or false"#),
        ] {
            let error = Settings::from_lookup(&|asked| (asked == name).then(|| value.to_owned())).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn nothing_set_says_nothing() {
        let settings = Settings::from_lookup(&|_| None).unwrap();
        assert!(settings.retries.is_none() && settings.use_fips.is_none());
        assert!(!settings.ignore_endpoints);
    }
}
