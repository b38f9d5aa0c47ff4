//! What a webhook says: an audit-log entry, and the flags and segments that it names.
//!
//! The body is only a hint that something changed and what to look for in the payload, so it is
//! read leniently: what is missing or of an unexpected type is left out, and only a body that is
//! no JSON object is an error. Reads no HTTP and checks no signature ([`crate::webhook`] does,
//! before). Webhooks arrive late, twice and out of order: nothing here depends on the order.
//!
//! Format: <https://launchdarkly.com/docs/api/webhooks> and the `AuditLogEntryRep` of the REST
//! API's public description. Resource specifiers and versions have rooms of their own below.

mod resource;
mod version;

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use thiserror::Error;

use resource::Resource;

/// Why a webhook's body is not an audit-log entry.
#[derive(Debug, Error)]
pub enum EntryError {
    /// Not JSON, or nested deeper than 128 levels.
    #[error("read the webhook's body as JSON")]
    NotJson(#[source] serde_json::Error),
    /// JSON, but of another shape.
    #[error("read the webhook's body as an audit-log entry: expected a JSON object, found {found}")]
    NotAnObject {
        /// What it is instead, such as `an array`.
        found: &'static str,
    },
}

/// What an audit-log entry is about, as far as it matters to the payload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// `_id`: the same for every delivery of this entry.
    pub id: Option<String>,
    /// `kind`: what was changed, such as `flag`, `segment`, `environment`, `project`, `member`.
    pub kind: Option<String>,
    /// `date`: when it was changed, in milliseconds since the Unix epoch.
    pub date_ms: Option<u64>,
    /// The flags and segments named by key, each once, segments and flags each in order of key.
    pub changes: Vec<NamedChange>,
    /// Whether flags or segments are also named by a pattern (`flag/*`), which says nothing that
    /// could be looked for in the payload.
    pub has_wildcards: bool,
}

/// One flag or segment that an entry names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedChange {
    /// Whether it is a flag or a segment.
    pub kind: ItemKind,
    /// Its key, never empty and never a pattern.
    pub key: String,
    /// The action as LaunchDarkly names it, such as `updateOn`; empty where the entry names none.
    pub action: String,
    /// What the action means to the payload.
    pub what: Change,
    /// The environment's key, where exactly one is named.
    pub environment: Option<String>,
    /// The version that the change gave to the item in the payload, where the entry tells.
    pub version: Option<u64>,
    /// Where the change reaches several environments in which the item has different versions:
    /// each of these versions, in ascending order. Which one is this environment's, the entry
    /// cannot tell. Otherwise empty.
    pub candidate_versions: Vec<u64>,
}

/// What a change names: the two kinds of items that a payload holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ItemKind {
    /// A flag.
    Flag,
    /// A segment.
    Segment,
}

/// What a change means to the payload. Of several changes of one item, the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// The item is in the payload, with the change.
    Updated,
    /// The item is new in the payload.
    Created,
    /// The item is no longer in the payload: deleted, or an archived flag.
    Deleted,
}

impl Entry {
    /// Reads a webhook's body.
    pub fn parse(body: &[u8]) -> Result<Self, EntryError> {
        let entry = match serde_json::from_slice(body).map_err(EntryError::NotJson)? {
            Value::Object(entry) => entry,
            other => return Err(EntryError::NotAnObject { found: name(&other) }),
        };
        let (named, has_wildcards) = named_items(&entry);
        let is_sole_item = named.len() == 1 && !has_wildcards;
        let current = entry.get("currentVersion").and_then(Value::as_object);
        let changes = named
            .into_iter()
            .map(|((kind, key), named)| {
                let current = current.filter(|current| match current.get("key").and_then(Value::as_str) {
                    Some(current_key) => current_key == key,
                    None => is_sole_item,
                });
                named.into_change(kind, key, current)
            })
            .collect();
        Ok(Self {
            id: text(&entry, "_id"),
            kind: text(&entry, "kind"),
            date_ms: entry.get("date").and_then(version::whole_number),
            changes,
            has_wildcards,
        })
    }
}

