//! Time and chance as the sync needs them.

use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::Rng;

/// Time and chance; a test brings its own.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch, by the wall clock: a frozen sandbox must not believe that no time has passed.
    fn now_ms(&self) -> u64;

    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;

    /// Any number, never the same one again for all practical purposes.
    fn draw(&self) -> u64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn draw(&self) -> u64 {
        rand::rng().random()
    }
}
