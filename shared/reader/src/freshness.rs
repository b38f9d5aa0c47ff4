//! When it is time to look at the table again, and how old the data is. Pure: told the time, does no I/O.
//!
//! Only the wall clock counts: a sandbox is frozen between invocations, and a monotonic clock stands still with it. A
//! wall clock can be set back; data whose age cannot be told must not look fresh.

use std::time::{Duration, SystemTime};

/// What is known of the data's age.
#[derive(Debug, Clone, Copy)]
pub struct Freshness {
    ttl: Duration,
    /// When the last look began, whatever came of it.
    tried: Option<SystemTime>,
    /// When the last look that found the table in order began.
    succeeded: Option<SystemTime>,
    failed: bool,
}

impl Freshness {
    /// Nothing was looked at yet. `ttl`: for how long data is trusted.
    pub const fn new(ttl: Duration) -> Self {
        Self { ttl, tried: None, succeeded: None, failed: false }
    }

    /// Whether to look before data is used. With data, a failed look is not repeated before the time is up again; with
    /// none, every use looks.
    pub fn is_due(&self, now: SystemTime) -> bool {
        match (self.succeeded, self.tried) {
            (Some(_), Some(tried)) => now.duration_since(tried).map_or(true, |passed| passed >= self.ttl),
            _ => true,
        }
    }

    /// A look that began then found the table in order, with news or without.
    pub const fn succeeded(&mut self, began: SystemTime) {
        self.tried = Some(began);
        self.succeeded = Some(began);
        self.failed = false;
    }

    /// A look that began then failed.
    pub const fn failed(&mut self, began: SystemTime) {
        self.tried = Some(began);
        self.failed = true;
    }

    /// Whether the last look failed.
    pub const fn is_stale(&self) -> bool {
        self.failed
    }

    /// The time since the last look that succeeded. Where the clock was set back, the age at which data is no longer
    /// trusted, at least a second.
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        let succeeded = self.succeeded?;
        Some(now.duration_since(succeeded).unwrap_or_else(|_| self.ttl.max(Duration::from_secs(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(15);

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    fn age(freshness: &Freshness, seconds: u64) -> Option<u64> {
        freshness.age(at(seconds)).map(|age| age.as_secs())
    }

    #[test]
    fn nothing_read_is_due_and_has_no_age() {
        let mut freshness = Freshness::new(TTL);
        assert!(freshness.is_due(at(0)));
        assert_eq!(age(&freshness, 0), None);
        freshness.failed(at(0));
        assert!(freshness.is_due(at(0)), "with nothing to go on with, every call looks");
        assert_eq!(age(&freshness, 5), None);
    }

    #[test]
    fn data_is_trusted_for_its_time_to_live() {
        let mut freshness = Freshness::new(TTL);
        freshness.succeeded(at(0));
        for (seconds, due) in [(0, false), (14, false), (15, true), (86_400, true)] {
            assert_eq!(freshness.is_due(at(seconds)), due, "{seconds}");
            assert_eq!(age(&freshness, seconds), Some(seconds));
        }
    }

    #[test]
    fn no_time_to_live_is_due_at_once() {
        let mut freshness = Freshness::new(Duration::ZERO);
        freshness.succeeded(at(0));
        assert!(freshness.is_due(at(0)));
    }

    #[test]
    fn a_failed_look_makes_data_stale_and_is_repeated_after_the_time_to_live() {
        let mut freshness = Freshness::new(TTL);
        freshness.succeeded(at(0));
        freshness.failed(at(20));
        assert!(freshness.is_stale());
        assert!(!freshness.is_due(at(34)));
        assert!(freshness.is_due(at(35)));
        assert_eq!(age(&freshness, 30), Some(30), "the age counts from the last look that succeeded");
        freshness.succeeded(at(35));
        assert!(!freshness.is_stale());
        assert_eq!(age(&freshness, 36), Some(1));
    }

    #[test]
    fn a_clock_set_back_makes_data_due_and_never_fresh() {
        let mut freshness = Freshness::new(TTL);
        freshness.succeeded(at(100));
        assert!(freshness.is_due(at(99)));
        assert_eq!(age(&freshness, 99), Some(15));
        let mut unchecked = Freshness::new(Duration::ZERO);
        unchecked.succeeded(at(100));
        assert_eq!(age(&unchecked, 99), Some(1));
    }

    proptest::proptest! {
        #[test]
        fn data_within_its_time_is_never_older_than_that(looked in 0_u64..1000, now in 0_u64..2000) {
            let mut freshness = Freshness::new(TTL);
            freshness.succeeded(at(looked));
            if !freshness.is_due(at(now)) {
                proptest::prop_assert!(freshness.age(at(now)).unwrap() < TTL);
            }
        }
    }
}
