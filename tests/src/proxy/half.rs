//! Batches of which only the first half is taken, as DynamoDB does where it is short of capacity.
//!
//! Pure: a request becomes the half that is passed on, and what the answer then says of the rest.

use serde_json::{Map, Value};

/// A batch cut in two.
#[derive(Debug, PartialEq)]
pub(super) struct Half {
    /// The request with the first half alone.
    pub(super) taken: Value,
    /// The field of the answer that names the rest.
    pub(super) field: &'static str,
    /// The rest, by table.
    pub(super) rest: Value,
}

/// Cuts a batch in two; nothing where the request is none, or has nothing to leave over.
pub(super) fn halved(operation: &str, request: &Value) -> Option<Half> {
    let (field, list) = match operation {
        "BatchWriteItem" => ("UnprocessedItems", ""),
        "BatchGetItem" => ("UnprocessedKeys", "/Keys"),
        _ => return None,
    };
    let (mut taken, mut rest) = (request.clone(), Map::new());
    for (table, wanted) in taken["RequestItems"].as_object_mut()? {
        let mut others = wanted.clone();
        let first = wanted.pointer_mut(list)?.as_array_mut()?;
        let left = first.split_off(first.len().div_ceil(2));
        if !left.is_empty() {
            *others.pointer_mut(list)? = Value::Array(left);
            rest.insert(table.clone(), others);
        }
    }
    (!rest.is_empty()).then_some(Half { taken, field, rest: Value::Object(rest) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_second_half_is_left_over() {
        let half = halved("BatchWriteItem", &json!({"RequestItems": {"t": [1, 2, 3]}, "x": 1})).unwrap();
        assert_eq!(half.taken, json!({"RequestItems": {"t": [1, 2]}, "x": 1}));
        assert_eq!((half.field, half.rest), ("UnprocessedItems", json!({"t": [3]})));
        let half = halved("BatchGetItem", &json!({"RequestItems": {"t": {"Keys": [1, 2], "y": 2}}})).unwrap();
        assert_eq!(half.taken, json!({"RequestItems": {"t": {"Keys": [1], "y": 2}}}));
        assert_eq!((half.field, half.rest), ("UnprocessedKeys", json!({"t": {"Keys": [2], "y": 2}})));
    }

    #[test]
    fn what_has_no_second_half_is_left_whole() {
        for (operation, request) in [
            ("BatchWriteItem", json!({"RequestItems": {"t": [1]}})),
            ("PutItem", json!({"RequestItems": {"t": [1, 2]}})),
            ("BatchGetItem", json!({"RequestItems": {"t": [1, 2]}})),
        ] {
            assert_eq!(halved(operation, &request), None, "{operation} {request}");
        }
    }
}
