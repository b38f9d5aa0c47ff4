//! What can go wrong between a request and the last byte of its answer.

use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use crate::retry::{Retry, Retryable};

/// Why there is no complete answer. Sizes are in bytes as sent, before decompression, unless they
/// say otherwise. No text holds a key, a token or a URL's secrets.
#[derive(Debug, Error)]
pub enum ExchangeError {
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
        "receive LaunchDarkly's answer: not complete after {} ms ({received} bytes of its body received)",
        waited.as_millis()
    )]
    TimedOut {
        /// How long the last attempt waited.
        waited: Duration,
        /// How much of the body was there.
        received: u64,
    },
    /// The connection broke within the body.
    #[error(
        "receive LaunchDarkly's answer: its body was cut off after {received} bytes{}",
        expected.map_or(String::new(), |expected| format!(" of {expected}"))
    )]
    CutOff {
        /// How much of the body was there.
        received: u64,
        /// How much had been announced, where it had been.
        expected: Option<u64>,
        /// The cause.
        source: reqwest::Error,
    },
    /// The body is complete, but is not the gzip data that it claims to be.
    #[error("decompress LaunchDarkly's answer: not valid gzip data ({received} bytes received)")]
    NotGzip {
        /// How much of the body was read.
        received: u64,
        /// The cause.
        source: std::io::Error,
    },
    /// The body has an encoding that nobody asked for.
    #[error("decompress LaunchDarkly's answer: content encoding {encoding:?}, expected gzip or none")]
    UnknownEncoding {
        /// The `Content-Encoding` header.
        encoding: String,
    },
    /// The body is larger than any that is meant.
    #[error("receive LaunchDarkly's answer: its body is larger than {limit} bytes decompressed")]
    TooLarge {
        /// The largest body accepted, in bytes decompressed.
        limit: usize,
    },
}

impl ExchangeError {
    pub(super) fn timed_out(start: Instant, received: u64) -> Self {
        Self::TimedOut { waited: start.elapsed(), received }
    }

    /// Whether the request cannot have reached the server.
    pub(crate) fn is_before_request(&self) -> bool {
        matches!(self, Self::Unreachable { source, .. } if source.is_connect())
    }
}

impl Retryable for ExchangeError {
    fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::CutOff { .. } | Self::NotGzip { .. } => {
                Retry::Soon
            }
            Self::UnknownEncoding { .. } | Self::TooLarge { .. } => Retry::Never,
        }
    }
}
