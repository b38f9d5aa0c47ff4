//! What scripts and people rely on: the file, the changes, signals and exit codes.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use local::standin::{Endpoint, ItemKind, Misbehaviour, Standin, StandinOptions};
use rustix::process::Signal;
use serde_json::json;

use crate::stage::{Daemon, Stage, finished, flag, payload, until};

#[tokio::test]
async fn flags_come_into_the_file_and_changes_follow() {
    let stage = Stage::new().await;
    stage.write(".env", "# mine\nPORT=80\nexport B=old\n");
    let daemon = stage.start(&[]);
    stage.reads(".env", "# mine\nPORT=80\nexport B=b\nA=a\nC=c\n").await;
    assert_eq!(stage.mode(".env"), 0o600);
    stage.set("C", &json!("two words"));
    stage.reads(".env", "# mine\nPORT=80\nexport B=b\nA=a\nC='two words'\n").await;
    assert_eq!(daemon.terminated().await, 0);
}

#[tokio::test]
async fn the_three_sample_flags_are_kept_where_none_are_named() {
    let standin = Standin::start(StandinOptions::default()).await.unwrap();
    let stage = Stage { folder: tempfile::tempdir().unwrap(), standin };
    let mut command = stage.command(&["--once"]);
    command.env("FLAGS", "");
    assert_eq!(finished(command).await.0, 0);
    assert_eq!(
        stage.text(".env"),
        "SAMPLE_API_URL=https://api-v2.example.com\nSAMPLE_SERVICE_URL=https://app-api-v1.example.com\n\
         SAMPLE_APP_URL=https://app-api.example.com\n"
    );
}

#[tokio::test]
async fn flags_that_are_missing_deleted_or_of_another_type_are_empty_with_a_warning() {
    let stage = Stage::with(&payload(&[("A", json!("a")), ("B", json!(7))])).await;
    let daemon = stage.start(&[]);
    stage.reads(".env", "A=a\nB=\nC=\n").await;
    daemon.says("B becomes empty: it is not a string; --types any would write it").await;
    daemon.says("C becomes empty: there is no such flag").await;
    stage.standin.delete_flag("A").unwrap();
    stage.reads(".env", "A=\nB=\nC=\n").await;
    stage.standin.upsert_flag(&flag("C", &json!("new"))).unwrap();
    stage.reads(".env", "A=\nB=\nC=new\n").await;
}

#[tokio::test]
async fn a_change_of_nothing_is_no_write_and_no_backup() {
    let stage = Stage::new().await;
    stage.write(".env", "A=a\nB='b'\nC=\"c\"\n");
    let daemon = stage.start(&[]);
    daemon.says("the file is right as it is").await;
    let before = stage.identity(".env");
    stage.standin.set_field(ItemKind::Flag, "A", "salt", json!("other")).unwrap();
    stage.standin.upsert_flag(&flag("unmanaged", &json!("x"))).unwrap();
    daemon.says_times("the file is right as it is", 2).await;
    assert_eq!((stage.identity(".env"), stage.beside(".env")), (before, vec![]));
    stage.set("A", &json!("z"));
    stage.reads(".env", "A=z\nB='b'\nC=\"c\"\n").await;
    let backups = stage.beside(".env");
    assert_eq!((backups.len(), stage.text(&backups[0]).as_str()), (1, "A=a\nB='b'\nC=\"c\"\n"));
    assert_eq!(stage.mode(&backups[0]), 0o600);
    let digits = backups[0].strip_prefix(".env.").unwrap();
    assert!(digits.len() == 15 && digits.as_bytes()[8] == b'-', "{backups:?}");
    assert_eq!(daemon.log().matches("the file is right as it is").count(), 2, "the unmanaged flag matters to nobody");
}

#[tokio::test]
async fn a_change_counts_where_a_managed_flag_depends_on_it() {
    let rule = |segment: &str| json!([{"clauses": [{"contextKind": "user", "attribute": "", "op": "segmentMatch", "values": [segment], "negate": false}], "variation": 1, "id": "r", "trackEvents": false}]);
    let segment = |key: &str, rules| {
        json!({"key": key, "version": 1, "included": [], "excluded": [], "includedContexts": [], "excludedContexts": [],
            "salt": "s", "rules": rules})
    };
    let mut a = flag("A", &json!("out"));
    a["variations"] = json!(["out", "in"]);
    a["prerequisites"] = json!([{"key": "gate", "variation": 1}]);
    a["fallthrough"] = json!({"variation": 1});
    let mut gate = flag("gate", &json!(false));
    gate["variations"] = json!([false, true]);
    gate["rules"] = rule("outer");
    let outer = segment(
        "outer",
        json!([{"clauses": [{"contextKind": "user", "attribute": "", "op": "segmentMatch", "values": ["inner"], "negate": false}], "id": "x"}]),
    );
    let data =
        json!({"flags": {"A": a, "gate": gate}, "segments": {"outer": outer, "inner": segment("inner", json!([]))}});
    let stage = Stage::with(&data.to_string()).await;
    let mut command = stage.command(&[]);
    command.env("FLAGS", "A").env("LD_CONTEXT_KEY", "somebody");
    let _daemon = Daemon::of(command);
    stage.reads(".env", "A=out\n").await;
    stage.standin.set_field(ItemKind::Segment, "inner", "included", json!(["somebody"])).unwrap();
    stage.reads(".env", "A=in\n").await;
    stage.standin.delete_segment("inner").unwrap();
    stage.reads(".env", "A=out\n").await;
}

