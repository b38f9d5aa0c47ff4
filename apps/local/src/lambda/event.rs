//! From an HTTP request to the event that a function gets, and from its answer back to HTTP.
//!
//! Payload format 2.0, as API Gateway's HTTP APIs and Function URLs send it: API Gateway developer
//! guide, "Create AWS Lambda proxy integrations for HTTP APIs". Pure: the server is in `front`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

/// The event for a request at the time `now`.
pub fn http_event(request: &Parts, body: &[u8], now: DateTime<Utc>) -> Value {
    let path = request.uri.path();
    let query = request.uri.query().unwrap_or_default();
    let agent = request.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let host = request.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers(&request.headers),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "local",
            "domainName": host,
            "domainPrefix": "local",
            "http": {
                "method": request.method.as_str(),
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": agent,
            },
            "requestId": format!("{:016x}", rand::random::<u64>()),
            "routeKey": "$default",
            "stage": "$default",
            "time": now.format("%d/%b/%Y:%H:%M:%S %z").to_string(),
            "timeEpoch": now.timestamp_millis(),
        },
        "isBase64Encoded": false,
    });
    let cookies = cookies(&request.headers);
    if !cookies.is_empty() {
        event["cookies"] = cookies.into();
    }
    if !query.is_empty() {
        event["queryStringParameters"] = query_parameters(query);
    }
    if !body.is_empty() {
        let text = std::str::from_utf8(body).ok().filter(|_| is_text(&request.headers));
        event["isBase64Encoded"] = text.is_none().into();
        event["body"] = text.map_or_else(|| BASE64_STANDARD.encode(body), str::to_owned).into();
    }
    event
}

/// The headers with lower-case names, several of a name joined by commas, without the cookies.
fn headers(headers: &HeaderMap) -> Value {
    let mut joined = Map::new();
    for name in headers.keys().filter(|name| *name != header::COOKIE) {
        let values: Vec<_> =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        joined.insert(name.as_str().to_owned(), values.join(",").into());
    }
    joined.into()
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split("; ")).map(str::to_owned).collect()
}

/// The decoded parameters, several of a name joined by commas.
fn query_parameters(query: &str) -> Value {
    let mut joined: Map<String, Value> = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = match joined.get(&*name).and_then(Value::as_str) {
            Some(before) => format!("{before},{value}"),
            None => value.into_owned(),
        };
        joined.insert(name.into_owned(), value.into());
    }
    joined.into()
}

/// Whether the gateway hands the body over as text; anything else it encodes.
fn is_text(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("text/plain");
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type.starts_with("text/")
        || media_type.ends_with("+json")
        || media_type.ends_with("+xml")
        || ["application/json", "application/javascript", "application/xml"].contains(&media_type.as_str())
}

/// The response for a function's answer; nothing where the answer makes no response.
pub(super) fn http_response(answer: &[u8]) -> Option<http::Response<Bytes>> {
    let value: Value = serde_json::from_slice(answer).ok()?;
    let Some(status) = value.get("statusCode") else {
        // Without a status the whole answer is the body of a 200.
        let mut response = http::Response::new(Bytes::copy_from_slice(answer));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        return Some(response);
    };
    let status = StatusCode::from_u16(status.as_u64()?.try_into().ok()?).ok()?;
    let text = value.get("body").and_then(Value::as_str).unwrap_or_default();
    let is_encoded = value.get("isBase64Encoded").and_then(Value::as_bool).unwrap_or(false);
    let body = if is_encoded { BASE64_STANDARD.decode(text).ok()? } else { text.as_bytes().to_vec() };
    let mut response = http::Response::new(Bytes::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = response_headers(&value)?;
    Some(response)
}

fn response_headers(answer: &Value) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in answer.get("headers").and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
    }
    for cookie in answer.get("cookies").and_then(Value::as_array).into_iter().flatten() {
        headers.append(header::SET_COOKIE, HeaderValue::try_from(cookie.as_str()?).ok()?);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(request: http::request::Builder, body: &[u8]) -> Value {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        http_event(&parts, body, DateTime::from_timestamp(1_583_348_638, 390_000_000).unwrap())
    }

    #[test]
    fn a_request_becomes_an_event_of_format_2() {
        let request = http::Request::post("/flags/a%2Fb?key=a%20b&key=c&kind=user")
            .header("X-LD-Signature", "abc")
            .header("x-twice", "1")
            .header("x-twice", "2")
            .header("cookie", "a=1; b=2")
            .header("content-type", "application/json; charset=utf-8")
            .header("user-agent", "agent");
        let event = event(request, b"{}");

        assert_eq!(event["rawPath"], "/flags/a%2Fb");
        assert_eq!(event["rawQueryString"], "key=a%20b&key=c&kind=user");
        assert_eq!(event["queryStringParameters"], json!({"key": "a b,c", "kind": "user"}));
        assert_eq!(event["headers"]["x-ld-signature"], "abc");
        assert_eq!(event["headers"]["x-twice"], "1,2");
        assert_eq!(event["headers"].get("cookie"), None);
        assert_eq!(event["cookies"], json!(["a=1", "b=2"]));
        assert_eq!(event["requestContext"]["http"]["method"], "POST");
        assert_eq!(event["requestContext"]["time"], "04/Mar/2020:19:03:58 +0000");
        assert_eq!(event["requestContext"]["timeEpoch"], 1_583_348_638_390_i64);
        assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("{}"), &json!(false)));
    }

    #[test]
    fn bodies_that_are_no_text_are_encoded_and_empty_ones_are_absent() {
        let octets = || http::Request::post("/").header("content-type", "application/octet-stream");
        for (request, body, expected, is_encoded) in [
            (octets(), &b"{}"[..], json!("e30="), true),
            (http::Request::post("/").header("content-type", "application/json"), &b"\xff"[..], json!("/w=="), true),
            (http::Request::post("/"), &b"text"[..], json!("text"), false),
            (octets(), &b""[..], Value::Null, false),
        ] {
            let event = event(request, body);
            assert_eq!((&event["body"], &event["isBase64Encoded"]), (&expected, &json!(is_encoded)));
        }
    }

    #[test]
    fn an_answer_becomes_a_response() {
        let answer = json!({
            "statusCode": 503, "headers": {"Age": 3, "X": "y"}, "cookies": ["a=1", "b=2"],
            "body": "/w==", "isBase64Encoded": true
        });
        let response = http_response(answer.to_string().as_bytes()).unwrap();
        assert_eq!(response.status(), 503);
        assert_eq!(&response.body()[..], b"\xff");
        assert_eq!(response.headers()["age"], "3");
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
    }

    #[test]
    fn an_answer_without_a_status_is_the_body_itself() {
        let response = http_response(br#"{"outcome":"updated"}"#).unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(&response.body()[..], br#"{"outcome":"updated"}"#);
    }

    #[test]
    fn an_answer_that_makes_no_response_is_refused() {
        for answer in [
            "{",
            r#"{"statusCode":"200"}"#,
            r#"{"statusCode":99}"#,
            r#"{"statusCode":200,"headers":{"a b":"c"}}"#,
            r#"{"statusCode":200,"body":"%","isBase64Encoded":true}"#,
        ] {
            assert!(http_response(answer.as_bytes()).is_none(), "{answer}");
        }
    }
}
