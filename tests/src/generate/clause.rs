//! Conditions of rules: every operator over attributes of the kind of value it is made for, and
//! now and then of another.

use super::dice::Dice;
use super::people::{CITIES, COUNTRIES, DATES, GROUPS, HANDLES, MILLIS, PLANS, ROLES, VERSIONS, keys, numbers};
use serde_json::{Value, json};

/// Every operator of the flag format.
pub const OPERATORS: [&str; 15] = [
    "in",
    "startsWith",
    "endsWith",
    "contains",
    "matches",
    "lessThan",
    "lessThanOrEqual",
    "greaterThan",
    "greaterThanOrEqual",
    "before",
    "after",
    "semVerEqual",
    "semVerLessThan",
    "semVerGreaterThan",
    "segmentMatch",
];

/// Patterns within what Rust, RE2, Python and JavaScript read alike; others (look-around,
/// back-references, `\d` over non-ASCII digits) are where the SDKs differ by design.
const PATTERNS: [&str; 6] = ["^ada", "@example\\.(com|org)$", "[A-Z]{2}", "^user-0[0-4]", "ü", "(unclosed"];

/// One condition; `segments` are those that a `segmentMatch` may name.
pub(super) fn clause(dice: &mut Dice, segments: &[String]) -> Value {
    let op = *dice.pick(&OPERATORS);
    if op == "segmentMatch" && !segments.is_empty() {
        return segment_match(dice, segments);
    }
    let op = if op == "segmentMatch" { "in" } else { op };
    let (kind, attribute, values) = subject(dice, op);
    let mut clause = json!({"attribute": attribute, "op": op, "values": values});
    // Without a context kind an attribute is a plain name, not a reference: so old flags come.
    if kind != "user" || attribute.starts_with('/') || dice.percent(50) {
        clause["contextKind"] = json!(kind);
    }
    if dice.percent(25) {
        clause["negate"] = json!(true);
    } else if dice.percent(50) {
        clause["negate"] = json!(false);
    }
    clause
}

fn segment_match(dice: &mut Dice, segments: &[String]) -> Value {
    let wanted = dice.between(1, 2);
    json!({
        "attribute": "",
        "op": "segmentMatch",
        "values": dice.sample(segments, wanted),
        "negate": dice.percent(25),
    })
}

/// What a condition is about: context kind, attribute and values.
fn subject(dice: &mut Dice, op: &str) -> (&'static str, &'static str, Vec<Value>) {
    let count = dice.between(1, 4);
    match op {
        "in" => member(dice, count),
        "startsWith" | "endsWith" | "contains" => text(dice, count),
        "matches" => {
            let attribute = *dice.pick(&["email", "key", "country", "handle"]);
            ("user", attribute, some(dice, &PATTERNS, 2))
        }
        "before" | "after" => {
            let attribute = *dice.pick(&["signedUp", "lastSeen"]);
            let values = if dice.percent(50) { some(dice, &DATES, 1) } else { some(dice, &MILLIS, 1) };
            ("user", attribute, values)
        }
        "semVerEqual" | "semVerLessThan" | "semVerGreaterThan" => {
            let (kind, attribute) = *dice.pick(&[("user", "appVersion"), ("device", "osVersion")]);
            (kind, attribute, some(dice, &VERSIONS, count))
        }
        _ => {
            let (kind, attribute) = *dice.pick(&[
                ("user", "age"),
                ("user", "score"),
                ("user", "scores"),
                ("user", "/address/geo/lat"),
                ("organization", "employees"),
                ("device", "battery"),
                ("user", "plan"),
            ]);
            (kind, attribute, some(dice, &numbers(), 1))
        }
    }
}

fn member(dice: &mut Dice, count: usize) -> (&'static str, &'static str, Vec<Value>) {
    match dice.below(12) {
        0 => ("user", "key", some(dice, &keys("user"), 12)),
        1 => ("user", "country", some(dice, &COUNTRIES, count)),
        2 => ("user", "groups", some(dice, &GROUPS, count)),
        3 => ("user", "/address/city", some(dice, &CITIES, count)),
        4 => ("user", "/team~1role", some(dice, &ROLES, count)),
        5 => ("user", "beta", vec![json!(dice.percent(50))]),
        6 => ("user", "anonymous", vec![json!(true)]),
        7 => ("user", "kind", vec![json!(dice.pick(&["user", "organization", "device"]))]),
        8 => ("user", "score", some(dice, &numbers(), count)),
        9 => ("organization", "plan", some(dice, &PLANS, count)),
        10 => ("organization", "key", some(dice, &keys("organization"), 5)),
        _ => ("user", "unset", vec![json!(null), json!("")]),
    }
}

fn text(dice: &mut Dice, count: usize) -> (&'static str, &'static str, Vec<Value>) {
    match dice.below(5) {
        0 => ("user", "email", some(dice, &["ada@", "@example.org", ".com", "bob"], count)),
        1 => ("user", "handle", some(dice, &HANDLES, count)),
        2 => ("user", "/address/city", some(dice, &["Z", "ü", "京", "n"], count)),
        3 => ("organization", "domains", some(dice, &["example", ".net", ".org"], count)),
        _ => ("user", "age", some(dice, &["1", "2"], count)),
    }
}

fn some<T: Clone + Into<Value>>(dice: &mut Dice, choices: &[T], count: usize) -> Vec<Value> {
    dice.sample(choices, count).into_iter().map(Into::into).collect()
}
