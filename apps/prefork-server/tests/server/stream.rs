//! One stream for all workers, whatever dies.

use super::stage::{Server, sample_flag, standin, until};
use local::standin::{Endpoint, Misbehaviour};
use nix::sys::signal::{Signal, kill};

#[tokio::test]
async fn sixteen_workers_have_one_stream_and_all_follow_it() {
    let standin = standin().await;
    let server = Server::start(&standin, &["--workers", "16", "--threads", "1"]).await;
    until(async || server.workers().await.len() == 16).await;
    standin.wait_for_requests(Endpoint::Stream, 1).await.unwrap();
    for round in 0..4 {
        let on = round % 2 == 0;
        standin.upsert_flag(&sample_flag(on, 0)).unwrap();
        server.until_all_say(on).await;
    }
    assert_eq!(standin.requests_to(Endpoint::Stream).len(), 1);
    assert_eq!(standin.requests_to(Endpoint::Polling).len(), 1);
}

#[tokio::test]
async fn with_a_stream_each_every_worker_has_its_own() {
    let standin = standin().await;
    let server = Server::start(&standin, &["--workers", "3", "--stream", "per-worker"]).await;
    standin.wait_for_requests(Endpoint::Stream, 3).await.unwrap();
    standin.upsert_flag(&sample_flag(true, 0)).unwrap();
    server.until_all_say(true).await;
    assert_eq!(server.children().len(), 3);
}

#[tokio::test]
async fn when_the_holder_dies_another_takes_over_and_nobody_goes_back() {
    let standin = standin().await;
    let server = Server::start(&standin, &[]).await;
    standin.wait_for_requests(Endpoint::Stream, 1).await.unwrap();
    standin.upsert_flag(&sample_flag(true, 0)).unwrap();
    server.until_all_say(true).await;
    server.until_grown_to(3).await;
    let holder = server.holder().await.unwrap();
    kill(holder, Signal::SIGKILL).unwrap();
    until(async || server.holder().await.is_some_and(|pid| pid != holder)).await;
    standin.wait_for_requests(Endpoint::Stream, 2).await.unwrap();
    for _ in 0..20 {
        assert_eq!(server.json("/flag").await["value"], true);
    }
    standin.upsert_flag(&sample_flag(false, 0)).unwrap();
    server.until_all_say(false).await;
}

#[tokio::test]
async fn an_older_payload_brings_nobody_back() {
    let standin = standin().await;
    let server = Server::start(&standin, &[]).await;
    standin.wait_for_requests(Endpoint::Stream, 1).await.unwrap();
    standin.upsert_flag(&sample_flag(true, 2_000)).unwrap();
    server.until_all_say(true).await;
    let payload = |flag: &serde_json::Value| format!(r#"{{"flags":{{"sample-flag":{flag}}},"segments":{{}}}}"#);
    standin.set_data(&payload(&sample_flag(false, 1_500))).unwrap();
    until(async || server.log().contains("an older version") || server.json("/flag").await["value"] == false).await;
    server.until_all_say(true).await;
}

#[tokio::test]
async fn new_workers_begin_with_what_the_others_know() {
    let standin = standin().await;
    let server = Server::start(&standin, &["--workers", "1"]).await;
    standin.wait_for_requests(Endpoint::Stream, 1).await.unwrap();
    standin.upsert_flag(&sample_flag(true, 0)).unwrap();
    server.until_all_say(true).await;
    standin.misbehave(Misbehaviour::status(503).at(Endpoint::Stream));
    standin.close_streams();
    let first = server.workers().await;
    kill(first[0], Signal::SIGKILL).unwrap();
    until(async || server.get("/").await.is_some()).await;
    assert_ne!(server.workers().await, first);
    assert_eq!(server.json("/flag").await["value"], true);
}

async fn failures(server: &Server) -> u64 {
    let metrics = server.get("/metrics").await.unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix("launchdarkly_stream_failures_total "));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn flags_age_while_there_is_no_stream() {
    for options in [&[][..], &["--stream", "per-worker", "--workers", "1"]] {
        let standin = standin().await;
        let server = Server::start(&standin, options).await;
        until(async || server.get("/metrics").await.is_some_and(|text| text.contains("\nflags_age_seconds 0\n"))).await;
        assert_eq!(server.json("/health").await["status"], "ok");
        standin.misbehave(Misbehaviour::status(503).at(Endpoint::Stream));
        standin.close_streams();
        until(async || server.json("/health").await["ageSeconds"].as_u64() > Some(0)).await;
        let answer = server.exchange(b"GET /flags HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
        let age = answer.lines().find_map(|line| line.strip_prefix("age: ")).unwrap();
        assert!(age.parse::<u64>().unwrap() > 0, "{answer}");
        standin.behave();
        until(async || server.json("/health").await["ageSeconds"] == 0).await;
    }
}

#[tokio::test]
async fn changes_made_while_launchdarkly_was_away_arrive_afterwards() {
    let standin = standin().await;
    let server = Server::start(&standin, &[]).await;
    standin.wait_for_requests(Endpoint::Stream, 1).await.unwrap();
    standin.misbehave(Misbehaviour::reset().at(Endpoint::Stream));
    standin.close_streams();
    standin.upsert_flag(&sample_flag(true, 0)).unwrap();
    standin.delete_flag("new-checkout").unwrap();
    // The SDK's pauses grow; after the third failure it waits for several seconds.
    until(async || failures(&server).await >= 3).await;
    assert_eq!(server.json("/flag").await["value"], false, "what was known is served meanwhile");
    let killed = server.workers().await[0];
    kill(killed, Signal::SIGKILL).unwrap();
    until(async || server.workers().await.len() == 2 && !server.workers().await.contains(&killed)).await;
    assert_eq!(server.json("/flag").await["value"], false, "by new workers, too");
    standin.behave();
    server.until_all_say(true).await;
    assert_eq!(server.ask("GET", "/flags/new-checkout", "").await.unwrap().0, 404);
}

#[tokio::test]
async fn a_flag_that_cannot_be_read_fails_alone() {
    let standin = standin().await;
    let server = Server::start(&standin, &[]).await;
    standin.wait_for_requests(Endpoint::Stream, 1).await.unwrap();
    standin.upsert_flag(&serde_json::json!({"key": "new-checkout", "version": 3_000, "on": 7})).unwrap();
    until(async || server.json("/flags/new-checkout").await["reason"]["errorKind"] == "MALFORMED_FLAG").await;
    standin.upsert_flag(&sample_flag(true, 0)).unwrap();
    server.until_all_say(true).await;
}
