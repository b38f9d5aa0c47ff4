//! Variables, and what is logged and counted.

use anyhow::{Context, Result};
use flagcache_tests::gateway::{Gateway, Request};
use flagcache_tests::pipeline::{Pipeline, SDK_KEY, SECRET, entry};
use flagcache_tests::watched::Watched;
use futures::future::try_join_all;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn webhook() -> Request {
    // What the table has already, so that nobody waits for it.
    Request::signed(SECRET, entry("sample-flag", "updateOn", Some(1)))
}

/// Variables and their values.
type Variables<'a> = &'a [(&'a str, &'a str)];

#[tokio::test]
async fn a_wrong_variable_is_answered_with_its_name_and_never_a_crash() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let meets = async |variables: Variables<'_>, said: &[&str]| -> Result<()> {
        let function = pipeline.store()?.envs(variables.iter().copied());
        let store = Watched::start(&function).await?;
        for gateway in Gateway::ALL {
            let answer = store.post_through(gateway, &webhook()).await?;
            anyhow::ensure!(answer.status == 500, "{variables:?}: {answer:?}");
            let error = &answer.body["error"];
            anyhow::ensure!(error["code"] == "misconfigured", "{variables:?}: {answer:?}");
            let message = error["message"].as_str().context("no message")?;
            anyhow::ensure!(said.iter().all(|said| message.contains(said)), "{variables:?}: {message}");
        }
        let (code, message) = store.fault(&json!({})).await?;
        anyhow::ensure!(code == "misconfigured" && said.iter().all(|said| message.contains(said)), "{message}");
        let line = store.line("started, but every invocation will fail").await?;
        anyhow::ensure!(line["level"] == "ERROR", "{line}");
        let logged = line["error"].as_str().unwrap_or_default();
        anyhow::ensure!(said.iter().all(|said| logged.contains(said)), "{logged}");
        Ok(())
    };
    let cases: &[(Variables<'_>, &[&str])] = &[
        (&[("LAUNCHDARKLY_DYNAMODB_TABLE", "")], &["LAUNCHDARKLY_DYNAMODB_TABLE", "not set"]),
        (&[("LAUNCHDARKLY_DYNAMODB_TABLE", " ")], &["LAUNCHDARKLY_DYNAMODB_TABLE", "not set"]),
        (&[("LAUNCHDARKLY_SDK_KEY", "")], &["LAUNCHDARKLY_SDK_KEY", "LAUNCHDARKLY_SDK_KEY_PARAMETER", "not set"]),
        (&[("LAUNCHDARKLY_WEBHOOK_SIGNATURE", "yes")], &["LAUNCHDARKLY_WEBHOOK_SIGNATURE", "yes", "required"]),
        (&[("LAUNCHDARKLY_FRESHNESS_WINDOW_MS", "5s")], &["LAUNCHDARKLY_FRESHNESS_WINDOW_MS", "5s", "milliseconds"]),
        (&[("LAUNCHDARKLY_FRESHNESS_WINDOW_MS", "-1")], &["LAUNCHDARKLY_FRESHNESS_WINDOW_MS", "-1"]),
        (&[("LAUNCHDARKLY_ALLOW_EMPTY", "1")], &["LAUNCHDARKLY_ALLOW_EMPTY", "true or false"]),
        (&[("LAUNCHDARKLY_BASE_URI", "nowhere")], &["LAUNCHDARKLY_BASE_URI", "nowhere"]),
        (&[("LAUNCHDARKLY_BASE_URI", "ftp://host")], &["LAUNCHDARKLY_BASE_URI", "ftp://host"]),
        (&[("LOG_LEVEL", "LOUD")], &["LOG_LEVEL", "LOUD", "CRITICAL"]),
        (&[("AWS_MAX_ATTEMPTS", "many")], &["AWS_MAX_ATTEMPTS", "many"]),
        (
            &[("AWS_ENDPOINT_URL_DYNAMODB", "localhost:8000")],
            &["AWS_ENDPOINT_URL_DYNAMODB", "localhost:8000", "http://"],
        ),
        (&[("AWS_REGION", "not a region")], &["AWS_REGION", "not a region", "eu-west-1"]),
        (&[("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "")], &["AWS_REGION"]),
    ];
    try_join_all(cases.iter().map(|(variables, said)| meets(variables, said))).await?;
    Ok(())
}

#[tokio::test]
async fn an_sdk_key_that_no_header_can_carry_is_named_but_not_shown() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = Watched::start(&pipeline.store()?.env("LAUNCHDARKLY_SDK_KEY", "sdk-first\nsdk-second")).await?;
    store.keep_secret("sdk-first");
    store.keep_secret("sdk-second");
    let answer = store.post(&webhook()).await?;
    assert_eq!((answer.status, &answer.body["error"]["code"]), (500, &json!("sdk-key-refused")), "{answer:?}");
    assert!(answer.body["error"]["message"].as_str().is_some_and(|said| said.contains("line break")));
    Ok(())
}

#[tokio::test]
async fn a_line_break_at_the_end_of_a_secret_is_none_of_it() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let function = pipeline.store()?;
    let function = function.env("LAUNCHDARKLY_SDK_KEY", format!("{SDK_KEY}\n"));
    let store = Watched::start(&function.env("LAUNCHDARKLY_WEBHOOK_SECRET", format!("{SECRET}\n"))).await?;
    assert_eq!(store.post(&webhook()).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn the_start_is_logged_with_everything_as_resolved() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let plain = pipeline.watched().await?.line("started").await?;
    assert_eq!(plain["region"], "eu-west-1");
    assert_eq!(plain["table"], pipeline.table.name());
    assert_eq!(plain["endpoint"], pipeline.dynamodb.endpoint());
    assert_eq!(plain["prefix"], "");
    assert_eq!(plain["level"], "INFO");
    let launchdarkly = plain["launchdarkly"].as_str().unwrap_or_default();
    assert_eq!(launchdarkly.trim_end_matches('/'), pipeline.launchdarkly.url());

    let function = pipeline.store()?.env("LAUNCHDARKLY_DYNAMODB_PREFIX", "eu").env("AWS_REGION", "ap-southeast-2");
    let function = function.env("AWS_ENDPOINT_URL_DYNAMODB", "").env("LAUNCHDARKLY_BASE_URI", "");
    let resolved = Watched::start(&function).await?.line("started").await?;
    assert_eq!(resolved["region"], "ap-southeast-2");
    assert_eq!(resolved["prefix"], "eu");
    assert_eq!(resolved["endpoint"], "https://dynamodb.ap-southeast-2.amazonaws.com");
    Ok(())
}

#[tokio::test]
async fn a_sync_is_one_line_with_its_summary_and_request_id() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched().await?;
    let summary = store.run().await?;
    let answer = store.post(&webhook()).await?;
    assert_eq!(answer.status, 200);
    let lines = store.lines("synced", 2).await?;
    assert_eq!(lines.len(), 2);
    for (line, summary) in lines.iter().zip([&summary, &answer.body]) {
        for (field, of) in [
            ("outcome", &summary["outcome"]),
            ("trigger", &summary["trigger"]),
            ("flags", &summary["flags"]["total"]),
            ("segments", &summary["segments"]["total"]),
            ("fresh", &summary["fresh"]),
            ("generation", &summary["generation"]),
            ("attempts", &summary["attempts"]),
            ("duration_ms", &summary["durationMs"]),
        ] {
            assert_eq!(&line[field], of, "{field}: {line}");
        }
        assert_eq!(line["requestId"].as_str().map(str::len), Some(36), "{line}");
        assert!(line["timestamp"].is_string() && line["level"] == "INFO", "{line}");
    }
    assert_eq!(lines[0]["written"], 12);
    assert_ne!(lines[0]["requestId"], lines[1]["requestId"]);
    // Whatever is written is one JSON object a line.
    for line in store.process().logs().lines() {
        assert!(serde_json::from_str::<Value>(&line).is_ok_and(|line| line.is_object()), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn a_sync_is_counted_in_the_embedded_metric_format() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let function = pipeline.store()?.named("store-staging").env("LAUNCHDARKLY_DYNAMODB_PREFIX", "eu");
    let store = Watched::start(&function).await?;
    store.run().await?;
    let changed = pipeline.launchdarkly.set_flag_on("sample-flag", true).context("it was on")?;
    let mut body: Value = serde_json::from_str(&entry("sample-flag", "updateOn", Some(changed.version)))?;
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    body["date"] = json!(now - 60_000);
    assert_eq!(store.post(&Request::signed(SECRET, body.to_string())).await?.status, 200);
    assert_eq!(store.post(&Request::post("{}")).await?.status, 401);

    let metrics = store.metrics(3).await?;
    let synced = store.lines("synced", 2).await?;
    let directive = &metrics[1]["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(directive["Namespace"], "flagcache");
    assert_eq!(directive["Dimensions"], json!([["FunctionName", "Prefix"]]));
    assert_eq!((&metrics[1]["FunctionName"], &metrics[1]["Prefix"]), (&json!("store-staging"), &json!("eu")));
    assert!(metrics[1]["_aws"]["Timestamp"].as_u64().is_some_and(|at| at >= now));
    assert_eq!(metrics[1]["requestId"], synced[1]["requestId"]);
    let units: Vec<(&str, &str)> = directive["Metrics"]
        .as_array()
        .context("no metrics")?
        .iter()
        .map(|metric| (metric["Name"].as_str().unwrap_or_default(), metric["Unit"].as_str().unwrap_or_default()))
        .collect();
    for (name, unit, value) in [
        ("Syncs", "Count", Some(1)),
        ("ItemsWritten", "Count", Some(1)),
        ("ItemsDeleted", "Count", Some(0)),
        ("SyncDuration", "Milliseconds", None),
        ("Stale", "Count", Some(0)),
        ("TooLarge", "Count", Some(0)),
        ("SignatureRejected", "Count", Some(0)),
        ("UpstreamErrors", "Count", Some(0)),
        ("Conflicts", "Count", Some(0)),
        ("PropagationDelay", "Milliseconds", None),
    ] {
        assert!(units.contains(&(name, unit)), "{name}: {units:?}");
        assert!(value.is_none_or(|value| metrics[1][name] == value), "{name}: {}", metrics[1]);
    }
    let delay = metrics[1]["PropagationDelay"].as_f64().context("no delay")?;
    assert!((60_000.0..120_000.0).contains(&delay), "{delay}");
    assert_eq!((&metrics[0]["Syncs"], &metrics[0]["ItemsWritten"]), (&json!(1), &json!(12)));
    assert_eq!((&metrics[2]["Syncs"], &metrics[2]["SignatureRejected"]), (&json!(0), &json!(1)));
    Ok(())
}

#[tokio::test]
async fn a_function_that_waits_in_vain_is_told_so_before_its_time_is_up() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = Watched::start(&pipeline.store()?.timeout(Duration::from_secs(4))).await?;
    store.run().await?;
    // A change of which LaunchDarkly never hears is waited for, but not longer than there is time.
    let answer = store.post(&Request::signed(SECRET, entry("sample-flag", "updateOn", Some(99)))).await?;
    assert_eq!((answer.status, &answer.body["fresh"]), (200, &json!(false)), "{answer:?}");
    Ok(())
}
