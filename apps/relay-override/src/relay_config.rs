//! `rc generate-relay-config`: a configuration that a Relay Proxy (v8) starts with.
//!
//! Keys and format: `launchdarkly/ld-relay`, `docs/configuration.md`. Every environment of the
//! project gets the prefix under which `rc` overrides its flags, so that the two always agree. The
//! file holds SDK keys, so that only its owner may read it. Rendering is pure (`render`).

mod ini;
mod render;

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use thiserror::Error;

use crate::cli;
use crate::console::Console;
use crate::environment::{self, Environment, EnvironmentError};
use crate::exit::Exit;
use crate::hosts::{self, Host, HostsError};
use crate::launchdarkly::{LaunchDarkly, LaunchDarklyError};
use crate::redis_store::KeyPrefix;

pub use render::{Endpoints, RedisSection};

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum RelayConfigError {
    /// The environment lacks something.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The hosts are not known.
    #[error(transparent)]
    Hosts(#[from] HostsError),
    /// LaunchDarkly did not tell the environments.
    #[error(transparent)]
    LaunchDarkly(#[from] LaunchDarklyError),
    /// The chosen host is none of those known.
    #[error("use Redis host {name:?}: it is none of REDIS_HOSTS, which are {known}")]
    UnknownHost {
        /// The host asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A host that the Relay Proxy cannot use.
    #[error("use Redis host {0:?}: the Relay Proxy speaks to a single Redis by TCP, not to sentinels or a Unix socket")]
    Unsupported(String),
    /// The file is there.
    #[error("write {}: it exists; --force overwrites it, --output names another", .0.display())]
    Exists(PathBuf),
    /// The file cannot be written.
    #[error("write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl RelayConfigError {
    /// The exit code that it stands for.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::LaunchDarkly(error) => error.exit(),
            Self::Write { .. } => Exit::Failed,
            _ => Exit::Misused,
        }
    }
}

/// Writes the configuration.
///
/// # Errors
/// Where LaunchDarkly does not tell the environments, or the file exists or cannot be written.
pub async fn run(
    arguments: &cli::GenerateRelayConfig,
    launchdarkly: &LaunchDarkly,
    variables: &Environment,
    console: &mut Console<'_>,
) -> Result<Exit, RelayConfigError> {
    let path = &arguments.output;
    // Said before anything is asked for; checked again when writing.
    if path.exists() && !arguments.force {
        return Err(RelayConfigError::Exists(path.clone()));
    }
    let hosts = hosts::from_environment(variables)?;
    let host = chosen(&hosts, arguments.redis_host.as_deref())?;
    let redis = RedisSection::of(host).ok_or_else(|| RelayConfigError::Unsupported(host.name.clone()))?;
    let prefix = arguments.key_prefix.as_deref().or_else(|| variables.get(environment::REDIS_KEY_PREFIX));
    let prefix = prefix.map_or_else(KeyPrefix::default, |prefix| KeyPrefix(prefix.to_owned()));
    let environments = launchdarkly.environments(&arguments.project).await?;
    let endpoints = Endpoints::from_environment(variables);
    let text = render::render(&arguments.project, &environments, &redis.with_files(variables), &prefix, &endpoints);
    write(path, &text, arguments.force)?;
    console.say(format_args!(
        "wrote {} with {} environments of {}",
        path.display(),
        environments.len(),
        arguments.project
    ));
    if environments.is_empty() {
        console.remark(format_args!(
            "project {} has no environments: the Relay Proxy will not start with it",
            arguments.project
        ));
    }
    let others: Vec<_> =
        hosts.iter().filter(|other| other.name != host.name).map(|other| other.name.as_str()).collect();
    if !others.is_empty() {
        console.remark(format_args!(
            "it uses Redis at {}; a Relay Proxy has one Redis, so for {} generate another file with --redis-host",
            host.name,
            others.join(", ")
        ));
    }
    Ok(Exit::Done)
}

fn chosen<'a>(hosts: &'a [Host], name: Option<&str>) -> Result<&'a Host, RelayConfigError> {
    let known = || hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>().join(", ");
    let is_it = |host: &&Host| name.is_none_or(|name| host.name == name || host.name == format!("{name}:6379"));
    hosts
        .iter()
        .find(is_it)
        .ok_or_else(|| RelayConfigError::UnknownHost { name: name.unwrap_or_default().to_owned(), known: known() })
}

fn write(path: &Path, text: &str, is_overwriting: bool) -> Result<(), RelayConfigError> {
    let failed = |source| RelayConfigError::Write { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = std::fs::Permissions::from_mode(0o600);
    let mut file: NamedTempFile =
        tempfile::Builder::new().prefix(".ld-relay").permissions(mode).tempfile_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    let written = if is_overwriting { file.persist(path) } else { file.persist_noclobber(path) };
    match written {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(RelayConfigError::Exists(path.to_owned()))
        }
        Err(error) => Err(failed(error.error)),
    }
}
