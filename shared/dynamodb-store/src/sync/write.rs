//! Writes a plan: in one transaction where it fits, else in many behind a lease.
//!
//! Many transactions means: announce it (a head with a lease), write items in the order in which readers may meet them,
//! then base, delta and head at last. Each transaction carries a fence: should somebody have taken over meanwhile, because
//! the lease ran out, nothing more of ours is written.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::Clock;
use super::plan::{Action, Plan};
use crate::layout::{MAX_TRANSACTION_ACTIONS, MAX_TRANSACTION_BYTES};
use crate::snapshot::Delta;
use crate::table::{BasePointer, Chunk, CommitError, Head, Lease, MAX_CHUNK_BYTES, SeenHead, Table, Totals, Write};

/// How much longer than its holder a lease lives.
const LEASE_MARGIN_MS: u64 = 1_000;
/// The longest that a holder is waited for, whatever time it was given: no function lives longer.
const MAX_LEASE_MS: u64 = 15 * 60 * 1_000;
/// How often a write is made again whose answer got lost.
const LOST_ANSWERS: u32 = 5;
/// What an action takes besides an item's JSON or a chunk's bytes; from above.
const ACTION_BYTES: usize = 4 * 1024;

/// Writes a plan that was made for what was seen where the head belongs.
///
/// # Errors
/// Where somebody else wrote in between, or the table fails. The table is then as it was, or its head bears a lease that
/// has ended, and the next sync looks at everything.
pub(crate) async fn write<T: Table, C: Clock>(
    table: &T,
    clock: &C,
    mut plan: Plan<'_>,
    seen: &SeenHead,
    deadline_ms: u64,
) -> Result<Head, CommitError> {
    let base = plan.base.take();
    let chunks = base.as_ref().map_or(0, |base| base.len().div_ceil(MAX_CHUNK_BYTES));
    let actions = plan.actions.len() + chunks + old_chunks(&plan.head) + 2;
    if actions <= MAX_TRANSACTION_ACTIONS && bytes_of(&plan, base.as_ref()) <= MAX_TRANSACTION_BYTES {
        let mut writes: Vec<_> = plan.actions.iter().map(materialise).collect();
        let dropped = finish(&mut writes, &mut plan, base.as_ref(), seen.nonce);
        commit_head(table, clock, writes, plan.head.nonce).await?;
        drop_chunks(table, dropped, plan.head.nonce).await;
        return Ok(plan.head);
    }
    write_behind_lease(table, clock, plan, base, seen, deadline_ms).await
}

async fn write_behind_lease<T: Table, C: Clock>(
    table: &T,
    clock: &C,
    mut plan: Plan<'_>,
    base: Option<Bytes>,
    seen: &SeenHead,
    deadline_ms: u64,
) -> Result<Head, CommitError> {
    let end_ms = deadline_ms.min(clock.now_ms().saturating_add(MAX_LEASE_MS));
    let lease = Lease { expires_at_ms: end_ms.saturating_add(LEASE_MARGIN_MS) };
    let announced = announcement(seen, &plan.head, clock.draw(), lease);
    let nonce = announced.nonce;
    commit_head(table, clock, vec![head_write(announced, seen.nonce)], nonce).await?;
    let written = write_leased(table, clock, &mut plan, base.as_ref(), nonce).await;
    if written.is_err() {
        // Whoever comes next need not wait, but has to look at everything. If this fails, the lease ends by itself.
        let ended = announcement(seen, &plan.head, clock.draw(), Lease { expires_at_ms: 0 });
        let _ = table.commit(vec![head_write(ended, Some(nonce))]).await;
    }
    let dropped = written?;
    drop_chunks(table, dropped, plan.head.nonce).await;
    Ok(plan.head)
}

/// The head as it was before the plan, with a lease. A first fill begins with a head that names no base.
fn announcement(seen: &SeenHead, next: &Head, nonce: u64, lease: Lease) -> Head {
    let before = seen.head.clone().unwrap_or_else(|| Head {
        generation: 0,
        base: None,
        delta: Delta::default(),
        totals: Totals::default(),
        too_large: Vec::new(),
        overrides: BTreeMap::new(),
        ..next.clone()
    });
    Head { nonce, lease: Some(lease), etag: None, ..before }
}

async fn write_leased<T: Table, C: Clock>(
    table: &T,
    clock: &C,
    plan: &mut Plan<'_>,
    base: Option<&Bytes>,
    nonce: u64,
) -> Result<Vec<(u64, u64)>, CommitError> {
    let mut group = vec![Write::Fence { nonce }];
    let mut bytes = 0;
    for action in &plan.actions {
        let size = action_bytes(action);
        if group.len() == MAX_TRANSACTION_ACTIONS || bytes + size > MAX_TRANSACTION_BYTES {
            commit_group(table, clock, std::mem::replace(&mut group, vec![Write::Fence { nonce }])).await?;
            bytes = 0;
        }
        group.push(materialise(action));
        bytes += size;
    }
    if group.len() > 1 {
        commit_group(table, clock, group).await?;
    }
    let mut last = Vec::new();
    match base {
        Some(base) if base.len() + ACTION_BYTES * 16 > MAX_TRANSACTION_BYTES => {
            write_beside(table, clock, plan, base, nonce).await?;
            let dropped = abandoned(&mut plan.head, base, true);
            finish_head(&mut last, plan, nonce);
            commit_head(table, clock, last, plan.head.nonce).await?;
            Ok(dropped)
        }
        base => {
            let dropped = finish(&mut last, plan, base, Some(nonce));
            commit_head(table, clock, last, plan.head.nonce).await?;
            Ok(dropped)
        }
    }
}

