//! What the built `reader` answers, over tables in every state.

use std::time::Duration;

use anyhow::{Context, Result};
use flagcache_tests::pipeline::{HttpAnswer, Pipeline, SDK_KEY, deliver, entry, eventually, webhook};
use flagcache_tests::proxy::{Fault, Misbehaviour, Proxy};
use local::lambda::{Function, FunctionProcess};
use serde_json::{Value, json};

/// A running reader.
struct Reader(FunctionProcess);

impl Reader {
    async fn start(function: Function) -> Result<Self> {
        Ok(Self(function.spawn().await?))
    }

    async fn ask(&self, method: &str, path: &str, query: &str, body: &str) -> Result<HttpAnswer> {
        let event = json!({
            "version": "2.0", "rawPath": path, "rawQueryString": query, "headers": {},
            "requestContext": {"http": {"method": method, "path": path}, "stage": "$default"},
            "body": body, "isBase64Encoded": false,
        });
        deliver(&self.0, &event).await
    }

    async fn get(&self, path: &str) -> Result<HttpAnswer> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        self.ask("GET", path, query, "").await
    }

    async fn value(&self, flag: &str) -> Result<Value> {
        let answer = self.get(&format!("/flags/{flag}")).await?;
        anyhow::ensure!(answer.status == 200, "{flag}: {answer:?}");
        Ok(answer.body["value"].clone())
    }

    async fn invoke(&self, event: Value) -> Result<Value> {
        self.0.invoke(&event).await.with_context(|| self.0.logs().text())
    }
}

