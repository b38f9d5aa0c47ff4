//! The one room of the workspace with `unsafe`: forking, memory that outlives the fork, sockets by number, the
//! allocator's habits.
//!
//! Each function is as small as it can be and safe to call from anywhere: what makes it sound is checked here and
//! nowhere else. Forking is refused in a process with more than one thread, because the child would hold whatever locks
//! the other threads held, for ever; that is what makes it possible to run ordinary code after the fork.

#![expect(
    unsafe_code,
    reason = "the standard library has no fork, no shared memory, no sockets by number and no say in malloc"
)]

use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::AtomicU64;

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::unistd::{ForkResult, Pid};
use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Why there is no child.
#[derive(Debug, Error)]
pub enum ForkError {
    /// There is more than this one thread.
    #[error("fork with {0} threads running: only a process with one thread can be forked")]
    Threads(usize),
    /// The threads cannot be counted.
    #[error("count this process's threads in /proc/self/task")]
    Count(#[source] io::Error),
    /// The kernel refuses, for want of memory or processes as a rule.
    #[error("fork: is the limit of processes or of memory reached?")]
    Refused(#[source] io::Error),
}

/// On which side of the fork the caller is.
#[derive(Debug)]
pub(crate) enum Side {
    Parent(Pid),
    Child,
}

/// How many threads this process has.
pub fn threads() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Forks this process, which must have one thread only.
pub(crate) fn fork() -> Result<Side, ForkError> {
    match threads().map_err(ForkError::Count)? {
        1 => {}
        several => return Err(ForkError::Threads(several)),
    }
    // SAFETY: there is no other thread, as was checked a moment ago, and none can come to be in between: only a thread
    // starts threads. So no lock is held by anybody who is not there after the fork, and the child may run any code.
    match unsafe { nix::unistd::fork() } {
        Ok(ForkResult::Parent { child }) => Ok(Side::Parent(child)),
        Ok(ForkResult::Child) => Ok(Side::Child),
        Err(error) => Err(ForkError::Refused(error.into())),
    }
}

/// Zeroed words that this process and all that it forks from now on have in common.
pub(crate) fn shared_words(count: NonZeroUsize) -> io::Result<&'static [AtomicU64]> {
    let bytes = count.checked_mul(const { NonZeroUsize::new(size_of::<AtomicU64>()).unwrap() });
    let bytes = bytes.ok_or(io::ErrorKind::OutOfMemory)?;
    let writable = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory that is in use.
    let start = unsafe { mmap_anonymous(None, bytes, writable, MapFlags::MAP_SHARED) }?;
    // SAFETY: the mapping is `count` times 8 bytes long, aligned to a page, zeroed (a valid value of `AtomicU64`) and
    // never unmapped. Other processes write to it too, which is what atomics are for.
    Ok(unsafe { std::slice::from_raw_parts(start.cast::<AtomicU64>().as_ptr(), count.get()) })
}

/// Takes over a descriptor that whoever started this process has left open for it.
pub(crate) fn inherited(descriptor: RawFd) -> io::Result<OwnedFd> {
    let flags = std::fs::symlink_metadata(format!("/proc/self/fd/{descriptor}"));
    flags.map_err(|error| io::Error::new(error.kind(), format!("descriptor {descriptor} is not open")))?;
    // SAFETY: it is open, as was checked; the protocol says that it is ours, and the caller takes it once only.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Has the runtime watch for connections, without accepting them yet.
pub(crate) fn watch(listener: TcpListener) -> io::Result<AsyncFd<TcpListener>> {
    // SAFETY: a listener keeps its one descriptor open until it is dropped, and nobody gets it out of the `AsyncFd`.
    unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) }.map_err(Into::into)
}

/// Has the allocator give memory back early, in this process and all that it forks. By default every thread may get an
/// arena of its own, and what was freed stays with them: after some load that was most of a worker's memory.
pub(crate) fn keep_memory_small() {
    #[cfg(target_env = "gnu")]
    for (habit, value) in [
        (libc::M_ARENA_MAX, 2),
        // Larger pieces go straight back to the system, which a fixed threshold keeps from growing.
        (libc::M_MMAP_THRESHOLD, 128 * 1024),
        (libc::M_TRIM_THRESHOLD, 128 * 1024),
    ] {
        // SAFETY: it takes two numbers and changes habits of the allocator under the allocator's own lock.
        unsafe { libc::mallopt(habit, value) };
    }
}

/// Gives back what is free now, wherever it lies.
pub(crate) fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number and touches only what is free, under the allocator's own lock.
    unsafe {
        libc::malloc_trim(0)
    };
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn a_process_with_several_threads_is_not_forked() {
        // The test runner itself has more than one.
        assert!(matches!(fork(), Err(ForkError::Threads(2..))));
    }

    #[test]
    fn shared_words_are_zero_at_first_and_can_be_written() {
        let words = shared_words(NonZeroUsize::new(1_000).unwrap()).unwrap();
        assert!(words.len() == 1_000 && words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        words[999].store(7, Ordering::Relaxed);
        assert_eq!(words[999].load(Ordering::Relaxed), 7);
    }

    #[test]
    fn a_descriptor_that_is_not_open_is_an_error() {
        assert_eq!(inherited(9_999).unwrap_err().to_string(), "descriptor 9999 is not open");
    }
}
