//! The table as it lies in the embedded DynamoDB: flags by the official layout, and the head's
//! generation.
//!
//! The layout's names are public (`features`, `version`, `item`); the head is `store`'s own, and of
//! it only the generation is read, to be shown.

use super::places::{Held, Seen, Sight};
use dynoxide::Database;
use dynoxide::actions::get_item::GetItemRequest;
use dynoxide::actions::query::QueryRequest;
use dynoxide::types::{AttributeValue, Item};
use serde_json::Value;
use std::collections::HashMap;

/// Looks at every flag.
pub(super) fn look(database: &Database, table: &str) -> Seen {
    let flags: Vec<_> = items(database, table)?.iter().filter_map(held).collect();
    Ok(Sight {
        fact: generation(database, table).map_or("not filled yet".to_owned(), |number| format!("generation {number}")),
        detail: format!("{} items", flags.len()),
        flags: flags.into_iter().collect(),
    })
}

fn items(database: &Database, table: &str) -> Result<Vec<Item>, String> {
    let (mut all, mut from) = (Vec::new(), None);
    loop {
        let page = database.query(page_from(table, from)).map_err(|error| error.to_string())?;
        all.extend(page.items.unwrap_or_default());
        from = page.last_evaluated_key;
        if from.is_none() {
            return Ok(all);
        }
    }
}

/// Asks for the flags from a key on, or from the first.
fn page_from(table: &str, from: Option<Item>) -> QueryRequest {
    QueryRequest {
        table_name: table.to_owned(),
        key_condition_expression: Some("#n = :n".to_owned()),
        expression_attribute_names: Some([("#n".to_owned(), "namespace".to_owned())].into()),
        expression_attribute_values: Some([(":n".to_owned(), text("features"))].into()),
        scan_index_forward: true,
        exclusive_start_key: from,
        ..QueryRequest::default()
    }
}

fn held(item: &Item) -> Option<(String, Held)> {
    let AttributeValue::S(key) = item.get("key")? else { return None };
    let version = number(item, "version");
    let json: Value = match item.get("item") {
        Some(AttributeValue::S(json)) => serde_json::from_str(json).unwrap_or_default(),
        _ => Value::Null,
    };
    let text = match json["on"].as_bool() {
        Some(true) => "on",
        Some(false) => "off",
        None => "no flag",
    };
    let note = version.map_or("no version".to_owned(), |version| format!("v{version}"));
    Some((key.clone(), Held { text: text.to_owned(), note, version }))
}

fn generation(database: &Database, table: &str) -> Option<u64> {
    let key = HashMap::from([("namespace".to_owned(), text("$flagcache")), ("key".to_owned(), text("head"))]);
    let request = GetItemRequest { table_name: table.to_owned(), key, ..GetItemRequest::default() };
    number(&database.get_item(request).ok()?.item?, "generation")
}

fn number(item: &Item, name: &str) -> Option<u64> {
    match item.get(name)? {
        AttributeValue::N(number) => number.parse().ok(),
        _ => None,
    }
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}
