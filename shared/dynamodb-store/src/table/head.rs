//! The head: the one item that says what the snapshot consists of.
//!
//! Whoever changes anything writes a new head with a new nonce, on condition that the nonce is still the one it read. So
//! of two that work at the same time one is overtaken, and finds out before it has done harm.

use std::collections::BTreeMap;

use bytes::Bytes;
use flagcache_payload::{ItemId, Kind};

use super::{Chunk, MAX_CHUNK_BYTES};
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
    /// By when all that this generation holds had been heard of, in milliseconds since the Unix epoch: what LaunchDarkly
    /// did later is not in it.
    pub heard_by_ms: u64,
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
    /// Tombstones of what the holder of the lease is going to delete: should it die, whoever comes next knows that what is
    /// gone by then was deleted, and did not get lost.
    pub doomed: Delta,
    /// Flags, by key, that somebody overrode while LaunchDarkly could not be asked.
    pub overrides: BTreeMap<String, Override>,
}

impl Head {
    /// The version of LaunchDarkly's own item, where this one is an override's; else the same.
    pub(crate) fn own_version(&self, id: &ItemId, version: u64) -> u64 {
        let mark = self.overrides.get(&id.key).filter(|mark| id.kind == Kind::Flag && mark.version == version);
        mark.map_or(version, |mark| mark.onto)
    }

    /// The newer of what snapshot and table hold of an item, each its version and JSON: what LaunchDarkly gave counts
    /// first, and over the same an override is newer than what it was put over. Without a head the snapshot's.
    pub(crate) fn newer(
        head: Option<&Self>,
        id: &ItemId,
        in_snapshot: Option<(u64, String)>,
        in_table: Option<(u64, String)>,
    ) -> Option<(u64, String)> {
        match (in_snapshot, in_table) {
            (Some(snapshot), Some(table)) => {
                let is_table_newer = head.is_some_and(|head| {
                    let age = |version| (head.own_version(id, version), version);
                    age(table.0) > age(snapshot.0)
                });
                Some(if is_table_newer { table } else { snapshot })
            }
            (snapshot, table) => snapshot.or(table),
        }
    }
}

/// A flag that is not as LaunchDarkly had it, on purpose and for the time being.
///
/// An override raises the version, which LaunchDarkly's own flag need not reach: the mark lets the next sync that gets a
/// payload take LaunchDarkly's word for this flag all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Override {
    /// The version that LaunchDarkly's flag had when it was overridden.
    pub onto: u64,
    /// The version that the override has.
    pub version: u64,
}

/// How many items there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Flags.
    pub flags: u64,
    /// Segments.
    pub segments: u64,
}

/// The most keys that one `BatchGetItem` takes.
const MAX_CHUNKS: u64 = 100;

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
    /// The CRC-32 of these bytes: what somebody damaged counts as missing.
    pub checksum: u32,
}

impl BasePointer {
    /// Points to the chunks that a base is cut into.
    pub fn new(generation: u64, slot: u64, base: &[u8]) -> Self {
        let chunks = base.len().div_ceil(MAX_CHUNK_BYTES) as u64;
        Self { generation, slot, chunks, bytes: base.len() as u64, checksum: crc32fast::hash(base) }
    }

    /// Whether so many bytes are cut into so many chunks, and one request can ask for all of them.
    pub(crate) const fn is_plausible(self) -> bool {
        self.bytes.div_ceil(MAX_CHUNK_BYTES as u64) == self.chunks && self.chunks <= MAX_CHUNKS
    }

    /// Puts a base's chunks together, given by ascending number; nothing where they are not those that are pointed to.
    pub(crate) fn join(self, chunks: Vec<Chunk>) -> Option<Bytes> {
        if chunks.len() as u64 != self.chunks || chunks.iter().any(|chunk| chunk.generation != self.generation) {
            return None;
        }
        let bytes = match <[Chunk; 1]>::try_from(chunks) {
            Ok([only]) => only.bytes,
            Err(several) => several.iter().flat_map(|chunk| chunk.bytes.iter().copied()).collect(),
        };
        (bytes.len() as u64 == self.bytes && crc32fast::hash(&bytes) == self.checksum).then_some(bytes)
    }
}

/// Somebody's announcement that it writes in several transactions.
///
/// What protects the table is the fence in every transaction, so that clocks need not agree; only the first fill of a
/// table relies on it. For all others it is a courtesy that keeps them from working in vain.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(base: &[u8]) -> Vec<Chunk> {
        let pieces = base.chunks(MAX_CHUNK_BYTES).enumerate();
        let chunk = |(number, piece): (usize, &[u8])| Chunk {
            number: number as u64,
            generation: 7,
            bytes: Bytes::copy_from_slice(piece),
        };
        pieces.map(chunk).collect()
    }

    #[test]
    fn a_base_is_put_together_at_every_boundary_of_chunks() {
        for length in [1, MAX_CHUNK_BYTES - 1, MAX_CHUNK_BYTES, MAX_CHUNK_BYTES + 1, 3 * MAX_CHUNK_BYTES] {
            let base: Vec<u8> = (0_u8..251).cycle().take(length).collect();
            let pointer = BasePointer::new(7, 0, &base);
            assert_eq!(pointer.join(cut(&base)).as_deref(), Some(&*base));
        }
    }

    #[test]
    fn chunks_that_do_not_fit_the_head_are_no_base() {
        let base = vec![1; MAX_CHUNK_BYTES + 1];
        let pointer = BasePointer::new(7, 0, &base);
        let join = |damage: fn(&mut Vec<Chunk>)| {
            let mut chunks = cut(&base);
            damage(&mut chunks);
            pointer.join(chunks)
        };
        assert!(join(|_| ()).is_some());
        assert_eq!(join(|chunks| drop(chunks.pop())), None);
        assert_eq!(join(|chunks| chunks[1].generation = 8), None);
        assert_eq!(join(|chunks| chunks[1].bytes = Bytes::from_static(b"x")), None);
        assert_eq!(join(Vec::clear), None);
    }
}
