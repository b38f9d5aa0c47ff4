//! What can go wrong when the REST API is asked, in LaunchDarkly's own words where it has any.

use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

use super::RateLimit;
use crate::retry::{Retry, Retryable};
use crate::{ClientError, ExchangeError};

/// Longest explanation that is passed on, in characters.
const LONGEST_MESSAGE: usize = 500;

/// Why a call failed. `call` is its method and path, such as `GET /api/v2/flags/P/F`.
#[derive(Debug, Error)]
pub enum RestError {
    /// The client cannot be built.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The access token cannot be sent at all.
    #[error(
        "send the API access token of LD_API_KEY: it holds characters that no HTTP header may carry (a line break at its end?)"
    )]
    MalformedToken,
    /// A project's or flag's key that no URL can name.
    #[error("ask for {key:?}: not the key of a project or a flag")]
    Unaddressable {
        /// The key.
        key: String,
    },
    /// A patch holds a value that is no JSON.
    #[error("write the patch as JSON")]
    Unwritable(#[source] serde_json::Error),
    /// No answer, or not all of it.
    #[error("{call}")]
    Exchange {
        /// What was asked.
        call: String,
        /// The cause.
        source: ExchangeError,
        /// Whether the call may be sent again although it may have arrived.
        is_repeatable: bool,
    },
    /// Too many calls, on the account or on this route, also after waiting as long as there was
    /// time.
    #[error(
        "{call}: too many requests{}{}",
        limit.map_or(String::new(), |limit| format!(" for {limit}")),
        retry_after.map_or(String::new(), |wait| format!("; try again in {} s", wait.as_secs_f64().ceil()))
    )]
    RateLimited {
        /// What was asked.
        call: String,
        /// How long to wait, where LaunchDarkly says so.
        retry_after: Option<Duration>,
        /// Which limit it is, where LaunchDarkly says so.
        limit: Option<RateLimit>,
    },
    /// LaunchDarkly answers with an error.
    #[error(
        "{call}: status {status}{}{}{}",
        code.as_ref().map_or(String::new(), |code| format!(" ({code})")),
        message.as_ref().map_or(String::new(), |message| format!(": {message}")),
        hint(*status)
    )]
    Refused {
        /// What was asked.
        call: String,
        /// 4xx or 5xx, but not 429.
        status: u16,
        /// LaunchDarkly's class of the error, such as `not_found`.
        code: Option<String>,
        /// LaunchDarkly's explanation.
        message: Option<String>,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
        /// Whether the call may be sent again although it may have been carried out.
        is_repeatable: bool,
    },
    /// The server sends us elsewhere, and a token is not carried to where nobody configured it.
    #[error(
        "{call}: redirects to {location}; set {} to where the API is",
        crate::endpoints::API.variable
    )]
    Redirected {
        /// What was asked.
        call: String,
        /// Where it leads, without user, password and query.
        location: String,
    },
    /// The answer is not JSON: most likely this is not the API.
    #[error("{call}: read the answer as JSON; is {} right?", crate::endpoints::API.variable)]
    NotJson {
        /// What was asked.
        call: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// The answer is JSON, but not what was asked for.
    #[error("read {what} in LaunchDarkly's answer")]
    UnexpectedShape {
        /// What was looked for.
        what: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
}

impl RestError {
    pub(super) fn exchange(call: String, source: ExchangeError, is_repeatable: bool) -> Self {
        Self::Exchange { call, source, is_repeatable }
    }

    /// The status that LaunchDarkly answered with, where the error is an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::RateLimited { .. } => Some(429),
            _ => None,
        }
    }

    /// Whether LaunchDarkly could not be asked, or could not answer: the same call may succeed
    /// later, unchanged.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Exchange { .. } | Self::RateLimited { .. } => true,
            Self::Refused { status, .. } => *status >= 500 || *status == 408,
            _ => false,
        }
    }
}

impl Retryable for RestError {
    fn retry(&self) -> Retry {
        match self {
            Self::RateLimited { retry_after, .. } => retry_after.map_or(Retry::Soon, Retry::After),
            Self::Exchange { source, is_repeatable, .. } if *is_repeatable || source.is_before_request() => {
                source.retry()
            }
            // 409: another request was changing the same thing, and LaunchDarkly says to repeat.
            Self::Refused { status: 408 | 409 | 500.., retry_after, is_repeatable: true, .. } => {
                retry_after.map_or(Retry::Soon, Retry::After)
            }
            _ => Retry::Never,
        }
    }
}

/// What to do about a status that LaunchDarkly's own message explains poorly.
fn hint(status: u16) -> &'static str {
    match status {
        401 => " (it has to be an API access token, api-…, not an SDK key)",
        403 => " (the access token's role does not allow it)",
        405 => " (the environment may require an approval)",
        _ => "",
    }
}

/// `code` and `message` of the API's error format.
pub(super) fn explanation(body: &[u8]) -> (Option<String>, Option<String>) {
    let Ok(error) = serde_json::from_slice::<Value>(body) else {
        return (None, None);
    };
    let text = |field| {
        let text: String = error.get(field)?.as_str()?.chars().take(LONGEST_MESSAGE).collect();
        (!text.is_empty()).then_some(text)
    };
    (text("code"), text("message"))
}
