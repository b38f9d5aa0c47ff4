//! Analytics events of a server that evaluates without pause, made and sent by the SDK's client.
//!
//! [`Recorder::record`] only takes note; a thread of its own has the client evaluate what was noted once more, over the
//! very items that were evaluated, which makes the client's events. Two things of the client need care. It drops what
//! comes in faster than it takes it in, so after every `BATCH` evaluations there is a flush, and a wait until it has
//! begun to send. And it decodes flags anew unless it may remember them: it may, for `REMEMBERED`, and where the items
//! change nothing is handed to it until it has forgotten. All of this has less claim to the processor than requests.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use launchdarkly_server_sdk::{
    AllData, Client, Context, DataKind, FlagValue, PersistentDataStore, PersistentDataStoreFactory,
    PersistentStoreError, SerializedItem,
};

use crate::config::{self, ConfigError, Endpoints, SdkKey};
use crate::evaluation::Evaluator;
use crate::events::Current;
use crate::routes::Evaluated;
use crate::sending::Flushes;

/// How many evaluations that differ from the one before wait to be worked off at most; more are dropped, and counted.
const MOST_NOTED: usize = 10_000;

/// How many evaluations are handed to the client before a flush.
const BATCH: usize = 1_000;

/// What the client takes in: a batch, with room for the events of prerequisites and of new contexts.
const CAPACITY: usize = 4 * BATCH;

/// How many flushes may wait for LaunchDarkly's answer at once.
const MOST_FLUSHES: usize = 8;

/// The threads that a recorder cannot do without: its own, one for flushes, and the SDK's, of which one takes events in
/// and five send them (`launchdarkly-server-sdk` 3.2, `dispatcher.rs`).
pub const THREADS: usize = 1 + 1 + 1 + 5;

/// How far threads that deliver events stand back for those that answer requests, as `nice` does it.
const NICENESS: i32 = 10;

/// How long evaluations gather before they are worked off: long enough to do it in one go, and short enough not to keep
/// a processor from requests for long.
const GATHERING: Duration = Duration::from_millis(20);

/// How long the client remembers a decoded flag.
const REMEMBERED: Duration = Duration::from_millis(200);

/// How long a flush may take. The SDK tries twice, with a second and two timeouts in between.
const FLUSH: Duration = Duration::from_secs(15);

/// An evaluation that LaunchDarkly should hear of.
#[derive(Debug, Clone)]
pub struct Note {
    /// For whom.
    pub context: Arc<Context>,
    /// Of which flag.
    pub flag: Arc<str>,
    /// The caller's default.
    pub default: FlagValue,
    /// Whether the reason was asked for.
    pub with_reason: bool,
}

impl From<Evaluated> for Note {
    fn from(evaluated: Evaluated) -> Self {
        let Evaluated { context, flag, default, with_reason } = evaluated;
        let default = default.map_or(FlagValue::Json(serde_json::Value::Null), FlagValue::from);
        Self { context: Arc::new(context), flag: flag.into(), default, with_reason }
    }
}

/// How many evaluations there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Noted, and handed to the SDK's client sooner or later.
    pub noted: u64,
    /// Not noted, because too many were waiting.
    pub dropped: u64,
}

/// Takes note of evaluations. What was not worked off when the process ends is lost unless [`Recorder::close`] is called.
pub struct Recorder {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    notes: Vec<Noted>,
    counts: Counts,
    is_closed: bool,
    is_over: bool,
    is_idle: bool,
}

/// Evaluations in a row that do not differ.
struct Noted {
    evaluator: Arc<Evaluator>,
    note: Note,
    count: usize,
}

impl Noted {
    /// Whether it is the same once more, as far as pointers tell: that is what a hot path asks for.
    fn is_like(&self, evaluator: &Arc<Evaluator>, note: &Note) -> bool {
        Arc::ptr_eq(&self.evaluator, evaluator)
            && Arc::ptr_eq(&self.note.context, &note.context)
            && Arc::ptr_eq(&self.note.flag, &note.flag)
            && self.note.with_reason == note.with_reason
            && self.note.default == note.default
    }
}

impl Recorder {
    /// Starts the thread, which builds the client; evaluations are taken note of meanwhile. The runtime, which must have a
    /// timer and outlive the recorder, is where flushes are waited for.
    pub fn start(
        key: &SdkKey,
        endpoints: &Endpoints,
        evaluator: &Arc<Evaluator>,
        runtime: tokio::runtime::Handle,
    ) -> Result<Self, ConfigError> {
        let items = Arc::new(RwLock::new(Arc::clone(evaluator)));
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new() });
        let (of_worker, key, endpoints) = (Arc::clone(&shared), key.clone(), endpoints.clone());
        let thread = std::thread::Builder::new().name("flag-events".to_owned()).spawn(move || {
            stand_back();
            let flushes = Flushes::default();
            let store = Arc::new(Pinned(Arc::clone(&items)));
            let client = config::recording(&key, &endpoints, store, REMEMBERED, CAPACITY, &flushes)
                .and_then(|config| Client::build(config).map_err(|error| ConfigError::Refused(error.to_string())));
            match client {
                Ok(client) => {
                    Worker { shared: of_worker, client: Arc::new(client), items, runtime, flushes, unflushed: 0 }.run();
                }
                Err(error) => {
                    tracing::error!(%error, "no events are sent");
                    of_worker.end();
                }
            }
        });
        let thread = thread.map_err(|error| ConfigError::Refused(error.to_string()))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Takes note of an evaluation over this evaluator's items.
    pub fn record(&self, evaluator: &Arc<Evaluator>, note: Note) {
        let mut queue = self.shared.queue();
        if let Some(last) = queue.notes.last_mut().filter(|last| last.is_like(evaluator, &note)) {
            last.count += 1;
            queue.counts.noted += 1;
            return;
        }
        if queue.is_over {
            queue.counts.dropped += 1;
            return;
        }
        if queue.notes.len() >= MOST_NOTED {
            if queue.counts.dropped == 0 {
                tracing::warn!("evaluations come faster than their events can be sent; some events are dropped");
            }
            queue.counts.dropped += 1;
            return;
        }
        queue.counts.noted += 1;
        queue.notes.push(Noted { evaluator: Arc::clone(evaluator), note, count: 1 });
        if queue.is_idle {
            queue.is_idle = false;
            self.shared.changed.notify_all();
        }
    }

    /// How many evaluations there were so far.
    pub fn counts(&self) -> Counts {
        self.shared.queue().counts
    }

    /// Works off what was noted and sends all events. Blocks, for this long at most; whether it was long enough.
    pub fn close(&self, within: Duration) -> bool {
        let end = Instant::now() + within;
        let mut queue = self.shared.queue();
        if queue.is_over {
            return true;
        }
        queue.is_closed = true;
        self.shared.changed.notify_all();
        while !queue.is_over {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            queue = self.shared.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(queue);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.is_none_or(|thread| thread.join().is_ok())
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is sent any more.
    fn end(&self) {
        let mut queue = self.queue();
        queue.is_over = true;
        queue.notes.clear();
        self.changed.notify_all();
    }
}

/// Lowers the priority of this thread, and of those that it starts.
fn stand_back() {
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "events are delivered with the priority of requests");
    }
}

