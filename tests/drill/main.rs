//! The outage, from the first minute to the last, on this machine alone: LaunchDarkly goes dark, `rc` overrides flags in
//! Redis and in the table, readers follow, LaunchDarkly comes back with an edit of its own, and all sides end equal.
//!
//! `make drill` builds what it needs and runs it. It takes seconds, leaves nothing running, and fails where anything is
//! not as it says. Without a `redis-server` it plays the half with the table, and says so.

mod stage;
mod timeline;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use local::lambda::InvokeError;
use local::standin::{Endpoint, ItemKind, Misbehaviour};
use serde_json::json;

use stage::Stage;
use timeline::Timeline;

/// However slow the machine: the drill ends.
const LONGEST: Duration = Duration::from_mins(2);
const NAMES: &str = "-p default -e staging -f";

#[tokio::main]
async fn main() -> Result<()> {
    tokio::time::timeout(LONGEST, drill()).await.context("finish the drill within two minutes")?
}

async fn drill() -> Result<()> {
    let timeline = Timeline::begin();
    let stage = Stage::set().await?;
    before(&stage, &timeline).await?;
    outage(&stage, &timeline).await?;
    return_to_launchdarkly(&stage, &timeline).await?;
    Timeline::chapter("LaunchDarkly, Redis and table: everything is equal again.");
    Ok(())
}

async fn before(stage: &Stage, timeline: &Timeline) -> Result<()> {
    Timeline::chapter("Before");
    timeline.tell("store", "has filled the table from LaunchDarkly");
    match &stage.redis {
        Some(redis) => {
            timeline.tell("redis", &format!("{} holds the same, as a Relay Proxy fills it", redis.address()));
        }
        None => timeline.tell("redis", "no redis-server on this machine: only the half with the table is played"),
    }
    let served = stage.ensure_served("new-checkout", &json!(true)).await?;
    timeline.tell("readers", &served);
    Ok(())
}

async fn outage(stage: &Stage, timeline: &Timeline) -> Result<()> {
    Timeline::chapter("03:12, LaunchDarkly goes dark, and the new checkout loses orders");
    for endpoint in [Endpoint::Polling, Endpoint::Rest, Endpoint::Stream, Endpoint::Events] {
        stage.pipeline.launchdarkly.misbehave(Misbehaviour::status(503).at(endpoint));
    }
    store_cannot_sync(stage, timeline).await?;
    for change in ["new-checkout -s off", "search-ranking --variation semantic"] {
        if stage.redis.is_some() {
            run(stage, timeline, &format!("update-redis {NAMES} {change}"), 0).await?;
        }
        run(stage, timeline, &format!("update-dynamodb {NAMES} {change}"), 0).await?;
    }
    for (flag, expected) in [("new-checkout", json!(false)), ("search-ranking", json!("semantic"))] {
        let served = stage.ensure_served(flag, &expected).await?;
        timeline.tell("readers", &served);
    }
    store_cannot_sync(stage, timeline).await?;
    run(stage, timeline, "status", 0).await?;
    let served = stage.ensure_served("new-checkout", &json!(false)).await?;
    timeline.tell("readers", &format!("still {served}"));
    Ok(())
}

async fn return_to_launchdarkly(stage: &Stage, timeline: &Timeline) -> Result<()> {
    Timeline::chapter("04:40, LaunchDarkly is back, and somebody has edited search-ranking there");
    let launchdarkly = &stage.pipeline.launchdarkly;
    launchdarkly.behave();
    let edit = launchdarkly.set_field(ItemKind::Flag, "search-ranking", "fallthrough", json!({"variation": 1}));
    timeline.tell("LaunchDarkly", &format!("search-ranking is v{} now", edit.context("no such flag")?.version));
    let out = run(stage, timeline, "playback", 1).await?;
    ensure!(
        out.contains("skipped: LaunchDarkly has changed it since the override"),
        "the conflict was not seen:\n{out}"
    );
    timeline.tell("on call", "looks at the edit, and decides for the override");
    run(stage, timeline, "playback --force", 0).await?;
    stage.ensure_equal().await?;
    let summary = stage.store.invoke(&json!({})).await?;
    timeline.tell("store", &format!("scheduled run: {}", summary["outcome"].as_str().unwrap_or_default()));
    stage.ensure_equal().await?;
    stage.pipeline.ensure_synced().await?;
    for (flag, expected) in [("new-checkout", json!(false)), ("search-ranking", json!("semantic"))] {
        let served = stage.ensure_served(flag, &expected).await?;
        timeline.tell("readers", &served);
    }
    run(stage, timeline, "status", 0).await?;
    Ok(())
}

/// A scheduled run of `store` while LaunchDarkly is away.
async fn store_cannot_sync(stage: &Stage, timeline: &Timeline) -> Result<()> {
    match stage.store.invoke(&json!({})).await {
        Err(InvokeError::Function(_)) => {
            timeline.tell("store", "scheduled run: LaunchDarkly is unreachable, the table stays as it is");
            Ok(())
        }
        other => bail!("store should not have been able to sync: {other:?}"),
    }
}

/// Runs `rc` and tells what it says; what it said.
async fn run(stage: &Stage, timeline: &Timeline, line: &str, expected: i32) -> Result<String> {
    let ran = stage.tool.run(line).await?;
    timeline.tell("rc", &format!("$ rc {line}\n{}{}", ran.out, ran.err));
    ensure!(ran.code == expected, "rc {line} ended with {}, expected {expected}:\n{}{}", ran.code, ran.out, ran.err);
    Ok(ran.out)
}
