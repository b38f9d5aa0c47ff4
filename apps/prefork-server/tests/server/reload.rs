//! A reload reads `.env` anew, and takes nothing from a server that it cannot replace.

use super::stage::{Server, command, sample_flag, until};
use local::standin::{Standin, StandinOptions};
use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A command that has everything from a file.
fn from_file() -> (Command, TempDir, PathBuf) {
    let mut command = command("");
    command.env_clear();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("variables");
    command.arg("--env-file").arg(&file);
    (command, folder, file)
}

fn write(file: &Path, standin: &Standin, key: &str, more: &str) {
    let url = standin.url();
    let uris = ["BASE", "STREAM", "EVENTS"].map(|name| format!("LAUNCHDARKLY_{name}_URI={url}\n")).concat();
    std::fs::write(file, format!("LAUNCHDARKLY_SDK_KEY={key}\n{uris}{more}")).unwrap();
}

async fn environment(key: &str, is_on: bool, version: u64) -> Standin {
    let standin = Standin::start(StandinOptions::default().sdk_key(key)).await.unwrap();
    standin.upsert_flag(&sample_flag(is_on, version)).unwrap();
    standin
}

async fn reload(server: &Server, workers: usize) {
    let before = server.workers().await;
    server.signal(Signal::SIGHUP);
    until(async || {
        let now = server.workers().await;
        now.len() == workers && now.iter().all(|worker| !before.contains(worker))
    })
    .await;
}

#[tokio::test]
async fn what_the_file_says_now_counts_after_a_reload() {
    let standin = environment("sdk-local", false, 1).await;
    let (command, _folder, file) = from_file();
    write(&file, &standin, "sdk-local", "LD_FLAG_KEY=new-checkout\nWORKERS=1\n");
    let server = Server::run(command, &[]).await;
    assert_eq!(server.json("/flag").await["flag"], "new-checkout");
    write(&file, &standin, "sdk-local", "LD_FLAG_KEY=sample-flag\nWORKERS=2\nBIND=:1\n");
    reload(&server, 2).await;
    assert_eq!(server.json("/flag").await["flag"], "sample-flag");
    assert!(!server.log().contains("another address"), "--bind wins over BIND");
}

#[tokio::test]
async fn another_sdk_key_brings_the_flags_of_its_environment_though_their_versions_are_lower() {
    let old = environment("sdk-old", false, 5_000).await;
    let new = environment("sdk-new", true, 7).await;
    let (command, _folder, file) = from_file();
    write(&file, &old, "sdk-old", "");
    let server = Server::run(command, &[]).await;
    server.until_all_say(false).await;
    write(&file, &new, "sdk-new", "");
    reload(&server, 2).await;
    server.until_all_say(true).await;
    old.upsert_flag(&sample_flag(false, 6_000)).unwrap();
    new.upsert_flag(&sample_flag(true, 8)).unwrap();
    until(async || {
        for _ in 0..20 {
            if server.json("/flags?key=k").await["flags"]["sample-flag"]["version"] != 8 {
                return false;
            }
        }
        true
    })
    .await;
    server.until_all_say(true).await;
}

#[tokio::test]
async fn what_cannot_be_used_leaves_everything_as_it_is() {
    let standin = environment("sdk-local", false, 1).await;
    let (command, _folder, file) = from_file();
    write(&file, &standin, "sdk-local", "");
    let server = Server::run(command, &[]).await;
    std::fs::write(&file, "LAUNCHDARKLY_SDK_KEY='sdk-secret\n").unwrap();
    reload(&server, 2).await;
    assert!(server.log().contains("line 1: not of the form NAME=value"), "{}", server.log());
    write(&file, &standin, "sdk-secret", "LD_FLAG_KEY=new-checkout\n");
    reload(&server, 2).await;
    assert!(server.log().contains("the old one stays in use"), "{}", server.log());
    assert_eq!(server.json("/flag").await["flag"], "new-checkout", "all else counts");
    standin.upsert_flag(&sample_flag(true, 2)).unwrap();
    until(async || server.json("/flag/sample-flag").await["value"] == true).await;
    assert!(!server.log().contains("secret"), "{}", server.log());
}