/// The thread's own.
struct Worker {
    shared: Arc<Shared>,
    client: Arc<Client>,
    /// What the client evaluates.
    items: Arc<RwLock<Arc<Evaluator>>>,
    runtime: tokio::runtime::Handle,
    flushes: Flushes,
    unflushed: usize,
}

impl Worker {
    fn run(mut self) {
        loop {
            let (notes, is_closed) = self.wait();
            self.work_off(notes);
            if is_closed && self.shared.queue().notes.is_empty() {
                self.flush();
                self.flushes.wait_for_all();
                self.client.close();
                return self.shared.end();
            }
        }
    }

    /// Waits for evaluations, and a little longer for more of them.
    fn wait(&self) -> (Vec<Noted>, bool) {
        let mut queue = self.shared.queue();
        while queue.notes.is_empty() && !queue.is_closed {
            queue.is_idle = true;
            queue = self.shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let end = Instant::now() + GATHERING;
        while !queue.is_closed && queue.notes.len() < MOST_NOTED / 2 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queue = self.shared.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        (std::mem::take(&mut queue.notes), queue.is_closed)
    }

    /// Evaluations over the items at hand come first; all others are attributed to the newest items, which are the only
    /// others unless flags change more often than every `GATHERING`.
    fn work_off(&mut self, notes: Vec<Noted>) {
        let current = Arc::clone(&self.items.read().unwrap_or_else(PoisonError::into_inner));
        let (now, later): (Vec<_>, Vec<_>) =
            notes.into_iter().partition(|noted| Arc::ptr_eq(&noted.evaluator, &current));
        self.evaluate(&now);
        if let Some(newest) = later.last() {
            *self.items.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&newest.evaluator);
            std::thread::sleep(REMEMBERED + REMEMBERED / 10);
            self.evaluate(&later);
        }
    }

    fn evaluate(&mut self, notes: &[Noted]) {
        for note in notes.iter().flat_map(|noted| std::iter::repeat_n(&noted.note, noted.count)) {
            let Note { context, flag, default, with_reason } = note;
            if *with_reason {
                self.client.variation_detail(context, flag, default.clone());
            } else {
                self.client.variation(context, flag, default.clone());
            }
            self.unflushed += 1;
            if self.unflushed >= BATCH {
                self.flush();
            }
        }
    }

    /// Has the client send what it has, and waits until there is room for the next batch.
    fn flush(&mut self) {
        let client = Arc::clone(&self.client);
        let (flush, before) = self.flushes.begin();
        self.runtime.spawn(async move {
            if !client.flush_blocking(FLUSH).await {
                tracing::warn!("events take longer than {} s to send; some may be lost", FLUSH.as_secs());
            }
            drop(flush);
        });
        self.flushes.wait(&before, MOST_FLUSHES);
        self.unflushed = 0;
    }
}

/// The items of the moment, as the SDK's client reads them.
struct Pinned(Arc<RwLock<Arc<Evaluator>>>);

impl Pinned {
    fn current(&self) -> Current {
        Current(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl PersistentDataStoreFactory for Pinned {
    fn create_persistent_data_store(&self) -> Result<Box<dyn PersistentDataStore>, io::Error> {
        Ok(Box::new(Self(Arc::clone(&self.0))))
    }
}

impl PersistentDataStore for Pinned {
    fn init(&mut self, data: AllData<SerializedItem, SerializedItem>) -> Result<(), PersistentStoreError> {
        self.current().init(data)
    }

    fn flag(&self, key: &str) -> Result<Option<SerializedItem>, PersistentStoreError> {
        self.current().flag(key)
    }

    fn segment(&self, key: &str) -> Result<Option<SerializedItem>, PersistentStoreError> {
        self.current().segment(key)
    }

    fn all_flags(&self) -> Result<HashMap<String, SerializedItem>, PersistentStoreError> {
        self.current().all_flags()
    }

    fn upsert(&mut self, kind: DataKind, key: &str, item: SerializedItem) -> Result<bool, PersistentStoreError> {
        self.current().upsert(kind, key, item)
    }

    fn is_initialized(&self) -> bool {
        true
    }
}
