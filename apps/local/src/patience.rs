//! How long tests wait for what other processes bring about, and what they say where it does not come.
//!
//! The limit is there to end what hangs, with its cause visible; it asserts no speed, and so is far longer than anything
//! takes on a busy machine. Whatever is awaited across processes is awaited through here, or by [`PATIENCE`].

use std::fmt;
use std::io;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, sleep, timeout};

/// How long anything is waited for.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Between two looks at something that nobody tells of.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What was awaited did not come. Also an `unwrap` says it in words.
#[derive(Error)]
#[error("waited {PATIENCE:?} in vain for {awaited}")]
pub struct InVain {
    awaited: String,
}

impl fmt::Debug for InVain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What `future` comes to, unless it takes too long; `awaited` then says what was awaited, and what there is instead.
pub async fn in_time<T>(future: impl Future<Output = T>, awaited: impl FnOnce() -> String) -> Result<T, InVain> {
    timeout(PATIENCE, future).await.map_err(|_| InVain { awaited: awaited() })
}

/// Looks again and again until something is so of which nobody tells.
pub async fn until(mut is_so: impl AsyncFnMut() -> bool, awaited: impl FnOnce() -> String) -> Result<(), InVain> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        if Instant::now() > deadline {
            return Err(InVain { awaited: awaited() });
        }
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

/// Runs a command to its end, without input, and kills it where that does not come; the error then has what it wrote.
/// Also killed where the future is dropped.
pub async fn output(command: impl Into<tokio::process::Command>) -> io::Result<Output> {
    output_before(sleep(PATIENCE), command.into()).await
}

async fn output_before(limit: impl Future<Output = ()>, mut command: tokio::process::Command) -> io::Result<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (read(child.stdout.take(), &mut out), read(child.stderr.take(), &mut err));
    let ended = tokio::select! {
        biased;
        ended = async { tokio::try_join!(child.wait(), stdout, stderr) } => Some(ended),
        () = limit => None,
    };
    if let Some(ended) = ended {
        return ended.map(|(status, (), ())| Output { status, stdout: out, stderr: err });
    }
    let state = if child.id().is_some() { "runs" } else { "has ended, but something that it started runs" };
    let said = [out, err].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let told = format!("{:?} still {state} after {PATIENCE:?}; it said: {said}", command.as_std());
    Err(io::Error::new(io::ErrorKind::TimedOut, told))
}

/// The same for whoever has no runtime, or may block the one there is.
pub fn output_blocking(command: Command) -> io::Result<Output> {
    let run = || tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(output(command));
    // On a thread of its own, as a runtime's threads may not block on another runtime.
    let ended = std::thread::scope(|scope| scope.spawn(run).join());
    ended.unwrap_or_else(|_| Err(io::Error::other("the thread that ran a command panicked")))
}

async fn read(stream: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) -> io::Result<()> {
    if let Some(mut stream) = stream {
        stream.read_to_end(into).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_command_that_ends_gives_its_output() {
        let ended = output(sh("cat; echo out; echo err >&2; exit 3")).await.unwrap();
        assert_eq!((ended.status.code(), ended.stdout, ended.stderr), (Some(3), b"out\n".to_vec(), b"err\n".to_vec()));
        assert_eq!(output_blocking(sh("echo out")).unwrap().stdout, b"out\n");
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_killed_and_told_with_what_it_said() {
        for (rest, state) in [("exec sleep 600", "runs"), ("sleep 5 &", "has ended, but something")] {
            let folder = tempfile::tempdir().unwrap();
            let said = folder.path().join("said");
            let limit = async {
                until(async || said.exists(), || "the command's output".to_owned()).await.unwrap();
                // Long enough to read what is in the pipe already.
                sleep(Duration::from_millis(100)).await;
            };
            let mut command = sh(&format!("echo out; echo err >&2; : >said; {rest}"));
            command.current_dir(folder.path());
            let error = output_before(limit, command.into()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            let told = error.to_string();
            assert!(told.contains(&format!("{rest}\" still {state}")) && told.ends_with("out\nerr\n"), "{told}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_is_named() {
        let error = until(async || false, || "rain, not sun".to_owned()).await.unwrap_err();
        assert_eq!(error.to_string(), "waited 120s in vain for rain, not sun");
        let error = in_time(std::future::pending::<()>(), || "an end".to_owned()).await.unwrap_err();
        assert_eq!(error.to_string(), "waited 120s in vain for an end");
    }
}
