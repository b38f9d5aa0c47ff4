//! The master: forks workers and a helper, keeps their number, replaces, reloads and ends them.
//!
//! One thread, one loop, no runtime: everything that it waits for is a descriptor (`wait`), everything that it decides
//! is decided in [`Master::advance`] from what is so now, so no order of signals and deaths can lead anywhere special.
//! What the processes do and what their data means is the [`App`]'s affair. A child never comes back into this code:
//! it leaves through [`std::process::exit`].

mod child;
mod decide;
mod wait;

use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use thiserror::Error;

use self::child::{Child, Role};
use self::wait::Signals;
use crate::backoff::Backoff;
use crate::board::{Board, ROWS, Row};
use crate::frame::{Tag, frame};
use crate::listen::Listener;
use crate::notify::Notifier;
use crate::sys::{self, Side};
use crate::worker::{Worker, settle};

/// What the processes of a group do.
pub trait App {
    /// Runs in the master before each fork; the place for what should be inherited.
    fn before_fork(&mut self) {}

    /// Is a worker, in a process of its own, from the fork to the end; tells the exit code.
    fn worker(&mut self, worker: Worker) -> u8;

    /// Whether there should be a helper beside the workers, one for the group, always replaced when it dies.
    fn has_helper(&self) -> bool {
        false
    }

    /// Is the helper, as [`App::worker`] is a worker; it serves nobody, and hears of the end by a signal.
    fn helper(&mut self, _link: HelperLink) -> u8 {
        0
    }

    /// Runs in the master where a reload was asked for, before workers are replaced: the place to read a configuration
    /// anew. `interrupt` becomes readable when the group is told to end. Tells whether data comes from elsewhere from
    /// now on; then the helper is replaced, too, and nobody hears what processes of before report.
    fn reload(&mut self, _settings: &mut Settings, _interrupt: BorrowedFd<'_>) -> bool {
        false
    }

    /// Takes note in the master of data that a process reported, and tells what all workers should hear of it. Runs
    /// between forks: what is kept here, later workers inherit.
    fn relay(&mut self, _data: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// The helper's link to the master, by which each hears of the other.
#[derive(Debug)]
pub struct HelperLink {
    pub(crate) link: std::os::unix::net::UnixStream,
    pub(crate) row: Row,
    pub(crate) beat_every: Duration,
}

/// How a group is kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many workers.
    pub workers: usize,
    /// How long a worker may be silent before it is killed.
    pub timeout: Duration,
    /// How long a worker may take to end.
    pub graceful_timeout: Duration,
}

/// How long workers may take to send their last events where nothing else is waited for.
const QUIT_TIMEOUT: Duration = Duration::from_secs(3);

/// The master cannot go on.
#[derive(Debug, Error)]
pub enum MasterError {
    /// No signals, or nothing to wait with.
    #[error("set up the master's signals")]
    Signals(#[source] io::Error),
    /// The board.
    #[error("map the memory that the processes share")]
    Board(#[source] io::Error),
    /// The wait failed.
    #[error("wait for signals and messages")]
    Wait(#[source] io::Error),
}

/// Signals that have come in, for a master that is not running yet.
#[derive(Debug)]
pub struct Prepared {
    signals: Signals,
    /// Counters of the group.
    pub board: Board,
}

impl Prepared {
    /// Holds signals back from now on, so that none is lost between the start and [`run`], and has the allocator keep
    /// little that is free.
    pub fn new() -> Result<Self, MasterError> {
        sys::keep_memory_small();
        let signals = Signals::block().map_err(|error| MasterError::Signals(error.into()))?;
        Ok(Self { signals, board: Board::new().map_err(MasterError::Board)? })
    }

    /// Gives signals back to who is not going to be a master.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn release(self) -> io::Result<()> {
        nix::sys::signal::SigSet::all().thread_unblock().map_err(Into::into)
    }

    /// Becomes readable when a signal has come in that ends the group.
    pub fn interrupt(&self) -> BorrowedFd<'_> {
        self.signals.interrupt()
    }
}

/// The master's state.
struct Master<'a, A> {
    app: &'a mut A,
    settings: Settings,
    listener: Listener,
    board: Board,
    signals: Option<Signals>,
    notifier: Notifier,
    children: Vec<Child>,
    own: Pid,
    /// Workers of an earlier generation are replaced.
    generation: u64,
    /// Only processes of the same era speak of the same data.
    era: u64,
    /// When the next worker and the next helper may be forked.
    workers: Pace,
    helper: Pace,
    stopping: bool,
    quitting: bool,
    was_ready: bool,
    last_advance: Instant,
    last_beat: Instant,
}

/// How fast processes of a kind are forked.
struct Pace {
    backoff: Backoff,
    not_before: Instant,
}

impl Pace {
    fn new() -> Self {
        Self { backoff: Backoff::default(), not_before: Instant::now() }
    }

