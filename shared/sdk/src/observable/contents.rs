//! What an observable store holds at one moment, and how two moments differ. Pure.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use flagcache_payload::{Items, Kind, version_in};
use launchdarkly_server_sdk::{AllData, SerializedItem};

/// Flags and segments at one moment. Immutable; copies share the items' texts.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    initialized: bool,
    flags: Held,
    segments: Held,
}

type Held = BTreeMap<Arc<str>, Entry>;

#[derive(Debug, Clone)]
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
                Some((key.into(), Entry { version, json: Some(json.into()) }))
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
        let mut changes = Vec::new();
        for kind in Kind::ALL {
            let (mut old, mut new) = (self.held(kind).iter().peekable(), newer.held(kind).iter().peekable());
            while let Some(order) = order(old.peek(), new.peek()) {
                let before = if order.is_le() { old.next() } else { None };
                let after = if order.is_ge() { new.next() } else { None };
                changes.extend(change(kind, before, after));
            }
        }
        changes
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

/// Which of two sorted lists goes on with the smaller key; nothing once both have ended.
fn order(old: Option<&(&Arc<str>, &Entry)>, new: Option<&(&Arc<str>, &Entry)>) -> Option<Ordering> {
    match (old, new) {
        (None, None) => None,
        (Some(_), None) => Some(Ordering::Less),
        (None, Some(_)) => Some(Ordering::Greater),
        (Some((old, _)), Some((new, _))) => Some(old.cmp(new)),
    }
}

fn change(kind: Kind, old: Option<(&Arc<str>, &Entry)>, new: Option<(&Arc<str>, &Entry)>) -> Option<Change> {
    let json = |side: Option<(&Arc<str>, &Entry)>| side.and_then(|(_, entry)| entry.json.clone());
    let (before, after) = (json(old), json(new));
    let is_same = match (&before, &after) {
        (Some(before), Some(after)) => Arc::ptr_eq(before, after) || before == after,
        (before, after) => before == after,
    };
    let (key, _) = new.or(old)?;
    (!is_same).then(|| Change { kind, key: key.to_string(), before, after })
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
            items.into_iter().map(|(key, item)| (key.into(), item.into())).collect()
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
