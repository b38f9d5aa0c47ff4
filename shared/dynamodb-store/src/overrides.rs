//! Changes of one flag by hand, for the time when LaunchDarkly cannot be asked.
//!
//! Stands beside the sync and writes as it does: the flag's item and the head with its delta in one transaction, on
//! condition that neither has moved, so that every reader follows at once and none sees a half. The head marks the flag
//! as overridden and loses its `ETag`: the next sync that gets a payload takes LaunchDarkly's word for it. A table
//! without a head, which another SDK or the Relay Proxy filled, gets the item alone. What a flag's JSON means is the
//! caller's business.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use flagcache_payload::{Item, ItemId, Items, Kind};

use crate::layout::MAX_DELTA_BYTES;
use crate::snapshot::{Base, Delta, Snapshot};
use crate::sync::Clock;
use crate::sync::plan::{Action, Plan, build_base};
use crate::sync::write::write;
use crate::table::{CommitError, FoundVersion, Guard, Head, Override, SeenHead, Table, TableCause, TableError, Write};

/// How often an edit begins anew because somebody else wrote in between.
const ATTEMPTS: u32 = 20;
/// Between two looks at a head that somebody holds a lease on.
const LEASE_PAUSE: Duration = Duration::from_millis(250);

/// What a flag is to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagEdit {
    /// Its JSON.
    pub json: String,
    /// The version in that JSON.
    pub version: u64,
    /// Whether this is LaunchDarkly's own flag again, so that nothing is overridden any more.
    pub is_launchdarklys: bool,
}

/// What became of an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edited {
    /// It is written.
    Written {
        /// The JSON that was there.
        before: String,
        /// The JSON that is there now.
        after: String,
    },
    /// The flag stays as it is, with this JSON.
    Kept(String),
    /// There is no such flag.
    Absent,
}

/// Why a flag was not edited.
#[derive(Debug, thiserror::Error)]
pub enum EditError<E: Error + 'static> {
    /// The caller does not want it.
    #[error(transparent)]
    Refused(E),
    /// The table could not be read or written; nothing was written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The answer to the write got lost: it may have been made or not.
    #[error("know whether flag `{key}` is written: the answer got lost")]
    Unknown {
        /// The flag's key.
        key: String,
        /// What came in place of the answer.
        #[source]
        source: TableError,
    },
    /// A sync is filling the table; nothing was written.
    #[error("wait for a sync that is writing: its lease ends only in {remaining_ms} ms")]
    Busy {
        /// How long its lease still lasts, in milliseconds.
        remaining_ms: u64,
    },
    /// Others were faster, again and again; nothing was written.
    #[error("write flag `{key}` before others do: {ATTEMPTS} attempts were overtaken")]
    Overtaken {
        /// The flag's key.
        key: String,
    },
    /// Nothing was written.
    #[error("write flag `{key}`: it would be larger than the 400 KB that an item of DynamoDB may have")]
    TooLarge {
        /// The flag's key.
        key: String,
    },
}

/// A flag's JSON: the newest of what the snapshot and the official layout hold; nothing where neither has it.
///
/// # Errors
/// Where the table cannot be read.
pub async fn read_flag(table: &impl Table, key: &str) -> Result<Option<String>, TableError> {
    Ok(Held::read(table, key).await?.newest().map(|(_, json)| json))
}

