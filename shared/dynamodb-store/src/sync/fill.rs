//! Fills a table that holds no item: plain batches, many at once, for half the write units of transactions.
//!
//! A plain batch bears no condition and no fence, so it is used only where the survey has found no item at all, and what
//! protects the table from a holder of the lease that was taken for dead is time. The assumption: a request takes effect
//! within [`SETTLE_MS`] of being sent, or never. So nothing is sent after the holder's own end, the lease lasts
//! [`SETTLE_MS`] longer than that, and where an answer got lost the head waits for as long: what is under way somewhere
//! must not land on top of what a later sync has written. Against foreign writers there is no protection during a fill,
//! as there is none in LaunchDarkly's own stores; the next whole sync heals what they do.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};

use super::Clock;
use crate::table::{CommitError, Put, Table};

/// Within this time a request takes effect, or it never will: the AWS client gives up sending after half of it.
pub(super) const SETTLE_MS: u64 = 10_000;
/// How many batches are under way at once.
const AT_ONCE: usize = 8;
/// How many bytes of JSON a batch carries at most, unless a single item has more: a megabyte is sent well within one
/// attempt's time, and a few of them fit into a small function's memory.
const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// How often a batch is tried without any of it being taken.
const TRIES: u32 = 9;
const FIRST_PAUSE_MS: u64 = 25;
const MAX_PAUSE_MS: u64 = 2_000;

/// One filling of a table.
pub(super) struct Fill<'a, T, C> {
    table: &'a T,
    clock: &'a C,
    end_ms: u64,
    settled_at_ms: AtomicU64,
    has_failed: AtomicBool,
}

impl<'a, T: Table, C: Clock> Fill<'a, T, C> {
    /// Nothing is sent from `end_ms` on, in milliseconds since the Unix epoch.
    pub(super) const fn new(table: &'a T, clock: &'a C, end_ms: u64) -> Self {
        Self { table, clock, end_ms, settled_at_ms: AtomicU64::new(0), has_failed: AtomicBool::new(false) }
    }

    /// Puts them all, in no order. Where one fails no further one is sent, and those under way are waited for.
    pub(super) async fn put(&self, puts: Vec<Put<'_>>) -> Result<(), CommitError> {
        let batches = cut(puts, self.table.limits().batch_puts);
        let mut all = stream::iter(batches).map(|batch| self.put_batch(batch)).buffer_unordered(AT_ONCE);
        let mut result = Ok(());
        while let Some(ended) = all.next().await {
            result = result.and(ended);
        }
        result
    }

    /// Whether all that was sent has taken effect, or never will.
    pub(super) fn is_settled(&self) -> bool {
        self.settled_at_ms.load(Ordering::Relaxed) <= self.clock.now_ms()
    }

    /// Waits until all that was sent has taken effect, or never will.
    pub(super) async fn settle(&self) -> Result<(), CommitError> {
        let settled_at_ms = self.settled_at_ms.load(Ordering::Relaxed);
        if settled_at_ms >= self.end_ms {
            return Err(CommitError::OutOfTime);
        }
        self.clock.sleep(Duration::from_millis(settled_at_ms.saturating_sub(self.clock.now_ms()))).await;
        Ok(())
    }

    async fn put_batch(&self, mut open: Vec<Put<'_>>) -> Result<(), CommitError> {
        let mut tries = 0;
        while !open.is_empty() && !self.has_failed.load(Ordering::Relaxed) {
            let sent_at_ms = self.clock.now_ms();
            if sent_at_ms >= self.end_ms {
                return self.fail(CommitError::OutOfTime);
            }
            let error = match self.table.put_batch(&open).await {
                Ok(left) => {
                    tries = if left.len() < open.len() { 0 } else { tries };
                    open = left.into_iter().filter_map(|position| open.get(position).cloned()).collect();
                    None
                }
                Err(error) => Some(error),
            };
            if matches!(error, Some(CommitError::Unknown(_))) {
                self.settled_at_ms.fetch_max(sent_at_ms + SETTLE_MS, Ordering::Relaxed);
            }
            tries += 1;
            match error {
                Some(error) if tries == TRIES || !error.is_transient() => return self.fail(error),
                None if open.is_empty() => {}
                _ => self.clock.sleep(self.pause(tries)).await,
            }
        }
        Ok(())
    }

    fn fail(&self, error: CommitError) -> Result<(), CommitError> {
        self.has_failed.store(true, Ordering::Relaxed);
        Err(error)
    }

    fn pause(&self, tries: u32) -> Duration {
        let longest = (FIRST_PAUSE_MS << tries.min(10)).min(MAX_PAUSE_MS);
        Duration::from_millis(longest / 2 + self.clock.draw() % (longest / 2))
    }
}

/// Cuts puts into batches.
fn cut(puts: Vec<Put<'_>>, most: usize) -> Vec<Vec<Put<'_>>> {
    let mut batches: Vec<Vec<Put<'_>>> = Vec::new();
    let mut bytes = 0;
    for put in puts {
        bytes += put.bytes();
        match batches.last_mut() {
            Some(batch) if batch.len() < most && bytes <= MAX_BATCH_BYTES => batch.push(put),
            _ => {
                bytes = put.bytes();
                batches.push(vec![put]);
            }
        }
    }
    batches
}
