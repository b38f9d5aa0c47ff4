//! Signals, reloads, respawns, pid file, systemd.

use super::stage::{PATIENCE, Server, children, command, ended, finished, rest, runs, standin, until};
use nix::sys::signal::{Signal, kill};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn the_master_and_the_stream_holder_have_one_thread() {
    let server = Server::start(&standin().await, &[]).await;
    server.until_grown_to(3).await;
    for pid in [server.master(), server.holder().await.unwrap()] {
        assert_eq!(std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count(), 1);
    }
    // And still, after forks in the middle of its life.
    server.signal(Signal::SIGHUP);
    until(async || server.log().matches("worker ends").count() == 2).await;
    assert_eq!(std::fs::read_dir(format!("/proc/{}/task", server.master())).unwrap().count(), 1);
    assert!(!server.log().contains("threads running"), "{}", server.log());
}

#[tokio::test]
async fn an_idle_server_ends_at_once_with_0_and_leaves_nothing_behind() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        // Longer than the end is waited for.
        let options = ["--pid", "server.pid", "--graceful-timeout", "600"];
        let mut server = Server::start(&standin().await, &options).await;
        let pid = std::fs::read_to_string(server.path("server.pid")).unwrap();
        assert_eq!(pid.trim(), server.master().to_string());
        let children = server.children();
        server.signal(signal);
        assert_eq!(server.ended().await.code(), Some(0));
        assert!(!server.path("server.pid").exists());
        assert!(children.into_iter().all(|child| !runs(child)));
    }
}

#[tokio::test]
async fn a_signal_during_the_start_ends_it_with_0() {
    let standin = standin().await;
    standin.misbehave(local::standin::Misbehaviour::delay(Duration::from_hours(1)));
    let mut command = command(&standin.url());
    command.args(["--bind", "127.0.0.1:0", "--preload-timeout", "600"]).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    until(async || !children(pid).is_empty()).await;
    let fetching = children(pid);
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(ended(&mut child).await.code(), Some(0));
    assert!(fetching.into_iter().all(|child| !runs(child)));
}

#[tokio::test]
async fn requests_under_way_are_finished_and_their_connections_closed() {
    let mut server = Server::start(&standin().await, &["--workers", "1"]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let body = r#"{"context":{"key":"k"}}"#;
    let head = format!("POST /flags/sample-flag HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    until(async || server.get("/metrics").await.is_some_and(|text| text.contains("prefork_connections 2"))).await;
    server.signal(Signal::SIGTERM);
    until(async || server.log().contains("ending: no new connections")).await;
    // Whoever else comes is told so, however long this one takes.
    until(async || refuses(server.address).await).await;
    stream.write_all(body.as_bytes()).await.unwrap();
    let answer = String::from_utf8(rest(&mut stream).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    assert!(server.ended().await.success());
}

/// A handshake that was dropped would be tried again by the kernel after a second.
async fn refuses(address: std::net::SocketAddr) -> bool {
    let connected = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await;
    connected.is_ok_and(|connected| connected.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused))
}

#[tokio::test]
async fn what_takes_longer_than_the_graceful_timeout_is_cut_off() {
    let mut server = Server::start(&standin().await, &["--graceful-timeout", "0.3"]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"POST /flags HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\n{").await.unwrap();
    until(async || server.get("/metrics").await.is_some_and(|text| text.contains("prefork_connections 2"))).await;
    assert!(server.stop().await.success());
    assert!(server.log().contains("cut_off=1"), "{}", server.log());
}

#[tokio::test]
async fn sigquit_cuts_off_what_is_under_way_and_a_second_sigterm_does_so_too() {
    for signals in [&[Signal::SIGQUIT][..], &[Signal::SIGTERM, Signal::SIGTERM]] {
        let mut server = Server::start(&standin().await, &["--graceful-timeout", "600"]).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"POST /flags HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\n{").await.unwrap();
        until(async || server.get("/metrics").await.is_some_and(|text| text.contains("prefork_connections 2"))).await;
        let children = server.children();
        for (index, signal) in signals.iter().enumerate() {
            server.signal(*signal);
            until(async || {
                server.log().matches("INFO ending").count() + server.log().matches("WARN ending").count() > index
            })
            .await;
        }
        assert_eq!(server.ended().await.code(), Some(0));
        assert!(server.log().contains("cut_off=1"), "{}", server.log());
        assert!(children.into_iter().all(|child| !runs(child)));
    }
}

#[tokio::test]
async fn signals_that_a_terminal_sends_to_the_whole_group_are_the_masters() {
    let server = Server::start(&standin().await, &[]).await;
    let children = server.until_grown_to(3).await;
    for child in &children {
        for signal in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1] {
            kill(*child, signal).unwrap();
        }
    }
    for _ in 0..20 {
        assert!(server.get("/flag").await.is_some());
    }
    assert_eq!(server.children(), children);
}

