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
    Chunk, CommitError, Found, FoundVersion, Guard, Head, SeenHead, Table, TableCause, TableError, Write,
};

/// An item as the official layout holds it.
pub(super) type Stored = (u64, String);

/// What all parts of the world share.
#[derive(Default)]
pub(super) struct State {
    pub(super) now_ms: u64,
    drawn: u64,
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
    pub(super) requests: u32,
    /// An answer in place of the payload.
    pub(super) body: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The write is made, but its answer gets lost.
    LostAnswer,
    /// Nothing is written.
    Throttled,
}

/// A handle on the world; table, upstream and clock in one.
#[derive(Clone, Default)]
pub(super) struct World {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, thiserror::Error)]
#[error("unreachable")]
pub(super) struct Unreachable;

pub(super) fn json(id: &ItemId, version: u64) -> String {
    let needs = if id.kind == Kind::Flag && id.key.ends_with('!') { r#","prerequisites":[{"key":"a"}]"# } else { "" };
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
        let chunks =
            numbers.map(|number| state.chunks.get(&(pointer.slot, number)).cloned().expect("all chunks are there"));
        let bytes = pointer.join(chunks.collect()).expect("chunks fit the head");
        Some(Snapshot::new(head.generation, Arc::new(Base::decode(bytes).unwrap()), head.delta.clone()))
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
        self.state().now_ms += ms;
    }

    fn commit_now(&self, writes: &[Write]) -> Result<(), CommitError> {
        let mut state = self.state();
        let mut overtaken = (false, false);
        for write in writes {
            match write {
                Write::Head { follows, .. } => overtaken.0 |= state.head.as_ref().map(|head| head.nonce) != *follows,
                Write::Fence { nonce } => overtaken.0 |= state.head.as_ref().map(|head| head.nonce) != Some(*nonce),
                Write::Item { id, guard, .. } | Write::Delete { id, guard } => {
                    let there = state.items.get(id).map(|(version, _)| *version);
                    overtaken.1 |= !match guard {
                        Guard::AtMost(version) => there.is_none_or(|there| there <= *version),
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
        state.commits += 1;
        for write in writes {
            state.apply(write.clone());
        }
        Ok(())
    }
}

impl State {
    fn apply(&mut self, write: Write) {
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
    std::future::poll_fn(move |_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending })
        .await;
}

impl Clock for World {
    fn now_ms(&self) -> u64 {
        self.state().now_ms
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.now_ms() + u64::try_from(duration.as_millis()).unwrap();
        let world = self.clone();
        std::future::poll_fn(move |_| if world.now_ms() >= until { Poll::Ready(()) } else { Poll::Pending }).await;
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
        Ok(SeenHead { nonce: state.head.as_ref().map(|head| head.nonce), head: state.head.clone() })
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

    async fn commit(&self, writes: Vec<Write>) -> Result<(), CommitError> {
        turn().await;
        self.state().requests += 1;
        let mut faults = std::mem::take(&mut self.state().faults);
        let fault = if faults.is_empty() { Fault::None } else { faults.remove(0) };
        self.state().faults = faults;
        let failed = |cause| TableError::without_source("write a transaction", "t", cause);
        if fault == Fault::Throttled {
            return Err(failed(TableCause::Throttled).into());
        }
        let result = self.commit_now(&writes);
        turn().await;
        if fault == Fault::LostAnswer && result.is_ok() {
            return Err(CommitError::Unknown(failed(TableCause::Unavailable("cut off".into()))));
        }
        result
    }

    fn fits(&self, _kind: Kind, _key: &str, json: &str) -> bool {
        json.len() < 400 * 1024
    }
}
