//! An HTTP answer as API Gateway (payload formats 1.0 and 2.0, REST) and Function URLs take it.
//!
//! The envelope keeps to the members that all of them read: `statusCode`, `headers`, `body`,
//! `isBase64Encoded`; payload format 2.0 adds `cookies`, which a REST API would not know. Bodies
//! are JSON text; rendered once, by whoever knows how.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};

/// An HTTP answer with a JSON body, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Further headers beside `content-type`; values of equal names are joined by `, `.
    pub headers: Vec<(String, String)>,
    /// JSON text; empty for an answer without a body.
    pub body: String,
}

impl Answer {
    /// An answer with this value as its body.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::rendered(status, body.to_string())
    }

    /// An answer whose JSON is rendered already.
    pub fn rendered(status: u16, body: String) -> Self {
        let headers = Vec::new();
        Self { status, headers, body }
    }

    /// An answer without a body, such as 304.
    pub fn empty(status: u16) -> Self {
        Self::rendered(status, String::new())
    }

    /// `{"error":{"code","message"}}`; the message must hold no secret.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &json!({"error": {"code": code, "message": message}}))
    }

    /// The answer with one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// The proxy response, `content-type` being JSON unless a header says otherwise.
impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut envelope = serializer.serialize_map(Some(4))?;
        envelope.serialize_entry("statusCode", &self.status)?;
        envelope.serialize_entry("headers", &Headers(self))?;
        envelope.serialize_entry("body", &self.body)?;
        envelope.serialize_entry("isBase64Encoded", &false)?;
        envelope.end()
    }
}

/// The proxy response of payload format 2.0. Its cookies may be missing for API Gateway, and must not for the emulator
/// of `cargo lambda watch`.
#[derive(Debug, Serialize)]
pub(crate) struct WithCookies {
    #[serde(flatten)]
    answer: Answer,
    cookies: [&'static str; 0],
}

impl From<Answer> for WithCookies {
    fn from(answer: Answer) -> Self {
        Self { answer, cookies: [] }
    }
}

struct Headers<'a>(&'a Answer);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut joined: Vec<(&str, String)> = Vec::with_capacity(self.0.headers.len() + 1);
        for (name, value) in &self.0.headers {
            match joined.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                Some((_, values)) => {
                    values.push_str(", ");
                    values.push_str(value);
                }
                None => joined.push((name, value.clone())),
            }
        }
        let typed = joined.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if !typed && !self.0.body.is_empty() {
            joined.push(("content-type", "application/json".to_owned()));
        }
        serializer.collect_map(joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_becomes_a_proxy_response() {
        let answer = Answer::json(200, &json!({"outcome": "updated"})).with_header("Age", "3");
        assert_eq!(
            serde_json::to_value(&answer).unwrap(),
            json!({
                "statusCode": 200,
                "headers": {"Age": "3", "content-type": "application/json"},
                "body": "{\"outcome\":\"updated\"}",
                "isBase64Encoded": false
            })
        );
    }

    #[test]
    fn an_error_has_code_and_message() {
        let answer = Answer::error(401, "signature-missing", "no X-LD-Signature");
        assert_eq!(answer.body, r#"{"error":{"code":"signature-missing","message":"no X-LD-Signature"}}"#);
    }

    #[test]
    fn an_empty_answer_has_no_content_type() {
        let answer = serde_json::to_value(Answer::empty(304)).unwrap();
        assert_eq!(answer["headers"], json!({}));
        assert_eq!(answer["body"], json!(""));
    }

    #[test]
    fn equal_headers_are_joined_and_a_given_content_type_stays() {
        let answer = Answer::rendered(200, "a".into())
            .with_header("Content-Type", "text/plain")
            .with_header("vary", "a")
            .with_header("Vary", "b");
        let headers = &serde_json::to_value(&answer).unwrap()["headers"];
        assert_eq!(headers, &json!({"Content-Type": "text/plain", "vary": "a, b"}));
    }
}
