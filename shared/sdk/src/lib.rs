#![doc = include_str!("../README.md")]

pub mod config;
pub mod connection;
pub mod context;
pub mod evaluation;
pub mod events;
pub mod json;
pub mod observable;
pub mod recorder;
pub mod routes;
mod sending;

pub use evaluation::{AllFlags, Evaluation, Evaluator, Filter, Shape};
pub use events::Events;
pub use launchdarkly_server_sdk::{Context, FlagValue, Reason};
pub use recorder::Recorder;
