//! The journal: one file a change in `toDo`, moved to `archive` once LaunchDarkly has it, or to
//! `reverted` once it was taken back.
//!
//! A file is one line, the command that it stands for, and its name sorts by time. What Redis held
//! before is beside it, in `versions`, under the same name, so that `toDo` stays what the tool
//! before this one reads and writes. Whatever is written is on the disk before the caller goes on:
//! the record of an override outlives a crash, also one of the whole machine. Knows neither Redis
//! nor LaunchDarkly.

mod durable;
mod name;
mod record;

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::change::{Change, FlagName, LineError};

pub use record::{Held, HostRecord, Record};

const TO_DO: &str = "toDo";
const ARCHIVE: &str = "archive";
const REVERTED: &str = "reverted";
const VERSIONS: &str = "versions";

/// Longest file that is read as a journal entry, in bytes.
const LONGEST_LINE: u64 = 64 << 10;

/// Why the journal cannot be used.
#[derive(Debug, Error)]
pub enum JournalError {
    /// A file or folder cannot be read or written.
    #[error("{what} {}", path.display())]
    File {
        /// What was to be done.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Somebody else is at it.
    #[error("use the journal {}: another `rc playback` or `rc revert` is at work on it; wait until it has ended", path.display())]
    Locked {
        /// The journal.
        path: PathBuf,
    },
}

/// Why a file in `toDo` stands for no change.
#[derive(Debug, Error)]
pub enum EntryError {
    /// It cannot be read.
    #[error("read it")]
    Unreadable(#[source] io::Error),
    /// It has no content.
    #[error("it is empty, as a crash leaves it; the change that it was to record was not made; remove it")]
    Empty,
    /// It is far too long.
    #[error("it has {0} bytes; a journal file is one short line")]
    TooLong(u64),
    /// Its line is no command of ours.
    #[error(transparent)]
    Line(#[from] LineError),
}

/// A pending change.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The file's name.
    pub name: String,
    /// What it stands for.
    pub change: Change,
    /// When it was recorded.
    pub at: DateTime<Utc>,
    /// What the hosts held before; nothing for files of the tool before this one.
    pub record: Option<Record>,
}

/// A file in `toDo` that stands for no change.
#[derive(Debug)]
pub struct Unusable {
    /// The file's name.
    pub name: String,
    /// What is wrong with it.
    pub error: EntryError,
}

/// All pending changes, in order, and what else lies in `toDo`.
#[derive(Debug, Default)]
pub struct Pending {
    /// By time.
    pub entries: Vec<Entry>,
    /// Files to be looked at by a person.
    pub unusable: Vec<Unusable>,
}

impl Pending {
    /// The pending changes of one flag, by time.
    pub fn of<'a>(&'a self, flag: &'a FlagName) -> impl DoubleEndedIterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.change.flag == *flag)
    }

    /// Each flag once, in the order of its first change.
    pub fn flags(&self) -> Vec<&FlagName> {
        let mut seen = HashSet::new();
        self.entries.iter().map(|entry| &entry.change.flag).filter(|flag| seen.insert(*flag)).collect()
    }
}

/// Holds others off until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// The journal's folder.
#[derive(Debug, Clone)]
pub struct Journal {
    folder: PathBuf,
}

impl Journal {
    /// The journal in `folder`, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits until nobody else records an override: the order of the records is then that of the
    /// overrides.
    ///
    /// # Errors
    /// Where the folder cannot be made or the lock not be had.
    pub fn lock_to_record(&self) -> Result<Lock, JournalError> {
        let (path, file) = self.lock_file("update.lock")?;
        file.lock().map_err(failed("lock", &path))?;
        Ok(Lock { _file: file })
    }

    /// Refuses where another playback or revert is under way.
    ///
    /// # Errors
    /// Where that is so, or the folder cannot be made.
    pub fn lock_to_play_back(&self) -> Result<Lock, JournalError> {
        let (path, file) = self.lock_file("playback.lock")?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(JournalError::Locked { path: self.folder.clone() }),
            Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
        }
    }

