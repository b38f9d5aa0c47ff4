//! What the master waits for: signals, messages, room in a socket, the next thing due.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::child::Phase;
use super::{App, Master, MasterError};

/// The longest wait: heartbeats are looked at this often.
const LOOK: Duration = Duration::from_millis(500);

/// What people and service managers say. Those without a meaning here are taken too, as they would end the process.
const COMMANDS: [Signal; 8] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// Those that end the group.
const ENDS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT];

/// The signals that the master obeys, as descriptors.
#[derive(Debug)]
pub(super) struct Signals {
    all: SignalFd,
    ends: SignalFd,
}

impl Signals {
    /// Holds commands back.
    pub(super) fn block() -> nix::Result<Self> {
        let set: SigSet = COMMANDS.into_iter().collect();
        set.thread_block()?;
        let descriptor = |set: &SigSet| SignalFd::with_flags(set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
        Ok(Self { all: descriptor(&set)?, ends: descriptor(&ENDS.into_iter().collect())? })
    }

    /// Becomes readable also when a child has ended, from now on.
    pub(super) fn add_children(&self) -> nix::Result<()> {
        let set: SigSet = COMMANDS.into_iter().chain([Signal::SIGCHLD]).collect();
        set.thread_block()?;
        self.all.set_mask(&set)
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.all.as_fd()
    }

    /// Becomes readable when the group is told to end.
    pub(super) fn interrupt(&self) -> BorrowedFd<'_> {
        self.ends.as_fd()
    }

    fn next(&self) -> nix::Result<Option<Signal>> {
        let Some(info) = self.all.read_signal()? else { return Ok(None) };
        Ok(i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok()))
    }
}

impl<A: App> Master<'_, A> {
    /// Waits until there is something to do, and acts on signals and messages.
    pub(super) fn wait(&mut self) -> Result<(), MasterError> {
        self.sleep().map_err(MasterError::Wait)?;
        while let Some(signal) = self.next_signal().map_err(|error| MasterError::Wait(error.into()))? {
            self.obey(signal);
        }
        // One after the other is taken out, so that what it says can be acted on.
        for index in 0..self.children.len() {
            let mut child = self.children.swap_remove(index);
            child.flush();
            child.receive();
            self.read_messages(&mut child);
            self.children.push(child);
            let last = self.children.len() - 1;
            self.children.swap(index, last);
        }
        Ok(())
    }

    fn next_signal(&self) -> nix::Result<Option<Signal>> {
        self.signals.as_ref().map_or(Ok(None), Signals::next)
    }

    fn sleep(&self) -> io::Result<()> {
        let links = self.children.iter().filter(|child| !child.is_silent).map(|child| {
            let writing = if child.outbox.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
            PollFd::new(child.link.as_fd(), PollFlags::POLLIN | writing)
        });
        let signals = self.signals.iter().map(|signals| PollFd::new(signals.descriptor(), PollFlags::POLLIN));
        let mut all: Vec<PollFd<'_>> = signals.chain(links).collect();
        let milliseconds = u16::try_from(self.time_to_next().as_millis()).unwrap_or(u16::MAX);
        match poll(&mut all, PollTimeout::from(milliseconds)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn time_to_next(&self) -> Duration {
        let now = Instant::now();
        let kills = self.children.iter().filter_map(|child| match child.phase {
            Phase::Ending { kill_at } => Some(kill_at),
            _ => None,
        });
        let forks = [self.workers.not_before, self.helper.not_before].into_iter().filter(|at| *at > now);
        let next = kills.chain(forks).min().map_or(LOOK, |at| at.saturating_duration_since(now));
        // A millisecond more, as the wait is cut to whole ones.
        next.saturating_add(Duration::from_millis(1)).min(LOOK)
    }
}
