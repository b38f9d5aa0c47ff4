//! A running `local up`, as somebody starts it who wants to play with the pipeline.

use crate::binaries::binary;
use anyhow::{Context, Result, bail};
use local::patience::{PATIENCE, in_time};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The program with free ports and the built functions. Dropping it asks it to end, and waits.
#[derive(Debug)]
pub struct LocalUp {
    child: Child,
    banner: String,
}

impl LocalUp {
    /// Starts it, and waits until everything is served.
    pub async fn start(arguments: &[&str]) -> Result<Self> {
        // Both run beside `local`, and so have to be built.
        let (local, _, _) = (binary("local")?, binary("store")?, binary("reader")?);
        let ports = ["dynamodb", "launchdarkly", "store", "reader", "board"].map(|name| format!("--{name}-port=0"));
        let mut command = Command::new(local);
        command.arg("up").args(ports).args(arguments).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("failed to read its output")?).lines();
        let mut banner = String::new();
        let told = async {
            while !banner.contains("Ctrl-C ends everything") {
                let Some(line) = lines.next_line().await? else { bail!("failed to start local up; it said: {banner}") };
                banner.push_str(&line);
                banner.push('\n');
            }
            Ok(())
        };
        in_time(told, || "what `local up` prints".to_owned()).await??;
        // It goes on writing, a line for each webhook.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, banner })
    }

    /// The URL that it printed for one of its parts, such as `flag board`.
    pub fn url(&self, name: &str) -> Result<String> {
        let line = self.banner.lines().find_map(|line| line.strip_prefix(name));
        let url = line.and_then(|line| line.split_whitespace().next());
        Ok(url.with_context(|| format!("failed to find the URL of {name} in {}", self.banner))?.to_owned())
    }
}

impl Drop for LocalUp {
    /// Killed, it could not end the programs that it has started itself.
    fn drop(&mut self) {
        let Some(pid) = self.child.id() else { return };
        let _ = std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status();
        let began = Instant::now();
        while began.elapsed() < PATIENCE && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
