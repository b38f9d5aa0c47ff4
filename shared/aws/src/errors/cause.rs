//! What an error comes down to.

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::result::SdkError;
use std::error::Error;

/// What an AWS error comes down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// There is no such table there.
    NoTable,
    /// The role may not do this.
    NoPermission,
    /// Credentials are missing, wrong or expired.
    Credentials,
    /// More requests than the table or account may make.
    Throttled,
    /// The table's keys are not those of the layout.
    WrongSchema,
    /// Nobody answers at the endpoint, or not as the service does.
    Unreachable,
    /// The answer did not come in time.
    Timeout,
    /// Anything else.
    Other,
}

impl Cause {
    /// Whether the same request may work a little later without anybody doing anything.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Unreachable | Self::Timeout)
    }

    /// The cause of an answer that says what is wrong.
    pub(super) fn of_answer(code: Option<&str>, said: &str, status: Option<u16>) -> Self {
        match code.unwrap_or_default() {
            "ResourceNotFoundException" | "TableNotFoundException" => Self::NoTable,
            "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation" | "NotAuthorized" => Self::NoPermission,
            "ExpiredToken"
            | "ExpiredTokenException"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "InvalidAccessKeyId"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "OptInRequired"
            | "RequestExpired"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException" => Self::Credentials,
            "LimitExceededException"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "TooManyRequestsException" => Self::Throttled,
            "ValidationException" if speaks_of_keys(said) => Self::WrongSchema,
            "TransactionCanceledException" if said.contains("Throttling") || said.contains("ThroughputExceeded") => {
                Self::Throttled
            }
            "" => Self::Unreachable,
            _ if status.is_some_and(|status| status >= 500) => Self::Unreachable,
            _ => Self::Other,
        }
    }

    /// The cause of a request that got no answer, or none that was understood.
    pub(super) fn of_failure<E, R>(error: &SdkError<E, R>, detail: &str) -> Self
    where
        E: Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        let causes = std::iter::successors(Some(error as &(dyn Error + 'static)), |&cause| cause.source());
        if causes.into_iter().any(<dyn Error>::is::<CredentialsError>) || detail.contains("no providers in chain") {
            return Self::Credentials;
        }
        match error {
            SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => Self::Unreachable,
            _ => Self::Other,
        }
    }
}

/// The words in which `DynamoDB` says that keys are missing, superfluous or of the wrong type.
fn speaks_of_keys(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    [
        "key element",
        "the key schema",
        "required keys",
        "missing the key",
        "type mismatch for key",
        "number of conditions on the keys",
        "query key condition",
        "query condition missed key",
    ]
    .iter()
    .any(|words| said.contains(words))
}
