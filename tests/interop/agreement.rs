//! When answers of different SDKs are the same.
//!
//! The value, the variation and the reason with all that it names (rule, prerequisite, error,
//! experiment) must be equal. Numbers are compared as numbers, for languages write `10.0` as `10`;
//! an absent field of a reason counts as null or false.

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Flag keys with what a reader answered for each.
pub(crate) type Answers = BTreeMap<String, Value>;

/// How many disagreements are worth printing.
const SHOWN: usize = 10;

/// What the readers did not agree on.
#[derive(Debug, Default)]
pub(crate) struct Disagreements {
    shown: Vec<String>,
    count: usize,
    flags: BTreeSet<String>,
}

impl Disagreements {
    /// Compares the answers of all readers for one context, flag by flag.
    pub(crate) fn compare(&mut self, context: &Value, answers: &[(&str, Answers)]) {
        let keys: BTreeSet<&String> = answers.iter().flat_map(|(_, answers)| answers.keys()).collect();
        for key in keys {
            let each: Vec<(&str, Value)> = answers
                .iter()
                .map(|(reader, answers)| (*reader, answers.get(key).map_or(Value::Null, comparable)))
                .collect();
            if each.windows(2).any(|pair| pair[0].1 != pair[1].1) {
                self.note(key, context, &each);
            }
        }
    }

    /// Fails if there was any, and says which.
    pub(crate) fn none(self) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let (shown, flags) = (self.shown.join("\n"), self.flags.into_iter().collect::<Vec<_>>().join(", "));
        bail!("{} answers differ, on the flags {flags}; the first ones:\n{shown}", self.count)
    }

    fn note(&mut self, flag: &str, context: &Value, answers: &[(&str, Value)]) {
        self.count += 1;
        self.flags.insert(flag.to_owned());
        if self.count <= SHOWN {
            self.shown.push(format!("{flag} for {context}"));
            self.shown.extend(answers.iter().map(|(reader, answer)| format!("  {reader}: {answer}")));
        }
    }
}

/// An answer in the one form in which those of all languages can be compared.
fn comparable(answer: &Value) -> Value {
    let mut reason = Map::new();
    for (name, value) in answer["reason"].as_object().into_iter().flatten() {
        if !matches!(value, Value::Null | Value::Bool(false)) {
            reason.insert(name.clone(), numbers_alike(value));
        }
    }
    json!({
        "value": numbers_alike(&answer["value"]),
        "variation": numbers_alike(&answer["variation"]),
        "reason": reason,
    })
}

fn numbers_alike(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(elements) => elements.iter().map(numbers_alike).collect(),
        Value::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), numbers_alike(field))).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(ours: Value, theirs: Value) -> Result<()> {
        let answers = |answer| Answers::from([("flag".to_owned(), answer)]);
        let mut found = Disagreements::default();
        found.compare(&json!({"key": "ada"}), &[("ours", answers(ours)), ("theirs", answers(theirs))]);
        found.none()
    }

    #[test]
    fn the_same_answer_in_another_spelling_is_the_same() -> Result<()> {
        compared(
            json!({"value": {"limit": 10}, "variation": null, "reason": {"kind": "OFF"}, "version": 3}),
            json!({"value": {"limit": 10.0}, "reason": {"kind": "OFF", "inExperiment": false}}),
        )
    }

    #[test]
    fn every_part_of_an_answer_can_differ() {
        let answer =
            json!({"value": 1, "variation": 0, "reason": {"kind": "RULE_MATCH", "ruleIndex": 0, "ruleId": "a"}});
        for (part, other) in [
            ("/value", json!(2)),
            ("/variation", json!(1)),
            ("/reason/kind", json!("FALLTHROUGH")),
            ("/reason/ruleIndex", json!(1)),
            ("/reason/ruleId", json!("b")),
            ("/reason/kind", Value::Null),
        ] {
            let mut changed = answer.clone();
            *changed.pointer_mut(part).unwrap() = other;
            let error = compared(answer.clone(), changed).unwrap_err().to_string();
            assert!(error.contains("on the flags flag;"), "{part}: {error}");
        }
    }

    #[test]
    fn a_flag_that_one_reader_does_not_know_is_a_difference() {
        let mut found = Disagreements::default();
        let known = Answers::from([("flag".to_owned(), json!({"value": true}))]);
        found.compare(&json!({}), &[("ours", Answers::new()), ("theirs", known)]);
        assert!(found.none().is_err());
    }
}
