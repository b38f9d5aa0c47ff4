//! Serves an axum router on a listener, and ends with its handle.
//!
//! `axum::serve` leaves its connections running when it is dropped, and shutting it down politely
//! would wait for streams that never end. Here the connections belong to the handle: dropping it
//! closes them all, so that a test leaves nothing behind. A handler can also have its connection
//! torn down ([`Reset`]), which no HTTP answer can express.

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The URL of what listens on `address`; what listens everywhere is reached on this machine.
pub(crate) fn url(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    format!("http://{address}")
}

/// Tears down the connection that the request came on. Every request carries one as an extension.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reset(Arc<AtomicBool>);

impl Reset {
    /// Makes the peer see its connection reset instead of an answer, or in the middle of one.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A running server. Dropping it ends it and closes its connections.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `router` on `listener` from now on.
    pub(crate) fn start(listener: TcpListener, router: Router) -> io::Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self { address, task: tokio::spawn(accept(listener, router)) })
    }

    /// Serves `router` on a free port of 127.0.0.1.
    pub(crate) async fn start_on_free_port(router: Router) -> io::Result<Self> {
        Self::start(TcpListener::bind(("127.0.0.1", 0)).await?, router)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(serve(stream, router.clone()));
            }
            // Out of file descriptors, as a rule: the connections that end free some.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

async fn serve(stream: TcpStream, router: Router) {
    let reset = Reset::default();
    // Answers are small and awaited: without it each would wait for the peer's delayed ACK.
    let _ = stream.set_nodelay(true);
    let socket = TokioIo::new(Socket { stream, reset: reset.clone() });
    let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(reset.clone());
        let answer = hyper::service::Service::call(&TowerToHyperService::new(router.clone()), request);
        async move { answer.await as Result<http::Response<Body>, Infallible> }
    });
    // An error here is a peer that went away, or the reset that a handler asked for.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(socket, service).await;
}

/// A connection that fails when it is to be reset, and then closes with RST instead of FIN.
struct Socket {
    stream: TcpStream,
    reset: Reset,
}

impl Socket {
    fn check(&self) -> io::Result<()> {
        if self.reset.is_set() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.is_set() {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.is_set() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Extension;
    use axum::routing::get;
    use std::error::Error;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_reset_connection_is_seen_as_reset() {
        let router = Router::new().route("/", get(async |Extension(reset): Extension<Reset>| reset.set()));
        let server = Server::start_on_free_port(router).await.unwrap();
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();

        let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn dropping_the_server_closes_its_connections() -> Result<(), Box<dyn Error>> {
        let never = Router::new().route("/", get(async || std::future::pending::<()>().await));
        let server = Server::start_on_free_port(never).await?;
        let mut stream = TcpStream::connect(server.address()).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await?;
        tokio::task::yield_now().await;

        drop(server);

        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
        Ok(())
    }
}
