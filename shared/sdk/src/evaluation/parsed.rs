//! Items as they stand at one moment, with what was decoded of them so far.
//!
//! One [`Parsed`] is what one evaluation sees from its first lookup to its last, whatever is swapped in meanwhile.
//! Items are decoded when first asked for; keys that do not exist leave no trace, so that nobody can fill the memory by
//! asking for them.

use std::collections::{HashMap, HashSet};
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use flagcache_payload::{Items, Kind};
use launchdarkly_server_sdk_evaluation::{Flag, Segment};

use super::decode;

/// What a lookup finds.
#[derive(Debug)]
pub(super) enum Entry<T> {
    /// A decoded item.
    Whole(Arc<T>),
    /// JSON that no item can be made of. Logged when it was met.
    Broken,
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Whole(item) => Self::Whole(Arc::clone(item)),
            Self::Broken => Self::Broken,
        }
    }
}

/// So few flags are decoded before a thread has started.
const WORTH_A_THREAD: usize = 100;

/// More processors than this are left to others.
const MOST_THREADS: usize = 4;

type Cache<T> = Mutex<HashMap<Box<str>, Entry<T>>>;

/// Items, and what was decoded of them.
pub(super) struct Parsed {
    items: Arc<dyn Items>,
    flags: Cache<Flag>,
    segments: Cache<Members>,
}

/// A segment without its lists of keys, which are kept beside it, sorted.
///
/// The engine takes segments by value: with the lists inside, every use of a segment of 10,000 keys would copy 10,000
/// strings.
#[derive(Debug)]
pub(super) struct Members {
    frame: Segment,
    included: Vec<String>,
    excluded: Vec<String>,
}

impl Members {
    fn new(mut segment: Segment) -> Self {
        let mut included = std::mem::take(&mut segment.included);
        let mut excluded = std::mem::take(&mut segment.excluded);
        included.sort_unstable();
        excluded.sort_unstable();
        Self { frame: segment, included, excluded }
    }

    /// The segment as far as it concerns a context with this key of kind `user`: no other entry of the two lists can
    /// match it.
    pub(super) fn for_user(&self, key: Option<&str>) -> Segment {
        let mut segment = self.frame.clone();
        if let Some(key) = key {
            segment.included.extend(find(&self.included, key));
            segment.excluded.extend(find(&self.excluded, key));
        }
        segment
    }
}

fn find(sorted: &[String], key: &str) -> Option<String> {
    sorted.binary_search_by(|entry| entry.as_str().cmp(key)).is_ok().then(|| key.to_owned())
}

impl Parsed {
    pub(super) fn new(items: Arc<dyn Items>) -> Self {
        Self { items, flags: Mutex::default(), segments: Mutex::default() }
    }

    /// The same for other items; what was decoded of JSON that is the same in both is kept.
    pub(super) fn succeeded_by(&self, items: Arc<dyn Items>) -> Self {
        let flags = self.kept(&self.flags, Kind::Flag, &*items);
        let segments = self.kept(&self.segments, Kind::Segment, &*items);
        Self { items, flags, segments }
    }

    fn kept<T>(&self, cache: &Cache<T>, kind: Kind, items: &dyn Items) -> Cache<T> {
        let cache = locked(cache);
        let same = cache.iter().filter(|(key, _)| items.json(kind, key) == self.items.json(kind, key));
        Mutex::new(same.map(|(key, entry)| (key.clone(), entry.clone())).collect())
    }

    pub(super) fn items(&self) -> &Arc<dyn Items> {
        &self.items
    }

    pub(super) fn flag(&self, key: &str) -> Option<Entry<Flag>> {
        self.look_up(&self.flags, Kind::Flag, key, decode::flag)
    }

    pub(super) fn segment(&self, key: &str) -> Option<Entry<Members>> {
        self.look_up(&self.segments, Kind::Segment, key, |json| {
            decode::segment(json).map(|segment| segment.map(Members::new))
        })
    }

    /// Decodes those of the flags that were not decoded yet, on several processors where there are many: it is what the
    /// first answer of all flags takes longest for.
    pub(super) fn decode_flags<K: AsRef<str> + Sync>(&self, keys: &[K]) {
        let known: HashSet<Box<str>> = locked(&self.flags).keys().cloned().collect();
        let new: Vec<&str> = keys.iter().map(AsRef::as_ref).filter(|key| !known.contains(*key)).collect();
        if new.len() < WORTH_A_THREAD {
            return;
        }
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS);
        // Neighbours lie in the same block of the table's snapshot, which is opened once.
        let mut shares = new.chunks(new.len().div_ceil(threads));
        let decode = |share: &[&str]| share.iter().for_each(|key| drop(self.flag(key)));
        let own = shares.next().unwrap_or_default();
        thread::scope(|scope| {
            for share in shares {
                // Where no thread can be had, its flags are decoded when they are evaluated.
                drop(thread::Builder::new().spawn_scoped(scope, move || decode(share)));
            }
            decode(own);
        });
    }

    fn look_up<T>(
        &self,
        cache: &Cache<T>,
        kind: Kind,
        key: &str,
        decode: impl Fn(&str) -> Result<Option<T>, serde_json::Error>,
    ) -> Option<Entry<T>> {
        if let Some(entry) = locked(cache).get(key) {
            return Some(entry.clone());
        }
        let entry = match decode(&self.items.json(kind, key)?) {
            Ok(item) => Entry::Whole(Arc::new(item?)),
            Err(error) => {
                tracing::warn!(key, %error, "{kind} cannot be decoded; evaluations that need it are errors");
                Entry::Broken
            }
        };
        locked(cache).insert(key.into(), entry.clone());
        Some(entry)
    }

    #[cfg(test)]
    pub(super) fn decoded(&self) -> (usize, usize) {
        (locked(&self.flags).len(), locked(&self.segments).len())
    }
}

/// Nothing that holds the lock can panic half way through a change, so a poisoned map is as good as any.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
