//! What an item refers to: a flag's prerequisites, and the segments that rules of flags and segments match against.
//!
//! The fields are those of LaunchDarkly's flag and segment JSON (`launchdarkly/go-server-sdk-evaluation`, `ldmodel`).
//! Reading is lenient: what cannot be understood refers to nothing, as order is a courtesy to readers and not a check.

use serde::Deserialize;
use serde_json::Value;

use crate::items::{ItemId, Kind};

#[derive(Deserialize)]
struct Referring {
    #[serde(default)]
    prerequisites: Vec<Prerequisite>,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Prerequisite {
    key: String,
}

#[derive(Deserialize)]
struct Rule {
    #[serde(default)]
    clauses: Vec<Clause>,
}

#[derive(Deserialize)]
struct Clause {
    #[serde(default)]
    op: String,
    #[serde(default)]
    values: Vec<Value>,
}

/// The items that an item's JSON refers to, in the order of their mention; nothing where the JSON cannot be understood.
pub fn references(json: &str) -> Vec<ItemId> {
    let Ok(item) = serde_json::from_str::<Referring>(json) else {
        return Vec::new();
    };
    let prerequisites = item.prerequisites.into_iter().map(|flag| ItemId::new(Kind::Flag, flag.key));
    let clauses = item.rules.into_iter().flat_map(|rule| rule.clauses);
    let segments = clauses.filter(|clause| clause.op == "segmentMatch").flat_map(|clause| clause.values);
    let segments = segments.filter_map(|value| value.as_str().map(|key| ItemId::new(Kind::Segment, key)));
    prerequisites.chain(segments).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_refers_to_its_prerequisites_and_segments() {
        let json = r#"{"key":"f","prerequisites":[{"key":"p","variation":0}],
            "rules":[{"clauses":[{"op":"in","values":["x"]},{"op":"segmentMatch","values":["s","t",3]}]}]}"#;
        assert_eq!(
            references(json),
            [ItemId::new(Kind::Flag, "p"), ItemId::new(Kind::Segment, "s"), ItemId::new(Kind::Segment, "t")]
        );
    }

    #[test]
    fn what_cannot_be_understood_refers_to_nothing() {
        for json in ["", "[]", r#"{"prerequisites":7}"#, r#"{"rules":null}"#] {
            assert_eq!(references(json), [], "for {json}");
        }
    }
}
