//! What the Lambda functions share between the Runtime API and their own logic.
#![doc = include_str!("../README.md")]

pub mod answer;
pub mod event;
pub mod logs;
pub mod metrics;
pub mod serve;

pub use answer::Answer;
pub use event::{EventError, Invocation, Request};
pub use serve::{Event, Fault, Outcome, serve, serve_then};
