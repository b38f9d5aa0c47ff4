//! `rc playback` with a real Redis on one side and LaunchDarkly's stand-in on the other.

use local::standin::{Endpoint, ItemKind, Misbehaviour, Standin, StandinOptions};
use serde_json::json;

use super::server::Server;
use super::stage::{OFF, ON, Stage};

const FLAG: &str = r#"{"key":"f","salt":"s","on":false,"version":12,"offVariation":1,"fallthrough":{"variation":0},"variations":[true,false],"weight":0.10}"#;

/// A stand-in whose project `p` has environment `e` with flags `f` and `g`.
async fn standin() -> Standin {
    let data = format!(r#"{{"flags":{{"f":{FLAG},"g":{}}},"segments":{{}}}}"#, FLAG.replace("\"f\"", "\"g\""));
    let options = StandinOptions::default().project("p").environment("e").data(data).unwrap();
    Standin::start(options).await.unwrap()
}

fn stage(server: &Server, standin: &Standin) -> Stage {
    Stage::new(&[&server.address()])
        .with("LD_API_KEY", "api-local")
        .with("LAUNCHDARKLY_API_URI", &standin.url())
        .with("LAUNCHDARKLY_BASE_URI", &standin.url())
}

fn theirs(standin: &Standin, flag: &str) -> String {
    let data: serde_json::Value = serde_json::from_slice(&standin.data()).unwrap();
    format!("{} v{}", data["flags"][flag]["on"], data["flags"][flag]["version"])
}

/// The flag as it stands in LaunchDarkly's payload, byte for byte.
fn payload_text(standin: &Standin, flag: &str) -> String {
    let payload = flagcache_payload::Payload::parse(standin.data()).unwrap();
    payload.get(flagcache_payload::Kind::Flag, flag).unwrap().json.to_owned()
}

#[tokio::test]
async fn an_override_comes_back_to_launchdarkly_and_both_sides_are_equal() {
    let (server, standin) = (Server::start(), standin().await);
    server.put("f", FLAG);
    let stage = stage(&server, &standin);
    assert_eq!(stage.run_beside(ON).await.code, 0);
    let ran = stage.run_beside("playback").await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "f (p/e) on: done v12 → v13\n"), "{}", ran.err);
    assert_eq!(theirs(&standin, "f"), "true v13");
    assert_eq!(server.get("f"), Some(payload_text(&standin, "f")));
    assert_eq!((stage.files("replay/toDo").len(), stage.files("replay/archive").len()), (0, 1));
    let ran = stage.run_beside("replay").await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "nothing to play back\n"));
}

#[tokio::test]
async fn changes_of_a_flag_keep_their_order_and_the_stores_follow() {
    let (server, standin) = (Server::start(), standin().await);
    server.put("f", FLAG);
    let stage = stage(&server, &standin);
    for line in [ON, OFF, ON] {
        assert_eq!(stage.run_beside(line).await.code, 0);
    }
    let ran = stage.run_beside("playback").await;
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "f (p/e) on: done v12 → v13\nf (p/e) off: done v13 → v14\nf (p/e) on: done v14 → v15\n"),
        "{}",
        ran.err
    );
    assert_eq!(server.get("f"), Some(payload_text(&standin, "f")));
}

#[tokio::test]
async fn squashed_changes_leave_a_version_that_launchdarklys_next_one_is_newer_than() {
    let (server, standin) = (Server::start(), standin().await);
    server.put("f", FLAG);
    let stage = stage(&server, &standin);
    for line in [ON, OFF, ON] {
        assert_eq!(stage.run_beside(line).await.code, 0);
    }
    assert!(server.get("f").unwrap().contains("\"version\":15"));
    let ran = stage.run_beside("playback --squash").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.starts_with("f (p/e) on: done v12 → v13\n"), "{ran:?}");
    assert!(ran.out.contains("brought to LaunchDarkly's v13 (held v15)"), "{ran:?}");
    assert_eq!(server.get("f"), Some(payload_text(&standin, "f")));
    let next = standin.set_flag_on("f", false).unwrap();
    let held: serde_json::Value = serde_json::from_str(&server.get("f").unwrap()).unwrap();
    assert!(next.version > held["version"].as_u64().unwrap());
}

