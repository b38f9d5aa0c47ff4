//! One execution environment: a function's process and its Runtime API.

use super::environment;
use super::error::{InvokeError, SpawnError};
use super::function::Function;
use super::logs::{self, Logs};
use super::runtime_api::{RuntimeApi, Stage};
use bytes::Bytes;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long a function may take to ask for its first invocation, or as long as an invocation may, where that is more:
/// after this time Lambda starts it once more, within the first invocation.
const INIT_LIMIT: Duration = Duration::from_secs(10);

/// A running function. Dropping it kills the process.
pub struct FunctionProcess {
    function: Function,
    api: RuntimeApi,
    pid: u32,
    started: Instant,
    logs: Logs,
    /// How the process ended, once it has.
    exit: watch::Receiver<Option<String>>,
    kill: mpsc::Sender<()>,
    watcher: JoinHandle<()>,
}

/// A function's answer as it came.
#[derive(Debug, Clone)]
pub struct Invoked {
    /// The answer's bytes.
    pub body: Bytes,
    /// From handing over the event to having the whole answer. The process's start is not in it.
    pub duration: Duration,
}

impl Invoked {
    /// The answer as JSON.
    pub fn json(&self) -> Result<Value, InvokeError> {
        serde_json::from_slice(&self.body).map_err(InvokeError::NotJson)
    }
}

impl FunctionProcess {
    /// Starts `binary` with nothing but Lambda's variables and `variables`.
    pub async fn spawn<N: Into<String>, V: Into<String>>(
        binary: impl Into<PathBuf>,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, SpawnError> {
        Function::new(binary).envs(variables).spawn().await
    }

    pub(super) async fn start(function: &Function) -> Result<Self, SpawnError> {
        let arn = format!("arn:aws:lambda:{}:123456789012:function:{}", environment::REGION, function.name());
        let api = RuntimeApi::start(arn).await.map_err(SpawnError::Listen)?;
        let started = Instant::now();
        let mut child = Command::new(function.binary())
            .env_clear()
            .envs(environment::variables(function, api.address()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| SpawnError::Start { binary: function.binary().to_owned(), source })?;
        let logs = collect_output(&mut child, function);
        let (kill, killed) = mpsc::channel(1);
        let (ended, exit) = watch::channel(None);
        Ok(Self {
            function: function.clone(),
            api,
            // Only a child that was waited for has none.
            pid: child.id().unwrap_or_default(),
            started,
            watcher: tokio::spawn(watch_child(child, killed, ended, logs.clone())),
            logs,
            exit,
            kill,
        })
    }

    /// Waits until the function asks for its first invocation; how long that took since the
    /// process was started.
    pub async fn ready(&self) -> Result<Duration, InvokeError> {
        let mut stage = self.api.stage();
        let limit = INIT_LIMIT.max(self.function.time_limit());
        let reached = async {
            let reached = stage.wait_for(|stage| !matches!(stage, Stage::Starting)).await;
            reached.map_or(Stage::Starting, |stage| stage.clone())
        };
        tokio::select! {
            stage = reached => match stage {
                Stage::Ready(moment) => Ok(moment.duration_since(self.started)),
                Stage::Failed(error) => Err(InvokeError::Init(error)),
                Stage::Starting => Err(InvokeError::TimedOut { limit }),
            },
            death = self.death() => Err(death),
            () = tokio::time::sleep(limit) => {
                self.kill().await;
                Err(InvokeError::TimedOut { limit })
            }
        }
    }

    /// Invokes the function with `event`, within the function's time limit.
    pub async fn invoke(&self, event: &Value) -> Result<Value, InvokeError> {
        self.invoke_raw(event.to_string()).await?.json()
    }

    /// Invokes the function with an event of any bytes; gives the answer's bytes, and the time.
    pub async fn invoke_raw(&self, event: impl Into<Bytes>) -> Result<Invoked, InvokeError> {
        self.invoke_within(event, self.function.time_limit()).await
    }

    /// As [`FunctionProcess::invoke_raw`], within a limit of its own.
    pub async fn invoke_within(&self, event: impl Into<Bytes>, limit: Duration) -> Result<Invoked, InvokeError> {
        self.ready().await?;
        let began = Instant::now();
        let answer = self.api.invoke(event.into(), limit);
        tokio::select! {
            Ok(answer) = answer => {
                let duration = began.elapsed();
                answer.map(|body| Invoked { body, duration }).map_err(InvokeError::Function)
            }
            death = self.death() => Err(death),
            () = tokio::time::sleep(limit) => {
                self.kill().await;
                Err(InvokeError::TimedOut { limit })
            }
        }
    }

    /// Waits for the process's end, and says how it ended.
    async fn death(&self) -> InvokeError {
        let status = self.exited().await;
        if let Stage::Failed(error) = &*self.api.stage().borrow() {
            return InvokeError::Init(error.clone());
        }
        InvokeError::Died { status, last_lines: self.logs.last(20) }
    }

    /// Kills the process (SIGKILL) and waits until it is gone.
    pub async fn kill(&self) {
        let _ = self.kill.try_send(());
        self.exited().await;
    }

    /// Waits until the process has ended by itself or was killed; how it ended.
    pub async fn exited(&self) -> String {
        let mut exit = self.exit.clone();
        exit.wait_for(Option::is_some).await.ok().and_then(|status| status.clone()).unwrap_or_default()
    }

    /// Whether the process still runs.
    pub fn is_running(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What the process writes.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }
}

impl Drop for FunctionProcess {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl std::fmt::Debug for FunctionProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FunctionProcess")
            .field("function", &self.function)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

fn collect_output(child: &mut Child, function: &Function) -> Logs {
    let (writer, logs) = logs::channel();
    let sink = function.line_sink();
    let on_line = move |line: &str| {
        if let Some(sink) = &sink {
            sink(line);
        }
    };
    if let Some(stdout) = child.stdout.take() {
        tokio::spawn(writer.clone().collect(stdout, on_line.clone()));
    }
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(writer.collect(stderr, on_line));
    }
    logs
}

/// Owns the child: when this task is dropped, the child is killed.
async fn watch_child(
    mut child: Child,
    mut killed: mpsc::Receiver<()>,
    ended: watch::Sender<Option<String>>,
    logs: Logs,
) {
    let status = tokio::select! {
        status = child.wait() => status,
        Some(()) = killed.recv() => {
            let _ = child.start_kill();
            child.wait().await
        }
    };
    // Its last lines explain its end, so they come first; but a grandchild may hold the outputs.
    let _ = tokio::time::timeout(Duration::from_secs(1), logs.ended()).await;
    ended.send_replace(Some(status.map_or_else(|error| error.to_string(), |status| status.to_string())));
}
