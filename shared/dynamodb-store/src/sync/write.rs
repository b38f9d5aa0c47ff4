//! Writes a plan: in one transaction where it fits, else in many behind a lease.
//!
//! Many transactions means: announce it (a head with a lease), write items in the order in which readers may meet them,
//! then base, delta and head at last. Each transaction carries a fence: should somebody have taken over meanwhile, because
//! the lease ran out, nothing more of ours is written. Where there is no item yet, batches without a fence do (`fill`).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::Clock;
use super::fill::{Fill, SETTLE_MS};
use super::plan::{Action, Plan};
use crate::snapshot::Delta;
use crate::table::{
    BasePointer, Chunk, CommitError, Head, Lease, MAX_CHUNK_BYTES, Nonce, Put, SeenHead, Table, Totals, Write,
};

/// How much longer than its holder a lease lives.
const LEASE_MARGIN_MS: u64 = 1_000;
/// The longest that a holder is waited for, whatever time it was given: no function lives longer.
const MAX_LEASE_MS: u64 = 15 * 60 * 1_000;
/// How often a write is made again whose answer got lost.
const LOST_ANSWERS: u32 = 5;
/// How many waves a fill goes through at most: where nearly every item has to wait for another one, batches gain nothing.
const MAX_WAVES: usize = 32;
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
    let actions = plan.actions.len() + chunks + usize::from(plan.inited) + 1;
    let limits = table.limits();
    if actions <= limits.transaction_actions && bytes_of(&plan, base.as_ref()) <= limits.transaction_bytes {
        let mut writes: Vec<_> = plan.actions.iter().map(materialise).collect();
        let dropped = finish(&mut writes, &mut plan, base.as_ref(), seen.nonce.clone());
        commit_head(table, clock, &writes, plan.head.nonce).await?;
        drop_chunks(table, dropped, plan.head.nonce).await;
        return Ok(plan.head);
    }
    write_behind_lease(table, clock, plan, base, seen, deadline_ms).await
}

/// Keeps the holder of an ended lease, should it live after all, from writing any more: what is read from now on stays as
/// it is, until somebody takes over again.
///
/// # Errors
/// Where somebody else was faster, or the table fails.
pub(super) async fn take_over<T: Table, C: Clock>(table: &T, clock: &C, head: Head) -> Result<SeenHead, CommitError> {
    let follows = Some(head.nonce.into());
    let head = Head { nonce: clock.draw(), etag: None, ..head };
    commit_head(table, clock, &[head_write(head.clone(), follows)], head.nonce).await?;
    Ok(SeenHead { nonce: Some(head.nonce.into()), head: Some(head) })
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
    let fills = plan.fills && plan.waves.len() <= MAX_WAVES;
    let settle_ms = if fills { SETTLE_MS } else { 0 };
    let lease = Lease { expires_at_ms: end_ms.saturating_add(settle_ms + LEASE_MARGIN_MS) };
    let announced = announcement(seen, &plan.head, clock.draw(), lease);
    let nonce = announced.nonce;
    commit_head(table, clock, &[head_write(announced, seen.nonce.clone())], nonce).await?;
    let filling = Fill::new(table, clock, end_ms);
    let written = if fills {
        fill(&filling, table, clock, &mut plan, base.as_ref(), nonce).await
    } else {
        write_leased(table, clock, &mut plan, base.as_ref(), nonce).await
    };
    if written.is_err() && filling.is_settled() {
        // Whoever comes next need not wait, but has to look at everything. If this fails, the lease ends by itself.
        let ended = announcement(seen, &plan.head, clock.draw(), Lease { expires_at_ms: 0 });
        let _ = table.commit(&[head_write(ended, Some(nonce.into()))]).await;
    }
    let dropped = written?;
    drop_chunks(table, dropped, plan.head.nonce).await;
    Ok(plan.head)
}

/// The head as it was before the plan, with a lease and with what is going to be deleted. What somebody who died was going
/// to delete stays in it: only a sync's last head tells what became of that. A first fill begins with a head that names no
/// base.
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
    let mut doomed = before.doomed.clone();
    doomed.bury(&next.delta);
    Head { nonce, lease: Some(lease), doomed, etag: None, ..before }
}

/// Puts the base where nobody looks yet and the items wave by wave, then names it all.
async fn fill<T: Table, C: Clock>(
    filling: &Fill<'_, T, C>,
    table: &T,
    clock: &C,
    plan: &mut Plan<'_>,
    base: Option<&Bytes>,
    nonce: u64,
) -> Result<Vec<(u64, u64)>, CommitError> {
    let slot = other_slot(plan.head.base);
    let chunks = base.into_iter().flat_map(|base| split(base, plan.head.generation));
    let mut puts: Vec<_> = chunks.map(|chunk| Put::Chunk { slot, chunk }).collect();
    let mut rest = plan.actions.as_slice();
    for length in &plan.waves {
        let (wave, later) = rest.split_at(*length);
        rest = later;
        puts.extend(wave.iter().filter_map(|action| match action {
            Action::Put(item, _) => Some(Put::Item(*item)),
            Action::Delete(..) => None,
        }));
        filling.put(std::mem::take(&mut puts)).await?;
    }
    filling.put(puts).await?;
    filling.settle().await?;
    finish_beside(table, clock, plan, base, nonce).await
}

