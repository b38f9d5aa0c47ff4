//! When to write: the only place that knows about debounce, shortest interval and retries. Pure; time is handed in.
//!
//! A burst is written once it has been quiet for the debounce, and at the latest five debounces after its first event:
//! an endless storm must not keep its values from the file for ever.

use std::time::{Duration, Instant};

/// How many debounces a burst may last.
const LONGEST_BURST: u32 = 5;

/// The waits after failures, doubled from the first to the last.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Decides when the next write is due. Instants only go forward, whatever happens to the clock on the wall.
#[derive(Debug)]
pub struct Pace {
    debounce: Duration,
    min_interval: Duration,
    burst: Option<Burst>,
    last_change: Option<Instant>,
    retry: Option<(Instant, Duration)>,
}

#[derive(Debug, Clone, Copy)]
struct Burst {
    first: Instant,
    last: Instant,
}

impl Pace {
    /// Nothing is pending.
    pub const fn new(debounce: Duration, min_interval: Duration) -> Self {
        Self { debounce, min_interval, burst: None, last_change: None, retry: None }
    }

    /// Something changed.
    pub fn event(&mut self, now: Instant) {
        let first = self.burst.map_or(now, |burst| burst.first);
        self.burst = Some(Burst { first, last: now });
    }

    /// When the next write is due; nothing while nothing is pending.
    pub fn due(&self) -> Option<Instant> {
        let due = match (self.burst, self.retry) {
            (None, None) => return None,
            (None, Some((retry, _))) => retry,
            // What failed is not tried more often because more changes.
            (Some(burst), retry) => self.calm(burst).max(retry.map_or(burst.first, |(retry, _)| retry)),
        };
        Some(self.last_change.map_or(due, |change| due.max(change + self.min_interval)))
    }

    fn calm(&self, burst: Burst) -> Instant {
        (burst.last + self.debounce).min(burst.first + self.debounce * LONGEST_BURST)
    }

    /// A look at the file went well; it had to be changed or not.
    pub fn done(&mut self, now: Instant, is_changed: bool) {
        (self.burst, self.retry) = (None, None);
        if is_changed {
            self.last_change = Some(now);
        }
    }

    /// A look at the file failed; it is due again, later each time.
    pub fn failed(&mut self, now: Instant) {
        let wait = self.retry.map_or(RETRY.0, |(_, wait)| (wait * 2).min(RETRY.1));
        self.burst = None;
        self.retry = Some((now + wait, wait));
    }

    /// Whether anything waits to be written.
    pub const fn is_pending(&self) -> bool {
        self.burst.is_some() || self.retry.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_burst_is_written_once_it_is_quiet() {
        let (mut pace, start) = (Pace::new(ms(400), ms(0)), Instant::now());
        assert_eq!(pace.due(), None);
        pace.event(start);
        pace.event(start + ms(300));
        assert_eq!(pace.due(), Some(start + ms(700)));
        pace.done(start + ms(700), true);
        assert!(pace.due().is_none() && !pace.is_pending());
    }

    #[test]
    fn an_endless_storm_is_written_every_five_debounces() {
        let (mut pace, start) = (Pace::new(ms(400), ms(0)), Instant::now());
        for event in 0..10_000 {
            pace.event(start + ms(event));
        }
        assert_eq!(pace.due(), Some(start + ms(2000)));
    }

    #[test]
    fn changes_keep_their_distance() {
        let (mut pace, start) = (Pace::new(ms(0), ms(5000)), Instant::now());
        pace.event(start);
        assert_eq!(pace.due(), Some(start));
        pace.done(start, true);
        pace.event(start + ms(10));
        assert_eq!(pace.due(), Some(start + ms(5000)));
        pace.done(start + ms(5000), false);
        pace.event(start + ms(6000));
        assert_eq!(pace.due(), Some(start + ms(6000)), "a look that changed nothing sets no distance");
    }

    #[test]
    fn what_failed_is_tried_again_ever_more_seldom_and_no_sooner_for_further_events() {
        let (mut pace, start) = (Pace::new(ms(0), ms(0)), Instant::now());
        pace.event(start);
        let mut now = start;
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            pace.failed(now);
            pace.event(now + ms(1));
            assert_eq!(pace.due(), Some(now + Duration::from_secs(seconds)));
            now += Duration::from_secs(seconds);
        }
        pace.done(now, true);
        assert_eq!(pace.due(), None);
    }

    proptest! {
        #[test]
        fn no_event_waits_longer_than_five_debounces(debounce in 0..1000_u64, gaps in proptest::collection::vec(0..1500_u64, 1..50)) {
            let (mut pace, mut now) = (Pace::new(ms(debounce), ms(0)), Instant::now());
            let mut first = None;
            for gap in gaps {
                now += ms(gap);
                if let Some(due) = pace.due().filter(|due| *due <= now) {
                    prop_assert!(due <= first.unwrap_or(now) + ms(debounce) * 5);
                    pace.done(due, true);
                    first = None;
                }
                pace.event(now);
                first = first.or(Some(now));
            }
        }
    }
}
