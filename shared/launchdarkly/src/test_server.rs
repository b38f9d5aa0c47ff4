//! A server for tests, on a port of its own: answers connection after connection with scripted
//! bytes, so that answers can be as broken as a test wants, and keeps what it was asked.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::endpoints::BaseUri;

/// What is done with one connection after its request was read.
pub(crate) enum Answer {
    /// Sends these bytes and closes.
    Send(Vec<u8>),
    /// Sends these bytes and stays silent until the client has had enough.
    SendAndHang(Vec<u8>),
}

pub(crate) struct TestServer {
    address: std::net::SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl TestServer {
    /// Serves `answers`, one connection each, then accepts no more.
    pub(crate) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn({
            let requests = Arc::clone(&requests);
            async move {
                for answer in answers {
                    let (stream, _) = listener.accept().await.expect("accept");
                    serve(stream, answer, &requests).await;
                }
            }
        });
        Self { address, requests }
    }

    pub(crate) fn uri(&self) -> BaseUri {
        format!("http://{}", self.address).parse().expect("a URI")
    }

    /// The requests so far, head and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no test panicked").clone()
    }
}

async fn serve(mut stream: TcpStream, answer: Answer, requests: &Mutex<Vec<String>>) {
    let request = read_request(&mut stream).await;
    requests.lock().expect("no test panicked").push(request);
    let (bytes, hangs) = match answer {
        Answer::Send(bytes) => (bytes, false),
        Answer::SendAndHang(bytes) => (bytes, true),
    };
    // A client that gives up first is what some tests are about.
    let _ = stream.write_all(&bytes).await;
    if hangs {
        let _ = stream.read(&mut [0]).await;
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !is_complete(&request) {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&request).into_owned()
}

fn is_complete(request: &[u8]) -> bool {
    let request = String::from_utf8_lossy(request);
    let Some((head, body)) = request.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, length)| length.parse().expect("a length"));
    body.len() >= length
}

/// An answer with `Content-Length`.
pub(crate) fn answer(status: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut answer = head(status, headers, &format!("Content-Length: {}", body.len()));
    answer.extend_from_slice(body);
    answer
}

/// The head of an answer, whose last header is `framing`.
pub(crate) fn head(status: &str, headers: &[&str], framing: &str) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str(framing);
    head.push_str("\r\n\r\n");
    head.into_bytes()
}
