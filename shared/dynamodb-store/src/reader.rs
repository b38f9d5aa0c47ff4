//! Reads one environment's flags out of a table: the whole payload in one request, and later only what is new.
//!
//! Where the table has a snapshot, that is read; where somebody else filled it (the Relay Proxy, another SDK), the
//! official layout. There is no timer: whoever reads decides when it is time to look again, as a frozen sandbox has no
//! clock to rely on. What was read once stays, whatever happens to the table.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use flagcache_payload::{Items, Kind};

use crate::snapshot::{Base, Snapshot};
use crate::table::{Chunk, DynamoDbTable, Found, Head, Table, TableError};

/// How often parts that do not fit together are read again; a sync that writes a base is done within moments.
const TRIES: u32 = 5;

/// Why there is nothing to read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The table cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Nobody has filled the table, or this prefix of it.
    #[error("table `{table}` is not filled below {}; run `store` once, or set the prefix it writes to", describe(.prefix))]
    NotFilled {
        /// The table's name.
        table: String,
        /// The prefix that was read.
        prefix: String,
    },
}

fn describe(prefix: &str) -> String {
    if prefix.is_empty() { "no prefix".to_owned() } else { format!("prefix `{prefix}`") }
}

/// One environment's flags and segments as they were read.
#[derive(Debug)]
pub enum Flags {
    /// From the snapshot.
    Snapshot(Snapshot),
    /// From the official layout, whoever filled it.
    Official(OfficialItems),
}

impl Flags {
    /// The generation of the snapshot; a table in the official layout alone has none.
    pub const fn generation(&self) -> Option<u64> {
        match self {
            Self::Snapshot(snapshot) => Some(snapshot.generation()),
            Self::Official(_) => None,
        }
    }
}

impl Items for Flags {
    fn json(&self, kind: Kind, key: &str) -> Option<Cow<'_, str>> {
        match self {
            Self::Snapshot(snapshot) => snapshot.json(kind, key),
            Self::Official(items) => items.of(kind).get(key).map(|json| Cow::Borrowed(&**json)),
        }
    }

    fn keys(&self, kind: Kind) -> Vec<Cow<'_, str>> {
        match self {
            Self::Snapshot(snapshot) => snapshot.keys(kind),
            Self::Official(items) => items.of(kind).keys().map(|key| Cow::Borrowed(&**key)).collect(),
        }
    }
}

/// The items of the official layout, by key.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OfficialItems {
    flags: BTreeMap<Box<str>, Box<str>>,
    segments: BTreeMap<Box<str>, Box<str>>,
}

impl OfficialItems {
    const fn of(&self, kind: Kind) -> &BTreeMap<Box<str>, Box<str>> {
        match kind {
            Kind::Flag => &self.flags,
            Kind::Segment => &self.segments,
        }
    }

    fn add(&mut self, found: Found<'_>) {
        // An item without JSON is nobody's flag.
        if let Some(json) = found.json {
            let items = match found.kind {
                Kind::Flag => &mut self.flags,
                Kind::Segment => &mut self.segments,
            };
            items.insert(found.key.into(), json.into());
        }
    }
}

/// Whether a look at the table brought anything new.
#[derive(Debug, Clone)]
pub enum Refreshed {
    /// All is as it was.
    Unchanged,
    /// These are the flags now.
    Changed(Arc<Flags>),
}

/// The reading side of a table. Nothing here writes.
#[derive(Debug)]
pub struct SnapshotReader {
    table: DynamoDbTable,
    prefix: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    flags: Option<Arc<Flags>>,
    /// The head and base that the flags were made of.
    read: Option<(Head, Arc<Base>)>,
}

impl SnapshotReader {
    /// Reads the part of a table that lies below a prefix (none: empty). Nothing is asked for yet.
    pub fn new(client: aws_sdk_dynamodb::Client, table: &str, prefix: &str) -> Self {
        let table = DynamoDbTable::new(client, table, prefix);
        Self { table, prefix: prefix.to_owned(), state: Mutex::default() }
    }

    /// What was read last.
    pub fn current(&self) -> Option<Arc<Flags>> {
        self.lock().flags.clone()
    }

    /// Looks at the table: the first time for everything, in one request where the snapshot is of one chunk; then for
    /// what is new, in one small request.
    ///
    /// # Errors
    /// Where the table cannot be read or is not filled; [`current`](Self::current) stays as it was.
    pub async fn refresh(&self) -> Result<Refreshed, ReadError> {
        let known = self.lock().read.clone();
        let (mut head, mut first) = match &known {
            Some(_) => (self.table.recent_head().await?, None),
            None => self.table.head_and_first_chunk(false).await?,
        };
        for _ in 0..TRIES {
            let Some(current) = head.take().filter(|head| head.base.is_some()) else { break };
            if let Some((before, base)) = &known {
                if !is_news(before, &current) {
                    return Ok(Refreshed::Unchanged);
                }
                if before.lineage == current.lineage && before.base == current.base {
                    return Ok(self.keep(current, Arc::clone(base)));
                }
            }
            if let Some(base) = self.base(&current, first.take()).await? {
                return Ok(self.keep(current, Arc::new(base)));
            }
            (head, first) = self.table.head_and_first_chunk(true).await?;
        }
        self.refresh_from_official_layout(known.is_some()).await
    }

    /// The base that a head names; nothing where the table does not (or no longer) hold it.
    async fn base(&self, head: &Head, first: Option<Chunk>) -> Result<Option<Base>, ReadError> {
        let Some(pointer) = head.base else { return Ok(None) };
        let first = first.filter(|_| pointer.slot == 0 && pointer.chunks > 0);
        let from = u64::from(first.is_some());
        let rest = self.table.chunks(pointer.slot, from..pointer.chunks).await?;
        let chunks: Vec<_> = first.into_iter().chain(rest).collect();
        Ok(pointer.join(chunks).and_then(|bytes| Base::decode(bytes).ok()))
    }

    async fn refresh_from_official_layout(&self, had_snapshot: bool) -> Result<Refreshed, ReadError> {
        if !self.table.inited().await? {
            return Err(ReadError::NotFilled { table: self.table.name().to_owned(), prefix: self.prefix.clone() });
        }
        let mut items = OfficialItems::default();
        for kind in Kind::ALL {
            self.table.items(kind, &mut |found| items.add(found)).await?;
        }
        let mut state = self.lock();
        let same = !had_snapshot && matches!(state.flags.as_deref(), Some(Flags::Official(before)) if *before == items);
        if same {
            return Ok(Refreshed::Unchanged);
        }
        let flags = Arc::new(Flags::Official(items));
        *state = State { flags: Some(Arc::clone(&flags)), read: None };
        Ok(Refreshed::Changed(flags))
    }

    fn keep(&self, head: Head, base: Arc<Base>) -> Refreshed {
        let snapshot = Snapshot::new(head.generation, Arc::clone(&base), head.delta.clone());
        let flags = Arc::new(Flags::Snapshot(snapshot));
        *self.lock() = State { flags: Some(Arc::clone(&flags)), read: Some((head, base)) };
        Refreshed::Changed(flags)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a head tells anything new. An eventually consistent read may be older than what is known: that is no news.
fn is_news(before: &Head, now: &Head) -> bool {
    now.lineage != before.lineage || now.generation > before.generation
}
