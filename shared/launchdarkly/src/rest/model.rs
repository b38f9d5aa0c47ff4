//! What the REST API sends and takes: only what this project uses of it.
//!
//! Names and shapes are those of the API's public description (`FeatureFlag`, `Environments`,
//! `CallerIdentityRep`, `PatchOperation`).

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::RestError;

/// A flag as the REST API shows it: another shape than in a payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Flag {
    /// All of it.
    pub raw: Value,
}

/// A flag's state in one environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlagState {
    /// The version that this environment's payload carries.
    pub version: u64,
    /// Whether targeting is on.
    pub on: bool,
    /// The index of the variation that is served where no rule matches; nothing where that is a rollout.
    pub variation: Option<usize>,
}

impl Flag {
    /// Its state in `environment`; nothing where the answer does not hold that environment.
    pub fn state(&self, environment: &str) -> Option<FlagState> {
        let environment = self.raw.get("environments")?.get(environment)?;
        let variation = environment.pointer("/fallthrough/variation").and_then(Value::as_u64);
        Some(FlagState {
            version: environment.get("version")?.as_u64()?,
            on: environment.get("on")?.as_bool()?,
            variation: variation.and_then(|index| usize::try_from(index).ok()),
        })
    }

    /// The values that it can have, by index.
    pub fn variations(&self) -> impl Iterator<Item = &Value> {
        self.raw.get("variations").and_then(Value::as_array).into_iter().flatten().filter_map(|one| one.get("value"))
    }

    /// Whether it is archived: it is then in no payload, whatever its state.
    pub fn is_archived(&self) -> bool {
        self.raw.get("archived").and_then(Value::as_bool).unwrap_or(false)
    }
}

/// One step of a JSON Patch (RFC 6902).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum PatchOperation {
    /// Refuses the whole patch unless the value at `path` is this one.
    Test {
        /// Where, as [`pointer()`] writes it.
        path: String,
        /// The value expected.
        value: Value,
    },
    /// Sets the value at `path`.
    Replace {
        /// Where, as [`pointer()`] writes it.
        path: String,
        /// The value to be.
        value: Value,
    },
}

impl PatchOperation {
    pub(super) fn is_test(&self) -> bool {
        matches!(self, Self::Test { .. })
    }
}

/// A JSON Pointer (RFC 6901) to the field that `path` leads to, such as
/// `["environments", "production", "on"]`.
pub fn pointer(path: &[&str]) -> String {
    path.iter().flat_map(|name| ["/".to_owned(), name.replace('~', "~0").replace('/', "~1")]).collect()
}

/// An environment of a project, with its credentials.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// Its key within the project.
    pub key: String,
    /// Its name, as people see it.
    pub name: String,
    /// Its client-side ID, which is no secret.
    #[serde(rename = "_id")]
    pub id: String,
    /// Its server-side SDK key.
    #[serde(rename = "apiKey")]
    pub sdk_key: SecretString,
    /// Its mobile key.
    pub mobile_key: SecretString,
    /// Whether client-side SDKs have to prove that they may ask for a context.
    #[serde(default)]
    pub secure_mode: bool,
    /// How long PHP SDKs cache flags, in minutes.
    #[serde(default, rename = "defaultTtl")]
    pub default_ttl_minutes: u64,
}

/// One page of environments.
#[derive(Debug, Deserialize)]
pub(super) struct EnvironmentPage {
    pub(super) items: Vec<Environment>,
    /// Of all pages together.
    #[serde(rename = "totalCount")]
    total: Option<usize>,
    #[serde(default, rename = "_links")]
    links: Links,
}

#[derive(Debug, Default, Deserialize)]
struct Links {
    next: Option<serde::de::IgnoredAny>,
}

impl EnvironmentPage {
    /// Whether nothing follows this page, with `before` environments on those before it.
    pub(super) fn is_last(&self, before: usize) -> bool {
        let is_all = self.total.is_some_and(|total| before + self.items.len() >= total);
        let has_more = self.total.is_some() || self.links.next.is_some();
        self.items.is_empty() || is_all || !has_more
    }
}

pub(super) fn environments(answer: Value) -> Result<EnvironmentPage, RestError> {
    read("a list of environments", answer)
}

/// Whose access token it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallerIdentity {
    /// The account.
    pub account_id: Option<String>,
    /// The member whose token it is; none for a service token.
    pub member_id: Option<String>,
    /// The token's name.
    pub token_name: Option<String>,
    /// The token's kind, as LaunchDarkly names it.
    pub token_kind: Option<String>,
}

pub(super) fn caller_identity(answer: Value) -> Result<CallerIdentity, RestError> {
    read("the caller's identity", answer)
}

fn read<T: serde::de::DeserializeOwned>(what: &'static str, answer: Value) -> Result<T, RestError> {
    serde_json::from_value(answer).map_err(|source| RestError::UnexpectedShape { what, source })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_flag_has_a_state_where_it_has_an_environment() {
        let flag = Flag {
            raw: json!({ "_version": 9, "variations": [{ "_id": "1", "value": "a" }], "environments": {
                "production": { "on": true, "version": 12, "fallthrough": { "variation": 1 } },
                "odd": { "on": "yes", "version": 1 },
            }}),
        };
        assert_eq!(flag.state("production"), Some(FlagState { version: 12, on: true, variation: Some(1) }));
        assert_eq!(flag.variations().collect::<Vec<_>>(), ["a"]);
        assert_eq!(flag.state("odd"), None);
        assert_eq!(flag.state("test"), None);
        assert!(!flag.is_archived());
    }

    #[test]
    fn a_pointer_escapes_what_would_separate() {
        assert_eq!(pointer(&["environments", "a/b~c", "on"]), "/environments/a~1b~0c/on");
    }

    #[test]
    fn the_last_page_is_known_with_and_without_a_total() {
        for (page, before, expected) in [
            (json!({ "items": [] }), 0, true),
            (json!({ "items": [environment()] }), 0, true),
            (json!({ "items": [environment()], "totalCount": 2 }), 0, false),
            (json!({ "items": [environment()], "totalCount": 2 }), 1, true),
            (json!({ "items": [], "totalCount": 2 }), 1, true),
            (json!({ "items": [environment()], "_links": { "next": { "href": "/" } } }), 0, false),
        ] {
            let text = page.to_string();
            assert_eq!(environments(page).unwrap().is_last(before), expected, "{text}");
        }
    }

    fn environment() -> Value {
        json!({ "_id": "5", "key": "e", "name": "E", "apiKey": "sdk-e", "mobileKey": "mob-e" })
    }
}
