//! What LaunchDarkly and the network do wrong: the last known values stay, and nothing is lost.

use std::time::Duration;

use local::standin::{Endpoint, Misbehaviour};
use serde_json::json;

use crate::stage::{Daemon, Stage, until};

/// Tells what it was started with, and ends with whoever started it: a test's end kills the daemon, not its program.
const PROGRAM: &str =
    "echo \"${A-none}-${B-none}-${C-none}-${PORT-none}\" >>starts; while kill -0 $PPID; do sleep 0.02; done";

#[tokio::test]
async fn an_unreachable_launchdarkly_leaves_the_file_and_is_tried_again() {
    let stage = Stage::new().await;
    stage.write(".env", "A=known\n");
    stage.standin.misbehave(Misbehaviour::status(503).at(Endpoint::Stream).times(1));
    stage.standin.misbehave(Misbehaviour::reset().at(Endpoint::Stream).times(1));
    let daemon = stage.start(&[]);
    daemon.says("LaunchDarkly's stream answered 503").await;
    assert_eq!(stage.text(".env"), "A=known\n");
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    assert_eq!(daemon.log().matches("LaunchDarkly cannot be reached").count(), 2, "{}", daemon.log());
}

#[tokio::test]
async fn nobody_listening_is_told_with_the_cause() {
    let stage = Stage::new().await;
    let mut command = stage.command(&[]);
    command.env("LAUNCHDARKLY_STREAM_URI", "http://127.0.0.1:1");
    let daemon = Daemon::of(command);
    daemon.says("Connection refused").await;
    assert_eq!(daemon.terminated().await, 0);
    assert!(!stage.path(".env").exists());
}

#[tokio::test]
async fn a_stream_that_is_cut_in_the_middle_of_an_event_is_opened_again() {
    let stage = Stage::new().await;
    stage.standin.misbehave(Misbehaviour::cut_off(200).at(Endpoint::Stream).times(1));
    let daemon = stage.start(&[]);
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    stage.standin.close_streams();
    stage.set("B", &json!("while away"));
    stage.reads(".env", "A=a\nB='while away'\nC=c\n").await;
    daemon.says("LaunchDarkly ended its stream").await;
}

#[tokio::test]
async fn a_garbled_event_costs_a_new_stream_and_no_change() {
    let stage = Stage::new().await;
    for garbage in [
        "event: put\ndata: {\"path\":\"/\",\"data\":{\"flags\":{oops\n\n",
        "event: patch\ndata: {\"path\":\"/flags/A\",\"data\":7}\n\n",
        "event: put\ndata: \n\n",
    ] {
        stage.standin.misbehave(Misbehaviour::body(garbage).at(Endpoint::Stream).times(1));
    }
    let daemon = stage.start(&[]);
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    daemon.says("an event of LaunchDarkly's stream could not be read").await;
    stage.set("A", &json!("z"));
    stage.reads(".env", "A=z\nB=b\nC=c\n").await;
}

#[tokio::test]
async fn an_item_of_an_unknown_kind_costs_nothing() {
    let stage = Stage::new().await;
    let put =
        format!("event: put\ndata: {{\"path\":\"/\",\"data\":{}}}\n\n", crate::stage::payload(&[("A", json!("a"))]));
    let unknown = "event: patch\ndata: {\"path\":\"/metrics/m\",\"data\":{\"key\":\"m\",\"version\":1}}\n\n";
    stage.standin.misbehave(Misbehaviour::body(format!("{put}{unknown}")).at(Endpoint::Stream).times(1));
    let daemon = stage.start(&[]);
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    assert!(!daemon.log().contains("could not be read"), "{}", daemon.log());
}