async fn write_leased<T: Table, C: Clock>(
    table: &T,
    clock: &C,
    plan: &mut Plan<'_>,
    base: Option<&Bytes>,
    nonce: u64,
) -> Result<Vec<(u64, u64)>, CommitError> {
    let limits = table.limits();
    let mut group = vec![fence(nonce)];
    let mut bytes = 0;
    for action in &plan.actions {
        let size = action_bytes(action);
        if group.len() == limits.transaction_actions || bytes + size > limits.transaction_bytes {
            commit_group(table, clock, &group).await?;
            group.truncate(1);
            bytes = 0;
        }
        group.push(materialise(action));
        bytes += size;
    }
    if group.len() > 1 {
        commit_group(table, clock, &group).await?;
    }
    let chunks = base.map_or(0, |base| base.len().div_ceil(MAX_CHUNK_BYTES));
    let bytes = base.map_or(0, Bytes::len) + ACTION_BYTES * 16;
    if chunks + 2 > limits.transaction_actions || bytes > limits.transaction_bytes {
        write_beside(table, clock, plan, base, nonce).await?;
        return finish_beside(table, clock, plan, base, nonce).await;
    }
    let mut last = Vec::new();
    let dropped = finish(&mut last, plan, base, Some(nonce.into()));
    commit_head(table, clock, &last, plan.head.nonce).await?;
    Ok(dropped)
}

/// Writes a base too large for one transaction into the slot that nobody reads.
async fn write_beside<T: Table, C: Clock>(
    table: &T,
    clock: &C,
    plan: &Plan<'_>,
    base: Option<&Bytes>,
    nonce: u64,
) -> Result<(), CommitError> {
    let slot = other_slot(plan.head.base);
    for chunk in base.into_iter().flat_map(|base| split(base, plan.head.generation)) {
        commit_group(table, clock, &[fence(nonce), Write::Chunk { slot, chunk }]).await?;
    }
    Ok(())
}

/// Ends a plan whose base lies in the slot that nobody reads yet.
async fn finish_beside<T: Table, C: Clock>(
    table: &T,
    clock: &C,
    plan: &mut Plan<'_>,
    base: Option<&Bytes>,
    nonce: u64,
) -> Result<Vec<(u64, u64)>, CommitError> {
    let dropped = base.map(|base| abandoned(&mut plan.head, base, true)).unwrap_or_default();
    let mut last = Vec::new();
    mark(&mut last, plan, Some(nonce.into()));
    commit_head(table, clock, &last, plan.head.nonce).await?;
    Ok(dropped)
}

/// Adds what ends a plan: base, mark and head. Gives the chunks that nobody names any more afterwards.
fn finish(
    writes: &mut Vec<Write>,
    plan: &mut Plan<'_>,
    base: Option<&Bytes>,
    follows: Option<Nonce>,
) -> Vec<(u64, u64)> {
    let mut dropped = Vec::new();
    if let Some(base) = base {
        writes.extend(split(base, plan.head.generation).map(|chunk| Write::Chunk { slot: 0, chunk }));
        dropped = abandoned(&mut plan.head, base, false);
    }
    mark(writes, plan, follows);
    dropped
}

fn mark(writes: &mut Vec<Write>, plan: &Plan<'_>, follows: Option<Nonce>) {
    if plan.inited {
        writes.push(Write::Inited);
    }
    writes.push(head_write(plan.head.clone(), follows));
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

fn fence(nonce: u64) -> Write {
    Write::Fence { follows: Some(nonce.into()) }
}

fn head_write(head: Head, follows: Option<Nonce>) -> Write {
    Write::Head { head: Box::new(head), follows }
}

/// Commits a transaction that writes a head. Where the answer gets lost, the head itself tells whether it was made.
async fn commit_head<T: Table, C: Clock>(
    table: &T,
    clock: &C,
    writes: &[Write],
    nonce: u64,
) -> Result<(), CommitError> {
    for retry in 0.. {
        let error = match table.commit(writes).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let lost = matches!(error, CommitError::Unknown(_));
        if !lost && !matches!(error, CommitError::Overtaken { head: true, .. }) {
            return Err(error);
        }
        if table.head().await?.nonce == Some(nonce.into()) {
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
async fn commit_group<T: Table, C: Clock>(table: &T, clock: &C, writes: &[Write]) -> Result<(), CommitError> {
    for retry in 0.. {
        match table.commit(writes).await {
            Err(CommitError::Unknown(_)) if retry < LOST_ANSWERS => clock.sleep(pause(retry)).await,
            result => return result,
        }
    }
    Ok(())
}

/// Drops chunks that no head names. Should it fail, they lie about without harm.
async fn drop_chunks<T: Table>(table: &T, dropped: Vec<(u64, u64)>, nonce: u64) {
    for group in dropped.chunks(table.limits().transaction_actions - 1) {
        let drops = group.iter().map(|(slot, number)| Write::DropChunk { slot: *slot, number: *number });
        let writes: Vec<_> = std::iter::once(fence(nonce)).chain(drops).collect();
        if let Err(error) = table.commit(&writes).await {
            tracing::debug!(%error, "chunks of an old base are left over");
            return;
        }
    }
}

fn pause(retry: u32) -> Duration {
    Duration::from_millis(50) * 2_u32.saturating_pow(retry.min(5))
}
