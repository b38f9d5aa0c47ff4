//! `env-sync` beside the daemon that everybody would write first: LaunchDarkly's Python SDK and python-dotenv.
//!
//! Both follow stand-ins with the same flags, without debounce, into a file in memory, and take turns. A change is timed
//! from the moment the stand-in is told to the moment a reader of the file sees it. So the stand-in's own work is in both
//! figures, and must be that of an optimised build; and each has a stand-in of its own, lest it be timed while the other
//! takes in the same change on the same processors.

use crate::report::Report;
use crate::sample::{cpu_of_running, median, median_bytes, resident};
use anyhow::{Context, Result, bail, ensure};
use flagcache_tests::binaries::binary;
use local::standin::{Standin, StandinOptions};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
/// How long an idle program is watched.
const IDLE: Duration = Duration::from_secs(20);
/// The flags that are kept, of all that there are.
const KEPT: [&str; 3] = ["FLAG_0", "FLAG_1", "FLAG_2"];

struct Daemon {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<PathBuf>,
}

/// A running daemon and its file.
struct Running {
    child: Child,
    folder: TempDir,
    started: Instant,
}

/// Measures both over an environment of this many flags.
pub(crate) async fn measure(flags: usize, runs: usize) -> Result<Report> {
    let daemons = [ours()?, python()?];
    let options = StandinOptions::default().data(payload(flags))?;
    let standins = [Standin::start(options.clone()).await?, Standin::start(options).await?];
    let mut report = Report::new(&format!("Daemons over {flags} flags"), &["env-sync", "Python", "1st : 2nd"]);
    let mut starts = [Vec::new(), Vec::new()];
    for _ in 0..runs {
        for ((daemon, standin), starts) in daemons.iter().zip(&standins).zip(&mut starts) {
            starts.push(daemon.start(standin)?.until(&value(0))?);
        }
    }
    report.times("start → file", &starts.map(median));

    let running = [daemons[0].start(&standins[0])?, daemons[1].start(&standins[1])?];
    for daemon in &running {
        daemon.until(&value(0))?;
    }
    let mut changes = [Vec::new(), Vec::new()];
    for number in 1..=runs.max(50) {
        for ((daemon, standin), changes) in running.iter().zip(&standins).zip(&mut changes) {
            changes.push(daemon.change(standin, number)?);
        }
    }
    report.times("change → file", &changes.map(median));
    let pids = running.each_ref().map(|daemon| daemon.child.id());
    let sizes = [resident(pids[0])?, resident(pids[1])?].map(|size| median_bytes(vec![size]));
    report.sizes("resident afterwards", &sizes);
    let before = [cpu_of_running(pids[0])?, cpu_of_running(pids[1])?];
    tokio::time::sleep(IDLE).await;
    let after = [cpu_of_running(pids[0])?, cpu_of_running(pids[1])?];
    let shares = (0..2).map(|at| after[at].saturating_sub(before[at]).as_secs_f64() / IDLE.as_secs_f64() * 100.0);
    report.row("CPU when idle", shares.map(|share| format!("{share:.3} %")).collect());
    Ok(report)
}

fn ours() -> Result<Daemon> {
    Ok(Daemon { name: "env-sync", program: std::path::absolute(binary("env-sync")?)?, arguments: Vec::new() })
}

fn python() -> Result<Daemon> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let status = Command::new(tests.join("interop/install-dotenv")).stdin(Stdio::null()).status()?;
    ensure!(status.success(), "failed to install the Python daemon; the lines above say why");
    let tools = std::env::var_os("FLAGCACHE_TOOLS_DIR").map_or_else(|| tests.join("../.tools"), PathBuf::from);
    let program = std::path::absolute(tools.join("dotenv/venv/bin/python"))?;
    Ok(Daemon { name: "Python", program, arguments: vec![tests.join("peers/dotenv/python/daemon.py")] })
}

impl Daemon {
    fn start(&self, standin: &Standin) -> Result<Running> {
        let folder = in_memory()?;
        let started = Instant::now();
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .current_dir(folder.path())
            .env("LD_SDK_KEY", "sdk-local")
            .env("FLAGS", KEPT.join(","))
            .env("ENV_FILE_PATH", folder.path().join(".env"))
            .env("DEBOUNCE_MS", "0")
            .env("LAUNCHDARKLY_STREAM_URI", standin.url())
            .env("LAUNCHDARKLY_EVENTS_URI", standin.url())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("failed to start {}", self.name))?;
        Ok(Running { child, folder, started })
    }
}

impl Running {
    /// The time from the start until the file has all flags, the first of them with this value. Looked at without a
    /// pause: a sleep would be longer than what is measured.
    fn until(&self, value: &str) -> Result<Duration> {
        let path = self.folder.path().join(".env");
        let wanted = KEPT.map(|flag| format!("{flag}="));
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if text.contains(value) && wanted.iter().all(|name| text.contains(name)) {
                return Ok(self.started.elapsed());
            }
            std::thread::yield_now();
        }
        bail!("{value} never came into {}", path.display())
    }

    fn change(&self, standin: &Standin, number: usize) -> Result<Duration> {
        let flag = flag(0, &value(number)).to_string();
        let since = Instant::now();
        standin.upsert_flag(&flag)?;
        self.until(&value(number))?;
        Ok(since.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn in_memory() -> Result<TempDir> {
    let folder = if Path::new("/dev/shm").is_dir() { tempfile::tempdir_in("/dev/shm") } else { tempfile::tempdir() };
    folder.context("failed to make a folder in memory")
}

fn value(number: usize) -> String {
    format!("https://api-{number}.example.com")
}

fn payload(flags: usize) -> String {
    let flags = (0..flags).map(|index| (format!("FLAG_{index}"), flag(index, &value(0))));
    let flags: serde_json::Map<String, Value> = flags.collect();
    json!({"flags": flags, "segments": {}}).to_string()
}

/// A flag of the usual size: a kilobyte of targets and rules, and one value for all.
fn flag(index: usize, value: &str) -> Value {
    let users: Vec<String> = (0..10).map(|user| format!("user-{index}-{user}")).collect();
    let rule = |number: usize| {
        json!({"id": format!("rule-{index}-{number}"), "variation": 1, "trackEvents": false, "clauses": [{
            "contextKind": "user", "attribute": "email", "op": "endsWith", "negate": false,
            "values": [format!("@x{index}-{number}.example.com")]}]})
    };
    json!({
        "key": format!("FLAG_{index}"), "version": 1, "on": true, "salt": "36c8f3da651effc7dcfbb8d1aca12bd9",
        "variations": [value, "https://b.example.com"], "fallthrough": {"variation": 0}, "offVariation": 1,
        "targets": [{"values": users, "variation": 1, "contextKind": "user"}], "contextTargets": [],
        "rules": [rule(0), rule(1), rule(2)], "prerequisites": [], "trackEvents": false, "deleted": false,
        "clientSideAvailability": {"usingMobileKey": false, "usingEnvironmentId": false},
        "trackEventsFallthrough": false, "debugEventsUntilDate": null, "clientSide": false
    })
}
