//! A table that is missing, wrong or slow, and stores that are stopped in the middle.

use anyhow::{Context, Result, ensure};
use flagcache_tests::gateway::Request;
use flagcache_tests::generate;
use flagcache_tests::pipeline::{Pipeline, SECRET, entry, eventually};
use flagcache_tests::proxy::{Fault, Misbehaviour, Proxy};
use flagcache_tests::watched::Watched;
use futures::{StreamExt, TryStreamExt, stream};
use http::StatusCode;
use local::lambda::Function;
use serde_json::{Value, json};
use std::time::Duration;

fn named(version: u64) -> Request {
    Request::signed(SECRET, entry("sample-flag", "updateOn", Some(version)))
}

fn names_nothing() -> Request {
    Request::signed(SECRET, "{}")
}

/// A `store` that reaches the table through a proxy.
async fn behind(pipeline: &Pipeline) -> Result<(Proxy, Function)> {
    let proxy = Proxy::start(&pipeline.dynamodb.endpoint()).await?;
    let function = pipeline.store()?.env("AWS_ENDPOINT_URL_DYNAMODB", proxy.endpoint());
    Ok((proxy, function))
}

/// Expects this status, code and message over HTTP, nothing of it said twice, and the same by hand.
async fn fails(store: &Watched, status: u64, code: &str, said: &[&str]) -> Result<()> {
    let answer = store.post(&named(2)).await?;
    let error = &answer.body["error"];
    ensure!(
        (answer.status, error["code"].as_str()) == (status, Some(code)),
        "expected {status} {code}, got {answer:?}"
    );
    let message = error["message"].as_str().unwrap_or_default();
    let is_once = |said: &&str| message.matches(*said).count() == 1;
    ensure!(said.iter().all(is_once), "{message:?} does not say each of {said:?} once");
    ensure!(!message.contains('\n'), "{message:?} is more than one line");
    let (kind, message) = store.fault(&json!({})).await?;
    ensure!(kind == code && said.iter().all(|said| message.contains(said)), "by hand: {kind}: {message}");
    Ok(())
}

#[tokio::test]
async fn a_missing_table_is_a_misconfiguration() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched_and_filled().await?;
    pipeline.table.call("DeleteTable", json!({})).await?;
    fails(&store, 500, "table-misconfigured", &[pipeline.table.name(), "does not exist"]).await
}

#[tokio::test]
async fn a_table_with_other_keys_is_a_misconfiguration() -> Result<()> {
    let has_other_keys = async |keys: &[(&str, &str)]| -> Result<()> {
        let pipeline = Pipeline::start().await?;
        pipeline.table.call("DeleteTable", json!({})).await?;
        let definitions: Vec<Value> =
            keys.iter().map(|(name, kind)| json!({"AttributeName": name, "AttributeType": kind})).collect();
        let schema: Vec<Value> = keys
            .iter()
            .zip(["HASH", "RANGE"])
            .map(|((name, _), role)| json!({"AttributeName": name, "KeyType": role}))
            .collect();
        let request =
            json!({"AttributeDefinitions": definitions, "KeySchema": schema, "BillingMode": "PAY_PER_REQUEST"});
        pipeline.table.call("CreateTable", request).await?;
        let store = pipeline.watched().await?;
        fails(&store, 500, "table-misconfigured", &[pipeline.table.name(), "`namespace` (hash"]).await?;
        ensure!(pipeline.table.items().await?.is_empty(), "something was written");
        Ok(())
    };
    has_other_keys(&[("id", "S")]).await?;
    has_other_keys(&[("namespace", "S")]).await?;
    has_other_keys(&[("pk", "S"), ("sk", "S")]).await?;
    has_other_keys(&[("key", "S"), ("namespace", "S")]).await?;
    has_other_keys(&[("namespace", "S"), ("key", "N")]).await
}

