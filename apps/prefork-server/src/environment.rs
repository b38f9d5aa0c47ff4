//! What the environment says: variables, and the `.env` file below them.
//!
//! Nothing is written back to the process's environment; the rooms that need a value get it handed over.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why the environment is not usable.
#[derive(Debug, Error)]
pub enum EnvironmentError {
    /// A file that cannot be read.
    #[error("read the environment file {}", path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A line of the file that is no assignment. Its text is not shown: it may hold a key.
    #[error("read {} line {line}: not of the form NAME=value", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
}

/// Variables by name.
#[derive(Default, Clone)]
pub struct Environment {
    variables: HashMap<String, String>,
}

impl Environment {
    /// The process's own variables, and those of `file` that the process does not have. A file that is not there is no
    /// error.
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

    /// The same for rooms that take a function.
    pub fn lookup(&self) -> impl Fn(&str) -> Option<String> {
        |name| self.get(name).map(str::to_owned)
    }
}

fn from_file(file: &Path) -> Result<HashMap<String, String>, EnvironmentError> {
    let failed = |source| EnvironmentError::File { path: file.to_owned(), source };
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(failed(error)),
    };
    let pairs: Result<HashMap<_, _>, _> = dotenvy::from_read_iter(text.as_bytes()).collect();
    pairs.map_err(|error| match error {
        dotenvy::Error::Io(source) => failed(source),
        dotenvy::Error::LineParse(wrong, _) => {
            let line = text.find(wrong.trim()).map_or(1, |at| text[..at].matches('\n').count() + 1);
            EnvironmentError::Line { path: file.to_owned(), line }
        }
        _ => EnvironmentError::Line { path: file.to_owned(), line: 1 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_gives_what_the_process_does_not_have() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "LAUNCHDARKLY_SDK_KEY=\"sdk-1\"\nPATH=/nowhere\n").unwrap();
        let environment = Environment::load(file.path()).unwrap();
        assert_eq!(environment.get("LAUNCHDARKLY_SDK_KEY"), Some("sdk-1"));
        assert_ne!(environment.get("PATH"), Some("/nowhere"));
        assert!(Environment::load(Path::new("/no/such/file")).is_ok());
    }

    #[test]
    fn a_wrong_line_is_named_by_its_number_and_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "A=1\n\nLAUNCHDARKLY_SDK_KEY='sdk-secret\n").unwrap();
        let text = Environment::load(file.path()).err().unwrap().to_string();
        assert!(text.ends_with(" line 3: not of the form NAME=value"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
