//! Turns at a processor: who has answered requests for a while lets others run before it looks for more.
//!
//! A thread that always finds another request never sleeps, and a kernel that changes threads only at its tick keeps
//! whoever shares the processor waiting for milliseconds: the other workers, and the proxy or client on the same machine
//! that is to read the answers. Giving way between two batches of requests costs half a microsecond where nobody waits.

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

/// How long a turn is: many times what changing threads costs, and far below a tick.
const TURN: Duration = Duration::from_micros(300);

/// Requests that come sooner were there already: nobody else has run meanwhile.
const PAUSE: Duration = Duration::from_micros(20);

thread_local! {
    static TAKEN: Cell<Option<Turn>> = const { Cell::new(None) };
}

/// What a thread knows of its turn.
#[derive(Debug, Clone, Copy)]
struct Turn {
    began: Instant,
    waiting_since: Instant,
}

/// Has the runtime's threads take turns.
pub(crate) fn take(builder: &mut Builder) -> &mut Builder {
    builder.on_thread_park(before_waiting).on_thread_unpark(after_waiting)
}

fn before_waiting() {
    let mut now = Instant::now();
    let mut turn = TAKEN.get().unwrap_or(Turn { began: now, waiting_since: now });
    if turn.is_over(now) {
        thread::yield_now();
        now = Instant::now();
        turn.began = now;
    }
    turn.waiting_since = now;
    TAKEN.set(Some(turn));
}

fn after_waiting() {
    TAKEN.set(TAKEN.get().map(|turn| turn.resumed(Instant::now())));
}

impl Turn {
    fn is_over(self, now: Instant) -> bool {
        now.duration_since(self.began) >= TURN
    }

    /// A new turn where there was a pause.
    fn resumed(self, now: Instant) -> Self {
        let is_rested = now.duration_since(self.waiting_since) >= PAUSE;
        Self { began: if is_rested { now } else { self.began }, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_over_after_its_time_unless_there_was_a_pause() {
        let began = Instant::now();
        let (before, after) = (began + TURN / 2, began + TURN);
        let turn = Turn { began, waiting_since: before };
        assert!(!turn.is_over(before) && turn.is_over(after));
        assert!(turn.resumed(before + PAUSE / 2).is_over(after));
        assert!(!turn.resumed(before + PAUSE).is_over(after));
    }

    #[test]
    fn a_thread_that_waits_has_a_turn() {
        before_waiting();
        after_waiting();
        assert!(TAKEN.get().is_some());
    }
}
