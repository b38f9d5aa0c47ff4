//! Rate limits, as LaunchDarkly tells them in headers.
//!
//! Numbers are not published, and which headers are there depends on the limit that was hit:
//! <https://launchdarkly.com/docs/api#rate-limiting>. `X-Ratelimit-Reset` is a point in time, so
//! it is compared with the server's own clock (`Date`) where the answer has one.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{DATE, HeaderMap, HeaderName};

use super::RestError;
use crate::connection;

const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const ROUTE_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-route-remaining");
const GLOBAL_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-global-remaining");

/// Which limit was hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimit {
    /// The account's calls of this kind, with whatever token.
    Route,
    /// All calls of the account, with whatever token.
    Account,
}

impl fmt::Display for RateLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Route => "this kind of call",
            Self::Account => "the account",
        })
    }
}

/// The error that an answer with status 429 is.
pub(super) fn error(call: String, headers: &HeaderMap) -> RestError {
    let is_used_up = |name| connection::text(headers, name).is_some_and(|left| left.trim() == "0");
    let limit = if is_used_up(ROUTE_REMAINING) {
        Some(RateLimit::Route)
    } else if is_used_up(GLOBAL_REMAINING) {
        Some(RateLimit::Account)
    } else {
        None
    };
    RestError::RateLimited {
        call,
        retry_after: connection::retry_after(headers).or_else(|| until_reset(headers)),
        limit,
    }
}

fn until_reset(headers: &HeaderMap) -> Option<Duration> {
    let reset = connection::text(headers, RESET)?.trim().parse().ok()?;
    let reset = UNIX_EPOCH.checked_add(Duration::from_millis(reset))?;
    let now = connection::text(headers, DATE)
        .and_then(|date| httpdate::parse_http_date(date).ok())
        .unwrap_or_else(SystemTime::now);
    Some(reset.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&HeaderName, &str)]) -> (Option<u128>, Option<RateLimit>) {
        let headers = headers.iter().map(|(name, value)| ((*name).clone(), value.parse().unwrap())).collect();
        match error("GET /".to_owned(), &headers) {
            RestError::RateLimited { retry_after, limit, .. } => (retry_after.map(|wait| wait.as_millis()), limit),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_every_header_that_tells_when_to_come_back() {
        let date = (&DATE, "Sun, 06 Nov 1994 08:49:37 GMT");
        let reset = (&RESET, "784111780500");
        let retry_after = (&reqwest::header::RETRY_AFTER, "2");
        for (headers, expected) in [
            (&[date, reset][..], Some(3_500)),
            (&[date, (&RESET, "1")], Some(0)),
            (&[(&RESET, "1")], Some(0)),
            (&[date, reset, retry_after], Some(2_000)),
            (&[(&RESET, "soon")], None),
            (&[], None),
        ] {
            assert_eq!(read(headers).0, expected, "{headers:?}");
        }
    }

    #[test]
    fn without_a_date_the_local_clock_counts() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let wait = read(&[(&RESET, &(now + 5_000).to_string())]).0.unwrap();
        assert!((4_000..=5_000).contains(&wait), "{wait}");
    }

    #[test]
    fn tells_which_limit_was_hit() {
        for (headers, expected) in [
            (&[(&ROUTE_REMAINING, "0"), (&GLOBAL_REMAINING, "7")][..], Some(RateLimit::Route)),
            (&[(&ROUTE_REMAINING, "5"), (&GLOBAL_REMAINING, "0")], Some(RateLimit::Account)),
            (&[(&ROUTE_REMAINING, "5")], None),
            (&[], None),
        ] {
            assert_eq!(read(headers).1, expected, "{headers:?}");
        }
    }
}
