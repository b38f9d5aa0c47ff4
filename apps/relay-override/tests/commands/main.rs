//! `rc`, the binary, where no Redis is needed: LaunchDarkly's stand-in on one side, a folder on
//! the other.
//!
//! - what talks to LaunchDarkly alone: `update-ld-api`, `generate-relay-config`, `playback` of
//!   files that others wrote
//! - what talks to nobody: help, completions, the man page

#![expect(clippy::unwrap_used, reason = "what a test relies on has to be there")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use local::standin::{Endpoint, Misbehaviour, Standin, StandinOptions};

struct Stage {
    folder: tempfile::TempDir,
    standin: Standin,
}

impl Stage {
    async fn new(options: StandinOptions) -> Self {
        let data = r#"{"flags":{"f":{"key":"f","on":false,"version":12,"variations":[true,false],"fallthrough":{"variation":0}}}}"#;
        let options = options.project("p").environment("e").data(data).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), standin: Standin::start(options).await.unwrap() }
    }

    /// A program in the folder, with the variables of `rc`.
    fn command(&self, program: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(program);
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("LD_API_KEY", "api-local")
            .env("REDIS_HOSTS", "redis.example:7000,redis://u:p@other.example/2")
            .env("LAUNCHDARKLY_API_URI", self.standin.url());
        command
    }

    async fn run(&self, line: &str) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rc"));
        command
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .env_clear()
            .env("LD_API_KEY", "api-local")
            .env("REDIS_HOSTS", "redis.example:7000,redis://u:p@other.example/2")
            .env("LAUNCHDARKLY_API_URI", self.standin.url());
        let Output { status, stdout, stderr } = local::patience::output(command).await.unwrap();
        (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn is_on(&self) -> bool {
        let data: serde_json::Value = serde_json::from_slice(&self.standin.data()).unwrap();
        data["flags"]["f"]["on"] == true
    }
}

#[tokio::test]
async fn update_ld_api_turns_the_flag() {
    let stage = Stage::new(StandinOptions::default()).await;
    let (code, out, err) = stage.run("update-ld-api -p p -e e -f f -s ON").await;
    assert_eq!((code, out.as_str(), err.as_str()), (0, "f (p/e) is on in LaunchDarkly (v13)\n", ""));
    assert!(stage.is_on());
    let (code, _, err) = stage.run("update-ld-api -p p -e e -f nope -s on").await;
    assert!(code == 1 && err.contains("rc: PATCH /api/v2/flags/p/nope: status 404"), "{err}");
}

#[tokio::test]
async fn that_a_change_is_made_is_said_by_the_status_whatever_the_answer_tells() {
    let stage = Stage::new(StandinOptions::default()).await;
    for answer in ["", "{}"] {
        stage.standin.misbehave(Misbehaviour::body(answer).at(Endpoint::Rest).times(1));
        let (code, out, err) = stage.run("update-ld-api -p p -e e -f f -s on").await;
        assert_eq!((code, out.as_str(), err.as_str()), (0, "f (p/e) is on in LaunchDarkly\n", ""));
    }
    stage.standin.misbehave(Misbehaviour::body("<html>sign in first").at(Endpoint::Rest).times(1));
    let (code, _, err) = stage.run("update-ld-api -p p -e e -f f -s on").await;
    assert!(code == 1 && err.contains("is LAUNCHDARKLY_API_URI right?"), "{err}");
}

#[tokio::test]
async fn a_flag_that_cannot_be_looked_at_is_left_to_launchdarkly_to_change() {
    let stage = Stage::new(StandinOptions::default()).await;
    std::fs::create_dir_all(stage.path("replay/toDo")).unwrap();
    for look in [Misbehaviour::status(405), Misbehaviour::body("{}")] {
        std::fs::write(stage.path("replay/toDo/1"), "rc update-ld-api -p p -e e -f f -s on\n").unwrap();
        stage.standin.misbehave(look.at(Endpoint::Rest).times(1));
        stage.standin.misbehave(Misbehaviour::body("{}").at(Endpoint::Rest).times(1));
        let (code, out, err) = stage.run("playback").await;
        assert_eq!((code, out.as_str()), (0, "f (p/e) on: done\n"), "{err}");
        assert!(err.contains("f (p/e): LaunchDarkly does not say what it is now"), "{err}");
        assert!(stage.path("replay/archive/1").exists());
    }
    std::fs::write(stage.path("replay/toDo/2"), "rc update-ld-api -p p -e e -f nope -s on\n").unwrap();
    let (code, out, _) = stage.run("playback").await;
    assert!(code == 1 && out.starts_with("nope (p/e) on: failed: GET /api/v2/flags/p/nope: status 404"), "{out}");
    assert!(stage.path("replay/toDo/2").exists());
}

#[tokio::test]
async fn a_file_that_may_not_grow_is_a_full_disk() {
    let stage = Stage::new(StandinOptions::default()).await;
    let line = format!("ulimit -f 0; exec {} generate-relay-config -p p", env!("CARGO_BIN_EXE_rc"));
    let output = stage.command("sh").args(["-c", &line]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("write ld-relay.conf: File too large"), "{output:?}");
}

