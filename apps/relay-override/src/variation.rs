//! Which variation of a flag is meant: `1`, `index:1`, or a value such as `"blue"`; pure.
//!
//! Variations have no names, only an index that people get wrong. So a value may be given, as JSON or as the bare text
//! of a string; whatever could mean two variations is refused with the list of all. The journal holds the index, as
//! `index:1`, which means the same to everybody.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use thiserror::Error;

/// The longest value that is shown in a list of variations, in characters.
const SHOWN: usize = 60;

/// A variation, as somebody names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Choice {
    /// By its index.
    Index(usize),
    /// By its index or its value, whichever it is.
    Text(String),
}

/// Why no variation is meant.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum ChoiceError {
    /// There is none like that.
    #[error("{choice:?} is none of its variations, which are {}", list(.variations))]
    None {
        /// What was asked for.
        choice: String,
        /// All there are, as JSON.
        variations: Vec<String>,
    },
    /// There are several.
    #[error("{choice:?} may mean several of its variations, which are {}; say which with index:N", list(.variations))]
    Ambiguous {
        /// What was asked for.
        choice: String,
        /// All there are, as JSON.
        variations: Vec<String>,
    },
    /// It is another one elsewhere.
    #[error("{choice:?} is not the same variation on all hosts; say which with index:N")]
    Differs {
        /// What was asked for.
        choice: String,
    },
}

impl Choice {
    /// The index of the variation that is meant. `variations` are the flag's, as JSON.
    ///
    /// # Errors
    /// Where that is none, or several.
    pub fn index(&self, variations: &[&str]) -> Result<usize, ChoiceError> {
        let listed = || variations.iter().map(|variation| (*variation).to_owned()).collect();
        let found: Vec<usize> = match self {
            Self::Index(index) => (*index < variations.len()).then_some(*index).into_iter().collect(),
            Self::Text(text) => (0..variations.len()).filter(|index| means(text, *index, variations[*index])).collect(),
        };
        match *found {
            [index] => Ok(index),
            [] => Err(ChoiceError::None { choice: self.to_string(), variations: listed() }),
            _ => Err(ChoiceError::Ambiguous { choice: self.to_string(), variations: listed() }),
        }
    }
}

fn means(text: &str, index: usize, variation: &str) -> bool {
    let Ok(value) = serde_json::from_str::<Value>(variation) else { return false };
    let is_index = text.parse() == Ok(index);
    let is_value = serde_json::from_str::<Value>(text).is_ok_and(|wanted| is_same(&wanted, &value));
    is_index || is_value || value == text
}

fn is_same(wanted: &Value, value: &Value) -> bool {
    match (wanted, value) {
        // `1` and `1.0` are one number to every SDK.
        (Value::Number(wanted), Value::Number(value)) => wanted == value || wanted.as_f64() == value.as_f64(),
        _ => wanted == value,
    }
}

impl FromStr for Choice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("index:") {
            Some(index) => index.parse().map(Self::Index).map_err(|_| "no whole number follows `index:`"),
            None if text.is_empty() => Err("it is empty; an empty string is '\"\"'"),
            None => Ok(Self::Text(text.to_owned())),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(formatter, "index:{index}"),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

fn list(variations: &[String]) -> String {
    if variations.is_empty() {
        return "none at all".to_owned();
    }
    let shown = variations.iter().enumerate().map(|(index, variation)| {
        let mut text: String = variation.chars().take(SHOWN).collect();
        if text.len() < variation.len() {
            text.push('…');
        }
        format!("{index}: {text}")
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(choice: &str, variations: &[&str]) -> Result<usize, ChoiceError> {
        choice.parse::<Choice>().unwrap().index(variations)
    }

    #[test]
    fn a_variation_is_found_by_index_or_value() {
        for (choice, variations, expected) in [
            ("1", &["true", "false"][..], 1),
            ("true", &["true", "false"], 0),
            ("blue", &["\"red\"", "\"blue\""], 1),
            ("\"blue\"", &["\"red\"", "\"blue\""], 1),
            ("10", &["10", "20"], 0),
            ("20.0", &["10", "20"], 1),
            ("1", &["0", "1"], 1),
            ("index:1", &["1", "0"], 1),
            ("{\"a\": [1]}", &["{}", "{\"a\":[1]}"], 1),
            ("\"\"", &["\"x\"", "\"\""], 1),
            ("-1", &["-1", "0"], 0),
        ] {
            assert_eq!(index(choice, variations), Ok(expected), "{choice}");
        }
    }

    #[test]
    fn what_means_none_or_several_is_refused_with_the_list() {
        for (choice, variations, expected) in [
            ("2", &["true", "false"][..], "\"2\" is none of its variations, which are 0: true, 1: false"),
            ("index:2", &["true"], "\"index:2\" is none of its variations, which are 0: true"),
            (
                "1",
                &["1", "0"],
                "\"1\" may mean several of its variations, which are 0: 1, 1: 0; say which with index:N",
            ),
            (
                "true",
                &["true", "\"true\""],
                "\"true\" may mean several of its variations, which are 0: true, 1: \"true\"; say which with index:N",
            ),
        ] {
            assert_eq!(index(choice, variations).unwrap_err().to_string(), expected);
        }
        let long = format!("\"{}\"", "x".repeat(100));
        assert!(index("y", &[&long]).unwrap_err().to_string().ends_with("xxx…"));
    }

    #[test]
    fn what_is_no_choice_says_why() {
        assert!("index:x".parse::<Choice>().is_err() && "index:".parse::<Choice>().is_err());
        assert!("".parse::<Choice>().unwrap_err().contains("empty"));
    }
}
