//! Replacing a file's content: by a rename where that can be, else in place.
//!
//! The new file has its mode and owner before it has a name that anybody knows, and is on disk before it takes the old
//! one's place: a crash leaves the one or the other. A file that is itself a mount cannot be renamed over; a file whose
//! owner could not be kept is written in place too, because its readers would be locked out of a new one.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::directory;

/// Ends what a temporary file's name has before its random part.
const MARK: &str = ".env-sync-";
/// How long that part is.
const RANDOM: usize = 6;

/// What is ready to take a file's place.
pub(super) enum Replacement {
    /// This file.
    File(NamedTempFile),
    /// None: the file itself is to be written.
    InPlace(&'static str),
}

/// Writes a file that is not there yet. Where somebody was faster, theirs is replaced only by the next look.
pub(super) fn create(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let file = temporary(path, text, mode)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    sync_directory(path);
    Ok(())
}

/// Makes the new file as far as it can be made before it takes the old one's place.
pub(super) fn prepare(path: &Path, text: &[u8], mode: u32, old: &Metadata) -> io::Result<Replacement> {
    if is_mount(path) {
        return Ok(Replacement::InPlace("it is a mount of its own and cannot be replaced"));
    }
    let file = temporary(path, text, mode)?;
    let own = file.as_file().metadata()?;
    if (own.uid(), own.gid()) != (old.uid(), old.gid())
        && std::os::unix::fs::fchown(file.as_file(), Some(old.uid()), Some(old.gid())).is_err()
    {
        return Ok(Replacement::InPlace("it belongs to somebody else, who could not read a new one"));
    }
    // Changing the owner may have taken bits away.
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    Ok(Replacement::File(file))
}

/// Whether a file could be written, as far as rights tell.
pub(super) fn is_possible(path: &Path) -> io::Result<()> {
    let written = if is_mount(path) { path } else { directory(path) };
    Ok(rustix::fs::access(written, Access::WRITE_OK)?)
}

impl Replacement {
    /// Takes the file's place; says why it was written in place where it was.
    pub(super) fn commit(self, path: &Path, old: &[u8], new: &[u8], mode: u32) -> io::Result<Option<&'static str>> {
        let reason = match self {
            Self::InPlace(reason) => reason,
            Self::File(file) => match file.persist(path) {
                Ok(_) => {
                    sync_directory(path);
                    return Ok(None);
                }
                Err(error) if is_mount_error(&error.error) => "it is a mount of its own and cannot be replaced",
                Err(error) => return Err(error.error),
            },
        };
        write_in_place(path, old, new)?;
        if let Err(error) = fs::set_permissions(path, Permissions::from_mode(mode)) {
            tracing::warn!(path = %path.display(), %error, "the file's mode cannot be set to {mode:o}");
        }
        Ok(Some(reason))
    }
}

fn temporary(path: &Path, text: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    // Created with 0600 and only then given what it is to have.
    let mut file = tempfile::Builder::new().prefix(&prefix(path)).rand_bytes(RANDOM).tempfile_in(directory(path))?;
    file.write_all(text)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    Ok(file)
}

/// Of its own for each file, so that whoever has the file's lock knows what a predecessor left.
fn prefix(path: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(MARK);
    prefix
}

/// Deletes what was left by one that was killed while it wrote; for the holder of the file's lock alone.
pub(super) fn sweep(path: &Path) {
    let Ok(entries) = fs::read_dir(directory(path)) else { return };
    let prefix = prefix(path);
    for entry in entries.flatten() {
        let name = entry.file_name();
        let random = name.as_bytes().strip_prefix(prefix.as_bytes());
        if random.is_some_and(|random| random.len() == RANDOM && random.iter().all(u8::is_ascii_alphanumeric)) {
            let removed = fs::remove_file(entry.path());
            tracing::debug!(path = %entry.path().display(), ?removed, "a file that was never finished is deleted");
        }
    }
}

fn is_mount(path: &Path) -> bool {
    rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::empty())
        .is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn is_mount_error(error: &io::Error) -> bool {
    [Errno::BUSY, Errno::XDEV].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Puts the old content back where the new one finds no room.
fn write_in_place(path: &Path, old: &[u8], new: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let written = overwrite(&mut file, new);
    if written.is_err() {
        overwrite(&mut file, old)?;
    }
    written
}

fn overwrite(file: &mut File, text: &[u8]) -> io::Result<()> {
    file.rewind()?;
    file.write_all(text)?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}

/// Makes the rename durable. Some file systems cannot sync a directory, which leaves nothing to be done.
fn sync_directory(path: &Path) {
    let synced = File::open(directory(path)).and_then(|directory| directory.sync_all());
    if let Err(error) = synced {
        tracing::debug!(%error, "the directory cannot be synced");
    }
}
