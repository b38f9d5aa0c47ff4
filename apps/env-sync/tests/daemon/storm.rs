//! Thousands of changes in a few seconds, and a reader that looks at the file all the time and must never see half of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::stage::{Daemon, Stage, flag, payload};

/// What a version of the file says; nothing where it is no whole version.
fn parse(text: &str) -> Option<BTreeMap<&str, &str>> {
    let text = text.strip_prefix("# kept\n")?.strip_suffix("# end\n")?;
    let pairs: Option<BTreeMap<_, _>> = text.lines().map(|line| line.split_once('=')).collect();
    pairs
        .filter(|pairs| pairs.len() == 3 && pairs.values().all(|value| value.len() == 2005 && value.ends_with("tail.")))
}

/// Tells the reader to stop, also where the test has failed: its runtime would wait for it.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads the file until told to stop: how many different versions there were.
fn read_all_versions(path: &Path, stop: &AtomicBool) -> usize {
    let (mut versions, mut last) = (0, String::new());
    while !stop.load(Ordering::Relaxed) {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(
            parse(&text).is_some(),
            "a version that is none: {} bytes, {:?}",
            text.len(),
            &text[..text.len().min(40)]
        );
        if text != last {
            versions += 1;
            last = text;
        }
        // Long enough to leave the machine to others, short enough to meet each version.
        std::thread::sleep(Duration::from_micros(200));
    }
    versions
}

fn value(number: u32) -> String {
    format!("{number:02000}tail.")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_changes_are_written_in_time_and_never_by_halves() {
    let first = value(0);
    let stage = Stage::with(&payload(&[("A", json!(first)), ("B", json!(first)), ("C", json!(first))])).await;
    stage.write(".env", &format!("# kept\nA={first}\nB={first}\nC={first}\n# end\n"));
    let mut command = stage.command(&["--keep-backups", "3"]);
    command.env("DEBOUNCE_MS", "100");
    let daemon = Daemon::of(command);
    daemon.says("the file is right as it is").await;
    let stop = Stop(Arc::default());
    let (path, stopped) = (stage.path(".env"), Arc::clone(&stop.0));
    let reader = tokio::task::spawn_blocking(move || read_all_versions(&path, &stopped));
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    for number in 1..=10_000_u32 {
        if number % 2 == 0 {
            stage.standin.upsert_flag(&flag("unmanaged", &json!(number))).unwrap();
        } else {
            let key = ["A", "B", "C"][usize::try_from(number % 3).unwrap()];
            stage.standin.upsert_flag(&flag(key, &json!(value(number)))).unwrap();
        }
        tick.tick().await;
    }
    // The last odd number of each remainder.
    let (a, b, c) = (value(9_999), value(9_997), value(9_995));
    stage.reads(".env", &format!("# kept\nA={a}\nB={b}\nC={c}\n# end\n")).await;
    drop(stop);
    let versions = reader.await.unwrap();
    // Ten seconds and more, with a write at least every half second.
    assert!(versions >= 10, "{versions} versions only");
    assert_eq!(daemon.terminated().await, 0);
    // Old copies go after the write that made a new one.
    assert_eq!(stage.beside(".env").len(), 3);
}

#[tokio::test]
async fn with_no_debounce_every_change_may_be_a_version_and_the_last_one_wins() {
    let stage = Stage::new().await;
    let daemon = stage.start(&["--backup-enabled", "false"]);
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    for number in 0..500 {
        stage.set("A", &json!(number.to_string()));
    }
    stage.reads(".env", "A=499\nB=b\nC=c\n").await;
    assert_eq!(daemon.terminated().await, 0);
}
