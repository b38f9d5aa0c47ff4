//! The body of `/sdk/latest-all`, split into items without copying their text.
//!
//! The body has the shape `{"flags":{KEY:{…}},"segments":{KEY:{…}}}`; the official SDKs' polling data sources define it
//! (for example `launchdarkly/rust-server-sdk`, `feature_requester.rs`). Of an item only `version` is read here. What
//! cannot be kept faithfully is refused whole, with the place: a table is better left as it was than half right.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::items::{Item, Items, Kind};

/// The largest version that every SDK reads without loss: `2^53 - 1`, as JavaScript has it.
pub const MAX_VERSION: u64 = (1 << 53) - 1;

/// Why a body is not a payload.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The body is no JSON object of the expected shape; the source says where.
    #[error("the payload is not valid JSON of the expected shape")]
    Shape(#[source] serde_json::Error),
    /// The body is a JSON array.
    #[error("the payload is an array, not an object")]
    Array,
    /// The body has no `flags` object at all.
    #[error("the payload has no `flags` object")]
    NoFlags,
    /// The body is not UTF-8.
    #[error("the payload is not UTF-8 text (byte {valid_up_to})")]
    NotText {
        /// The offset of the first offending byte.
        valid_up_to: usize,
    },
    /// One item is broken.
    #[error("{kind} `{key}` of the payload is not valid: {reason}")]
    Item {
        /// Flag or segment.
        kind: Kind,
        /// The item's key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// One environment's flags and segments; items are slices of the body.
#[derive(Debug, Clone)]
pub struct Payload {
    body: Bytes,
    flags: Vec<Entry>,
    segments: Option<Vec<Entry>>,
}

/// Where an item lies in the body. Entries are sorted by key.
#[derive(Debug, Clone)]
struct Entry {
    key: Box<str>,
    version: u64,
    json: Range<usize>,
}

impl Payload {
    /// Splits a body into its items.
    ///
    /// # Errors
    /// Where the body is cut off, is not of a payload's shape, lists a key twice, or has an item without a whole
    /// `version` from 0 to [`MAX_VERSION`].
    pub fn parse(body: Bytes) -> Result<Self, PayloadError> {
        let text =
            std::str::from_utf8(&body).map_err(|error| PayloadError::NotText { valid_up_to: error.valid_up_to() })?;
        // Serde would take an array for a struct's fields in their order.
        if text.trim_start().starts_with('[') {
            return Err(PayloadError::Array);
        }
        let fields: Fields<'_> = serde_json::from_str(text).map_err(PayloadError::Shape)?;
        let flags = fields.flags.ok_or(PayloadError::NoFlags)?;
        let flags = entries(text, Kind::Flag, flags.0)?;
        let segments = fields.segments.map(|list| entries(text, Kind::Segment, list.0)).transpose()?;
        Ok(Self { body, flags, segments })
    }

    /// Whether the body had a `segments` object, even an empty one.
    pub const fn has_segments_object(&self) -> bool {
        self.segments.is_some()
    }

    /// How many items of a kind there are.
    pub fn count(&self, kind: Kind) -> usize {
        self.entries(kind).len()
    }

    /// The body's length in bytes.
    pub fn size(&self) -> usize {
        self.body.len()
    }

    /// One item.
    pub fn get(&self, kind: Kind, key: &str) -> Option<Item<'_>> {
        self.position(kind, key).map(|position| self.at(kind, position))
    }

    pub(crate) fn position(&self, kind: Kind, key: &str) -> Option<usize> {
        self.entries(kind).binary_search_by(|entry| (*entry.key).cmp(key)).ok()
    }

    pub(crate) fn at(&self, kind: Kind, position: usize) -> Item<'_> {
        self.item(kind, &self.entries(kind)[position])
    }

    /// All items of a kind, by ascending key.
    pub fn items(&self, kind: Kind) -> impl ExactSizeIterator<Item = Item<'_>> {
        self.entries(kind).iter().map(move |entry| self.item(kind, entry))
    }

    fn entries(&self, kind: Kind) -> &[Entry] {
        match kind {
            Kind::Flag => &self.flags,
            Kind::Segment => self.segments.as_deref().unwrap_or_default(),
        }
    }

    fn item<'a>(&'a self, kind: Kind, entry: &'a Entry) -> Item<'a> {
        // The body was checked to be UTF-8 as a whole and the range is that of a JSON value in it.
        let json = std::str::from_utf8(&self.body[entry.json.clone()]).unwrap_or_default();
        Item { kind, key: &entry.key, version: entry.version, json }
    }
}

impl Items for Payload {
    fn json(&self, kind: Kind, key: &str) -> Option<Cow<'_, str>> {
        self.get(kind, key).map(|item| Cow::Borrowed(item.json))
    }

    fn keys(&self, kind: Kind) -> Vec<Cow<'_, str>> {
        self.entries(kind).iter().map(|entry| Cow::Borrowed(&*entry.key)).collect()
    }
}

#[derive(serde::Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    flags: Option<List<'a>>,
    #[serde(borrow)]
    segments: Option<List<'a>>,
}

/// An object as its list of pairs: a map would hide keys that stand twice.
struct List<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for List<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Pairs(PhantomData)).map(List)
    }
}

struct Pairs<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for Pairs<'a> {
    type Value = Vec<(Cow<'a, str>, &'a RawValue)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of items by their keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            pairs.push((key, map.next_value()?));
        }
        Ok(pairs)
    }
}

/// A key, borrowed wherever it holds no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, str>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a key")
            }

            fn visit_borrowed_str<E: de::Error>(self, key: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(key))
            }

            fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(key.to_owned()))
            }
        }
        deserializer.deserialize_str(Text).map(Key)
    }
}

