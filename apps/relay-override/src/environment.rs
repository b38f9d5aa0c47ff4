//! What the environment says: variables, and the `.env` file below them.
//!
//! Every name that `rc` reads stands here. Nothing is written back to the process's environment;
//! the rooms that need a value get it handed over. Values of secrets appear in no message.

use std::path::{Path, PathBuf};

use flagcache_launchdarkly::endpoints::{self, BaseUri, EndpointError};
use flagcache_program::{Level, LevelError, Variables, VariablesError};
use secrecy::SecretString;
use thiserror::Error;

/// The Redis hosts, separated by commas: `host[:port]` or URLs.
pub const REDIS_HOSTS: &str = "REDIS_HOSTS";
/// User for the hosts whose URL has none.
pub const REDIS_USERNAME: &str = "REDIS_USERNAME";
/// Password for the hosts whose URL has none.
pub const REDIS_PASSWORD: &str = "REDIS_PASSWORD";
/// A file with that password.
pub const REDIS_PASSWORD_FILE: &str = "REDIS_PASSWORD_FILE";
/// Authorities for `rediss://`, as a file in PEM, in the place of the bundled ones.
pub const REDIS_CA_FILE: &str = "REDIS_CA_FILE";
/// The certificate that `rc` shows to Redis, as a file in PEM.
pub const REDIS_CLIENT_CERT_FILE: &str = "REDIS_CLIENT_CERT_FILE";
/// Its key.
pub const REDIS_CLIENT_KEY_FILE: &str = "REDIS_CLIENT_KEY_FILE";
/// What stands before `:features` in the hash key.
pub const REDIS_KEY_PREFIX: &str = "REDIS_KEY_PREFIX";
/// The API access token.
pub const LD_API_KEY: &str = "LD_API_KEY";
/// How long the Relay Proxy caches, as it reads it itself.
pub const CACHE_TTL: &str = "CACHE_TTL";
/// The pipeline's table.
pub const DYNAMODB_TABLE: &str = "LAUNCHDARKLY_DYNAMODB_TABLE";
/// What stands before the namespaces in it.
pub const DYNAMODB_PREFIX: &str = "LAUNCHDARKLY_DYNAMODB_PREFIX";

/// Why the environment is not usable.
#[derive(Debug, Error)]
pub enum EnvironmentError {
    /// A variable that the command needs.
    #[error("{name} is not set: {meaning}; set it in the environment or in `.env`")]
    Missing {
        /// The variable.
        name: &'static str,
        /// What it is.
        meaning: &'static str,
    },
    /// A file that cannot be read.
    #[error("read {what} {}", path.display())]
    File {
        /// What the file is.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Variables that cannot be read.
    #[error(transparent)]
    Variables(#[from] VariablesError),
    /// A base URI that is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// The variables that `rc` reads, by what they mean.
#[derive(Default, Clone)]
pub struct Environment {
    variables: Variables,
}

impl Environment {
    /// The process's own variables, and those of `file` that the process does not have. A file
    /// that is not there is no error.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn load(file: &Path) -> Result<Self, EnvironmentError> {
        Ok(Self { variables: Variables::load(file)? })
    }

    /// From pairs, for tests.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Self { variables: Variables::from_pairs(pairs) }
    }

    /// A variable's value; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name)
    }

    /// The level of `LOG_LEVEL`, if it is set.
    ///
    /// # Errors
    /// Where it is no level.
    pub fn level(&self) -> Result<Option<Level>, LevelError> {
        Level::from_lookup(&self.variables.lookup())
    }

    /// A variable that has to be there; `meaning` says what it is.
    ///
    /// # Errors
    /// Where it is not.
    pub fn require(&self, name: &'static str, meaning: &'static str) -> Result<&str, EnvironmentError> {
        self.get(name).ok_or(EnvironmentError::Missing { name, meaning })
    }

    /// The API access token.
    ///
    /// # Errors
    /// Where it is not set.
    pub fn api_key(&self) -> Result<SecretString, EnvironmentError> {
        self.require(LD_API_KEY, "the LaunchDarkly API access token").map(SecretString::from)
    }

    /// Where LaunchDarkly's REST API is.
    ///
    /// # Errors
    /// Where the variable holds no URL.
    pub fn api_uri(&self) -> Result<BaseUri, EnvironmentError> {
        Ok(endpoints::API.from_env(&self.variables.lookup())?)
    }

    /// Where an environment's payload is.
    ///
    /// # Errors
    /// Where the variable holds no URL.
    pub fn base_uri(&self) -> Result<BaseUri, EnvironmentError> {
        Ok(endpoints::BASE.from_env(&self.variables.lookup())?)
    }

    /// The content of the file that a variable names.
    ///
    /// # Errors
    /// Where it is named and cannot be read.
    pub fn file(&self, name: &'static str) -> Result<Option<Vec<u8>>, EnvironmentError> {
        let Some(path) = self.get(name) else { return Ok(None) };
        let failed = |source| EnvironmentError::File { what: name, path: path.into(), source };
        std::fs::read(path).map(Some).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_variable_names_itself() {
        let environment = Environment::from_pairs([(LD_API_KEY, " ")]);
        assert_eq!(
            environment.api_key().unwrap_err().to_string(),
            "LD_API_KEY is not set: the LaunchDarkly API access token; set it in the environment or in `.env`"
        );
    }
}
