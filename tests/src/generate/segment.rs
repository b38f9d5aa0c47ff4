//! One segment.

use super::clause::clause;
use super::dice::Dice;
use super::people::keys;
use serde_json::{Value, json};

/// The key of the segment with this number.
pub(super) fn key(index: usize) -> String {
    match index % 17 {
        16 => format!("segment-größe-{index:04}"),
        _ => format!("segment-{index:04}"),
    }
}

/// The segment with this number; it may refer to `earlier` ones.
pub(super) fn segment(seed: u64, index: usize, earlier: &[String]) -> Value {
    let dice = &mut Dice::new(seed ^ 0x5E6, index as u64);
    let (users, excluded) = (dice.between(0, 15), dice.between(0, 5));
    let organizations = dice.between(0, 5);
    let rules: Vec<Value> = (0..dice.between(0, 3)).map(|_| rule(dice, earlier)).collect();
    let mut segment = json!({
        "key": key(index),
        "included": dice.sample(&keys("user"), users),
        "excluded": dice.sample(&keys("user"), excluded),
        "includedContexts": [{"contextKind": "organization", "values": dice.sample(&keys("organization"), organizations)}],
        "excludedContexts": [],
        "rules": rules,
        "salt": dice.hex(16),
        "version": dice.between(1, 300),
        "deleted": false,
    });
    if dice.percent(30) {
        segment["excludedContexts"] = json!([{"contextKind": "device", "values": dice.sample(&keys("device"), 4)}]);
    }
    if dice.percent(30) {
        segment["x-future"] = json!({"kept": true});
    }
    segment
}

fn rule(dice: &mut Dice, earlier: &[String]) -> Value {
    let mut clauses: Vec<Value> = (0..dice.between(1, 2)).map(|_| clause(dice, earlier)).collect();
    let mut rule = json!({"id": dice.uuid()});
    if dice.percent(40) {
        rule["weight"] = json!(dice.between(0, 100_000));
        let mut kind = "user";
        match dice.below(3) {
            0 => rule["bucketBy"] = json!(dice.pick(&["key", "country", "age"])),
            1 => {
                kind = *dice.pick(&["user", "organization"]);
                rule["rolloutContextKind"] = json!(kind);
                rule["bucketBy"] = json!("/address/city");
            }
            _ => {}
        }
        clauses.insert(0, any_of_kind(kind));
    }
    rule["clauses"] = json!(clauses);
    rule
}

/// True for whoever has a context of the kind. A weighted rule needs it: for contexts without the
/// kind by which it divides, the Go SDK takes no such rule as a match and the others take every one.
fn any_of_kind(kind: &str) -> Value {
    json!({"attribute": "key", "contextKind": kind, "op": "startsWith", "values": [""]})
}
