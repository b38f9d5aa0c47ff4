//! How things stand: what `/health`, `/metrics`, the health file and systemd are told.
//!
//! One [`Status`] is shared by all rooms that know a part of it; none of them knows who reads it. It holds counts, times
//! and texts of errors, and no value of a flag.

pub mod health_file;
mod metrics;
pub mod server;
pub mod systemd;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::watch;

/// How things stand in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// The file says what LaunchDarkly says.
    Ok,
    /// LaunchDarkly cannot be reached; the file has the last known values.
    Stale,
    /// LaunchDarkly has not answered yet.
    Starting,
    /// The file cannot be written.
    Failing,
}

/// All that is known. Times are seconds since 1970 by the wall clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Whether LaunchDarkly has ever sent its flags.
    pub initialized: bool,
    /// Whether the stream is open.
    pub connected: bool,
    /// Why it is not.
    pub stream_problem: Option<String>,
    /// Why the file is not as it should be.
    pub file_problem: Option<String>,
    /// The flags kept in the file.
    pub flags: usize,
    /// Those of them that are missing, of the wrong type or cannot be evaluated.
    pub flags_with_problems: usize,
    /// Names whose values the format cannot hold, and flags that have no variable.
    pub refused: Vec<String>,
    /// When a change of a managed flag last arrived.
    pub last_event: Option<u64>,
    /// When the file was last changed.
    pub last_write: Option<u64>,
    /// When it was last found right or made right.
    pub last_sync: Option<u64>,
    /// How often its content was changed.
    pub writes: u64,
    /// How often that failed.
    pub write_failures: u64,
    /// How often a backup failed.
    pub backup_failures: u64,
    /// Streams opened.
    pub connections: u64,
    /// Commands run, signals sent and programs restarted.
    pub reloads: u64,
    /// Those that failed.
    pub reload_failures: u64,
}

impl Facts {
    /// In a word.
    pub const fn word(&self) -> Word {
        match (self.initialized, self.file_problem.is_some(), self.connected) {
            (_, true, _) => Word::Failing,
            (false, ..) => Word::Starting,
            (true, _, false) => Word::Stale,
            (true, _, true) => Word::Ok,
        }
    }

    /// The answer of `/health`.
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        struct Health<'a> {
            status: Word,
            #[serde(flatten)]
            facts: &'a Facts,
        }
        serde_json::to_string(&Health { status: self.word(), facts: self }).unwrap_or_default()
    }
}

/// The facts, shared.
#[derive(Debug, Clone)]
pub struct Status(Arc<watch::Sender<Facts>>);

impl Default for Status {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Facts::default())))
    }
}

impl Status {
    /// The facts as they are now.
    pub fn facts(&self) -> Facts {
        self.0.borrow().clone()
    }

    /// Follows them.
    pub fn subscribe(&self) -> watch::Receiver<Facts> {
        self.0.subscribe()
    }

    /// Changes some of them.
    pub fn update(&self, change: impl FnOnce(&mut Facts)) {
        self.0.send_modify(change);
    }

    /// A command ran, a signal was sent or a program was restarted.
    pub fn reloaded(&self, went_well: bool) {
        self.update(|facts| {
            facts.reloads += 1;
            facts.reload_failures += u64::from(!went_well);
        });
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_says_the_worst() {
        let facts = Facts::default();
        assert_eq!(facts.word(), Word::Starting);
        let facts = Facts { initialized: true, ..facts };
        assert_eq!(facts.word(), Word::Stale);
        let facts = Facts { connected: true, ..facts };
        assert_eq!(facts.word(), Word::Ok);
        let facts = Facts { file_problem: Some("full".to_owned()), ..facts };
        assert_eq!(facts.word(), Word::Failing);
        assert!(
            facts.json().starts_with(r#"{"status":"failing","initialized":true,"connected":true,"#),
            "{}",
            facts.json()
        );
    }
}
