//! A server with its LaunchDarkly, and what tests do with both.

pub(crate) use local::patience::PATIENCE;
use local::patience::{self, output_blocking};
use local::standin::{Standin, StandinOptions};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A server, ended with the test.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

/// The flag of `GET /flag`, on or off.
pub(crate) fn sample_flag(on: bool, version: u64) -> Value {
    json!({
        "key": "sample-flag", "on": on, "version": version, "variations": [true, false], "offVariation": 1,
        "fallthrough": {"variation": 0}, "targets": [], "contextTargets": [], "rules": [], "prerequisites": [],
        "salt": "s", "trackEvents": false, "clientSideAvailability": {"usingEnvironmentId": true, "usingMobileKey": true},
    })
}

pub(crate) async fn standin() -> Standin {
    let standin = Standin::start(StandinOptions::default()).await.unwrap();
    standin.upsert_flag(&sample_flag(false, 1_000)).unwrap();
    standin
}

/// The command with a clean environment, for a LaunchDarkly at `url`.
pub(crate) fn command(url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_prefork-server"));
    command
        .env_clear()
        .env("LAUNCHDARKLY_SDK_KEY", "sdk-local")
        .envs(["LAUNCHDARKLY_BASE_URI", "LAUNCHDARKLY_STREAM_URI", "LAUNCHDARKLY_EVENTS_URI"].map(|name| (name, url)))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

impl Server {
    /// Starts a server on a free port and waits until it answers.
    pub(crate) async fn start(standin: &Standin, options: &[&str]) -> Self {
        Self::start_at(&standin.url(), options).await
    }

    pub(crate) async fn start_at(url: &str, options: &[&str]) -> Self {
        Self::run(command(url), options).await
    }

    pub(crate) async fn run(mut command: Command, options: &[&str]) -> Self {
        command.args(["--bind", "127.0.0.1:0"]).args(options);
        Self::run_as_is(command).await
    }

    pub(crate) async fn run_as_is(mut command: Command) -> Self {
        let folder = TempDir::new().unwrap();
        // A server of another user has to be able to stand in it.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        command.current_dir(folder.path()).stderr(log);
        let child = command.spawn().unwrap();
        let mut server = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), folder };
        server.address = server.await_log("address=").await;
        until(async || server.get("/").await.is_some()).await;
        server
    }

    /// The address that the log tells, as the port was the system's choice.
    async fn await_log(&self, what: &str) -> SocketAddr {
        let address = || {
            let log = self.log();
            let (_, rest) = log.split_once(what)?;
            // The line may be there in part.
            let (word, _) = rest.split_once(char::is_whitespace)?;
            word.trim_matches('"').parse().ok()
        };
        until(async || address().is_some()).await;
        address().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn master(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// The master's children, the stream holder among them.
    pub(crate) fn children(&self) -> Vec<Pid> {
        children(self.master())
    }

    /// The workers there are, as the metrics tell.
    pub(crate) async fn workers(&self) -> Vec<Pid> {
        let metrics = self.get("/metrics").await.unwrap_or_default();
        let lines = metrics.lines().filter_map(|line| line.strip_prefix("prefork_worker_ready_seconds{pid=\""));
        lines.filter_map(|line| line.split('"').next()?.parse().ok()).map(Pid::from_raw).collect()
    }

    /// The process that holds the stream: the child that is no worker. Nothing as long as also a worker that is not
    /// ready yet could be meant.
    pub(crate) async fn holder(&self) -> Option<Pid> {
        let workers = self.workers().await;
        let mut others = self.children().into_iter().filter(|child| !workers.contains(child));
        others.next().filter(|_| others.next().is_none())
    }

    /// Waits until there are so many children, the stream holder among them, and all workers are ready.
    pub(crate) async fn until_grown_to(&self, children: usize) -> Vec<Pid> {
        until(async || self.children().len() == children && self.holder().await.is_some()).await;
        self.children()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.master(), signal).unwrap();
    }

    /// A whole exchange on a connection of its own; nothing where it fails.
    pub(crate) async fn exchange(&self, request: &[u8]) -> Option<String> {
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await.ok()?;
            stream.write_all(request).await.ok()?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.ok()?;
            String::from_utf8(answer).ok()
        };
        tokio::time::timeout(PATIENCE, exchange).await.unwrap()
    }

    /// Status and body of an answer.
    pub(crate) async fn ask(&self, method: &str, target: &str, body: &str) -> Option<(u16, String)> {
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let answer = self.exchange(request.as_bytes()).await?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// The body of a 200.
    pub(crate) async fn get(&self, target: &str) -> Option<String> {
        let (status, body) = self.ask("GET", target, "").await?;
        (status == 200).then_some(body)
    }

    pub(crate) async fn json(&self, target: &str) -> Value {
        serde_json::from_str(&self.get(target).await.unwrap()).unwrap()
    }

    /// Waits until every worker there is has answered `GET /flag` with this value, and none with another since.
    pub(crate) async fn until_all_say(&self, value: bool) {
        until(async || {
            for _ in 0..20 {
                if self.json("/flag").await["value"] != value {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// Waits for the end, which must come.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        ended(&mut self.child).await
    }

    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended().await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let children = self.children();
        let _ = self.child.kill();
        let _ = self.child.wait();
        for child in children {
            let _ = kill(child, Signal::SIGKILL);
        }
        if std::thread::panicking() {
            println!("{}", self.log());
        }
    }
}

pub(crate) fn children(of: Pid) -> Vec<Pid> {
    let list = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
}

/// Whether a process runs; one that only waits to be reaped does not.
pub(crate) fn runs(pid: Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

/// Waits until something is so, of which nobody tells.
#[track_caller]
pub(crate) fn until(is_so: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let place = Location::caller();
    async move { patience::until(is_so, || format!("what stands at {place}")).await.unwrap() }
}

/// Waits for a process's end, which must come.
#[track_caller]
pub(crate) fn ended(child: &mut Child) -> impl Future<Output = ExitStatus> {
    let place = Location::caller();
    async move {
        let awaited = || format!("the end of a process, at {place}");
        let mut status = None;
        let has_ended = async || {
            status = child.try_wait().unwrap();
            status.is_some()
        };
        patience::until(has_ended, awaited).await.unwrap();
        status.unwrap()
    }
}

/// Everything until the other side closes the connection, which it must.
pub(crate) async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    // A connection that is reset has ended, too.
    let read = patience::in_time(stream.read_to_end(&mut answer), || "the end of a connection".to_owned()).await;
    let _ = read.unwrap();
    answer
}

/// How a command ended that is no server; code and standard error.
pub(crate) fn finished(command: Command) -> (Option<i32>, String) {
    let ended = output_blocking(command).unwrap();
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
}

/// Copies the server's program. By another process: while this one had it open to write, children that other tests
/// start would have it open, too, and nobody could run it ("text file busy").
pub(crate) fn copy_program(to: &Path) {
    let mut copy = Command::new("cp");
    copy.arg(env!("CARGO_BIN_EXE_prefork-server")).arg(to);
    assert_eq!(finished(copy), (Some(0), String::new()));
}
