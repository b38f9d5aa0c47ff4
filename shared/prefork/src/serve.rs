//! HTTP/1.1 on a worker's socket, with an end that no client notices.
//!
//! While the worker ends, whatever is accepted is answered, and every answer carries `Connection: close`; a connection
//! that is idle is closed only after a pause in which a request that was on its way arrives. What is served is any
//! hyper service (axum's routers are), so nothing here knows of flags. All workers wait on one socket, and whoever is
//! running anyway would take every connection: a worker that has more than its share lets the others go first.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::listen::HANDSHAKE;
use crate::worker::{Ending, Line, Socket};

/// How long an idle connection is left open for a request that is on its way, where the group ends.
const LINGER: Duration = Duration::from_millis(50);

/// The same for a connection in use: its client is about to send the next request, and may need long on a busy machine.
const LINGER_IN_USE: Duration = Duration::from_secs(1);

/// A connection that was answered more than once, and last within this time, is in use.
const IN_USE: Duration = Duration::from_millis(200);

/// The same where another worker goes on: there is no hurry.
const LINGER_AT_RETIREMENT: Duration = Duration::from_secs(2);

/// How long the backlog is drained at most; new connections may join it where they cannot be held off.
const DRAIN: Duration = Duration::from_secs(1);

/// How long a worker with more than its share leaves a connection to others.
const COURTESY: Duration = Duration::from_millis(1);

/// Bounds for what clients do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a client may take for a request's head, and a connection may be idle.
    pub head_timeout: Duration,
    /// The longest head, in bytes.
    pub head_bytes: usize,
    /// After this many requests the worker asks for its replacement; 0 for never.
    pub max_requests: u64,
}

/// A worker's connections.
struct Server<S> {
    service: Arc<S>,
    line: Line,
    limits: Limits,
    connections: TaskTracker,
    /// Set when answers are the last ones of their connections.
    is_ending: Arc<AtomicBool>,
    close_idle: CancellationToken,
}

impl Socket {
    /// Serves HTTP until the worker is to end and has answered what it accepted, and tells the master that it is ready.
    /// Tells how many connections were cut off because they took longer than the graceful timeout.
    pub async fn serve<S, B>(self, line: Line, limits: Limits, service: S) -> usize
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + Sync + 'static,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        line.ready();
        serve(self.listener, self.is_ours, line, limits, service).await
    }
}

/// Serves until the worker is to end and has answered what it accepted. Tells how many connections were cut off
/// because they took longer than the graceful timeout.
async fn serve<S, B>(listener: AsyncFd<TcpListener>, is_ours: bool, line: Line, limits: Limits, service: S) -> usize
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + Sync + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut endings = line.endings();
    let deadline_after = line.graceful_timeout;
    let server = Server {
        service: Arc::new(service),
        line,
        limits,
        connections: TaskTracker::new(),
        is_ending: Arc::default(),
        close_idle: CancellationToken::new(),
    };
    loop {
        tokio::select! {
            biased;
            () = reached(&mut endings, Ending::Retire) => break,
            accepted = accept(&listener, || server.line.row.has_more_than_its_share()) => server.take(accepted).await,
        }
    }
    let deadline = Instant::now() + deadline_after;
    server.is_ending.store(true, Ordering::Relaxed);
    let mut hurry = endings.clone();
    tokio::select! {
        biased;
        () = reached(&mut hurry, Ending::Quit) => {}
        () = server.finish(listener, is_ours, endings, deadline) => {}
    }
    server.connections.len()
}

