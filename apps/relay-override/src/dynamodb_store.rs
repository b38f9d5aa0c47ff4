//! The pipeline's DynamoDB table, by the code that fills and reads it: `launchdarkly-server-sdk-dynamodb`.
//!
//! An override writes the flag's item, and where the table has a snapshot its head and delta, in one transaction; the
//! `store` function keeps it until LaunchDarkly answers again. Table, prefix and region come from options, else from
//! the variables of the functions. Knows nothing of what a flag's JSON means, but for its version.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use launchdarkly_server_sdk_dynamodb::overrides::{self, EditError, FlagEdit};
use launchdarkly_server_sdk_dynamodb::sync::{Clock, SystemClock};
use launchdarkly_server_sdk_dynamodb::table::{DynamoDbTable, Table, TableCause, TableError};
use thiserror::Error;

use crate::change::FlagName;
use crate::environment::{self, Environment, EnvironmentError};
use crate::flag_json::{FlagJson, FlagJsonError};
use crate::redis_store::KeyPrefix;
use crate::store::{Edit, Edited, Purpose, Store, StoreError};

/// Requests that fail on the way are made twice at most: somebody is waiting.
const ATTEMPTS: u32 = 2;

/// Why the table cannot be used.
#[derive(Debug, Error)]
pub enum DynamoDbError {
    /// The environment lacks something.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// AWS cannot be asked.
    #[error(transparent)]
    Aws(#[from] flagcache_aws::ConfigError),
}

/// Where the table is; what is not said is in the environment.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The table's name.
    pub table: Option<String>,
    /// What stands before the namespaces.
    pub prefix: Option<String>,
    /// The AWS region.
    pub region: Option<String>,
}

/// One table.
pub struct DynamoDbStore {
    name: String,
    table: String,
    prefix: KeyPrefix,
    client: Client,
    timeout: Duration,
}

impl DynamoDbStore {
    /// Connects to nothing yet. `timeout` is for each request.
    ///
    /// # Errors
    /// Where table, region or credentials are not known.
    pub async fn new(place: &Place, environment: &Environment, timeout: Duration) -> Result<Self, DynamoDbError> {
        let table = match &place.table {
            Some(table) => table.clone(),
            None => environment.require(environment::DYNAMODB_TABLE, "the pipeline's DynamoDB table")?.to_owned(),
        };
        let prefix = place.prefix.as_deref().or_else(|| environment.get(environment::DYNAMODB_PREFIX));
        let lookup = |name: &str| {
            let region = place.region.clone().filter(|_| name == "AWS_REGION");
            region.or_else(|| environment.get(name).map(str::to_owned))
        };
        let aws = flagcache_aws::from_lookup(&lookup).await?;
        let region = aws.region().map(ToString::to_string).unwrap_or_default();
        let separator = if prefix.is_some() { "/" } else { "" };
        let name = format!("dynamodb:{region}/{table}{separator}{}", prefix.unwrap_or_default());
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(timeout).build();
        let config = aws_sdk_dynamodb::config::Builder::from(&aws)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
        let prefix = KeyPrefix(prefix.unwrap_or_default().to_owned());
        Ok(Self { name, table, prefix, client: Client::from_conf(config.build()), timeout })
    }

    fn table(&self, project: &str, environment: &str) -> DynamoDbTable {
        DynamoDbTable::new(self.client.clone(), self.table.as_str(), &self.prefix.of(project, environment))
    }

    /// Whether it can be read and what it is: marked as filled, and with a snapshot or without.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn inspect(&self, project: &str, environment: &str) -> Result<Inspection, StoreError> {
        let table = self.table(project, environment);
        let head = table.head().await.map_err(unreadable)?.head;
        let is_inited = table.inited().await.map_err(unreadable)?;
        let flags = head.as_ref().map(|head| head.totals.flags);
        let overridden = head.map(|head| head.overrides.into_keys().collect()).unwrap_or_default();
        Ok(Inspection { is_inited, flags, overridden, namespace: table.layout().items(flagcache_payload::Kind::Flag) })
    }
}

/// How a table stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Whether it is marked as filled.
    pub is_inited: bool,
    /// How many flags its snapshot holds; nothing where it has none.
    pub flags: Option<u64>,
    /// The flags, by key, that its snapshot counts as overridden.
    pub overridden: Vec<String>,
    /// The namespace of its flags.
    pub namespace: String,
}

impl Store for DynamoDbStore {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&self, flag: &FlagName) -> Result<Option<String>, StoreError> {
        overrides::read_flag(&self.table(&flag.project, &flag.environment), &flag.flag).await.map_err(unreadable)
    }

    async fn edit(&self, flag: &FlagName, purpose: Purpose, edit: impl Edit) -> Result<Edited, StoreError> {
        let table = self.table(&flag.project, &flag.environment);
        let edit = |text: &str| -> Result<Option<FlagEdit>, FlagJsonError> {
            let Some(json) = edit(text)? else { return Ok(None) };
            let version = FlagJson::parse(&json)?.version();
            Ok(Some(FlagEdit { json, version, is_launchdarklys: purpose == Purpose::ReadBack }))
        };
        let timeout_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        let deadline_ms = SystemClock.now_ms().saturating_add(timeout_ms);
        match overrides::edit_flag(&table, &SystemClock, &flag.flag, deadline_ms, edit).await {
            Ok(overrides::Edited::Written { before, after }) => Ok(Edited::Written { before, after }),
            Ok(overrides::Edited::Kept(text)) => Ok(Edited::Kept(text)),
            Ok(overrides::Edited::Absent) => Ok(Edited::Absent),
            Err(error) => Err(unwritten(error)),
        }
    }
}

fn unreadable(error: TableError) -> StoreError {
    match error.cause {
        TableCause::Unavailable(_) => StoreError::Unreachable(Box::new(error)),
        _ => StoreError::Refused(error.to_string()),
    }
}

fn unwritten(error: EditError<FlagJsonError>) -> StoreError {
    match error {
        EditError::Refused(error) => error.into(),
        EditError::Table(error) => unreadable(error),
        EditError::Unknown { source, .. } => StoreError::Unsure(Box::new(source)),
        EditError::Overtaken { .. } => StoreError::Contended,
        EditError::Busy { .. } | EditError::TooLarge { .. } => StoreError::Refused(error.to_string()),
    }
}
