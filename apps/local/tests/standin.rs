//! The stand-in over plain HTTP: what clients see, what it does wrong when told to, what it records.

#![expect(clippy::unwrap_used, reason = "a test")]

use axum::Router;
use axum::routing::any;
use local::http_client;
use local::standin::{Endpoint, ItemKind, Misbehaviour, Outcome, Standin, StandinOptions, WebhookMode, signature};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const DATA: &str = r#"{"flags":{"a":{"key":"a","on":false,"x":1.50,"variations":[true,false],"fallthrough":{"variation":0},"offVariation":1,"version":3},"b":{"key":"b","on":true,"version":1}},"segments":{"s":{"key":"s","included":[],"version":2}}}"#;

async fn start() -> Standin {
    Standin::start(StandinOptions::default().data(DATA).unwrap()).await.unwrap()
}

async fn poll(standin: &Standin, etag: Option<&str>) -> reqwest::Result<Response> {
    let mut request =
        http_client().get(format!("{}/sdk/latest-all", standin.url())).header("authorization", "sdk-local");
    if let Some(etag) = etag {
        request = request.header("if-none-match", etag);
    }
    request.send().await
}

fn etag(response: &Response) -> String {
    response.headers()["etag"].to_str().unwrap().to_owned()
}

async fn rest(standin: &Standin, method: Method, path: &str, body: Value) -> (u16, Value) {
    let mut request =
        http_client().request(method, format!("{}/api/v2{path}", standin.url())).header("authorization", "api-local");
    if !body.is_null() {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    answer(request.send().await.unwrap()).await
}

async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
}

#[tokio::test]
async fn the_payload_is_sent_byte_for_byte_with_a_strong_etag() {
    let standin = start().await;
    let response = poll(&standin, None).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json; charset=utf-8");
    let first = etag(&response);
    assert!(first.starts_with('"') && first.len() == 34, "{first}");
    assert_eq!(response.text().await.unwrap(), DATA);

    assert_eq!(poll(&standin, Some(&first)).await.unwrap().status(), 304);
    standin.set_flag_on("a", true).unwrap();
    let changed = poll(&standin, Some(&first)).await.unwrap();
    assert_eq!(changed.status(), 200);
    assert_ne!(etag(&changed), first);
    let expected =
        DATA.replacen(r#""on":false,"x""#, r#""on":true,"x""#, 1).replacen(r#""version":3"#, r#""version":4"#, 1);
    assert_eq!(changed.text().await.unwrap(), expected);
}

#[tokio::test]
async fn only_the_keys_open_the_doors() {
    let standin = start().await;
    for (path, key, expected) in [
        ("/sdk/latest-all", Some("sdk-local"), 200),
        ("/sdk/latest-all", Some("sdk-other"), 401),
        ("/sdk/latest-all", Some("Bearer sdk-local"), 401),
        ("/sdk/latest-all", None, 401),
        ("/all", Some("api-local"), 401),
        ("/sdk/flags/a", Some("sdk-local"), 200),
        ("/sdk/flags/none", Some("sdk-local"), 404),
        ("/sdk/segments/s", Some("sdk-local"), 200),
        ("/api/v2/projects/default", Some("api-local"), 200),
        ("/api/v2/projects/default", Some("Bearer api-local"), 401),
        ("/api/v2/projects/other", Some("api-local"), 404),
        ("/status", None, 200),
        ("/standin", None, 200),
    ] {
        let mut request = http_client().get(format!("{}{path}", standin.url()));
        if let Some(key) = key {
            request = request.header("authorization", key);
        }
        assert_eq!(request.send().await.unwrap().status(), expected, "{path} {key:?}");
    }
}

#[tokio::test]
async fn misbehaviour_is_seen_by_clients_and_ends() {
    let standin = start().await;

    standin.misbehave(Misbehaviour::status_retry_after(429, 3).times(1));
    let refused = poll(&standin, None).await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"3".parse().unwrap()));

    for cut_off in [Misbehaviour::cut_off(10), Misbehaviour::cut_off_chunked(10), Misbehaviour::cut_off(9999)] {
        standin.misbehave(cut_off.times(1));
        let response = poll(&standin, None).await.unwrap();
        assert_eq!(response.status(), 200);
        response.bytes().await.unwrap_err();
    }

    standin.misbehave(Misbehaviour::reset().times(1));
    poll(&standin, None).await.unwrap_err();

    standin.misbehave(Misbehaviour::body("[]").times(1));
    assert_eq!(poll(&standin, None).await.unwrap().text().await.unwrap(), "[]");

    standin.misbehave(Misbehaviour::delay(Duration::from_millis(40)).times(1));
    let began = Instant::now();
    poll(&standin, None).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(40));

    standin.misbehave(Misbehaviour::status(500));
    standin.behave();
    assert_eq!(poll(&standin, None).await.unwrap().text().await.unwrap(), DATA);
    let statuses: Vec<_> = standin.requests_to(Endpoint::Polling).iter().map(|request| request.status).collect();
    assert_eq!(statuses, [429, 200, 200, 200, 0, 200, 200, 200]);
}

