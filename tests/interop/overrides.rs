//! Flags that `rc` overrides in a real Redis, read by LaunchDarkly's own SDKs in daemon mode; and the whole drill.

use anyhow::{Context, Result, ensure};
use flagcache_tests::binaries::binary;
use flagcache_tests::override_tool::OverrideTool;
use flagcache_tests::pipeline::Pipeline;
use flagcache_tests::redis_server::RedisServer;
use flagcache_tests::tools::Tools;
use local::lambda::FunctionProcess;
use local::patience::PATIENCE;
use serde_json::{Value, json};

const PREFIX: &str = "ld:default:staging";

async fn evaluate(reader: &FunctionProcess, flag: &str) -> Result<(Value, Value)> {
    let event = json!({"context": {"kind": "user", "key": "ann"}, "flag": flag, "default": "none"});
    let mut answer = reader.invoke(&event).await.with_context(|| reader.logs().text())?;
    Ok((answer["value"].take(), answer["reason"]["kind"].take()))
}

#[tokio::test]
async fn official_sdks_in_daemon_mode_evaluate_what_was_overridden() -> Result<()> {
    let tools = Tools::install()?;
    let server = RedisServer::start()?.context("redis-server is missing; tests/interop/install-redis installs it")?;
    let pipeline = Pipeline::start().await?;
    server.fill(PREFIX, &pipeline.payload()?)?;
    let tool = OverrideTool::beside(&pipeline)?.with("REDIS_HOSTS", &server.address());
    let mut readers = Vec::new();
    for (name, function) in tools.redis_readers() {
        let url = format!("redis://{}", server.address());
        readers.push((name, function.env("REDIS_URL", url).env("REDIS_PREFIX", PREFIX).spawn().await?));
    }
    assert_eq!(readers.len(), 2);

    let flag = "-p default -e staging -f";
    for (line, key, expected) in [
        (None, "new-checkout", (json!(true), "FALLTHROUGH")),
        (Some(format!("update-redis {flag} new-checkout -s off")), "new-checkout", (json!(false), "OFF")),
        (Some(format!("update-redis {flag} new-checkout -s on")), "new-checkout", (json!(true), "FALLTHROUGH")),
        (
            Some(format!("update-redis {flag} search-ranking --variation semantic")),
            "search-ranking",
            (json!("semantic"), "FALLTHROUGH"),
        ),
        (Some("revert --all".to_owned()), "new-checkout", (json!(true), "FALLTHROUGH")),
    ] {
        if let Some(line) = &line {
            tool.succeed(line).await?;
        }
        for (name, reader) in &readers {
            let found = evaluate(reader, key).await?;
            let expected = (expected.0.clone(), json!(expected.1));
            ensure!(found == expected, "{name} has {found:?} for {key} after {line:?}, expected {expected:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_drill_ends_with_everything_equal() -> Result<()> {
    Tools::install()?;
    let mut drill = tokio::process::Command::new(binary("drill")?);
    // All that it does has a limit of its own.
    let output = tokio::time::timeout(PATIENCE * 5, drill.kill_on_drop(true).output()).await??;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "the drill failed:\n{out}{err}");
    for expected in ["LaunchDarkly goes dark", "updated v12 → v13", "Go SDK", "Python SDK", "everything is equal again"]
    {
        ensure!(out.contains(expected), "{expected:?} is not in:\n{out}");
    }
    Ok(())
}
