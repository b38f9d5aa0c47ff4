#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

pub mod layout;
pub mod overrides;
mod persistent;
mod reader;
pub mod snapshot;
pub mod sync;
pub mod table;

pub use persistent::DynamoDbPersistentDataStoreFactory;
pub use reader::{Flags, OfficialItems, ReadError, Refreshed, SnapshotReader};
