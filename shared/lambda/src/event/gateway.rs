//! The event shapes of API Gateway and Function URLs, read into a [`Request`].
//!
//! Shapes: API Gateway developer guide, "Create AWS Lambda proxy integrations for HTTP APIs"
//! (payload formats 1.0 and 2.0) and "Lambda proxy integrations in API Gateway" (REST); Lambda
//! developer guide, "Invoking Lambda function URLs". A request is told by where its method stands:
//! `requestContext.http.method` (2.0, Function URL) or `httpMethod` (1.0, REST). Nothing else
//! makes an event a request, least of all a mere `body`.

use super::object::Object;
use super::request::{Body, Request, Source, decode_query};

/// The request that the event carries, if it is one.
pub(super) fn request(event: &Object) -> Option<Request> {
    let context = event.object("requestContext").unwrap_or_default();
    if let Some(http) = context.object("http")
        && let Some(method) = http.text("method")
    {
        return Some(format_2(event, &context, &http, &method));
    }
    let method = event.text("httpMethod")?;
    Some(format_1(event, &context, &method))
}

fn format_2(event: &Object, context: &Object, http: &Object, method: &str) -> Request {
    let domain = context.text("domainName").unwrap_or_default();
    let source = if domain.contains(".lambda-url.") { Source::FunctionUrl } else { Source::ApiGatewayV2 };
    let path = event.text("rawPath").or_else(|| http.text("path"));
    let mut headers = pairs(event, "headers");
    let cookies = event.texts("cookies");
    if !cookies.is_empty() {
        headers.push(("cookie".to_owned(), cookies.join("; ")));
    }
    let query = match event.text("rawQueryString") {
        Some(raw) => decode_query(&raw),
        None => pairs(event, "queryStringParameters"),
    };
    Request {
        method: method.to_ascii_uppercase(),
        path: without_stage(path.unwrap_or_default(), context.text("stage")),
        query,
        headers,
        body: body(event),
        source,
    }
}

fn format_1(event: &Object, context: &Object, method: &str) -> Request {
    let path = event.text("path").unwrap_or_default();
    // A REST API keeps the stage out of `path`, and only there; then a first segment that happens
    // to be named like the stage is the client's own.
    let stage = match context.text("path") {
        Some(whole) if whole != path => None,
        _ => context.text("stage"),
    };
    Request {
        method: method.to_ascii_uppercase(),
        path: without_stage(path, stage),
        query: multi(event, "multiValueQueryStringParameters", "queryStringParameters", str::eq),
        headers: multi(event, "multiValueHeaders", "headers", str::eq_ignore_ascii_case),
        body: body(event),
        source: Source::ApiGatewayV1,
    }
}

/// The path from the root of the API.
fn without_stage(path: String, stage: Option<String>) -> String {
    let inner = stage
        .filter(|stage| !stage.is_empty())
        .and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage.as_str()))
        .filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let path = match inner {
        Some(rest) => rest.to_owned(),
        None => path,
    };
    if path.starts_with('/') { path } else { format!("/{path}") }
}

fn pairs(event: &Object, name: &str) -> Vec<(String, String)> {
    event.object(name).map(Object::into_pairs).unwrap_or_default()
}

/// The multi-value member's pairs, and those of the single-value member that it does not name.
fn multi(event: &Object, multi: &str, single: &str, same: fn(&str, &str) -> bool) -> Vec<(String, String)> {
    let mut all = event.object(multi).map(Object::into_multi_pairs).unwrap_or_default();
    let named = all.len();
    for (name, value) in pairs(event, single) {
        if !all[..named].iter().any(|(known, _)| same(known, &name)) {
            all.push((name, value));
        }
    }
    all
}

/// The body: a string as a rule; what is no string counts as the text that stands there.
fn body(event: &Object) -> Body {
    let Some(raw) = event.raw("body").filter(|raw| raw.get() != "null") else {
        return Body::default();
    };
    match serde_json::from_str::<String>(raw.get()) {
        Ok(text) if event.is_true("isBase64Encoded") => Body::from_base64(text),
        Ok(text) => Body::from_text(text),
        Err(_) => Body::from_text(raw.get()),
    }
}

#[cfg(test)]
mod tests {
    use crate::event::{Invocation, Request, Source};
    use serde_json::{Value, json};

    fn request(event: &Value) -> Request {
        match Invocation::parse(event.to_string().as_bytes()).unwrap() {
            Invocation::Http(request) => request,
            other => panic!("not a request: {other:?}"),
        }
    }

    fn http_api() -> Value {
        json!({
            "version": "2.0", "routeKey": "$default", "rawPath": "/flags/my%2Fflag",
            "rawQueryString": "key=a%20b&key=c&kind=user",
            "cookies": ["a=1", "b=2"],
            "headers": {"x-ld-signature": "aa,bb", "content-type": "application/json"},
            "queryStringParameters": {"key": "a b,c", "kind": "user"},
            "requestContext": {
                "accountId": "123456789012", "apiId": "api", "stage": "$default",
                "domainName": "api.execute-api.eu-west-1.amazonaws.com",
                "http": {"method": "POST", "path": "/flags/my%2Fflag", "protocol": "HTTP/1.1",
                         "sourceIp": "192.0.2.1", "userAgent": "agent"},
                "requestId": "id", "time": "12/Mar/2020:19:03:58 +0000", "timeEpoch": 1
            },
            "body": "e30=", "isBase64Encoded": true
        })
    }

