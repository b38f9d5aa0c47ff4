//! What a request says: context, default, filter.
//!
//! The context is taken from the query (`key`, `kind`, `name`, `anonymous`, or `context`) or from the body
//! (`context`); where it is in both the request is refused, as nobody could tell which was meant. Parameters and fields
//! that are not known are ignored.

use std::error::Error;

use launchdarkly_server_sdk_evaluation::Context;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::context::{self, ContextError, Simple};

/// A request on plain data.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method in upper case.
    pub method: &'a str,
    /// The query's names and values, decoded ([`query_pairs`]).
    pub query: &'a [(String, String)],
    /// The body's bytes. Read for `POST` only.
    pub body: &'a [u8],
}

/// The names and values of a percent-encoded query string.
pub fn query_pairs(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

/// What a request asks for.
pub(super) struct Words {
    pub(super) context: Context,
    pub(super) default: Option<serde_json::Value>,
    pub(super) client_side_only: bool,
}

#[derive(Default, Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    context: Option<&'a RawValue>,
    #[serde(default)]
    flag: Option<String>,
    #[serde(borrow, default, deserialize_with = "given")]
    default: Option<&'a RawValue>,
}

/// A default of `null` is a default.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Request<'_> {
    pub(super) fn words(&self, default_key: &str) -> Result<Words, Refusal> {
        let body = self.body()?;
        let context = match (self.context()?, body.context) {
            (Some(_), Some(_)) => return Err(bad("the context is given in the query and in the body".to_owned())),
            (Some(context), None) => context,
            (None, Some(json)) => context::from_json("context", json.get())?,
            (None, None) => context::keyed(default_key)?,
        };
        let default = match (self.parameter("default")?, body.default) {
            (Some(_), Some(_)) => return Err(bad("the default is given in the query and in the body".to_owned())),
            (Some(json), None) => Some(parsed("query parameter `default`", json)?),
            (None, Some(json)) => Some(parsed("default", json.get())?),
            (None, None) => None,
        };
        Ok(Words { context, default, client_side_only: self.truth("clientSideOnly")? })
    }

    /// The flag that the body names.
    pub(super) fn flag(&self) -> Result<Option<String>, Refusal> {
        Ok(self.body()?.flag)
    }

    fn body(&self) -> Result<Body<'_>, Refusal> {
        if self.method != "POST" || self.body.trim_ascii().is_empty() {
            return Ok(Body::default());
        }
        if self.body.trim_ascii_start().first() != Some(&b'{') {
            return Err(bad("the body must be a JSON object".to_owned()));
        }
        serde_json::from_slice(self.body).map_err(|error| bad(format!("the body is not valid: {error}")))
    }

    /// The context that the query gives.
    fn context(&self) -> Result<Option<Context>, Refusal> {
        let key = self.parameter("key")?;
        let kind = self.parameter("kind")?;
        let name = self.parameter("name")?;
        let anonymous = self.parameter("anonymous")?;
        let words = [("kind", kind), ("name", name), ("anonymous", anonymous)];
        let word = words.iter().find_map(|(word, value)| value.map(|_| *word));
        match (self.parameter("context")?, key, word) {
            (Some(json), None, None) => Ok(Some(context::from_json("context", json)?)),
            (Some(_), ..) => Err(bad("give either `context` or `key` in the query, not both".to_owned())),
            (None, None, Some(word)) => Err(bad(format!("query parameter `{word}` needs `key` beside it"))),
            (None, None, None) => Ok(None),
            (None, Some(key), _) => {
                let anonymous = self.truth("anonymous")?;
                Ok(Some(Simple { key, kind, name, anonymous }.build().map_err(of_query)?))
            }
        }
    }

    fn parameter(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.query.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(bad(format!("query parameter `{name}` is given more than once"))),
            (value, None) => Ok(value),
        }
    }

    fn truth(&self, name: &str) -> Result<bool, Refusal> {
        match self.parameter(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(bad(format!("query parameter `{name}` must be true or false, not `{other}`"))),
        }
    }
}

fn parsed(place: &str, json: &str) -> Result<serde_json::Value, Refusal> {
    serde_json::from_str(json).map_err(|error| bad(format!("{place} is not valid JSON: {error}")))
}

const fn bad(message: String) -> Refusal {
    Refusal { status: 400, code: "bad-request", message }
}

fn of_query(error: ContextError) -> Refusal {
    let refusal = Refusal::from(error);
    Refusal { message: format!("query parameter {}", refusal.message), ..refusal }
}

impl From<ContextError> for Refusal {
    fn from(error: ContextError) -> Self {
        let message = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Self { status: 400, code: "bad-context", message }
    }
}
