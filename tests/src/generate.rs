//! Generated environments: payloads as LaunchDarkly sends them, and contexts to evaluate.
//!
//! Everything follows from the seed, so a failing case is told by its numbers. Realistic in size
//! (1,000 flags and 50 segments are about 1.3 MB) and in what it uses: every operator, rollouts,
//! experiments, prerequisites, nested segments, fields that no SDK knows. Every reference leads to
//! an item of the same payload and none leads in a circle. The format is the one that LaunchDarkly's
//! Go SDK defines (`go-server-sdk-evaluation`, package `ldmodel`).
//!
//! It knows nothing of our own crates: what is checked must not also be the measure.

mod clause;
mod dice;
mod flag;
mod people;
mod rollout;
mod segment;

pub use clause::OPERATORS;
pub use dice::Dice;

use serde_json::{Map, Value, json};

/// The JSON of a whole environment, as `GET /sdk/latest-all` answers it.
///
/// A flag or segment depends on the seed, its number and how many segments there are: with more
/// flags the first ones stay the same.
pub fn payload(seed: u64, flags: usize, segments: usize) -> String {
    let segment_keys: Vec<String> = (0..segments).map(segment::key).collect();
    let segments: Map<String, Value> = (0..segments)
        .map(|index| {
            let segment = segment::segment(seed, index, &segment_keys[..index]);
            (segment_keys[index].clone(), segment)
        })
        .collect();
    let flags: Map<String, Value> =
        (0..flags).map(|index| (flag::key(seed, index), flag::flag(seed, index, &segment_keys))).collect();
    as_sent(&json!({"flags": flags, "segments": segments}))
}

/// The key of the flag with this number in every payload of the seed.
pub fn flag_key(seed: u64, index: usize) -> String {
    flag::key(seed, index)
}

/// Contexts of every shape: single and multi-kind, anonymous, with attributes of every type.
pub fn contexts(seed: u64, count: usize) -> Vec<Value> {
    (0..count).map(|index| context(&mut Dice::new(seed ^ 0xC0, index as u64))).collect()
}

/// The payload with one flag switched the other way and its version one higher; every other item
/// is as it was. Unchanged where there is no such flag.
pub fn toggled(payload: &str, flag: &str) -> serde_json::Result<String> {
    all_toggled(payload, &[flag.to_owned()])
}

/// The same with several flags.
pub fn all_toggled(payload: &str, flags: &[String]) -> serde_json::Result<String> {
    let mut payload: Value = serde_json::from_str(payload)?;
    for flag in flags {
        if let Some(flag) = payload["flags"].get_mut(flag) {
            flag["on"] = json!(flag["on"] != true);
            flag["version"] = json!(flag["version"].as_u64().unwrap_or_default() + 1);
        }
    }
    Ok(as_sent(&payload))
}

