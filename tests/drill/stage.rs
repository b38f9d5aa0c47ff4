//! All that takes part in the drill, on free ports of this machine; it ends when it is dropped.

use anyhow::{Context, Result, ensure};
use flagcache_tests::override_tool::OverrideTool;
use flagcache_tests::pipeline::Pipeline;
use flagcache_tests::redis_server::RedisServer;
use flagcache_tests::tools::Tools;
use local::lambda::FunctionProcess;
use serde_json::{Value, json};

/// Below which prefix the Relay Proxy keeps this environment.
const PREFIX: &str = "ld:default:staging";

pub(crate) struct Stage {
    pub(crate) pipeline: Pipeline,
    pub(crate) store: FunctionProcess,
    pub(crate) tool: OverrideTool,
    /// Nothing where no `redis-server` is installed.
    pub(crate) redis: Option<RedisServer>,
    readers: Vec<(&'static str, FunctionProcess)>,
}

impl Stage {
    pub(crate) async fn set() -> Result<Self> {
        let pipeline = Pipeline::start().await?;
        let redis = RedisServer::start()?;
        let mut tool = OverrideTool::beside(&pipeline)?;
        let mut readers = vec![("reader", pipeline.reader()?.spawn().await?)];
        if let Some(redis) = &redis {
            redis.fill(PREFIX, &pipeline.payload()?)?;
            tool = tool.with("REDIS_HOSTS", &redis.address());
            let url = format!("redis://{}", redis.address());
            for (name, function) in Tools::found().iter().flat_map(Tools::redis_readers) {
                readers.push((name, function.env("REDIS_URL", &*url).env("REDIS_PREFIX", PREFIX).spawn().await?));
            }
        }
        Ok(Self { store: pipeline.filled().await?, pipeline, tool, redis, readers })
    }

    /// What every reader serves to one user, or an error where that is not `expected`.
    pub(crate) async fn ensure_served(&self, flag: &str, expected: &Value) -> Result<String> {
        let event = json!({"context": {"kind": "user", "key": "ann"}, "flag": flag, "default": "none"});
        let mut names = Vec::new();
        for (name, reader) in &self.readers {
            let answer = reader.invoke(&event).await.with_context(|| reader.logs().text())?;
            ensure!(answer["value"] == *expected, "{name} serves {answer} for {flag}, expected {expected}");
            names.push(*name);
        }
        Ok(format!("{flag} = {expected} for {}", names.join(", ")))
    }

    /// Fails unless table, Redis and LaunchDarkly hold the same flags, however they are spelled.
    pub(crate) async fn ensure_equal(&self) -> Result<()> {
        let payload: Value = serde_json::from_str(&self.pipeline.payload()?)?;
        let contents = self.pipeline.contents().await?;
        let held = |json: &str| serde_json::from_str::<Value>(json);
        for (key, theirs) in payload["flags"].as_object().context("no flags")? {
            let table = held(contents.json("features", key).unwrap_or_default())?;
            ensure!(table == *theirs, "the table holds {table} for {key}, LaunchDarkly {theirs}");
        }
        let Some(redis) = &self.redis else { return Ok(()) };
        for (key, json) in redis.flags(PREFIX)? {
            let (redis, theirs) = (held(&json)?, &payload["flags"][&key]);
            ensure!(redis == *theirs, "Redis holds {redis} for {key}, LaunchDarkly {theirs}");
        }
        Ok(())
    }
}
