//! One process of the group, as the master sees it.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::frame::{Outbox, Reader};

/// What a process is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Worker,
    Helper,
}

impl Role {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Helper => "helper",
        }
    }
}

/// How far a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Ready,
    /// Told to end; killed if it has not by then.
    Ending {
        kill_at: Instant,
    },
}

#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) role: Role,
    pub(super) row: usize,
    pub(super) generation: u64,
    pub(super) era: u64,
    pub(super) phase: Phase,
    pub(super) born: Instant,
    pub(super) link: UnixStream,
    pub(super) outbox: Outbox,
    pub(super) reader: Reader,
    /// Whether the other end of the link is closed.
    pub(super) is_silent: bool,
    /// Whether it is a worker that accepts nothing any more.
    pub(super) has_drained: bool,
}

impl Child {
    pub(super) fn new(pid: Pid, role: Role, row: usize, (generation, era): (u64, u64), link: UnixStream) -> Self {
        Self {
            pid,
            role,
            row,
            generation,
            era,
            phase: Phase::Starting,
            born: Instant::now(),
            link,
            outbox: Outbox::default(),
            reader: Reader::default(),
            is_silent: false,
            has_drained: false,
        }
    }

    pub(super) const fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending { .. })
    }

    /// Sends a message, or keeps it until there is room.
    pub(super) fn tell(&mut self, frame: Rc<[u8]>) {
        self.outbox.push(frame);
        self.flush();
    }

    /// Sends what was kept. A link that is broken belongs to a process that is about to be reaped.
    pub(super) fn flush(&mut self) {
        if self.outbox.write_to(&self.link).is_err() {
            self.outbox = Outbox::default();
            self.is_silent = true;
        }
    }

    /// Takes in what there is to read.
    pub(super) fn receive(&mut self) {
        let mut bytes = vec![0; 16 * 1024];
        while !self.is_silent {
            match (&self.link).read(&mut bytes) {
                Ok(0) => self.is_silent = true,
                Ok(count) => self.reader.push(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.is_silent = true,
            }
        }
    }

    pub(super) fn end_by(&mut self, kill_at: Instant) {
        self.phase = Phase::Ending { kill_at };
    }

    pub(super) fn signal(&self, signal: Signal) {
        // It can only fail where the process has ended, which is what is wanted.
        let _ = kill(self.pid, signal);
    }
}
