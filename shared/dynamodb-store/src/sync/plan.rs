//! What to write so that table and snapshot become what was judged right.
//!
//! The room is pure: out of the payload, the judgement and what is held it makes a list of writes and the next head. How
//! many transactions that takes is not its business.

use std::collections::BTreeMap;

use bytes::Bytes;
use flagcache_payload::order::{delete_order, write_waves};
use flagcache_payload::{Item, ItemId, Items, Kind, Payload};

use super::judge::Judgement;
use super::survey::Survey;
use super::{Counts, Outcome};
use crate::snapshot::{BaseBuilder, Delta, Tombstone};
use crate::table::{Guard, Head, Override, Table, Totals};

/// What stays as it is held although the payload has it otherwise: its version and JSON, or nothing where it stays absent.
pub(super) type Kept = BTreeMap<ItemId, Option<(u64, String)>>;

/// One write to the official layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action<'a> {
    /// Writes an item.
    Put(Item<'a>, Guard),
    /// Deletes an item.
    Delete(&'a ItemId, Guard),
}

/// All that one sync writes.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// Items to write, in the order in which a reader may meet them, then items to delete in theirs.
    pub(crate) actions: Vec<Action<'a>>,
    /// How many of the actions, from the first on, make up each wave of items to write: those that do not refer to each
    /// other.
    pub(crate) waves: Vec<usize>,
    /// Whether the table was found to hold no item.
    pub(crate) fills: bool,
    /// Whether the mark is to be written that the table is filled.
    pub(crate) inited: bool,
    /// A new base, where one is needed.
    pub(crate) base: Option<Bytes>,
    /// The next head. Its base is the one in use; a new base takes its place when it is known where it lies.
    pub(crate) head: Head,
    /// The items of each kind.
    pub(crate) counts: BTreeMap<Kind, Counts>,
    /// Whether the snapshot becomes another one.
    pub(crate) changes_snapshot: bool,
}

impl Plan<'_> {
    /// Whether items or snapshot change at all.
    pub(super) fn outcome(&self) -> Outcome {
        let changes = self.changes_snapshot || !self.actions.is_empty() || self.inited || self.base.is_some();
        if changes { Outcome::Updated } else { Outcome::Unchanged }
    }
}

/// What the plan is made of besides payload, judgement and survey.
pub(super) struct Circumstances<'a> {
    /// The head that the new one follows.
    pub(super) head: Option<&'a Head>,
    /// The payload's `ETag`.
    pub(super) etag: Option<String>,
    /// When the payload was asked for.
    pub(super) fetched_at_ms: u64,
    /// By when payload and survey had been read.
    pub(super) heard_by_ms: u64,
    /// Whether the mark is there that the table is filled.
    pub(super) inited: bool,
    /// The lineage of a first head.
    pub(super) new_lineage: u64,
    /// The nonce of the next head.
    pub(super) nonce: u64,
}

/// What stays as it is held.
pub(super) fn kept(judgement: &Judgement, survey: &Survey<'_>) -> Kept {
    judgement.kept.iter().map(|id| (id.clone(), survey.newest(id))).collect()
}

/// Works out what to write.
pub(super) fn plan<'a>(
    table: &impl Table,
    payload: &'a Payload,
    judgement: &'a Judgement,
    kept: &'a Kept,
    survey: &Survey<'_>,
    circumstances: Circumstances<'_>,
) -> Plan<'a> {
    let delta = circumstances.head.map(|head| head.delta.clone()).unwrap_or_default();
    let mut draft =
        Draft { delta, puts: Vec::new(), deletes: Vec::new(), counts: BTreeMap::new(), changes_snapshot: false };
    for item in judgement.upserts.iter().filter_map(|id| payload.get(id.kind, &id.key)) {
        draft.put(table, survey, item, true);
    }
    for item in kept.iter().filter_map(held_item) {
        draft.put(table, survey, item, false);
    }
    for (id, version) in &judgement.deletes {
        draft.delete(table, survey, id, *version, circumstances.fetched_at_ms);
    }
    draft.finish(table, &target(payload, kept), kept, survey, circumstances)
}

fn held_item<'a>((id, held): (&'a ItemId, &'a Option<(u64, String)>)) -> Option<Item<'a>> {
    let (version, json) = held.as_ref()?;
    Some(Item { kind: id.kind, key: &id.key, version: *version, json })
}

