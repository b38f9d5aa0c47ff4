//! A function's execution environments: one for each invocation under way, reused when it is done.

use super::error::InvokeError;
use super::function::Function;
use super::process::{FunctionProcess, Invoked};
use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Runs invocations of one function at the same time, each in a process of its own, as Lambda
/// does. Dropping it kills them all.
#[derive(Debug)]
pub struct FunctionPool {
    function: Function,
    idle: Mutex<Vec<FunctionProcess>>,
    places: Semaphore,
    cold_starts: AtomicUsize,
}

impl FunctionPool {
    /// A pool of up to `most` processes, none of them started yet.
    pub fn new(function: Function, most: usize) -> Self {
        Self { function, idle: Mutex::default(), places: Semaphore::new(most.max(1)), cold_starts: AtomicUsize::new(0) }
    }

    /// Invokes the function with `event` in an idle process, or a new one; waits for one where
    /// all are busy. A process that died or ran out of time is not used again.
    pub async fn invoke(&self, event: impl Into<Bytes>) -> Result<Invoked, InvokeError> {
        let _place = self.places.acquire().await;
        let process = if let Some(process) = self.take_idle() {
            process
        } else {
            self.cold_starts.fetch_add(1, Ordering::Relaxed);
            self.function.spawn().await?
        };
        let answer = process.invoke_raw(event).await;
        if matches!(answer, Ok(_) | Err(InvokeError::Function(_))) {
            self.idle().push(process);
        }
        answer
    }

    /// How many processes were started so far.
    pub fn cold_starts(&self) -> usize {
        self.cold_starts.load(Ordering::Relaxed)
    }

    /// The function that it runs.
    pub fn function(&self) -> &Function {
        &self.function
    }

    fn take_idle(&self) -> Option<FunctionProcess> {
        let mut idle = self.idle();
        idle.retain(FunctionProcess::is_running);
        idle.pop()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<FunctionProcess>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
