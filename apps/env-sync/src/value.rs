//! What a flag's evaluation is in a file. Pure.
//!
//! Three outcomes: a value; empty, because the flag is not there or of another type; or nothing said, because the flag
//! cannot be evaluated, and then the last known value stays.

use flagcache_sdk::json::Value as Answer;
use flagcache_sdk::{Evaluation, FlagValue, Reason};

use crate::edit::Text;

/// Which flags' values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Types {
    /// Strings; a flag of another type becomes an empty value
    #[default]
    String,
    /// Strings, numbers, booleans, and JSON in its compact form
    Any,
}

/// What a flag comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// This value.
    Value(Text),
    /// Empty, and why.
    Empty(&'static str),
    /// Whatever it was before, and why.
    Unknown(&'static str),
}

impl Outcome {
    /// What an evaluation comes to.
    pub fn of(evaluation: &Evaluation, types: Types) -> Self {
        match (&evaluation.value, &evaluation.reason) {
            (_, _) if evaluation.is_unknown() => Self::Empty("there is no such flag"),
            (_, Reason::Error { .. }) => Self::Unknown("it cannot be evaluated"),
            (None, _) => Self::Empty("it gives no value (off, without an off variation?)"),
            (Some(FlagValue::Str(text)), _) => Self::Value(Text::Plain(text.clone())),
            (Some(_), _) if types == Types::String => Self::Empty("it is not a string; --types any would write it"),
            (Some(value), _) => serde_json::to_string(&Answer::Flag(value))
                .map_or(Self::Unknown("it has no JSON"), |json| Self::Value(Text::Json(json))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flagcache_payload::Payload;
    use flagcache_sdk::Evaluator;
    use flagcache_sdk::context::keyed;

    use super::*;

    fn outcome(json: &str, types: Types) -> Outcome {
        let value = serde_json::from_str(json).unwrap();
        Outcome::of(
            &Evaluation { value: Some(value), variation: Some(0), reason: Reason::Off, version: Some(1) },
            types,
        )
    }

    #[test]
    fn strings_are_written_as_they_are_and_the_rest_compactly_where_asked() {
        assert_eq!(outcome("\"a b\"", Types::String), Outcome::Value(Text::Plain("a b".to_owned())));
        for (json, text) in [("true", "true"), ("1", "1"), ("0.5", "0.5"), ("[1, {\"a\" : null}]", "[1,{\"a\":null}]")]
        {
            assert_eq!(outcome(json, Types::Any), Outcome::Value(Text::Json(text.to_owned())));
            assert!(matches!(outcome(json, Types::String), Outcome::Empty(_)));
        }
    }

    #[test]
    fn a_flag_without_a_value_is_empty_and_one_that_fails_is_left_as_it_was() {
        let evaluation = |reason| Evaluation { value: None, variation: None, reason, version: None };
        let broken = r#"{"flags":{"broken":{"version":1,"on":7}}}"#;
        let evaluator = Evaluator::new(Arc::new(Payload::parse(broken.into()).unwrap()));
        let evaluate = |flag| evaluator.flag(flag, &keyed("k").unwrap());
        let outcome = |evaluation| Outcome::of(&evaluation, Types::String);
        assert!(matches!(outcome(evaluate("missing")), Outcome::Empty(_)));
        assert!(matches!(outcome(evaluation(Reason::Off)), Outcome::Empty(_)));
        assert!(matches!(outcome(evaluate("broken")), Outcome::Unknown(_)));
    }
}
