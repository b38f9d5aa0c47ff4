//! Flags that `rc` overrides in the table while LaunchDarkly is away, and how LaunchDarkly gets its word again.

use anyhow::{Context, Result, ensure};
use flagcache_tests::gateway::Request;
use flagcache_tests::override_tool::OverrideTool;
use flagcache_tests::pipeline::{Pipeline, SECRET, entry};
use flagcache_tests::watched::Watched;
use local::lambda::FunctionProcess;
use local::standin::{Endpoint, ItemKind, Misbehaviour, Standin};
use serde_json::{Value, json};

const OFF: &str = "update-dynamodb -p default -e staging -f new-checkout -s off";
const ON: &str = "update-dynamodb -p default -e staging -f new-checkout -s on";
const FLAG: &str = "new-checkout";

fn names(flag: &str, version: Option<u64>) -> Request {
    Request::signed(SECRET, entry(flag, "updateOn", version))
}

fn go_dark(launchdarkly: &Standin) {
    for endpoint in [Endpoint::Polling, Endpoint::Rest] {
        launchdarkly.misbehave(Misbehaviour::status(503).at(endpoint));
    }
}

/// What the reader says of a flag: its version and the reason's kind.
async fn read(reader: &FunctionProcess, flag: &str) -> Result<(u64, String)> {
    let answer = reader.invoke(&json!({"context": {"kind": "user", "key": "ann"}})).await?;
    let flag = &answer["flags"][flag];
    let kind = flag["reason"]["kind"].as_str().with_context(|| answer.to_string())?;
    Ok((flag["version"].as_u64().unwrap_or_default(), kind.to_owned()))
}

/// A pipeline whose flag is on, its filled `store`, and `rc` beside them.
async fn stage() -> Result<(Pipeline, Watched, OverrideTool)> {
    let pipeline = Pipeline::start().await?;
    pipeline.launchdarkly.set_flag_on(FLAG, false);
    pipeline.launchdarkly.set_flag_on(FLAG, true).context("it was on")?;
    let store = pipeline.watched_and_filled().await?;
    let tool = OverrideTool::beside(&pipeline)?;
    Ok((pipeline, store, tool))
}

fn version(pipeline: &Pipeline) -> Result<u64> {
    pipeline.launchdarkly.version(ItemKind::Flag, FLAG).context("no such flag")
}

async fn head(pipeline: &Pipeline) -> Result<Value> {
    Ok(pipeline.contents().await?.item("$flagcache", "head").context("no head")?.clone())
}