    fn pause(&mut self, pause: Duration) {
        self.not_before = self.not_before.max(Instant::now() + pause);
    }
}

/// Keeps a group until it is told to end. Must be called in a process with one thread.
pub fn run<A: App>(
    app: &mut A,
    settings: Settings,
    listener: Listener,
    prepared: Prepared,
    notifier: Notifier,
) -> Result<(), MasterError> {
    prepared.signals.add_children().map_err(|error| MasterError::Signals(error.into()))?;
    let now = Instant::now();
    let mut master = Master {
        app,
        settings,
        listener,
        board: prepared.board,
        signals: Some(prepared.signals),
        notifier,
        children: Vec::new(),
        own: Pid::this(),
        generation: 1,
        era: 1,
        workers: Pace::new(),
        helper: Pace::new(),
        stopping: false,
        quitting: false,
        was_ready: false,
        last_advance: now,
        last_beat: now,
    };
    master.keep()
}

impl<A: App> Master<'_, A> {
    fn keep(&mut self) -> Result<(), MasterError> {
        loop {
            self.reap();
            self.advance();
            if self.stopping && self.children.is_empty() {
                tracing::info!("all processes have ended");
                return Ok(());
            }
            self.wait()?;
        }
    }

    /// Forks a process. Where that fails, it is tried again after a pause.
    fn spawn(&mut self, role: Role) {
        self.app.before_fork();
        if let Err(error) = self.try_spawn(role) {
            let pace = self.pace(role);
            let pause = pace.backoff.failed(rand::random());
            pace.pause(pause);
            let error: &dyn std::error::Error = &*error;
            let cause = error.source().map(ToString::to_string);
            tracing::error!(%error, cause, retry_in_ms = pause.as_millis(), "failed to fork {}", role.name());
        }
    }

    fn try_spawn(&mut self, role: Role) -> Result<(), Box<dyn std::error::Error>> {
        let row = (0..ROWS).find(|row| self.children.iter().all(|child| child.row != *row)).unwrap_or(ROWS - 1);
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let forked = Instant::now();
        match sys::fork()? {
            Side::Parent(pid) => {
                let id = pid.as_raw().unsigned_abs();
                match role {
                    Role::Worker => self.board.row(row).begin(id),
                    Role::Helper => {
                        self.board.set_helper(id);
                        // It is no worker of this row, but is heard of by it.
                        self.board.row(row).beat();
                    }
                }
                tracing::debug!(pid = id, "forked {}", role.name());
                self.children.push(Child::new(pid, role, row, (self.generation, self.era), ours));
                Ok(())
            }
            Side::Child => {
                drop(ours);
                self.become_child(role, row, theirs, forked)
            }
        }
    }

    /// What happens in the child. The links of the others are closed first: a link that stays open in a sibling would
    /// hide the master's death.
    fn become_child(&mut self, role: Role, row: usize, link: std::os::unix::net::UnixStream, forked: Instant) -> ! {
        self.children.clear();
        self.signals = None;
        let on_death = match role {
            Role::Worker => Signal::SIGTERM,
            Role::Helper => Signal::SIGKILL,
        };
        let beat_every = (self.settings.timeout / 4).min(Duration::from_secs(1));
        let code = match settle(self.own, on_death).and_then(|()| self.listener.share()) {
            Err(error) => {
                tracing::error!(%error, "a forked process cannot start");
                1
            }
            Ok(listener) => match role {
                Role::Helper => self.app.helper(HelperLink { link, row: self.board.row(row), beat_every }),
                Role::Worker => self.app.worker(Worker {
                    row: self.board.row(row),
                    graceful_timeout: self.settings.graceful_timeout,
                    listener,
                    is_listener_ours: self.listener.is_ours(),
                    link: Some(link),
                    forked,
                    beat_every,
                }),
            },
        };
        std::process::exit(code.into())
    }

    /// Sends the application's data to every worker whose data it is.
    fn pass_on(&mut self, data: &[u8]) {
        let (frame, era): (Rc<[u8]>, _) = (frame(Tag::Data, data).into(), self.era);
        for child in self.children.iter_mut().filter(|child| child.role == Role::Worker && child.era == era) {
            child.tell(Rc::clone(&frame));
        }
    }

    fn pace(&mut self, role: Role) -> &mut Pace {
        match role {
            Role::Worker => &mut self.workers,
            Role::Helper => &mut self.helper,
        }
    }

    /// Ends the group. Told again, it does not wait for what is under way; told once more, for nothing.
    fn begin_stop(&mut self) {
        if self.stopping {
            return self.quit();
        }
        tracing::info!("ending: no new connections, what is under way is finished");
        self.notifier.send("STOPPING=1");
        self.stopping = true;
        self.listener.refuse_new();
        self.end_workers(Tag::Stop, self.settings.graceful_timeout + Duration::from_secs(1));
    }

    /// Ends the group without waiting for what is under way. Told again, without waiting at all.
    fn quit(&mut self) {
        if self.quitting {
            tracing::warn!("told to end once more: all processes are killed");
            let now = Instant::now();
            return self.children.iter_mut().for_each(|child| child.end_by(now));
        }
        tracing::warn!("ending at once: what is under way is cut off");
        self.notifier.send("STOPPING=1");
        (self.stopping, self.quitting) = (true, true);
        self.end_workers(Tag::Quit, QUIT_TIMEOUT);
    }

    fn end_workers(&mut self, tag: Tag, within: Duration) {
        let told: Rc<[u8]> = frame(tag, &[]).into();
        let kill_at = Instant::now() + within;
        for child in self.children.iter_mut().filter(|child| child.role == Role::Worker) {
            child.tell(Rc::clone(&told));
            child.end_by(kill_at);
        }
    }
}
