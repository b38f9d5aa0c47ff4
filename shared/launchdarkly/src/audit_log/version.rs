//! Which version an audit-log entry gives to an item, as the payload counts versions.
//!
//! A flag has two: `environments.E.version` is what the payload of environment E carries;
//! `_version` counts the flag's changes over all environments and appears in no payload, so it is
//! never read. A segment belongs to one environment and has one `version`.

use serde_json::{Map, Value};

/// The versions that a flag's `currentVersion` tells for the environments named, ascending and
/// each once. An environment that is named but not there tells nothing: another one's version
/// would prove nothing about it.
pub(super) fn of_flag(flag: &Map<String, Value>, named: &[Option<String>]) -> Vec<u64> {
    let environments = flag.get("environments").and_then(Value::as_object);
    let mut versions = Vec::new();
    for environment in named {
        match environment.as_deref().filter(|key| !key.contains('*')) {
            Some(key) => {
                versions.extend(environments.and_then(|all| version(all.get(key)?)));
            }
            None => {
                versions.extend(environments.into_iter().flat_map(Map::values).filter_map(version));
            }
        }
    }
    if versions.is_empty() {
        versions.extend(flag.get("version").and_then(whole_number));
    }
    versions.sort_unstable();
    versions.dedup();
    versions
}

/// The version that a segment's `currentVersion` tells.
pub(super) fn of_segment(segment: &Map<String, Value>) -> Vec<u64> {
    segment.get("version").and_then(whole_number).into_iter().collect()
}

fn version(environment: &Value) -> Option<u64> {
    whole_number(environment.get("version")?)
}

/// A number without a fraction, also where it is written with one (`1.0`); no text.
pub(super) fn whole_number(value: &Value) -> Option<u64> {
    /// The greatest number up to which every whole number has a double of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = || value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..=EXACT).contains(number));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the filter leaves whole numbers between 0 and 2^53"
    )]
    value.as_u64().or_else(|| float().map(|number| number as u64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_whole_numbers_are_numbers() {
        for (value, expected) in [
            (json!(7), Some(7)),
            (json!(7.0), Some(7)),
            (json!(u64::MAX), Some(u64::MAX)),
            (json!(7.5), None),
            (json!(-1), None),
            (json!(1e300), None),
            (json!("7"), None),
            (json!(null), None),
            (json!([7]), None),
        ] {
            assert_eq!(whole_number(&value), expected, "{value}");
        }
    }
}
