//! JSON Patch (RFC 6902) over JSON Pointers (RFC 6901).

use super::Refusal;
use serde::Deserialize;
use serde_json::Value;

/// One operation.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Operation {
    Add { path: String, value: Value },
    Remove { path: String },
    Replace { path: String, value: Value },
    Move { from: String, path: String },
    Copy { from: String, path: String },
    Test { path: String, value: Value },
}

/// Applies all operations, or refuses at the first that does not fit.
pub(super) fn apply(document: &mut Value, patch: Vec<Operation>) -> Result<(), Refusal> {
    for operation in patch {
        match operation {
            Operation::Add { path, value } => add(document, &path, value)?,
            Operation::Remove { path } => {
                remove(document, &path)?;
            }
            Operation::Replace { path, value } => *existing(document, &path)? = value,
            Operation::Move { from, path } => {
                let value = remove(document, &from)?;
                add(document, &path, value)?;
            }
            Operation::Copy { from, path } => {
                let value = existing(document, &from)?.clone();
                add(document, &path, value)?;
            }
            Operation::Test { path, value } => {
                if document.pointer(&path) != Some(&value) {
                    let message = format!("the value at {path} is not the one expected");
                    return Err(Refusal::conflict("optimistic_locking_error", message));
                }
            }
        }
    }
    Ok(())
}

fn existing<'a>(document: &'a mut Value, path: &str) -> Result<&'a mut Value, Refusal> {
    document.pointer_mut(path).ok_or_else(|| nothing_at(path))
}

fn add(document: &mut Value, path: &str, value: Value) -> Result<(), Refusal> {
    let Some((parent, name)) = split(path) else {
        *document = value;
        return Ok(());
    };
    match existing(document, parent)? {
        Value::Object(fields) => {
            fields.insert(name, value);
        }
        Value::Array(items) => {
            let index = if name == "-" { items.len() } else { index(&name, path)? };
            if index > items.len() {
                return Err(nothing_at(path));
            }
            items.insert(index, value);
        }
        _ => return Err(nothing_at(path)),
    }
    Ok(())
}

fn remove(document: &mut Value, path: &str) -> Result<Value, Refusal> {
    let (parent, name) = split(path).ok_or_else(|| nothing_at(path))?;
    let removed = match existing(document, parent)? {
        Value::Object(fields) => fields.remove(&name),
        Value::Array(items) => {
            let index = index(&name, path)?;
            (index < items.len()).then(|| items.remove(index))
        }
        _ => None,
    };
    removed.ok_or_else(|| nothing_at(path))
}

/// The pointer to the parent, and the unescaped last step.
fn split(path: &str) -> Option<(&str, String)> {
    let (parent, name) = path.rsplit_once('/')?;
    Some((parent, name.replace("~1", "/").replace("~0", "~")))
}

fn index(name: &str, path: &str) -> Result<usize, Refusal> {
    name.parse().map_err(|_| nothing_at(path))
}

fn nothing_at(path: &str) -> Refusal {
    Refusal::invalid(format!("the patch does not fit: there is nothing at {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(document: &Value, patch: Value) -> Result<Value, u16> {
        let mut document = document.clone();
        let patch = serde_json::from_value(patch).unwrap();
        apply(&mut document, patch).map(|()| document).map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn every_operation_does_what_the_rfc_says() {
        let document = json!({"a": {"b/c": 1}, "list": [1, 2]});
        for (patch, expected) in [
            (json!([{"op": "add", "path": "/a/x", "value": 2}]), Ok(json!({"a": {"b/c": 1, "x": 2}, "list": [1, 2]}))),
            (json!([{"op": "add", "path": "/list/-", "value": 3}]), Ok(json!({"a": {"b/c": 1}, "list": [1, 2, 3]}))),
            (json!([{"op": "add", "path": "/list/0", "value": 0}]), Ok(json!({"a": {"b/c": 1}, "list": [0, 1, 2]}))),
            (json!([{"op": "add", "path": "/list/3", "value": 0}]), Err(400)),
            (json!([{"op": "remove", "path": "/a/b~1c"}]), Ok(json!({"a": {}, "list": [1, 2]}))),
            (json!([{"op": "remove", "path": "/a/x"}]), Err(400)),
            (json!([{"op": "replace", "path": "/list/1", "value": 9}]), Ok(json!({"a": {"b/c": 1}, "list": [1, 9]}))),
            (json!([{"op": "replace", "path": "/a/x", "value": 9}]), Err(400)),
            (
                json!([{"op": "move", "from": "/list/0", "path": "/m"}]),
                Ok(json!({"a": {"b/c": 1}, "list": [2], "m": 1})),
            ),
            (
                json!([{"op": "copy", "from": "/a", "path": "/c"}]),
                Ok(json!({"a": {"b/c": 1}, "c": {"b/c": 1}, "list": [1, 2]})),
            ),
            (json!([{"op": "test", "path": "/list", "value": [1, 2]}]), Ok(document.clone())),
            (json!([{"op": "test", "path": "/list/0", "value": 2}]), Err(409)),
        ] {
            assert_eq!(patched(&document, patch.clone()), expected, "{patch}");
        }
    }
}
