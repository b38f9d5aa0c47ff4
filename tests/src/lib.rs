//! What the tests across the built programs share.

pub mod binaries;
pub mod contents;
pub mod dynamodb_local;
pub mod gateway;
pub mod generate;
pub mod load;
pub mod local_up;
mod loopback;
pub mod override_tool;
pub mod parameters;
pub mod payload_source;
pub mod pipeline;
pub mod proxy;
pub mod redis_server;
pub mod rehearsal;
pub mod table;
pub mod tools;
pub mod watched;
