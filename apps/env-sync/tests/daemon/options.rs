//! What goes beyond the predecessor: types, names, formats, commands, supervision, dry runs, health.

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::stage::{Daemon, Stage, finished, payload, until};

#[tokio::test]
async fn any_type_is_written_compactly_where_asked() {
    let flags = payload(&[("A", json!(true)), ("B", json!(1.5)), ("C", json!({"a": [1, "it's"], "b": null}))]);
    let stage = Stage::with(&flags).await;
    assert_eq!(stage.run(&["--once", "--types", "any"]).await.0, 0);
    assert_eq!(stage.text(".env"), "A=true\nB=1.5\nC='{\"a\":[1,\"it\\u0027s\"],\"b\":null}'\n");
    assert_eq!(stage.run(&["--once", "--types", "any", "--format", "json", "--env-file-path", "f.json"]).await.0, 0);
    let json: Value = serde_json::from_str(&stage.text("f.json")).unwrap();
    assert_eq!(json, json!({"A": true, "B": 1.5, "C": {"a": [1, "it's"], "b": null}}));
}

#[tokio::test]
async fn names_are_mapped_prefixed_and_converted_where_asked() {
    let stage = Stage::with(&payload(&[("my-flag", json!("1")), ("A", json!("2")), ("other.flag", json!("3"))])).await;
    let arguments =
        ["--once", "--flags", "my-flag,A", "--map", "other.flag=OTHER", "--prefix", "APP_", "--names", "convert"];
    assert_eq!(stage.run(&arguments).await.0, 0);
    assert_eq!(stage.text(".env"), "APP_MY_FLAG=1\nAPP_A=2\nOTHER=3\n");
}

#[tokio::test]
async fn all_flags_are_kept_as_they_come_and_go() {
    let stage = Stage::with(&payload(&[("A", json!("a")), ("B", json!("b")), ("not-a-name", json!("x"))])).await;
    let daemon = stage.start(&["--all"]);
    stage.reads(".env", "A=a\nB=b\n").await;
    daemon.says("flag `not-a-name` cannot be a variable's name").await;
    stage.standin.upsert_flag(&crate::stage::flag("D", &json!("new"))).unwrap();
    stage.reads(".env", "A=a\nB=b\nD=new\n").await;
    stage.standin.delete_flag("A").unwrap();
    stage.reads(".env", "A=\nB=b\nD=new\n").await;
}

#[tokio::test]
async fn a_value_that_the_format_cannot_hold_is_refused_by_name_and_the_rest_is_written() {
    let stage = Stage::with(&payload(&[("A", json!("two\nlines")), ("B", json!("b")), ("C", json!("${HOME}"))])).await;
    stage.write(".env", "A=old\n");
    let (code, _, log) = stage.run(&["--once", "--format", "docker"]).await;
    assert!(code == 1 && log.contains("A cannot be written as docker: it has several lines"), "{log}");
    assert_eq!(stage.text(".env"), "A=old\nB=b\nC=${HOME}\n");
    let (code, _, log) = stage.run(&["--once", "--env-file-path", "other"]).await;
    assert!(code == 1 && log.contains("C cannot be written as dotenv: it has `${…}`"), "{log}");
    assert_eq!(stage.text("other"), "A='two\nlines'\nB=b\n");
    assert_eq!(stage.run(&["--once", "--format", "shell", "--env-file-path", "sh"]).await.0, 0);
    assert_eq!(stage.text("sh"), "export A='two\nlines'\nexport B=b\nexport C='${HOME}'\n");
    assert_eq!(stage.run(&["--once", "--format", "systemd", "--env-file-path", "unit"]).await.0, 0);
    assert_eq!(stage.text("unit"), "A='two\nlines'\nB=b\nC='${HOME}'\n");
}

