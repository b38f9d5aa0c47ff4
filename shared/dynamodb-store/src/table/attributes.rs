//! Heads, chunks and items as DynamoDB attributes, and back.
//!
//! Reading is strict for what is ours (an item that cannot be understood is an error, and the sync writes it anew) and
//! lenient for the official layout, which anybody may have written.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flagcache_payload::Kind;

use super::conditions::NONCE;
use super::{BasePointer, Chunk, Found, FoundVersion, Head, Lease, Nonce, Override, Totals};
use crate::layout::{HEAD, ITEM, KEY, Layout, NAMESPACE, VERSION, chunk_key};
use crate::snapshot::Delta;

pub(super) type Attributes = HashMap<String, AttributeValue>;

/// The format of head, base and delta; a reader that meets another one leaves them alone.
const FORMAT: u64 = 1;

const FORMAT_ATTRIBUTE: &str = "format";
const GENERATION: &str = "generation";
const LINEAGE: &str = "lineage";
const ETAG: &str = "etag";
const SYNCED_AT: &str = "syncedAtMs";
const HEARD_BY: &str = "heardByMs";
const FLAGS: &str = "flags";
const SEGMENTS: &str = "segments";
const TOO_LARGE: &str = "tooLarge";
const BASE_GENERATION: &str = "baseGeneration";
const BASE_SLOT: &str = "baseSlot";
const BASE_CHUNKS: &str = "baseChunks";
const BASE_BYTES: &str = "baseBytes";
const BASE_CHECKSUM: &str = "baseChecksum";
const DELTA: &str = "delta";
const LEASE: &str = "leaseExpiresAtMs";
const OVERRIDES: &str = "overrides";
const OVERRIDES_ONTO: &str = "onto";
const DOOMED: &str = "leaseTombstones";
const BYTES: &str = "bytes";

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// The primary key of an item.
pub(super) fn key(namespace: &str, key: &str) -> Attributes {
    HashMap::from([(NAMESPACE.to_owned(), text(namespace)), (KEY.to_owned(), text(key))])
}

pub(super) fn item(namespace: &str, item_key: &str, version: u64, json: String) -> Attributes {
    let mut attributes = key(namespace, item_key);
    attributes.insert(VERSION.to_owned(), number(version));
    attributes.insert(ITEM.to_owned(), AttributeValue::S(json));
    attributes
}

pub(super) fn found(kind: Kind, attributes: &Attributes) -> Option<Found<'_>> {
    let key = attributes.get(KEY)?.as_s().ok()?;
    let version = match attributes.get(VERSION) {
        None => FoundVersion::Missing,
        Some(AttributeValue::N(version)) => version.parse().map_or(FoundVersion::Malformed, FoundVersion::Version),
        Some(_) => FoundVersion::Malformed,
    };
    let json = attributes.get(ITEM).and_then(|json| json.as_s().ok()).map(String::as_str);
    Some(Found { kind, key, version, json })
}

pub(super) fn chunk(layout: &Layout, slot: u64, chunk: Chunk) -> Attributes {
    let mut attributes = key(&layout.ours(), &chunk_key(slot, chunk.number));
    attributes.insert(GENERATION.to_owned(), number(chunk.generation));
    attributes.insert(BYTES.to_owned(), AttributeValue::B(Blob::new(chunk.bytes)));
    attributes
}

pub(super) fn read_chunk(slot: u64, mut attributes: Attributes) -> Option<Chunk> {
    let prefix = chunk_key(slot, 0);
    let prefix = prefix.strip_suffix('0')?;
    let chunk_number = attributes.get(KEY)?.as_s().ok()?.strip_prefix(prefix)?.parse().ok()?;
    let generation = field(&attributes, GENERATION).ok()?;
    let Some(AttributeValue::B(bytes)) = attributes.remove(BYTES) else { return None };
    Some(Chunk { number: chunk_number, generation, bytes: bytes.into_inner().into() })
}