#[tokio::test]
async fn a_burst_is_written_at_its_end_and_a_signal_does_not_lose_it() {
    let stage = Stage::new().await;
    let mut command = stage.command(&[]);
    command.env("DEBOUNCE_MS", "600000");
    let daemon = Daemon::of(command);
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    let _witness = stage.witness().await;
    for number in 0..20 {
        stage.set("A", &json!(format!("a{number}")));
    }
    stage.set("B", &json!("b last"));
    stage.reads("witness.env", "A=a19\nB='b last'\nC=c\n").await;
    assert_eq!(stage.text(".env"), "A=a\nB=b\nC=c\n");
    assert_eq!(daemon.terminated().await, 0);
    assert_eq!(stage.text(".env"), "A=a19\nB='b last'\nC=c\n");
    let backups = stage.beside(".env").into_iter().filter(|name| name.starts_with(".env.")).count();
    assert_eq!(backups, 1, "a burst is one change");
}

#[tokio::test]
async fn a_change_that_has_arrived_with_the_signal_is_written() {
    let stage = Stage::new().await;
    let mut daemon = stage.start(&[]);
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    let _witness = stage.witness().await;
    daemon.signal(Signal::STOP);
    stage.set("A", &json!("z"));
    stage.reads("witness.env", "A=z\nB=b\nC=c\n").await;
    daemon.signal(Signal::TERM);
    daemon.signal(Signal::CONT);
    assert_eq!(daemon.ended().await, 0);
    assert_eq!(stage.text(".env"), "A=z\nB=b\nC=c\n");
}

#[tokio::test]
async fn sigint_ends_it_as_well_and_hangup_repairs_the_file() {
    let stage = Stage::new().await;
    let mut daemon = stage.start(&[]);
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    stage.write(".env", "A=edited\n");
    daemon.signal(Signal::HUP);
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    daemon.signal(Signal::INT);
    assert_eq!(daemon.ended().await, 0);
    assert!(!stage.path("..env.env-sync-lock").exists());
}

#[tokio::test]
async fn evaluations_are_sent_as_events_before_the_end() {
    let stage = Stage::new().await;
    let daemon = stage.start(&[]);
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    assert_eq!(daemon.terminated().await, 0);
    let events = stage.standin.wait_for_events(1).await.unwrap();
    let summary = events.iter().find(|event| event["kind"] == "summary").unwrap();
    assert_eq!(summary["features"].as_object().unwrap().len(), 3, "{summary}");
    let index = events.iter().find(|event| event["kind"] == "index").unwrap();
    assert_eq!(index["context"], json!({"kind": "user", "key": "sample-daemon", "name": "Daemon"}));
}

#[tokio::test]
async fn a_refused_key_ends_it_with_a_message_and_without_the_key() {
    let stage = Stage::new().await;
    let mut command = stage.command(&[]);
    command.env("LD_SDK_KEY", "sdk-wrong");
    let (code, _, log) = finished(command).await;
    assert_eq!(code, 1, "{log}");
    assert!(log.contains("LaunchDarkly refuses the SDK key (status 401); check LD_SDK_KEY"), "{log}");
    assert!(!log.contains("sdk-wrong") && !stage.path(".env").exists());
}

#[tokio::test]
async fn a_key_that_is_revoked_later_leaves_the_file_and_the_program() {
    let stage = Stage::new().await;
    let daemon = stage.start(&[]);
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    stage.standin.misbehave(Misbehaviour::status(401).at(Endpoint::Stream).times(1));
    stage.standin.close_streams();
    daemon.says("LaunchDarkly refuses the SDK key (status 401)").await;
    stage.set("A", &json!("later"));
    stage.reads(".env", "A=later\nB=b\nC=c\n").await;
}

