//! Options and variables, checked and put together. Options win over variables, variables over `.env`.

use std::path::PathBuf;
use std::time::Duration;

use flagcache_launchdarkly::endpoints::{self, BaseUri, EndpointError};
use flagcache_program::{Variables, VariablesError};
use flagcache_sdk::config::{ConfigError as SdkError, Endpoint, Endpoints, SdkKey};
use thiserror::Error;

use crate::cli::{Cli, Stream};

/// The server-side SDK key.
pub const SDK_KEY: &str = "LAUNCHDARKLY_SDK_KEY";
/// The flag that `GET /flag` is about.
pub const FLAG_KEY: &str = "LD_FLAG_KEY";
/// As `--bind`.
pub const BIND: &str = "BIND";
/// As `--workers`.
pub const WORKERS: &str = "WORKERS";
/// As `--threads`.
pub const THREADS: &str = "THREADS";

const DEFAULT_FLAG: &str = "sample-flag";
const DEFAULT_BIND: &str = "0.0.0.0:8000";
const MOST_WORKERS: usize = 256;
const MOST_THREADS: usize = 256;

/// Why the program is not started.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// No key.
    #[error("{SDK_KEY} is not set: the server-side SDK key of the environment; set it in the environment or in `.env`")]
    NoKey,
    /// A number that is none, or out of bounds.
    #[error("read {name}={value:?}: it may be a whole number from 1 to {most}")]
    Number {
        /// The option or variable.
        name: &'static str,
        /// What it holds.
        value: String,
        /// The largest that is accepted.
        most: usize,
    },
    /// A key or address that the SDK cannot use.
    #[error(transparent)]
    Sdk(#[from] SdkError),
    /// A base URI that is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// No `.env` that could be read.
    #[error(transparent)]
    Variables(#[from] VariablesError),
}

/// Everything that is to be known before the start.
#[derive(Debug, Clone)]
pub struct Config {
    /// `HOST:PORT`.
    pub bind: String,
    /// Worker processes.
    pub workers: usize,
    /// Threads of each.
    pub threads: usize,
    /// Whether flags are fetched before the fork.
    pub preload: bool,
    /// One process.
    pub dev: bool,
    /// Who follows LaunchDarkly.
    pub stream: Stream,
    /// For fetching before the fork.
    pub preload_timeout: Duration,
    /// Without a sign of life.
    pub timeout: Duration,
    /// For requests under way at the end.
    pub graceful_timeout: Duration,
    /// For a request's head, and for idleness.
    pub keep_alive: Duration,
    /// Requests until a worker is replaced, and what is added at random.
    pub max_requests: (u64, u64),
    /// Connections that wait.
    pub backlog: i32,
    /// Where the master's process id goes.
    pub pid_file: Option<PathBuf>,
    /// The flag of `GET /flag`.
    pub flag_key: String,
    /// The server-side SDK key.
    pub sdk_key: SdkKey,
    /// Where the SDK finds LaunchDarkly.
    pub endpoints: Endpoints,
    /// Where the payload is fetched.
    pub base_uri: BaseUri,
}

impl Config {
    /// What the command line, the environment and `.env` say now.
    pub fn read(cli: &Cli) -> Result<Self, ConfigError> {
        Self::new(cli, &Variables::load(&cli.env_file)?)
    }

    /// Whether flags come from the same environment by the same addresses.
    pub fn has_source_of(&self, other: &Self) -> bool {
        self.sdk_key.expose() == other.sdk_key.expose()
            && self.base_uri == other.base_uri
            && self.endpoints == other.endpoints
    }

    /// The same with flags from where the other has them.
    #[must_use]
    pub fn with_source_of(self, other: &Self) -> Self {
        let Self { sdk_key, endpoints, base_uri, .. } = other.clone();
        Self { sdk_key, endpoints, base_uri, ..self }
    }

    /// Checks options and variables.
    pub fn new(cli: &Cli, variables: &Variables) -> Result<Self, ConfigError> {
        let key = variables.get(SDK_KEY).ok_or(ConfigError::NoKey)?;
        let seconds = Duration::from_secs_f64;
        Ok(Self {
            bind: cli.bind.as_deref().or(variables.get(BIND)).unwrap_or(DEFAULT_BIND).to_owned(),
            workers: number(("--workers", cli.workers.as_deref()), (WORKERS, variables.get(WORKERS)), MOST_WORKERS)?,
            threads: number(("--threads", cli.threads.as_deref()), (THREADS, variables.get(THREADS)), MOST_THREADS)?,
            preload: !cli.no_preload,
            dev: cli.dev,
            stream: cli.stream,
            preload_timeout: seconds(cli.preload_timeout),
            timeout: seconds(cli.timeout),
            graceful_timeout: seconds(cli.graceful_timeout),
            keep_alive: seconds(cli.keep_alive),
            max_requests: (cli.max_requests, cli.max_requests_jitter),
            backlog: cli.backlog,
            pid_file: cli.pid_file.clone(),
            flag_key: variables.get(FLAG_KEY).unwrap_or(DEFAULT_FLAG).to_owned(),
            sdk_key: SdkKey::new(SDK_KEY, key)?,
            endpoints: sdk_endpoints(variables)?,
            base_uri: endpoints::BASE.from_env(&variables.lookup())?,
        })
    }
}

/// What an option or else a variable says, 2 where neither does.
fn number(
    option: (&'static str, Option<&str>),
    variable: (&'static str, Option<&str>),
    most: usize,
) -> Result<usize, ConfigError> {
    let said = [option, variable].into_iter().find_map(|(name, value)| Some((name, value?)));
    let Some((name, value)) = said else { return Ok(2) };
    match value.trim().parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(ConfigError::Number { name, value: value.to_owned(), most }),
    }
}

fn sdk_endpoints(variables: &Variables) -> Result<Endpoints, SdkError> {
    let own = Endpoints::default();
    let endpoint = |variable: &str, own: Endpoint| match variables.get(variable) {
        Some(value) => Endpoint::new(variable, value),
        None => Ok(own),
    };
    Ok(Endpoints {
        base: endpoint(endpoints::BASE.variable, own.base)?,
        stream: endpoint(endpoints::STREAM.variable, own.stream)?,
        events: endpoint(endpoints::EVENTS.variable, own.events)?,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn config(words: &[&str], pairs: &[(&str, &str)]) -> Result<Config, String> {
        let cli = Cli::parse_from([&["prefork-server"], words].concat());
        let key = [(SDK_KEY, "sdk-1")];
        let pairs = key.iter().chain(pairs).filter(|(_, value)| !value.is_empty());
        Config::new(&cli, &Variables::from_pairs(pairs.copied())).map_err(|error| error.to_string())
    }

    #[test]
    fn options_win_over_variables_and_variables_over_defaults() {
        let config = |words: &[&str], pairs: &[(&str, &str)]| {
            let config = config(words, pairs).unwrap();
            (config.bind, config.workers, config.threads, config.flag_key)
        };
        assert_eq!(config(&[], &[]), ("0.0.0.0:8000".into(), 2, 2, "sample-flag".into()));
        let variables = [(BIND, ":1"), (WORKERS, "3"), (THREADS, "4"), (FLAG_KEY, "f")];
        assert_eq!(config(&[], &variables), (":1".into(), 3, 4, "f".into()));
        let options = ["--bind", ":2", "--workers", "5", "--threads", "6"];
        assert_eq!(config(&options, &variables), (":2".into(), 5, 6, "f".into()));
    }

    #[test]
    fn wrong_values_are_named_with_what_they_may_be() {
        for (words, pairs, message) in [
            (&[][..], &[(WORKERS, "two")][..], r#"read WORKERS="two": it may be a whole number from 1 to 256"#),
            (&["--workers", "0"], &[], r#"read --workers="0": it may be a whole number from 1 to 256"#),
            (&["--threads=-1"], &[], r#"read --threads="-1": it may be a whole number from 1 to 256"#),
        ] {
            assert_eq!(config(words, pairs).unwrap_err(), message);
        }
        for variable in ["LAUNCHDARKLY_BASE_URI", "LAUNCHDARKLY_STREAM_URI", "LAUNCHDARKLY_EVENTS_URI"] {
            let message = config(&[], &[(variable, "nowhere")]).unwrap_err();
            assert!(message.contains(variable) && message.contains("nowhere"), "{message}");
        }
    }

    #[test]
    fn without_a_key_there_is_no_start() {
        let cli = Cli::parse_from(["prefork-server"]);
        let error = Config::new(&cli, &Variables::default()).unwrap_err().to_string();
        assert!(error.starts_with("LAUNCHDARKLY_SDK_KEY is not set: the server-side SDK key"), "{error}");
    }
}
