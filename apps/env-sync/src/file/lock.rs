//! One `env-sync` for each file: the second is refused.
//!
//! The file itself cannot carry the lock, as it is replaced by every change. So a file beside it does, which the kernel
//! unlocks however its holder ends; its name is none that backups have. It is deleted at the end, under the lock, and
//! who finds that the file he locked has been deleted looks again. Where the directory cannot be written, the file
//! itself is locked, which is good for as long as nobody replaces it: a mount, or until the directory can be written.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::replace;

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it.
    #[error("another env-sync keeps `{0}`; stop it, or choose another ENV_FILE_PATH")]
    Taken(PathBuf),
    /// Another user has it, or had it when he was killed: who may not open it cannot tell.
    #[error(
        "`{0}` is user {1}'s: another env-sync keeps the file, or was killed; stop it, or delete that lock if none runs"
    )]
    Foreign(PathBuf, u32),
    /// Nobody can have it.
    #[error("`{0}` cannot be locked")]
    Failed(PathBuf, #[source] io::Error),
}

/// The lock, held as long as this is there.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    /// The file beside, which goes with the lock.
    beside: Option<PathBuf>,
}

impl Lock {
    /// Takes the lock beside where it could not be had before: the one on the file itself goes when that is replaced.
    pub fn settle(&mut self, path: &Path) -> Result<(), LockError> {
        if self.beside.is_none() {
            match lock_beside(path) {
                Ok(lock) => *self = lock,
                Err(LockError::Failed(..)) => {}
                Err(taken) => return Err(taken),
            }
        }
        Ok(())
    }
}

/// Locks a file whose symlinks have been followed.
pub fn lock(path: &Path) -> Result<Lock, LockError> {
    lock_beside(path).or_else(|error| match (error, File::open(path)) {
        (LockError::Failed(..), Ok(file)) => {
            take(&file, path)?;
            Ok(Lock { _file: file, beside: None })
        }
        (error, _) => Err(error),
    })
}

fn lock_beside(path: &Path) -> Result<Lock, LockError> {
    let beside = beside(path);
    loop {
        let file = open(&beside).map_err(|error| failed(&beside, error))?;
        take(&file, path)?;
        if is_still_there(&file, &beside) {
            replace::sweep(path);
            return Ok(Lock { _file: file, beside: Some(beside) });
        }
    }
}

fn open(beside: &Path) -> io::Result<File> {
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(beside);
    // In a directory like /tmp the kernel lets nobody create what is another's, though he may open it.
    opened.or_else(|error| OpenOptions::new().write(true).open(beside).map_err(|_| error))
}

/// A lock that is there and must not be opened is somebody's.
fn failed(beside: &Path, error: io::Error) -> LockError {
    match fs::symlink_metadata(beside) {
        Ok(metadata) if error.kind() == io::ErrorKind::PermissionDenied => {
            LockError::Foreign(beside.to_owned(), metadata.uid())
        }
        _ => LockError::Failed(beside.to_owned(), error),
    }
}

fn take(file: &File, path: &Path) -> Result<(), LockError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => LockError::Taken(path.to_owned()),
        TryLockError::Error(error) => LockError::Failed(path.to_owned(), error),
    })
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".env-sync-lock");
    path.with_file_name(name)
}

fn is_still_there(file: &File, path: &Path) -> bool {
    let id = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(held), Ok(there)) if id(&held) == id(&there))
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            // Left behind it does no harm.
            let _ = fs::remove_file(beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_until_the_first_is_gone_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        let first = lock(&path).unwrap();
        let error = lock(&path).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("another env-sync keeps `{}`; stop it, or choose another ENV_FILE_PATH", path.display())
        );
        assert!(lock(&folder.path().join("other.env")).is_ok());
        drop(first);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        drop(lock(&path).unwrap());
    }
}
