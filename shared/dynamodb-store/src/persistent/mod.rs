//! The SDK's side: LaunchDarkly's own persistent data store interface over this table.
//!
//! For applications that run the Rust SDK with a stream and want DynamoDB as its store, or in daemon mode over a table
//! that somebody else fills. It reads and writes the official layout, item by item, as LaunchDarkly's stores for other
//! languages do. The `store` function does not pass here: what the SDK hands over has lost the fields that it does not
//! know.

mod bridge;
mod factory;
mod store;

pub use factory::DynamoDbPersistentDataStoreFactory;
pub(crate) use store::serialized;
