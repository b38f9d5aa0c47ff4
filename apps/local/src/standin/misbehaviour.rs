//! What the stand-in can be told to do wrong, where, and for how long.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The groups of paths that can misbehave, and that requests are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Endpoint {
    /// `/sdk/latest-all` and single items below `/sdk/`.
    Polling,
    /// `/all`.
    Stream,
    /// `/bulk` and `/diagnostic`.
    Events,
    /// Everything below `/api/`.
    Rest,
}

impl Endpoint {
    /// The group of a path; nothing for the stand-in's own.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path.split('/').nth(1)? {
            "sdk" => Some(Self::Polling),
            "all" => Some(Self::Stream),
            "bulk" | "diagnostic" => Some(Self::Events),
            "api" => Some(Self::Rest),
            _ => None,
        }
    }
}

/// One kind of fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Fault {
    /// Answers with a status, and `Retry-After` in seconds.
    Status {
        /// The status.
        status: u16,
        /// Seconds to wait, if it is to say so.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// Waits before anything else happens; what follows is another fault's or the right answer.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Sends this many bytes of the right answer's body and closes the connection.
    CutOff {
        /// Bytes.
        after: usize,
        /// Whether the length was left open; otherwise `Content-Length` promises the whole body.
        #[serde(default)]
        chunked: bool,
    },
    /// Polling only: the payload as it was this many changes ago, with the `ETag` of then.
    Stale {
        /// Changes.
        changes: usize,
    },
    /// Polling only: 304, whatever has changed.
    NotModified,
    /// 200 with this body instead of the right one.
    Body {
        /// The body.
        body: String,
    },
    /// Resets the connection instead of answering.
    Reset,
}

/// A fault, where it occurs and how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Misbehaviour {
    fault: Fault,
    #[serde(default = "polling")]
    endpoint: Endpoint,
    /// For how many more requests.
    #[serde(default)]
    times: Option<usize>,
    /// For how long from when it is set.
    #[serde(default)]
    for_ms: Option<u64>,
}

fn polling() -> Endpoint {
    Endpoint::Polling
}

impl Misbehaviour {
    /// `fault` at the polling endpoint, until told otherwise.
    pub fn new(fault: Fault) -> Self {
        Self { fault, endpoint: Endpoint::Polling, times: None, for_ms: None }
    }

    /// Answers with `status`.
    pub fn status(status: u16) -> Self {
        Self::new(Fault::Status { status, retry_after: None })
    }

    /// Answers with `status` and `Retry-After: seconds`.
    pub fn status_retry_after(status: u16, seconds: u64) -> Self {
        Self::new(Fault::Status { status, retry_after: Some(seconds) })
    }

    /// Waits before answering.
    pub fn delay(delay: Duration) -> Self {
        Self::new(Fault::Delay { ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX) })
    }

    /// Ends the body after this many bytes, short of its `Content-Length`.
    pub fn cut_off(after: usize) -> Self {
        Self::new(Fault::CutOff { after, chunked: false })
    }

    /// Ends a body of unknown length after this many bytes, without its end mark.
    pub fn cut_off_chunked(after: usize) -> Self {
        Self::new(Fault::CutOff { after, chunked: true })
    }

    /// Serves the payload of `changes` changes ago.
    pub fn stale(changes: usize) -> Self {
        Self::new(Fault::Stale { changes })
    }

    /// Says that nothing changed.
    pub fn not_modified() -> Self {
        Self::new(Fault::NotModified)
    }

    /// Serves any body.
    pub fn body(body: impl Into<String>) -> Self {
        Self::new(Fault::Body { body: body.into() })
    }

    /// Resets the connection.
    pub fn reset() -> Self {
        Self::new(Fault::Reset)
    }

    /// At another endpoint.
    #[must_use]
    pub fn at(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = endpoint;
        self
    }

    /// For the next `times` requests only.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    /// For this long only.
    #[must_use]
    pub fn lasting(mut self, time: Duration) -> Self {
        self.for_ms = Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        self
    }
}

