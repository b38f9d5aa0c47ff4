//! A flag's JSON, edited in place: `on` or `fallthrough`, and `version` change, every other byte
//! stays.
//!
//! The JSON belongs to LaunchDarkly: number precision, the order of keys, blanks and fields that
//! nobody here knows are kept, because SDKs in any language read what is left here. So values are
//! replaced by their place in the text and nothing is parsed that need not be.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use flagcache_payload::MAX_VERSION;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::change::Target;
use crate::variation::{Choice, ChoiceError};

/// Why a flag's JSON is not understood.
#[derive(Debug, Error)]
pub enum FlagJsonError {
    /// Not an object.
    #[error("it is not a JSON object")]
    Shape(#[source] serde_json::Error),
    /// Not text.
    #[error("it is not UTF-8 text (byte {0})")]
    NotText(usize),
    /// A field that decides stands twice.
    #[error("`{0}` stands in it twice")]
    Twice(&'static str),
    /// No version, or none that can be raised.
    #[error("its `version` is {0}, not a whole number from 0 to {max}", max = MAX_VERSION - 1)]
    Version(String),
    /// Nothing to be served in the place of.
    #[error("it has no `fallthrough`")]
    NoFallthrough,
    /// It has no such variation.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
}

/// A flag's JSON with the places of what may change.
#[derive(Debug, Clone)]
pub struct FlagJson<'a> {
    text: &'a str,
    /// Where the value of `on` stands, if it is there.
    on_at: Option<Range<usize>>,
    version_at: Range<usize>,
    fallthrough_at: Option<Range<usize>>,
    variations: Option<&'a RawValue>,
    on: Option<bool>,
    version: u64,
    is_deleted: bool,
}

impl<'a> FlagJson<'a> {
    /// Finds `on` and `version` in `text`.
    ///
    /// # Errors
    /// Where it is no object with one whole `version`.
    pub fn parse(text: &'a str) -> Result<Self, FlagJsonError> {
        let Members(members) = serde_json::from_str(text).map_err(FlagJsonError::Shape)?;
        let one = |name: &'static str| {
            let mut all = members.iter().filter(|(key, _)| key == name).map(|(_, raw)| *raw);
            let first = all.next();
            if all.next().is_some() { Err(FlagJsonError::Twice(name)) } else { Ok(first) }
        };
        let place = |raw: &RawValue| {
            let start = raw.get().as_ptr().addr() - text.as_ptr().addr();
            start..start + raw.get().len()
        };
        let raw = one("version")?.ok_or_else(|| FlagJsonError::Version("missing".to_owned()))?;
        let version = raw.get().parse().ok().filter(|version| *version < MAX_VERSION);
        let on = one("on")?;
        Ok(Self {
            text,
            on_at: on.map(place),
            version_at: place(raw),
            fallthrough_at: one("fallthrough")?.map(place),
            variations: one("variations")?,
            on: on.and_then(|raw| raw.get().parse().ok()),
            version: version.ok_or_else(|| FlagJsonError::Version(raw.get().to_owned()))?,
            is_deleted: one("deleted")?.is_some_and(|raw| raw.get() == "true"),
        })
    }

    /// Whether targeting is on; nothing where `on` is missing or no boolean, which no SDK reads.
    pub const fn on(&self) -> Option<bool> {
        self.on
    }

    /// Its version.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Whether it is a tombstone: what is left of a deleted flag.
    pub const fn is_deleted(&self) -> bool {
        self.is_deleted
    }

