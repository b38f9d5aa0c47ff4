//! What can happen, and what is done about it.
//!
//! Signals come first and a due write comes before further changes, so that no storm holds up either.

use std::io;
use std::time::{Duration, Instant};

use flagcache_sdk::connection::State;
use flagcache_sdk::observable::Change;
use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};
use tokio::time::{Instant as Timer, sleep_until, timeout_at};

use super::Daemon;
use super::look::Looked;
use crate::analytics;
use crate::exit::Exit;
use crate::reload::child::Supervised;
use crate::settings::Mode;
use crate::status::{self, systemd};

/// After how long without a further change the stream has nothing more on its way.
const QUIET: Duration = Duration::from_millis(50);
/// And how long an endless storm may hold up the end.
const LAST_CHANGES: Duration = Duration::from_millis(500);

/// One of the things that can happen.
enum Event {
    Signal(Signal),
    Child(Exit),
    Due,
    Connection(State),
    /// Nothing where the store is gone.
    Changes(Option<Vec<Change>>),
    Deliver,
    Late,
}

/// The signals that the loop knows.
pub(super) struct Signals {
    /// Would end the process where a limit for the size of files is met; caught, the write fails as on a full disk.
    _too_large: unix::Signal,
    terminate: unix::Signal,
    interrupt: unix::Signal,
    quit: unix::Signal,
    hangup: unix::Signal,
    user1: unix::Signal,
    user2: unix::Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            _too_large: unix::signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?,
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            quit: unix::signal(SignalKind::quit())?,
            hangup: unix::signal(SignalKind::hangup())?,
            user1: unix::signal(SignalKind::user_defined1())?,
            user2: unix::signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.terminate.recv() => Signal::TERM,
            Some(()) = self.interrupt.recv() => Signal::INT,
            Some(()) = self.quit.recv() => Signal::QUIT,
            Some(()) = self.hangup.recv() => Signal::HUP,
            Some(()) = self.user1.recv() => Signal::USR1,
            Some(()) = self.user2.recv() => Signal::USR2,
            else => std::future::pending().await,
        }
    }
}

impl Daemon {
    /// Until something ends it.
    pub(super) async fn follow(&mut self) -> Exit {
        loop {
            let exit = match self.next().await {
                Event::Signal(signal) => self.signalled(signal),
                Event::Child(exit) => {
                    self.child = None;
                    Some(exit)
                }
                Event::Due => {
                    let looked = self.evaluate_and_look(Instant::now());
                    self.looked(looked)
                }
                Event::Connection(state) => self.connected(state),
                Event::Changes(Some(changes)) => self.changed(changes),
                Event::Changes(None) => Some(Exit::Failed),
                Event::Deliver => {
                    self.deliver_at = None;
                    self.analytics.deliver();
                    None
                }
                Event::Late => self.late(),
            };
            if let Some(exit) = exit {
                return exit;
            }
        }
    }

    async fn next(&mut self) -> Event {
        let late = self.late_at();
        tokio::select! {
            biased;
            signal = self.signals.next() => Event::Signal(signal),
            exit = ended(self.child.as_mut()) => Event::Child(exit),
            () = at(self.pace.due().map(Timer::from_std)) => Event::Due,
            Ok(()) = self.connection.changed() => Event::Connection(self.connection.borrow_and_update().clone()),
            changes = self.subscription.changed() => Event::Changes(changes),
            () = at(self.deliver_at) => Event::Deliver,
            () = at(late) => Event::Late,
        }
    }

    /// When whoever waits for LaunchDarkly has waited long enough; nothing where nobody does.
    fn late_at(&self) -> Option<Timer> {
        let has_command = !self.settings.reload.command.is_empty();
        let patience = match self.settings.mode {
            Mode::Follow if !has_command => systemd::PATIENCE,
            _ => self.settings.timeout,
        };
        let is_waiting = !self.progress.is_initialized || (has_command && self.child.is_none());
        (is_waiting && !self.progress.is_late).then(|| self.started + patience)
    }

