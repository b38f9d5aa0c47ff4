//! Capacity units by DynamoDB's published rules ("read and write operations" in the developer
//! guide).
//!
//! A read is charged by 4 KB of each item, half where it is eventually consistent, double in a
//! transaction; a write by 1 KB of the larger of the item before and after, double in a
//! transaction. An item that is not there costs the least that there is. The emulators' own figures
//! serve for `Query` and `Scan` alone, which the client may see projected: those of DynamoDB Local
//! leave out missing items in batches and overstate transactions.

use super::counts::Charge;
use super::item::item_size;
use http::StatusCode;
use serde_json::{Value, json};

const READ_BLOCK: usize = 4 * 1024;
const WRITE_BLOCK: usize = 1024;

/// One item that a request names by its key.
#[derive(Debug, Clone)]
pub(super) struct Touch {
    pub(super) table: String,
    pub(super) key: Value,
    access: Access,
}

#[derive(Debug, Clone, Copy)]
enum Access {
    Read {
        consistent: bool,
    },
    TransactionalRead,
    /// With the size that the item will have; updates learn it afterwards.
    Write {
        new_size: usize,
    },
    TransactionalWrite {
        new_size: usize,
    },
}

/// The items that a request names by their keys, in its order.
pub(super) fn touched(operation: &str, request: &Value) -> Vec<Touch> {
    match operation {
        "GetItem" => vec![read(&request["TableName"], &request["Key"], request)],
        "PutItem" => vec![put(&request["TableName"], &request["Item"])],
        "DeleteItem" | "UpdateItem" => {
            vec![touch(&request["TableName"], &request["Key"], Access::Write { new_size: 0 })]
        }
        "BatchGetItem" => tables(request)
            .flat_map(|(table, wanted)| array(&wanted["Keys"]).map(move |key| read(&json!(table), key, wanted)))
            .collect(),
        "BatchWriteItem" => tables(request)
            .flat_map(|(table, writes)| array(writes).map(move |write| batched(&json!(table), write)))
            .collect(),
        "TransactGetItems" => array(&request["TransactItems"])
            .map(|item| touch(&item["Get"]["TableName"], &item["Get"]["Key"], Access::TransactionalRead))
            .collect(),
        "TransactWriteItems" => array(&request["TransactItems"]).filter_map(transacted).collect(),
        _ => Vec::new(),
    }
}

/// Whether what the request costs cannot be told from the keys that it names.
pub(super) fn measured_by_the_backend(operation: &str) -> bool {
    matches!(operation, "Query" | "Scan")
}

/// Failed conditions are paid for like what they prevented; nothing else that fails is.
pub(super) fn is_charged(status: StatusCode, reply: &Value) -> bool {
    let kind = reply["__type"].as_str().unwrap_or_default();
    status.is_success()
        || kind.ends_with("ConditionalCheckFailedException")
        || kind.ends_with("TransactionCanceledException")
}

/// What a request costs, given the sizes of the items it touches before and, for an update, after.
/// One that names no keys costs what the backend's reply says.
pub(super) fn charge(touched: &[Touch], before: &[usize], after: &[usize], reply: &Value) -> Charge {
    if touched.is_empty() {
        let read = reply["ConsumedCapacity"]["CapacityUnits"].as_f64().unwrap_or_default();
        return Charge { read, write: 0.0 };
    }
    let mut total = Charge::default();
    for (index, touch) in touched.iter().enumerate() {
        let old = before.get(index).copied().unwrap_or_default();
        match touch.access {
            Access::Read { consistent: true } => total.read += blocks(old, READ_BLOCK),
            Access::Read { consistent: false } => total.read += blocks(old, READ_BLOCK) / 2.0,
            Access::TransactionalRead => total.read += blocks(old, READ_BLOCK) * 2.0,
            Access::Write { new_size } => {
                let new = new_size.max(after.get(index).copied().unwrap_or_default());
                total.write += blocks(old.max(new), WRITE_BLOCK);
            }
            Access::TransactionalWrite { new_size } => {
                total.write += blocks(old.max(new_size), WRITE_BLOCK) * 2.0;
            }
        }
    }
    total
}

