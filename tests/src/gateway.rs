//! HTTP requests as the three gateways of Lambda hand them to a function.
//!
//! Event formats: API Gateway developer guide, "Lambda proxy integrations" (payload formats 1.0 and 2.0), and Lambda
//! developer guide, "Function URLs". Pure: a request goes in as its parts, an event comes out.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use local::standin::signature;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The header that carries a webhook's signature.
pub const SIGNATURE: &str = "X-LD-Signature";

/// Who hands the request over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gateway {
    /// API Gateway, HTTP API, payload format 2.0.
    HttpApi,
    /// API Gateway, REST API, payload format 1.0.
    RestApi,
    /// A Function URL.
    FunctionUrl,
}

impl Gateway {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::HttpApi, Self::RestApi, Self::FunctionUrl];
}

/// A request on its way to a function.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// What the event says in place of the body's own text and encoding.
    wording: Option<(String, bool)>,
}

impl Request {
    /// A POST of a body to `/`, without a signature.
    pub fn post(body: impl Into<Vec<u8>>) -> Self {
        Self {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: body.into(),
            wording: None,
        }
    }

    /// The same, signed with a secret as LaunchDarkly signs.
    pub fn signed(secret: &str, body: impl Into<Vec<u8>>) -> Self {
        let request = Self::post(body);
        let signature = signature(secret, &request.body);
        request.header(SIGNATURE, signature)
    }

    /// With another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// To another path.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With another body than the one that was signed.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// With the body encoded in base64, as a gateway does with binary media types.
    #[must_use]
    pub fn encoded(self) -> Self {
        let text = BASE64_STANDARD.encode(&self.body);
        self.worded(text, true)
    }

    /// With an event that says of the body what it is not.
    #[must_use]
    pub fn worded(mut self, text: impl Into<String>, encoded: bool) -> Self {
        self.wording = Some((text.into(), encoded));
        self
    }

    /// The values of the signature headers: none of them may come out of the function again.
    pub fn signatures(&self) -> impl Iterator<Item = &str> {
        let found = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(SIGNATURE));
        found.map(|(_, value)| value.trim())
    }

    /// The event.
    pub fn event(&self, gateway: Gateway) -> Value {
        match gateway {
            Gateway::HttpApi => self.format_2("abc123.execute-api.eu-west-1.amazonaws.com"),
            Gateway::FunctionUrl => self.format_2("abc123.lambda-url.eu-west-1.on.aws"),
            Gateway::RestApi => self.format_1(),
        }
    }

    fn format_2(&self, domain: &str) -> Value {
        let (body, encoded) = self.body();
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in &self.headers {
            let known = headers.entry(name.to_ascii_lowercase()).or_default();
            *known = if known.is_empty() { value.clone() } else { format!("{known},{value}") };
        }
        json!({
            "version": "2.0", "routeKey": "$default", "rawPath": self.path, "rawQueryString": "", "headers": headers,
            "requestContext": {
                "accountId": "123456789012", "apiId": "abc123", "domainName": domain, "requestId": "gateway-1",
                "stage": "$default", "routeKey": "$default", "time": "01/Jan/2025:00:00:00 +0000",
                "timeEpoch": 1_735_689_600_000_u64,
                "http": {"method": self.method, "path": self.path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1",
                         "userAgent": "LaunchDarkly"},
            },
            "body": body, "isBase64Encoded": encoded,
        })
    }

    fn format_1(&self) -> Value {
        let (body, encoded) = self.body();
        let (mut single, mut multi) = (Map::new(), Map::new());
        for (name, value) in &self.headers {
            single.insert(name.clone(), json!(value));
            let values = multi.entry(name.clone()).or_insert_with(|| json!([]));
            values.as_array_mut().into_iter().for_each(|values| values.push(json!(value)));
        }
        json!({
            "resource": "/{proxy+}", "path": self.path, "httpMethod": self.method,
            "headers": single, "multiValueHeaders": multi,
            "queryStringParameters": null, "multiValueQueryStringParameters": null, "pathParameters": null,
            "stageVariables": null,
            "requestContext": {
                "accountId": "123456789012", "apiId": "abc123", "stage": "prod", "path": format!("/prod{}", self.path),
                "httpMethod": self.method, "requestId": "gateway-1", "resourcePath": "/{proxy+}",
            },
            "body": body, "isBase64Encoded": encoded,
        })
    }

    fn body(&self) -> (Value, bool) {
        match &self.wording {
            Some((text, encoded)) => (json!(text), *encoded),
            None if self.body.is_empty() => (Value::Null, false),
            None => (json!(String::from_utf8_lossy(&self.body)), false),
        }
    }
}
