//! The configuration built by hand out of plain variables, as Lambda sets them.

use super::settings::Settings;
use super::{ConfigError, behavior};
use crate::http::Http;
use crate::{Lookup, variable};
use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_types::retry::RetryConfig;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use std::path::Path;

const ACCESS_KEY: &str = "AWS_ACCESS_KEY_ID";
const SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const ENDPOINT: &str = "AWS_ENDPOINT_URL";
pub(super) const ENDPOINTS: [&str; 3] = [ENDPOINT, "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SSM"];

/// Variables that only the SDK's chain understands.
const CHAIN_ONLY: [&str; 16] = [
    "AWS_ACCOUNT_ID",
    "AWS_ACCOUNT_ID_ENDPOINT_MODE",
    "AWS_AUTH_SCHEME_PREFERENCE",
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_DEFAULTS_MODE",
    "AWS_DISABLE_CLOCK_SKEW_CORRECTION",
    "AWS_NEW_RETRIES_2026",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_SDK_UA_APP_ID",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_SIGV4A_SIGNING_REGION_SET",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "SECRET_ACCESS_KEY",
];

/// Whether plain variables say everything. Inside Lambda they also do when some are missing, for
/// there is nowhere else to look; elsewhere the chain may know more.
pub(super) fn suffices(lookup: Lookup) -> bool {
    let set = |name: &str| variable(lookup, name).is_some();
    if CHAIN_ONLY.into_iter().any(set) || has_profiles(lookup) {
        return false;
    }
    let complete = [ACCESS_KEY, SECRET_KEY].into_iter().all(set) && region(lookup).is_some();
    complete || set("AWS_LAMBDA_FUNCTION_NAME")
}

/// Whether there are profiles in their usual place: the default one may set any of these things.
fn has_profiles(lookup: Lookup) -> bool {
    variable(lookup, "HOME").is_some_and(|home| {
        let profiles = Path::new(&home).join(".aws");
        profiles.join("config").exists() || profiles.join("credentials").exists()
    })
}

pub(super) fn region(lookup: Lookup) -> Option<String> {
    variable(lookup, "AWS_REGION").or_else(|| variable(lookup, "AWS_DEFAULT_REGION"))
}

/// The configuration that the variables describe.
pub(super) fn load(lookup: Lookup, settings: &Settings, http: Http) -> Result<SdkConfig, ConfigError> {
    let region = region(lookup).ok_or(ConfigError::NoRegion)?;
    let (Some(id), Some(secret)) = (variable(lookup, ACCESS_KEY), variable(lookup, SECRET_KEY)) else {
        return Err(ConfigError::NoCredentials);
    };
    let token = variable(lookup, "AWS_SESSION_TOKEN");
    let credentials = Credentials::new(id, secret, token, None, "environment");
    let mut config = SdkConfig::builder()
        .behavior_version(behavior())
        .region(Region::new(region))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http)
        .retry_config(settings.retries.clone().unwrap_or_else(RetryConfig::standard))
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .time_source(SharedTimeSource::default())
        .service_config(Endpoints::from_lookup(lookup, settings));
    config.set_use_fips(settings.use_fips);
    config.set_use_dual_stack(settings.use_dual_stack);
    Ok(config.build())
}

/// The endpoints that the environment sets: a service's own variable counts before the common one.
#[derive(Debug)]
struct Endpoints(Vec<(&'static str, String)>);

impl Endpoints {
    fn from_lookup(lookup: Lookup, settings: &Settings) -> Self {
        let read = |name| Some((name, variable(lookup, name)?));
        let ignored = settings.ignore_endpoints;
        Self(ENDPOINTS.into_iter().filter_map(read).filter(|_| !ignored).collect())
    }

    fn get(&self, name: &str) -> Option<String> {
        let (_, url) = self.0.iter().find(|(known, _)| *known == name)?;
        Some(url.clone())
    }
}

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        if key.env() != ENDPOINT {
            return None;
        }
        let service = key.service_id().to_uppercase().replace(' ', "_");
        self.get(&format!("{ENDPOINT}_{service}")).or_else(|| self.get(ENDPOINT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Resolved;

    fn variables(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        const LAMBDA: [(&str, &str); 4] =
            [(ACCESS_KEY, "id"), (SECRET_KEY, "secret"), ("AWS_SESSION_TOKEN", "token"), ("AWS_REGION", "eu-west-1")];
        |name| {
            let (_, value) = pairs.iter().chain(&LAMBDA).find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        }
    }

    #[test]
    fn what_only_the_chain_understands_goes_to_the_chain() {
        assert!(suffices(&variables(&[])));
        assert!(suffices(&variables(&[("AWS_PROFILE", "")])));
        assert!(suffices(&variables(&[("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "us-east-1")])));
        assert!(!suffices(&variables(&[("AWS_REGION", "")])));
        assert!(!suffices(&variables(&[(SECRET_KEY, "")])));
        for name in CHAIN_ONLY {
            assert!(!suffices(&|asked| (asked == name).then(|| "x".to_owned()).or_else(|| variables(&[])(asked))));
        }
    }

    #[test]
    fn profiles_in_their_usual_place_go_to_the_chain() {
        let home = tempfile::tempdir().unwrap();
        let lookup = |name: &str| match name {
            "HOME" => Some(home.path().display().to_string()),
            _ => variables(&[])(name),
        };
        assert!(suffices(&lookup));
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        std::fs::write(home.path().join(".aws/config"), "").unwrap();
        assert!(!suffices(&lookup));
    }

    #[tokio::test]
    async fn endpoints_follow_the_variables() {
        const OWN: (&str, &str) = ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1");
        const COMMON: (&str, &str) = (ENDPOINT, "http://127.0.0.1:2");
        let cases: [(&'static [_], &str); 7] = [
            (&[], "https://dynamodb.eu-west-1.amazonaws.com"),
            (&[OWN, COMMON], "http://127.0.0.1:1"),
            (&[COMMON], "http://127.0.0.1:2"),
            (&[("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:3")], "https://dynamodb.eu-west-1.amazonaws.com"),
            (
                &[OWN, COMMON, ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")],
                "https://dynamodb.eu-west-1.amazonaws.com",
            ),
            (&[("AWS_USE_FIPS_ENDPOINT", "true")], "https://dynamodb-fips.eu-west-1.amazonaws.com"),
            (&[("AWS_USE_DUALSTACK_ENDPOINT", "true")], "https://dynamodb.eu-west-1.api.aws"),
        ];
        for (pairs, expected) in cases {
            let config = crate::config::from_lookup(&variables(pairs)).await.unwrap();
            assert_eq!(Resolved::of(&config).await.endpoint, expected);
        }
    }
}
