//! What is held, compared with a payload: by the snapshot alone, or by the snapshot and the items themselves.
//!
//! A quick sync trusts the snapshot. A whole sync reads every item of the official layout too, page by page, and keeps
//! the JSON only of those that are not as the payload has them.

use std::collections::BTreeMap;

use flagcache_payload::{Diff, Difference, Item, ItemId, Items, Kind, Payload};

use super::judge::Held;
use crate::snapshot::{CorruptSnapshot, Snapshot, Tombstone};
use crate::table::{Found, FoundVersion, Guard, Head, Table, TableError};

/// What is held, and how it differs from a payload.
#[derive(Debug)]
pub(super) struct Survey<'a> {
    snapshot: Option<&'a Snapshot>,
    head: Option<&'a Head>,
    /// The items of the official layout, where they were read.
    found: Option<BTreeMap<ItemId, FoundItem>>,
    /// All differences, by kind and key.
    pub(super) differences: Vec<(ItemId, Difference)>,
}

#[derive(Debug)]
struct FoundItem {
    version: FoundVersion,
    /// The JSON, where it is not the payload's.
    odd: Option<String>,
    same: bool,
}

impl<'a> Survey<'a> {
    /// Compares a payload with the snapshot.
    pub(super) fn quick(head: &'a Head, snapshot: &'a Snapshot, payload: &Payload) -> Result<Self, CorruptSnapshot> {
        let differences = overridden(head, snapshot_differences(snapshot, payload)?);
        Ok(Self { snapshot: Some(snapshot), head: Some(head), found: None, differences })
    }

    /// Compares a payload with the snapshot, where there is one, and with every item of the table.
    pub(super) async fn whole(
        table: &impl Table,
        head: Option<&'a Head>,
        snapshot: Option<&'a Snapshot>,
        payload: &Payload,
    ) -> Result<Self, TableError> {
        let mut found = BTreeMap::new();
        for kind in Kind::ALL {
            table
                .items(kind, &mut |item| drop(found.insert(ItemId::new(kind, item.key), FoundItem::new(item, payload))))
                .await?;
        }
        // A snapshot that cannot be read to its end is as good as none.
        let readable = snapshot.and_then(|snapshot| Some((snapshot, snapshot_differences(snapshot, payload).ok()?)));
        let (snapshot, in_snapshot) = readable.unzip();
        let mut survey = Self { snapshot, head, found: Some(found), differences: Vec::new() };
        let differences = survey.whole_differences(table, payload, in_snapshot.unwrap_or_default());
        survey.differences = match head {
            Some(head) => overridden(head, differences),
            None => differences,
        };
        Ok(survey)
    }

    /// The head that the snapshot belongs to.
    pub(super) const fn head(&self) -> Option<&'a Head> {
        self.head
    }

    /// The snapshot, if it is of use.
    pub(super) const fn snapshot(&self) -> Option<&'a Snapshot> {
        self.snapshot
    }

    /// Whether the items were read, and there were none.
    pub(super) fn holds_no_item(&self) -> bool {
        self.found.as_ref().is_some_and(BTreeMap::is_empty)
    }

    /// How many items of a kind are held.
    pub(super) fn count(&self, kind: Kind) -> u64 {
        let in_table = self.found.iter().flat_map(BTreeMap::keys).filter(|id| id.kind == kind).count();
        let in_head = self.head.map_or(0, |head| match kind {
            Kind::Flag => head.totals.flags,
            Kind::Segment => head.totals.segments,
        });
        in_head.max(in_table as u64)
    }

    /// On which condition the table's item is to be written, or nothing where it is as it should be. `is_payloads` tells
    /// an item that is taken from the payload from one that stays as it is held.
    pub(super) fn guard_for_put(&self, item: Item<'_>, is_payloads: bool) -> Option<Guard> {
        let Some(found) = &self.found else {
            return is_payloads.then_some(Guard::AtMost(item.version.max(self.override_version(&item.id()))));
        };
        let Some(found) = found.get(&item.id()) else {
            return Some(Guard::Unmoved(FoundVersion::Missing));
        };
        let is_right = if found.same {
            is_payloads
        } else {
            found.odd.as_deref() == Some(item.json) && found.version == FoundVersion::Version(item.version)
        };
        (!is_right).then_some(Guard::Unmoved(found.version))
    }

    /// On which condition the table's item is to be deleted, or nothing where it is not there.
    pub(super) fn guard_for_delete(&self, id: &ItemId, version: u64) -> Option<Guard> {
        match &self.found {
            None => Some(Guard::AtMost(version.max(self.override_version(id)))),
            Some(found) => found.get(id).map(|found| Guard::Unmoved(found.version)),
        }
    }

    /// The version that an override has, or 0 where the item is not overridden.
    fn override_version(&self, id: &ItemId) -> u64 {
        let mark = self.head.filter(|_| id.kind == Kind::Flag).and_then(|head| head.overrides.get(&id.key));
        mark.map_or(0, |mark| mark.version)
    }

    /// The newest of what is held of an item: its version and its JSON.
    pub(super) fn newest(&self, id: &ItemId) -> Option<(u64, String)> {
        let in_snapshot = self
            .snapshot
            .and_then(|snapshot| Some((snapshot.version(id)?, snapshot.json(id.kind, &id.key)?.into_owned())));
        let in_table = self.found.as_ref().and_then(|found| found.get(id)).and_then(|found| {
            let FoundVersion::Version(version) = found.version else { return None };
            Some((version, found.odd.clone()?))
        });
        Head::newer(self.head, id, in_snapshot, in_table)
    }

    fn whole_differences(
        &self,
        table: &impl Table,
        payload: &Payload,
        in_snapshot: Vec<(ItemId, Difference)>,
    ) -> Vec<(ItemId, Difference)> {
        let mut all: BTreeMap<ItemId, Difference> = in_snapshot.into_iter().collect();
        if self.snapshot.is_none() {
            let every = Kind::ALL.into_iter().flat_map(|kind| payload.items(kind));
            all = every.map(|item| (item.id(), Difference::Added { new: item.version })).collect();
        }
        for (id, found) in self.found.iter().flatten() {
            let held = self.held_version(id, found);
            match (payload.get(id.kind, &id.key), all.get(id)) {
                (None, _) => drop(all.insert(id.clone(), Difference::Removed { old: held })),
                (Some(_), None) if found.same => {}
                (Some(item), _) if table.fits(item.kind, item.key, item.json) || all.contains_key(id) => {
                    all.insert(id.clone(), Difference::Changed { old: held, new: item.version });
                }
                (Some(_), _) => {}
            }
        }
        for item in Kind::ALL.into_iter().flat_map(|kind| payload.items(kind)) {
            let id = item.id();
            let lost = !self.found.as_ref().is_some_and(|found| found.contains_key(&id));
            if lost && table.fits(item.kind, item.key, item.json) {
                let old = self.snapshot.and_then(|snapshot| snapshot.version(&id));
                all.entry(id).or_insert(Difference::Changed { old: old.unwrap_or(item.version), new: item.version });
            }
        }
        all.into_iter().collect()
    }

    /// The newest of what is held, as of LaunchDarkly's own versions: the table may be ahead of an override that the
    /// snapshot still has, where a sync died.
    fn held_version(&self, id: &ItemId, found: &FoundItem) -> u64 {
        let in_table = match found.version {
            FoundVersion::Version(version) => self.own_version(id, version),
            FoundVersion::Missing | FoundVersion::Malformed => 0,
        };
        in_table.max(self.version_in_snapshot(id).unwrap_or(0))
    }

    /// Whether the table's item is newer than the snapshot's, where the items were read.
    fn is_ahead_of_the_snapshot(&self, id: &ItemId) -> bool {
        let found = self.found.as_ref().and_then(|found| found.get(id));
        found.map(|found| self.held_version(id, found)) > self.version_in_snapshot(id)
    }

    fn version_in_snapshot(&self, id: &ItemId) -> Option<u64> {
        Some(self.own_version(id, self.snapshot?.version(id)?))
    }

    fn own_version(&self, id: &ItemId, version: u64) -> u64 {
        self.head.map_or(version, |head| head.own_version(id, version))
    }
}

