//! The head: the one item that says what the snapshot consists of.
//!
//! Whoever changes anything writes a new head with a new nonce, on condition that the nonce is still the one it read. So
//! of two that work at the same time one is overtaken, and finds out before it has done harm.

use crate::snapshot::Delta;

/// What the snapshot consists of, and who may be about to change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Raised by each change of the table; 0 where a first fill has begun but not ended.
    pub generation: u64,
    /// Drawn when a table's first head is written: generations compare only within one lineage.
    pub lineage: u64,
    /// Drawn for each head that is written.
    pub nonce: u64,
    /// LaunchDarkly's `ETag` of the payload that this snapshot equals; nothing where it equals none.
    pub etag: Option<String>,
    /// When the payload of this generation was asked for, in milliseconds since the Unix epoch.
    pub synced_at_ms: u64,
    /// How many items the snapshot holds.
    pub totals: Totals,
    /// The bare keys of items that do not fit into the official layout.
    pub too_large: Vec<String>,
    /// Where the base lies; nothing before the first fill has ended.
    pub base: Option<BasePointer>,
    /// What changed since the base.
    pub delta: Delta,
    /// Set while somebody writes more than one transaction takes.
    pub lease: Option<Lease>,
}

/// How many items there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Flags.
    pub flags: u64,
    /// Segments.
    pub segments: u64,
}

/// Where a base lies. There are two slots, so that a base too large for one transaction can be written beside the one in
/// use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BasePointer {
    /// The generation that wrote it; its chunks carry the same.
    pub generation: u64,
    /// 0 or 1.
    pub slot: u64,
    /// In how many chunks.
    pub chunks: u64,
    /// How many bytes all chunks have together.
    pub bytes: u64,
}

/// Somebody's announcement that it writes in several transactions.
///
/// It is a courtesy that keeps others from working in vain. What protects the table is the fence in every transaction,
/// so that clocks need not agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// When its holder cannot be running any more, in milliseconds since the Unix epoch.
    pub expires_at_ms: u64,
}

impl Lease {
    /// Whether the holder may still be writing.
    pub const fn is_held(self, now_ms: u64) -> bool {
        now_ms < self.expires_at_ms
    }
}
