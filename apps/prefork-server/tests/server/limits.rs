//! A system that refuses processes and threads: told in one line, tried again, and those that are there serve meanwhile.
//!
//! The limit of processes binds everybody but root. Where root runs the tests, the server runs as a user who has no other
//! processes, from a copy of the program that this user can read.

use super::stage::{Server, command, copy_program, finished, standin, until};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use tempfile::TempDir;

/// The server's program where whoever is bound by limits can run it, and what it needs as long as it runs.
fn bound(uid: u32, before: &[&str], url: &str) -> (Command, TempDir) {
    let folder = TempDir::new().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("prefork-server");
    let usual = command(url);
    copy_program(&program);
    let mut words = before.iter().map(OsStr::new).chain([program.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).env_clear().envs(usual.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir("/");
    if nix::unistd::geteuid().is_root() {
        command.uid(uid).gid(uid);
    }
    (command, folder)
}

/// Sets the soft limit of processes of a running server, as its own user does it.
fn limit_processes(of: Pid, uid: u32, most: u64) {
    let mut command = Command::new("prlimit");
    command.args([format!("--pid={of}"), format!("--nproc={most}:")]);
    if nix::unistd::geteuid().is_root() {
        command.uid(uid).gid(uid);
    }
    assert_eq!(finished(command), (Some(0), String::new()));
}

#[tokio::test]
async fn a_refused_fork_is_told_and_tried_again_while_the_others_serve() {
    let standin = standin().await;
    let uid = 1_000_000 + std::process::id();
    let (command, _folder) = bound(uid, &[], &standin.url());
    let server = Server::run(command, &[]).await;
    until(async || server.workers().await.len() == 2).await;
    let (most, _) = getrlimit(Resource::RLIMIT_NPROC).unwrap();
    limit_processes(server.master(), uid, 1);
    kill(server.workers().await[0], Signal::SIGKILL).unwrap();
    until(async || server.log().matches("failed to fork worker").count() >= 2).await;
    for _ in 0..20 {
        assert!(server.get("/flag").await.is_some());
    }
    let log = server.log();
    let line = log.lines().find(|line| line.contains("failed to fork worker")).unwrap();
    assert!(line.contains("limit of processes") && line.contains("retry_in_ms="), "{line}");
    limit_processes(server.master(), uid, most);
    until(async || server.workers().await.len() == 2).await;
}

#[tokio::test]
async fn refused_threads_end_a_process_with_an_error_and_no_panic() {
    let (mut command, _folder) = bound(2_000_000 + std::process::id(), &["prlimit", "--nproc=1"], "http://127.0.0.1:1");
    command.args(["--dev", "--no-preload", "--bind", "127.0.0.1:0"]);
    let (code, text) = finished(command);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("threads, the limit of processes or threads is reached"), "{text}");
    assert!(!text.contains("panicked"), "{text}");
}
