//! Flags in a worker: evaluated over what was inherited, kept up to date, with the SDK's events.
//!
//! Built after the fork, where threads and connections belong. What is built before it instead would answer from frozen
//! flags and lose its events without a sign, so every use looks at the process id and tells.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use flagcache_sdk::Evaluator;
use flagcache_sdk::config::{ConfigError, Endpoints, SdkKey};
use flagcache_sdk::recorder::{Counts, Note, Recorder};

use super::state::{State, Update};

/// Flags that are evaluated here and now.
pub struct Live {
    home: Home,
    evaluator: RwLock<Arc<Evaluator>>,
    state: Mutex<State>,
    is_initialized: AtomicBool,
    recorder: Option<Recorder>,
}

impl Live {
    /// Answers from what was inherited, at once. Needs a tokio runtime, in which events are sent; without a key there
    /// are none.
    pub fn start(inherited: State, sdk: Option<(&SdkKey, &Endpoints)>) -> Result<Self, ConfigError> {
        let evaluator = Arc::new(Evaluator::new(Arc::new(inherited.clone())));
        let runtime = tokio::runtime::Handle::current();
        let recorder = sdk.map(|(key, endpoints)| Recorder::start(key, endpoints, &evaluator, runtime)).transpose()?;
        Ok(Self {
            home: Home::here(),
            is_initialized: AtomicBool::new(inherited.is_initialized()),
            evaluator: RwLock::new(evaluator),
            state: Mutex::new(inherited),
            recorder,
        })
    }

    /// What evaluates, over the items of this moment.
    pub fn evaluator(&self) -> Arc<Evaluator> {
        self.home.check();
        Arc::clone(&self.evaluator.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether there were ever flags.
    pub fn is_initialized(&self) -> bool {
        self.is_initialized.load(Ordering::Acquire)
    }

    /// Takes note of an evaluation, for analytics.
    pub fn record(&self, evaluator: &Arc<Evaluator>, note: Note) {
        if let Some(recorder) = &self.recorder {
            recorder.record(evaluator, note);
        }
    }

    /// How many evaluations were recorded.
    pub fn recorded(&self) -> Counts {
        self.recorder.as_ref().map(Recorder::counts).unwrap_or_default()
    }

    /// Takes over what is news, and tells whether there was any.
    pub fn apply(&self, update: Update) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.merge(update).is_none() {
            return false;
        }
        let mut evaluator = self.evaluator.write().unwrap_or_else(PoisonError::into_inner);
        *evaluator = Arc::new(evaluator.succeeded_by(Arc::new(state.clone())));
        self.is_initialized.store(true, Ordering::Release);
        true
    }

    /// What is known now.
    pub fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this was built in another process than the one that uses it.
    pub fn is_misplaced(&self) -> bool {
        self.home.check()
    }

    /// Sends all events. Blocks, for this long at most; whether it was long enough.
    pub fn close(&self, within: Duration) -> bool {
        self.recorder.as_ref().is_none_or(|recorder| recorder.close(within))
    }
}

/// The process in which something was built.
#[derive(Debug)]
pub struct Home {
    pid: u32,
    is_told: AtomicBool,
}

impl Home {
    /// This process.
    pub fn here() -> Self {
        Self { pid: std::process::id(), is_told: AtomicBool::new(false) }
    }

    /// Whether this is another process by now. Told once, in the log.
    pub fn check(&self) -> bool {
        self.is_another(std::process::id())
    }

    fn is_another(&self, pid: u32) -> bool {
        let is_another = pid != self.pid;
        if is_another && !self.is_told.swap(true, Ordering::Relaxed) {
            let built_in = self.pid;
            tracing::error!(
                built_in,
                "flags were set up before the fork: they do not follow LaunchDarkly and their events are lost; build \
                 them in the worker, after the fork"
            );
        }
        is_another
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_in_another_process_is_noticed_and_told_once() {
        let home = Home::here();
        assert!(!home.check() && !home.is_told.load(Ordering::Relaxed));
        assert!(home.is_another(home.pid + 1) && home.is_another(home.pid + 1));
        assert!(home.is_told.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn updates_are_evaluated_at_once() {
        let live = Live::start(State::default(), None).unwrap();
        assert!(!live.is_initialized());
        let before = live.evaluator();
        assert!(live.apply(Update::default()) && live.is_initialized());
        assert!(!live.apply(Update::default()), "the same once more is no news");
        assert!(!Arc::ptr_eq(&before, &live.evaluator()));
        assert!(!live.is_misplaced());
        assert!(live.close(Duration::ZERO));
    }
}
