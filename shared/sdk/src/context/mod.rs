//! LaunchDarkly contexts from what a request says.
//!
//! The SDK builds the contexts; what is here finds out beforehand what the SDK would refuse or drop in silence (a `name`
//! that is not text, say), because its errors do not tell where. Contexts come from strangers, so their size and depth
//! are bounded.

mod check;

use launchdarkly_server_sdk_evaluation::{Context, ContextBuilder};
use serde_json::Value;

/// The longest context that is accepted, in bytes of JSON.
pub const MAX_BYTES: usize = 128 * 1024;

/// The deepest nesting of objects and arrays that is accepted in a context.
pub const MAX_DEPTH: usize = 32;

/// Why a context is refused.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// The text is no JSON; the source says in which line and column.
    #[error("{place} is not valid JSON")]
    Json {
        /// What the text is a part of.
        place: String,
        /// The parser's view.
        #[source]
        source: serde_json::Error,
    },
    /// The JSON is no context.
    #[error("{place} {problem}")]
    Invalid {
        /// The path to what is wrong, as `context.user.key`.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl ContextError {
    pub(crate) fn invalid(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { place: place.into(), problem: problem.into() }
    }
}

/// A context of kind `user` with this key and nothing else.
pub fn keyed(key: &str) -> Result<Context, ContextError> {
    Simple { key, ..Simple::default() }.build()
}

/// A context of a few plain words, as a query string has them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Simple<'a> {
    /// Who is asking; required.
    pub key: &'a str,
    /// The context's kind, `user` where it is absent.
    pub kind: Option<&'a str>,
    /// A name for people.
    pub name: Option<&'a str>,
    /// Whether the context is kept off LaunchDarkly's dashboard.
    pub anonymous: bool,
}

impl Simple<'_> {
    /// The context.
    pub fn build(self) -> Result<Context, ContextError> {
        let mut builder = ContextBuilder::new(self.key);
        check::key("key", self.key)?;
        if let Some(kind) = self.kind {
            check::kind("kind", kind)?;
            builder.kind(kind);
        }
        if let Some(name) = self.name {
            builder.name(name);
        }
        builder.anonymous(self.anonymous).build().map_err(|problem| ContextError::invalid("the context", problem))
    }
}

/// A context from its JSON: single-kind, multi-kind, or a user of the days before contexts (no `kind`).
///
/// `place` says in errors where the text stands.
pub fn from_json(place: &str, json: &str) -> Result<Context, ContextError> {
    if json.len() > MAX_BYTES {
        let problem = format!("has {} bytes; at most {MAX_BYTES} are accepted", json.len());
        return Err(ContextError::invalid(place, problem));
    }
    let value = serde_json::from_str(json).map_err(|source| ContextError::Json { place: place.to_owned(), source })?;
    from_value(place, value)
}

