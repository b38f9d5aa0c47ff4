//! Many stores at once: whatever the order in which they come, nothing goes back and nothing is lost.

use anyhow::{Context, Result, ensure};
use flagcache_tests::contents::Contents;
use flagcache_tests::pipeline::{AWS_SECRET, Pipeline, SDK_KEY, SECRET};
use futures::future::try_join_all;
use local::lambda::HttpFront;
use local::standin::{ItemKind, WebhookMode};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot::{self, error::TryRecvError};

/// How many changes there are.
const CHANGES: usize = 40;
/// How many stores there may be at a time.
const STORES: usize = 6;

/// The versions of all flags and segments.
fn versions(contents: &Contents) -> BTreeMap<(&'static str, String), u64> {
    let mut versions = BTreeMap::new();
    for namespace in ["features", "segments"] {
        for key in contents.keys(namespace) {
            versions.insert((namespace, key.to_owned()), contents.version(namespace, key).unwrap_or_default());
        }
    }
    versions
}

/// Reads the table over and over, and fails where an item's version is lower than it was, or one that was deleted is
/// back at the version it had.
async fn never_goes_back(pipeline: &Pipeline, mut is_over: oneshot::Receiver<()>) -> Result<usize> {
    let mut highest: BTreeMap<(&str, String), u64> = BTreeMap::new();
    let mut gone: BTreeMap<(&str, String), u64> = BTreeMap::new();
    let mut looks = 0;
    while is_over.try_recv() == Err(TryRecvError::Empty) {
        let now = versions(&pipeline.contents().await?);
        for (id, version) in &now {
            let before = highest.insert(id.clone(), *version).unwrap_or_default();
            ensure!(before <= *version, "{id:?} went back from {before} to {version}");
            let buried = gone.remove(id);
            ensure!(buried.is_none_or(|buried| buried < *version), "{id:?} came back from the dead as {version}");
        }
        for (id, version) in &highest {
            if !now.contains_key(id) {
                gone.insert(id.clone(), *version);
            }
        }
        looks += 1;
        // Lets the others work too.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    Ok(looks)
}

fn change(pipeline: &Pipeline, number: usize) -> Result<()> {
    let launchdarkly = &pipeline.launchdarkly;
    let made = match number % 8 {
        0 | 4 => launchdarkly.set_field(ItemKind::Flag, "sample-flag", "salt", json!(number)),
        1 => launchdarkly.set_field(ItemKind::Flag, "theme", "salt", json!(number)),
        2 => launchdarkly.set_field(ItemKind::Segment, "staff", "salt", json!(number)),
        3 => Some(launchdarkly.upsert_flag(&json!({"key": format!("new-{number}"), "version": 1, "on": true}))?),
        5 => launchdarkly.delete_flag(&format!("new-{}", number - 2)),
        6 => Some(launchdarkly.upsert_flag(&json!({"key": format!("new-{}", number - 3), "version": 1}))?),
        _ => launchdarkly.set_field(ItemKind::Flag, "page-size", "salt", json!(number)),
    };
    made.map(drop).with_context(|| format!("change {number} changed nothing"))
}

#[tokio::test]
async fn many_stores_at_once_end_as_launchdarkly_is_and_never_went_back() -> Result<()> {
    let pipeline = Pipeline::start().await?;
    pipeline.watched_and_filled().await?;
    let output = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&output);
    let function = pipeline.store()?.on_line(move |line| {
        let mut output = sink.lock().unwrap_or_else(PoisonError::into_inner);
        output.push_str(line);
        output.push('\n');
    });
    let front = HttpFront::start(function.pool(STORES)).await?;
    pipeline.launchdarkly.set_webhook_url(front.url());

    let (over, is_over) = oneshot::channel();
    let (deliveries, looks) = tokio::join!(
        async {
            for number in 0..CHANGES {
                let mode = if number < CHANGES / 2 { WebhookMode::Duplicated } else { WebhookMode::Reordered };
                if number % (CHANGES / 2) == 0 {
                    pipeline.launchdarkly.set_webhook_mode(mode);
                }
                change(&pipeline, number).expect("the change is made");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            let deliveries = pipeline.launchdarkly.wait_for_deliveries(CHANGES + CHANGES / 2).await;
            let _ = over.send(());
            deliveries
        },
        never_goes_back(&pipeline, is_over),
    );
    assert!(looks? > 1, "nobody looked");
    for delivery in &deliveries? {
        assert_eq!(delivery.status(), Some(200), "{delivery:?}");
    }
    assert!(front.pool().cold_starts() > 1, "there was no race");
    pipeline.ensure_synced().await?;
    let output = output.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for secret in [SDK_KEY, SECRET, AWS_SECRET] {
        assert!(!output.contains(secret), "the output holds {secret}");
    }
    Ok(())
}

#[tokio::test]
async fn several_first_fills_at_once_make_one_table() -> Result<()> {
    let pipeline = Pipeline::start_with_payload(&flagcache_tests::generate::payload(31, 300, 10)).await?;
    let stores = try_join_all((0..3).map(|_| pipeline.watched())).await?;
    let (hand, schedule) = (json!({}), json!({"source": "aws.events", "detail-type": "Scheduled Event"}));
    let summaries = tokio::try_join!(stores[0].invoke(&hand), stores[1].invoke(&schedule), stores[2].invoke(&hand))?;
    let outcomes = [&summaries.0["outcome"], &summaries.1["outcome"], &summaries.2["outcome"]];
    assert!(outcomes.contains(&&json!("updated")), "{outcomes:?}");
    pipeline.ensure_synced().await?;
    assert_eq!(stores[0].run().await?["outcome"], "unchanged");
    Ok(())
}