    /// What is served where no rule matches, as JSON.
    pub fn fallthrough(&self) -> Option<&'a str> {
        self.fallthrough_at.clone().map(|place| &self.text[place])
    }

    /// The index of the variation that is served where no rule matches; nothing where that is a
    /// rollout.
    pub fn variation(&self) -> Option<usize> {
        #[derive(serde::Deserialize)]
        struct Fallthrough {
            variation: Option<usize>,
            rollout: Option<serde::de::IgnoredAny>,
        }
        let fallthrough: Fallthrough = serde_json::from_str(self.fallthrough()?).ok()?;
        fallthrough.variation.filter(|_| fallthrough.rollout.is_none())
    }

    /// The index of the variation that is meant.
    ///
    /// # Errors
    /// Where the flag has none like that, or several.
    pub fn index(&self, choice: &Choice) -> Result<usize, ChoiceError> {
        let variations: Vec<&RawValue> =
            self.variations.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        choice.index(&variations.iter().map(|raw| raw.get()).collect::<Vec<_>>())
    }

    /// Whether it is set to this already.
    ///
    /// # Errors
    /// Where it has no such variation, or nothing to be served in the place of.
    pub fn is_set_to(&self, target: &Target) -> Result<bool, FlagJsonError> {
        match target {
            Target::State(state) => Ok(self.on == Some(state.is_on())),
            Target::Variation(choice) => {
                let index = self.index(choice)?;
                self.fallthrough_at.as_ref().ok_or(FlagJsonError::NoFallthrough)?;
                Ok(self.variation() == Some(index))
            }
        }
    }

    /// The text set to this, with this `version`.
    ///
    /// # Errors
    /// Where it has no such variation, or nothing to be served in the place of.
    pub fn set_to(&self, target: &Target, version: u64) -> Result<String, FlagJsonError> {
        match target {
            Target::State(state) => Ok(self.with(state.is_on(), version)),
            Target::Variation(choice) => {
                self.with_fallthrough(&format!("{{\"variation\":{}}}", self.index(choice)?), version)
            }
        }
    }

    /// The text with this `on` and this `version`.
    pub fn with(&self, on: bool, version: u64) -> String {
        let on = if let Some(place) = &self.on_at {
            (place.clone(), on.to_string())
        } else {
            // It has a version, so there is a brace and something after it.
            let start = self.text.find('{').map_or(0, |brace| brace + 1);
            (start..start, format!("\"on\":{on},"))
        };
        self.replaced(on, version)
    }

    /// The text with this `fallthrough` and this `version`.
    ///
    /// # Errors
    /// Where it has no `fallthrough`.
    pub fn with_fallthrough(&self, json: &str, version: u64) -> Result<String, FlagJsonError> {
        let place = self.fallthrough_at.clone().ok_or(FlagJsonError::NoFallthrough)?;
        Ok(self.replaced((place, json.to_owned()), version))
    }

    fn replaced(&self, one: (Range<usize>, String), version: u64) -> String {
        let version = (self.version_at.clone(), version.to_string());
        let mut text = self.text.to_owned();
        let (first, last) = if one.0.start < version.0.start { (one, version) } else { (version, one) };
        text.replace_range(last.0, &last.1);
        text.replace_range(first.0, &first.1);
        text
    }
}

/// Reads bytes as text.
///
/// # Errors
/// Where they are not UTF-8.
pub fn text(bytes: Vec<u8>) -> Result<String, FlagJsonError> {
    String::from_utf8(bytes).map_err(|error| FlagJsonError::NotText(error.utf8_error().valid_up_to()))
}

