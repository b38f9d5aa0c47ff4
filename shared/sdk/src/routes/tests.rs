//! Every route, with right and wrong requests.

use std::sync::Arc;

use flagcache_payload::Payload;
use serde_json::{Value, json};

use super::*;

fn evaluator() -> Evaluator {
    let flag = |key: &str, rest: Value| {
        let mut flag = json!({"key": key, "version": 3, "on": true, "variations": [false, {"n": 1}],
            "fallthrough": {"variation": 1}, "offVariation": 0, "targets": [], "rules": [], "prerequisites": [], "salt": ""});
        flag.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        flag
    };
    let body = json!({"segments": {}, "flags": {
        "plain": flag("plain", json!({"clientSideAvailability": {"usingEnvironmentId": true, "usingMobileKey": false}})),
        "org": flag("org", json!({"contextTargets": [{"contextKind": "org", "values": ["acme"], "variation": 0}]})),
        "broken": flag("broken", json!({"on": "yes"})),
        "nothing": flag("nothing", json!({"on": false, "offVariation": null})),
    }});
    Evaluator::new(Arc::new(Payload::parse(body.to_string().into()).unwrap()))
}

fn ask(method: &str, target: &str, body: &str) -> (u16, Value) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = query_pairs(query);
    let request = Request { method, query: &query, body: body.as_bytes() };
    let answer = answer(&evaluator(), &Route::of(path).unwrap(), &request, "function-name");
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

