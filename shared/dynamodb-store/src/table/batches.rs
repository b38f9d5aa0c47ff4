//! Batches of reads and of plain writes, of which DynamoDB may leave a part over.

use aws_sdk_dynamodb::config;
use aws_sdk_dynamodb::types::{KeysAndAttributes, PutRequest, WriteRequest};
use aws_smithy_types::retry::RetryConfig;

use super::attributes::{self, Attributes};
use super::dynamodb::{RETRIES, pause};
use super::{CommitError, DynamoDbTable, Put, TableCause, TableError};
use crate::layout::{KEY, NAMESPACE};

const PUT: &str = "write a batch";

impl DynamoDbTable {
    /// Reads items by their keys, and asks again for those that DynamoDB left out.
    pub(super) async fn batch(
        &self,
        action: &'static str,
        keys: Vec<Attributes>,
        consistent: bool,
    ) -> Result<Vec<Attributes>, TableError> {
        let mut found = Vec::with_capacity(keys.len());
        let mut open = keys;
        for retry in 0..=RETRIES {
            let wanted = KeysAndAttributes::builder().set_keys(Some(open)).consistent_read(consistent).build();
            let wanted = wanted.map_err(|error| {
                TableError::without_source(action, &self.name, TableCause::Other(error.to_string()))
            })?;
            let request = self.client.batch_get_item().request_items(&self.name, wanted);
            let mut output = request.send().await.map_err(|error| TableError::from_sdk(action, &self.name, error))?;
            found.extend(output.responses.take().and_then(|mut tables| tables.remove(&self.name)).unwrap_or_default());
            let left = output.unprocessed_keys.take().and_then(|mut tables| tables.remove(&self.name));
            open = left.map(|left| left.keys).unwrap_or_default();
            if open.is_empty() {
                return Ok(found);
            }
            if retry < RETRIES {
                pause(retry).await;
            }
        }
        Err(TableError::without_source(action, &self.name, TableCause::Throttled))
    }

    /// Sends one batch of puts, once, and gives the positions of those that DynamoDB left over.
    pub(super) async fn put_once(&self, puts: &[Put<'_>]) -> Result<Vec<usize>, CommitError> {
        let requests = puts.iter().map(|put| self.put_request(put)).collect::<Result<Vec<_>, _>>()?;
        let once = config::Config::builder().retry_config(RetryConfig::disabled());
        let request = self.client.batch_write_item().request_items(&self.name, requests);
        let mut output = request.customize().config_override(once).send().await.map_err(|error| {
            let error = TableError::from_sdk(PUT, &self.name, error);
            match error.cause {
                TableCause::Unavailable(_) => CommitError::Unknown(error),
                _ => CommitError::Table(error),
            }
        })?;
        let left = output.unprocessed_items.take().and_then(|mut tables| tables.remove(&self.name)).unwrap_or_default();
        if left.is_empty() {
            return Ok(Vec::new());
        }
        let left: Vec<_> = left.iter().filter_map(|request| request.put_request()).map(|put| &put.item).collect();
        let is_left = |put: &Put<'_>| {
            let key = self.attributes_of(put);
            left.iter().any(|item| [NAMESPACE, KEY].iter().all(|name| item.get(*name) == key.get(*name)))
        };
        Ok(puts.iter().enumerate().filter(|(_, put)| is_left(put)).map(|(position, _)| position).collect())
    }

    fn put_request(&self, put: &Put<'_>) -> Result<WriteRequest, CommitError> {
        let put = PutRequest::builder().set_item(Some(self.attributes_of(put))).build();
        let put =
            put.map_err(|error| TableError::without_source(PUT, &self.name, TableCause::Other(error.to_string())))?;
        Ok(WriteRequest::builder().put_request(put).build())
    }

    fn attributes_of(&self, put: &Put<'_>) -> Attributes {
        match put {
            Put::Item(item) => {
                attributes::item(&self.layout.items(item.kind), item.key, item.version, item.json.to_owned())
            }
            Put::Chunk { slot, chunk } => attributes::chunk(&self.layout, *slot, chunk.clone()),
        }
    }
}
