#![doc = include_str!("../README.md")]

pub mod audit_log;
mod connection;
pub mod endpoints;
mod exchange;
pub mod polling;
pub mod rest;
mod retry;
#[cfg(test)]
mod test_server;
pub mod webhook;

pub use connection::{ClientError, Limits};
pub use exchange::ExchangeError;
