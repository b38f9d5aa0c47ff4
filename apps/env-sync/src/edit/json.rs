//! One JSON object of names and values; other members stay as they are spelled, in their order.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::{Assignment, EditError, Edited, Text, is_legal_name};

pub(super) fn edit(text: &[u8], assignments: &[Assignment]) -> Result<Edited, EditError> {
    let mut members = members(text)?;
    let mut changed = Vec::new();
    for Assignment { name, value } in assignments {
        let value = json(value);
        let raw = to_raw_value(&value).map_err(EditError::NotAnObject)?;
        if members.set(name, &value, &raw) {
            changed.push(name.clone());
        }
    }
    let text = if changed.is_empty() { text.to_vec() } else { members.to_string().into_bytes() };
    Ok(Edited { text, changed, refused: Vec::new() })
}

/// Strings as they are, all else as its JSON is spelled.
pub(super) fn read(text: &[u8]) -> Result<BTreeMap<String, String>, EditError> {
    let named = members(text)?.0.into_iter().filter(|(name, _)| is_legal_name(name));
    let value = |raw: &RawValue| match serde_json::from_str(raw.get()).map_err(EditError::NotAnObject)? {
        Value::String(text) => Ok(text),
        _ => Ok(raw.get().to_owned()),
    };
    named.map(|(name, raw)| Ok((name, value(&raw)?))).collect()
}

fn members(text: &[u8]) -> Result<Members, EditError> {
    if text.trim_ascii().is_empty() {
        return Ok(Members::default());
    }
    serde_json::from_slice(text).map_err(EditError::NotAnObject)
}

fn json(value: &Text) -> Value {
    match value {
        Text::Plain(text) => Value::String(text.clone()),
        Text::Json(json) => serde_json::from_str(json).unwrap_or_else(|_| Value::String(json.clone())),
    }
}

/// An object as its list of pairs: a map would lose their order.
#[derive(Default)]
struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    /// Whether that took a change.
    fn set(&mut self, name: &str, value: &Value, raw: &RawValue) -> bool {
        let mut is_changed = !self.0.iter().any(|(member, _)| member == name);
        if is_changed {
            self.0.push((name.to_owned(), raw.to_owned()));
        }
        for (_, held) in self.0.iter_mut().filter(|(member, _)| member == name) {
            if serde_json::from_str::<Value>(held.get()).ok().as_ref() != Some(value) {
                raw.clone_into(held);
                is_changed = true;
            }
        }
        is_changed
    }
}

impl fmt::Display for Members {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("{")?;
        for (index, (name, value)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(formatter, "{comma}\n  {}: {}", Value::from(name.as_str()), value.get())?;
        }
        formatter.write_str("\n}\n")
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Members;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of names and values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members::default();
                while let Some(member) = map.next_entry()? {
                    members.0.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}