pub(super) fn head(layout: &Layout, head: &Head) -> Attributes {
    let mut attributes = key(&layout.ours(), HEAD);
    let mut put = |name: &str, value| attributes.insert(name.to_owned(), value);
    put(FORMAT_ATTRIBUTE, number(FORMAT));
    put(GENERATION, number(head.generation));
    put(LINEAGE, number(head.lineage));
    put(NONCE, number(head.nonce));
    put(SYNCED_AT, number(head.synced_at_ms));
    put(HEARD_BY, number(head.heard_by_ms));
    put(FLAGS, number(head.totals.flags));
    put(SEGMENTS, number(head.totals.segments));
    if let Some(etag) = &head.etag {
        put(ETAG, text(etag));
    }
    if !head.too_large.is_empty() {
        put(TOO_LARGE, AttributeValue::L(head.too_large.iter().map(text).collect()));
    }
    if let Some(base) = head.base {
        put(BASE_GENERATION, number(base.generation));
        put(BASE_SLOT, number(base.slot));
        put(BASE_CHUNKS, number(base.chunks));
        put(BASE_BYTES, number(base.bytes));
        put(BASE_CHECKSUM, number(base.checksum.into()));
    }
    if !head.delta.is_empty() {
        put(DELTA, AttributeValue::B(Blob::new(head.delta.encode())));
    }
    if let Some(lease) = head.lease {
        put(LEASE, number(lease.expires_at_ms));
    }
    if !head.overrides.is_empty() {
        put(
            OVERRIDES,
            AttributeValue::M(head.overrides.iter().map(|(key, mark)| (key.clone(), marked(*mark))).collect()),
        );
    }
    if !head.doomed.is_empty() {
        put(DOOMED, AttributeValue::B(Blob::new(head.doomed.encode())));
    }
    attributes
}

/// Why a head cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Somebody broke it.
    Broken(String),
    /// A newer program wrote it.
    Newer(String),
}

pub(super) fn read_head(attributes: &Attributes) -> Result<Head, Unreadable> {
    match optional::<u64>(attributes, FORMAT_ATTRIBUTE) {
        Ok(Some(format)) if format > FORMAT => {
            Err(Unreadable::Newer(format!("its format is {format}, and this program knows {FORMAT}: update it")))
        }
        _ => read_known_head(attributes).map_err(Unreadable::Broken),
    }
}

fn read_known_head(attributes: &Attributes) -> Result<Head, String> {
    let _: u64 = field(attributes, FORMAT_ATTRIBUTE)?;
    let base = match optional(attributes, BASE_GENERATION)? {
        None => None,
        Some(generation) => Some(base_pointer(attributes, generation)?),
    };
    Ok(Head {
        generation: field(attributes, GENERATION)?,
        lineage: field(attributes, LINEAGE)?,
        nonce: field(attributes, NONCE)?,
        etag: attributes.get(ETAG).and_then(|etag| etag.as_s().ok()).cloned(),
        synced_at_ms: field(attributes, SYNCED_AT)?,
        // A head without it is of unknown age, and no deletion named is certain to have come after it.
        heard_by_ms: optional(attributes, HEARD_BY)?.unwrap_or(u64::MAX),
        totals: Totals { flags: field(attributes, FLAGS)?, segments: field(attributes, SEGMENTS)? },
        too_large: strings(attributes.get(TOO_LARGE)),
        base,
        delta: delta(attributes, DELTA)?,
        lease: optional(attributes, LEASE)?.map(|expires_at_ms| Lease { expires_at_ms }),
        doomed: delta(attributes, DOOMED)?,
        overrides: overrides(attributes.get(OVERRIDES))?,
    })
}

fn marked(mark: Override) -> AttributeValue {
    let fields = [(OVERRIDES_ONTO, mark.onto), (VERSION, mark.version)];
    AttributeValue::M(fields.map(|(name, value)| (name.to_owned(), number(value))).into())
}

fn overrides(marks: Option<&AttributeValue>) -> Result<BTreeMap<String, Override>, String> {
    let Some(marks) = marks else { return Ok(BTreeMap::new()) };
    let broken = || format!("its `{OVERRIDES}` is not a map of maps");
    let read = |(key, mark): (&String, &AttributeValue)| {
        let mark = mark.as_m().map_err(|_| broken())?;
        Ok((key.clone(), Override { onto: field(mark, OVERRIDES_ONTO)?, version: field(mark, VERSION)? }))
    };
    marks.as_m().map_err(|_| broken())?.iter().map(read).collect()
}

fn delta(attributes: &Attributes, name: &str) -> Result<Delta, String> {
    match attributes.get(name) {
        None => Ok(Delta::default()),
        Some(AttributeValue::B(bytes)) => Delta::decode(bytes.as_ref()).map_err(|error| error.to_string()),
        Some(_) => Err(format!("its `{name}` is not binary")),
    }
}

fn base_pointer(attributes: &Attributes, generation: u64) -> Result<BasePointer, String> {
    let pointer = BasePointer {
        generation,
        slot: field(attributes, BASE_SLOT)?,
        chunks: field(attributes, BASE_CHUNKS)?,
        bytes: field(attributes, BASE_BYTES)?,
        checksum: field(attributes, BASE_CHECKSUM)?,
    };
    if pointer.is_plausible() {
        Ok(pointer)
    } else {
        Err(format!("its base of {} bytes cannot lie in {} chunks", pointer.bytes, pointer.chunks))
    }
}

