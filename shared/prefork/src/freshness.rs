//! How old the flags of a group are: until when they are known to have been LaunchDarkly's.
//!
//! As long as a stream is open they are current, however long ago one of them changed. One word of the board holds it, so
//! the process that holds the stream says it and every worker can answer for it. The clock is the wall's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::board::now_ms;

/// In the place of a time while a stream is open.
const NOW: u64 = u64::MAX;

/// Without a stream for this long, flags are stale. Streams are reopened every now and then, which takes a second or two.
const STALE_AFTER: Duration = Duration::from_secs(10);

/// One process's or the whole group's. Copies are the same.
#[derive(Debug, Clone, Copy)]
pub struct Freshness {
    pub(crate) until: &'static AtomicU64,
    pub(crate) failures: &'static AtomicU64,
}

impl Freshness {
    /// Flags were fetched at this time, in milliseconds since 1970; 0 for never.
    pub fn fetched(self, unix_ms: u64) {
        self.until.store(unix_ms, Ordering::Relaxed);
    }

    /// The stream is open.
    pub fn opened(self) {
        self.until.store(NOW, Ordering::Relaxed);
    }

    /// The stream could not be opened, or has ended.
    pub fn failed(self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.ended();
    }

    /// Whoever had the stream is gone.
    pub(crate) fn ended(self) {
        let _ = self.until.compare_exchange(NOW, now_ms(), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether the stream is open.
    pub fn is_open(self) -> bool {
        self.until.load(Ordering::Relaxed) == NOW
    }

    /// How often the stream could not be opened or has ended.
    pub fn failures(self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// For how long the flags may have been other ones at LaunchDarkly; nothing where there were never any.
    pub fn age(self) -> Option<Duration> {
        match self.until.load(Ordering::Relaxed) {
            0 => None,
            NOW => Some(Duration::ZERO),
            until => Some(Duration::from_millis(now_ms().saturating_sub(until))),
        }
    }

    /// Whether that is longer than reopening a stream takes.
    pub fn is_stale(self) -> bool {
        self.age().is_some_and(|age| age >= STALE_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Board;

    #[test]
    fn flags_age_from_the_end_of_their_stream_and_not_from_their_last_change() {
        let freshness = Board::new().unwrap().freshness();
        assert_eq!((freshness.age(), freshness.is_open()), (None, false));
        freshness.fetched(now_ms() - 60_000);
        assert!(freshness.age() >= Some(Duration::from_mins(1)) && freshness.is_stale());
        freshness.opened();
        assert_eq!((freshness.age(), freshness.is_stale()), (Some(Duration::ZERO), false));
        freshness.failed();
        let lost = freshness.until.load(Ordering::Relaxed);
        freshness.failed();
        assert_eq!((freshness.until.load(Ordering::Relaxed), freshness.failures()), (lost, 2));
        assert!(!freshness.is_open() && !freshness.is_stale());
    }

    #[test]
    fn before_there_was_a_stream_failures_make_no_age() {
        let freshness = Board::new().unwrap().freshness();
        freshness.failed();
        assert_eq!(freshness.age(), None);
    }
}
