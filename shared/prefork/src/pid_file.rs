//! The file with the master's process id.
//!
//! Written by renaming, so nobody reads half a number, and taken away at the end, unless another master has put its own
//! in the place meanwhile.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The file is not usable.
#[derive(Debug, Error)]
pub enum PidFileError {
    /// Another master is running.
    #[error("write the pid file {}: process {pid} is running and has it; stop it first", path.display())]
    Running {
        /// The file.
        path: PathBuf,
        /// The process.
        pid: u32,
    },
    /// It cannot be written.
    #[error("write the pid file {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// The file, while its process runs: dropping it takes it away.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes this process's id.
    pub fn write(path: &Path) -> Result<Self, PidFileError> {
        let own = std::process::id();
        if let Some(pid) = read(path).filter(|pid| *pid != own && Path::new(&format!("/proc/{pid}")).exists()) {
            return Err(PidFileError::Running { path: path.to_owned(), pid });
        }
        let failed = |source| PidFileError::Write { path: path.to_owned(), source };
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{own}"));
        let beside = path.with_file_name(name);
        std::fs::write(&beside, format!("{own}\n")).map_err(failed)?;
        std::fs::rename(&beside, path).map_err(failed)?;
        Ok(Self { path: path.to_owned() })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A forked process is not the one that the file names.
        if read(&self.path) == Some(std::process::id())
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "the pid file stays behind");
        }
    }
}

fn read(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_the_process_id_until_it_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.pid");
        std::fs::write(&path, "4194304999\n").unwrap();
        let file = PidFile::write(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_file_of_a_running_process_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.pid");
        std::fs::write(&path, "1\n").unwrap();
        let error = PidFile::write(&path).unwrap_err().to_string();
        assert!(error.ends_with("process 1 is running and has it; stop it first"), "{error}");
        drop(PidFile { path: path.clone() });
        assert!(path.exists());
    }
}
