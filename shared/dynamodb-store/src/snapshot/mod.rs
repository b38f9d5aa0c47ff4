//! The snapshot: one environment's whole payload in a few items, readable in one request.
//!
//! A snapshot is a base (everything as of some generation, compressed, in chunks) and a delta (what changed since). The
//! head names both, so that base and delta together are exactly the payload of the head's generation. This room turns
//! items into bytes and back; it does no I/O, and whatever bytes it is given it answers with a snapshot or an error.

mod base;
mod delta;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use flagcache_payload::{Item, ItemId, Items, Kind};

pub use base::{Base, BaseBuilder};
pub use delta::{Delta, Tombstone};

/// Why the bytes of a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CorruptSnapshot {
    /// A part is shorter than it says.
    #[error("the snapshot's {part} is cut off")]
    CutOff {
        /// Which part.
        part: &'static str,
    },
    /// A part says that it is larger than any real one.
    #[error("the snapshot's {part} claims {bytes} bytes, more than the {limit} that are read")]
    TooLarge {
        /// Which part.
        part: &'static str,
        /// What it claims.
        bytes: u64,
        /// What is accepted.
        limit: u64,
    },
    /// A part cannot be decompressed.
    #[error("the snapshot's {part} cannot be decompressed")]
    Compression {
        /// Which part.
        part: &'static str,
        /// What zstd says.
        #[source]
        source: std::io::Error,
    },
    /// A part is decompressed but makes no sense.
    #[error("the snapshot's {part} is not in the expected format")]
    Format {
        /// Which part.
        part: &'static str,
        /// What the decoder says.
        #[source]
        source: postcard::Error,
    },
    /// A part holds bytes that are no text.
    #[error("the snapshot's {part} is not UTF-8 text")]
    NotText {
        /// Which part.
        part: &'static str,
    },
}

/// One environment's payload at one generation.
#[derive(Debug, Clone)]
pub struct Snapshot {
    generation: u64,
    base: Arc<Base>,
    delta: Delta,
}

impl Snapshot {
    /// Lays a delta over a base.
    pub fn new(generation: u64, base: Arc<Base>, delta: Delta) -> Self {
        Self { generation, base, delta }
    }

    /// The generation of the head that named base and delta; each change of the table raises it.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The base below the delta.
    pub fn base(&self) -> &Arc<Base> {
        &self.base
    }

    /// What changed since the base.
    pub const fn delta(&self) -> &Delta {
        &self.delta
    }

    /// One item's version.
    pub fn version(&self, id: &ItemId) -> Option<u64> {
        match self.delta.upsert(id) {
            Some(changed) => Some(changed.version),
            None if self.delta.hides(id) => None,
            None => self.base.version(id.kind, &id.key),
        }
    }

    /// Shows every item once, in no particular order, without holding more than a part of them decompressed.
    ///
    /// # Errors
    /// Where the base is corrupt.
    pub fn visit(&self, visit: &mut dyn FnMut(Item<'_>)) -> Result<(), CorruptSnapshot> {
        self.delta.upserts().for_each(&mut *visit);
        self.base.visit(&mut |item| {
            if !self.delta.hides(&item.id()) {
                visit(item);
            }
        })
    }

    /// All versions, by item.
    pub fn versions(&self) -> BTreeMap<ItemId, u64> {
        let mut versions: BTreeMap<_, _> = self.base.versions().filter(|(id, _)| !self.delta.hides(id)).collect();
        versions.extend(self.delta.upserts().map(|item| (item.id(), item.version)));
        versions
    }
}

impl Items for Snapshot {
    fn json(&self, kind: Kind, key: &str) -> Option<Cow<'_, str>> {
        let id = ItemId::new(kind, key);
        if let Some(changed) = self.delta.upsert(&id) {
            return Some(Cow::Borrowed(changed.json));
        }
        if self.delta.hides(&id) {
            return None;
        }
        self.base.json(kind, key)
    }

    fn keys(&self, kind: Kind) -> Vec<Cow<'_, str>> {
        if self.delta.is_empty() {
            return self.base.keys(kind).map(Cow::Borrowed).collect();
        }
        let versions = self.versions();
        versions.into_keys().filter(|id| id.kind == kind).map(|id| Cow::Owned(id.key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Arc<Base> {
        let mut builder = BaseBuilder::new();
        for (kind, key, version) in [(Kind::Segment, "s", 3), (Kind::Flag, "a", 1), (Kind::Flag, "b", 2)] {
            builder.push(Item { kind, key, version, json: &format!(r#"{{"version":{version}}}"#) });
        }
        Arc::new(Base::decode(builder.finish().into()).unwrap())
    }

    #[test]
    fn a_delta_changes_adds_and_hides_items_of_the_base() {
        let mut delta = Delta::default();
        delta.put(Item { kind: Kind::Flag, key: "b", version: 5, json: r#"{"version":5}"# });
        delta.put(Item { kind: Kind::Flag, key: "0", version: 1, json: r#"{"version":1,"n":0}"# });
        delta.delete(ItemId::new(Kind::Flag, "a"), Tombstone { version: 2, deleted_at_ms: 9 });
        let snapshot = Snapshot::new(7, base(), delta);
        assert_eq!(snapshot.keys(Kind::Flag), ["0", "b"]);
        assert_eq!(snapshot.json(Kind::Flag, "b").as_deref(), Some(r#"{"version":5}"#));
        assert_eq!(snapshot.json(Kind::Flag, "a"), None);
        assert_eq!(snapshot.json(Kind::Segment, "s").as_deref(), Some(r#"{"version":3}"#));
        let mut seen = Vec::new();
        snapshot.visit(&mut |item| seen.push((item.id().to_string(), item.version))).unwrap();
        seen.sort();
        assert_eq!(seen, [("flag `0`".into(), 1), ("flag `b`".into(), 5), ("segment `s`".into(), 3)]);
        let versions: Vec<_> = snapshot.versions().into_iter().map(|(id, version)| (id.to_string(), version)).collect();
        assert_eq!(versions, [("segment `s`".into(), 3), ("flag `0`".into(), 1), ("flag `b`".into(), 5)]);
    }

    #[test]
    fn an_item_that_was_deleted_and_came_back_is_there() {
        let mut delta = Delta::default();
        delta.delete(ItemId::new(Kind::Flag, "a"), Tombstone { version: 2, deleted_at_ms: 9 });
        delta.put(Item { kind: Kind::Flag, key: "a", version: 3, json: "{}" });
        let snapshot = Snapshot::new(7, base(), delta);
        assert_eq!(snapshot.json(Kind::Flag, "a").as_deref(), Some("{}"));
    }
}
