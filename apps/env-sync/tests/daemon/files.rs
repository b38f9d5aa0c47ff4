//! What file systems and other programs do to the file. Mounts are made in a mount namespace of the test's own; where
//! the machine forbids that, those tests have nothing to try and say so.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use crate::stage::{Daemon, Stage, until};

/// Whether mounts can be tried here.
#[expect(clippy::print_stdout, reason = "who reads the test's output should know what was not tried")]
async fn has_namespaces() -> bool {
    let tried = Command::new("unshare").args(["-Urm", "true"]).stderr(Stdio::null()).status().await;
    let has = tried.is_ok_and(|status| status.success());
    if !has {
        println!("no mount namespaces here: nothing was tried");
    }
    has
}

/// The program after a script of mounts, in a namespace of its own; `$0` is the program.
fn in_namespace(stage: &Stage, script: &str) -> Daemon {
    Daemon::of(stage.command_of("unshare", &["-Urm", "sh", "-ec", script, env!("CARGO_BIN_EXE_env-sync")]))
}

#[tokio::test]
async fn a_file_that_is_a_mount_is_written_in_place_with_a_warning() {
    if !has_namespaces().await {
        return;
    }
    let stage = Stage::new().await;
    stage.write("host.env", "# mine, and long enough to be cut\nA=old\nB=b\nC=c\n");
    stage.write(".env", "");
    let before = std::fs::metadata(stage.path("host.env")).unwrap().ino();
    let daemon = in_namespace(&stage, "mount --bind host.env .env; exec \"$0\"");
    stage.reads("host.env", "# mine, and long enough to be cut\nA=a\nB=b\nC=c\n").await;
    daemon.says("written in place, not atomically: it is a mount of its own and cannot be replaced").await;
    stage.set("A", &json!("longer than before"));
    stage.reads("host.env", "# mine, and long enough to be cut\nA='longer than before'\nB=b\nC=c\n").await;
    assert_eq!(std::fs::metadata(stage.path("host.env")).unwrap().ino(), before);
    assert_eq!(stage.beside(".env").iter().filter(|name| name.starts_with(".env.")).count(), 2);
}

#[tokio::test]
async fn a_mount_in_a_read_only_directory_is_still_written() {
    if !has_namespaces().await {
        return;
    }
    let stage = Stage::new().await;
    stage.write("host.env", "A=old\n");
    std::fs::create_dir(stage.path("app")).unwrap();
    stage.write("app/.env", "");
    let script = "mount --bind host.env app/.env; mount --rbind app app; \
                  mount -o remount,bind,ro app; export ENV_FILE_PATH=app/.env; exec \"$0\"";
    let daemon = in_namespace(&stage, script);
    stage.reads("host.env", "A=a\nB=b\nC=c\n").await;
    daemon.says("no backup could be made; the file is written all the same").await;
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_is_tried_again() {
    if !has_namespaces().await {
        return;
    }
    let stage = Stage::new().await;
    std::fs::create_dir(stage.path("disk")).unwrap();
    // The file system lives in the namespace alone, so what happens there is told through the folder.
    let script = "mount -t tmpfs -o size=64k tmpfs disk; printf 'A=old\\n' >disk/.env; \
                  dd if=/dev/zero of=disk/filler bs=4k 2>/dev/null || true; \
                  (while [ ! -e free ]; do cp disk/.env seen; sleep 0.05; done; rm disk/filler; \
                   while :; do cp disk/.env seen; sleep 0.05; done) & \
                  export ENV_FILE_PATH=disk/.env; exec \"$0\"";
    let daemon = in_namespace(&stage, script);
    daemon.says("`disk/.env` cannot be written; its directory must be writable and have room for a second copy").await;
    stage.reads("seen", "A=old\n").await;
    stage.write("free", "");
    stage.reads("seen", "A=a\nB=b\nC=c\n").await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_told_and_tried_again() {
    if !has_namespaces().await {
        return;
    }
    let stage = Stage::new().await;
    std::fs::create_dir(stage.path("etc")).unwrap();
    let script = "mount --bind etc etc; mount -o remount,bind,ro etc; \
                  (while [ ! -e free ]; do sleep 0.05; done; mount -o remount,bind,rw etc) & \
                  export ENV_FILE_PATH=etc/.env; exec \"$0\"";
    let daemon = in_namespace(&stage, script);
    daemon.says("Read-only file system").await;
    daemon.says("it is tried again").await;
    stage.write("free", "");
    stage.reads("etc/.env", "A=a\nB=b\nC=c\n").await;
}

#[tokio::test]
async fn a_missing_directory_is_told_and_tried_again() {
    let stage = Stage::new().await;
    let daemon = stage.start(&["--env-file-path", "later/.env"]);
    daemon.says("`later/.env` cannot be written").await;
    std::fs::create_dir(stage.path("later")).unwrap();
    stage.reads("later/.env", "A=a\nB=b\nC=c\n").await;
}

#[tokio::test]
async fn what_an_editor_replaces_meanwhile_is_kept() {
    let stage = Stage::new().await;
    let _daemon = stage.start(&[]);
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    stage.write("swap", "# edited\nC=c\nMINE=1\nA=a\nB=b\n");
    std::fs::rename(stage.path("swap"), stage.path(".env")).unwrap();
    stage.set("B", &json!("z"));
    stage.reads(".env", "# edited\nC=c\nMINE=1\nA=a\nB=z\n").await;
    std::fs::remove_file(stage.path(".env")).unwrap();
    stage.set("B", &json!("y"));
    stage.reads(".env", "A=a\nB=y\nC=c\n").await;
}

#[tokio::test]
async fn the_owner_is_kept_where_that_can_be() {
    let stage = Stage::new().await;
    stage.write(".env", "A=old\n");
    if std::os::unix::fs::chown(stage.path(".env"), Some(1234), Some(4321)).is_err() {
        println!("only root can give files away: nothing was tried");
        return;
    }
    let _daemon = stage.start(&["--mode", "640"]);
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    let metadata = std::fs::metadata(stage.path(".env")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), stage.mode(".env")), (1234, 4321, 0o640));
}

