//! What the processes of the group do: the master keeps what is known, the stream holder finds out what is new, and the
//! workers answer.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flagcache_prefork::board::Row;
use flagcache_prefork::flags::{Live, State, Update, follow};
use flagcache_prefork::{App, Ending, Freshness, HelperLink, Limits, Line, Running, Settings, Worker, small_runtime};
use flagcache_program::one_line;
use flagcache_sdk::recorder;
use tokio::sync::mpsc;

use crate::cli::{Cli, Stream};
use crate::config::Config;
use crate::http::Http;
use crate::reload::{Renewed, renew};

/// The longest request head. A context in a query may take most of it.
const HEAD_BYTES: usize = 256 * 1024;

/// What is kept back of the graceful timeout for the events, where requests take all of it.
const PARTING: Duration = Duration::from_secs(2);

/// How often a worker's counts of events go to the board.
const COUNTING: Duration = Duration::from_secs(1);

/// The master's part, which is forked into all others.
pub struct Group<'a> {
    cli: &'a Cli,
    config: Config,
    state: State,
    freshness: Freshness,
}

impl<'a> Group<'a> {
    /// A group that begins with this state; how fresh it is, the holder of the stream says.
    pub const fn new(cli: &'a Cli, config: Config, state: State, freshness: Freshness) -> Self {
        Self { cli, config, state, freshness }
    }
}

impl App for Group<'_> {
    fn worker(&mut self, worker: Worker) -> u8 {
        match work(&self.config, std::mem::take(&mut self.state), worker) {
            Ok(()) => 0,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "worker cannot go on");
                1
            }
        }
    }

    fn has_helper(&self) -> bool {
        self.config.stream == Stream::Shared
    }

    fn helper(&mut self, link: HelperLink) -> u8 {
        hold_stream(&self.config, std::mem::take(&mut self.state), self.freshness, link)
    }

    fn reload(&mut self, settings: &mut Settings, interrupt: BorrowedFd<'_>) -> bool {
        let Some(Renewed { config, state }) = renew(self.cli, &self.config, interrupt) else { return false };
        if config.workers != self.config.workers {
            settings.workers = config.workers;
        }
        self.config = config;
        let comes_from_elsewhere = state.is_some();
        if let Some(state) = state {
            self.freshness.fetched(state.updated_ms());
            self.state = state;
        }
        comes_from_elsewhere
    }

    fn relay(&mut self, data: &[u8]) -> Option<Vec<u8>> {
        let update = match Update::from_bytes(data) {
            Ok(update) => update,
            Err(error) => {
                tracing::error!(%error, "a process reported what is no update");
                return None;
            }
        };
        let news = self.state.merge(update)?;
        // Where every worker has a stream of its own, this is only for those that come later.
        (self.config.stream == Stream::Shared).then(|| news.to_bytes())
    }
}

/// Follows LaunchDarkly for the whole group, until the master is gone.
fn hold_stream(config: &Config, state: State, freshness: Freshness, link: HelperLink) -> u8 {
    let held = small_runtime().map_err(|error| one_line(&error)).and_then(|runtime| {
        runtime.block_on(async {
            let (up, ended) = link.start().map_err(|error| error.to_string())?;
            tracing::info!("following LaunchDarkly for all workers in process {}", std::process::id());
            let tell = |update: &Update| drop(up.send(update.to_bytes()));
            tokio::select! {
                () = ended => Ok(()),
                followed = follow(&config.sdk_key, &config.endpoints, state, freshness, tell) => {
                    followed.map_err(|error| one_line(&error))
                }
            }
        })
    });
    match held {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!(error, "LaunchDarkly's stream cannot be followed");
            1
        }
    }
}

/// Is a worker, from the fork to its end.
pub fn work(config: &Config, state: State, worker: Worker) -> anyhow::Result<()> {
    let runtime = flagcache_prefork::runtime(config.threads, recorder::THREADS)?;
    let served = runtime.block_on(serve(config, state, worker));
    runtime.shutdown_background();
    served
}

