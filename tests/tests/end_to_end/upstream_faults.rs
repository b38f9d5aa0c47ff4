//! A LaunchDarkly that misbehaves: what cannot be trusted leaves the table as it was.

use anyhow::{Context, Result, ensure};
use flagcache_tests::gateway::Request;
use flagcache_tests::pipeline::{Pipeline, SECRET, entry};
use flagcache_tests::watched::Watched;
use futures::future::try_join_all;
use local::standin::{Endpoint, Misbehaviour};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn named(version: u64) -> Request {
    Request::signed(SECRET, entry("sample-flag", "updateOn", Some(version)))
}

fn fetches(pipeline: &Pipeline) -> usize {
    pipeline.launchdarkly.requests_to(Endpoint::Polling).len()
}

/// Lets a store with a filled table meet a fault, over HTTP and by hand, and expects this status and code each time.
async fn meets(fault: Misbehaviour, status: u64, code: &str, message: &str) -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched_and_filled().await?;
    pipeline.launchdarkly.set_flag_on("sample-flag", true).context("it was on")?;
    let before = pipeline.contents().await?;
    pipeline.launchdarkly.misbehave(fault);
    let answer = store.post(&named(2)).await?;
    let error = &answer.body["error"];
    ensure!(
        (answer.status, error["code"].as_str()) == (status, Some(code)),
        "expected {status} {code}, got {answer:?}"
    );
    let said = error["message"].as_str().unwrap_or_default();
    ensure!(said.starts_with("failed to ") && said.contains(message), "{said:?} does not say {message:?}");
    ensure!(pipeline.contents().await? == before, "the table was changed");
    let (kind, said) = store.fault(&json!({})).await?;
    ensure!(kind == code && said.contains(message), "by hand: {kind}: {said}");
    ensure!(pipeline.contents().await? == before, "the table was changed");

    let metrics = store.metrics(3).await?;
    let upstream = u64::from(status == 502);
    ensure!(metrics[1]["UpstreamErrors"] == upstream && metrics[1]["Syncs"] == 0, "{}", metrics[1]);
    let failed = &store.lines("not synced", 2).await?[0];
    ensure!(failed["level"] == "ERROR" && failed["status"] == status && failed["code"] == code, "{failed}");

    // It is over as soon as LaunchDarkly behaves.
    pipeline.launchdarkly.behave();
    ensure!(store.post(&named(2)).await?.body["fresh"] == true, "it did not recover");
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn a_launchdarkly_that_does_not_answer_is_a_502() -> Result<()> {
    let cases = [
        (Misbehaviour::status(500), "status 500"),
        (Misbehaviour::status(503), "status 503"),
        (Misbehaviour::status_retry_after(429, 3_600), "status 429"),
        (Misbehaviour::status(404), "LAUNCHDARKLY_BASE_URI"),
        (Misbehaviour::status(301), "LAUNCHDARKLY_BASE_URI"),
        (Misbehaviour::reset(), "reach LaunchDarkly at 127.0.0.1"),
        (Misbehaviour::cut_off(0), "cut off"),
        (Misbehaviour::cut_off(300), "cut off"),
        (Misbehaviour::cut_off_chunked(300), "cut off"),
    ];
    let meet = cases.into_iter().map(|(fault, said)| meets(fault, 502, "launchdarkly-unavailable", said));
    try_join_all(meet).await?;
    Ok(())
}

#[tokio::test]
async fn a_refused_sdk_key_is_a_misconfiguration() -> Result<()> {
    meets(Misbehaviour::status(401), 500, "sdk-key-refused", "server-side SDK key").await?;
    meets(Misbehaviour::status(403), 500, "sdk-key-refused", "server-side SDK key").await
}

