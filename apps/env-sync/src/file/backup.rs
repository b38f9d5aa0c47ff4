//! Copies of the file, made before its content changes: `FILE.YYYYMMDD-HHMMSS`, by the local clock.
//!
//! A name that is taken gets `-1`, `-2` and so on: no copy is ever overwritten, whatever the clock does. The last name is
//! remembered: in a storm each copy would else have to try the names of all that were made in the same second.

use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::directory;

/// Makes copies.
#[derive(Debug, Default)]
pub struct Backups {
    /// Stamp and number of the last copy.
    last: Option<(String, u32)>,
}

impl Backups {
    /// Copies the content, with mode 0600.
    pub(super) fn copy(&mut self, path: &Path, text: &[u8]) -> io::Result<PathBuf> {
        self.copy_at(path, text, chrono::Local::now().format("%Y%m%d-%H%M%S").to_string())
    }

    fn copy_at(&mut self, path: &Path, text: &[u8], stamp: String) -> io::Result<PathBuf> {
        let last = self.last.as_ref().filter(|(last, _)| *last == stamp);
        for number in last.map_or(0, |(_, number)| number + 1).. {
            let suffix = if number == 0 { format!(".{stamp}") } else { format!(".{stamp}-{number}") };
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(mut file) => {
                    self.last = Some((stamp, number));
                    // A half copy is worse than none.
                    return match file.write_all(text) {
                        Ok(()) => Ok(name.into()),
                        Err(error) => fs::remove_file(&name).and(Err(error)),
                    };
                }
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Deletes all copies but the newest, of which the one just made is the newest, though the clock was set back. What is
/// not one of ours by its name stays.
pub(super) fn prune(path: &Path, made: &Path, keep: usize) {
    let Some(name) = path.file_name() else { return };
    let entries = fs::read_dir(directory(path)).into_iter().flatten().flatten();
    let mut copies: Vec<_> =
        entries.filter_map(|entry| age(name, &entry.file_name()).map(|age| (age, entry.path()))).collect();
    let made = made.file_name();
    copies.sort_unstable_by(|one, other| (one.1.file_name() == made, one).cmp(&(other.1.file_name() == made, other)));
    let old = copies.len().saturating_sub(keep);
    for (_, copy) in copies.into_iter().take(old) {
        if let Err(error) = fs::remove_file(&copy) {
            tracing::warn!(path = %copy.display(), %error, "an old backup cannot be deleted");
        }
    }
}

/// What copies sort by: stamp and number; nothing for other files.
fn age(name: &OsStr, copy: &OsString) -> Option<(String, u32)> {
    let suffix = copy.to_str()?.strip_prefix(name.to_str()?)?.strip_prefix('.')?;
    let (stamp, number) = suffix.split_at_checked(15)?;
    let is_stamp =
        stamp.bytes().enumerate().all(|(at, byte)| if at == 8 { byte == b'-' } else { byte.is_ascii_digit() });
    let number = if number.is_empty() { 0 } else { number.strip_prefix('-')?.parse().ok()? };
    is_stamp.then(|| (stamp.to_owned(), number))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn copies_of_one_second_have_names_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        let mut backups = Backups::default();
        for (text, stamp, name) in [
            ("1", "20260102-030405", ".env.20260102-030405"),
            ("2", "20260102-030405", ".env.20260102-030405-1"),
            ("3", "20260102-030405", ".env.20260102-030405-2"),
            ("4", "20260102-030406", ".env.20260102-030406"),
            ("5", "20260102-030405", ".env.20260102-030405-3"),
        ] {
            let copy = backups.copy_at(&path, text.as_bytes(), stamp.to_owned()).unwrap();
            assert_eq!(copy, folder.path().join(name));
            assert_eq!(fs::read_to_string(&copy).unwrap(), text);
            assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_copy_of_another_process_is_not_overwritten_and_a_deleted_name_not_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        let (mut one, mut other) = (Backups::default(), Backups::default());
        let copies: Vec<_> = [&mut one, &mut other]
            .into_iter()
            .flat_map(|backups| [0, 1].map(|_| backups.copy_at(&path, b"", "20260102-030405".to_owned()).unwrap()))
            .collect();
        assert!((1..copies.len()).all(|at| !copies[..at].contains(&copies[at])), "{copies:?}");
        fs::remove_file(&copies[0]).unwrap();
        let next = one.copy_at(&path, b"", "20260102-030405".to_owned()).unwrap();
        assert!(!copies.contains(&next), "{next:?}");
    }

    #[test]
    fn only_old_copies_of_this_file_are_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        let copies = (0..12).map(|number| format!(".env.20260102-030405-{number}"));
        let others =
            [".env", ".env.local", ".env.20260102-03040x", ".env.2", "x.env.20260102-030405", ".env.20260102-030405-x"];
        let all = copies.chain(others.map(str::to_owned)).chain([".env.20260102-030404".to_owned()]);
        for name in all {
            fs::write(folder.path().join(name), "").unwrap();
        }
        prune(&path, Path::new(".env.20260102-030405-11"), 2);
        let is_there = |name: &str| folder.path().join(name).exists();
        assert!(others.iter().all(|name| is_there(name)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), others.len() + 2);
        assert!(is_there(".env.20260102-030405-10") && is_there(".env.20260102-030405-11"));
        fs::write(folder.path().join(".env.20260101-000000"), "").unwrap();
        prune(&path, &folder.path().join(".env.20260101-000000"), 1);
        assert!(is_there(".env.20260101-000000") && !is_there(".env.20260102-030405-11"), "the clock was set back");
    }
}
