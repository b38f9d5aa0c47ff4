//! Flags and segments as raw JSON.
//!
//! To be filled in; [`Items`] is the boundary that evaluation relies on.

use std::borrow::Cow;

/// What an item of a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A segment; written before the flags that refer to it.
    Segment,
    /// A flag.
    Flag,
}

/// Anything that holds one environment's flags and segments and can hand out their JSON.
pub trait Items: Send + Sync {
    /// The item's JSON as LaunchDarkly sent it, or nothing where there is no such item.
    fn json(&self, kind: Kind, key: &str) -> Option<Cow<'_, str>>;

    /// The keys of all items of a kind, in ascending order.
    fn keys(&self, kind: Kind) -> Vec<Cow<'_, str>>;
}
