//! The base: a whole payload as an index and blocks, each compressed on its own.
//!
//! Layout of the bytes: the index's compressed length (u32, little endian), the index (a zstd frame of [`Index`] in
//! postcard's encoding), then the blocks (zstd frames one after another). A block holds the JSON of some items, one
//! after another. So whoever wants one flag decompresses the index and one block, and nobody parses JSON to find it.

use std::borrow::Cow;
use std::sync::OnceLock;

use bytes::Bytes;
use flagcache_payload::{Item, ItemId, Kind};
use serde::{Deserialize, Serialize};

use super::CorruptSnapshot;

/// The compression level: a fifth smaller than level 3 leaves it, for some 10 ms per MB of JSON.
const LEVEL: i32 = 5;
/// A block is closed once it holds this many bytes: small enough to open one cheaply, large enough to compress well.
const BLOCK_BYTES: usize = 256 * 1024;
/// No real block is larger; more is refused before memory is asked for.
const MAX_BLOCK_BYTES: u64 = 64 * 1024 * 1024;
/// No real index is larger: that of 10,000 flags has half a megabyte. In memory it takes several times as much.
const MAX_INDEX_BYTES: u64 = 8 * 1024 * 1024;
/// No payload is larger: so much is taken from LaunchDarkly at most.
const MAX_PAYLOAD_BYTES: u64 = 256 * 1024 * 1024;
/// The smallest zstd frame with a checksum of its own: magic number, header, one empty block.
const MIN_FRAME_BYTES: u32 = 9;

#[derive(Serialize, Deserialize, Default, Debug)]
struct Index {
    blocks: Vec<Block>,
    segments: Vec<Entry>,
    flags: Vec<Entry>,
}

#[derive(Serialize, Deserialize, Debug)]
struct Block {
    compressed: u32,
    raw: u32,
}

/// Where an item lies: `start..start + len` of the decompressed block. Entries are sorted by key.
#[derive(Serialize, Deserialize, Debug)]
struct Entry {
    key: Box<str>,
    version: u64,
    block: u32,
    start: u32,
    len: u32,
}

impl Index {
    /// Whether the blocks can be those of a base of which so many bytes follow the index.
    fn check(&self, bytes: usize) -> Result<(), CorruptSnapshot> {
        const PART: &str = "base";
        let (mut compressed, mut raw) = (0_u64, 0_u64);
        for block in &self.blocks {
            compressed += u64::from(block.compressed);
            raw += u64::from(block.raw);
            if block.compressed < MIN_FRAME_BYTES || compressed > bytes as u64 {
                return Err(CorruptSnapshot::CutOff { part: PART });
            }
        }
        if raw > MAX_PAYLOAD_BYTES {
            return Err(CorruptSnapshot::TooLarge { part: PART, bytes: raw, limit: MAX_PAYLOAD_BYTES });
        }
        if compressed == bytes as u64 { Ok(()) } else { Err(CorruptSnapshot::CutOff { part: PART }) }
    }

    fn entries(&self, kind: Kind) -> &[Entry] {
        match kind {
            Kind::Flag => &self.flags,
            Kind::Segment => &self.segments,
        }
    }
}

/// Builds a base out of items that come by ascending key within their kind.
#[derive(Default)]
pub struct BaseBuilder {
    index: Index,
    open: Vec<u8>,
    blocks: Vec<u8>,
}

impl BaseBuilder {
    /// A base without items.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next item.
    pub fn push(&mut self, item: Item<'_>) {
        let entry = Entry {
            key: item.key.into(),
            version: item.version,
            block: u32_of(self.index.blocks.len()),
            start: u32_of(self.open.len()),
            len: u32_of(item.json.len()),
        };
        match item.kind {
            Kind::Flag => self.index.flags.push(entry),
            Kind::Segment => self.index.segments.push(entry),
        }
        self.open.extend_from_slice(item.json.as_bytes());
        if self.open.len() >= BLOCK_BYTES {
            self.close();
        }
    }

    /// The base's bytes.
    pub fn finish(mut self) -> Vec<u8> {
        if !self.open.is_empty() {
            self.close();
        }
        let index = postcard::to_stdvec(&self.index).unwrap_or_default();
        let index = compress(&index);
        let mut bytes = Vec::with_capacity(4 + index.len() + self.blocks.len());
        bytes.extend_from_slice(&u32_of(index.len()).to_le_bytes());
        bytes.extend_from_slice(&index);
        bytes.append(&mut self.blocks);
        bytes
    }

    fn close(&mut self) {
        let compressed = compress(&self.open);
        self.index.blocks.push(Block { compressed: u32_of(compressed.len()), raw: u32_of(self.open.len()) });
        self.blocks.extend_from_slice(&compressed);
        self.open.clear();
    }
}

/// A payload held compressed; blocks are decompressed when first asked for, and kept.
#[derive(Debug)]
pub struct Base {
    bytes: Bytes,
    index: Index,
    /// Where each block begins in `bytes`.
    starts: Vec<usize>,
    opened: Vec<OnceLock<Option<String>>>,
}

