//! A stand-in for LaunchDarkly, a folder, and the program in it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use local::patience;
pub(crate) use local::patience::PATIENCE;
use local::standin::{ItemKind, Standin, StandinOptions};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

pub(crate) struct Stage {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) standin: Standin,
}

/// A flag that is on and gives this value to everybody.
pub(crate) fn flag(key: &str, value: &Value) -> Value {
    json!({
        "key": key, "version": 1, "on": true, "salt": "s", "variations": [value], "offVariation": 0,
        "fallthrough": {"variation": 0}, "targets": [], "rules": [], "prerequisites": []
    })
}

/// A payload of such flags.
pub(crate) fn payload(flags: &[(&str, Value)]) -> String {
    let flags: serde_json::Map<_, _> = flags.iter().map(|(key, value)| ((*key).to_owned(), flag(key, value))).collect();
    json!({"flags": flags, "segments": {}}).to_string()
}

impl Stage {
    /// With flags `A`, `B` and `C` of values `a`, `b` and `c`.
    pub(crate) async fn new() -> Self {
        Self::with(&payload(&[("A", json!("a")), ("B", json!("b")), ("C", json!("c"))])).await
    }

    pub(crate) async fn with(payload: &str) -> Self {
        let standin = Standin::start(StandinOptions::default().data(payload).unwrap()).await.unwrap();
        Self { folder: tempfile::tempdir().unwrap(), standin }
    }

    /// The program with flags `A,B,C`, no debounce, and an environment of its own.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_env-sync"), arguments)
    }

    /// Another program, which becomes that one, with the same environment.
    pub(crate) fn command_of(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path()).env_clear().env("PATH", env!("PATH"));
        command.env("LD_SDK_KEY", "sdk-local").env("FLAGS", "A,B,C").env("DEBOUNCE_MS", "0");
        command.env("LAUNCHDARKLY_STREAM_URI", self.standin.url());
        command.env("LAUNCHDARKLY_EVENTS_URI", self.standin.url());
        command.env("LAUNCHDARKLY_BASE_URI", self.standin.url());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Daemon {
        Daemon::of(self.command(arguments))
    }

    /// A second one, with a file of its own. Streams are served in the order of their opening: what the second has, the
    /// first was sent.
    pub(crate) async fn witness(&self) -> Daemon {
        let witness = self.start(&["--env-file-path", "witness.env"]);
        self.reads("witness.env", "A=a\nB=b\nC=c\n").await;
        witness
    }

    /// Runs it to its end: code, stdout, stderr.
    pub(crate) async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        finished(self.command(arguments)).await
    }

    pub(crate) fn set(&self, flag: &str, value: &Value) {
        self.standin.set_field(ItemKind::Flag, flag, "variations", json!([value])).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Waits until the file has this text.
    pub(crate) async fn reads(&self, name: &str, text: &str) {
        until(|| self.text(name) == text, || format!("{name} to be {text:?}, not {:?}", self.text(name))).await;
    }

    pub(crate) fn mode(&self, name: &str) -> u32 {
        std::fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o7777
    }

    /// What changes with every write.
    pub(crate) fn identity(&self, name: &str) -> (u64, i64, i64) {
        let metadata = std::fs::metadata(self.path(name)).unwrap();
        (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
    }

    /// All other files of the folder.
    pub(crate) fn beside(&self, name: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|other| other != name && !other.ends_with("-lock")).collect();
        names.sort_unstable();
        names
    }
}

pub(crate) async fn finished(command: Command) -> (i32, String, String) {
    let output = patience::output(command).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// The program at work. Killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Daemon {
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, kept) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&log));
        tokio::spawn(async move {
            let mut lines = lines.lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut log = kept.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, log }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) async fn says(&self, text: &str) {
        until(|| self.log().contains(text), || format!("{text:?} in the log:\n{}", self.log())).await;
    }

    pub(crate) async fn says_times(&self, text: &str, times: usize) {
        until(|| self.log().matches(text).count() >= times, || format!("{times} × {text:?}:\n{}", self.log())).await;
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Its exit code.
    pub(crate) async fn ended(&mut self) -> i32 {
        let awaited = || format!("its end:\n{}", self.log.lock().unwrap());
        let ended = patience::in_time(self.child.wait(), awaited).await;
        ended.unwrap().unwrap().code().unwrap_or(-1)
    }

    pub(crate) async fn terminated(mut self) -> i32 {
        self.signal(Signal::TERM);
        self.ended().await
    }
}

/// Nobody tells when a file has changed, so it is looked at again and again.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool, wanted: impl FnOnce() -> String) {
    patience::until(async || is_so(), wanted).await.unwrap();
}