#[tokio::test]
async fn commands_get_what_the_file_says_where_a_value_is_refused() {
    let stage = Stage::new().await;
    stage.write(".env", "A=a\nB=b\n");
    let daemon = stage.start(&["--format", "docker", "--exec", "echo \"$A-$B-${C-none}\" >>runs"]);
    stage.reads("runs", "a-b-c\n").await;
    stage.set("A", &json!("two\nlines"));
    daemon.says("A cannot be written as docker: it has several lines").await;
    stage.set("B", &json!("z"));
    stage.reads("runs", "a-b-c\na-z-c\n").await;
    stage.set("A", &json!("one line"));
    stage.reads("runs", "a-b-c\na-z-c\none line-z-c\n").await;
    assert_eq!(daemon.terminated().await, 0);

    let stage = Stage::with(&payload(&[("A", json!("a\0b")), ("B", json!("b")), ("C", json!("c"))])).await;
    let script = "echo \"${A-none}-$B\" >>runs";
    let (code, _, log) = stage.run(&["--once", "--format", "json", "--exec", script]).await;
    assert!(code == 0 && log.contains("A has a NUL character, which no environment can hold"), "{log}");
    assert_eq!(stage.text("runs"), "none-b\n");
}

#[tokio::test]
async fn a_dry_run_ends_with_the_code_of_once() {
    let stage = Stage::with(&payload(&[("A", json!("two\nlines")), ("B", json!("b")), ("C", json!("c"))])).await;
    let (code, out, log) = stage.run(&["--dry-run", "--format", "docker"]).await;
    assert!(code == 1 && out.ends_with("+B=…\n+C=…\n") && log.contains("A cannot be written as docker"), "{log}");
    let (code, out, log) = stage.run(&["--dry-run", "--env-file-path", "no/where/.env"]).await;
    assert!(code == 1 && out.ends_with("+B=…\n+C=…\n"), "{out} {log}");
    assert!(log.contains("`no/where/.env` cannot be written; its directory must be writable"), "{log}");
    let mut command = stage.command(&["--dry-run"]);
    command.env("LD_SDK_KEY", "sdk-wrong");
    let (code, _, log) = finished(command).await;
    assert!(code == 1 && log.contains("LaunchDarkly refuses the SDK key (status 401)"), "{log}");
    let mut command = stage.command(&["--dry-run", "--timeout", "200ms"]);
    command.env("LAUNCHDARKLY_STREAM_URI", "http://127.0.0.1:1");
    let (code, _, log) = finished(command).await;
    assert!(code == 1 && log.contains("LaunchDarkly sent no flags within 200ms"), "{log}");
    let (code, _, log) = stage.run(&["--dry-run", "--all", "--map", "B=C"]).await;
    assert!(code == 1 && log.contains("would both be the variable C"), "{log}");
}

