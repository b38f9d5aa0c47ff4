//! Fetches an environment's payload before the fork, in a child that leaves nothing behind but the bytes.
//!
//! Fetching takes a runtime, TLS and threads for names, none of which may be in a process that is going to fork. So a
//! short-lived child does it and writes what it got to a pipe. That bounds the wait too: when the time is up, or a
//! signal comes, the child is killed.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use flagcache_launchdarkly::Limits;
use flagcache_launchdarkly::endpoints::BaseUri;
use flagcache_launchdarkly::polling::{Fetched, PollingClient};
use flagcache_payload::{Payload, PayloadError};
use flagcache_program::one_line;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use secrecy::SecretString;
use thiserror::Error;

use crate::runtime::small_runtime;
use crate::sys::{self, ForkError, Side};

/// What to fetch, and for how long.
#[derive(Debug)]
pub struct Preload {
    /// The polling service.
    pub base_uri: BaseUri,
    /// Whose payload.
    pub sdk_key: SecretString,
    /// How long it may take in all.
    pub within: Duration,
}

/// Why there is no payload.
#[derive(Debug, Error)]
pub enum PreloadError {
    /// LaunchDarkly did not give one; its own words.
    #[error("fetch the flags before the fork: {0}")]
    Fetch(String),
    /// It takes too long.
    #[error("fetch the flags before the fork: LaunchDarkly did not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// A signal came first.
    #[error("fetch the flags before the fork: a signal came first")]
    Interrupted,
    /// What came is no payload.
    #[error("fetch the flags before the fork")]
    Payload(#[source] PayloadError),
    /// No child.
    #[error(transparent)]
    Fork(#[from] ForkError),
    /// No pipe.
    #[error("read what the fetching process has fetched")]
    Pipe(#[source] io::Error),
}

/// What the child says first: what follows is a payload, or why there is none.
const FETCHED: u8 = b'+';
const FAILED: u8 = b'-';

/// Fetches the payload. Stops early where `interrupt` becomes readable. Must be called in a process with one thread,
/// and leaves it so.
pub fn preload(what: &Preload, interrupt: BorrowedFd<'_>) -> Result<Payload, PreloadError> {
    let (mut reading, mut writing) = io::pipe().map_err(PreloadError::Pipe)?;
    let own = Pid::this();
    let child = match sys::fork()? {
        Side::Parent(child) => child,
        Side::Child => {
            drop(reading);
            let sent = crate::worker::settle(own, Signal::SIGKILL).and_then(|()| send(&fetch(what), &mut writing));
            std::process::exit(i32::from(sent.is_err()));
        }
    };
    drop(writing);
    let received = receive(&mut reading, interrupt, what.within);
    // A child that has ended is there until it is waited for, so the number cannot be anybody else's.
    let _ = kill(child, Signal::SIGKILL);
    while waitpid(child, None) == Err(Errno::EINTR) {}
    let mut bytes = received?;
    match bytes.first() {
        Some(&FETCHED) => {
            bytes.remove(0);
            bytes.shrink_to_fit();
            Payload::parse(bytes.into()).map_err(PreloadError::Payload)
        }
        Some(_) => Err(PreloadError::Fetch(String::from_utf8_lossy(&bytes[1..]).into_owned())),
        None => Err(PreloadError::Fetch("the fetching process died".to_owned())),
    }
}

fn fetch(what: &Preload) -> Result<bytes::Bytes, String> {
    let runtime = small_runtime().map_err(|error| one_line(&error))?;
    let client = PollingClient::new(what.base_uri.clone(), Limits::default()).map_err(|error| one_line(&error))?;
    let deadline = what.within;
    runtime.block_on(async {
        let deadline = tokio::time::Instant::now() + deadline;
        match client.latest_all(&what.sdk_key, None, deadline).await {
            Ok(Fetched::Payload { body, .. }) => Ok(body),
            Ok(Fetched::NotModified) => Err("LaunchDarkly says that nothing has changed since never".to_owned()),
            Err(error) => Err(one_line(&error)),
        }
    })
}

fn send(fetched: &Result<bytes::Bytes, String>, pipe: &mut impl Write) -> io::Result<()> {
    let (mark, bytes) = match fetched {
        Ok(body) => (FETCHED, &body[..]),
        Err(why) => (FAILED, why.as_bytes()),
    };
    pipe.write_all(&[mark])?;
    pipe.write_all(bytes)
}

fn receive(pipe: &mut io::PipeReader, interrupt: BorrowedFd<'_>, within: Duration) -> Result<Vec<u8>, PreloadError> {
    let end = Instant::now() + within;
    let mut bytes = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(PreloadError::TimedOut(within));
        }
        let mut both = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN), PollFd::new(interrupt, PollFlags::POLLIN)];
        let milliseconds = u16::try_from(left.as_millis()).unwrap_or(u16::MAX).max(1);
        match poll(&mut both, PollTimeout::from(milliseconds)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(PreloadError::Pipe(error.into())),
        }
        let [is_written, is_interrupted] = both.map(|descriptor| descriptor.any().unwrap_or(false));
        if is_interrupted {
            return Err(PreloadError::Interrupted);
        }
        if is_written {
            match pipe.read(&mut piece).map_err(PreloadError::Pipe)? {
                0 => return Ok(bytes),
                count => bytes.extend_from_slice(&piece[..count]),
            }
        }
    }
}
