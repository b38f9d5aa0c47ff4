//! The journal on a real folder.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn journal() -> (tempfile::TempDir, Journal) {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::new(folder.path().join("replay"));
    (folder, journal)
}

fn change(flag: &str, state: &str) -> Change {
    format!("rc update-ld-api -p p -e e -f {flag} -s {state}").parse().unwrap()
}

fn record(version: u64) -> Record {
    let host =
        HostRecord { before: Held { version, on: Some(false), fallthrough: None }, override_version: version + 1 };
    Record { hosts: [("h:6379".to_owned(), host)].into(), launchdarkly_version: None }
}

fn files(journal: &Journal, folder: &str) -> Vec<String> {
    let mut names = journal.names(folder).unwrap();
    names.sort();
    names
}

#[test]
fn a_change_is_one_file_of_one_line_with_its_versions_beside_it() {
    let (_folder, journal) = journal();
    let name = journal.record(&change("f", "on"), &record(12)).unwrap();
    let path = journal.folder().join("toDo").join(&name);
    assert_eq!(fs::read_to_string(&path).unwrap(), "rc update-ld-api -p p -e e -f f -s on\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(fs::read_dir(journal.folder().join("toDo")).unwrap().count(), 1);
    assert_eq!(journal.record_of(&name), Some(record(12)));
    let pending = journal.pending().unwrap();
    assert_eq!(
        (pending.entries[0].change.clone(), pending.entries[0].record.clone()),
        (change("f", "on"), Some(record(12)))
    );
}

#[test]
fn names_sort_by_time_however_fast_they_come() {
    let (_folder, journal) = journal();
    let names: Vec<_> = (0..50).map(|_| journal.record(&change("f", "on"), &record(1)).unwrap()).collect();
    assert!(names.is_sorted());
    assert_eq!(journal.pending().unwrap().entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>(), names);
}

#[test]
fn files_of_the_other_tool_stand_where_their_time_puts_them() {
    let (_folder, journal) = journal();
    let ours = journal.record(&change("ours", "on"), &record(1)).unwrap();
    for (name, offset) in [("5f3.txt", -100), ("0a1.txt", 100)] {
        let path = journal.folder().join("toDo").join(name);
        fs::write(&path, "rc update-ld-api -p p -e e -f theirs -s off").unwrap();
        let time = SystemTime::now();
        let shift = std::time::Duration::from_secs(100);
        let time = if offset < 0 { time - shift } else { time + shift };
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }
    let names: Vec<_> = journal.pending().unwrap().entries.into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["5f3.txt".to_owned(), ours, "0a1.txt".to_owned()]);
}

#[test]
fn what_is_no_entry_is_reported_and_not_in_the_way() {
    let (_folder, journal) = journal();
    journal.record(&change("f", "on"), &record(1)).unwrap();
    let folder = journal.folder().join("toDo");
    fs::write(folder.join("a.txt"), "rm -rf /").unwrap();
    fs::write(folder.join("b.txt"), vec![b'x'; 100_000]).unwrap();
    fs::write(folder.join("c.txt"), b"\xff").unwrap();
    fs::write(folder.join("e.txt"), "").unwrap();
    fs::write(folder.join(".half"), "rc").unwrap();
    fs::create_dir(folder.join("d")).unwrap();
    let pending = journal.pending().unwrap();
    assert_eq!(pending.entries.len(), 1);
    let unusable: Vec<_> = pending.unusable.iter().map(|file| (file.name.as_str(), file.error.to_string())).collect();
    assert_eq!(
        unusable[0].1,
        "it begins with \"rm\"; expected `rc update-ld-api -p PROJECT -e ENVIRONMENT -f FLAG -s on|off`"
    );
    assert_eq!(unusable[1].1, "it has 100000 bytes; a journal file is one short line");
    assert_eq!(unusable[2], ("c.txt", "read it".to_owned()));
    assert!(unusable[3].1.starts_with("it is empty, as a crash leaves it"));
    assert_eq!(unusable.len(), 4);
}

#[test]
fn a_change_is_archived_set_aside_or_withdrawn() {
    let (_folder, journal) = journal();
    let names = ["a", "b", "c"].map(|flag| journal.record(&change(flag, "on"), &record(1)).unwrap());
    journal.archive(&names[0], None).unwrap();
    journal.settle().unwrap();
    journal.set_aside(&names[1]).unwrap();
    journal.withdraw(&names[2]).unwrap();
    assert_eq!(files(&journal, "toDo"), Vec::<String>::new());
    assert_eq!(files(&journal, "archive"), [names[0].clone()]);
    assert_eq!(files(&journal, "reverted"), [names[1].clone()]);
    assert!(journal.record_of(&names[0]).is_some());
    assert!(journal.record_of(&names[2]).is_none());
}

#[test]
fn one_playback_at_a_time() {
    let (_folder, journal) = journal();
    let lock = journal.lock_to_play_back().unwrap();
    assert!(matches!(journal.lock_to_play_back(), Err(JournalError::Locked { .. })));
    drop(lock);
    journal.lock_to_play_back().unwrap();
}

#[test]
fn a_journal_that_does_not_exist_is_empty() {
    let (_folder, journal) = journal();
    assert!(journal.pending().unwrap().entries.is_empty());
    assert!(!journal.folder().exists());
}