#[tokio::test]
async fn stale_answers_are_those_of_former_changes() {
    let standin = start().await;
    let first = etag(&poll(&standin, None).await.unwrap());
    standin.set_flag_on("a", true).unwrap();
    let second = etag(&poll(&standin, None).await.unwrap());
    standin.set_flag_on("a", false).unwrap();

    for (misbehaviour, known, expected) in [
        (Misbehaviour::stale(1), None, (200, second.as_str())),
        (Misbehaviour::stale(2), None, (200, first.as_str())),
        (Misbehaviour::stale(99), None, (200, first.as_str())),
        (Misbehaviour::stale(2), Some(first.as_str()), (304, first.as_str())),
    ] {
        standin.misbehave(misbehaviour.clone().times(1));
        let response = poll(&standin, known).await.unwrap();
        assert_eq!((response.status().as_u16(), etag(&response).as_str()), expected, "{misbehaviour:?}");
    }
    standin.misbehave(Misbehaviour::not_modified().times(1));
    assert_eq!(poll(&standin, Some(&first)).await.unwrap().status(), 304);
    assert_eq!(poll(&standin, Some(&first)).await.unwrap().status(), 200);
    assert_eq!(standin.requests().last().unwrap().if_none_match.as_deref(), Some(first.as_str()));
}

/// A webhook's receiver: what it got, each as signature and body.
async fn receiver() -> (String, Arc<Mutex<Vec<(Option<String>, Value)>>>) {
    let got: Arc<Mutex<Vec<_>>> = Arc::default();
    let kept = got.clone();
    let receive = any(async move |headers: http::HeaderMap, body: bytes::Bytes| {
        let signed = headers.get("x-ld-signature").map(|value| value.to_str().unwrap().to_owned());
        let is_right = signed.as_deref().map(|given| given == signature("secret-local", &body));
        let entry: Value = serde_json::from_slice(&body).unwrap();
        kept.lock().unwrap().push((is_right.map(|is_right| is_right.to_string()), entry));
        r#"{"outcome":"updated"}"#
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(receive)).await });
    (url, got)
}

#[tokio::test]
async fn every_change_is_sent_as_a_signed_audit_log_entry() {
    let (url, got) = receiver().await;
    let standin = start().await;
    standin.set_webhook_url(&url);
    let change = standin.set_flag_on("a", true).unwrap();
    assert_eq!((change.kind, change.key.as_str(), change.version), (ItemKind::Flag, "a", 4));

    let delivery = standin.delivery_of(&change).await.unwrap();
    assert_eq!((delivery.status(), delivery.json()), (Some(200), json!({"outcome": "updated"})));
    let (signed, entry) = got.lock().unwrap().pop().unwrap();
    assert_eq!(signed.as_deref(), Some("true"));
    assert_eq!(entry["_id"], change.entry_id);
    assert_eq!(entry["kind"], "flag");
    assert_eq!(entry["accesses"], json!([{"action": "updateOn", "resource": "proj/default:env/staging:flag/a"}]));
    assert_eq!(entry["previousVersion"]["environments"]["staging"]["version"], 3);
    assert_eq!(entry["currentVersion"]["environments"]["staging"]["version"], 4);
    assert_eq!(entry["titleVerb"], "turned on the flag");
    assert!(entry["date"].as_i64().unwrap() > 1_700_000_000_000);

    let deleted = standin.delete_segment("s").unwrap();
    standin.delivery_of(&deleted).await.unwrap();
    let (_, entry) = got.lock().unwrap().pop().unwrap();
    assert_eq!(
        entry["accesses"],
        json!([{"action": "deleteSegment", "resource": "proj/default:env/staging:segment/s"}])
    );
    assert_eq!(entry.get("currentVersion"), None);
}

