//! Brings a table up to LaunchDarkly's payload.
//!
//! A sync reads the head, fetches the payload, judges what in it is news and what merely an old answer of a cache
//! (`judge`), works out what to write (`plan`), and writes it in one transaction or, where that is too much, in many
//! behind a lease (`write`); a table that holds no item is filled with plain batches (`fill`). It knows DynamoDB and
//! LaunchDarkly only as [`Table`](crate::table::Table) and [`Upstream`], and time only as [`Clock`], so that every
//! interleaving of several syncs can be tried out.

mod clock;
mod driver;
mod fill;
mod judge;
mod memory;
mod outcome;
pub(crate) mod plan;
mod survey;
#[cfg(test)]
mod tests;
pub(crate) mod write;

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use flagcache_payload::{ItemId, PayloadError};

pub use clock::{Clock, SystemClock};
pub use driver::Syncer;

use crate::table::TableError;

/// Where payloads come from.
pub trait Upstream: Send + Sync {
    /// Why there is none.
    type Error: Error + Send + Sync + 'static;

    /// Asks for the environment's payload, or whether it still is the one with this `ETag`. The deadline is in
    /// milliseconds since the Unix epoch.
    fn fetch(&self, etag: Option<&str>, deadline_ms: u64) -> impl Future<Output = Result<Fetched, Self::Error>> + Send;
}

/// LaunchDarkly's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The payload is the one with the `ETag` asked about.
    NotModified,
    /// A payload.
    Payload {
        /// The answer's body.
        body: Bytes,
        /// Its `ETag`.
        etag: Option<String>,
    },
}

/// A change that a webhook says has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The flag or segment.
    pub id: ItemId,
    /// What happened to it.
    pub change: Change,
    /// Its version after the change, where the webhook says so.
    pub version: Option<u64>,
}

/// What happened to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Created,
    /// It is different.
    Updated,
    /// It is gone.
    Deleted,
}

/// How thorough a sync is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thoroughness {
    /// Trusts that the table is as the last sync left it, and waits for the changes named. For webhooks.
    Quick {
        /// What a webhook named; may be nothing.
        named: Vec<Named>,
        /// When LaunchDarkly says that it happened, in milliseconds since the Unix epoch.
        changed_at_ms: Option<u64>,
    },
    /// Reads the items too and makes the table whole again, backwards if LaunchDarkly insists. For schedules and people.
    Whole,
}

/// One sync to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// How thorough.
    pub thoroughness: Thoroughness,
    /// When the caller is stopped, in milliseconds since the Unix epoch.
    pub deadline_ms: u64,
}

/// What does not change from one sync to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long a quick sync asks again for the changes named; zero asks once.
    pub freshness_window: Duration,
    /// Whether a payload without flags may empty a filled table.
    pub allow_empty: bool,
}

/// What a sync has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Whether anything was written.
    pub outcome: Outcome,
    /// The table's flags after the sync.
    pub flags: Counts,
    /// The table's segments after the sync.
    pub segments: Counts,
    /// False where the payload never showed a change that was named, or was older than the table.
    pub fresh: bool,
    /// The bare keys of items that do not fit into the official layout.
    pub too_large: Vec<String>,
    /// The table's generation after the sync.
    pub generation: u64,
    /// How many times the sync began anew because somebody else wrote in between, counting the first.
    pub attempts: u32,
    /// When the payload was asked for, in milliseconds since the Unix epoch.
    pub fetched_at_ms: u64,
    /// The keys of flags whose override gave way to LaunchDarkly's own flag.
    pub overrides_replaced: Vec<String>,
}

/// Whether a sync has changed the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Items were written or deleted.
    Updated,
    /// The table was up to date.
    Unchanged,
}

/// What a sync did to the items of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// How many there are now.
    pub total: u64,
    /// How many were written.
    pub written: u64,
    /// How many were deleted.
    pub deleted: u64,
}

/// Why a sync failed. The table is as it was, or newer.
#[derive(Debug, thiserror::Error)]
pub enum SyncError<U: Error + 'static> {
    /// LaunchDarkly gave no payload.
    #[error(transparent)]
    Upstream(U),
    /// LaunchDarkly's answer is no payload.
    #[error("read LaunchDarkly's answer")]
    Payload(#[from] PayloadError),
    /// LaunchDarkly's answer would empty the table.
    #[error(
        "take a payload that has no {missing} although the table holds {held}; to empty the table on purpose, set \
         LAUNCHDARKLY_ALLOW_EMPTY=true"
    )]
    Empty {
        /// What is missing, as in "flags".
        missing: &'static str,
        /// How many of them the table holds.
        held: u64,
    },
    /// LaunchDarkly answered 304 to a question that named no `ETag`.
    #[error("read LaunchDarkly's answer: it is `not modified`, but the request had no `If-None-Match`")]
    NotModified,
    /// The table could not be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Somebody else is filling the table, and was not done in time.
    #[error("wait for another sync that is writing: its lease ends only in {remaining_ms} ms")]
    Busy {
        /// How long its lease still lasts, in milliseconds.
        remaining_ms: u64,
    },
    /// Others were faster, again and again.
    #[error("write before others do: {attempts} attempts were overtaken; the next sync will catch up")]
    Overtaken {
        /// How many.
        attempts: u32,
    },
    /// Time was up.
    #[error("finish in time: the caller's deadline is near; the next sync will catch up")]
    OutOfTime,
}