#[tokio::test]
async fn a_flag_that_cannot_be_read_keeps_its_line_and_holds_up_no_other() {
    let stage = Stage::new().await;
    let daemon = stage.start(&[]);
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    stage.standin.upsert_flag(&json!({"key": "A", "version": 50, "on": 7})).unwrap();
    daemon.says("A stays as it is: it cannot be evaluated").await;
    stage.set("B", &json!("z"));
    stage.reads(".env", "A=a\nB=z\nC=c\n").await;
    stage.standin.close_streams();
    stage.set("C", &json!("z"));
    stage.reads(".env", "A=a\nB=z\nC=z\n").await;
    // The Rust SDK insists on fields that LaunchDarkly's other SDKs take as empty.
    let plain = json!({"key": "A", "version": 51, "on": true, "fallthrough": {"variation": 0}, "variations": ["y"]});
    stage.standin.upsert_flag(&plain).unwrap();
    stage.reads(".env", "A=y\nB=z\nC=z\n").await;
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_opened_anew() {
    let stage = Stage::new().await;
    let daemon = stage.start(&["--stream-silence", "1s"]);
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    daemon.says("LaunchDarkly cannot be reached").await;
    daemon.says_times("LaunchDarkly's stream is open", 2).await;
    stage.set("A", &json!("z"));
    stage.reads(".env", "A=z\nB=b\nC=c\n").await;
}

#[tokio::test]
async fn a_redirect_that_leads_nowhere_does_not_end_the_stream_for_good() {
    let stage = Stage::new().await;
    stage.standin.misbehave(Misbehaviour::status(301).at(Endpoint::Stream).times(1));
    stage.standin.misbehave(Misbehaviour::status(404).at(Endpoint::Stream).times(1));
    let daemon = stage.start(&[]);
    daemon.says("redirects in a loop or to nowhere").await;
    daemon.says("LaunchDarkly's stream answered 404").await;
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
}

#[tokio::test]
async fn once_gives_up_in_its_time_and_writes_nothing() {
    let stage = Stage::new().await;
    stage.standin.misbehave(Misbehaviour::status(503).at(Endpoint::Stream));
    let (code, _, log) = stage.run(&["--once", "--timeout", "3s"]).await;
    assert_eq!(code, 1);
    assert!(log.contains("LaunchDarkly sent no flags within 3s (LaunchDarkly's stream answered 503)"), "{log}");
    assert!(!stage.path(".env").exists());
}

#[tokio::test]
async fn a_program_starts_with_the_last_known_values_while_launchdarkly_is_away() {
    let stage = Stage::new().await;
    stage.write(".env", "export A='as known'\nB=b # mine\nPORT=1\n");
    stage.standin.misbehave(Misbehaviour::status(503).at(Endpoint::Stream));
    let daemon = stage.start(&["--timeout", "300ms", "--", "sh", "-c", PROGRAM]);
    stage.reads("starts", "as known-none-none-none\n").await;
    daemon.says("the command gets the last known values of the file, which has none of B, C").await;
    stage.standin.behave();
    stage.reads("starts", "as known-none-none-none\na-b-c-none\n").await;
    assert_eq!(daemon.terminated().await, 0);
}

#[tokio::test]
async fn a_program_that_has_the_right_values_already_is_not_started_anew() {
    let stage = Stage::new().await;
    stage.write(".env", "A=a\nB=b\nC=c\nPORT=1\n");
    for arguments in [&["--timeout", "300ms"][..], &["--timeout", "300ms", "--all"]] {
        stage.write("starts", "");
        stage.standin.misbehave(Misbehaviour::status(503).at(Endpoint::Stream));
        let daemon = stage.start(&[arguments, &["--", "sh", "-c", PROGRAM]].concat());
        until(|| stage.text("starts").starts_with("a-b-c-"), || "a start".to_owned()).await;
        stage.standin.behave();
        daemon.says("the file is right as it is").await;
        assert_eq!(daemon.terminated().await, 0);
        assert_eq!(stage.text("starts").lines().count(), 1);
    }
}

#[tokio::test]
async fn a_program_without_last_known_values_waits_for_launchdarkly() {
    let stage = Stage::new().await;
    stage.write(".env", "PORT=1\n");
    stage.standin.misbehave(Misbehaviour::status(503).at(Endpoint::Stream));
    let daemon = stage.start(&["--timeout", "300ms", "--", "sh", "-c", PROGRAM]);
    daemon.says("the file has no last known values: the command is not started before it has").await;
    assert!(!stage.path("starts").exists());
    stage.standin.behave();
    stage.reads("starts", "a-b-c-none\n").await;
}

#[tokio::test]
async fn a_program_starts_with_the_last_known_values_while_the_file_cannot_be_written() {
    let stage = Stage::new().await;
    stage.write(".env", "A=known\nB=b\nC=c\n");
    // To its programs a full disk, and a file that may not grow, look alike. The program is free of that limit.
    let limited = format!("ulimit -S -f 0; exec {} \"$@\"", env!("CARGO_BIN_EXE_env-sync"));
    let free = format!("ulimit -S -f unlimited; {PROGRAM}");
    let arguments = ["-c", &limited, "sh", "--timeout", "300ms", "--", "sh", "-c", &free];
    let daemon = Daemon::of(stage.command_of("sh", &arguments));
    daemon.says("cannot be written").await;
    stage.reads("starts", "known-b-c-none\n").await;
}

#[tokio::test]
async fn a_dead_events_service_holds_up_neither_the_file_nor_the_end() {
    let stage = Stage::new().await;
    stage.standin.misbehave(Misbehaviour::delay(Duration::from_mins(1)).at(Endpoint::Events));
    let daemon = stage.start(&[]);
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    assert_eq!(daemon.terminated().await, 0);
}