/// Puts what `edit` makes of a flag's JSON in its place; where somebody else writes in between, `edit` is asked again
/// about what they wrote. Nothing is written where it gives nothing. Waits for a sync that is filling the table until
/// `deadline_ms`, in milliseconds since the Unix epoch.
///
/// # Errors
/// Where the table fails, or `edit` does.
pub async fn edit_flag<T: Table, C: Clock, E: Error + 'static>(
    table: &T,
    clock: &C,
    key: &str,
    deadline_ms: u64,
    edit: impl Fn(&str) -> Result<Option<FlagEdit>, E>,
) -> Result<Edited, EditError<E>> {
    let mut attempt = 0;
    while attempt < ATTEMPTS {
        let held = Held::read(table, key).await?;
        let now_ms = clock.now_ms();
        if let Some(lease) = held.lease_until_ms(now_ms) {
            if now_ms >= deadline_ms {
                return Err(EditError::Busy { remaining_ms: lease - now_ms });
            }
            clock.sleep(LEASE_PAUSE).await;
            continue;
        }
        let Some((version, before)) = held.newest() else { return Ok(Edited::Absent) };
        let Some(wanted) = edit(&before).map_err(EditError::Refused)? else { return Ok(Edited::Kept(before)) };
        match held.write(table, clock, version, &wanted, deadline_ms).await? {
            Ok(()) => return Ok(Edited::Written { before, after: wanted.json }),
            Err(CommitError::Unknown(source)) => return Err(EditError::Unknown { key: key.to_owned(), source }),
            // Whether an earlier try was made could not be looked up.
            Err(CommitError::Table(source)) if matches!(source.cause, TableCause::Unavailable(_)) => {
                return Err(EditError::Unknown { key: key.to_owned(), source });
            }
            Err(CommitError::Table(error)) => return Err(error.into()),
            // Time is up only for whoever fills a table.
            Err(CommitError::Overtaken { .. } | CommitError::OutOfTime) => {}
        }
        attempt += 1;
        clock.sleep(Duration::from_millis(1 + clock.draw() % (20 << attempt.min(5)))).await;
    }
    Err(EditError::Overtaken { key: key.to_owned() })
}

/// A flag as the table holds it.
struct Held {
    id: ItemId,
    seen: SeenHead,
    /// Nothing where there is none, or none that can be read.
    snapshot: Option<Snapshot>,
    /// The item of the official layout.
    official: Option<(FoundVersion, Option<String>)>,
}

impl Held {
    async fn read(table: &impl Table, key: &str) -> Result<Self, TableError> {
        let id = ItemId::new(Kind::Flag, key);
        let seen = table.head().await?;
        let snapshot = match &seen.head {
            Some(head) => snapshot(table, head).await?,
            None => None,
        };
        Ok(Self { official: table.official(&id).await?, id, seen, snapshot })
    }

    fn lease_until_ms(&self, now_ms: u64) -> Option<u64> {
        let lease = self.seen.head.as_ref()?.lease?;
        lease.is_held(now_ms).then_some(lease.expires_at_ms)
    }

    /// Nothing where a sync that died had deleted it already, though the snapshot still has it.
    fn newest(&self) -> Option<(u64, String)> {
        let is_doomed = self.seen.head.as_ref().is_some_and(|head| head.doomed.tombstone(&self.id).is_some());
        if is_doomed && self.official.is_none() {
            return None;
        }
        let in_snapshot = self.snapshot.as_ref().and_then(|snapshot| {
            Some((snapshot.version(&self.id)?, snapshot.json(self.id.kind, &self.id.key).map(Cow::into_owned)?))
        });
        let official = match &self.official {
            Some((FoundVersion::Version(version), Some(json))) => Some((*version, json.clone())),
            _ => None,
        };
        Head::newer(self.seen.head.as_ref(), &self.id, in_snapshot, official)
    }