fn from_value(place: &str, value: Value) -> Result<Context, ContextError> {
    if check::depth(&value) > MAX_DEPTH {
        return Err(ContextError::invalid(place, format!("is nested deeper than {MAX_DEPTH} levels")));
    }
    check::context(place, &value)?;
    serde_json::from_value(value).map_err(|error| ContextError::invalid(place, format!("is not valid: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(json: &str) -> String {
        let error = from_json("context", json).unwrap_err();
        match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        }
    }

    #[test]
    fn words_of_a_query_make_a_context() {
        let context = Simple { key: "k", kind: Some("org"), name: Some("Name"), anonymous: true }.build().unwrap();
        assert_eq!(
            serde_json::to_value(context).unwrap(),
            serde_json::json!({"kind": "org", "key": "k", "name": "Name", "anonymous": true})
        );
        assert_eq!(keyed("k").unwrap().canonical_key(), "k");
    }

    #[test]
    fn json_of_every_shape_makes_a_context() {
        for (json, canonical_key) in [
            (r#"{"kind":"user","key":"a"}"#, "a"),
            (r#"{"key":"a","custom":{"groups":["x"]},"email":"e"}"#, "a"),
            (
                r#"{"kind":"device","key":"a:b","os":{"name":"x"},"_meta":{"privateAttributes":["/os/name"]}}"#,
                "device:a%3Ab",
            ),
            (r#"{"kind":"multi","user":{"key":"u"},"org":{"key":"o","name":null}}"#, "org:o:user:u"),
            (r#"{"kind":"multi","org":{"key":"o"}}"#, "org:o"),
        ] {
            assert_eq!(from_json("context", json).unwrap().canonical_key(), canonical_key, "{json}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong_and_where() {
        for (json, message) in [
            ("", "context is not valid JSON: EOF while parsing a value at line 1 column 0"),
            ("{\"key\":\n  x}", "context is not valid JSON: expected value at line 2 column 3"),
            ("[]", "context must be an object, not an array"),
            ("null", "context must be an object, not null"),
            (r#"{"kind":"user"}"#, "context.key is missing"),
            ("{}", "context.key is missing"),
            (r#"{"kind":"user","key":""}"#, "context.key is empty"),
            (r#"{"key":""}"#, "context.key is empty"),
            (r#"{"kind":"user","key":7}"#, "context.key must be a string, not a number"),
            (r#"{"kind":null,"key":"k"}"#, "context.kind must be a string, not null"),
            (r#"{"kind":"","key":"k"}"#, "context.kind is empty"),
            (r#"{"kind":"kind","key":"k"}"#, "context.kind `kind` is not allowed"),
            (
                r#"{"kind":"a b","key":"k"}"#,
                "context.kind `a b` is not allowed: only ASCII letters, digits and `-`, `.`, `_` may be in a kind",
            ),
            (r#"{"kind":"user","key":"k","name":3}"#, "context.name must be a string, not a number"),
            (r#"{"kind":"user","key":"k","anonymous":"yes"}"#, "context.anonymous must be true or false, not a string"),
            (r#"{"kind":"user","key":"k","_meta":[]}"#, "context._meta must be an object, not an array"),
            (
                r#"{"kind":"user","key":"k","_meta":{"privateAttributes":"a"}}"#,
                "context._meta.privateAttributes must be an array of strings, not a string",
            ),
            (
                r#"{"kind":"user","key":"k","_meta":{"privateAttributes":["a",1]}}"#,
                "context._meta.privateAttributes[1] must be a string, not a number",
            ),
            (r#"{"kind":"multi"}"#, "context is of kind `multi` but names no other kind"),
            (r#"{"kind":"multi","user":"u"}"#, "context.user must be an object, not a string"),
            (r#"{"kind":"multi","user":{}}"#, "context.user.key is missing"),
            (
                r#"{"kind":"multi","multi":{"key":"k"}}"#,
                "context.multi: the kind `multi` is not allowed inside a multi-kind context",
            ),
            (r#"{"key":"k","custom":[]}"#, "context.custom must be an object, not an array"),
            (r#"{"key":"k","email":1}"#, "context.email must be a string, not a number"),
        ] {
            assert_eq!(refusal(json), message, "{json}");
        }
    }

    #[test]
    fn what_is_too_long_or_too_deep_is_refused_and_never_overflows_the_stack() {
        let deep =
            |levels: usize| format!(r#"{{"kind":"user","key":"k","a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        assert!(from_json("context", &deep(MAX_DEPTH - 1)).is_ok());
        assert_eq!(refusal(&deep(MAX_DEPTH)), "context is nested deeper than 32 levels");
        assert!(refusal(&deep(60_000)).contains("recursion limit exceeded at line 1"));
        let long = format!(r#"{{"kind":"user","key":"{}"}}"#, "k".repeat(MAX_BYTES));
        assert_eq!(refusal(&long), "context has 131096 bytes; at most 131072 are accepted");
    }

    #[test]
    fn words_are_checked_as_json_is() {
        assert_eq!(keyed("").unwrap_err().to_string(), "key is empty");
        let simple = Simple { key: "k", kind: Some("multi"), ..Simple::default() };
        assert_eq!(simple.build().unwrap_err().to_string(), "kind `multi` needs the whole context as JSON");
    }

    proptest::proptest! {
        #[test]
        fn whatever_passes_the_checks_the_sdk_accepts(
            kind in "[a-z._ -]{0,3}|user|multi|kind",
            key in "[a-z]{0,2}",
            extra in proptest::sample::select(vec!["1", "null", "\"a\"", "true", "[]", "{}", "{\"key\":\"k\"}"]),
            field in proptest::sample::select(vec!["name", "anonymous", "_meta", "a", "custom", "", "user", "email", "key"]),
        ) {
            let json = format!(r#"{{"kind":"{kind}","key":"{key}","{field}":{extra}}}"#);
            if let Err(error) = from_json("context", &json) {
                proptest::prop_assert!(!error.to_string().contains("is not valid:"), "{} for {}", error, json);
            }
        }
    }
}