impl Base {
    /// Reads the index of a base.
    ///
    /// # Errors
    /// Where the bytes are not those of a base, or cut off.
    pub fn decode(bytes: Bytes) -> Result<Self, CorruptSnapshot> {
        const PART: &str = "index";
        let cut_off = || CorruptSnapshot::CutOff { part: PART };
        let head = bytes.first_chunk::<4>().ok_or_else(cut_off)?;
        let end = 4_usize.saturating_add(u32::from_le_bytes(*head) as usize);
        let index = bytes.get(4..end).ok_or_else(cut_off)?;
        let index = decompress_frame(PART, index, MAX_INDEX_BYTES)?;
        let index: Index =
            postcard::from_bytes(&index).map_err(|source| CorruptSnapshot::Format { part: PART, source })?;
        index.check(bytes.len() - end)?;
        let starts = index.blocks.iter().scan(end, |next, block| {
            let start = *next;
            *next += block.compressed as usize;
            Some(start)
        });
        let starts = starts.collect();
        let opened = index.blocks.iter().map(|_| OnceLock::new()).collect();
        Ok(Self { bytes, index, starts, opened })
    }

    /// How many items of a kind there are.
    pub fn count(&self, kind: Kind) -> usize {
        self.index.entries(kind).len()
    }

    /// The compressed bytes.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// All keys of a kind, ascending.
    pub fn keys(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.index.entries(kind).iter().map(|entry| &*entry.key)
    }

    /// All versions.
    pub fn versions(&self) -> impl Iterator<Item = (ItemId, u64)> {
        let entries =
            Kind::ALL.into_iter().flat_map(|kind| self.index.entries(kind).iter().map(move |entry| (kind, entry)));
        entries.map(|(kind, entry)| (ItemId::new(kind, &*entry.key), entry.version))
    }

    /// One item's version.
    pub fn version(&self, kind: Kind, key: &str) -> Option<u64> {
        self.find(kind, key).map(|entry| entry.version)
    }

    /// One item's JSON; nothing where there is no such item, or its block is corrupt.
    pub fn json(&self, kind: Kind, key: &str) -> Option<Cow<'_, str>> {
        let entry = self.find(kind, key)?;
        let block = self.opened.get(entry.block as usize)?;
        let text = block.get_or_init(|| self.open(entry.block as usize).ok()).as_deref()?;
        entry.slice(text).map(Cow::Borrowed)
    }

    /// Shows every item once, one block after another, keeping none.
    ///
    /// # Errors
    /// Where a block is corrupt, or an item lies in none.
    pub fn visit(&self, visit: &mut dyn FnMut(Item<'_>)) -> Result<(), CorruptSnapshot> {
        let mut rest = Kind::ALL.map(|kind| self.index.entries(kind).iter().peekable());
        for number in 0..self.index.blocks.len() {
            let text = self.open(number)?;
            for kind in Kind::ALL {
                let entries = &mut rest[kind as usize];
                while let Some(entry) = entries.next_if(|entry| entry.block as usize == number) {
                    let json = entry.slice(&text).ok_or(CorruptSnapshot::CutOff { part: "block" })?;
                    visit(Item { kind, key: &entry.key, version: entry.version, json });
                }
            }
        }
        let is_over = rest.iter_mut().all(|entries| entries.next().is_none());
        if is_over { Ok(()) } else { Err(CorruptSnapshot::CutOff { part: "base" }) }
    }

    fn find(&self, kind: Kind, key: &str) -> Option<&Entry> {
        let entries = self.index.entries(kind);
        entries.binary_search_by(|entry| (*entry.key).cmp(key)).ok().map(|position| &entries[position])
    }

    fn open(&self, number: usize) -> Result<String, CorruptSnapshot> {
        const PART: &str = "block";
        let block = &self.index.blocks[number];
        let start = self.starts[number];
        let frame = &self.bytes[start..start + block.compressed as usize];
        let raw = decompress(PART, frame, u64::from(block.raw), MAX_BLOCK_BYTES)?;
        String::from_utf8(raw).map_err(|_| CorruptSnapshot::NotText { part: PART })
    }
}

impl Entry {
    fn slice<'a>(&self, block: &'a str) -> Option<&'a str> {
        let start = self.start as usize;
        block.get(start..start.checked_add(self.len as usize)?)
    }
}

/// Positions in a payload: LaunchDarkly's are a few MB, and a payload of 4 GB is refused long before.
fn u32_of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Compresses one frame, which says how long its content is, and bears a checksum.
pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    let compressor = zstd::bulk::Compressor::new(LEVEL).and_then(|mut compressor| {
        compressor.include_checksum(true)?;
        compressor.compress(bytes)
    });
    // Compression into memory fails only where memory does.
    compressor.unwrap_or_default()
}

/// Decompresses one frame whose content's length is known to it, and at most the limit.
pub(super) fn decompress_frame(part: &'static str, bytes: &[u8], limit: u64) -> Result<Vec<u8>, CorruptSnapshot> {
    let length = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten();
    decompress(part, bytes, length.ok_or(CorruptSnapshot::CutOff { part })?, limit)
}

