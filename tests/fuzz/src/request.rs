//! What arrives over HTTP or from Lambda.

use crate::{DEMO, payload};
use flagcache_lambda::event::Invocation;
use flagcache_launchdarkly::audit_log::Entry;
use flagcache_launchdarkly::webhook::{SIGNATURE_HEADER, sign, verify};
use flagcache_sdk::routes::{Request, Route, answer, answer_event, query_pairs};
use secrecy::SecretString;
use std::sync::LazyLock;

const EVENTS: [&str; 17] = [
    include_str!("../../../events/reader-direct-all.json"),
    include_str!("../../../events/reader-direct-flag.json"),
    include_str!("../../../events/reader-function-url-flag.json"),
    include_str!("../../../events/reader-v1-flag.json"),
    include_str!("../../../events/reader-v2-all.json"),
    include_str!("../../../events/reader-v2-flag.json"),
    include_str!("../../../events/reader-v2-flags-for-a-posted-context.json"),
    include_str!("../../../events/reader-v2-flags-for-a-user.json"),
    include_str!("../../../events/reader-v2-health.json"),
    include_str!("../../../events/store-manual.json"),
    include_str!("../../../events/store-schedule.json"),
    include_str!("../../../events/store-webhook-function-url-signed.json"),
    include_str!("../../../events/store-webhook-v1-signed.json"),
    include_str!("../../../events/store-webhook-v2-base64.json"),
    include_str!("../../../events/store-webhook-v2-signed.json"),
    include_str!("../../../events/store-webhook-v2-tampered.json"),
    include_str!("../../../events/store-webhook-v2-unsigned.json"),
];

const ENTRIES: [&str; 3] = [
    r#"{"_id":"5a2c7d","kind":"flag","date":1700000000000,"accesses":[{"action":"updateOn",
        "resource":"proj/default:env/staging:flag/sample-flag;tag"}],"currentVersion":{"key":"sample-flag",
        "environments":{"staging":{"version":12},"production":{"version":7}}}}"#,
    r#"{"kind":"segment","date":1700000000000.5,"accesses":[{"action":"deleteSegment",
        "resource":"proj/*:env/staging:segment/a b%2Fc"},{"action":"createSegment","resource":"proj/p:env/*:segment/*"}]}"#,
    r#"{"_id":"1","kind":"flag","accesses":[{"action":"deleteFlag","resource":"proj/p:env/e:flag/f"},
        {"action":"createFlag","resource":"proj/p:env/e:flag/f"}],"previousVersion":{"version":-1}}"#,
];

/// The first line is the signature headers, separated by tabs; the rest is the body.
pub(crate) fn webhook(bytes: &[u8]) {
    let (headers, body) = cut(bytes);
    let secret = SecretString::from("secret-local");
    let headers = String::from_utf8_lossy(headers);
    let signatures: Vec<&str> = headers.split('\t').collect();
    let right = sign(&secret, body);
    let is_let_in = verify(&secret, body, &signatures).is_ok();
    let is_right = matches!(signatures[..], [one] if one.trim_ascii().eq_ignore_ascii_case(&right));
    assert_eq!(is_let_in, is_right, "{signatures:?}");
    assert!(verify(&secret, body, &[&right]).is_ok());
}

pub(crate) fn webhook_seeds() -> Vec<Vec<u8>> {
    let secret = SecretString::from("secret-local");
    let signed = ENTRIES.iter().map(|entry| format!("{}\n{entry}", sign(&secret, entry.as_bytes())));
    let others = ["", "\n", "00\t11\n{}", "zz\n{}"].map(str::to_owned);
    signed.chain(others).map(String::into_bytes).collect()
}

pub(crate) fn audit_log(bytes: &[u8]) {
    if let Ok(entry) = Entry::parse(bytes) {
        for change in entry.changes {
            assert!(!change.key.is_empty(), "a change of nothing is named");
            let _ = change.is_shown_by(7);
        }
    }
}

pub(crate) fn audit_log_seeds() -> Vec<Vec<u8>> {
    ENTRIES.iter().map(|entry| entry.as_bytes().to_vec()).collect()
}

/// An event, as far as the functions look at it before they ask anybody.
pub(crate) fn event(bytes: &[u8]) {
    match Invocation::parse(bytes) {
        Ok(Invocation::Http(request)) => {
            let _ = (request.segments(), request.query_value("key"), request.header(SIGNATURE_HEADER));
            if let Ok(body) = request.body.bytes() {
                assert_eq!(body.len(), request.body.size(), "a body is of another size than it was let in with");
                answered(&request.method, &request.path, &request.query, &body);
            }
        }
        Ok(Invocation::Manual(event)) => {
            let _ = answer_event(&DEMO_FLAGS, event.to_string().as_bytes(), "function");
        }
        Ok(Invocation::Schedule { .. }) | Err(_) => {}
    }
}

pub(crate) fn event_seeds() -> Vec<Vec<u8>> {
    EVENTS.iter().map(|event| event.as_bytes().to_vec()).collect()
}

/// The first line is a path with its query; the rest is the body.
pub(crate) fn query(bytes: &[u8]) {
    let (target, body) = cut(bytes);
    let target = String::from_utf8_lossy(target);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    for method in ["GET", "POST"] {
        answered(method, path, &query_pairs(query), body);
    }
}

pub(crate) fn query_seeds() -> Vec<Vec<u8>> {
    [
        "/flags?key=user-7&kind=user&name=Ada&anonymous=true&clientSideOnly=true\n",
        "/flags?context=%7B%22kind%22%3A%22multi%22%2C%22user%22%3A%7B%22key%22%3A%22u%22%7D%7D\n",
        "/flags/sample-flag?default=%5B1%2C2%5D\n{}",
        "/flags/gr%C3%B6%C3%9Fe\n{\"context\":{\"kind\":\"user\",\"key\":\"u\",\"a\":{\"b\":[1,null]},\"_meta\":{\"privateAttributes\":[\"/a/b\"]}},\"default\":null}",
        "/\n{\"context\":{\"key\":\"u\",\"custom\":{\"x\":1.5},\"privateAttributeNames\":[\"x\"]},\"flag\":\"theme\"}",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec()
}

static DEMO_FLAGS: LazyLock<flagcache_sdk::Evaluator> =
    LazyLock::new(|| payload::evaluator(DEMO.into()).unwrap_or_else(|| panic!("the demo is a payload")));

/// Whatever is asked, the answer is JSON with a status of its own.
fn answered(method: &str, path: &str, query: &[(String, String)], body: &[u8]) {
    let Some(route) = Route::of(path) else { return };
    let answer = answer(&DEMO_FLAGS, &route, &Request { method, query, body }, "function");
    assert!([200, 400, 404, 405].contains(&answer.status), "{}", answer.status);
    assert!(serde_json::from_str::<serde_json::Value>(&answer.body).is_ok(), "{}", answer.body);
}

fn cut(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}
