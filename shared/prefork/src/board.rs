//! What the processes of a group tell each other without a word: counters and heartbeats in shared memory.
//!
//! One row per worker, on cache lines of its own and written by that worker alone (the master clears it), and one for
//! the group. Everybody reads everything, so any worker can answer for the whole group. Nothing is decided by two words
//! together, so relaxed atomics are enough.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::freshness::Freshness;
use crate::sys;

/// The most processes that a group can have at once.
pub const ROWS: usize = 1_024;

const WORDS: usize = 16;

/// A word of a worker's row.
#[derive(Debug, Clone, Copy)]
enum Word {
    Pid,
    Started,
    Heartbeat,
    Ready,
    Requests,
    Connections,
    Updated,
    Dropped,
    Misplaced,
    Sent,
    FreshUntil,
    StreamFailures,
}

/// A word of the group's row.
#[derive(Debug, Clone, Copy)]
enum Group {
    Master,
    Started,
    Helper,
    Requests,
    Respawns,
    Reloads,
    Dropped,
    Sent,
    FreshUntil,
    StreamFailures,
    Workers,
    Connections,
}

/// The whole board. Copies show the same.
#[derive(Debug, Clone, Copy)]
pub struct Board {
    words: &'static [AtomicU64],
    /// Survives the fork, as it is the same clock for all processes of the machine.
    epoch: Instant,
}

/// One worker's row.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    board: Board,
    index: usize,
}

/// What a worker's row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerFacts {
    /// The worker's process.
    pub pid: u32,
    /// Since when, in milliseconds since 1970.
    pub started_ms: u64,
    /// How long it took from the fork until it accepted connections; nothing before that.
    pub ready_after: Option<Duration>,
    /// Requests so far.
    pub requests: u64,
    /// Connections open now.
    pub connections: u64,
    /// When its flags last changed, in milliseconds since 1970; 0 for never.
    pub updated_ms: u64,
    /// Whether something that was built before the fork was used in it.
    pub misplaced: bool,
}

/// What the group's row says, dead workers included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupFacts {
    /// The master's process.
    pub master: u32,
    /// Since when, in milliseconds since 1970.
    pub started_ms: u64,
    /// The helper's process; 0 for none.
    pub helper: u32,
    /// Requests of all workers, dead ones included.
    pub requests: u64,
    /// Workers that died and were replaced.
    pub respawns: u64,
    /// Rolling reloads that were asked for.
    pub reloads: u64,
    /// Evaluations handed to the SDK for its events.
    pub recorded: u64,
    /// Evaluations whose events were dropped for want of room.
    pub dropped: u64,
    /// How often a stream could not be opened or has ended.
    pub stream_failures: u64,
}

impl Board {
    /// An empty board, for this process and those it will fork.
    pub fn new() -> io::Result<Self> {
        let count = const { NonZeroUsize::new((ROWS + 1) * WORDS).unwrap() };
        let board = Self { words: sys::shared_words(count)?, epoch: Instant::now() };
        board.group(Group::Master).store(std::process::id().into(), Ordering::Relaxed);
        board.group(Group::Started).store(now_ms(), Ordering::Relaxed);
        Ok(board)
    }

    /// A worker's row.
    pub fn row(self, index: usize) -> Row {
        Row { board: self, index: index.min(ROWS - 1) }
    }

    /// The workers there are, by their rows.
    pub fn workers(self) -> impl Iterator<Item = WorkerFacts> {
        (0..ROWS).map(move |index| self.row(index).facts()).filter(|facts| facts.pid != 0)
    }

    /// The group as a whole.
    pub fn facts(self) -> GroupFacts {
        let sum = |group: Group, word: Word| {
            let living: u64 = (0..ROWS).map(|index| self.row(index).load(word)).sum();
            self.group(group).load(Ordering::Relaxed) + living
        };
        GroupFacts {
            master: pid(self.group(Group::Master).load(Ordering::Relaxed)),
            started_ms: self.group(Group::Started).load(Ordering::Relaxed),
            helper: pid(self.group(Group::Helper).load(Ordering::Relaxed)),
            requests: sum(Group::Requests, Word::Requests),
            respawns: self.group(Group::Respawns).load(Ordering::Relaxed),
            reloads: self.group(Group::Reloads).load(Ordering::Relaxed),
            recorded: sum(Group::Sent, Word::Sent),
            dropped: sum(Group::Dropped, Word::Dropped),
            stream_failures: sum(Group::StreamFailures, Word::StreamFailures),
        }
    }

    /// How old the flags are where one process follows LaunchDarkly for all.
    pub fn freshness(self) -> Freshness {
        Freshness { until: self.group(Group::FreshUntil), failures: self.group(Group::StreamFailures) }
    }

    pub(crate) fn set_helper(self, pid: u32) {
        self.group(Group::Helper).store(pid.into(), Ordering::Relaxed);
    }

