//! A flag between two shapes: as payloads carry it, and as the REST API shows it.
//!
//! What is the same in all environments stands at the top, the rest under `environments`. A patch
//! is made on the second shape; what it changed there is then set in the first, field by field, so
//! that everything else stays as it was written.

use super::Refusal;
use crate::standin::item::{Fields, Item, Notes};
use crate::standin::options::StandinOptions;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

type IsOfType = fn(&Value) -> bool;

/// The fields of an environment that are fields of a payload's flag too, and the type they have.
const TARGETING: [(&str, IsOfType); 10] = [
    ("on", Value::is_boolean),
    ("fallthrough", Value::is_object),
    ("offVariation", Value::is_u64),
    ("rules", Value::is_array),
    ("targets", Value::is_array),
    ("contextTargets", Value::is_array),
    ("prerequisites", Value::is_array),
    ("trackEvents", Value::is_boolean),
    ("trackEventsFallthrough", Value::is_boolean),
    ("debugEventsUntilDate", Value::is_u64),
];

pub(super) fn representation(options: &StandinOptions, key: &str, item: &Item) -> Value {
    let flag = item.value();
    let StandinOptions { project, environment, .. } = options;
    let values = flag["variations"].as_array().cloned().unwrap_or_default();
    let kind = if values.iter().all(Value::is_boolean) { "boolean" } else { "multivariate" };
    let last = values.len().saturating_sub(1);
    let variations: Vec<Value> = (values.into_iter().enumerate())
        .map(|(index, value)| json!({"_id": variation_id(key, index), "value": value}))
        .collect();
    let availability = flag.get("clientSideAvailability").cloned();
    let nowhere = json!({"usingMobileKey": false, "usingEnvironmentId": false});
    let notes = &item.notes;
    let mut representation = json!({
        "_links": {
            "parent": {"href": format!("/api/v2/flags/{project}"), "type": "application/json"},
            "self": {"href": format!("/api/v2/flags/{project}/{key}"), "type": "application/json"},
        },
        "_version": notes.revision,
        "key": key,
        "kind": kind,
        "name": notes.name,
        "description": notes.description,
        "tags": notes.tags,
        "temporary": notes.is_temporary,
        "creationDate": notes.created_ms,
        "archived": item.is_archived,
        "deprecated": false,
        "includeInSnippet": availability.as_ref().is_some_and(|it| it["usingEnvironmentId"] == true),
        "clientSideAvailability": availability.unwrap_or(nowhere),
        "variations": variations,
        "defaults": {"onVariation": 0, "offVariation": flag["offVariation"].as_u64().unwrap_or(last as u64)},
        "experiments": {"baselineIdx": 0, "items": []},
        "goalIds": [],
        "customProperties": {},
    });
    representation["environments"] = json!({environment: targeting(options, key, item, &flag)});
    representation
}

