//! What a group knows of an environment's flags: the payload of the start, and what changed since. Pure.
//!
//! The payload is parsed once, in the master, and never written to again, so that all processes share its pages; what
//! changed is kept beside it. Versions decide: whatever order updates come in, and whoever sends them, an item never
//! goes back to an older version.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use flagcache_payload::{Items, Kind, Payload};
use serde::{Deserialize, Serialize};

/// Flags and segments at one moment. Copies share what is large.
#[derive(Debug, Clone, Default)]
pub struct State {
    base: Option<Arc<Payload>>,
    flags: Changed,
    segments: Changed,
    is_initialized: bool,
    updated_ms: u64,
}

type Changed = BTreeMap<Arc<str>, Entry>;

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    version: u64,
    /// Nothing in the place of a deleted item.
    json: Option<Arc<str>>,
}

/// A flag or segment as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Whether it is a segment.
    pub is_segment: bool,
    /// Its key.
    pub key: String,
    /// Its version; that of the deletion where it is deleted.
    pub version: u64,
    /// Its JSON; nothing where it is deleted.
    pub json: Option<String>,
}

/// Items that came, changed or went together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// The items; none where LaunchDarkly has confirmed what was known.
    pub items: Vec<Item>,
    /// When LaunchDarkly sent it, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Update {
    /// For the link between two processes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Plain fields of known length: there is nothing that could fail.
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// From the link.
    ///
    /// # Errors
    /// Where the bytes are none of ours.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, postcard::Error> {
        postcard::from_bytes(bytes)
    }
}

impl Item {
    /// Flag or segment.
    pub const fn kind(&self) -> Kind {
        if self.is_segment { Kind::Segment } else { Kind::Flag }
    }
}

impl State {
    /// What a payload says.
    pub fn preloaded(payload: Payload, at_ms: u64) -> Self {
        Self { base: Some(Arc::new(payload)), is_initialized: true, updated_ms: at_ms, ..Self::default() }
    }

    /// Whether there was ever a complete set of flags.
    pub const fn is_initialized(&self) -> bool {
        self.is_initialized
    }

    /// When an item last changed, in milliseconds since 1970; 0 where there is nothing.
    pub const fn updated_ms(&self) -> u64 {
        self.updated_ms
    }

    /// How many items are there, flags and segments.
    pub fn counts(&self) -> (usize, usize) {
        (self.keys(Kind::Flag).len(), self.keys(Kind::Segment).len())
    }

    /// The version of an item, or of its deletion.
    pub fn version(&self, kind: Kind, key: &str) -> Option<u64> {
        let changed = self.changed(kind).get(key).map(|entry| entry.version);
        changed.or_else(|| self.base.as_ref()?.get(kind, key).map(|item| item.version))
    }

    /// Takes over what is news, and tells what that was; nothing where the state stays as it is.
    pub fn merge(&mut self, update: Update) -> Option<Update> {
        let Update { items, at_ms } = update;
        let news: Vec<Item> = items.into_iter().filter(|item| self.is_news(item)).collect();
        if news.is_empty() && self.is_initialized {
            return None;
        }
        for item in &news {
            let entry = Entry { version: item.version, json: item.json.as_deref().map(Into::into) };
            let changed = if item.is_segment { &mut self.segments } else { &mut self.flags };
            changed.insert(item.key.as_str().into(), entry);
        }
        self.is_initialized = true;
        self.updated_ms = at_ms;
        Some(Update { items: news, at_ms })
    }

    /// An older version never is. Another text under the same version is: an environment can be restored.
    fn is_news(&self, item: &Item) -> bool {
        let held = self.version(item.kind(), &item.key);
        held.is_none_or(|version| {
            item.version > version
                || item.version == version && self.json(item.kind(), &item.key).as_deref() != item.json.as_deref()
        })
    }

    const fn changed(&self, kind: Kind) -> &Changed {
        match kind {
            Kind::Flag => &self.flags,
            Kind::Segment => &self.segments,
        }
    }
}