/// As LaunchDarkly's servers, written in Go, spell it: `<`, `>` and `&` as escapes. A store that
/// parses and writes anew gives itself away by them.
fn as_sent(payload: &Value) -> String {
    payload.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn context(dice: &mut Dice) -> Value {
    let mut parts = match dice.below(10) {
        0..=4 => vec!["user"],
        5 => vec!["organization"],
        6 => vec!["device"],
        7 => vec!["user", "organization"],
        8 => vec!["organization", "device"],
        _ => vec!["user", "organization", "device"],
    };
    if let [only] = parts[..] {
        let mut context = part(dice, only);
        context["kind"] = json!(only);
        return context;
    }
    let mut context = json!({"kind": "multi"});
    for kind in parts.drain(..) {
        context[kind] = part(dice, kind);
    }
    context
}

fn part(dice: &mut Dice, kind: &str) -> Value {
    let key = dice.pick(&people::keys(kind)).clone();
    match kind {
        "user" => people::user(dice, &key),
        "organization" => people::organization(dice, &key),
        _ => people::device(dice, &key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn parsed(seed: u64, flags: usize, segments: usize) -> Value {
        serde_json::from_str(&payload(seed, flags, segments)).unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_text_and_another_seed_another() {
        assert_eq!(payload(7, 40, 5), payload(7, 40, 5));
        assert_ne!(payload(7, 40, 5), payload(8, 40, 5));
        assert_eq!(contexts(7, 5), contexts(7, 5));
    }

    #[test]
    fn a_thousand_flags_weigh_what_a_real_environment_does() {
        let bytes = payload(1, 1_000, 50).len();
        assert!((1_200_000..1_450_000).contains(&bytes), "{bytes} bytes");
    }

    #[test]
    fn more_flags_leave_the_first_ones_as_they_were() {
        let (few, many) = (parsed(3, 20, 5), parsed(3, 60, 5));
        for (key, flag) in few["flags"].as_object().unwrap() {
            assert_eq!(&many["flags"][key], flag);
        }
    }

    #[test]
    fn every_reference_leads_to_an_earlier_item_of_the_payload() {
        let payload = parsed(5, 300, 30);
        let order: Vec<String> = (0..300).map(|index| flag_key(5, index)).collect();
        for (index, key) in order.iter().enumerate() {
            for prerequisite in payload["flags"][key]["prerequisites"].as_array().unwrap() {
                let required = prerequisite["key"].as_str().unwrap();
                assert!(order[..index].iter().any(|earlier| earlier == required), "{key}: {required}");
            }
        }
        for kind in ["flags", "segments"] {
            for clause in clauses(&payload[kind]) {
                if clause["op"] == "segmentMatch" {
                    for key in clause["values"].as_array().unwrap() {
                        assert!(payload["segments"].get(key.as_str().unwrap()).is_some(), "{key}");
                    }
                }
            }
        }
    }

    #[test]
    fn three_hundred_flags_use_every_operator_and_every_kind_of_field() {
        let payload = parsed(1, 300, 30);
        let used: BTreeSet<String> =
            clauses(&payload["flags"]).iter().map(|clause| clause["op"].as_str().unwrap().to_owned()).collect();
        assert_eq!(used, OPERATORS.iter().map(ToString::to_string).collect());
        let text = payload.to_string();
        for field in [
            "\"kind\":\"experiment\"",
            "bucketBy",
            "contextTargets",
            "untracked",
            "negate\":true",
            "\"offVariation\":null",
            "migration",
            "samplingRatio",
            "x-future",
            "1.99",
            "rolloutContextKind",
            "9007199254740991",
            "größe",
            "\"variation\":",
            "weight",
            "excludedContexts\":[{",
        ] {
            assert!(text.contains(field), "nothing has {field}");
        }
    }

    #[test]
    fn contexts_are_single_multi_and_anonymous() {
        let contexts = contexts(1, 50);
        let kinds: BTreeSet<&str> = contexts.iter().map(|context| context["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, BTreeSet::from(["device", "multi", "organization", "user"]));
        assert!(contexts.iter().any(|context| context["anonymous"] == true));
    }

    #[test]
    fn a_toggle_changes_one_flag_alone() {
        let before = payload(2, 30, 3);
        let key = flag_key(2, 11);
        let (old, new): (Value, Value) =
            (serde_json::from_str(&before).unwrap(), serde_json::from_str(&toggled(&before, &key).unwrap()).unwrap());
        assert_ne!(old["flags"][&key]["on"], new["flags"][&key]["on"]);
        let version = |payload: &Value| payload["flags"][&key]["version"].as_u64().unwrap();
        assert_eq!(version(&new), version(&old) + 1);
        let differing: Vec<&String> = old["flags"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, flag)| new["flags"][*key] != **flag)
            .map(|(key, _)| key)
            .collect();
        assert_eq!(differing, [&key]);
    }

    fn clauses(items: &Value) -> Vec<&Value> {
        items
            .as_object()
            .unwrap()
            .values()
            .flat_map(|item| item["rules"].as_array().unwrap())
            .flat_map(|rule| rule["clauses"].as_array().unwrap())
            .collect()
    }
}