fn targeting(options: &StandinOptions, key: &str, item: &Item, flag: &Value) -> Value {
    let mut targeting = Map::new();
    for (name, _) in TARGETING {
        if let Some(value) = flag.get(name).filter(|value| !value.is_null()) {
            targeting.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(rules) = targeting.get_mut("rules") {
        rename_ids(rules, "id", "_id");
    }
    let site = format!("/{}/{}/features/{key}", options.project, options.environment);
    targeting.extend([
        ("archived".to_owned(), item.is_archived.into()),
        ("salt".to_owned(), flag.get("salt").cloned().unwrap_or_default()),
        ("sel".to_owned(), variation_id(key, usize::MAX).into()),
        ("lastModified".to_owned(), item.notes.modified_ms.into()),
        ("version".to_owned(), item.version.into()),
        ("_site".to_owned(), json!({"href": site, "type": "text/html"})),
        ("_environmentName".to_owned(), options.environment.as_str().into()),
    ]);
    targeting.into()
}

/// The item after a change of its representation; nothing where nothing that counts has changed.
pub(super) fn changed(
    options: &StandinOptions,
    item: &Item,
    before: &Value,
    after: &Value,
    now_ms: i64,
) -> Result<Option<Item>, Refusal> {
    let environment = &options.environment;
    let mut fields = Fields::default();
    for (name, is_of_type) in TARGETING {
        let (was, mut is) =
            (&before["environments"][environment][name], after["environments"][environment][name].clone());
        if *was == is {
            continue;
        }
        if !is.is_null() && !is_of_type(&is) || is.is_null() && matches!(name, "on" | "fallthrough") {
            return Err(Refusal::invalid(format!("{name} cannot be {is}")));
        }
        rename_ids(&mut is, "_id", "id");
        fields.0.push((name.to_owned(), (!is.is_null()).then_some(is)));
    }
    if before["variations"] != after["variations"] {
        let values = after["variations"].as_array().into_iter().flatten().map(|one| one["value"].clone()).collect();
        fields.0.push(("variations".to_owned(), Some(values)));
    }
    if before["clientSideAvailability"] != after["clientSideAvailability"] {
        fields.0.push(("clientSideAvailability".to_owned(), Some(after["clientSideAvailability"].clone())));
    }
    let is_archived = after["archived"] == true;
    let notes = notes(&item.notes, after);
    let is_in_payload = !fields.0.is_empty() || is_archived != item.is_archived;
    if !is_in_payload && notes == *item.notes {
        return Ok(None);
    }
    let is_global =
        notes != *item.notes || is_archived != item.is_archived || before["variations"] != after["variations"];
    let revision = notes.revision + u64::from(is_global);
    let item = if is_in_payload { item.with_fields(&fields) } else { item.clone() };
    Ok(Some(Item { is_archived, notes: Notes { modified_ms: now_ms, revision, ..notes }.into(), ..item }))
}

/// The notes with what `after` says of them.
pub(super) fn notes(notes: &Notes, after: &Value) -> Notes {
    let text = |name: &str| after[name].as_str().unwrap_or_default().to_owned();
    let tags = after["tags"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Notes {
        name: text("name"),
        description: text("description"),
        tags: tags.map(str::to_owned).collect(),
        is_temporary: after["temporary"] == true,
        ..notes.clone()
    }
}

/// What a request to create a flag makes: a flag that is off, and its notes.
pub(super) fn created(request: &Value, now_ms: i64) -> Result<(String, Value, Notes), Refusal> {
    let key = request["key"].as_str().filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| Refusal::invalid("key is required"))?;
    let name = request["name"].as_str().ok_or_else(|| Refusal::invalid("name is required"))?;
    let values: Vec<Value> = match request.get("variations").and_then(Value::as_array) {
        Some(variations) => variations.iter().map(|one| one["value"].clone()).collect(),
        None => vec![true.into(), false.into()],
    };
    let defaults = &request["defaults"];
    let off = defaults["offVariation"].as_u64().unwrap_or(values.len().saturating_sub(1) as u64);
    let flag = json!({
        "key": key,
        "on": false,
        "prerequisites": [],
        "targets": [],
        "contextTargets": [],
        "rules": [],
        "fallthrough": {"variation": defaults["onVariation"].as_u64().unwrap_or(0)},
        "offVariation": off,
        "variations": values,
        "clientSideAvailability": request.get("clientSideAvailability").cloned()
            .unwrap_or(json!({"usingMobileKey": false, "usingEnvironmentId": false})),
        "salt": format!("{:032x}", rand::random::<u128>()),
        "trackEvents": false,
        "trackEventsFallthrough": false,
        "version": 1,
        "deleted": false,
    });
    Ok((key.to_owned(), flag, notes(&Notes::new(name, now_ms), request)))
}

/// Rules have an `_id` here and an `id` in payloads.
fn rename_ids(rules: &mut Value, from: &str, to: &str) {
    for rule in rules.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        if let Some(id) = rule.remove(from) {
            rule.insert(to.to_owned(), id);
        }
    }
}

/// An id that stays the same.
fn variation_id(key: &str, index: usize) -> String {
    let hex = hex::encode(Sha256::digest(format!("{key}/{index}")));
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..30])
}
