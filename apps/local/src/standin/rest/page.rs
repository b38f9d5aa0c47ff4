//! Lists by pages: `limit`, `offset`, and the links to the other pages.

use super::Refusal;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// How many items a page has unless the client says so.
const DEFAULT_LIMIT: usize = 20;

/// The page of `items` that the query asks for.
pub(super) fn page(items: &[Value], path: &str, query: &HashMap<String, String>) -> Result<Value, Refusal> {
    let number = |name: &str, default: usize| match query.get(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| Refusal::invalid(format!("{name} is no number: {text}"))),
    };
    let limit = number("limit", DEFAULT_LIMIT)?.max(1);
    let offset = number("offset", 0)?;
    let total = items.len();
    let link =
        |offset: usize| json!({"href": format!("{path}?limit={limit}&offset={offset}"), "type": "application/json"});
    let mut links = Map::from_iter([("self".to_owned(), link(offset))]);
    if offset > 0 {
        links.insert("first".to_owned(), link(0));
        links.insert("prev".to_owned(), link(offset.saturating_sub(limit)));
    }
    if offset.saturating_add(limit) < total {
        links.insert("next".to_owned(), link(offset + limit));
        links.insert("last".to_owned(), link((total - 1) / limit * limit));
    }
    let items: Vec<_> = items.iter().skip(offset).take(limit).collect();
    Ok(json!({"_links": links, "items": items, "totalCount": total}))
}
