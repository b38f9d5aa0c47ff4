//! The world of the tests: table, LaunchDarkly and clock, all stepped by an executor that decides who goes next.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use flagcache_payload::{ItemId, Kind};

use crate::snapshot::{Base, Snapshot};
use crate::sync::{Clock, Fetched, Upstream};
use crate::table::{
    Chunk, CommitError, Found, FoundVersion, Guard, Head, Limits, Put, SeenHead, Table, TableCause, TableError, Write,
};

/// An item as the official layout holds it.
pub(super) type Stored = (u64, String);

/// A put that was sent and has not taken effect yet.
struct UnderWay {
    batch: u64,
    position: usize,
    at_ms: u64,
    write: Write,
}

pub(super) const DYNAMODB: Limits = Limits {
    transaction_actions: 100,
    transaction_bytes: 4 * 1024 * 1024 - 128 * 1024,
    batch_puts: 25,
    delta_bytes: 12 * 1024,
};

/// What all parts of the world share.
pub(super) struct State {
    pub(super) now_ms: u64,
    drawn: u64,
    pub(super) limits: Limits,
    pub(super) bug: Option<Bug>,
    /// How often anything in the table was changed.
    pub(super) changes: u64,
    /// How long a put whose answer nobody waits for may take.
    pub(super) longest_landing_ms: u64,
    under_way: Vec<UnderWay>,
    /// Puts in the order in which they took effect.
    pub(super) landed: Vec<ItemId>,
    pub(super) items: BTreeMap<ItemId, Stored>,
    pub(super) head: Option<Head>,
    pub(super) chunks: BTreeMap<(u64, u64), Chunk>,
    pub(super) inited: bool,
    /// What LaunchDarkly's environment was, from which millisecond on.
    pub(super) truth: Vec<(u64, BTreeMap<ItemId, u64>)>,
    /// How old LaunchDarkly's next answers are, in milliseconds; an answer of now where there is none.
    pub(super) lags: Vec<u64>,
    /// Of the next commits, whether the write is made and whether its answer arrives.
    pub(super) faults: Vec<Fault>,
    pub(super) fetches: u32,
    pub(super) commits: u32,
    pub(super) batches: u32,
    pub(super) requests: u32,
    /// An answer in place of the payload.
    pub(super) body: Option<String>,
    /// After how many fetches all others fail; zero: none does.
    pub(super) fetches_before_outage: u32,
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

/// A handle on the world; table, upstream and clock in one.
#[derive(Clone)]
pub(super) struct World {
    state: Arc<Mutex<State>>,
}

impl Default for World {
    fn default() -> Self {
        let state = State {
            now_ms: 0,
            drawn: 0,
            limits: DYNAMODB,
            bug: None,
            changes: 0,
            longest_landing_ms: 10_000,
            under_way: Vec::new(),
            landed: Vec::new(),
            items: BTreeMap::new(),
            head: None,
            chunks: BTreeMap::new(),
            inited: false,
            truth: Vec::new(),
            lags: Vec::new(),
            faults: Vec::new(),
            fetches: 0,
            commits: 0,
            batches: 0,
            requests: 0,
            body: None,
            fetches_before_outage: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("unreachable")]
pub(super) struct Unreachable;

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
}

impl Bug {
    pub(super) const ALL: [Self; 6] = [
        Self::ItemConditionDropped,
        Self::HeadConditionDropped,
        Self::HeadBeforeItems,
        Self::OrderSwapped,
        Self::LeaseIgnored,
        Self::LateLanding,
    ];
}

/// What an item refers to, as [`json`] has it.
pub(super) fn needs(id: &ItemId) -> Vec<ItemId> {
    match (id.kind, id.key.chars().last()) {
        (Kind::Flag, Some('!')) => vec![ItemId::new(Kind::Flag, "a")],
        (Kind::Flag, Some('?')) => vec![ItemId::new(Kind::Segment, "s")],
        _ => Vec::new(),
    }
}

pub(super) fn json(id: &ItemId, version: u64) -> String {
    let needs = match (id.kind, id.key.chars().last()) {
        (Kind::Flag, Some('!')) => r#","prerequisites":[{"key":"a"}]"#,
        (Kind::Flag, Some('?')) => r#","rules":[{"clauses":[{"op":"segmentMatch","values":["s"]}]}]"#,
        _ => "",
    };
    format!(r#"{{"key":"{}","version":{version}{needs}}}"#, id.key)
}

fn body(items: &BTreeMap<ItemId, u64>) -> String {
    let list = |kind| {
        let items = items.iter().filter(|(id, _)| id.kind == kind);
        items.map(|(id, version)| format!(r#""{}":{}"#, id.key, json(id, *version))).collect::<Vec<_>>().join(",")
    };
    format!(r#"{{"flags":{{{}}},"segments":{{{}}}}}"#, list(Kind::Flag), list(Kind::Segment))
}

impl World {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Changes LaunchDarkly's environment now.
    pub(super) fn change(&self, change: impl FnOnce(&mut BTreeMap<ItemId, u64>)) {
        let mut state = self.state();
        let mut truth = state.truth.last().map(|(_, truth)| truth.clone()).unwrap_or_default();
        change(&mut truth);
        let now_ms = state.now_ms;
        state.truth.push((now_ms, truth));
    }

    /// Gives an item at LaunchDarkly this version.
    pub(super) fn set(&self, id: ItemId, version: u64) {
        self.change(|truth| {
            truth.insert(id, version);
        });
    }

    /// Deletes an item at LaunchDarkly.
    pub(super) fn unset(&self, id: &ItemId) {
        self.change(|truth| {
            truth.remove(id);
        });
    }

    pub(super) fn truth(&self) -> BTreeMap<ItemId, u64> {
        self.state().truth.last().map(|(_, truth)| truth.clone()).unwrap_or_default()
    }

    pub(super) fn versions(&self) -> BTreeMap<ItemId, u64> {
        self.state().items.iter().map(|(id, (version, _))| (id.clone(), *version)).collect()
    }

    /// What a reader of the snapshot sees; nothing where there is none.
    pub(super) fn snapshot(&self) -> Option<Snapshot> {
        let state = self.state();
        let head = state.head.as_ref()?;
        let pointer = head.base?;
        let numbers = 0..pointer.chunks;
        let chunks = numbers.map(|number| state.chunks.get(&(pointer.slot, number)).cloned());
        let bytes = pointer.join(chunks.collect::<Option<_>>()?)?;
        Some(Snapshot::new(head.generation, Arc::new(Base::decode(bytes).ok()?), head.delta.clone()))
    }

    /// Runs one future to its end; time passes only while it sleeps.
    pub(super) fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = Box::pin(future);
        loop {
            if let Poll::Ready(output) = poll(future.as_mut()) {
                return output;
            }
            self.pass_time(1);
        }
    }

    pub(super) fn pass_time(&self, ms: u64) {
        let mut state = self.state();
        state.now_ms += ms;
        let now_ms = state.now_ms;
        state.land(|put| put.at_ms <= now_ms);
    }

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
                Write::Item { .. } | Write::Delete { .. } if bug == Some(Bug::ItemConditionDropped) => {}
                Write::Head { follows, .. } => {
                    overtaken.0 |= state.head.as_ref().map(|head| head.nonce.into()) != *follows;
                }
                Write::Fence { nonce } => overtaken.0 |= state.head.as_ref().map(|head| head.nonce) != Some(*nonce),
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
        state.commits += 1;
        for write in writes {
            state.apply(write.clone());
        }
        Ok(())
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

impl State {
    /// Any number, the same ones in every run.
    fn chance(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20
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

    /// Writes an item whatever is there.
    pub(super) fn put(&mut self, id: ItemId, version: u64) {
        let json = json(&id, version);
        self.apply(Write::Item { id, version, json, guard: Guard::Always });
    }

    fn apply(&mut self, write: Write) {
        self.changes += 1;
        match write {
            Write::Item { id, version, json, .. } => drop(self.items.insert(id, (version, json))),
            Write::Delete { id, .. } => drop(self.items.remove(&id)),
            Write::Inited => self.inited = true,
            Write::Chunk { slot, chunk } => drop(self.chunks.insert((slot, chunk.number), chunk)),
            Write::DropChunk { slot, number } => drop(self.chunks.remove(&(slot, number))),
            Write::Head { head, .. } => self.head = Some(*head),
            Write::Fence { .. } => {}
        }
    }
}

/// Polls a future once.
pub(super) fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// One step: everything that touches the world waits for its turn first.
async fn turn() {
    let mut waited = false;
    std::future::poll_fn(move |context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl Clock for World {
    fn now_ms(&self) -> u64 {
        self.state().now_ms
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.now_ms() + u64::try_from(duration.as_millis()).unwrap();
        let world = self.clone();
        std::future::poll_fn(move |context| {
            context.waker().wake_by_ref();
            if world.now_ms() >= until { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn draw(&self) -> u64 {
        let mut state = self.state();
        state.drawn += 1;
        state.drawn
    }
}

impl Upstream for World {
    type Error = Unreachable;

    async fn fetch(&self, etag: Option<&str>, _deadline_ms: u64) -> Result<Fetched, Unreachable> {
        turn().await;
        let mut state = self.state();
        state.fetches += 1;
        if state.fetches_before_outage > 0 && state.fetches > state.fetches_before_outage {
            return Err(Unreachable);
        }
        if let Some(body) = &state.body {
            return Ok(Fetched::Payload { body: body.clone().into(), etag: None });
        }
        let lag = if state.lags.is_empty() { 0 } else { state.lags.remove(0) };
        let as_of = state.now_ms.saturating_sub(lag);
        let position = state.truth.iter().rposition(|(from, _)| *from <= as_of).unwrap_or(0);
        let body = state.truth.get(position).map(|(_, items)| body(items)).ok_or(Unreachable)?;
        let current = format!("\"{body}\"");
        if etag == Some(&current) {
            return Ok(Fetched::NotModified);
        }
        Ok(Fetched::Payload { body: body.into(), etag: Some(current) })
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

    fn fits(&self, _kind: Kind, _key: &str, json: &str) -> bool {
        json.len() < 400 * 1024
    }
}
