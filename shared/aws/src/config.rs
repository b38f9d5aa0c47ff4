//! The configuration of all AWS clients, from the environment.
//!
//! Inside Lambda everything needed stands in plain variables, and building the configuration out of
//! them (`plain`) takes microseconds. Anything that asks for more, a profile, a container's or a
//! web identity's credentials, takes the SDK's own chain, which costs milliseconds. Either way the
//! same HTTP client, retries and timeouts. Variables and their meaning: AWS SDKs and Tools
//! reference guide, "Settings reference".

mod plain;
mod settings;

use crate::Lookup;
use crate::http::{Http, Trust};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::retry::{ReconnectMode, RetryConfig};
use aws_smithy_types::timeout::TimeoutConfig;
use settings::Settings;
use std::fmt;
use std::time::Duration;

/// How long one attempt of a request may take, from connecting to the answer's last byte.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest first pause between attempts; the SDK draws one below it, and doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest of all pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Why there is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No region is set anywhere.
    #[error("find the AWS region: set AWS_REGION (or AWS_DEFAULT_REGION)")]
    NoRegion,
    /// Inside Lambda, and the function's role has left no credentials.
    #[error("find AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (inside Lambda the role sets them)")]
    NoCredentials,
    /// A variable has a value that it cannot have.
    #[error("read {variable}={value:?}: it may be {choices}")]
    Value {
        /// The variable.
        variable: &'static str,
        /// Its value; of none of these variables a secret.
        value: String,
        /// What it may be.
        choices: &'static str,
    },
}

/// Where credentials come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialsSource {
    /// `AWS_ACCESS_KEY_ID` and its companions, as the process started with them.
    Environment,
    /// The SDK's chain: environment, profile, web identity, container, instance metadata.
    Chain,
}

impl CredentialsSource {
    /// Where [`sdk_config`] takes credentials from in this process.
    pub fn of_environment() -> Self {
        Self::from_lookup(&environment)
    }

    fn from_lookup(lookup: Lookup) -> Self {
        if plain::suffices(lookup) { Self::Environment } else { Self::Chain }
    }
}

impl fmt::Display for CredentialsSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Environment => "environment",
            Self::Chain => "chain",
        })
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The configuration that the environment asks for. Clients made of it share one HTTP client.
///
/// Requests are only made where credentials or region come from a service.
pub async fn sdk_config() -> Result<SdkConfig, ConfigError> {
    from_lookup(&environment).await
}

/// The same for a program that reads variables from elsewhere too, such as a file. What only the SDK's own chain
/// understands (profiles, web identities) is read from the process's environment all the same.
pub async fn from_lookup(lookup: Lookup<'_>) -> Result<SdkConfig, ConfigError> {
    let settings = Settings::from_lookup(lookup)?;
    let http = Http::new(Trust::from_lookup(lookup));
    let config = match CredentialsSource::from_lookup(lookup) {
        CredentialsSource::Environment => plain::load(lookup, &settings, http)?,
        CredentialsSource::Chain => chain(&settings, http, plain::region(lookup)).await,
    };
    if config.region().is_none() {
        return Err(ConfigError::NoRegion);
    }
    let retries = config.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
    let retries = retries.with_initial_backoff(FIRST_PAUSE).with_max_backoff(LONGEST_PAUSE);
    // Our HTTP client hands out no connections to close, and the SDK would log an error where it wants one.
    let retries = retries.with_reconnect_mode(ReconnectMode::ReuseAllConnections);
    let tuned = config
        .into_builder()
        .behavior_version(behavior())
        .retry_config(retries)
        .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_TIMEOUT).build())
        // Attempts are bounded, and answers are small: watching the throughput gains nothing.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    Ok(tuned.build())
}

/// As of the SDK in the lock file.
fn behavior() -> BehaviorVersion {
    BehaviorVersion::latest()
}

async fn chain(settings: &Settings, http: Http, region: Option<String>) -> SdkConfig {
    let mut loader = aws_config::defaults(behavior()).http_client(http);
    // The chain panics on what `Settings` has checked already.
    if let Some(retries) = &settings.retries {
        loader = loader.retry_config(retries.clone());
    }
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    loader.load().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn plain_variables_make_a_whole_configuration() {
        let lookup = |name: &str| match name {
            "AWS_DEFAULT_REGION" => Some("eu-west-1".to_owned()),
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("test".to_owned()),
            "AWS_MAX_ATTEMPTS" => Some("2".to_owned()),
            _ => None,
        };
        let config = from_lookup(&lookup).await.unwrap();
        assert_eq!(config.region().unwrap().as_ref(), "eu-west-1");
        let retries = config.retry_config().unwrap();
        assert_eq!((retries.max_attempts(), retries.initial_backoff()), (2, FIRST_PAUSE));
        let timeouts = config.timeout_config().unwrap();
        assert_eq!(timeouts.operation_attempt_timeout(), Some(ATTEMPT_TIMEOUT));
    }

    #[tokio::test]
    async fn inside_lambda_what_is_missing_is_named_at_once() {
        let missing = async |present: &[&str]| {
            let lookup = |name: &str| {
                let set = name == "AWS_LAMBDA_FUNCTION_NAME" || present.contains(&name);
                set.then(|| "x".to_owned())
            };
            from_lookup(&lookup).await.unwrap_err()
        };
        assert_eq!(missing(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]).await, ConfigError::NoRegion);
        assert_eq!(missing(&["AWS_REGION", "AWS_ACCESS_KEY_ID"]).await, ConfigError::NoCredentials);
    }
}
