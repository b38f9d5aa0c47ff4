//! Clients that misbehave: slow, idle by the thousands, malformed, gigantic. Others are served all the same.

use super::stage::{PATIENCE, Server, rest, standin, until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_client_that_never_ends_its_head_is_cut_off() {
    let server = Server::start(&standin().await, &["--workers", "1", "--threads", "1", "--keep-alive", "0.5"]).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n").await.unwrap();
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    assert!(server.get("/flag").await.is_some());
    for stream in [&mut slow, &mut idle] {
        // Trickling does not help: the whole head is timed.
        let _ = stream.write_all(b"x").await;
        rest(stream).await;
    }
}

#[tokio::test]
async fn thousands_of_idle_connections_are_in_nobodys_way() {
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, limit.1, limit.1);
    let many = usize::try_from(limit.1.saturating_sub(500)).unwrap().min(10_000);
    let server = Server::start(&standin().await, &[]).await;
    let mut idle = Vec::new();
    for _ in 0..many {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    for _ in 0..20 {
        assert!(server.get("/flag").await.is_some());
    }
    assert!(idle.len() == many);
}

#[tokio::test]
async fn what_is_no_http_gets_an_error_and_harms_nobody() {
    let server = Server::start(&standin().await, &["--workers", "1"]).await;
    for request in [
        &b"hello\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"POST /flags HTTP/1.1\r\nhost: h\r\ncontent-length: x\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let answer = server.exchange(request).await.unwrap_or_default();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 505"),
            "{answer}"
        );
    }
    assert!(server.get("/flag").await.is_some());
    assert_eq!(server.log().matches("died").count(), 0, "{}", server.log());
}

#[tokio::test]
async fn gigantic_contexts_are_refused() {
    let server = Server::start(&standin().await, &["--workers", "1"]).await;
    let context = |size: usize| format!(r#"{{"context":{{"kind":"user","key":"{}"}}}}"#, "k".repeat(size));
    assert_eq!(server.ask("POST", "/flags", &context(1_000)).await.unwrap().0, 200);
    assert_eq!(server.ask("POST", "/flags", &context(200_000)).await.unwrap().0, 400);
    let nested = format!(r#"{{"context":{{"key":"k","a":{}{}}}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(server.ask("POST", "/flags", &nested).await.unwrap().0, 400);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /flags HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 100000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let pieces = async {
        let mut sent = 0;
        while sent < 2_000_000 && stream.write_all(&[b' '; 10_000]).await.is_ok() {
            sent += 10_000;
        }
    };
    tokio::time::timeout(PATIENCE, pieces).await.expect("what is too large is read or refused");
    let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    let long = format!("/flag?key={}", "k".repeat(300_000));
    let answer = server.ask("GET", &long, "").await;
    assert!(answer.as_ref().is_none_or(|(status, _)| (400..=431).contains(status)), "{answer:?}");
    until(async || server.get("/flag").await.is_some()).await;
}
