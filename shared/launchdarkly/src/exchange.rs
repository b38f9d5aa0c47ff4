//! One attempt: a request out, an answer in, within its time.
//!
//! What the polling endpoint and the REST API have in common below the meaning of a status code.
//! Knows the attempt's time and the body's limit; whether to try again is said by the errors and
//! done by the `retry` room.

mod body;
mod error;

use bytes::Bytes;
use reqwest::header::LOCATION;
use reqwest::{RequestBuilder, Response};
use tokio::time::{Instant, timeout_at};

use crate::{Limits, connection};

pub use error::ExchangeError;

/// An attempt under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    start: Instant,
    until: Instant,
    body_bytes: usize,
}

impl Attempt {
    /// Starts the clock.
    pub(crate) fn new(limits: &Limits, deadline: Instant) -> Self {
        let start = Instant::now();
        let until = start.checked_add(limits.attempt_timeout).map_or(deadline, |until| until.min(deadline));
        Self { start, until, body_bytes: limits.body_bytes }
    }

    /// Sends `request` and waits for the head of the answer; `address` is for the error.
    pub(crate) async fn send(self, request: RequestBuilder, address: &str) -> Result<Response, ExchangeError> {
        timeout_at(self.until, request.send())
            .await
            .map_err(|_| ExchangeError::timed_out(self.start, 0))?
            .map_err(|error| ExchangeError::Unreachable { address: address.to_owned(), source: error.without_url() })
    }

    /// Reads the answer's body, decompressed.
    pub(crate) async fn body(self, response: Response) -> Result<Bytes, ExchangeError> {
        body::read(response, self.body_bytes, self.start, self.until).await
    }
}

/// Where an answer redirects to, as it may be shown: without user, password and query.
pub(crate) fn location(response: &Response) -> String {
    let target = connection::text(response.headers(), LOCATION).and_then(|location| response.url().join(location).ok());
    let Some(mut target) = target else {
        return "nowhere".to_owned();
    };
    target.set_query(None);
    target.set_fragment(None);
    // Both fail only for URLs without a host, which have no user or password to hide.
    let _ = target.set_username("");
    let _ = target.set_password(None);
    target.to_string()
}