/// The misbehaviours in force, in the order in which they were set.
#[derive(Debug, Default)]
pub(super) struct Misbehaviours(Mutex<VecDeque<(Misbehaviour, Instant)>>);

impl Misbehaviours {
    pub(super) fn add(&self, misbehaviour: Misbehaviour) {
        self.rules().push_back((misbehaviour, Instant::now()));
    }

    pub(super) fn clear(&self) {
        self.rules().clear();
    }

    /// Ends those that are equal to `misbehaviour`.
    pub(super) fn remove(&self, misbehaviour: &Misbehaviour) {
        self.rules().retain(|(rule, _)| rule != misbehaviour);
    }

    pub(super) fn in_force(&self) -> Vec<Misbehaviour> {
        let mut rules = self.rules();
        rules.retain(|(rule, since)| is_in_force(rule, *since));
        rules.iter().map(|(rule, _)| rule.clone()).collect()
    }

    /// What to do wrong with one request: every delay, and the first of the others.
    pub(super) fn take(&self, endpoint: Endpoint) -> (Duration, Option<Fault>) {
        let mut rules = self.rules();
        let (mut delay, mut fault) = (Duration::ZERO, None);
        for (rule, since) in rules.iter_mut().filter(|(rule, _)| rule.endpoint == endpoint) {
            if !is_in_force(rule, *since) {
                continue;
            }
            match &rule.fault {
                Fault::Delay { ms } => delay += Duration::from_millis(*ms),
                _ if fault.is_some() => continue,
                other => fault = Some(other.clone()),
            }
            rule.times = rule.times.map(|times| times - 1);
        }
        rules.retain(|(rule, since)| is_in_force(rule, *since));
        (delay, fault)
    }

    fn rules(&self) -> std::sync::MutexGuard<'_, VecDeque<(Misbehaviour, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_in_force(rule: &Misbehaviour, since: Instant) -> bool {
    rule.times != Some(0) && rule.for_ms.is_none_or(|ms| since.elapsed() < Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_end_after_their_requests_and_the_next_takes_over() {
        let misbehaviours = Misbehaviours::default();
        misbehaviours.add(Misbehaviour::status(503).times(2));
        misbehaviours.add(Misbehaviour::delay(Duration::from_millis(7)).times(1));
        misbehaviours.add(Misbehaviour::reset().times(1));
        misbehaviours.add(Misbehaviour::reset().at(Endpoint::Rest));
        let status = Some(Fault::Status { status: 503, retry_after: None });

        let take = || misbehaviours.take(Endpoint::Polling);
        assert_eq!(take(), (Duration::from_millis(7), status.clone()));
        assert_eq!(take(), (Duration::ZERO, status));
        assert_eq!(take(), (Duration::ZERO, Some(Fault::Reset)));
        assert_eq!(take(), (Duration::ZERO, None));
        assert_eq!(misbehaviours.in_force().len(), 1);
    }

    #[test]
    fn a_time_that_has_passed_ends_a_fault() {
        let misbehaviours = Misbehaviours::default();
        misbehaviours.add(Misbehaviour::status(503).lasting(Duration::ZERO));
        assert_eq!(misbehaviours.take(Endpoint::Polling), (Duration::ZERO, None));
    }

    #[test]
    fn a_misbehaviour_is_read_from_json() {
        let text = r#"{"fault":{"kind":"status","status":429,"retryAfter":2},"times":3,"endpoint":"rest"}"#;
        let read: Misbehaviour = serde_json::from_str(text).unwrap();
        assert_eq!(read, Misbehaviour::status_retry_after(429, 2).times(3).at(Endpoint::Rest));
        let read: Misbehaviour = serde_json::from_str(r#"{"fault":{"kind":"not-modified"},"forMs":5}"#).unwrap();
        assert_eq!(read, Misbehaviour::not_modified().lasting(Duration::from_millis(5)));
    }
}
