//! A segment between two shapes: as payloads carry it, and as the REST API shows it.

use super::{Refusal, flag};
use crate::standin::item::{Fields, Item, Notes};
use crate::standin::options::StandinOptions;
use serde_json::{Value, json};

/// The fields that both shapes have.
const SHARED: [&str; 5] = ["included", "excluded", "includedContexts", "excludedContexts", "rules"];

pub(super) fn representation(options: &StandinOptions, key: &str, item: &Item) -> Value {
    let segment = item.value();
    let notes = &item.notes;
    let path = format!("/api/v2/segments/{}/{}", options.project, options.environment);
    let mut representation = json!({
        "_links": {
            "parent": {"href": path, "type": "application/json"},
            "self": {"href": format!("{path}/{key}"), "type": "application/json"},
        },
        "key": key,
        "name": notes.name,
        "description": notes.description,
        "tags": notes.tags,
        "creationDate": notes.created_ms,
        "lastModifiedDate": notes.modified_ms,
        "version": item.version,
        "generation": 1,
        "deleted": false,
        "unbounded": segment["unbounded"] == true,
        "_flags": [],
    });
    for name in SHARED {
        representation[name] = segment.get(name).cloned().unwrap_or_else(|| json!([]));
    }
    representation
}

/// The item after a change of its representation; nothing where nothing that counts has changed.
pub(super) fn changed(item: &Item, before: &Value, after: &Value, now_ms: i64) -> Result<Option<Item>, Refusal> {
    let mut fields = Fields::default();
    for name in SHARED.into_iter().filter(|name| before[name] != after[name]) {
        if !after[name].is_array() {
            return Err(Refusal::invalid(format!("{name} cannot be {}", after[name])));
        }
        fields.0.push((name.to_owned(), Some(after[name].clone())));
    }
    let notes = flag::notes(&item.notes, after);
    if fields.0.is_empty() && notes == *item.notes {
        return Ok(None);
    }
    let item = if fields.0.is_empty() { item.clone() } else { item.with_fields(&fields) };
    Ok(Some(Item { notes: Notes { modified_ms: now_ms, ..notes }.into(), ..item }))
}