#[tokio::test]
async fn nobody_at_the_address_of_dynamodb_is_a_503() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    // Bound, but nobody listens.
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let nowhere = format!("http://{}", socket.local_addr()?);
    let store = Watched::start(&pipeline.store()?.env("AWS_ENDPOINT_URL_DYNAMODB", nowhere)).await?;
    fails(&store, 503, "table-unavailable", &[pipeline.table.name(), "unavailable"]).await
}

#[tokio::test]
async fn a_table_that_fails_for_good_is_as_it_was() -> Result<()> {
    let denied = || Misbehaviour::error("AccessDeniedException", "User: u is not authorized to perform: dynamodb:X");
    let expired =
        || Misbehaviour::error("ExpiredTokenException", "The security token included in the request is expired");
    let other = || Misbehaviour::error("ValidationException", "Transactions are not supported here");
    let cases = [
        (Misbehaviour::throttled(), None, 503, "table-unavailable", "throttled"),
        (Misbehaviour::throttled(), Some("TransactWriteItems"), 503, "table-unavailable", "throttled"),
        (throttled_within(), Some("TransactWriteItems"), 503, "table-unavailable", "throttled"),
        (Misbehaviour::broken(), None, 503, "table-unavailable", "unavailable"),
        (Misbehaviour::broken(), Some("TransactWriteItems"), 503, "table-unavailable", "unavailable"),
        (Misbehaviour::Drop, None, 503, "table-unavailable", "unavailable"),
        (Misbehaviour::Drop, Some("TransactWriteItems"), 503, "table-unavailable", "unavailable"),
        (denied(), None, 500, "table-misconfigured", "access denied"),
        (denied(), Some("TransactWriteItems"), 500, "table-misconfigured", "access denied"),
        (expired(), None, 500, "table-misconfigured", "credentials"),
        (other(), Some("TransactWriteItems"), 500, "table-misconfigured", "Transactions are not supported"),
    ];
    let meets = async |(what, operation, status, code, said): (Misbehaviour, Option<&str>, u64, &str, &str)| {
        let pipeline = Pipeline::start().await?;
        let (proxy, function) = behind(&pipeline).await?;
        let store = Watched::start(&function).await?;
        store.run().await?;
        pipeline.launchdarkly.set_flag_on("sample-flag", true).context("it was on")?;
        let before = pipeline.contents().await?;
        let fault = Fault::always(what);
        proxy.inject(operation.map_or(fault.clone(), |operation| fault.at(operation)));
        let failed = fails(&store, status, code, &[said, pipeline.table.name()]).await;
        failed.with_context(|| format!("{said} at {operation:?}"))?;
        ensure!(pipeline.contents().await? == before, "{said} at {operation:?}: the table was changed");
        let log = store.process().logs().text();
        ensure!(!log.contains("aws_smithy"), "{said} at {operation:?}: the SDK logs what nobody can act on:\n{log}");
        proxy.behave();
        ensure!(store.post(&named(2)).await?.body["flags"]["written"] == 1, "{said}: it did not recover");
        pipeline.ensure_synced().await
    };
    stream::iter(cases).map(meets).buffer_unordered(12).try_collect().await
}

/// A transaction cancelled for want of capacity.
fn throttled_within() -> Misbehaviour {
    let reasons = json!([{"Code": "None"}, {"Code": "ThrottlingError", "Message": "Throughput exceeds the capacity"}]);
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons [None, ThrottlingError]",
        "CancellationReasons": reasons,
    });
    Misbehaviour::Answer { status: StatusCode::BAD_REQUEST, body }
}

/// A transaction cancelled because another one was under way.
fn conflict() -> Misbehaviour {
    let Misbehaviour::Answer { status, mut body } = throttled_within() else { return Misbehaviour::Drop };
    body["CancellationReasons"] = json!([{"Code": "TransactionConflict"}, {"Code": "None"}]);
    Misbehaviour::Answer { status, body }
}

