//! No request fails while workers come and go: clients count what they asked and what they got.

use super::stage::{PATIENCE, Server, standin, until};
use nix::sys::signal::{Signal, kill};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Clients that ask without pause until they are told to end or the server does not let anybody in.
struct Load {
    clients: JoinSet<Vec<String>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    answered: AtomicUsize,
    ending: AtomicBool,
}

impl Load {
    /// Half of the clients keep their connections, the other half takes a new one each time.
    fn start(address: SocketAddr, clients: usize) -> Self {
        let counts = Arc::new(Counts::default());
        let mut load = Self { clients: JoinSet::new(), counts: Arc::clone(&counts) };
        for index in 0..clients {
            load.clients.spawn(client(address, index % 2 == 0, Arc::clone(&counts)));
        }
        load
    }

    fn answered(&self) -> usize {
        self.counts.answered.load(Ordering::Relaxed)
    }

    async fn more(&self, count: usize) {
        let enough = self.answered() + count;
        until(async || self.answered() >= enough).await;
    }

    /// What failed.
    async fn end(mut self) -> Vec<String> {
        self.counts.ending.store(true, Ordering::Relaxed);
        let mut failures = Vec::new();
        while let Some(failed) = self.clients.join_next().await {
            failures.extend(failed.unwrap());
        }
        failures
    }
}

async fn client(address: SocketAddr, keeps: bool, counts: Arc<Counts>) -> Vec<String> {
    let mut failures = Vec::new();
    let mut kept = None;
    while !counts.ending.load(Ordering::Relaxed) {
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => match TcpStream::connect(address).await {
                Ok(stream) => stream,
                // Not being let in is no failed request.
                Err(_) => break,
            },
        };
        let answer = tokio::time::timeout(PATIENCE, ask(&mut stream, keeps)).await;
        match answer.unwrap_or_else(|_| Err(std::io::Error::other("no answer"))) {
            Ok(is_open) => {
                counts.answered.fetch_add(1, Ordering::Relaxed);
                kept = (keeps && is_open).then_some(stream);
            }
            Err(error) => failures.push(error.to_string()),
        }
    }
    failures
}

/// One request; whether the connection stays open.
async fn ask(stream: &mut TcpStream, keeps: bool) -> std::io::Result<bool> {
    let connection = if keeps { "keep-alive" } else { "close" };
    stream.write_all(format!("GET /flag HTTP/1.1\r\nhost: h\r\nconnection: {connection}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        let mut piece = [0; 1_024];
        let count = stream.read(&mut piece).await?;
        answer.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&answer);
        if text.starts_with("HTTP/1.1 200") && text.ends_with("\"initialized\":true}") {
            return Ok(keeps && !text.contains("connection: close"));
        }
        if count == 0 {
            return Err(std::io::Error::other(format!("cut off after {text:?}")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_workers_are_reloaded() {
    let server = Server::start(&standin().await, &[]).await;
    let load = Load::start(server.address, 16);
    for round in 1..=3 {
        load.more(300).await;
        server.signal(Signal::SIGHUP);
        until(async || server.log().matches("worker ends").count() == 2 * round).await;
    }
    load.more(300).await;
    assert_eq!(load.end().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_the_server_ends() {
    for _ in 0..3 {
        let mut server = Server::start(&standin().await, &[]).await;
        let load = Load::start(server.address, 16);
        load.more(300).await;
        assert!(server.stop().await.success());
        assert_eq!(load.end().await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_workers_reach_their_number_of_requests() {
    let server = Server::start(&standin().await, &["--max-requests", "100", "--max-requests-jitter", "50"]).await;
    let load = Load::start(server.address, 8);
    load.more(1_500).await;
    until(async || server.log().matches("worker ends").count() > 2).await;
    assert_eq!(load.end().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_a_killed_worker_had_under_way_fails() {
    let server = Server::start(&standin().await, &[]).await;
    until(async || server.workers().await.len() == 2).await;
    let load = Load::start(server.address, 16);
    load.more(300).await;
    kill(server.workers().await[0], Signal::SIGKILL).unwrap();
    load.more(600).await;
    let failures = load.end().await;
    assert!(failures.len() <= 16, "more than a request for each connection: {failures:?}");
}

/// As service managers end a group: every process gets the signal, the workers before their master.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_where_all_processes_are_told_to_end_at_once() {
    for _ in 0..3 {
        let mut server = Server::start(&standin().await, &[]).await;
        until(async || server.workers().await.len() == 2).await;
        let load = Load::start(server.address, 16);
        load.more(300).await;
        for child in server.children() {
            kill(child, Signal::SIGTERM).unwrap();
        }
        assert!(server.stop().await.success());
        assert_eq!(load.end().await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_a_single_worker_is_told_to_end() {
    let server = Server::start(&standin().await, &["--workers", "1"]).await;
    let load = Load::start(server.address, 8);
    for round in 1..=2 {
        load.more(200).await;
        kill(server.workers().await[0], Signal::SIGTERM).unwrap();
        until(async || server.log().matches("worker has ended").count() == round).await;
    }
    load.more(200).await;
    assert_eq!(load.end().await, Vec::<String>::new());
}
