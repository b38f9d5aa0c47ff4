//! The polling endpoint: an environment's whole payload in one answer.
//!
//! `GET /sdk/latest-all`, as server-side SDKs in polling mode ask for it. Hands out the body as
//! raw bytes, held in memory once, and knows nothing of flags: whether the bytes are a payload is
//! decided by who reads them. Transient failures are asked about again ([`Limits`]), everything
//! else is an error that says which side has to act.

mod error;

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use reqwest::{Client, Response, StatusCode, Url};
use secrecy::SecretString;
use tokio::time::Instant;

use crate::connection::{self, ClientError, Limits};
use crate::endpoints::BaseUri;
use crate::exchange::Attempt;
use crate::{exchange, retry};

pub use error::FetchError;

/// Asks the polling endpoint. Holds no key: the caller may have one that changes.
#[derive(Debug, Clone)]
pub struct PollingClient {
    client: Client,
    base_uri: BaseUri,
    url: Url,
    limits: Limits,
}

/// What the polling endpoint answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The payload is still the one with the `ETag` that was sent.
    NotModified,
    /// The payload.
    Payload {
        /// The answer's body, decompressed, as it was sent otherwise.
        body: Bytes,
        /// What to send as `if_none_match` next time, as the server wrote it, quotes included.
        etag: Option<String>,
    },
}

impl PollingClient {
    /// A client for the polling endpoint below `base_uri`; connects to nothing yet.
    pub fn new(base_uri: BaseUri, limits: Limits) -> Result<Self, ClientError> {
        Ok(Self {
            client: connection::client(&base_uri, &limits)?,
            url: base_uri.join(["sdk", "latest-all"]),
            base_uri,
            limits,
        })
    }

    /// Fetches the payload of the environment that `sdk_key` belongs to, in as many attempts as
    /// the limits allow, and in any case before `deadline`.
    ///
    /// With `if_none_match`, the `ETag` of an earlier answer, an unchanged payload is not sent
    /// again. The answer can be older than the last change: it may come from a cache.
    pub async fn latest_all(
        &self,
        sdk_key: &SecretString,
        if_none_match: Option<&str>,
        deadline: Instant,
    ) -> Result<Fetched, FetchError> {
        let headers = headers(sdk_key, if_none_match)?;
        retry::retry(&self.limits, deadline, || self.attempt(&headers, deadline)).await
    }

    async fn attempt(&self, headers: &HeaderMap, deadline: Instant) -> Result<Fetched, FetchError> {
        let attempt = Attempt::new(&self.limits, deadline);
        let request = self.client.get(self.url.clone()).headers(headers.clone());
        let response = attempt.send(request, self.base_uri.authority()).await?;
        match response.status() {
            StatusCode::OK => {
                let etag = connection::text(response.headers(), ETAG).map(str::to_owned);
                let body = attempt.body(response).await?;
                Ok(Fetched::Payload { body, etag })
            }
            StatusCode::NOT_MODIFIED if headers.contains_key(IF_NONE_MATCH) => Ok(Fetched::NotModified),
            _ => Err(self.refusal(&response)),
        }
    }

    fn refusal(&self, response: &Response) -> FetchError {
        let status = response.status();
        match status.as_u16() {
            401 | 403 => FetchError::KeyRefused { status: status.as_u16() },
            408 | 429 | 500.. => FetchError::Unavailable {
                status: status.as_u16(),
                retry_after: connection::retry_after(response.headers()),
            },
            301 | 302 | 303 | 307 | 308 => {
                FetchError::Redirected { url: self.url.to_string(), location: exchange::location(response) }
            }
            status => FetchError::UnexpectedStatus { status, url: self.url.to_string() },
        }
    }
}

fn headers(sdk_key: &SecretString, if_none_match: Option<&str>) -> Result<HeaderMap, FetchError> {
    let key = connection::secret_header(sdk_key).ok_or(FetchError::MalformedKey)?;
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(AUTHORIZATION, key);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    // An ETag that no header can carry was never sent by a server: asking without it is right.
    if let Some(etag) = if_none_match.and_then(|etag| HeaderValue::from_str(etag).ok()) {
        headers.insert(IF_NONE_MATCH, etag);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