/// The nonce of a head, readable or not: it is what a new head must follow.
pub(super) fn read_nonce(attributes: &Attributes) -> Option<Nonce> {
    attributes.get(NONCE).and_then(|nonce| nonce.as_n().ok()).cloned().map(Nonce)
}

fn strings(list: Option<&AttributeValue>) -> Vec<String> {
    let list = list.and_then(|list| list.as_l().ok()).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|text| text.as_s().ok()).cloned().collect()
}

fn field<T: FromStr>(attributes: &Attributes, name: &str) -> Result<T, String> {
    optional(attributes, name)?.ok_or_else(|| format!("it has no `{name}`"))
}

fn optional<T: FromStr>(attributes: &Attributes, name: &str) -> Result<Option<T>, String> {
    match attributes.get(name) {
        None => Ok(None),
        Some(AttributeValue::N(text)) => {
            text.parse().map(Some).map_err(|_| format!("its `{name}` is {text}, not a whole number"))
        }
        Some(_) => Err(format!("its `{name}` is not a number")),
    }
}

#[cfg(test)]
mod tests {
    use flagcache_payload::{Item, ItemId};

    use super::*;
    use crate::snapshot::Tombstone;

    fn sample() -> Head {
        let mut delta = Delta::default();
        delta.put(Item { kind: Kind::Flag, key: "f", version: 3, json: "{}" });
        delta.delete(ItemId::new(Kind::Flag, "gone"), Tombstone { version: 2, deleted_at_ms: 5 });
        let mut doomed = Delta::default();
        doomed.bury(&delta);
        Head {
            generation: 42,
            lineage: u64::MAX,
            nonce: 7,
            etag: Some("\"e\"".into()),
            synced_at_ms: 1_700_000_000_000,
            heard_by_ms: 1_700_000_000_250,
            totals: Totals { flags: 3, segments: 1 },
            too_large: vec!["big".into()],
            base: Some(BasePointer { generation: 40, slot: 1, chunks: 2, bytes: 400_000, checksum: 9 }),
            doomed,
            delta,
            lease: Some(Lease { expires_at_ms: 9 }),
            overrides: BTreeMap::from([("f".to_owned(), Override { onto: 2, version: 3 })]),
        }
    }

    #[test]
    fn a_head_that_is_written_is_read() {
        let bare = Head {
            etag: None,
            too_large: Vec::new(),
            base: None,
            delta: Delta::default(),
            doomed: Delta::default(),
            lease: None,
            overrides: BTreeMap::new(),
            ..sample()
        };
        for expected in [sample(), bare] {
            assert_eq!(read_head(&head(&Layout::new("p"), &expected)), Ok(expected));
        }
    }

    #[test]
    fn a_head_that_somebody_broke_says_what_is_wrong() {
        let whole = || head(&Layout::new(""), &sample());
        let broken = |name: &str, value: Option<AttributeValue>| {
            let mut attributes = whole();
            attributes.remove(name);
            attributes.extend(value.map(|value| (name.to_owned(), value)));
            let (Unreadable::Broken(reason) | Unreadable::Newer(reason)) = read_head(&attributes).unwrap_err();
            reason
        };
        assert_eq!(broken("generation", None), "it has no `generation`");
        assert_eq!(broken("nonce", Some(text("x"))), "its `nonce` is not a number");
        assert_eq!(broken("format", Some(number(2))), "its format is 2, and this program knows 1: update it");
        assert_eq!(
            broken("baseSlot", Some(AttributeValue::N("-1".into()))),
            "its `baseSlot` is -1, not a whole number"
        );
        assert_eq!(broken("delta", Some(AttributeValue::B(Blob::new("x")))), "the snapshot's delta is cut off");
    }

    #[test]
    fn an_item_of_another_writer_is_read_as_it_is() {
        let attributes = |version: Option<AttributeValue>| {
            let mut attributes = key("features", "f");
            attributes.extend(version.map(|version| (VERSION.to_owned(), version)));
            attributes
        };
        let version = |value| found(Kind::Flag, &attributes(value)).unwrap().version;
        assert_eq!(version(Some(number(3))), FoundVersion::Version(3));
        assert_eq!(version(None), FoundVersion::Missing);
        assert_eq!(version(Some(text("3"))), FoundVersion::Malformed);
        assert_eq!(version(Some(AttributeValue::N("1.5".into()))), FoundVersion::Malformed);
    }

    #[test]
    fn a_chunk_that_is_written_is_read() {
        let expected = Chunk { number: 12, generation: 5, bytes: bytes::Bytes::from_static(b"abc") };
        assert_eq!(read_chunk(1, chunk(&Layout::new(""), 1, expected.clone())), Some(expected));
    }
}
