//! From what the user said to the command that does it: reads the environment, builds the stores
//! and the client that the command needs and no others, and gives the exit code.
//!
//! What is not needed is not built: an override at 3 a.m. must not fail for a variable that only
//! playback reads, and costs no TLS set-up where no host wants TLS.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::cli::{Cli, Command, DynamoDbArgs, RedisArgs, StoresArgs, WaitArgs};
use crate::console::Console;
use crate::dynamodb_store::{DynamoDbError, DynamoDbStore};
use crate::environment::{self, Environment, EnvironmentError};
use crate::exit::Exit;
use crate::hosts::{self, HostsError};
use crate::journal::{Journal, JournalError};
use crate::launchdarkly::{LaunchDarkly, LaunchDarklyError};
use crate::redis_store::RedisStore;
use crate::relay_config::{self, RelayConfigError};
use crate::store::AnyStore;
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
    /// The table is not known.
    #[error(transparent)]
    DynamoDb(#[from] DynamoDbError),
    /// There is nothing to look at.
    #[error(
        "REDIS_HOSTS is not set (the Relay Proxy's Redis hosts), nor is LAUNCHDARKLY_DYNAMODB_TABLE (the pipeline's \
         table); set either in the environment or in `.env`"
    )]
    NoStores,
    /// The journal cannot be written before an override.
    #[error(
        "nothing is changed, because it could not be recorded; mend this, or name another folder with --replay-dir"
    )]
    NotRecorded(#[source] JournalError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// LaunchDarkly did not do it.
    #[error(transparent)]
    LaunchDarkly(#[from] LaunchDarklyError),
    /// The configuration was not written.
    #[error(transparent)]
    RelayConfig(#[from] RelayConfigError),
    /// The manual was not written.
    #[error("write man pages into {0:?}")]
    Manual(PathBuf, #[source] io::Error),
    /// The journal holds nothing of this flag.
    #[error(transparent)]
    Revert(#[from] revert::RevertError),
}

impl RunError {
    /// The exit code that it stands for.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Environment(_) | Self::Hosts(_) | Self::DynamoDb(_) | Self::NoStores => Exit::Misused,
            Self::LaunchDarkly(error) => error.exit(),
            Self::RelayConfig(error) => error.exit(),
            Self::NotRecorded(_) | Self::Journal(_) | Self::Revert(_) | Self::Manual(..) => Exit::Failed,
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
            let stores = redis_stores(&arguments.redis, &arguments.wait, environment)?;
            let journal = Journal::new(arguments.journal.replay_dir);
            let ran = update::run(&arguments.change.into(), &stores, &journal, arguments.dry_run, console).await;
            ran.map_err(RunError::NotRecorded)
        }
        Command::UpdateDynamodb(arguments) => {
            let stores = [dynamodb_store(&arguments.dynamodb, &arguments.wait, environment).await?];
            let journal = Journal::new(arguments.journal.replay_dir);
            let ran = update::run(&arguments.change.into(), &stores, &journal, arguments.dry_run, console).await;
            ran.map_err(RunError::NotRecorded)
        }
        Command::Playback(arguments) => {
            let launchdarkly = LaunchDarkly::new(environment)?;
            // The changes may have been made on another machine, whose stores are not known here.
            let stores = stores_if_any(&arguments.stores, environment).await?;
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
            let stores = stores(&arguments.stores, environment).await?;
            let launchdarkly = launchdarkly_if_any(environment)?;
            let journal = Journal::new(arguments.journal.replay_dir);
            Ok(status::run(&stores, launchdarkly.as_ref(), &journal, arguments.json, console).await?)
        }
        Command::Revert(arguments) => {
            let stores = stores(&arguments.stores, environment).await?;
            let journal = Journal::new(&arguments.journal.replay_dir);
            Ok(revert::run(arguments.flag().as_ref(), &stores, &journal, arguments.dry_run, console).await?)
        }
        Command::Doctor(arguments) => {
            let stores = stores(&arguments.stores, environment).await?;
            Ok(doctor::run(&arguments, &stores, launchdarkly_if_any(environment)?.as_ref(), environment, console)
                .await?)
        }
        Command::Completions { shell } => Ok(print(console, |out| {
            clap_complete::generate(shell, &mut <Cli as clap::CommandFactory>::command(), "rc", out);
            Ok(())
        })),
        Command::Man { folder: None } => {
            Ok(print(console, |out| clap_mangen::Man::new(<Cli as clap::CommandFactory>::command()).render(out)))
        }
        Command::Man { folder: Some(folder) } => {
            let written = clap_mangen::generate_to(<Cli as clap::CommandFactory>::command(), &folder);
            written.map_err(|error| RunError::Manual(folder, error))?;
            Ok(Exit::Done)
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

fn redis_stores(
    arguments: &RedisArgs,
    wait: &WaitArgs,
    environment: &Environment,
) -> Result<Vec<RedisStore>, RunError> {
    let prefix = arguments.prefix(environment.get(environment::REDIS_KEY_PREFIX));
    let hosts = hosts::from_environment(environment)?;
    Ok(hosts.into_iter().map(|host| RedisStore::new(host, prefix.clone(), wait.timeout)).collect())
}

async fn dynamodb_store(
    arguments: &DynamoDbArgs,
    wait: &WaitArgs,
    environment: &Environment,
) -> Result<DynamoDbStore, RunError> {
    Ok(DynamoDbStore::new(&arguments.into(), environment, wait.timeout).await?)
}

/// All stores that are set up: Redis hosts first, then the table.
async fn stores_if_any(arguments: &StoresArgs, environment: &Environment) -> Result<Vec<AnyStore>, RunError> {
    let mut all = Vec::new();
    if environment.get(environment::REDIS_HOSTS).is_some() {
        let hosts = redis_stores(&arguments.redis, &arguments.wait, environment)?;
        all.extend(hosts.into_iter().map(|host| AnyStore::Redis(Box::new(host))));
    }
    if arguments.dynamodb.table.is_some() || environment.get(environment::DYNAMODB_TABLE).is_some() {
        let store = dynamodb_store(&arguments.dynamodb, &arguments.wait, environment).await?;
        all.push(AnyStore::DynamoDb(store));
    }
    Ok(all)
}

async fn stores(arguments: &StoresArgs, environment: &Environment) -> Result<Vec<AnyStore>, RunError> {
    let all = stores_if_any(arguments, environment).await?;
    if all.is_empty() { Err(RunError::NoStores) } else { Ok(all) }
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