    /// The outer error is one that no further attempt helps against.
    async fn write<T: Table, C: Clock, E: Error + 'static>(
        &self,
        table: &T,
        clock: &C,
        held_version: u64,
        wanted: &FlagEdit,
        deadline_ms: u64,
    ) -> Result<Result<(), CommitError>, EditError<E>> {
        let item = Item { kind: self.id.kind, key: &self.id.key, version: wanted.version, json: &wanted.json };
        let guard = Guard::Unmoved(self.official.as_ref().map_or(FoundVersion::Missing, |(version, _)| *version));
        let fits = table.fits(item.kind, item.key, item.json);
        let Some(head) = &self.seen.head else {
            if !fits {
                return Err(EditError::TooLarge { key: self.id.key.clone() });
            }
            return Ok(self.write_item(table, item, guard).await);
        };
        let edited = next_head(head, held_version, item, wanted.is_launchdarklys);
        let mut next = Head { nonce: clock.draw(), heard_by_ms: clock.now_ms(), ..edited };
        if !fits && !next.too_large.contains(&self.id.key) {
            next.too_large.push(self.id.key.clone());
        }
        let base = self.base_if_needed(&mut next, clock.now_ms());
        let plan = Plan {
            actions: fits.then_some(Action::Put(item, guard)).into_iter().collect(),
            waves: vec![usize::from(fits)],
            fills: false,
            inited: false,
            base,
            head: next,
            counts: BTreeMap::new(),
            changes_snapshot: true,
        };
        Ok(write(table, clock, plan, &self.seen, deadline_ms).await.map(drop))
    }

    /// Without a head there is no nonce to tell by: where the answer gets lost, the item itself tells.
    async fn write_item(&self, table: &impl Table, item: Item<'_>, guard: Guard) -> Result<(), CommitError> {
        let json = item.json.to_owned();
        let write = Write::Item { id: self.id.clone(), version: item.version, json, guard };
        // Should a first sync write a head meanwhile, its snapshot would know nothing of this.
        let written = table.commit(&[Write::Fence { follows: self.seen.nonce.clone() }, write]).await;
        let Err(CommitError::Unknown(_)) = &written else { return written };
        match table.official(&self.id).await {
            Ok(Some((_, Some(json)))) if json == item.json => Ok(()),
            _ => written,
        }
    }

    /// A new base where the delta has grown too large, as in a sync.
    fn base_if_needed(&self, next: &mut Head, now_ms: u64) -> Option<bytes::Bytes> {
        let before = self.snapshot.as_ref().filter(|_| next.delta.is_larger_than(MAX_DELTA_BYTES))?;
        let snapshot = Snapshot::new(next.generation, Arc::clone(before.base()), next.delta.clone());
        let mut items: Vec<(ItemId, u64, String)> = Vec::new();
        snapshot.visit(&mut |item| items.push((item.id(), item.version, item.json.to_owned()))).ok()?;
        items.sort_by(|a, b| a.0.cmp(&b.0));
        let items: Vec<Item<'_>> = items
            .iter()
            .map(|(id, version, json)| Item { kind: id.kind, key: &id.key, version: *version, json })
            .collect();
        next.delta = Delta::rebased(&next.delta, now_ms);
        Some(build_base(&items))
    }
}

/// The time of the sync stays: LaunchDarkly was not asked. So does a lease that has ended, by which the next sync
/// knows that it has to look at everything.
fn next_head(head: &Head, held_version: u64, item: Item<'_>, is_launchdarklys: bool) -> Head {
    let mut next = Head { etag: None, ..head.clone() };
    next.generation += u64::from(head.base.is_some());
    next.delta.put(item);
    let marked = head.overrides.get(item.key).filter(|mark| mark.version == held_version);
    let onto = marked.map_or(held_version, |mark| mark.onto);
    if item.version > onto && !is_launchdarklys {
        next.overrides.insert(item.key.to_owned(), Override { onto, version: item.version });
    } else {
        next.overrides.remove(item.key);
    }
    next
}

async fn snapshot(table: &impl Table, head: &Head) -> Result<Option<Snapshot>, TableError> {
    let Some(pointer) = head.base else { return Ok(None) };
    let chunks = table.chunks(pointer.slot, 0..pointer.chunks).await?;
    let base = pointer.join(chunks).and_then(|bytes| Base::decode(bytes).ok());
    Ok(base.map(|base| Snapshot::new(head.generation, Arc::new(base), head.delta.clone())))
}
