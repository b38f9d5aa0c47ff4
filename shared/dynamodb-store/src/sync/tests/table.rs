//! The table of the world: conditional writes, batches that take effect when they like, faults, and planted bugs.
//!
//! What was sent lands within a while whatever becomes of its sender, as requests to DynamoDB do. The faults are what
//! DynamoDB and the network really do; the bugs are what only a broken table or sync would do, for the checker to find.

use std::ops::Range;

use flagcache_payload::{ItemId, Kind};

use super::world::{State, World, turn};
use crate::layout::MAX_KEY_BYTES;
use crate::table::{
    Chunk, CommitError, Found, FoundVersion, Guard, Head, Limits, Put, SeenHead, Table, TableCause, TableError, Write,
};

pub(super) const DYNAMODB: Limits = Limits {
    transaction_actions: 100,
    transaction_bytes: 4 * 1024 * 1024 - 128 * 1024,
    batch_puts: 25,
    delta_bytes: 12 * 1024,
};

/// A put that was sent and has not taken effect yet.
pub(super) struct UnderWay {
    batch: u64,
    position: usize,
    at_ms: u64,
    write: Write,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The write is made, but its answer gets lost.
    LostAnswer,
    /// Nothing is written.
    Throttled,
    /// A batch is taken only in part.
    LeftOver,
    /// Nothing is written, nor ever will be.
    Denied,
}

/// A bug planted in the table, for the checker to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    /// Items are written whatever is there.
    ItemConditionDropped,
    /// A head is written whatever head is there.
    HeadConditionDropped,
    /// The head is written first, and only then the items.
    HeadBeforeItems,
    /// A batch is answered before it takes effect, so that later ones overtake it.
    OrderSwapped,
    /// Nobody sees a lease.
    LeaseIgnored,
    /// A request takes effect when nobody reckons with it any more.
    LateLanding,
    /// Who holds a lease that has ended goes on writing.
    FenceDropped,
}

impl Bug {
    pub(super) const ALL: [Self; 7] = [
        Self::ItemConditionDropped,
        Self::HeadConditionDropped,
        Self::HeadBeforeItems,
        Self::OrderSwapped,
        Self::LeaseIgnored,
        Self::LateLanding,
        Self::FenceDropped,
    ];
}

impl World {
    /// Sends a batch: whatever becomes of the sender, its puts take effect within a while.
    fn send(&self, puts: &[Put<'_>]) -> u64 {
        let mut state = self.state();
        state.requests += 1;
        state.batches += 1;
        let batch = u64::from(state.batches);
        for (position, put) in puts.iter().enumerate() {
            let write = match put {
                Put::Item(item) => Write::Item {
                    id: item.id(),
                    version: item.version,
                    json: item.json.to_owned(),
                    guard: Guard::Always,
                },
                Put::Chunk { slot, chunk } => Write::Chunk { slot: *slot, chunk: chunk.clone() },
            };
            let factor = if state.bug == Some(Bug::LateLanding) { 5 } else { 1 };
            let at_ms = state.now_ms + state.chance() % (factor * state.longest_landing_ms);
            state.under_way.push(UnderWay { batch, position, at_ms, write });
        }
        batch
    }

    /// What the sender of a batch gets to hear.
    fn answer(&self, batch: u64, puts: usize, fault: Fault) -> Result<Vec<usize>, CommitError> {
        let mut state = self.state();
        match fault {
            Fault::None if state.bug == Some(Bug::OrderSwapped) => Ok(Vec::new()),
            Fault::None => {
                state.land(|put| put.batch == batch);
                Ok(Vec::new())
            }
            Fault::LeftOver => {
                let left = puts.div_ceil(2);
                state.under_way.retain(|put| put.batch != batch || put.position >= left);
                state.land(|put| put.batch == batch);
                Ok((0..left).collect())
            }
            Fault::Throttled => {
                state.under_way.retain(|put| put.batch != batch);
                Err(failed(TableCause::Throttled).into())
            }
            Fault::Denied => {
                state.under_way.retain(|put| put.batch != batch);
                Err(failed(TableCause::Denied("no".into())).into())
            }
            Fault::LostAnswer => Err(CommitError::Unknown(failed(TableCause::Unavailable("cut off".into())))),
        }
    }

    fn next_fault(&self) -> Fault {
        let mut state = self.state();
        if state.faults.is_empty() { Fault::None } else { state.faults.remove(0) }
    }

    fn commit_now(&self, writes: &[Write]) -> Result<(), CommitError> {
        let mut state = self.state();
        let mut overtaken = (false, false);
        let bug = state.bug;
        for write in writes {
            match write {
                Write::Head { .. } if bug == Some(Bug::HeadConditionDropped) => {}
                Write::Fence { .. } if bug == Some(Bug::FenceDropped) => {}
                Write::Item { .. } | Write::Delete { .. } if bug == Some(Bug::ItemConditionDropped) => {}
                Write::Head { follows, .. } | Write::Fence { follows } => {
                    overtaken.0 |= state.head.as_ref().map(|head| head.nonce.into()) != *follows;
                }
                Write::Item { id, guard, .. } | Write::Delete { id, guard } => {
                    let there = state.items.get(id).map(|(version, _)| *version);
                    overtaken.1 |= !match guard {
                        Guard::AtMost(version) => there.is_none_or(|there| there <= *version),
                        Guard::Below(version) => there.is_none_or(|there| there < *version),
                        Guard::Unmoved(FoundVersion::Version(version)) => there == Some(*version),
                        Guard::Unmoved(_) => there.is_none(),
                        Guard::Always => true,
                    };
                }
                _ => {}
            }
        }
        if overtaken != (false, false) {
            return Err(CommitError::Overtaken { head: overtaken.0, item: overtaken.1 });
        }
        assert!(writes.len() <= state.limits.transaction_actions, "a transaction of {}", writes.len());
        let bytes: usize = writes.iter().map(bytes).sum();
        assert!(bytes <= state.limits.transaction_bytes, "a transaction of {bytes} bytes");
        let mut keys = writes.iter().filter_map(key);
        assert!(keys.all(|key| key.len() <= MAX_KEY_BYTES), "a transaction with a key that is too long");
        state.commits += 1;
        for write in writes {
            state.apply(write.clone());
        }
        Ok(())
    }
}

impl State {
    /// Lets those puts take effect whose time has come.
    pub(super) fn land_what_is_due(&mut self) {
        let now_ms = self.now_ms;
        self.land(|put| put.at_ms <= now_ms);
    }

