#![doc = include_str!("../README.md")]

pub mod diff;
mod items;
pub mod order;
mod payload;
mod references;

pub use diff::{Diff, Difference};
pub use items::{Item, ItemId, Items, Kind, version_in};
pub use payload::{MAX_VERSION, Payload, PayloadError};
pub use references::references;