#[tokio::test]
async fn a_change_in_launchdarkly_since_the_override_is_not_overwritten_unasked() {
    let (server, standin) = (Server::start(), standin().await);
    server.put("f", FLAG);
    server.put("g", &FLAG.replace("\"f\"", "\"g\""));
    let stage = stage(&server, &standin);
    assert_eq!(stage.run_beside(ON).await.code, 0);
    assert_eq!(stage.run_beside(OFF).await.code, 0);
    assert_eq!(stage.run_beside(ON).await.code, 0);
    assert_eq!(stage.run_beside("update -p p -e e -f g -s on").await.code, 0);
    standin.set_field(ItemKind::Flag, "f", "fallthrough", json!({"variation": 1})).unwrap();

    let shown = stage.run_beside("playback --dry-run").await;
    assert!(shown.out.contains("f (p/e) on: would skip it"), "{shown:?}");
    assert!(shown.out.contains("g (p/e) on: would turn it on (v12 now)"), "{shown:?}");

    let ran = stage.run_beside("playback").await;
    assert_eq!(ran.code, 1);
    assert!(
        ran.out.contains("f (p/e) on: skipped: LaunchDarkly has changed it since the override (v12 → v13)"),
        "{ran:?}"
    );
    assert!(ran.out.contains("f (p/e) off: left: an earlier change of this flag is still to do"), "{ran:?}");
    assert!(ran.out.contains("g (p/e) on: done v12 → v13"), "{ran:?}");
    assert_eq!((theirs(&standin, "f"), theirs(&standin, "g")), ("false v13".to_owned(), "true v13".to_owned()));
    assert_eq!(stage.pending().len(), 3);

    // Forced: the stores get what LaunchDarkly made of both changes.
    let ran = stage.run_beside("playback --force --squash").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(theirs(&standin, "f"), "true v14");
    assert_eq!(server.get("f"), Some(payload_text(&standin, "f")));
    assert!(server.get("f").unwrap().contains(r#""fallthrough":{"variation":1}"#));
}

#[tokio::test]
async fn the_same_number_over_other_content_does_not_last() {
    // The override made v13 in Redis; LaunchDarkly's own change is v13 too, and the Relay Proxy
    // would refuse it as not newer. Both turned the flag on, so there is nothing to send.
    let (server, standin) = (Server::start(), standin().await);
    server.put("f", FLAG);
    let stage = stage(&server, &standin);
    assert_eq!(stage.run_beside(ON).await.code, 0);
    let changed = FLAG.replace("\"on\":false,\"version\":12", "\"on\":true,\"version\":13").replace("0.10", "0.20");
    standin.upsert_flag(&changed).unwrap();
    let ran = stage.run_beside("playback").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("is so in LaunchDarkly already (v13)"), "{ran:?}");
    assert_eq!(server.get("f"), Some(changed));
}

#[tokio::test]
async fn a_store_is_left_alone_where_launchdarklys_json_cannot_be_had() {
    // On and version alone would put LaunchDarkly's number over other content.
    let (server, standin) = (Server::start(), standin().await);
    server.put("f", FLAG);
    let stage = stage(&server, &standin).with("LAUNCHDARKLY_BASE_URI", "http://127.0.0.1:9");
    assert_eq!(stage.run_beside(ON).await.code, 0);
    let overridden = server.get("f");
    standin.set_field(ItemKind::Flag, "f", "fallthrough", json!({"variation": 1})).unwrap();
    let ran = stage.run_beside("playback --force").await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("read back p/e: fetch LaunchDarkly's flags"), "{ran:?}");
    assert!(ran.err.contains("restart the Relay Proxy"), "{ran:?}");
    assert_eq!((theirs(&standin, "f"), server.get("f")), ("true v14".to_owned(), overridden));
    assert_eq!(stage.pending().len(), 0);
}

#[tokio::test]
async fn a_refusal_stays_and_other_flags_go_on() {
    let (server, standin) = (Server::start(), standin().await);
    for flag in ["a", "f", "g"] {
        server.put(flag, FLAG);
    }
    let stage = stage(&server, &standin);
    for flag in ["f", "a", "g"] {
        assert_eq!(stage.run_beside(&format!("update -p p -e e -f {flag} -s on")).await.code, 0);
    }
    std::fs::write(stage.path("replay/toDo/0.txt"), "rc update-ld-api -p p -e e -f f -s on; touch pwned").unwrap();
    let ran = stage.run_beside("playback").await;
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("0.txt  left as it is: ';' stands outside of quotes"), "{ran:?}");
    assert!(ran.out.contains("a (p/e) on: failed: GET /api/v2/flags/p/a: status 404"), "{ran:?}");
    assert_eq!((theirs(&standin, "f"), theirs(&standin, "g")), ("true v13".to_owned(), "true v13".to_owned()));
    assert_eq!(stage.pending().len(), 2);
    assert!(!stage.path("pwned").exists());
}

#[tokio::test]
async fn files_of_the_tool_before_are_played_back_without_redis() {
    let standin = standin().await;
    let stage = Stage::new(&[]).with("LD_API_KEY", "api-local").with("LAUNCHDARKLY_API_URI", &standin.url());
    std::fs::create_dir_all(stage.path("replay/toDo")).unwrap();
    let file = stage.path("replay/toDo/0f3a3c2e-8a0e-11ee-b9d1-0242ac120002.txt");
    std::fs::write(file, "rc update-ld-api -p p -e e -f f -s on").unwrap();
    let ran = stage.run_beside("playback").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(theirs(&standin, "f"), "true v13");
    assert_eq!(stage.files("replay/archive"), ["0f3a3c2e-8a0e-11ee-b9d1-0242ac120002.txt"]);
}

