//! Who and what the generated contexts are: the key pools and attribute values.
//!
//! Clauses and contexts draw from the same lists, so that rules, targets and segments really match
//! some contexts and miss others.

use super::dice::Dice;
use serde_json::{Value, json};

/// How many users there are to choose from.
const USERS: usize = 60;
/// How many organizations and devices there are to choose from.
const OTHERS: usize = 20;

pub(super) const COUNTRIES: [&str; 8] = ["AT", "BR", "CH", "DE", "GB", "JP", "US", "ZA"];
pub(super) const PLANS: [&str; 4] = ["free", "pro", "enterprise", ""];
pub(super) const GROUPS: [&str; 6] = ["beta", "staff", "qa", "early-access", "größe", "ops"];
pub(super) const CITIES: [&str; 5] = ["Zürich", "Berlin", "São Paulo", "東京", "Austin"];
pub(super) const ROLES: [&str; 4] = ["owner", "admin", "writer", "reader"];
pub(super) const VERSIONS: [&str; 12] = [
    "2",
    "2.0",
    "2.0.0",
    "2.0.1",
    "2.1.0-alpha.1",
    "2.1.0-alpha.10",
    "2.1.0-beta",
    "2.1.0",
    "2.1.0+build.7",
    "10.0.0",
    "not-a-version",
    "3.4.5-rc.1",
];
pub(super) const DATES: [&str; 6] = [
    "2019-06-30T23:59:59Z",
    "2020-01-01T00:00:00Z",
    "2020-01-01T01:30:00+02:00",
    "2021-12-31T23:59:59.999Z",
    "2024-02-29T12:00:00-07:00",
    "yesterday",
];
/// The same times and others, in milliseconds since 1970.
pub(super) const MILLIS: [u64; 5] = [1_561_939_199_000, 1_577_836_800_000, 1_640_995_199_999, 1_709_233_200_000, 0];
pub(super) const HANDLES: [&str; 6] = ["", "ada", "Ada Lovelace", "Ünïcödé", "🦀 crab", "x\"y\\z"];

/// Numbers, the whole ones spelled without a fraction as LaunchDarkly's own SDKs do: of `17.0` the
/// Python SDK says that it is no integer and divides no rollout by it, the others do.
pub(super) fn numbers() -> Vec<Value> {
    let fractions = [0.1, 1.99, 42.5].map(Value::from);
    [-5, 0, 17, 18, 65, 1_000_000_000].map(Value::from).into_iter().chain(fractions).collect()
}

/// The key pool of a context kind.
pub(super) fn keys(kind: &str) -> Vec<String> {
    let count = if kind == "user" { USERS } else { OTHERS };
    (0..count)
        .map(|index| match (kind, index % 13) {
            ("user", 7) => format!("Nutzer/{index}:ü%"),
            _ => format!("{kind}-{index:03}"),
        })
        .collect()
}

/// A user's attributes, the built-in ones included.
pub(super) fn user(dice: &mut Dice, key: &str) -> Value {
    let mut user = json!({
        "key": key,
        "country": dice.pick(&COUNTRIES),
        "plan": dice.pick(&PLANS),
        "email": format!("{}@{}", dice.pick(&["ada", "bob", "eve"]), dice.pick(&["example.com", "example.org"])),
        "age": dice.between(16, 70),
        "score": dice.pick(&numbers()),
        "appVersion": dice.pick(&VERSIONS),
        "signedUp": dice.pick(&DATES),
        "lastSeen": dice.pick(&MILLIS),
        "beta": dice.percent(50),
        "groups": dice.sample(&GROUPS, 3),
        "scores": dice.sample(&numbers(), 3),
        "address": {
            "city": dice.pick(&CITIES),
            "geo": {"lat": dice.pick(&numbers()), "zone": dice.pick(&COUNTRIES)},
        },
        "team/role": dice.pick(&ROLES),
        "handle": dice.pick(&HANDLES),
        "unset": null,
    });
    if dice.percent(30) {
        user["anonymous"] = json!(dice.percent(50));
    }
    if dice.percent(60) {
        user["name"] = json!(dice.pick(&HANDLES));
    }
    if dice.percent(20) {
        user["_meta"] = json!({"privateAttributes": ["email", "/address/city"]});
    }
    if dice.percent(25) {
        drop_some(dice, &mut user);
    }
    user
}

/// An organization's attributes.
pub(super) fn organization(dice: &mut Dice, key: &str) -> Value {
    json!({
        "key": key,
        "name": dice.pick(&HANDLES),
        "plan": dice.pick(&PLANS),
        "employees": dice.pick(&[1_u64, 50, 500, 9_007_199_254_740_991]),
        "founded": dice.pick(&DATES),
        "domains": dice.sample(&["example.com", "example.org", "example.net"], 2),
        "address": {"city": dice.pick(&CITIES)},
    })
}

/// A device's attributes.
pub(super) fn device(dice: &mut Dice, key: &str) -> Value {
    json!({
        "key": key,
        "os": dice.pick(&["ios", "android", "web"]),
        "osVersion": dice.pick(&VERSIONS),
        "battery": dice.pick(&numbers()),
        "anonymous": dice.percent(50),
    })
}

/// Takes attributes away, so that clauses also meet contexts without them.
fn drop_some(dice: &mut Dice, user: &mut Value) {
    for name in dice.sample(&["country", "plan", "appVersion", "groups", "address", "score"], 3) {
        if let Some(fields) = user.as_object_mut() {
            fields.remove(name);
        }
    }
}
