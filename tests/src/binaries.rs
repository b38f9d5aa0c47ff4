//! The built programs that the tests drive.

use anyhow::{Context, Result, ensure};
use std::path::PathBuf;

/// The binary of this name: in `FLAGCACHE_BIN_DIR`, or in the folder of this program's own build.
pub fn binary(name: &str) -> Result<PathBuf> {
    let folder = match std::env::var_os("FLAGCACHE_BIN_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => own_build()?,
    };
    let path = folder.join(name);
    ensure!(path.is_file(), "failed to find {}; build it first: cargo build -p {name}", path.display());
    Ok(path)
}

/// Test programs lie in `deps` below the folder of the binaries.
fn own_build() -> Result<PathBuf> {
    let program = std::env::current_exe().context("failed to find this program's own path")?;
    let folder = program.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    Ok(folder.context("failed to find the build's folder")?.to_owned())
}
