//! Items' JSON into what the SDK's engine evaluates.
//!
//! The Rust SDK insists on fields that LaunchDarkly always sends but that its other SDKs take as empty where they are
//! missing (`go-server-sdk-evaluation`, package `ldmodel`). So that a table filled by another program serves here as it
//! does there, an item that does not decode is tried once more with those fields filled in. The items themselves are
//! never changed.

use flagcache_payload::Kind;
use launchdarkly_server_sdk_evaluation::{Flag, Segment};
use memchr::memmem;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A flag, or nothing where the JSON is the mark of a deleted one.
pub(super) fn flag(json: &str) -> Result<Option<Flag>, serde_json::Error> {
    item(json, complete_flag)
}

/// A segment, or nothing where the JSON is the mark of a deleted one.
pub(super) fn segment(json: &str) -> Result<Option<Segment>, serde_json::Error> {
    item(json, complete_segment)
}

fn item<T: DeserializeOwned>(json: &str, complete: fn(&mut Object)) -> Result<Option<T>, serde_json::Error> {
    if is_deleted(json) {
        return Ok(None);
    }
    // Of two errors the first is the one worth telling.
    serde_json::from_str(json).map(Some).or_else(|error| {
        let completed = completed(json, complete).and_then(|object| serde_json::from_value(object).ok());
        completed.map(Some).ok_or(error)
    })
}

/// The official stores keep `{"key":…,"version":…,"deleted":true}` in the place of a deleted item. LaunchDarkly sends
/// `"deleted":false` with every other, so the parser is asked only where the text looks as if it were so.
pub(crate) fn is_deleted(json: &str) -> bool {
    const NAME: &[u8] = b"\"deleted\"";
    #[derive(Deserialize)]
    struct Mark {
        #[serde(default)]
        deleted: bool,
    }
    let says_so = memmem::find_iter(json.as_bytes(), NAME).any(|at| is_true(&json[at + NAME.len()..]));
    says_so && serde_json::from_str(json).is_ok_and(|mark: Mark| mark.deleted)
}

/// Whether what follows a field's name is the value true.
fn is_true(rest: &str) -> bool {
    rest.trim_start().strip_prefix(':').is_some_and(|value| value.trim_start().starts_with("true"))
}

/// The JSON as it is, or with the missing fields filled in where it takes that to decode.
pub(super) fn decodable(kind: Kind, json: &str) -> Option<String> {
    match kind {
        Kind::Flag => decodable_as::<Flag>(json, complete_flag),
        Kind::Segment => decodable_as::<Segment>(json, complete_segment),
    }
}

/// Whether the SDK's own reading of an item takes this JSON.
pub(crate) fn is_decodable(kind: Kind, json: &str) -> bool {
    match kind {
        Kind::Flag => serde_json::from_str::<Flag>(json).is_ok(),
        Kind::Segment => serde_json::from_str::<Segment>(json).is_ok(),
    }
}

/// The least that the SDK's own reading takes as an item.
pub(crate) fn stand_in(kind: Kind, key: &str, version: u64) -> String {
    let mut item = Object::from_iter([("key".to_owned(), key.into()), ("version".to_owned(), version.into())]);
    match kind {
        Kind::Flag => complete_flag(&mut item),
        Kind::Segment => complete_segment(&mut item),
    }
    Value::Object(item).to_string()
}

fn decodable_as<T: DeserializeOwned>(json: &str, complete: fn(&mut Object)) -> Option<String> {
    if is_deleted(json) {
        return None;
    }
    if serde_json::from_str::<T>(json).is_ok() {
        return Some(json.to_owned());
    }
    let object = completed(json, complete)?;
    T::deserialize(&object).is_ok().then(|| object.to_string())
}

type Object = Map<String, Value>;

fn completed(json: &str, complete: fn(&mut Object)) -> Option<Value> {
    let mut object: Object = serde_json::from_str(json).ok()?;
    complete(&mut object);
    Some(Value::Object(object))
}