#[tokio::test]
async fn a_dry_run_whose_reader_has_gone_ends_as_any_other() {
    let stage = Stage::new().await;
    let mut child = stage.command(&["--dry-run"]).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_dry_run_shows_the_difference_without_values_and_touches_nothing() {
    let stage = Stage::new().await;
    stage.write(".env", "# mine\nSECRET=hush\nA=old\n");
    let (code, out, _) = stage.run(&["--dry-run"]).await;
    assert_eq!((code, out.as_str()), (0, "--- .env\n+++ .env\n-A=…\n+A=…\n+B=…\n+C=…\n"));
    let (_, out, _) = stage.run(&["--dry-run", "--show-values"]).await;
    assert_eq!(out, "--- .env\n+++ .env\n-A=old\n+A=a\n+B=b\n+C=c\n");
    assert_eq!((stage.text(".env").as_str(), stage.beside(".env").len()), ("# mine\nSECRET=hush\nA=old\n", 0));
    stage.write(".env", "A=a\nB=b\nC=c\n");
    assert_eq!(stage.run(&["--dry-run"]).await.1, "");
}

#[tokio::test]
async fn a_command_runs_after_changes_with_the_values_and_never_twice_at_once() {
    let stage = Stage::new().await;
    stage.write(".env", "A=a\nB=b\nC=c\n");
    let script =
        "test ! -e busy; echo x >busy; echo \"$A-$B-${LD_SDK_KEY-none}\" >>runs; sleep 0.1; rm busy; echo told";
    let daemon = stage.start(&["--exec", script]);
    daemon.says("the file is right as it is").await;
    assert!(!stage.path("runs").exists(), "nothing has changed yet");
    for number in 0..30 {
        stage.set("A", &json!(number.to_string()));
    }
    until(|| stage.text("runs").ends_with("29-b-none\n"), || "the last value".to_owned()).await;
    daemon.says("exec: told").await;
    stage.set("B", &json!("last"));
    stage.reads(".env", "A=29\nB=last\nC=c\n").await;
    let log = daemon.log();
    assert_eq!(daemon.terminated().await, 0);
    assert!(stage.text("runs").ends_with("29-last-none\n"), "the last change is run before the end");
    assert!(!log.contains("the command of --exec failed"), "{log}");
}

#[tokio::test]
async fn a_command_that_fails_or_hangs_stops_nothing() {
    let stage = Stage::new().await;
    let daemon = stage.start(&["--exec", "echo no; exit 3", "--run-on-start"]);
    daemon.says("the command of --exec failed: exit status: 3").await;
    stage.set("A", &json!("z"));
    stage.reads(".env", "A=z\nB=b\nC=c\n").await;
    assert_eq!(daemon.terminated().await, 0);
    let (code, _, log) =
        stage.run(&["--once", "--run-on-start", "--exec", "sleep 600 & wait", "--exec-timeout", "200ms"]).await;
    assert!(code == 1 && log.contains("took longer than 200ms and is killed"), "{log}");
}

#[tokio::test]
async fn a_process_is_signalled_after_a_change() {
    let stage = Stage::new().await;
    stage.write(".env", "A=a\nB=b\nC=c\n");
    let mut other = tokio::process::Command::new("sh");
    other.args(["-c", "trap 'echo got >>signals' USR1; echo $$ >pid; while :; do sleep 0.02; done"]);
    let mut other = other.current_dir(stage.folder.path()).kill_on_drop(true).spawn().unwrap();
    until(|| stage.text("pid").ends_with('\n'), || "a process id".to_owned()).await;
    let daemon = stage.start(&["--signal", "pid:USR1"]);
    daemon.says("the file is right as it is").await;
    assert!(!stage.path("signals").exists());
    stage.set("A", &json!("z"));
    stage.reads("signals", "got\n").await;
    other.kill().await.unwrap();
    stage.set("A", &json!("y"));
    daemon.says("no signal could be sent").await;
}

#[tokio::test]
async fn a_program_is_supervised_and_restarted_with_the_new_values() {
    let stage = Stage::new().await;
    let script = "trap 'echo usr1 >>starts' USR1; trap 'echo bye >>starts; exit 0' TERM; echo \"$A\" >>starts; \
                  while :; do sleep 0.02; done";
    let daemon = stage.start(&["--", "sh", "-c", script]);
    stage.reads("starts", "a\n").await;
    daemon.says("the command is started").await;
    stage.set("A", &json!("b"));
    stage.reads("starts", "a\nbye\nb\n").await;
    daemon.signal(Signal::USR1);
    stage.reads("starts", "a\nbye\nb\nusr1\n").await;
    assert_eq!(daemon.terminated().await, 0);
    assert_eq!(stage.text("starts"), "a\nbye\nb\nusr1\nbye\n");
}

#[tokio::test]
async fn the_end_of_a_supervised_program_is_ours_with_its_code() {
    let stage = Stage::new().await;
    assert_eq!(stage.run(&["--", "sh", "-c", "exit 7"]).await.0, 7);
    assert_eq!(stage.run(&["--", "sh", "-c", "kill -9 $$"]).await.0, 137);
    let (code, _, log) = stage.run(&["--", "./nowhere"]).await;
    assert!(code == 1 && log.contains("the command cannot be started"), "{log}");
    assert_eq!(stage.run(&["--once", "--", "sh", "-c", "test \"$B\" = b"]).await.0, 0);
}

#[tokio::test]
async fn changes_keep_the_least_interval() {
    let stage = Stage::new().await;
    let daemon = stage.start(&["--min-interval", "1h"]);
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    let _witness = stage.witness().await;
    stage.set("A", &json!("z"));
    stage.reads("witness.env", "A=z\nB=b\nC=c\n").await;
    assert_eq!(stage.text(".env"), "A=a\nB=b\nC=c\n");
    assert_eq!(daemon.terminated().await, 0);
    assert_eq!(stage.text(".env"), "A=z\nB=b\nC=c\n", "the end does not wait");
}

#[tokio::test]
async fn a_splay_does_not_hold_up_the_end() {
    let stage = Stage::new().await;
    let daemon = stage.start(&["--splay", "1h", "--exec", "echo ran >ran"]);
    daemon.says("reloading in").await;
    assert_eq!(daemon.terminated().await, 0);
    assert_eq!(stage.text("ran"), "ran\n");
}

async fn get(address: &str, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    local::patience::in_time(read, || format!("the answer to {path}")).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn health_and_metrics_are_served_and_kept_in_a_file() {
    let stage = Stage::new().await;
    let mut command = stage.command(&["--listen", "127.0.0.1:0", "--health-file", "health.json"]);
    command.env("LAUNCHDARKLY_STREAM_URI", "http://127.0.0.1:1");
    let address = |log: String| {
        let (_, rest) = log.split_once("are served on http://").unwrap();
        rest.lines().next().unwrap().to_owned()
    };
    let dark = Daemon::of(command);
    dark.says("are served on").await;
    let answer = get(&address(dark.log()), "/health").await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains(r#"{"status":"starting","initialized":false"#),
        "{answer}"
    );
    until(|| stage.text("health.json").contains("Connection refused"), || "the cause".to_owned()).await;
    assert_eq!(dark.terminated().await, 0);

    let daemon = stage.start(&["--listen", "127.0.0.1:0"]);
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    daemon.says("are served on").await;
    let address = address(daemon.log());
    let answer = get(&address, "/health").await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains(r#"{"status":"ok","initialized":true,"connected":true"#),
        "{answer}"
    );
    let answer = get(&address, "/metrics").await;
    assert!(answer.contains("\nenv_sync_writes_total 1\n") && answer.contains("\nenv_sync_flags 3\n"), "{answer}");
    let (code, _, log) = stage.run(&["--listen", &address, "--env-file-path", "other"]).await;
    assert!(code == 1 && log.contains("cannot be listened on"), "{log}");
}

#[tokio::test]
async fn systemd_is_told_when_the_file_is_right() {
    let stage = Stage::new().await;
    let socket = std::os::unix::net::UnixDatagram::bind(stage.path("notify")).unwrap();
    socket.set_read_timeout(Some(crate::stage::PATIENCE)).unwrap();
    let mut command = stage.command(&["--once"]);
    command.env("NOTIFY_SOCKET", stage.path("notify"));
    assert_eq!(finished(command).await.0, 0);
    let mut told = String::new();
    while !told.contains("STOPPING=1") {
        let mut buffer = [0; 1024];
        let length = socket.recv(&mut buffer).unwrap();
        told.push_str(&String::from_utf8_lossy(&buffer[..length]));
        told.push('\n');
    }
    assert!(told.contains("READY=1") && told.contains("STATUS=3 flags are in step with LaunchDarkly"), "{told}");
}

#[tokio::test]
async fn the_key_may_come_from_a_file() {
    let stage = Stage::new().await;
    stage.write("key", "sdk-local\n");
    let mut command = stage.command(&["--once"]);
    command.env_remove("LD_SDK_KEY").env("LD_SDK_KEY_FILE", "key");
    assert_eq!(finished(command).await.0, 0);
}