impl<S, B> Server<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + Sync + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    async fn take(&self, accepted: io::Result<TcpStream>) {
        match accepted {
            Ok(stream) => self.spawn(stream),
            // A connection that went away before it was accepted, or no descriptors left: those that end free some.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    fn spawn(&self, stream: TcpStream) {
        // Answers are small and awaited: without it each would wait for the peer's delayed ACK.
        let _ = stream.set_nodelay(true);
        let (service, line, is_ending) = (Arc::clone(&self.service), self.line.clone(), Arc::clone(&self.is_ending));
        let max_requests = self.limits.max_requests;
        let usage = Arc::new(Usage::default());
        let answered = Arc::clone(&usage);
        let service = service_fn(move |request| {
            if line.row.count_request() == max_requests {
                line.ask_for_replacement();
            }
            let (answer, is_ending, usage) = (service.call(request), Arc::clone(&is_ending), Arc::clone(&answered));
            async move {
                let mut answer = answer.await?;
                usage.answered(Instant::now());
                if is_ending.load(Ordering::Relaxed) {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_timeout)
            .max_buf_size(self.limits.head_bytes)
            .serve_connection(TokioIo::new(stream), service);
        let (close_idle, row) = (self.close_idle.clone(), self.line.row);
        row.connected();
        let until_idle = async move {
            close_idle.cancelled().await;
            if usage.is_in_use(Instant::now()) {
                tokio::time::sleep(LINGER_IN_USE).await;
            }
        };
        self.connections.spawn(async move {
            tokio::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = until_idle => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            row.disconnected();
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }

    /// Answers what is there, until the deadline.
    async fn finish(
        &self,
        listener: AsyncFd<TcpListener>,
        is_ours: bool,
        mut endings: watch::Receiver<Ending>,
        deadline: Instant,
    ) {
        if is_ours && *endings.borrow() == Ending::Stop {
            self.drain(&listener).await;
        }
        drop(listener);
        self.line.drained();
        self.connections.close();
        self.linger(&mut endings, deadline).await;
        self.close_idle.cancel();
        let _ = tokio::time::timeout_at(deadline, self.connections.wait()).await;
    }

    /// Accepts what waits in the backlog, and handshakes that are about to end.
    async fn drain(&self, listener: &AsyncFd<TcpListener>) {
        let end = Instant::now() + DRAIN;
        let next = || tokio::time::timeout_at(end.min(Instant::now() + HANDSHAKE), accept(listener, || false));
        while let Ok(accepted) = next().await {
            self.take(accepted).await;
        }
    }

    /// Waits until all connections have had their last answer, or long enough.
    async fn linger(&self, endings: &mut watch::Receiver<Ending>, deadline: Instant) {
        if *endings.borrow() == Ending::Retire {
            let enough = deadline.min(Instant::now() + LINGER_AT_RETIREMENT);
            tokio::select! {
                () = self.connections.wait() => return,
                () = tokio::time::sleep_until(enough) => return,
                () = reached(endings, Ending::Stop) => {}
            }
        }
        let enough = deadline.min(Instant::now() + LINGER);
        let _ = tokio::time::timeout_at(enough, self.connections.wait()).await;
    }
}

/// How a connection is used by its client.
#[derive(Default)]
struct Usage(Mutex<(u64, Option<Instant>)>);

impl Usage {
    fn answered(&self, now: Instant) {
        let mut usage = self.lock();
        *usage = (usage.0 + 1, Some(now));
    }

    fn is_in_use(&self, now: Instant) -> bool {
        let (answers, last) = *self.lock();
        answers > 1 && last.is_some_and(|last| now.duration_since(last) < IN_USE)
    }

    fn lock(&self) -> MutexGuard<'_, (u64, Option<Instant>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next connection. Where others should go first, it is left to them for a moment.
async fn accept(listener: &AsyncFd<TcpListener>, others_first: impl Fn() -> bool) -> io::Result<TcpStream> {
    loop {
        let mut waiting = listener.readable().await?;
        if others_first() {
            tokio::time::sleep(COURTESY).await;
        }
        if let Ok(accepted) = waiting.try_io(|listener| listener.get_ref().accept()) {
            let (stream, _) = accepted?;
            stream.set_nonblocking(true)?;
            return TcpStream::from_std(stream);
        }
    }
}

/// Waits until a worker should end in this haste at least.
async fn reached(endings: &mut watch::Receiver<Ending>, haste: Ending) {
    // The sender cannot be gone: the server holds one.
    let _ = endings.wait_for(|ending| *ending >= haste).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::Bound;
    use crate::sys;

    #[test]
    fn a_connection_is_in_use_once_it_was_answered_again_and_not_long_ago() {
        let (usage, now) = (Usage::default(), Instant::now());
        assert!(!usage.is_in_use(now));
        usage.answered(now);
        assert!(!usage.is_in_use(now));
        usage.answered(now);
        assert!(usage.is_in_use(now));
        assert!(!usage.is_in_use(now + IN_USE));
    }

    #[tokio::test]
    async fn a_connection_is_left_to_others_and_taken_where_they_do_not_want_it() {
        let listener = Bound::to("127.0.0.1:0").unwrap().listen(16).unwrap();
        let address = listener.address().unwrap();
        let polite = sys::watch(listener.share().unwrap()).unwrap();
        let other = sys::watch(listener.share().unwrap()).unwrap();
        let _first = std::net::TcpStream::connect(address).unwrap();
        let is_left = tokio::select! {
            biased;
            _ = accept(&polite, || true) => false,
            accepted = accept(&other, || false) => accepted.is_ok(),
        };
        assert!(is_left);
        let _second = std::net::TcpStream::connect(address).unwrap();
        assert!(accept(&polite, || true).await.is_ok());
    }
}
