//! The pipeline around a test: a table, a LaunchDarkly, and the built functions between them.

use std::panic::Location;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use local::dynamodb::EmbeddedDynamoDb;
use local::lambda::{Function, FunctionProcess, InvokeError};
use local::patience::in_time;
use local::standin::{Standin, StandinOptions, signature};
use serde_json::{Value, json};

use crate::binaries::binary;
use crate::contents::Contents;
use crate::table::Table;
use crate::watched::Watched;

/// The secret with which webhooks are signed.
pub const SECRET: &str = "secret-local";
/// The SDK key that the stand-in takes.
pub const SDK_KEY: &str = "sdk-local";
/// The secret of the functions' AWS credentials.
pub const AWS_SECRET: &str = "aws-secret-local";

/// An embedded DynamoDB with an empty table, and a stand-in of LaunchDarkly; all of it ends when it is dropped.
pub struct Pipeline {
    /// LaunchDarkly.
    pub launchdarkly: Standin,
    /// The table.
    pub table: Table,
    /// Where the table is.
    pub dynamodb: EmbeddedDynamoDb,
}

impl Pipeline {
    /// One with the stand-in's own data.
    pub async fn start() -> Result<Self> {
        Self::start_with(StandinOptions::default()).await
    }

    /// One whose environment is this payload.
    pub async fn start_with_payload(payload: &str) -> Result<Self> {
        let pipeline = Self::start().await?;
        pipeline.launchdarkly.set_data(payload)?;
        Ok(pipeline)
    }

    /// One with another stand-in.
    pub async fn start_with(options: StandinOptions) -> Result<Self> {
        let dynamodb = EmbeddedDynamoDb::start().await?;
        let table = Table::create(&dynamodb.endpoint()).await?;
        Ok(Self { launchdarkly: Standin::start(options).await?, table, dynamodb })
    }

    /// A function with all that it needs to find table and LaunchDarkly.
    pub fn function(&self, path: PathBuf) -> Function {
        Function::new(path)
            .envs(self.table.variables(&self.dynamodb.endpoint()))
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", AWS_SECRET)
            .env("LAUNCHDARKLY_BASE_URI", self.launchdarkly.url())
            .env("LAUNCHDARKLY_EVENTS_URI", self.launchdarkly.url())
    }

    /// The `store` function with its secrets in variables.
    pub fn store(&self) -> Result<Function> {
        let function = self.function(binary("store")?);
        Ok(function.env("LAUNCHDARKLY_SDK_KEY", SDK_KEY).env("LAUNCHDARKLY_WEBHOOK_SECRET", SECRET))
    }

    /// The `reader` function, which looks at the table at each call.
    pub fn reader(&self) -> Result<Function> {
        Ok(self.function(binary("reader")?).env("LAUNCHDARKLY_CACHE_TTL", "0"))
    }

    /// A `store` that runs, and whose outputs are searched for secrets.
    pub async fn watched(&self) -> Result<Watched> {
        Watched::start(&self.store()?).await
    }

    /// The same, having filled the table.
    pub async fn watched_and_filled(&self) -> Result<Watched> {
        let store = self.watched().await?;
        let summary = store.run().await?;
        anyhow::ensure!(summary["outcome"] == "updated", "an empty table was not filled: {summary}");
        Ok(store)
    }

    /// What the table holds.
    pub async fn contents(&self) -> Result<Contents> {
        Contents::of(&self.table).await
    }

    /// The payload that LaunchDarkly has now.
    pub fn payload(&self) -> Result<String> {
        Ok(String::from_utf8(self.launchdarkly.data().to_vec())?)
    }

    /// Fails unless the table's official layout is LaunchDarkly's payload.
    pub async fn ensure_synced(&self) -> Result<()> {
        self.contents().await?.ensure_is("", &self.payload()?)
    }

    /// A `store` that runs and has filled the table.
    pub async fn filled(&self) -> Result<FunctionProcess> {
        let store = self.store()?.spawn().await?;
        let summary = store.invoke(&json!({})).await.with_context(|| store.logs().text())?;
        anyhow::ensure!(summary["outcome"] == "updated", "an empty table was not filled: {summary}");
        Ok(store)
    }
}

/// A webhook as API Gateway's HTTP API delivers it.
pub fn delivered(body: &str, headers: &Value) -> Value {
    json!({
        "version": "2.0", "rawPath": "/", "rawQueryString": "", "headers": headers,
        "requestContext": {"http": {"method": "POST", "path": "/"}, "stage": "$default"},
        "body": body, "isBase64Encoded": false,
    })
}

/// The same, signed as LaunchDarkly signs.
pub fn webhook(body: &str) -> Value {
    delivered(body, &json!({"x-ld-signature": signature(SECRET, body.as_bytes()), "content-type": "application/json"}))
}

/// A webhook's body that names a change of one flag.
pub fn entry(flag: &str, action: &str, version: Option<u64>) -> String {
    let date = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut entry = json!({
        "_id": "5a2c7d", "kind": "flag", "date": u64::try_from(date.as_millis()).unwrap_or_default(),
        "accesses": [{"action": action, "resource": format!("proj/default:env/staging:flag/{flag}")}],
    });
    if let Some(version) = version {
        entry["currentVersion"] = json!({"key": flag, "environments": {"staging": {"version": version}}});
    }
    entry.to_string()
}

/// An HTTP answer of a function, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpAnswer {
    /// The status.
    pub status: u64,
    /// The body; null where there is none.
    pub body: Value,
    /// The headers.
    pub headers: Value,
}

impl HttpAnswer {
    /// A header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.headers.as_object()?.iter();
        headers.filter(|(known, _)| known.eq_ignore_ascii_case(name)).find_map(|(_, value)| value.as_str())
    }
}

/// Delivers an event that is an HTTP request, and takes the answer apart.
pub async fn deliver(function: &FunctionProcess, event: &Value) -> Result<HttpAnswer> {
    let answer = function.invoke(event).await.with_context(|| function.logs().text())?;
    let body = answer["body"].as_str().filter(|body| !body.is_empty());
    Ok(HttpAnswer {
        status: answer["statusCode"].as_u64().with_context(|| format!("no HTTP answer: {answer}"))?,
        body: body.map(serde_json::from_str).transpose()?.unwrap_or_default(),
        headers: answer["headers"].clone(),
    })
}

/// How an invocation failed that was no HTTP request.
pub async fn fault(function: &FunctionProcess, event: &Value) -> Result<(String, String)> {
    match function.invoke(event).await {
        Err(InvokeError::Function(error)) => Ok((error.error_type, error.message)),
        other => anyhow::bail!("expected a failure, got {other:?}"),
    }
}

/// Waits for a condition that other processes bring about.
#[track_caller]
pub fn eventually<F: Future<Output = Result<bool>>>(
    mut condition: impl FnMut() -> F,
) -> impl Future<Output = Result<()>> {
    let place = Location::caller();
    let attempts = async move {
        while !condition().await? {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    };
    async move { in_time(attempts, || format!("what stands at {place}")).await? }
}
