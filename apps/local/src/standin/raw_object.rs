//! A JSON object whose fields stay as they are written, in their order, save those that are set.
//!
//! With it a flag can be turned on without a byte of its other fields changing: fields that nobody
//! here knows, the spelling of numbers, escapes.

use serde::Deserializer;
use serde::de::{Deserialize, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct RawObject(Vec<(String, Box<RawValue>)>);

impl RawObject {
    /// The field's value as written; the last where there are several, as JSON parsers have it.
    pub(super) fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().rev().find(|(field, _)| field == name).map(|(_, value)| &**value)
    }

    /// Sets a field where it stands, or at the end.
    pub(super) fn set(&mut self, name: &str, value: Box<RawValue>) {
        match self.0.iter_mut().rev().find(|(field, _)| field == name) {
            Some((_, present)) => *present = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Takes a field away.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(field, _)| field != name);
    }

    /// The fields with their names.
    pub(super) fn into_fields(self) -> impl Iterator<Item = (String, Box<RawValue>)> {
        self.0.into_iter()
    }

    /// The object's text, without blanks between the fields.
    pub(super) fn to_text(&self) -> String {
        write(self.0.iter().map(|(name, value)| (name.as_str(), value.get())))
    }
}

/// Writes an object of raw values.
pub(super) fn write<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::from("{");
    for (index, (name, value)) in fields.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(name).to_string());
        text.push(':');
        text.push_str(value);
    }
    text.push('}');
    text
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = RawObject;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(RawObject(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_spelling_and_order() {
        let text = r#"{"z":1.0e2,"on": true ,"\u0061":{"x" : [ ]},"on":false}"#;
        let mut object: RawObject = serde_json::from_str(text).unwrap();
        assert_eq!(object.get("on").unwrap().get(), "false");

        object.set("on", RawValue::from_string("null".to_owned()).unwrap());
        object.set("new", RawValue::from_string("9007199254740993".to_owned()).unwrap());
        object.remove("absent");

        assert_eq!(object.to_text(), r#"{"z":1.0e2,"on":true,"a":{"x" : [ ]},"on":null,"new":9007199254740993}"#);
    }
}
