//! The SDK's transport, wrapped: every answer and every end of a stream is told to the [`Connection`].
//!
//! The SDK takes an event to its end before it asks for more bytes (`launchdarkly-server-sdk` 3.2, `data_source.rs`). So
//! whenever it asks, the store must have been handed as many events as the bytes so far held; where it was not, the SDK
//! could not read one of them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flagcache_program::one_line;
use futures::Stream;
use launchdarkly_sdk_transport::{ByteStream, HttpTransport, Request, Response, ResponseFuture, TransportError};

use super::mending::Mending;
use super::scanner::Scanner;
use super::{Connection, State};
use crate::observable::Observable;

/// More redirects in a row than this are a loop; the SDK itself would give up after 16, for good.
const MAX_REDIRECTS: u32 = 5;

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("LaunchDarkly's stream answered {0}")]
    Status(u16),
    #[error("LaunchDarkly's stream redirects in a loop or to nowhere")]
    Redirect,
    #[error("an event of LaunchDarkly's stream could not be read")]
    Event,
}

/// A transport that tells how its stream stands.
#[derive(Clone)]
pub(crate) struct Watched<T> {
    transport: T,
    connection: Connection,
    store: Observable,
    redirects: Arc<AtomicU32>,
    /// Whether the SDK has refused an event, from which time on every event is looked at before it gets it.
    is_wary: Arc<AtomicBool>,
}

impl<T> Watched<T> {
    pub(crate) fn new(transport: T, connection: Connection, store: Observable) -> Self {
        Self { transport, connection, store, redirects: Arc::default(), is_wary: Arc::default() }
    }

    fn judge(&self, response: Response<ByteStream>) -> Result<Response<ByteStream>, TransportError> {
        let status = response.status();
        let redirects = self.redirects.swap(0, Ordering::Relaxed);
        if status.is_success() {
            self.connection.set(State::Open);
            return Ok(response.map(|body| Body::boxed(body, self)));
        }
        let trouble = match status.as_u16() {
            // The two that the SDK follows.
            301 | 307 if redirects < MAX_REDIRECTS && leads_somewhere(&response) => {
                self.redirects.store(redirects + 1, Ordering::Relaxed);
                return Ok(response);
            }
            301 | 307 => Trouble::Redirect,
            other => Trouble::Status(other),
        };
        match trouble {
            Trouble::Status(status @ (401 | 403)) => self.connection.set(State::Refused { status }),
            _ => self.connection.failing(trouble.to_string()),
        }
        Err(TransportError::new(trouble))
    }
}

fn leads_somewhere(response: &Response<ByteStream>) -> bool {
    let location = response.headers().get("location").and_then(|location| location.to_str().ok());
    location.is_some_and(|location| location.parse::<launchdarkly_sdk_transport::Uri>().is_ok())
}

impl<T: HttpTransport> HttpTransport for Watched<T> {
    fn request(&self, request: Request<Option<Bytes>>) -> ResponseFuture {
        let (this, response) = (self.clone(), self.transport.request(request));
        Box::pin(async move {
            match response.await {
                Ok(response) => this.judge(response),
                Err(error) => {
                    this.connection.failing(one_line(error.inner()));
                    Err(error)
                }
            }
        })
    }
}

/// The bytes of an open stream.
struct Body {
    bytes: ByteStream,
    connection: Connection,
    store: Observable,
    scanner: Scanner,
    /// What the store must have been handed when the SDK asks for more.
    due: u64,
    mending: Option<Mending>,
    is_wary: Arc<AtomicBool>,
}

impl Body {
    fn boxed<T>(bytes: ByteStream, watched: &Watched<T>) -> ByteStream {
        Box::pin(Self {
            bytes,
            connection: watched.connection.clone(),
            store: watched.store.clone(),
            scanner: Scanner::default(),
            due: watched.store.handed(),
            mending: watched.is_wary.load(Ordering::Relaxed).then(Mending::default),
            is_wary: Arc::clone(&watched.is_wary),
        })
    }

    /// What the SDK gets of these bytes; nothing where no event has ended.
    fn passed_on(&mut self, bytes: Bytes) -> Option<Bytes> {
        let Some(mending) = &mut self.mending else { return Some(bytes) };
        let (events, originals) = mending.push(&bytes);
        self.store.expect(originals);
        (!events.is_empty()).then(|| events.into())
    }
}

impl Stream for Body {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.store.handed() < self.due {
            self.is_wary.store(true, Ordering::Relaxed);
            self.connection.failing(Trouble::Event.to_string());
            return Poll::Ready(Some(Err(TransportError::new(Trouble::Event))));
        }
        loop {
            match ready!(self.bytes.as_mut().poll_next(context)) {
                Some(Ok(bytes)) => {
                    let Some(bytes) = self.passed_on(bytes) else { continue };
                    self.due += self.scanner.count(&bytes);
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Some(Err(error)) => {
                    self.connection.failing(one_line(error.inner()));
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.connection.failing("LaunchDarkly ended its stream");
                    return Poll::Ready(None);
                }
            }
        }
    }
}
