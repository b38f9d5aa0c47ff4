//! What an item is: a flag or a segment, its key, its version and its JSON.
//!
//! The vocabulary of the whole project stands on these types; nothing here knows where items come from.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;

/// What an item of a payload is.
///
/// Segments sort before flags, as they are written before the flags that refer to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A segment.
    Segment,
    /// A flag.
    Flag,
}

impl Kind {
    /// Both kinds, in the order in which they are written.
    pub const ALL: [Self; 2] = [Self::Segment, Self::Flag];

    /// The field of a payload that holds the items of this kind. The official stores name their namespaces differently
    /// (`features` for flags).
    pub const fn field(self) -> &'static str {
        match self {
            Self::Segment => "segments",
            Self::Flag => "flags",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Segment => "segment",
            Self::Flag => "flag",
        })
    }
}

/// What tells one item of an environment from all others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemId {
    /// A flag and a segment may share a key.
    pub kind: Kind,
    /// The key, as LaunchDarkly spells it.
    pub key: String,
}

impl ItemId {
    /// The item of this kind and key.
    pub fn new(kind: Kind, key: impl Into<String>) -> Self {
        Self { kind, key: key.into() }
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} `{}`", self.kind, self.key)
    }
}

/// One flag or segment, borrowed from wherever its text lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// Flag or segment.
    pub kind: Kind,
    /// The key under which the payload lists the item.
    pub key: &'a str,
    /// The item's version; LaunchDarkly raises it at each change.
    pub version: u64,
    /// The item's JSON, byte for byte as LaunchDarkly sent it.
    pub json: &'a str,
}

impl Item<'_> {
    /// What tells this item from all others.
    pub fn id(&self) -> ItemId {
        ItemId::new(self.kind, self.key)
    }
}

/// The version that an item's JSON says; 0 where it says none that can be read, so that any later one replaces it.
pub fn version_in(json: &str) -> u64 {
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }
    serde_json::from_str(json).map_or(0, |item: Versioned| item.version)
}

/// Anything that holds one environment's flags and segments and can hand out their JSON.
pub trait Items: Send + Sync {
    /// The item's JSON as LaunchDarkly sent it, or nothing where there is no such item.
    fn json(&self, kind: Kind, key: &str) -> Option<Cow<'_, str>>;

    /// The keys of all items of a kind, in ascending order.
    fn keys(&self, kind: Kind) -> Vec<Cow<'_, str>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_whose_version_cannot_be_read_is_older_than_any_other() {
        assert_eq!(version_in(r#"{"key":"f","version":7,"on":"nonsense"}"#), 7);
        for json in [r#"{"version":"7"}"#, r#"{"version":-1}"#, "{}", "7", ""] {
            assert_eq!(version_in(json), 0, "{json}");
        }
    }
}