    pub(crate) fn count_respawn(self) {
        self.group(Group::Respawns).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_reload(self) {
        self.group(Group::Reloads).fetch_add(1, Ordering::Relaxed);
    }

    /// Adds what a dead worker counted to the group's row, and clears its own.
    pub(crate) fn retire(self, index: usize) {
        let row = self.row(index);
        for (group, word) in [
            (Group::Requests, Word::Requests),
            (Group::Dropped, Word::Dropped),
            (Group::Sent, Word::Sent),
            (Group::StreamFailures, Word::StreamFailures),
        ] {
            self.group(group).fetch_add(row.load(word), Ordering::Relaxed);
        }
        self.group(Group::Workers).fetch_sub(1, Ordering::Relaxed);
        self.group(Group::Connections).fetch_sub(row.load(Word::Connections), Ordering::Relaxed);
        row.words().iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    fn group(self, word: Group) -> &'static AtomicU64 {
        &self.words[word as usize]
    }

    fn elapsed_ms(self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Row {
    /// Which row it is.
    pub const fn index(self) -> usize {
        self.index
    }

    /// The board it is on.
    pub const fn board(self) -> Board {
        self.board
    }

    /// How old the flags of this worker are where it follows LaunchDarkly itself.
    pub fn freshness(self) -> Freshness {
        Freshness { until: self.word(Word::FreshUntil), failures: self.word(Word::StreamFailures) }
    }

    /// Counts a request.
    pub fn count_request(self) -> u64 {
        self.word(Word::Requests).fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Says when the flags changed.
    pub fn set_updated(self, unix_ms: u64) {
        self.store(Word::Updated, unix_ms);
    }

    /// Says how many evaluations were recorded, and how many of them were dropped.
    pub fn set_recorded(self, recorded: u64, dropped: u64) {
        self.store(Word::Sent, recorded);
        self.store(Word::Dropped, dropped);
    }

    /// Says that something built before the fork was used.
    pub fn set_misplaced(self) {
        self.store(Word::Misplaced, 1);
    }

    /// What the row says.
    pub fn facts(self) -> WorkerFacts {
        let ready = self.load(Word::Ready);
        WorkerFacts {
            pid: pid(self.load(Word::Pid)),
            started_ms: self.load(Word::Started),
            ready_after: (ready > 0).then(|| Duration::from_micros(ready)),
            requests: self.load(Word::Requests),
            connections: self.load(Word::Connections),
            updated_ms: self.load(Word::Updated),
            misplaced: self.load(Word::Misplaced) > 0,
        }
    }

    pub(crate) fn begin(self, pid: u32) {
        self.board.group(Group::Workers).fetch_add(1, Ordering::Relaxed);
        self.store(Word::Started, now_ms());
        self.beat();
        self.store(Word::Pid, pid.into());
    }

    pub(crate) fn set_ready(self, after: Duration) {
        self.store(Word::Ready, u64::try_from(after.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    pub(crate) fn connected(self) {
        self.word(Word::Connections).fetch_add(1, Ordering::Relaxed);
        self.board.group(Group::Connections).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn disconnected(self) {
        self.word(Word::Connections).fetch_sub(1, Ordering::Relaxed);
        self.board.group(Group::Connections).fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether this worker has clearly more connections than the workers have on average.
    pub(crate) fn has_more_than_its_share(self) -> bool {
        let all = self.board.group(Group::Connections).load(Ordering::Relaxed);
        let average = all / self.board.group(Group::Workers).load(Ordering::Relaxed).max(1);
        self.load(Word::Connections) > average + average / 8 + 4
    }

    pub(crate) fn beat(self) {
        self.store(Word::Heartbeat, self.board.elapsed_ms());
    }

    /// Beats from now on, as long as the runtime gets round to it. Needs a tokio runtime.
    pub(crate) fn keep_beating(self, every: Duration) {
        tokio::spawn(async move {
            let mut beats = tokio::time::interval(every);
            loop {
                beats.tick().await;
                self.beat();
            }
        });
    }

    /// How long the process has not been heard of.
    pub(crate) fn silence(self) -> Duration {
        Duration::from_millis(self.board.elapsed_ms().saturating_sub(self.load(Word::Heartbeat)))
    }

    fn words(self) -> &'static [AtomicU64] {
        &self.board.words[(self.index + 1) * WORDS..][..WORDS]
    }

    fn word(self, word: Word) -> &'static AtomicU64 {
        &self.words()[word as usize]
    }

    fn load(self, word: Word) -> u64 {
        self.word(word).load(Ordering::Relaxed)
    }

    fn store(self, word: Word, value: u64) {
        self.word(word).store(value, Ordering::Relaxed);
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn pid(word: u64) -> u32 {
    u32::try_from(word).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_worker_counted_stays_with_the_group() {
        let board = Board::new().unwrap();
        let (first, second) = (board.row(0), board.row(1));
        first.begin(11);
        second.begin(12);
        first.count_request();
        second.count_request();
        second.set_recorded(5, 1);
        board.retire(1);
        assert_eq!(board.workers().map(|worker| worker.pid).collect::<Vec<_>>(), [11]);
        let facts = board.facts();
        assert_eq!((facts.requests, facts.recorded, facts.dropped), (2, 5, 1));
        assert_eq!(facts.master, std::process::id());
    }

    #[test]
    fn a_worker_with_more_connections_than_others_has_more_than_its_share() {
        let board = Board::new().unwrap();
        let (first, second) = (board.row(0), board.row(1));
        first.begin(11);
        second.begin(12);
        (0..9).for_each(|_| first.connected());
        assert!(first.has_more_than_its_share() && !second.has_more_than_its_share());
        (0..5).for_each(|_| second.connected());
        assert!(!first.has_more_than_its_share() && !second.has_more_than_its_share());
        board.retire(0);
        (0..100).for_each(|_| second.connected());
        assert!(!second.has_more_than_its_share(), "the only one never has");
    }

    #[test]
    fn a_beat_ends_the_silence() {
        let row = Board::new().unwrap().row(3);
        row.begin(1);
        assert!(row.silence() < Duration::from_secs(5));
        assert_eq!(row.facts().ready_after, None);
        row.set_ready(Duration::from_millis(2));
        assert_eq!(row.facts().ready_after, Some(Duration::from_millis(2)));
    }
}
