//! Where the built functions are: beside this program, as `cargo build` leaves them.

use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

/// The two function binaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    pub(super) store: PathBuf,
    pub(super) reader: PathBuf,
}

impl Binaries {
    /// Those in `folder`, or beside this program; an error that says what to do where one is not
    /// built.
    pub(super) fn find(folder: Option<&Path>) -> anyhow::Result<Self> {
        let folder = self::folder(folder)?;
        let (store, reader) = (folder.join("store"), folder.join("reader"));
        let missing: Vec<_> = [&store, &reader].into_iter().filter(|path| !path.is_file()).collect();
        match missing[..] {
            [] => Ok(Self { store, reader }),
            [first, ..] => bail!(
                "find the function {}: build the functions first, `make build` or `cargo build --release`",
                first.display()
            ),
        }
    }
}

/// `folder`, or that of this program.
pub(super) fn folder(folder: Option<&Path>) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("find this program's own folder")?;
    Ok(folder.or(program.parent()).unwrap_or(Path::new(".")).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_is_not_built_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("store"), "").unwrap();
        let error = Binaries::find(Some(folder.path())).unwrap_err().to_string();
        assert!(error.contains("/reader: build the functions first"), "{error}");

        std::fs::write(folder.path().join("reader"), "").unwrap();
        assert_eq!(Binaries::find(Some(folder.path())).unwrap().reader, folder.path().join("reader"));
    }
}