fn decompress(part: &'static str, bytes: &[u8], length: u64, limit: u64) -> Result<Vec<u8>, CorruptSnapshot> {
    if length > limit {
        return Err(CorruptSnapshot::TooLarge { part, bytes: length, limit });
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    zstd::bulk::decompress(bytes, length).map_err(|source| CorruptSnapshot::Compression { part, source })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn build(items: &[(Kind, String, u64, String)]) -> Vec<u8> {
        let mut builder = BaseBuilder::new();
        for (kind, key, version, json) in items {
            builder.push(Item { kind: *kind, key, version: *version, json });
        }
        builder.finish()
    }

    fn many() -> Vec<(Kind, String, u64, String)> {
        let item = |n: u64| {
            (
                if n < 10 { Kind::Segment } else { Kind::Flag },
                format!("k{n:04}"),
                n,
                format!("{{\"n\":{n},\"pad\":\"{}\"}}", "é".repeat(500)),
            )
        };
        (0..600).map(item).collect()
    }

    #[test]
    fn a_base_gives_back_every_item_over_several_blocks() {
        let items = many();
        let base = Base::decode(build(&items).into()).unwrap();
        assert!(base.index.blocks.len() > 2);
        for (kind, key, version, json) in &items {
            assert_eq!(base.json(*kind, key).as_deref(), Some(json.as_str()));
            assert_eq!(base.version(*kind, key), Some(*version));
        }
        let mut seen = 0;
        base.visit(&mut |item| {
            assert_eq!(item.json, items[usize::try_from(item.version).unwrap()].3);
            seen += 1;
        })
        .unwrap();
        assert_eq!(seen, items.len());
        assert_eq!(base.json(Kind::Flag, "k0001"), None);
    }

    #[test]
    fn an_empty_base_is_a_base() {
        let base = Base::decode(build(&[]).into()).unwrap();
        assert_eq!((base.count(Kind::Flag), base.count(Kind::Segment)), (0, 0));
    }

    /// A base of these blocks and flags, of which so many bytes follow the index.
    fn with_index(blocks: Vec<Block>, flags: Vec<Entry>, bytes: usize) -> Result<Base, CorruptSnapshot> {
        let index = compress(&postcard::to_stdvec(&Index { blocks, flags, ..Index::default() }).unwrap());
        let mut base = u32_of(index.len()).to_le_bytes().to_vec();
        base.extend(index);
        base.extend(std::iter::repeat_n(0, bytes));
        Base::decode(base.into())
    }

    fn entry(block: u32) -> Entry {
        Entry { key: "f".into(), version: 1, block, start: 0, len: 9 }
    }

    #[test]
    fn a_bomb_is_refused_before_memory_is_asked_for() {
        let raw = u32_of(usize::try_from(MAX_BLOCK_BYTES).unwrap());
        let block = |raw| Block { compressed: MIN_FRAME_BYTES, raw };
        let one = with_index(vec![block(raw + 1)], vec![entry(0)], 9).unwrap();
        assert_eq!(one.json(Kind::Flag, "f"), None);
        assert!(matches!(one.visit(&mut |_| ()), Err(CorruptSnapshot::TooLarge { part: "block", .. })));
        let many = with_index((0..5).map(|_| block(raw)).collect(), Vec::new(), 5 * 9);
        assert!(matches!(many, Err(CorruptSnapshot::TooLarge { part: "base", .. })));
        let empty = with_index((0..1_000_000).map(|_| Block { compressed: 0, raw: 0 }).collect(), Vec::new(), 0);
        assert!(matches!(empty, Err(CorruptSnapshot::CutOff { part: "base" })));
        let mut index = compress(&vec![0; usize::try_from(MAX_INDEX_BYTES).unwrap() + 1]);
        index.splice(..0, u32_of(index.len()).to_le_bytes());
        assert!(matches!(Base::decode(index.into()), Err(CorruptSnapshot::TooLarge { part: "index", .. })));
    }

    #[test]
    fn an_item_that_lies_in_no_block_is_not_passed_over_in_silence() {
        let base = with_index(Vec::new(), vec![entry(7)], 0).unwrap();
        assert!(matches!(base.visit(&mut |_| ()), Err(CorruptSnapshot::CutOff { .. })));
    }

    proptest! {
        #[test]
        fn corrupt_bytes_are_an_error_or_a_base_but_never_a_crash(cut in 0_usize..40_000, flip in 0_usize..40_000, bit in 0_u8..8) {
            let mut bytes = build(&many());
            let length = bytes.len();
            bytes[flip % length] ^= 1 << bit;
            bytes.truncate(length - cut % length);
            if let Ok(base) = Base::decode(bytes.into()) {
                let _ = base.visit(&mut |_| ());
                let _ = base.json(Kind::Flag, "k0100");
            }
        }

        #[test]
        fn noise_is_an_error_but_never_a_crash(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Base::decode(bytes.into()).is_err());
        }
    }
}
