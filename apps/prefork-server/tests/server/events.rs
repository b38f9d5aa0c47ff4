//! Every evaluation reaches LaunchDarkly, and is counted once.

use super::stage::{Server, sample_flag, standin, until};
use local::standin::{Endpoint, Misbehaviour, Standin};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::time::Duration;

/// How many evaluations of a flag LaunchDarkly has been told of.
fn counted(standin: &Standin, flag: &str) -> u64 {
    let events = standin.events();
    let summaries = events.iter().filter(|event| event["kind"] == "summary");
    summaries
        .filter_map(|summary| summary["features"][flag]["counters"].as_array())
        .flatten()
        .map(|counter| counter["count"].as_u64().unwrap())
        .sum()
}

async fn ask(server: &Server, count: usize) {
    for _ in 0..count {
        assert!(server.get("/flag").await.is_some());
    }
}

#[tokio::test]
async fn events_are_sent_before_the_end() {
    let standin = standin().await;
    let mut server = Server::start(&standin, &["--workers", "3"]).await;
    ask(&server, 200).await;
    assert!(server.stop().await.success());
    assert_eq!(counted(&standin, "sample-flag"), 200);
    let contexts: Vec<Value> = standin.events().into_iter().filter(|event| event["kind"] == "index").collect();
    assert!((1..=3).contains(&contexts.len()), "each worker tells of the context once: {contexts:?}");
}

#[tokio::test]
async fn events_are_sent_even_where_nothing_else_is_waited_for() {
    let standin = standin().await;
    let mut server = Server::start(&standin, &[]).await;
    ask(&server, 50).await;
    server.signal(Signal::SIGQUIT);
    assert!(server.ended().await.success());
    assert_eq!(counted(&standin, "sample-flag"), 50);
}

#[tokio::test]
async fn events_that_launchdarkly_answers_slowly_are_all_sent() {
    let standin = standin().await;
    standin.misbehave(Misbehaviour::delay(Duration::from_millis(300)).at(Endpoint::Events));
    let mut server = Server::start(&standin, &["--workers", "1"]).await;
    ask(&server, 3_500).await;
    assert!(server.stop().await.success());
    assert_eq!(counted(&standin, "sample-flag"), 3_500);
}

#[tokio::test]
async fn events_survive_reloads_and_replacements() {
    let standin = standin().await;
    let mut server = Server::start(&standin, &["--max-requests", "60"]).await;
    for round in 1..=3 {
        ask(&server, 100).await;
        server.signal(Signal::SIGHUP);
        until(async || server.log().matches("reloading").count() == round).await;
    }
    ask(&server, 50).await;
    assert!(server.stop().await.success());
    assert_eq!(counted(&standin, "sample-flag"), 350);
}

#[tokio::test]
async fn more_events_than_the_sdk_takes_in_at_once_are_all_sent() {
    let standin = standin().await;
    let mut server = Server::start(&standin, &["--workers", "1"]).await;
    ask(&server, 3_000).await;
    assert!(server.stop().await.success());
    assert_eq!(counted(&standin, "sample-flag"), 3_000);
}

#[tokio::test]
async fn events_tell_the_version_that_was_served() {
    let standin = standin().await;
    let mut server = Server::start(&standin, &["--workers", "1"]).await;
    ask(&server, 7).await;
    standin.upsert_flag(&sample_flag(true, 5_000)).unwrap();
    server.until_all_say(true).await;
    ask(&server, 5).await;
    assert!(server.stop().await.success());
    let by_version = |version: u64| -> u64 {
        let events = standin.events();
        let counters = events.iter().filter_map(|event| event["features"]["sample-flag"]["counters"].as_array());
        let ours = counters.flatten().filter(|counter| counter["version"] == version);
        ours.map(|counter| {
            assert_eq!(counter["value"], version == 5_000);
            counter["count"].as_u64().unwrap()
        })
        .sum()
    };
    assert!(by_version(1_000) >= 7);
    assert!(by_version(5_000) >= 25);
    assert_eq!(by_version(1_000) + by_version(5_000), counted(&standin, "sample-flag"));
}
