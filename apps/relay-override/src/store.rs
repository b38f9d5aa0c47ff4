//! Where flags are overridden: the one narrow view that the commands have of it.
//!
//! [`crate::redis_store`] is the Relay Proxy's Redis, [`crate::dynamodb_store`] the pipeline's
//! table, and [`AnyStore`] either of them, for the commands that look after all.

use thiserror::Error;

use crate::change::FlagName;
use crate::dynamodb_store::DynamoDbStore;
use crate::flag_json::FlagJsonError;
use crate::redis_store::RedisStore;
use crate::variation::ChoiceError;

/// A place that holds flags as raw JSON.
pub trait Store {
    /// How people know it; never with a secret in it.
    fn name(&self) -> &str;

    /// The flag's JSON, if it is there.
    fn read(&self, flag: &FlagName) -> impl Future<Output = Result<Option<String>, StoreError>>;

    /// Puts what `edit` makes of the flag's JSON in its place, in one piece: where somebody else
    /// writes in between, `edit` is asked again about what they wrote. Nothing is written where it
    /// gives nothing, or where there is no such flag.
    fn edit(
        &self,
        flag: &FlagName,
        purpose: Purpose,
        edit: impl Edit,
    ) -> impl Future<Output = Result<Edited, StoreError>>;
}

/// What an edit is for: a store that keeps account of overrides has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To override a flag, or to take that back.
    Override,
    /// To put LaunchDarkly's own flag in the place of whatever is there.
    ReadBack,
}

/// Makes the new JSON from the old one; nothing where it is to stay.
pub trait Edit: Fn(&str) -> Result<Option<String>, FlagJsonError> {}

impl<F: Fn(&str) -> Result<Option<String>, FlagJsonError>> Edit for F {}

/// What became of an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edited {
    /// It is written.
    Written {
        /// What was there.
        before: String,
        /// What is there now.
        after: String,
    },
    /// It stays as it is.
    Kept(String),
    /// There is no such flag.
    Absent,
}

/// Why a store did not do it.
#[derive(Debug, Error)]
pub enum StoreError {
    /// No connection, or none in time; nothing was written.
    #[error("unreachable")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store says no; nothing was written.
    #[error("refused: {0}")]
    Refused(String),
    /// What it holds is no flag; nothing was written.
    #[error("not changed, because what it holds is no flag")]
    Malformed(#[source] FlagJsonError),
    /// The flag has no such variation; nothing was written.
    #[error("not changed: {0}")]
    Choice(ChoiceError),
    /// Others wrote again and again; nothing was written.
    #[error("not changed, because others kept writing; run the command again")]
    Contended,
    /// The answer got lost: it may be written or not.
    #[error("not known whether it is changed, because the answer got lost; run the command again")]
    Unsure(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<FlagJsonError> for StoreError {
    fn from(error: FlagJsonError) -> Self {
        match error {
            FlagJsonError::Choice(error) => Self::Choice(error),
            error => Self::Malformed(error),
        }
    }
}

impl StoreError {
    /// Whether it may be written all the same.
    pub const fn may_be_written(&self) -> bool {
        matches!(self, Self::Unsure(_))
    }
}

/// A store of either kind.
pub enum AnyStore {
    /// The Relay Proxy's Redis.
    Redis(Box<RedisStore>),
    /// The pipeline's table.
    DynamoDb(DynamoDbStore),
}

impl Store for AnyStore {
    fn name(&self) -> &str {
        match self {
            Self::Redis(store) => store.name(),
            Self::DynamoDb(store) => store.name(),
        }
    }

    async fn read(&self, flag: &FlagName) -> Result<Option<String>, StoreError> {
        match self {
            Self::Redis(store) => store.read(flag).await,
            Self::DynamoDb(store) => store.read(flag).await,
        }
    }

    async fn edit(&self, flag: &FlagName, purpose: Purpose, edit: impl Edit) -> Result<Edited, StoreError> {
        match self {
            Self::Redis(store) => store.edit(flag, purpose, edit).await,
            Self::DynamoDb(store) => store.edit(flag, purpose, edit).await,
        }
    }
}
