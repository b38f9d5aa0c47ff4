//! Why a parameter cannot be read, and what to do. Never holds an answer, which could hold a value.

use crate::errors::{self, Cause, Place};
use aws_sdk_ssm::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ssm::operation::get_parameter::GetParameterError;

/// Why a parameter cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read the SSM parameter {parameter:?}: {explanation}")]
pub struct SecretError {
    /// The parameter's name.
    pub parameter: String,
    /// What it comes down to.
    pub fault: SecretFault,
    explanation: String,
}

/// What it comes down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretFault {
    /// There is no such parameter, or it is empty.
    Missing,
    /// The role may not read it.
    Denied,
    /// KMS does not decrypt it.
    Decryption,
    /// AWS does not accept the credentials.
    Credentials,
    /// Too many requests.
    Throttled,
    /// SSM does not answer, or not in time.
    Unreachable,
    /// Anything else.
    Other,
}

impl SecretFault {
    /// Whether the same read may work a little later without anybody doing anything.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Unreachable)
    }
}

impl SecretError {
    pub(super) fn explain(parameter: &str, region: &str, error: &SdkError<GetParameterError>) -> Self {
        let explained = errors::explain(error, &Place { resource: parameter, region, endpoint: "" });
        let said = error.message().unwrap_or_default();
        let (fault, explanation) = match error.code().unwrap_or_default() {
            "ParameterNotFound" | "ParameterVersionNotFound" => {
                (SecretFault::Missing, format!("there is none in {region}; {}", create(parameter)))
            }
            "InvalidKeyId" => (SecretFault::Decryption, not_decrypted(said)),
            "AccessDeniedException" if speaks_of_kms(said) => (SecretFault::Decryption, not_decrypted(said)),
            "ValidationException" => (SecretFault::Missing, format!("it cannot be a name; {}", create("/NAME"))),
            _ => (SecretFault::of(explained.cause), explained.message),
        };
        Self { parameter: parameter.to_owned(), fault, explanation }
    }

    pub(super) fn empty(parameter: &str) -> Self {
        let explanation = format!("it is empty; {} --overwrite", create(parameter));
        Self { parameter: parameter.to_owned(), fault: SecretFault::Missing, explanation }
    }
}

impl SecretFault {
    fn of(cause: Cause) -> Self {
        match cause {
            Cause::NoPermission => Self::Denied,
            Cause::Credentials => Self::Credentials,
            Cause::Throttled => Self::Throttled,
            Cause::Unreachable | Cause::Timeout => Self::Unreachable,
            Cause::NoTable | Cause::WrongSchema | Cause::Other => Self::Other,
        }
    }
}

fn create(parameter: &str) -> String {
    format!("create it: aws ssm put-parameter --name {parameter} --type SecureString --value …")
}

fn speaks_of_kms(said: &str) -> bool {
    said.contains("kms:") || said.contains("ciphertext") || said.contains("KMS")
}

fn not_decrypted(said: &str) -> String {
    let words: Vec<&str> = said.split_whitespace().collect();
    let quoted = if words.is_empty() { String::new() } else { format!(": {}", words.join(" ")) };
    format!("KMS does not decrypt it{quoted}; allow the role kms:Decrypt on the parameter's key")
}
