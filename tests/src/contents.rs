//! What a table holds at one moment, to be compared with what it held before and with a payload.

use crate::table::Table;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The items of a table by namespace and key.
#[derive(Debug, Clone, PartialEq)]
pub struct Contents(BTreeMap<(String, String), Value>);

impl Contents {
    /// Reads a table.
    pub async fn of(table: &Table) -> Result<Self> {
        let text = |item: &Value, name: &str| item[name]["S"].as_str().map(str::to_owned);
        let items = table.items().await?.into_iter().map(|item| {
            let keys = text(&item, "namespace").zip(text(&item, "key"));
            keys.map(|keys| (keys, item)).context("an item has no keys")
        });
        items.collect::<Result<_>>().map(Self)
    }

    /// One item.
    pub fn item(&self, namespace: &str, key: &str) -> Option<&Value> {
        self.0.get(&(namespace.to_owned(), key.to_owned()))
    }

    /// The items that lie in other namespaces than those below a prefix.
    #[must_use]
    pub fn outside(&self, prefix: &str) -> Self {
        let ours = [named(prefix, "features"), named(prefix, "segments")];
        let marks = named(prefix, "$");
        let foreign = |namespace: &String| !ours.contains(namespace) && !namespace.starts_with(&marks);
        Self(self.0.iter().filter(|((namespace, _), _)| foreign(namespace)).map(clone).collect())
    }

    /// The keys of a namespace.
    pub fn keys(&self, namespace: &str) -> Vec<&str> {
        self.0.keys().filter(|(found, _)| found == namespace).map(|(_, key)| key.as_str()).collect()
    }

    /// The JSON of an item of the official layout, as it stands there.
    pub fn json(&self, namespace: &str, key: &str) -> Option<&str> {
        self.item(namespace, key)?["item"]["S"].as_str()
    }

    /// The version of an item of the official layout.
    pub fn version(&self, namespace: &str, key: &str) -> Option<u64> {
        self.item(namespace, key)?["version"]["N"].as_str()?.parse().ok()
    }

    /// Whether the mark is there that the table is filled.
    pub fn is_marked(&self, prefix: &str) -> bool {
        let mark = named(prefix, "$inited");
        self.item(&mark, &mark).is_some()
    }

    /// Whether the official layout below a prefix is exactly a payload: the same items, each byte for byte, and the mark.
    pub fn ensure_is(&self, prefix: &str, payload: &str) -> Result<()> {
        ensure!(self.is_marked(prefix), "the mark is missing that the table is filled");
        let mut payload: BTreeMap<&str, BTreeMap<String, &RawValue>> = serde_json::from_str(payload)?;
        for (kind, namespace) in [("flags", "features"), ("segments", "segments")] {
            let (wanted, namespace) = (payload.remove(kind).unwrap_or_default(), named(prefix, namespace));
            let keys: Vec<&str> = wanted.keys().map(String::as_str).collect();
            let found = self.keys(&namespace);
            ensure!(found == keys, "{namespace} holds {found:?} and should hold {keys:?}");
            for (key, raw) in wanted {
                let json = self.json(&namespace, &key).unwrap_or_default();
                ensure!(json == raw.get(), "{namespace} {key} is\n{json}\nand should be\n{}", raw.get());
                let version = serde_json::from_str::<Value>(raw.get())?["version"].as_u64();
                ensure!(self.version(&namespace, &key) == version, "{namespace} {key} has a wrong version");
            }
        }
        Ok(())
    }
}

/// A namespace below a prefix; an empty prefix is none.
pub fn named(prefix: &str, namespace: &str) -> String {
    if prefix.is_empty() { namespace.to_owned() } else { format!("{prefix}:{namespace}") }
}

fn clone<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}
