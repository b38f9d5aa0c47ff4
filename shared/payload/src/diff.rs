//! What tells a payload from the items that somebody holds.
//!
//! The held items are shown one by one, in any order, so that whoever holds them compressed or in pages never needs them
//! all at once. Bytes are compared, not only versions: a change that kept its version is a change.

use crate::items::{Item, ItemId, Kind};
use crate::payload::Payload;

/// One item that is not the same on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// Only the payload has it.
    Added {
        /// Its version in the payload.
        new: u64,
    },
    /// Both have it, with different bytes.
    Changed {
        /// The version held.
        old: u64,
        /// The version in the payload.
        new: u64,
    },
    /// Only the holder has it.
    Removed {
        /// The version held.
        old: u64,
    },
}

/// Collects the differences between a payload (new) and the items held (old).
#[derive(Debug)]
pub struct Diff<'a> {
    payload: &'a Payload,
    seen: [Vec<bool>; 2],
    found: Vec<(ItemId, Difference)>,
}

impl<'a> Diff<'a> {
    /// Starts with nothing held.
    pub fn new(payload: &'a Payload) -> Self {
        let seen = Kind::ALL.map(|kind| vec![false; payload.count(kind)]);
        Self { payload, seen, found: Vec::new() }
    }

    /// Takes note of one item held. Each is to be shown once.
    pub fn held(&mut self, held: Item<'_>) {
        let Some(position) = self.payload.position(held.kind, held.key) else {
            self.found.push((held.id(), Difference::Removed { old: held.version }));
            return;
        };
        self.seen[held.kind as usize][position] = true;
        let new = self.payload.at(held.kind, position);
        if new.json != held.json {
            self.found.push((held.id(), Difference::Changed { old: held.version, new: new.version }));
        }
    }

    /// All differences, by kind and key.
    pub fn finish(mut self) -> Vec<(ItemId, Difference)> {
        for kind in Kind::ALL {
            let seen = &self.seen[kind as usize];
            let added = self.payload.items(kind).zip(seen).filter(|(_, seen)| !**seen);
            self.found.extend(added.map(|(item, _)| (item.id(), Difference::Added { new: item.version })));
        }
        self.found.sort();
        self.found
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    type Flags = BTreeMap<String, (u64, u8)>;

    fn payload(flags: &Flags) -> Payload {
        let items: Vec<_> = flags
            .iter()
            .map(|(key, (version, body))| format!(r#""{key}":{{"version":{version},"x":{body}}}"#))
            .collect();
        Payload::parse(Bytes::from(format!(r#"{{"flags":{{{}}}}}"#, items.join(",")))).unwrap()
    }

    proptest! {
        #[test]
        fn applying_the_differences_to_the_old_payload_gives_the_new(
            old in prop::collection::btree_map("[a-e]", (0_u64..4, 0_u8..3), 0..5),
            new in prop::collection::btree_map("[a-e]", (0_u64..4, 0_u8..3), 0..5),
        ) {
            let (before, after) = (payload(&old), payload(&new));
            let mut diff = Diff::new(&after);
            before.items(Kind::Flag).for_each(|item| diff.held(item));
            let mut patched = old;
            for (id, difference) in diff.finish() {
                match difference {
                    Difference::Removed { old } => prop_assert_eq!(patched.remove(&id.key).unwrap().0, old),
                    Difference::Added { new: version } => {
                        prop_assert_eq!(new[&id.key].0, version);
                        prop_assert!(patched.insert(id.key.clone(), new[&id.key]).is_none());
                    }
                    Difference::Changed { old, new: version } => {
                        prop_assert_eq!((patched[&id.key].0, new[&id.key].0), (old, version));
                        patched.insert(id.key.clone(), new[&id.key]);
                    }
                }
            }
            prop_assert_eq!(patched, new);
        }
    }

    #[test]
    fn equal_payloads_do_not_differ() {
        let payload = payload(&Flags::from([("a".into(), (1, 1)), ("b".into(), (2, 1))]));
        let mut diff = Diff::new(&payload);
        payload.items(Kind::Flag).for_each(|item| diff.held(item));
        assert_eq!(diff.finish(), []);
    }
}
