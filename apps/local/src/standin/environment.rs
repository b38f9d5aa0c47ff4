//! The one environment that the stand-in serves: its flags and segments, and every edit of them.
//!
//! Pure: no clock and no I/O. An edit gives back what it changed, for others to tell the world.
//! Versions only ever rise, also over a deletion and a new creation of the same key.

use super::item::{DataError, Fields, Item, ItemKind, Notes};
use super::raw_object::RawObject;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Items by key.
pub(super) type Items = BTreeMap<String, Item>;

/// The environment at one moment; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment {
    flags: Arc<Items>,
    segments: Arc<Items>,
    /// The versions that deletions had.
    deleted: Arc<BTreeMap<(ItemKind, String), u64>>,
}

/// What an edit made of one item.
#[derive(Debug, Clone)]
pub(super) struct Edit {
    pub(super) kind: ItemKind,
    pub(super) key: String,
    pub(super) before: Option<Item>,
    /// Nothing where it was deleted.
    pub(super) after: Option<Item>,
    /// The version that the edit gave to it.
    pub(super) version: u64,
}

/// A payload as the polling endpoint sends it. What else stands in it is of no interest.
#[derive(serde::Deserialize)]
struct Payload {
    flags: RawObject,
    #[serde(default)]
    segments: RawObject,
}

impl Environment {
    /// Reads a payload, `{"flags":{…},"segments":{…}}`.
    pub(super) fn from_payload(text: &str, now_ms: i64) -> Result<Self, DataError> {
        let payload: Payload =
            serde_json::from_str(text).map_err(|source| DataError::Json { what: "the payload".to_owned(), source })?;
        let items = |kind: ItemKind, object: RawObject| -> Result<Arc<Items>, DataError> {
            let items = object.into_fields().map(|(key, raw)| {
                let what = format!("the {} `{key}`", kind.name());
                let item = Item::new(raw, Notes::new(&key, now_ms), &what)?;
                Ok((key, item))
            });
            items.collect::<Result<Items, _>>().map(Arc::new)
        };
        Ok(Self {
            flags: items(ItemKind::Flag, payload.flags)?,
            segments: items(ItemKind::Segment, payload.segments)?,
            deleted: Arc::default(),
        })
    }

    /// All items of a kind, the archived among them.
    pub(super) fn items(&self, kind: ItemKind) -> &Items {
        match kind {
            ItemKind::Flag => &self.flags,
            ItemKind::Segment => &self.segments,
        }
    }

    /// One item, archived or not.
    pub(super) fn item(&self, kind: ItemKind, key: &str) -> Option<&Item> {
        self.items(kind).get(key)
    }

    /// Puts an item in as it is; its version is raised where it would not rise.
    pub(super) fn put(
        &mut self,
        kind: ItemKind,
        key: &str,
        raw: Box<RawValue>,
        notes: Notes,
    ) -> Result<Edit, DataError> {
        let what = format!("the {} `{key}`", kind.name());
        let known = self.item(kind, key).map(|item| item.version);
        let known = known.or_else(|| self.deleted.get(&(kind, key.to_owned())).copied());
        let item = Item::new(raw, notes, &what)?;
        let version = known.map_or(item.version, |known| item.version.max(known + 1));
        Ok(self.replace(kind, key, item.with_version(version)))
    }

    /// Sets fields of an item, and raises its version. Nothing where it does not exist.
    pub(super) fn set_fields(&mut self, kind: ItemKind, key: &str, fields: &Fields) -> Option<Edit> {
        let item = self.item(kind, key)?.with_fields(fields);
        Some(self.replace(kind, key, item))
    }

    /// Puts `item` in the place of what is there.
    pub(super) fn replace(&mut self, kind: ItemKind, key: &str, item: Item) -> Edit {
        let (version, after) = (item.version, Some(item.clone()));
        let before = self.items_mut(kind).insert(key.to_owned(), item);
        Edit { kind, key: key.to_owned(), before, after, version }
    }

    /// Deletes an item. Nothing where it does not exist.
    pub(super) fn delete(&mut self, kind: ItemKind, key: &str) -> Option<Edit> {
        let before = self.items_mut(kind).remove(key)?;
        let version = before.version + 1;
        Arc::make_mut(&mut self.deleted).insert((kind, key.to_owned()), version);
        Some(Edit { kind, key: key.to_owned(), before: Some(before), after: None, version })
    }

    fn items_mut(&mut self, kind: ItemKind) -> &mut Items {
        Arc::make_mut(match kind {
            ItemKind::Flag => &mut self.flags,
            ItemKind::Segment => &mut self.segments,
        })
    }
}

impl Edit {
    /// Whether SDKs could see the item before, and whether they can now.
    pub(super) fn visibility(&self) -> (bool, bool) {
        let is_visible = |item: &Option<Item>| item.as_ref().is_some_and(|item| !item.is_archived);
        (is_visible(&self.before), is_visible(&self.after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn environment() -> Environment {
        let payload = r#"{"flags":{"a":{"key":"a","x":1.50,"on":false,"version":3}},"other":1}"#;
        Environment::from_payload(payload, 0).unwrap()
    }

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn an_edit_changes_its_fields_and_the_version_alone() {
        let mut environment = environment();
        let fields = Fields(vec![("on".to_owned(), Some(json!(true)))]);
        let edit = environment.set_fields(ItemKind::Flag, "a", &fields).unwrap();
        assert_eq!(edit.version, 4);
        let item = environment.item(ItemKind::Flag, "a").unwrap();
        assert_eq!(item.raw.get(), r#"{"key":"a","x":1.50,"on":true,"version":4}"#);
        assert_eq!(edit.before.unwrap().version, 3);
    }

    #[test]
    fn versions_rise_over_puts_and_deletions() {
        let mut environment = environment();
        let put = |environment: &mut Environment, text: &str| {
            environment.put(ItemKind::Flag, "a", raw(text), Notes::new("a", 0)).unwrap().version
        };
        assert_eq!(put(&mut environment, r#"{ "version":9 }"#), 9);
        assert_eq!(environment.item(ItemKind::Flag, "a").unwrap().raw.get(), r#"{ "version":9 }"#);
        assert_eq!(put(&mut environment, r#"{"version":1}"#), 10);
        assert_eq!(environment.delete(ItemKind::Flag, "a").unwrap().version, 11);
        assert!(environment.delete(ItemKind::Flag, "a").is_none());
        assert_eq!(put(&mut environment, r#"{"version":1}"#), 12);
    }

    #[test]
    fn what_is_no_payload_is_named() {
        for (payload, expected) in [
            ("[]", "read the payload"),
            (r#"{"segments":{}}"#, "read the payload"),
            (r#"{"flags":{"a":[]}}"#, "read the flag `a`"),
            (r#"{"flags":{"a":{}}}"#, "read the flag `a`: it has no `version` that is a whole number"),
            (
                r#"{"flags":{},"segments":{"s":{"version":"1"}}}"#,
                "read the segment `s`: it has no `version` that is a whole number",
            ),
        ] {
            assert_eq!(Environment::from_payload(payload, 0).unwrap_err().to_string(), expected, "{payload}");
        }
    }
}
