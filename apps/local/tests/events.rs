//! The sample invocations in `events/`: are they what their names say?

#![expect(clippy::unwrap_used, reason = "a test")]

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use local::standin::signature;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

const SECRET: &str = "secret-local";

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../events"))
}

fn events() -> BTreeMap<String, Value> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let events = files.filter(|path| path.extension().is_some_and(|it| it == "json")).map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    });
    events.collect()
}

/// The body as LaunchDarkly sent it.
fn body(event: &Value) -> Vec<u8> {
    let body = event["body"].as_str().unwrap();
    if event["isBase64Encoded"] == true { BASE64_STANDARD.decode(body).unwrap() } else { body.as_bytes().to_vec() }
}

/// All values of the signature's header, wherever the event has them.
fn signatures(event: &Value) -> Vec<&str> {
    let is_it = |name: &str| name.eq_ignore_ascii_case("x-ld-signature");
    let single = event["headers"].as_object().unwrap().iter().filter(|(name, _)| is_it(name)).map(|(_, value)| value);
    let several = event.get("multiValueHeaders").and_then(Value::as_object).into_iter().flatten();
    let several = several.filter(|(name, _)| is_it(name)).flat_map(|(_, values)| values.as_array().unwrap());
    single.chain(several).map(|value| value.as_str().unwrap()).collect()
}

#[test]
fn every_webhook_is_signed_as_its_name_says() {
    let events = events();
    let webhooks: Vec<_> = events.iter().filter(|(name, _)| name.starts_with("store-webhook-")).collect();
    assert_eq!(webhooks.len(), 6);
    for (name, event) in webhooks {
        let body = body(event);
        let entry: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(entry["kind"], "flag", "{name}");
        let right = signature(SECRET, &body);
        let signatures = signatures(event);
        match name.as_str() {
            "store-webhook-v2-unsigned" => assert!(signatures.is_empty()),
            "store-webhook-v2-tampered" => {
                assert!(!signatures.contains(&right.as_str()));
                let original = &events["store-webhook-v2-signed"];
                assert_eq!(signatures, self::signatures(original));
                let differing = body.iter().zip(self::body(original)).filter(|(here, there)| **here != *there);
                assert_eq!(differing.count(), 1);
            }
            _ => assert!(!signatures.is_empty() && signatures.iter().all(|given| *given == right), "{name}"),
        }
    }
}

#[test]
fn every_event_is_in_the_readme_and_of_the_shape_that_its_name_says() {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    for (name, event) in events() {
        assert!(readme.contains(&format!("`{name}.json`")), "{name} is not in the README");
        let is_v2 = event["version"] == "2.0" && event["requestContext"]["http"]["method"].is_string();
        let is_function_url =
            event["requestContext"]["domainName"].as_str().is_some_and(|it| it.contains(".lambda-url."));
        let is_v1 = event["httpMethod"].is_string() && event["multiValueHeaders"].is_object();
        let is_schedule = event["source"] == "aws.events" && event["detail-type"] == "Scheduled Event";
        assert_eq!(is_v2 && !is_function_url, name.contains("-v2-"), "{name}");
        assert_eq!(is_function_url, name.contains("-function-url-"), "{name}");
        assert_eq!(is_v1, name.contains("-v1-"), "{name}");
        assert_eq!(is_schedule, name.contains("-schedule"), "{name}");
    }
}