    fn land(&mut self, lands: impl Fn(&UnderWay) -> bool) {
        let (landing, under_way) = std::mem::take(&mut self.under_way).into_iter().partition(|put| lands(put));
        self.under_way = under_way;
        for UnderWay { write, .. } in landing {
            if let Write::Item { id, .. } = &write {
                self.landed.push(id.clone());
            }
            self.apply(write);
        }
    }
}

impl Table for World {
    async fn head(&self) -> Result<SeenHead, TableError> {
        turn().await;
        let mut state = self.state();
        state.requests += 1;
        let mut head = state.head.clone();
        if state.bug == Some(Bug::LeaseIgnored) {
            head = head.map(|head| Head { lease: None, ..head });
        }
        Ok(SeenHead { nonce: head.as_ref().map(|head| head.nonce.into()), head })
    }

    async fn chunks(&self, slot: u64, numbers: Range<u64>) -> Result<Vec<Chunk>, TableError> {
        turn().await;
        let mut state = self.state();
        state.requests += 1;
        Ok(numbers.filter_map(|number| state.chunks.get(&(slot, number)).cloned()).collect())
    }

    async fn items(&self, kind: Kind, visit: &mut (dyn FnMut(Found<'_>) + Send)) -> Result<(), TableError> {
        turn().await;
        let items: Vec<_> = self
            .state()
            .items
            .iter()
            .filter(|(id, _)| id.kind == kind)
            .map(|(id, stored)| (id.clone(), stored.clone()))
            .collect();
        // Two pages, between which others may write.
        for (position, (id, (version, json))) in items.iter().enumerate() {
            if position == items.len() / 2 {
                turn().await;
            }
            let version = FoundVersion::Version(*version);
            visit(Found { kind, key: &id.key, version, json: Some(json) });
        }
        Ok(())
    }

    async fn official(&self, id: &ItemId) -> Result<Option<(FoundVersion, Option<String>)>, TableError> {
        turn().await;
        let stored = self.state().items.get(id).cloned();
        Ok(stored.map(|(version, json)| (FoundVersion::Version(version), Some(json))))
    }

    async fn inited(&self) -> Result<bool, TableError> {
        turn().await;
        Ok(self.state().inited)
    }

    async fn commit(&self, writes: &[Write]) -> Result<(), CommitError> {
        turn().await;
        self.state().requests += 1;
        let fault = self.next_fault();
        match fault {
            Fault::Throttled => return Err(failed(TableCause::Throttled).into()),
            Fault::Denied => return Err(failed(TableCause::Denied("no".into())).into()),
            Fault::None | Fault::LostAnswer | Fault::LeftOver => {}
        }
        let is_head = |write: &Write| matches!(write, Write::Head { .. });
        if self.state().bug == Some(Bug::HeadBeforeItems) && writes.iter().any(is_head) {
            let (head, rest): (Vec<_>, Vec<_>) = writes.iter().cloned().partition(is_head);
            self.commit_now(&head)?;
            turn().await;
            return self.commit_now(&rest);
        }
        let result = self.commit_now(writes);
        turn().await;
        if fault == Fault::LostAnswer && result.is_ok() {
            return Err(CommitError::Unknown(failed(TableCause::Unavailable("cut off".into()))));
        }
        result
    }

    /// Sent at once: a sender looks at the clock, and then does not stand still before it has sent.
    async fn put_batch(&self, puts: &[Put<'_>]) -> Result<Vec<usize>, CommitError> {
        assert!(puts.len() <= self.limits().batch_puts, "a batch of {}", puts.len());
        let fault = self.next_fault();
        let batch = self.send(puts);
        turn().await;
        self.answer(batch, puts.len(), fault)
    }

    fn limits(&self) -> Limits {
        self.state().limits
    }

    fn fits(&self, _kind: Kind, key: &str, json: &str) -> bool {
        key.len() <= MAX_KEY_BYTES && json.len() < 400 * 1024
    }
}

/// The key of the flag or segment that is written or deleted.
fn key(write: &Write) -> Option<&str> {
    match write {
        Write::Item { id, .. } | Write::Delete { id, .. } => Some(&id.key),
        _ => None,
    }
}

/// What a write weighs, save the smallest of its attributes.
fn bytes(write: &Write) -> usize {
    match write {
        Write::Item { id, json, .. } => id.key.len() + json.len(),
        Write::Chunk { chunk, .. } => chunk.bytes.len(),
        Write::Head { .. } | Write::Delete { .. } | Write::Inited | Write::DropChunk { .. } | Write::Fence { .. } => 0,
    }
}

fn failed(cause: TableCause) -> TableError {
    TableError::without_source("write", "t", cause)
}
