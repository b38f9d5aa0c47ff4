//! How long to wait before a process that died is replaced. Pure.
//!
//! One death is an accident and is made good at once; several in a row, each soon after its start, are a cause that
//! will not go away by trying faster.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// A process that lived this long did not die of its start.
const SETTLED: Duration = Duration::from_secs(2);

/// Deaths in a row, soon after the start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after a process died that lived this long; `chance` from 0 to 1 spreads the pauses of many hosts.
    pub(crate) fn died(&mut self, lived: Duration, chance: f64) -> Duration {
        if lived >= SETTLED {
            *self = Self::default();
            return Duration::ZERO;
        }
        self.failed(chance)
    }

    /// The pause after a process did not even come to be.
    pub(crate) fn failed(&mut self, chance: f64) -> Duration {
        let pause = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        pause.mul_f64(1.0 + chance.clamp(0.0, 1.0) / 4.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_seconds_and_end_with_a_long_life() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..8).map(|_| backoff.died(Duration::ZERO, 0.0).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(backoff.died(SETTLED, 0.0), Duration::ZERO);
        assert_eq!(backoff.failed(1.0), Duration::from_millis(125));
    }
}
