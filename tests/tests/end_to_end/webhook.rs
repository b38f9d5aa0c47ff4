//! Who is let in, and with which answer. Whoever is refused has changed nothing, nor made LaunchDarkly hear of it.

use anyhow::{Context, Result, ensure};
use flagcache_tests::gateway::{Gateway, Request, SIGNATURE};
use flagcache_tests::pipeline::{Pipeline, SECRET, entry};
use flagcache_tests::watched::Watched;
use local::standin::signature;
use serde_json::{Value, json};

/// 1 MiB, the largest body that is looked at.
const LARGEST: usize = 1024 * 1024;

fn body() -> String {
    // What the table has already, so that nobody waits for it.
    entry("sample-flag", "updateOn", Some(1))
}

/// Delivers a request that has to be refused without anything having happened.
async fn refused(pipeline: &Pipeline, store: &Watched, gateway: Gateway, request: &Request) -> Result<(u64, String)> {
    let before = pipeline.contents().await?;
    pipeline.launchdarkly.forget_requests();
    let answer = store.post_through(gateway, request).await?;
    ensure!(pipeline.launchdarkly.requests().is_empty(), "LaunchDarkly was asked all the same");
    ensure!(pipeline.contents().await? == before, "the table was changed");
    let error = &answer.body["error"];
    let message = error["message"].as_str().context("no message")?;
    ensure!(message.starts_with("failed to "), "{message}");
    ensure!(answer.header("content-type") == Some("application/json"), "{:?}", answer.headers);
    Ok((answer.status, error["code"].as_str().context("no code")?.to_owned()))
}

#[tokio::test]
async fn a_webhook_is_let_in_only_with_the_right_signature() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched_and_filled().await?;
    let body = body();
    let good = signature(SECRET, body.as_bytes());
    let other = signature("another secret", body.as_bytes());
    let post = || Request::post(body.as_str());
    let signed = |value: &str| post().header(SIGNATURE, value);
    let changed = body.replacen("updateOn", "updateOM", 1);
    for (name, request, code) in [
        ("none", post(), "signature-missing"),
        ("empty", signed(""), "signature-missing"),
        ("blank", signed("  \t "), "signature-missing"),
        ("odd hex", signed(&good[1..]), "signature-wrong"),
        ("too short", signed(&good[..62]), "signature-wrong"),
        ("too long", signed(&format!("{good}00")), "signature-wrong"),
        ("with an algorithm", signed(&format!("sha256={good}")), "signature-wrong"),
        ("no hex", signed(&"zz".repeat(32)), "signature-wrong"),
        ("not ASCII", signed(&"é".repeat(64)), "signature-wrong"),
        ("zeros", signed(&"0".repeat(64)), "signature-wrong"),
        ("another secret", signed(&other), "signature-wrong"),
        ("one digit changed", signed(&one_digit_changed(&good)), "signature-wrong"),
        ("one byte of the body changed", signed(&good).with_body(changed.as_str()), "signature-wrong"),
        ("a blank after the body", signed(&good).with_body(format!("{body} ")), "signature-wrong"),
        ("no body, signed for one", signed(&good).with_body(""), "signature-wrong"),
        ("comma-joined", signed(&format!("{good},{good}")), "signature-ambiguous"),
        ("right and wrong, joined", signed(&format!("{good}, {other}")), "signature-ambiguous"),
        ("two headers", signed(&good).header(SIGNATURE, good.as_str()), "signature-ambiguous"),
        ("right and wrong", signed(&good).header(SIGNATURE, other.as_str()), "signature-ambiguous"),
        ("wrong and right", signed(&other).header(SIGNATURE, good.as_str()), "signature-ambiguous"),
        ("two spellings", signed(&good).header("x-ld-signature", good.as_str()), "signature-ambiguous"),
    ] {
        for gateway in Gateway::ALL {
            let answer = refused(&pipeline, &store, gateway, &request).await;
            let answer = answer.with_context(|| format!("{name}, {gateway:?}"))?;
            assert_eq!(answer, (401, code.to_owned()), "{name}, {gateway:?}");
        }
    }
    let metrics = store.metrics(1 + 21 * 3).await?;
    assert!(metrics[1..].iter().all(|line| line["SignatureRejected"] == 1 && line["Syncs"] == 0));
    assert_eq!(store.lines("refused", 21 * 3).await?[0]["level"], "WARN");
    Ok(())
}