#[tokio::test]
async fn rate_limits_are_waited_for_and_passing_faults_retried() {
    let (server, standin) = (Server::start(), standin().await);
    server.put("f", FLAG);
    let stage = stage(&server, &standin);
    assert_eq!(stage.run_beside(ON).await.code, 0);
    standin.misbehave(Misbehaviour::status_retry_after(429, 1).at(Endpoint::Rest).times(2));
    standin.misbehave(Misbehaviour::status(503).at(Endpoint::Rest).times(1));
    let start = std::time::Instant::now();
    let ran = stage.run_beside("playback").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(start.elapsed() >= std::time::Duration::from_secs(2));
    assert_eq!(theirs(&standin, "f"), "true v13");
}

#[tokio::test]
async fn where_launchdarkly_stays_away_everything_stays() {
    let (server, standin) = (Server::start(), standin().await);
    for flag in ["f", "g", "h"] {
        server.put(flag, FLAG);
    }
    let stage = stage(&server, &standin);
    for flag in ["f", "g", "h"] {
        assert_eq!(stage.run_beside(&format!("update -p p -e e -f {flag} -s on")).await.code, 0);
    }
    standin.misbehave(Misbehaviour::status(503).at(Endpoint::Rest));
    let ran = stage.run_beside("playback").await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("stopped; 3 changes stay in toDo"), "{ran:?}");
    assert_eq!(stage.pending().len(), 3);
    assert_eq!(theirs(&standin, "f"), "false v12");

    let waiting = stage.run_beside("playback --wait");
    let requests = standin.requests_to(Endpoint::Rest).len();
    let back = async {
        standin.wait_for_requests(Endpoint::Rest, requests + 1).await.unwrap();
        standin.set_data(&format!(r#"{{"flags":{{"f":{FLAG},"g":{FLAG},"h":{FLAG}}}}}"#)).unwrap();
        standin.behave();
    };
    let (ran, ()) = tokio::join!(waiting, back);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("waiting for LaunchDarkly at "), "{ran:?}");
    assert_eq!(theirs(&standin, "h"), "true v13");
}

#[tokio::test]
async fn a_token_that_is_refused_ends_it_at_once() {
    let (server, standin) = (Server::start(), standin().await);
    server.put("f", FLAG);
    let stage = stage(&server, &standin).with("LD_API_KEY", "api-wr0ng");
    assert_eq!(stage.run_beside(ON).await.code, 0);
    let ran = stage.run_beside("playback -v DEBUG").await;
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("status 401") && !format!("{ran:?}").contains("api-wr0ng"), "{ran:?}");
    assert_eq!(stage.pending().len(), 1);
    let ran = Stage::new(&[&server.address()]).run_beside("playback").await;
    assert!(ran.code == 2 && ran.err.contains("rc: LD_API_KEY is not set"), "{ran:?}");
}

#[tokio::test]
async fn the_second_playback_at_once_refuses() {
    let (server, standin) = (Server::start(), standin().await);
    server.put("f", FLAG);
    let stage = stage(&server, &standin);
    assert_eq!(stage.run_beside(ON).await.code, 0);
    // It has the lock before it asks for anything, and keeps it as long as LaunchDarkly is away.
    standin.misbehave(Misbehaviour::status(503).at(Endpoint::Rest));
    let second = async {
        standin.wait_for_requests(Endpoint::Rest, 1).await.unwrap();
        let second = stage.run_beside("playback").await;
        standin.behave();
        second
    };
    let (first, second) = tokio::join!(stage.run_beside("playback --wait"), second);
    assert_eq!((first.code, first.out.as_str()), (0, "f (p/e) on: done v12 → v13\n"), "{}", first.err);
    assert_eq!(second.code, 1);
    assert!(second.err.contains("another `rc playback` or `rc revert` is at work on it"), "{second:?}");
}

#[tokio::test]
async fn the_comment_tells_when_it_was_overridden() {
    let (server, standin) = (Server::start(), standin().await);
    server.put("f", FLAG);
    let sent = super::server::Webhook::start();
    standin.set_webhook_url(sent.url());
    let stage = stage(&server, &standin);
    assert_eq!(stage.run_beside(ON).await.code, 0);
    assert_eq!(stage.run_beside("playback").await.code, 0);
    let entry: serde_json::Value = serde_json::from_str(&sent.body().await).unwrap();
    assert!(entry.to_string().contains("offline override by rc at 20"), "{entry}");
}
