//! What can go wrong between us and the payload, by who has to act.

use std::time::Duration;

use reqwest::Url;
use thiserror::Error;
use tokio::time::Instant;

use crate::retry::{Retry, Retryable};

/// Why there is no payload. No text holds a key: URLs are ours, or shown without their secrets.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The SDK key cannot be sent at all.
    #[error("send the SDK key: it holds characters that no HTTP header may carry (a line break at its end?)")]
    MalformedKey,
    /// The SDK key is not that of an environment, or not of the right kind.
    #[error(
        "fetch the payload: LaunchDarkly refuses the SDK key (status {status}); it has to be the server-side SDK key of an environment"
    )]
    KeyRefused {
        /// 401 or 403.
        status: u16,
    },
    /// The server is there, but cannot answer now; it was asked as often as the limits allow.
    #[error("fetch the payload: LaunchDarkly is unavailable (status {status})")]
    Unavailable {
        /// 5xx, 429 or 408.
        status: u16,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// The server sends us elsewhere, and a key is not carried to where nobody configured it.
    #[error(
        "fetch the payload: {url} redirects to {location}; set {} to where the payload is",
        crate::endpoints::BASE.variable
    )]
    Redirected {
        /// What was asked for.
        url: String,
        /// Where it leads, without user, password and query.
        location: String,
    },
    /// Any other answer: most likely this is no polling endpoint.
    #[error(
        "fetch the payload: {url} answers with status {status}; is {} right?",
        crate::endpoints::BASE.variable
    )]
    UnexpectedStatus {
        /// Neither 200, 304, 401, 403, 408, 429, 5xx nor a redirect.
        status: u16,
        /// What was asked for.
        url: String,
    },
    /// No connection, or it broke before the answer began.
    #[error("reach LaunchDarkly at {address}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// The cause: name, connection, TLS, or a closed connection.
        source: reqwest::Error,
    },
    /// The answer was not there in time.
    #[error(
        "fetch the payload: no complete answer within {} ms ({received} bytes received)",
        waited.as_millis()
    )]
    TimedOut {
        /// How long the last attempt waited.
        waited: Duration,
        /// How much of the body was there, in bytes, as sent.
        received: u64,
    },
    /// The connection broke within the body.
    #[error(
        "fetch the payload: the body was cut off after {received} bytes{}",
        expected.map_or(String::new(), |expected| format!(" of {expected}"))
    )]
    CutOff {
        /// How much of the body was there, in bytes, as sent.
        received: u64,
        /// How much had been announced, where it had been.
        expected: Option<u64>,
        /// The cause.
        source: reqwest::Error,
    },
    /// The body is complete, but is not the gzip data that it claims to be.
    #[error("decompress the payload: not valid gzip data ({received} bytes received)")]
    NotGzip {
        /// How much of the body was read, in bytes, as sent.
        received: u64,
        /// The cause.
        source: std::io::Error,
    },
    /// The body has an encoding that nobody asked for.
    #[error("decompress the payload: content encoding {encoding:?}, expected gzip or none")]
    UnknownEncoding {
        /// The `Content-Encoding` header.
        encoding: String,
    },
    /// The body is larger than any payload.
    #[error("fetch the payload: larger than {limit} bytes decompressed")]
    TooLarge {
        /// The largest body accepted, in bytes.
        limit: usize,
    },
}

impl FetchError {
    pub(super) fn timed_out(start: Instant, received: u64) -> Self {
        Self::TimedOut { waited: start.elapsed(), received }
    }
}

impl Retryable for FetchError {
    fn retry(&self) -> Retry {
        match self {
            Self::Unavailable { retry_after, .. } => retry_after.map_or(Retry::Soon, Retry::After),
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::CutOff { .. } | Self::NotGzip { .. } => {
                Retry::Soon
            }
            Self::MalformedKey
            | Self::KeyRefused { .. }
            | Self::Redirected { .. }
            | Self::UnexpectedStatus { .. }
            | Self::UnknownEncoding { .. }
            | Self::TooLarge { .. } => Retry::Never,
        }
    }
}

/// A `Location` header as it may be shown.
pub(super) fn location(url: &Url, header: Option<&str>) -> String {
    let Some(mut target) = header.and_then(|header| url.join(header).ok()) else {
        return "nowhere".to_owned();
    };
    target.set_query(None);
    target.set_fragment(None);
    // Both fail only for URLs without a host, which have no user or password to hide.
    let _ = target.set_username("");
    let _ = target.set_password(None);
    target.to_string()
}
