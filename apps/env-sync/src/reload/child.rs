//! A program that runs with the values in its environment and is started anew when they change.
//!
//! It leads a process group of its own, and what it is sent goes to the whole group. It is ended with SIGTERM, and with
//! SIGKILL ten seconds later. When it ends by itself, `env-sync` ends with its code: who started both should know.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Environment, splay};
use crate::exit::Exit;
use crate::status::Status;

/// How long the program may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// What the program is told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Nothing.
    Run,
    /// This signal.
    Pass(Signal),
    /// To end.
    End,
}

/// The supervisor's end of the program.
pub struct Supervised {
    environment: watch::Sender<Environment>,
    orders: watch::Sender<(u64, Order)>,
    task: JoinHandle<Exit>,
}

impl Supervised {
    /// Starts the program.
    pub fn start(command: Vec<OsString>, environment: &Environment, longest_splay: Duration, status: Status) -> Self {
        let (sender, changes) = watch::channel(std::sync::Arc::clone(environment));
        let (orders, received) = watch::channel((0, Order::Run));
        let task = tokio::spawn(supervise(command, changes, received, longest_splay, status));
        Self { environment: sender, orders, task }
    }

    /// Starts it anew with these values.
    pub fn changed(&self, environment: &Environment) {
        self.environment.send_replace(std::sync::Arc::clone(environment));
    }

    /// Passes a signal on.
    pub fn pass(&self, signal: Signal) {
        self.orders.send_modify(|(number, order)| (*number, *order) = (*number + 1, Order::Pass(signal)));
    }

    /// Waits until the program ends by itself, or cannot be started.
    pub async fn ended(&mut self) -> Exit {
        (&mut self.task).await.unwrap_or(Exit::Failed)
    }

    /// Ends it.
    pub async fn end(self) {
        let Self { environment, orders, task } = self;
        // Cuts a splay short.
        drop(environment);
        orders.send_modify(|(number, order)| (*number, *order) = (*number + 1, Order::End));
        // However it ended.
        let _ = task.await;
    }
}

enum Event {
    Ended(std::io::Result<ExitStatus>),
    Changed,
    Order(Order),
}

async fn supervise(
    command: Vec<OsString>,
    mut changes: watch::Receiver<Environment>,
    mut orders: watch::Receiver<(u64, Order)>,
    longest_splay: Duration,
    status: Status,
) -> Exit {
    let Some(mut child) = start(&command, &changes.borrow_and_update()) else { return Exit::Failed };
    loop {
        let event = tokio::select! {
            ended = child.wait() => Event::Ended(ended),
            Ok(()) = changes.changed() => Event::Changed,
            Ok(()) = orders.changed() => Event::Order(orders.borrow_and_update().1),
        };
        match event {
            Event::Ended(ended) => return exit(&ended),
            Event::Order(Order::Run) => {}
            Event::Order(Order::Pass(name)) => signal(&child, name),
            Event::Order(Order::End) => return end(&mut child).await,
            Event::Changed => {
                splay(longest_splay, &mut changes).await;
                if let Ok(Some(ended)) = child.try_wait() {
                    return exit(&Ok(ended));
                }
                tracing::info!("the values have changed: the command is started anew");
                end(&mut child).await;
                status.reloaded(true);
                let Some(next) = start(&command, &changes.borrow_and_update()) else { return Exit::Failed };
                child = next;
            }
        }
    }
}

fn start(command: &[OsString], environment: &Environment) -> Option<Child> {
    let (program, arguments) = command.split_first()?;
    let started =
        Command::new(program).args(arguments).envs(environment.iter()).process_group(0).kill_on_drop(true).spawn();
    match started {
        Ok(child) => {
            tracing::info!(pid = child.id(), "the command is started");
            Some(child)
        }
        Err(error) => {
            tracing::error!(program = %program.display(), %error, "the command cannot be started");
            None
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(Err(error)) = group.map(|group| kill_process_group(group, signal)) {
        tracing::debug!(%error, "the command could not be signalled");
    }
}

async fn end(child: &mut Child) -> Exit {
    signal(child, Signal::TERM);
    if let Ok(ended) = tokio::time::timeout(GRACE, child.wait()).await {
        return exit(&ended);
    }
    tracing::warn!("the command did not end within {GRACE:?} and is killed");
    signal(child, Signal::KILL);
    exit(&child.wait().await)
}

fn exit(ended: &std::io::Result<ExitStatus>) -> Exit {
    let Ok(status) = ended else { return Exit::Failed };
    tracing::info!("the command ended: {status}");
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).map_or(Exit::Failed, Exit::Command)
}
