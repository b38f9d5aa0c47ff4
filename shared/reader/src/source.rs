//! Where flags come from: the table, and why it cannot be read.
//!
//! [`Source`] is what the rest of the crate sees of DynamoDB, so that it can be tried out without one.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use flagcache_payload::Items;
use launchdarkly_server_sdk_dynamodb::table::{DynamoDbTable, Table as _, TableCause, TableError};
use launchdarkly_server_sdk_dynamodb::{ReadError, Refreshed, SnapshotReader};

use crate::config::PREFIX;

/// What a look at the source brings.
pub type Looked<'a> = Pin<Box<dyn Future<Output = Result<Option<News>, Fault>> + Send + 'a>>;

/// Something that flags can be read from.
pub trait Source: Send + Sync {
    /// Looks for flags: everything at first, later what is new (nothing where all is as it was). Can be dropped half way.
    fn look(&self) -> Looked<'_>;
}

/// Flags as they are now.
#[derive(Clone)]
pub struct News {
    /// The flags.
    pub items: Arc<dyn Items>,
    /// The snapshot's generation; a table that store did not fill has none.
    pub generation: Option<u64>,
}

/// Why flags cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What it comes down to.
    pub problem: Problem,
    /// Cause and remedy in one line.
    pub message: String,
}

/// What a fault comes down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The table holds no flags, or none below the prefix.
    NotFilled,
    /// There is no such table.
    NoTable,
    /// The table is one of another layout.
    WrongSchema,
    /// The role may not read it.
    NoPermission,
    /// The credentials are not accepted.
    Credentials,
    /// DynamoDB takes no more requests for now.
    Throttled,
    /// DynamoDB cannot be reached or does not answer.
    Unavailable,
    /// Anything else.
    Other,
}

impl Problem {
    /// One word for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotFilled => "not-filled",
            Self::NoTable => "no-table",
            Self::WrongSchema => "wrong-schema",
            Self::NoPermission => "no-permission",
            Self::Credentials => "credentials",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Other => "unreadable",
        }
    }
}

impl Fault {
    /// The source gave no answer in the time that there was.
    pub fn timed_out(after: Duration) -> Self {
        let message = format!("DynamoDB gave no answer within {} ms", after.as_millis());
        Self { problem: Problem::Unavailable, message }
    }
}

/// The table that store fills, or any other in LaunchDarkly's official layout.
pub struct Table {
    reader: SnapshotReader,
    client: aws_sdk_dynamodb::Client,
    name: String,
    prefix: String,
}

impl Table {
    /// The part of a table below a prefix (empty: none). Nothing is asked for yet.
    pub fn new(client: aws_sdk_dynamodb::Client, name: &str, prefix: &str) -> Self {
        let reader = SnapshotReader::new(client.clone(), name, prefix);
        Self { reader, client, name: name.to_owned(), prefix: prefix.to_owned() }
    }

    async fn fault(&self, error: ReadError) -> Fault {
        match error {
            ReadError::NotFilled { .. } => Fault { problem: Problem::NotFilled, message: self.not_filled().await },
            ReadError::Table(error) => Fault { problem: problem(&error), message: error.to_string() },
        }
    }

    async fn not_filled(&self) -> String {
        let Self { name, prefix, .. } = self;
        if prefix.is_empty() {
            return format!(
                "table `{name}` holds no flags outside a prefix: run store to fill it, or set {PREFIX} to the prefix that store writes to"
            );
        }
        let unprefixed = DynamoDbTable::new(self.client.clone(), name, "");
        if unprefixed.inited().await.unwrap_or(false) {
            return format!(
                "table `{name}` holds flags without a prefix but none below `{prefix}`: is {PREFIX} wrong? Else run store with it"
            );
        }
        format!("table `{name}` holds no flags below the prefix `{prefix}`: run store to fill it, or correct {PREFIX}")
    }
}

impl Source for Table {
    fn look(&self) -> Looked<'_> {
        Box::pin(async {
            match self.reader.refresh().await {
                Ok(Refreshed::Unchanged) => Ok(None),
                Ok(Refreshed::Changed(flags)) => Ok(Some(News { generation: flags.generation(), items: flags })),
                Err(error) => Err(self.fault(error).await),
            }
        })
    }
}

const fn problem(error: &TableError) -> Problem {
    match error.cause {
        TableCause::NoTable => Problem::NoTable,
        TableCause::WrongSchema(_) => Problem::WrongSchema,
        TableCause::Denied(_) => Problem::NoPermission,
        TableCause::Credentials(_) => Problem::Credentials,
        TableCause::Throttled => Problem::Throttled,
        TableCause::Unavailable(_) => Problem::Unavailable,
        TableCause::Unreadable(_) | TableCause::Other(_) => Problem::Other,
    }
}