/// Writes a base too large for one transaction into the slot that nobody reads.
async fn write_beside<T: Table, C: Clock>(
    table: &T,
    clock: &C,
    plan: &Plan<'_>,
    base: &Bytes,
    nonce: u64,
) -> Result<(), CommitError> {
    let slot = other_slot(plan.head.base);
    for chunk in split(base, plan.head.generation) {
        commit_group(table, clock, vec![Write::Fence { nonce }, Write::Chunk { slot, chunk }]).await?;
    }
    Ok(())
}

/// Adds what ends a plan: base, mark and head. Gives the chunks that nobody names any more afterwards.
fn finish(writes: &mut Vec<Write>, plan: &mut Plan<'_>, base: Option<&Bytes>, follows: Option<u64>) -> Vec<(u64, u64)> {
    let mut dropped = Vec::new();
    if let Some(base) = base {
        writes.extend(split(base, plan.head.generation).map(|chunk| Write::Chunk { slot: 0, chunk }));
        dropped = abandoned(&mut plan.head, base, false);
    }
    if plan.inited {
        writes.push(Write::Inited);
    }
    writes.push(head_write(plan.head.clone(), follows));
    dropped
}

fn finish_head(writes: &mut Vec<Write>, plan: &Plan<'_>, nonce: u64) {
    if plan.inited {
        writes.push(Write::Inited);
    }
    writes.push(head_write(plan.head.clone(), Some(nonce)));
}

/// Points the head to its new base, and tells which chunks of the old one are left over.
fn abandoned(head: &mut Head, base: &Bytes, beside: bool) -> Vec<(u64, u64)> {
    let old = head.base;
    let slot = if beside { other_slot(old) } else { 0 };
    let new = BasePointer::new(head.generation, slot, base);
    head.base = Some(new);
    let Some(old) = old else { return Vec::new() };
    let first = if old.slot == slot { new.chunks } else { 0 };
    (first..old.chunks).map(|number| (old.slot, number)).collect()
}

fn other_slot(base: Option<BasePointer>) -> u64 {
    base.map_or(0, |base| 1 - base.slot.min(1))
}

fn old_chunks(head: &Head) -> usize {
    head.base.map_or(0, |base| usize::try_from(base.chunks).unwrap_or(usize::MAX))
}

fn split(base: &Bytes, generation: u64) -> impl Iterator<Item = Chunk> {
    let starts = (0..base.len()).step_by(MAX_CHUNK_BYTES);
    starts.enumerate().map(move |(number, start)| Chunk {
        number: number as u64,
        generation,
        bytes: base.slice(start..base.len().min(start + MAX_CHUNK_BYTES)),
    })
}

fn bytes_of(plan: &Plan<'_>, base: Option<&Bytes>) -> usize {
    let items: usize = plan.actions.iter().map(action_bytes).sum();
    items + base.map_or(0, Bytes::len) + ACTION_BYTES * 16
}

fn action_bytes(action: &Action<'_>) -> usize {
    match action {
        Action::Put(item, _) => item.json.len() + 3 * item.key.len() + 256,
        Action::Delete(id, _) => 3 * id.key.len() + 256,
    }
}

fn materialise(action: &Action<'_>) -> Write {
    match action {
        Action::Put(item, guard) => {
            Write::Item { id: item.id(), version: item.version, json: item.json.to_owned(), guard: *guard }
        }
        Action::Delete(id, guard) => Write::Delete { id: (*id).clone(), guard: *guard },
    }
}

fn head_write(head: Head, follows: Option<u64>) -> Write {
    Write::Head { head: Box::new(head), follows }
}

/// Commits a transaction that writes a head. Where the answer gets lost, the head itself tells whether it was made.
async fn commit_head<T: Table, C: Clock>(
    table: &T,
    clock: &C,
    writes: Vec<Write>,
    nonce: u64,
) -> Result<(), CommitError> {
    for retry in 0.. {
        let error = match table.commit(writes.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let lost = matches!(error, CommitError::Unknown(_));
        if !lost && !matches!(error, CommitError::Overtaken { head: true, .. }) {
            return Err(error);
        }
        if table.head().await?.nonce == Some(nonce) {
            return Ok(());
        }
        if !lost || retry == LOST_ANSWERS {
            return Err(error);
        }
        clock.sleep(pause(retry)).await;
    }
    Ok(())
}

/// Commits a group of items; made twice it does no harm.
async fn commit_group<T: Table, C: Clock>(table: &T, clock: &C, writes: Vec<Write>) -> Result<(), CommitError> {
    for retry in 0.. {
        match table.commit(writes.clone()).await {
            Err(CommitError::Unknown(_)) if retry < LOST_ANSWERS => clock.sleep(pause(retry)).await,
            result => return result,
        }
    }
    Ok(())
}

/// Drops chunks that no head names. Should it fail, they lie about without harm.
async fn drop_chunks<T: Table>(table: &T, dropped: Vec<(u64, u64)>, nonce: u64) {
    for group in dropped.chunks(MAX_TRANSACTION_ACTIONS - 1) {
        let drops = group.iter().map(|(slot, number)| Write::DropChunk { slot: *slot, number: *number });
        let writes = std::iter::once(Write::Fence { nonce }).chain(drops).collect();
        if let Err(error) = table.commit(writes).await {
            tracing::debug!(%error, "chunks of an old base are left over");
            return;
        }
    }
}

fn pause(retry: u32) -> Duration {
    Duration::from_millis(50) * 2_u32.saturating_pow(retry.min(5))
}