#[tokio::test]
async fn wrong_settings_are_told_by_name_and_touch_nothing() {
    let stage = Stage::new().await;
    for (variable, value, arguments, expected) in [
        ("LD_SDK_KEY", "", &[][..], "env-sync: LD_SDK_KEY is missing: set it to the environment's server-side SDK key"),
        ("LD_SDK_KEY", "a\nb", &[], "LD_SDK_KEY is empty or has characters that cannot be in a header"),
        (
            "LOG_LEVEL",
            "LOUD",
            &[],
            "LOG_LEVEL (--log-level) is `LOUD`; it may be DEBUG, INFO, WARNING, ERROR or CRITICAL",
        ),
        ("DEBOUNCE_MS", "-1", &[], "DEBOUNCE_MS (--debounce-ms) is `-1`; it may be a whole number of milliseconds"),
        ("BACKUP_ENABLED", "maybe", &[], "BACKUP_ENABLED (--backup-enabled) is `maybe`; it may be true or false"),
        ("FLAGS", " , ", &[], "FLAGS (--flags) is ` , `; it may be flag keys separated by commas"),
        ("FLAGS", "A,my-flag", &[], "flag `my-flag` cannot be a variable's name; give it one with --map my-flag=NAME"),
        ("LAUNCHDARKLY_STREAM_URI", "nowhere", &[], "LAUNCHDARKLY_STREAM_URI (--stream-uri) is `nowhere`"),
        ("LAUNCHDARKLY_BASE_URI", "nowhere", &[], "LAUNCHDARKLY_BASE_URI (--base-uri) is `nowhere`"),
        ("LD_CONTEXT_KEY", "x", &["--map", "A=X", "--map", "A=Y"], "--map is `A=Y`; it may be given once"),
        ("LD_CONTEXT_KEY", "x", &["--map", "A"], "--map is `A`; it may be FLAG=NAME"),
        ("LD_CONTEXT_KEY", "x", &["--map", "A=B"], "flags `B` and `A` would both be the variable B"),
        ("LD_CONTEXT_KEY", "x", &["--listen", "here"], "--listen is `here`; it may be an address and a port"),
        ("LD_CONTEXT_KEY", "x", &["--signal", "x"], "--signal is `x`: it may be PID_FILE:SIGNAL"),
        ("LD_CONTEXT_KEY", "x", &["--mode", "9"], "three octal digits"),
        ("LD_SDK_KEY_FILE", "nowhere", &[], ""),
    ] {
        let mut command = stage.command(arguments);
        if variable == "FLAGS" || variable == "LD_CONTEXT_KEY" {
            command.env("FLAGS", "B,A");
        }
        command.env(variable, value);
        if expected.is_empty() {
            command.env_remove("LD_SDK_KEY");
        }
        let (code, _, log) = finished(command).await;
        assert!(code == 2 && log.contains(expected), "{variable}={value} {arguments:?}: {code} {log}");
    }
    assert_eq!(stage.beside(""), Vec::<String>::new());
    assert!(stage.standin.requests_to(Endpoint::Stream).is_empty());
}

#[tokio::test]
async fn every_variable_is_an_option_too() {
    let stage = Stage::new().await;
    let mut command = stage.command(&[]);
    for variable in ["LD_SDK_KEY", "FLAGS", "DEBOUNCE_MS", "LAUNCHDARKLY_STREAM_URI", "LAUNCHDARKLY_EVENTS_URI"] {
        command.env_remove(variable);
    }
    let uri = stage.standin.url();
    command.args(["--ld-sdk-key", "sdk-local", "--flags", "B", "--env-file-path", "other.env"]);
    command.args(["--backup-enabled", "false", "--log-level", "error", "--debounce-ms", "5"]);
    command.args(["--ld-context-key", "k", "--ld-context-name", "n", "--once"]);
    command.args(["--stream-uri", &uri, "--events-uri", &uri]);
    stage.write("other.env", "B=0\n");
    let (code, out, log) = finished(command).await;
    assert_eq!((code, out.as_str(), log.as_str()), (0, "", ""));
    assert_eq!(stage.text("other.env"), "B=b\n");
    assert_eq!(stage.beside("other.env"), Vec::<String>::new());
    let (code, help, _) = stage.run(&["--help"]).await;
    assert!(code == 0 && help.contains("LD_SDK_KEY=sdk-… env-sync") && !help.contains("sdk-local"), "{help}");
}

#[tokio::test]
async fn the_lock_of_another_user_who_keeps_it_to_himself_is_respected() {
    let stage = Stage::new().await;
    stage.write("..env.env-sync-lock", "");
    std::fs::set_permissions(stage.path("..env.env-sync-lock"), Permissions::from_mode(0o000)).unwrap();
    std::fs::set_permissions(stage.folder.path(), Permissions::from_mode(0o777)).unwrap();
    let mut command = stage.command(&[]);
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let (code, _, log) = finished(command).await;
    assert!(code == 1 && log.contains("`..env.env-sync-lock` is user "), "{code} {log}");
    assert!(log.contains("another env-sync keeps the file, or was killed; stop it, or delete that lock"), "{log}");
    assert!(!stage.path(".env").exists());
}

#[tokio::test]
async fn the_second_for_one_file_is_refused_even_through_a_symlink() {
    let stage = Stage::new().await;
    let mut first = stage.start(&[]);
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    std::os::unix::fs::symlink(".env", stage.path("link")).unwrap();
    for path in [".env", "link"] {
        let (code, _, log) = stage.run(&["--env-file-path", path]).await;
        assert!(code == 1 && log.contains("another env-sync keeps `.env`"), "{code} {log}");
    }
    first.signal(Signal::KILL);
    first.ended().await;
    let second = stage.start(&[]);
    second.says("the file is right as it is").await;
    until(|| stage.standin.requests_to(Endpoint::Stream).len() == 2, || "two streams".to_owned()).await;
}
