//! A worker's runtime, once it is known that its threads can be had.
//!
//! Tokio and LaunchDarkly's SDK panic where the system refuses a thread. So as many as they are going to start are started
//! here first, and only if the system grants them all does anything else begin.

use std::io;

use thiserror::Error;
use tokio::runtime::{Builder, Runtime};

use crate::turn;

/// Why there is no runtime.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// The system refuses a thread.
    #[error("start {wanted} threads, the limit of processes or threads is reached after {had}")]
    Threads {
        /// How many are needed.
        wanted: usize,
        /// How many the system granted.
        had: usize,
        /// Its words.
        #[source]
        source: io::Error,
    },
    /// Anything else.
    #[error("build the runtime")]
    Build(#[source] io::Error),
}

/// A runtime with this many threads, in a process that is going to start `others` beside them.
pub fn runtime(threads: usize, others: usize) -> Result<Runtime, RuntimeError> {
    check(threads + others)?;
    let mut builder = Builder::new_multi_thread();
    turn::take(builder.worker_threads(threads).enable_all()).build().map_err(RuntimeError::Build)
}

/// A runtime in the caller's thread, which starts one more where it has to resolve a name.
pub fn small_runtime() -> Result<Runtime, RuntimeError> {
    check(1)?;
    Builder::new_current_thread().enable_all().build().map_err(RuntimeError::Build)
}

/// Starts so many threads at once, and ends them.
fn check(wanted: usize) -> Result<(), RuntimeError> {
    let mut granted = Vec::with_capacity(wanted);
    let refused = (0..wanted).find_map(|_| match std::thread::Builder::new().spawn(std::thread::park) {
        Ok(thread) => {
            granted.push(thread);
            None
        }
        Err(error) => Some(error),
    });
    let had = granted.len();
    for thread in granted {
        thread.thread().unpark();
        drop(thread.join());
    }
    refused.map_or(Ok(()), |source| Err(RuntimeError::Threads { wanted, had, source }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_were_tried_out_are_gone_afterwards() {
        check(20).unwrap();
        assert!(runtime(2, 3).unwrap().metrics().num_workers() == 2 && small_runtime().is_ok());
    }
}
