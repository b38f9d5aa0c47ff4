//! A store for streaming clients that can be filled beforehand and tells what changes.
//!
//! The SDK has no listener for flag changes, but it hands every change to its store: [`Observable`] is that store. It
//! holds one [`Contents`] at a time, replaced as a whole; whoever subscribes gets the difference between the contents
//! last seen and the newest, so nothing is lost when changes come faster than they are looked at.
//!
//! What the SDK hands over has been through its structs, which drop fields that other SDKs need. It is good for
//! evaluating and comparing; it must never be written to a table.

mod contents;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flagcache_payload::{ItemId, Items, Kind};
use launchdarkly_server_sdk::{
    AllData, DataKind, PersistentDataStore, PersistentDataStoreFactory, PersistentStoreError, SerializedItem,
};
use tokio::sync::watch;

pub use self::contents::{Change, Contents};
use crate::connection::Original;
use crate::evaluation::is_deleted;

/// The store; clones share their contents.
#[derive(Clone)]
pub struct Observable {
    contents: Arc<watch::Sender<Arc<Contents>>>,
    /// How often the SDK has handed something over, news or not.
    handed: Arc<AtomicU64>,
    /// Texts that belong in the place of stand-ins which the SDK is about to hand over.
    originals: Arc<Mutex<HashMap<ItemId, Original>>>,
}

impl Default for Observable {
    fn default() -> Self {
        Self::holding(Contents::default())
    }
}

impl Observable {
    /// An empty store, not initialized.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store that holds these items and counts as initialized, so that a client evaluates at once. The first payload
    /// of the client's stream then tells every item as changed whose JSON the SDK writes differently.
    pub fn preloaded(items: &dyn Items) -> Self {
        Self::holding(Contents::of(items))
    }

    fn holding(contents: Contents) -> Self {
        Self {
            contents: Arc::new(watch::Sender::new(Arc::new(contents))),
            handed: Arc::default(),
            originals: Arc::default(),
        }
    }

    /// How often the SDK has handed something over so far, news or not.
    pub(crate) fn handed(&self) -> u64 {
        self.handed.load(Ordering::Relaxed)
    }

    /// Keeps the texts for which the SDK is about to hand over stand-ins.
    pub(crate) fn expect(&self, originals: Vec<Original>) {
        let mut expected = self.originals();
        for original in originals {
            tracing::warn!(item = %original.item, version = original.version, "LaunchDarkly's SDK cannot read it");
            expected.insert(original.item.clone(), original);
        }
    }

    /// What the store holds in the place of an item that the SDK hands over.
    fn own(&self, kind: Kind, key: &str, handed: SerializedItem) -> SerializedItem {
        let mut expected = self.originals();
        if expected.is_empty() {
            return handed;
        }
        let item = ItemId::new(kind, key);
        match expected.remove(&item) {
            Some(original) if original.version == handed.version => SerializedItem {
                version: original.version,
                deleted: is_deleted(&original.json),
                serialized_item: original.json,
            },
            _ => handed,
        }
    }

    /// Nothing that holds the lock can panic half way through a change.
    fn originals(&self) -> MutexGuard<'_, HashMap<ItemId, Original>> {
        self.originals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the store holds now.
    pub fn contents(&self) -> Arc<Contents> {
        Arc::clone(&self.contents.borrow())
    }

    /// Follows the store from now on.
    pub fn subscribe(&self) -> Subscription {
        let mut contents = self.contents.subscribe();
        let seen = Arc::clone(&contents.borrow_and_update());
        Subscription { contents, seen }
    }
}

/// Follows a store.
pub struct Subscription {
    contents: watch::Receiver<Arc<Contents>>,
    seen: Arc<Contents>,
}

impl Subscription {
    /// Waits until the contents differ from what was seen last, and tells in what. Nothing more comes once the store
    /// and all its clones are gone. Can be dropped half way without losing a change.
    pub async fn changed(&mut self) -> Option<Vec<Change>> {
        loop {
            self.contents.changed().await.ok()?;
            let newest = Arc::clone(&self.contents.borrow_and_update());
            let changes = self.seen.changes_to(&newest);
            let first = newest.is_initialized() && !self.seen.is_initialized();
            self.seen = newest;
            if first || !changes.is_empty() {
                return Some(changes);
            }
        }
    }

    /// The contents that the last changes led to.
    pub const fn seen(&self) -> &Arc<Contents> {
        &self.seen
    }
}

impl PersistentDataStoreFactory for Observable {
    fn create_persistent_data_store(&self) -> Result<Box<dyn PersistentDataStore>, io::Error> {
        Ok(Box::new(self.clone()))
    }
}

impl PersistentDataStore for Observable {
    fn init(&mut self, data: AllData<SerializedItem, SerializedItem>) -> Result<(), PersistentStoreError> {
        self.handed.fetch_add(1, Ordering::Relaxed);
        let own = |kind, items: HashMap<String, SerializedItem>| {
            items
                .into_iter()
                .map(|(key, item)| {
                    let item = self.own(kind, &key, item);
                    (key, item)
                })
                .collect()
        };
        let data = AllData { flags: own(Kind::Flag, data.flags), segments: own(Kind::Segment, data.segments) };
        self.contents.send_replace(Arc::new(Contents::from(data)));
        Ok(())
    }

