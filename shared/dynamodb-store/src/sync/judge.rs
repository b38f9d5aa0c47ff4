//! What of an answer is news, and what an old answer of a cache.
//!
//! LaunchDarkly's answer right after a webhook can be older than the change. An old item betrays itself by its version.
//! An item that is absent does not: it may be deleted, or created a moment ago. Nor does one that is back from the dead.
//! So what looks like a step backwards counts only where a webhook named it, or where a second answer, seconds later, says
//! the same; of versions only a whole sync takes that, and any sync where the newer one is a stranger's. The room is pure:
//! it is given times and answers, and says what they mean.

use std::collections::BTreeMap;
use std::time::Duration;

use flagcache_payload::{Difference, ItemId, Payload};

use super::{Change, Named, Thoroughness};
use crate::snapshot::{Delta, Snapshot, Tombstone};

/// How far apart two answers are to be if the second is to confirm the first.
pub(super) const CONFIRMATION: Duration = Duration::from_secs(2);

/// What is held already, as far as judging goes.
pub(super) trait Held {
    /// What is remembered of a deleted item.
    fn tombstone(&self, id: &ItemId) -> Option<Tombstone>;
    /// When the payload held was asked for, in milliseconds since the Unix epoch.
    fn synced_at_ms(&self) -> Option<u64>;
    /// Whether the newest that is held of an item was written by nobody who syncs.
    fn is_strangers(&self, id: &ItemId) -> bool;
    /// Whether what is held of an item had certainly been heard of before that time, in milliseconds since the Unix epoch.
    fn is_from_before(&self, id: &ItemId, ms: u64) -> bool;
}

/// By what the changes named are looked for where no answer is at hand.
#[derive(Debug, Clone, Copy)]
pub(super) enum Knowledge<'a> {
    /// By what changed since the base, which costs no further read.
    Delta(&'a Delta),
    /// By everything held.
    Snapshot(&'a Snapshot),
}

/// What is to become of the differences between an answer and what is held.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    /// Items to take from the payload.
    pub(super) upserts: Vec<ItemId>,
    /// Items to delete, with the version that is known to be gone.
    pub(super) deletes: Vec<(ItemId, u64)>,
    /// Differences that do not count for now: what is held (or not held) stays.
    pub(super) kept: Vec<ItemId>,
    /// Whether all changes named are there, and nothing is older than what is held.
    pub(super) fresh: bool,
    /// When the earliest difference in `kept` can be confirmed by another answer, in milliseconds since the epoch.
    pub(super) confirmable_at_ms: Option<u64>,
}

/// Judges the answers of one sync, one after another.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    thoroughness: &'a Thoroughness,
    confirmation_ms: u64,
    /// Steps backwards, and since when they are known: what is held may change, too, and then all begins anew.
    suspects: BTreeMap<ItemId, (Difference, u64)>,
}

/// The times of one comparison, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// When the answer was asked for.
    pub(super) asked_at_ms: u64,
    /// By when all that is held had been read: only what is asked for later can tell that it is gone.
    pub(super) held_by_ms: u64,
}

impl<'a> Judge<'a> {
    /// `confirmation` is how far apart two answers are to be if the second is to confirm the first.
    pub(super) fn new(thoroughness: &'a Thoroughness, confirmation: Duration) -> Self {
        let confirmation_ms = u64::try_from(confirmation.as_millis()).unwrap_or(u64::MAX);
        Self { thoroughness, confirmation_ms, suspects: BTreeMap::new() }
    }

    /// Judges one answer.
    pub(super) fn judge(
        &mut self,
        payload: &Payload,
        differences: &[(ItemId, Difference)],
        held: &impl Held,
        times: Times,
    ) -> Judgement {
        let Times { asked_at_ms, held_by_ms } = times;
        let mut judgement = Judgement { fresh: true, ..Judgement::default() };
        let mut suspects = BTreeMap::new();
        let betrays_itself = self.betrays_itself(differences, held);
        for (id, difference) in differences {
            if !self.is_suspect(id, *difference, held) {
                judgement.accept(id, *difference);
                continue;
            }
            let seen = seen_version(*difference);
            if seen.is_none() && betrays_itself {
                judgement.keep(id, seen, None);
                continue;
            }
            let since = match self.suspects.get(id) {
                Some((earlier, since)) if earlier == difference => *since,
                _ => asked_at_ms.max(held_by_ms),
            };
            suspects.insert(id.clone(), (*difference, since));
            let confirmable_at_ms = since.saturating_add(self.confirmation_ms);
            let may_be_confirmed = self.may_be_confirmed(id, *difference, held);
            if may_be_confirmed && asked_at_ms >= confirmable_at_ms && asked_at_ms > since {
                judgement.accept(id, *difference);
            } else {
                judgement.keep(id, seen, may_be_confirmed.then_some(confirmable_at_ms));
            }
        }
        self.suspects = suspects;
        judgement.fresh &= self.shows_all_named(payload, differences, held, asked_at_ms);
        judgement
    }