#[tokio::test]
async fn webhooks_misbehave_as_told() {
    let (url, got) = receiver().await;
    let standin = start().await;
    let without_url = standin.set_flag_on("a", true).unwrap();
    assert_eq!(standin.delivery_of(&without_url).await.unwrap().outcome, Outcome::Withheld);
    standin.set_webhook_url(&url);

    let signatures = || -> Vec<_> { got.lock().unwrap().drain(..).map(|(signed, _)| signed).collect() };
    let (right, wrong) = (Some("true".to_owned()), Some("false".to_owned()));
    for (mode, expected) in [
        (WebhookMode::Unsigned, vec![None]),
        (WebhookMode::WrongSecret, vec![wrong]),
        (WebhookMode::Duplicated, vec![right.clone(), right]),
        (WebhookMode::Off, vec![]),
    ] {
        standin.set_webhook_mode(mode);
        let so_far = standin.deliveries().len();
        let is_on = serde_json::from_slice::<Value>(&standin.data()).unwrap()["flags"]["a"]["on"] == true;
        standin.set_flag_on("a", !is_on).unwrap();
        standin.wait_for_deliveries(so_far + expected.len().max(1)).await.unwrap();
        assert_eq!(signatures(), expected, "{mode:?}");
    }

    standin.set_webhook_mode(WebhookMode::Reordered);
    let first = standin.delete_flag("a").unwrap();
    let second = standin.delete_flag("b").unwrap();
    standin.delivery_of(&first).await.unwrap();
    let ids: Vec<_> = got.lock().unwrap().drain(..).map(|(_, entry)| entry["_id"].clone()).collect();
    assert_eq!(ids, [json!(second.entry_id), json!(first.entry_id)]);

    let held = standin.delete_segment("s").unwrap();
    standin.set_webhook_mode(WebhookMode::Signed);
    assert_eq!(standin.delivery_of(&held).await.unwrap().status(), Some(200));

    standin.set_webhook_url("http://127.0.0.1:1/");
    let id = standin.send_webhook("anything");
    assert!(matches!(standin.delivery(&id).await.unwrap().outcome, Outcome::Failed { .. }));
}

