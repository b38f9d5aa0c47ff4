//! The delta: what changed since the base was written.
//!
//! It lies in the head, so that one small read tells a warm reader everything new. Deleted items leave a tombstone: an
//! answer of LaunchDarkly's caches from before the deletion still lists them, with nothing to betray its age.

use std::collections::BTreeMap;

use flagcache_payload::{Item, ItemId, Kind};
use serde::{Deserialize, Serialize};

use super::CorruptSnapshot;
use super::base::{compress, decompress_frame};

/// How long a deleted item is remembered, in milliseconds: no cache serves an answer a day old.
const TOMBSTONE_LIFE_MS: u64 = 24 * 60 * 60 * 1000;
/// How many deleted items are remembered; the oldest go first.
const MAX_TOMBSTONES: usize = 500;
/// The most compressed bytes of tombstones that a new base begins with: were they to fill the delta, every further change
/// would need a new base.
const MAX_TOMBSTONE_BYTES: usize = 4 * 1024;

/// A delta holds at most so much before it is compressed: more makes a new base, and is refused where it is read.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// What is remembered of a deleted item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The newest version that is known to be gone.
    pub version: u64,
    /// When the deletion was written, in milliseconds since the Unix epoch.
    pub deleted_at_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Changed {
    version: u64,
    json: Box<str>,
}

/// The changes of a snapshot against its base.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta {
    upserts: BTreeMap<ItemId, Changed>,
    tombstones: BTreeMap<ItemId, Tombstone>,
}

/// A delta as it is stored, in postcard's encoding, as one zstd frame.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    upserts: Vec<StoredItem<'a>>,
    #[serde(borrow)]
    tombstones: Vec<(bool, &'a str, Tombstone)>,
}

#[derive(Serialize, Deserialize)]
struct StoredItem<'a> {
    flag: bool,
    key: &'a str,
    version: u64,
    json: &'a str,
}

impl Delta {
    /// Whether there is neither a change nor a tombstone.
    pub fn is_empty(&self) -> bool {
        self.upserts.is_empty() && self.tombstones.is_empty()
    }

    /// Takes in a new or changed item.
    pub fn put(&mut self, item: Item<'_>) {
        self.tombstones.remove(&item.id());
        self.upserts.insert(item.id(), Changed { version: item.version, json: item.json.into() });
    }

    /// Takes in a deletion.
    pub fn delete(&mut self, id: ItemId, tombstone: Tombstone) {
        self.upserts.remove(&id);
        self.tombstones.insert(id, tombstone);
    }

    /// Forgets that an item was deleted.
    pub(crate) fn exhume(&mut self, id: &ItemId) {
        self.tombstones.remove(id);
    }