    fn flag(&self, key: &str) -> Result<Option<SerializedItem>, PersistentStoreError> {
        Ok(self.contents.borrow().item(Kind::Flag, key))
    }

    fn segment(&self, key: &str) -> Result<Option<SerializedItem>, PersistentStoreError> {
        Ok(self.contents.borrow().item(Kind::Segment, key))
    }

    fn all_flags(&self) -> Result<HashMap<String, SerializedItem>, PersistentStoreError> {
        Ok(self.contents.borrow().flags())
    }

    fn upsert(&mut self, kind: DataKind, key: &str, item: SerializedItem) -> Result<bool, PersistentStoreError> {
        let kind = match kind {
            DataKind::Flag => Kind::Flag,
            DataKind::Segment => Kind::Segment,
        };
        self.handed.fetch_add(1, Ordering::Relaxed);
        let item = self.own(kind, key, item);
        Ok(self.contents.send_if_modified(|contents| {
            let is_news = contents.is_news(kind, key, item.version);
            if is_news {
                // Whoever looks at the contents keeps them as they are.
                Arc::make_mut(contents).take(kind, key, item);
            }
            is_news
        }))
    }

    fn is_initialized(&self) -> bool {
        self.contents.borrow().is_initialized()
    }
}

#[cfg(test)]
mod tests {
    use flagcache_payload::Payload;

    use super::*;

    fn item(version: u64, json: &str) -> SerializedItem {
        SerializedItem { version, deleted: json.is_empty(), serialized_item: json.to_owned() }
    }

    fn data(flags: &[(&str, u64, &str)]) -> AllData<SerializedItem, SerializedItem> {
        let flags = flags.iter().map(|(key, version, json)| ((*key).to_owned(), item(*version, json))).collect();
        AllData { flags, segments: HashMap::new() }
    }

    fn told(changes: &[Change]) -> Vec<(&str, Option<&str>, Option<&str>)> {
        changes.iter().map(|change| (change.key.as_str(), change.before.as_deref(), change.after.as_deref())).collect()
    }

    #[tokio::test]
    async fn subscribers_are_told_what_changed_with_before_and_after() {
        let mut store = Observable::new();
        let mut subscription = store.subscribe();
        store.init(data(&[("a", 1, "A1"), ("b", 1, "B1")])).unwrap();
        assert_eq!(told(&subscription.changed().await.unwrap()), [("a", None, Some("A1")), ("b", None, Some("B1"))]);
        assert!(store.upsert(DataKind::Flag, "a", item(2, "A2")).unwrap());
        assert!(store.upsert(DataKind::Flag, "b", item(2, "")).unwrap());
        assert!(store.upsert(DataKind::Segment, "s", item(1, "S1")).unwrap());
        assert_eq!(
            told(&subscription.changed().await.unwrap()),
            [("s", None, Some("S1")), ("a", Some("A1"), Some("A2")), ("b", Some("B1"), None)]
        );
        assert_eq!(subscription.seen().json(Kind::Flag, "a").as_deref(), Some("A2"));
        drop(store);
        assert!(subscription.changed().await.is_none());
    }

    #[tokio::test]
    async fn the_first_fill_is_told_even_where_it_is_empty() {
        let mut store = Observable::new();
        let mut subscription = store.subscribe();
        store.init(data(&[])).unwrap();
        assert_eq!(subscription.changed().await.map(|changes| changes.len()), Some(0));
    }

    #[test]
    fn an_older_or_equal_version_changes_nothing() {
        let mut store = Observable::new();
        store.init(data(&[("a", 5, "A5")])).unwrap();
        for version in [4, 5] {
            assert!(!store.upsert(DataKind::Flag, "a", item(version, "old")).unwrap());
        }
        assert_eq!(store.flag("a").unwrap().unwrap().serialized_item, "A5");
    }

    #[test]
    fn the_place_of_a_deleted_item_keeps_its_version() {
        let mut store = Observable::new();
        store.init(data(&[("a", 5, "A5")])).unwrap();
        assert!(store.upsert(DataKind::Flag, "a", item(6, "")).unwrap());
        assert!(!store.upsert(DataKind::Flag, "a", item(6, "late")).unwrap());
        let kept = store.flag("a").unwrap().unwrap();
        assert_eq!((kept.version, kept.deleted), (6, true));
        assert_eq!(store.contents().json(Kind::Flag, "a"), None);
        assert_eq!(store.contents().keys(Kind::Flag), Vec::<String>::new());
        assert!(store.upsert(DataKind::Flag, "a", item(7, "A7")).unwrap());
    }

    #[test]
    fn a_preloaded_store_is_initialized_and_takes_the_versions_of_its_items() {
        let body = r#"{"flags":{"a":{"version":5}},"segments":{"s":{"version":2}}}"#;
        let mut store = Observable::preloaded(&Payload::parse(body.into()).unwrap());
        assert!(store.is_initialized() && !Observable::new().is_initialized());
        assert_eq!(store.segment("s").unwrap().unwrap().version, 2);
        assert!(!store.upsert(DataKind::Flag, "a", item(5, "same")).unwrap());
        assert_eq!(store.all_flags().unwrap().len(), 1);
    }
}