impl FoundItem {
    fn new(item: Found<'_>, payload: &Payload) -> Self {
        let wanted = payload.get(item.kind, item.key);
        let same = wanted.is_some_and(|wanted| {
            item.json == Some(wanted.json) && item.version == FoundVersion::Version(wanted.version)
        });
        let odd = if same { None } else { item.json.map(str::to_owned) };
        Self { version: item.version, odd, same }
    }
}

impl Held for Survey<'_> {
    fn tombstone(&self, id: &ItemId) -> Option<Tombstone> {
        self.head.and_then(|head| head.delta.tombstone(id))
    }

    fn synced_at_ms(&self) -> Option<u64> {
        self.head.map(|head| head.synced_at_ms)
    }

    fn is_strangers(&self, id: &ItemId) -> bool {
        // Behind a lease the items may be ahead of the snapshot, where a sync died; of a lost snapshot all are.
        let is_settled = self.snapshot.is_some() && self.head.is_some_and(|head| head.lease.is_none());
        is_settled && self.is_ahead_of_the_snapshot(id)
    }

    fn is_from_before(&self, id: &ItemId, ms: u64) -> bool {
        // What is newer in the table than in the snapshot came from somebody else, nobody knows when.
        self.head.is_some_and(|head| head.heard_by_ms < ms) && !self.is_ahead_of_the_snapshot(id)
    }
}

/// A head as what is held, where no answer is at hand.
pub(super) struct Trusting<'a>(pub(super) &'a Head);

impl Held for Trusting<'_> {
    fn tombstone(&self, id: &ItemId) -> Option<Tombstone> {
        self.0.delta.tombstone(id)
    }

    fn synced_at_ms(&self) -> Option<u64> {
        Some(self.0.synced_at_ms)
    }

    fn is_strangers(&self, _: &ItemId) -> bool {
        false
    }

    fn is_from_before(&self, _: &ItemId, ms: u64) -> bool {
        self.0.heard_by_ms < ms
    }
}

/// The differences as they are without overrides: what is held counts as of the version that it had at LaunchDarkly, so
/// that LaunchDarkly's own flag is no step backwards.
fn overridden(head: &Head, mut differences: Vec<(ItemId, Difference)>) -> Vec<(ItemId, Difference)> {
    for (id, difference) in differences.iter_mut().filter(|(id, _)| id.kind == Kind::Flag) {
        let (Difference::Changed { old, .. } | Difference::Removed { old }) = difference else { continue };
        if let Some(mark) = head.overrides.get(&id.key).filter(|mark| mark.version == *old) {
            *old = mark.onto;
        }
    }
    differences
}

fn snapshot_differences(snapshot: &Snapshot, payload: &Payload) -> Result<Vec<(ItemId, Difference)>, CorruptSnapshot> {
    let mut diff = Diff::new(payload);
    snapshot.visit(&mut |item| diff.held(item))?;
    Ok(diff.finish())
}
