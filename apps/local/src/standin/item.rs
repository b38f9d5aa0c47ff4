//! One flag or segment: its JSON as written, its version, and what only people see of it.

use super::raw_object::RawObject;
use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::Arc;
use thiserror::Error;

/// The two kinds of items in a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemKind {
    /// A flag.
    Flag,
    /// A segment.
    Segment,
}

impl ItemKind {
    /// The name of its collection, in payloads and in stream paths.
    pub(super) fn collection(self) -> &'static str {
        match self {
            Self::Flag => "flags",
            Self::Segment => "segments",
        }
    }

    /// Its name in resource specifiers and audit-log entries.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Segment => "segment",
        }
    }
}

/// Why some JSON is no flag, segment or payload.
#[derive(Debug, Error)]
pub enum DataError {
    /// Not JSON, or of another shape.
    #[error("read {what}")]
    Json {
        /// What it was to be.
        what: String,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// An item that says nothing of its version, or not in a whole number.
    #[error("read {what}: it has no `version` that is a whole number")]
    NoVersion {
        /// Which item.
        what: String,
    },
    /// An item without a key of its own, where nothing else gives one.
    #[error("read {what}: it has no `key`")]
    NoKey {
        /// Which item.
        what: String,
    },
}

/// A flag or segment as payloads carry it.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Byte for byte as it was given, or as it was last edited.
    pub(super) raw: Arc<RawValue>,
    pub(super) version: u64,
    /// Archived flags are in no payload.
    pub(super) is_archived: bool,
    pub(super) notes: Arc<Notes>,
}

/// What the REST API tells of an item and payloads do not.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Notes {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) tags: Vec<String>,
    pub(super) is_temporary: bool,
    /// Milliseconds since the Unix epoch.
    pub(super) created_ms: i64,
    pub(super) modified_ms: i64,
    /// `_version` of a flag: counts what changes it in all environments.
    pub(super) revision: u64,
}

impl Notes {
    pub(super) fn new(name: &str, now_ms: i64) -> Self {
        Self {
            name: name.to_owned(),
            description: String::new(),
            tags: Vec::new(),
            is_temporary: false,
            created_ms: now_ms,
            modified_ms: now_ms,
            revision: 1,
        }
    }
}

/// A change of an item's JSON: fields to be set, or taken away.
#[derive(Debug, Default)]
pub(super) struct Fields(pub(super) Vec<(String, Option<Value>)>);

impl Item {
    /// Reads an item; `what` names it in errors.
    pub(super) fn new(raw: Box<RawValue>, notes: Notes, what: &str) -> Result<Self, DataError> {
        let version = fields(&raw, what)?.get("version").and_then(|raw| serde_json::from_str(raw.get()).ok());
        let version = version.ok_or_else(|| DataError::NoVersion { what: what.to_owned() })?;
        Ok(Self { raw: raw.into(), version, is_archived: false, notes: notes.into() })
    }

    /// The same item with other fields and the next version.
    pub(super) fn with_fields(&self, fields: &Fields) -> Self {
        self.clone().edited(fields, self.version + 1)
    }

    /// The same item in another version, which alone is rewritten.
    pub(super) fn with_version(self, version: u64) -> Self {
        if self.version == version { self } else { self.edited(&Fields::default(), version) }
    }

    /// The whole item, for looking at it; its spelling is lost.
    pub(super) fn value(&self) -> Value {
        serde_json::from_str(self.raw.get()).unwrap_or_default()
    }

    fn edited(self, fields: &Fields, version: u64) -> Self {
        // It is an object: it was read as one.
        let mut object: RawObject = serde_json::from_str(self.raw.get()).unwrap_or_default();
        let version_field = ("version".to_owned(), Some(version.into()));
        for (name, value) in fields.0.iter().chain([&version_field]) {
            match value.as_ref().map(serde_json::value::to_raw_value) {
                // Values are JSON as they are.
                Some(value) => object.set(name, value.unwrap_or_default()),
                None => object.remove(name),
            }
        }
        let raw = RawValue::from_string(object.to_text()).map_or(self.raw, Arc::from);
        Self { raw, version, ..self }
    }
}

/// The key that an item gives itself.
pub(super) fn own_key(raw: &RawValue, what: &str) -> Result<String, DataError> {
    let key = fields(raw, what)?.get("key").and_then(|key| serde_json::from_str::<String>(key.get()).ok());
    key.filter(|key| !key.is_empty()).ok_or_else(|| DataError::NoKey { what: what.to_owned() })
}

/// Text that is JSON, kept as it is.
pub(super) fn raw_text(text: String) -> Result<Box<RawValue>, DataError> {
    RawValue::from_string(text).map_err(|source| DataError::Json { what: "an item".to_owned(), source })
}

fn fields(raw: &RawValue, what: &str) -> Result<RawObject, DataError> {
    serde_json::from_str(raw.get()).map_err(|source| DataError::Json { what: what.to_owned(), source })
}
