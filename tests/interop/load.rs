//! Many webhooks at once, out of order and some twice, at ten stores: `bench load` at a smaller size.

use crate::seed;
use anyhow::{Result, ensure};
use flagcache_tests::binaries::binary;
use flagcache_tests::contents::Contents;
use flagcache_tests::dynamodb_local::DynamoDbLocal;
use flagcache_tests::load::Load;
use flagcache_tests::pipeline::SECRET;
use flagcache_tests::table::Table;
use flagcache_tests::tools::Tools;
use local::lambda::Function;
use serde_json::json;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_webhooks_at_ten_stores_leave_the_table_as_launchdarkly_is() -> Result<()> {
    let emulator = DynamoDbLocal::start(&Tools::install()?).await?;
    let table = Table::create(&emulator.endpoint()).await?;
    let load = Load { flags: 100, webhooks: 200, over: Duration::from_secs(6), stores: 10 };
    let source = load.source().await?;
    let store = Function::new(binary("store")?)
        .envs(table.variables(&emulator.endpoint()))
        .envs(source.variables())
        .env("LAUNCHDARKLY_WEBHOOK_SECRET", SECRET);
    store.spawn().await?.invoke(&json!({})).await?;

    let outcome = load.run(store, &source, seed()).await?;

    println!("{outcome}");
    ensure!(outcome.statuses.keys().all(|status| [200, 503].contains(status)), "{outcome}");
    Contents::of(&table).await?.ensure_is("", &outcome.payload)
}
