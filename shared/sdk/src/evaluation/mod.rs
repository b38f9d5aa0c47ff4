//! Flags evaluated over raw items by the SDK's own engine.
//!
//! The [`Evaluator`] decodes an item when it is first asked for and keeps it until its JSON changes. The SDK's client
//! is not used for this: over a persistent store it decodes every flag at every call, one broken flag hides all others
//! from it, and its start costs time that a cold function does not have. It is used for what only it can do,
//! analytics events ([`crate::events`]).

mod decode;
mod parsed;

use std::sync::{Arc, PoisonError, RwLock};

use flagcache_payload::{Items, Kind};
use launchdarkly_server_sdk_evaluation::{
    Context, Detail, Error, Flag, FlagValue, Kind as ContextKind, Reason, Segment, Store, VariationIndex, Versioned,
    evaluate,
};
use serde::ser::{Serialize, SerializeMap, Serializer};

pub(crate) use self::decode::{is_decodable, is_deleted, stand_in};
use self::parsed::{Entry, Parsed};
use crate::json::{self, Answered};

/// Evaluates the flags of items that can be swapped at any time.
///
/// Shared by reference between threads. Every evaluation sees the items of one moment, whole.
pub struct Evaluator {
    current: RwLock<Arc<Parsed>>,
}

/// What a flag is for a context.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The variation's value; nothing where the flag gives none (unknown, broken, or off without an off variation).
    pub value: Option<FlagValue>,
    /// The variation's index.
    pub variation: Option<VariationIndex>,
    /// Why it is this value.
    pub reason: Reason,
    /// The flag's version; nothing where there is no such flag or it cannot be decoded.
    pub version: Option<u64>,
}

impl Evaluation {
    /// Whether there is no such flag at all.
    pub const fn is_unknown(&self) -> bool {
        matches!(self.reason, Reason::Error { error: Error::FlagNotFound })
    }

    fn failed(error: Error) -> Self {
        Self { value: None, variation: None, reason: Reason::Error { error }, version: None }
    }
}

/// Which flags an all-flags answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Filter {
    /// Every flag.
    #[default]
    Everything,
    /// Those available to client-side SDKs that use the environment's ID. Flags that cannot be decoded are left out.
    ClientSide,
}

/// How an all-flags answer shows each flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The value alone.
    Values,
    /// Value, variation, reason and version.
    Details,
}

impl Evaluator {
    /// Evaluates these items.
    pub fn new(items: Arc<dyn Items>) -> Self {
        Self { current: RwLock::new(Arc::new(Parsed::new(items))) }
    }

    /// Evaluates other items from now on. Costs a comparison of JSON for each item decoded so far.
    pub fn set_items(&self, items: Arc<dyn Items>) {
        let next = Arc::new(self.parsed().succeeded_by(items));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// An evaluator of other items that knows what this one has decoded of JSON that is the same in both. This one goes
    /// on as it is, for whoever has to evaluate twice over the same items.
    #[must_use]
    pub fn succeeded_by(&self, items: Arc<dyn Items>) -> Self {
        Self { current: RwLock::new(Arc::new(self.parsed().succeeded_by(items))) }
    }

    /// The items that are evaluated now.
    pub fn items(&self) -> Arc<dyn Items> {
        Arc::clone(self.parsed().items())
    }

    /// One flag's value for a context.
    pub fn flag(&self, key: &str, context: &Context) -> Evaluation {
        let parsed = self.parsed();
        match parsed.flag(key) {
            None => Evaluation::failed(Error::FlagNotFound),
            Some(Entry::Broken) => Evaluation::failed(Error::MalformedFlag),
            Some(Entry::Whole(flag)) => {
                let view = View::new(&parsed, context);
                let detail = evaluate(&view, &flag, context, None);
                Evaluation {
                    variation: variation(&detail),
                    value: detail.value.cloned(),
                    reason: detail.reason,
                    version: Some(flag.version()),
                }
            }
        }
    }

    /// All flags for a context, evaluated while they are serialised: nothing is kept between one flag and the next.
    pub fn all<'a>(&self, context: &'a Context, filter: Filter, shape: Shape) -> AllFlags<'a> {
        AllFlags { parsed: self.parsed(), context, filter, shape }
    }

    /// An item's JSON in a form that the SDK decodes itself; nothing where no form of it decodes.
    pub(crate) fn decodable(&self, kind: Kind, key: &str) -> Option<String> {
        decode::decodable(kind, &self.items().json(kind, key)?)
    }

    fn parsed(&self) -> Arc<Parsed> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// All flags for one context as a JSON object, by ascending key.
pub struct AllFlags<'a> {
    parsed: Arc<Parsed>,
    context: &'a Context,
    filter: Filter,
    shape: Shape,
}

impl Serialize for AllFlags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let view = View::new(&self.parsed, self.context);
        let keys = self.parsed.items().keys(Kind::Flag);
        self.parsed.decode_flags(&keys);
        let mut flags = serializer.serialize_map(None)?;
        for key in keys {
            match self.parsed.flag(&key) {
                Some(Entry::Whole(flag)) if self.filter == Filter::Everything || flag.using_environment_id() => {
                    let detail = evaluate(&view, &flag, self.context, None);
                    self.entry(&mut flags, &key, &detail, Some(flag.version()))?;
                }
                Some(Entry::Broken) if self.filter == Filter::Everything => {
                    self.entry(&mut flags, &key, &Detail::err(Error::MalformedFlag), None)?;
                }
                _ => {}
            }
        }
        flags.end()
    }
}

impl AllFlags<'_> {
    fn entry<M: SerializeMap>(
        &self,
        flags: &mut M,
        key: &str,
        detail: &Detail<&FlagValue>,
        version: Option<u64>,
    ) -> Result<(), M::Error> {
        let value = detail.value.map(json::Value::Flag);
        match self.shape {
            Shape::Values => flags.serialize_entry(key, &value),
            Shape::Details => flags.serialize_entry(
                key,
                &Answered { value, variation: variation(detail), reason: &detail.reason, version },
            ),
        }
    }
}

/// An index beyond the flag's variations stays in the engine's detail; without a value it means nothing.
fn variation(detail: &Detail<&FlagValue>) -> Option<VariationIndex> {
    detail.value.and(detail.variation_index)
}

/// What the engine looks up while it evaluates for one context.
struct View<'a> {
    parsed: &'a Parsed,
    user: Option<&'a str>,
}

impl<'a> View<'a> {
    fn new(parsed: &'a Parsed, context: &'a Context) -> Self {
        Self { parsed, user: context.as_kind(&ContextKind::user()).map(Context::key) }
    }
}

impl Store for View<'_> {
    fn flag(&self, key: &str) -> Option<Flag> {
        match self.parsed.flag(key)? {
            Entry::Whole(flag) => Some(Flag::clone(&flag)),
            Entry::Broken => None,
        }
    }

    fn segment(&self, key: &str) -> Option<Segment> {
        match self.parsed.segment(key)? {
            Entry::Whole(members) => Some(members.for_user(self.user)),
            Entry::Broken => None,
        }
    }
}

#[cfg(test)]
mod tests;