    fn lock_file(&self, name: &str) -> Result<(PathBuf, File), JournalError> {
        self.create()?;
        let path = self.folder.join(name);
        let file =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(failed("open", &path))?;
        Ok((path, file))
    }

    fn create(&self) -> Result<(), JournalError> {
        for name in [TO_DO, ARCHIVE] {
            durable::create_folder(&self.folder.join(name)).map_err(failed("create the folder", &self.folder))?;
        }
        Ok(())
    }

    /// Records a change that is about to be made, and gives the file's name.
    ///
    /// # Errors
    /// Where it cannot be put on the disk; then there is no file either.
    pub fn record(&self, change: &Change, record: &Record) -> Result<String, JournalError> {
        self.create()?;
        let latest =
            self.names(TO_DO)?.into_iter().chain(self.names(ARCHIVE)?).filter_map(|name| name::time(&name)).max();
        let mut at = name::after(Utc::now(), latest);
        loop {
            let name = name::of(at, change);
            let path = self.folder.join(TO_DO).join(&name);
            // The record first: a file in `toDo` has it from its first moment on.
            let beside = self.write_record(&name, record)?;
            match durable::create(&path, format!("{change}\n").as_bytes()) {
                Ok(line) => {
                    durable::sync(&[line, beside]).map_err(failed("write", &path))?;
                    return Ok(name);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => at = name::after(at, Some(at)),
                Err(error) => return Err(failed("write", &path)(error)),
            }
        }
    }

    /// Puts what the hosts held beside a change, in the place of what was there.
    ///
    /// # Errors
    /// Where it cannot be put on the disk.
    pub fn save_record(&self, name: &str, record: &Record) -> Result<(), JournalError> {
        let written = self.write_record(name, record)?;
        durable::sync(&[written]).map_err(failed("write", &self.record_path(name)))
    }

    fn write_record(&self, name: &str, record: &Record) -> Result<durable::Fresh, JournalError> {
        let path = self.record_path(name);
        durable::create_folder(&self.folder.join(VERSIONS)).map_err(failed("create the folder", &path))?;
        durable::replace(&path, &record.to_json()).map_err(failed("write", &path))
    }

    /// The record beside a change, wherever the change is now.
    pub fn record_of(&self, name: &str) -> Option<Record> {
        Record::from_json(&fs::read(self.record_path(name)).ok()?)
    }

    fn record_path(&self, name: &str) -> PathBuf {
        self.folder.join(VERSIONS).join(format!("{name}.json"))
    }

    /// Takes a change out again that nothing came of.
    ///
    /// # Errors
    /// Where the file cannot be removed.
    pub fn withdraw(&self, name: &str) -> Result<(), JournalError> {
        let path = self.folder.join(TO_DO).join(name);
        durable::remove(&path).map_err(failed("remove", &path))?;
        let _ = fs::remove_file(self.record_path(name));
        Ok(())
    }

    /// Moves a change to `archive`, with what is now known of it: LaunchDarkly has it. On the disk
    /// after [`Journal::settle`]: should it be lost before, it is played back twice, which is as
    /// good as once, and waiting for the disk at every change would cost more than LaunchDarkly.
    ///
    /// # Errors
    /// Where the file cannot be moved.
    pub fn archive(&self, name: &str, record: Option<&Record>) -> Result<(), JournalError> {
        if let Some(record) = record {
            self.write_record(name, record)?;
        }
        let path = self.folder.join(TO_DO).join(name);
        durable::create_folder(&self.folder.join(ARCHIVE)).map_err(failed("create the folder", &path))?;
        fs::rename(&path, self.folder.join(ARCHIVE).join(name)).map_err(failed("move", &path))
    }

    /// Returns once everything archived is on the disk.
    ///
    /// # Errors
    /// Where it does not get there.
    pub fn settle(&self) -> Result<(), JournalError> {
        for name in [VERSIONS, ARCHIVE, TO_DO] {
            let folder = self.folder.join(name);
            if folder.is_dir() {
                durable::sync_folder(&folder).map_err(failed("write", &folder))?;
            }
        }
        Ok(())
    }

    /// Moves a change to `reverted`: nobody has it any more.
    ///
    /// # Errors
    /// Where the file cannot be moved.
    pub fn set_aside(&self, name: &str) -> Result<(), JournalError> {
        let path = self.folder.join(TO_DO).join(name);
        durable::create_folder(&self.folder.join(REVERTED)).map_err(failed("create the folder", &path))?;
        durable::rename(&path, &self.folder.join(REVERTED).join(name)).map_err(failed("move", &path))
    }

    /// Reads all of `toDo`, by time: that in the name, and the file's own for other names.
    ///
    /// # Errors
    /// Where the folder cannot be listed; a journal that does not exist is empty.
    pub fn pending(&self) -> Result<Pending, JournalError> {
        Ok(self.read(self.names(TO_DO)?))
    }

    /// The last pending change of what `change` sets of its flag. Reads no file whose name says
    /// that it is of another flag.
    ///
    /// # Errors
    /// Where the folder cannot be listed.
    pub fn last_of(&self, change: &Change) -> Result<Option<Entry>, JournalError> {
        let mut names = self.names(TO_DO)?;
        names.retain(|name| name::may_be_of(name, &change.flag));
        let is_it =
            |entry: &Entry| entry.change.flag == change.flag && entry.change.target.is_about_the_same(&change.target);
        Ok(self.read(names).entries.into_iter().rfind(is_it))
    }

    fn read(&self, names: Vec<String>) -> Pending {
        let mut pending = Pending::default();
        for name in names {
            let path = self.folder.join(TO_DO).join(&name);
            match read_entry(&path) {
                Ok(None) => {}
                Ok(Some((change, written))) => {
                    let at = name::time(&name).unwrap_or_else(|| written.into());
                    let record = self.record_of(&name);
                    pending.entries.push(Entry { name, change, at, record });
                }
                Err(error) => pending.unusable.push(Unusable { name, error }),
            }
        }
        pending.entries.sort_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
        pending.unusable.sort_by(|a, b| a.name.cmp(&b.name));
        pending
    }

    /// What is known of the changes that LaunchDarkly has already got.
    ///
    /// # Errors
    /// Where the folder cannot be listed.
    pub fn archived(&self) -> Result<Vec<(FlagName, Record)>, JournalError> {
        let folder = self.folder.join(ARCHIVE);
        let read = |name: String| {
            let record = self.record_of(&name)?;
            let (change, _) = read_entry(&folder.join(&name)).ok()??;
            Some((change.flag, record))
        };
        Ok(self.names(ARCHIVE)?.into_iter().filter_map(read).collect())
    }

    fn names(&self, folder: &str) -> Result<Vec<String>, JournalError> {
        let path = self.folder.join(folder);
        let listed = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed.map_err(failed("list", &path))?,
        };
        let mut names = Vec::new();
        for file in listed {
            let name = file.map_err(failed("list", &path))?.file_name().to_string_lossy().into_owned();
            // What begins with a dot is half-written, or an editor's.
            if !name.starts_with('.') {
                names.push(name);
            }
        }
        Ok(names)
    }
}

/// Nothing where it is no file at all, or has gone meanwhile.
fn read_entry(path: &Path) -> Result<Option<(Change, SystemTime)>, EntryError> {
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(EntryError::Unreadable(error)),
    };
    if !about.is_file() {
        return Ok(None);
    }
    if about.len() == 0 {
        return Err(EntryError::Empty);
    }
    if about.len() > LONGEST_LINE {
        return Err(EntryError::TooLong(about.len()));
    }
    let line = fs::read_to_string(path).map_err(EntryError::Unreadable)?;
    Ok(Some((line.parse()?, about.modified().unwrap_or(SystemTime::UNIX_EPOCH))))
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> JournalError + 'a {
    move |source| JournalError::File { what, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
