//! An embedded DynamoDB: dynoxide behind its HTTP server, in memory or in a file.
//!
//! Any AWS SDK talks to it through `AWS_ENDPOINT_URL_DYNAMODB`. What it does not do as AWS does:
//! reads are always consistent, transactions never contend with each other (they run one after the
//! other), nothing is ever throttled, and signatures are not verified, though a request needs
//! credentials and an `X-Amz-Date` header.

use dynoxide::actions::create_table::CreateTableRequest;
use dynoxide::types::{AttributeDefinition, KeySchemaElement, KeyType, ScalarAttributeType};
use dynoxide::{Database, DynoxideError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Why the embedded DynamoDB cannot be used.
#[derive(Debug, Error)]
pub enum DynamoDbError {
    /// The file is no database, or cannot be read and written.
    #[error("open the database {path}")]
    Open {
        /// The file, or `:memory:`.
        path: PathBuf,
        /// What the database says.
        source: DynoxideError,
    },
    /// No port to listen on.
    #[error("listen for DynamoDB requests")]
    Listen(#[source] std::io::Error),
    /// The table was not made: a wrong name, as a rule.
    #[error("create the table `{table}`")]
    CreateTable {
        /// The table's name.
        table: String,
        /// What the database says.
        source: DynoxideError,
    },
}

/// A DynamoDB of one's own. Dropping it ends it; what was in memory is gone.
#[derive(Debug)]
pub struct EmbeddedDynamoDb {
    address: SocketAddr,
    database: OpaqueDatabase,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl EmbeddedDynamoDb {
    /// Starts an empty one in memory, on a free port of 127.0.0.1.
    pub async fn start() -> Result<Self, DynamoDbError> {
        Self::start_on(free_port().await?, None)
    }

    /// Starts one over `file`, which is made if it does not exist, on a free port of 127.0.0.1.
    pub async fn start_with_file(file: &Path) -> Result<Self, DynamoDbError> {
        Self::start_on(free_port().await?, Some(file))
    }

    /// Starts one on `listener`, over `file` or in memory.
    pub fn start_on(listener: TcpListener, file: Option<&Path>) -> Result<Self, DynamoDbError> {
        let address = listener.local_addr().map_err(DynamoDbError::Listen)?;
        let database = match file {
            Some(path) => Database::new(&path.to_string_lossy()),
            None => Database::memory(),
        }
        .map_err(|source| DynamoDbError::Open { path: file.unwrap_or(Path::new(":memory:")).to_owned(), source })?;
        let (stop, stopped) = oneshot::channel::<()>();
        let served = database.clone();
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            let _ = dynoxide::server::serve_with_shutdown(listener, served, stopped).await;
        });
        Ok(Self { address, database: OpaqueDatabase(database), stop: Some(stop), task: Some(task) })
    }

    /// What `AWS_ENDPOINT_URL_DYNAMODB` is to be: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        crate::server::url(self.address)
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The database itself, for looking and tampering without HTTP.
    pub fn database(&self) -> &Database {
        &self.database.0
    }

    /// Creates the table that flags are kept in: hash key `namespace`, range key `key`, both
    /// strings, on demand. A table of that name that is already there is left as it is; whether it
    /// was made.
    pub fn create_flag_table(&self, table: &str) -> Result<bool, DynamoDbError> {
        let keys = [("namespace", KeyType::HASH), ("key", KeyType::RANGE)];
        let request = CreateTableRequest {
            table_name: table.to_owned(),
            key_schema: keys
                .iter()
                .map(|(name, key_type)| KeySchemaElement {
                    attribute_name: (*name).to_owned(),
                    key_type: key_type.clone(),
                })
                .collect(),
            attribute_definitions: keys
                .iter()
                .map(|(name, _)| AttributeDefinition {
                    attribute_name: (*name).to_owned(),
                    attribute_type: ScalarAttributeType::S,
                })
                .collect(),
            billing_mode: Some("PAY_PER_REQUEST".to_owned()),
            ..CreateTableRequest::default()
        };
        match self.database.0.create_table(request) {
            Ok(_) => Ok(true),
            Err(DynoxideError::ResourceInUseException(_)) => Ok(false),
            Err(source) => Err(DynamoDbError::CreateTable { table: table.to_owned(), source }),
        }
    }

    /// Ends it once the requests under way are answered, so that its file can be opened again.
    pub async fn stop(mut self) {
        self.stop.take();
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

impl Drop for EmbeddedDynamoDb {
    fn drop(&mut self) {
        self.stop.take();
    }
}

async fn free_port() -> Result<TcpListener, DynamoDbError> {
    TcpListener::bind(("127.0.0.1", 0)).await.map_err(DynamoDbError::Listen)
}

/// The database has no `Debug` of its own.
struct OpaqueDatabase(Database);

impl std::fmt::Debug for OpaqueDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Database")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    async fn call(endpoint: &str, operation: &str, body: Value) -> Value {
        let response = crate::http_client()
            .post(endpoint)
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .header("x-amz-date", "20260101T000000Z")
            .header("content-type", "application/x-amz-json-1.0")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/dynamodb/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature=0",
            )
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn the_flag_table_has_the_official_keys_and_is_made_once() {
        let dynamodb = EmbeddedDynamoDb::start().await.unwrap();
        assert!(dynamodb.create_flag_table("flags").unwrap());
        assert!(!dynamodb.create_flag_table("flags").unwrap());

        let answer = call(&dynamodb.endpoint(), "DescribeTable", json!({"TableName": "flags"})).await;

        assert_eq!(
            answer["Table"]["KeySchema"],
            json!([{"AttributeName": "namespace", "KeyType": "HASH"}, {"AttributeName": "key", "KeyType": "RANGE"}])
        );
        assert_eq!(answer["Table"]["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST");
    }

    #[tokio::test]
    async fn a_file_keeps_its_items() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("flags.db");
        let item = json!({"namespace": {"S": "features"}, "key": {"S": "k"}});

        let first = EmbeddedDynamoDb::start_with_file(&file).await.unwrap();
        first.create_flag_table("flags").unwrap();
        call(&first.endpoint(), "PutItem", json!({"TableName": "flags", "Item": item})).await;
        first.stop().await;

        let second = EmbeddedDynamoDb::start_with_file(&file).await.unwrap();
        let answer = call(&second.endpoint(), "GetItem", json!({"TableName": "flags", "Key": item})).await;
        assert_eq!(answer["Item"], item);
    }

    #[tokio::test]
    async fn a_folder_is_no_database_and_the_error_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = EmbeddedDynamoDb::start_with_file(folder.path()).await.unwrap_err();
        assert_eq!(error.to_string(), format!("open the database {}", folder.path().display()));
    }
}