impl Items for State {
    fn json(&self, kind: Kind, key: &str) -> Option<Cow<'_, str>> {
        match self.changed(kind).get(key) {
            Some(entry) => entry.json.as_deref().map(Cow::Borrowed),
            None => self.base.as_ref()?.json(kind, key),
        }
    }

    fn keys(&self, kind: Kind) -> Vec<Cow<'_, str>> {
        let changed = self.changed(kind);
        let mut keys = self.base.as_ref().map(|base| base.keys(kind)).unwrap_or_default();
        if !changed.is_empty() {
            keys.retain(|key| !changed.contains_key(&**key));
            keys.extend(changed.iter().filter(|(_, entry)| entry.json.is_some()).map(|(key, _)| Cow::Borrowed(&**key)));
            keys.sort_unstable();
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn preloaded() -> State {
        let body = r#"{"flags":{"a":{"version":3},"c":{"version":1}},"segments":{"s":{"version":2}}}"#;
        State::preloaded(Payload::parse(body.into()).unwrap(), 7)
    }

    fn flag(key: &str, version: u64, json: Option<&str>) -> Item {
        Item { is_segment: false, key: key.to_owned(), version, json: json.map(str::to_owned) }
    }

    fn update(items: Vec<Item>) -> Update {
        Update { items, at_ms: 9 }
    }

    #[test]
    fn changes_lie_over_the_payload() {
        let mut state = preloaded();
        let items = vec![flag("b", 1, Some("B")), flag("a", 4, Some("A4")), flag("c", 2, None)];
        assert_eq!(state.merge(update(items.clone())), Some(update(items)));
        assert_eq!(state.keys(Kind::Flag), ["a", "b"]);
        assert_eq!(state.json(Kind::Flag, "a").as_deref(), Some("A4"));
        assert_eq!(state.json(Kind::Flag, "c"), None);
        assert_eq!((state.version(Kind::Flag, "c"), state.version(Kind::Segment, "s")), (Some(2), Some(2)));
        assert_eq!((state.counts(), state.updated_ms()), ((2, 1), 9));
    }

    #[test]
    fn an_older_version_is_no_news_and_neither_is_the_same_item() {
        let mut state = preloaded();
        let items = vec![flag("a", 2, Some("A2")), flag("a", 3, Some(r#"{"version":3}"#)), flag("a", 2, None)];
        assert_eq!(state.merge(update(items)), None);
        assert_eq!(state.updated_ms(), 7);
        assert!(state.merge(update(vec![flag("a", 3, Some("other"))])).is_some());
    }

    #[test]
    fn the_first_update_initializes_even_where_it_is_empty() {
        let mut state = State::default();
        assert!(!state.is_initialized());
        assert_eq!(state.merge(update(Vec::new())), Some(update(Vec::new())));
        assert!(state.is_initialized());
        assert_eq!(state.merge(update(Vec::new())), None);
    }

    #[test]
    fn updates_survive_the_link() {
        let sent = update(vec![flag("ключ", u64::MAX, Some("{\"x\":1}")), flag("b", 0, None)]);
        assert_eq!(Update::from_bytes(&sent.to_bytes()).unwrap(), sent);
        assert!(Update::from_bytes(b"\xff").is_err());
    }

    proptest! {
        #[test]
        fn whoever_sends_what_in_whatever_order_the_newest_version_wins(
            versions in prop::collection::vec((0_u64..5, any::<bool>()), 1..12),
        ) {
            let mut state = preloaded();
            for (version, is_deleted) in &versions {
                let text = format!("v{version}");
                state.merge(update(vec![flag("a", *version, (!is_deleted).then_some(text.as_str()))]));
            }
            let newest = versions.iter().map(|(version, _)| *version).max().unwrap_or(0).max(3);
            prop_assert_eq!(state.version(Kind::Flag, "a"), Some(newest));
        }
    }
}