#[tokio::test]
async fn faults_of_the_table_that_pass_are_got_over() -> Result<()> {
    let unprocessed = |table: &str| {
        let key = json!({"namespace": {"S": "$flagcache"}, "key": {"S": "base:0:0"}});
        let body = json!({"Responses": {}, "UnprocessedKeys": {table: {"Keys": [key], "ConsistentRead": true}}});
        Misbehaviour::Answer { status: StatusCode::OK, body }
    };
    let cases = [
        ("throttled reads", Fault::once(Misbehaviour::throttled()).times(2)),
        ("throttled writes", Fault::once(Misbehaviour::throttled()).at("TransactWriteItems").times(2)),
        ("throttled within a transaction", Fault::once(throttled_within()).at("TransactWriteItems").times(3)),
        ("a conflict of transactions", Fault::once(conflict()).at("TransactWriteItems").times(3)),
        ("status 500", Fault::once(Misbehaviour::broken()).times(2)),
        ("status 500 at writing", Fault::once(Misbehaviour::broken()).at("TransactWriteItems").times(4)),
        ("a closed connection", Fault::once(Misbehaviour::Drop).times(2)),
        ("a closed connection at writing", Fault::once(Misbehaviour::Drop).at("TransactWriteItems").times(2)),
        ("a lost answer", Fault::once(Misbehaviour::LoseAnswer).at("TransactWriteItems")),
        ("answers lost again and again", Fault::once(Misbehaviour::LoseAnswer).at("TransactWriteItems").times(3)),
        ("a slow answer", Fault::once(Misbehaviour::Delay(Duration::from_millis(200))).at("TransactWriteItems")),
        ("keys left over", Fault::once(unprocessed("TABLE")).at("BatchGetItem").times(3)),
    ];
    let passes = async |(name, fault): (&'static str, Fault)| -> Result<()> {
        let pipeline = Pipeline::start().await?;
        pipeline.watched_and_filled().await?;
        let change = pipeline.launchdarkly.set_flag_on("sample-flag", true).context("it was on")?;
        // A cold store, so that the base is read too.
        let (proxy, function) = behind(&pipeline).await?;
        let store = Watched::start(&function).await?;
        let fault = if name == "keys left over" {
            Fault::once(unprocessed(pipeline.table.name())).at("BatchGetItem").times(3)
        } else {
            fault
        };
        proxy.inject(fault);
        let answer = store.post(&named(change.version)).await?;
        ensure!(answer.status == 200, "{name}: {answer:?}");
        ensure!(answer.body["outcome"] == "updated" && answer.body["generation"] == 2, "{name}: {answer:?}");
        ensure!(answer.body["flags"] == json!({"total": 10, "written": 1, "deleted": 0}), "{name}: {answer:?}");
        ensure!(proxy.behave() == 0, "{name}: it never happened");
        pipeline.ensure_synced().await.context(name)
    };
    stream::iter(cases).map(passes).buffer_unordered(6).try_collect().await
}

#[tokio::test]
async fn a_table_that_never_answers_is_a_503_before_the_function_is_stopped() -> Result<()> {
    let never_answers = async |operation: &str| -> Result<()> {
        let pipeline = Pipeline::start().await?;
        let (proxy, function) = behind(&pipeline).await?;
        let store = Watched::start(&function.timeout(Duration::from_secs(4))).await?;
        store.run().await?;
        pipeline.launchdarkly.set_flag_on("sample-flag", true).context("it was on")?;
        let before = pipeline.contents().await?;
        proxy.inject(Fault::always(Misbehaviour::Delay(Duration::from_mins(1))).at(operation));
        let answer = store.post(&named(2)).await.context(operation.to_owned())?;
        ensure!(answer.status == 503, "{operation}: {answer:?}");
        ensure!(pipeline.contents().await? == before, "{operation}: the table was changed");
        proxy.behave();
        ensure!(store.post(&named(2)).await?.status == 200, "{operation}: it did not recover");
        pipeline.ensure_synced().await
    };
    tokio::try_join!(never_answers("GetItem"), never_answers("TransactWriteItems"))?;
    Ok(())
}

