//! What can go wrong, and how each is answered.
//!
//! The one place that knows statuses and codes. Messages are for the one who operates this: what failed, with which
//! value, and what to do; never with a secret.

use std::error::Error;

use flagcache_aws::{ConfigError as AwsError, SecretError};
use flagcache_lambda::answer::Answer;
use flagcache_lambda::event::BadBase64;
use flagcache_lambda::logs::LevelError;
use flagcache_launchdarkly::polling::FetchError;
use flagcache_launchdarkly::webhook::SignatureError;
use launchdarkly_server_sdk_dynamodb::sync::SyncError;

use crate::config::ConfigError;
use crate::upstream::UpstreamError;

/// Why an invocation failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The event's base64 is none.
    #[error(transparent)]
    BadBase64(BadBase64),
    /// The signature is missing or wrong.
    #[error(transparent)]
    Signature(SignatureError),
    /// Signatures are required, and no secret is configured to check them.
    #[error(
        "check the webhook's signature: LAUNCHDARKLY_WEBHOOK_SIGNATURE is `required`, but no secret is configured; set \
         LAUNCHDARKLY_WEBHOOK_SECRET or LAUNCHDARKLY_WEBHOOK_SECRET_PARAMETER"
    )]
    NoSecret,
    /// Not a POST.
    #[error("take a {method} request: webhooks are POST requests")]
    MethodNotAllowed {
        /// The request's method.
        method: String,
    },
    /// A body too large to look at.
    #[error("take a body of {bytes} bytes: at most {limit} are looked at")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The log level makes no sense.
    #[error(transparent)]
    LogLevel(#[from] LevelError),
    /// A variable is missing or wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// AWS cannot be used.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// LaunchDarkly's client cannot be built.
    #[error(transparent)]
    Client(#[from] flagcache_launchdarkly::ClientError),
    /// The webhook's secret cannot be read.
    #[error(transparent)]
    Secret(SecretError),
    /// The sync failed.
    #[error(transparent)]
    Sync(#[from] SyncError<UpstreamError>),
}

impl Failure {
    /// The HTTP status and the code.
    pub(crate) fn status(&self) -> (u16, &'static str) {
        match self {
            Self::BadBase64(_) => (400, "bad-base64"),
            Self::Signature(SignatureError::Missing) => (401, "signature-missing"),
            Self::Signature(SignatureError::Ambiguous) => (401, "signature-ambiguous"),
            Self::Signature(_) => (401, "signature-wrong"),
            Self::NoSecret => (401, "no-secret"),
            Self::MethodNotAllowed { .. } => (405, "method-not-allowed"),
            Self::TooLarge { .. } => (413, "body-too-large"),
            Self::LogLevel(_) | Self::Config(_) | Self::Aws(_) | Self::Client(_) | Self::Secret(_) => {
                (500, "misconfigured")
            }
            Self::Sync(error) => sync_status(error),
        }
    }

    /// What went wrong, with all its causes, in one line.
    pub(crate) fn message(&self) -> String {
        let mut message = format!("failed to {self}");
        let mut cause = match self {
            // It has said cause and remedy; the AWS SDK's own errors beneath say it again, some with the whole request.
            Self::Sync(SyncError::Table(_)) => None,
            _ => self.source(),
        };
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            cause = error.source();
        }
        message
    }

    /// The answer over HTTP.
    pub(crate) fn answer(&self) -> Answer {
        let (status, code) = self.status();
        let answer = Answer::error(status, code, &self.message());
        if status == 405 { answer.with_header("Allow", "POST") } else { answer }
    }
}

fn sync_status(error: &SyncError<UpstreamError>) -> (u16, &'static str) {
    match error {
        SyncError::Upstream(UpstreamError::Key(_)) => (500, "misconfigured"),
        SyncError::Upstream(UpstreamError::Fetch(FetchError::KeyRefused { .. } | FetchError::MalformedKey)) => {
            (500, "sdk-key-refused")
        }
        SyncError::Upstream(_) => (502, "launchdarkly-unavailable"),
        SyncError::Payload(_) | SyncError::NotModified => (502, "payload-invalid"),
        SyncError::Empty { .. } => (502, "payload-empty"),
        SyncError::Table(error) if error.cause.is_transient() => (503, "table-unavailable"),
        SyncError::Table(_) => (500, "table-misconfigured"),
        SyncError::Overtaken { .. } => (503, "table-contended"),
        SyncError::Busy { .. } => (503, "table-busy"),
        SyncError::OutOfTime => (503, "out-of-time"),
    }
}

#[cfg(test)]
mod tests {
    use launchdarkly_server_sdk_dynamodb::table::{TableCause, TableError};

    use super::*;

    #[test]
    fn every_failure_has_the_status_that_the_contract_gives_it() {
        let refused = FetchError::KeyRefused { status: 401 };
        let sync = |error| Failure::Sync(error);
        for (failure, status, code) in [
            (Failure::Signature(SignatureError::Missing), 401, "signature-missing"),
            (Failure::Signature(SignatureError::Mismatch), 401, "signature-wrong"),
            (Failure::NoSecret, 401, "no-secret"),
            (Failure::MethodNotAllowed { method: "GET".into() }, 405, "method-not-allowed"),
            (Failure::TooLarge { bytes: 2, limit: 1 }, 413, "body-too-large"),
            (sync(SyncError::Upstream(refused.into())), 500, "sdk-key-refused"),
            (sync(SyncError::Empty { missing: "flags", held: 3 }), 502, "payload-empty"),
            (sync(SyncError::Busy { remaining_ms: 3 }), 503, "table-busy"),
        ] {
            assert_eq!(failure.status(), (status, code), "{failure}");
        }
    }

    #[test]
    fn a_table_error_is_told_once() {
        let cause = TableCause::Denied("not authorized to perform: dynamodb:GetItem".into());
        let source = Some("service error: AccessDeniedException: not authorized to perform: dynamodb:GetItem".into());
        let error = TableError { action: "read the head", table: "flags".into(), cause, source };
        assert_eq!(
            Failure::Sync(SyncError::Table(error)).message(),
            "failed to read the head of table `flags`: access denied; allow this action to the credentials in use (not \
             authorized to perform: dynamodb:GetItem)"
        );
    }

    #[test]
    fn a_message_tells_what_failed_and_why() {
        let failure = Failure::Sync(SyncError::Empty { missing: "flags", held: 3 });
        assert_eq!(
            failure.message(),
            "failed to take a payload that has no flags although the table holds 3; to empty the table on purpose, set \
             LAUNCHDARKLY_ALLOW_EMPTY=true"
        );
    }
}