fn complete_flag(flag: &mut Object) {
    fill(flag, &["targets", "contextTargets", "rules", "prerequisites", "variations"], || Value::Array(Vec::new()));
    fill(flag, &["on"], || Value::Bool(false));
    fill(flag, &["salt"], || Value::String(String::new()));
    fill(flag, &["fallthrough"], || Value::Object(Object::new()));
    each(flag, "targets", complete_target);
    each(flag, "contextTargets", complete_target);
    each(flag, "rules", |rule| {
        fill(rule, &["trackEvents"], || Value::Bool(false));
        complete_rule(rule);
    });
}

fn complete_segment(segment: &mut Object) {
    fill(segment, &["included", "excluded", "includedContexts", "excludedContexts", "rules"], || {
        Value::Array(Vec::new())
    });
    fill(segment, &["salt"], || Value::String(String::new()));
    each(segment, "includedContexts", complete_target);
    each(segment, "excludedContexts", complete_target);
    each(segment, "rules", complete_rule);
}

fn complete_rule(rule: &mut Object) {
    fill(rule, &["clauses"], || Value::Array(Vec::new()));
    each(rule, "clauses", |clause| {
        fill(clause, &["values"], || Value::Array(Vec::new()));
        fill(clause, &["attribute"], || Value::String(String::new()));
    });
}

fn complete_target(target: &mut Object) {
    fill(target, &["values"], || Value::Array(Vec::new()));
    fill(target, &["contextKind"], || Value::from("user"));
}

/// Null counts as missing, as it does for the other SDKs.
fn fill(object: &mut Object, fields: &[&str], missing: fn() -> Value) {
    object.retain(|_, value| !value.is_null());
    for field in fields {
        object.entry(*field).or_insert_with(missing);
    }
}

fn each(object: &mut Object, field: &str, complete: fn(&mut Object)) {
    let entries = object.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten();
    entries.filter_map(Value::as_object_mut).for_each(complete);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_that_other_sdks_take_is_taken() {
        for json in [
            r#"{"key":"f","version":1}"#,
            r#"{"key":"f","version":1,"targets":null,"contextTargets":null,"rules":null,"clientSide":null}"#,
            r#"{"key":"f","version":1,"rules":[{"variation":0}]}"#,
            r#"{"key":"f","version":1,"rules":[{"variation":0,"clauses":[{"op":"in","attribute":"key"}]}]}"#,
            r#"{"key":"f","version":1,"targets":[{"variation":0}],"contextTargets":[{"variation":0,"contextKind":null}]}"#,
        ] {
            assert_eq!(flag(json).unwrap().map(|flag| flag.version), Some(1), "{json}");
        }
    }

    #[test]
    fn a_segment_that_other_sdks_take_is_taken() {
        for json in [
            r#"{"key":"s","version":2}"#,
            r#"{"key":"s","version":2,"included":null,"rules":[{"clauses":null}]}"#,
            r#"{"key":"s","version":2,"includedContexts":[{"values":["a"]}]}"#,
        ] {
            assert_eq!(segment(json).unwrap().map(|segment| segment.version), Some(2), "{json}");
        }
    }

    #[test]
    fn what_no_sdk_takes_is_an_error_that_says_where() {
        let error = flag(r#"{"key":"f","version":1,"on":"yes"}"#).unwrap_err();
        assert_eq!(error.to_string(), "invalid type: string \"yes\", expected a boolean at line 1 column 33");
        assert!(segment("[]").is_err());
        assert!(flag("").is_err());
    }

    #[test]
    fn the_mark_of_a_deleted_item_is_no_item() {
        assert!(flag(r#"{"key":"$deleted","version":7,"deleted":true}"#).unwrap().is_none());
        assert!(segment(r#"{"version":7, "deleted": true}"#).unwrap().is_none());
        assert!(flag(r#"{"key":"f","version":1,"deleted":false}"#).unwrap().is_some());
        assert!(flag("{\"key\":\"f\",\"version\":1,\"deleted\"\n:\ttrue}").unwrap().is_none());
        let named_so = r#"{"key":"f","version":1,"variations":["\"deleted\":true",{"deleted":true}]}"#;
        assert!(flag(named_so).unwrap().is_some());
    }
}
