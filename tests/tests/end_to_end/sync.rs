//! What a sync brings into the table.

use anyhow::Result;
use flagcache_tests::pipeline::{Pipeline, deliver, entry, webhook};
use serde_json::{Value, json};

#[tokio::test]
async fn a_manual_run_fills_an_empty_table_in_the_official_layout() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.store()?.spawn().await?;
    let summary = store.invoke(&json!({})).await?;
    assert_eq!(summary["outcome"], "updated");
    assert_eq!(summary["trigger"], "manual");
    assert_eq!(summary["generation"], 1);
    let payload: Value = serde_json::from_slice(&pipeline.launchdarkly.data())?;
    let flags = payload["flags"].as_object().unwrap();
    assert_eq!(summary["flags"], json!({"total": flags.len(), "written": flags.len(), "deleted": 0}));
    let items = pipeline.table.items().await?;
    assert!(items.iter().any(|item| item["namespace"]["S"] == "$inited" && item["key"]["S"] == "$inited"));
    for (key, flag) in flags {
        let item = items.iter().find(|item| item["namespace"]["S"] == "features" && item["key"]["S"] == **key).unwrap();
        assert_eq!(item["version"]["N"], flag["version"].to_string());
        assert_eq!(&serde_json::from_str::<Value>(item["item"]["S"].as_str().unwrap())?, flag);
    }
    Ok(())
}

#[tokio::test]
async fn a_webhook_brings_one_changed_flag_into_the_table() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.filled().await?;
    let change = pipeline.launchdarkly.set_flag_on("sample-flag", true);
    let change = change.or_else(|| pipeline.launchdarkly.set_flag_on("sample-flag", false)).unwrap();
    let answer = deliver(&store, &webhook(&entry("sample-flag", "updateOn", Some(change.version)))).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["flags"]["written"], 1);
    assert_eq!(answer.body["fresh"], true);
    assert_eq!(answer.body["trigger"], "webhook");
    assert_eq!(answer.body["generation"], 2);
    let again = deliver(&store, &webhook(&entry("sample-flag", "updateOn", Some(change.version)))).await?;
    assert_eq!((again.status, &again.body["outcome"]), (200, &json!("unchanged")));
    Ok(())
}
