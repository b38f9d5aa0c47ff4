//! What a context's JSON must be, checked field by field with the path to what is wrong.
//!
//! The rules are the SDK's (`launchdarkly-server-sdk-evaluation`, `contexts/context_serde.rs` and `Kind::try_from`), save
//! one: an empty key is refused in users of the old form too, where the SDK takes it for their sake.

use serde_json::{Map, Value};

use super::ContextError;

type Checked = Result<(), ContextError>;
type Object = Map<String, Value>;

/// How deep objects and arrays are nested. The parser stops at 128 levels, so the recursion is bounded.
pub(super) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(entries) => 1 + entries.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

pub(super) fn context(place: &str, value: &Value) -> Checked {
    let fields = object(place, value)?;
    match fields.get("kind") {
        None => user(place, fields),
        Some(Value::String(kind)) if kind == "multi" => multi(place, fields),
        Some(Value::String(name)) => {
            kind(&format!("{place}.kind"), name)?;
            single(place, fields)
        }
        Some(other) => Err(expected(&format!("{place}.kind"), "a string", other)),
    }
}

/// A kind's name.
pub(super) fn kind(place: &str, kind: &str) -> Checked {
    let problem = match kind {
        "" => "is empty".to_owned(),
        "kind" => "`kind` is not allowed".to_owned(),
        "multi" => "`multi` needs the whole context as JSON".to_owned(),
        _ if kind.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')) => return Ok(()),
        _ => format!("`{kind}` is not allowed: only ASCII letters, digits and `-`, `.`, `_` may be in a kind"),
    };
    Err(ContextError::invalid(place, problem))
}

/// A context's key.
pub(super) fn key(place: &str, key: &str) -> Checked {
    if key.is_empty() { Err(ContextError::invalid(place, "is empty")) } else { Ok(()) }
}

fn multi(place: &str, fields: &Object) -> Checked {
    let mut named = fields.iter().filter(|(name, _)| *name != "kind").peekable();
    if named.peek().is_none() {
        return Err(ContextError::invalid(place, "is of kind `multi` but names no other kind"));
    }
    for (name, value) in named {
        let place = format!("{place}.{name}");
        if name == "multi" {
            let problem = "the kind `multi` is not allowed inside a multi-kind context";
            return Err(ContextError::invalid(format!("{place}:"), problem));
        }
        kind(&place, name)?;
        single(&place, object(&place, value)?)?;
    }
    Ok(())
}

fn single(place: &str, fields: &Object) -> Checked {
    required_key(place, fields)?;
    optional_string(place, fields, "name")?;
    optional_bool(place, fields, "anonymous")?;
    let Some(meta) = present(fields, "_meta") else { return Ok(()) };
    let place = format!("{place}._meta");
    let meta = object(&place, meta)?;
    optional_string(&place, meta, "secondary")?;
    strings(&place, meta, "privateAttributes")
}

/// The form that users had before there were contexts.
fn user(place: &str, fields: &Object) -> Checked {
    required_key(place, fields)?;
    for field in ["name", "secondary", "firstName", "lastName", "avatar", "email", "country", "ip"] {
        optional_string(place, fields, field)?;
    }
    optional_bool(place, fields, "anonymous")?;
    strings(place, fields, "privateAttributeNames")?;
    present(fields, "custom").map_or(Ok(()), |custom| object(&format!("{place}.custom"), custom).map(|_| ()))
}

fn required_key(place: &str, fields: &Object) -> Checked {
    let place = format!("{place}.key");
    match fields.get("key") {
        None => Err(ContextError::invalid(place, "is missing")),
        Some(Value::String(text)) => key(&place, text),
        Some(other) => Err(expected(&place, "a string", other)),
    }
}

fn optional_string(place: &str, fields: &Object, field: &str) -> Checked {
    match present(fields, field) {
        None | Some(Value::String(_)) => Ok(()),
        Some(other) => Err(expected(&format!("{place}.{field}"), "a string", other)),
    }
}

fn optional_bool(place: &str, fields: &Object, field: &str) -> Checked {
    match present(fields, field) {
        None | Some(Value::Bool(_)) => Ok(()),
        Some(other) => Err(expected(&format!("{place}.{field}"), "true or false", other)),
    }
}

fn strings(place: &str, fields: &Object, field: &str) -> Checked {
    let place = format!("{place}.{field}");
    match present(fields, field) {
        None => Ok(()),
        Some(Value::Array(entries)) => match entries.iter().enumerate().find(|(_, entry)| !entry.is_string()) {
            None => Ok(()),
            Some((index, entry)) => Err(expected(&format!("{place}[{index}]"), "a string", entry)),
        },
        Some(other) => Err(expected(&place, "an array of strings", other)),
    }
}

fn object<'a>(place: &str, value: &'a Value) -> Result<&'a Object, ContextError> {
    value.as_object().ok_or_else(|| expected(place, "an object", value))
}

/// A field's value; null counts as absent.
fn present<'a>(fields: &'a Object, field: &str) -> Option<&'a Value> {
    fields.get(field).filter(|value| !value.is_null())
}

fn expected(place: &str, what: &str, found: &Value) -> ContextError {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    ContextError::invalid(place, format!("must be {what}, not {found}"))
}
