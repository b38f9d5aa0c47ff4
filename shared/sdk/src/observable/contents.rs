//! What an observable store holds at one moment, and how two moments differ. Pure.
//!
//! Moments share what is the same in both, so a change of one item costs that item's neighbourhood, however large the
//! environment: neither is the index copied for it, nor compared item by item.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use flagcache_payload::{Items, Kind, version_in};
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use launchdarkly_server_sdk::{AllData, SerializedItem};

/// Flags and segments at one moment. Immutable, and cheap to copy.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    initialized: bool,
    flags: Held,
    segments: Held,
}

type Held = OrdMap<Arc<str>, Entry>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    version: u64,
    /// Nothing in the place of a deleted item.
    json: Option<Arc<str>>,
}

/// An item that came, changed or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Flag or segment.
    pub kind: Kind,
    /// The item's key.
    pub key: String,
    /// Its JSON before, nothing where it was not there.
    pub before: Option<Arc<str>>,
    /// Its JSON after, nothing where it is gone.
    pub after: Option<Arc<str>>,
}

impl Contents {
    /// These items, initialized. An item whose version cannot be read gets 0, so that any later one replaces it.
    pub(super) fn of(items: &dyn Items) -> Self {
        let held = |kind| {
            let keys = items.keys(kind).into_iter();
            keys.filter_map(|key| {
                let json = items.json(kind, &key)?;
                let version = version_in(&json);
                Some((Arc::<str>::from(key), Entry { version, json: Some(json.into()) }))
            })
            .collect()
        };
        Self { initialized: true, flags: held(Kind::Flag), segments: held(Kind::Segment) }
    }

    /// Whether there was ever a complete set of items.
    pub const fn is_initialized(&self) -> bool {
        self.initialized
    }

    /// The version of an item, also where the item is deleted and its place kept.
    pub fn version(&self, kind: Kind, key: &str) -> Option<u64> {
        self.held(kind).get(key).map(|entry| entry.version)
    }

    /// Whether an item of this version is newer than what is held.
    pub(super) fn is_news(&self, kind: Kind, key: &str, version: u64) -> bool {
        self.held(kind).get(key).is_none_or(|held| held.version < version)
    }

    /// Takes the item in, whatever was there.
    pub(super) fn take(&mut self, kind: Kind, key: &str, item: SerializedItem) {
        let held = match kind {
            Kind::Flag => &mut self.flags,
            Kind::Segment => &mut self.segments,
        };
        held.insert(key.into(), item.into());
    }

    /// What differs in the newer contents, segments first, by ascending key. Versions alone make no difference.
    pub(super) fn changes_to(&self, newer: &Self) -> Vec<Change> {
        let of_kind = |kind| self.held(kind).diff(newer.held(kind)).filter_map(move |item| change(kind, &item));
        Kind::ALL.into_iter().flat_map(of_kind).collect()
    }

    /// The item as the SDK's stores hold it.
    pub(super) fn item(&self, kind: Kind, key: &str) -> Option<SerializedItem> {
        self.held(kind).get(key).map(|entry| entry.serialized(key))
    }

    pub(super) fn flags(&self) -> HashMap<String, SerializedItem> {
        self.flags.iter().map(|(key, entry)| (key.to_string(), entry.serialized(key))).collect()
    }

    const fn held(&self, kind: Kind) -> &Held {
        match kind {
            Kind::Flag => &self.flags,
            Kind::Segment => &self.segments,
        }
    }
}

fn change(kind: Kind, item: &DiffItem<'_, '_, Arc<str>, Entry>) -> Option<Change> {
    let (key, before, after) = match *item {
        DiffItem::Add(key, new) => (key, None, new.json.as_ref()),
        DiffItem::Update { old: (key, old), new: (_, new) } => (key, old.json.as_ref(), new.json.as_ref()),
        DiffItem::Remove(key, old) => (key, old.json.as_ref(), None),
    };
    (before != after).then(|| Change { kind, key: key.to_string(), before: before.cloned(), after: after.cloned() })
}

fn text<'a>(held: &'a Held, key: &str) -> Option<&'a Arc<str>> {
    held.get(key).and_then(|entry| entry.json.as_ref())
}

impl Entry {
    fn serialized(&self, key: &str) -> SerializedItem {
        let deleted = || format!(r#"{{"key":{},"version":{},"deleted":true}}"#, serde_json::json!(key), self.version);
        SerializedItem {
            version: self.version,
            deleted: self.json.is_none(),
            serialized_item: self.json.as_deref().map_or_else(deleted, str::to_owned),
        }
    }
}

impl From<SerializedItem> for Entry {
    fn from(item: SerializedItem) -> Self {
        Self { version: item.version, json: (!item.deleted).then(|| item.serialized_item.into()) }
    }
}

impl From<AllData<SerializedItem, SerializedItem>> for Contents {
    fn from(data: AllData<SerializedItem, SerializedItem>) -> Self {
        let held = |items: HashMap<String, SerializedItem>| {
            items.into_iter().map(|(key, item)| (Arc::<str>::from(key), Entry::from(item))).collect()
        };
        Self { initialized: true, flags: held(data.flags), segments: held(data.segments) }
    }
}

impl Items for Contents {
    fn json(&self, kind: Kind, key: &str) -> Option<Cow<'_, str>> {
        text(self.held(kind), key).map(|json| Cow::Borrowed(&**json))
    }

    fn keys(&self, kind: Kind) -> Vec<Cow<'_, str>> {
        let whole = self.held(kind).iter().filter(|(_, entry)| entry.json.is_some());
        whole.map(|(key, _)| Cow::Borrowed(&**key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn take(contents: &mut Contents, key: u16, version: u64, text: u8) {
        // Flags and segments, and now and then a deletion.
        let kind = if key.is_multiple_of(5) { Kind::Segment } else { Kind::Flag };
        let item = SerializedItem { version, deleted: text == 0, serialized_item: format!("{text}") };
        contents.take(kind, &format!("key-{key}"), item);
    }

    /// Item by item.
    fn compared(old: &Contents, new: &Contents) -> Vec<Change> {
        let mut changes = Vec::new();
        for kind in Kind::ALL {
            let mut keys: Vec<_> = old.keys(kind).into_iter().chain(new.keys(kind)).map(Cow::into_owned).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                let json = |contents: &Contents| text(contents.held(kind), &key).cloned();
                let (before, after) = (json(old), json(new));
                if before != after {
                    changes.push(Change { kind, key, before, after });
                }
            }
        }
        changes
    }

    proptest! {
        #[test]
        fn the_difference_is_that_of_every_item(
            first in proptest::collection::vec((0..400_u16, 0..4_u8), 0..600),
            then in proptest::collection::vec((0..450_u16, 0..4_u8), 0..40),
        ) {
            let mut old = Contents::default();
            for (key, text) in first {
                take(&mut old, key, 1, text);
            }
            let (mut new, mut version) = (old.clone(), 1);
            for (key, text) in then {
                version += 1;
                take(&mut new, key, version, text);
            }
            prop_assert_eq!(old.changes_to(&new), compared(&old, &new));
            prop_assert_eq!(new.changes_to(&old), compared(&new, &old));
        }
    }
}