#[tokio::test]
async fn dead_workers_are_replaced() {
    let server = Server::start(&standin().await, &[]).await;
    until(async || server.workers().await.len() == 2).await;
    let before = server.workers().await;
    kill(before[0], Signal::SIGKILL).unwrap();
    until(async || {
        let workers = server.workers().await;
        workers.len() == 2 && !workers.contains(&before[0])
    })
    .await;
    assert!(server.get("/metrics").await.unwrap().contains("prefork_respawns_total 1\n"));
}

#[tokio::test]
async fn a_worker_that_hangs_is_killed_and_replaced() {
    let server = Server::start(&standin().await, &["--timeout", "1"]).await;
    until(async || server.workers().await.len() == 2).await;
    let hanging = server.workers().await[1];
    kill(hanging, Signal::SIGSTOP).unwrap();
    until(async || !runs(hanging)).await;
    assert!(server.log().contains("worker hangs and is killed"), "{}", server.log());
    until(async || server.workers().await.len() == 2).await;
}

#[tokio::test]
async fn a_stream_holder_that_hangs_is_killed_and_another_takes_over() {
    let server = Server::start(&standin().await, &["--timeout", "1"]).await;
    until(async || server.holder().await.is_some()).await;
    let hanging = server.holder().await.unwrap();
    kill(hanging, Signal::SIGSTOP).unwrap();
    until(async || server.holder().await.is_some_and(|pid| pid != hanging)).await;
    assert!(server.log().contains("helper hangs and is killed"), "{}", server.log());
}

#[tokio::test]
async fn the_number_of_workers_follows_signals() {
    let server = Server::start(&standin().await, &["--workers", "1"]).await;
    server.signal(Signal::SIGTTIN);
    until(async || server.workers().await.len() == 2).await;
    server.signal(Signal::SIGTTOU);
    until(async || server.workers().await.len() == 1).await;
    server.signal(Signal::SIGTTOU);
    until(async || server.log().matches("workers=1").count() >= 3).await;
    assert_eq!(server.workers().await.len(), 1, "one worker always stays");
}

#[tokio::test]
async fn workers_end_with_their_master() {
    let mut server = Server::start(&standin().await, &[]).await;
    let children = server.until_grown_to(3).await;
    server.signal(Signal::SIGKILL);
    server.ended().await;
    until(async || children.iter().all(|child| !runs(*child))).await;
}

#[tokio::test]
async fn workers_are_replaced_after_their_requests() {
    let options = ["--workers", "1", "--max-requests", "20", "--max-requests-jitter", "5"];
    let server = Server::start(&standin().await, &options).await;
    let first = server.json("/").await["pid"].clone();
    for _ in 0..30 {
        assert!(server.get("/flag").await.is_some());
    }
    until(async || server.json("/").await["pid"] != first).await;
}

#[tokio::test]
async fn a_second_server_leaves_the_first_ones_pid_file_alone() {
    let standin = standin().await;
    let server = Server::start(&standin, &["--pid", "server.pid"]).await;
    let mut second = command(&standin.url());
    second.args(["--bind", "127.0.0.1:0", "--pid", server.path("server.pid").to_str().unwrap()]);
    let (code, text) = finished(second);
    assert!(code == Some(1) && text.contains("is running and has it"), "{code:?} {text}");
}

#[tokio::test]
async fn systemd_is_told_of_readiness_and_of_the_end() {
    let standin = standin().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = command(&standin.url());
    command.env("NOTIFY_SOCKET", &path);
    let mut server = Server::run(command, &[]).await;
    let told = || {
        let mut text = [0; 200];
        let length = systemd.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    assert!(told().starts_with("READY=1\n"));
    assert!(server.stop().await.success());
    assert_eq!(told(), "STOPPING=1");
}

/// Through `sh`, which leaves descriptor 3 open and keeps its process id when it becomes the server.
#[tokio::test]
async fn a_socket_of_systemds_is_served_and_left_open() {
    let standin = standin().await;
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let server = command(&standin.url());
    let mut shell = std::process::Command::new("sh");
    let script = format!("exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec {:?}", server.get_program());
    shell.arg("-c").arg(script).env_clear().envs(server.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.stdin(std::os::fd::OwnedFd::from(socket.try_clone().unwrap()));
    let mut server = Server::run_as_is(shell).await;
    assert_eq!(server.address, address);
    assert!(server.stop().await.success());
    let waiting = TcpStream::connect(address).await;
    assert!(waiting.is_ok(), "the socket is systemd's and outlives the server");
}