/// An object's members in their order; a map would hide keys that stand twice.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a flag")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(key) = map.next_key::<&RawValue>()? {
                    // A key with escapes that make no text is none of those looked for.
                    let key = serde_json::from_str(key.get()).map_or(Cow::Borrowed(key.get()), Cow::Owned);
                    members.push((key, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(List)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edited(text: &str, on: bool, version: u64) -> String {
        FlagJson::parse(text).unwrap().with(on, version)
    }

    #[test]
    fn only_on_and_version_change() {
        for (before, after) in [
            (r#"{"key":"f","on":false,"version":12}"#, r#"{"key":"f","on":true,"version":13}"#),
            (
                r#" { "version" : 12 , "on" : false , "x" : 1.50 } "#,
                r#" { "version" : 13 , "on" : true , "x" : 1.50 } "#,
            ),
            (
                r#"{"n":12345678901234567890.10e-3,"on":"on","version":12,"z":{"on":false,"version":1},"z2":[ ]}"#,
                r#"{"n":12345678901234567890.10e-3,"on":true,"version":13,"z":{"on":false,"version":1},"z2":[ ]}"#,
            ),
            (r#"{"version":12}"#, r#"{"on":true,"version":13}"#),
            (
                "{\"\\u006fn\":null,\"s\":\"é\\ud83d\\ude00 {\",\"version\":12}",
                "{\"\\u006fn\":true,\"s\":\"é\\ud83d\\ude00 {\",\"version\":13}",
            ),
        ] {
            assert_eq!(edited(before, true, 13), after);
        }
    }

    #[test]
    fn what_it_says_is_read() {
        let flag = FlagJson::parse(r#"{"on":true,"version":7,"deleted":false}"#).unwrap();
        assert_eq!((flag.on(), flag.version(), flag.is_deleted()), (Some(true), 7, false));
        let flag = FlagJson::parse(r#"{"version":8,"deleted":true,"on":"on"}"#).unwrap();
        assert_eq!((flag.on(), flag.version(), flag.is_deleted()), (None, 8, true));
    }

    #[test]
    fn a_variation_takes_the_place_of_whatever_was_served() {
        let target = |choice: &str| Target::Variation(choice.parse().unwrap());
        let text = r#"{"variations":["a","b"],"fallthrough": {"rollout":{"variations":[ ]}} ,"version":12,"on":true}"#;
        let flag = FlagJson::parse(text).unwrap();
        assert_eq!((flag.variation(), flag.is_set_to(&target("b")).unwrap()), (None, false));
        let set = flag.set_to(&target("b"), 13).unwrap();
        assert_eq!(set, r#"{"variations":["a","b"],"fallthrough": {"variation":1} ,"version":13,"on":true}"#);
        let set = FlagJson::parse(&set).unwrap();
        assert!(set.is_set_to(&target("index:1")).unwrap() && set.variation() == Some(1));
        assert_eq!(set.with_fallthrough(flag.fallthrough().unwrap(), 12).unwrap(), text);
        for (text, expected) in [
            (r#"{"variations":[1],"version":1}"#, "it has no `fallthrough`"),
            (r#"{"fallthrough":{},"version":1}"#, "\"0\" is none of its variations, which are none at all"),
        ] {
            let flag = FlagJson::parse(text).unwrap();
            assert_eq!(flag.set_to(&target("0"), 2).unwrap_err().to_string(), expected);
            assert_eq!(flag.is_set_to(&target("0")).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn what_cannot_be_edited_faithfully_is_refused() {
        for (text, expected) in [
            ("", "it is not a JSON object"),
            ("[]", "it is not a JSON object"),
            (r#"{"version":1"#, "it is not a JSON object"),
            (r#"{"on":true}"#, "its `version` is missing, not a whole number from 0 to 9007199254740990"),
            (r#"{"version":"1"}"#, "its `version` is \"1\", not a whole number from 0 to 9007199254740990"),
            (r#"{"version":1.0}"#, "its `version` is 1.0, not a whole number from 0 to 9007199254740990"),
            (
                r#"{"version":9007199254740991}"#,
                "its `version` is 9007199254740991, not a whole number from 0 to 9007199254740990",
            ),
            (r#"{"version":1,"on":true,"on":false}"#, "`on` stands in it twice"),
            (r#"{"version":1,"version":2}"#, "`version` stands in it twice"),
        ] {
            assert_eq!(FlagJson::parse(text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|it| it.to_string()),
            "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
            any::<String>().prop_map(|it| serde_json::to_string(&it).unwrap()),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|all| format!("[ {} ]", all.join(","))),
                prop::collection::vec(("[a-z]{1,4}", inner), 0..4).prop_map(|all| {
                    let all: Vec<_> = all.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
                    format!("{{{}}}", all.join(" ,"))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_other_byte_is_kept(
            around in prop::collection::vec(("[A-Z]{1,4}", json()), 0..6),
            (at_on, at_version) in (0..7_usize, 0..8_usize),
            (version, new_version) in (0..MAX_VERSION, 0..MAX_VERSION),
            (on, new_on) in (any::<bool>(), any::<bool>()),
            blank in "[ \t\n]{0,2}",
        ) {
            let write = |on: bool, version: u64| {
                let mut members: Vec<String> =
                    around.iter().map(|(key, value)| format!("\"{key}\"{blank}:{value}")).collect();
                members.insert(at_on.min(members.len()), format!("\"on\":{blank}{on}"));
                members.insert(at_version.min(members.len()), format!("\"version\":{blank}{version}{blank}"));
                format!("{blank}{{{}}}{blank}", members.join(","))
            };
            prop_assert_eq!(edited(&write(on, version), new_on, new_version), write(new_on, new_version));
        }

        #[test]
        fn no_text_makes_it_fall_over(text in any::<String>()) {
            let _ = FlagJson::parse(&text);
        }
    }
}