    /// Whether the changes named can be taken to be there without any answer, by what is held alone.
    pub(super) fn is_known(&self, knowledge: Knowledge<'_>, held: &impl Held) -> bool {
        self.named().iter().all(|named| {
            let buried = held.tombstone(&named.id).map(|tombstone| tombstone.version);
            let version_of = |id| match knowledge {
                Knowledge::Delta(delta) => delta.upsert(id).map(|item| item.version),
                Knowledge::Snapshot(snapshot) => snapshot.version(id),
            };
            match (named.change, named.version) {
                (Change::Deleted, version) => match (version_of(&named.id), version) {
                    // What the delta alone does not list may still lie in the base.
                    (None, _) => buried.is_some() || matches!(knowledge, Knowledge::Snapshot(_)),
                    (Some(ours), Some(version)) => ours > version,
                    (Some(_), None) => false,
                },
                (Change::Created | Change::Updated, Some(version)) => {
                    version_of(&named.id).max(buried).is_some_and(|ours| ours >= version)
                }
                (Change::Created | Change::Updated, None) => {
                    held.synced_at_ms().is_some_and(|synced| self.is_past_caches(synced))
                }
            }
        })
    }

    fn named(&self) -> &[Named] {
        match self.thoroughness {
            Thoroughness::Quick { named, .. } => named,
            Thoroughness::Whole => &[],
        }
    }

    fn happened_before(&self, synced_at_ms: Option<u64>) -> bool {
        match self.thoroughness {
            Thoroughness::Quick { changed_at_ms: Some(changed), .. } => {
                synced_at_ms.is_some_and(|synced| synced > *changed)
            }
            _ => false,
        }
    }

    /// Whether an answer that was asked for then is no cache's from before the change.
    fn is_past_caches(&self, asked_at_ms: u64) -> bool {
        match self.thoroughness {
            Thoroughness::Quick { changed_at_ms: Some(changed), .. } => {
                asked_at_ms >= changed.saturating_add(self.confirmation_ms)
            }
            _ => false,
        }
    }

    /// Whether a difference looks like a step backwards.
    fn is_suspect(&self, id: &ItemId, difference: Difference, held: &impl Held) -> bool {
        match difference {
            Difference::Changed { old, new } => new < old,
            Difference::Removed { old } => !self.names_deletion(id, old, held),
            Difference::Added { new } => {
                held.tombstone(id).is_some_and(|tombstone| !self.names_return(id, new, tombstone))
            }
        }
    }

    /// Whether a webhook named the deletion of what is held. One that is older than that does not count: it may be about
    /// an earlier item of the same key. Without a version only the time tells, and when the payload held was asked for
    /// is not enough: while it was under way the item may have been deleted and created anew.
    fn names_deletion(&self, id: &ItemId, old: u64, held: &impl Held) -> bool {
        self.named().iter().any(|named| {
            named.id == *id
                && named.change == Change::Deleted
                && named.version.map_or_else(|| self.is_from_before_the_change(id, held), |version| version >= old)
        })
    }

    fn is_from_before_the_change(&self, id: &ItemId, held: &impl Held) -> bool {
        match self.thoroughness {
            Thoroughness::Quick { changed_at_ms: Some(changed), .. } => held.is_from_before(id, *changed),
            // Nothing says when it was; whoever names a deletion without a time is taken at their word.
            _ => true,
        }
    }

