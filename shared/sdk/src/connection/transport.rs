//! The SDK's transport, wrapped: every answer and every end of a stream is told to the [`Connection`].
//!
//! The SDK takes an event to its end before it asks for more bytes (`launchdarkly-server-sdk` 3.2, `data_source.rs`). So
//! whenever it asks, the store must have been handed as many events as the bytes so far held; where it was not, the SDK
//! could not read one of them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flagcache_program::one_line;
use futures::Stream;
use launchdarkly_sdk_transport::{ByteStream, HttpTransport, Request, Response, ResponseFuture, TransportError};

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
}

impl<T> Watched<T> {
    pub(crate) fn new(transport: T, connection: Connection, store: Observable) -> Self {
        Self { transport, connection, store, redirects: Arc::default() }
    }

    fn judge(&self, response: Response<ByteStream>) -> Result<Response<ByteStream>, TransportError> {
        let status = response.status();
        let redirects = self.redirects.swap(0, Ordering::Relaxed);
        if status.is_success() {
            self.connection.set(State::Open);
            return Ok(response.map(|body| Body::boxed(body, self.connection.clone(), self.store.clone())));
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
}

impl Body {
    fn boxed(bytes: ByteStream, connection: Connection, store: Observable) -> ByteStream {
        let due = store.handed();
        Box::pin(Self { bytes, connection, store, scanner: Scanner::default(), due })
    }
}

impl Stream for Body {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.store.handed() < self.due {
            self.connection.failing(Trouble::Event.to_string());
            return Poll::Ready(Some(Err(TransportError::new(Trouble::Event))));
        }
        let next = ready!(self.bytes.as_mut().poll_next(context));
        match &next {
            Some(Ok(bytes)) => {
                let events = self.scanner.count(bytes);
                self.due += events;
            }
            Some(Err(error)) => self.connection.failing(one_line(error.inner())),
            None => self.connection.failing("LaunchDarkly ended its stream"),
        }
        Poll::Ready(next)
    }
}
