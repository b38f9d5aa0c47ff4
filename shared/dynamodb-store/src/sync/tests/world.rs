//! The world of the tests: what everybody shares of it, LaunchDarkly and the clock, stepped by an executor that decides
//! who goes next.
//!
//! It holds what the table holds, and shows it as its readers see it; how a request to the table fares is `table`'s.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use flagcache_payload::{ItemId, Kind};

use super::table::{Bug, DYNAMODB, Fault, UnderWay};
use crate::snapshot::{Base, Snapshot};
use crate::sync::{Clock, Fetched, Upstream};
use crate::table::{Chunk, Guard, Head, Limits, Write};

/// An item as the official layout holds it.
pub(super) type Stored = (u64, String);

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
    pub(super) under_way: Vec<UnderWay>,
    /// Puts in the order in which they took effect.
    pub(super) landed: Vec<ItemId>,
    pub(super) items: BTreeMap<ItemId, Stored>,
    pub(super) head: Option<Head>,
    pub(super) chunks: BTreeMap<(u64, u64), Chunk>,
    pub(super) inited: bool,
    /// The base that a reader has read last.
    decoded: Option<Arc<Base>>,
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
            decoded: None,
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

/// LaunchDarkly's versions are multiples of this in schedules with overrides, whose versions lie between them,
pub(super) const VERSION_STEP: u64 = 100;
/// or this far above.
pub(super) const FAR_ABOVE: u64 = 1 << 40;

/// The version that LaunchDarkly's own item has, of which this is an override's; any other is its own.
pub(super) const fn own_version(version: u64) -> u64 {
    version % FAR_ABOVE / VERSION_STEP * VERSION_STEP
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
        let mut state = self.state();
        let Head { generation, delta, base, .. } = state.head.clone()?;
        let pointer = base?;
        let numbers = 0..pointer.chunks;
        let chunks = numbers.map(|number| state.chunks.get(&(pointer.slot, number)).cloned());
        let bytes = pointer.join(chunks.collect::<Option<_>>()?)?;
        // Decoding is the dearest part of a schedule, and most looks find the base of the look before.
        let base = match state.decoded.take() {
            Some(base) if *base.bytes() == bytes => base,
            _ => Arc::new(Base::decode(bytes).ok()?),
        };
        state.decoded = Some(Arc::clone(&base));
        Some(Snapshot::new(generation, base, delta))
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
        state.land_what_is_due();
    }
}

impl State {
    /// Any number, the same ones in every run.
    pub(super) fn chance(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20
    }

    /// Writes an item whatever is there.
    pub(super) fn put(&mut self, id: ItemId, version: u64) {
        let json = json(&id, version);
        self.apply(Write::Item { id, version, json, guard: Guard::Always });
    }

    pub(super) fn apply(&mut self, write: Write) {
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
pub(super) async fn turn() {
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
