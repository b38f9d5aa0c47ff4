//! One parameter's value as it was last read: when it is read again, and by whom.

use super::{Clock, STALE_AGE, SecretError};
use secrecy::SecretString;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;

/// How many forced reads may follow each other at once: a few, so that a secret rotated just after
/// a forged signature is still noticed.
const FORCED_AT_ONCE: u32 = 3;

/// How long it takes until one more is allowed.
const FORCED_EVERY: Duration = Duration::from_secs(10);

/// What a caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// A value that is young enough.
    Recent,
    /// A value read after the call began.
    New,
}

#[derive(Default)]
pub(super) struct Kept {
    /// Reads that have ended; who waited while one did need not start another.
    reads: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    value: Option<(SecretString, SystemTime)>,
    failed: Option<SecretError>,
    ration: Ration,
}

impl Kept {
    pub(super) async fn read<F>(
        &self,
        want: Want,
        max_age: Duration,
        clock: &Clock,
        fetch: impl FnOnce() -> F,
    ) -> Result<SecretString, SecretError>
    where
        F: Future<Output = Result<SecretString, SecretError>>,
    {
        let before = self.reads.load(Ordering::Acquire);
        let mut state = self.state.lock().await;
        let now = clock();
        let shared = self.reads.load(Ordering::Acquire) != before;
        if let Some(outcome) = state.at_hand(shared, want, max_age, now) {
            return outcome;
        }
        let fetched = fetch().await;
        self.reads.fetch_add(1, Ordering::Release);
        match fetched {
            Ok(value) => {
                state.value = Some((value.clone(), now));
                state.failed = None;
                Ok(value)
            }
            Err(error) => {
                state.failed = Some(error.clone());
                state.despite(error, want, now)
            }
        }
    }
}

impl State {
    /// What can be answered without a read: the outcome of the one that this caller has waited for,
    /// or a value that is good enough, or that nothing better may be asked for.
    fn at_hand(
        &mut self,
        shared: bool,
        want: Want,
        max_age: Duration,
        now: SystemTime,
    ) -> Option<Result<SecretString, SecretError>> {
        if shared && let Some(error) = &self.failed {
            return Some(self.despite(error.clone(), want, now));
        }
        let (value, read) = self.value.as_ref()?;
        let enough = shared
            || match want {
                Want::Recent => younger(*read, now, max_age),
                Want::New => !self.ration.take(now),
            };
        enough.then(|| Ok(value.clone()))
    }

    /// What a failed read comes to: a failure that may pass leaves an older value in service for
    /// those who do not insist.
    fn despite(&self, error: SecretError, want: Want, now: SystemTime) -> Result<SecretString, SecretError> {
        match &self.value {
            Some((value, read))
                if want == Want::Recent && error.fault.is_transient() && younger(*read, now, STALE_AGE) =>
            {
                tracing::warn!("{error}; the value read before serves");
                Ok(value.clone())
            }
            _ => Err(error),
        }
    }
}

/// Whether less than `age` has passed; a clock that went back proves nothing.
fn younger(then: SystemTime, now: SystemTime, age: Duration) -> bool {
    now.duration_since(then).is_ok_and(|passed| passed < age)
}

/// Forced reads that are left.
struct Ration {
    left: u32,
    since: SystemTime,
}

impl Default for Ration {
    fn default() -> Self {
        Self { left: FORCED_AT_ONCE, since: SystemTime::UNIX_EPOCH }
    }
}

impl Ration {
    fn take(&mut self, now: SystemTime) -> bool {
        match now.duration_since(self.since) {
            Ok(passed) if passed >= FORCED_EVERY => {
                let more = passed.as_secs() / FORCED_EVERY.as_secs();
                let more = u32::try_from(more).unwrap_or(u32::MAX);
                self.left = self.left.saturating_add(more).min(FORCED_AT_ONCE);
                self.since = now;
            }
            Ok(_) => {}
            Err(_) => self.since = now,
        }
        let granted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        granted
    }
}
