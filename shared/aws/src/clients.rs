//! The clients, and what they have resolved to, for the line that a function logs at its start.

use crate::CredentialsSource;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_types::service_config::ServiceConfigKey;

/// A client of `DynamoDB`.
pub fn dynamodb(config: &SdkConfig) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::new(config)
}

/// A client of Systems Manager, where parameters are.
pub fn ssm(config: &SdkConfig) -> aws_sdk_ssm::Client {
    aws_sdk_ssm::Client::new(config)
}

/// What the `DynamoDB` client talks to, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The region; empty where there is none.
    pub region: String,
    /// The URL of `DynamoDB`; empty where none can be derived from the region.
    pub endpoint: String,
    /// Where credentials come from.
    pub credentials_source: CredentialsSource,
}

impl Resolved {
    /// What the configuration of [`crate::sdk_config`] resolves to. Makes no request.
    pub async fn of(config: &SdkConfig) -> Self {
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        let endpoint = match configured_endpoint(config) {
            Some(url) => url,
            None => regional_endpoint(config, &region).await.unwrap_or_default(),
        };
        Self { region, endpoint, credentials_source: CredentialsSource::of_environment() }
    }
}

fn configured_endpoint(config: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id("DynamoDB")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    let own = config.service_config().and_then(|service| service.load_config(key));
    own.or_else(|| config.endpoint_url().map(str::to_owned))
}

async fn regional_endpoint(config: &SdkConfig, region: &str) -> Option<String> {
    let params = Params::builder()
        .region(region)
        .use_fips(config.use_fips().unwrap_or_default())
        .use_dual_stack(config.use_dual_stack().unwrap_or_default())
        .build()
        .ok()?;
    let endpoint = DefaultResolver::new().resolve_endpoint(&params).await.ok()?;
    Some(endpoint.url().to_owned())
}
