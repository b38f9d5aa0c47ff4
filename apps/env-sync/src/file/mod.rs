//! The file on disk: read, edited, and replaced so that nobody ever sees half of it.
//!
//! A symlink is followed once for each write. The replacement is a new file in the same directory, synced and renamed
//! over the old one; only where that cannot be (a file that is itself a mount, as containers have them, or one of
//! another owner) it is written in place, with a warning. What others write between our look and our rename is looked
//! at again. All of this is blocking and short.

pub mod backup;
pub mod lock;
mod replace;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use self::backup::Backups;
use crate::edit::{self, Assignment, EditError, Edited, Refusal};
use crate::settings::FileSettings;

/// How often a file that others keep changing is looked at again.
const LOOKS: u32 = 10;

/// Why the file is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Its path leads nowhere.
    #[error("`{0}` leads through too many symlinks")]
    Loop(PathBuf),
    /// It cannot be read.
    #[error("`{0}` cannot be read")]
    Read(PathBuf, #[source] io::Error),
    /// A directory, a device.
    #[error("`{0}` is not a regular file; move it away or choose another ENV_FILE_PATH")]
    NotAFile(PathBuf),
    /// Not of its format.
    #[error("`{0}` cannot be edited")]
    Edit(PathBuf, #[source] EditError),
    /// It cannot be replaced.
    #[error("`{0}` cannot be written; its directory must be writable and have room for a second copy")]
    Write(PathBuf, #[source] io::Error),
    /// It changes faster than it can be edited.
    #[error("`{0}` is being changed by others all the time")]
    Busy(PathBuf),
}

/// What a look at the file came to.
#[derive(Debug, Default)]
pub struct Applied {
    /// The names whose lines were changed or added; none where the file was right already.
    pub changed: Vec<String>,
    /// The values that the format cannot hold.
    pub refused: Vec<Refusal>,
    /// The copy that was made before.
    pub backup: Option<PathBuf>,
    /// A backup that failed. The file was written all the same.
    pub backup_failed: Option<io::Error>,
    /// Why the file was written in place, where it was.
    pub in_place: Option<&'static str>,
}

/// The content of a file and which file it was.
struct Look {
    text: Vec<u8>,
    metadata: Option<fs::Metadata>,
}

/// Brings the values into the file.
pub fn apply(settings: &FileSettings, assignments: &[Assignment], backups: &mut Backups) -> Result<Applied, FileError> {
    let path = target(&settings.path)?;
    for _ in 0..LOOKS {
        let look = look(&path)?;
        let edited = edit::edit(settings.format, &look.text, assignments)
            .map_err(|error| FileError::Edit(path.clone(), error))?;
        if edited.changed.is_empty() {
            restrict(&path, look.metadata.as_ref(), settings.mode);
            return Ok(Applied { refused: edited.refused, ..Applied::default() });
        }
        if let Some(applied) = write(settings, &path, &look, edited, backups)? {
            return Ok(applied);
        }
    }
    Err(FileError::Busy(path))
}

/// What the values would make of the file.
#[derive(Debug)]
pub struct Preview {
    /// Its content now.
    pub text: Vec<u8>,
    /// And then.
    pub edited: Edited,
    /// Why it could not be written, as far as can be seen without writing.
    pub obstacle: Option<FileError>,
}

/// What the values would make of the file, which is not touched.
pub fn preview(settings: &FileSettings, assignments: &[Assignment]) -> Result<Preview, FileError> {
    let path = target(&settings.path)?;
    let Look { text, .. } = look(&path)?;
    let edited =
        edit::edit(settings.format, &text, assignments).map_err(|error| FileError::Edit(path.clone(), error))?;
    let obstacle = if edited.changed.is_empty() { Ok(()) } else { replace::is_possible(&path) };
    Ok(Preview { text, edited, obstacle: obstacle.map_err(|error| FileError::Write(path, error)).err() })
}

/// The values that the file has now; none where it is not there.
pub fn known(settings: &FileSettings) -> Result<BTreeMap<String, String>, FileError> {
    let path = target(&settings.path)?;
    let look = look(&path)?;
    edit::read(settings.format, &look.text).map_err(|error| FileError::Edit(path, error))
}

/// Nothing where the file changed under our hands.
fn write(
    settings: &FileSettings,
    path: &Path,
    look: &Look,
    edited: Edited,
    backups: &mut Backups,
) -> Result<Option<Applied>, FileError> {
    let mut applied = Applied { changed: edited.changed, refused: edited.refused, ..Applied::default() };
    let failed = |error| FileError::Write(path.to_owned(), error);
    let Some(old) = look.metadata.as_ref() else {
        return match replace::create(path, &edited.text, settings.mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            created => created.map(|()| Some(applied)).map_err(failed),
        };
    };
    let replacement = replace::prepare(path, &edited.text, settings.mode, old).map_err(failed)?;
    if !is_unchanged(path, old) {
        return Ok(None);
    }
    if settings.backup {
        match backups.copy(path, &look.text) {
            Ok(copy) => applied.backup = Some(copy),
            Err(error) => applied.backup_failed = Some(error),
        }
    }
    applied.in_place = replacement.commit(path, &look.text, &edited.text, settings.mode).map_err(failed)?;
    if let (Some(keep), Some(made)) = (settings.keep_backups, &applied.backup) {
        backup::prune(path, made, keep);
    }
    Ok(Some(applied))
}

/// Where a path leads in the end; the file need not exist.
pub fn target(path: &Path) -> Result<PathBuf, FileError> {
    let mut path = path.to_owned();
    for _ in 0..40 {
        match fs::read_link(&path) {
            Ok(next) => path = path.parent().unwrap_or(Path::new("")).join(next),
            Err(_) => return Ok(path),
        }
    }
    Err(FileError::Loop(path))
}

/// The directory that a file is in.
pub fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn look(path: &Path) -> Result<Look, FileError> {
    let failed = |error| FileError::Read(path.to_owned(), error);
    // A pipe would keep us waiting for its writer.
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Look { text: Vec::new(), metadata: None }),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.is_file() => return Err(FileError::NotAFile(path.to_owned())),
        Ok(_) => {}
    }
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(failed)?;
    Ok(Look { text, metadata: Some(metadata) })
}

fn is_unchanged(path: &Path, old: &fs::Metadata) -> bool {
    let state = |of: &fs::Metadata| (of.dev(), of.ino(), of.len(), of.mtime(), of.mtime_nsec());
    fs::metadata(path).is_ok_and(|now| state(&now) == state(old))
}

/// A file that was right already may still be readable to others.
fn restrict(path: &Path, metadata: Option<&fs::Metadata>, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let is_right = metadata.is_none_or(|metadata| metadata.mode() & 0o7777 == mode);
    let set = if is_right { Ok(()) } else { fs::set_permissions(path, fs::Permissions::from_mode(mode)) };
    if let Err(error) = set {
        tracing::warn!(path = %path.display(), %error, "the file's mode cannot be set to {mode:o}");
    }
}

#[cfg(test)]
mod tests;
