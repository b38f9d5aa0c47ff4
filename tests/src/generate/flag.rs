//! One flag.

use super::clause::clause;
use super::dice::Dice;
use super::people::keys;
use super::rollout::outcome;
use serde_json::{Value, json};

const AREAS: [&str; 8] =
    ["checkout", "search", "billing", "mobile.home", "admin_panel", "api", "onboarding", "reports"];
const THINGS: [&str; 8] =
    ["new-flow", "rate-limit", "theme", "timeout-ms", "provider", "banner-text", "kill-switch", "config"];
/// How far back a prerequisite may lie, which also bounds the chains.
const REACH: usize = 6;

/// The key of the flag with this number; it depends on seed and number alone.
pub(super) fn key(seed: u64, index: usize) -> String {
    let mut dice = Dice::new(seed ^ 0xF1A6, index as u64);
    let (area, thing) = (dice.pick(&AREAS), dice.pick(&THINGS));
    match index % 41 {
        40 => format!("{area}.größe-東京-{index:05}"),
        _ => format!("{area}-{thing}-{index:05}"),
    }
}

/// The flag with this number.
pub(super) fn flag(seed: u64, index: usize, segments: &[String]) -> Value {
    let dice = &mut Dice::new(seed, index as u64);
    let variations = variations(dice);
    let count = variations.len();
    let mut flag = json!({
        "key": key(seed, index),
        "on": dice.percent(80),
        "prerequisites": prerequisites(dice, seed, index),
        "targets": [],
        "contextTargets": [],
        "rules": rules(dice, count, segments),
        "fallthrough": outcome(dice, count),
        "offVariation": off_variation(dice, count),
        "variations": variations,
        "salt": dice.hex(16),
        "trackEvents": dice.percent(20),
        "trackEventsFallthrough": dice.percent(10),
        "debugEventsUntilDate": if dice.percent(10) { json!(1_700_000_000_000_u64) } else { Value::Null },
        "version": dice.between(1, 900),
        "deleted": false,
        "clientSideAvailability": {"usingMobileKey": dice.percent(40), "usingEnvironmentId": dice.percent(40)},
    });
    targets(dice, &mut flag, count);
    rare_fields(dice, &mut flag);
    flag
}

fn variations(dice: &mut Dice) -> Vec<Value> {
    match dice.below(8) {
        0..=2 => vec![json!(true), json!(false)],
        3 => vec![json!("control"), json!(""), json!("größer 🦀 <b>&</b>"), json!("line\nbreak \"quoted\"")],
        4 => vec![json!("https://api-v2.example.com"), json!("https://api-v1.example.com"), json!("")],
        5 => vec![json!(0), json!(1.99), json!(-17), json!(9_007_199_254_740_991_u64), json!(0.1), json!(1e-7)],
        6 => vec![
            json!({"limit": dice.between(1, 10_000), "nested": {"list": [1, 2.5, null, "ü"], "on": true}}),
            json!({}),
            json!({"": "empty key", "a.b": {"c": []}}),
        ],
        _ => vec![json!([1, "two", {"three": 3}]), json!(null), json!([])],
    }
}

fn off_variation(dice: &mut Dice, count: usize) -> Value {
    if dice.percent(15) { Value::Null } else { json!(dice.below(count)) }
}

fn prerequisites(dice: &mut Dice, seed: u64, index: usize) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    if index == 0 || !dice.percent(20) {
        return found;
    }
    for _ in 0..dice.between(1, 2) {
        let earlier = dice.between(index.saturating_sub(REACH), index - 1);
        let required = key(seed, earlier);
        if found.iter().all(|known| known["key"] != required.as_str()) {
            found.push(json!({"key": required, "variation": dice.below(2)}));
        }
    }
    found
}

fn rules(dice: &mut Dice, count: usize, segments: &[String]) -> Vec<Value> {
    let wanted = *dice.pick(&[0, 1, 1, 2, 2, 4]);
    (0..wanted)
        .map(|number| {
            let mut rule = outcome(dice, count);
            let clauses: Vec<Value> = (0..*dice.pick(&[1, 1, 2, 2])).map(|_| clause(dice, segments)).collect();
            rule.insert("id".into(), json!(dice.uuid()));
            rule.insert("clauses".into(), json!(clauses));
            rule.insert("trackEvents".into(), json!(dice.percent(20)));
            if dice.percent(30) {
                rule.insert("ref".into(), json!(format!("rule-{number}")));
                rule.insert("description".into(), json!("Customers that asked for it first"));
            }
            Value::Object(rule)
        })
        .collect()
}

fn targets(dice: &mut Dice, flag: &mut Value, count: usize) {
    if !dice.percent(40) {
        return;
    }
    let variation = dice.below(count);
    let users = dice.between(2, 30);
    flag["targets"] =
        json!([{"values": dice.sample(&keys("user"), users), "variation": variation, "contextKind": "user"}]);
    let kind = *dice.pick(&["organization", "device"]);
    let other = dice.below(count);
    // An entry for users without values stands for the one in `targets`, and fixes the order.
    flag["contextTargets"] = json!([
        {"contextKind": "user", "values": [], "variation": variation},
        {"contextKind": kind, "values": dice.sample(&keys(kind), 4), "variation": other},
    ]);
}

/// What only some flags have, and what no SDK knows and every writer must keep.
fn rare_fields(dice: &mut Dice, flag: &mut Value) {
    if dice.percent(20) {
        flag["samplingRatio"] = json!(dice.pick(&[1, 10]));
        flag["excludeFromSummaries"] = json!(dice.percent(50));
    }
    if dice.percent(10) {
        flag["migration"] = json!({"checkRatio": dice.pick(&[1, 5])});
    }
    if dice.percent(30) {
        flag["x-future"] = json!({"nested": [1, 2.5, null, {"größe": "東京"}], "note": "kept as it is"});
    }
    if dice.percent(30) {
        flag["clientSide"] = json!(flag["clientSideAvailability"]["usingEnvironmentId"]);
    }
}
