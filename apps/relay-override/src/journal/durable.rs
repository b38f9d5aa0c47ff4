//! Files that appear whole or not at all, and that are on the disk before the caller goes on.
//!
//! Content and name are synced together, after the name was given: what the machine crashes upon
//! in between may be an empty file. That is harmless, because the caller goes on only afterwards;
//! an empty file stands for nothing that has happened.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

/// Readable for colleagues: whoever is on call may have to play back what somebody else recorded.
const MODE: u32 = 0o644;

/// A file that has its name, and is not on the disk yet.
pub(super) struct Fresh {
    file: File,
    folder: File,
}

/// Creates `path`; an error where it exists.
pub(super) fn create(path: &Path, content: &[u8]) -> io::Result<Fresh> {
    let file = written(path, content)?.persist_noclobber(path).map_err(|error| error.error)?;
    Ok(Fresh { file, folder: File::open(folder(path))? })
}

/// Creates `path`, or replaces it.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<Fresh> {
    let file = written(path, content)?.persist(path).map_err(|error| error.error)?;
    Ok(Fresh { file, folder: File::open(folder(path))? })
}

/// Returns once all of them are on the disk, with their names. At once rather than one after the
/// other: each sync waits for the disk, and the disk makes one write of them.
pub(super) fn sync<const N: usize>(all: &[Fresh; N]) -> io::Result<()> {
    let parts: Vec<&File> = all.iter().flat_map(|fresh| [&fresh.file, &fresh.folder]).collect();
    std::thread::scope(|scope| {
        let syncing: Vec<_> = parts.iter().map(|part| scope.spawn(|| part.sync_all())).collect();
        syncing.into_iter().try_for_each(|synced| synced.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())))
    })
}

/// Moves a file; both folders know it afterwards.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder_of(to)?;
    sync_folder_of(from)
}

/// Removes a file.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    sync_folder_of(path)
}

/// Creates a folder and those above it.
pub(super) fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_folder(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        created => created.and_then(|()| sync_folder_of(path)),
    }
}

fn written(path: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let mut file =
        tempfile::Builder::new().prefix(".").permissions(Permissions::from_mode(MODE)).tempfile_in(folder(path))?;
    file.write_all(content)?;
    Ok(file)
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    sync_folder(folder(path))
}

/// Returns once the names in a folder are on the disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