    /// Whether a webhook named a change of what is buried that came after the burial (it was created anew, or taken out of
    /// the archive), and the version is the one that it gave. Where versions began anew, an old answer's may well be
    /// higher than the one named.
    fn names_return(&self, id: &ItemId, new: u64, tombstone: Tombstone) -> bool {
        let Thoroughness::Quick { changed_at_ms: Some(changed_at_ms), .. } = self.thoroughness else { return false };
        let is_it = |version| {
            if version > tombstone.version { new >= version } else { new == version && new != tombstone.version }
        };
        *changed_at_ms > tombstone.deleted_at_ms && self.names_presence(id, |version| version.is_some_and(is_it))
    }

    fn names_presence(&self, id: &ItemId, is_version: impl Fn(Option<u64>) -> bool) -> bool {
        let mut named = self.named().iter().filter(|named| named.id == *id && named.change != Change::Deleted);
        named.any(|named| is_version(named.version))
    }

    /// Whether an old version proves the answer to be an old one. What is absent from it may merely not have been there
    /// yet.
    fn betrays_itself(&self, differences: &[(ItemId, Difference)], held: &impl Held) -> bool {
        let is_older = |difference: &Difference| matches!(difference, Difference::Changed { old, new } if new < old);
        let mut older = differences.iter().filter(|(_, difference)| is_older(difference));
        *self.thoroughness != Thoroughness::Whole && older.any(|(id, _)| !held.is_strangers(id))
    }

    /// Whether a second answer is enough. Unless named, a version goes backwards only in a whole sync, also where it is
    /// back from the dead; but a stranger's never was LaunchDarkly's as far as anybody here knows.
    fn may_be_confirmed(&self, id: &ItemId, difference: Difference, held: &impl Held) -> bool {
        match difference {
            _ if *self.thoroughness == Thoroughness::Whole => true,
            Difference::Removed { .. } => true,
            Difference::Changed { .. } => held.is_strangers(id),
            Difference::Added { new } => {
                held.tombstone(id).is_none_or(|tombstone| new > tombstone.version) || self.names_presence(id, |_| true)
            }
        }
    }

    fn shows_all_named(
        &self,
        payload: &Payload,
        differences: &[(ItemId, Difference)],
        held: &impl Held,
        asked_at_ms: u64,
    ) -> bool {
        let before = self.happened_before(held.synced_at_ms()) && self.is_past_caches(asked_at_ms);
        self.named().iter().all(|named| shows(named, payload, differences, held, before))
    }
}

/// Whether an answer shows a change. `before` says that a change with no version can be there already: the table was synced
/// after it, and the answer is not so old that a cache may hide it.
fn shows(
    named: &Named,
    payload: &Payload,
    differences: &[(ItemId, Difference)],
    held: &impl Held,
    before: bool,
) -> bool {
    let there = payload.get(named.id.kind, &named.id.key).map(|item| item.version);
    let buried = held.tombstone(&named.id).map(|tombstone| tombstone.version);
    let changed = || differences.iter().any(|(id, difference)| *id == named.id && is_forward(*difference));
    match (named.change, there, named.version) {
        (Change::Deleted, None, _) | (Change::Created, Some(_), None) => true,
        (Change::Deleted, Some(there), Some(version)) => there > version,
        (_, Some(there), Some(version)) => there >= version,
        (_, None, Some(version)) => buried.is_some_and(|buried| buried >= version),
        (Change::Updated, Some(_), None) => before || changed(),
        (Change::Deleted, Some(_), None) | (_, None, None) => before,
    }
}

fn is_forward(difference: Difference) -> bool {
    match difference {
        Difference::Added { .. } => true,
        Difference::Changed { old, new } => new >= old,
        Difference::Removed { .. } => false,
    }
}

fn seen_version(difference: Difference) -> Option<u64> {
    match difference {
        Difference::Added { new } | Difference::Changed { new, .. } => Some(new),
        Difference::Removed { .. } => None,
    }
}

impl Judgement {
    fn accept(&mut self, id: &ItemId, difference: Difference) {
        match difference {
            Difference::Removed { old } => self.deletes.push((id.clone(), old)),
            Difference::Added { .. } | Difference::Changed { .. } => self.upserts.push(id.clone()),
        }
    }

    fn keep(&mut self, id: &ItemId, seen: Option<u64>, confirmable_at_ms: Option<u64>) {
        self.kept.push(id.clone());
        // An old version proves that the answer is old; an absence alone proves nothing.
        self.fresh &= seen.is_none();
        self.confirmable_at_ms = match (self.confirmable_at_ms, confirmable_at_ms) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}