/// A flag that is on and gives its first variation, and any more fields.
fn flag(key: &str, version: u64, more: &Value) -> Value {
    let mut flag = json!({
        "key": key, "version": version, "on": true, "variations": [true, false], "fallthrough": {"variation": 0},
        "offVariation": 1, "salt": "s", "targets": [], "rules": [], "prerequisites": [], "deleted": false,
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        flag[name] = value.clone();
    }
    flag
}

/// A pipeline whose table holds these flags.
async fn filled_with(flags: &[Value]) -> Result<Pipeline> {
    let flags: serde_json::Map<String, Value> =
        flags.iter().map(|flag| (flag["key"].as_str().unwrap_or_default().to_owned(), flag.clone())).collect();
    let pipeline = Pipeline::start_with_payload(&json!({"flags": flags, "segments": {}}).to_string()).await?;
    pipeline.filled().await?;
    Ok(pipeline)
}

#[tokio::test]
async fn a_flag_is_answered_by_every_route_with_the_age_of_its_data() -> Result<()> {
    let pipeline = filled_with(&[flag("seven", 3, &json!({"variations": [7, 8]}))]).await?;
    let reader = Reader::start(pipeline.reader()?).await?;

    let all = reader.get("/").await?;
    assert_eq!((all.status, &all.body), (200, &json!({"initialized": true, "flags": {"seven": 7}})));
    assert_eq!(all.header("age"), Some("0"));

    let detail = json!({"value": 7, "variation": 0, "reason": {"kind": "FALLTHROUGH"}, "version": 3});
    let everything = json!({"initialized": true, "flags": {"seven": detail}});
    assert_eq!(reader.get("/flags?key=ann&kind=user").await?.body, everything);
    let posted = json!({"context": {"kind": "user", "key": "ann"}}).to_string();
    assert_eq!(reader.ask("POST", "/flags", "", &posted).await?.body, everything);
    assert_eq!(reader.get("/flags?clientSideOnly=true").await?.body["flags"], json!({}));

    let one = reader.get("/flags/seven").await?;
    let wanted =
        json!({"flag": "seven", "value": 7, "variation": 0, "reason": {"kind": "FALLTHROUGH"}, "initialized": true});
    assert_eq!((one.status, &one.body), (200, &wanted));
    assert_eq!(reader.invoke(json!({"flag": "seven"})).await?["value"], 7);
    assert_eq!(reader.invoke(json!({"context": {"kind": "user", "key": "ann"}})).await?["flags"]["seven"]["value"], 7);

    let health = reader.get("/health").await?;
    let wanted = json!({"status": "ok", "initialized": true, "generation": 1, "ageSeconds": 0});
    assert_eq!((health.status, &health.body), (200, &wanted));
    Ok(())
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong_and_where() -> Result<()> {
    let pipeline = filled_with(&[flag("known", 1, &json!({}))]).await?;
    let reader = Reader::start(pipeline.reader()?).await?;
    for (method, path, query, body, status, says) in [
        ("GET", "/flags/unknown", "", "", 404, "unknown"),
        ("GET", "/flags", "context=%7B%22kind%22%3A%22user%22%7D", "", 400, "key"),
        ("GET", "/flags", "context=%7Boops", "", 400, "line 1 column 2"),
        ("POST", "/flags", "", "{\"context\":{\"kind\":\"user\",\"key\":\"\"}}", 400, "key"),
        ("POST", "/flags", "", "not json", 400, "must be a JSON object"),
        ("POST", "/flags", "", "{\"context\":oops}", 400, "line 1 column"),
        ("POST", "/flags", "", "[]", 400, "must be a JSON object"),
        ("GET", "/flags/known", "default=oops", "", 400, "default"),
        ("DELETE", "/flags", "", "", 405, "DELETE"),
        ("GET", "/nothing", "", "", 404, "/nothing"),
    ] {
        let answer = reader.ask(method, path, query, body).await?;
        let message = answer.body["error"]["message"].as_str().unwrap_or_default();
        assert!(answer.status == status && message.contains(says), "{method} {path}?{query} {body}: {answer:?}");
    }
    let default = reader.get("/flags/unknown?default=%22mine%22").await?;
    assert_eq!((default.status, &default.body["value"]), (200, &json!("mine")));
    assert_eq!(default.body["reason"], json!({"kind": "ERROR", "errorKind": "FLAG_NOT_FOUND"}));
    Ok(())
}

#[tokio::test]
async fn a_direct_invocation_that_fails_is_one_line_of_the_log() -> Result<()> {
    let pipeline = filled_with(&[flag("f", 1, &json!({}))]).await?;
    let reader = Reader::start(pipeline.reader()?).await?;
    for flag in ["first", "second", "last"] {
        assert!(reader.0.invoke(&json!({"flag": flag})).await.is_err());
    }
    // Lines come in order: with the last one, all before it are there.
    eventually(async || Ok(reader.0.logs().text().contains("`last`"))).await?;
    let lines: Vec<Value> = reader.0.logs().lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let told: Vec<&Value> = lines.iter().filter(|line| line["level"] != "INFO").collect();
    assert_eq!(told.len(), 3, "{told:?}");
    for (line, flag) in told.iter().zip(["`first`", "`second`", "`last`"]) {
        assert_eq!((&line["code"], &line["target"]), (&json!("flag-not-found"), &json!("reader::app")), "{line}");
        assert!(line["error"].as_str().is_some_and(|error| error.contains(flag)), "{line}");
        assert!(line["requestId"].is_string(), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn a_flag_that_cannot_be_decoded_fails_alone() -> Result<()> {
    let broken = flag("broken", 2, &json!({"rules": "none"}));
    let pipeline = filled_with(&[flag("sound", 1, &json!({})), broken]).await?;
    let reader = Reader::start(pipeline.reader()?).await?;
    let flags = reader.get("/flags").await?.body["flags"].clone();
    assert_eq!(flags["sound"]["value"], true);
    assert_eq!(flags["broken"]["reason"], json!({"kind": "ERROR", "errorKind": "MALFORMED_FLAG"}));
    assert_eq!(flags["broken"]["value"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_flag_too_large_for_an_item_of_the_table_is_served_all_the_same() -> Result<()> {
    let keys: Vec<String> = (0..40_000).map(|n| format!("customer-{n:08}")).collect();
    let large = flag("large", 1, &json!({"targets": [{"variation": 1, "values": keys}]}));
    assert!(large.to_string().len() > 500 * 1024);
    let pipeline = filled_with(&[large, flag("small", 1, &json!({}))]).await?;
    assert_eq!(pipeline.contents().await?.keys("features"), ["small"]);
    let reader = Reader::start(pipeline.reader()?).await?;
    assert_eq!(reader.get("/flags/large?key=customer-00000007&kind=user").await?.body["value"], false);
    assert_eq!(reader.get("/flags/large?key=nobody&kind=user").await?.body["value"], true);
    Ok(())
}

#[tokio::test]
async fn a_table_that_another_program_filled_is_read_as_it_is() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    pipeline.table.fill(&pipeline.payload()?).await?;
    let reader = Reader::start(pipeline.reader()?).await?;
    assert_eq!(reader.value("SAMPLE_API_URL").await?, "https://api-v2.example.com");
    let health = reader.get("/health").await?.body;
    assert_eq!((&health["status"], &health["generation"]), (&json!("ok"), &Value::Null));
    Ok(())
}

#[tokio::test]
async fn flags_appear_once_the_table_is_filled_and_follow_every_change() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let reader = Reader::start(pipeline.reader()?).await?;
    let empty = reader.get("/flags/sample-flag").await?;
    assert_eq!((empty.status, &empty.body["error"]["code"]), (503, &json!("not-filled")));
    assert!(empty.body["error"]["message"].as_str().unwrap_or_default().contains("run store"), "{empty:?}");
    let health = reader.get("/health").await?;
    assert_eq!((health.status, &health.body["status"]), (503, &json!("empty")));

    let store = pipeline.filled().await?;
    assert_eq!(reader.value("sample-flag").await?, false);
    let change = pipeline.launchdarkly.set_flag_on("sample-flag", true).context("it was on")?;
    deliver(&store, &webhook(&entry("sample-flag", "updateOn", Some(change.version)))).await?;
    assert_eq!(reader.value("sample-flag").await?, true);
    let change = pipeline.launchdarkly.delete_flag("sample-flag").context("it was deleted")?;
    deliver(&store, &webhook(&entry("sample-flag", "deleteFlag", Some(change.version)))).await?;
    assert_eq!(reader.get("/flags/sample-flag").await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn a_wrong_prefix_is_told_from_an_empty_table() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.store()?.env("LAUNCHDARKLY_DYNAMODB_PREFIX", "production").spawn().await?;
    store.invoke(&json!({})).await?;
    let reader = Reader::start(pipeline.reader()?.env("LAUNCHDARKLY_DYNAMODB_PREFIX", "prod")).await?;
    let answer = reader.get("/").await?;
    let message = answer.body["error"]["message"].as_str().unwrap_or_default();
    assert_eq!(answer.status, 503);
    assert!(message.contains("`prod`") && message.contains("LAUNCHDARKLY_DYNAMODB_PREFIX"), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn the_cause_of_a_failed_start_is_in_the_answer_and_in_the_log() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let proxy = Proxy::start(&pipeline.dynamodb.endpoint()).await?;
    let denied = Misbehaviour::error("AccessDeniedException", "User is not authorized to perform this action");
    for (fault, code) in
        [(denied, "no-permission"), (Misbehaviour::throttled(), "throttled"), (Misbehaviour::Drop, "unavailable")]
    {
        proxy.inject(Fault::always(fault));
        let function = pipeline.reader()?.envs(pipeline.table.variables(&proxy.endpoint()));
        let reader = Reader::start(function.env("AWS_MAX_ATTEMPTS", "1")).await?;
        let answer = reader.get("/").await?;
        assert_eq!((answer.status, &answer.body["error"]["code"]), (503, &json!(code)), "{answer:?}");
        assert!(reader.0.logs().text().contains("flags cannot be read"), "{}", reader.0.logs().text());
        proxy.behave();
    }
    let reader = Reader::start(pipeline.reader()?.env("LAUNCHDARKLY_DYNAMODB_TABLE", "no-such-table")).await?;
    let answer = reader.get("/").await?;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (503, &json!("no-table")), "{answer:?}");
    let reader = Reader::start(pipeline.reader()?.env("LAUNCHDARKLY_DYNAMODB_TABLE", "")).await?;
    let answer = reader.get("/").await?;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (500, &json!("misconfigured")), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn a_table_that_fails_later_leaves_the_flags_as_they_were() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.filled().await?;
    let proxy = Proxy::start(&pipeline.dynamodb.endpoint()).await?;
    let reader = Reader::start(pipeline.reader()?.envs(pipeline.table.variables(&proxy.endpoint()))).await?;
    assert_eq!(reader.value("sample-flag").await?, false);

    proxy.inject(Fault::always(Misbehaviour::broken()));
    let change = pipeline.launchdarkly.set_flag_on("sample-flag", true).context("it was on")?;
    deliver(&store, &webhook(&entry("sample-flag", "updateOn", Some(change.version)))).await?;
    assert_eq!(reader.value("sample-flag").await?, false);
    let health = reader.get("/health").await?;
    assert_eq!((health.status, &health.body["status"]), (200, &json!("stale")));
    assert!(reader.0.logs().text().contains("going on with those that are there"), "{}", reader.0.logs().text());

    proxy.behave();
    assert_eq!(reader.value("sample-flag").await?, true);
    assert_eq!(reader.get("/health").await?.body["status"], "ok");
    Ok(())
}

#[tokio::test]
async fn a_cold_reader_asks_once_and_a_warm_one_only_for_what_is_new() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    pipeline.filled().await?;
    let proxy = Proxy::start(&pipeline.dynamodb.endpoint()).await?;
    let function = pipeline.reader()?.envs(pipeline.table.variables(&proxy.endpoint()));
    let reader = Reader::start(function.clone().env("LAUNCHDARKLY_CACHE_TTL", "3600")).await?;
    reader.get("/flags").await?;
    reader.get("/flags").await?;
    assert_eq!(proxy.take_counts().total(), 1);
    let reader = Reader::start(function).await?;
    reader.0.ready().await?;
    proxy.take_counts();
    reader.get("/flags").await?;
    assert_eq!(proxy.take_counts().total(), 1);
    Ok(())
}

#[tokio::test]
async fn a_slow_table_is_given_up_in_time_and_the_old_flags_served() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    pipeline.filled().await?;
    let proxy = Proxy::start(&pipeline.dynamodb.endpoint()).await?;
    let reader = Reader::start(pipeline.reader()?.envs(pipeline.table.variables(&proxy.endpoint()))).await?;
    reader.value("sample-flag").await?;
    proxy.inject(Fault::always(Misbehaviour::Delay(Duration::from_mins(1))));
    assert_eq!(reader.value("sample-flag").await?, false);
    assert_eq!(reader.get("/health").await?.body["status"], "stale");
    Ok(())
}

#[tokio::test]
async fn evaluations_become_events_where_an_sdk_key_is_set_and_only_there() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    pipeline.filled().await?;
    let silent = Reader::start(pipeline.reader()?).await?;
    silent.value("sample-flag").await?;
    let reader = Reader::start(pipeline.reader()?.env("LAUNCHDARKLY_SDK_KEY", SDK_KEY)).await?;
    let asked = reader.get("/flags/sample-flag?key=ann&kind=user").await?;
    assert_eq!(asked.body["value"], false);
    eventually(async || Ok(pipeline.launchdarkly.events().iter().any(|event| event["kind"] == "summary"))).await?;
    let events = pipeline.launchdarkly.events();
    let summaries: Vec<&Value> = events.iter().filter(|event| event["kind"] == "summary").collect();
    assert_eq!(summaries.len(), 1, "{events:?}");
    assert_eq!(summaries[0]["features"]["sample-flag"]["counters"][0]["count"], 1);
    assert!(events.iter().any(|event| event["kind"] == "index" && event["context"]["key"] == "ann"), "{events:?}");
    Ok(())
}

#[tokio::test]
async fn two_prefixes_of_one_table_are_two_environments() -> Result<()> {
    let (red, blue) = (Pipeline::start().await?, Pipeline::start().await?);
    blue.launchdarkly.set_flag_on("sample-flag", true).context("it was on")?;
    blue.launchdarkly.upsert_segment(&json!({"key": "only-blue", "version": 1, "included": []}).to_string())?;
    let shared = |function: Function, prefix: &str| {
        let variables = red.table.variables(&red.dynamodb.endpoint());
        function.envs(variables).env("LAUNCHDARKLY_DYNAMODB_PREFIX", prefix)
    };
    for (pipeline, prefix) in [(&red, "red"), (&blue, "blue")] {
        shared(pipeline.store()?, prefix).spawn().await?.invoke(&json!({})).await?;
    }
    for (pipeline, prefix, value) in [(&red, "red", false), (&blue, "blue", true)] {
        let reader = Reader::start(shared(pipeline.reader()?, prefix)).await?;
        assert_eq!(reader.value("sample-flag").await?, value, "{prefix}");
        red.contents().await?.ensure_is(prefix, &pipeline.payload()?)?;
    }
    Ok(())
}
