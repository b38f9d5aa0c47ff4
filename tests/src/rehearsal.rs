//! A rehearsal of the stack: `make` with the real command lines of aws and sam, against an AWS of our own.
//!
//! The AWS is moto (`tests/deploy/aws.py`); what it cannot do is run functions, so it hands invocations back to
//! `functions`, where the bootstrap that was uploaded runs. `webhooks` is the part of LaunchDarkly that `make connect`
//! talks to. Bootstraps are compiled quickly rather than well: `make demo` tries out those of the real profile.

mod functions;
pub mod webhooks;

use anyhow::{Context, Result, ensure};
use functions::Functions;
use local::patience::in_time;
use local::standin::{Standin, StandinOptions};
use nix::pty::openpty;
use serde_json::Value;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

/// Where the stacks are.
const REGION: &str = "eu-west-1";

/// How long a command may take: one that builds both functions anew, on a slow machine.
const LONGEST: Duration = Duration::from_mins(15);

/// For what lies in one place for all tests: the tools, and sam's build.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// By flags, since those of single packages in the profile would win over a variable.
const QUICK_BUILD: [(&str, &str); 2] =
    [("RUSTFLAGS", "-Copt-level=0 -Ccodegen-units=16"), ("CARGO_PROFILE_RELEASE_LTO", "off")];

/// An AWS with nothing in it, and a LaunchDarkly. Dropping it ends both.
pub struct Rehearsal {
    launchdarkly: Standin,
    endpoint: String,
    _functions: Functions,
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
        let functions = Functions::start().await?;
        let python = tools().join("rehearsal/venv/bin/python");
        let mut emulator = Command::new(&python)
            .arg(root().join("tests/deploy/aws.py"))
            .arg(functions.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to run {}", python.display()))?;
        let stdout = emulator.stdout.take().context("failed to read the emulator's output")?;
        let mut lines = BufReader::new(stdout).lines();
        let endpoint = in_time(lines.next_line(), || "the emulator's URL".to_owned()).await??;
        let endpoint = endpoint.context("the emulator ended before it said where it is")?;
        functions.use_aws_at(&endpoint);
        let launchdarkly = Standin::start(StandinOptions::default()).await?;
        let folder = tempfile::tempdir()?;
        let rehearsal = Self { launchdarkly, endpoint, _functions: functions, _emulator: emulator, folder };
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
        run(self.prepared(make(target), Stdio::null()).envs(variables.iter().copied())).await
    }

    /// `make` with this target and these variables, at a terminal where somebody types these lines.
    pub async fn make_answering(&self, target: &str, variables: &[(&str, &str)], lines: &[&str]) -> Result<Ran> {
        let terminal = openpty(None, None)?;
        let mut keyboard = File::from(terminal.master);
        for line in lines {
            writeln!(keyboard, "{line}")?;
        }
        let ran = run(self.prepared(make(target), terminal.slave).envs(variables.iter().copied())).await;
        drop(keyboard);
        ran
    }

    /// `aws` with these words.
    pub async fn aws(&self, words: &[&str]) -> Result<Value> {
        let mut command = Command::new(tools().join("cloud/bin/aws"));
        command.args(words).args(["--output", "json"]);
        let ran = run(&mut self.prepared(command, Stdio::null())).await?;
        ensure!(ran.success, "failed to run aws {words:?}: {}", ran.stderr);
        Ok(if ran.stdout.trim().is_empty() { Value::Null } else { serde_json::from_str(&ran.stdout)? })
    }

    /// Nothing of the caller's own account is left in its variables.
    fn prepared(&self, mut command: Command, input: impl Into<Stdio>) -> Command {
        let inherited = std::env::vars_os().map(|(name, _)| name);
        for name in inherited.filter(|name| name.to_string_lossy().starts_with("AWS_")) {
            command.env_remove(name);
        }
        command
            .current_dir(root())
            .stdin(input)
            .env_remove("MAKEFLAGS")
            .envs(QUICK_BUILD)
            .env("SAMCONFIG", self.config())
            .env("AWS_CONFIG_FILE", self.folder.path().join("none"))
            .env("AWS_SHARED_CREDENTIALS_FILE", self.folder.path().join("none"))
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_REGION", REGION)
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "rehearsal")
            .env("AWS_SECRET_ACCESS_KEY", "rehearsal");
        command
    }
}

fn make(target: &str) -> Command {
    let mut command = Command::new("make");
    command.args(["--silent", target]);
    command
}

async fn run(command: &mut Command) -> Result<Ran> {
    let ended = tokio::time::timeout(LONGEST, command.kill_on_drop(true).output()).await;
    let ended = ended.with_context(|| format!("waited {LONGEST:?} in vain for the end of {command:?}"))?;
    let output = ended.with_context(|| format!("failed to run {command:?}"))?;
    Ok(Ran {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

async fn install() -> Result<()> {
    let _turn = ONE_AT_A_TIME.lock().await;
    let parts = ["cloud", "cargo-lambda", "rehearsal"];
    let ran = run(Command::new(root().join("make/install")).args(parts).stdin(Stdio::null())).await?;
    ensure!(ran.success, "failed to install the rehearsal's tools: {}", ran.stderr);
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn tools() -> PathBuf {
    std::env::var_os("FLAGCACHE_TOOLS_DIR").map_or_else(|| root().join(".tools"), PathBuf::from)
}
