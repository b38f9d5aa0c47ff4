//! Names and limits of the table: the only place that knows how an item is spelled in DynamoDB.
//!
//! The official layout is that of LaunchDarkly's own stores (`launchdarkly/go-server-sdk-dynamodb`,
//! `dynamodb_impl.go`): hash key `namespace`, range key `key`, and for a flag or segment `version` and `item`. What is
//! ours alone lies in one namespace of its own, which no other reader asks for.

use flagcache_payload::Kind;

/// The hash key's attribute.
pub const NAMESPACE: &str = "namespace";
/// The range key's attribute.
pub const KEY: &str = "key";
/// The attribute that holds an item's version (N).
pub const VERSION: &str = "version";
/// The attribute that holds an item's JSON (S).
pub const ITEM: &str = "item";

/// The largest item that DynamoDB takes, in bytes of attribute names and values.
///
/// Source: "Service, account, and table quotas in Amazon DynamoDB", item size.
pub const MAX_ITEM_BYTES: usize = 400 * 1024;
/// The longest range key that DynamoDB takes, in bytes.
pub const MAX_KEY_BYTES: usize = 1024;
/// The most actions that one transaction takes.
pub const MAX_TRANSACTION_ACTIONS: usize = 100;
/// The most items that one `BatchWriteItem` takes.
pub const MAX_BATCH_PUTS: usize = 25;
/// The most bytes of items that one transaction takes; a margin is left for keys and conditions.
pub const MAX_TRANSACTION_BYTES: usize = 4 * 1024 * 1024 - 128 * 1024;

/// A delta that has grown past this, in compressed bytes, gives way to a new base.
///
/// The delta is written at every change: at 12 KB a change costs at most 24 write units for the head, and a base of 150
/// KB is written anew every 25 changes or so.
pub const MAX_DELTA_BYTES: usize = 12 * 1024;

/// The namespaces of one environment in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    prefix: String,
}

impl Layout {
    /// The layout below a prefix; an empty prefix is none.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}:") } }
    }

    /// The namespace of all flags (`features`) or of all segments.
    pub fn items(&self, kind: Kind) -> String {
        let name = match kind {
            Kind::Flag => "features",
            Kind::Segment => "segments",
        };
        format!("{}{name}", self.prefix)
    }

    /// Both keys of the mark that the table is filled.
    pub fn inited(&self) -> String {
        format!("{}$inited", self.prefix)
    }

    /// The namespace of head and base.
    pub fn ours(&self) -> String {
        format!("{}$flagcache", self.prefix)
    }
}

/// The key of the head.
pub const HEAD: &str = "head";

/// The key of one chunk of the base in one of its two slots.
pub fn chunk_key(slot: u64, number: u64) -> String {
    format!("base:{slot}:{number}")
}

/// The size of a flag or segment in the official layout, in DynamoDB's own counting, and from above: attribute names and
/// UTF-8 text count by their bytes, a number by half its digits and two.
pub fn item_bytes(namespace: &str, key: &str, json: &str) -> usize {
    let names = NAMESPACE.len() + KEY.len() + VERSION.len() + ITEM.len();
    names + namespace.len() + key.len() + json.len() + NUMBER_BYTES
}

/// What the largest version takes: 16 digits.
const NUMBER_BYTES: usize = 10;

/// Whether an item has a place in the official layout.
pub fn fits(namespace: &str, key: &str, json: &str) -> bool {
    key.len() <= MAX_KEY_BYTES && item_bytes(namespace, key, json) <= MAX_ITEM_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_spelled_as_the_official_stores_spell_them() {
        let plain = Layout::new("");
        assert_eq!((plain.items(Kind::Flag), plain.items(Kind::Segment)), ("features".into(), "segments".into()));
        assert_eq!((plain.inited(), plain.ours()), ("$inited".into(), "$flagcache".into()));
        let prefixed = Layout::new("eu");
        assert_eq!(
            (prefixed.items(Kind::Flag), prefixed.items(Kind::Segment)),
            ("eu:features".into(), "eu:segments".into())
        );
        assert_eq!((prefixed.inited(), prefixed.ours()), ("eu:$inited".into(), "eu:$flagcache".into()));
    }

    #[test]
    fn an_item_fits_up_to_dynamodbs_limit() {
        let room = MAX_ITEM_BYTES - item_bytes("features", "k", "");
        assert!(fits("features", "k", &"x".repeat(room)));
        assert!(!fits("features", "k", &"x".repeat(room + 1)));
        assert!(fits("features", &"k".repeat(1024), "{}"));
        assert!(!fits("features", &"k".repeat(1025), "{}"));
    }
}