fn told(method: &str, target: &str, body: &str) -> (u16, String) {
    let (status, body) = ask(method, target, body);
    (status, body["error"]["message"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn the_root_answers_the_values_of_all_flags() {
    let expected =
        json!({"initialized": true, "flags": {"plain": {"n": 1}, "org": {"n": 1}, "broken": null, "nothing": null}});
    assert_eq!(ask("GET", "/", ""), (200, expected));
}

#[test]
fn all_flags_are_answered_in_detail_wherever_the_context_stands() {
    let by_org = json!({"value": false, "variation": 0, "reason": {"kind": "TARGET_MATCH"}, "version": 3});
    for (method, target, body) in [
        ("GET", "/flags?key=acme&kind=org", ""),
        ("GET", "/flags/?context=%7B%22kind%22:%22org%22,%22key%22:%22acme%22%7D", ""),
        ("POST", "/flags", r#"{"context":{"kind":"org","key":"acme"}}"#),
        ("POST", "/flags?key=acme&kind=org", ""),
        ("POST", "/flags?key=acme&kind=org&_=1", r#"{"unknown":1}"#),
    ] {
        let (status, answer) = ask(method, target, body);
        assert_eq!((status, &answer["flags"]["org"]), (200, &by_org), "{method} {target} {body}");
    }
    let (_, answer) = ask("GET", "/flags", "");
    let malformed = json!({"value": null, "variation": null, "reason": {"kind": "ERROR", "errorKind": "MALFORMED_FLAG"}, "version": null});
    assert_eq!(answer["flags"]["broken"], malformed);
    assert_eq!(answer["initialized"], true);
}

#[test]
fn flags_for_client_side_sdks_alone_can_be_asked_for() {
    let (_, answer) = ask("GET", "/flags?clientSideOnly=true", "");
    assert_eq!(answer["flags"].as_object().unwrap().keys().collect::<Vec<_>>(), ["plain"]);
    assert_eq!(
        told("GET", "/flags?clientSideOnly=1", ""),
        (400, "query parameter `clientSideOnly` must be true or false, not `1`".to_owned())
    );
}

#[test]
fn one_flag_is_answered_with_the_default_where_it_has_no_value() {
    let fallthrough = json!({"kind": "FALLTHROUGH"});
    let error = |kind: &str| json!({"kind": "ERROR", "errorKind": kind});
    for (method, target, body, value, variation, reason) in [
        ("GET", "/flags/plain", "", json!({"n": 1}), json!(1), fallthrough.clone()),
        ("GET", "/flags/pl%61in?default=7", "", json!({"n": 1}), json!(1), fallthrough.clone()),
        ("POST", "/flags/plain", r#"{"context":{"key":"u"}}"#, json!({"n": 1}), json!(1), fallthrough),
        ("GET", "/flags/missing?default=[1.5]", "", json!([1.5]), Value::Null, error("FLAG_NOT_FOUND")),
        ("GET", "/flags/missing?default=null", "", Value::Null, Value::Null, error("FLAG_NOT_FOUND")),
        ("POST", "/flags/missing", r#"{"default":null}"#, Value::Null, Value::Null, error("FLAG_NOT_FOUND")),
        ("POST", "/flags/broken", r#"{"default":{"a":1}}"#, json!({"a": 1}), Value::Null, error("MALFORMED_FLAG")),
        ("GET", "/flags/broken", "", Value::Null, Value::Null, error("MALFORMED_FLAG")),
        ("GET", "/flags/nothing?default=%22d%22", "", json!("d"), Value::Null, json!({"kind": "OFF"})),
    ] {
        let flag = Route::of(target.split('?').next().unwrap()).unwrap();
        let Route::One(key) = flag else { panic!("{target}") };
        let expected =
            json!({"flag": key, "value": value, "variation": variation, "reason": reason, "initialized": true});
        assert_eq!(ask(method, target, body), (200, expected), "{method} {target} {body}");
    }
}

#[test]
fn a_flag_that_does_not_exist_is_not_found_without_a_default() {
    let (status, message) = told("GET", "/flags/missing", "");
    assert_eq!(status, 404);
    assert_eq!(message, "flag `missing` does not exist in this environment and the request gives no default");
}

#[test]
fn what_is_wrong_with_a_request_is_said_with_its_place() {
    for (method, target, body, message) in [
        ("GET", "/flags?context=nope", "", "context is not valid JSON: expected ident at line 1 column 2"),
        ("GET", "/flags?context=%7B%22kind%22:%22org%22%7D", "", "context.key is missing"),
        ("GET", "/flags?key=", "", "query parameter key is empty"),
        (
            "GET",
            "/flags?key=a&kind=b+c",
            "",
            "query parameter kind `b c` is not allowed: only ASCII letters, digits and `-`, `.`, `_` may be in a kind",
        ),
        ("GET", "/flags?kind=org", "", "query parameter `kind` needs `key` beside it"),
        ("GET", "/flags?key=a&key=b", "", "query parameter `key` is given more than once"),
        ("GET", "/flags?key=a&context=%7B%7D", "", "give either `context` or `key` in the query, not both"),
        ("GET", "/flags?key=a&anonymous=maybe", "", "query parameter `anonymous` must be true or false, not `maybe`"),
        (
            "GET",
            "/flags/plain?default=tru",
            "",
            "query parameter `default` is not valid JSON: EOF while parsing a value at line 1 column 3",
        ),
        ("POST", "/flags", "[]", "the body must be a JSON object"),
        ("POST", "/flags", "{\"context\":\n{]", "the body is not valid: key must be a string at line 2 column 2"),
        ("POST", "/flags", r#"{"context":{"key":""}}"#, "context.key is empty"),
        ("POST", "/flags?key=a", r#"{"context":{"key":"b"}}"#, "the context is given in the query and in the body"),
        ("POST", "/flags/plain?default=1", r#"{"default":1}"#, "the default is given in the query and in the body"),
    ] {
        assert_eq!(told(method, target, body), (400, message.to_owned()), "{method} {target} {body}");
    }
}

#[test]
fn bytes_that_are_no_text_are_a_bad_request() {
    let request = Request { method: "POST", query: &[], body: b"{\"context\":\"\xff\"}" };
    assert_eq!(answer(&evaluator(), &Route::All, &request, "f").status, 400);
}

#[test]
fn other_methods_are_told_which_are_allowed() {
    assert_eq!(told("POST", "/", ""), (405, "method POST is not allowed here; use GET".to_owned()));
    let request = Request { method: "DELETE", query: &[], body: b"" };
    let answer = answer(&evaluator(), &Route::All, &request, "f");
    assert_eq!((answer.status, answer.allow.as_deref()), (405, Some("GET, POST")));
}

#[test]
fn paths_that_are_not_served_have_no_route() {
    for path in ["/health", "/flag", "/flags/a/b", "/flagsx", "flags", "//"] {
        assert_eq!(Route::of(path), None, "{path}");
    }
}

#[test]
fn an_event_asks_as_a_body_does() {
    let ask = |event: &str| {
        let answer = answer_event(&evaluator(), event.as_bytes(), "function-name");
        (answer.status, serde_json::from_str::<Value>(&answer.body).unwrap())
    };
    let (status, answer) = ask(r#"{"flag":"org","context":{"kind":"org","key":"acme"}}"#);
    assert_eq!((status, &answer["value"]), (200, &json!(false)));
    assert_eq!(ask(r#"{"flag":"missing","default":5}"#).1["value"], 5);
    assert_eq!(ask(r#"{"flag":"missing"}"#).0, 404);
    assert_eq!(ask("{}").1["flags"]["plain"]["version"], 3);
    assert_eq!(ask(r#"{"flag":7}"#).0, 400);
    assert_eq!(ask(r#"{"context":7}"#).1["error"]["message"], "context must be an object, not a number");
}

#[test]
fn an_answer_for_one_flag_says_what_was_evaluated_and_others_do_not() {
    let request = Request { method: "GET", query: &query_pairs("key=k&default=1"), body: b"" };
    let evaluated = answer(&evaluator(), &Route::One("plain".into()), &request, "f").evaluated.unwrap();
    assert_eq!((evaluated.flag.as_str(), evaluated.context.key(), evaluated.default), ("plain", "k", Some(json!(1))));
    assert!(answer(&evaluator(), &Route::One("missing".into()), &request, "f").evaluated.is_some());
    assert!(answer(&evaluator(), &Route::One("broken".into()), &request, "f").evaluated.is_none());
    assert!(answer(&evaluator(), &Route::All, &request, "f").evaluated.is_none());
}

#[test]
fn a_value_alone_is_false_where_there_is_none() {
    let ask = |method: &str, key: &str, query: &str| {
        let query = query_pairs(query);
        let request = Request { method, query: &query, body: b"" };
        answer_value(&evaluator(), key, &request, "server", true)
    };
    let plain = ask("GET", "plain", "");
    assert_eq!(plain.body, r#"{"flag":"plain","value":{"n":1},"initialized":true}"#);
    assert_eq!(plain.evaluated.unwrap().default, Some(json!(false)));
    assert_eq!(ask("GET", "org", "key=acme&kind=org").body, r#"{"flag":"org","value":false,"initialized":true}"#);
    assert_eq!(ask("GET", "unknown", "").body, r#"{"flag":"unknown","value":false,"initialized":true}"#);
    assert_eq!(ask("GET", "unknown", "default=7").body, r#"{"flag":"unknown","value":7,"initialized":true}"#);
    let broken = ask("GET", "broken", "");
    assert!(broken.status == 200 && broken.evaluated.is_none());
    assert_eq!(ask("GET", "plain", "kind=org").status, 400);
    assert_eq!(ask("POST", "plain", "").status, 405);
}