fn entries(text: &str, kind: Kind, pairs: Vec<(Cow<'_, str>, &RawValue)>) -> Result<Vec<Entry>, PayloadError> {
    let mut entries = Vec::with_capacity(pairs.len());
    for (key, raw) in pairs {
        let version = version(raw.get()).map_err(|reason| broken(kind, &key, reason))?;
        if key.is_empty() {
            return Err(broken(kind, &key, "its key is empty".to_owned()));
        }
        let start = raw.get().as_ptr().addr() - text.as_ptr().addr();
        entries.push(Entry { key: key.into(), version, json: start..start + raw.get().len() });
    }
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    if let Some(twins) = entries.windows(2).find(|pair| pair[0].key == pair[1].key) {
        return Err(broken(kind, &twins[0].key, "the key stands twice in the payload".to_owned()));
    }
    Ok(entries)
}

fn broken(kind: Kind, key: &str, reason: String) -> PayloadError {
    PayloadError::Item { kind, key: key.to_owned(), reason }
}

/// Reads an item's version, and nothing else of it.
pub(crate) fn version(json: &str) -> Result<u64, String> {
    #[derive(serde::Deserialize)]
    struct Header<'a> {
        #[serde(borrow)]
        version: Option<&'a RawValue>,
    }
    if !json.starts_with('{') {
        return Err("it is not an object".to_owned());
    }
    let header: Header<'_> = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let raw = header.version.ok_or_else(|| "it has no `version`".to_owned())?.get();
    match raw.parse::<u64>() {
        Ok(version) if version <= MAX_VERSION => Ok(version),
        _ => Err(format!("its `version` is {raw}, not a whole number from 0 to {MAX_VERSION}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Payload, PayloadError> {
        Payload::parse(Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn items_keep_every_byte_that_launchdarkly_sent() {
        let payload = parse(
            r#"{"flags":{"b":{"version":2, "x" : 1.10},"a":{"version":1}},"segments":{"s":{"version":7,"new":[ ]}}}"#,
        )
        .unwrap();
        let flags: Vec<_> = payload.items(Kind::Flag).map(|item| (item.key, item.version, item.json)).collect();
        assert_eq!(flags, [("a", 1, r#"{"version":1}"#), ("b", 2, r#"{"version":2, "x" : 1.10}"#)]);
        assert_eq!(payload.get(Kind::Segment, "s").unwrap().json, r#"{"version":7,"new":[ ]}"#);
        assert!(payload.get(Kind::Flag, "s").is_none());
    }

    #[test]
    fn keys_may_be_escaped_unicode_or_dots() {
        let long = "k".repeat(256);
        let body = format!(
            r#"{{"flags":{{"\u00e9":{{"version":1}},"..":{{"version":1}},"x":{{"version":1}},"{long}":{{"version":1}}}}}}"#
        );
        let payload = parse(&body).unwrap();
        assert_eq!(payload.keys(Kind::Flag), ["..", &long, "x", "é"]);
        assert!(!payload.has_segments_object());
    }

    #[test]
    fn bodies_that_are_no_payload_are_refused_with_the_place() {
        for (body, message) in [
            ("", "the payload is not valid JSON of the expected shape: EOF while parsing a value at line 1 column 0"),
            (r#" [{"a":{"version":1}},{}]"#, "the payload is an array, not an object"),
            ("{}", "the payload has no `flags` object"),
            (r#"{"flags":null}"#, "the payload has no `flags` object"),
            (
                r#"{"flags":[]}"#,
                "the payload is not valid JSON of the expected shape: invalid type: sequence, expected an object of items by their keys at line 1 column 9",
            ),
            (
                r#"{"flags":{"a":{"version":1}"#,
                "the payload is not valid JSON of the expected shape: EOF while parsing an object at line 1 column 27",
            ),
            (r#"{"flags":{"a":{"key":"a"}}}"#, "flag `a` of the payload is not valid: it has no `version`"),
            (r#"{"flags":{"a":null}}"#, "flag `a` of the payload is not valid: it is not an object"),
            (
                r#"{"flags":{"a":{"version":"1"}}}"#,
                "flag `a` of the payload is not valid: its `version` is \"1\", not a whole number from 0 to 9007199254740991",
            ),
            (
                r#"{"flags":{"a":{"version":9007199254740992}}}"#,
                "flag `a` of the payload is not valid: its `version` is 9007199254740992, not a whole number from 0 to 9007199254740991",
            ),
            (
                r#"{"flags":{"a":{"version":1.5}}}"#,
                "flag `a` of the payload is not valid: its `version` is 1.5, not a whole number from 0 to 9007199254740991",
            ),
            (
                r#"{"flags":{"a":{"version":1},"a":{"version":2}}}"#,
                "flag `a` of the payload is not valid: the key stands twice in the payload",
            ),
            (
                r#"{"flags":{"a":{"version":1,"version":2}}}"#,
                "flag `a` of the payload is not valid: duplicate field `version` at line 1 column 22",
            ),
            (r#"{"flags":{"":{"version":1}}}"#, "flag `` of the payload is not valid: its key is empty"),
            (r#"{"flags":{},"segments":{"s":{}}}"#, "segment `s` of the payload is not valid: it has no `version`"),
        ] {
            let error = parse(body).unwrap_err();
            let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            assert_eq!(format!("{error}{source}"), message, "for {body}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let error = Payload::parse(Bytes::from_static(b"{\"flags\":{\"\xff\":{}}}")).unwrap_err();
        assert_eq!(error.to_string(), "the payload is not UTF-8 text (byte 11)");
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_crash() {
        let body = format!(r#"{{"flags":{{"a":{{"version":1,"x":{}{}}}}}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(parse(&body), Ok(_) | Err(PayloadError::Shape(_) | PayloadError::Item { .. })));
    }
}