async fn serve(config: &Config, state: State, worker: Worker) -> anyhow::Result<()> {
    let pid = std::process::id();
    let has_own_stream = config.dev || config.stream == Stream::PerWorker;
    let Running { data, line, socket } = worker.start()?;
    line.row.set_updated(state.updated_ms());
    let live = Arc::new(Live::start(state.clone(), Some((&config.sdk_key, &config.endpoints)))?);
    tokio::spawn(take_in(data, Arc::clone(&live), line.row));
    if has_own_stream {
        tokio::spawn(follow_alone(config.clone(), state, Arc::clone(&live), line.clone()));
    }
    tokio::spawn(count_events(Arc::clone(&live), line.row));
    tracing::info!("postfork() completed successfully in worker {pid}");
    let (requests, jitter) = config.max_requests;
    let max_requests = if requests == 0 { 0 } else { requests + rand::random_range(0..=jitter) };
    let limits = Limits { head_timeout: config.keep_alive, head_bytes: HEAD_BYTES, max_requests };
    let freshness = if has_own_stream { line.row.freshness() } else { line.row.board().freshness() };
    let http = Http::new(Arc::clone(&live), line.row, freshness, config.flag_key.as_str());
    let (mut endings, hurry) = (line.endings(), line.endings());
    let begun = tokio::spawn(async move {
        let _ = endings.wait_for(|ending| *ending > Ending::Running).await;
        Instant::now()
    });
    let graceful_timeout = line.graceful_timeout;
    let row = line.row;
    let cut_off = tokio::spawn(socket.serve(line, limits, http)).await?;
    if cut_off > 0 {
        tracing::warn!(pid, cut_off, "connections are cut off: there is no more time for them");
    }
    let took = begun.await?.elapsed();
    let left = if *hurry.borrow() == Ending::Quit { PARTING } else { graceful_timeout.saturating_sub(took) };
    part(live, row, left.max(PARTING)).await;
    Ok(())
}

/// Sends the last events.
async fn part(live: Arc<Live>, row: Row, within: Duration) {
    let closing = Arc::clone(&live);
    let is_closed = tokio::task::spawn_blocking(move || closing.close(within)).await.unwrap_or(false);
    if !is_closed {
        tracing::warn!("the last events could not be sent in time");
    }
    let counts = live.recorded();
    row.set_recorded(counts.noted, counts.dropped);
}

/// Takes in what the master passes on.
async fn take_in(mut data: mpsc::UnboundedReceiver<Vec<u8>>, live: Arc<Live>, row: Row) {
    while let Some(bytes) = data.recv().await {
        match Update::from_bytes(&bytes) {
            Ok(update) => apply(&live, row, update),
            Err(error) => tracing::error!(%error, "the master passed on what is no update"),
        }
    }
}

fn apply(live: &Live, row: Row, update: Update) {
    let at_ms = update.at_ms;
    if live.apply(update) {
        row.set_updated(at_ms);
    }
}

/// Follows LaunchDarkly for this worker alone; the master hears of it for the sake of workers to come.
async fn follow_alone(config: Config, state: State, flags: Arc<Live>, line: Line) {
    let tell = |update: &Update| {
        apply(&flags, line.row, update.clone());
        line.report(&update.to_bytes());
    };
    let freshness = line.row.freshness();
    freshness.fetched(state.updated_ms());
    if let Err(error) = follow(&config.sdk_key, &config.endpoints, state, freshness, tell).await {
        tracing::error!(error = one_line(&error), "LaunchDarkly's stream cannot be followed");
    }
}

async fn count_events(live: Arc<Live>, row: Row) {
    let mut seconds = tokio::time::interval(COUNTING);
    loop {
        seconds.tick().await;
        let counts = live.recorded();
        row.set_recorded(counts.noted, counts.dropped);
    }
}
