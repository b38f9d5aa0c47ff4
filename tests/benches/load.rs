//! Many webhooks a minute at a pool of stores, over DynamoDB Local.

use anyhow::{Context, Result};
use flagcache_tests::binaries::binary;
use flagcache_tests::contents::Contents;
use flagcache_tests::load::Load;
use flagcache_tests::pipeline::SECRET;
use flagcache_tests::table::Table;
use local::lambda::Function;
use serde_json::json;
use std::time::Duration;

/// Loads the stores, and says what came of it once the table is found to be as LaunchDarkly is.
pub(crate) async fn measure(endpoint: &str, flags: usize, webhooks: u32) -> Result<String> {
    let table = Table::create(endpoint).await?;
    let load = Load { flags, webhooks, over: Duration::from_mins(1), stores: 10 };
    let source = load.source().await?;
    let store = Function::new(binary("store")?)
        .envs(table.variables(endpoint))
        .envs(source.variables())
        .env("LAUNCHDARKLY_WEBHOOK_SECRET", SECRET);
    store.spawn().await?.invoke(&json!({})).await?;
    let outcome = load.run(store, &source, 1).await?;
    let converged = Contents::of(&table).await?.ensure_is("", &outcome.payload);
    converged.with_context(|| format!("the table is not LaunchDarkly's after {outcome}"))?;
    Ok(format!("Load, {flags} flags, 10 stores: {outcome}; the table is LaunchDarkly's, byte for byte"))
}