#[tokio::test]
async fn a_wrong_sdk_key_is_refused_after_one_request() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = Watched::start(&pipeline.store()?.env("LAUNCHDARKLY_SDK_KEY", "sdk-wrong-one")).await?;
    store.keep_secret("sdk-wrong-one");
    assert_eq!(store.fault(&json!({})).await?.0, "sdk-key-refused");
    assert_eq!(fetches(&pipeline), 1);
    assert!(pipeline.table.items().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_payload_that_is_none_is_a_502() -> Result<()> {
    let flag = |json: &str| format!(r#"{{"flags":{{"sample-flag":{json}}},"segments":{{}}}}"#);
    let invalid = "payload-invalid";
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let cases: Vec<(String, &str, &str)> = vec![
        (String::new(), invalid, "not valid JSON"),
        ("<html>".into(), invalid, "line 1 column 1"),
        ("null".into(), invalid, "the payload"),
        ("[]".into(), invalid, "the payload"),
        ("{}".into(), invalid, "no `flags` object"),
        (r#"{"segments":{}}"#.into(), invalid, "no `flags` object"),
        (r#"{"flags":null,"segments":{}}"#.into(), invalid, "no `flags` object"),
        (r#"{"flags":[],"segments":{}}"#.into(), invalid, "an object of items by their keys"),
        (r#"{"flags":[{"key":"a","version":1}]}"#.into(), invalid, "an object of items by their keys"),
        (r#"{"flags":"none"}"#.into(), invalid, "an object of items by their keys"),
        (r#"{"flags":{},"flags":{}}"#.into(), invalid, "flags"),
        (r#"{"flags":{"a":{"version":1}},"segments":[]}"#.into(), invalid, "an object of items by their keys"),
        (flag("{}"), invalid, "flag `sample-flag`"),
        (flag("[]"), invalid, "flag `sample-flag`"),
        (flag("null"), invalid, "flag `sample-flag`"),
        (flag(r#"{"key":"sample-flag"}"#), invalid, "flag `sample-flag`"),
        (flag(r#"{"version":"2"}"#), invalid, "flag `sample-flag`"),
        (flag(r#"{"version":null}"#), invalid, "flag `sample-flag`"),
        (flag(r#"{"version":1.5}"#), invalid, "flag `sample-flag`"),
        (flag(r#"{"version":-1}"#), invalid, "flag `sample-flag`"),
        (flag(r#"{"version":9007199254740992}"#), invalid, "flag `sample-flag`"),
        (flag(r#"{"version":18446744073709551616}"#), invalid, "flag `sample-flag`"),
        (flag(r#"{"version":1e400}"#), invalid, "sample-flag"),
        (r#"{"flags":{"a":{"version":1},"a":{"version":2}},"segments":{}}"#.into(), invalid, "`a`"),
        (r#"{"flags":{"a":{"version":1},"\u0061":{"version":2}},"segments":{}}"#.into(), invalid, "`a`"),
        (r#"{"flags":{"a":{"version":1}},"segments":{"s":{}}}"#.into(), invalid, "segment `s`"),
        (r#"{"flags":{"a":{"version":1}},"segments":{"s":{"version":1},"s":{"version":1}}}"#.into(), invalid, "`s`"),
        (flag(r#"{"version":1}"#) + "x", invalid, "trailing characters"),
        (deep, invalid, "the payload"),
        (r#"{"flags":{},"segments":{}}"#.into(), "payload-empty", "LAUNCHDARKLY_ALLOW_EMPTY"),
        (r#"{"flags":{},"segments":{"staff":{"version":8}}}"#.into(), "payload-empty", "the table holds 10"),
        (r#"{"flags":{"a":{"version":1}}}"#.into(), "payload-empty", "`segments` object"),
        (r#"{"flags":{"a":{"version":1}},"segments":null}"#.into(), "payload-empty", "`segments` object"),
    ];
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched_and_filled().await?;
    let before = pipeline.contents().await?;
    for (body, code, message) in cases {
        let shown: String = body.chars().take(80).collect();
        pipeline.launchdarkly.behave();
        pipeline.launchdarkly.misbehave(Misbehaviour::body(body));
        let answer = store.post(&named(2)).await?;
        let error = &answer.body["error"];
        assert_eq!((answer.status, &error["code"]), (502, &json!(code)), "{shown}: {answer:?}");
        let said = error["message"].as_str().unwrap_or_default();
        assert!(said.contains(message), "{shown}: {said:?} does not say {message:?}");
        assert_eq!(store.fault(&json!({})).await?.0, code, "{shown}");
        assert_eq!(pipeline.contents().await?, before, "{shown}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_payload_leaves_an_empty_table_empty() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched().await?;
    for body in ["{}", r#"{"flags":{"a":{}}}"#] {
        pipeline.launchdarkly.behave();
        pipeline.launchdarkly.misbehave(Misbehaviour::body(body));
        assert_eq!(store.fault(&json!({})).await?.0, "payload-invalid");
        assert!(pipeline.table.items().await?.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn an_empty_payload_empties_a_table_only_when_allowed() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let cautious = pipeline.watched_and_filled().await?;
    pipeline.launchdarkly.set_data(r#"{"flags":{},"segments":{}}"#)?;
    let before = pipeline.contents().await?;
    assert_eq!(cautious.post(&named(2)).await?.status, 502);
    assert_eq!(pipeline.contents().await?, before);

    let bold = Watched::start(&pipeline.store()?.env("LAUNCHDARKLY_ALLOW_EMPTY", "true")).await?;
    let summary = bold.run().await?;
    assert_eq!(summary["flags"], json!({"total": 0, "written": 0, "deleted": 10}), "{summary}");
    assert_eq!(summary["segments"], json!({"total": 0, "written": 0, "deleted": 2}), "{summary}");
    pipeline.ensure_synced().await?;
    // Over an empty table nobody minds.
    assert_eq!(cautious.run().await?["outcome"], "unchanged");
    Ok(())
}

#[tokio::test]
async fn an_empty_environment_fills_an_empty_table() -> Result<()> {
    let pipeline = Pipeline::start_with_payload(r#"{"flags":{}}"#).await?;
    pipeline.launchdarkly.misbehave(Misbehaviour::body(r#"{"flags":{}}"#));
    let summary = pipeline.watched_and_filled().await?.run().await?;
    assert_eq!((&summary["outcome"], &summary["flags"]["total"]), (&json!("unchanged"), &json!(0)), "{summary}");
    assert!(pipeline.contents().await?.is_marked(""));
    Ok(())
}

#[tokio::test]
async fn faults_that_pass_are_got_over() -> Result<()> {
    let passes = async |fault: Misbehaviour, requests: usize, at_least: Duration| -> Result<()> {
        let pipeline = Pipeline::start().await?;
        let store = pipeline.watched_and_filled().await?;
        let change = pipeline.launchdarkly.set_flag_on("sample-flag", true).context("it was on")?;
        pipeline.launchdarkly.forget_requests();
        pipeline.launchdarkly.misbehave(fault.clone());
        let began = Instant::now();
        let answer = store.post(&named(change.version)).await?;
        ensure!(answer.status == 200 && answer.body["fresh"] == true, "{fault:?}: {answer:?}");
        ensure!(began.elapsed() >= at_least, "{fault:?}: {:?}", began.elapsed());
        ensure!(fetches(&pipeline) == requests, "{fault:?}: {} requests", fetches(&pipeline));
        pipeline.ensure_synced().await
    };
    let none = Duration::ZERO;
    tokio::try_join!(
        passes(Misbehaviour::status(503).times(1), 2, none),
        passes(Misbehaviour::status(500).times(3), 4, none),
        passes(Misbehaviour::status_retry_after(429, 1).times(1), 2, Duration::from_secs(1)),
        passes(Misbehaviour::reset().times(1), 2, none),
        passes(Misbehaviour::cut_off(300).times(1), 2, none),
        passes(Misbehaviour::cut_off_chunked(10).times(1), 2, none),
        passes(Misbehaviour::delay(Duration::from_millis(300)).times(1), 1, Duration::from_millis(300)),
    )?;
    Ok(())
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_a_502_and_no_death() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = Watched::start(&pipeline.store()?.timeout(Duration::from_secs(4))).await?;
    store.run().await?;
    let before = pipeline.contents().await?;
    pipeline.launchdarkly.misbehave(Misbehaviour::delay(Duration::from_mins(1)));
    let answer = store.post(&named(2)).await?;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (502, &json!("launchdarkly-unavailable")), "{answer:?}");
    assert!(answer.body["error"]["message"].as_str().is_some_and(|said| said.contains("not complete after")));
    assert_eq!(pipeline.contents().await?, before);
    pipeline.launchdarkly.behave();
    assert_eq!(store.post(&named(1)).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn an_answer_older_than_the_webhook_is_asked_for_again() -> Result<()> {
    let is_fresh_after = async |fault: Misbehaviour| -> Result<()> {
        let pipeline = Pipeline::start().await?;
        let store = pipeline.watched_and_filled().await?;
        let change = pipeline.launchdarkly.set_flag_on("sample-flag", true).context("it was on")?;
        pipeline.launchdarkly.forget_requests();
        pipeline.launchdarkly.misbehave(fault.clone());
        let answer = store.post(&named(change.version)).await?;
        ensure!(answer.body["fresh"] == true && answer.body["flags"]["written"] == 1, "{fault:?}: {answer:?}");
        ensure!(fetches(&pipeline) == 4, "{fault:?}: {} requests", fetches(&pipeline));
        pipeline.ensure_synced().await
    };
    tokio::try_join!(is_fresh_after(Misbehaviour::stale(1).times(3)), is_fresh_after(Misbehaviour::stale(7).times(3)))?;
    Ok(())
}

#[tokio::test]
async fn a_304_that_is_older_than_the_webhook_is_not_believed() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched_and_filled().await?;
    let change = pipeline.launchdarkly.set_flag_on("sample-flag", true).context("it was on")?;
    pipeline.launchdarkly.forget_requests();
    pipeline.launchdarkly.misbehave(Misbehaviour::not_modified().times(1));
    let answer = store.post(&named(change.version)).await?;
    assert_eq!((&answer.body["fresh"], &answer.body["flags"]["written"]), (&json!(true), &json!(1)), "{answer:?}");
    let asked: Vec<bool> = pipeline.launchdarkly.requests().iter().map(|asked| asked.if_none_match.is_some()).collect();
    assert_eq!(asked, [true, false]);
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn what_never_shows_within_the_window_is_reported_as_not_fresh() -> Result<()> {
    let never_shows = async |window: &str, expected: std::ops::RangeInclusive<usize>| -> Result<()> {
        let pipeline = Pipeline::start().await?;
        let function = pipeline.store()?.env("LAUNCHDARKLY_FRESHNESS_WINDOW_MS", window);
        let store = Watched::start(&function).await?;
        store.run().await?;
        let before = pipeline.contents().await?;
        let change = pipeline.launchdarkly.set_flag_on("sample-flag", true).context("it was on")?;
        pipeline.launchdarkly.misbehave(Misbehaviour::stale(1));
        pipeline.launchdarkly.forget_requests();
        let began = Instant::now();
        let answer = store.post(&named(change.version)).await?;
        ensure!(answer.status == 200 && answer.body["fresh"] == false, "{window}: {answer:?}");
        ensure!(answer.body["outcome"] == "unchanged", "{window}: {answer:?}");
        ensure!(expected.contains(&fetches(&pipeline)), "{window}: {} requests", fetches(&pipeline));
        ensure!(began.elapsed() <= Duration::from_millis(window.parse::<u64>()? + 10_000), "{:?}", began.elapsed());
        ensure!(pipeline.contents().await? == before, "{window}: the table was changed");
        ensure!(store.metrics(2).await?[1]["Stale"] == 1, "{window}: it was not counted");
        pipeline.launchdarkly.behave();
        ensure!(store.post(&named(change.version)).await?.body["fresh"] == true, "{window}: it did not recover");
        pipeline.ensure_synced().await
    };
    // The stale answer is the one that the store's ETag stands for: with a window, it asks anew without.
    tokio::try_join!(never_shows("1000", 2..=9), never_shows("5000", 4..=14))?;
    Ok(())
}

#[tokio::test]
async fn a_window_of_zero_is_one_fetch() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = Watched::start(&pipeline.store()?.env("LAUNCHDARKLY_FRESHNESS_WINDOW_MS", "0")).await?;
    store.run().await?;
    // An answer from before that is not the one held: somebody else's change is in it, the named one is not.
    pipeline.launchdarkly.set_flag_on("theme", false).context("it was off")?;
    let change = pipeline.launchdarkly.set_flag_on("sample-flag", true).context("it was on")?;
    pipeline.launchdarkly.misbehave(Misbehaviour::stale(1));
    pipeline.launchdarkly.forget_requests();
    let answer = store.post(&named(change.version)).await?;
    assert_eq!((&answer.body["fresh"], &answer.body["flags"]["written"]), (&json!(false), &json!(1)), "{answer:?}");
    assert_eq!(fetches(&pipeline), 1);
    Ok(())
}

#[tokio::test]
async fn an_old_answer_takes_nothing_back() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = Watched::start(&pipeline.store()?.env("LAUNCHDARKLY_FRESHNESS_WINDOW_MS", "200")).await?;
    store.run().await?;
    let launchdarkly = &pipeline.launchdarkly;
    let deleted = launchdarkly.delete_flag("theme").context("no such flag")?;
    let deletion = Request::signed(SECRET, entry("theme", "deleteFlag", Some(deleted.version)));
    assert_eq!(store.post(&deletion).await?.body["flags"]["deleted"], 1);
    let created = launchdarkly.upsert_flag(r#"{"key":"new","version":1}"#)?;
    let creation = Request::signed(SECRET, entry("new", "createFlag", Some(created.version)));
    assert_eq!(store.post(&creation).await?.body["flags"]["written"], 1);
    let changed = launchdarkly.set_flag_on("sample-flag", true).context("it was on")?;
    assert_eq!(store.post(&named(changed.version)).await?.body["flags"]["written"], 1);

    let before = pipeline.contents().await?;
    // Before the change, before the creation, before the deletion.
    for changes in 1..=3 {
        launchdarkly.behave();
        launchdarkly.misbehave(Misbehaviour::stale(changes));
        for webhook in [named(changed.version + 1), deletion.clone(), creation.clone(), Request::signed(SECRET, "{}")] {
            let answer = store.post(&webhook).await?;
            assert_eq!((answer.status, &answer.body["outcome"]), (200, &json!("unchanged")), "{changes}: {answer:?}");
        }
        let after = pipeline.contents().await?;
        for namespace in ["features", "segments"] {
            assert_eq!(after.keys(namespace), before.keys(namespace), "{changes}");
            for key in before.keys(namespace) {
                assert_eq!(after.item(namespace, key), before.item(namespace, key), "{changes}: {key}");
            }
        }
    }
    launchdarkly.behave();
    let answer: Value = store.run().await?;
    assert_eq!(answer["outcome"], "unchanged", "{answer}");
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn a_launchdarkly_that_is_not_there_is_a_502() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    pipeline.watched_and_filled().await?;
    // Bound, but nobody listens.
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let nowhere = format!("http://{}", socket.local_addr()?);
    let store = Watched::start(&pipeline.store()?.env("LAUNCHDARKLY_BASE_URI", &nowhere)).await?;
    let before = pipeline.contents().await?;
    let answer = store.post(&named(2)).await?;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (502, &json!("launchdarkly-unavailable")), "{answer:?}");
    let said = answer.body["error"]["message"].as_str().unwrap_or_default();
    assert!(said.contains(&socket.local_addr()?.to_string()), "{said}");
    assert_eq!(pipeline.contents().await?, before);
    Ok(())
}
