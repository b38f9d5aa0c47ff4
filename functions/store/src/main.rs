//! The `store` function: LaunchDarkly's webhook, a schedule or a person invokes it, and it brings a DynamoDB table up to
//! the environment's payload.
//!
//! A webhook flows through the rooms like this: `handler` refuses what is no signed POST (`webhook`), runs a sync of
//! `launchdarkly-server-sdk-dynamodb` with LaunchDarkly behind `upstream`, turns what went wrong into a status
//! (`failure`), and writes one log line and one line of metrics (`report`).

mod config;
mod failure;
mod handler;
mod report;
mod start;
mod upstream;
mod webhook;

use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let log_level = flagcache_lambda::logs::init();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "start the asynchronous runtime");
            return ExitCode::FAILURE;
        }
    };
    let served = runtime.block_on(async {
        let store = Arc::new(start::start(log_level).await);
        flagcache_lambda::serve::serve(async move |event| handler::handle(store.as_ref().as_ref(), event).await).await
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the function stopped");
            ExitCode::FAILURE
        }
    }
}
