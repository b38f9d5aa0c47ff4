//! From the SDK's synchronous interface to the asynchronous AWS client.
//!
//! The SDK calls its store from threads of whatever runtime the application has, also from the only thread of a
//! current-thread runtime. So the client lives on a thread of its own, and a caller waits for its answer there without
//! needing the application's runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::sync_channel;
use std::thread;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A thread that runs futures one after another; it ends when the bridge is dropped.
pub(super) struct Bridge {
    jobs: UnboundedSender<Job>,
}

/// The thread is gone.
#[derive(Debug, thiserror::Error)]
#[error("reach the thread of the DynamoDB client: it has ended")]
pub(super) struct Collapsed;

impl Bridge {
    /// Starts the thread.
    pub(super) fn new() -> std::io::Result<Self> {
        let (jobs, mut queue) = unbounded_channel::<Job>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("launchdarkly-dynamodb".to_owned()).spawn(move || {
            runtime.block_on(async {
                while let Some(job) = queue.recv().await {
                    tokio::spawn(job);
                }
            });
        })?;
        Ok(Self { jobs })
    }

    /// Runs a future on the thread and waits for its output.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Collapsed> {
        let (answer, answered) = sync_channel(1);
        let job = async move {
            // Nobody is left to hear it only where the caller's thread has died.
            let _ = answer.send(future.await);
        };
        self.jobs.send(Box::pin(job)).map_err(|_| Collapsed)?;
        answered.recv().map_err(|_| Collapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn the_only_thread_of_a_runtime_may_wait() {
        let bridge = Bridge::new().unwrap();
        let waited = bridge.wait(async {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            7
        });
        assert_eq!(waited.unwrap(), 7);
    }
}
