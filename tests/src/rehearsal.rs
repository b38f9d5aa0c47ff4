//! A rehearsal of the stack: `make` with the real command lines of aws and sam, against an AWS of our own.
//!
//! The AWS is moto (`tests/deploy/aws.py`); what it cannot do is run functions, so it hands invocations back here, where
//! the bootstrap that was uploaded runs under the Lambda Runtime API with the variables that the stack gives it.

use crate::loopback::{Answer, Request, Server};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use local::lambda::{Function, InvokeError};
use local::standin::{Standin, StandinOptions};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

/// An AWS with nothing in it, and a LaunchDarkly. Dropping it ends both.
pub struct Rehearsal {
    /// LaunchDarkly, for the environment that is deployed.
    pub launchdarkly: Standin,
    /// Where the AWS is.
    pub endpoint: String,
    _runtime: Server,
    // It serves until its standard input ends.
    _emulator: Child,
    folder: tempfile::TempDir,
}

/// How a command ended, and what it wrote.
#[derive(Debug)]
pub struct Ran {
    /// Whether it says that all went well.
    pub success: bool,
    /// What it is for.
    pub stdout: String,
    /// What it says besides.
    pub stderr: String,
}

impl Rehearsal {
    /// Starts both; installs the AWS where that has not been done.
    pub async fn start() -> Result<Self> {
        install().await?;
        let address = Arc::new(OnceLock::new());
        let known = Arc::clone(&address);
        let runtime = Server::start(move |request| invoke(request, Arc::clone(&known))).await?;
        let python = tools().join("rehearsal/venv/bin/python");
        let mut emulator = Command::new(&python)
            .arg(root().join("tests/deploy/aws.py"))
            .arg(format!("http://{}", runtime.address()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to run {}", python.display()))?;
        let stdout = emulator.stdout.take().context("failed to read the emulator's output")?;
        let endpoint = BufReader::new(stdout).lines().next_line().await?;
        let endpoint = endpoint.context("the emulator ended before it said where it is")?;
        let launchdarkly = Standin::start(StandinOptions::default()).await?;
        let _ = address.set(endpoint.clone());
        let folder = tempfile::tempdir()?;
        let rehearsal = Self { launchdarkly, endpoint, _runtime: runtime, _emulator: emulator, folder };
        rehearsal.write_config()?;
        Ok(rehearsal)
    }

    /// The project's own environments, for this machine's processor and this LaunchDarkly.
    fn write_config(&self) -> Result<()> {
        let config = std::fs::read_to_string(root().join("samconfig.toml"))?;
        let ours = format!(
            "parameter_overrides = [\"Architecture={}\", \"LaunchDarklyBaseUri={}\", ",
            if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" },
            self.launchdarkly.url(),
        );
        let changed = config.replace("parameter_overrides = [", &ours);
        ensure!(changed != config, "samconfig.toml has no parameter_overrides to add to");
        Ok(std::fs::write(self.config(), changed)?)
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("samconfig.toml")
    }

    /// `make` with this target and these variables, without a terminal.
    pub async fn make(&self, target: &str, variables: &[(&str, &str)]) -> Result<Ran> {
        let _turn = match target {
            "deploy" | "staging" | "production" => Some(ONE_AT_A_TIME.lock().await),
            _ => None,
        };
        let mut command = Command::new("make");
        command.args(["--silent", target]).envs(variables.iter().copied()).env("SAMCONFIG", self.config());
        self.run(command).await
    }

    /// `aws` with these words.
    pub async fn aws(&self, words: &[&str]) -> Result<Value> {
        let mut command = Command::new(tools().join("cloud/bin/aws"));
        command.args(words).args(["--output", "json"]);
        let ran = self.run(command).await?;
        ensure!(ran.success, "failed to run aws {words:?}: {}", ran.stderr);
        Ok(if ran.stdout.trim().is_empty() { Value::Null } else { serde_json::from_str(&ran.stdout)? })
    }

    async fn run(&self, mut command: Command) -> Result<Ran> {
        command
            .current_dir(root())
            .stdin(Stdio::null())
            .env_remove("MAKEFLAGS")
            .env_remove("AWS_PROFILE")
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_REGION", REGION)
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "rehearsal")
            .env("AWS_SECRET_ACCESS_KEY", "rehearsal");
        let output = command.output().await.with_context(|| format!("failed to run {command:?}"))?;
        Ok(Ran {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

const REGION: &str = "eu-west-1";

/// For what lies in one place for all tests: the tools, and sam's build.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

async fn install() -> Result<()> {
    let _turn = ONE_AT_A_TIME.lock().await;
    let parts = ["cloud", "cargo-lambda", "rehearsal"];
    let installed = Command::new(root().join("make/install")).args(parts).status().await?;
    ensure!(installed.success(), "failed to install the rehearsal's tools; the lines above say why");
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn tools() -> PathBuf {
    std::env::var_os("FLAGCACHE_TOOLS_DIR").map_or_else(|| root().join(".tools"), PathBuf::from)
}

/// An invocation as the emulator hands it over.
#[derive(Deserialize)]
struct Call {
    name: String,
    bootstrap: PathBuf,
    mode: u32,
    variables: BTreeMap<String, String>,
    memory: u32,
    timeout: u64,
    event: Value,
}

async fn invoke(request: Request, endpoint: Arc<OnceLock<String>>) -> io::Result<Answer> {
    let call: Call = serde_json::from_slice(&request.body)?;
    // Lambda unpacks with the modes that the archive has: one that nobody may execute would not start.
    std::fs::set_permissions(&call.bootstrap, std::fs::Permissions::from_mode(call.mode))?;
    let function = Function::new(&call.bootstrap)
        .named(&call.name)
        .memory(call.memory)
        .timeout(Duration::from_secs(call.timeout))
        .env("AWS_REGION", REGION)
        .env("AWS_ENDPOINT_URL", endpoint.get().map_or("", String::as_str))
        .envs(call.variables);
    let process = function.spawn().await.map_err(io::Error::other)?;
    let mut headers = HeaderMap::new();
    let body = match process.invoke(&call.event).await {
        Ok(answer) => answer,
        Err(InvokeError::Function(error)) => {
            headers.insert("x-function-error", HeaderValue::from_static("Unhandled"));
            json!({"errorType": error.error_type, "errorMessage": error.message})
        }
        Err(error) => return Err(io::Error::other(format!("{error}: {}", process.logs().text()))),
    };
    Ok(Answer { status: StatusCode::OK, headers, body: Bytes::from(body.to_string()) })
}
