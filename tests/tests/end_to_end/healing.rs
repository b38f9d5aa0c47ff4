//! A table that somebody has damaged behind our back is whole again after the next run.

use anyhow::{Context, Result, ensure};
use flagcache_tests::contents::Contents;
use flagcache_tests::gateway::Request;
use flagcache_tests::pipeline::{Pipeline, SECRET, entry};
use flagcache_tests::watched::Watched;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

fn named(version: u64) -> Request {
    Request::signed(SECRET, entry("sample-flag", "updateOn", Some(version)))
}

fn schedule() -> Value {
    json!({"source": "aws.events", "detail-type": "Scheduled Event", "id": "1", "time": "2025-01-01T00:00:00Z"})
}

/// One thing that happens to a table behind everybody's back.
type Damage = (&'static str, Vec<(&'static str, Value)>);

fn key(namespace: &str, key: &str) -> Value {
    json!({"namespace": {"S": namespace}, "key": {"S": key}})
}

fn lost(name: &'static str, keys: &[(&str, &str)]) -> Damage {
    (name, keys.iter().map(|(namespace, range)| ("DeleteItem", json!({"Key": key(namespace, range)}))).collect())
}

/// An item gets other attributes; those that it had and that are not named stay.
fn edited(name: &'static str, namespace: &str, range: &str, attributes: &[(&str, Value)]) -> Damage {
    let names: serde_json::Map<String, Value> =
        attributes.iter().enumerate().map(|(n, (name, _))| (format!("#a{n}"), json!(name))).collect();
    let values: serde_json::Map<String, Value> =
        attributes.iter().enumerate().map(|(n, (_, value))| (format!(":v{n}"), value.clone())).collect();
    let sets: Vec<String> = (0..attributes.len()).map(|n| format!("#a{n} = :v{n}")).collect();
    let request = json!({
        "Key": key(namespace, range), "UpdateExpression": format!("SET {}", sets.join(", ")),
        "ExpressionAttributeNames": names, "ExpressionAttributeValues": values,
    });
    (name, vec![("UpdateItem", request)])
}

fn stripped(name: &'static str, namespace: &str, range: &str, attribute: &str) -> Damage {
    let request = json!({
        "Key": key(namespace, range), "UpdateExpression": "REMOVE #a", "ExpressionAttributeNames": {"#a": attribute},
    });
    (name, vec![("UpdateItem", request)])
}

fn replaced(name: &'static str, item: &Value) -> Damage {
    (name, vec![("PutItem", json!({"Item": item}))])
}

const OURS: &str = "$flagcache";
const LEASE: &str = "the head's lease was left behind";

fn damages_to_items() -> Vec<Damage> {
    let (number, text) = (|n: &str| json!({"N": n}), |s: &str| json!({"S": s}));
    let stranger = json!({"namespace": {"S": "features"}, "key": {"S": "stranger"}, "version": {"N": "3"},
                          "item": {"S": "{\"key\":\"stranger\",\"version\":3}"}});
    let bare = json!({"namespace": {"S": "features"}, "key": {"S": "stranger"}});
    vec![
        lost("a flag is lost", &[("features", "theme")]),
        lost("a segment is lost", &[("segments", "staff")]),
        lost("several items are lost", &[("features", "theme"), ("features", "sample-flag"), ("segments", "staff")]),
        lost("the mark is lost", &[("$inited", "$inited")]),
        edited("an item's JSON is edited", "features", "theme", &[("item", text("{\"key\":\"theme\",\"version\":2}"))]),
        edited("an item's JSON is no JSON", "features", "theme", &[("item", text("garbage"))]),
        edited("an item's JSON is no text", "features", "theme", &[("item", json!({"B": "AAEC"}))]),
        edited("an item's version is lower", "features", "theme", &[("version", number("1"))]),
        edited("an item's version is higher", "features", "theme", &[("version", number("99"))]),
        edited("an item's version is negative", "features", "theme", &[("version", number("-4"))]),
        edited("an item's version is a fraction", "features", "theme", &[("version", number("2.5"))]),
        edited("an item's version is text", "features", "theme", &[("version", text("2"))]),
        stripped("an item has no version", "features", "theme", "version"),
        stripped("an item has no JSON", "features", "theme", "item"),
        replaced("a stranger moved in", &stranger),
        replaced("a stranger without anything moved in", &bare),
    ]
}

fn damages_to_ours() -> Vec<Damage> {
    let (number, text, bytes) = (|n: &str| json!({"N": n}), |s: &str| json!({"S": s}), json!({"B": "Z2FyYmFnZQ=="}));
    let bare = key(OURS, "head");
    let head = |name, attribute, value| edited(name, OURS, "head", &[(attribute, value)]);
    vec![
        lost("the head is lost", &[(OURS, "head")]),
        lost("the base is lost", &[(OURS, "base:0:0")]),
        lost("head and base are lost", &[(OURS, "head"), (OURS, "base:0:0")]),
        lost("the head and a flag are lost", &[(OURS, "head"), ("features", "theme")]),
        replaced("the head is empty", &bare),
        head("the head's nonce is text", "nonce", text("x")),
        head("the head's nonce is negative", "nonce", number("-1")),
        head("the head's nonce is too large", "nonce", number("18446744073709551616")),
        head("the head's format is text", "format", text("x")),
        head("the head's generation is text", "generation", text("x")),
        head("the head's delta is garbage", "delta", bytes.clone()),
        head("the head's delta is text", "delta", text("x")),
        head("the head's base has more chunks", "baseChunks", number("3")),
        head("the head's base has far too many chunks", "baseChunks", number("18446744073709551615")),
        head("the head's base is larger", "baseBytes", number("999999")),
        head("the head's base is of another generation", "baseGeneration", number("7")),
        head("the head's base is elsewhere", "baseSlot", number("1")),
        head(LEASE, "leaseExpiresAtMs", number("5")),
        head("the head's lease is text", "leaseExpiresAtMs", text("x")),
        edited("the base is garbage", OURS, "base:0:0", &[("bytes", bytes)]),
        edited("the base is text", OURS, "base:0:0", &[("bytes", text("x"))]),
        edited("the base is of another generation", OURS, "base:0:0", &[("generation", number("7"))]),
        stripped("the base has no bytes", OURS, "base:0:0", "bytes"),
    ]
}

