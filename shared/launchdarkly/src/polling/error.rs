//! What can go wrong between us and the payload, by who has to act.

use std::time::Duration;

use thiserror::Error;

use crate::ExchangeError;
use crate::retry::{Retry, Retryable};

/// Where programs have the SDK key from.
const KEY: &str = "LAUNCHDARKLY_SDK_KEY, or the SSM parameter that LAUNCHDARKLY_SDK_KEY_PARAMETER names";

/// Why there is no payload. No text holds a key: URLs are ours, or shown without their secrets.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The SDK key cannot be sent at all.
    #[error(
        "send the SDK key: it holds characters that no HTTP header may carry (a line break at its end?); mend {KEY}"
    )]
    MalformedKey,
    /// The SDK key is not that of an environment, or not of the right kind.
    #[error(
        "fetch the payload: LaunchDarkly refuses the SDK key (status {status}); the server-side SDK key of an environment \
         has to be in {KEY}"
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
    /// No answer, or not all of it; asked as often as the limits allow.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

impl Retryable for FetchError {
    fn retry(&self) -> Retry {
        match self {
            Self::Unavailable { retry_after, .. } => retry_after.map_or(Retry::Soon, Retry::After),
            Self::Exchange(error) => error.retry(),
            Self::MalformedKey | Self::KeyRefused { .. } | Self::Redirected { .. } | Self::UnexpectedStatus { .. } => {
                Retry::Never
            }
        }
    }
}