impl NamedChange {
    /// Whether a payload that holds the item in `version` shows this change; nothing where the
    /// entry does not tell the version.
    pub fn is_shown_by(&self, version: u64) -> Option<bool> {
        match (self.version, self.candidate_versions.last()) {
            (Some(changed), _) => Some(version >= changed),
            (None, Some(highest)) => Some(version >= *highest || self.candidate_versions.contains(&version)),
            (None, None) => None,
        }
    }
}

/// What the accesses say of one item, all taken together.
struct Named {
    action: String,
    what: Change,
    /// The environments named for it, as written: keys and patterns, or nothing.
    environments: Vec<Option<String>>,
}

impl Named {
    fn into_change(self, kind: ItemKind, key: String, current: Option<&Map<String, Value>>) -> NamedChange {
        let versions = match (kind, current) {
            (_, None) => Vec::new(),
            (ItemKind::Segment, Some(segment)) => version::of_segment(segment),
            (ItemKind::Flag, Some(flag)) => version::of_flag(flag, &self.environments),
        };
        let is_archived =
            kind == ItemKind::Flag && current.and_then(|flag| flag.get("archived")) == Some(&Value::Bool(true));
        let (version, candidate_versions) = match versions[..] {
            [version] => (Some(version), Vec::new()),
            _ => (None, versions),
        };
        NamedChange {
            kind,
            key,
            action: self.action,
            // An archived flag leaves the payload: SDKs answer with the caller's fallback
            // (https://launchdarkly.com/docs/home/flags/archive).
            what: if is_archived { Change::Deleted } else { self.what },
            environment: sole_environment(&self.environments),
            version,
            candidate_versions,
        }
    }
}

type NamedItems = BTreeMap<(ItemKind, String), Named>;

/// The items named by key, and whether any are named by pattern.
///
/// `target.resources` counts only where no access names an item: it names every environment that
/// the item exists in, also those in which nothing changed.
fn named_items(entry: &Map<String, Value>) -> (NamedItems, bool) {
    let mut named = NamedItems::new();
    let mut has_wildcards = false;
    let accesses = array(entry.get("accesses"));
    for access in accesses {
        let action = access.get("action").and_then(Value::as_str).unwrap_or("");
        let specifiers = access.get("resource").and_then(Value::as_str).unwrap_or("");
        has_wildcards |= add(&mut named, action, specifiers);
    }
    if named.is_empty() && !has_wildcards {
        let action = accesses.first().and_then(|access| access.get("action")?.as_str()).unwrap_or("");
        for specifiers in array(entry.get("target").and_then(|target| target.get("resources"))) {
            has_wildcards |= add(&mut named, action, specifiers.as_str().unwrap_or(""));
        }
    }
    (named, has_wildcards)
}

/// Adds what `specifiers` name; whether patterns are among them.
fn add(named: &mut NamedItems, action: &str, specifiers: &str) -> bool {
    let what = what(action);
    let mut has_wildcards = false;
    for Resource { kind, key, environment } in resource::parse(specifiers) {
        if key.contains('*') {
            has_wildcards = true;
            continue;
        }
        let item = named.entry((kind, key.to_owned())).or_insert_with(|| Named {
            action: action.to_owned(),
            what,
            environments: Vec::new(),
        });
        if what > item.what {
            item.what = what;
            action.clone_into(&mut item.action);
        }
        item.environments.push(environment.map(str::to_owned));
    }
    has_wildcards
}

/// Names: <https://launchdarkly.com/docs/home/account/roles/role-actions>.
fn what(action: &str) -> Change {
    match action {
        "createFlag" | "cloneFlag" | "createSegment" => Change::Created,
        "deleteFlag" | "deleteSegment" => Change::Deleted,
        _ => Change::Updated,
    }
}

fn sole_environment(environments: &[Option<String>]) -> Option<String> {
    let first = environments.first()?.as_deref()?;
    let is_sole = !first.contains('*') && environments.iter().all(|environment| environment.as_deref() == Some(first));
    is_sole.then(|| first.to_owned())
}

fn text(object: &Map<String, Value>, field: &str) -> Option<String> {
    object.get(field)?.as_str().map(str::to_owned)
}

fn array(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
