//! From the configuration to a running group, or to the one process of `--dev`.
//!
//! The order matters: the port is taken before anything takes time, connections are let in when there is something to
//! answer from, and until the last fork there is one thread.

use std::os::fd::BorrowedFd;

use flagcache_launchdarkly::endpoints;
use flagcache_payload::Kind;
use flagcache_prefork::flags::preload::PreloadError;
use flagcache_prefork::flags::{Preload, State, preload};
use flagcache_prefork::{
    Bound, ListenError, Listener, MasterError, Notifier, PidFile, PidFileError, Prepared, Settings, Worker, board,
};
use flagcache_program::one_line;
use secrecy::SecretString;
use thiserror::Error;

use crate::cli::Cli;
use crate::config::{BIND, Config, ConfigError};
use crate::exit::Exit;
use crate::group::{self, Group};

/// Why the server does not run.
#[derive(Debug, Error)]
pub enum StartError {
    /// Wrong options or variables.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No socket.
    #[error("{BIND} (--bind): {0}")]
    Listen(#[source] ListenError),
    /// No socket that somebody else had opened.
    #[error(transparent)]
    Handed(ListenError),
    /// No pid file.
    #[error(transparent)]
    PidFile(#[from] PidFileError),
    /// No master.
    #[error(transparent)]
    Master(#[from] MasterError),
    /// No process of `--dev`.
    #[error("serve from one process")]
    Dev(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StartError {
    /// How the program ends with it.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Config(_)
            | Self::Listen(ListenError::Malformed { .. })
            | Self::Handed(ListenError::Activation(_)) => Exit::Misused,
            _ => Exit::Failed,
        }
    }
}

enum Socket {
    Bound(Bound),
    Handed(Listener),
}

/// Runs the server until it is told to end.
pub fn start(config: Config, cli: &Cli) -> Result<(), StartError> {
    let variable = |name: &str| std::env::var(name).ok();
    let socket = match Listener::from_systemd(&variable).map_err(StartError::Handed)? {
        Some(listener) => Socket::Handed(listener),
        None => Socket::Bound(Bound::to(&config.bind).map_err(StartError::Listen)?),
    };
    let _pid_file = config.pid_file.as_deref().map(PidFile::write).transpose()?;
    raise_descriptor_limit();
    let prepared = Prepared::new()?;
    let state = if config.preload { preloaded(&config, &prepared) } else { State::default() };
    let freshness = prepared.board.freshness();
    freshness.fetched(state.updated_ms());
    let listener = match socket {
        Socket::Handed(listener) => listener,
        Socket::Bound(bound) => bound.listen(config.backlog).map_err(StartError::Listen)?,
    };
    let address = listener.address().map_or_else(|_| config.bind.clone(), |address| address.to_string());
    let (workers, threads) = (config.workers, config.threads);
    if config.dev {
        tracing::info!(address, threads, "serving from one process");
        let worker = Worker::alone(prepared.board.row(0), &listener, config.graceful_timeout);
        drop(prepared.release());
        let worker = worker.map_err(|error| StartError::Dev(error.into()))?;
        return group::work(&config, state, worker).map_err(|error| StartError::Dev(error.into()));
    }
    tracing::info!(address, workers, threads, pid = std::process::id(), "serving");
    let settings = Settings { workers, timeout: config.timeout, graceful_timeout: config.graceful_timeout };
    let notifier = Notifier::from_env(&variable);
    flagcache_prefork::run(&mut Group::new(cli, config, state, freshness), settings, listener, prepared, notifier)?;
    Ok(())
}

/// The environment's flags, or none: without LaunchDarkly the server starts all the same.
fn preloaded(config: &Config, prepared: &Prepared) -> State {
    match fetch(config, prepared.interrupt()) {
        Ok(state) => state,
        Err(PreloadError::Interrupted) => State::default(),
        Err(error @ (PreloadError::Fork(_) | PreloadError::Pipe(_))) => {
            tracing::error!(error = one_line(&error), "starting without flags");
            State::default()
        }
        Err(error) => {
            let variable = endpoints::BASE.variable;
            tracing::error!(error = one_line(&error), "starting without flags; is {variable} right, and the SDK key?");
            State::default()
        }
    }
}

/// The environment's flags; given up when `interrupt` becomes readable.
pub(crate) fn fetch(config: &Config, interrupt: BorrowedFd<'_>) -> Result<State, PreloadError> {
    let what = Preload {
        base_uri: config.base_uri.clone(),
        sdk_key: SecretString::from(config.sdk_key.expose()),
        within: config.preload_timeout,
    };
    let payload = preload(&what, interrupt)?;
    let (flags, segments) = (payload.count(Kind::Flag), payload.count(Kind::Segment));
    tracing::info!(flags, segments, bytes = payload.size(), "flags are fetched, before the fork");
    Ok(State::preloaded(payload, board::now_ms()))
}

/// Every connection is a descriptor, and the usual limit of 1,024 is for programs that use `select`.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
