//! Puts the function together, once.

use std::sync::Arc;

use flagcache_aws::{Resolved, SecretSource, Secrets};
use flagcache_lambda::logs::{Level, LevelError};
use flagcache_launchdarkly::Limits;
use flagcache_launchdarkly::polling::PollingClient;
use launchdarkly_server_sdk_dynamodb::sync::{Syncer, SystemClock};
use launchdarkly_server_sdk_dynamodb::table::DynamoDbTable;

use crate::config::Config;
use crate::failure::Failure;
use crate::upstream::LaunchDarkly;
use crate::webhook;

/// All that the handler needs.
pub(crate) struct Store {
    pub(crate) syncer: Syncer<DynamoDbTable, LaunchDarkly, SystemClock>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) webhook_secret: Option<SecretSource>,
    pub(crate) signature_required: bool,
    pub(crate) prefix: String,
}

/// Puts the function together; a failure is what every invocation will be answered with.
pub(crate) async fn start(log_level: Result<Level, LevelError>) -> Result<Store, Failure> {
    let started = build(log_level).await;
    if let Err(failure) = &started {
        tracing::error!(error = failure.message(), "started, but every invocation will fail");
    }
    started
}

async fn build(log_level: Result<Level, LevelError>) -> Result<Store, Failure> {
    log_level?;
    let config = Config::from_lookup(&|name| std::env::var(name).ok())?;
    let aws = flagcache_aws::sdk_config().await?;
    let Resolved { region, endpoint, credentials_source } = Resolved::of(&aws).await;
    let (table, prefix) = (config.table.as_str(), config.prefix.as_str());
    tracing::info!(region, table, prefix, endpoint, credentials = %credentials_source, launchdarkly = %config.base_uri, "started");
    let secrets = Arc::new(Secrets::new(aws.clone()));
    // Beside the start and not before its end: a scheduled run needs no webhook secret, and waits for none.
    tokio::spawn(webhook::announce(Arc::clone(&secrets), config.webhook_secret.clone(), config.signature_required));
    let client = PollingClient::new(config.base_uri, Limits::default())?;
    let upstream = LaunchDarkly::new(client, Arc::clone(&secrets), config.sdk_key);
    let table = DynamoDbTable::new(flagcache_aws::dynamodb(&aws), table, prefix);
    Ok(Store {
        syncer: Syncer::new(table, upstream, SystemClock, config.settings),
        secrets,
        webhook_secret: config.webhook_secret,
        signature_required: config.signature_required,
        prefix: config.prefix,
    })
}
