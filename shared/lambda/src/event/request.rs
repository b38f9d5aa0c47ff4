//! An HTTP request as the functions see it, the same whichever gateway brought it.
//!
//! Knows nothing of event shapes (`gateway` does) and nothing of what is asked for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::fmt;

/// What brought the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// API Gateway HTTP API, payload format 2.0.
    ApiGatewayV2,
    /// API Gateway REST API, or an HTTP API with payload format 1.0.
    ApiGatewayV1,
    /// A Lambda Function URL.
    FunctionUrl,
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// In upper case.
    pub method: String,
    /// As delivered, percent-encoded, without the stage's name; begins with `/`.
    pub path: String,
    /// Names and values decoded, in order.
    pub query: Vec<(String, String)>,
    /// As delivered, in order, names in any case; see [`Request::header_values`].
    pub headers: Vec<(String, String)>,
    /// As delivered; see [`Body::bytes`].
    pub body: Body,
    /// What brought it.
    pub source: Source,
}

impl Request {
    /// All values of a header, its name in any case. A payload of format 2.0 has doubled headers
    /// joined by commas already; they are not split, for a comma can also be part of a value.
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The header's first value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).first().copied()
    }

    /// The first value of a query parameter.
    pub fn query_value(&self, name: &str) -> Option<&str> {
        let pair = self.query.iter().find(|(key, _)| key == name)?;
        Some(pair.1.as_str())
    }

    /// The path's parts between the slashes, percent-decoded, empty ones left out.
    pub fn segments(&self) -> Vec<Cow<'_, str>> {
        self.path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy())
            .collect()
    }
}

/// A request's body as delivered: text, or base64 of the bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Body {
    text: String,
    base64: bool,
}

/// The event says that its body is base64, and it is not.
#[derive(Debug, thiserror::Error)]
#[error("decode the request's body: isBase64Encoded is true, but it is not base64")]
pub struct BadBase64(#[source] base64::DecodeError);

impl Body {
    /// A body of this text.
    pub fn from_text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text, base64: false }
    }

    /// A body of the bytes that this base64 (standard alphabet, padded) stands for.
    pub fn from_base64(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text, base64: true }
    }

    /// How many bytes [`Body::bytes`] gives, without decoding them.
    pub fn size(&self) -> usize {
        if !self.base64 {
            return self.text.len();
        }
        let padding = self.text.bytes().rev().take(2).filter(|&b| b == b'=').count();
        (self.text.len() / 4 * 3).saturating_sub(padding)
    }

    /// The bytes that the client sent.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>, BadBase64> {
        if !self.base64 {
            return Ok(Cow::Borrowed(self.text.as_bytes()));
        }
        STANDARD.decode(&self.text).map(Cow::Owned).map_err(BadBase64)
    }
}

/// Only the size: what clients send does not belong in logs.
impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, base64) = (self.size(), self.base64);
        write!(formatter, "Body {{ size: {size}, base64: {base64} }}")
    }
}

/// The pairs of a query string: `&` between them, `+` a blank, the rest percent-decoded.
pub(super) fn decode_query(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_query_is_decoded() {
        let pairs = decode_query("key=a%20b+c&kind=user&empty=&bare&&context=%7B%22k%22%3A1%7D&k=a=b");
        let expected =
            [("key", "a b c"), ("kind", "user"), ("empty", ""), ("bare", ""), ("context", r#"{"k":1}"#), ("k", "a=b")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pairs, expected);
    }

    #[test]
    fn base64_that_lies_is_an_error_when_decoded() {
        for text in ["{\"a\":1}", "abc", "ab==cd", "äöü"] {
            let body = Body::from_base64(text);
            assert!(body.bytes().is_err(), "{text}");
            let _ = body.size();
        }
    }

    #[test]
    fn a_body_is_not_printed() {
        let body = Body::from_text("token");
        assert_eq!(format!("{body:?}"), "Body { size: 5, base64: false }");
    }

    proptest! {
        #[test]
        fn a_size_is_that_of_the_bytes(bytes: Vec<u8>, text: String) {
            let encoded = Body::from_base64(STANDARD.encode(&bytes));
            prop_assert_eq!(encoded.size(), bytes.len());
            prop_assert_eq!(encoded.bytes().unwrap().into_owned(), bytes);
            let plain = Body::from_text(text.clone());
            prop_assert_eq!(plain.size(), text.len());
            prop_assert_eq!(plain.bytes().unwrap().into_owned(), text.into_bytes());
        }
    }
}
