//! What a sync brings into the table.

use anyhow::{Context, Result};
use flagcache_tests::contents::Contents;
use flagcache_tests::gateway::Request;
use flagcache_tests::generate;
use flagcache_tests::pipeline::{Pipeline, SECRET, deliver, entry, webhook};
use flagcache_tests::watched::Watched;
use local::standin::{Endpoint, ItemKind};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A signed webhook that names what happened to a flag.
fn names(flag: &str, action: &str, version: Option<u64>) -> Request {
    Request::signed(SECRET, entry(flag, action, version))
}

/// A signed webhook that names nothing.
fn names_nothing() -> Request {
    Request::signed(SECRET, "{}")
}

#[tokio::test]
async fn a_manual_run_fills_an_empty_table_in_the_official_layout() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched().await?;
    let summary = store.run().await?;
    assert_eq!(summary["outcome"], "updated");
    assert_eq!(summary["trigger"], "manual");
    assert_eq!(summary["generation"], 1);
    assert_eq!(summary["fresh"], true);
    assert_eq!(summary["attempts"], 1);
    assert_eq!(summary["tooLarge"], json!([]));
    assert!(summary["durationMs"].is_u64());
    assert_eq!(summary["flags"], json!({"total": 10, "written": 10, "deleted": 0}));
    assert_eq!(summary["segments"], json!({"total": 2, "written": 2, "deleted": 0}));
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn a_webhook_fills_an_empty_table_too() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched().await?;
    let answer = store.post(&names("sample-flag", "updateOn", Some(1))).await?;
    assert_eq!((answer.status, &answer.body["outcome"]), (200, &json!("updated")), "{answer:?}");
    assert_eq!(answer.body["flags"]["written"], 10);
    assert_eq!(answer.body["trigger"], "webhook");
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn a_webhook_brings_one_changed_flag_into_the_table() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.filled().await?;
    let change = pipeline.launchdarkly.set_flag_on("sample-flag", true).context("it was on")?;
    let answer = deliver(&store, &webhook(&entry("sample-flag", "updateOn", Some(change.version)))).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["flags"], json!({"total": 10, "written": 1, "deleted": 0}));
    assert_eq!(answer.body["segments"], json!({"total": 2, "written": 0, "deleted": 0}));
    assert_eq!(answer.body["fresh"], true);
    assert_eq!(answer.body["trigger"], "webhook");
    assert_eq!(answer.body["generation"], 2);
    let again = deliver(&store, &webhook(&entry("sample-flag", "updateOn", Some(change.version)))).await?;
    assert_eq!((again.status, &again.body["outcome"]), (200, &json!("unchanged")));
    assert_eq!(again.body["flags"], json!({"total": 10, "written": 0, "deleted": 0}));
    assert_eq!(again.body["generation"], 2);
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn segments_come_as_flags_do() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched_and_filled().await?;
    let launchdarkly = &pipeline.launchdarkly;
    launchdarkly.set_field(ItemKind::Segment, "staff", "included", json!(["ann"])).context("no such segment")?;
    let answer = store.post(&names_nothing()).await?;
    assert_eq!(answer.body["segments"], json!({"total": 2, "written": 1, "deleted": 0}), "{answer:?}");
    launchdarkly.upsert_segment(r#"{"key":"new","version":1,"included":[]}"#)?;
    let answer = store.post(&names_nothing()).await?;
    assert_eq!(answer.body["segments"], json!({"total": 3, "written": 1, "deleted": 0}), "{answer:?}");
    launchdarkly.delete_segment("new").context("no such segment")?;
    let deletion =
        json!({"accesses": [{"action": "deleteSegment", "resource": "proj/default:env/staging:segment/new"}]});
    let answer = store.post(&Request::signed(SECRET, deletion.to_string())).await?;
    assert_eq!(answer.body["segments"], json!({"total": 2, "written": 0, "deleted": 1}), "{answer:?}");
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn flags_come_go_and_come_back() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched_and_filled().await?;
    let flag = r#"{ "key":"coming", "version":1, "on":true, "unknown":{"kept":[1.50,1e3,"\u003c"]} }"#;

    let created = pipeline.launchdarkly.upsert_flag(flag)?;
    let answer = store.post(&names("coming", "createFlag", Some(created.version))).await?;
    assert_eq!(answer.body["flags"], json!({"total": 11, "written": 1, "deleted": 0}), "{answer:?}");
    assert_eq!(pipeline.contents().await?.json("features", "coming"), Some(flag));

    let deleted = pipeline.launchdarkly.delete_flag("coming").context("it is not there")?;
    pipeline.launchdarkly.forget_requests();
    let answer = store.post(&names("coming", "deleteFlag", Some(deleted.version))).await?;
    assert_eq!(answer.body["flags"], json!({"total": 10, "written": 0, "deleted": 1}), "{answer:?}");
    let fetches = pipeline.launchdarkly.requests_to(Endpoint::Polling).len();
    assert_eq!(fetches, 1, "a deletion that is named needs no confirmation");
    pipeline.ensure_synced().await?;

    let again = pipeline.launchdarkly.upsert_flag(flag)?;
    let answer = store.post(&names("coming", "createFlag", Some(again.version))).await?;
    assert_eq!(answer.body["flags"], json!({"total": 11, "written": 1, "deleted": 0}), "{answer:?}");
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn a_flag_that_is_merely_absent_is_deleted_once_a_second_answer_confirms_it() -> Result<()> {
    let delete = async |event: Option<Value>| -> Result<()> {
        let pipeline = Pipeline::start().await?;
        let store = pipeline.watched_and_filled().await?;
        pipeline.launchdarkly.delete_flag("theme").context("no such flag")?;
        let began = Instant::now();
        let summary = match &event {
            Some(event) => store.invoke(event).await?,
            None => store.post(&names_nothing()).await?.body,
        };
        assert_eq!(summary["flags"], json!({"total": 9, "written": 0, "deleted": 1}), "{summary}");
        assert!(began.elapsed() >= Duration::from_secs(2), "{event:?}: it was not confirmed");
        pipeline.ensure_synced().await
    };
    let schedule = json!({"source": "aws.events", "detail-type": "Scheduled Event"});
    tokio::try_join!(delete(None), delete(Some(json!({}))), delete(Some(schedule)))?;
    Ok(())
}

#[tokio::test]
async fn keys_of_every_kind_are_kept() -> Result<()> {
    let long = "k".repeat(256);
    let keys = [
        "a",
        ".",
        "..",
        "_",
        "-",
        "A.b_c-9",
        "ünïcödé",
        "旗",
        "🎏",
        "a b",
        "a:b",
        "a/b",
        "a\\b",
        "a\"b",
        "\u{1}",
        "'",
        "%2e",
        "$inited",
        "features",
        "head",
        "base:0:0",
        "__proto__",
        "null",
        &long,
    ];
    let flags: serde_json::Map<String, Value> =
        keys.iter().map(|key| ((*key).to_owned(), json!({"key": key, "version": 1}))).collect();
    let payload = json!({"flags": flags, "segments": flags.clone()}).to_string();
    let pipeline = Pipeline::start_with_payload(&payload).await?;
    let store = pipeline.watched_and_filled().await?;
    pipeline.ensure_synced().await?;
    for key in keys {
        pipeline.launchdarkly.set_flag_on(key, true).context("it was on")?;
        let answer = store.post(&names_nothing()).await?;
        assert_eq!((answer.status, &answer.body["flags"]["written"]), (200, &json!(1)), "{key}: {answer:?}");
    }
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn items_are_kept_byte_for_byte() -> Result<()> {
    let flag = "{ \"version\" :7,\t\"key\":\"odd\", \"n\":1.50, \"e\":1E+2, \"big\":123456789012345678901234567890,\
                \"text\":\"\\u003ca\\/b\\ud83c\\udf8f🎏\\u0000\", \"twice\":1, \"twice\":2, \"deep\":[[{}]], \"nil\":null }";
    let largest = r#"{"version":9007199254740991,"key":"largest"}"#;
    let payload =
        format!("\n{{\"flags\" : {{\"odd\":{flag} ,\"largest\":{largest}}}, \"segments\":{{}},\"more\":[1]}}\r\n");
    let pipeline = Pipeline::start_with_payload(&payload).await?;
    pipeline.launchdarkly.misbehave(local::standin::Misbehaviour::body(payload));
    pipeline.watched_and_filled().await?;
    let contents = pipeline.contents().await?;
    assert_eq!(contents.json("features", "odd"), Some(flag));
    assert_eq!(contents.json("features", "largest"), Some(largest));
    assert_eq!(contents.version("features", "largest"), Some(9_007_199_254_740_991));
    Ok(())
}

#[tokio::test]
async fn prefixes_and_strangers_in_one_table_stay_apart() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let strangers = [("eu", "features"), ("other", "features"), ("eu:features:x", "a"), ("$inited", "other")];
    for (namespace, key) in strangers {
        let item =
            json!({"namespace": {"S": namespace}, "key": {"S": key}, "version": {"N": "3"}, "note": {"BOOL": true}});
        pipeline.table.call("PutItem", json!({"Item": item})).await?;
    }
    let strangers = pipeline.contents().await?;
    let prefixed = |prefix: &str| pipeline.store().map(|store| store.env("LAUNCHDARKLY_DYNAMODB_PREFIX", prefix));
    for prefix in ["eu", "eu:features", "us"] {
        let before = pipeline.contents().await?;
        let store = Watched::start(&prefixed(prefix)?).await?;
        assert_eq!(store.run().await?["flags"]["written"], 10, "{prefix}");
        let after = pipeline.contents().await?;
        after.ensure_is(prefix, &pipeline.payload()?)?;
        assert_eq!(after.outside(prefix), before.outside(prefix), "{prefix} touched what is not its own");
    }
    // One of them changes, is emptied and filled anew: nobody else notices.
    let (eu, us) = (Watched::start(&prefixed("eu")?).await?, Watched::start(&prefixed("us")?).await?);
    let before = pipeline.contents().await?;
    pipeline.launchdarkly.set_flag_on("sample-flag", true).context("it was on")?;
    assert_eq!(eu.post(&names_nothing()).await?.body["flags"]["written"], 1);
    assert_eq!(eu.run().await?["outcome"], "unchanged");
    let after = pipeline.contents().await?;
    assert_eq!(after.outside("eu"), before.outside("eu"));
    after.ensure_is("eu", &pipeline.payload()?)?;
    assert_eq!(us.post(&names_nothing()).await?.body["flags"]["written"], 1);
    let plain = pipeline.watched().await?;
    assert_eq!(plain.run().await?["flags"]["written"], 10);
    let all = pipeline.contents().await?;
    for prefix in ["", "eu", "us"] {
        all.ensure_is(prefix, &pipeline.payload()?).context(prefix)?;
    }
    for (namespace, key) in [("eu", "features"), ("other", "features"), ("eu:features:x", "a"), ("$inited", "other")] {
        assert_eq!(all.item(namespace, key), strangers.item(namespace, key), "{namespace} {key}");
    }
    Ok(())
}

#[tokio::test]
async fn a_table_that_another_sdk_has_filled_is_taken_over() -> Result<()> {
    let payload = generate::payload(5, 30, 4);
    let newer = generate::toggled(&payload, &generate::flag_key(5, 3))?;
    let more = generate::payload(5, 32, 4);
    let take_over = async |theirs: &str, ours: &str, written: u64, deleted: u64, manually: bool| -> Result<()> {
        let pipeline = Pipeline::start_with_payload(ours).await?;
        pipeline.table.fill(theirs).await?;
        let store = pipeline.watched().await?;
        let summary = if manually { store.run().await? } else { store.post(&names_nothing()).await?.body };
        assert_eq!(summary["flags"]["written"], written, "{summary}");
        assert_eq!(summary["flags"]["deleted"], deleted, "{summary}");
        pipeline.ensure_synced().await?;
        // From now on the snapshot is there too.
        let change = pipeline.launchdarkly.delete_flag(&generate::flag_key(5, 7)).context("no such flag")?;
        let answer = store.post(&names(&change.key, "deleteFlag", Some(change.version))).await?;
        assert_eq!((&answer.body["attempts"], &answer.body["flags"]["deleted"]), (&json!(1), &json!(1)), "{answer:?}");
        pipeline.ensure_synced().await
    };
    tokio::try_join!(
        take_over(&payload, &payload, 0, 0, true),
        take_over(&payload, &payload, 0, 0, false),
        take_over(&payload, &newer, 1, 0, true),
        take_over(&payload, &newer, 1, 0, false),
        take_over(&payload, &more, 2, 0, false),
        take_over(&more, &payload, 0, 2, true),
        take_over(&more, &payload, 0, 2, false),
        take_over(&newer, &payload, 1, 0, true),
    )?;
    Ok(())
}

#[tokio::test]
async fn a_flag_over_400_kb_is_named_and_the_old_item_stays() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched_and_filled().await?;
    let before = pipeline.contents().await?;
    let large = pipeline.launchdarkly.set_field(ItemKind::Flag, "theme", "description", json!("x".repeat(410_000)));
    let large = large.context("no such flag")?;
    let answer = store.post(&names("theme", "updateDescription", Some(large.version))).await?;
    assert_eq!((answer.status, &answer.body["tooLarge"]), (200, &json!(["theme"])), "{answer:?}");
    assert_eq!(answer.body["outcome"], "updated");
    let after = pipeline.contents().await?;
    assert_eq!(after.item("features", "theme"), before.item("features", "theme"));
    let metrics = store.metrics(2).await?;
    assert_eq!(metrics[1]["TooLarge"], 1);

    // It stays so, through webhooks and whole runs, until it fits again.
    let again = store.post(&names_nothing()).await?;
    assert_eq!((&again.body["outcome"], &again.body["tooLarge"]), (&json!("unchanged"), &json!(["theme"])));
    let whole = store.run().await?;
    assert_eq!((&whole["outcome"], &whole["tooLarge"]), (&json!("unchanged"), &json!(["theme"])), "{whole}");
    assert_eq!(pipeline.contents().await?.item("features", "theme"), before.item("features", "theme"));
    pipeline.launchdarkly.set_field(ItemKind::Flag, "theme", "description", json!("small")).context("no such flag")?;
    let answer = store.post(&names_nothing()).await?;
    assert_eq!((&answer.body["outcome"], &answer.body["tooLarge"]), (&json!("updated"), &json!([])), "{answer:?}");
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn a_first_fill_with_a_flag_over_400_kb_brings_all_others() -> Result<()> {
    let huge = json!({"key": "huge", "version": 3, "description": "x".repeat(500_000)});
    let payload = json!({"flags": {"huge": huge, "small": {"key": "small", "version": 1}}, "segments": {}}).to_string();
    let pipeline = Pipeline::start_with_payload(&payload).await?;
    let summary = pipeline.watched().await?.run().await?;
    assert_eq!(summary["tooLarge"], json!(["huge"]), "{summary}");
    assert_eq!(summary["flags"]["total"], 2, "{summary}");
    let contents = pipeline.contents().await?;
    assert_eq!(contents.keys("features"), ["small"]);
    assert!(contents.is_marked(""));
    Ok(())
}

#[tokio::test]
async fn a_thousand_flags_are_filled_at_once() -> Result<()> {
    let pipeline = Pipeline::start_with_payload(&generate::payload(11, 1_000, 50)).await?;
    let store = pipeline.watched().await?;
    let summary = store.run().await?;
    assert_eq!(summary["flags"], json!({"total": 1000, "written": 1000, "deleted": 0}), "{summary}");
    assert_eq!(summary["segments"], json!({"total": 50, "written": 50, "deleted": 0}));
    pipeline.ensure_synced().await?;

    // Then one change costs one change, and 250 at once come as one.
    let change = pipeline.launchdarkly.delete_flag(&generate::flag_key(11, 999)).context("no such flag")?;
    let answer = store.post(&names(&change.key, "deleteFlag", Some(change.version))).await?;
    assert_eq!(answer.body["flags"], json!({"total": 999, "written": 0, "deleted": 1}), "{answer:?}");
    for index in 0..250 {
        let key = generate::flag_key(11, index);
        pipeline.launchdarkly.set_field(ItemKind::Flag, &key, "salt", json!("another")).context("no such flag")?;
    }
    let answer = store.post(&names_nothing()).await?;
    assert_eq!(answer.body["flags"], json!({"total": 999, "written": 250, "deleted": 0}), "{answer:?}");
    assert_eq!(answer.body["generation"], 3);
    pipeline.ensure_synced().await
}

#[tokio::test]
async fn an_unchanged_payload_is_asked_about_by_its_etag() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let store = pipeline.watched_and_filled().await?;
    let before = pipeline.contents().await?;
    pipeline.launchdarkly.forget_requests();
    let answer = store.post(&names("sample-flag", "updateOn", Some(1))).await?;
    assert_eq!((answer.status, &answer.body["outcome"]), (200, &json!("unchanged")), "{answer:?}");
    let requests = pipeline.launchdarkly.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].status, 304);
    assert!(requests[0].if_none_match.is_some());
    assert_eq!(pipeline.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_warm_and_a_cold_store_agree() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    let first = pipeline.watched_and_filled().await?;
    for round in 0..6_u64 {
        let store = if round % 2 == 0 { &pipeline.watched().await? } else { &first };
        let change = pipeline.launchdarkly.set_flag_on("sample-flag", round % 2 == 0).context("it was so")?;
        let answer = store.post(&names("sample-flag", "updateOn", Some(change.version))).await?;
        assert_eq!(
            (&answer.body["generation"], &answer.body["attempts"]),
            (&json!(round + 2), &json!(1)),
            "{answer:?}"
        );
        pipeline.ensure_synced().await?;
    }
    let contents: Contents = pipeline.contents().await?;
    assert_eq!(contents.version("features", "sample-flag"), Some(7));
    Ok(())
}
