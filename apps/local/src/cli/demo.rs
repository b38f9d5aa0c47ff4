//! `local demo`: one change on its whole way, step by step, each checked and timed.
//!
//! Everything listens on free ports and lives in this process or under it, so that nothing is left
//! when it ends, however it ends.

use super::binaries::Binaries;
use super::screen::{self, Screen, milliseconds};
use super::stack::{self, Keys, MOST_PROCESSES};
use anyhow::{Context, bail, ensure};
use clap::Args;
use local::dynamodb::EmbeddedDynamoDb;
use local::lambda::{Function, HttpFront};
use local::standin::{Outcome, Standin, StandinOptions};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The flag whose change is followed.
const FLAG: &str = "sample-flag";

#[derive(Debug, Args)]
pub(super) struct DemoOptions {
    /// Folder of the built functions `store` and `reader`; beside this program otherwise.
    #[arg(long, value_name = "DIR")]
    functions: Option<PathBuf>,
}

pub(super) async fn run(options: &DemoOptions, screen: Screen) -> anyhow::Result<()> {
    let demo = Demo::start(options, screen).await?;
    let shown = tokio::select! {
        shown = demo.show() => shown,
        ended = super::asked_to_end() => ended.and_then(|()| bail!("show everything: interrupted")),
    };
    if shown.is_err() {
        demo.show_logs();
    }
    shown
}

struct Demo {
    screen: Screen,
    standin: Standin,
    store: HttpFront,
    reader: HttpFront,
    /// What the functions logged, for the case that something goes wrong.
    logs: Arc<Mutex<Vec<String>>>,
    // Ends with the demo.
    _dynamodb: EmbeddedDynamoDb,
}

impl Demo {
    async fn start(options: &DemoOptions, screen: Screen) -> anyhow::Result<Self> {
        let binaries = Binaries::find(options.functions.as_deref())?;
        let keys = Keys {
            table: "flags".to_owned(),
            sdk_key: "sdk-local".to_owned(),
            webhook_secret: "secret-local".to_owned(),
        };
        let dynamodb = EmbeddedDynamoDb::start().await?;
        dynamodb.create_flag_table(&keys.table)?;
        let standin = Standin::start(StandinOptions::default()).await?;
        let logs = Arc::default();
        let front = async |function: Function| -> anyhow::Result<HttpFront> {
            let function = keep_logs(function, &logs);
            HttpFront::start(function.pool(MOST_PROCESSES)).await.context("listen for the functions' requests")
        };
        let store = front(stack::store(&binaries, &standin, &dynamodb, &keys)).await?;
        let reader = front(stack::reader(&binaries, &dynamodb, &keys)).await?;
        standin.set_webhook_url(format!("{}/", store.url()));
        screen::line(&screen.bold("A flag changes in LaunchDarkly, and a Lambda function answers with the new value."));
        screen::line("");
        let row = |name: &str, what: &str| screen::line(&format!("  {name:<13} {}", screen.dim(what)));
        row("LaunchDarkly", &format!("a stand-in, {}", standin.url()));
        row("DynamoDB", &format!("embedded, {}, table {}", dynamodb.endpoint(), keys.table));
        row("store, reader", "the built functions, run as Lambda runs them");
        screen::line("");
        Ok(Self { screen, standin, store, reader, logs, _dynamodb: dynamodb })
    }

    async fn show(&self) -> anyhow::Result<()> {
        self.fill().await.context("fill the table")?;
        self.ask("asked for the flag, from a cold start", false).await.context("read the flag from the table")?;
        let flipped = Instant::now();
        self.flip().await.context("flip the flag over LaunchDarkly's REST API")?;
        self.webhook().await.context("bring the change to the table by a webhook")?;
        self.ask("asked again", true).await.context("read the changed flag from the table")?;
        let took = flipped.elapsed();
        self.forge().await.context("have a webhook without a signature refused")?;
        screen::line("");
        let took = milliseconds(took);
        let summary = format!("From the flip of the flag to the function's new answer: {}.", took.trim_start());
        screen::line(&self.screen.bold(&summary));
        Ok(())
    }

    async fn fill(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        let summary = self.store.pool().invoke("{}").await?.json()?;
        self.step(1, "store", "invoked by hand: fetches all flags, fills the table", began.elapsed());
        self.result(&in_words(&summary));
        ensure!(summary["outcome"] == "updated", "store answered {summary}");
        let total = summary["flags"]["total"].as_u64().unwrap_or(0);
        ensure!(total > 0 && summary["flags"]["written"] == total, "store answered {summary}");
        Ok(())
    }