#[tokio::test]
async fn every_reader_follows_at_once_and_the_override_stays_until_launchdarkly_answers() -> Result<()> {
    let (pipeline, store, tool) = stage().await?;
    let reader = pipeline.reader()?.spawn().await?;
    let before = version(&pipeline)?;
    assert_ne!(read(&reader, FLAG).await?.1, "OFF");
    go_dark(&pipeline.launchdarkly);

    let out = tool.succeed(OFF).await?;
    ensure!(out.ends_with(&format!("  updated v{before} → v{}\n", before + 1)), "{out}");
    assert_eq!(read(&reader, FLAG).await?, (before + 1, "OFF".to_owned()));
    let contents = pipeline.contents().await?;
    assert_eq!(contents.version("features", FLAG), Some(before + 1));
    let theirs: Value = serde_json::from_slice(&pipeline.launchdarkly.data())?;
    let mut expected = theirs["flags"][FLAG].clone();
    expected["on"] = json!(false);
    expected["version"] = json!(before + 1);
    assert_eq!(serde_json::from_str::<Value>(contents.json("features", FLAG).unwrap_or_default())?, expected);

    let answer = store.post(&names(FLAG, None)).await?;
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_eq!(read(&reader, FLAG).await?, (before + 1, "OFF".to_owned()));

    pipeline.launchdarkly.behave();
    let answer = store.post(&Request::signed(SECRET, "{}")).await?;
    assert_eq!((answer.status, &answer.body["overridesReplaced"]), (200, &json!([FLAG])), "{answer:?}");
    assert_eq!((&answer.body["outcome"], &answer.body["flags"]["written"]), (&json!("updated"), &json!(1)));
    store.line("overrides replaced by LaunchDarkly's own flags").await?;
    assert_eq!(read(&reader, FLAG).await?.0, before);
    let answer = store.post(&Request::signed(SECRET, "{}")).await?;
    assert_eq!((&answer.body["outcome"], answer.body.get("overridesReplaced")), (&json!("unchanged"), None));
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn an_unchanged_etag_does_not_hide_an_override() -> Result<()> {
    let (pipeline, store, tool) = stage().await?;
    let answer = store.post(&Request::signed(SECRET, "{}")).await?;
    assert_eq!(answer.body["outcome"], "unchanged");
    ensure!(head(&pipeline).await?.get("etag").is_some(), "there was no ETag to begin with");
    tool.succeed(OFF).await?;
    assert_eq!(head(&pipeline).await?.get("etag"), None);
    pipeline.launchdarkly.forget_requests();
    let answer = store.post(&Request::signed(SECRET, "{}")).await?;
    assert_eq!(answer.body["overridesReplaced"], json!([FLAG]), "{answer:?}");
    assert_eq!(pipeline.launchdarkly.requests_to(Endpoint::Polling).len(), 1);
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn a_whole_run_needs_no_second_answer_for_an_override() -> Result<()> {
    let (pipeline, store, tool) = stage().await?;
    tool.succeed(OFF).await?;
    tool.succeed(ON).await?;
    pipeline.launchdarkly.forget_requests();
    let summary = store.run().await?;
    assert_eq!(summary["overridesReplaced"], json!([FLAG]), "{summary}");
    assert_eq!(pipeline.launchdarkly.requests_to(Endpoint::Polling).len(), 1);
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn launchdarklys_change_with_the_overrides_own_version_wins() -> Result<()> {
    let (pipeline, store, tool) = stage().await?;
    tool.succeed(OFF).await?;
    let fallthrough = json!({"variation": 1});
    let change = pipeline.launchdarkly.set_field(ItemKind::Flag, FLAG, "fallthrough", fallthrough);
    let change = change.context("no such flag")?;
    assert_eq!(pipeline.contents().await?.version("features", FLAG), Some(change.version));
    let answer = store.post(&names(FLAG, Some(change.version))).await?;
    assert_eq!((&answer.body["overridesReplaced"], &answer.body["fresh"]), (&json!([FLAG]), &json!(true)));
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn playback_tells_launchdarkly_and_the_table_is_its_payload_again() -> Result<()> {
    let (pipeline, store, tool) = stage().await?;
    let before = version(&pipeline)?;
    for line in [OFF, ON, OFF] {
        tool.succeed(line).await?;
    }
    let status = tool.succeed("status").await?;
    ensure!(status.contains(&format!("off v{}", before + 3)) && status.contains("would turn it off"), "{status}");
    let out = tool.succeed("playback --squash").await?;
    ensure!(out.contains(&format!("off: done v{before} → v{}", before + 1)), "{out}");
    ensure!(out.contains(&format!("brought to LaunchDarkly's v{} (held v{})", before + 1, before + 3)), "{out}");
    assert_eq!(head(&pipeline).await?.get("overrides"), None);
    pipeline.ensure_synced().await?;
    let answer = store.post(&names(FLAG, Some(before + 1))).await?;
    assert_eq!((answer.status, answer.body.get("overridesReplaced")), (200, None), "{answer:?}");
    let next = pipeline.launchdarkly.set_flag_on(FLAG, true).context("it was on")?;
    let answer = store.post(&names(FLAG, Some(next.version))).await?;
    assert_eq!(answer.body["fresh"], true, "{answer:?}");
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn a_variation_takes_a_rollouts_place_until_it_is_played_back() -> Result<()> {
    let (pipeline, store, tool) = stage().await?;
    let rollout =
        json!({"rollout": {"variations": [{"variation": 0, "weight": 50_000}, {"variation": 1, "weight": 50_000}]}});
    pipeline.launchdarkly.set_field(ItemKind::Flag, FLAG, "fallthrough", rollout).context("no such flag")?;
    store.run().await?;
    let before = version(&pipeline)?;
    let change = "update-dynamodb -p default -e staging -f new-checkout --variation false";
    let out = tool.succeed(change).await?;
    ensure!(out.ends_with(&format!("updated v{before} → v{}\n", before + 1)), "{out}");
    ensure!(tool.succeed(change).await?.ends_with(&format!("unchanged (v{})\n", before + 1)), "it was raised again");
    let contents = pipeline.contents().await?;
    let held: Value = serde_json::from_str(contents.json("features", FLAG).unwrap_or_default())?;
    let index = held["variations"].as_array().and_then(|all| all.iter().position(|one| *one == json!(false)));
    assert_eq!(held["fallthrough"], json!({"variation": index}));
    let status = tool.succeed("status").await?;
    ensure!(status.contains("pending: serve variation index:"), "{status}");

    let out = tool.succeed("playback").await?;
    ensure!(out.contains(&format!("done v{before} → v{}", before + 1)), "{out}");
    let theirs: Value = serde_json::from_slice(&pipeline.launchdarkly.data())?;
    assert_eq!(theirs["flags"][FLAG]["fallthrough"], json!({"variation": index}));
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn an_override_that_is_reverted_leaves_the_table_as_it_was() -> Result<()> {
    let (pipeline, store, tool) = stage().await?;
    tool.succeed(OFF).await?;
    tool.succeed("update-dynamodb -p default -e staging -f new-checkout --variation index:1").await?;
    tool.succeed(ON).await?;
    let out = tool.succeed("revert --all").await?;
    assert_eq!(out.matches("reverted v").count(), 3, "{out}");
    assert_eq!(head(&pipeline).await?.get("overrides"), None);
    pipeline.ensure_synced().await?;
    let answer = store.post(&Request::signed(SECRET, "{}")).await?;
    assert_eq!(answer.body["outcome"], "unchanged", "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn a_table_that_another_program_filled_gets_the_item_alone() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    pipeline.table.fill(&pipeline.payload()?).await?;
    let tool = OverrideTool::beside(&pipeline)?;
    let before = pipeline.contents().await?.version("features", FLAG).context("not filled")?;
    let theirs: Value = serde_json::from_slice(&pipeline.launchdarkly.data())?;
    let to = if theirs["flags"][FLAG]["on"] == true { OFF } else { ON };
    let out = tool.succeed(to).await?;
    ensure!(out.contains(&format!("updated v{before} → v{}", before + 1)), "{out}");
    let contents = pipeline.contents().await?;
    assert_eq!(contents.version("features", FLAG), Some(before + 1));
    assert_eq!(contents.item("$flagcache", "head"), None);
    assert_eq!(read(&pipeline.reader()?.spawn().await?, FLAG).await?.0, before + 1);
    tool.succeed("revert --all").await?;
    pipeline.ensure_synced().await
}
