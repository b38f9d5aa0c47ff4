//! From what the user said to the command that does it: reads the environment, builds the stores
//! and the client that the command needs and no others, and gives the exit code.
//!
//! What is not needed is not built: an override at 3 a.m. must not fail for a variable that only
//! playback reads, and costs no TLS set-up where no host wants TLS.

use std::io;
use std::path::Path;

use thiserror::Error;

use crate::cli::{Cli, Command, RedisArgs};
use crate::console::Console;
use crate::environment::{self, Environment, EnvironmentError};
use crate::exit::Exit;
use crate::hosts::{self, HostsError};
use crate::journal::{Journal, JournalError};
use crate::launchdarkly::{LaunchDarkly, LaunchDarklyError};
use crate::redis_store::RedisStore;
use crate::relay_config::{self, RelayConfigError};
use crate::{doctor, playback, revert, status, update};

/// Why a command did not come to its end.
#[derive(Debug, Error)]
pub enum RunError {
    /// The environment lacks something.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The hosts are not known.
    #[error(transparent)]
    Hosts(#[from] HostsError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// LaunchDarkly did not do it.
    #[error(transparent)]
    LaunchDarkly(#[from] LaunchDarklyError),
    /// The configuration was not written.
    #[error(transparent)]
    RelayConfig(#[from] RelayConfigError),
    /// The journal holds nothing of this flag.
    #[error(transparent)]
    Revert(#[from] revert::RevertError),
}

impl RunError {
    /// The exit code that it stands for.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Environment(_) | Self::Hosts(_) => Exit::Misused,
            Self::LaunchDarkly(error) => error.exit(),
            Self::RelayConfig(error) => error.exit(),
            Self::Journal(_) | Self::Revert(_) => Exit::Failed,
        }
    }
}

/// Runs a command.
///
/// # Errors
/// Where it could not do its work; what failed in part is told and is in the exit code.
pub async fn run(cli: Cli, environment: &Environment, console: &mut Console<'_>) -> Result<Exit, RunError> {
    match cli.command {
        Command::UpdateRedis(arguments) => {
            let stores = stores(&arguments.redis, environment)?;
            let journal = Journal::new(arguments.journal.replay_dir);
            Ok(update::run(&arguments.change.into(), &stores, &journal, arguments.dry_run, console).await?)
        }
        Command::Playback(arguments) => {
            let launchdarkly = LaunchDarkly::new(environment)?;
            let stores = stores_if_any(&arguments.redis, environment)?;
            let journal = Journal::new(&arguments.journal.replay_dir);
            Ok(playback::run(&arguments, &launchdarkly, &stores, &journal, console).await?)
        }
        Command::UpdateLdApi(arguments) => {
            let launchdarkly = LaunchDarkly::new(environment)?;
            Ok(launchdarkly.update(&arguments.change.into(), console).await?)
        }
        Command::GenerateRelayConfig(arguments) => {
            let launchdarkly = LaunchDarkly::new(environment)?;
            Ok(relay_config::run(&arguments, &launchdarkly, environment, console).await?)
        }
        Command::Status(arguments) => {
            let stores = stores(&arguments.redis, environment)?;
            let launchdarkly = launchdarkly_if_any(environment)?;
            let journal = Journal::new(arguments.journal.replay_dir);
            Ok(status::run(&stores, launchdarkly.as_ref(), &journal, arguments.json, console).await?)
        }
        Command::Revert(arguments) => {
            let stores = stores(&arguments.redis, environment)?;
            let journal = Journal::new(&arguments.journal.replay_dir);
            Ok(revert::run(arguments.flag().as_ref(), &stores, &journal, arguments.dry_run, console).await?)
        }
        Command::Doctor(arguments) => {
            let stores = stores(&arguments.redis, environment)?;
            Ok(doctor::run(&arguments, &stores, launchdarkly_if_any(environment)?.as_ref(), environment, console)
                .await?)
        }
        Command::Completions { shell } => Ok(print(console, |out| {
            clap_complete::generate(shell, &mut <Cli as clap::CommandFactory>::command(), "rc", out);
            Ok(())
        })),
        Command::Man => {
            Ok(print(console, |out| clap_mangen::Man::new(<Cli as clap::CommandFactory>::command()).render(out)))
        }
    }
}

/// What the environment says, below what the process has.
///
/// # Errors
/// Where the file cannot be read.
pub fn environment(file: &Path) -> Result<Environment, RunError> {
    Ok(Environment::load(file)?)
}

fn stores(arguments: &RedisArgs, environment: &Environment) -> Result<Vec<RedisStore>, RunError> {
    let prefix = arguments.prefix(environment.get(environment::REDIS_KEY_PREFIX));
    let hosts = hosts::from_environment(environment)?;
    Ok(hosts.into_iter().map(|host| RedisStore::new(host, prefix.clone(), arguments.timeout)).collect())
}

/// Playback can do its work without Redis: the changes may have been made on another machine.
fn stores_if_any(arguments: &RedisArgs, environment: &Environment) -> Result<Vec<RedisStore>, RunError> {
    if environment.get(environment::REDIS_HOSTS).is_none() {
        return Ok(Vec::new());
    }
    stores(arguments, environment)
}

fn launchdarkly_if_any(environment: &Environment) -> Result<Option<LaunchDarkly>, RunError> {
    if environment.get(environment::LD_API_KEY).is_none() {
        return Ok(None);
    }
    Ok(Some(LaunchDarkly::new(environment)?))
}

fn print(console: &mut Console<'_>, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Exit {
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let written = write(&mut text);
    console.say(String::from_utf8_lossy(&text).trim_end());
    Exit::done_if(written.is_ok())
}
