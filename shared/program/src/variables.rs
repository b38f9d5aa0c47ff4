//! What the environment says: the process's variables, and a `.env` file below them.
//!
//! Nothing is written back to the process's environment; the rooms that need a value get it handed over. The text of a
//! line appears in no message: it may hold a password.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::env_file;

/// Why the variables cannot be read.
#[derive(Debug, Error)]
pub enum VariablesError {
    /// A file that cannot be read.
    #[error("read the environment file {}", path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A line of the file that is no assignment.
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
pub struct Variables {
    by_name: HashMap<String, String>,
}

impl Variables {
    /// The process's own, and those of `file` that the process does not have. A file that is not there is no error.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn load(file: &Path) -> Result<Self, VariablesError> {
        let mut by_name = from_file(file)?;
        for (name, value) in std::env::vars_os() {
            // What is no UTF-8 is wrong by its value, which whoever reads it will say; left out, it would count as not set.
            let (name, value) = (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned());
            // An empty one counts as not set, so the file may set it.
            if !value.trim().is_empty() {
                by_name.insert(name, value);
            }
        }
        Ok(Self { by_name })
    }

    /// From pairs, for tests.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Self { by_name: pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }

    /// A variable's value, without spaces around it; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.by_name.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The same for rooms that take a function.
    pub fn lookup(&self) -> impl Fn(&str) -> Option<String> {
        |name| self.get(name).map(str::to_owned)
    }
}

fn from_file(file: &Path) -> Result<HashMap<String, String>, VariablesError> {
    let failed = |source| VariablesError::File { path: file.to_owned(), source };
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(failed(error)),
    };
    env_file::pairs(&text, |name| std::env::var(name).ok())
        .map(|pairs| pairs.into_iter().collect())
        .map_err(|wrong| VariablesError::Line { path: file.to_owned(), line: wrong.0 })
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
        let variables = Variables::load(file.path()).unwrap();
        assert_eq!(variables.get("REDIS_HOSTS"), Some("a,b"));
        assert_eq!(variables.get("LD_API_KEY"), Some("api-1"));
        assert_ne!(variables.get("PATH"), Some("/nowhere"));
        assert!(Variables::load(Path::new("/no/such/file")).is_ok());
    }

    #[test]
    fn a_wrong_line_is_named_by_its_number_and_never_shown() {
        let file = file("A=1\n\nREDIS_PASSWORD='open secret\n");
        let text = Variables::load(file.path()).err().unwrap().to_string();
        assert!(text.ends_with(" line 3: not of the form NAME=value"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn a_directory_in_the_place_of_the_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = Variables::load(directory.path()).err().unwrap();
        assert!(error.to_string().starts_with("read the environment file "), "{error}");
    }
}
