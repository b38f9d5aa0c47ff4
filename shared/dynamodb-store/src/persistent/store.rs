//! LaunchDarkly's `PersistentDataStore` over the official layout.
//!
//! The contract is that of `persistent_store.rs` in `launchdarkly/rust-server-sdk`. `init` is not atomic: as in
//! LaunchDarkly's other stores, new items come first, then those that are gone are deleted, and the mark that the store is
//! filled comes last. An item over DynamoDB's 400 KB is left out with an error in the log; the others are written.

use std::collections::{BTreeSet, HashMap};

use flagcache_payload::order::write_order;
use flagcache_payload::{ItemId, Kind};
use launchdarkly_server_sdk::{AllData, DataKind, PersistentDataStore, PersistentStoreError, SerializedItem};

use super::bridge::Bridge;
use crate::layout::{MAX_TRANSACTION_ACTIONS, MAX_TRANSACTION_BYTES};
use crate::table::{CommitError, DynamoDbTable, Found, FoundVersion, Guard, Table, TableError, Write};

pub(super) struct DynamoDbPersistentDataStore {
    table: DynamoDbTable,
    bridge: Bridge,
}

impl DynamoDbPersistentDataStore {
    pub(super) const fn new(table: DynamoDbTable, bridge: Bridge) -> Self {
        Self { table, bridge }
    }

    fn wait<T, E, F>(&self, future: F) -> Result<T, PersistentStoreError>
    where
        T: Send + 'static,
        E: std::error::Error + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let output = self.bridge.wait(future).map_err(|error| PersistentStoreError::new(error.to_string()))?;
        output.map_err(|error| PersistentStoreError::new(format!("failed to {error}")))
    }

    fn one(&self, kind: Kind, key: &str) -> Result<Option<SerializedItem>, PersistentStoreError> {
        let (table, key) = (self.table.clone(), key.to_owned());
        self.wait(async move { table.item(kind, &key).await })
    }
}

impl PersistentDataStore for DynamoDbPersistentDataStore {
    fn init(&mut self, all_data: AllData<SerializedItem, SerializedItem>) -> Result<(), PersistentStoreError> {
        let table = self.table.clone();
        self.wait(async move { init(&table, all_data).await })
    }

    fn flag(&self, key: &str) -> Result<Option<SerializedItem>, PersistentStoreError> {
        self.one(Kind::Flag, key)
    }

    fn segment(&self, key: &str) -> Result<Option<SerializedItem>, PersistentStoreError> {
        self.one(Kind::Segment, key)
    }

    fn all_flags(&self) -> Result<HashMap<String, SerializedItem>, PersistentStoreError> {
        let table = self.table.clone();
        self.wait(async move {
            let mut flags = HashMap::new();
            let mut take = |found: Found<'_>| {
                flags.extend(serialized(found).map(|item| (found.key.to_owned(), item)));
            };
            table.items(Kind::Flag, &mut take).await?;
            Ok::<_, TableError>(flags)
        })
    }

    fn upsert(&mut self, kind: DataKind, key: &str, item: SerializedItem) -> Result<bool, PersistentStoreError> {
        let table = self.table.clone();
        let id = ItemId::new(kind_of(&kind), key);
        self.wait(async move { upsert(&table, id, item).await })
    }

    fn is_initialized(&self) -> bool {
        let table = self.table.clone();
        match self.wait(async move { table.inited().await }) {
            Ok(inited) => inited,
            Err(error) => {
                tracing::warn!(%error, "whether the table is filled is unknown and counts as no");
                false
            }
        }
    }
}

const fn kind_of(kind: &DataKind) -> Kind {
    match kind {
        DataKind::Flag => Kind::Flag,
        DataKind::Segment => Kind::Segment,
    }
}

/// An item as the SDK takes it; it finds out itself from the JSON whether it is a placeholder for a deleted one.
pub(crate) fn serialized(found: Found<'_>) -> Option<SerializedItem> {
    let version = match found.version {
        FoundVersion::Version(version) => version,
        FoundVersion::Missing | FoundVersion::Malformed => 0,
    };
    Some(SerializedItem { version, deleted: false, serialized_item: found.json?.to_owned() })
}

async fn upsert(table: &DynamoDbTable, id: ItemId, item: SerializedItem) -> Result<bool, CommitError> {
    if !table.fits(id.kind, &id.key, &item.serialized_item) {
        tracing::error!(item = %id, "it does not fit into DynamoDB's 400 KB and is left out");
        return Ok(false);
    }
    // The interface wants "less than": an equal version stays.
    let guard = Guard::Below(item.version);
    let write = Write::Item { id, version: item.version, json: item.serialized_item, guard };
    match table.commit(&[write]).await {
        Ok(()) => Ok(true),
        Err(CommitError::Overtaken { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn init(table: &DynamoDbTable, all_data: AllData<SerializedItem, SerializedItem>) -> Result<(), CommitError> {
    let mut gone = BTreeSet::new();
    for kind in Kind::ALL {
        table.items(kind, &mut |found| gone.extend([ItemId::new(kind, found.key)])).await?;
    }
    let segments = all_data.segments.into_iter().map(|(key, item)| (ItemId::new(Kind::Segment, key), item));
    let flags = all_data.flags.into_iter().map(|(key, item)| (ItemId::new(Kind::Flag, key), item));
    let items: Vec<_> = segments.chain(flags).collect();
    let order = write_order(&items.iter().map(|(id, item)| (id.clone(), &*item.serialized_item)).collect::<Vec<_>>());
    let mut items: Vec<_> = items.into_iter().map(Some).collect();
    let mut writes = Vec::new();
    for (id, item) in order.into_iter().filter_map(|position| items[position].take()) {
        gone.remove(&id);
        if table.fits(id.kind, &id.key, &item.serialized_item) {
            let (version, json) = (item.version, item.serialized_item);
            writes.push(Write::Item { id, version, json, guard: Guard::Always });
        } else {
            tracing::error!(item = %id, "it does not fit into DynamoDB's 400 KB and is left out");
        }
    }
    writes.extend(gone.into_iter().map(|id| Write::Delete { id, guard: Guard::Always }));
    writes.push(Write::Inited);
    for group in groups(writes) {
        table.commit(&group).await?;
    }
    Ok(())
}

/// Cuts a list of writes, in its order, into what one transaction takes each.
fn groups(writes: Vec<Write>) -> Vec<Vec<Write>> {
    let mut groups: Vec<Vec<Write>> = Vec::new();
    let mut bytes = 0;
    for write in writes {
        let size = if let Write::Item { json, .. } = &write { json.len() + 4096 } else { 4096 };
        let full = groups.last().is_none_or(|group| group.len() == MAX_TRANSACTION_ACTIONS);
        if full || bytes + size > MAX_TRANSACTION_BYTES {
            groups.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(group) = groups.last_mut() {
            group.push(write);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_cut_by_number_and_by_size() {
        let write = |size: usize| Write::Item {
            id: ItemId::new(Kind::Flag, "f"),
            version: 1,
            json: "x".repeat(size),
            guard: Guard::AtMost(1),
        };
        let sizes = |writes| groups(writes).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes((0..101).map(|_| write(1)).collect()), [100, 1]);
        assert_eq!(sizes((0..12).map(|_| write(390_000)).collect()), [10, 2]);
        assert_eq!(sizes(Vec::new()), [] as [usize; 0]);
    }
}