fn emptied(contents: &Contents) -> Damage {
    let keys: Vec<(&str, &str)> = [("$inited", "$inited"), (OURS, "head"), (OURS, "base:0:0")]
        .into_iter()
        .chain(contents.keys("features").into_iter().map(|key| ("features", key)))
        .chain(contents.keys("segments").into_iter().map(|key| ("segments", key)))
        .collect();
    lost("everything is lost", &keys)
}

/// Does the damage, lets somebody run, and expects that everything is as it should be.
async fn heals((name, requests): Damage, how: Option<&Value>, warm: bool) -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched_and_filled().await?;
    for (operation, request) in requests {
        pipeline.table.call(operation, request).await?;
    }
    let healer = if warm { store } else { pipeline.watched().await? };
    let summary = if let Some(event) = how {
        healer.invoke(event).await?
    } else {
        pipeline.launchdarkly.set_flag_on("sample-flag", true).context("it was on")?;
        let answer = healer.post(&named(2)).await?;
        ensure!(answer.status == 200, "{answer:?}");
        answer.body
    };
    // A lease that has ended is no more than a reason to look.
    let expected = if name == LEASE && how.is_some() { "unchanged" } else { "updated" };
    ensure!(summary["outcome"] == expected, "{summary}");
    pipeline.ensure_synced().await?;
    ensure!(healer.run().await?["outcome"] == "unchanged", "a second run has found something to do");
    // The snapshot is whole again too: a cold store trusts it.
    let on = how.is_some();
    let change = pipeline.launchdarkly.set_flag_on("sample-flag", on).context("it was so")?;
    let answer = pipeline.watched().await?.post(&named(change.version)).await?;
    ensure!(answer.body["attempts"] == 1 && answer.body["flags"]["written"] == 1, "{answer:?}");
    pipeline.ensure_synced().await.context(name)
}

#[tokio::test]
async fn whatever_was_lost_or_changed_is_whole_after_a_manual_run() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    pipeline.watched_and_filled().await?;
    let everything = emptied(&pipeline.contents().await?);
    let all = damages_to_items().into_iter().chain(damages_to_ours()).chain([everything]);
    let by_hand = json!({});
    stream::iter(all)
        .map(|damage| async {
            let name = damage.0;
            heals(damage, Some(&by_hand), false).await.context(name)
        })
        .buffer_unordered(8)
        .try_collect()
        .await
}

#[tokio::test]
async fn whatever_was_lost_or_changed_is_whole_after_a_schedule() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    pipeline.watched_and_filled().await?;
    let everything = emptied(&pipeline.contents().await?);
    let schedule = schedule();
    let wanted =
        ["a flag is lost", "the mark is lost", "an item's JSON is edited", "the head is lost", "the base is garbage"];
    let all = damages_to_items().into_iter().chain(damages_to_ours()).filter(|(name, _)| wanted.contains(name));
    stream::iter(all.chain([everything]))
        .map(|damage| async {
            let name = damage.0;
            heals(damage, Some(&schedule), true).await.context(name)
        })
        .buffer_unordered(8)
        .try_collect()
        .await
}

#[tokio::test]
async fn a_webhook_heals_head_and_base() -> Result<()> {
    stream::iter(damages_to_ours())
        .map(|damage| async {
            let name = damage.0;
            heals(damage, None, false).await.context(name)
        })
        .buffer_unordered(8)
        .try_collect()
        .await
}

#[tokio::test]
async fn a_head_of_a_newer_program_is_left_alone() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched_and_filled().await?;
    let (_, requests) = edited("", OURS, "head", &[("format", json!({"N": "2"})), ("more", json!({"S": "x"}))]);
    for (operation, request) in requests {
        pipeline.table.call(operation, request).await?;
    }
    let before = pipeline.contents().await?;
    let answer = store.post(&named(2)).await?;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (500, &json!("table-misconfigured")), "{answer:?}");
    let (_, message) = store.fault(&json!({})).await?;
    assert!(message.contains("format is 2") && message.contains("update it"), "{message}");
    assert_eq!(pipeline.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_flag_that_somebody_moved_ahead_stays_until_launchdarkly_insists() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = Watched::start(&pipeline.store()?.env("LAUNCHDARKLY_FRESHNESS_WINDOW_MS", "300")).await?;
    store.run().await?;
    let theirs = r#"{"key":"sample-flag","on":true,"version":50}"#;
    let (_, requests) =
        edited("", "features", "sample-flag", &[("version", json!({"N": "50"})), ("item", json!({"S": theirs}))]);
    for (operation, request) in requests {
        pipeline.table.call(operation, request).await?;
    }
    let change = pipeline.launchdarkly.set_flag_on("sample-flag", true).context("it was on")?;
    let answer = store.post(&named(change.version)).await?;
    assert_eq!((answer.status, &answer.body["fresh"]), (200, &json!(false)), "{answer:?}");
    assert_eq!(pipeline.contents().await?.json("features", "sample-flag"), Some(theirs));
    assert_eq!(store.run().await?["flags"]["written"], 1);
    pipeline.ensure_synced().await
}
