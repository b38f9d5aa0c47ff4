//! The programs beside the functions, `env-sync` and `prefork-server`, run against the stand-in as
//! processes of their own: those of them that are built.

use super::screen::{self, Screen};
use anyhow::Context;
use local::standin::Standin;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// How long a program may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The programs that run. Dropping them kills them; [`Companions::end`] is the polite way.
pub(super) struct Companions {
    children: Vec<Child>,
    /// The file that `env-sync` keeps.
    pub(super) env_file: Option<PathBuf>,
    /// The URL of `prefork-server`.
    pub(super) prefork: Option<String>,
    /// Holds the file where nobody named another.
    folder: Option<TempDir>,
}

/// How they are started.
pub(super) struct Setting<'a> {
    /// Where the binaries are.
    pub(super) folder: &'a Path,
    pub(super) sdk_key: &'a str,
    /// The file that `env-sync` is to keep, instead of a temporary one.
    pub(super) env_file: Option<&'a Path>,
    /// Whether what they log is to be seen.
    pub(super) logs: bool,
    pub(super) screen: Screen,
}

impl Companions {
    /// None of them.
    pub(super) fn none() -> Self {
        Self { children: Vec::new(), env_file: None, prefork: None, folder: None }
    }

    /// Starts those that are built.
    pub(super) async fn start(setting: &Setting<'_>, standin: &Standin) -> anyhow::Result<Self> {
        let mut companions = Self::none();
        if let Some(mut command) = setting.command("env-sync", standin) {
            let folder = tempfile::tempdir().context("make a folder for env-sync's file")?;
            let file = setting.env_file.map_or_else(|| folder.path().join(".env"), Path::to_owned);
            command.env("LD_SDK_KEY", setting.sdk_key).env("ENV_FILE_PATH", &file).env("BACKUP_ENABLED", "false");
            companions.children.push(command.spawn().context("start env-sync")?);
            companions.env_file = Some(file);
            companions.folder = Some(folder);
        }
        if let Some(mut command) = setting.command("prefork-server", standin) {
            let address = free_address().await.context("find a port for prefork-server")?;
            command.env("LAUNCHDARKLY_SDK_KEY", setting.sdk_key).args(["--bind", &address]);
            companions.children.push(command.spawn().context("start prefork-server")?);
            companions.prefork = Some(format!("http://{address}"));
        }
        Ok(companions)
    }

    /// Asks all of them to end, and waits for it.
    pub(super) async fn end(self) {
        let pids = self.children.iter().filter_map(|child| Pid::from_raw(child.id()?.try_into().ok()?));
        for pid in pids {
            // Who has ended already need not be asked.
            let _ = kill_process(pid, Signal::TERM);
        }
        for mut child in self.children {
            let _ = tokio::time::timeout(PATIENCE, child.wait()).await;
        }
        // Only now: a file is written to until its program has ended.
        drop(self.folder);
    }
}

impl Setting<'_> {
    /// The program over the stand-in, if it is built.
    fn command(&self, name: &str, standin: &Standin) -> Option<Command> {
        let binary = self.folder.join(name);
        if !binary.is_file() {
            screen::line(&self.screen.dim(&format!("{name} is not built, and left out")));
            return None;
        }
        let mut command = Command::new(binary);
        for variable in ["LAUNCHDARKLY_BASE_URI", "LAUNCHDARKLY_STREAM_URI", "LAUNCHDARKLY_EVENTS_URI"] {
            command.env(variable, standin.url());
        }
        let output = || if self.logs { Stdio::inherit() } else { Stdio::null() };
        command.stdin(Stdio::null()).stdout(output()).stderr(output()).kill_on_drop(true);
        Some(command)
    }
}

/// An address on this machine that nobody listens on just now.
async fn free_address() -> std::io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?.to_string())
}
