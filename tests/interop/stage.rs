//! What every interop test needs around it: a table on DynamoDB Local, a payload, the functions.

use crate::agreement::Answers;
use anyhow::{Context, Result};
use flagcache_tests::binaries::binary;
use flagcache_tests::dynamodb_local::DynamoDbLocal;
use flagcache_tests::payload_source::PayloadSource;
use flagcache_tests::table::Table;
use flagcache_tests::tools::Tools;
use local::lambda::{Function, FunctionProcess};
use serde_json::{Value, json};

/// Running reader functions with their names.
pub(crate) type Readers = Vec<(&'static str, FunctionProcess)>;

/// One test's surroundings; all of it ends when it is dropped.
pub(crate) struct Stage {
    pub(crate) tools: Tools,
    pub(crate) source: PayloadSource,
    table: Table,
    emulator: DynamoDbLocal,
}

impl Stage {
    /// An empty table, and an endpoint that serves `payload`.
    pub(crate) async fn set(payload: &str) -> Result<Self> {
        let tools = Tools::install()?;
        let emulator = DynamoDbLocal::start(&tools).await?;
        let table = Table::create(&emulator.endpoint()).await?;
        let source = PayloadSource::start(payload.to_owned()).await?;
        Ok(Self { tools, source, table, emulator })
    }

    /// Runs a store function once, as a manual invocation does; its answer.
    pub(crate) async fn run_store(&self, store: Function, prefix: Option<&str>) -> Result<Value> {
        let store = self.placed(store, prefix).envs(self.source.variables());
        let process = store.spawn().await?;
        let answer = process.invoke(&json!({})).await;
        answer.with_context(|| format!("{} failed; its log ends with {:?}", store.name(), process.logs().last(20)))
    }

    /// Fills the table in the official layout, without any store.
    pub(crate) async fn fill(&self, payload: &str) -> Result<()> {
        self.table.fill(payload).await
    }

    /// All readers, running: ours and those of LaunchDarkly's SDKs.
    pub(crate) async fn readers(&self, prefix: Option<&str>) -> Result<Readers> {
        let ours = self.placed(Function::new(binary("reader")?), prefix).spawn().await?;
        let mut running = vec![("our reader", ours)];
        running.extend(self.official_readers(prefix).await?);
        Ok(running)
    }

    /// The readers of LaunchDarkly's SDKs, running.
    pub(crate) async fn official_readers(&self, prefix: Option<&str>) -> Result<Readers> {
        let mut running = Vec::new();
        for (name, function) in self.tools.readers() {
            running.push((name, self.placed(function, prefix).spawn().await?));
        }
        Ok(running)
    }

    /// The function with the variables that lead it to the table.
    fn placed(&self, function: Function, prefix: Option<&str>) -> Function {
        let prefix = prefix.map(|prefix| ("LAUNCHDARKLY_DYNAMODB_PREFIX", prefix));
        function.envs(self.table.variables(&self.emulator.endpoint())).envs(prefix)
    }
}

/// What a reader answers for all flags.
pub(crate) async fn all_flags(reader: &FunctionProcess, context: &Value) -> Result<Answers> {
    let answer = reader.invoke(&json!({"context": context})).await?;
    let flags = answer["flags"].as_object().with_context(|| format!("an answer without flags: {answer}"))?;
    Ok(flags.clone().into_iter().collect())
}

/// What a reader answers for one flag.
pub(crate) async fn one_flag(reader: &FunctionProcess, flag: &str, context: &Value) -> Result<Answers> {
    let answer = reader.invoke(&json!({"context": context, "flag": flag, "default": null})).await?;
    Ok(Answers::from([(flag.to_owned(), answer)]))
}
