//! What can be wrong with the table, told apart by what helps against it.

use std::error::Error;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// A request to DynamoDB that failed for good, after retries.
#[derive(Debug, thiserror::Error)]
#[error("{action} of table `{table}`: {cause}")]
pub struct TableError {
    /// What was being done, as in "read the head".
    pub action: &'static str,
    /// The table's name.
    pub table: String,
    /// What is wrong.
    pub cause: TableCause,
    /// What the AWS SDK says.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

/// What is wrong with a table, or with the way to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableCause {
    /// There is no such table.
    #[error("it does not exist in this region; create it, or name another one")]
    NoTable,
    /// The table has other keys than this layout needs.
    #[error("its keys are not `namespace` (hash, string) and `key` (range, string); name a table of this layout ({0})")]
    WrongSchema(String),
    /// The credentials may not do this.
    #[error("access denied; allow this action to the credentials in use ({0})")]
    Denied(String),
    /// The credentials are missing, expired or wrong.
    #[error("the credentials were not accepted; renew them ({0})")]
    Credentials(String),
    /// DynamoDB takes no more requests for now.
    #[error("throttled beyond all retries; raise the table's capacity or use on-demand mode")]
    Throttled,
    /// DynamoDB cannot be reached, or does not answer properly.
    #[error("DynamoDB is unavailable ({0}); if it stays so, check the network, the region and the endpoint")]
    Unavailable(String),
    /// Somebody wrote an item of ours that cannot be read.
    #[error("the item cannot be understood ({0})")]
    Unreadable(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl TableCause {
    /// Whether the same request may go through later, with nobody changing anything.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable(_))
    }
}

/// Error codes that mean "later".
///
/// Source: "Error handling with DynamoDB" in the DynamoDB developer guide.
const THROTTLED: [&str; 5] = [
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
    "ThrottlingError",
    "LimitExceededException",
];
const UNAVAILABLE: [&str; 3] = ["InternalServerError", "ServiceUnavailable", "InternalFailure"];
const CREDENTIALS: [&str; 5] = [
    "UnrecognizedClientException",
    "ExpiredTokenException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "IncompleteSignatureException",
];

/// What DynamoDB, or DynamoDB Local, says where a table's keys are not those of a request.
const WRONG_KEYS: [&str; 7] = [
    "The provided key element does not match the schema",
    "The number of conditions on the keys is invalid",
    "Query condition missed key schema element",
    "Condition parameter type does not match schema type",
    "Missing the key ",
    "Type mismatch for key",
    "One of the required keys was not given a value",
];

impl TableError {
    pub(super) fn from_sdk<E, R>(action: &'static str, table: &str, error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let cause = match error.as_service_error() {
            Some(service) => service_cause(service.code().unwrap_or_default(), service.message().unwrap_or_default()),
            None => dispatch_cause(&error),
        };
        Self { action, table: table.to_owned(), cause, source: Some(Box::new(error)) }
    }

    pub(crate) fn without_source(action: &'static str, table: &str, cause: TableCause) -> Self {
        Self { action, table: table.to_owned(), cause, source: None }
    }
}

pub(super) fn is_throttling(code: &str) -> bool {
    THROTTLED.contains(&code)
}

fn service_cause(code: &str, message: &str) -> TableCause {
    match code {
        "ResourceNotFoundException" => TableCause::NoTable,
        "ValidationException" if WRONG_KEYS.iter().any(|text| message.contains(text)) => {
            TableCause::WrongSchema(message.to_owned())
        }
        "AccessDeniedException" | "AccessDenied" => TableCause::Denied(message.to_owned()),
        code if CREDENTIALS.contains(&code) => TableCause::Credentials(code.to_owned()),
        code if is_throttling(code) => TableCause::Throttled,
        code if UNAVAILABLE.contains(&code) => TableCause::Unavailable(code.to_owned()),
        "" => TableCause::Unavailable("an answer without an error code".to_owned()),
        code => TableCause::Other(format!("{code}: {message}")),
    }
}

fn dispatch_cause<E, R>(error: &SdkError<E, R>) -> TableCause
where
    E: Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let root = root_cause(error);
    match error {
        SdkError::TimeoutError(_) => TableCause::Unavailable("timed out".to_owned()),
        SdkError::ConstructionFailure(_) => TableCause::Other(root),
        SdkError::DispatchFailure(failure) if root.contains("credentials") && !failure.is_io() => {
            TableCause::Credentials(root)
        }
        _ => TableCause::Unavailable(root),
    }
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_by_what_helps() {
        for (code, message, expected) in [
            ("ResourceNotFoundException", "Requested resource not found", TableCause::NoTable),
            ("ProvisionedThroughputExceededException", "", TableCause::Throttled),
            ("InternalServerError", "", TableCause::Unavailable("InternalServerError".into())),
            ("AccessDeniedException", "no", TableCause::Denied("no".into())),
            ("ExpiredTokenException", "", TableCause::Credentials("ExpiredTokenException".into())),
            (
                "ValidationException",
                "The provided key element does not match the schema",
                TableCause::WrongSchema("The provided key element does not match the schema".into()),
            ),
            (
                "ValidationException",
                "One or more parameter values were invalid: Type mismatch for key key expected: N actual: S",
                TableCause::WrongSchema(
                    "One or more parameter values were invalid: Type mismatch for key key expected: N actual: S".into(),
                ),
            ),
            (
                "ValidationException",
                "One of the required keys was not given a value",
                TableCause::WrongSchema("One of the required keys was not given a value".into()),
            ),
            (
                "ValidationException",
                "Size of hashkey has exceeded the maximum size limit of 2048 bytes",
                TableCause::Other(
                    "ValidationException: Size of hashkey has exceeded the maximum size limit of 2048 bytes".into(),
                ),
            ),
            ("Odd", "thing", TableCause::Other("Odd: thing".into())),
        ] {
            assert_eq!(service_cause(code, message), expected);
        }
    }
}