    fn signalled(&mut self, signal: Signal) -> Option<Exit> {
        tracing::info!("received signal {}", signal.as_raw());
        if signal == Signal::TERM || signal == Signal::INT || (signal == Signal::QUIT && self.child.is_none()) {
            return Some(Exit::Done);
        }
        if let Some(child) = &self.child {
            child.pass(signal);
        }
        if signal == Signal::HUP && self.progress.is_initialized {
            let looked = self.evaluate_and_look(Instant::now());
            return self.looked(looked);
        }
        None
    }

    fn connected(&mut self, state: State) -> Option<Exit> {
        let problem = match state {
            State::Connecting => return None,
            State::Open => {
                tracing::info!("LaunchDarkly's stream is open");
                None
            }
            State::Failing { problem } => {
                tracing::warn!(
                    problem,
                    "LaunchDarkly cannot be reached; the file stays as it is, and it is tried again"
                );
                Some(problem)
            }
            State::Refused { status } => {
                let problem = format!("LaunchDarkly refuses the SDK key (status {status})");
                tracing::error!("{problem}; check LD_SDK_KEY: it must be the environment's server-side SDK key");
                if !self.progress.is_initialized {
                    return Some(Exit::Failed);
                }
                Some(problem)
            }
        };
        self.status.update(|facts| {
            facts.connected = problem.is_none();
            facts.connections += u64::from(problem.is_none());
            facts.stream_problem = problem;
        });
        None
    }

    fn changed(&mut self, changes: Vec<Change>) -> Option<Exit> {
        let now = Instant::now();
        if self.progress.is_initialized {
            let is_over = self.settings.mode != Mode::Follow;
            if !is_over && self.values.note(changes) {
                self.status.update(|facts| facts.last_event = Some(status::now()));
                self.pace.event(now);
            }
            return None;
        }
        let items = self.items();
        tracing::info!("LaunchDarkly's flags are here: {} items", changes.len());
        let evaluated = self.values.evaluate_all(&items);
        self.evaluated(evaluated);
        self.progress.is_initialized = true;
        if let Mode::Preview { show_values } = self.settings.mode {
            return Some(self.show_difference(show_values));
        }
        let looked = self.look(now);
        self.values.learn(&*items);
        self.looked(looked)
    }

    /// What was written, or not, may end the program.
    fn looked(&self, looked: Looked) -> Option<Exit> {
        match (looked, self.settings.mode) {
            (Looked::Forbidden, _) | (Looked::Failed | Looked::Incomplete, Mode::Once) => Some(Exit::Failed),
            (Looked::Complete, Mode::Once) if self.child.is_none() => Some(Exit::Done),
            _ => None,
        }
    }

    fn late(&mut self) -> Option<Exit> {
        self.progress.is_late = true;
        if !self.progress.is_initialized {
            let problem = self.status.facts().stream_problem.unwrap_or_else(|| "no answer".to_owned());
            if self.settings.mode != Mode::Follow {
                tracing::error!(
                    "LaunchDarkly sent no flags within {:?} ({problem}); nothing was written",
                    self.settings.timeout
                );
                return Some(Exit::Failed);
            }
            tracing::warn!("LaunchDarkly has sent no flags yet ({problem}); the file stays as it is until it does");
            systemd::ready("waiting for LaunchDarkly; the file has the last known values");
        }
        self.start_command_with_last_known_values();
        None
    }

    /// Takes note of evaluations, whose events go out a little later.
    pub(super) fn evaluated(&mut self, flags: Vec<String>) {
        self.analytics.note(flags);
        if self.analytics.is_waiting() && self.deliver_at.is_none() {
            self.deliver_at = Some(Timer::now() + analytics::GATHERING);
        }
    }

    /// What was on its way when the end came: a change that was made before the signal is not lost to it.
    pub(super) async fn take_in_the_last_changes(&mut self) {
        let until = Timer::now() + LAST_CHANGES;
        while self.progress.is_initialized {
            let quiet = until.min(Timer::now() + QUIET);
            let Ok(Some(changes)) = timeout_at(quiet, self.subscription.changed()).await else { return };
            if self.values.note(changes) {
                self.pace.event(Instant::now());
            }
        }
    }
}

async fn at(time: Option<Timer>) {
    match time {
        // The timer would round up to its next millisecond.
        Some(time) if time <= Timer::now() => {}
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn ended(child: Option<&mut Supervised>) -> Exit {
    match child {
        Some(child) => child.ended().await,
        None => std::future::pending().await,
    }
}
