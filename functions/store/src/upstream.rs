//! LaunchDarkly as the sync asks it: the polling endpoint, with the SDK key read when it is needed.
//!
//! A key that LaunchDarkly refuses may have been rotated: where it comes from SSM it is read once more.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flagcache_aws::{SecretError, SecretSource, Secrets};
use flagcache_launchdarkly::polling::{self, FetchError, PollingClient};
use launchdarkly_server_sdk_dynamodb::sync::{Fetched, Upstream};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

/// Why LaunchDarkly gave no payload.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// The SDK key cannot be read.
    #[error(transparent)]
    Key(#[from] SecretError),
    /// LaunchDarkly does not answer as it should.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

/// The polling endpoint with its key.
pub(crate) struct LaunchDarkly {
    client: PollingClient,
    secrets: Arc<Secrets>,
    key: SecretSource,
}

impl LaunchDarkly {
    pub(crate) const fn new(client: PollingClient, secrets: Arc<Secrets>, key: SecretSource) -> Self {
        Self { client, secrets, key }
    }

    async fn ask(&self, key: &SecretString, etag: Option<&str>, deadline: Instant) -> Result<Fetched, FetchError> {
        Ok(match self.client.latest_all(key, etag, deadline).await? {
            polling::Fetched::NotModified => Fetched::NotModified,
            polling::Fetched::Payload { body, etag } => Fetched::Payload { body, etag },
        })
    }
}

impl Upstream for LaunchDarkly {
    type Error = UpstreamError;

    async fn fetch(&self, etag: Option<&str>, deadline_ms: u64) -> Result<Fetched, UpstreamError> {
        let deadline = instant(deadline_ms);
        let key = self.secrets.get(&self.key).await?;
        match self.ask(&key, etag, deadline).await {
            Err(refused @ FetchError::KeyRefused { .. }) => {
                let newer = self.secrets.refresh(&self.key).await?;
                if newer.expose_secret() == key.expose_secret() {
                    return Err(refused.into());
                }
                Ok(self.ask(&newer, etag, deadline).await?)
            }
            answer => Ok(answer?),
        }
    }
}

/// A moment of the wall clock as the runtime's timers count.
fn instant(deadline_ms: u64) -> Instant {
    let deadline = UNIX_EPOCH + Duration::from_millis(deadline_ms);
    Instant::now() + deadline.duration_since(SystemTime::now()).unwrap_or_default()
}
