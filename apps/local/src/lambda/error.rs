//! What can go wrong between an event and a function's answer.

use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Why a function's process was not started.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// No port for its Runtime API.
    #[error("listen for the function's Runtime API calls")]
    Listen(#[source] std::io::Error),
    /// The binary is missing or cannot be executed.
    #[error("start the function {binary}")]
    Start {
        /// The binary.
        binary: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// An error as a function reports it to Lambda: `errorType` and `errorMessage`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{error_type}: {message}")]
pub struct FunctionError {
    /// The kind of error, a short name.
    pub error_type: String,
    /// What happened.
    pub message: String,
}

impl FunctionError {
    /// Reads what a function posted; `declared` is the type in its header, if any.
    pub(super) fn read(body: &[u8], declared: Option<&str>) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |field: &str| value.get(field)?.as_str().map(str::to_owned);
        Self {
            error_type: text("errorType").or_else(|| declared.map(str::to_owned)).unwrap_or_default(),
            message: text("errorMessage").unwrap_or_else(|| String::from_utf8_lossy(body).into_owned()),
        }
    }
}

/// Why an invocation has no answer.
#[derive(Debug, Error)]
pub enum InvokeError {
    /// The function answered with an error.
    #[error("invoke the function: it failed with {0}")]
    Function(FunctionError),
    /// The function said that it cannot start.
    #[error("initialise the function: it failed with {0}")]
    Init(FunctionError),
    /// No answer in time. The process is killed, as Lambda does.
    #[error("get an answer within {limit:?}")]
    TimedOut {
        /// How long was waited.
        limit: Duration,
    },
    /// The process ended instead of answering.
    #[error("get an answer: the process ended with {status}; its last lines:\n{last_lines}")]
    Died {
        /// How it ended.
        status: String,
        /// What it wrote last.
        last_lines: String,
    },
    /// The answer is not JSON.
    #[error("read the function's answer as JSON")]
    NotJson(#[source] serde_json::Error),
    /// A process for this invocation could not be started.
    #[error("start a process for the invocation")]
    Spawn(#[from] SpawnError),
}

impl InvokeError {
    /// What the function itself reported, if it came to that.
    pub fn function_error(&self) -> Option<&FunctionError> {
        match self {
            Self::Function(error) | Self::Init(error) => Some(error),
            _ => None,
        }
    }
}
