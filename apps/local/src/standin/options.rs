//! How a stand-in is set up: its names, keys and data.

use super::environment::Environment;
use super::item::DataError;
use std::time::Duration;

/// The payload that is served unless another is given: ten flags and two segments.
const DEMO: &str = include_str!("demo.json");

/// Names, keys, data and webhook of a stand-in; [`StandinOptions::default`] has one for each.
#[derive(Clone)]
pub struct StandinOptions {
    pub(super) sdk_key: String,
    pub(super) api_token: String,
    pub(super) webhook_secret: String,
    pub(super) webhook_url: Option<String>,
    pub(super) project: String,
    pub(super) environment: String,
    pub(super) listed_environments: Vec<String>,
    pub(super) heartbeat: Duration,
    pub(super) data: String,
}

impl Default for StandinOptions {
    /// SDK key `sdk-local`, API token `api-local`, webhook secret `secret-local`, no webhook URL,
    /// project `default`, environment `staging`, listed beside it `production` and `test`, and a
    /// small demonstration payload.
    fn default() -> Self {
        Self {
            sdk_key: "sdk-local".to_owned(),
            api_token: "api-local".to_owned(),
            webhook_secret: "secret-local".to_owned(),
            webhook_url: None,
            project: "default".to_owned(),
            environment: "staging".to_owned(),
            listed_environments: vec!["production".to_owned(), "test".to_owned()],
            heartbeat: Duration::from_secs(30),
            data: DEMO.to_owned(),
        }
    }
}

impl StandinOptions {
    /// The server-side SDK key that polling, streaming and events need.
    #[must_use]
    pub fn sdk_key(mut self, key: impl Into<String>) -> Self {
        self.sdk_key = key.into();
        self
    }

    /// The access token that the REST API needs.
    #[must_use]
    pub fn api_token(mut self, token: impl Into<String>) -> Self {
        self.api_token = token.into();
        self
    }

    /// What webhooks are signed with.
    #[must_use]
    pub fn webhook_secret(mut self, secret: impl Into<String>) -> Self {
        self.webhook_secret = secret.into();
        self
    }

    /// Where webhooks go. Can also be set later.
    #[must_use]
    pub fn webhook_url(mut self, url: impl Into<String>) -> Self {
        self.webhook_url = Some(url.into());
        self
    }

    /// The project's key.
    #[must_use]
    pub fn project(mut self, key: impl Into<String>) -> Self {
        self.project = key.into();
        self
    }

    /// The key of the environment whose payload is served.
    #[must_use]
    pub fn environment(mut self, key: impl Into<String>) -> Self {
        self.environment = key.into();
        self
    }

    /// Further environments, which the REST API lists and nothing else knows.
    #[must_use]
    pub fn listed_environments<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.listed_environments = keys.into_iter().map(Into::into).collect();
        self
    }

    /// How often an idle stream carries a comment.
    #[must_use]
    pub fn heartbeat(mut self, every: Duration) -> Self {
        self.heartbeat = every;
        self
    }

    /// The payload, `{"flags":{…},"segments":{…}}`. An error if it is none.
    pub fn data(mut self, payload: impl Into<String>) -> Result<Self, DataError> {
        self.data = payload.into();
        Environment::from_payload(&self.data, 0)?;
        Ok(self)
    }

    /// A payload with nothing in it.
    #[must_use]
    pub fn empty(mut self) -> Self {
        r#"{"flags":{},"segments":{}}"#.clone_into(&mut self.data);
        self
    }
}

impl std::fmt::Debug for StandinOptions {
    /// Without the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StandinOptions")
            .field("project", &self.project)
            .field("environment", &self.environment)
            .field("webhook_url", &self.webhook_url)
            .finish_non_exhaustive()
    }
}
