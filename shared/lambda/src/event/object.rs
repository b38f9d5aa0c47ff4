//! A JSON object as its members in order, each value unread: the lenient ground under the parsers.
//!
//! Unlike a map it keeps equal names apart, so that a doubled header is seen as two. Reading a
//! value as something it is not gives nothing instead of an error.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The members of one JSON object.
#[derive(Debug, Default)]
pub(super) struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Object<'a> {
    /// The value's members, where it is an object.
    pub(super) fn of(value: &'a RawValue) -> Option<Self> {
        serde_json::from_str(value.get()).ok()
    }

    /// The member's value; the last one's, as JSON parsers commonly decide.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|&(_, value)| value)
    }

    /// The member, where it is a string.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.raw(name)?.get()).ok()
    }

    /// The member, where it is `true`.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.raw(name).is_some_and(|value| value.get() == "true")
    }

    /// The member, where it is an object.
    pub(super) fn object(&self, name: &str) -> Option<Object<'a>> {
        Self::of(self.raw(name)?)
    }

    /// The strings in the member, where it is an array.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        self.raw(name).map(texts).unwrap_or_default()
    }

    /// The members that are texts, as pairs.
    pub(super) fn into_pairs(self) -> Vec<(String, String)> {
        self.0.into_iter().filter_map(|(name, value)| Some((name, scalar(value)?))).collect()
    }

    /// The members that are arrays of texts, as one pair for each text.
    pub(super) fn into_multi_pairs(self) -> Vec<(String, String)> {
        self.0
            .into_iter()
            .flat_map(|(name, values)| texts(values).into_iter().map(move |value| (name.clone(), value)))
            .collect()
    }
}

/// A string, or a number or boolean as it is written; nothing for anything else.
fn scalar(value: &RawValue) -> Option<String> {
    let json = value.get();
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok(),
        b'{' | b'[' | b'n' => None,
        _ => Some(json.to_owned()),
    }
}

fn texts(value: &RawValue) -> Vec<String> {
    serde_json::from_str::<Vec<&RawValue>>(value.get()).unwrap_or_default().into_iter().filter_map(scalar).collect()
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
