//! The flag board of a running `local up`, over HTTP and with the built functions.

use anyhow::{Context, Result};
use flagcache_tests::local_up::LocalUp;
use local::patience::PATIENCE;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

struct Board {
    _up: LocalUp,
    url: String,
}

impl Board {
    async fn start(arguments: &[&str]) -> Result<Self> {
        let up = LocalUp::start(arguments).await?;
        Ok(Self { url: up.url("flag board")?, _up: up })
    }

    async fn state(&self) -> Result<Value> {
        let answer = local::http_client().get(format!("{}/state", self.url)).send().await?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }

    async fn post(&self, path: &str, form: &'static str) -> Result<()> {
        let request = local::http_client().post(format!("{}{path}", self.url)).body(form);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(request.send().await?.status(), 200);
        Ok(())
    }

    /// Text, note and tone of a flag's cell in a column.
    async fn cell(&self, flag: &str, column: &str) -> Result<[String; 3]> {
        let state = self.state().await?;
        let row = state["rows"].as_array().into_iter().flatten().find(|row| row["key"] == flag);
        let cells = row.context("there is no such row")?["cells"].as_array().context("it has no cells")?;
        let cell = cells.iter().find(|cell| cell["column"] == column).context("there is no such column")?;
        Ok(["text", "note", "tone"].map(|name| cell[name].as_str().unwrap_or_default().to_owned()))
    }

    /// Looks at a cell until it is as wanted.
    async fn wait_for(&self, flag: &str, column: &str, is_so: impl Fn(&[String; 3]) -> bool) -> Result<()> {
        let mut seen = Default::default();
        let looked = async {
            while !is_so(&seen) {
                tokio::time::sleep(Duration::from_millis(10)).await;
                seen = self.cell(flag, column).await?;
            }
            anyhow::Ok(())
        };
        let looked = timeout(PATIENCE, looked).await;
        looked.with_context(|| format!("{column} of {flag} stays {seen:?}"))?
    }

    /// Waits until a cell is this.
    async fn wait_until(&self, flag: &str, column: &str, wanted: [&str; 3]) -> Result<()> {
        self.wait_for(flag, column, |cell| *cell == wanted).await
    }
}

#[tokio::test]
async fn a_switch_arrives_in_the_table_and_at_the_reader() -> Result<()> {
    let board = Board::start(&[]).await?;
    board.wait_until("sample-flag", "reader", ["false", "off", "idle"]).await?;

    board.post("/flags/sample-flag", "on=true").await?;

    board.wait_until("sample-flag", "store", ["updated, 1 written", "fresh", "reached"]).await?;
    board.wait_until("sample-flag", "table", ["on", "v2", "reached"]).await?;
    board.wait_until("sample-flag", "reader", ["true", "fallthrough", "reached"]).await?;
    let state = board.state().await?;
    assert_eq!(state["columns"][3]["fact"], "generation 2");
    Ok(())
}

#[tokio::test]
async fn every_fault_leaves_the_table_behind_and_a_scheduled_sync_heals_it() -> Result<()> {
    let board = Board::start(&[]).await?;
    let faults = ["lost-webhooks", "forged-webhooks", "launchdarkly-down"];
    for (fault, [on, off]) in faults.into_iter().zip([["true", "false"], ["false", "true"], ["true", "false"]]) {
        board.post(&format!("/faults/{fault}"), "on=true").await?;
        board.post("/flags/sample-flag", if on == "true" { "on=true" } else { "on=false" }).await?;
        // store asks a LaunchDarkly that is down more than once.
        board.wait_for("sample-flag", "webhook", |[_, _, tone]| tone != "waiting").await?;
        board.wait_for("sample-flag", "reader", |[text, _, tone]| text == off && tone == "behind").await?;
        assert_eq!(board.state().await?["behind"], 1, "{fault}");

        board.post(&format!("/faults/{fault}"), "on=false").await?;
        board.post("/sync", "").await?;
        let [text, _, tone] = board.cell("sample-flag", "reader").await?;
        assert_eq!((text.as_str(), tone.as_str()), (on, "reached"), "{fault}");
        assert_eq!(board.state().await?["news"], "The scheduled sync: updated, 1 written. Every place agrees.");
    }
    Ok(())
}

#[tokio::test]
async fn companions_are_columns_and_hear_of_a_change_without_a_webhook() -> Result<()> {
    let board = Board::start(&["--companions"]).await?;
    let (flag, url) = ("SAMPLE_API_URL", "https://api-default.example.com");
    for column in ["env-file", "prefork"] {
        board.wait_for(flag, column, |[text, _, _]| !text.is_empty()).await?;
    }
    board.post("/faults/lost-webhooks", "on=true").await?;
    board.post(&format!("/flags/{flag}"), "on=false").await?;
    for (column, text, note) in [("env-file", url.to_owned(), ""), ("prefork", format!("\"{url}\""), "2 workers")] {
        board.wait_for(flag, column, |cell| *cell == [text.as_str(), note, "reached"]).await?;
    }
    board.wait_for(flag, "table", |[_, _, tone]| tone == "behind").await?;
    Ok(())
}
