//! What the words of the command line and the environment come to, checked once and for all.
//!
//! The last place that knows variables by name: errors here say which one is wrong, what it holds and what it may hold.
//! Never a secret's value.

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use flagcache_sdk::Context;
use flagcache_sdk::config::{ConfigError, Endpoint, Endpoints, SdkKey};
use flagcache_sdk::context::{ContextError, Simple};
use secrecy::ExposeSecret;

use crate::cli::Cli;
use crate::edit::{Format, is_legal_name};
use crate::names::{NameError, Names};
use crate::reload::signal::{SignalError, Target};
use crate::value::Types;

/// Why the settings are refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No key at all.
    #[error(
        "LD_SDK_KEY is missing: set it to the environment's server-side SDK key (or LD_SDK_KEY_FILE to a file with it)"
    )]
    NoKey,
    /// The file with the key.
    #[error("LD_SDK_KEY_FILE is `{0}`, which cannot be read")]
    KeyFile(PathBuf, #[source] std::io::Error),
    /// A key or a URI.
    #[error(transparent)]
    Sdk(#[from] ConfigError),
    /// Anything with a small set of values.
    #[error("{variable} is `{value}`; it may be {allowed}")]
    Value {
        /// Variable and option.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        allowed: &'static str,
    },
    /// The context.
    #[error("LD_CONTEXT_KEY or LD_CONTEXT_NAME cannot be used")]
    Context(#[source] ContextError),
    /// Names of variables.
    #[error(transparent)]
    Name(#[from] NameError),
    /// `--signal`.
    #[error("--signal is `{0}`")]
    Signal(String, #[source] SignalError),
}

/// Which flags are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// These, and these variables.
    Named(Vec<(String, String)>),
    /// Every flag that there is.
    All,
}

/// Everything that a run needs to know.
#[derive(Debug)]
pub struct Settings {
    /// For LaunchDarkly.
    pub key: SdkKey,
    /// Where LaunchDarkly is.
    pub endpoints: Endpoints,
    /// After how much silence a stream is opened anew.
    pub silence: Duration,
    /// Whether analytics events are sent.
    pub events: bool,
    /// Whom flags are evaluated for.
    pub context: Context,
    /// Which flags.
    pub selection: Selection,
    /// How flags are called.
    pub names: Names,
    /// Which types are written.
    pub types: Types,
    /// The file.
    pub file: FileSettings,
    /// When to write.
    pub debounce: Duration,
    /// Shortest time between two changes.
    pub min_interval: Duration,
    /// What follows a change.
    pub reload: ReloadSettings,
    /// How it ends.
    pub mode: Mode,
    /// How long `--once`, `--dry-run` and the program to supervise wait for LaunchDarkly.
    pub timeout: Duration,
    /// Where `/health` is served.
    pub listen: Option<SocketAddr>,
    /// Where the same is written.
    pub health_file: Option<PathBuf>,
}

/// The file and how it is written.
#[derive(Debug, Clone)]
pub struct FileSettings {
    /// Its path as given.
    pub path: PathBuf,
    /// How it spells its lines.
    pub format: Format,
    /// Its mode.
    pub mode: u32,
    /// Whether it is copied before a change.
    pub backup: bool,
    /// How many copies are kept; all where nothing is said.
    pub keep_backups: Option<usize>,
}

/// What follows a change of the file.
#[derive(Debug, Clone)]
pub struct ReloadSettings {
    /// A command for the shell.
    pub exec: Option<String>,
    /// How long it may run.
    pub exec_timeout: Duration,
    /// A process to signal.
    pub signal: Option<Target>,
    /// The longest random wait before.
    pub splay: Duration,
    /// Whether the first look counts as a change.
    pub run_on_start: bool,
    /// The program to supervise; empty for none.
    pub command: Vec<OsString>,
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// With a signal.
    Follow,
    /// When the file is written.
    Once,
    /// When the difference is shown; nothing is written.
    Preview {
        /// Whether values are shown.
        show_values: bool,
    },
}

impl Settings {
    /// The settings of this command line.
    pub fn of(cli: Cli) -> Result<Self, SettingsError> {
        let names = names(&cli)?;
        Ok(Self {
            key: key(&cli)?,
            endpoints: endpoints(&cli)?,
            silence: cli.stream_silence.max(Duration::from_secs(1)),
            events: !cli.no_events,
            context: context(&cli)?,
            selection: selection(&cli, &names)?,
            names,
            types: cli.types,
            debounce: debounce(&cli.debounce_ms)?,
            min_interval: cli.min_interval,
            mode: match (cli.dry_run, cli.once) {
                (true, _) => Mode::Preview { show_values: cli.show_values },
                (_, true) => Mode::Once,
                _ => Mode::Follow,
            },
            timeout: cli.timeout,
            listen: cli.listen.as_deref().map(listen).transpose()?,
            file: FileSettings {
                path: cli.env_file_path,
                format: cli.format,
                mode: cli.mode,
                backup: switch("BACKUP_ENABLED (--backup-enabled)", &cli.backup_enabled)?,
                keep_backups: cli.keep_backups,
            },
            reload: ReloadSettings {
                exec: cli.exec,
                exec_timeout: cli.exec_timeout,
                signal: cli.signal.map(target).transpose()?,
                splay: cli.splay,
                run_on_start: cli.run_on_start,
                command: cli.command.into_iter().map(OsString::from).collect(),
            },
            health_file: cli.health_file,
        })
    }
}

fn key(cli: &Cli) -> Result<SdkKey, SettingsError> {
    match (&cli.ld_sdk_key, &cli.ld_sdk_key_file) {
        (Some(key), _) => Ok(SdkKey::new("LD_SDK_KEY", key.expose_secret())?),
        (None, Some(file)) => {
            let key = std::fs::read_to_string(file).map_err(|error| SettingsError::KeyFile(file.clone(), error))?;
            Ok(SdkKey::new("LD_SDK_KEY_FILE", &key)?)
        }
        (None, None) => Err(SettingsError::NoKey),
    }
}

fn endpoints(cli: &Cli) -> Result<Endpoints, SettingsError> {
    let mut endpoints = Endpoints::default();
    if let Some(uri) = &cli.base_uri {
        endpoints.base = Endpoint::new("LAUNCHDARKLY_BASE_URI (--base-uri)", uri)?;
    }
    if let Some(uri) = &cli.stream_uri {
        endpoints.stream = Endpoint::new("LAUNCHDARKLY_STREAM_URI (--stream-uri)", uri)?;
    }
    if let Some(uri) = &cli.events_uri {
        endpoints.events = Endpoint::new("LAUNCHDARKLY_EVENTS_URI (--events-uri)", uri)?;
    }
    Ok(endpoints)
}

fn context(cli: &Cli) -> Result<Context, SettingsError> {
    let simple = Simple { key: &cli.ld_context_key, name: Some(&cli.ld_context_name), ..Simple::default() };
    simple.build().map_err(SettingsError::Context)
}

fn names(cli: &Cli) -> Result<Names, SettingsError> {
    let mut map = HashMap::new();
    for entry in &cli.map {
        let pair = entry.split_once('=').map(|(flag, name)| (flag.trim(), name.trim()));
        match pair {
            Some((flag, name)) if !flag.is_empty() && is_legal_name(name) => {
                if map.insert(flag.to_owned(), name.to_owned()).is_some_and(|other| other != name) {
                    return Err(refused("--map", entry, "given once for each flag"));
                }
            }
            _ => return Err(refused("--map", entry, "FLAG=NAME with a name of ASCII letters, digits and `_`")),
        }
    }
    if !cli.prefix.is_empty() && !is_legal_name(&cli.prefix) {
        return Err(refused("--prefix", &cli.prefix, "ASCII letters, digits and `_`, not beginning with a digit"));
    }
    Ok(Names { map, prefix: cli.prefix.clone(), illegal: cli.names })
}

/// The named flags in the order of their mention, then those that only `--map` names.
fn selection(cli: &Cli, names: &Names) -> Result<Selection, SettingsError> {
    if cli.all {
        return Ok(Selection::All);
    }
    let mapped = cli.map.iter().filter_map(|entry| entry.split('=').next());
    let flags = cli.flags.split(',').chain(mapped).map(str::trim).filter(|flag| !flag.is_empty());
    let (assigned, errors) = names.assign(flags);
    match errors.into_iter().next() {
        Some(error) => Err(error.into()),
        None if assigned.is_empty() => Err(refused("FLAGS (--flags)", &cli.flags, "flag keys separated by commas")),
        None => Ok(Selection::Named(assigned)),
    }
}

fn debounce(text: &str) -> Result<Duration, SettingsError> {
    let allowed = "a whole number of milliseconds from 0 to 3600000";
    let milliseconds = text.trim().parse().ok().filter(|milliseconds| *milliseconds <= 3_600_000);
    milliseconds.map(Duration::from_millis).ok_or_else(|| refused("DEBOUNCE_MS (--debounce-ms)", text, allowed))
}

fn switch(variable: &'static str, text: &str) -> Result<bool, SettingsError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(refused(variable, text, "true or false")),
    }
}

fn listen(text: &str) -> Result<SocketAddr, SettingsError> {
    let with_host =
        if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.replace("localhost:", "127.0.0.1:") };
    with_host.parse().map_err(|_| refused("--listen", text, "an address and a port, such as 127.0.0.1:9100 or :9100"))
}

fn target(text: String) -> Result<Target, SettingsError> {
    text.parse().map_err(|error| SettingsError::Signal(text, error))
}

fn refused(variable: &'static str, value: &str, allowed: &'static str) -> SettingsError {
    SettingsError::Value { variable, value: value.to_owned(), allowed }
}
