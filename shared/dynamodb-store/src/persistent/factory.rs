//! What an application configures.

use std::io;

use aws_sdk_dynamodb::Client;
use launchdarkly_server_sdk::{PersistentDataStore, PersistentDataStoreFactory};

use super::bridge::Bridge;
use super::store::DynamoDbPersistentDataStore;
use crate::table::DynamoDbTable;

/// Contains methods for configuring a DynamoDB data store.
///
/// The table must exist, with the hash key `namespace` and the range key `key`, both strings.
///
/// ```no_run
/// use std::sync::Arc;
/// use launchdarkly_server_sdk::{ConfigBuilder, PersistentDataStoreBuilder};
/// use launchdarkly_server_sdk_dynamodb::DynamoDbPersistentDataStoreFactory;
///
/// # fn configure(client: aws_sdk_dynamodb::Client) {
/// let mut factory = DynamoDbPersistentDataStoreFactory::new(client, "flags");
/// factory.prefix("staging");
/// let mut store = PersistentDataStoreBuilder::new(Arc::new(factory));
/// store.cache_seconds(30);
/// let config = ConfigBuilder::new("sdk-key").data_store(&store).build();
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct DynamoDbPersistentDataStoreFactory {
    client: Client,
    table: String,
    prefix: String,
}

impl DynamoDbPersistentDataStoreFactory {
    /// A store in this table, reached through this client.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into(), prefix: String::new() }
    }

    /// Sets the prefix of all namespaces, by which several environments share a table. The default is none.
    pub fn prefix(&mut self, prefix: &str) -> &mut Self {
        prefix.clone_into(&mut self.prefix);
        self
    }
}

impl PersistentDataStoreFactory for DynamoDbPersistentDataStoreFactory {
    fn create_persistent_data_store(&self) -> Result<Box<dyn PersistentDataStore>, io::Error> {
        let table = DynamoDbTable::new(self.client.clone(), &self.table, &self.prefix);
        Ok(Box::new(DynamoDbPersistentDataStore::new(table, Bridge::new()?)))
    }
}
