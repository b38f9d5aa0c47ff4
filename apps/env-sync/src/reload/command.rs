//! The command of `--exec`: a line for `sh`, the values in its environment, its output in the log.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

use super::Environment;

/// Whether it ended well.
pub(super) async fn run(line: &str, environment: &Environment, within: Duration) -> bool {
    let mut command = Command::new("sh");
    command.arg("-c").arg(line).envs(environment.iter()).env_remove("LD_SDK_KEY");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own, so that all that it started can be ended with it.
    let mut child = match command.process_group(0).kill_on_drop(true).spawn() {
        Ok(child) => child,
        Err(error) => {
            tracing::error!(%error, "the command of --exec cannot be started");
            return false;
        }
    };
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let output = tokio::spawn(log(child.stdout.take(), "stdout"));
    let errors = tokio::spawn(log(child.stderr.take(), "stderr"));
    let Ok(ended) = tokio::time::timeout(within, child.wait()).await else {
        tracing::error!("the command of --exec took longer than {within:?} and is killed");
        // It may just have ended.
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
        let _ = child.wait().await;
        return false;
    };
    // What it left in the background may hold its output open for ever.
    let _ = tokio::time::timeout(Duration::from_millis(200), async { tokio::join!(output, errors) }).await;
    match ended {
        Ok(status) if status.success() => {
            tracing::info!("the command of --exec is done");
            true
        }
        Ok(status) => {
            tracing::error!("the command of --exec failed: {status}");
            false
        }
        Err(error) => {
            tracing::error!(%error, "the command of --exec was lost");
            false
        }
    }
}

async fn log(output: Option<impl AsyncRead + Unpin>, stream: &str) {
    let Some(output) = output else { return };
    let mut lines = BufReader::new(output).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        tracing::info!(stream, "exec: {}", String::from_utf8_lossy(&line).trim_end());
    }
}