struct Draft<'a> {
    puts: Vec<(Item<'a>, Guard)>,
    deletes: Vec<(&'a ItemId, String, Guard)>,
    delta: Delta,
    counts: BTreeMap<Kind, Counts>,
    changes_snapshot: bool,
}

impl<'a> Draft<'a> {
    fn put(&mut self, table: &impl Table, survey: &Survey<'_>, item: Item<'a>, is_payloads: bool) {
        let changes_snapshot =
            survey.snapshot().is_some_and(|snapshot| snapshot.json(item.kind, item.key).as_deref() != Some(item.json));
        if changes_snapshot {
            self.delta.put(item);
            self.changes_snapshot = true;
        }
        // Where there is no snapshot yet, a tombstone would hide the item from the one to come.
        self.delta.exhume(&item.id());
        let fits = table.fits(item.kind, item.key, item.json);
        let guard = survey.guard_for_put(item, is_payloads).filter(|_| fits);
        self.puts.extend(guard.map(|guard| (item, guard)));
        if guard.is_some() || (changes_snapshot && !fits) {
            self.counts.entry(item.kind).or_default().written += 1;
        }
    }

    fn delete(&mut self, table: &impl Table, survey: &Survey<'_>, id: &'a ItemId, version: u64, now_ms: u64) {
        self.counts.entry(id.kind).or_default().deleted += 1;
        self.changes_snapshot = true;
        self.delta.delete(id.clone(), Tombstone { version, deleted_at_ms: now_ms });
        // A key that is too long was never written, and DynamoDB would refuse the whole transaction for it.
        let can_be_there = table.fits(id.kind, &id.key, "");
        if let Some(guard) = survey.guard_for_delete(id, version).filter(|_| can_be_there) {
            let json = survey.newest(id).map(|(_, json)| json).unwrap_or_default();
            self.deletes.push((id, json, guard));
        }
    }

    fn finish(
        mut self,
        table: &impl Table,
        target: &[Item<'_>],
        kept: &Kept,
        survey: &Survey<'_>,
        circumstances: Circumstances<'_>,
    ) -> Plan<'a> {
        let needs_base = survey.snapshot().is_none() || self.delta.is_larger_than(table.limits().delta_bytes);
        let base = needs_base.then(|| build_base(target));
        let delta = if needs_base { self.delta.rebased(circumstances.fetched_at_ms) } else { self.delta.clone() };
        let total = |kind| target.iter().filter(|item| item.kind == kind).count() as u64;
        for kind in Kind::ALL {
            self.counts.entry(kind).or_default().total = total(kind);
        }
        let previous = circumstances.head;
        let too_large = target.iter().filter(|item| !table.fits(item.kind, item.key, item.json));
        let head = Head {
            generation: previous.map_or(0, |head| head.generation) + 1,
            lineage: previous.map_or(circumstances.new_lineage, |head| head.lineage),
            nonce: circumstances.nonce,
            etag: circumstances.etag.filter(|_| kept.is_empty()),
            synced_at_ms: circumstances.fetched_at_ms,
            heard_by_ms: circumstances.heard_by_ms,
            totals: Totals { flags: total(Kind::Flag), segments: total(Kind::Segment) },
            too_large: too_large.map(|item| item.key.to_owned()).collect(),
            base: previous.and_then(|head| head.base),
            delta,
            lease: None,
            overrides: previous.map(|head| kept_overrides(head, kept)).unwrap_or_default(),
            doomed: Delta::default(),
        };
        let (actions, waves) = self.actions();
        Plan {
            actions,
            waves,
            fills: survey.holds_no_item(),
            inited: !circumstances.inited,
            base,
            head,
            counts: self.counts,
            changes_snapshot: self.changes_snapshot,
        }
    }

    /// All actions in their order, and the lengths of the waves of items to write.
    fn actions(&self) -> (Vec<Action<'a>>, Vec<usize>) {
        let puts: Vec<_> = self.puts.iter().map(|(item, _)| (item.id(), item.json)).collect();
        let waves = write_waves(&puts);
        let puts = waves.iter().flatten().map(|position| self.puts[*position]);
        let deletes: Vec<_> = self.deletes.iter().map(|(id, json, _)| ((*id).clone(), json.as_str())).collect();
        let deletes = delete_order(&deletes).into_iter().map(|position| &self.deletes[position]);
        let puts = puts.map(|(item, guard)| Action::Put(item, guard));
        let deletes = deletes.map(|(id, _, guard)| Action::Delete(id, *guard));
        (puts.chain(deletes).collect(), waves.iter().map(Vec::len).collect())
    }
}

/// The overrides that this sync leaves: those for which LaunchDarkly's word is not taken yet.
fn kept_overrides(head: &Head, kept: &Kept) -> BTreeMap<String, Override> {
    let is_kept = |key: &str| kept.contains_key(&ItemId::new(Kind::Flag, key));
    head.overrides.iter().filter(|(key, _)| is_kept(key)).map(|(key, mark)| (key.clone(), *mark)).collect()
}

/// The overridden flags that a judgement puts LaunchDarkly's word in the place of, by key.
pub(super) fn overrides_replaced(head: Option<&Head>, judgement: &Judgement) -> Vec<String> {
    let ids = judgement.upserts.iter().chain(judgement.deletes.iter().map(|(id, _)| id));
    let is_overridden =
        |id: &&ItemId| id.kind == Kind::Flag && head.is_some_and(|head| head.overrides.contains_key(&id.key));
    let mut keys: Vec<String> = ids.filter(is_overridden).map(|id| id.key.clone()).collect();
    keys.sort();
    keys
}

/// The items that the table is to hold: the payload's, save where what is held stays.
fn target<'a>(payload: &'a Payload, kept: &'a Kept) -> Vec<Item<'a>> {
    let mut items: Vec<Item<'a>> = Kind::ALL.into_iter().flat_map(|kind| payload.items(kind)).collect();
    if !kept.is_empty() {
        items.retain(|item| !kept.contains_key(&item.id()));
        items.extend(kept.iter().filter_map(held_item));
        items.sort_by_key(|item| (item.kind, item.key));
    }
    items
}

pub(crate) fn build_base(items: &[Item<'_>]) -> Bytes {
    let mut builder = BaseBuilder::new();
    for item in items {
        builder.push(*item);
    }
    builder.finish().into()
}
