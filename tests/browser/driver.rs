//! A headless Chromium through its `WebDriver`, as far as these tests need one.
//!
//! Protocol: <https://www.w3.org/TR/webdriver2/>; what it does not have (colour scheme, exact sizes)
//! goes through `goog/cdp/execute`, Chromium's own protocol.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use local::patience::{PATIENCE, in_time};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The key of an element's id in the protocol's JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// No window, no graphics card, also as root; and pictures that are the same everywhere.
const ARGUMENTS: [&str; 6] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
];

/// The Tab key.
pub(crate) const TAB: &str = "\u{e004}";

/// A browser with one page. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Browser {
    _driver: Child,
    session: String,
}

impl Browser {
    /// Starts one and opens `url` in it.
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let (driver, base) = start_driver().await?;
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": ARGUMENTS},
        }}});
        let session = send(Method::POST, &format!("{base}/session"), capabilities).await?;
        let id = session["sessionId"].as_str().context("failed to start Chromium")?;
        let browser = Self { _driver: driver, session: format!("{base}/session/{id}") };
        browser.resize(1280, 900).await?;
        browser.post("/url", json!({"url": url})).await?;
        browser.wait_for("return document.getElementById('link').hasAttribute('data-live')").await?;
        Ok(browser)
    }

    /// Runs a function's body in the page; what it returns.
    pub(crate) async fn run(&self, script: &str) -> Result<Value> {
        self.post("/execute/sync", json!({"script": script, "args": []})).await
    }

    /// The same for what is text.
    pub(crate) async fn text(&self, selector: &str) -> Result<String> {
        let text = self.run(&format!("return document.querySelector('{selector}').textContent")).await?;
        let words: Vec<_> = text.as_str().unwrap_or_default().split_whitespace().collect();
        Ok(words.join(" "))
    }

    /// Runs it again and again until it returns something true.
    pub(crate) async fn wait_for(&self, script: &str) -> Result<()> {
        let began = Instant::now();
        loop {
            if self.run(script).await? == true {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                let page = self.run("return document.body.innerText").await?;
                anyhow::bail!("failed to see `{script}` come true in {PATIENCE:?}; the page says {page}");
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Waits until the text of an element has `text` in it.
    pub(crate) async fn wait_for_text(&self, selector: &str, text: &str) -> Result<()> {
        let text = Value::from(text);
        self.wait_for(&format!("return document.querySelector('{selector}')?.textContent.includes({text})")).await
    }

    /// Clicks where the element is, as a mouse does: fails where something covers it.
    pub(crate) async fn click(&self, selector: &str) -> Result<()> {
        let element = self.element(selector).await?;
        self.post(&format!("/element/{element}/click"), json!({})).await?;
        Ok(())
    }

    /// Presses and releases a key, wherever the focus is.
    pub(crate) async fn press(&self, key: &str) -> Result<()> {
        let strokes = ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key}));
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]});
        self.post("/actions", actions).await?;
        Ok(())
    }

    /// Role and name of an element, as assistive technology gets them.
    pub(crate) async fn announced(&self, selector: &str) -> Result<(String, String)> {
        let element = self.element(selector).await?;
        let get = async |what: &str| -> Result<String> {
            let url = format!("{}/element/{element}/{what}", self.session);
            Ok(send(Method::GET, &url, Value::Null).await?.as_str().unwrap_or_default().to_owned())
        };
        Ok((get("computedrole").await?, get("computedlabel").await?))
    }

    /// Makes the page this large, in CSS pixels.
    pub(crate) async fn resize(&self, width: u32, height: u32) -> Result<()> {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await?;
        Ok(())
    }

    /// Prefers a colour scheme, `light` or `dark`, and no motion.
    pub(crate) async fn prefer(&self, scheme: &str) -> Result<()> {
        let features = json!({"features": [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]});
        self.devtools("Emulation.setEmulatedMedia", features).await?;
        Ok(())
    }

    /// The page as a PNG, from its top to its end.
    pub(crate) async fn picture(&self) -> Result<Vec<u8>> {
        let picture = self.devtools("Page.captureScreenshot", json!({"captureBeyondViewport": true})).await?;
        Ok(BASE64_STANDARD.decode(picture["data"].as_str().unwrap_or_default())?)
    }

    /// Fails where the console has an error or a warning.
    pub(crate) async fn ensure_quiet(&self) -> Result<()> {
        let said = self.post("/se/log", json!({"type": "browser"})).await?;
        ensure!(said == json!([]), "the console says {said}");
        Ok(())
    }

    async fn element(&self, selector: &str) -> Result<String> {
        let found = self.post("/element", json!({"using": "css selector", "value": selector})).await?;
        Ok(found[ELEMENT].as_str().with_context(|| format!("failed to find {selector}"))?.to_owned())
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        self.post("/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        send(Method::POST, &format!("{}{path}", self.session), body).await
    }
}

impl Drop for Browser {
    /// Asks the driver to end the session and waits for it: killed, it would leave Chromium running.
    fn drop(&mut self) {
        let session = self.session.trim_start_matches("http://").split_once('/');
        let Some((host, path)) = session else { return };
        if let Ok(mut stream) = TcpStream::connect(host) {
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let _ = write!(stream, "DELETE /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            let _ = stream.read(&mut [0]);
        }
    }
}

/// Starts the driver on a port of its choice; its URL.
async fn start_driver() -> Result<(Child, String)> {
    let mut command = Command::new("chromedriver");
    command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut driver = command.spawn().context("failed to start chromedriver; tests/browser/install installs it")?;
    let mut lines = BufReader::new(driver.stdout.take().context("failed to read its output")?).lines();
    let told = async {
        while let Some(line) = lines.next_line().await? {
            if let Some(port) = line.strip_prefix("ChromeDriver was started successfully on port ") {
                return Ok(format!("http://127.0.0.1:{}", port.trim_end_matches('.')));
            }
        }
        anyhow::bail!("failed to start chromedriver: it names no port")
    };
    let url = in_time(told, || "chromedriver's port".to_owned()).await??;
    Ok((driver, url))
}

async fn send(method: Method, url: &str, body: Value) -> Result<Value> {
    let mut request = local::http_client().request(method, url);
    if !body.is_null() {
        request = request.body(body.to_string());
    }
    let response = request.send().await?;
    let status = response.status();
    let mut answer: Value = serde_json::from_slice(&response.bytes().await?)?;
    ensure!(status.is_success(), "WebDriver at {url}: {}", answer["value"]["message"]);
    Ok(answer["value"].take())
}