#[tokio::test]
async fn flags_are_changed_over_rest() {
    let standin = start().await;
    let on = |value: bool| json!([{"op": "replace", "path": "/environments/staging/on", "value": value}]);

    let (status, flag) = rest(&standin, Method::PATCH, "/flags/default/a", on(true)).await;
    assert_eq!((status, &flag["environments"]["staging"]["on"]), (200, &json!(true)));
    assert_eq!((&flag["environments"]["staging"]["version"], &flag["_version"]), (&json!(4), &json!(1)));
    assert_eq!(flag["variations"][1]["value"], json!(false));

    let body = json!({"comment": "c", "patch": [
        {"op": "test", "path": "/environments/staging/version", "value": 4},
        {"op": "replace", "path": "/environments/staging/fallthrough/variation", "value": 1},
        {"op": "add", "path": "/environments/staging/rules/-", "value": {"_id": "r", "clauses": [], "variation": 0}},
    ]});
    let (status, flag) = rest(&standin, Method::PATCH, "/flags/default/a", body.clone()).await;
    assert_eq!(status, 400, "a flag without rules has none to add to: {flag}");
    let body = body
        .to_string()
        .replace("rules/-", "rules")
        .replace(r#""value":{"_id":"r","clauses":[],"variation":0}"#, r#""value":[{"_id":"r","clauses":[]}]"#);
    let (status, _) = rest(&standin, Method::PATCH, "/flags/default/a", serde_json::from_str(&body).unwrap()).await;
    assert_eq!(status, 200);
    let data: Value = serde_json::from_slice(&standin.data()).unwrap();
    assert_eq!(
        (&data["flags"]["a"]["fallthrough"], &data["flags"]["a"]["rules"][0]["id"]),
        (&json!({"variation": 1}), &json!("r"))
    );
    assert!(String::from_utf8_lossy(&standin.data()).contains(r#""x":1.50"#));

    let requests_before = standin.deliveries().len();
    for (patch, expected) in [
        (json!([{"op": "test", "path": "/environments/staging/version", "value": 4}]), 409),
        (json!([{"op": "replace", "path": "/environments/other/on", "value": true}]), 400),
        (json!([{"op": "replace", "path": "/environments/staging/on", "value": "yes"}]), 400),
        (json!([{"op": "remove", "path": "/environments/staging/on"}]), 400),
        (json!({"op": "test"}), 400),
        (on(true), 200),
    ] {
        let (status, answer) = rest(&standin, Method::PATCH, "/flags/default/a", patch.clone()).await;
        assert_eq!(status, expected, "{patch} {answer}");
        assert!(status == 200 || answer["code"].is_string() && answer["message"].is_string(), "{answer}");
    }
    assert_eq!(standin.version(ItemKind::Flag, "a"), Some(5), "nothing more was changed");
    assert_eq!(standin.deliveries().len(), requests_before);
    assert_eq!(rest(&standin, Method::PATCH, "/flags/default/none", on(true)).await.0, 404);

    let semantic = http_client()
        .patch(format!("{}/api/v2/flags/default/a", standin.url()))
        .header("authorization", "api-local")
        .header("content-type", "application/json; domain-model=launchdarkly.semanticpatch")
        .body(json!({"environmentKey": "staging", "instructions": [{"kind": "turnFlagOff"}]}).to_string());
    let (status, flag) = answer(semantic.send().await.unwrap()).await;
    assert_eq!((status, &flag["environments"]["staging"]["on"]), (200, &json!(false)));
}

#[tokio::test]
async fn flags_are_created_archived_and_deleted_over_rest() {
    let standin = start().await;
    let new = json!({"key": "new", "name": "New", "tags": ["x"], "variations": [{"value": "v1"}, {"value": "v2"}]});
    let (status, flag) = rest(&standin, Method::POST, "/flags/default", new.clone()).await;
    assert_eq!((status, &flag["kind"], &flag["tags"]), (201, &json!("multivariate"), &json!(["x"])));
    assert_eq!(rest(&standin, Method::POST, "/flags/default", new).await.0, 409);
    assert_eq!(standin.version(ItemKind::Flag, "new"), Some(1));

    let renamed = json!([{"op": "replace", "path": "/name", "value": "Newer"}]);
    let (_, flag) = rest(&standin, Method::PATCH, "/flags/default/new", renamed).await;
    assert_eq!((&flag["name"], &flag["_version"]), (&json!("Newer"), &json!(2)));
    assert_eq!(standin.version(ItemKind::Flag, "new"), Some(1), "a name is in no payload");

    let archived = |value: bool| json!([{"op": "replace", "path": "/archived", "value": value}]);
    rest(&standin, Method::PATCH, "/flags/default/new", archived(true)).await;
    assert_eq!(standin.version(ItemKind::Flag, "new"), None);
    rest(&standin, Method::PATCH, "/flags/default/new", archived(false)).await;
    assert_eq!(standin.version(ItemKind::Flag, "new"), Some(3));

    assert_eq!(rest(&standin, Method::DELETE, "/flags/default/new", Value::Null).await.0, 204);
    assert_eq!(rest(&standin, Method::GET, "/flags/default/new", Value::Null).await.0, 404);
    let (_, list) = rest(&standin, Method::GET, "/flags/default?limit=1", Value::Null).await;
    assert_eq!((&list["totalCount"], &list["items"][0]["key"]), (&json!(2), &json!("a")));
    assert_eq!(list["_links"]["next"]["href"], "/api/v2/flags/default?limit=1&offset=1");
}

#[tokio::test]
async fn segments_and_environments_are_there_over_rest() {
    let standin = start().await;
    let include = json!({"patch": [{"op": "add", "path": "/included/-", "value": "u"}]});
    let (status, segment) = rest(&standin, Method::PATCH, "/segments/default/staging/s", include).await;
    assert_eq!((status, &segment["included"], &segment["version"]), (200, &json!(["u"]), &json!(3)));

    let (_, project) = rest(&standin, Method::GET, "/projects/default?expand=environments", Value::Null).await;
    assert_eq!(project["environments"]["totalCount"], 3);
    let (_, page) = rest(&standin, Method::GET, "/projects/default/environments?limit=2", Value::Null).await;
    let keys: Vec<_> = page["items"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["staging", "production"]);
    assert_eq!(page["items"][0]["apiKey"], "sdk-local");
    assert_eq!(page["items"][1]["mobileKey"], "mob-production");
    let next = page["_links"]["next"]["href"].as_str().unwrap();
    let (_, page) = rest(&standin, Method::GET, next.strip_prefix("/api/v2").unwrap(), Value::Null).await;
    assert_eq!((&page["items"][0]["key"], page["_links"].get("next")), (&json!("test"), None));
}

#[tokio::test]
async fn streams_carry_everything_and_then_each_change_and_a_heartbeat() {
    let options = StandinOptions::default().data(DATA).unwrap().heartbeat(Duration::from_millis(20));
    let standin = Standin::start(options).await.unwrap();
    let request = http_client().get(format!("{}/all", standin.url())).header("authorization", "sdk-local");
    let mut stream = request.send().await.unwrap();
    let (mut text, deadline) = (String::new(), Instant::now() + local::patience::PATIENCE);
    for (expected, then) in [
        (format!("event: put\ndata: {{\"path\":\"/\",\"data\":{DATA}}}\n\n"), Some(("b", None))),
        ("event: delete\ndata: {\"path\":\"/flags/b\",\"version\":2}\n\n".to_owned(), Some(("b", Some(1)))),
        ("event: patch\ndata: {\"path\":\"/flags/b\",\"data\":{\"key\":\"b\",\"version\":3}}\n\n".to_owned(), None),
        (":\n\n".to_owned(), None),
    ] {
        while !text.contains(&expected) {
            assert!(Instant::now() < deadline, "heartbeats come without end: {text}");
            text.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
        }
        match then {
            Some((key, None)) => drop(standin.delete_flag(key).unwrap()),
            Some((key, Some(version))) => drop(standin.upsert_flag(&json!({"key": key, "version": version})).unwrap()),
            None => {}
        }
    }
    standin.close_streams();
    while stream.chunk().await.unwrap().is_some() {}
}

#[tokio::test]
async fn everything_is_also_done_over_the_control_paths() {
    let standin = start().await;
    let call = async |method: Method, path: &str, body: &str| {
        let request = http_client().request(method, format!("{}/standin{path}", standin.url()));
        answer(request.body(body.to_owned()).send().await.unwrap()).await
    };
    let misbehaviour = r#"{"fault":{"kind":"status","status":503},"times":1}"#;
    assert_eq!(call(Method::POST, "/misbehave", misbehaviour).await.0, 200);
    assert_eq!(poll(&standin, None).await.unwrap().status(), 503);
    assert_eq!(call(Method::POST, "/misbehave", r#"{"fault":{"kind":"none"}}"#).await.0, 400);
    assert_eq!(call(Method::DELETE, "/misbehave", "").await.0, 204);

    assert_eq!(call(Method::PUT, "/webhook", r#"{"mode":"off","secret":"other"}"#).await.0, 204);
    assert_eq!(call(Method::PUT, "/webhook", r#"{"mode":"loud"}"#).await.0, 400);
    let (_, delivery) = call(Method::POST, "/webhook", "{}").await;
    assert_eq!(delivery["outcome"]["kind"], "withheld");

    let (status, change) = call(Method::PUT, "/flags/c", r#"{"version":7}"#).await;
    assert_eq!((status, &change["version"]), (200, &json!(7)));
    let (status, error) = call(Method::PUT, "/flags/c", "{}").await;
    assert_eq!(
        (status, &error["message"]),
        (400, &json!("read the flag `c`: it has no `version` that is a whole number"))
    );
    assert_eq!(call(Method::DELETE, "/segments/s", "").await.0, 200);
    assert_eq!(call(Method::DELETE, "/segments/s", "").await.0, 404);
    assert_eq!(call(Method::PUT, "/data", r#"{"flags":{}}"#).await.0, 204);
    assert_eq!(standin.data(), r#"{"flags":{},"segments":{}}"#);

    let (_, requests) = call(Method::GET, "/requests", "").await;
    assert_eq!(requests.as_array().unwrap().len(), 1);
    let (_, summary) = call(Method::GET, "", "").await;
    assert_eq!((&summary["flags"], &summary["webhook"]["mode"]), (&json!(0), &json!("off")));
}
