//! What a function's process writes, line by line, standard output and standard error together.

use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::watch;

/// The lines that a process has written. Clones see the same lines.
#[derive(Debug, Clone)]
pub struct Logs {
    lines: Arc<Mutex<Vec<String>>>,
    /// How many lines there are; closed once the process has ended and all is read.
    written: watch::Receiver<usize>,
}

/// The writing end, one clone per stream.
#[derive(Debug, Clone)]
pub(super) struct LogsWriter {
    lines: Arc<Mutex<Vec<String>>>,
    written: watch::Sender<usize>,
}

pub(super) fn channel() -> (LogsWriter, Logs) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (sender, written) = watch::channel(0);
    (LogsWriter { lines: lines.clone(), written: sender }, Logs { lines, written })
}

impl LogsWriter {
    /// Reads `stream` to its end.
    pub(super) async fn collect(self, stream: impl AsyncRead + Unpin, on_line: impl Fn(&str)) {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while let Ok(1..) = stream.read_until(b'\n', &mut line).await {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            line.clear();
            on_line(&text);
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push(text);
            self.written.send_replace(lines.len());
        }
    }
}

impl Logs {
    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All lines so far, as one text.
    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// The last `count` lines, as one text.
    pub fn last(&self, count: usize) -> String {
        let lines = self.lines();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// The first line that has `text` in it, waiting until it is written; nothing if the process
    /// ends without.
    pub async fn wait_for(&self, text: &str) -> Option<String> {
        let mut written = self.written.clone();
        loop {
            written.borrow_and_update();
            if let Some(line) = self.lines().into_iter().find(|line| line.contains(text)) {
                return Some(line);
            }
            written.changed().await.ok()?;
        }
    }

    /// Waits until the process has closed its outputs, so that nothing more can come.
    pub(super) async fn ended(&self) {
        let mut written = self.written.clone();
        while written.changed().await.is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_of_both_streams_are_kept_and_can_be_waited_for() {
        let (writer, logs) = channel();
        let waiting = tokio::spawn({
            let logs = logs.clone();
            async move { (logs.wait_for("two").await, logs.wait_for("three").await) }
        });
        writer.clone().collect(&b"one\r\n"[..], |_| ()).await;
        writer.collect(&b"line two\n\xff"[..], |_| ()).await;

        assert_eq!(waiting.await.unwrap(), (Some("line two".to_owned()), None));
        assert_eq!(logs.lines(), ["one", "line two", "\u{fffd}"]);
        assert_eq!(logs.last(2), "line two\n\u{fffd}");
    }
}