    fn rest_api() -> Value {
        json!({
            "resource": "/{proxy+}", "path": "/flags", "httpMethod": "get",
            "headers": {"X-LD-Signature": "last", "Host": "h"},
            "multiValueHeaders": {"x-ld-signature": ["first", "last"]},
            "queryStringParameters": {"key": "b", "kind": "user"},
            "multiValueQueryStringParameters": {"key": ["a", "b"], "kind": ["user"]},
            "pathParameters": {"proxy": "flags"}, "stageVariables": null,
            "requestContext": {"stage": "prod", "path": "/prod/flags", "httpMethod": "GET"},
            "body": null, "isBase64Encoded": false
        })
    }

    #[test]
    fn an_http_api_request_is_read() {
        let request = request(&http_api());
        assert_eq!(request.source, Source::ApiGatewayV2);
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/flags/my%2Fflag"));
        assert_eq!(request.segments(), ["flags", "my/flag"]);
        assert_eq!(request.query_value("key"), Some("a b"));
        assert_eq!(request.query.len(), 3);
        assert_eq!(request.header_values("X-LD-Signature"), ["aa,bb"]);
        assert_eq!(request.header("Cookie"), Some("a=1; b=2"));
        assert_eq!(request.body.bytes().unwrap().as_ref(), b"{}");
        assert_eq!(request.body.size(), 2);
    }

    #[test]
    fn a_function_url_request_is_told_by_its_domain() {
        let mut event = http_api();
        event["requestContext"]["domainName"] = json!("id.lambda-url.eu-west-1.on.aws");
        assert_eq!(request(&event).source, Source::FunctionUrl);
    }

    #[test]
    fn a_rest_api_request_is_read() {
        let request = request(&rest_api());
        assert_eq!(request.source, Source::ApiGatewayV1);
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/flags"));
        assert_eq!(request.header_values("X-Ld-Signature"), ["first", "last"]);
        assert_eq!(request.header("host"), Some("h"));
        let query: Vec<_> = request.query.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(query, [("key", "a"), ("key", "b"), ("kind", "user")]);
        assert_eq!(request.body.size(), 0);
    }

    #[test]
    fn a_header_in_two_spellings_counts_twice() {
        let event = br#"{"httpMethod":"POST","headers":{"X-Sig":"a","x-sig":"b","x-sig":"c"}}"#;
        let Invocation::Http(request) = Invocation::parse(event).unwrap() else { panic!("not a request") };
        assert_eq!(request.header_values("x-sig"), ["a", "b", "c"]);
    }

    #[test]
    fn the_stage_is_no_part_of_the_path() {
        for (stage, raw, path) in [
            ("prod", "/prod/flags", "/flags"),
            ("prod", "/prod", "/"),
            ("prod", "/prod/", "/"),
            ("prod", "/production/flags", "/production/flags"),
            ("prod", "/flags", "/flags"),
            ("", "/flags", "/flags"),
            ("prod", "", "/"),
        ] {
            let mut event = http_api();
            event["requestContext"]["stage"] = json!(stage);
            event["rawPath"] = json!(raw);
            assert_eq!(request(&event).path, path, "{stage} {raw}");
        }
    }

    #[test]
    fn format_1_tells_by_the_whole_path_whether_it_shows_the_stage() {
        for (whole, given, path) in [
            (json!("/prod/prod/x"), "/prod/x", "/prod/x"),
            (json!("/prod/x"), "/prod/x", "/x"),
            (json!(null), "/prod/x", "/x"),
        ] {
            let mut event = rest_api();
            event["requestContext"]["path"] = whole;
            event["path"] = json!(given);
            assert_eq!(request(&event).path, path);
        }
    }

    #[test]
    fn missing_and_null_members_are_empty() {
        for event in [
            json!({"httpMethod": "GET"}),
            json!({"httpMethod": "GET", "path": null, "headers": null, "multiValueHeaders": null,
                   "queryStringParameters": null, "requestContext": null, "body": null}),
            json!({"requestContext": {"http": {"method": "GET"}}}),
            json!({"requestContext": {"http": {"method": "GET"}}, "headers": {"a": null},
                   "rawQueryString": null, "cookies": null, "isBase64Encoded": null}),
        ] {
            let request = request(&event);
            assert_eq!(request.path, "/");
            assert!(request.headers.is_empty() && request.query.is_empty());
            assert_eq!(request.body.size(), 0);
        }
    }

    #[test]
    fn a_body_that_is_no_string_is_taken_as_written() {
        let event = br#"{"httpMethod":"POST","body": {"a": 1},"isBase64Encoded":true}"#;
        let Invocation::Http(request) = Invocation::parse(event).unwrap() else { panic!("not a request") };
        assert_eq!(request.body.bytes().unwrap().as_ref(), br#"{"a": 1}"#);
    }
}
