//! The file on disk, as far as one file system shows it; mounts and full disks are in `tests/daemon`.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::edit::{Format, Text};

struct Stage {
    folder: tempfile::TempDir,
    settings: FileSettings,
    backups: Backups,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        let settings = FileSettings { path, format: Format::Dotenv, mode: 0o600, backup: true, keep_backups: None };
        Self { folder, settings, backups: Backups::default() }
    }

    fn write(&mut self, value: &str) -> Result<Applied, FileError> {
        let value = Text::Plain(value.to_owned());
        apply(&self.settings, &[Assignment { name: "A".to_owned(), value }], &mut self.backups)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.settings.path).unwrap()
    }

    fn mode(&self) -> u32 {
        fs::metadata(&self.settings.path).unwrap().permissions().mode() & 0o7777
    }
}

#[test]
fn a_new_file_is_its_owners_alone_and_needs_no_backup() {
    let mut stage = Stage::new();
    let applied = stage.write("1").unwrap();
    assert_eq!((applied.changed.as_slice(), applied.backup), (&["A".to_owned()][..], None));
    assert_eq!((stage.text().as_str(), stage.mode()), ("A=1\n", 0o600));
    assert_eq!(stage.names(), [".env"]);
}

#[test]
fn what_was_left_by_one_that_was_killed_goes_with_the_next_lock() {
    let stage = Stage::new();
    let others = [".env", ".env.20261121-213000", ".env.env-sync-Abc123", "..env.env-sync-Abc12", ".b.env-sync-Abc123"];
    for name in others.into_iter().chain(["..env.env-sync-Abc123", "..env.env-sync-000000"]) {
        fs::write(stage.folder.path().join(name), "").unwrap();
    }
    drop(lock::lock(&stage.settings.path).unwrap());
    let mut expected = others.map(str::to_owned);
    expected.sort_unstable();
    assert_eq!(stage.names(), expected);
}

#[test]
fn what_is_right_already_is_not_touched_but_for_its_mode() {
    let mut stage = Stage::new();
    fs::write(&stage.settings.path, "A=1\n").unwrap();
    fs::set_permissions(&stage.settings.path, fs::Permissions::from_mode(0o644)).unwrap();
    let before = fs::metadata(&stage.settings.path).unwrap();
    let applied = stage.write("1").unwrap();
    assert!(applied.changed.is_empty() && applied.backup.is_none());
    let after = fs::metadata(&stage.settings.path).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    assert_eq!((stage.names(), stage.mode()), (vec![".env".to_owned()], 0o600));
}

#[test]
fn each_change_leaves_the_content_before_it() {
    let mut stage = Stage::new();
    for value in ["1", "2", "3"] {
        stage.write(value).unwrap();
    }
    let copies: Vec<_> = stage.names().into_iter().filter(|name| name != ".env").collect();
    let mut texts: Vec<_> =
        copies.iter().map(|name| fs::read_to_string(stage.folder.path().join(name)).unwrap()).collect();
    texts.sort_unstable();
    assert_eq!(texts, ["A=1\n", "A=2\n"]);
}

#[test]
fn no_more_backups_are_kept_than_wanted() {
    let mut stage = Stage::new();
    stage.settings.keep_backups = Some(1);
    for value in ["1", "2", "3", "4"] {
        stage.write(value).unwrap();
    }
    assert_eq!(stage.names().len(), 2);
    stage.settings.backup = false;
    stage.write("5").unwrap();
    assert_eq!(stage.names().len(), 2);
}

#[test]
fn a_symlink_stays_and_its_target_is_replaced() {
    let mut stage = Stage::new();
    fs::create_dir(stage.folder.path().join("real")).unwrap();
    symlink("second", &stage.settings.path).unwrap();
    symlink("real/file", stage.folder.path().join("second")).unwrap();
    for value in ["1", "2"] {
        stage.write(value).unwrap();
    }
    assert!(fs::symlink_metadata(&stage.settings.path).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(stage.folder.path().join("real/file")).unwrap(), "A=2\n");
    symlink("loop", stage.folder.path().join("loop")).unwrap();
    assert!(matches!(target(&stage.folder.path().join("loop")), Err(FileError::Loop(_))));
}

#[test]
fn what_is_no_file_is_left_alone() {
    let mut stage = Stage::new();
    fs::create_dir(&stage.settings.path).unwrap();
    assert!(matches!(stage.write("1"), Err(FileError::NotAFile(_))));
}

#[test]
fn another_mode_is_kept_to() {
    let mut stage = Stage::new();
    stage.settings.mode = 0o640;
    stage.write("1").unwrap();
    assert_eq!(stage.mode(), 0o640);
    stage.write("2").unwrap();
    assert_eq!(stage.mode(), 0o640);
}