fn blocks(size: usize, block: usize) -> f64 {
    let count = size.div_ceil(block).max(1);
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn batched(table: &Value, write: &Value) -> Touch {
    match write.get("PutRequest") {
        Some(request) => put(table, &request["Item"]),
        None => touch(table, &write["DeleteRequest"]["Key"], Access::Write { new_size: 0 }),
    }
}

fn transacted(action: &Value) -> Option<Touch> {
    let (kind, action) = action.as_object()?.iter().next()?;
    let table = &action["TableName"];
    Some(match kind.as_str() {
        "Put" => {
            let item = &action["Item"];
            touch(table, &key_of(item), Access::TransactionalWrite { new_size: item_size(item) })
        }
        _ => touch(table, &action["Key"], Access::TransactionalWrite { new_size: 0 }),
    })
}

fn read(table: &Value, key: &Value, options: &Value) -> Touch {
    touch(table, key, Access::Read { consistent: options["ConsistentRead"] == true })
}

fn put(table: &Value, item: &Value) -> Touch {
    touch(table, &key_of(item), Access::Write { new_size: item_size(item) })
}

fn touch(table: &Value, key: &Value, access: Access) -> Touch {
    Touch { table: table.as_str().unwrap_or_default().to_owned(), key: key.clone(), access }
}

/// The key attributes of the only layout that is ever counted.
fn key_of(item: &Value) -> Value {
    json!({"namespace": item["namespace"], "key": item["key"]})
}

fn tables(request: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let tables = request["RequestItems"].as_object().into_iter().flatten();
    tables.map(|(table, content)| (table.as_str(), content))
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Value {
        json!({"namespace": {"S": "features"}, "key": {"S": name}})
    }

    fn item(name: &str, size: usize) -> Value {
        let mut item = key(name);
        item["item"] = json!({"S": "x".repeat(size - item_size(&key(name)) - "item".len())});
        item
    }

    fn charged(operation: &str, request: &Value, before: &[usize]) -> Charge {
        charge(&touched(operation, request), before, &[], &Value::Null)
    }

    fn reads(read: f64) -> Charge {
        Charge { read, write: 0.0 }
    }

    fn writes(write: f64) -> Charge {
        Charge { read: 0.0, write }
    }

    #[test]
    fn reads_are_charged_by_four_kilobytes_of_each_item() {
        let get = |consistent| json!({"TableName": "t", "Key": key("a"), "ConsistentRead": consistent});
        for (consistent, size, units) in
            [(false, 0, 0.5), (false, 4096, 0.5), (false, 4097, 1.0), (true, 0, 1.0), (true, 4097, 2.0)]
        {
            assert_eq!(charged("GetItem", &get(consistent), &[size]), reads(units), "{consistent} {size}");
        }
        let batch =
            json!({"RequestItems": {"t": {"Keys": [key("a"), key("b"), key("missing")], "ConsistentRead": true}}});
        assert_eq!(charged("BatchGetItem", &batch, &[4096, 150_000, 0]), reads(1.0 + 37.0 + 1.0));
    }

    #[test]
    fn writes_are_charged_by_the_larger_of_before_and_after() {
        let put = json!({"TableName": "t", "Item": item("a", 1025)});
        assert_eq!(charged("PutItem", &put, &[0]), writes(2.0));
        assert_eq!(charged("PutItem", &put, &[3000]), writes(3.0));
        let delete = json!({"TableName": "t", "Key": key("a")});
        assert_eq!(charged("DeleteItem", &delete, &[0]), writes(1.0));
        assert_eq!(charged("DeleteItem", &delete, &[5000]), writes(5.0));
        let batch = json!({"RequestItems": {"t": [
            {"PutRequest": {"Item": item("a", 1024)}},
            {"DeleteRequest": {"Key": key("b")}},
        ]}});
        assert_eq!(charged("BatchWriteItem", &batch, &[0, 2048]), writes(1.0 + 2.0));
    }

    #[test]
    fn transactions_cost_double() {
        let write = json!({"TransactItems": [
            {"Put": {"TableName": "t", "Item": item("a", 1500)}},
            {"Delete": {"TableName": "t", "Key": key("b")}},
            {"ConditionCheck": {"TableName": "t", "Key": key("c"), "ConditionExpression": "…"}},
        ]});
        assert_eq!(charged("TransactWriteItems", &write, &[0, 0, 3000]), writes(2.0 * (2.0 + 1.0 + 3.0)));
        let read = json!({"TransactItems": [{"Get": {"TableName": "t", "Key": key("a")}}]});
        assert_eq!(charged("TransactGetItems", &read, &[5000]), reads(4.0));
    }

    #[test]
    fn only_failed_conditions_are_paid_for() {
        let error = |name: &str| json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{name}")});
        let bad = StatusCode::BAD_REQUEST;
        assert!(is_charged(StatusCode::OK, &json!({})));
        assert!(is_charged(bad, &error("ConditionalCheckFailedException")));
        assert!(is_charged(bad, &error("TransactionCanceledException")));
        assert!(!is_charged(bad, &error("ValidationException")));
        assert!(!is_charged(bad, &error("ProvisionedThroughputExceededException")));
    }
}