#[tokio::test]
async fn a_store_that_is_killed_in_the_middle_of_a_fill_is_healed_by_the_next() -> Result<()> {
    let pipeline = Pipeline::start_with_payload(&generate::payload(21, 300, 10)).await?;
    let (proxy, function) = behind(&pipeline).await?;
    proxy.inject(Fault::always(Misbehaviour::Delay(Duration::from_mins(2))).at("BatchWriteItem").after(4));
    let victim = function.timeout(Duration::from_secs(6)).spawn().await?;
    let by_hand = json!({});
    let (killed, ()) = tokio::join!(victim.invoke(&by_hand), async {
        let some_are_there = eventually(async || Ok(pipeline.table.items().await?.len() > 60));
        some_are_there.await.expect("the fill began");
        victim.kill().await;
    });
    assert!(killed.is_err(), "{killed:?}");
    let half = pipeline.contents().await?;
    assert!(!half.is_marked("") && half.keys("features").len() < 300, "it was not killed in the middle");

    // Who has no time to wait for the lease's end says so, and writes nothing.
    let hasty = Watched::start(&pipeline.store()?.timeout(Duration::from_secs(4))).await?;
    let answer = hasty.post(&names_nothing()).await?;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (503, &json!("table-busy")), "{answer:?}");
    assert_eq!(pipeline.contents().await?, half);

    let patient = pipeline.watched().await?;
    let answer = patient.post(&names_nothing()).await?;
    assert_eq!((answer.status, &answer.body["outcome"]), (200, &json!("updated")), "{answer:?}");
    pipeline.ensure_synced().await?;
    assert_eq!(patient.run().await?["outcome"], "unchanged");
    Ok(())
}

#[tokio::test]
async fn faults_of_the_table_that_pass_do_not_keep_a_first_fill_from_ending() -> Result<()> {
    let mut payload: Value = serde_json::from_str(&generate::payload(23, 150, 5))?;
    let all = payload["flags"].as_object().context("no flags")?.keys();
    let all: Vec<_> = all.map(|key| json!({"key": key, "variation": 0})).collect();
    // Written after what it needs, and so in a batch of its own.
    payload["flags"]["last"] = json!({"key": "last", "version": 1, "prerequisites": all});
    let pipeline = Pipeline::start_with_payload(&payload.to_string()).await?;
    let (proxy, function) = behind(&pipeline).await?;
    let item = json!({"namespace": {"S": "features"}, "key": {"S": "last"}});
    let left_over = json!({"UnprocessedItems": {pipeline.table.name(): [{"PutRequest": {"Item": item}}]}});
    let left_over = Misbehaviour::Answer { status: StatusCode::OK, body: left_over };
    let fault = |what| Fault::once(what).at("BatchWriteItem").times(3);
    proxy.inject(fault(left_over).mentioning(r#"{"S":"last"}"#));
    proxy.inject(fault(Misbehaviour::throttled()));
    let store = Watched::start(&function).await?;
    assert_eq!(store.run().await?["flags"], json!({"total": 151, "written": 151, "deleted": 0}));
    assert_eq!(proxy.behave(), 0, "it never happened");
    assert_eq!(store.run().await?["outcome"], "unchanged");
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn a_large_write_that_fails_half_way_is_finished_by_the_next() -> Result<()> {
    let pipeline = Pipeline::start_with_payload(&generate::payload(22, 400, 10)).await?;
    let (proxy, function) = behind(&pipeline).await?;
    let store = Watched::start(&function).await?;
    let denied = Misbehaviour::error("AccessDeniedException", "not authorized any more");
    proxy.inject(Fault::once(denied).at("BatchWriteItem").after(5));
    assert_eq!(store.fault(&json!({})).await?.0, "table-misconfigured");
    let half = pipeline.contents().await?;
    assert!(!half.is_marked("") && !half.keys("features").is_empty(), "it did not fail in the middle");
    // Its lease is given back, so that nobody has to wait.
    let answer = store.post(&names_nothing()).await?;
    assert_eq!((answer.status, &answer.body["outcome"]), (200, &json!("updated")), "{answer:?}");
    pipeline.ensure_synced().await
}
