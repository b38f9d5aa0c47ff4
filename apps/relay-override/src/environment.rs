//! What the environment says: variables, and the `.env` file below them.
//!
//! Every name that `rc` reads stands here. Nothing is written back to the process's environment;
//! the rooms that need a value get it handed over. Values of secrets appear in no message.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use flagcache_launchdarkly::endpoints::{self, BaseUri, EndpointError};
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
/// How much is logged.
pub const LOG_LEVEL: &str = "LOG_LEVEL";

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
    /// A line of `.env` that is no assignment.
    #[error("read {} line {line}: not of the form NAME=value", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// A base URI that is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// Variables by name.
#[derive(Default, Clone)]
pub struct Environment {
    variables: HashMap<String, String>,
}

impl Environment {
    /// The process's own variables, and those of `file` that the process does not have. A file
    /// that is not there is no error.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn load(file: &Path) -> Result<Self, EnvironmentError> {
        let mut variables = from_file(file)?;
        for (name, value) in std::env::vars_os() {
            let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) else { continue };
            // An empty one counts as not set, so the file may set it.
            if !value.trim().is_empty() {
                variables.insert(name, value);
            }
        }
        Ok(Self { variables })
    }

    /// From pairs, for tests.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Self { variables: pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }

    /// A variable's value; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
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
        Ok(endpoints::API.from_env(&|name| self.get(name).map(str::to_owned))?)
    }

    /// Where an environment's payload is.
    ///
    /// # Errors
    /// Where the variable holds no URL.
    pub fn base_uri(&self) -> Result<BaseUri, EnvironmentError> {
        Ok(endpoints::BASE.from_env(&|name| self.get(name).map(str::to_owned))?)
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

fn from_file(file: &Path) -> Result<HashMap<String, String>, EnvironmentError> {
    let failed = |source| EnvironmentError::File { what: "the environment file", path: file.to_owned(), source };
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(failed(error)),
    };
    let pairs: Result<HashMap<_, _>, _> = dotenvy::from_read_iter(text.as_bytes()).collect();
    pairs.map_err(|error| match error {
        dotenvy::Error::Io(source) => failed(source),
        // The library's own text would show the line, and with it a password.
        dotenvy::Error::LineParse(wrong, _) => {
            EnvironmentError::Line { path: file.to_owned(), line: line(&text, &wrong) }
        }
        _ => EnvironmentError::Line { path: file.to_owned(), line: 1 },
    })
}

fn line(text: &str, wrong: &str) -> usize {
    text.find(wrong.trim()).map_or(1, |at| text[..at].matches('\n').count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn the_file_gives_what_the_process_does_not_have() {
        let file = file("# hosts\nREDIS_HOSTS=\"a,b\"\nexport LD_API_KEY=api-1\nPATH=/nowhere\n");
        let environment = Environment::load(file.path()).unwrap();
        assert_eq!(environment.get(REDIS_HOSTS), Some("a,b"));
        assert_eq!(environment.get(LD_API_KEY), Some("api-1"));
        assert_ne!(environment.get("PATH"), Some("/nowhere"));
        assert!(Environment::load(Path::new("/no/such/file")).is_ok());
    }

    #[test]
    fn a_wrong_line_is_named_by_its_number_and_never_shown() {
        let file = file("A=1\n\nREDIS_PASSWORD='open secret\n");
        let text = Environment::load(file.path()).err().unwrap().to_string();
        assert!(text.ends_with(" line 3: not of the form NAME=value"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn a_missing_variable_names_itself() {
        let environment = Environment::from_pairs([(LD_API_KEY, " ")]);
        assert_eq!(
            environment.api_key().unwrap_err().to_string(),
            "LD_API_KEY is not set: the LaunchDarkly API access token; set it in the environment or in `.env`"
        );
    }
}
