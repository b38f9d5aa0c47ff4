//! Notices when the SDK begins to send a batch of events: its transport, wrapped.
//!
//! The SDK drops what comes in faster than it takes it in, and the only thing it tells is that a flush was answered. But
//! before it sends a batch it takes in all that came before the flush, so the request itself says that there is room
//! again, without waiting for the answer.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use launchdarkly_sdk_transport::{HeaderValue, HttpTransport, Request, ResponseFuture};

/// Names the batch that a request holds; the SDK's second attempt has the same.
const BATCH_ID: &str = "x-launchdarkly-payload-id";

/// How many batches are remembered, so that their second attempts are not taken for others.
const REMEMBERED: usize = 32;

/// Flushes of one client: those that were asked for, those of which the batch is on its way, those that are over.
#[derive(Clone, Default)]
pub(crate) struct Flushes(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    asked: usize,
    over: usize,
    sent: u64,
    is_failing: bool,
    batches: VecDeque<HeaderValue>,
}

impl Flushes {
    /// Takes note of a flush that is going to be asked for, and how things stand before it. It is over when its
    /// [`Flush`] is dropped.
    pub(crate) fn begin(&self) -> (Flush, Before) {
        let mut state = self.state();
        state.asked += 1;
        (Flush(self.clone()), Before { sent: state.sent, over: state.over })
    }

    /// Waits until the SDK has taken in what came before the flush, and until no more than `most` flushes are under way.
    /// Where sending fails, all have to be over: what is not handed to the SDK yet cannot be lost by it.
    pub(crate) fn wait(&self, before: &Before, most: usize) {
        self.wait_while(|state| {
            let is_in = state.sent > before.sent || state.over > before.over;
            !is_in || state.asked - state.over > if state.is_failing { 0 } else { most }
        });
    }

    /// Waits for all flushes to be over.
    pub(crate) fn wait_for_all(&self) {
        self.wait_while(|state| state.over < state.asked);
    }

    fn wait_while(&self, mut is_so: impl FnMut(&State) -> bool) {
        let waited = self.0.changed.wait_while(self.state(), |state| is_so(state));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn sending(&self, batch: Option<&HeaderValue>) {
        let mut state = self.state();
        if let Some(batch) = batch {
            if state.batches.contains(batch) {
                return;
            }
            state.batches.truncate(REMEMBERED - 1);
            state.batches.push_front(batch.clone());
        }
        state.sent += 1;
        self.0.changed.notify_all();
    }

    fn answered(&self, is_success: bool) {
        self.state().is_failing = !is_success;
        self.0.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A flush that was neither answered yet nor had nothing to send.
pub(crate) struct Flush(Flushes);

impl Drop for Flush {
    fn drop(&mut self) {
        self.0.state().over += 1;
        self.0.0.changed.notify_all();
    }
}

/// How things stood when a flush was asked for.
pub(crate) struct Before {
    sent: u64,
    over: usize,
}

/// A transport for events that tells what it begins to send.
#[derive(Clone)]
pub(crate) struct Told<T> {
    transport: T,
    flushes: Flushes,
}

impl<T> Told<T> {
    pub(crate) const fn new(transport: T, flushes: Flushes) -> Self {
        Self { transport, flushes }
    }
}

impl<T: HttpTransport> HttpTransport for Told<T> {
    fn request(&self, request: Request<Option<Bytes>>) -> ResponseFuture {
        self.flushes.sending(request.headers().get(BATCH_ID));
        let (answer, flushes) = (self.transport.request(request), self.flushes.clone());
        Box::pin(async move {
            let answer = answer.await;
            flushes.answered(answer.as_ref().is_ok_and(|answer| answer.status().is_success()));
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_on_its_way_ends_the_wait_and_its_second_attempt_counts_for_nothing() {
        let flushes = Flushes::default();
        let batch = HeaderValue::from_static("a");
        let (_flush, before) = flushes.begin();
        flushes.sending(Some(&batch));
        flushes.wait(&before, 1);
        let (_next_flush, next) = flushes.begin();
        flushes.sending(Some(&batch));
        assert_eq!(flushes.state().sent, next.sent);
        flushes.sending(Some(&HeaderValue::from_static("b")));
        flushes.wait(&next, 2);
    }

    #[test]
    fn where_sending_fails_every_flush_is_waited_for() {
        let flushes = Flushes::default();
        let (flush, before) = flushes.begin();
        flushes.sending(None);
        flushes.answered(false);
        let waiting = std::thread::spawn({
            let flushes = flushes.clone();
            move || flushes.wait(&before, 8)
        });
        assert!(!waiting.is_finished());
        drop(flush);
        waiting.join().unwrap();
    }

    #[test]
    fn a_flush_that_is_over_ends_the_wait_and_too_many_under_way_prolong_it() {
        let flushes = Flushes::default();
        let ((first, before_first), (second, before_second)) = (flushes.begin(), flushes.begin());
        flushes.sending(None);
        let waiting = std::thread::spawn({
            let flushes = flushes.clone();
            move || flushes.wait(&before_first, 1)
        });
        drop(first);
        waiting.join().unwrap();
        flushes.wait(&before_second, 1);
        drop(second);
        flushes.wait_for_all();
    }
}
