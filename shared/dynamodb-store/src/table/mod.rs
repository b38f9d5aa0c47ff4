//! The table as the sync sees it: a head, chunks of a base, items, and transactions over them.
//!
//! [`Table`] is the boundary between what the sync decides and what DynamoDB does. It speaks of heads and items, never of
//! attributes; [`DynamoDbTable`] is the real one. Writes go through [`Table::commit`], all or nothing and on
//! conditions, so that nobody who was overtaken can still do harm; only a table that holds no item is filled with
//! [`Table::put_batch`].

mod attributes;
mod batches;
mod conditions;
mod dynamodb;
mod errors;
mod head;

use std::future::Future;
use std::ops::Range;

use bytes::Bytes;
use flagcache_payload::{Item, ItemId, Kind};

pub use dynamodb::DynamoDbTable;
pub use errors::{TableCause, TableError};
pub use head::{BasePointer, Head, Lease, Override, Totals};

/// One piece of a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its place among the base's chunks.
    pub number: u64,
    /// The generation that wrote the base.
    pub generation: u64,
    /// At most [`MAX_CHUNK_BYTES`] of the base.
    pub bytes: Bytes,
}

/// How much of a base one item takes: 380 KB leave room for keys and DynamoDB's own counting.
pub const MAX_CHUNK_BYTES: usize = 380 * 1024;

/// A head's nonce as DynamoDB spells it: ours are whole numbers, but somebody may have put another number there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(String);

impl From<u64> for Nonce {
    fn from(nonce: u64) -> Self {
        Self(nonce.to_string())
    }
}

/// What stands where the head belongs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenHead {
    /// The nonce that a new head follows; nothing where there is none.
    pub nonce: Option<Nonce>,
    /// The head; nothing where there is none or somebody broke it.
    pub head: Option<Head>,
}

/// An item of the official layout as it was found, whoever wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// Flag or segment.
    pub kind: Kind,
    /// The range key.
    pub key: &'a str,
    /// What its `version` attribute holds.
    pub version: FoundVersion,
    /// Its `item` attribute; nothing where that is missing or no string.
    pub json: Option<&'a str>,
}

/// What an item's `version` attribute holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundVersion {
    /// A version.
    Version(u64),
    /// There is no such attribute.
    Missing,
    /// Something that is no version.
    Malformed,
}

/// On which condition an item is written or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// What is there is no newer than this version, or is not there at all.
    AtMost(u64),
    /// What is there is older than this version, or is not there at all.
    Below(u64),
    /// What is there is what was found.
    Unmoved(FoundVersion),
    /// Whatever is there.
    Always,
}

/// One action of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Writes a flag or segment in the official layout.
    Item {
        /// Which.
        id: ItemId,
        /// Its version.
        version: u64,
        /// Its JSON.
        json: String,
        /// On which condition.
        guard: Guard,
    },
    /// Deletes a flag or segment.
    Delete {
        /// Which.
        id: ItemId,
        /// On which condition.
        guard: Guard,
    },
    /// Writes the mark that the table is filled.
    Inited,
    /// Writes a chunk of a base into a slot.
    Chunk {
        /// The slot.
        slot: u64,
        /// The chunk.
        chunk: Chunk,
    },
    /// Deletes a chunk that no head names any more.
    DropChunk {
        /// The slot.
        slot: u64,
        /// The chunk's number.
        number: u64,
    },
    /// Writes the head, on condition that the head is still the one with this nonce, or that there is none.
    Head {
        /// The new head.
        head: Box<Head>,
        /// The nonce of the head that it follows.
        follows: Option<Nonce>,
    },
    /// Writes nothing, on condition that the head is still the one with this nonce, or that there is none.
    Fence {
        /// The nonce of the head that was seen.
        follows: Option<Nonce>,
    },
}

/// An item or a chunk, to be put whatever is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put<'a> {
    /// A flag or segment in the official layout.
    Item(Item<'a>),
    /// A chunk of a base.
    Chunk {
        /// The slot.
        slot: u64,
        /// The chunk.
        chunk: Chunk,
    },
}

impl Put<'_> {
    /// The bytes of its content.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Item(item) => item.json.len(),
            Self::Chunk { chunk, .. } => chunk.bytes.len(),
        }
    }
}

/// How much one request takes, and one delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most actions of one transaction.
    pub transaction_actions: usize,
    /// The most bytes of one transaction.
    pub transaction_bytes: usize,
    /// The most items of one batch.
    pub batch_puts: usize,
    /// The most bytes of a delta, which is written at every change.
    pub delta_bytes: usize,
}

/// Why a write was not made, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A condition did not hold; nothing was written.
    #[error("somebody else wrote in between")]
    Overtaken {
        /// Whether the head moved.
        head: bool,
        /// Whether an item moved.
        item: bool,
    },
    /// The answer got lost: whether anything was written is unknown.
    #[error("the answer to a write got lost")]
    Unknown(#[source] TableError),
    /// Nothing was written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// There is no time left for the rest.
    #[error("write all of it in time")]
    OutOfTime,
}

impl CommitError {
    /// Whether the same write may go through later, with nobody changing anything.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unknown(_) => true,
            Self::Table(error) => error.cause.is_transient(),
            Self::Overtaken { .. } | Self::OutOfTime => false,
        }
    }
}

/// One environment's part of a table.
pub trait Table: Send + Sync {
    /// The head as last written (a consistent read).
    fn head(&self) -> impl Future<Output = Result<SeenHead, TableError>> + Send;

    /// Those of a slot's chunks that are there, by ascending number.
    fn chunks(&self, slot: u64, numbers: Range<u64>) -> impl Future<Output = Result<Vec<Chunk>, TableError>> + Send;

    /// Shows every item of a kind in the official layout, page by page.
    fn items(
        &self,
        kind: Kind,
        visit: &mut (dyn FnMut(Found<'_>) + Send),
    ) -> impl Future<Output = Result<(), TableError>> + Send;

    /// One item of the official layout: what its `version` attribute holds, and its JSON where it has any.
    fn official(
        &self,
        id: &ItemId,
    ) -> impl Future<Output = Result<Option<(FoundVersion, Option<String>)>, TableError>> + Send;

    /// Whether the mark is there that the table is filled.
    fn inited(&self) -> impl Future<Output = Result<bool, TableError>> + Send;

    /// Makes all writes or none. Throttling and conflicts of transactions are retried inside.
    fn commit(&self, writes: &[Write]) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// Puts each by itself, on no condition, and gives the positions of those that were left over. Sent once: what is
    /// sent again on its own could land when nobody expects it any more.
    fn put_batch(&self, puts: &[Put<'_>]) -> impl Future<Output = Result<Vec<usize>, CommitError>> + Send;

    /// How much one request takes.
    fn limits(&self) -> Limits;

    /// Whether an item has a place in the official layout, by its size.
    fn fits(&self, kind: Kind, key: &str, json: &str) -> bool;
}