#[tokio::test]
async fn a_file_of_others_that_may_be_written_stays_theirs() {
    let stage = Stage::new().await;
    stage.write(".env", "A=old\n");
    let open = |path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    open(stage.path(".env"), 0o666);
    open(stage.folder.path().to_owned(), 0o777);
    let program = stage.path("env-sync");
    // By another process: while this one had it open to write, children that other tests start would have it open, too,
    // and nobody could run it ("text file busy").
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_env-sync")).arg(&program).status().await.unwrap();
    assert!(copied.success());
    let plain = stage.command(&[]);
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
    command.current_dir(stage.folder.path()).env_clear();
    command.envs(plain.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    if std::fs::metadata(stage.path(".env")).unwrap().uid() != 0 {
        println!("only root can become somebody else: nothing was tried");
        return;
    }
    let daemon = Daemon::of(command);
    stage.reads(".env", "A=a\nB=b\nC=c\n").await;
    daemon.says("it belongs to somebody else, who could not read a new one").await;
    assert_eq!(std::fs::metadata(stage.path(".env")).unwrap().uid(), 0);
}

#[tokio::test]
async fn a_directory_in_the_files_place_is_left_alone() {
    let stage = Stage::new().await;
    std::fs::create_dir(stage.path(".env")).unwrap();
    let daemon = stage.start(&[]);
    daemon.says("`.env` is not a regular file; move it away or choose another ENV_FILE_PATH").await;
    std::fs::remove_dir(stage.path(".env")).unwrap();
    until(|| stage.path(".env").is_file(), || "the file".to_owned()).await;
}

#[tokio::test]
async fn the_second_is_refused_also_where_the_lock_could_not_be_made_at_the_start() {
    let stage = Stage::new().await;
    stage.write(".env", "A=a\nB=b\nC=c\n");
    // Nobody can make a file where a directory is.
    std::fs::create_dir(stage.path("..env.env-sync-lock")).unwrap();
    let daemon = stage.start(&[]);
    daemon.says("the file is right as it is").await;
    std::fs::remove_dir(stage.path("..env.env-sync-lock")).unwrap();
    stage.set("A", &json!("z"));
    stage.reads(".env", "A=z\nB=b\nC=c\n").await;
    let (code, _, log) = stage.run(&["--once"]).await;
    assert!(code == 1 && log.contains("another env-sync keeps `.env`"), "{code} {log}");
}

#[tokio::test]
async fn once_does_not_promise_to_try_again() {
    let stage = Stage::new().await;
    let (code, _, log) = stage.run(&["--once", "--env-file-path", "nowhere/.env"]).await;
    assert!(code == 1 && log.contains("No such file or directory") && log.contains("; nothing was written"), "{log}");
    assert!(!log.contains("tried again"), "{log}");
}
