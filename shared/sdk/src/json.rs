//! What answers look like.
//!
//! Reasons are serialised by the SDK itself. Numbers are not: it keeps them all as floating point and would write `1` as
//! `1.0`, where LaunchDarkly's other SDKs write `1` as it came. Absent values, variations and versions are `null`, so
//! that an answer always has all its fields.

use launchdarkly_server_sdk_evaluation::{FlagValue, Reason, VariationIndex};
use serde::Serialize;
use serde::ser::Serializer;

use crate::evaluation::{AllFlags, Evaluation};

/// A value of an answer.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// What a flag gave.
    Flag(&'a FlagValue),
    /// What the caller asked for instead.
    Default(&'a serde_json::Value),
}

/// The largest magnitude below which every whole number has an exact floating point: `2^53`.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53 either way")]
            Self::Flag(FlagValue::Number(number)) if number.fract() == 0.0 && number.abs() < EXACT => {
                serializer.serialize_i64(*number as i64)
            }
            Self::Flag(value) => value.serialize(serializer),
            Self::Default(value) => value.serialize(serializer),
        }
    }
}

/// A flag among others: `{"value":…,"variation":…,"reason":{…},"version":…}`.
#[derive(Debug, Serialize)]
pub struct Answered<'a> {
    /// The flag's value.
    pub value: Option<Value<'a>>,
    /// The variation's index.
    pub variation: Option<VariationIndex>,
    /// Why it is this value.
    pub reason: &'a Reason,
    /// The flag's version.
    pub version: Option<u64>,
}

impl<'a> Answered<'a> {
    /// An evaluation as part of an answer.
    pub fn new(evaluation: &'a Evaluation, default: Option<&'a serde_json::Value>) -> Self {
        Self {
            value: value_or(evaluation, default),
            variation: evaluation.variation,
            reason: &evaluation.reason,
            version: evaluation.version,
        }
    }
}

/// One flag: `{"flag":KEY,"value":…,"variation":…,"reason":{…},"initialized":true}`.
#[derive(Debug, Serialize)]
pub struct OneFlag<'a> {
    flag: &'a str,
    value: Option<Value<'a>>,
    variation: Option<VariationIndex>,
    reason: &'a Reason,
    initialized: bool,
}

impl<'a> OneFlag<'a> {
    /// The answer for a flag, with the default where the flag gave no value.
    pub fn new(key: &'a str, evaluation: &'a Evaluation, default: Option<&'a serde_json::Value>) -> Self {
        Self {
            flag: key,
            value: value_or(evaluation, default),
            variation: evaluation.variation,
            reason: &evaluation.reason,
            initialized: true,
        }
    }
}

/// One flag's value alone: `{"flag":KEY,"value":…,"initialized":…}`.
#[derive(Debug, Serialize)]
pub struct ValueOnly<'a> {
    flag: &'a str,
    value: Option<Value<'a>>,
    initialized: bool,
}

impl<'a> ValueOnly<'a> {
    /// The answer for a flag, with the default where the flag gave no value.
    pub fn new(
        key: &'a str,
        evaluation: &'a Evaluation,
        default: Option<&'a serde_json::Value>,
        initialized: bool,
    ) -> Self {
        Self { flag: key, value: value_or(evaluation, default), initialized }
    }
}

/// The default stands in wherever the flag gave no value, as with every SDK of LaunchDarkly's.
fn value_or<'a>(evaluation: &'a Evaluation, default: Option<&'a serde_json::Value>) -> Option<Value<'a>> {
    evaluation.value.as_ref().map(Value::Flag).or_else(|| default.map(Value::Default))
}

/// All flags: `{"initialized":true,"flags":{…}}`.
#[derive(Serialize)]
pub struct Everything<'a> {
    initialized: bool,
    flags: AllFlags<'a>,
}

impl<'a> Everything<'a> {
    /// The answer with these flags.
    pub const fn new(flags: AllFlags<'a>) -> Self {
        Self { initialized: true, flags }
    }
}

/// An error: `{"error":{"code":…,"message":…}}`.
#[derive(Debug, Serialize)]
pub struct Failure<'a> {
    error: Problem<'a>,
}

#[derive(Debug, Serialize)]
struct Problem<'a> {
    code: &'a str,
    message: &'a str,
}

impl<'a> Failure<'a> {
    /// The answer for an error; `code` is for programs, `message` for people.
    pub const fn new(code: &'a str, message: &'a str) -> Self {
        Self { error: Problem { code, message } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_out_as_they_went_in() {
        for json in [
            "true",
            "\"text\"",
            "1",
            "0",
            "-7",
            "1.99",
            "9007199254740991",
            "0.1",
            "null",
            "[1,2.5,\"a\"]",
            "{\"a\":{\"b\":[18446744073709551615]}}",
        ] {
            let value: FlagValue = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&Value::Flag(&value)).unwrap(), json);
        }
    }

    #[test]
    fn numbers_beyond_exact_integers_keep_their_magnitude() {
        for (json, written) in [("1e21", "1e+21"), ("9007199254740992", "9007199254740992.0"), ("-0.0", "0")] {
            let value: FlagValue = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&Value::Flag(&value)).unwrap(), written, "{json}");
        }
    }

    #[test]
    fn what_is_absent_is_null() {
        let reason = Reason::Off;
        let evaluation = Evaluation { value: None, variation: None, reason, version: None };
        assert_eq!(
            serde_json::to_string(&Answered::new(&evaluation, None)).unwrap(),
            r#"{"value":null,"variation":null,"reason":{"kind":"OFF"},"version":null}"#
        );
        assert_eq!(
            serde_json::to_string(&OneFlag::new("f", &evaluation, Some(&serde_json::json!([1])))).unwrap(),
            r#"{"flag":"f","value":[1],"variation":null,"reason":{"kind":"OFF"},"initialized":true}"#
        );
    }
}
