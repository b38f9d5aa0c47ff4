//! The stream's connection as seen from outside the SDK.
//!
//! The SDK tells nobody whether its stream is open, gives up for good on a refused key or a wrong redirect, and drops an
//! event that it cannot read without asking for it again. So its transport is wrapped: [`Connection`] tells how things
//! stand, whatever is not an open stream is tried again with the SDK's own backoff, and a stream of which the store did
//! not get every event is cut, so that the next one begins with the whole payload, and is mended on its way to the SDK.
//!
//! It decides neither what a broken item is worth nor what a program makes of a refusal.

mod mending;
mod scanner;
mod transport;

use std::sync::Arc;

use tokio::sync::watch;

pub(crate) use self::mending::Original;
pub(crate) use self::transport::Watched;

/// How a stream stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum State {
    /// Nothing was heard yet.
    #[default]
    Connecting,
    /// Open.
    Open,
    /// Not open, and tried again soon.
    Failing {
        /// What happened, with its causes.
        problem: String,
    },
    /// LaunchDarkly answered 401 or 403. Tried again all the same: keys come back.
    Refused {
        /// The status.
        status: u16,
    },
}

/// Tells how a stream stands; clones share it.
#[derive(Debug, Clone)]
pub struct Connection(Arc<watch::Sender<State>>);

impl Default for Connection {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }
}

impl Connection {
    /// A connection that was not tried yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How it stands now, and from now on. Every failure is told, also one like the last.
    pub fn subscribe(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }

    fn set(&self, state: State) {
        self.0.send_replace(state);
    }

    fn failing(&self, problem: impl Into<String>) {
        self.set(State::Failing { problem: problem.into() });
    }
}