    async fn ask(&self, what: &str, expected: bool) -> anyhow::Result<()> {
        let began = Instant::now();
        let (status, answer) = send(local::http_client().get(format!("{}/flags/{FLAG}", self.reader.url()))).await?;
        self.step(if expected { 5 } else { 2 }, "reader", what, began.elapsed());
        let reason = answer["reason"]["kind"].as_str().unwrap_or("no reason");
        self.result(&format!("{FLAG} is {} ({reason})", answer["value"]));
        ensure!(status == 200 && answer["value"] == expected, "reader answered {status} {answer}, not {expected}");
        Ok(())
    }

    async fn flip(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        let url = format!("{}/api/v2/flags/default/{FLAG}", self.standin.url());
        let patch = json!([{"op": "replace", "path": "/environments/staging/on", "value": true}]);
        let request = local::http_client().patch(url).header("authorization", "api-local").body(patch.to_string());
        let (status, flag) = send(request).await?;
        self.step(3, "LaunchDarkly", "somebody turns the flag on", began.elapsed());
        let state = &flag["environments"]["staging"];
        self.result(&format!("{FLAG} is on, version {}", state["version"]));
        ensure!(status == 200 && state["on"] == true, "LaunchDarkly answered {status} {flag}");
        Ok(())
    }

    async fn webhook(&self) -> anyhow::Result<()> {
        let deliveries = self.standin.wait_for_deliveries(1).await?;
        let Some(delivery) = deliveries.first() else { bail!("no webhook was sent") };
        self.step(4, "store", "a signed webhook says so: fetches again, writes what changed", delivery.duration);
        let summary = delivery.json();
        if let Outcome::Failed { reason } = &delivery.outcome {
            bail!("the webhook was not delivered: {reason}");
        }
        self.result(&in_words(&summary));
        ensure!(delivery.status() == Some(200), "store answered {:?} {summary}", delivery.status());
        ensure!(summary["flags"]["written"] == 1 && summary["fresh"] == true, "store answered {summary}");
        Ok(())
    }

    async fn forge(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        let forged = json!({"kind": "flag", "accesses": [{"action": "deleteFlag", "resource": "proj/default:env/staging:flag/*"}]});
        let (status, answer) = send(local::http_client().post(self.store.url()).body(forged.to_string())).await?;
        self.step(6, "store", "somebody else sends a webhook, without a signature", began.elapsed());
        self.result(&format!("{status}, {}", answer["error"]["message"].as_str().unwrap_or("no reason given")));
        ensure!(status == 401, "store answered {status} {answer}, not 401");
        Ok(())
    }

    fn step(&self, number: usize, who: &str, what: &str, took: Duration) {
        let who = self.screen.bold(&format!("{who:<13}"));
        let took = self.screen.dim(&milliseconds(took));
        screen::line(&format!("{number}  {who}{what:<62}{took}"));
    }

    fn result(&self, what: &str) {
        screen::line(&format!("   {:<13}{}", "", self.screen.good(&format!("-> {what}"))));
    }

    fn show_logs(&self) {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        if !logs.is_empty() {
            screen::line("\nWhat the functions logged:");
        }
        for line in logs.iter() {
            screen::line(line);
        }
    }
}

/// store's summary as a sentence.
fn in_words(summary: &Value) -> String {
    let count = |kind: &str, what: &str| summary[kind][what].as_u64().unwrap_or(0);
    let (flags, segments) = (count("flags", "written"), count("segments", "written"));
    let outcome = summary["outcome"].as_str().unwrap_or("no outcome");
    format!(
        "{outcome}: wrote {flags} of {} flags and {segments} of {} segments, generation {}",
        count("flags", "total"),
        count("segments", "total"),
        summary["generation"],
    )
}

fn keep_logs(function: Function, logs: &Arc<Mutex<Vec<String>>>) -> Function {
    let (name, logs) = (function.name().to_owned(), logs.clone());
    function.on_line(move |line| {
        logs.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{name:<6} | {line}"));
    })
}

async fn send(request: reqwest::RequestBuilder) -> anyhow::Result<(u16, Value)> {
    let response = request.header("content-type", "application/json").send().await?;
    let status = response.status().as_u16();
    Ok((status, serde_json::from_slice(&response.bytes().await?).unwrap_or_default()))
}
