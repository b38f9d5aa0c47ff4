//! When an invocation is given up.
//!
//! Lambda names a moment, in milliseconds since the Unix epoch. The emulator of `cargo lambda watch` sends 600000 at every
//! invocation (cargo-lambda-watch, `functions_router.rs`): as a moment that lies in 1970, and every function would be out of
//! time before it began. It is meant as a duration, and taken for one.

use lambda_runtime::Context;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// No moment that Lambda names lies before this, the year 2001, and no duration is as long.
const FIRST_MOMENT: Duration = Duration::from_secs(1_000_000_000);

/// The invocation's deadline.
pub(super) fn of(context: &Context) -> SystemTime {
    after(Duration::from_millis(context.deadline), SystemTime::now())
}

fn after(named: Duration, now: SystemTime) -> SystemTime {
    let from = if named < FIRST_MOMENT { now } else { UNIX_EPOCH };
    from + named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambdas_moment_is_taken_as_it_is() {
        let moment = Duration::from_millis(1_763_700_000_123);
        assert_eq!(after(moment, UNIX_EPOCH + Duration::from_secs(5)), UNIX_EPOCH + moment);
    }

    #[test]
    fn the_emulators_duration_is_counted_from_now() {
        let now = UNIX_EPOCH + Duration::from_millis(1_763_700_000_123);
        assert_eq!(after(Duration::from_mins(10), now), now + Duration::from_mins(10));
    }
}