#[tokio::test]
async fn an_empty_variable_counts_as_not_set() {
    let stage = Stage::new(StandinOptions::default()).await;
    let mut command = stage.command(env!("CARGO_BIN_EXE_rc"));
    let output = command.arg("playback").env("RC_REPLAY_DIR", "").output().await.unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(0), b"nothing to play back\n".to_vec()));
}

#[tokio::test]
async fn the_relays_configuration_has_every_environment_and_is_nobody_elses() {
    let environments: Vec<String> = (0..130).map(|index| format!("env-{index}")).collect();
    let stage = Stage::new(StandinOptions::default().listed_environments(environments)).await;
    let (code, out, err) = stage.run("generate-relay-config -p p").await;
    assert_eq!((code, out.as_str()), (0, "wrote ld-relay.conf with 131 environments of p\n"), "{err}");
    assert!(err.contains("it uses Redis at redis.example:7000"), "{err}");
    let text = std::fs::read_to_string(stage.path("ld-relay.conf")).unwrap();
    assert!(text.contains("[Environment \"E\"]\n    sdkKey = \"sdk-local\"\n    mobileKey = \"mob-e\"\n"), "{text}");
    assert_eq!((text.matches("[Environment ").count(), text.matches("prefix = \"ld:p:env-").count()), (131, 130));
    assert!(text.contains("[Redis]\n    host = \"redis.example\"\n    port = 7000\n"), "{text}");
    let mode = |name: &str| std::fs::metadata(stage.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("ld-relay.conf"), 0o600);

    std::fs::write(stage.path("ld-relay.conf"), "mine").unwrap();
    let (code, _, err) = stage.run("generate-relay-config -p p").await;
    assert!(code == 2 && err.contains("it exists; --force overwrites it"), "{err}");
    assert_eq!(std::fs::read_to_string(stage.path("ld-relay.conf")).unwrap(), "mine");
    assert_eq!(stage.run("generate-relay-config -p p --force").await.0, 0);
    assert_eq!(std::fs::read_to_string(stage.path("ld-relay.conf")).unwrap(), text);

    let (code, _, _) =
        stage.run("generate-relay-config -p p --output second.conf --redis-host other.example:6379/2").await;
    let second = std::fs::read_to_string(stage.path("second.conf")).unwrap();
    assert!(code == 0 && second.contains("url = \"redis://other.example:6379/2\"\n    username = \"u\""), "{second}");
    let (code, _, err) = stage.run("generate-relay-config -p p --output third.conf --redis-host x").await;
    assert!(
        code == 2 && err.contains("none of REDIS_HOSTS, which are redis.example:7000, other.example:6379/2"),
        "{err}"
    );
    let (code, _, err) = stage.run("generate-relay-config -p nope --output third.conf").await;
    assert!(code == 1 && err.contains("status 404") && !stage.path("third.conf").exists(), "{err}");
}

#[tokio::test]
async fn a_dry_run_of_playback_touches_neither_side() {
    let stage = Stage::new(StandinOptions::default()).await;
    std::fs::create_dir_all(stage.path("replay/toDo")).unwrap();
    std::fs::write(stage.path("replay/toDo/1.txt"), "rc update-ld-api -p p -e e -f f -s on\n").unwrap();
    let (code, out, _) = stage.run("playback --dry-run").await;
    assert_eq!((code, out.as_str()), (0, "f (p/e) on: would turn it on (v12 now)\n"));
    assert!(!stage.is_on() && stage.path("replay/toDo/1.txt").exists());
    assert_eq!(std::fs::read_dir(stage.path("replay")).unwrap().count(), 1);
}

#[tokio::test]
async fn help_completions_and_the_man_page_are_there() {
    let stage = Stage::new(StandinOptions::default()).await;
    for (line, expected) in [
        ("--help", "rc update-redis -p shop -e production -f new-checkout -s off"),
        ("update --help", "Example:\n  rc update-redis"),
        ("--version", "rc "),
        ("completions bash", "complete -F _rc"),
        ("completions zsh", "#compdef rc"),
        ("completions fish", "complete -c rc"),
        ("man", ".TH rc 1"),
    ] {
        let (code, out, err) = stage.run(line).await;
        assert!(code == 0 && out.contains(expected), "{line}: {out}{err}");
    }
    assert_eq!(stage.run("man --folder .").await, (0, String::new(), String::new()));
    for (page, expected) in [("rc.1", "update\\-redis(1)"), ("rc-update-redis.1", "\\-\\-variation")] {
        let text = std::fs::read_to_string(stage.path(page)).unwrap();
        assert!(text.contains(expected), "{page}: {text}");
    }
    let (code, _, err) = stage.run("man --folder no/where").await;
    assert!(code == 1 && err.starts_with("rc: write man pages into \"no/where\": No such file"), "{err}");
    assert_eq!(stage.run("").await.0, 2);
    assert_eq!(stage.run("nonsense").await.0, 2);
}
