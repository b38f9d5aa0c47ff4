//! When to ask again: bounded attempts, full jitter between them, never past the deadline.
//!
//! Knows nothing of HTTP but the `Retry-After` header. Which errors are worth another attempt is
//! said by the errors themselves ([`Retryable`]). Full jitter, because the many functions that one
//! webhook or one outage wakes must not come back all at once.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use crate::Limits;

/// What an error says about another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It would fail again.
    Never,
    /// It may succeed.
    Soon,
    /// The server said how long to wait.
    After(Duration),
}

/// An error of one attempt.
pub(crate) trait Retryable: std::error::Error + 'static {
    fn retry(&self) -> Retry;
}

/// Runs `attempt` until it succeeds, fails for good, or neither the limits nor `deadline` leave
/// room for another one; then its last error stands.
pub(crate) async fn retry<T, E, F>(limits: &Limits, deadline: Instant, mut attempt: impl FnMut() -> F) -> Result<T, E>
where
    E: Retryable,
    F: Future<Output = Result<T, E>>,
{
    let mut done = 1;
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let again = pause(limits, done, error.retry())
            .and_then(|pause| Instant::now().checked_add(pause))
            .filter(|again| *again < deadline);
        let Some(again) = again else {
            return Err(error);
        };
        tracing::debug!(attempt = done, error = &error as &dyn std::error::Error, "trying again");
        sleep_until(again).await;
        done += 1;
    }
}

/// How long to wait after `done` attempts, or nothing where there is no further one.
fn pause(limits: &Limits, done: u32, retry: Retry) -> Option<Duration> {
    if done >= limits.attempts {
        return None;
    }
    match retry {
        Retry::Never => None,
        Retry::Soon => {
            let doubled = limits.first_pause.saturating_mul(1 << (done - 1).min(16));
            Some(jitter(doubled.min(limits.longest_pause)))
        }
        Retry::After(wait) => wait.checked_add(jitter(limits.first_pause)),
    }
}

fn jitter(longest: Duration) -> Duration {
    longest.mul_f64(rand::random())
}

/// Reads a `Retry-After` header (RFC 9110 §10.2.3): whole seconds, or a date, from which `now` is
/// subtracted. A date in the past means at once.
pub(crate) fn after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("attempt failed")]
    struct Failed(Retry);

    impl Retryable for Failed {
        fn retry(&self) -> Retry {
            self.0
        }
    }

    fn limits() -> Limits {
        Limits {
            attempts: 4,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_millis(300),
            ..Limits::default()
        }
    }

    /// Attempts made, and time taken, until the deadline in `seconds`.
    async fn run(seconds: u64, fails: u32, retry_as: Retry) -> (u32, Duration, bool) {
        let attempts = Cell::new(0);
        let start = Instant::now();
        let result = retry(&limits(), start + Duration::from_secs(seconds), || {
            attempts.set(attempts.get() + 1);
            let is_ok = attempts.get() > fails;
            async move { if is_ok { Ok(()) } else { Err(Failed(retry_as)) } }
        })
        .await;
        (attempts.get(), start.elapsed(), result.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn tries_again_until_it_succeeds() {
        let (attempts, elapsed, is_ok) = run(60, 2, Retry::Soon).await;
        assert_eq!((attempts, is_ok), (3, true));
        assert!(elapsed <= Duration::from_millis(310), "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_after_the_last_attempt() {
        let (attempts, elapsed, is_ok) = run(60, u32::MAX, Retry::Soon).await;
        assert_eq!((attempts, is_ok), (4, false));
        assert!(elapsed <= Duration::from_millis(610), "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn does_not_repeat_what_would_fail_again() {
        let (attempts, elapsed, _) = run(60, u32::MAX, Retry::Never).await;
        assert_eq!((attempts, elapsed), (1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn waits_as_long_as_the_server_says() {
        let (attempts, elapsed, is_ok) = run(60, 1, Retry::After(Duration::from_secs(7))).await;
        assert_eq!((attempts, is_ok), (2, true));
        assert!(elapsed >= Duration::from_secs(7) && elapsed < Duration::from_secs(8));
    }

    #[tokio::test(start_paused = true)]
    async fn does_not_wait_for_what_the_deadline_forbids() {
        for wait in [Duration::from_secs(10), Duration::MAX] {
            let (attempts, elapsed, is_ok) = run(10, 1, Retry::After(wait)).await;
            assert_eq!((attempts, elapsed, is_ok), (1, Duration::ZERO, false));
        }
    }

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let limits = Limits { attempts: u32::MAX, ..limits() };
        for (done, longest) in [(1, 100), (2, 200), (3, 300), (4, 300), (40, 300)] {
            let longest = Duration::from_millis(longest);
            let pauses: Vec<Duration> = (0..200).map(|_| pause(&limits, done, Retry::Soon).unwrap()).collect();
            assert!(pauses.iter().all(|pause| *pause <= longest), "{done}");
            // Full jitter: over 200 draws, some in each quarter of the range.
            assert!(pauses.iter().any(|pause| *pause < longest / 4), "{done}");
            assert!(pauses.iter().any(|pause| *pause > longest / 4 * 3), "{done}");
        }
    }

    #[test]
    fn reads_retry_after_as_seconds_or_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        for (value, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", Some(0)),
            ("Sat, 06 Nov 1993 08:49:37 GMT", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(after(value, now), seconds.map(Duration::from_secs), "{value:?}");
        }
    }
}