    /// One changed item.
    pub fn upsert(&self, id: &ItemId) -> Option<Item<'_>> {
        let (id, changed) = self.upserts.get_key_value(id)?;
        Some(Item { kind: id.kind, key: &id.key, version: changed.version, json: &changed.json })
    }

    /// All changed items, by kind and key.
    pub fn upserts(&self) -> impl Iterator<Item = Item<'_>> {
        self.upserts.iter().map(|(id, changed)| Item {
            kind: id.kind,
            key: &id.key,
            version: changed.version,
            json: &changed.json,
        })
    }

    /// What is remembered of a deleted item.
    pub fn tombstone(&self, id: &ItemId) -> Option<Tombstone> {
        self.tombstones.get(id).copied()
    }

    /// Everything that is remembered of deleted items.
    pub(crate) fn tombstones(&self) -> impl Iterator<Item = (&ItemId, Tombstone)> {
        self.tombstones.iter().map(|(id, tombstone)| (id, *tombstone))
    }

    /// Takes in all that another one remembers of deleted items.
    pub(crate) fn bury(&mut self, other: &Self) {
        self.tombstones.extend(other.tombstones.iter().map(|(id, tombstone)| (id.clone(), *tombstone)));
    }

    /// Whether the base's item of this name does not count any more.
    pub fn hides(&self, id: &ItemId) -> bool {
        self.upserts.contains_key(id) || self.tombstones.contains_key(id)
    }

    /// The delta that a new base begins with: no changes, and of the tombstones those that still matter.
    #[must_use]
    pub fn rebased(&self, now_ms: u64) -> Self {
        let mut tombstones: Vec<_> = self.tombstones.iter().map(|(id, tombstone)| (id.clone(), *tombstone)).collect();
        tombstones.retain(|(_, tombstone)| tombstone.deleted_at_ms.saturating_add(TOMBSTONE_LIFE_MS) > now_ms);
        tombstones.sort_by_key(|(_, tombstone)| std::cmp::Reverse(tombstone.deleted_at_ms));
        tombstones.truncate(MAX_TOMBSTONES);
        loop {
            let rebased = Self { upserts: BTreeMap::new(), tombstones: tombstones.iter().cloned().collect() };
            if tombstones.is_empty() || rebased.encode().len() <= MAX_TOMBSTONE_BYTES {
                return rebased;
            }
            tombstones.truncate(tombstones.len() * 3 / 4);
        }
    }

    /// Whether it has more compressed bytes than that, or more than are ever read. Compressing it is the dearer part of the
    /// question, and mostly spared.
    pub(crate) fn is_larger_than(&self, bytes: usize) -> bool {
        let upserts: usize = self.upserts.iter().map(|(id, changed)| id.key.len() + changed.json.len() + 32).sum();
        let tombstones: usize = self.tombstones.keys().map(|id| id.key.len() + 32).sum();
        upserts + tombstones > MAX_BYTES || (upserts + tombstones > bytes && self.encode().len() > bytes)
    }

    /// The delta's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let upserts = self.upserts().map(|item| StoredItem {
            flag: item.kind == Kind::Flag,
            key: item.key,
            version: item.version,
            json: item.json,
        });
        let tombstones =
            self.tombstones.iter().map(|(id, tombstone)| (id.kind == Kind::Flag, id.key.as_str(), *tombstone));
        let stored = Stored { upserts: upserts.collect(), tombstones: tombstones.collect() };
        // Encoding strings and numbers into memory cannot fail.
        compress(&postcard::to_stdvec(&stored).unwrap_or_default())
    }

    /// Reads a delta.
    ///
    /// # Errors
    /// Where the bytes are not those of a delta.
    pub fn decode(bytes: &[u8]) -> Result<Self, CorruptSnapshot> {
        const PART: &str = "delta";
        let raw = decompress_frame(PART, bytes, MAX_BYTES as u64)?;
        let stored: Stored<'_> =
            postcard::from_bytes(&raw).map_err(|source| CorruptSnapshot::Format { part: PART, source })?;
        let id = |flag, key| ItemId::new(if flag { Kind::Flag } else { Kind::Segment }, key);
        let upserts = stored
            .upserts
            .into_iter()
            .map(|item| (id(item.flag, item.key), Changed { version: item.version, json: item.json.into() }));
        let tombstones = stored.tombstones.into_iter().map(|(flag, key, tombstone)| (id(flag, key), tombstone));
        Ok(Self { upserts: upserts.collect(), tombstones: tombstones.collect() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn delta(upserts: &[(bool, String, u64, String)], deletes: &[(String, u64, u64)]) -> Delta {
        let mut delta = Delta::default();
        for (flag, key, version, json) in upserts {
            delta.put(Item { kind: if *flag { Kind::Flag } else { Kind::Segment }, key, version: *version, json });
        }
        for (key, version, deleted_at_ms) in deletes {
            delta.delete(ItemId::new(Kind::Flag, key), Tombstone { version: *version, deleted_at_ms: *deleted_at_ms });
        }
        delta
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            upserts in prop::collection::vec((any::<bool>(), "\\PC{0,9}", any::<u64>(), "\\PC{0,40}"), 0..9),
            deletes in prop::collection::vec(("\\PC{0,9}", any::<u64>(), any::<u64>()), 0..9),
        ) {
            let delta = delta(&upserts, &deletes);
            prop_assert_eq!(Delta::decode(&delta.encode()).unwrap(), delta);
        }

        #[test]
        fn noise_is_an_error_but_never_a_crash(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Delta::decode(&bytes).is_err());
        }
    }

    #[test]
    fn a_delta_is_larger_than_one_byte_less() {
        for items in [0, 1, 40] {
            let upserts: Vec<_> = (0..items).map(|n| (true, format!("k{n}"), 1, format!("{{\"n\":{n}}}"))).collect();
            let delta = delta(&upserts, &[]);
            let bytes = delta.encode().len();
            assert!(!delta.is_larger_than(bytes));
            assert_eq!(delta.is_larger_than(bytes - 1), items > 0, "{items} items");
        }
    }

    #[test]
    fn a_delta_that_would_not_be_read_again_makes_a_new_base() {
        let json = |bytes: usize| "0".repeat(bytes);
        let delta = |bytes| delta(&[(true, "f".into(), 1, json(bytes))], &[]);
        let most = delta(MAX_BYTES - 33);
        assert!(most.encode().len() < 4_096 && !most.is_larger_than(4_096));
        assert_eq!(Delta::decode(&most.encode()).unwrap(), most);
        let more = delta(MAX_BYTES);
        assert!(more.is_larger_than(4_096));
        assert!(matches!(Delta::decode(&more.encode()), Err(CorruptSnapshot::TooLarge { .. })));
    }

    #[test]
    fn a_new_base_forgets_the_changes_and_the_oldest_deletions() {
        let day = TOMBSTONE_LIFE_MS;
        let deletes: Vec<_> = (0..600).map(|n| (format!("k{n}"), 1, n)).collect();
        let rebased = delta(&[(true, "f".into(), 1, "{}".into())], &deletes).rebased(day + 50);
        assert_eq!(rebased.upserts().count(), 0);
        assert_eq!(rebased.tombstones.len(), MAX_TOMBSTONES);
        assert!(rebased.tombstone(&ItemId::new(Kind::Flag, "k599")).is_some());
        assert!(rebased.tombstone(&ItemId::new(Kind::Flag, "k99")).is_none());
        assert_eq!(delta(&[], &deletes[..60]).rebased(day + 50).tombstones.len(), 9);
    }
}
