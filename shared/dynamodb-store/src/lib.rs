//! in progress
pub mod layout;
mod reader;
pub mod snapshot;
pub mod sync;
pub mod table;

pub use reader::{Flags, OfficialItems, ReadError, Refreshed, SnapshotReader};
