//! The reader: flag values out of the table, by HTTP or direct invocation.
//!
//! A thin shell over the library `flagcache`, which reads and evaluates. Reading happens before the first invocation is
//! asked for, while Lambda gives the process a full CPU; whatever is wrong by then is answered and logged, never a crash.

mod app;
mod health;

use std::rc::Rc;

use anyhow::Context as _;
use flagcache_lambda::{logs, serve_then};

use crate::app::App;

/// Decoding flags is half allocation; this takes a quarter off an all-flags answer beside the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    if let Err(error) = logs::init() {
        tracing::error!(%error, "going on with the default log level");
    }
    // One thread: invocations come one after the other, and threads would cost start-up time.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("failed to start the runtime")?.block_on(run())
}

async fn run() -> anyhow::Result<()> {
    let app = Rc::new(App::start().await);
    let after = Rc::clone(&app);
    let serving =
        serve_then(async move |event| app.answer(event).await, async move |deadline| after.send_events(deadline).await);
    serving.await.context("failed to serve")
}