fn one_digit_changed(hex: &str) -> String {
    let (first, rest) = hex.split_at(1);
    format!("{}{rest}", if first == "0" { "1" } else { "0" })
}

#[tokio::test]
async fn a_right_signature_is_let_in_however_it_is_written() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched_and_filled().await?;
    let body = body();
    let good = signature(SECRET, body.as_bytes());
    let post = || Request::post(body.as_str());
    let unicode = body.replace("5a2c7d", "ünïcödé ✓ 🎏");
    for (name, request) in [
        ("lower case", post().header(SIGNATURE, good.as_str())),
        ("upper case", post().header(SIGNATURE, good.to_uppercase())),
        ("blanks around", post().header(SIGNATURE, format!("  {good}\t "))),
        ("header in lower case", post().header("x-ld-signature", good.as_str())),
        ("header in upper case", post().header("X-LD-SIGNATURE", good.as_str())),
        ("any path", Request::signed(SECRET, body.as_str()).path("/any/where")),
        ("any case of the method", Request::signed(SECRET, body.as_str()).method("post")),
        ("base64", Request::signed(SECRET, body.as_str()).encoded()),
        ("base64 of what is no text", Request::signed(SECRET, [0, 159, 146, 150]).encoded()),
        ("unicode", Request::signed(SECRET, unicode.as_str())),
        ("unicode in base64", Request::signed(SECRET, unicode.as_str()).encoded()),
        ("no body", Request::signed(SECRET, "")),
        ("no body in base64", Request::signed(SECRET, "").encoded()),
    ] {
        for gateway in Gateway::ALL {
            let answer = store.post_through(gateway, &request).await?;
            assert_eq!(answer.status, 200, "{name}, {gateway:?}: {answer:?}");
            assert_eq!(answer.body["trigger"], "webhook", "{name}, {gateway:?}");
            assert_eq!(answer.header("content-type"), Some("application/json"), "{name}, {gateway:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_lie_about_base64_is_found_out() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched_and_filled().await?;
    let body = body();
    let signed = || Request::signed(SECRET, body.as_str());
    for (name, request, expected) in [
        ("JSON said to be base64", signed().worded(body.as_str(), true), (400, "bad-base64")),
        ("base64 cut short", signed().worded("eyJraW5kIjoiZmxhZyJ", true), (400, "bad-base64")),
        ("base64 with a stranger in it", signed().worded("eyJ!", true), (400, "bad-base64")),
        ("base64 said to be text", signed().worded(base64_of(&body), false), (401, "signature-wrong")),
        ("text that happens to be base64", signed().worded("e30=", true), (401, "signature-wrong")),
    ] {
        let (status, code) = refused(&pipeline, &store, Gateway::HttpApi, &request).await.context(name)?;
        assert_eq!((status, code.as_str()), expected, "{name}");
    }
    Ok(())
}

fn base64_of(text: &str) -> String {
    let event = Request::post(text).encoded().event(Gateway::HttpApi);
    event["body"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn only_posts_are_taken() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched_and_filled().await?;
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "get"] {
        for gateway in Gateway::ALL {
            let request = Request::signed(SECRET, body()).method(method);
            assert_eq!(
                refused(&pipeline, &store, gateway, &request).await?,
                (405, "method-not-allowed".to_owned()),
                "{method}"
            );
            let answer = store.post_through(gateway, &request).await?;
            assert_eq!(answer.header("allow"), Some("POST"), "{method}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn bodies_up_to_1_mib_are_looked_at_and_larger_ones_are_not() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched_and_filled().await?;
    let noise = |length: usize| "x".repeat(length);
    for (name, request) in [
        ("1 byte too many", Request::signed(SECRET, noise(LARGEST + 1))),
        ("1 byte too many in base64", Request::signed(SECRET, noise(LARGEST + 1)).encoded()),
        ("unsigned", Request::post(noise(LARGEST + 1))),
        ("5 MiB of what is no base64", Request::signed(SECRET, "").worded("!".repeat(5 * LARGEST), true)),
    ] {
        let (status, code) = refused(&pipeline, &store, Gateway::RestApi, &request).await.context(name)?;
        assert_eq!((status, code.as_str()), (413, "body-too-large"), "{name}");
    }
    for (name, request) in [
        ("1 MiB", Request::signed(SECRET, noise(LARGEST))),
        ("1 MiB in base64", Request::signed(SECRET, noise(LARGEST)).encoded()),
        ("1 MiB of blanks", Request::signed(SECRET, " ".repeat(LARGEST))),
    ] {
        assert_eq!(store.post(&request).await?.status, 200, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_no_audit_log_entry_syncs_all_the_same() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched_and_filled().await?;
    let nested = |open: &str, close: &str| open.repeat(100_000) + &close.repeat(100_000);
    let noise: Vec<u8> = (0..1_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("text", b"hello".to_vec()),
        ("null", b"null".to_vec()),
        ("a list", b"[1]".to_vec()),
        ("cut off", b"{\"accesses\":[{\"act".to_vec()),
        ("not UTF-8", b"\xff\xfe".to_vec()),
        ("1 MB of noise", noise),
        ("deep lists", nested("[", "]").into_bytes()),
        ("deep objects", nested("{\"a\":", "}").into_bytes()),
        ("deep within an entry", format!("{{\"accesses\":{}}}", nested("[", "]")).into_bytes()),
    ];
    for (count, (name, body)) in bodies.into_iter().enumerate() {
        let change =
            pipeline.launchdarkly.set_field(local::standin::ItemKind::Flag, "sample-flag", "description", json!(name));
        assert!(change.is_some(), "{name}");
        let answer = store.post(&Request::signed(SECRET, body).encoded()).await?;
        assert_eq!((answer.status, &answer.body["outcome"]), (200, &json!("updated")), "{name}: {answer:?}");
        assert_eq!(answer.body["flags"]["written"], 1, "{name}");
        let warned =
            store.lines("the webhook's body is not an audit-log entry: syncing all the same", count + 1).await?;
        assert_eq!(warned[count]["level"], "WARN", "{name}");
    }
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn entries_of_any_shape_are_hints_and_never_faults() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    // Names of what is not there would be waited for.
    let store = Watched::start(&pipeline.store()?.env("LAUNCHDARKLY_FRESHNESS_WINDOW_MS", "0")).await?;
    store.run().await?;
    for body in [
        json!({}),
        json!({"accesses": null}),
        json!({"accesses": {}}),
        json!({"accesses": [null, 7, {}, {"action": 1, "resource": 2}]}),
        json!({"accesses": [{"action": "updateOn", "resource": "proj/*:env/*:flag/*"}], "date": -1}),
        json!({"accesses": [{"action": "updateOn", "resource": "proj/p"}], "date": 1e300}),
        json!({"accesses": [{"action": "deleteFlag", "resource": "proj/p:env/e:flag/sample-flag"}], "date": "now"}),
        json!({"accesses": [{"action": "updateOn", "resource": "proj/p:env/e:flag/"}], "currentVersion": 9}),
        json!({"accesses": [{"action": "", "resource": ":::///;;;"}], "currentVersion": {"environments": []}}),
        json!({"currentVersion": {"environments": {"staging": {"version": "18446744073709551616"}}}}),
        json!({"kind": "member", "accesses": [{"action": "updateRole", "resource": "member/1"}], "date": u64::MAX}),
    ] {
        let before = pipeline.contents().await?;
        let answer = store.post(&Request::signed(SECRET, body.to_string())).await?;
        assert_eq!((answer.status, &answer.body["outcome"]), (200, &json!("unchanged")), "{body}: {answer:?}");
        assert_eq!(pipeline.contents().await?, before, "{body}");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_secret_webhooks_are_accepted_with_a_warning_or_all_refused() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let open = pipeline.store()?.env("LAUNCHDARKLY_WEBHOOK_SECRET", "");
    for function in [open.clone(), open.clone().env("LAUNCHDARKLY_WEBHOOK_SIGNATURE", "optional")] {
        let store = Watched::start(&function).await?;
        for request in [Request::post(body()), Request::signed("anything", body())] {
            assert_eq!(store.post(&request).await?.status, 200);
        }
        let warnings = store
            .lines("no webhook secret is configured: this webhook is accepted without a check of its signature", 2)
            .await?;
        assert!(warnings.iter().all(|line| line["level"] == "WARN"));
    }
    let closed = Watched::start(&open.env("LAUNCHDARKLY_WEBHOOK_SIGNATURE", "required")).await?;
    for request in [Request::post(body()), Request::signed(SECRET, body()), Request::signed("", body())] {
        let answer = refused(&pipeline, &closed, Gateway::HttpApi, &request).await?;
        assert_eq!(answer, (401, "no-secret".to_owned()));
    }
    // Nobody signs a schedule or a person's call.
    assert_eq!(closed.run().await?["trigger"], "manual");
    Ok(())
}

#[tokio::test]
async fn required_signatures_are_checked_against_the_secret() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = Watched::start(&pipeline.store()?.env("LAUNCHDARKLY_WEBHOOK_SIGNATURE", "required")).await?;
    let unsigned = refused(&pipeline, &store, Gateway::HttpApi, &Request::post(body())).await?;
    assert_eq!(unsigned, (401, "signature-missing".to_owned()));
    assert_eq!(store.post(&Request::signed(SECRET, body())).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn the_sample_invocations_do_what_their_names_say() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    // The change that they tell of has never happened here, and is not waited for.
    let store = Watched::start(&pipeline.store()?.env("LAUNCHDARKLY_FRESHNESS_WINDOW_MS", "0")).await?;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../events");
    let mut tried = 0;
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        if !name.starts_with("store-") {
            continue;
        }
        let event: Value = serde_json::from_slice(&std::fs::read(file.path())?).with_context(|| name.clone())?;
        let answer = store.invoke(&event).await.with_context(|| name.clone())?;
        let expected = match name.as_str() {
            "store-schedule.json" => json!("schedule"),
            "store-manual.json" => json!("manual"),
            "store-webhook-v2-unsigned.json" | "store-webhook-v2-tampered.json" => json!(401),
            _ => json!(200),
        };
        let found = answer.get("trigger").or_else(|| answer.get("statusCode"));
        assert_eq!(found, Some(&expected), "{name}: {answer}");
        tried += 1;
    }
    assert!(tried >= 8, "only {tried} samples were found");
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn any_other_event_is_a_schedule_or_a_manual_run() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched().await?;
    let schedule = |source: &str| {
        json!({
            "version": "0", "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa", "detail-type": "Scheduled Event",
            "source": source, "account": "123456789012", "time": "2025-01-01T00:00:00Z", "region": "eu-west-1",
            "resources": ["arn:aws:events:eu-west-1:123456789012:rule/hourly"], "detail": {},
        })
    };
    let cases: Vec<(Value, &str)> = vec![
        (schedule("aws.events"), "schedule"),
        (schedule("aws.scheduler"), "schedule"),
        (json!({}), "manual"),
        (Value::Null, "manual"),
        (json!([1, "two"]), "manual"),
        (json!("text"), "manual"),
        (json!({"source": "aws.s3", "detail-type": "Object Created"}), "manual"),
        (json!({"Records": [{"eventSource": "aws:sqs", "body": "{}"}]}), "manual"),
        (json!({"headers": {SIGNATURE: "00"}, "body": "{}"}), "manual"),
    ];
    for (event, trigger) in cases {
        let summary = store.invoke(&event).await?;
        assert_eq!(summary["trigger"], trigger, "{event}");
        assert!(summary.get("statusCode").is_none(), "{summary}");
    }
    let empty = store.process().invoke_raw("").await?;
    assert_eq!(empty.json()?["trigger"], "manual");
    Ok(())
}

#[tokio::test]
async fn an_event_that_is_no_json_fails_and_the_function_lives_on() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched().await?;
    let deep = "[".repeat(200_000);
    for event in ["{", "nonsense", deep.as_str()] {
        let error = store.process().invoke_raw(event.to_owned()).await.unwrap_err();
        assert!(error.function_error().is_some(), "{error}");
    }
    assert_eq!(store.run().await?["outcome"], "updated");
    Ok(())
}
