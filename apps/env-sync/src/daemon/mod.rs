//! The loop: LaunchDarkly's changes in, the file out, until a signal or the supervised program ends it.
//!
//! One task owns the values, the pace and the file; everything else is told. The file is written by this task itself:
//! nothing else has to be done meanwhile, and a change that comes during a write is seen right after it.
//!
//! - `events`: what can happen, and what is done about it;
//! - `look`: one look at the file, and what follows from it.

mod events;
mod look;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use flagcache_payload::Items;
use flagcache_program::one_line;
use flagcache_sdk::connection::{Connection, State};
use flagcache_sdk::observable::{Observable, Subscription};
use flagcache_sdk::{Evaluator, config};
use launchdarkly_server_sdk::Client;
use tokio::sync::watch;

use self::events::Signals;
use crate::analytics::Analytics;
use crate::exit::Exit;
use crate::file;
use crate::file::backup::Backups;
use crate::file::lock::{self, Lock, LockError};
use crate::pace::Pace;
use crate::reload::child::Supervised;
use crate::reload::{Environment, Reloads};
use crate::settings::{Mode, Settings};
use crate::status::{Status, health_file, server, systemd};
use crate::values::Values;

/// How long the end may take for the last events.
const LAST_EVENTS: Duration = Duration::from_secs(2);
/// And for the last command.
const LAST_RELOAD: Duration = Duration::from_secs(10);

/// Follows LaunchDarkly as the settings say.
pub async fn run(settings: Settings) -> anyhow::Result<Exit> {
    let status = Status::default();
    let health_file = settings.health_file.clone();
    let mut daemon = Daemon::start(settings, status.clone())?;
    if let Some(address) = daemon.settings.listen {
        let listening = server::start(address, status.clone()).await;
        let address = listening.with_context(|| format!("--listen {address} cannot be listened on"))?;
        tracing::info!("/health and /metrics are served on http://{address}");
    }
    if let Some(path) = health_file.clone() {
        tokio::spawn(health_file::keep(path, status.clone()));
    }
    let exit = daemon.follow().await;
    let exit = daemon.end(exit).await;
    if let Some(Err(error)) = health_file.map(|path| health_file::write(&path, &status.facts().json())) {
        tracing::debug!(%error, "the health file is not up to date");
    }
    Ok(exit)
}

/// Everything that the loop owns.
struct Daemon {
    settings: Settings,
    status: Status,
    /// The stream lives as long as its client.
    client: Client,
    subscription: Subscription,
    connection: watch::Receiver<State>,
    signals: Signals,
    started: tokio::time::Instant,
    lock: Option<Lock>,
    path: PathBuf,
    backups: Backups,
    values: Values,
    pace: Pace,
    analytics: Analytics,
    deliver_at: Option<tokio::time::Instant>,
    reloads: Reloads,
    child: Option<Supervised>,
    /// What the supervised program was started with.
    environment: Environment,
    progress: Progress,
}

/// How far it has come.
#[derive(Debug, Default)]
struct Progress {
    /// LaunchDarkly has sent its flags, and they were evaluated.
    is_initialized: bool,
    /// The file was right once.
    is_synced: bool,
    /// The wait for LaunchDarkly was remarked upon.
    is_late: bool,
    /// What was refused when it was last remarked upon.
    refused: Vec<String>,
}

impl Daemon {
    /// Opens the stream.
    fn start(settings: Settings, status: Status) -> anyhow::Result<Self> {
        // An error says that there is a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let path = file::target(&settings.file.path)?;
        let lock = match settings.mode {
            Mode::Preview { .. } => None,
            Mode::Follow | Mode::Once => locked(&path)?,
        };
        let (store, connection) = (Observable::new(), Connection::new());
        let config = config::watched(&settings.key, &settings.endpoints, &store, &connection, settings.silence)?;
        let client = Client::build(config).context("LaunchDarkly's SDK cannot be started")?;
        let (subscription, connection) = (store.subscribe(), connection.subscribe());
        let signals = Signals::new().context("signals cannot be received")?;
        client.start_with_default_executor();
        let evaluator = Arc::new(Evaluator::new(store.contents()));
        tracing::info!(path = %path.display(), "waiting for LaunchDarkly's flags");
        Ok(Self {
            values: Values::new(&settings, Arc::clone(&evaluator)),
            pace: Pace::new(settings.debounce, settings.min_interval),
            analytics: Analytics::new(&settings, evaluator),
            deliver_at: None,
            reloads: Reloads::new(&settings.reload, status.clone()),
            child: None,
            environment: Environment::default(),
            progress: Progress::default(),
            started: tokio::time::Instant::now(),
            settings,
            status,
            client,
            subscription,
            connection,
            signals,
            lock,
            path,
            backups: Backups::default(),
        })
    }

    /// The items as they were last seen.
    fn items(&self) -> Arc<dyn Items> {
        let contents: Arc<_> = Arc::clone(self.subscription.seen());
        contents
    }

    /// Writes what is pending, ends what was started, sends the last events.
    async fn end(mut self, exit: Exit) -> Exit {
        systemd::stopping();
        if self.settings.mode == Mode::Follow {
            self.take_in_the_last_changes().await;
        }
        if self.progress.is_initialized && self.settings.mode == Mode::Follow && self.pace.is_pending() {
            self.evaluate_and_look(Instant::now());
        }
        self.client.close();
        if let Some(child) = self.child.take() {
            child.end().await;
        }
        let went_well = self.reloads.finish(LAST_RELOAD).await;
        self.analytics.finish(LAST_EVENTS).await;
        if exit == Exit::Done && self.settings.mode == Mode::Once && !went_well { Exit::Failed } else { exit }
    }
}

/// The lock; nothing where there cannot be one yet, which is told again when the file is written.
fn locked(path: &std::path::Path) -> Result<Option<Lock>, LockError> {
    match lock::lock(path) {
        Ok(lock) => Ok(Some(lock)),
        Err(error @ LockError::Failed(..)) => {
            tracing::warn!(error = %one_line(&error), "the file is not locked yet");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
